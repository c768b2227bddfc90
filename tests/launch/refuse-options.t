#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Container options that are malformed, do not fit together, or ask for what is not there; and users whom nobody knows.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tiny.sh"
need mksquashfs
need_cluster
. "$(dirname "$0")/refuse.sh"

tiny_tree "$file_dir/tree"
mkdir -m 0700 "$file_dir/tree/srv/closed"
app=$file_dir/app.simg
pack "$file_dir/tree" "$app"
no_plugin_here

# as_other UID GID HOME COMMAND…: like as_user, as somebody else.
as_other() {
	local uid=$1 gid=$2 home=$3
	shift 3
	timeout --kill-after=5 "$limit" setpriv --reuid="$uid" --regid="$gid" --clear-groups env -i HOME="$home" USER=somebody PATH="$PATH" \
		SLURM_CONF="$SLURM_CONF" "$@"
}

# --- options without a container ---

for option in --container-mounts=/tmp --container-workdir=/tmp --container-env=A=b --container-mount-home --no-container-mount-home \
	--container-writable; do
	(
		t "${option%%=*} without a container is refused"
		refused_at_submit "$option"
		expect_stderr_has "a --container-… option was given without a container (hint: name the image with --container=IMAGE)"
	)
done
(
	t "the same holds for sbatch and salloc"
	user_runs sbatch --container-writable --wrap="touch $PWD/ran"
	expect_status 1
	expect_stderr_has "sbatch: error: simg: a --container-… option was given without a container"
	user_runs salloc --container-writable touch ran
	expect_status 1
	expect_stderr_has "salloc: error: simg: a --container-… option was given without a container"
	nothing_ran
)
(
	t "an empty name is refused, and does not mean the host"
	refused_at_submit --container=
	expect_stderr_has "the image's name is empty"
)

# --- working directory ---

(
	t "a relative working directory is refused"
	refused_at_submit --container="$app" --container-workdir=srv
	expect_stderr_has "--container-workdir: 'srv' is not an absolute path (hint: give the path as it is inside the container)"
	refused_on_nodes "${past_submit[@]}" SLURM_CONTAINER="$app" SLURM_SIMG_WORKDIR=srv
	expect_stderr_has "--container-workdir: 'srv' is not an absolute path"
)
(
	t "a working directory that the container lacks is refused on the nodes"
	refused_on_nodes --container="$app" --container-workdir=/no/such
	expect_stderr_has "simg: n2: --container-workdir: cannot change to '/no/such' in the container: No such file or directory (hint: give a directory of the image, or mount one with --container-mounts)"
)
(
	t "a working directory that is a file, or closed to the user, is refused on the nodes"
	refused_on_nodes --container="$app" --container-workdir=/etc/tiny
	expect_stderr_has "cannot change to '/etc/tiny' in the container: Not a directory"
	refused_on_nodes --container="$app" --container-workdir=/srv/closed
	expect_stderr_has "cannot change to '/srv/closed' in the container: Permission denied"
)

# --- environment ---

while IFS='|' read -r text shown; do
	(
		t "--container-env='$text' is refused"
		refused_at_submit --container="$app" --container-env="$text"
		message="'$shown' is not NAME or NAME=VALUE (hint: a comma in a value is written '\\,')"
		[ -n "$shown" ] || message="an item is empty: is there a stray comma?"
		expect_stderr_has "--container-env: $message"
		refused_on_nodes "${past_submit[@]}" SLURM_CONTAINER="$app" SLURM_SIMG_ENV="$text"
		expect_stderr_has "--container-env: $message"
	)
done <<'NAMES'
1A=b|1A=b
=b|=b
A B=c|A B=c
A=b,C-D=e|C-D=e
A=b,$(touch ran)|$(touch ran)
NAMES

(
	t "an empty item in --container-env is refused"
	refused_at_submit --container="$app" --container-env=A=b,,C=d
	expect_stderr_has "--container-env: an item is empty: is there a stray comma?"
)

# --- heterogeneous jobs ---

(
	t "a heterogeneous step with two containers is refused"
	user_runs srun --container="$app" touch "$PWD/ran" : --container="$file_dir/tree" touch "$PWD/ran"
	expect_status 1
	expect_stderr_has "srun: error: simg: heterogeneous jobs cannot have containers (hint: run the components as separate jobs or steps)"
	expect_equal "$(our_lines)" 1
	nothing_ran
)
(
	t "one with a container in the first, or in the second component only, is refused"
	user_runs srun --container="$app" touch "$PWD/ran" : touch "$PWD/ran"
	expect_status 1
	expect_stderr_has "heterogeneous jobs cannot have containers"
	user_runs srun touch "$PWD/ran" : --container="$app" touch "$PWD/ran"
	expect_status 1
	expect_stderr_has "heterogeneous jobs cannot have containers"
	nothing_ran
)
(
	t "a heterogeneous batch job with a container is refused"
	printf '#!/bin/sh\n#SBATCH hetjob\ntouch %s/ran\n' "$PWD" >script
	user_runs sbatch --container="$app" script
	expect_status 1
	expect_stderr_has "heterogeneous jobs cannot have containers"
	nothing_ran
)
(
	t "a heterogeneous job without containers runs"
	user_runs srun touch "$PWD/one" : touch "$PWD/two"
	expect_status 0
	[ -e one ] && [ -e two ]
)

# --- users and homes ---

(
	t "a home that does not exist is noted once, and the tasks run"
	chmod 0777 .
	run as_other nobody nogroup /nonexistent srun -N2 -n4 --container="$app" sh -c 'touch ran.$SLURM_PROCID; id -u'
	expect_status 0
	expect_stderr_has "simg: note: your home directory '/nonexistent' is not mounted: No such file or directory"
	expect_equal "$(our_lines)" 1
	expect_equal "$(sort -u "$stdout")" "$(id -u nobody)"
	expect_equal "$(find . -name 'ran.*' | wc -l)" 4
)
(
	t "with --container-mount-home it is refused"
	chmod 0777 .
	run as_other nobody nogroup /nonexistent srun -N2 -n4 --container="$app" --container-mount-home touch ran
	expect_status 125
	expect_stderr_has "simg: n1: --container-mount-home: cannot open your home directory '/nonexistent': No such file or directory" "simg: n2: "
	expect_equal "$(our_lines)" 2
	nothing_ran
)
(
	t "a user without an entry in the user database is refused by Slurm itself"
	chmod 0777 .
	run as_other 54321 54321 / srun --container="$app" touch ran
	[ "$status" != 0 ] || fail "it ran"
	expect_stderr_matches 'Error generating job credential|Invalid user id|getpwuid|invalid user'
	expect_equal "$(our_lines)" 0
	nothing_ran
)
(
	t "after all this the nodes are up"
	nodes_stay_up
)

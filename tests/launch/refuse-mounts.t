#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Mounts that are refused: ill-formed ones where they are asked for and, if the submit side is passed by, on the nodes; forbidden targets
# and sources that cannot be had on the nodes. One bad mount costs the launch.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tiny.sh"
need mksquashfs
need_cluster --conf protect=/opt/site
. "$(dirname "$0")/refuse.sh"

tiny_tree "$file_dir/tree"
mkdir "$file_dir/tree/opt/site" "$file_dir/tree/links"
ln -s /etc "$file_dir/tree/data"
ln -s ../../../../../etc "$file_dir/tree/links/up"
ln -s /links/second "$file_dir/tree/links/first"
ln -s ../proc/sys "$file_dir/tree/links/second"
ln -s /opt/site/new "$file_dir/tree/links/dangling"
ln -s round "$file_dir/tree/links/about"
ln -s about "$file_dir/tree/links/round"
app=$file_dir/app.simg
pack "$file_dir/tree" "$app"
no_plugin_here
loader=$(chroot "$file_dir/tree" readlink -f "$(ldd /bin/true | sed -n 's,^[^/]*\(/[^ ]*ld[^ ]*\) .*,\1,p')")

# refused_mount MOUNTS TEXT…: only a node can tell.
refused_mount() {
	local mounts=$1
	shift
	refused_on_nodes --container="$app" --container-mounts="$mounts"
	expect_stderr_has "$@"
}

# ill_formed MOUNTS TEXT…: refused before anything is queued, and also by the nodes.
ill_formed() {
	local mounts=$1
	shift
	refused_at_submit --container="$app" --container-mounts="$mounts"
	expect_stderr_has "--container-mounts: " "$@"
	refused_on_nodes "${past_submit[@]}" SLURM_CONTAINER="$app" SLURM_SIMG_MOUNTS="$mounts"
	expect_stderr_has "--container-mounts: " "$@"
}

# forbidden TARGET WHY: for a directory of the user's.
forbidden() {
	mkdir -p mine
	user_file mine
	refused_mount "$PWD/mine:$1" "$2"
}

# --- ill-formed ---

(
	t "a target with '..' is refused"
	ill_formed "$PWD:/mnt/../etc" "bind target '/mnt/../etc' contains '..'"
)
(
	t "a relative target is refused"
	ill_formed "$PWD:mnt" "bind target 'mnt' is not an absolute path"
)
(
	t "an unknown mode is refused"
	ill_formed "$PWD:/mnt:rx" "bind '$PWD:/mnt:rx' has the unknown mode 'rx' (hint: write SRC:DST, SRC:DST:ro or SRC:DST:rw"
)
(
	t "too many fields are refused"
	ill_formed "$PWD:/mnt:ro:rw" "bind '$PWD:/mnt:ro:rw' has too many fields"
)
(
	t "a mount without a source, and an empty one in a list, are refused"
	ill_formed ":/mnt" "bind ':/mnt' has no source"
	ill_formed "$PWD:/mnt,,$PWD:/opt" "an item is empty: is there a stray comma?"
)
(
	t "a thousand mounts are refused as too many"
	for i in $(seq 1000); do printf '%s:/mnt/%s,' "$PWD" "$i"; done | sed 's/,$//' >mounts
	ill_formed "$(cat mounts)" "more than 512 bind mounts"
)
(
	t "a target longer than a path is refused by its length"
	ill_formed "$PWD:/$(printf '%05000d' 0)" "bind target is 5001 bytes long, more than a path can be"
)
(
	t "control characters and shell text in a mount are text, and shown without controls"
	ill_formed $'/tmp:\e[31m\n$(touch pwned)`touch pwned`' "bind target '?[31m?\$(touch pwned)\`touch pwned\`' is not an absolute path"
	refused_mount $'/no\nsuch $(touch pwned);touch pwned %s:/mnt' "cannot open bind source '/no?such \$(touch pwned);touch pwned %s'"
	expect_equal "$(find . -name 'pwned*')" ''
)

# --- sources ---

(
	t "a source that does not exist is refused"
	refused_mount /nonexistent/data:/mnt \
		"simg: n1: --container-mounts: cannot open bind source '/nonexistent/data': No such file or directory (hint: the path must exist on every node of the job)"
)
(
	t "a relative source is looked for in the job's directory"
	refused_mount nosuch:/mnt "cannot open bind source 'nosuch': No such file or directory"
)
(
	t "a source that is a symlink loop is refused as one"
	ln -s b a
	ln -s a b
	refused_mount "$PWD/a:/mnt" "cannot open bind source '$PWD/a': Too many levels of symbolic links"
)
(
	t "a source in another user's private directory is refused, although the helper is root"
	mkdir -p closed/data
	chmod 0700 closed
	refused_mount "$PWD/closed/data:/mnt" "cannot open bind source '$PWD/closed/data': Permission denied"
	refused_mount /root/.:/mnt "cannot open bind source '/root/.': Permission denied"
)
(
	t "a source that vanishes while the job waits is refused on the node, and no task runs"
	mkdir data
	user_runs sbatch --parsable --begin=now+3 -o out --container="$app" --container-mounts="$PWD/data:/mnt" --wrap="touch $PWD/ran"
	expect_status 0
	job=$(cat "$stdout")
	rmdir data
	eventually job_is_over "$job"
	text_has out "the job's output" "simg: n1: --container-mounts: cannot open bind source '$PWD/data': No such file or directory"
	nothing_ran
)
(
	t "what the new root is built on cannot be named as a source"
	refused_mount /..:/mnt "cannot mount '/..' on '/mnt'"
	refused_mount /../top:/mnt "cannot open bind source '/../top': Permission denied"
	refused_mount /proc/1/root:/mnt "cannot open bind source '/proc/1/root': Permission denied"
)
(
	t "descriptors of the helper cannot be named as sources"
	# What the planner has open are things that the user could name as well: system directories, the image.
	for fd in $(seq 3 15); do
		user_runs srun --container="$app" --container-mounts="/proc/self/fd/$fd:/mnt" grep ' /mnt ' /proc/self/mountinfo
		expect_stdout_lacks 'tmpfs simg' nsfs
		expect_stderr_lacks 'levels of symbolic links' # how the kernel calls the bind of a namespace
	done
)
(
	t "of a bind of '/' the host's root comes, and nothing of the new root"
	user_runs srun --container="$app" --container-mounts=/:/mnt sh -c 'cat /mnt/etc/passwd; ls -d /mnt/file* /mnt/points* /mnt/top'
	expect_stdout_has "$user:"
	expect_stdout_lacks /mnt
)

# --- forbidden targets ---

while IFS='|' read -r target why; do
	(
		t "users may not mount on $target"
		forbidden "$target" "--container-mounts: ${why//TARGET/$target}"
	)
done <<'TARGETS'
/|nothing can be mounted on '/': that is the image
//.//|nothing can be mounted on '/': that is the image
/etc|users may not mount on 'TARGET': it belongs to the system
/etc/passwd|users may not mount on 'TARGET': it belongs to the system
/etc/ld.so.preload|users may not mount on 'TARGET': it belongs to the system
/etc/new/deep|users may not mount on 'TARGET': it belongs to the system
/proc|users may not mount on 'TARGET': it belongs to the system
/proc/sys|users may not mount on 'TARGET': it belongs to the system
/sys|users may not mount on 'TARGET': it belongs to the system
/sys/fs/cgroup|users may not mount on 'TARGET': it belongs to the system
/dev|users may not mount on 'TARGET': it belongs to the system
/dev/shm|users may not mount on 'TARGET': it belongs to the system
/dev/null|users may not mount on 'TARGET': it belongs to the system
/opt/site|users may not mount on 'TARGET': the site protects it (simg.conf: protect)
/opt/site/below|users may not mount on 'TARGET': the site protects it (simg.conf: protect)
/opt|users may not mount on 'TARGET': the site protects it (simg.conf: protect)
/usr|users may not mount on 'TARGET': it would cover the dynamic loader
/usr/lib|users may not mount on 'TARGET': it would cover the dynamic loader
/lib|users may not mount on '/lib' (it leads to '/usr/lib'): it would cover the dynamic loader
/lib64|users may not mount on '/lib64' (it leads to '/usr/lib64'): it would cover the dynamic loader
/data|users may not mount on '/data' (it leads to '/etc'): it belongs to the system
/data/new|users may not mount on '/data/new' (it leads to '/etc/new'): it belongs to the system
/links/up/new|users may not mount on '/links/up/new' (it leads to '/etc/new'): it belongs to the system
/links/first|users may not mount on '/links/first' (it leads to '/proc/sys'): it belongs to the system
/links/dangling|users may not mount on '/links/dangling' (it leads to '/opt/site/new'): the site protects it
/proc/self/cwd|users may not mount on '/proc/self/cwd'
TARGETS
(
	t "users may not mount on the loader or on the link to it"
	cp /bin/true mine
	refused_mount "$PWD/mine:$loader" "users may not mount on '$loader': it would cover the dynamic loader"
	name=$(ldd /bin/true | sed -n 's,^[^/]*\(/[^ ]*ld[^ ]*\) .*,\1,p')
	refused_mount "$PWD/mine:$name" "it would cover the dynamic loader"
)
(
	t "a symlink loop in the image is refused as a target"
	forbidden /links/round "--container-mounts: cannot resolve '/links/round': Too many levels of symbolic links"
)
(
	t "a symlink in the user's own mount does not lead a second one to a forbidden place"
	mkdir first second
	ln -s /etc first/etc
	ln -s ../../../proc/sys first/proc
	ln -s /usr/lib64 first/lib64
	ln -s /opt/site first/site
	ln -s etc first/chain
	user_file first second
	refused_mount "$PWD/first:/mnt,$PWD/second:/mnt/etc" "users may not mount on '/mnt/etc' (it leads to '/etc'): it belongs to the system"
	refused_mount "$PWD/first:/mnt,$PWD/second:/mnt/chain" "users may not mount on '/mnt/chain' (it leads to '/etc'): it belongs to the system"
	refused_mount "$PWD/first:/mnt,$PWD/second:/mnt/proc" "(it leads to '/proc/sys'): it belongs to the system"
	refused_mount "$PWD/first:/mnt,$PWD/second:/mnt/lib64" "(it leads to '/usr/lib64'): it would cover the dynamic loader"
	refused_mount "$PWD/first:/mnt,$PWD/second:/mnt/site" "(it leads to '/opt/site'): the site protects it"
)
(
	t "a directory that was moved over a system one by a first mount does not help either"
	mkdir -p first/etc second
	user_file first first/etc second
	# /mnt/etc is the user's and no system directory: this one is allowed, and /etc stays as it is.
	user_runs srun --container="$app" --container-mounts="$PWD/first:/mnt,$PWD/second:/mnt/etc" cat /etc/tiny
	expect_status 0
)

# --- what does not fit ---

(
	t "a file is not mounted on a directory, nor a directory on a file"
	: >file
	refused_mount "$PWD/file:/srv" "cannot mount the file '$PWD/file' on the directory '/srv' of the image"
	refused_mount "$PWD:/usr/bin/cat" "cannot mount the directory '$PWD' on the file '/usr/bin/cat' of the image"
)
(
	t "the same holds inside another mount"
	mkdir -p first/dir
	: >first/file
	refused_mount "$PWD/first:/mnt,$PWD/first/file:/mnt/dir" "cannot mount '$PWD/first/file' on '/mnt/dir': one is a directory and the other is not"
	refused_mount "$PWD/first:/mnt,$PWD/first/dir:/mnt/file" "cannot mount '$PWD/first/dir' on '/mnt/file': one is a directory and the other is not"
)
(
	t "a target below a file is refused"
	refused_mount "$PWD:/usr/bin/cat/below" "cannot resolve '/usr/bin/cat/below': Not a directory"
)
(
	t "a target that a mount from the host lacks is refused, and not made on the host"
	mkdir first
	chmod 0777 first
	refused_mount "$PWD/first:/mnt,$PWD:/mnt/new/deep" \
		"cannot mount on '/mnt/new/deep': '/mnt' is mounted from the host and has no 'new/deep' (hint: make the directory on the host, or choose another target)"
	expect_equal "$(ls -A first)" ''
)
(
	t "one bad mount among good ones costs the launch"
	refused_mount "$PWD:/mnt,$PWD:/srv,/nonexistent:/data2,$PWD:/opt/x" "cannot open bind source '/nonexistent'"
)
(
	t "after all this the nodes are up"
	nodes_stay_up
)

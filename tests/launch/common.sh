# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For the tests of launches: sourced after lib.sh. Root directories to run in, and batch jobs to look at. Small ones are in tiny.sh.
. "$(dirname "$0")/tiny.sh"

# Prints the path of a directory with the tree of an image, which the whole run shares: nobody may change it.
shared_tree() {
	local tree=$SIMG_TESTS_DIR/images/$1
	if [ ! -e "$tree" ]; then
		mkdir -p "$tree.part"
		tar -C "$tree.part" -xf "$("$top/tests/images" tar "$1")"
		mv "$tree.part" "$tree"
	fi
	echo "$tree"
}

# Makes DIR a root directory like minbase that can be changed: files are hard links to the shared ones, so replace, don't edit.
new_tree() { cp -al "$(shared_tree minbase)" "$1"; }

# Makes DIR a root directory with nothing but places to mount on: with the host's /usr mounted on it, it has the host's commands, those of
# Slurm among them.
new_shell() {
	[ -L /bin ] || skip "this machine's /bin is not in /usr"
	mkdir -p "$1/usr" "$1/etc"
	cp -d /bin /sbin /lib* "$1/"
	echo root:x:0:0::/root:/bin/sh >"$1/etc/passwd" # Slurm asks for its own user
}

# Submits a batch job as the ordinary user and waits for it: afterwards $status is the job's, and $stdout what the job printed.
batch_runs() {
	user_runs sbatch -W -o out "$@"
	[ ! -e out ] || run_result "$status" cat out
}
run_result() { local code=$1; shift; run "$@"; status=$code; }

# Prints the id of the job that an sbatch of the last run submitted.
job_of_run() { sed -n 's/^Submitted batch job //p' "$stdout"; }

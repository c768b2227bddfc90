# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The harness of the shell tests. A test file sources this, and is then a list of cases, each a subshell that begins with its
# sentence:
#
#	. "$(dirname "$0")/../lib.sh"
#	need_cluster
#	app=$(image minbase)
#
#	(
#		t "the command runs in the image"
#		user_runs srun --container="$app" cat /etc/debian_version
#		expect_status 0
#		expect_stdout_has "12."
#	)
#
# Within a case `set -e` is on, the working directory is a new one that belongs to the test user, and standard input is empty.
# What the case prints is shown if it fails. The file ends by itself: its plan is printed when the shell exits. Output is TAP,
# for tests/run to read; a file that is started by hand starts tests/run.
#
# Variables: $top the source tree, $build the build tree, $user the ordinary user of the tests, $SIMG_TESTS_DIR a directory of
# this run that every user can reach. `simg` in PATH is the built one.
#
# At the top of a file, and in a case, these end it as skipped if something is missing:
#	need COMMAND…        commands in PATH
#	need_root            root
#	need_user            the test user, to be run as
#	skip REASON          the reason names what this machine lacks
# At the top of a file:
#	need_cluster                 the two-node cluster that all files share
#	need_cluster OPTION…         a cluster of the file's own, with options of tests/cluster start
#	image NAME                   prints the path of an image, see tests/images list
# In a case:
#	run COMMAND…                 runs it; its status, output and messages are kept for the expectations
#	as_user [NAME=VALUE…] CMD…   runs it as the test user, in a fresh environment, with the cluster's
#	user_runs …                  run as_user …
#	cleanup COMMAND…             runs it when the case ends, last one first
#	fail TEXT                    ends the case
#	expect_status N                              what the last run returned
#	expect_stdout TEXT, expect_stderr TEXT       exactly this, but for newlines at the end
#	expect_stdout_has TEXT…, expect_stderr_has TEXT…         each of them as it stands
#	expect_stdout_lacks TEXT…, expect_stderr_lacks TEXT…     none of them
#	expect_stdout_matches REGEX, expect_stderr_matches REGEX a line like this (grep -E)
#	expect_equal ACTUAL EXPECTED
#	eventually COMMAND…          waits until it succeeds, up to 10 seconds
#	$status $stdout $stderr      the status, and the files with the output, of the last run
set -eu
export LC_ALL=C

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ -n "${SIMG_TESTS_DIR-}" ] || exec "$top/tests/run" "$0"
build=${SIMG_BUILD_DIR:-$top}
user=simgtest
limit=120 # seconds for one command; the file as a whole has the runner's guard

file_dir=$(mktemp -d "$SIMG_TESTS_DIR/file.XXXXXX")
chmod 0755 "$file_dir"
own_cluster='' skip_reason=''
: >"$file_dir/cases"

# --- the file ---

file_end() {
	local code=$?
	[ -z "$own_cluster" ] || "$top/tests/cluster" stop "$own_cluster" || code=1
	if [ -n "$skip_reason" ]; then
		echo "1..0 # SKIP $skip_reason"
	elif [ $code -eq 0 ]; then
		echo "1..$(wc -l <"$file_dir/cases")"
	fi
	rm -rf --one-file-system "$file_dir"
	exit $code
}
trap file_end EXIT
trap 'exit 143' TERM

in_case() { [ "$BASHPID" != $$ ]; }

# --- a case ---

t() {
	in_case || { echo "Bail out! the case '$1' is not in a subshell"; exit 1; }
	sentence=$1
	echo "$sentence" >>"$file_dir/cases"
	number=$(wc -l <"$file_dir/cases")
	case_dir=$file_dir/$number
	stdout=$case_dir.out stderr=$case_dir.err status='' skip_reason='' cleanups=()
	mkdir "$case_dir"
	! id "$user" >/dev/null 2>&1 || [ "$(id -u)" != 0 ] || chown "$user:" "$case_dir"
	cd "$case_dir"
	exec 3>&1 >"$case_dir.log" 2>&1 </dev/null
	trap case_end EXIT
	trap 'echo "the case was ended"; exit 143' TERM
	trap 'echo "line $LINENO: status $? from: $BASH_COMMAND"' ERR
	set -e
}

case_end() {
	local code=$? i
	trap - EXIT ERR
	set +e
	for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do eval "${cleanups[i]}"; done
	cd "$top" || :
	if [ -n "$skip_reason" ]; then
		echo "ok $number - $sentence # SKIP $skip_reason" >&3
	elif [ $code -eq 0 ]; then
		echo "ok $number - $sentence" >&3
	else
		sed 's/^/# /' "$case_dir.log" >&3
		echo "not ok $number - $sentence" >&3
	fi
	rm -rf --one-file-system "$case_dir"
	exit 0
}

cleanup() { cleanups+=("${*@Q}"); }
fail() { printf '%s\n' "$1"; exit 1; }

skip() { skip_reason=$1; exit 0; }

# --- what a test needs ---

need() { local name; for name; do command -v "$name" >/dev/null || skip "$name is not installed"; done; }
need_root() { [ "$(id -u)" = 0 ] || skip "not root"; }
need_user() { need_root; id "$user" >/dev/null 2>&1 || skip "there is no user $user (./setup check makes it)"; }

need_cluster() {
	local cluster=$SIMG_TESTS_DIR/cluster
	need_user
	need slurmctld slurmd munged srun
	! grep -qsF 'S["HAVE_SLURM_TRUE"]="#"' "$build/config.status" || skip "built without Slurm"
	if [ $# -gt 0 ]; then
		cluster=$file_dir/cluster
		own_cluster=$cluster
		"$top/tests/cluster" start "$@" "$cluster"
	elif [ ! -e "$cluster.ready" ]; then
		"$top/tests/cluster" start "$cluster"
		touch "$cluster.ready"
	fi
	eval "$("$top/tests/cluster" env "$cluster")"
}

image() {
	local file=$SIMG_TESTS_DIR/images/$1.simg
	[ -e "$file" ] || { mkdir -p "${file%/*}"; SIMG=$(command -v simg) "$top/tests/images" build "$1" "${file%/*}" >/dev/null; }
	echo "$file"
}

# --- running things ---

run() {
	printf -- '--- %s\n' "$*"
	status=0
	"$@" >"$stdout" 2>"$stderr" || status=$?
	# Slurm's own words when the last job of the case before is not quite over.
	sed -i -E '/^(srun|salloc): job [0-9]+ (queued and waiting for resources|has been allocated resources)$/d' "$stderr"
	echo "status $status"
	sed 's/^/stdout: /' "$stdout"
	sed 's/^/stderr: /' "$stderr"
}

as_user() {
	timeout --kill-after=5 "$limit" setpriv --reuid="$user" --regid="$user" --init-groups env -i HOME="/home/$user" USER="$user" \
		LOGNAME="$user" SHELL=/bin/bash LC_ALL=C PATH="$PATH" ${SLURM_CONF:+SLURM_CONF="$SLURM_CONF"} \
		SIMG_TESTS_DIR="$SIMG_TESTS_DIR" "$@"
}

user_runs() { run as_user "$@"; }

eventually() {
	local tenths=100
	until "$@"; do
		[ $((tenths -= 1)) -gt 0 ] || fail "not within 10 seconds: $*"
		sleep 0.1
	done
}

# --- expectations ---

expect_status() { [ "$status" = "$1" ] || fail "the status is $status, not $1"; }
expect_equal() { [ "$1" = "$2" ] || fail "'$1' is not '$2'"; }

text_is() { [ "$(cat "$1")" = "$2" ] || fail "$3 is not: $2"; }
text_has() { local file=$1 name=$2 text; shift 2; for text; do grep -qF -e "$text" "$file" || fail "$name lacks: $text"; done; }
text_lacks() { local file=$1 name=$2 text; shift 2; for text; do ! grep -qF -e "$text" "$file" || fail "$name has: $text"; done; }
text_matches() { grep -qE -e "$3" "$1" || fail "$2 has no line like: $3"; }

expect_stdout() { text_is "$stdout" "$1" stdout; }
expect_stderr() { text_is "$stderr" "$1" stderr; }
expect_stdout_has() { text_has "$stdout" stdout "$@"; }
expect_stderr_has() { text_has "$stderr" stderr "$@"; }
expect_stdout_lacks() { text_lacks "$stdout" stdout "$@"; }
expect_stderr_lacks() { text_lacks "$stderr" stderr "$@"; }
expect_stdout_matches() { text_matches "$stdout" stdout "$1"; }
expect_stderr_matches() { text_matches "$stderr" stderr "$1"; }

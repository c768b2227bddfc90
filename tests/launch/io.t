#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What goes in and out of a task: bytes, exit codes, signals, and the ways to start several programs.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need_cluster
app=$(image minbase)

inside() { user_runs srun --container="$app" "$@"; }

(
	t "standard input and output carry bytes as they are"
	head -c 1048576 /dev/urandom >random
	as_user srun --container="$app" cat <random >copy
	cmp random copy
	expect_equal "$(as_user srun --container="$app" sha256sum <random)" "$(sha256sum <random)"
)
(
	t "every task gets all of standard input"
	head -c 100000 /dev/urandom >random
	expect_equal "$(as_user srun -N2 -n4 --container="$app" sha256sum <random | sort | uniq -c | tr -s ' ')" " 4 $(sha256sum <random | tr -s ' ')"
)
(
	t "standard output and standard error stay apart"
	inside sh -c 'echo to out; echo to err >&2'
	expect_stdout "to out"
	expect_stderr "to err"
)
(
	t "--output and --error name files outside, --input one to read"
	echo input >in
	inside --input=in --output=out.%t --error=err.%t -n2 sh -c 'read line; echo got $line; echo err >&2'
	expect_status 0
	expect_equal "$(cat out.0 out.1 err.0 err.1)" $'got input\ngot input\nerr\nerr'
)
(
	t "--label puts each task's number before its lines"
	inside -n2 --label stat -f -c %T /
	expect_equal "$(sort "$stdout")" $'0: squashfs\n1: squashfs'
)
(
	t "exit codes are passed on"
	for code in 0 1 7 125 255; do
		inside sh -c "exit $code"
		expect_status $code
	done
	expect_stderr "srun: error: n1: task 0: Exited with exit code 255"
)
(
	t "the highest exit code of the tasks is srun's"
	# shellcheck disable=SC2016
	inside -N2 -n4 sh -c 'exit $SLURM_PROCID'
	expect_status 3
)
(
	t "a task that dies of a signal does so for Slurm too"
	# shellcheck disable=SC2016
	inside sh -c 'kill -TERM $$'
	expect_status 143
	expect_stderr_has "srun: error: n1: task 0: Terminated"
	# shellcheck disable=SC2016
	inside sh -c 'kill -SEGV $$'
	expect_status 139
	expect_stderr_has "task 0: Segmentation fault"
)
(
	t "signals of scancel reach every task of a step"
	as_user srun -N2 -n4 --container="$app" bash -c 'trap "echo caught; exit 0" USR1; touch ready.$SLURM_PROCID; while :; do sleep 0.1; done' >out 2>err &
	eventually test -e ready.0 -a -e ready.1 -a -e ready.2 -a -e ready.3
	as_user scancel -s USR1 --user="$user" --state=RUNNING
	code=0
	wait $! || code=$?
	expect_equal "$code $(sort out | uniq -c | tr -s ' ')" "0  4 caught"
)
(
	t "scancel ends a step with all its processes"
	as_user srun --container="$app" sh -c 'sleep 4711 & touch ready; sleep 4711' >out 2>err &
	eventually test -e ready
	as_user scancel --user="$user"
	wait $! || :
	eventually sh -c '! pgrep -f "^sleep 4711" >/dev/null'
	grep -q 'CANCELLED' err
)
(
	t "the command is found along the image's PATH, or by a path inside"
	inside os-release-of-nothing
	expect_status 2
	expect_stderr_has "os-release-of-nothing: No such file or directory"
	new_tree tree
	printf '#!/bin/sh\necho only here\n' >tree/usr/local/bin/simg-test-program
	chmod 0755 tree/usr/local/bin/simg-test-program
	user_runs srun --container="$PWD/tree" simg-test-program
	expect_stdout "only here"
	user_runs srun --container="$PWD/tree" /usr/local/bin/simg-test-program
	expect_stdout "only here"
)
(
	t "a program of the working directory runs inside"
	printf '#!/bin/sh\nstat -f -c %%T /\n' >program
	chmod 0755 program
	inside ./program
	expect_stdout squashfs
)
(
	t "a file that is not executable is said to be so"
	inside /etc/passwd
	expect_status 13
	expect_stderr_has "execve(): /etc/passwd: Permission denied"
)
(
	t "arguments reach the program as they are"
	inside printf '[%s]\n' 'a b' '$(id)' $'two\nlines' '' '*' '"q"' "'"
	expect_stdout $'[a b]\n[$(id)]\n[two\nlines]\n[]\n[*]\n["q"]\n[\']'
)
(
	t "--multi-prog starts each of its programs inside"
	printf '%s\n' '0 echo zero' '1-2 printenv SIMG_IMAGE' '3 echo three' >programs
	inside -n4 --multi-prog programs
	expect_status 0
	expect_equal "$(sort "$stdout")" "$(printf '%s\n' "$app" "$app" three zero | sort)"
)
(
	t "--bcast copies a program of the submit host and runs it inside"
	printf '#!/bin/sh\nstat -f -c %%T /; echo "$0"\n' >program
	chmod 0755 program
	cleanup rm -f "/tmp/simg-test-$$.program"
	inside --bcast="/tmp/simg-test-$$.program" ./program
	expect_status 0
	expect_stdout $'squashfs\n'"/tmp/simg-test-$$.program"
)
(
	t "-K ends the other tasks when one fails"
	# shellcheck disable=SC2016
	inside -N2 -n4 -K sh -c 'test $SLURM_PROCID != 0 || exit 9; sleep 60'
	expect_stderr_has "task 0: Exited with exit code 9" "n2: task 3: Terminated"
)

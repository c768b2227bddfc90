#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/cluster itself: what it promises to those who start a Slurm with it.
. "$(dirname "$0")/../lib.sh"
need_cluster --nodes 1 # what follows needs all that this one needs

c=$file_dir/c # where ordinary users cannot write
cluster() { "$top/tests/cluster" "$@"; }

in_cluster() { (eval "$(cluster env "$1")" && shift && "$@"); }
hostnames_in() { in_cluster "$1" as_user srun -N"$2" sh -c 'echo $SLURMD_NODENAME'; }
daemons_of() { pgrep -f -- "(slurmctld|slurmd|munged) .*$1/" | sort; }

(
	t "two clusters run beside each other and do not mix"
	cleanup cluster stop "$file_dir/a"
	cleanup cluster stop "$file_dir/b"
	cluster start --nodes 3 "$file_dir/a" &
	cluster start --nodes 1 "$file_dir/b"
	wait $!
	expect_equal "$(hostnames_in "$file_dir/a" 3 | sort | xargs)" "n1 n2 n3"
	expect_equal "$(hostnames_in "$file_dir/b" 1)" n1
	cluster stop "$file_dir/a"
	expect_equal "$(daemons_of "$file_dir/a")" ""
	expect_equal "$(hostnames_in "$file_dir/b" 1)" n1
)

(
	t "a start that is killed half-way can be repeated"
	cleanup cluster stop "$c"
	for tenths in 1 3 5; do
		"$top/tests/cluster" start "$c" & # not the function: this is to be the process that is killed
		sleep 0.$tenths
		kill -KILL $! 2>/dev/null || :
		wait $! || :
	done
	cluster start "$c"
	expect_equal "$(hostnames_in "$c" 2 | sort | xargs)" "n1 n2"
	expect_equal "$(daemons_of "$c" | wc -l)" 4
)

(
	t "two starts in one directory take turns"
	cleanup cluster stop "$c"
	cluster start "$c" &
	cluster start "$c"
	wait $!
	expect_equal "$(hostnames_in "$c" 2 | sort | xargs)" "n1 n2"
	expect_equal "$(daemons_of "$c" | wc -l)" 4
)

(
	t "stop ends what daemons that were killed have left: steps, and tasks in sessions of their own"
	cluster start "$c"
	in_cluster "$c" as_user sbatch --quiet --nodes=2 --output=/dev/null --wrap 'setsid sleep 7007 & srun sleep 7007'
	eventually sh -c '[ $(pgrep -fc "^(/usr/bin/)?sleep 7007") = 3 ]'
	daemons_of "$c" | xargs kill -KILL
	cluster stop "$c"
	eventually sh -c '! pgrep -f "^(/usr/bin/)?sleep 7007"'
)

(
	t "settings reach simg.conf, all of them, and slurm.conf, the last one of a key"
	cleanup cluster stop "$c"
	cluster start --nodes 1 --conf bind=/opt --conf bind=/srv --slurm KillWait=9 --slurm killwait=7 --file note.conf=text "$c"
	run in_cluster "$c" scontrol show config
	expect_stdout_matches '^KillWait *= 7 sec'
	expect_equal "$(grep -v ^helper= "$c/simg.conf" | xargs)" "bind=/opt bind=/srv"
	expect_equal "$(cat "$c/note.conf")" text
	expect_equal "$(stat -c '%U %a' "$c/simg.conf")" "root 644"
)

(
	t "a wrapper command is above each slurmd"
	cleanup cluster stop "$c"
	cluster start --nodes 1 --wrap "env WRAPPED=yes" "$c"
	tr '\0' '\n' <"/proc/$(pgrep -f "slurmd -f $c/")/environ" | grep -x WRAPPED=yes
)

(
	t "a daemon that does not start ends the start with its log"
	run cluster start --slurm SelectType=select/nonesuch "$c"
	expect_status 1
	expect_stderr_has "plugin for select/nonesuch" " did not start; its logs are above"
	expect_equal "$(daemons_of "$c")" ""
)

(
	t "a directory that is not a cluster's is left alone"
	touch precious
	run cluster start "$PWD"
	expect_status 1
	expect_stderr_has "is neither empty nor a cluster's directory"
	run cluster stop "$PWD"
	expect_status 1
	expect_stderr_has "there is no cluster in"
	[ -e precious ]
)

(
	t "a directory that users cannot reach is refused"
	mkdir -m 0700 closed
	run cluster start "$PWD/closed/c"
	expect_status 1
	expect_stderr_has "ordinary users cannot reach" "'$PWD/closed' is closed to them"
)

(
	t "wrong command lines say what is wrong"
	run cluster start --nodes none "$c"
	expect_status 2
	expect_stderr_has "--nodes takes 1 to 99, not 'none'"
	run cluster start --conf nothing "$c"
	expect_status 2
	expect_stderr_has "--conf takes KEY=VALUE, not 'nothing'"
	run cluster stop --nodes 2 "$c"
	expect_status 2
	expect_stderr_has "stop takes no option '--nodes'"
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Terminals: srun --pty and an interactive salloc.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need script
need_cluster --slurm LaunchParameters=use_interactive_step
app=$(image minbase)

# typing TEXT COMMAND [FILE]: runs the shell COMMAND on a terminal of 33 rows and 77 columns and types TEXT, at once or when FILE appears.
typing() {
	local text=$1
	printf 'stty rows 33 cols 77\n%s\n' "$2" >on-terminal
	# shellcheck disable=SC2016
	run as_user sh -c '{ until [ -z "$2" ] || [ -e "$2" ]; do sleep 0.1; done; printf %s "$1"; } | script -qec "sh on-terminal" /dev/null' sh "$text" "${3-}"
	tr -d '\r' <"$stdout" >plain
	mv plain "$stdout"
}

(
	t "srun --pty gives a terminal that exists inside and has the right size"
	typing '' "srun --pty --container=$app sh -c 'tty; test -c \$(tty) && ls \$(tty); stty size; test -t 0 && test -t 1 && test -t 2 && echo all three'"
	expect_status 0
	expect_equal "$(grep -cE '/dev/pts/[0-9]+$' "$stdout")" 2
	expect_stdout_has "33 77" "all three"
)
(
	t "what is typed reaches a shell inside, and exit codes come back"
	typing $'stat -f -c %T /\necho $((6 * 7))\nexit 7\n' "srun --pty --container=$app bash --norc -i"
	expect_status 7
	expect_stdout_has squashfs
	expect_stdout_matches '(^|\$ ?|# ?)42$'
)
(
	t "the terminal is the process's own: /dev/tty works, and job control too"
	typing $'set -m; sleep 100 &\njobs; kill %1; echo typed >/dev/tty; exit\n' "srun --pty --container=$app bash --norc -i"
	expect_stdout_matches 'Running +sleep 100'
	expect_stdout_matches '^typed'
	expect_stdout_lacks "no job control" "cannot set terminal"
)
(
	t "an interrupt that is typed reaches the program inside"
	typing $'\003' "srun --pty --container=$app sh -c 'trap \"echo caught; exit 4\" INT; touch ready; sleep 5; sleep 5'" ready
	expect_status 4
	expect_stdout_has caught
)
(
	t "salloc --container=IMAGE gives an interactive shell inside"
	typing $'stat -f -c %T /\necho $SLURMD_NODENAME; exit 5\n' "salloc -Q --nodelist=n2 --container=$app"
	expect_status 5
	expect_stdout_matches 'squashfs$'
	expect_stdout_matches 'n2$'
)
(
	t "salloc and srun --pty go together"
	typing $'stat -f -c %T /\nexit\n' "salloc -Q srun --pty --container=$app bash --norc -i"
	expect_status 0
	expect_stdout_matches 'squashfs$'
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Steps without a container: as on a cluster that does not have the plugin at all.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need_cluster
with=$SLURM_CONF
need_cluster --file plugstack.conf="# nothing"
without=$SLURM_CONF
path=$PATH

# Runs a command on each of the two clusters as the user, and shows how the outputs differ. What has to differ is made equal: the cluster's
# directory, and the numbers of jobs, processes and ports in Slurm's variables.
expect_same() {
	local conf name=with dirs="s,(${with%/*}|${without%/*}),DIR,g"
	for conf in "$with" "$without"; do
		SLURM_CONF=$conf PATH=$path as_user "$@" >"$name" 2>&1 || echo "status $?" >>"$name"
		sed -Ei "$dirs; /^SLURM_/s/[0-9]+/N/g" "$name"
		[ -z "${any_order-}" ] || sort -o "$name" "$name"
		name=without
	done
	run diff with without
	expect_stdout ""
	[ -s with ] || fail "the command printed nothing"
}

(
	t "capabilities, ids, groups and no_new_privs are the same"
	expect_same srun grep -E '^(Cap|Uid|Gid|Groups|NoNewPrivs|Seccomp|SigBlk|SigIgn|SigCgt|Cpus_allowed):?' /proc/self/status
)
(
	t "namespaces and mounts are the same, and the host's"
	expect_same srun sh -c 'readlink /proc/self/ns/*; cat /proc/self/mountinfo; ls /'
	# shellcheck disable=SC2016
	user_runs srun sh -c 'readlink /proc/self/ns/mnt /proc/self/root'
	expect_stdout "$(readlink /proc/self/ns/mnt)"$'\n/'
)
(
	t "the environment is the same"
	expect_same srun sh -c 'env | sort'
	expect_same sh -c "srun -N2 -n4 sh -c 'env | cut -d= -f1' | sort | uniq -c"
)
(
	t "descriptors, limits, umask and working directory are the same"
	expect_same srun sh -c 'ls /proc/self/fd; ulimit -a; umask; pwd'
)
(
	t "a batch job is the same"
	for conf in "$with" "$without"; do
		SLURM_CONF=$conf as_user sbatch -Q -W -o "out.$(basename "${conf%/*/*}")" --wrap 'grep -E "^(Cap|NoNewPrivs)" /proc/self/status; readlink /proc/self/ns/mnt; env | cut -d= -f1 | sort'
	done
	run diff out.*
	expect_stdout ""
	expect_equal "$(cat out.* | grep -c NoNewPrivs)" 2
)
(
	t "errors of commands are the same"
	any_order=yes # srun prints its own message and what comes from the node as they come
	expect_same srun no-such-command
	expect_same srun sh -c 'exit 3'
)
(
	t "no message is printed by srun, sbatch or salloc"
	for conf in "$with" "$without"; do
		SLURM_CONF=$conf
		user_runs srun -N2 true
		expect_stderr ""
		user_runs salloc -Q true
		expect_stderr ""
		user_runs sbatch -W -o /dev/null --wrap true
		expect_stderr ""
	done
)

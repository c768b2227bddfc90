# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Expectations about launches that are refused: the status, that no task ran, and one message where one is due. Sourced after
# tests/lib.sh and need_cluster.
#
#	refused_at_submit SRUN-OPTION…               srun refuses before it queues anything
#	refused_on_nodes [NAME=VALUE…] SRUN-OPTION…  two nodes with four tasks each refuse, each with one line
#	no_plugin_here                               sets $past_submit: NAME=VALUE… for a srun that does not load the plugin, as
#	                                             users can arrange it; the request then goes in SLURM_CONTAINER and the like
#	nodes_stay_up                                a refusal costs the job, not the node

# What a task would leave.
mark=ran

nothing_ran() { [ ! -e "$mark" ] || fail "a task has run"; }

our_lines() { grep -c 'simg: ' "$stderr" || :; }

no_controls() { ! tr -d '\n' <"$stderr" | grep -qP '[\x00-\x1f\x7f]|\xc2[\x80-\x9f]' || fail "a message has control characters"; }

refused_at_submit() {
	user_runs srun "$@" touch "$PWD/$mark"
	expect_status 1
	nothing_ran
	expect_equal "$(our_lines)" 1
	expect_stderr_has 'srun: error: simg: '
	expect_stderr_lacks queued allocated slurmstepd
	no_controls
}

refused_on_nodes() {
	local vars=() node
	while [[ ${1-} =~ ^[A-Z_]+= ]]; do vars+=("$1"); shift; done
	user_runs "${vars[@]}" srun -N2 -n8 "$@" touch "$PWD/$mark"
	expect_status 125
	nothing_ran
	for node in n1 n2; do expect_equal "$(grep -c "error: simg: $node: " "$stderr")" 1; done
	expect_equal "$(our_lines)" 2
	no_controls
}

no_plugin_here() {
	local conf=$file_dir/no-plugin
	if [ ! -e "$conf/slurm.conf" ]; then
		mkdir -p "$conf"
		: >"$conf/plugstack.conf"
		sed "s,^PlugStackConfig=.*,PlugStackConfig=$conf/plugstack.conf," "$SLURM_CONF" >"$conf/slurm.conf"
	fi
	past_submit=(SLURM_CONF="$conf/slurm.conf")
}

nodes_stay_up() { expect_equal "$(sinfo -h -N -o '%N %T %E' | grep -E 'down|drain|fail|inval|unknown|[*]' || :)" ''; }

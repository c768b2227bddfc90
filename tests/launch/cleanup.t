#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# However a step ends, nothing of its container stays on the node: no mount, loop device, process or file.
#
# guard: 280 s
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tiny.sh"
need mksquashfs strace unshare

# The nodes' slurmds have their own /tmp, /run and /dev/shm, so that what is found there came with our jobs.
cat >"$file_dir/node" <<'END'
#!/bin/sh
exec unshare --mount sh -c 'for dir in /tmp /run /dev/shm; do mount -t tmpfs -o mode=1777 own $dir; done; exec "$@"' sh "$@"
END
chmod 0755 "$file_dir/node"
need_cluster --wrap "$file_dir/node" --slurm KillWait=2 --slurm ProctrackType=proctrack/pgid
. "$(dirname "$0")/refuse.sh"

tiny_tree "$file_dir/tree"
app=$file_dir/app.simg
pack "$file_dir/tree" "$app"

# --- what is there ---

slurmd_of() { pgrep -f "slurmd -f $own_cluster/slurm.conf -N $1\$"; }

# Steps, by the logs they write; tasks and what they start, by their environment; helpers, by their program.
# shellcheck disable=SC2046 # paths without spaces
steps() { find $(grep -slx slurmstepd /proc/[0-9]*/comm | sed 's,comm$,fd,') -lname "$own_cluster/log/*" 2>/dev/null | cut -d/ -f3 | sort -u; }
tasks() { grep -slzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ | xargs -r grep -slz '^SLURMD_NODENAME=' | cut -d/ -f3; }
helpers() { find /proc/[0-9]*/exe -lname "$own_cluster/libexec/*" 2>/dev/null | cut -d/ -f3; }

# Our images' loop devices.
loops() { grep -sF "$file_dir/" /sys/block/loop*/loop/backing_file || :; }

state() {
	local node pid
	for node in n1 n2; do
		pid=$(slurmd_of $node)
		echo "$node: $(find "/proc/$pid/fd" -lname '/*' 2>/dev/null | wc -l) files open"
		cut -d' ' -f4- "/proc/$pid/mountinfo" | sed "s/^/$node: mount /"
		find "/proc/$pid/root/tmp" "/proc/$pid/root/run" "/proc/$pid/root/dev/shm" -mindepth 1 | sed "s,^/proc/$pid/root,$node: file ,"
	done
	# But for what a slurmstepd of Slurm leaves when it is killed.
	find "$own_cluster/spool" "$own_cluster/tmp" ! -name 'hwloc_topo_*' ! -name 'n[12]_*' | sort
	grep -E ' - (tmpfs|overlay) simg ' /proc/self/mountinfo || :
	loops
	{ steps; tasks; helpers; } | sed 's/^/process /'
}

as_before() { [ "$(state)" = "$before" ]; }

# Steps are cleaned up a moment after srun has returned.
nothing_stays() {
	local end=$((SECONDS + 20))
	until as_before; do
		[ $SECONDS -lt $end ] || { diff <(echo "$before") <(state); fail "something has stayed"; }
		sleep 0.3
	done
}

begun() { [ "$(find . -name 'begun.*' | wc -l)" = 4 ]; }

# run_job OPTION…: a batch job with three steps in containers on two nodes, until they run; $job is its number.
run_job() {
	user_runs sbatch --parsable -N2 --ntasks-per-node=4 -o "$PWD/out" "$@" --wrap "
		srun --overlap -N2 -n4 --container=$app sh -c 'echo >$PWD/begun.\$SLURM_PROCID; sleep 1000' &
		srun --overlap -N2 -n2 --container=$app --container-writable sleep 1000 &
		srun --overlap -N1 -n1 --container=$file_dir/tree sleep 1000 &
		wait"
	expect_status 0
	job=$(cat "$stdout")
	cleanup quietly scancel --full --signal=KILL "$job"
	cleanup cat "$PWD/out"
	cleanup sinfo -N -o '%N %T %E'
	cleanup squeue -o '%i %T %r'
	eventually begun
	expect_equal "$(loops | wc -l)" 1
}

quietly() { "$@" >/dev/null 2>&1 || :; }

user_runs_ok() { user_runs "$@"; expect_status 0; }

# Slurm's own files of a first step stay; they are no business of ours.
as_user srun -N2 true
as_user srun -N2 --container="$app" true
sleep 1
before=$(state)

(
	t "after steps that end by themselves, well or not"
	user_runs_ok srun -N2 -n8 --container="$app" true
	user_runs_ok srun -N2 -n8 --container="$app" --container-writable --container-mounts="$PWD:/mnt" touch /tmp/file
	user_runs_ok srun -N2 rm -f /tmp/file
	user_runs_ok srun -N2 -n8 --container="$file_dir/tree" true
	user_runs srun -N2 -n8 --container="$app" sh -c 'exit 3'
	expect_status 3
	user_runs srun -N2 -n8 --container="$app" nosuchprogram
	expect_status 2
	user_runs srun -N2 -n8 --container=/nonexistent true
	expect_status 125
	user_runs srun -N2 -n8 --container="$app" --container-mounts=/nonexistent:/mnt true
	expect_status 125
	batch -o "$PWD/out" --container="$app" --wrap true
	nothing_stays
)
(
	t "the helper reaps its planner, so that Slurm waits for no zombie"
	helper=$own_cluster/libexec/simg-helper
	cleanup mv "$helper.real" "$helper"
	trace_helper "$own_cluster" "$PWD/traces" wait4,setresuid
	user_runs_ok srun --container="$app" true
	user_runs srun --container="$app" --container-mounts=/nonexistent:/mnt true
	expect_status 125
	for planner in $(grep -l '^setresuid([1-9]' traces/*); do
		grep -qE "^wait4\(.* = ${planner##*.}\$" "${planner%.*}".* || fail "nobody waited for ${planner##*.}"
	done
	expect_equal "$(grep -c '^setresuid([1-9]' traces/* | grep -c ':1$')" 2
	nothing_stays
)
(
	t "after a program whose children outlive it"
	user_runs_ok srun -N2 -n2 --container="$app" sh -c 'sleep 1000 & (trap "" TERM HUP; sleep 1000) & exit 0'
	nothing_stays
)
(
	t "after scancel"
	run_job
	user_runs_ok scancel "$job"
	eventually job_is_over "$job"
	nothing_stays
)
(
	t "after scancel of a batch script that is in a container itself"
	user_runs sbatch --parsable -N2 -o "$PWD/out" --container="$app" --wrap "echo >begun.1; sleep 1000"
	job=$(cat "$stdout")
	eventually test -e begun.1
	user_runs_ok scancel "$job"
	eventually job_is_over "$job"
	nothing_stays
)
(
	t "after the tasks were killed"
	run_job
	quietly eval "tasks | xargs kill -KILL" # some end with the others
	eventually job_is_over "$job"
	nothing_stays
)
(
	t "after the steps' slurmstepds and then their tasks were killed"
	run_job
	steps | xargs kill -KILL
	quietly eval "tasks | xargs kill -KILL"
	quietly scancel --full --signal=KILL "$job"
	eventually job_is_over "$job"
	nothing_stays
)
(
	t "after requeueing"
	run_job --requeue
	run scontrol requeue "$job"
	expect_status 0
	pending() { scontrol -o show job "$job" | grep -q 'JobState=PENDING'; }
	eventually pending
	nothing_stays
	run scancel "$job"
)
(
	t "after the steps of a node whose slurmd was killed and started again"
	run_job
	old=$(slurmd_of n1)
	kill -KILL "$old"
	eventually test ! -e "/proc/$old"
	env -i PATH="$PATH" LC_ALL=C SIMG_CLUSTER="$own_cluster" SLURM_CONF="$SLURM_CONF" "$file_dir/node" slurmd -f "$SLURM_CONF" -N n1 >/dev/null
	up() { sinfo -h -N -n n1 -o %T | grep -qxE 'mixed|allocated'; }
	eventually up
	user_runs_ok scancel "$job"
	eventually job_is_over "$job"
	nothing_stays
	user_runs_ok srun -w n1 --container="$app" true
	nothing_stays
)
(
	t "after 32 steps at once on one node, which share one loop device"
	cat >script <<'END'
for i in $(seq 32); do
	srun --overlap -w n1 -N1 -n1 --container="$1" sh -c 'echo >"$0/begun.$1"; until [ -e "$0/go" ]; do sleep 0.1; done' "$PWD" "$i" || echo "step $i: status $?" &
done
wait
END
	as_user salloc -Q -w n1 bash script "$app" >out 2>&1 &
	for ((tenths = 300; tenths > 0; tenths--)); do
		[ "$(find . -name 'begun.*' | wc -l)" -lt 32 ] || break
		sleep 0.1
	done
	expect_equal "$(find . -name 'begun.*' | wc -l)" 32
	expect_equal "$(loops | wc -l)" 1
	as_user touch go
	wait $!
	expect_equal "$(cat out)" ''
	nothing_stays
)
(
	t "after 500 steps of one job, while another met its time limit"
	run_job -t 1
	run scontrol update jobid="$job" EndTime=now+1
	expect_status 0
	cat >script <<'END'
stream() { for i in $(seq 125); do srun --overlap -N1 -n1 --container="$1" true || echo "step $i: status $?"; done; }
for i in 1 2 3 4; do stream "$1" & done
wait
END
	user_runs_ok salloc -Q -N2 bash script "$app"
	expect_stdout ''
	over=$((SECONDS + 60)) # slurmctld looks every half a minute
	until job_is_over "$job"; do [ $SECONDS -lt $over ] || fail "the job does not end"; sleep 1; done
	expect_equal "$(scontrol -o show job "$job" | grep -o 'JobState=[A-Z]*')" JobState=TIMEOUT
	nothing_stays
)
(
	t "after all this the nodes are up"
	nodes_stay_up
)

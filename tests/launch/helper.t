#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What runs on a node for a step: one helper, for as long as a launch takes, and then nothing but Slurm and the tasks.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need pgrep

# A helper that notes that it was run.
install -m 0755 /dev/stdin "$file_dir/helper" <<END
#!/bin/sh
echo run >>$file_dir/helper.log
exec $file_dir/helper-$$
END
need_cluster --conf helper="$file_dir/helper"
cp "${SLURM_CONF%/*}/libexec/simg-helper" "$file_dir/helper-$$" # its own name, to be told from those of other clusters
app=$(image minbase)
log=$file_dir/helper.log

helper_runs() { wc -l <"$log"; }

(
	t "one helper runs for each step and node, however many tasks there are"
	: >"$log"
	user_runs srun -N2 -n16 --container="$app" true
	expect_status 0
	expect_equal "$(helper_runs)" 2
)
(
	t "each step has its own, and a batch script one"
	: >"$log"
	batch_runs -N2 -n4 --wrap "srun --container='$app' true; srun --container='$app' true"
	expect_status 0
	expect_equal "$(helper_runs)" 4
	: >"$log"
	batch_runs -N2 --container="$app" --wrap true
	expect_status 0
	expect_equal "$(helper_runs)" 1
)
(
	t "a step without a container runs none"
	: >"$log"
	user_runs srun -N2 true
	user_runs srun -N2 --container=none true
	expect_status 0
	expect_equal "$(helper_runs)" 0
)
(
	t "while tasks run, a step has no process but slurmstepd and the tasks"
	as_user srun -N2 -n4 --ntasks-per-node=2 --container="$app" sh -c "touch ready.\$SLURM_PROCID; exec sleep 4712" 2>/dev/null &
	eventually test -e ready.0 -a -e ready.1 -a -e ready.2 -a -e ready.3
	eventually sh -c '[ $(pgrep -cfx "sleep 4712") = 4 ]'
	cleanup as_user scancel --user="$user"
	run pgrep "^helper-$$\$"
	expect_stdout ""
	steps=$(pgrep -fx 'sleep 4712' | while read -r pid; do awk '{ print $4 }' "/proc/$pid/stat"; done | sort -u)
	expect_equal "$(wc -w <<<"$steps")" 2
	for step in $steps; do
		expect_equal "$(cat "/proc/$step/comm")" slurmstepd
		expect_equal "$(pgrep -P "$step" | wc -l)" 2
	done
	as_user scancel --user="$user"
	wait
)
(
	t "slurmstepd itself stays outside"
	as_user srun --container="$app" sh -c "touch ready; exec sleep 4713" 2>/dev/null &
	eventually test -e ready
	cleanup as_user scancel --user="$user"
	eventually pgrep -fx 'sleep 4713'
	task=$(pgrep -fx 'sleep 4713')
	step=$(awk '{ print $4 }' "/proc/$task/stat")
	expect_equal "$(readlink "/proc/$step/ns/mnt")" "$(readlink /proc/self/ns/mnt)"
	[ "$(readlink "/proc/$task/ns/mnt")" != "$(readlink "/proc/$step/ns/mnt")" ]
	for kind in user pid net ipc uts; do expect_equal "$(readlink "/proc/$task/ns/$kind")" "$(readlink "/proc/$step/ns/$kind")"; done
	as_user scancel --user="$user"
	wait
)
(
	t "the command is executed by Slurm itself, without a shell or wrapper"
	# shellcheck disable=SC2016
	user_runs srun --container="$app" sh -c 'echo $PPID; cat /proc/$PPID/comm'
	expect_equal "$(sed -n 2p "$stdout")" slurmstepd
)

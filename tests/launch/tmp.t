#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Slurm's own private /tmp for each job (job_container/tmpfs): containers see the one of their job.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
plugins=$(scontrol show config 2>/dev/null | sed -n 's/^PluginDir *= //p')
[ -n "$plugins" ] || plugins=$(dirname "$(find / -xdev -name job_container_tmpfs.so -print -quit)")
[ -e "$plugins/job_container_tmpfs.so" ] || skip "this Slurm has no job_container/tmpfs"
need_cluster --nodes 1 --slurm JobContainerType=job_container/tmpfs --slurm PrologFlags=Contain \
	--file job_container.conf="AutoBasePath=true"$'\n'"BasePath=$file_dir/cluster/jobs"
app=$(image minbase)

(
	t "a container's /tmp is the job's: what the batch script puts there is there, and nothing of the host"
	touch "/tmp/simg-test-$$"
	cleanup rm "/tmp/simg-test-$$"
	cd "/home/$user"
	cleanup rm -f "/home/$user/out"
	cat >"/home/$user/job-$$" <<END
#!/bin/sh
echo from the script >/tmp/mine
ls /tmp
srun --container=$app sh -c 'cat /tmp/mine; ls /tmp; stat -f -c %T /; echo from the step >/tmp/second'
cat /tmp/second
END
	cleanup rm "/home/$user/job-$$"
	chmod 0755 "/home/$user/job-$$"
	batch_runs "/home/$user/job-$$"
	expect_status 0
	expect_stdout $'mine\nfrom the script\nmine\nsquashfs\nfrom the step'
	[ ! -e /tmp/mine ]
)
(
	t "a batch script in a container has it too"
	cd "/home/$user"
	cleanup rm -f "/home/$user/out"
	batch_runs --container="$app" --wrap 'echo data >/tmp/mine; ls /tmp; stat -f -c %T /'
	expect_status 0
	expect_stdout $'mine\nsquashfs'
	[ ! -e /tmp/mine ]
)
(
	t "two jobs at once do not see each other's /tmp"
	for name in one two; do
		as_user srun --chdir=/home --container="$app" sh -c "touch /tmp/$name; sleep 3; ls /tmp" >"$name" &
	done
	wait
	expect_equal "$(cat one two)" $'one\ntwo'
)
(
	t "steps of one job share it"
	user_runs salloc -Q sh -c "srun --chdir=/home --container='$app' sh -c 'echo data >/tmp/mine'; srun --chdir=/home --container='$app' cat /tmp/mine; srun --chdir=/home cat /tmp/mine"
	expect_stdout $'data\ndata'
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Batch jobs in containers: the script, its output and exit code, arrays, signals, prologs.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"

# A site's prolog, at a path that no image has. It says where it runs.
site=/srv/simg-test-$$
trap 'rm -r "$site"; file_end' EXIT
install -D -m 0755 /dev/stdin "$site/prolog" <<'END'
#!/bin/sh
echo "export FROM_PROLOG=$(stat -f -c %T /)"
echo "print prolog of $SLURM_PROCID as $(id -un)"
END
need_cluster --slurm TaskProlog="$site/prolog" --slurm LaunchParameters=use_interactive_step
app=$(image minbase)

(
	t "a batch script runs inside, from the path that Slurm gave it"
	cat >job <<'END'
#!/bin/sh
stat -f -c %T /
echo "$0" "$1"
ls "$0"
pwd
END
	batch_runs --container="$app" job argument
	expect_status 0
	grep -v '^prolog of' "$stdout" >out1
	expect_equal "$(sed -n 1p out1)" squashfs
	expect_equal "$(sed -n 2p out1)" "$(sed -n 3p out1) argument"
	expect_equal "$(sed -n 3p out1 | sed 's/job0*[0-9]*/job/')" "${SLURM_CONF%/*}/spool/n1/job/slurm_script"
	expect_equal "$(sed -n 4p out1)" "$PWD"
)
(
	t "a script may name any program of the image as its interpreter"
	new_tree tree
	mv tree/usr/bin/perl tree/usr/bin/only-here
	printf '#!/usr/bin/only-here\nprint "perl of the image\\n";\n' >job
	batch_runs --container="$PWD/tree" job
	expect_status 0
	expect_stdout_has "perl of the image"
)
(
	t "output and errors go where the job says"
	user_runs sbatch -W --container="$app" -o my.out -e my.err --wrap 'echo to out; echo to err >&2'
	expect_status 0
	expect_equal "$(grep -v '^prolog' my.out)" "to out"
	expect_equal "$(cat my.err)" "to err"
)
(
	t "the script's exit code is the job's"
	batch_runs --container="$app" --wrap 'exit 7'
	expect_status 7
	batch_runs --container="$app" --wrap 'true'
	expect_status 0
)
(
	t "each job of an array runs inside"
	# shellcheck disable=SC2016
	user_runs sbatch -W --container="$app" --array=1-4 -o 'out.%a' --wrap 'echo $SLURM_ARRAY_TASK_ID $(stat -f -c %T /)'
	expect_status 0
	expect_equal "$(cat out.? | grep -v '^prolog')" $'1 squashfs\n2 squashfs\n3 squashfs\n4 squashfs'
)
(
	t "a signal reaches a trap of the script"
	cat >job <<'END'
#!/bin/bash
trap 'echo caught; exit 3' USR1
touch ready
while :; do sleep 0.1; done
END
	user_runs sbatch -o out --container="$app" job
	job=$(job_of_run)
	cleanup as_user scancel "$job"
	eventually test -e ready
	as_user scancel --batch -s USR1 "$job"
	eventually grep -qs caught out
	eventually sh -c "scontrol show job $job | grep -q ExitCode=3:0"
)
(
	t "the site's TaskProlog runs inside, for every task"
	# shellcheck disable=SC2016
	user_runs srun -N2 -n4 --container="$app" sh -c 'echo $FROM_PROLOG'
	expect_status 0
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' \n' ' ')" " 1 prolog of 0 as $user 1 prolog of 1 as $user 1 prolog of 2 as $user 1 prolog of 3 as $user 4 squashfs "
	expect_stderr ""
)
(
	t "the site's TaskProlog runs inside where the image lacks its path"
	tiny_tree tree
	rm -r tree/var tree/tmp
	# shellcheck disable=SC2016
	user_runs srun --container="$PWD/tree" sh -c 'echo $FROM_PROLOG'
	expect_stdout $'prolog of 0 as '"$user"$'\noverlayfs'
)
(
	t "the site's TaskProlog cannot be changed from inside"
	user_runs srun --container="$app" sh -c "echo x >>$site/prolog"
	expect_stderr_matches 'Permission denied|Read-only file system'
)
(
	t "--task-prolog and --task-epilog run inside"
	dir=$(as_user mktemp -d "/home/$user/simg-test.XXXXXX")
	cleanup rm -r "$dir"
	printf '#!/bin/sh\necho "export MINE=$(stat -f -c %%T /)"\n' >"$dir/before"
	printf '#!/bin/sh\nstat -f -c %%T / >%s/after.out\n' "$dir" >"$dir/after"
	chmod 0755 "$dir/before" "$dir/after"
	# shellcheck disable=SC2016
	user_runs srun --task-prolog="$dir/before" --container="$app" sh -c 'echo $MINE'
	expect_status 0
	expect_stdout_has squashfs
	expect_stderr ""
	user_runs srun --task-epilog="$dir/after" --container="$app" true
	expect_status 0
	expect_stderr ""
	eventually test -s "$dir/after.out"
)
(
	t "TMPDIR names a directory that is there and can be written"
	# shellcheck disable=SC2016
	user_runs srun --container="$app" sh -c 'mktemp >/dev/null && test -d "$TMPDIR" && touch "$TMPDIR/simg-test-$SLURM_JOB_ID" && rm "$TMPDIR/simg-test-$SLURM_JOB_ID"'
	expect_status 0
)

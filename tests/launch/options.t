#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which image a step runs in: how it is named, how srun, sbatch and salloc take it, and how steps inherit it.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
mkdir "$file_dir/one" "$file_dir/two"
need_cluster --conf image_path="$file_dir/one:$file_dir/two" --slurm LaunchParameters=use_interactive_step
app=$(image minbase)
ln -s "$app" "$file_dir/two/plain"
ln -s "$app" "$file_dir/two/tool.simg"

# Two root directories with the host's programs, which can start steps of their own.
for name in first second; do
	new_shell "$file_dir/$name"
	echo "$name" >"$file_dir/$name/marker"
done
first="--container=$file_dir/first --container-mounts=/usr:/usr:ro"
second="--container=$file_dir/second --container-mounts=/usr:/usr:ro"
of_root="stat -f -c %T /"
echo host >"$file_dir/marker"

# As the ordinary user, a command in a job of one node.
in_job() { user_runs salloc -Q "$@"; }

(
	t "srun -N2 -n4 --container=IMAGE runs in the image on both nodes"
	# shellcheck disable=SC2016
	user_runs srun -N2 -n4 --ntasks-per-node=2 --container="$app" sh -c 'echo $SLURMD_NODENAME $SLURM_PROCID $(stat -f -c %T /) $SIMG_IMAGE'
	expect_status 0
	sort -k2 "$stdout" >sorted
	expect_equal "$(cat sorted)" "$(printf '%s squashfs '"$app"'\n' 'n1 0' 'n1 1' 'n2 2' 'n2 3')"
	expect_stderr ""
)
(
	t "srun without a container runs on the host and prints no message"
	user_runs srun -N2 test -e "$SLURM_CONF"
	expect_status 0
	expect_stderr ""
)
(
	t "a relative image is found from the caller's directory"
	cp "$app" app.simg
	user_runs srun --container=app.simg $of_root
	expect_stdout squashfs
	expect_stderr ""
	user_runs srun --container=./app.simg $of_root
	expect_stdout squashfs
)
(
	t "a relative image is found from a subdirectory, and by a job that works elsewhere"
	cp "$app" app.simg
	as_user mkdir -p sub/dir
	cd sub/dir
	user_runs srun --chdir=/tmp --container=../../app.simg sh -c 'pwd; stat -f -c %T /'
	expect_stdout $'/tmp\nsquashfs'
)
(
	t "an image name with spaces and signs of the shell is taken as it is"
	name="\$(touch gone) 'a;b'"$'\n'"%n.simg"
	cp "$app" "$name"
	user_runs srun --container="$name" $of_root
	expect_status 0
	expect_stdout squashfs
	[ ! -e gone ]
)
(
	t "a symlink to an image can be given"
	as_user ln -s "$app" link
	user_runs srun --container=link $of_root
	expect_stdout squashfs
)
(
	t "a directory with a root filesystem can be given"
	tree=$(shared_tree minbase)
	# shellcheck disable=SC2016
	user_runs srun -N2 --ntasks-per-node=1 --container="$tree" sh -c 'echo $SIMG_IMAGE; cat /etc/debian_version; touch /file'
	expect_stdout_matches '^12\.'
	expect_stdout_has "$tree"
	expect_stderr_has "Read-only file system"
	[ ! -e "$tree/file" ]
)
(
	t "a bare name is searched along image_path"
	user_runs srun --container=plain $of_root
	expect_stdout squashfs
	expect_stderr ""
)
(
	t "a bare name of image_path may leave .simg out"
	# shellcheck disable=SC2016
	user_runs srun --container=tool sh -c 'stat -f -c %T /; echo $SIMG_IMAGE'
	expect_stdout "squashfs"$'\n'"$file_dir/two/tool.simg"
)
(
	t "the first directory of image_path wins, and the caller's own directory before it"
	tiny_tree tree
	for place in "$file_dir/one" .; do
		cp -a tree "$place/plain"
		echo "$place" >"$place/plain/marker"
		cleanup rm -rf "$place/plain"
		user_runs srun --container=plain cat /marker
		expect_stdout "$place"
	done
)
(
	t "scontrol shows the image of a job and of a step"
	user_runs sbatch -o out --container="$app" --wrap "sleep 30"
	job=$(job_of_run)
	cleanup as_user scancel "$job"
	eventually sh -c "scontrol show job $job | grep -q JobState=RUNNING"
	run scontrol show job "$job"
	expect_stdout_has "Container=$app"
	as_user srun --overlap --jobid="$job" --container="$file_dir/two/plain" sleep 20 &
	eventually sh -c "scontrol show step $job.0 | grep -q State=RUNNING"
	run scontrol show step "$job.0"
	expect_stdout_has "Container=$file_dir/two/plain"
	as_user scancel "$job"
	wait || :
)
(
	t "SRUN_CONTAINER gives srun its image, and the option wins over it"
	user_runs SRUN_CONTAINER="$app" srun $of_root
	expect_stdout squashfs
	user_runs SRUN_CONTAINER="$file_dir/missing" srun --container="$app" $of_root
	expect_stdout squashfs
)
(
	t "SBATCH_CONTAINER and SALLOC_CONTAINER give theirs"
	user_runs SBATCH_CONTAINER="$app" sbatch -W -o out --wrap "$of_root"
	expect_equal "$(cat out)" squashfs
	user_runs SALLOC_CONTAINER="$app" salloc -Q srun $of_root
	expect_stdout squashfs
)
(
	t "a step in a job of salloc can have a container of its own"
	in_job sh -c "srun $of_root; srun --container='$app' $of_root; srun $of_root"
	host=$(stat -f -c %T /)
	expect_stdout "$host"$'\n'"squashfs"$'\n'"$host"
	expect_stderr ""
)
(
	t "the steps of salloc --container=IMAGE inherit it, while the command itself runs where salloc does"
	in_job --container="$app" sh -c "$of_root; srun -N1 $of_root"
	expect_stdout "$(stat -f -c %T /)"$'\n'squashfs
	expect_stderr ""
)
(
	t "--container=none switches an inherited container off"
	in_job --container="$app" srun --container=none $of_root
	expect_status 0
	expect_stdout "$(stat -f -c %T /)"
	expect_stderr ""
)
(
	t "a step of a job with a container gets the one that it names"
	# shellcheck disable=SC2086
	in_job --container="$app" srun $second cat /marker
	expect_stdout second
	expect_stderr ""
)
(
	t "a step inherits mounts, variables, home, working directory and writable layer"
	# shellcheck disable=SC2016
	in_job --container="$app" --container-mounts="$file_dir:/mnt/given" --container-env=LANGUAGE=tlh --no-container-mount-home \
		--container-workdir=/opt --container-writable \
		srun sh -c 'cat /mnt/given/marker; echo $LANGUAGE; pwd; ls /home | wc -l; touch /run/lock/new && ls /run/lock'
	expect_status 0
	expect_stdout $'host\ntlh\n/opt\n0\nnew'
	expect_stderr ""
)
(
	t "a step may change one of the inherited options and keeps the others"
	in_job --container="$app" --container-mounts="$file_dir:/mnt/given" --container-workdir=/opt \
		srun --container-workdir=/usr sh -c 'pwd; cat /mnt/given/marker'
	expect_status 0
	expect_stdout $'/usr\nhost'
)
(
	t "mounts that a step names take the place of inherited ones"
	mkdir other
	in_job --container="$app" --container-mounts="$file_dir:/mnt/given" \
		srun --container-mounts="$PWD/other:/mnt/other" ls /mnt
	expect_stdout other
)
(
	t "a step that names a container inherits no other option"
	# shellcheck disable=SC2016
	in_job --container="$file_dir/first" --container-mounts=/usr:/usr:ro --container-env=LANGUAGE=tlh --container-workdir=/usr \
		--container-writable --no-container-mount-home \
		srun --container="$app" sh -c 'pwd; echo "[$LANGUAGE]"; ls -d ~; touch /run/lock/new || echo read-only; stat -f -c %T /usr'
	expect_stdout "$PWD"$'\n[]\n'"/home/$user"$'\nread-only\nsquashfs'
	expect_stderr_has "Read-only file system"
)
(
	t "a batch script runs in its image, and the steps that it starts inherit it"
	cat >job <<'END'
#!/bin/sh
cat /marker
srun -N2 --ntasks-per-node=1 cat /marker
END
	# shellcheck disable=SC2086
	batch_runs -N2 $first job
	expect_status 0
	expect_stdout $'first\nfirst\nfirst'
)
(
	t "a step inside a batch script's container can have another, and be switched back to the host"
	cat >job <<END
#!/bin/sh
srun $second cat /marker
srun --container=$app $of_root
srun --container=none test -e $app && echo on the host
cat /marker
srun cat /marker
END
	# shellcheck disable=SC2086
	batch_runs $first job
	expect_status 0
	expect_stdout $'second\nsquashfs\non the host\nfirst\nfirst'
)
(
	t "a batch script on the host can start steps in images"
	printf '#!/bin/sh\n%s\nsrun --container=%s %s\n' "$of_root" "$app" "$of_root" >job
	batch_runs job
	expect_stdout "$(stat -f -c %T /)"$'\nsquashfs'
)
(
	t "--container can be written in a batch script's #SBATCH lines"
	cat >job <<END
#!/bin/sh
#SBATCH --container=$app --container-workdir=/opt
#SBATCH --container-mounts=$file_dir:/mnt/given
pwd
cat /mnt/given/marker
END
	batch_runs job
	expect_status 0
	expect_stdout $'/opt\nhost'
)
(
	t "the options reach the nodes with --export=NONE and with --export=NAME"
	for export in NONE CHOSEN; do
		# shellcheck disable=SC2016
		user_runs CHOSEN=1 srun --export=$export --container="$app" --container-mounts="$file_dir:/mnt/given" --container-env=LANGUAGE=tlh \
			--container-workdir=/opt --no-container-mount-home --container-writable \
			sh -c 'cat /mnt/given/marker; echo $LANGUAGE; pwd; ls /home | wc -l; touch /run/lock/new && ls /run/lock'
		expect_status 0
		expect_stdout $'host\ntlh\n/opt\n0\nnew'
		expect_stderr ""
	done
)
(
	t "sbatch --export=NONE keeps the options for the script and its steps"
	# shellcheck disable=SC2086
	batch_runs --export=NONE $first --wrap 'cat /marker; srun cat /marker'
	expect_status 0
	expect_stdout $'first\nfirst'
)
(
	t "sbatch --export-file, with which no option reaches the nodes, is refused for a job in a container"
	printf 'ONE=1\0' >variables
	# shellcheck disable=SC2086
	user_runs sbatch --export-file="$PWD/variables" $first --wrap "touch $PWD/ran"
	expect_status 1
	expect_stderr_has "sbatch: error: simg: --export-file keeps the container's options from the job"
	cat >job <<END
#!/bin/sh
#SBATCH --export-file=$PWD/variables
touch $PWD/ran
END
	user_runs SLURM_CONTAINER="$file_dir/first" sbatch job
	expect_status 1
	expect_stderr_has "sbatch: error: simg: --export-file keeps the container's options from the job"
	[ ! -e ran ]
	cd "/home/$user"
	cleanup rm -f "/home/$user/out"
	batch_runs --export-file="$case_dir/variables" --wrap 'echo $ONE'
	expect_status 0
	expect_stdout 1
)
(
	t "srun, sbatch and salloc list the options in their help, in lines of at most 80 columns"
	for command in srun sbatch salloc; do
		user_runs $command --help
		expect_status 0
		for option in mounts=SRC:DST workdir=DIR 'env=NAME[=VALUE],...' mount-home writable; do expect_stdout_has "--container-$option"; done
		expect_stdout_has --no-container-mount-home
		# newer Slurms have options of their own that begin with --container-
		sed -n '/^Options provided by plugins/,$p' "$stdout" | grep -A 2 -E -e '--(no-)?container-' | grep -E 'container|^ {20}' >texts
		run awk 'length > 80 || (/^ {20}/ && !/^ {30}[a-z]/)' texts
		expect_stdout ""
	done
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The working directory of a task: the job's if it exists inside, else the image's, else "/".
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need_cluster
app=$(image minbase)

# Images that name a working directory, which is there or is not.
for dir in /srv/app /missing; do
	name=${dir##*/}
	new_tree "$file_dir/$name"
	mkdir -p "$file_dir/$name/srv/app" "$file_dir/$name/.simg"
	echo "{\"config\":{\"WorkingDir\":\"$dir\"}}" >"$file_dir/$name/.simg/config.json"
done

(
	t "it is the job's, which is brought along"
	user_runs srun --container="$app" sh -c 'pwd; echo data >made; echo $PWD'
	expect_stdout "$PWD"$'\n'"$PWD"
	expect_stderr ""
	[ -e made ]
)
(
	t "--chdir names the job's"
	mkdir sub
	user_runs srun --chdir="$PWD/sub" --container="$app" pwd
	expect_stdout "$PWD/sub"
	expect_stderr ""
)
(
	t "a job's directory outside of home and /tmp is brought along too"
	mkdir "/simg-test-$$"
	cleanup rm -r "/simg-test-$$"
	chown "$user:" "/simg-test-$$"
	user_runs srun --chdir="/simg-test-$$" --container="$app" sh -c 'pwd; echo data >made'
	expect_stdout "/simg-test-$$"
	expect_stderr ""
	[ -e "/simg-test-$$/made" ]
)
(
	t "a directory that the image has itself is the image's"
	user_runs srun --chdir=/usr/share --container="$file_dir/app" sh -c 'pwd; ls -d debianutils; stat -f -c %T .; touch x'
	expect_stdout_has /usr/share debianutils
	expect_stderr_has "Read-only file system"
	expect_stderr_lacks note
)
(
	t "if the job's is not there, it is the image's own, and one line says so"
	as_user mkdir sub other
	# what is mounted on its parent hides it
	user_runs srun -N2 -n8 --chdir="$PWD/sub" --container="$file_dir/app" --container-mounts="$PWD/other:$PWD" sh -c 'pwd; echo $PWD'
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' ')" " 16 /srv/app"
	expect_stderr "simg: note: '$PWD/sub' does not exist in the container, the working directory is '/srv/app'"
)
(
	t "if neither is there, it is /, and one line says so"
	as_user mkdir sub other
	for image in "$file_dir/missing" "$app"; do
		user_runs srun -N2 -n8 --chdir="$PWD/sub" --container="$image" --container-mounts="$PWD/other:$PWD" pwd
		expect_equal "$(sort "$stdout" | uniq -c | tr -s ' ')" " 8 /"
		expect_stderr "simg: note: '$PWD/sub' does not exist in the container, the working directory is '/'"
	done
)
(
	t "a job's directory where users may not mount is left out"
	mkdir "/etc/simg-test-$$"
	cleanup rmdir "/etc/simg-test-$$"
	user_runs srun -N2 -n4 --chdir="/etc/simg-test-$$" --container="$file_dir/app" pwd
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' ')" " 4 /srv/app"
	expect_equal "$(grep -c 'does not exist in the container' "$stderr")" 1
	expect_stderr_has "users may not mount on '/etc/simg-test-$$'"
)
(
	t "--no-container-mount-home keeps the home out of a job that starts in it"
	cd "/home/$user"
	user_runs srun --no-container-mount-home --container="$file_dir/app" sh -c 'pwd; ls /home'
	expect_stdout /srv/app
	expect_stderr "simg: note: '/home/$user' does not exist in the container, the working directory is '/srv/app'"
	as_user mkdir "simg-test-$$"
	cleanup rmdir "/home/$user/simg-test-$$"
	cd "simg-test-$$"
	user_runs srun --no-container-mount-home --container="$file_dir/app" sh -c "pwd; ls ~"
	expect_stdout "$PWD"$'\n'"simg-test-$$"
)
(
	t "--container-workdir names one of the image"
	# shellcheck disable=SC2016
	user_runs srun -N2 -n4 --container="$file_dir/app" --container-workdir=/srv/app sh -c 'pwd; echo $PWD'
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' ')" " 8 /srv/app"
	expect_stderr ""
)
(
	t "--container-workdir names a mounted one"
	mkdir data
	user_runs srun --container="$app" --container-mounts="$PWD/data:/mnt/data" --container-workdir=/mnt/data pwd
	expect_stdout /mnt/data
)
(
	t "--container-workdir wins over --chdir, and its name is data"
	mkdir 'a $(b)'
	user_runs srun --chdir=/tmp --container="$app" --container-mounts="$PWD/a \$(b):/mnt/a \$(b)" --container-workdir='/mnt/a $(b)' pwd
	expect_stdout '/mnt/a $(b)'
)
(
	t "a batch job has its directory too"
	batch_runs --container="$app" --wrap pwd
	expect_stdout "$PWD"
	batch_runs --container="$app" --container-workdir=/opt --wrap pwd
	expect_stdout /opt
)
(
	t "a directory that only the user may enter is brought along"
	chmod 0700 .
	user_runs srun --container="$app" pwd
	expect_stdout "$PWD"
	expect_stderr ""
)
(
	t "a directory reached by a symlink is the same directory"
	mkdir real
	ln -s real link
	chown -h "$user:" link real
	user_runs srun --chdir="$PWD/link" --container="$app" sh -c 'touch made'
	expect_status 0
	expect_stderr ""
	[ -e real/made ]
)

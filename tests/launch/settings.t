#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a site sets: the keys of simg.conf, and the same keys as arguments in plugstack.conf.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need_cluster --nodes 1
app=$(image minbase)
dir=${SLURM_CONF%/*}
helper="helper = $dir/libexec/simg-helper"
required="required $dir/lib/simg.so conf=$dir/simg.conf"

# Directories of the site, each with a file "name" that says which it is.
for name in one two three; do
	mkdir "$file_dir/$name"
	echo "$name" >"$file_dir/$name/name"
	chmod 1777 "$file_dir/$name"
done

# Each step reads both files anew. settings KEY=VALUE…, arguments KEY=VALUE….
settings() { printf '%s\n' "$helper" "$@" >"$dir/simg.conf"; }
arguments() { echo "$required $*" >"$dir/plugstack.conf"; }
inside() { user_runs srun --container="$app" "$@"; }

(
	t "bind mounts for every container, can be repeated, and can be read-only"
	settings "# the site's" '' "bind = $file_dir/one:/site/one" "  bind=$file_dir/two:/site/two:ro  " "bind = $file_dir/three/name:/usr/lib/os-release"
	inside sh -c "cat /site/*/name /usr/lib/os-release; touch /site/one/made-$$; touch /site/two/made"
	expect_stdout $'one\ntwo\nthree'
	expect_stderr_has "cannot touch '/site/two/made': Read-only file system"
	[ -e "$file_dir/one/made-$$" ]
)
(
	t "bind may cover what users may not, and users' mounts lie over it"
	settings "bind = $file_dir/one/name:/etc/issue" "bind = $file_dir/two:/site"
	inside --container-mounts="$file_dir/three:/site" cat /etc/issue /site/name
	expect_status 0
	expect_stdout $'one\nthree'
)
(
	t "mount_home = no leaves the home out, unless the user wants it"
	settings 'mount_home = no'
	inside ls /home
	expect_stdout ""
	inside --container-mount-home ls /home
	expect_stdout "$user"
)
(
	t "mount_home = yes brings it, unless the user does not want it"
	settings 'mount_home = yes'
	inside ls /home
	expect_stdout "$user"
	inside --no-container-mount-home ls /home
	expect_stdout ""
)
(
	t "tmp = private gives every step and node a /tmp of its own, which goes with it"
	settings 'tmp = private' 'tmp_size = 4m'
	touch "/tmp/simg-test-$$"
	cleanup rm "/tmp/simg-test-$$"
	cd "/home/$user"
	for _ in 1 2; do
		inside -n2 sh -c 'ls /tmp; sleep 1; touch /tmp/$SLURM_PROCID /var/tmp/$SLURM_PROCID; stat -f -c %T /tmp /var/tmp; stat -c %a /tmp; sleep 1; ls /tmp | wc -l'
		expect_status 0
		expect_equal "$(sort "$stdout" | uniq -c | tr -s ' \n' ' ')" " 2 1777 2 2 4 tmpfs "
	done
	[ ! -e /tmp/0 ]
)
(
	t "mounts can lie in a private /tmp, and a program can write beside them"
	settings 'tmp = private'
	cd "/home/$user"
	inside --container-mounts="$file_dir/one:/tmp/deep/one,$file_dir/two/name:/tmp/file" sh -c 'cat /tmp/deep/one/name /tmp/file; touch /tmp/new; ls /tmp'
	expect_status 0
	expect_stdout $'one\ntwo\ndeep\nfile\nnew'
)
(
	t "tmp_size limits a private /tmp and the writable layer"
	settings 'tmp = private' 'tmp_size = 1m'
	cd "/home/$user"
	inside --container-writable sh -c 'head -c 2000000 /dev/zero >/tmp/big; head -c 2000000 /dev/zero >/run/lock/big; stat -c %s /tmp/big; head -c 900000 /dev/zero >/var/tmp/small && echo fits'
	expect_equal "$(grep -c 'No space left on device' "$stderr")" 2
	expect_stdout $'1048576\nfits'
)
(
	t "tmp = job is the job's /tmp"
	settings 'tmp = job'
	touch "/tmp/simg-test-$$"
	cleanup rm "/tmp/simg-test-$$"
	inside ls "/tmp/simg-test-$$"
	expect_stdout "/tmp/simg-test-$$"
)
(
	t "image_path is where bare names are looked for"
	ln -s "$app" "$file_dir/two/site-image.simg"
	settings "image_path = $file_dir/one:$file_dir/two"
	user_runs srun --container=site-image stat -f -c %T /
	expect_stdout squashfs
)
(
	t "helper and helper_timeout: another helper runs, and has its time"
	install -m 0755 /dev/stdin "$file_dir/helper" <<-END
		#!/bin/sh
		sleep 2
		exec $dir/libexec/simg-helper
	END
	settings 'helper_timeout = 30' "helper = $file_dir/helper"
	inside -n4 stat -f -c %T /
	expect_status 0
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' ')" " 4 squashfs"
)
(
	t "protect keeps users' mounts off a path, and leaves the site's alone"
	settings 'protect = /opt' 'protect = /site' "bind = $file_dir/one:/opt/one"
	inside cat /opt/one/name
	expect_stdout one
	for target in /opt/two /site /opt; do
		inside --container-mounts="$file_dir/two:$target" true
		expect_status 125
		expect_stderr_has "--container-mounts: users may not mount on '$target': the site protects it (simg.conf: protect)"
	done
	inside --container-mounts="$file_dir/two:/mnt" cat /mnt/name
	expect_stdout two
)
(
	t "the same keys as arguments of the plugin have the same effect"
	settings
	ln -sf "$app" "$file_dir/two/site-image.simg"
	arguments bind="$file_dir/one:/site/one" bind="$file_dir/two:/site/two:ro" mount_home=no image_path="$file_dir/two" protect=/opt tmp=private tmp_size=1m \
		helper_timeout=30 helper="$dir/libexec/simg-helper"
	cleanup arguments
	cd "/home/$user"
	user_runs srun --container=site-image sh -c 'cat /site/*/name; touch /site/two/made; ls /home; stat -f -c %T /tmp; head -c 2000000 /dev/zero >/tmp/big'
	expect_stdout $'one\ntwo\ntmpfs'
	expect_stderr_has "cannot touch '/site/two/made': Read-only file system" "No space left on device"
	inside --container-mounts="$file_dir/two:/opt" true
	expect_stderr_has "the site protects it"
)
(
	t "arguments win over the file, and binds add up"
	settings "bind = $file_dir/one:/site/one" 'mount_home = yes' 'tmp = job'
	arguments bind="$file_dir/two:/site/two" mount_home=no tmp=private
	cleanup arguments
	cd /
	inside sh -c 'cat /site/*/name; ls /home; stat -f -c %T /tmp'
	expect_stdout $'one\ntwo\ntmpfs'
)
(
	t "without simg.conf's keys everything has its default"
	settings
	inside sh -c "ls /home; stat -f -c %T /tmp; ls /site"
	expect_stdout "$user"$'\n'"$(stat -f -c %T /tmp)"
	expect_stderr_has "'/site': No such file or directory"
)

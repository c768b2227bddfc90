#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg shell: root of a sandbox.
. "$(dirname "$0")/../lib.sh"
need unsquashfs
# shellcheck source=tests/build/sif.sh
. "$(dirname "$0")/sif.sh"
# shellcheck source=tests/build/recipes.sh
. "$(dirname "$0")/recipes.sh"
make_bases

shell() {
	if [ "$as" = user ]; then user_runs simg shell "$@"; else run simg shell "$@"; fi
}

sandbox() {
	build_it -q --sandbox dir "$bases/base.simg"
	expect_status 0
}

for as in root user; do
	(
		t "what is changed with --writable is in the image that is made of it, as $as"
		[ "$as" = root ] || need_user
		sandbox
		shell --writable dir -c 'id -u; touch /opt/f; chown 5:6 /opt/f; mknod /opt/d b 8 1; chmod 4755 /opt/f; rm /bin/wc'
		expect_status 0
		expect_stdout 0
		shell dir stat -c '%u:%g %a' /opt/f
		expect_stdout "5:6 4755"
		build_it -q app.simg dir
		expect_listing app.simg <<-'END'
			-rwsr-xr-x 5/6 opt/f
			brw-r--r-- 0/0 opt/d
			-rwxr-xr-x 0/0 bin/busybox
			! bin/wc
		END
	)

	(
		t "a sandbox that nothing was done to gives the same image, as $as"
		[ "$as" = root ] || need_user
		sandbox
		build_it -q before.simg dir
		shell --writable dir true
		build_it -q after.simg dir
		diff <(listing before.simg) <(listing after.simg)
	)
done
as=root

(
	t "without --writable nothing can be changed but in /tmp, which is gone afterwards"
	sandbox
	run simg shell dir sh -c 'echo x >/tmp/x && cat /tmp/x; echo x >/x'
	expect_stdout x
	expect_stderr_has "Read-only file system"
	[ ! -e dir/tmp/x ] && [ ! -e dir/x ]
)

(
	t "the status is the command's"
	sandbox
	run simg shell dir -c 'exit 42'
	expect_status 42
	run simg shell dir -c 'kill -9 $$'
	expect_status 137
	run simg shell dir nowhere
	expect_status 127
)

(
	t "the image's environment is set"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%environment
		    export COLOUR=blue
	END
	build_it -q --sandbox dir app.def
	# shellcheck disable=SC2016
	run simg shell dir -c 'echo $COLOUR'
	expect_stdout blue
)

(
	t "--bind brings a directory, and leaves no mount point"
	sandbox
	mkdir data
	echo text >data/file
	run simg shell --bind data:/in:ro dir cat /in/file
	expect_stdout text
	[ ! -e dir/in ] || fail "the mount point is left"
)

(
	t "an image, a file that is not there, and another user's directory are refused"
	run simg shell "$bases/base.simg"
	expect_status 125
	expect_stderr_has "is no directory" "hint: a directory of an image is made by: simg build --sandbox DIR"
	run simg shell nowhere
	expect_status 125
	expect_stderr_has "cannot open the sandbox 'nowhere': No such file or directory"
	run simg shell
	expect_status 2
	expect_stderr_has "simg shell needs the directory of a sandbox"
	run simg shell --nonsense dir
	expect_status 2
	need_user
	as=user
	mkdir -m 755 root
	chown root: root
	shell "$PWD/root"
	expect_stderr_has "is another user's"
)

(
	t "two cannot write at once"
	sandbox
	mkfifo pipe
	simg shell --writable dir cat /dev/stdin <pipe &
	exec 9>pipe
	locked() { ! flock -n dir true; }
	eventually locked
	run simg shell --writable dir true
	expect_status 125
	expect_stderr_has "somebody else is at work in the sandbox 'dir'"
	exec 9>&-
	wait
)

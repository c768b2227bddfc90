#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Work directories, in which scripts of a recipe run, by root and in the user namespace of an ordinary user: filled from images and
# read again, and sandboxes that are worked in so.
. "$(dirname "$0")/../lib.sh"
need_root
need_user
need unshare unsquashfs
# shellcheck source=tests/build/odd-tree.sh
. "$(dirname "$0")/odd-tree.sh"

workdir=$build/tests/unit/workdir
[ -x "$workdir" ] || skip "tests/unit/workdir is not built"
user_uid=$(id -u "$user") user_gid=$(id -g "$user")

odd_tree
settled=$file_dir/settled.simg # an image whose sandbox makes the same image again
cp -a "$tree" "$file_dir/settled"
settle "$file_dir/settled" directory
simg build --no-mount-points "$settled" "$file_dir/settled"

need_namespaces() { as_user unshare -r true || skip "users have no namespaces here"; }

# in_namespace COMMAND… as the user who is root in his own
in_namespace() { as_user unshare -r "$@"; }

# worked_in DIR: as a shell in the sandbox would begin and end.
worked_in() { in_namespace "$workdir" record "$1" "$user_uid" "$user_gid"; }

(
	t "a work directory gives the image that it was filled from, byte for byte: by root"
	run "$workdir" extract "$settled" dir again.simg
	expect_status 0
	cmp "$settled" again.simg
	expect_equal "$(find dir ! -user root -o -type b -o -type c)" ""
	expect_equal "$(stat -c %a dir/bin/setuid)" 6755
)

(
	t "… and in a user namespace"
	need_namespaces
	run in_namespace "$workdir" extract "$settled" dir again.simg
	expect_status 0
	cmp "$settled" again.simg
	expect_equal "$(find dir ! -user "$user")" ""
	expect_equal "$(stat -c %a dir/bin/setuid dir/empty-file | tr '\n' ' ')" "6755 0 "
)

(
	t "… below a directory that hands down its group and an access control list"
	need_namespaces
	chgrp 12345 .
	chmod 2777 .
	! command -v setfacl >/dev/null || setfacl -d -m u:12345:rwx . || :
	run in_namespace "$workdir" extract "$settled" dir again.simg
	expect_status 0
	cmp "$settled" again.simg
	expect_equal "$(find dir -group 12345)" ""
)

(
	t "no change escapes, and nothing else is taken for one, in a user namespace"
	need_namespaces
	run in_namespace env SIMG_TESTS_DIR="$PWD" "$workdir"
	expect_status 0
	expect_stdout_lacks "not ok"
)

(
	t "the record of a sandbox, loaded and saved, is the same, and so is the image"
	need_namespaces
	as_user simg build --quiet --no-mount-points --sandbox dir "$settled"
	cp dir/.simg/sandbox record
	find dir -printf '%p %m %T@ %s\n' | grep -v '^dir/.simg/sandbox ' >before
	run worked_in dir
	expect_status 0
	diff <(sort dir/.simg/sandbox) <(sort record)
	diff before <(find dir -printf '%p %m %T@ %s\n' | grep -v '^dir/.simg/sandbox ')
	as_user simg build --no-mount-points again.simg dir
	cmp "$settled" again.simg
)

(
	t "… also when the directory is there for it only"
	need_namespaces
	mkdir own
	echo text >own/file
	simg build --quiet --no-mount-points --sandbox dir own
	chown -R "$user:" dir
	worked_in dir
	expect_equal "$(sed -n 2p dir/.simg/sandbox)" made
	as_user rm -r dir/.simg
	as_user touch -d 2001-01-01 dir
	worked_in dir
	expect_equal "$(sed -n 2p dir/.simg/sandbox)" made
	expect_equal "$(stat -c %y dir | cut -d' ' -f1)" 2001-01-01
)

(
	t "files that the image has from the user himself stay his"
	need_namespaces
	mkdir own
	echo text >own/his
	echo text >own/roots
	chown "$user:" own/his
	chmod 4755 own/his
	simg build --no-mount-points first.simg own
	chmod a+r first.simg
	as_user simg build --quiet --no-mount-points --sandbox dir first.simg
	worked_in dir
	expect_equal "$(stat -c %a dir/his)" 4755
	as_user simg build --quiet --no-mount-points again.simg dir
	diff <(unsquashfs -lln first.simg | grep -v /.simg) <(unsquashfs -lln again.simg | grep -v /.simg)
)

(
	t "what root of the namespace made is recorded, and the user can read, enter and remove it"
	need_namespaces
	mkdir own
	simg build --no-mount-points --quiet --sandbox dir own
	chown -R "$user:" dir
	as_user sh -c 'cd dir && mkdir locked && echo text >locked/file && cp locked/file tool && ln tool tool2 && chmod 4755 tool &&
		chmod 0 locked/file && chmod 0500 locked'
	# As files under a fake root that nothing is recorded of: they are root's.
	run in_namespace "$workdir" save dir "$user_uid" "$user_gid"
	expect_status 0
	expect_equal "$(stat -c %a dir/locked dir/locked/file dir/tool | tr '\n' ' ')" "700 400 755 "
	as_user simg build --quiet --no-mount-points again.simg dir
	run unsquashfs -lln again.simg
	expect_stdout_matches "^dr-x------ 0/0 .* squashfs-root/locked$"
	expect_stdout_matches "^---------- 0/0 .* squashfs-root/locked/file$"
	expect_stdout_matches "^-rwsr-xr-x 0/0 .* squashfs-root/tool2?$"
	as_user rm -r dir
)

(
	t "capabilities that root of the namespace gave are in the image as he meant them"
	need_namespaces
	as_user simg build --quiet --no-mount-points --sandbox dir "$settled"
	in_namespace setcap cap_net_raw+ep dir/bin/plain || skip "no capabilities in namespaces here"
	as_user simg build --quiet --no-mount-points again.simg dir
	unsquashfs -q -n -d out again.simg bin >/dev/null
	expect_equal "$(getcap -n out/bin/plain)" "out/bin/plain cap_net_raw=ep"
)

(
	t "the record of a directory whose /.simg is a file has no place"
	need_namespaces
	as_user mkdir dir
	as_user touch dir/.simg
	run worked_in dir
	expect_status 99
	expect_stderr_has "cannot write '.simg/sandbox' in the sandbox 'dir': Not a directory"
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Directories as sources: what is read, what stays out, and what is an error.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
need unsquashfs

(
	t "symlinks are kept and never followed, hard links stay hard links"
	mkdir -p dir/sub
	echo secret >secret
	ln -s ../secret dir/symlink
	echo text >dir/file
	ln dir/file dir/sub/hard
	run simg build --no-mount-points app.simg dir
	expect_status 0
	expect_equal "$(listing app.simg | awk '{ print $1, $4, $5, $6 }')" \
		"$(printf '%s\n' '-rw-r--r-- file  ' 'drwxr-xr-x sub  ' '-rw-r--r-- sub/hard  ' 'lrwxrwxrwx symlink -> ../secret')"
	run simg inspect app.simg
	expect_stdout_has "2 files, 3 directories, 1 symlink" # with the record
)

(
	t "holes stay holes, and cost neither time nor space"
	mkdir dir
	truncate -s 1T dir/sparse || skip "the file system has no large sparse files"
	printf middle | dd of=dir/sparse bs=1 seek=500000000000 conv=notrunc status=none
	run timeout 30 simg build app.simg dir
	expect_status 0
	[ "$(stat -c %s app.simg)" -lt 1000000 ] || fail "the image has $(stat -c %s app.simg) bytes"
	[ "$(listing app.simg | awk '$4 == "sparse" { print $3 }')" = 1099511627776 ] || fail "the file has another size"
)

(
	t "an access control list stays out, with one note, and other attributes of the file stay"
	need setfattr getfattr
	mkdir dir
	echo text >dir/file
	acl=0x02000000$(printf '%s' 01000600ffffffff 0200060001000000 04000400ffffffff 10000600ffffffff 20000400ffffffff)
	setfattr -n system.posix_acl_access -v "$acl" dir/file || skip "the file system has no access control lists"
	setfattr -n user.colour -v red dir/file || skip "the file system has no attributes"
	run simg build app.simg dir
	expect_status 0
	expect_equal "$(grep -c '^simg: note: .*extended attribute' "$stderr")" 1
	unsquashfs -q -n -d out app.simg >/dev/null
	expect_equal "$(getfattr --only-values -n user.colour out/file)" red
)

(
	t "sockets stay out, with one note"
	need perl
	mkdir dir
	(cd dir && for name in a b c; do perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0])) or die' "$name"; done)
	ln dir/a dir/second-name-of-a
	run simg build --no-mount-points app.simg dir
	expect_status 0
	expect_stderr "simg: note: 4 sockets are left out, the first: './a'"
	expect_equal "$(listing app.simg)" ""
	run simg build --quiet quiet.simg dir
	expect_status 0
	expect_stderr ""
)

(
	t "the content of a mounted file system stays out, its directory is kept, with a note"
	need_root
	mkdir -p dir/proc dir/data
	echo text >dir/data/kept
	run unshare --mount sh -c 'mount -t proc proc dir/proc && simg build app.simg dir'
	expect_status 0
	expect_stderr "simg: note: './proc' is a mount point: its content stays out of the image"
	expect_equal "$(unsquashfs -lln app.simg | grep -c 'squashfs-root/proc')" 1
	expect_equal "$(content app.simg data/kept)" text
)

(
	t "a mount of the same file system stays out as well"
	need_root
	mkdir -p dir/bind elsewhere
	echo text >elsewhere/file
	run unshare --mount sh -c 'mount --bind elsewhere dir/bind && simg build app.simg dir'
	expect_status 0
	[ -s "$stderr" ] || skip "the kernel does not tell mount points (Linux before 5.8)"
	expect_stderr "simg: note: './bind' is a mount point: its content stays out of the image"
	expect_equal "$(unsquashfs -lln app.simg | grep -c 'squashfs-root/bind')" 1
)

(
	t "the image itself stays out of the tree that it lies in"
	mkdir dir
	echo text >dir/file
	(
		cd dir
		run simg build app.simg .
		expect_status 0
		run simg build --force app.simg .
		expect_status 0
	)
	expect_equal "$(listing dir/app.simg | awk '{ print $4 }')" file
)

(
	t "a file that changes while it is read is an error"
	mkdir dir
	head -c 400000000 /dev/zero | tr '\0' x >dir/file
	(while sleep 0.01; do echo more >>dir/file; done) &
	writer=$!
	cleanup kill $writer
	run simg build app.simg dir
	kill $writer
	expect_status 1
	expect_stderr "$(printf '%s\n' "simg: error: the file './file' changed while it was read" \
		"simg: hint: build from a tree that nothing writes to")"
	[ ! -e app.simg ] || fail "there is an image"
)

(
	t "2000 levels deep"
	mkdir dir
	thousand=$(printf 'd/%.0s' $(seq 1000))
	# In two steps: one path has at most 4096 bytes.
	(mkdir -p "dir/$thousand" && cd "dir/$thousand" && mkdir -p "$thousand" && cd "$thousand" && echo text >file)
	run simg build --no-mount-points app.simg dir
	expect_status 0
	run simg inspect app.simg
	expect_stdout_has "2 files, 2002 directories"
	tar -C dir -cf x.tar .
	run simg build --no-mount-points tar.simg x.tar
	expect_status 0
	run simg inspect tar.simg
	expect_stdout_has "2 files, 2002 directories"
)

(
	t "a symlink to a directory is that directory, a symlink to a tarball that tarball"
	mkdir dir
	echo text >dir/file
	tar -C dir -cf x.tar .
	ln -s dir link
	ln -s x.tar link.tar
	run simg build a.simg link
	expect_status 0
	run simg build b.simg link.tar
	expect_status 0
	expect_equal "$(content a.simg file)" text
	expect_equal "$(content b.simg file)" text
)

(
	t "the image's mode follows the umask"
	mkdir dir
	for mask in 022:644 077:600 002:664; do
		run sh -c "umask ${mask%:*} && simg build -f app.simg dir"
		expect_status 0
		expect_equal "$(stat -c %a app.simg)" "${mask#*:}"
	done
)

(
	t "logs stay clean: nothing is printed without a terminal"
	mkdir dir
	run simg build app.simg dir
	expect_status 0
	expect_stdout ""
	expect_stderr ""
)

(
	t "a terminal shows progress and a summary, --quiet neither"
	need script
	mkdir dir
	head -c 30000000 /dev/urandom >dir/random
	tar cf dir.tar dir
	# in two parts, so that there is something to show before it is over
	run script -qec '{ head -c 20000000; sleep 1; cat; } <dir.tar | TERM=xterm simg build app.simg -' /dev/null
	expect_status 0
	expect_stdout_matches 'reading [0-9.]+ MiB, writing [0-9.]+ MiB, [0-9.]+ [MG]iB/s'
	expect_stdout_matches "simg: note: 'app.simg': 28\\.[0-9] MiB, from 28\\.6 MiB in [0-9]+ files, [0-9.]+ s"
	run script -qec 'TERM=xterm simg build --quiet -f app.simg dir' /dev/null
	expect_status 0
	expect_stdout ""
)

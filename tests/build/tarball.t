#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What tarballs mean: simg build gives an image what tar would have extracted.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
need unsquashfs tar gzip zstd xz bzip2

(
	t "the last entry of a path wins, and a hard link keeps what it named"
	{ entry 0 a first; entry 1 link a; entry 0 a second; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	expect_equal "$(content x.simg a)" second
	expect_equal "$(content x.simg link)" first
)

(
	t "a second entry of a directory gives it new metadata and keeps its files"
	{ entry 5 d/ '' mode=0000700; entry 0 d/file text; entry 5 d/ '' mode=0000711 uid=0000017; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	expect_equal "$(listing x.simg)" "$(printf '%s\n' 'drwx--x--x 15/0 27 d' '-rw-r--r-- 0/0 4 d/file')"
)

(
	t "a file that replaces a directory removes what was in it, and the other way round"
	{ entry 5 d/; entry 0 d/file text; entry 0 d text; entry 0 e text; entry 5 e/; entry 0 e/file text; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	expect_equal "$(listing x.simg | awk '{ print $1, $4 }')" \
		"$(printf '%s\n' '-rw-r--r-- d' 'drwxr-xr-x e' '-rw-r--r-- e/file')"
)

(
	t "a path runs through the symlinks in the tree, with the tree's root as the root"
	{
		entry 0 usr/lib/old 1
		entry 2 lib usr/lib
		entry 0 lib/new 2
		entry 2 up ../../../../usr/lib
		entry 0 up/from-up 3
		entry 2 absolute /usr/./lib
		entry 0 absolute/from-absolute 4
		entry 2 dangling nowhere/yet
		entry 0 dangling/file 5
		end_mark
	} >x.tar
	run simg build x.simg x.tar
	expect_status 0
	for name in usr/lib/old usr/lib/new usr/lib/from-up usr/lib/from-absolute nowhere/yet/file; do
		listing x.simg | grep -q " $name\$" || fail "there is no $name"
	done
)

(
	t "a directory replaces a symlink to a directory, as tar does"
	{ entry 5 real/; entry 2 d real; entry 5 d/; entry 0 d/file text; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	expect_equal "$(listing x.simg | awk '{ print $1, $4 }')" "$(printf '%s\n' 'drwxr-xr-x d' '-rw-r--r-- d/file' 'drwxr-xr-x real')"
)

(
	t "missing parents are made, owned by root, mode 0755, with the newest file's time"
	{ entry 0 a/b/file text uid=0000017; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	expect_equal "$(listing x.simg | head -n 2 | awk '{ print $1, $2, $4 }')" "$(printf '%s\n' 'drwxr-xr-x 0/0 a' 'drwxr-xr-x 0/0 a/b')"
	unsquashfs -lln x.simg | grep -q ' 2001-09-09 .* squashfs-root/a$' || fail "the parent has another time"
)

(
	t "./ is the root, and absolute and untidy names are taken from there"
	{ entry 5 ./ '' mode=0000750 uid=0000001 gid=0000002; entry 0 /absolute a; entry 0 .//./odd/.//file b; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	unsquashfs -lln x.simg | grep -q '^drwxr-x--- 1/2 .* squashfs-root$' || fail "the root has other metadata"
	expect_equal "$(listing x.simg | awk '{ print $4 }')" "$(printf '%s\n' absolute odd odd/file)"
)

(
	t "hard links share one inode, also to a symlink and to a device"
	{ entry 0 file text; entry 1 file2 ./file; entry 2 s file; entry 1 s2 s; entry 3 c '' major=0000001 minor=0000003; entry 1 c2 c; end_mark; } >x.tar
	run simg build --no-mount-points x.simg x.tar
	expect_status 0
	run simg inspect x.simg
	expect_stdout_has "2 files, 2 directories, 1 symlink, 1 device" # with the record
	expect_equal "$(listing x.simg | awk '{ print $1, $NF }' | grep -c '^[-lc]')" 6
)

(
	t "a hard link that carries data gives all names that data (pax)"
	{ entry 0 file old; entry x h "$(pax comment x)"; entry 0 other x; entry 1 link file size=00000000004 ; printf 'new!'; zeros 508; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	expect_equal "$(content x.simg file)" 'new!'
	expect_equal "$(content x.simg link)" 'new!'
)

(
	t "extended attributes are kept, those that SquashFS cannot hold are counted in a note"
	{
		entry x h "$(pax SCHILY.xattr.user.color blue; pax SCHILY.xattr.system.posix_acl_access x; pax SCHILY.xattr.security.selinux s)"
		entry 0 file text
		end_mark
	} >x.tar
	run simg build x.simg x.tar
	expect_status 0
	expect_stderr_has "1 extended attribute that SquashFS cannot hold is left out: 'file'"
	unsquashfs -lx x.simg >/dev/null 2>&1 || : # only newer versions list them
	if [ "$(id -u)" = 0 ]; then
		unsquashfs -q -n -d out x.simg >/dev/null
		if getfattr -h -n user.color --only-values out/file >value 2>/dev/null; then expect_equal "$(cat value)" blue; fi
	fi
)

(
	t "times that SquashFS cannot hold are cut, with a note"
	{ entry x h "$(pax mtime -5)"; entry 0 old text; entry x h "$(pax mtime 9999999999)"; entry 0 new text; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	expect_stderr_has "2 times before 1970 or after 2106 are cut to that, the first: 'old'"
	unsquashfs -lln x.simg | grep -q '1970-01-01 00:00 squashfs-root/old' || fail "the old file has another time"
)

(
	t "an empty tarball makes an image of mount points, which --no-mount-points leaves out, and its record"
	end_mark >x.tar
	run simg build x.simg x.tar
	expect_status 0
	unsquashfs -lln x.simg | sed -n 's,.* squashfs-root/,,p' >names
	expect_equal "$(tr '\n' ' ' <names)" \
		".simg .simg/build.json dev etc etc/group etc/hosts etc/localtime etc/passwd etc/resolv.conf home mnt proc root run sys tmp var var/tmp "
	unsquashfs -lln x.simg | grep -q '^drwxrwxrwt .* squashfs-root/tmp$' || fail "/tmp has another mode"
	run simg build --no-mount-points bare.simg x.tar
	expect_status 0
	expect_equal "$(unsquashfs -lln bare.simg | sed -n 's,.* squashfs-root,,p' | tr '\n' ' ')" " /.simg /.simg/build.json "
)

(
	t "mount points that are there stay as they are, whatever they are"
	{ entry 2 tmp var/tmp; entry 0 etc/passwd root; entry 2 etc/resolv.conf ../run/resolv.conf; entry 0 var file; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	unsquashfs -lln x.simg >all
	grep -q ' squashfs-root/tmp -> var/tmp$' all || fail "/tmp was changed"
	grep -q ' squashfs-root/etc/resolv.conf -> ../run/resolv.conf$' all || fail "/etc/resolv.conf was changed"
	grep -q ' 4 .* squashfs-root/etc/passwd$' all || fail "/etc/passwd was changed"
	grep -q '^-.* squashfs-root/var$' all || fail "/var was changed"
)

mkdir "$file_dir/tree"
printf 'some text\n' >"$file_dir/tree/file"
tar -C "$file_dir/tree" -cf "$file_dir/plain.tar" .
for packer in gzip zstd xz bzip2; do
	(
		t "the source's type is found by its content: $packer, under any name, from a file and from a pipe"
		$packer -c <"$file_dir/plain.tar" >strange.name
		run simg build plain.simg "$file_dir/plain.tar"
		expect_status 0
		run simg build packed.simg strange.name
		expect_status 0
		cmp plain.simg packed.simg
		run bash -c 'cat strange.name | simg build piped.simg -'
		expect_status 0
		cmp plain.simg piped.simg
	)
done

(
	t "a gzip file may have several members, as pigz and BGZF write them"
	head -c 700 "$file_dir/plain.tar" | gzip >two.gz
	tail -c +701 "$file_dir/plain.tar" | gzip >>two.gz
	run simg build x.simg two.gz
	expect_status 0
	expect_equal "$(content x.simg file)" "some text"
)

(
	t "a sparse file of 50 GB takes no time and no space"
	truncate -s 50G sparse
	printf end | dd of=sparse bs=1 seek=40G conv=notrunc status=none || skip "the file system has no large sparse files"
	for format in pax gnu; do
		tar --sparse --format=$format -cf x.tar sparse
		run timeout 20 simg build -f x.simg x.tar
		expect_status 0
		[ "$(stat -c %s x.simg)" -lt 1000000 ] || fail "the image has $(stat -c %s x.simg) bytes"
		listing x.simg | grep -qx -- '-rw-r--r-- .* 53687091200 sparse' || fail "the file has another size: $(listing x.simg)"
	done
)

(
	t "a saved container image gives a note: its layers are not its files"
	{ entry 0 oci-layout '{}'; entry 5 blobs/; end_mark; } >x.tar
	run simg build x.simg x.tar
	expect_status 0
	expect_stderr_has "looks like a saved container image"
)

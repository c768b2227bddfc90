#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# An image holds exactly what its source holds: every path's type, mode, owner, time, size, device number, hard links, extended
# attributes and content, as unsquashfs and the kernel read them.
. "$(dirname "$0")/../lib.sh"
need_root
need_user
need unsquashfs tar
# shellcheck source=tests/build/odd-tree.sh
. "$(dirname "$0")/odd-tree.sh"

odd_tree
manifest "$tree" >"$file_dir/expected"
chmod 0644 "$file_dir/expected"
tar --xattrs --xattrs-include='*' --sparse --format=pax -C "$tree" -cf "$file_dir/pax.tar" .
# Without attributes: the GNU format has none.
tar --format=gnu -C "$tree" -cf "$file_dir/gnu.tar" .

same_by_unsquashfs() {
	unsquashfs -q -n -d out "$1" >/dev/null
	manifest out >found
	diff "$file_dir/expected" found | head -n 20
	cmp -s "$file_dir/expected" found
}

# In a mount namespace of its own, so that nothing can stay behind.
same_by_kernel() {
	mkdir mnt
	export -f manifest
	unshare --mount bash -c 'mount -o loop,ro "$1" mnt && manifest mnt' bash "$1" >found || skip "the kernel mounts no SquashFS here"
	diff "$file_dir/expected" found | head -n 20
	cmp -s "$file_dir/expected" found
}

(
	t "a tarball, built by an ordinary user, read by unsquashfs"
	user_runs simg build --no-mount-points app.simg "$file_dir/pax.tar"
	expect_status 0
	expect_stderr ""
	same_by_unsquashfs app.simg
)

(
	t "a tarball, built by an ordinary user, read by the kernel"
	user_runs simg build --no-mount-points app.simg "$file_dir/pax.tar"
	expect_status 0
	same_by_kernel app.simg
)

for options in '-c gzip -l 1' '-c lz4' '-c xz -b 64K' '-b 4K' '-b 1M -l 19'; do
	(
		t "a tarball with $options, read by unsquashfs"
		run simg build --no-mount-points $options app.simg "$file_dir/pax.tar"
		expect_status 0
		same_by_unsquashfs app.simg
	)
done

(
	t "a directory, built by root, read by unsquashfs"
	run simg build --no-mount-points app.simg "$tree"
	expect_status 0
	expect_stderr ""
	same_by_unsquashfs app.simg
)

(
	t "a directory, built by root, read by the kernel"
	run simg build --no-mount-points app.simg "$tree"
	expect_status 0
	same_by_kernel app.simg
)

(
	t "a tarball in GNU format, all but the attributes"
	run simg build --no-mount-points app.simg "$file_dir/gnu.tar"
	expect_status 0
	unsquashfs -q -n -d out app.simg >/dev/null
	diff <(manifest "$tree" | grep -v '^# file:\|^[a-z]*\..*=\|^$') <(manifest out | grep -v '^# file:\|^[a-z]*\..*=\|^$')
)

(
	t "an ordinary user's own directory keeps its owner"
	as_user sh -c 'umask 022; mkdir dir; echo text >dir/file'
	user_runs simg build app.simg dir
	expect_status 0
	unsquashfs -lln app.simg | grep -q "^-rw-r--r-- $(id -u "$user")/$(id -g "$user") .* squashfs-root/file$" || fail "it has another owner"
)

# 1536 sets fill whole metadata blocks: libsquashfs's own writer fails at such numbers.
for count in 512 1536 1700; do
	(
		t "$count different attribute sets, each on two files"
		mkdir -p tree/one tree/two
		(cd tree/one && seq "$count" | xargs touch)
		(cd tree/two && seq "$count" | xargs touch)
		for i in $(seq "$count"); do printf '# file: %s\nuser.number="%s"\nuser.same="x"\n\n' "$i" "$i"; done >attributes
		(cd tree/one && setfattr --restore=../../attributes)
		(cd tree/two && setfattr --restore=../../attributes)
		run simg build --no-mount-points app.simg tree
		expect_status 0
		unsquashfs -s app.simg | grep -q "Number of xattr ids $count\$" || fail "equal sets were stored twice"
		unsquashfs -q -n -d out app.simg >/dev/null
		diff <(cd out/one && getfattr -d -- $(seq "$count")) attributes
		diff <(cd out/two && getfattr -d -- $(seq "$count")) attributes
	)
done

(
	t "a directory of 70000 files, and 70000 names of scattered inodes"
	mkdir -p deep/many deep/links
	(cd deep/many && seq -f 'name-of-file-%.0f' 70000 | xargs touch)
	(cd deep/links && seq 70000 | shuf --random-source=<(yes) | while read -r i; do echo "../many/name-of-file-$i"; done | xargs ln -t .)
	run simg build --no-mount-points app.simg deep
	expect_status 0
	run simg inspect app.simg
	expect_stdout_has "70001 files, 4 directories" # with /.simg/build.json
	mkdir mnt
	run unshare --mount sh -c 'mount -o loop,ro app.simg mnt && ls mnt/many | wc -l && stat -c %h mnt/links/name-of-file-69999'
	[ "$status" = 0 ] || skip "the kernel mounts no SquashFS here"
	expect_stdout "$(printf '%s\n' 70000 2)"
)

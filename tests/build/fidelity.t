#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# An image holds exactly what its source holds: every path's type, mode, owner, time, size, device number, hard links, extended
# attributes and content, as unsquashfs and the kernel read them.
. "$(dirname "$0")/../lib.sh"
need_root
need_user
need unsquashfs tar setfattr getfattr setcap mkfifo mknod sha256sum

# One line for each path: all that the image keeps, times in seconds. Hard links are known by their inode's first name. The record that
# simg build adds stays out.
manifest() (
	cd "$1"
	find . -path ./.simg -prune -o -print0 | sort -z | xargs -0 stat -c '%i %F|%a|%u|%g|%Y|%t:%T|%h|%s|%N' | awk '
		{ inode = $1; sub(/^[0-9]+ /, ""); split($0, field, "|"); name = $0; for (i = 0; i < 8; i++) sub(/^[^|]*\|/, "", name) }
		field[1] == "directory" { print field[1] "|" field[2] "|" field[3] "|" field[4] "|" field[5] "|" name; next }
		!(inode in first) { first[inode] = name }
		{ print $0 "|" first[inode] }'
	find . -path ./.simg -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
	find . -path ./.simg -prune -o -print0 | sort -z | xargs -0 getfattr -h -d -m - -e hex
)

make_odd_tree() (
	mkdir "$1"
	cd "$1"
	mkdir -p bin etc empty 'with space'
	cp /bin/true bin/plain
	cp /bin/true bin/cap
	setcap cap_net_raw,cap_net_admin+ep bin/cap
	cp /bin/cat bin/setuid
	chown 17:18 bin/setuid
	chmod 6755 bin/setuid
	ln bin/plain bin/hard
	ln bin/plain etc/hard-elsewhere
	ln -s plain bin/symlink
	ln bin/symlink bin/hard-symlink
	ln -s /nowhere/at/all dangling
	mknod char c 5 200
	mknod block b 259 70000
	mkfifo fifo
	touch "$(printf 'new\nline')" "$(printf 'latin\351')" "$(printf 'utf-\303\251')" "$(head -c 255 /dev/zero | tr '\0' n)" '-dash' '*?"'\'
	mkdir -p "$(for i in $(seq 60); do printf 'level-%d/' "$i"; done)"
	truncate -s 50M sparse
	printf middle | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none
	truncate -s 300000 zeros
	head -c 131072 /dev/urandom >one-block
	head -c 131073 /dev/urandom >one-block-and-a-byte
	head -c 1000000 /dev/urandom >blocks
	cp blocks copy-of-blocks
	cat one-block blocks >other-blocks
	: >empty-file
	touch big-owner
	chown 4000000000:4000000001 big-owner
	chmod 0 empty-file
	setfattr -n user.comment -v 'some text' etc
	setfattr -n user.binary -v 0x00ff00ff bin/plain
	setfattr -n trusted.secret -v yes etc
	setfattr -h -n trusted.on-a-link -v yes dangling
	setfattr -n user.empty empty-file
	head -c 3000 /dev/zero | tr '\0' v >../value
	setfattr -n user.large -v "$(cat ../value)" blocks
	find . -print0 | xargs -0 touch -h -d '2020-02-20 20:20:20.202'
	touch -d '2001-01-01 01:01:01' . etc
	chmod 1751 .
)

# Where extended attributes work: /dev/shm of older kernels lacks user.*, overlays lack trusted.*.
tree=$file_dir/tree
make_odd_tree "$tree" >/dev/null 2>"$file_dir/why" || skip "no tree with device nodes and extended attributes here: $(tail -n 1 "$file_dir/why")"
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
	expect_stdout_has "70001 files, 4 directories"
	mkdir mnt
	run unshare --mount sh -c 'mount -o loop,ro app.simg mnt && ls mnt/many | wc -l && stat -c %h mnt/links/name-of-file-69999'
	[ "$status" = 0 ] || skip "the kernel mounts no SquashFS here"
	expect_stdout "$(printf '%s\n' 70000 2)"
)

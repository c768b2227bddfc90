# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A tree with one of everything that an image can hold, and a description of a tree that has all that an image keeps. A file that
# sources this needs root; it is skipped where such a tree cannot be.
#
#	make_odd_tree DIR
#	manifest DIR                 one line for each path, then the files' sums, then attributes
#	odd_tree                     makes $tree, or skips the file
#	settle DIR KIND              lets images of DIR, "directory", or made of images of it, "image", be compared byte for byte
need setfattr getfattr setcap mkfifo mknod sha256sum

# One line for each path: all that the image keeps, times in seconds. Hard links are known by their inode's first name.
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

# An image keeps the build record of what it was made of as the next /.simg/base-N.json. With all 16 of these taken, the new record
# takes the old one's place; and with the record there already that a build will write, building adds nothing to the tree.
settle() {
	mkdir "$1/.simg"
	for i in $(seq 0 15); do echo '{}' >"$1/.simg/base-$i.json"; done
	simg build --no-mount-points "$file_dir/directory" "$1"
	simg build --no-mount-points "$file_dir/image" "$file_dir/directory"
	unsquashfs -cat "$file_dir/$2" .simg/build.json >"$1/.simg/build.json"
	rm "$file_dir/directory" "$file_dir/image"
	find "$1/.simg" -print0 | xargs -0 touch -d '2020-02-20 20:20:20'
	touch -d '2001-01-01 01:01:01' "$1"
}

# Where extended attributes work: /dev/shm of older kernels lacks user.*, overlays lack trusted.*.
odd_tree() {
	tree=$file_dir/tree
	make_odd_tree "$tree" >/dev/null 2>"$file_dir/why" ||
		skip "no tree with device nodes and extended attributes here: $(tail -n 1 "$file_dir/why")"
}

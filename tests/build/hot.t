#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What every start reads is stored uncompressed: by its name, or because a list says so.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
need unsquashfs tar

# Text that every compressor makes short, with a first line of its own: a tail and more than two blocks.
text() { printf 'this is %s\n' "$1"; seq "${2:-50000}"; }

tree=$file_dir/tree
mkdir -p "$tree"/{usr/bin,usr/lib,lib/deep/er,opt}
text 'the C library' >"$tree/usr/lib/libc.so.6"
text 'the loader' 100 >"$tree/usr/lib/ld-linux-x86-64.so.2"
text 'a shell' >"$tree/usr/bin/bash"
text 'no shell' >"$tree/usr/bin/bash.txt"
text 'a program' >"$tree/opt/program"
text 'a library' >"$tree/lib/deep/one"
text 'another library' 200 >"$tree/lib/deep/er/two"
text 'a neighbour' 200 >"$tree/lib/deeper"
touch -d '2021-03-04 05:06:07 UTC' "$tree"

# is_plain IMAGE PATH: whether the image has the file's bytes as they are, one behind the other.
is_plain() {
	local offset
	for offset in $(grep -aboF "$(head -n 1 "$tree/$2")" "$1" | cut -d: -f1); do
		! cmp -s -i "$offset:0" -n "$(stat -c %s "$tree/$2")" "$1" "$tree/$2" || return 0
	done
	return 1
}

# expect_plain IMAGE PATH…: these are stored as they are, and no other file of the tree.
expect_plain() {
	local image=$1 path
	shift
	(cd "$tree" && find . -type f -printf '%P\n') | sort | while read -r path; do
		! is_plain "$image" "$path" || echo "$path"
	done >plain
	expect_equal "$(cat plain)" "$(printf '%s\n' "$@" | sort)"
	unsquashfs -q -no-progress -d "$image.tree" "$image" >unsquashfs.out 2>&1 || fail "$(cat unsquashfs.out)"
	diff -r "$tree" "$image.tree" | grep -v "^Only in $image.tree" >differences || :
	expect_equal "$(cat differences)" ''
}

(
	t "loader, libc and shell are stored uncompressed, and the metadata with them"
	for source in "$tree" "$file_dir/tree.tar"; do
		[ -e "$source" ] || tar -C "$tree" -cf "$source" .
		run simg build -q -f app.simg "$source"
		expect_status 0
		rm -rf app.simg.tree
		expect_plain app.simg usr/lib/libc.so.6 usr/lib/ld-linux-x86-64.so.2 usr/bin/bash
		unsquashfs -s app.simg | grep -q 'Inodes are uncompressed' || fail "the inodes are compressed"
		grep -aqF 'bash.txt' app.simg || fail "the directories are compressed"
	done
)

(
	t "with --no-hot nothing is"
	run simg build -q --no-hot app.simg "$tree"
	expect_status 0
	expect_plain app.simg
	unsquashfs -s app.simg | grep -q 'Inodes are compressed' || fail "the inodes are not compressed"
)

(
	t "--hot adds files, and all files below a directory that ends with a slash"
	printf '%s\n' '# a comment' '' /opt/program /lib/deep/ /usr >hot
	run simg build -q --hot hot app.simg "$tree"
	expect_status 0
	expect_plain app.simg usr/lib/libc.so.6 usr/lib/ld-linux-x86-64.so.2 usr/bin/bash opt/program lib/deep/one lib/deep/er/two
	run simg build -q --no-hot --hot hot only.simg "$tree"
	expect_status 0
	expect_plain only.simg opt/program lib/deep/one lib/deep/er/two
)

(
	t "--hot with the root directory leaves everything uncompressed"
	echo / >hot
	run simg build --hot hot app.simg "$tree"
	expect_status 0
	expect_stderr_lacks note:
	mapfile -t all < <(cd "$tree" && find . -type f -printf '%P\n')
	expect_plain app.simg "${all[@]}"
)

(
	t "a path of the list that is not in the image is worth a note, not a failure"
	printf '%s\n' /opt/program /opt/missing >hot
	run simg build --hot hot app.simg "$tree"
	expect_status 0
	expect_stderr_has "simg: note: 1 path of the list of hot files is no file in the image: '/opt/missing'"
	printf '%s\n' /z/ /usr /opt/program /opt/missing /opt/missing >hot
	run simg build -f --hot hot app.simg "$tree"
	expect_status 0
	expect_stderr_has "simg: note: 3 paths of the list of hot files are no files in the image, the first: '/opt/missing'"
	run simg build -q -f --hot hot app.simg "$tree"
	expect_status 0
	expect_stderr ''
)

(
	t "a damaged list is refused, with its line"
	refused() {
		run simg build --hot hot app.simg "$tree"
		expect_status 1
		expect_stderr_has "simg: error: $1"
		[ ! -e app.simg ] || fail "there is an image"
	}
	printf '/usr/bin/bash\nusr/bin/bash\n' >hot
	refused "hot:2: 'usr/bin/bash' is no path"
	expect_stderr_has "simg: hint: a list of hot files has one path on a line, as in the image: /usr/bin/perl"
	printf '/usr/../bin/bash\n' >hot
	refused "hot:1: '/usr/../bin/bash' is no path"
	printf '\n/usr/./bin/bash\n' >hot
	refused "hot:2: '/usr/./bin/bash' is no path"
	printf '/usr//bin/bash\n' >hot
	refused "hot:1: '/usr//bin/bash' is no path"
	printf '/usr/bin/\0bash\n' >hot
	refused "hot:1: '/usr/bin/' is no path"
	{ printf /; head -c 5000 /dev/zero | tr '\0' x; } >hot
	refused "hot:1: '/xxx"
	printf '# nothing\n\n' >hot
	refused "the list of hot files 'hot' names none"
	rm hot
	refused "cannot open the list of hot files 'hot': No such file or directory"
	mkdir hot
	refused "cannot read the list of hot files 'hot': Is a directory"
	run simg build app.simg "$tree" --hot
	expect_status 2
	expect_stderr_has "simg: error: the option '--hot' needs a value"
)

(
	t "files equal to hot ones, holes and zeros keep their content"
	mkdir other
	cp "$tree/usr/lib/libc.so.6" other/a-copy
	cp "$tree/usr/lib/libc.so.6" other/libc.so.6
	cp "$tree/usr/lib/libc.so.6" other/z-copy
	cp "$tree/usr/lib/ld-linux-x86-64.so.2" other/small
	cp other/small other/tiny-again
	{ cat other/small; head -c 1000000 /dev/zero; cat other/small; } >other/zeros
	truncate -s 3000001 other/hole
	cat other/small >>other/hole
	: >other/empty
	printf '%s\n' /small /zeros /hole /empty >hot
	run simg build --hot hot app.simg other
	expect_status 0
	expect_stderr_lacks note:
	unsquashfs -q -no-progress -d read app.simg >/dev/null
	for file in other/*; do cmp "$file" "read/${file#other/}"; done
)

(
	t "the same bytes whatever the number of threads and the order of the list"
	printf '%s\n' /opt/program /lib/deep/ >hot
	printf '%s\n' /lib/deep/ /opt/program /opt/program >toh
	run simg build --jobs 1 --hot hot first.simg "$tree"
	expect_status 0
	for jobs in 2 3 16; do
		run simg build -f --jobs $jobs --hot toh again.simg "$tree"
		expect_status 0
		cmp first.simg again.simg
	done
)

(
	t "the files that strace sees can be listed as the manual page says"
	need strace unshare
	unshare -r true 2>strace.err || skip "no user namespaces here: $(cat strace.err)"
	mkdir -p image/usr/bin
	for file in /bin/cat $(ldd /bin/cat | grep -o '/[^ ]*'); do
		mkdir -p "image${file%/*}"
		cp -L "$file" "image$file"
	done
	echo data >image/usr/data
	strace -f -y -e trace=openat -o trace unshare -r chroot image cat /usr/data
	grep -v O_DIRECTORY trace | sed -n "s,.* = [0-9]*<$PWD/image\(/.*\)>\$,\1,p" | sort -u >hot
	grep -qx /usr/data hot || fail "$(cat hot)"
	run simg build --hot hot app.simg image
	expect_status 0
	expect_stderr_lacks note:
)

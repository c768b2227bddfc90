#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Images by every writer pass the checks that a launch and simg inspect make: table order and presence differ between writers.
. "$(dirname "$0")/../lib.sh"
need mksquashfs jq

trees=$file_dir/trees
mkdir -p "$trees"/{empty,small,many}
cp /usr/include/*.h "$trees/small/" 2>/dev/null || seq 10000 >"$trees/small/seq"
for i in $(seq 5); do mkdir "$trees/many/$i"; (cd "$trees/many/$i" && seq -f 'file-%.0f' 500 | xargs touch); done
head -c 2000000 /dev/urandom | split -b 3000 -a 4 - "$trees/many/fragment-"
for i in $(seq 700); do printf '# file: many/1/file-%s\nuser.number="%s"\n\n' $((i % 500)) "$i"; done >"$file_dir/attributes"
(cd "$trees" && setfattr --restore=../attributes) 2>/dev/null || :
[ "$(id -u)" != 0 ] || for i in $(seq 500); do echo "$((i + 5000)):$((i + 90000)) $trees/many/2/file-$i"; done |
	while read -r owner file; do chown "$owner" "$file"; done

# accepted TREE [MORE]: the image has the tree's files, and so many more.
accepted() {
	local files
	run simg inspect --json app.sqfs
	expect_status 0
	files=$(($(find "$1" -type f | wc -l) + ${2-0}))
	grep -q 'not supported' "$stderr" || expect_equal "$(jq .content.files "$stdout")" "$files"
	rm app.sqfs
}

options=('' -no-fragments -no-xattrs -no-exports -always-use-fragments '-noI -noD -noF -noX' '-b 1M' '-b 4K' -no-duplicates -nopad)
for compressor in gzip xz lz4 zstd lzo lzma; do
	(
		t "mksquashfs with $compressor and all kinds of options"
		for tree in empty small many; do
			for option in "${options[@]}"; do
				mksquashfs "$trees/$tree" app.sqfs -comp $compressor $option -noappend -quiet -no-progress >/dev/null 2>&1 || continue
				accepted "$trees/$tree"
				tried=1
			done
		done
		[ -n "${tried-}" ] || skip "mksquashfs has no $compressor"
	)
done

(
	t "tar2sqfs, with and without an export table and attributes"
	need tar2sqfs tar
	for tree in empty small many; do
		tar -C "$trees/$tree" --xattrs -cf x.tar .
		for option in '' -e -x '-c gzip' '-c xz' '-b 1048576'; do
			tar2sqfs -q $option app.sqfs <x.tar 2>/dev/null
			accepted "$trees/$tree"
		done
	done
)

(
	t "simg build, with every compressor"
	for tree in empty small many; do
		for option in '' '-c gzip -l 1' '-c xz -l 1' '-c lz4' '-b 4K' '-b 1M'; do
			simg build --no-mount-points $option app.sqfs "$trees/$tree"
			accepted "$trees/$tree" 1
		done
	done
)

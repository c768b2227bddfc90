#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The same input gives the same bytes.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
need unsquashfs tar

# Files with tails, duplicates, holes, zeros, and more data than all threads hold at once.
tree=$file_dir/tree
mkdir -p "$tree/sub"
for i in $(seq 60); do
	head -c $((i * 40000)) /dev/urandom >"$tree/random-$i"
	seq $((i * 1000)) >"$tree/sub/text-$i"
done
cp "$tree"/random-4? "$tree/sub/"
cp "$tree/sub/text-7" "$tree/text-7-again"
truncate -s 10M "$tree/hole"
head -c 5000000 /dev/zero >"$tree/zeros"
touch -d '2021-03-04 05:06:07 UTC' "$tree"/* "$tree"/sub/* "$tree/sub" "$tree"
tar -C "$tree" --sort=name -cf "$file_dir/tree.tar" .

for source in "$tree" "$file_dir/tree.tar"; do
	(
		t "whatever the number of threads, and whenever: ${source##*/}"
		run simg build --jobs 1 first.simg "$source"
		expect_status 0
		for jobs in 2 3 16; do
			for again in 1 2; do
				run simg build -f --jobs $jobs "again-$again.simg" "$source"
				expect_status 0
				cmp first.simg "again-$again.simg"
			done
		done
	)
done

(
	t "whatever order the directory is read in"
	mkdir other
	# Made in another order, with names that hash elsewhere in between.
	(cd "$tree" && find . -depth -print0 | sort -zr | cpio -0pdm --quiet "$case_dir/other" 2>/dev/null) || cp -a "$tree/." other/
	(cd "$tree" && find . -type d -exec touch -r {} "$case_dir/other/{}" \;)
	run simg build first.simg "$tree"
	expect_status 0
	run simg build second.simg other
	expect_status 0
	cmp first.simg second.simg
)

(
	t "from a file and from a pipe, plain and compressed"
	need gzip
	run simg build file.simg "$file_dir/tree.tar"
	expect_status 0
	run sh -c 'gzip -1 -c <"$1" | simg build pipe.simg -' sh "$file_dir/tree.tar"
	expect_status 0
	cmp file.simg pipe.simg
)

(
	t "the image's own time is that of its newest file, or --timestamp or SOURCE_DATE_EPOCH, and nothing is younger"
	run simg build newest.simg "$tree"
	expect_status 0
	unsquashfs -s newest.simg | grep -q 'Thu Mar  4 05:06:07 2021' || fail "$(unsquashfs -s newest.simg | sed -n 2p)"
	run env SOURCE_DATE_EPOCH=1000000000 simg build epoch.simg "$tree"
	expect_status 0
	unsquashfs -s epoch.simg | grep -q 'Sun Sep  9 01:46:40 2001' || fail "$(unsquashfs -s epoch.simg | sed -n 2p)"
	unsquashfs -lln epoch.simg | grep -q '2001-09-09 01:46 squashfs-root/proc$' || fail "a mount point has another time"
	unsquashfs -lln epoch.simg | grep -q '2001-09-09 01:46 squashfs-root/zeros$' || fail "a file is younger than the image"
	run simg build stamp.simg "$tree" --timestamp 1000000000
	expect_status 0
	cmp epoch.simg stamp.simg
	run env SOURCE_DATE_EPOCH=5 simg build both.simg "$tree" --timestamp 1000000000
	cmp epoch.simg both.simg
	run simg build later.simg "$tree" --timestamp 2000000000
	unsquashfs -lln later.simg | grep -q '2021-03-04 05:06 squashfs-root/zeros$' || fail "an older file's time was changed"
)

(
	t "equal files are stored once"
	mkdir one two
	head -c 3000000 /dev/urandom >one/a
	cp one/a two/a
	cp one/a two/b
	head -c 5000 one/a >two/small
	cp two/small two/small-again
	run simg build one.simg one
	run simg build two.simg two
	expect_status 0
	[ $(($(stat -c %s two.simg) - $(stat -c %s one.simg))) -lt 12000 ] || fail "$(stat -c %s one.simg two.simg)"
)

(
	t "the superblock stands at byte 0, the file ends on 4 KiB, and NFS can export it"
	run simg build app.simg "$tree"
	expect_equal "$(head -c 4 app.simg)" hsqs
	expect_equal $(($(stat -c %s app.simg) % 4096)) 0
	unsquashfs -s app.simg >super
	grep -q 'exportable via NFS' super
	grep -q 'Block size 131072' super
	grep -q 'Compression zstd' super
	grep -q 'compression-level 3' super
	grep -q 'Always-use-fragments' super
	grep -q 'Duplicates are removed' super
)

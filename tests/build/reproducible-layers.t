#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The same layers give the same bytes: whatever number of threads reads them in which order, whatever the cache holds, and whoever builds
# where and when.
. "$(dirname "$0")/../lib.sh"
need python3 taskset

# Layers of uneven sizes, with files that are larger than what a thread reads in one turn, in several packings.
{
	for layer in 1 2 3 4 5; do
		echo "layer $(printf '%s\n' gzip zstd plain gzip-members zstd-frames | sed -n ${layer}p)"
		for i in $(seq $((layer * 7 % 5 + 1))); do
			echo "random dir-$layer/big-$i $((4300000 - layer * 300000 * (i % 2)))"
			for small in $(seq 20); do echo "random dir-$layer/$i/small-$small $((small * i * 300))"; done
		done
		echo "file shared of-$layer"
		echo "hardlink dir-$layer/link dir-1/big-1"
	done
} | "$top/tests/layout.py" image "$file_dir/lay" t >/dev/null

builds() { run "$@"; expect_status 0; expect_stderr ""; }
same() { cmp "$file_dir/first.simg" "${1-x.simg}"; rm "${1-x.simg}"; }

export SIMG_CACHE_DIR=$file_dir/cache
simg build -q --jobs 1 "$file_dir/first.simg" "oci:$file_dir/lay:t"

(
	t "twenty times, with one thread, many, and on one processor"
	for i in $(seq 20); do
		rm -rf "$SIMG_CACHE_DIR"/images/*
		[ $((i % 3)) != 0 ] || rm -rf "$SIMG_CACHE_DIR"
		case $((i % 4)) in
		0) builds simg build -q --jobs 1 x.simg "oci:$file_dir/lay:t" ;;
		1) builds simg build -q --jobs 4 x.simg "oci:$file_dir/lay:t" ;;
		2) builds taskset -c "$(taskset -pc $$ | sed 's/.*[: ]\([0-9]*\).*/\1/')" simg build -q x.simg "oci:$file_dir/lay:t" ;;
		3) builds simg build -q x.simg "oci:$file_dir/lay:t" ;;
		esac
		same
	done
)

(
	t "from a cache that is new, that holds all, and that lacks its lists of files or its images"
	for gone in "" images derived "images derived" "images derived blobs"; do
		for room in $gone; do find "$SIMG_CACHE_DIR/$room" -type f -delete; done
		builds simg build -q x.simg "oci:$file_dir/lay:t"
		same
	done
)

(
	t "in another place, locale and time zone, under another name, by another user and umask"
	need_user
	rm -rf "$SIMG_CACHE_DIR"
	mkdir -p deep/er
	cp -r "$file_dir/lay" deep/er/other
	chmod -R a+rX "$file_dir" .
	(umask 077; cd deep && SIMG_CACHE_DIR=$case_dir/c1 builds env LC_ALL=C.UTF-8 TZ=Pacific/Kiritimati simg build -q ../y.simg oci:er/other:t)
	same y.simg
	chown "$user" .
	user_runs env TZ=America/Lima SIMG_CACHE_DIR="$case_dir/c2" "$(command -v simg)" build -q z.simg "oci:deep/er/other:t"
	expect_status 0
	same z.simg
)

(
	t "pieces of files that end just where a thread's memory ends arrive whole"
	# Of a layer's first mebibyte: 60 small files put what is handed on out of step with what is read.
	for n in $(seq 1 12); do
		echo "layer plain"
		for i in $(seq 10 69); do echo "file $n-$i x"; done
		echo "random f$n $((1048576 - 8 - 60 * 88 - 32 - 24 * n))"
		echo "file e$n hello"
	done | "$top/tests/layout.py" image edge t >/dev/null
	builds simg build -q x.simg oci:edge:t
	need unsquashfs
	unsquashfs -q -n -d tree x.simg >/dev/null
	python3 - <<-'PYTHON'
		import random
		for n in range(1, 13):
		    with open(f"tree/f{n}", "rb") as file:
		        assert file.read() == random.Random(f"f{n}").randbytes(1048576 - 8 - 60 * 88 - 32 - 24 * n), n
		    with open(f"tree/e{n}", "rb") as file:
		        assert file.read() == b"hello", n
	PYTHON
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Memory: none is lost or misused, and a build needs little of it.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
need tar zstd
! grep -qs 'enable-sanitizers' "$build/config.status" || skip "a build with sanitizers"

# with_valgrind STATUS ARGUMENT…
with_valgrind() {
	local wanted=$1
	shift
	need valgrind
	run valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,possible simg "$@"
	expect_status "$wanted"
	expect_stderr_lacks "=="
}

mkdir -p "$file_dir/tree/sub"
for i in $(seq 30); do head -c $((i * 9000)) /dev/urandom >"$file_dir/tree/file-$i"; done
cp "$file_dir/tree/file-30" "$file_dir/tree/sub/copy"
ln "$file_dir/tree/file-3" "$file_dir/tree/sub/hard"
ln -s ../file-3 "$file_dir/tree/sub/symlink"
truncate -s 3M "$file_dir/tree/hole"
tar -C "$file_dir/tree" --sparse -cf "$file_dir/tree.tar" .

for packer in cat gzip zstd xz bzip2; do
	(
		t "valgrind finds nothing in a build from a tarball: $packer"
		if [ $packer = cat ]; then cat "$file_dir/tree.tar"; else $packer -c <"$file_dir/tree.tar"; fi >x.tar
		with_valgrind 0 build --jobs 2 x.simg x.tar
		head -c 100000 x.tar >cut.tar
		with_valgrind 1 build --jobs 2 cut.simg cut.tar
	)
done

(
	t "valgrind finds nothing in a build from a directory, and in an inspection"
	with_valgrind 0 build --jobs 2 x.simg "$file_dir/tree"
	with_valgrind 0 inspect x.simg
	with_valgrind 0 inspect --json "$file_dir/tree"
	head -c 10000 x.simg >cut.simg
	with_valgrind 1 inspect cut.simg
)

(
	t "valgrind finds nothing where an entry is refused or the disk is full"
	{ entry 0 file text; entry 1 link nothing; end_mark; } >x.tar
	with_valgrind 1 build x.simg x.tar
	with_valgrind 1 build --max-size 100K x.simg "$file_dir/tree"
)

peak_kib() { /usr/bin/time -f %M "$@" 2>&1 | tail -n 1; }

(
	t "500 MB take less than 150 MB of memory, with 2 and with 16 threads"
	[ -x /usr/bin/time ] || skip "/usr/bin/time is not installed"
	{ for _ in 1 2 3 4 5; do head -c 50000000 /dev/urandom; seq 7000000; done; } | head -c 500000000 >data
	tar -cf x.tar data
	for jobs in 2 16; do
		peak=$(peak_kib simg build -f --jobs $jobs x.simg x.tar)
		echo "$jobs threads: $peak KiB"
		[ "$peak" -lt 150000 ] || fail "$jobs threads take $peak KiB"
	done
)

(
	t "300000 files take less than 300 bytes each, and their name"
	[ -x /usr/bin/time ] || skip "/usr/bin/time is not installed"
	mkdir many
	for i in $(seq 30); do mkdir "many/$i"; (cd "many/$i" && seq -f 'name-%.0f' 10000 | xargs touch); done
	tar -cf x.tar many
	peak=$(peak_kib simg build x.simg x.tar)
	echo "$peak KiB"
	[ "$peak" -lt 110000 ] || fail "it takes $peak KiB"
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds of containers, several at once, where the cache or the target has no room: an error that says which, nothing left of the target,
# and the same cache serves the next build once there is room.
. "$(dirname "$0")/../lib.sh"
need_root
need python3 unshare
unshare -m true 2>/dev/null || skip "no mount namespaces"

mkdir "$file_dir/layouts"
{
	for layer in 1 2 3; do
		echo layer
		echo "random file-$layer 1000000"
	done
} | "$top/tests/layout.py" image "$file_dir/layouts/app" 1 >/dev/null

serve() {
	mkdir server
	"$top/tests/registry_server.py" "$file_dir/layouts" server 3>&- &
	cleanup kill $!
	eventually test -e server/ports
	source=docker://127.0.0.1:$(sed -n 's/^registry_port=//p' server/ports)/app:1
	export HOME=$PWD source
}

# three_at_once SIZE-OF-CACHE SIZE-OF-TARGET: in file systems of these sizes, then one more with room for both. Prints for each build what
# became of it.
three_at_once() {
	mkdir cache target
	run unshare -m --propagation private bash -euc '
		export SIMG_CACHE_DIR=$PWD/cache
		mount -t tmpfs -o mode=0755,size="$1" none cache
		mount -t tmpfs -o mode=0755,size="$2" none target
		for i in 1 2 3; do
			{ code=0; timeout 60 simg build -q "target/$i.simg" "$source" 2>"err.$i" || code=$?; echo "$code" >"code.$i"; } &
		done
		wait
		for i in 1 2 3; do echo "build $i: $(cat code.$i)"; cat "err.$i" >&2; done
		(cd target && find . -type f)
		find cache -name ".tmp-*"
		rm -f target/*.simg
		mount -o remount,size=64m cache
		mount -o remount,size=64m target
		simg build -q target/again.simg "$source"
		cmp target/again.simg whole.simg
		simg cache verify -q
		find cache/partial -type f' bash "$1" "$2"
	expect_status 0
}

(
	t "a target without room is named, three times, and the cache is of use"
	serve
	SIMG_CACHE_DIR=$PWD/first simg build -q whole.simg "$source"
	three_at_once 64m 1m
	expect_stdout "$(printf 'build %d: 1\n' 1 2 3)"
	expect_equal "$(grep -c "cannot write the image 'target/[123].simg': No space left on device" "$stderr")" 3
)

(
	t "a cache without room for a layer is named, with a hint, and no image is made"
	serve
	SIMG_CACHE_DIR=$PWD/first simg build -q whole.simg "$source"
	three_at_once 600k 64m
	expect_stdout "$(printf 'build %d: 1\n' 1 2 3)"
	expect_equal "$(grep -c "error: cannot write to the cache '$PWD/cache': No space left on device" "$stderr")" 3
	expect_equal "$(grep -c "hint: 'simg cache prune' makes room in it" "$stderr")" 3
)

(
	t "a cache with room for the layers but not for the image does without that"
	serve
	SIMG_CACHE_DIR=$PWD/first simg build -q whole.simg "$source"
	three_at_once 4m 64m
	expect_stdout_has "$(printf 'build %d: 0\n' 1 2 3)"
	expect_stdout_lacks ".tmp-"
	expect_stderr ""
)

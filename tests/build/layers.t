#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg build of containers: what their number of layers, and the cache, may not change. What the layers give is differential.t's.
. "$(dirname "$0")/../lib.sh"
need python3 unsquashfs
export SIMG_CACHE_DIR=$file_dir/cache

layout() { python3 "$top/tests/layout.py" image layout "$1" >/dev/null; }

(
	t "more layers than descriptors that the shell allows"
	for i in $(seq 200); do printf 'layer\nfile f%d %d\n' "$i" "$i"; done | layout many
	ulimit -Sn 100
	run simg build -q app.simg oci:layout:many
	expect_status 0
	expect_equal "$(unsquashfs -l app.simg | grep -c '/f[0-9]*$')" 200
)

(
	t "nothing of a file that a layer replaces, hides or removes is in the image"
	printf 'layer\nrandom a 2000000\ndir d\nrandom d/b 2000000\nrandom c 2000000\nlayer\nfile a 1\nopaque d\nwhiteout c\n' |
		layout image
	run simg build -q --no-mount-points app.simg oci:layout:image
	expect_status 0
	expect_equal "$(unsquashfs -cat app.simg a)" 1
	[ "$(stat -c %s app.simg)" -lt 65536 ] || fail "the image has $(stat -c %s app.simg) bytes"
)

(
	t "--max-size holds for an image that was built before, too"
	printf 'layer\nrandom x 100000\n' | layout image
	run simg build -q app.simg oci:layout:image
	expect_status 0
	run simg build -q --max-size 10K smaller.simg oci:layout:image
	expect_status 1
	expect_stderr_has "hold more than 10"
	[ ! -e smaller.simg ] || fail "there is an image"
)

(
	t "a layer fails while one below it is being read"
	head -c 10240 /dev/zero >empty.tar
	{
		echo layer && seq -f 'file f%.0f' 10000
		echo "blob application/vnd.oci.image.layer.v1.tar empty.tar sha256:$(printf '%064d' 1)"
	} | layout damaged
	for _ in 1 2 3 4 5; do
		rm -rf "$SIMG_CACHE_DIR"
		run simg build -q app.simg oci:layout:damaged
		expect_status 1
		expect_stderr_matches '^simg: error: layer 2 .* is not what the image.s configuration says'
	done
	expect_equal "$(find . -name '*app.simg*')" ""
)

# build_once: an image of a layout in app.simg, and in a cache of the case's own; $kept is the file there.
build_once() {
	export SIMG_CACHE_DIR=$PWD/cache
	umask 022
	printf 'layer\nrandom x 100000\n' | layout image
	simg build -q app.simg oci:layout:image
	kept=$(find cache/images -name '*.simg')
}

(
	t "the image in the cache takes no space, unless others may write the file"
	build_once
	expect_equal "$(stat -c %i "$kept")" "$(stat -c %i app.simg)"
	rm -r cache
	umask 002
	simg build -q -f app.simg oci:layout:image
	kept=$(find cache/images -name '*.simg')
	[ "$(stat -c %i "$kept")" != "$(stat -c %i app.simg)" ] || fail "a file that others may write is in the cache"
	cmp "$kept" app.simg
)

(
	t "a build waits for another one of the same image, and copies what that one made"
	need flock
	build_once
	lock=cache/locks/user-$(id -u)-${kept##*/}
	mv "$kept" aside
	mkfifo pipe
	flock "$lock" cat pipe >/dev/null &
	exec 9>pipe
	simg build second.simg oci:layout:image 2>message 9>&- &
	second=$!
	eventually grep -qx 'simg: note: another build makes this image at the moment: waiting for it' message
	[ ! -e second.simg ] || fail "it did not wait"
	mv aside "$kept"
	touch -d '2001-01-01' "$kept"
	exec 9>&-
	wait $second
	cmp app.simg second.simg
	# A build would have put a file of its own there.
	expect_equal "$(stat -c %i "$kept")" "$(stat -c %i app.simg)"
)

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

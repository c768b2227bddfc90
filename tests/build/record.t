#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The build record: every image says what it was made of, and how.
. "$(dirname "$0")/../lib.sh"
need unsquashfs jq tar

mkdir "$file_dir/dir"
echo text >"$file_dir/dir/file"
touch -d '2021-03-04 05:06:07 UTC' "$file_dir/dir/file" "$file_dir/dir"
tar -C "$file_dir/dir" -cf "$file_dir/x.tar" .
chmod 0644 "$file_dir/x.tar"

record() { unsquashfs -cat "$1" .simg/build.json; }

(
	t "the record of a directory: source, builder, compressor"
	run simg build app.simg "$file_dir/dir"
	expect_status 0
	record app.simg >found.json
	expect_equal "$(jq -c 'del(.builder.version, .squashfs.library_version)' found.json)" \
		'{"schema":1,"builder":{"name":"simg"},"source":{"kind":"directory"},"squashfs":{"compressor":"zstd","level":3,"block_bytes":131072},"options":{"mount_points":true}}'
	expect_equal "simg $(jq -r .builder.version found.json)" "$(simg --version | head -n 1)"
	jq -e '.squashfs.library_version | test("^1\\.[0-9]+\\.[0-9]+$")' found.json
)

(
	t "the record of a tarball with other options"
	run simg build --no-mount-points -c lz4 -b 64K app.simg - <"$file_dir/x.tar"
	expect_status 0
	expect_equal "$(record app.simg | jq -c '[.source, .squashfs.compressor, .squashfs.level, .squashfs.block_bytes, .options]')" \
		'[{"kind":"tarball"},"lz4",null,65536,{"mount_points":false}]'
)

(
	t "it belongs to root and has the image's own time, wherever the source lies"
	need_user
	user_runs simg build app.simg "$file_dir/x.tar"
	expect_status 0
	unsquashfs -lln app.simg | grep -q '^-rw-r--r-- 0/0 .* 2021-03-04 05:06 squashfs-root/.simg/build.json$' || fail "$(unsquashfs -lln app.simg)"
	cp "$file_dir/x.tar" other-name.tar
	run simg build other.simg other-name.tar
	cmp app.simg other.simg
)

(
	t "what an image was made of is kept when it is built again"
	run simg build first.simg "$file_dir/dir"
	unsquashfs -q -n -d tree first.simg >/dev/null
	run simg build second.simg tree
	expect_status 0
	expect_equal "$(unsquashfs -cat second.simg .simg/base-0.json)" "$(record first.simg)"
	expect_equal "$(record second.simg | jq -r .base)" /.simg/base-0.json
	unsquashfs -q -n -d again second.simg >/dev/null
	run simg build third.simg again
	expect_equal "$(unsquashfs -cat third.simg .simg/base-0.json)" "$(record first.simg)"
	expect_equal "$(unsquashfs -cat third.simg .simg/base-1.json)" "$(record second.simg)"
	expect_equal "$(record third.simg | jq -r .base)" /.simg/base-1.json
)

(
	t "a tree with something else in its place is built all the same"
	mkdir tree
	ln -s /etc tree/.simg
	mkdir tree/etc
	run simg build app.simg tree
	expect_status 0
	expect_equal "$(record app.simg | jq -r .source.kind)" directory
	expect_equal "$(unsquashfs -lln app.simg | grep -c ' squashfs-root/etc/build.json$')" 0
)

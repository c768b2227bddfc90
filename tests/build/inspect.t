#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg inspect: text and JSON, every format that people have, and images that are damaged.
. "$(dirname "$0")/../lib.sh"
need jq

tree=$file_dir/tree
mkdir -p "$tree/.singularity.d" "$tree/.simg" "$tree/bin"
printf '#!/bin/sh\nexec "$@"\n' >"$tree/.singularity.d/runscript"
printf '{"org.label-schema.name": "solver", "evil": "\\u001b[31mred"}\n' >"$tree/.singularity.d/labels.json"
cat >"$tree/.simg/config.json" <<'JSON'
{"architecture": "amd64", "config": {"Env": ["PATH=/opt/bin:/usr/bin", "LANG=C.UTF-8"], "WorkingDir": "/work",
 "Entrypoint": ["/bin/solver"], "Cmd": ["--input", "a b"], "Labels": {"version": "7"}}}
JSON
head -c 200000 /dev/urandom >"$tree/bin/solver"
ln "$tree/bin/solver" "$tree/bin/solver2"
ln -s solver "$tree/bin/link"
simg build --no-mount-points "$file_dir/app.simg" "$tree"
app=$file_dir/app.simg
chmod -R a+rX "$file_dir"

(
	t "text tells format, sizes, files and the container's metadata"
	run simg inspect "$app"
	expect_status 0
	expect_stderr ""
	expect_stdout_has "format      squashfs" "content     5 files, 4 directories, 1 symlink" "compressor  zstd, blocks of 128.0 KiB" \
		"runscript   /.singularity.d/runscript" "entrypoint  /bin/solver" "command     --input" "            a b" "directory   /work" \
		"environment PATH=/opt/bin:/usr/bin" "            LANG=C.UTF-8" "labels      org.label-schema.name = solver" \
		"            evil = ?[31mred" "labels      version = 7"
	expect_stdout_matches '^size        [0-9.]+ KiB, for 19[56]\.[0-9] KiB of files \([0-9]+ %\)$'
	expect_stdout_matches '^made        20[0-9-]+ [0-9:]+ UTC$'
)

(
	t "JSON has the same, and the metadata as it stands"
	run simg inspect --json "$app"
	expect_status 0
	expect_equal "$(jq -r .format "$stdout")" squashfs
	expect_equal "$(jq .file_bytes "$stdout")" "$(stat -c %s "$app")"
	expect_equal "$(jq .offset_bytes "$stdout")" 0
	expect_equal "$(jq -c '[.content.files, .content.directories, .content.symlinks, .content.devices]' "$stdout")" '[5,4,1,0]'
	expect_equal "$(jq -c '[.squashfs.compressor, .squashfs.block_bytes, .squashfs.exportable, .squashfs.xattrs]' "$stdout")" \
		'["zstd",131072,true,false]'
	expect_equal "$(jq .squashfs.inodes "$stdout")" 10
	expect_equal "$(jq -r '.metadata.runscript, .metadata.recipe' "$stdout" | tr '\n' ' ')" "true false "
	expect_equal "$(jq -c .metadata.config.config.Cmd "$stdout")" '["--input","a b"]'
	expect_equal "$(jq -r '.metadata.labels."org.label-schema.name"' "$stdout")" solver
)

(
	t "a directory is described alike"
	run simg inspect --json "$tree"
	expect_status 0
	expect_equal "$(jq -r .format "$stdout")" directory
	expect_equal "$(jq -c '[.content.files, .content.directories, .content.symlinks]' "$stdout")" '[4,4,1]'
	expect_equal "$(jq -r '.metadata.config.config.WorkingDir' "$stdout")" /work
)

(
	t "symlinks in the metadata's place are not followed out of a directory"
	mkdir -p dir/.simg
	echo '{"secret": 1}' >secret.json
	ln -s ../../secret.json dir/.simg/config.json
	run simg inspect --json dir
	expect_status 0
	expect_stdout_lacks secret
)

(
	t "a Singularity 2 image, with a line before the superblock"
	{ printf '#!/usr/bin/env run-singularity\n'; cat "$app"; } >old.simg
	run simg inspect old.simg
	expect_status 0
	expect_stdout_has "format      singularity 2.x, SquashFS at byte 31" "5 files" "entrypoint  /bin/solver"
)

le() { local value=$2 i; for ((i = 0; i < $1; i++)); do printf %b "\\x$(printf %02x $((value & 255)))"; value=$((value >> 8)); done; }

# A SIF header, a descriptor of something else, one of the partition, and the partition at byte 4096.
make_sif() {
	local fstype=$1 offset=${2-4096}
	{
		printf '#!/usr/bin/env run-singularity\n\0'
		printf 'SIF_MAGIC\0'
		head -c $((88 - 42)) /dev/zero
		le 8 2
		le 8 200
		head -c $((200 - 104)) /dev/zero
		le 4 $((0x4001)); printf '\1'; head -c $((585 - 5)) /dev/zero
		le 4 $((0x4004)); printf '\1'; head -c 12 /dev/zero; le 8 "$offset"; le 8 "$(stat -c %s "$app")"
		head -c $((201 - 33)) /dev/zero; le 4 "$fstype"; le 4 2; head -c $((585 - 209)) /dev/zero
	} >app.sif
	truncate -s 4096 app.sif
	cat "$app" >>app.sif
}

(
	t "a SIF image, of which the system partition is found"
	make_sif 1
	run simg inspect app.sif
	expect_status 0
	expect_stdout_has "format      sif, SquashFS at byte 4096" "5 files" "entrypoint  /bin/solver"
)

(
	t "a SIF image with an ext3 or encrypted partition, or damaged descriptors"
	make_sif 2
	run simg inspect app.sif
	expect_status 1
	expect_stderr "simg: error: image 'app.sif' is a SIF image without a SquashFS system partition"
	make_sif 1 99999999
	run simg inspect app.sif
	expect_status 1
	expect_stderr_has "image 'app.sif' is damaged: its SIF descriptors are out of bounds"
	make_sif 1 3000
	run simg inspect app.sif
	expect_status 1
	expect_stderr_has "image 'app.sif' is damaged: there is no SquashFS in its system partition"
)

(
	t "an image by another writer, with a compressor that libsquashfs lacks"
	need mksquashfs
	mksquashfs "$tree" lzo.sqfs -comp lzo -quiet -no-progress >/dev/null || skip "mksquashfs has no lzo"
	run simg inspect lzo.sqfs
	expect_status 0
	expect_stdout_has "compressor  lzo"
	expect_stderr "simg: note: the compressor lzo of the image 'lzo.sqfs' is not supported: its files cannot be counted"
)

(
	t "metadata that is no JSON is noted"
	mkdir -p dir/.simg
	echo '{"config": ' >dir/.simg/config.json
	simg build bad.simg dir
	run simg inspect bad.simg
	expect_status 0
	expect_stderr_has "simg: note: '/.simg/config.json' in 'bad.simg' is not valid JSON"
)

(
	t "a truncated image, at whatever length"
	for bytes in 1 4 50 95 96 5000 $(($(stat -c %s "$app") - 5000)); do
		head -c "$bytes" "$app" >cut.simg
		run simg inspect cut.simg
		expect_status 1
		expect_equal "$(grep -c '^simg: error: ' "$stderr")" 1
		[ "$bytes" -lt 4 ] || expect_stderr_has "image 'cut.simg' is truncated"
	done
)

(
	t "what is no image"
	: >empty
	run simg inspect empty
	expect_status 1
	expect_stderr "simg: error: image 'empty' is empty"
	echo text >text
	run simg inspect text
	expect_status 1
	expect_stderr_has "'text' is not a SquashFS image"
	run simg inspect nowhere
	expect_status 1
	expect_stderr "simg: error: cannot open the image 'nowhere': No such file or directory"
	run simg inspect /dev/null
	expect_status 1
	expect_stderr_has "image '/dev/null' is neither a regular file nor a directory"
	run simg inspect
	expect_status 2
	expect_stderr_has "simg: error: simg inspect needs one image"
	run simg inspect --xml "$app"
	expect_status 2
	expect_stderr_has "simg: error: there is no option '--xml'"
)

(
	t "100 images with one changed byte each end with a description or one error, never with a crash"
	size=$(stat -c %s "$app") RANDOM=1
	# The metadata is the end of the file; most of the rest is data that is not looked at.
	for i in $(seq 100); do
		cp "$app" bad.simg
		at=$((i <= 30 ? RANDOM % 96 : size - 4096 + (RANDOM * 32768 + RANDOM) % 4096))
		printf %b "\\x$(printf %02x $((RANDOM % 256)))" | dd of=bad.simg bs=1 seek=$at conv=notrunc status=none
		status=0
		# A damaged length can ask for more memory than there is: an error, also under the sanitizer.
		ASAN_OPTIONS=allocator_may_return_null=1 timeout 20 simg inspect --json bad.simg >"$stdout" 2>"$stderr" || status=$?
		[ $status -le 1 ] || fail "status $status with byte $at changed"
		[ $status = 0 ] || expect_equal "$(grep -c '^simg: error: ' "$stderr")" 1
	done
)

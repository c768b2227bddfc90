#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg inspect: text and JSON, every format that people have, and images that are damaged.
. "$(dirname "$0")/../lib.sh"
need jq
# shellcheck source=tests/build/sif.sh
. "$(dirname "$0")/sif.sh"

tree=$file_dir/tree
mkdir -p "$tree/.singularity.d" "$tree/.simg" "$tree/bin"
printf '#!/bin/sh\nexec "$@"\n' >"$tree/.singularity.d/runscript"
printf '{"org.label-schema.name": "solver", "evil": "\\u001b[31mred"}\n' >"$tree/.singularity.d/labels.json"
cat >"$tree/.simg/config.json" <<'JSON'
{"architecture": "amd64", "config": {"Env": ["PATH=/opt/bin:/usr/bin", "LANG=C.UTF-8"], "WorkingDir": "/work",
 "Entrypoint": ["/bin/solver"], "Cmd": ["--input", "a b"], "Labels": {"version": "7", "evil": "blue"}, "User": "1000:100",
 "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Volumes": {"/data": {}}}}
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
		"            evil = ?[31mred" "            version = 7" \
		"user        1000:100" "ports       80/tcp" "            53/udp" "volumes     /data" "source      directory"
	expect_stdout_lacks "evil = blue"
	expect_stdout_matches '^builder     simg [0-9.]+, zstd [0-9.]+, level 3$'
	expect_stdout_matches '^size        [0-9.]+ KiB, for 19[56]\.[0-9] KiB of files$'
	expect_stdout_matches '^made        20[0-9-]+ [0-9:]+ UTC$'
)

(
	t "the ratio of an image to its files is shown, unless it is the larger one"
	mkdir small
	echo 1 >small/file
	simg build -q --no-mount-points small.simg small
	run simg inspect small.simg
	expect_status 0
	expect_stdout_matches '^size        [0-9.]+ KiB, for [0-9.]+ (KiB|B) of files$'
	seq 100000 >small/file
	simg build -q -f --no-mount-points small.simg small
	run simg inspect small.simg
	expect_stdout_matches '^size        [0-9.]+ KiB, for [0-9.]+ KiB of files \([1-9][0-9]? %\)$'
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
	t "parts of the metadata by themselves"
	run simg inspect --runscript "$app"
	expect_status 0
	cmp "$stdout" "$tree/.singularity.d/runscript"
	run simg inspect --environment "$app"
	expect_stdout "$(printf '%s\n' PATH=/opt/bin:/usr/bin LANG=C.UTF-8)"
	run simg inspect --labels "$app"
	expect_equal "$(jq -c . "$stdout")" '{"org.label-schema.name":"solver","evil":"\u001b[31mred","version":"7"}'
	run simg inspect --record "$app"
	expect_equal "$(jq -c '[.schema, .source.kind]' "$stdout")" '[1,"directory"]'
	run simg inspect --recipe "$app"
	expect_status 1
	expect_stdout ""
	expect_stderr "simg: error: the image '$app' has no recipe"
	run simg inspect --record "$tree"
	expect_status 1
	expect_stderr "simg: error: the image '$tree' has no record of how it was built"
)

(
	t "the environment of an image of Singularity is a script, an image without metadata has none of the parts"
	mkdir -p singularity/.singularity.d/env empty
	printf 'Bootstrap: docker\nFrom: debian:12\n' >singularity/.singularity.d/Singularity
	printf '#!/bin/sh\nA=1\n' >singularity/.singularity.d/env/90-environment.sh
	run simg inspect --environment singularity
	expect_stdout "$(cat singularity/.singularity.d/env/90-environment.sh)"
	run simg inspect --recipe singularity
	expect_stdout "$(cat singularity/.singularity.d/Singularity)"
	for part in 'environment environment of its own' 'labels labels' 'runscript runscript' 'recipe recipe'; do
		run simg inspect "--${part%% *}" empty
		expect_status 1
		expect_stderr "simg: error: the image 'empty' has no ${part#* }"
	done
)

(
	t "on a terminal, the image's files cannot give it commands"
	need script
	mkdir -p dir/.singularity.d
	printf 'echo\t\033[31mred\001\302\233x\n\n\303\251nd\000!' >dir/.singularity.d/runscript
	run simg inspect --runscript dir
	cmp "$stdout" dir/.singularity.d/runscript
	run script -qec "simg inspect --runscript dir" /dev/null
	expect_status 0
	printf 'echo\t?[31mred???x\r\n\r\n\303\251nd?!' | cmp - "$stdout"
)

(
	t "the source of a container image, its layers, and what it was made of before"
	mkdir -p dir/.simg
	digest=sha256:$(printf '%064d' 7)
	echo '{"source": {"kind": "docker", "name": "docker://docker.io/library/app:6"}}' >dir/.simg/base-0.json
	echo '{"source": {"kind": "image"}}' >dir/.simg/base-1.json
	cat >dir/.simg/build.json <<-JSON
		{"schema": 1, "builder": {"name": "simg", "version": "9"}, "source": {"kind": "docker", "name": "docker://docker.io/library/app:7",
		 "digest": "$digest", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
		 "layers": [{"digest": "$digest", "bytes": 2048}, {"diff_id": "$digest"}, {}]}, "squashfs": {"compressor": "lz4", "library_version": "1.9"}}
	JSON
	run simg inspect dir
	expect_status 0
	expect_stdout_has "source      docker://docker.io/library/app:7, $digest" "platform    linux/arm64/v8" "layers      $digest, 2.0 KiB" \
		"            $digest" "            ?" "base        image" "            docker://docker.io/library/app:6" "builder     simg 9, lz4 1.9"
	run simg inspect --json dir
	expect_equal "$(jq -c '[.metadata.bases[].source.kind, .metadata.record.source.platform.architecture]' "$stdout")" '["docker","image","arm64"]'
)

(
	t "metadata of the wrong shape is shown as far as it makes sense"
	mkdir -p dir/.simg dir/.singularity.d
	for json in '[]' '5' '"text"' '{}' '{"source": 5, "builder": [], "squashfs": ""}' '{"source": {"layers": {}, "platform": [], "kind": 5}}'; do
		echo "$json" >dir/.simg/build.json
		echo "$json" >dir/.simg/base-0.json
		echo "$json" >dir/.simg/config.json
		echo "$json" >dir/.singularity.d/labels.json
		for part in '' --json --labels --environment --record; do
			run simg inspect $part dir
			[ "$status" = 0 ] || expect_stderr_has "the image 'dir' has no "
		done
	done
	printf '{"config": {"Env": [1, {}], "Labels": {"a": 1}, "User": 5, "ExposedPorts": [], "Cmd": "text"}}' >dir/.simg/config.json
	run simg inspect dir
	expect_status 0
	expect_stdout_has "command     text"
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

(
	t "a SIF image, of which the system partition is found"
	make_sif app.sif "$app" 1
	run simg inspect app.sif
	expect_status 0
	expect_stdout_has "format      sif, SquashFS at byte 4096" "5 files" "entrypoint  /bin/solver"
)

(
	t "a SIF image with an ext3 or encrypted partition, or damaged descriptors"
	make_sif app.sif "$app" 2
	run simg inspect app.sif
	expect_status 1
	expect_stderr "simg: error: image 'app.sif' is a SIF image without a SquashFS system partition"
	make_sif app.sif "$app" 1 99999999
	run simg inspect app.sif
	expect_status 1
	expect_stderr_has "image 'app.sif' is damaged: its SIF descriptors are out of bounds"
	make_sif app.sif "$app" 1 3000
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
	run simg inspect --labels lzo.sqfs
	expect_status 1
	expect_stderr_has "simg: error: the files of the image 'lzo.sqfs' cannot be read"
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
	run simg inspect --json --labels "$app"
	expect_status 2
	expect_stderr "$(printf '%s\n' "simg: error: --json and --labels exclude each other" "simg: hint: simg inspect --help lists the options")"
	run simg inspect --json --json "$app"
	expect_status 0
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

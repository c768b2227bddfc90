#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guard: 400 s
#
# Containers that are broken or mean harm: what is refused, in which words, and that nothing is left of it or written elsewhere. What
# single documents may say is in tests/unit/manifest.c and container.c.
. "$(dirname "$0")/../lib.sh"
need python3 jq gzip zstd

tar_type=application/vnd.oci.image.layer.v1.tar
empty_digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

# layout TAG <RECIPE
layout() { "$top/tests/layout.py" image lay "$1" >/dev/null; }
layout_py() { local command=$1; shift; "$top/tests/layout.py" "$command" lay "$@"; }

own_cache() { export SIMG_CACHE_DIR=$PWD/cache HOME=$PWD; }

# expect_refused OPTION…: build of oci:lay:t ends with status 1 and one error, and leaves nothing.
expect_refused() {
	own_cache
	run timeout 60 simg build "$@" x.simg "${source:-oci:lay:t}"
	expect_status 1
	expect_stdout ""
	expect_equal "$(grep -c '^simg: error: ' "$stderr")" 1
	expect_equal "$(find . -maxdepth 1 -name '*.simg*')" ""
}

# refused SENTENCE MESSAGE <RECIPE, whose JSON is in single quotes.
refused() {
	local recipe
	recipe=$(cat)
	(
		t "$1"
		layout t <<<"$recipe"
		expect_refused
		expect_stderr_has "$2"
		expect_refused --sandbox
		expect_stderr_has "$2"
	)
}

a() { printf "%$1s" | tr ' ' a; }

# --- attributes ---

# many_attributes COUNT: a file with so many, whose names take 250 bytes each.
many_attributes() {
	printf 'layer\nfile a 1'
	printf " pax.SCHILY.xattr.user.$(a 238)%06d=1" $(seq "$1")
	echo
}
many_attributes 263 | refused "more extended attributes than Linux lists" "attributes of 'a' take 65750 bytes, Linux allows 65536"
(
	t "as many extended attributes as Linux lists are taken"
	own_cache
	many_attributes 262 | layout t
	run simg build -q app.simg oci:lay:t
	expect_status 0
	run simg build -q again.simg app.simg
	expect_status 0
)

# --- paths ---

refused "a path that begins with '..'" "the path '../x' leads out of the tree with '..'" <<'END'
layer
file ../x evil
END
refused "a path with '..' in the middle" "the path 'a/../../x' leads out of the tree with '..'" <<'END'
layer
dir a
file a/../../x evil
END
refused "a hard link to '..'" "the path '../../../../etc/passwd' leads out of the tree with '..'" <<'END'
layer
hardlink h ../../../../etc/passwd
END
refused "a hard link to the machine's own file" "the hard link 'h' points to '/etc/passwd', which does not exist" <<'END'
layer
hardlink h /etc/passwd
END
refused "a hard link through a symlink out of the tree" "which does not exist" <<'END'
layer
symlink out ../../../../etc
layer
hardlink h out/passwd
END
refused "a root that is a file" "the root of the tree, '.', is no directory in the source" <<'END'
layer
file . x
END
refused "a root that is a symlink" "the root of the tree, './', is no directory in the source" <<'END'
layer
symlink ./ /etc
END
refused "a whiteout of the root" "the whiteout '.wh..' names no file" <<'END'
layer
file .wh.. ""
END
refused "a whiteout of the root's parent" "layer 2 (sha256:d37b02149b15): the whiteout '.wh...' names no file" <<'END'
layer
file a x
layer
file .wh... x
END
refused "a whiteout of nothing" "the whiteout '.wh.' names no file" <<'END'
layer
file .wh. ""
END
refused "a name of 256 bytes" "has 256 bytes, at most 255 are possible" <<END
layer
file d/$(a 256) x
END
refused "a symlink's target of 4096 bytes" "the target of the symlink 'l' has 4096 bytes, Linux allows 4095" <<END
layer
symlink l $(a 4096)
END

# Canaries around the place where the image is built, and below the names that the image uses.
(
	t "whatever symlinks are swapped in, within a layer or between two, nothing is written outside of a sandbox"
	mkdir -p around/work/canary around/canary
	echo canary >around/canary/file
	echo canary >around/work/canary/file
	cd around/work || exit
	layout t <<-END
		layer
		symlink out ../canary
		file out/file evil
		symlink abs $case_dir/around/canary
		file abs/file evil
		dir swap
		file swap/file good
		layer
		symlink swap ../../../../../../../../../../../../..$case_dir/around/canary
		layer
		file swap/file evil
		file swap/new evil
		symlink file $case_dir/around/canary/file
		layer
		file file evil
		hardlink hard out/file
		symlink up ../..
		file up/up/up/file evil
		symlink x.simg ../canary
		layer
		whiteout abs/file
		whiteout out
	END
	own_cache
	for target in --quiet --sandbox; do
		run simg build $target x.simg oci:lay:t
		expect_status 0
		expect_equal "$(cat ../canary/* canary/* | uniq -c | tr -s ' ')" " 2 canary"
		expect_equal "$(cd .. && find canary work/canary | sort | tr '\n' ' ')" "canary canary/file work/canary work/canary/file "
		[ $target = --quiet ] || expect_equal "$(cat x.simg/file)" evil
		rm -rf --one-file-system x.simg
	done
)

# --- documents ---

refused "both layers and manifests" "is ambiguous" <<'END'
layer
file a 1
manifest '{"manifests": []}'
END
refused "a manifest that calls itself an index" "sha256:" <<'END'
layer
file a 1
manifest '{"mediaType": "application/vnd.oci.image.index.v1+json"}'
END
refused "a configuration of another size" "bytes, not 1" <<'END'
layer
file a 1
manifest '{"config": {"size": 1}}'
END
refused "a digest that is a path" "etc/passwd" <<'END'
layer
file a 1
manifest '{"config": {"digest": "sha256:../../../../etc/passwd"}}'
END
refused "a layer that decompresses to something else" "is not what the image's configuration says: it decompresses to" <<END
layer
file a 1
config '{"rootfs": {"diff_ids": ["$empty_digest"]}}'
END
refused "more diff_ids than layers" "'rootfs.diff_ids' has 2 entries" <<END
layer
file a 1
config '{"rootfs": {"diff_ids": ["$empty_digest", "$empty_digest"]}}'
END
refused "a layer of another type" "'layers[0]' is of the type '$tar_type+xz', which is no layer of a container image" <<'END'
layer xz
file a 1
END
refused "another system" "is for windows/amd64, not for linux" <<'END'
platform windows/amd64
layer
file a 1
END

(
	t "another architecture, where one is asked for"
	layout t <<-'END'
		platform linux/s390x
		layer
		file a 1
	END
	expect_refused --arch riscv64
	expect_stderr_has "s390x" "riscv64"
)

(
	t "a manifest of more than 4 MiB"
	layout t <<-'END'
		layer
		file a 1
	END
	layout_py cat t | jq -c '.annotations.long = ("x" * 4200000)' | layout_py put t >/dev/null
	expect_refused
	expect_stderr_has "4194304"
)

(
	t "JSON that is nested a hundred thousand times"
	layout t <<-'END'
		layer
		file a 1
	END
	python3 -c 'print("{\"schemaVersion\": 2, \"a\": " + "[" * 100000 + "]" * 100000 + "}")' | layout_py put t application/vnd.oci.image.manifest.v1+json >/dev/null
	expect_refused
	expect_stderr_has "is no JSON document"
)

(
	t "indexes within indexes without an end"
	layout t <<-'END'
		layer
		file a 1
	END
	for _ in $(seq 12); do layout_py index t -=t >/dev/null; done
	expect_refused
	expect_stderr_has "index"
)

# --- layers ---

# blob NAME SENTENCE MESSAGE: the file NAME as a layer of the image, whose diff_id is that of the tarball.
head -c 100000 /dev/urandom >"$file_dir/data"
tar -C "$file_dir" -cf "$file_dir/whole.tar" data
diff_id=sha256:$(sha256sum <"$file_dir/whole.tar" | cut -d ' ' -f 1)
gzip -k "$file_dir/whole.tar"
zstd -q "$file_dir/whole.tar"
layer_refused() {
	local sentence=$1 message=$2 type=$3 id=$4
	shift 4
	(
		t "$sentence"
		"$@" >blob
		layout t <<<"blob $type blob $id"
		expect_refused
		expect_stderr_has "layer 1 (sha256:" "$message"
	)
}
with_garbage() { cat "$1"; echo garbage; }
other_checksum() { head -c -8 "$1"; head -c 4 /dev/zero; tail -c 4 "$1"; }
layer_refused "a gzip layer that is cut" "it ends inside the gzip data" $tar_type+gzip "$diff_id" head -c 60000 "$file_dir/whole.tar.gz"
layer_refused "a zstd layer that is cut" "it ends inside the zstd data" $tar_type+zstd "$diff_id" head -c 60000 "$file_dir/whole.tar.zst"
layer_refused "a plain layer that is cut" "Truncated" $tar_type "" head -c 60000 "$file_dir/whole.tar"
layer_refused "garbage behind a gzip layer" "something else behind the gzip data" $tar_type+gzip "$diff_id" with_garbage "$file_dir/whole.tar.gz"
layer_refused "garbage behind a zstd layer" "is truncated or damaged" $tar_type+zstd "$diff_id" with_garbage "$file_dir/whole.tar.zst"
layer_refused "a gzip layer with another checksum" "incorrect checksum" $tar_type+gzip "$diff_id" other_checksum "$file_dir/whole.tar.gz"
layer_refused "a layer that is no tar" "is not a tarball" $tar_type "" head -c 100000 "$file_dir/data"

(
	t "a layer with a changed byte, or a byte more or less"
	need truncate
	layout t <<-'END'
		layer
		random data 50000
	END
	blob=lay/blobs/sha256/$(layout_py cat t | jq -r '.layers[0].digest' | cut -d : -f 2)
	cp "$blob" whole
	printf '\377\0\377' | dd of="$blob" bs=1 seek=20000 conv=notrunc status=none
	expect_refused
	expect_stderr_has "is damaged: its digest is sha256:"
	for bytes in -1 +1; do
		cp whole "$blob"
		truncate -s $bytes "$blob"
		expect_refused
		expect_stderr_has "bytes"
	done
)

(
	t "a layer with a changed byte, although its list of files is in the cache"
	layout t <<-'END'
		layer
		random data 50000
	END
	own_cache
	simg build -q x.simg oci:lay:t
	rm -r x.simg cache/images/*
	[ -n "$(ls cache/derived)" ] || fail "there is no list"
	printf '\377\0\377' | dd of="lay/blobs/sha256/$(layout_py cat t | jq -r '.layers[0].digest' | cut -d : -f 2)" bs=1 seek=20000 conv=notrunc status=none
	expect_refused
	expect_stderr_has "is damaged: its digest is sha256:"
)

(
	t "a layer that is there five times counts like one"
	layout t <<-'END'
		layer
		file a 1
		repeat 1
		repeat 1
		repeat 1
		repeat 1
	END
	own_cache
	run simg build --no-mount-points x.simg oci:lay:t
	expect_status 0
)

# --- bombs ---

# memory_of COMMAND…: the largest resident set, in MiB.
memory_of() {
	need python3
	python3 - "$@" <<-'PYTHON'
		import resource, subprocess, sys
		subprocess.run(sys.argv[1:], stderr=open("memory.err", "wb"))
		print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
	PYTHON
}

sanitized() { grep -qs 'enable-sanitizers' "$build/config.status"; }

# Pieces that are compressed once: both formats allow many of them, one behind the other.
for packer in gzip zstd; do
	(
		t "a layer of a few MiB that expands to 3 GiB of zeros ends early, with little memory: $packer"
		{
			python3 -c 'import sys, tarfile
info = tarfile.TarInfo("zeros")
info.size = 3 << 30
sys.stdout.buffer.write(info.tobuf(tarfile.GNU_FORMAT))' | $packer -c
			head -c 64M /dev/zero | $packer -9 -c >piece
			for _ in $(seq 49); do cat piece; done
		} >blob
		layout t <<<"blob $tar_type+$packer blob $diff_id"
		expect_refused
		expect_stderr_has "layer 1 (sha256:" "--max-size"
		sanitized || { mib=$(memory_of simg build y.simg oci:lay:t); [ "$mib" -lt 64 ] || fail "$mib MiB"; }
	)
done

(
	t "three hundred thousand entries take a few hundred bytes of memory each"
	sanitized && skip "a build with sanitizers"
	count=300000
	python3 - $count <<-'PYTHON' | gzip -1 -c >blob
		import sys, tarfile
		for i in range(int(sys.argv[1])):
		    info = tarfile.TarInfo(f"dir-{i % 1000}/file-{i}")
		    sys.stdout.buffer.write(info.tobuf(tarfile.USTAR_FORMAT))
		sys.stdout.buffer.write(bytes(10240))
	PYTHON
	layout t <<<"blob $tar_type+gzip blob sha256:$(gzip -dc blob | sha256sum | cut -d ' ' -f 1)"
	own_cache
	mib=$(memory_of simg build x.simg oci:lay:t)
	cat memory.err
	[ -e x.simg ]
	echo "$mib MiB, $((mib * 1048576 / count)) bytes an entry"
	[ $((mib * 1048576 / count)) -lt 600 ] || fail "$((mib * 1048576 / count)) bytes an entry"
)

# --- a damaged cache ---

# damage FILE: other bytes in the middle, at the same size.
damage() {
	local bytes
	bytes=$(stat -c %s "$1")
	chmod u+w "$1"
	printf '\377\0\377' | dd of="$1" bs=1 seek=$((bytes / 2)) conv=notrunc status=none
}

(
	t "a cached blob that was damaged is found, fetched again, and gives the same bytes"
	own_cache
	layout 1 <<-'END'
		layer
		random data 900000
		layer zstd
		random more 800000
	END
	mkdir server
	"$top/tests/registry_server.py" "$PWD" server 3>&- &
	cleanup kill $!
	eventually test -e server/ports
	source=docker://127.0.0.1:$(sed -n 's/^registry_port=//p' server/ports)/lay:1
	simg build -q whole.simg "$source"
	for kept in "" derived; do
		for digest in $("$top/tests/layout.py" cat lay 1 | jq -r '.layers[].digest, .config.digest'); do
			blob=cache/blobs/sha256/${digest#*:}
			rm -rf cache/images/*
			[ -n "$kept" ] || rm -rf cache/derived/*
			damage "$blob"
			run simg build -q x.simg "$source"
			expect_status 0
			cmp whole.simg x.simg
			rm x.simg
			run simg cache verify -q
			expect_status 0
			expect_stdout ""
		done
	done
)

(
	t "a cached list of files or image that was damaged is made anew"
	own_cache
	layout t <<-'END'
		layer
		random data 900000
		dir d
	END
	simg build -q whole.simg oci:lay:t
	for part in derived images; do
		for what in middle cut empty; do
			files=(cache/"$part"/*)
			[ -e "${files[0]}" ] || fail "there is no file in $part"
			[ $part = images ] || rm -rf cache/images/*
			case $what in
			middle) damage "${files[0]}" ;;
			cut) truncate -s -100 "${files[0]}" ;;
			empty) : >"${files[0]}" ;;
			esac
			run simg build -q x.simg oci:lay:t
			expect_status 0
			cmp whole.simg x.simg
			rm x.simg
		done
	done
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Images as sources: the same tree again, and the same bytes, whoever wrote the image; images that are damaged or
# made to do harm.
. "$(dirname "$0")/../lib.sh"
need_root
need_user
need unsquashfs
# shellcheck source=tests/build/odd-tree.sh
. "$(dirname "$0")/odd-tree.sh"
# shellcheck source=tests/build/sif.sh
. "$(dirname "$0")/sif.sh"

odd_tree
settle "$tree" image
directory=$file_dir/directory.simg
app=$file_dir/app.simg
simg build --no-mount-points "$directory" "$tree"
simg build --no-mount-points "$app.1" "$directory"
simg build --no-mount-points "$app" "$app.1" # without the data of the record that says "directory"

# Builds the image again, from another image of the tree.
again() {
	user_runs simg build --no-mount-points again.simg "$1"
	expect_status 0
	expect_stderr ""
	cmp "$app" again.simg
}

(
	t "an ordinary user builds the same bytes again from an image"
	again "$app"
)

(
	t "the image of an image that was built from a directory differs in one word of its record"
	unsquashfs -q -n -d one "$directory" >/dev/null
	unsquashfs -q -n -d two "$app" >/dev/null
	expect_equal "$(diff -r --no-dereference one two | grep '^[<>]' | tr -d ' \n')" '<"kind":"directory">"kind":"image"'
	diff <(manifest one) <(manifest two)
)

(
	t "the tree is the same, as unsquashfs reads it"
	simg build --no-mount-points --compressor gzip --block-size 64K other.simg "$app"
	unsquashfs -q -n -d out other.simg >/dev/null
	diff <(manifest "$tree") <(manifest out)
)

(
	t "mount points are added where they are missing, once"
	simg build one.simg "$app"
	simg build two.simg one.simg
	simg build three.simg two.simg
	cmp two.simg three.simg
	for image in one two; do unsquashfs -q -n -d $image $image.simg >/dev/null; done
	diff <(manifest one) <(manifest two)
	run simg inspect --json one.simg
	expect_stdout_has '"directories": 76,'
)

(
	t "images made of a tarball's image, one of the other, are the same in the end"
	# In an order that is not that of the names.
	(cd "$tree" && find . | sort -r) >list
	tar -C "$tree" --xattrs --xattrs-include='*' --sparse --format=pax --no-recursion --verbatim-files-from -T list -cf odd.tar 2>/dev/null || :
	simg build --no-mount-points one.simg odd.tar
	simg build --no-mount-points two.simg one.simg
	simg build --no-mount-points three.simg two.simg # two still has the data of the record that says "tarball"
	simg build --no-mount-points four.simg three.simg
	cmp three.simg four.simg
	unsquashfs -q -n -d out four.simg >/dev/null
	diff <(manifest "$tree") <(manifest out)
)

for options in '-comp gzip' '-comp xz -b 64K' '-comp lz4 -b 4K' '-comp zstd -no-fragments' '-noI -noD -noF -noX' \
	'-always-use-fragments -no-exports' '-no-duplicates -b 1M'; do
	(
		t "an image by mksquashfs $options gives the same bytes"
		need mksquashfs
		mksquashfs "$tree" other.sqfs $options -quiet -no-progress >/dev/null || skip "mksquashfs cannot do that here"
		chmod a+r other.sqfs
		again other.sqfs
	)
done

(
	t "an image that mksquashfs appended to"
	need mksquashfs
	mkdir more
	echo new >more/new
	ln more/new more/hard-new
	mksquashfs "$tree" other.sqfs -quiet -no-progress >/dev/null
	mksquashfs more other.sqfs -quiet -no-progress >/dev/null
	run simg build --no-mount-points both.simg other.sqfs
	expect_status 0
	unsquashfs -q -n -d out both.simg >/dev/null
	expect_equal "$(cat out/hard-new)" new
	expect_equal "$(stat -c %i out/new)" "$(stat -c %i out/hard-new)"
	rm out/new out/hard-new
	diff <(manifest "$tree" | tail -n +2) <(manifest out | tail -n +2)
)

(
	t "attribute values that mksquashfs stores once for many files"
	need mksquashfs
	mkdir dir
	for i in $(seq 50); do
		: >"dir/$i"
		setfattr -n user.same -v "$(head -c 2000 /dev/zero | tr '\0' s)" "dir/$i"
		setfattr -n user.number -v "$i" "dir/$i"
	done
	mksquashfs dir other.sqfs -quiet -no-progress >/dev/null
	simg build --no-mount-points new.simg other.sqfs
	unsquashfs -q -n -d out new.simg >/dev/null
	diff <(manifest dir) <(manifest out)
)

(
	t "a Singularity 2 image, with a line of any length before the superblock"
	for line in '#!/usr/bin/env run-singularity' "#!$(head -c 4000 /dev/zero | tr '\0' x)"; do
		{ printf '%s\n' "$line"; cat "$app"; } >old.simg
		again old.simg
		rm again.simg
	done
)

(
	t "the system partition of a SIF image"
	make_sif app.sif "$app" 1
	again app.sif
)

(
	t "a SIF image without one"
	make_sif app.sif "$app" 2
	run simg build new.simg app.sif
	expect_status 1
	expect_stderr "simg: error: image 'app.sif' is a SIF image without a SquashFS system partition"
)

(
	t "an image on standard input, if that is a file"
	run simg build --no-mount-points again.simg - <"$app"
	expect_status 0
	cmp "$app" again.simg
)

(
	t "an image replaces itself with --force"
	cp "$app" app.simg
	run simg build --force --no-mount-points app.simg app.simg
	expect_status 0
	cmp "$app" app.simg
)

(
	t "sockets are left out, with a note, and so are their second names"
	need mksquashfs perl
	mkdir dir
	(cd dir && perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("socket")) or die')
	ln dir/socket dir/socket2
	mksquashfs dir other.sqfs -quiet -no-progress >/dev/null
	run simg build --no-mount-points new.simg other.sqfs
	expect_status 0
	expect_stderr "simg: note: 2 sockets are left out, the first: 'socket'"
)

(
	t "a compressor that libsquashfs lacks"
	need mksquashfs
	mksquashfs "$tree" lzo.sqfs -comp lzo -quiet -no-progress >/dev/null || skip "mksquashfs has no lzo"
	run simg build new.simg lzo.sqfs
	expect_status 1
	expect_stderr "$(printf '%s\n' "simg: error: the compressor lzo of the image 'lzo.sqfs' is not supported" \
		"simg: hint: unpack it with unsquashfs, and build from the directory")"
	expect_equal "$(echo *)" lzo.sqfs
)

(
	t "a truncated image"
	head -c 100000 "$app" >cut.simg
	run simg build new.simg cut.simg
	expect_status 1
	expect_stderr_has "simg: error: image 'cut.simg' is truncated" "simg: hint: copy it again"
	expect_equal "$(echo *)" cut.simg
)

(
	t "an image that expands beyond reason, and --max-size for one that is trusted"
	# 1100 files of a megabyte, all the same: the writer stores their blocks once.
	mkdir dir
	head -c 1048577 /dev/zero | tr '\0' x >dir/1
	for i in $(seq 2 1100); do cp --reflink=auto dir/1 "dir/$i"; done
	simg build --no-mount-points bomb.simg dir
	rm -r dir
	run simg build --no-mount-points new.simg bomb.simg
	expect_status 1
	expect_stderr_matches "^simg: error: the image 'bomb.simg' expands beyond reason: [0-9.]+ KiB became 1.0 GiB so far$"
	expect_stderr_has "hint: if you trust it"
	run simg build --no-mount-points --max-size 2G new.simg bomb.simg
	expect_status 0
	unsquashfs -lln bomb.simg | grep -v '/\.simg' >one
	unsquashfs -lln new.simg | grep -v '/\.simg' >two
	diff one two
)

# Each trial changes up to four bytes. Metadata is stored plain, so that they hit fields and not only a compressor's checksums.
damage_trials() {
	local image=$1 first=$2 last=$3 bytes count at status
	bytes=$(stat -c %s "$image")
	for i in $(seq "$first" "$last"); do
		RANDOM=$i
		cp "$image" bad.simg
		for ((count = 1 + i % 4; count > 0; count--)); do
			at=$((RANDOM * 32768 + RANDOM))
			case $((i % 5)) in
			0) at=$((at % 96)) ;;
			*) at=$((metadata + at % (bytes - metadata))) ;;
			esac
			printf %b "\\x$(printf %02x $((RANDOM % 256)))" | dd of=bad.simg bs=1 seek=$at conv=notrunc status=none
		done
		status=0
		# A damaged length can ask for more memory than there is: an error, also under the sanitizer.
		ASAN_OPTIONS=allocator_may_return_null=1 timeout 20 simg build --quiet --force --no-mount-points --compressor lz4 --jobs 1 \
			--max-size 1G new.simg bad.simg 2>"$stderr" || status=$?
		[ $status -le 1 ] || fail "status $status in trial $i"
		[ $status = 0 ] || [ "$(grep -c '^simg: error: ' "$stderr")" = 1 ] || fail "no error in trial $i: $(cat "$stderr")"
		refused=$((refused + status))
	done
}

(
	t "240 damaged images end with one error or are built, never with a crash"
	need mksquashfs
	mkdir dir
	cp -a "$tree"/bin "$tree"/etc "$tree"/block "$tree"/fifo "$tree"/dangling "$tree"/blocks "$tree"/one-block-and-a-byte dir
	mkdir -p dir/level/level
	mksquashfs dir plain.sqfs -noI -noX -noF -noD -b 4K -quiet -no-progress >/dev/null
	metadata=$(($(stat -c %s plain.sqfs) - 8192)) refused=0
	damage_trials plain.sqfs 1 200
	simg build --no-mount-points packed.simg dir
	metadata=$(($(stat -c %s packed.simg) - 4096))
	damage_trials packed.simg 201 240
	[ $refused -gt 60 ] || fail "only $refused of 240 damaged images were refused"
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What simg build refuses: one clear line, status 1 (2 for the command line), and no file left behind.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
need tar gzip zstd xz bzip2

refused() {
	run timeout 60 simg build x.simg "$@"
	expect_status 1
	expect_stdout ""
	expect_equal "$(grep -c '^simg: error: ' "$stderr")" 1
	nothing_left
}

nothing_left() { [ -z "$(find . -name '*.simg*')" ] || fail "it left a file behind: $(find . -name '*.simg*')"; }

# --- entries ---

# refuse_entry SENTENCE MESSAGE, with the tarball on standard input
refuse_entry() (
	t "$1"
	cat <"$file_dir/bad.tar" >x.tar
	refused x.tar
	expect_stderr_has "simg: error: $2"
)

bad() { cat >"$file_dir/bad.tar"; chmod 0644 "$file_dir/bad.tar"; }
long_name=$(head -c 256 /dev/zero | tr '\0' n)
long_target=$(head -c 4096 /dev/zero | tr '\0' t)

{ entry 0 dir/../../escaped text; end_mark; } | bad
refuse_entry "a name with .." "the path 'dir/../../escaped' leads out of the tree with '..'"
{ entry 0 .. text; end_mark; } | bad
refuse_entry "the name .. itself" "the path '..' leads out of the tree with '..'"
{ entry 0 file text; entry 1 link ../file; end_mark; } | bad
refuse_entry "a hard link to a name with .." "the path '../file' leads out of the tree with '..'"
{ entry 1 link nothing; end_mark; } | bad
refuse_entry "a hard link to nothing" "the hard link 'link' points to 'nothing', which does not exist"
{ entry 0 file text; entry 5 file2/; entry 1 link file2; end_mark; } | bad
refuse_entry "a hard link to a directory" "the hard link 'link' points to 'file2', which is a directory"
{ entry 1 link later; entry 0 later text; end_mark; } | bad
refuse_entry "a hard link before its target" "the hard link 'link' points to 'later', which does not exist"
{ entry 0 file text; entry 0 file/below text; end_mark; } | bad
refuse_entry "a path through a file" "the path 'file/below' leads through a file that is no directory"
{ entry 2 a b; entry 2 b a; entry 0 a/file text; end_mark; } | bad
refuse_entry "a path through symlinks in a circle" "the path 'a/file' leads through more than 40 symlinks"
{ entry x h "$(pax path "$long_name")"; entry 0 short text; end_mark; } | bad
refuse_entry "a name of 256 bytes" "a name in the path 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…' has 256 bytes, at most 255 are possible"
{ entry x h "$(pax linkpath "$long_target")"; entry 2 s short; end_mark; } | bad
refuse_entry "a symlink's target of 4096 bytes" "the target of the symlink 's' has 4096 bytes, Linux allows 4095"
{ entry 2 s ''; end_mark; } | bad
refuse_entry "a symlink without a target" "the symlink 's' has no target"
{ entry x h "$(pax uid 4294967296)"; entry 0 file text; end_mark; } | bad
refuse_entry "an owner of more than 32 bits" "the owner of 'file' is no Linux user and group: 4294967296:0"
{ entry 3 node '' major=0010000 minor=0000001; end_mark; } | bad
refuse_entry "a device number that SquashFS cannot hold" "the device node 'node' has the number 4096:1, SquashFS holds at most 4095:1048575"
{ entry 2 . target; end_mark; } | bad
refuse_entry "a root that is no directory" "the root of the tree, '.', is no directory in the source"
{ entry 0 file text; entry 1 ./ file; end_mark; } | bad
refuse_entry "a hard link in the root's place" "the root of the tree, './', is no directory in the source"
{ entry 0 huge '' size=77777777777; } | bad
refuse_entry "a file that the tarball does not hold" "the tarball 'x.tar' is truncated or damaged: Truncated tar archive, after 'huge'"

# --- damage ---

{ entry 0 first "$(head -c 300000 /dev/urandom | base64 -w 0)"; entry 0 second "$(head -c 300000 /dev/urandom | base64 -w 0)"; end_mark; } >"$file_dir/whole.tar"
whole=$file_dir/whole.tar

(
	t "a tarball that is cut in a file's data"
	head -c 200000 "$whole" >x.tar
	refused x.tar
	expect_stderr_has "the tarball 'x.tar' is truncated or damaged: Truncated tar archive, after 'first'" \
		"simg: hint: copy or make the tarball again"
)

(
	t "a tarball that is cut in a header"
	{ entry 0 file text; entry 0 more text | head -c 300; } >x.tar
	refused x.tar
	expect_stderr_has "the tarball 'x.tar' is truncated or damaged: Truncated tar archive, after 'file'"
)

for zeros in 0 512; do
	(
		t "a tarball that is cut between two files, with $zeros bytes of the end mark"
		{ entry 0 file text; zeros $zeros; } >x.tar
		refused x.tar
		expect_stderr_has "the tarball 'x.tar' is truncated: its end mark is missing, after 'file'"
	)
done

(
	t "a tarball that is cut behind a file of zeros, which are no end mark"
	{ entry 0 file '' size=00000010000; zeros 4096; } >x.tar
	refused x.tar
	expect_stderr_has "the tarball 'x.tar' is truncated: its end mark is missing, after 'file'"
)

(
	t "two tarballs one behind the other, of which tar would drop the second"
	{ entry 0 file text; end_mark; entry 0 more text; end_mark; } >x.tar
	refused x.tar
	expect_stderr_has "there is something behind the end of the tarball 'x.tar'" "tar --concatenate"
)

(
	t "garbage in the middle of a tarball"
	{ entry 0 file text; head -c 5000 /dev/urandom; } >x.tar
	refused x.tar
	expect_stderr_has "the tarball 'x.tar' is truncated or damaged: Damaged tar archive, after 'file'"
)

(
	t "a pax header that makes no sense, which libarchive would ignore"
	{ entry x h "99 path=short"; entry 0 file text; end_mark; } >x.tar
	refused x.tar
	expect_stderr_has "the tarball 'x.tar' is truncated or damaged: Ignoring malformed pax extended attribute"
)

for packer in gzip zstd xz bzip2; do
	(
		t "a $packer file that is cut in the middle, and one that lacks its last bytes"
		$packer -c <"$whole" >x.tar
		for bytes in $(($(stat -c %s x.tar) / 2)) $(($(stat -c %s x.tar) - 3)); do
			head -c "$bytes" x.tar >cut.tar
			refused cut.tar
			expect_stderr_has "'cut.tar' is truncated or damaged: " "simg: hint: copy or make the $packer file again"
		done
	)
	(
		t "a $packer file with a changed byte in the middle or in its checksum"
		$packer -c <"$whole" >x.tar
		for from_end in $(($(stat -c %s x.tar) / 2)) 6; do
			cp x.tar flip.tar
			at=$(($(stat -c %s x.tar) - from_end))
			byte=$(od -An -tu1 -j $at -N 1 x.tar)
			printf %b "\\x$(printf %x $((byte ^ 16)))" | dd of=flip.tar bs=1 seek=$at conv=notrunc status=none
			refused flip.tar
			expect_stderr_has "'flip.tar' is truncated or damaged: "
		done
	)
done

(
	t "something else behind a gzip file"
	{ gzip -c <"$whole"; echo junk; } >x.tar.gz
	refused x.tar.gz
	expect_stderr_has "'x.tar.gz' is truncated or damaged: there is something else behind the gzip data"
)

(
	t "a pipe that ends early"
	run bash -c 'head -c 200000 "$1" | simg build x.simg -' bash "$whole"
	expect_status 1
	expect_stderr_has "the tarball 'standard input' is truncated or damaged"
	nothing_left
)

# --- bombs ---

(
	t "a header that promises 8 TiB"
	{ entry x h "$(pax size 8796093022208)"; entry 0 bomb; } >x.tar
	zstd -q x.tar
	refused x.tar.zst
	expect_stderr_has "the files hold more than 4.0 TiB, up to 'bomb'" "--max-size"
)

for packer in bzip2 zstd gzip; do
	(
		t "a few hundred kilobytes of $packer that expand to terabytes end within seconds"
		entry 0 bomb '' size=10000000000 >header # 1 GiB each
		head -c $((1 << 26)) /dev/zero | $packer -c >zeros
		$packer -c <header >bomb
		for i in $(seq 16); do cat zeros; done >>bomb
		for i in $(seq 8); do cat bomb; done >bombs
		refused bombs
		expect_stderr_has "'bombs' expands beyond reason: " "became 1.0 GiB so far" "--max-size"
	)
done

(
	t "a map of holes without an end, of which a few kilobytes would take gigabytes of memory"
	records="$(pax GNU.sparse.major 1; pax GNU.sparse.minor 0; pax GNU.sparse.name bomb; pax GNU.sparse.realsize 1000)"
	{ entry x h "$records"; entry 0 bomb '' size=77777777777; echo 99999999; yes 0 | head -c 100000000; } | zstd -q -c >x.tar.zst
	refused x.tar.zst
	expect_stderr "simg: error: the tarball 'x.tar.zst' has a file with more than 16 MiB of headers, after ''"
)

(
	t "a large file of zeros that the user vouches for is built"
	{ entry 0 zeros '' size=14000000000; head -c $((12 << 27)) /dev/zero; end_mark; } | zstd -q -c >x.tar.zst
	refused x.tar.zst
	expect_stderr_has "expands beyond reason"
	run timeout 60 simg build --max-size 2G x.simg x.tar.zst
	expect_status 0
	[ "$(stat -c %s x.simg)" -lt 1000000 ] || fail "zeros were written"
)

(
	t "--max-size is a limit for all files together, directories too"
	mkdir dir
	head -c 60000 /dev/urandom >dir/a
	head -c 60000 /dev/urandom >dir/b
	refused --max-size 100K dir
	expect_stderr_has "the files hold more than 100.0 KiB, up to './b'"
	run simg build --max-size 120000 x.simg dir
	expect_status 0
)

# --- sources ---

# refuse_source SENTENCE SOURCE MESSAGE HINT; the case's own files are made by the function make_source
refuse_source() (
	t "$1"
	make_source
	refused "$2"
	expect_stderr "$(printf '%s\n' "simg: error: $3" "simg: hint: $4")"
)

supported="a source is a recipe, a directory, an image, a tarball (plain, gzip, zstd, xz or bzip2; - for standard input), or docker://NAME, oci:DIR, \
oci-archive:FILE, docker-archive:FILE"
make_source() { :; }
refuse_source "a source that is not there" nowhere "cannot open the source 'nowhere': No such file or directory" "$supported"
refuse_source "an image in Docker's daemon" docker-daemon:debian:12 "sources of the form 'docker-daemon:…' are not supported: 'docker-daemon:debian:12'" \
	"$supported"
refuse_source "a library of images" library://debian:12 "sources of the form 'library:…' are not supported: 'library://debian:12'" "$supported"

# refuse_container SENTENCE SOURCE MESSAGE
refuse_container() (
	t "$1"
	refused "$2"
	expect_stderr "simg: error: $3"
)

export SIMG_CACHE_DIR=$file_dir/cache
refuse_container "a registry that does not answer" docker://127.0.0.1:1/app "cannot pull '127.0.0.1:1/app:latest': cannot reach '127.0.0.1:1': Connection refused"
refuse_container "an OCI layout that is not there" oci:some/dir "cannot open the directory 'some/dir': No such file or directory"
refuse_container "an OCI archive that is not there" oci-archive:some/file "cannot open 'some/file': No such file or directory"
refuse_container "an archive of Docker that is not there" docker-archive:some/file "cannot open 'some/file': No such file or directory"

make_source() { printf 'ARG V=12\nFROM debian:$V\n' >Dockerfile; }
refuse_source "a Dockerfile" Dockerfile "'Dockerfile' is a Dockerfile; those are not supported" "build a container of it elsewhere, and an \
image of that: docker-archive:FILE, oci:DIR, docker://NAME; or write a recipe: FROM becomes From, COPY %files, RUN %post, ENV %environment"
make_source() { printf 'PK\003\004....' >x.zip; }
refuse_source "a ZIP archive" x.zip "'x.zip' is a ZIP archive" "$supported"
make_source() { echo "just some text" >notes; }
refuse_source "a text file" notes "'notes' is not a tarball" \
	"a tarball may be plain, gzip, zstd, xz or bzip2; simg build --help lists what else a source is"

(
	t "an empty file"
	: >empty
	refused empty
	expect_stderr "simg: error: 'empty' is empty"
)

(
	t "a gzip file of something else"
	echo "just some text" | gzip >notes.gz
	refused notes.gz
	expect_stderr_has "'notes.gz' is not a tarball"
)

(
	t "a tree with a file that the user may not read"
	need_user
	mkdir dir
	echo secret >dir/secret
	chmod 0600 dir/secret
	user_runs simg build x.simg dir
	expect_status 1
	expect_stderr "$(printf '%s\n' "simg: error: cannot read the file './secret': Permission denied" \
		"simg: hint: build as a user who may read all of the tree, or from a tarball that one made")"
	nothing_left
)

# --- targets ---

(
	t "an image that exists is kept, --force replaces it"
	mkdir dir
	echo old >app.simg
	run simg build app.simg dir
	expect_status 1
	expect_stderr "$(printf '%s\n' "simg: error: the image 'app.simg' exists" "simg: hint: --force replaces it")"
	expect_equal "$(cat app.simg)" old
	run simg build --force app.simg dir
	expect_status 0
	expect_equal "$(head -c 4 app.simg)" hsqs
)

(
	t "a failed build keeps the image that --force would have replaced"
	echo old >app.simg
	run simg build --force app.simg nowhere
	expect_status 1
	head -c 1000 "$whole" >x.tar
	run simg build --force app.simg x.tar
	expect_status 1
	expect_equal "$(cat app.simg)" old
	expect_equal "$(find . -type f | sort | tr '\n' ' ')" "./app.simg ./x.tar "
)

(
	t "a target that is a directory, a symlink or a device, with and without --force"
	mkdir dir target
	ln -s elsewhere link
	ln -s dir/file dangling
	mkfifo fifo
	for force in '' --force; do
			run simg build $force target dir
		expect_status 1
		expect_stderr_has "the image 'target' would replace a directory" "simg build target/app.simg SOURCE"
		for link in link dangling; do
					run simg build $force $link dir
			expect_status 1
			expect_stderr_has "the image '$link' would replace a symlink"
		done
			run simg build $force fifo dir
		expect_status 1
		expect_stderr_has "the image 'fifo' would replace something that is no regular file"
	done
	run simg build target/ dir
	expect_status 1
	expect_stderr_has "the image 'target/' has no file name"
)

(
	t "a directory that is not there, or not writable"
	need_user
	mkdir dir
	run simg build nowhere/app.simg dir
	expect_status 1
	expect_stderr "simg: error: cannot open the directory of the image 'nowhere/app.simg': No such file or directory"
	mkdir locked
	user_runs simg build locked/app.simg dir
	expect_status 1
	expect_stderr "simg: error: cannot write in the directory of the image 'locked/app.simg': Permission denied"
)

(
	t "a full file system"
	need_root
	mkdir small
	head -c 3000000 /dev/urandom >data
	tar -cf x.tar data
	run unshare --mount sh -c 'mount -t tmpfs -o size=1m tmpfs small && { simg build small/app.simg x.tar; status=$?; ls -A small; exit $status; }'
	expect_status 1
	expect_stdout ""
	expect_stderr "$(printf '%s\n' "simg: error: cannot write the image 'small/app.simg': No space left on device" \
		"simg: hint: the image is written beside its final name: free space there, or build elsewhere")"
)

# Without /proc, a file that has no name cannot get one: then it has a hidden name from the beginning, as on NFS.
sanitized() { grep -qs 'enable-sanitizers' "$build/config.status"; } # which needs /proc
no_proc() { exec unshare --mount sh -c 'mount -t tmpfs none /proc; exec "$@"' sh "$@"; }

for signal in INT TERM HUP; do
	(
		t "a build that is ended by SIG$signal leaves nothing behind and dies by that signal"
		mkfifo pipe
		env --default-signal=$signal simg build app.simg - <pipe &
		exec 9>pipe
		head -c 100000 "$whole" >&9 # more than a pipe holds: it has begun
		kill -$signal $!
		code=0
		wait $! || code=$?
		expect_equal "$code" "$((128 + $(kill -l $signal)))"
		nothing_left
	)
	(
		t "so it is where the file has a hidden name, SIG$signal"
		need_root
		! sanitized || skip "a build with sanitizers"
		mkfifo pipe
		no_proc env --default-signal=$signal simg build app.simg - <pipe &
		exec 9>pipe
		head -c 100000 "$whole" >&9
		eventually sh -c 'ls -A | grep -q "^\.app\.simg\."'
		kill -$signal $!
		code=0
		wait $! || code=$?
		expect_equal "$code" "$((128 + $(kill -l $signal)))"
		nothing_left
	)
done

(
	t "somebody else's image that came meanwhile is kept, where the kernel can tell and where it cannot"
	denysys=$build/tests/denysys
	for prefix in '' no_proc "no_proc $denysys renameat2 --" "no_proc $denysys renameat2,linkat --"; do
		[ -z "$prefix" ] || { [ "$(id -u)" = 0 ] && ! sanitized; } || continue
		[[ $prefix != *denysys* ]] || [ -x "$denysys" ] || continue
		rm -f app.simg pipe
		mkfifo pipe
			$prefix simg build app.simg - <pipe 2>message &
		exec 9>pipe
		head -c 100000 "$whole" >&9 # more than a pipe holds: it has begun
		echo theirs >app.simg
		tail -c +100001 "$whole" >&9
		exec 9>&-
		code=0
		wait $! || code=$?
		expect_equal "$code" 1
		expect_equal "$(head -n 1 message)" "simg: error: the image 'app.simg' came into being while it was built"
		expect_equal "$(cat app.simg)" theirs
		expect_equal "$(find . -name '.app*')" ""
	done
)

(
	t "an image is made where the kernel lacks renameat2 and statx"
	need_root
	! sanitized || skip "a build with sanitizers"
	denysys=$build/tests/denysys
	[ -x "$denysys" ] || skip "tests/denysys is not built (it needs libseccomp)"
	mkdir dir
	for denied in renameat2 renameat2,linkat statx,renameat2,linkat; do
		# File systems without hard links have no files without a name either.
		run unshare --mount sh -c 'mount -t tmpfs none /proc; exec "$@"' sh "$denysys" $denied -- simg build $denied.simg dir
		expect_status 0
		expect_equal "$(head -c 4 $denied.simg)" hsqs
	done
	expect_equal "$(find . -name '.*simg*')" ""
)

# --- the command line ---

# usage SENTENCE MESSAGE ARGUMENT…
usage() (
	t "$1"
	message=$2
	shift 2
	run simg build "$@"
	expect_status 2
	expect_stderr_has "simg: error: $message"
	nothing_left
)

usage "no arguments" "simg build needs an image to write and a source"
usage "one argument" "simg build needs an image to write and a source" app.simg
usage "three arguments" "simg build takes one image and one source, and there is more: 'more'" app.simg dir more
usage "an option that does not exist" "there is no option '--frobnicate'" --frobnicate app.simg dir
usage "an option without its value" "the option '--level' needs a value" app.simg dir --level
usage "a compressor that does not exist" "there is no compressor 'brotli'" -c brotli app.simg dir
usage "a level that the compressor does not have" "the compressor gzip has levels 1 to 9, not 10" -c gzip -l 10 app.simg dir
usage "a level for a compressor without levels" "the compressor lz4 has no levels" -c lz4 -l 1 app.simg dir
usage "a block size that is no power of two" "--block-size takes a power of two from 4K to 1M, not '100K'" -b 100K app.simg dir
usage "no jobs" "--jobs takes a number from 1 to 1024, not '0'" -j 0 app.simg dir
usage "a size that is none" "--max-size takes a size like 128K, 4M or 50G, not '5 apples'" --max-size '5 apples' app.simg dir
export SOURCE_DATE_EPOCH=yesterday
usage "a SOURCE_DATE_EPOCH that is no time" "SOURCE_DATE_EPOCH is no time in seconds that SquashFS can hold: 'yesterday'" app.simg dir
unset SOURCE_DATE_EPOCH

(
	t "the help fits a screen of 24 lines and 80 columns"
	for verb in build inspect; do
		run simg $verb --help
		expect_status 0
		expect_stdout_has "usage: simg $verb"
		[ "$(wc -l <"$stdout")" -le 24 ] || fail "it has $(wc -l <"$stdout") lines"
		expect_equal "$(grep -c '.\{81\}' "$stdout")" 0
	done
)

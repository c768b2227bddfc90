#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg build --sandbox: a directory of any source, by root and by an ordinary user, and an image of the directory again.
. "$(dirname "$0")/../lib.sh"
need_root
need_user
need tar unsquashfs
# shellcheck source=tests/build/odd-tree.sh
. "$(dirname "$0")/odd-tree.sh"
# shellcheck source=tests/build/tarball.sh
. "$(dirname "$0")/tarball.sh"

odd_tree
app=$file_dir/app.simg
simg build --no-mount-points "$app" "$tree"
settled=$file_dir/settled.simg # the same, and building it adds nothing
cp -a "$tree" "$file_dir/settled"
settle "$file_dir/settled" directory
simg build --no-mount-points "$settled" "$file_dir/settled"
manifest "$tree" >"$file_dir/expected"
tar --xattrs --xattrs-include='*' --sparse --format=pax -C "$tree" -cf "$file_dir/odd.tar" .

nothing_but() { expect_equal "$(find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' ')" "$*${*:+ }"; }

same_tree() { diff "$file_dir/expected" <(manifest "$1"); }

# What two images hold, without their build records, which tell a tarball from a directory.
same_listing() { diff <(unsquashfs -lln "$1" | grep -v '/\.simg') <(unsquashfs -lln "$2" | grep -v '/\.simg'); }

for source in "$tree" "$app" "$file_dir/odd.tar"; do
	(
		t "root gets the tree exactly, from ${source##*/}"
		run simg build --no-mount-points --sandbox dir "$source"
		expect_status 0
		expect_stderr ""
		same_tree dir
		nothing_but dir
		run cat dir/.simg/sandbox
		made=made
	[ "$source" != "$app" ] || made='' # the image has a directory /.simg itself
	expect_stdout "$(printf '%s\n' "simg-sandbox 1" $made)"
	)
done

(
	t "sparse files stay sparse"
	simg build --no-mount-points --sandbox dir "$app"
	expect_equal "$(stat -c %s dir/sparse)" 52428800
	[ "$(stat -c %b dir/sparse)" -le 1024 ] || skip "this file system has no holes"
)

(
	t "an ordinary user gets what users can have, and is told once for each kind what is left out"
	user_runs simg build --no-mount-points -s dir "$app"
	expect_status 0
	expect_stderr "$(printf 'simg: note: %s\n' "84 files belong to you, not to their owners, the first: '.simg/build.json'" \
		"1 file lacks its set-user-ID or set-group-ID bit, for want of its owner: 'bin/setuid'" \
		"1 file is more accessible to you than its mode says: 'empty-file'" \
		"2 device nodes are empty files: only root makes device nodes, the first: 'block'" \
		"3 extended attributes cannot be set here, the first: 'bin/cap'" \
		"all of that is in 'dir/.simg/sandbox': an image built of the sandbox has it again")"
	expect_equal "$(find dir ! -user "$user" | wc -l)" 0
	expect_equal "$(stat -c '%a %F' dir/bin/setuid dir/char dir/bin | tr '\n' ' ')" "755 regular file 400 regular empty file 755 directory "
	expect_equal "$(stat -c %i dir/bin/plain)" "$(stat -c %i dir/etc/hard-elsewhere)"
	expect_equal "$(getfattr --only-values -n user.comment dir/etc)" "some text"
	# Sizes, times and content are the tree's.
	diff <(cd "$tree" && find . -type f -printf '%p %s %TY-%Tm-%Td\n' | sort) \
		<(cd dir && find . -type f ! -path './.simg/*' ! -name char ! -name block -printf '%p %s %TY-%Tm-%Td\n' | sort)
	as_user rm -r dir
)

(
	t "the image that a user builds of the sandbox is the first one, byte for byte"
	user_runs simg build --quiet --no-mount-points --sandbox dir "$settled"
	expect_stderr ""
	user_runs simg build --no-mount-points again.simg dir
	expect_status 0
	expect_stderr ""
	cmp "$settled" again.simg
)

(
	t "so it is below a directory that hands down its group"
	need_user
	chgrp 12345 .
	chmod 2777 .
	user_runs simg build --quiet --no-mount-points --sandbox dir "$settled"
	expect_equal "$(find dir -perm -2000 | wc -l)" 0
	user_runs simg build --no-mount-points again.simg dir
	expect_status 0
	cmp "$settled" again.simg
)

(
	t "what the user changed in the sandbox is in the image as it is on disk, the rest as it was"
	user_runs simg build --quiet --no-mount-points --sandbox dir "$app"
	as_user sh -c 'cd dir && chmod 700 bin/cap && echo text >>blocks && rm -f char && echo text >char && echo new >new && rm big-owner &&
		chmod 600 block && echo text >block'
	user_runs simg build --no-mount-points again.simg dir
	expect_status 0
	run unsquashfs -lln again.simg
	own="$(id -u "$user")/$(id -g "$user")"
	expect_stdout_matches "^-rwx------ $own .* squashfs-root/bin/cap$"
	expect_stdout_matches "^-rw-r--r-- 0/0 +1000005 .* squashfs-root/blocks$"
	expect_stdout_matches "^-rw-r--r-- $own .* squashfs-root/char$"
	expect_stdout_matches "^-rw------- $own .* squashfs-root/block$"
	expect_stdout_matches "^-rw-r--r-- $own .* squashfs-root/new$"
	expect_stdout_matches "^-rwsr-sr-x 17/18 .* squashfs-root/bin/setuid$"
	expect_stdout_lacks big-owner .simg/sandbox
	unsquashfs -q -n -d out again.simg bin >/dev/null
	expect_equal "$(getcap out/bin/cap)" ""
)

(
	t "a directory /.simg of the image's own stays, with what is in it"
	mkdir -p tree/.simg
	echo '{}' >tree/.simg/config.json
	touch -d 2020-02-02 tree/.simg/config.json tree/.simg tree
	simg build --no-mount-points first.simg tree
	chmod a+r first.simg
	user_runs simg build --quiet --no-mount-points --sandbox dir first.simg
	expect_equal "$(cd dir/.simg && echo *)" "build.json config.json sandbox"
	user_runs simg build --no-mount-points again.simg dir
	unsquashfs -q -n -d first first.simg >/dev/null
	unsquashfs -q -n -d again again.simg >/dev/null
	# The image of the sandbox keeps the record that the sandbox has of the first image.
	expect_equal "$(cd again/.simg && echo *)" "base-0.json build.json config.json"
	cmp first/.simg/build.json again/.simg/base-0.json
	cmp first/.simg/config.json again/.simg/config.json
)

(
	t "the record of another sandbox in a source is not taken over"
	need mksquashfs
	mkdir tree
	echo text >tree/file
	simg build --no-mount-points --sandbox one tree
	printf 'file 100644 104755 17 18 0 0\n' >>one/.simg/sandbox
	mksquashfs one one.sqfs -quiet -no-progress >/dev/null
	simg build --no-mount-points --sandbox two one.sqfs
	expect_equal "$(cat two/.simg/sandbox)" "simg-sandbox 1"
)

(
	t "a damaged record is an error that names the line"
	mkdir tree
	simg build --no-mount-points --sandbox dir tree
	for line in 'file' 'file 100644' 'file 1 2 3 4 5 x' 'fi%6 1 2 3 4 5 6' 'file 1 2 3 4 5 6 user.x' 'file 1 2 3 4 5 6 user.x=0' \
		'file 1 2 3 4 5 6 other.x=00' 'file 1 2 3 4 5 99999999999' 'file 1 2 3 4 5 6 '; do
		printf 'simg-sandbox 1\n%s\n' "$line" >dir/.simg/sandbox
		run simg build app.simg dir
		expect_status 1
		expect_stderr "$(printf '%s\n' "simg: error: the record of the sandbox, 'dir/.simg/sandbox', is damaged in line 2" \
			"simg: hint: without it, the directory is built as it is on disk")"
	done
	nothing_but dir tree
)

(
	t "modes that would lock the user out are widened, and the sandbox can be removed by its owner"
	{
		entry 5 locked '' mode=0000000
		entry 0 locked/file text mode=0000000
		entry 5 readonly '' mode=0000555
		entry 0 readonly/file text mode=0000444
		end_mark
	} >locked.tar
	user_runs simg build --no-mount-points --sandbox dir locked.tar
	expect_status 0
	expect_stderr_has "3 files are more accessible to you than their modes say, the first: 'locked/file'"
	user_runs simg build --no-mount-points one.simg dir
	expect_status 0
	simg build --no-mount-points two.simg locked.tar
	same_listing one.simg two.simg
	as_user rm -r dir
)

(
	t "paths longer than PATH_MAX"
	name=$(head -c 200 /dev/zero | tr '\0' d)
	path=$(for i in $(seq 40); do printf '%s/' "$name"; done)file
	{ entry x pax "$(pax path "$path")"; entry 0 short text; end_mark; } >long.tar
	simg build --no-mount-points one.simg long.tar
	run simg build --no-mount-points --sandbox dir long.tar
	expect_status 0
	simg build --no-mount-points two.simg dir
	same_listing one.simg two.simg
	rm -r dir
)

(
	t "nothing is written outside of it, whatever symlinks the source has"
	mkdir outside
	{
		entry 2 link "$PWD/outside"
		entry 0 link/file text
		entry 2 up ../outside
		entry 0 up/other text
		end_mark
	} >evil.tar
	run simg build --no-mount-points --sandbox dir evil.tar
	expect_status 0
	expect_equal "$(ls outside)" ""
	expect_equal "$(cat "dir$PWD/outside/file")" text
	expect_equal "$(cat dir/outside/other)" text
)

(
	t "a sandbox inside its own source stays out of it"
	mkdir -p tree/sub
	echo text >tree/file
	run simg build --no-mount-points --sandbox tree/sub/dir tree
	expect_status 0
	expect_equal "$(cd tree/sub/dir && find . | sort | tr '\n' ' ')" ". ./.simg ./.simg/sandbox ./file ./sub "
)

(
	t "what exists is kept, and --force replaces an empty directory or a sandbox, but nothing else"
	mkdir empty full
	echo precious >full/file
	echo precious >file
	for name in empty full; do
		run simg build --sandbox $name "$app"
		expect_status 1
		expect_stderr "$(printf '%s\n' "simg: error: the sandbox '$name' exists" \
			"simg: hint: --force replaces a directory that is empty or a sandbox made by simg build")"
	done
	run simg build --force --sandbox full/ "$app"
	expect_status 1
	expect_stderr "$(printf '%s\n' "simg: error: 'full' is no sandbox made by simg build, and not empty" \
		"simg: hint: --force replaces nothing else: remove it yourself, or name another directory")"
	run simg build --force --sandbox file "$app"
	expect_status 1
	expect_stderr "simg: error: the sandbox 'file' would replace something that is no directory"
	expect_equal "$(cat file full/file | uniq)" precious
	for try in 1 2; do
		run simg build --force --no-mount-points --sandbox empty "$app"
		expect_status 0
		same_tree empty
		touch "empty/try-$try"
	done
	nothing_but empty file full
)

(
	t "so it does where names cannot be exchanged"
	denysys=$build/tests/denysys
	[ -x "$denysys" ] || skip "tests/denysys is not built (it needs libseccomp)"
	simg build --sandbox dir "$app"
	touch dir/old
	run "$denysys" renameat2 -- simg build --force --no-mount-points --sandbox dir "$app"
	expect_status 0
	same_tree dir
	run "$denysys" renameat2 -- simg build --sandbox dir "$app"
	expect_status 1
	run "$denysys" renameat2 -- simg build --no-mount-points --sandbox new "$app"
	expect_status 0
	nothing_but dir new
)

(
	t "a user replaces his sandbox, whatever modes he gave its directories"
	user_runs simg build --quiet --sandbox dir "$app"
	as_user sh -c 'mkdir -p dir/a/b/c && touch dir/a/b/c/file && chmod 0 dir/a/b dir/bin && chmod 555 dir/etc'
	user_runs simg build --quiet --force --no-mount-points --sandbox dir "$app"
	expect_status 0
	[ ! -e dir/a ] || fail "the old one is still there"
	nothing_but dir
)

(
	t "what is mounted in an old sandbox is not removed with it"
	mkdir precious
	echo precious >precious/file
	simg build --sandbox dir "$app"
	export app
	run unshare --mount sh -c 'mount --bind precious dir/mnt && simg build --force --no-mount-points --sandbox dir "$app"'
	! grep -q "^mount:" "$stderr" || skip "no bind mounts here"
	expect_status 1
	expect_stderr_matches "^simg: error: the sandbox 'dir' is complete, but the old one, now '\.dir\.[a-z0-9]{6}', cannot be removed: Device or resource busy$"
	expect_stderr_has "simg: hint: unmount what is mounted in it, and remove it"
	expect_equal "$(cat precious/file)" precious
	same_tree dir
)

(
	t "a failed build leaves nothing behind, and the old sandbox as it was"
	simg build --no-mount-points --sandbox dir "$app"
	head -c 1000000 "$file_dir/odd.tar" >cut.tar
	run simg build --force --sandbox dir cut.tar
	expect_status 1
	expect_stderr_has "the tarball 'cut.tar' is truncated"
	run simg build --sandbox new cut.tar
	expect_status 1
	same_tree dir
	nothing_but cut.tar dir
)

(
	t "a full file system"
	mkdir small
	export app
	run unshare --mount sh -c 'mount -t tmpfs -o size=1m none small && cd small && simg build --sandbox dir "$app"; status=$?; ls -A; exit $status'
	! grep -q "^mount:" "$stderr" || skip "no tmpfs here"
	expect_status 1
	expect_stderr_has "simg: error: cannot write 'data' in the sandbox 'dir': No space left on device" "simg: hint: the sandbox is made beside"
	expect_stdout ""
)

for signal in INT TERM; do
	(
		t "a sandbox that is ended by SIG$signal leaves nothing behind"
		mkfifo pipe
		env --default-signal=$signal simg build --sandbox dir - <pipe &
		exec 9>pipe
		head -c 1000000 "$file_dir/odd.tar" >&9
		eventually sh -c 'ls .dir.*/.dir.* | grep -q .'
		kill -$signal $!
		code=0
		wait $! || code=$?
		expect_equal "$code" "$((128 + $(kill -l $signal)))"
		nothing_but pipe
	)
done

(
	t "a tree whose /.simg is a file has no place for the record"
	mkdir tree
	: >tree/.simg
	run simg build --sandbox dir tree
	expect_status 1
	expect_stderr "simg: error: cannot write '.simg' in the sandbox 'dir': Not a directory"
	nothing_but tree
)

(
	t "options of images do not go with --sandbox"
	for option in '-c gzip' '--level=3' '--block-size 64K' '--jobs 2' --no-hot '--hot list'; do
		run simg build --sandbox $option dir "$app"
		expect_status 2
		expect_stderr_has "simg: error: --sandbox makes no image: it goes without --compressor, --level, --block-size, --jobs, --hot and --no-hot"
	done
	for name in . .. /; do
		run simg build --sandbox $name "$app"
		expect_status 1
		expect_stderr "simg: error: the sandbox '$name' has no file name"
	done
	nothing_but
)

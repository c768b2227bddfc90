#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg diff: every kind of difference, between images of all formats and directories; what does not count; and what cannot be
# compared.
. "$(dirname "$0")/../lib.sh"
need jq
# shellcheck source=tests/build/sif.sh
. "$(dirname "$0")/sif.sh"

# Two equal directories, a and b.
pair() {
	mkdir -p a/etc a/bin a/empty
	echo hello >a/etc/motd
	echo 1 >a/etc/conf
	head -c 300000 /dev/urandom >a/bin/tool
	ln a/bin/tool a/bin/tool-link
	ln -s tool a/bin/symlink
	chmod 0755 a/bin/tool
	cp -a a b
}

pack() { simg build -q --no-mount-points "$1.simg" "$1"; }

# The lines of a section, without their indent.
section() { awk -v title="$1" '/^[a-z]/ { inside = index($0, title) == 1 && /^[a-z ()]+$/; next } inside { sub(/^  /, ""); print }' "$stdout"; }
expect_section() { local title=$1; shift; expect_equal "$(section "$title")" "$(printf '%s\n' "$@")"; }

(
	t "equal trees have no difference, whether they are images or directories"
	pair
	pack a
	pack b
	{ printf '#!/usr/bin/env run-singularity\n'; cat a.simg; } >legacy.simg
	make_sif a.sif a.simg 1
	for two in 'a b' 'a.simg b.simg' 'a b.simg' 'a.simg b' 'legacy.simg b' 'a.simg a.sif' 'a a'; do
		run simg diff $two
		expect_status 0
		expect_stderr ""
		expect_stdout_matches '^no difference; times not compared$'
		[ "$two" != 'a.simg b.simg' ] || expect_stdout "no difference; times not compared"
		run simg diff --times --quiet $two
		expect_status 0
		expect_stdout ""
	done
)

(
	t "a Debian tree with one of everything, as directory, image and sandbox of an ordinary user"
	need_root
	need_user
	need setfattr setcap
	# shellcheck source=tests/build/odd-tree.sh
	. "$top/tests/build/odd-tree.sh"
	odd_tree
	# What SquashFS cannot hold would be a difference.
	find "$tree" -newermt 2106-01-01 -exec touch -h -d 2020-01-01 {} +
	find "$tree" ! -newermt 1970-01-02 -exec touch -h -d 2020-01-01 {} +
	simg build -q --no-mount-points app.simg "$tree"
	run simg diff --times "$tree" app.simg
	expect_stderr ""
	expect_section files ""
	expect_status 0
	simg build -q --no-mount-points -c gzip -b 4K other.simg "$tree"
	run simg diff --times app.simg other.simg
	expect_status 0
	chmod 0644 app.simg
	as_user simg build -q --no-mount-points -s sandbox app.simg
	run simg diff app.simg sandbox
	expect_section files ""
	expect_status 0
)

(
	t "added, removed and changed files, one line for each, in the order of the tree"
	pair
	echo 2 >b/etc/conf
	echo longer >b/etc/motd
	rm -r b/empty
	mkdir -p b/new/sub
	ln -s ../x b/new/link
	echo x >b/new/file
	ln -sf other b/bin/symlink
	chmod 4700 b/bin/tool
	mkfifo b/z
	pack a
	pack b
	for two in 'a b' 'a.simg b.simg' 'a.simg b'; do
		run simg diff $two
		expect_status 1
		expect_stderr ""
		expect_section files "~ /bin/symlink  target tool -> other" "~ /bin/tool  mode 0755 -> 4700" "~ /bin/tool-link  mode 0755 -> 4700" \
			"- /empty  directory" "~ /etc/conf  content" "~ /etc/motd  size 6 -> 7" "+ /new  directory" "+ /new/file  file, 2 B" \
			"+ /new/link  symlink to ../x" "+ /new/sub  directory" "+ /z  fifo"
		expect_stdout_has "different: 5 files added, 1 removed, 5 changed; times not compared"
	done
	run simg diff b a
	expect_status 1
	expect_stdout_has "- /new/file  file, 2 B" "+ /empty  directory" "  ~ /etc/motd  size 7 -> 6"
	run simg diff -q a b
	expect_status 1
	expect_stdout ""
	expect_stderr ""
)

(
	t "types, owners, devices and extended attributes"
	need_root
	need setfattr
	pair
	rm b/etc/conf
	mkdir b/etc/conf
	chown 5:6 b/etc/motd
	chown -h 7 b/bin/symlink
	mknod a/dev c 1 3
	mknod b/dev c 1 5
	setfattr -n user.same -v 1 a/etc
	setfattr -n user.same -v 1 b/etc
	setfattr -n user.gone -v 1 a/etc
	setfattr -n user.more -v 1 b/etc
	setfattr -n user.other -v 1 a/etc
	setfattr -n user.other -v 2 b/etc
	pack a
	pack b
	for two in 'a b' 'a.simg b.simg'; do
		run simg diff $two
		expect_status 1
		expect_section files "~ /bin/symlink  owner 0:0 -> 7:0" "~ /dev  device 1:3 -> 1:5" \
			"~ /etc  xattrs user.gone removed user.more added user.other changed" "~ /etc/conf  type file -> directory" \
			"~ /etc/motd  owner 0:0 -> 5:6"
	done
)

(
	t "times count only if they are asked for"
	pair
	touch -d '2001-02-03 04:05:06 UTC' a/etc/conf
	touch -d '2002-02-03 04:05:06 UTC' b/etc/conf
	run simg diff a b
	expect_status 0
	expect_stdout "no difference; times not compared"
	for option in --times -t; do
		run simg diff $option a b
		expect_status 1
		expect_section files "~ /etc/conf  time 2001-02-03T04:05:06Z -> 2002-02-03T04:05:06Z"
		expect_stdout_has "different: 1 file changed"
		expect_stdout_lacks "not compared"
	done
)

(
	t "hard links: which names belong together"
	mkdir a b
	echo 1 >a/one
	cp -a a/one a/two
	cp -a a/one b/one
	ln b/one b/two
	pack a
	pack b
	for two in 'a b' 'a.simg b.simg'; do
		run simg diff $two
		expect_status 1
		expect_section files "~ /two  link none -> /one"
	done
	run simg diff b a
	expect_section files "~ /two  link /one -> none"
	# Other partners.
	rm b/*
	cp -a a/one b/three
	ln b/three b/two
	cp -a a/one b/one
	ln a/one a/three
	run simg diff a b
	expect_section files "~ /three  link /one -> none" "~ /two  link none -> /three"
)

(
	t "a name of a file that goes or comes is one difference, whichever of the names it is"
	mkdir a b
	echo 1 >a/m
	ln a/m a/n
	ln a/m a/o
	echo 1 >b/n
	touch -r a/m b/n
	ln b/n b/o
	pack a
	pack b
	for two in 'a b' 'a.simg b.simg' 'a b.simg'; do
		run simg diff $two
		expect_status 1
		expect_section files "- /m  file, 2 B"
	done
	run simg diff b a
	expect_section files "+ /m  file, 2 B"
	echo 2 >b/n
	run simg diff a b
	expect_section files "- /m  file, 2 B" "~ /n  content" "~ /o  content"
	rm a/o
	run simg diff b a
	expect_stdout_has "- /o  file, 2 B, hard link to /n"
)

(
	t "holes are zeros, wherever they lie, and a difference anywhere in a large file is found"
	mkdir a b
	truncate -s 50M a/sparse b/sparse
	head -c 1000 /dev/urandom >piece
	dd if=piece of=a/sparse bs=1 seek=29999990 conv=notrunc status=none
	dd if=piece of=b/sparse bs=1 seek=29999990 conv=notrunc status=none
	head -c 100000 /dev/zero | dd of=b/sparse bs=1000 seek=1 conv=notrunc status=none
	truncate -s 200000 a/zeros
	head -c 200000 /dev/zero >b/zeros
	pack a
	pack b
	for two in 'a b' 'a.simg b.simg' 'a b.simg'; do
		run simg diff $two
		expect_status 0
	done
	printf x | dd of=b/sparse bs=1 seek=$((50 * 1024 * 1024 - 1)) conv=notrunc status=none
	run simg diff a b
	expect_section files "~ /sparse  content"
	run simg diff b a.simg
	expect_section files "~ /sparse  content"
)

(
	t "names are compared by components and by bytes"
	mkdir a b
	mkdir a/x b/x a/x-y b/x-y
	touch a/x/1 b/x/1 a/x.z b/x.z "$(printf 'a/x\001')" "$(printf 'b/x\377')"
	touch a/x/only b/x-y/only
	pack a
	pack b
	for two in 'a b' 'a.simg b' 'a.simg b.simg'; do
		run simg diff $two
		expect_status 1
		expect_section files "- /x/only  file, 0 B" '- /x\x01  file, 0 B' "+ /x-y/only  file, 0 B" "$(printf '+ /x\377  file, 0 B')"
	done
)

(
	t "names and targets cannot give a terminal commands, or be taken for others"
	mkdir a b
	touch "$(printf 'b/new\nline\033[31m\177')" 'b/back\x01' "$(printf 'b/c1-\302\233')" "$(printf 'b/utf-\303\251')"
	ln -s "$(printf 'tar\nget')" b/link
	run simg diff a b
	expect_status 1
	expect_section files '+ /back\\x01  file, 0 B' '+ /c1-\xc2\x9b  file, 0 B' '+ /link  symlink to tar\nget' \
		'+ /new\nline\x1b[31m\x7f  file, 0 B' "$(printf '+ /utf-\303\251  file, 0 B')"
	run simg diff --json a b
	expect_equal "$(jq -c '[.files[].path] | map(explode | length)' "$stdout")" '[9,5,5,15,6]'
	touch "$(printf 'b/zz\377')"
	run simg diff --json a b
	expect_equal "$(jq -c '.files[-1] | [.path, .path_hex]' "$stdout")" '[null,"2f7a7aff"]'
)

(
	t "metadata: environment, labels, configuration and scripts, by value"
	mkdir -p a/.simg a/.singularity.d/env b/.simg b/.singularity.d/env
	cat >a/.simg/config.json <<-'JSON'
		{"created": "2020-01-01", "architecture": "amd64", "config": {"Env": ["PATH=/bin", "A=1", "GONE=x"], "Labels": {"version": "7"},
		 "Cmd": ["x"], "User": "1"}}
	JSON
	cat >b/.simg/config.json <<-'JSON'
		{"config": {"User": "1", "Cmd": ["x", "y"], "Env": ["A=2", "PATH=/bin", "NEW=\u001b[31m"], "Labels": {"version": "8", "more": ""}},
		 "architecture": "amd64", "created": "2021-01-01"}
	JSON
	printf '#!/bin/sh\nexec a\n' >a/.singularity.d/runscript
	printf '#!/bin/sh\nexec b\n' >b/.singularity.d/runscript
	echo 1 >a/.singularity.d/env/10-a.sh
	echo 1 >b/.singularity.d/env/20-b.sh
	printf 'From: x\n' >b/.singularity.d/Singularity
	echo '{"builder": 1, "packages": [1]}' >a/.simg/build.json
	echo '{"builder": 2, "packages": [2]}' >b/.simg/build.json
	echo "{}" >a/.simg/base-0.json
	run simg diff a b
	expect_status 1
	expect_stderr ""
	expect_section metadata '~ environment A  "1" -> "2"' '- environment GONE  "x"' '+ environment NEW  "\u001B[31m"' '+ label more  ""' \
		'~ label version  "7" -> "8"' '~ config Cmd  ["x"] -> ["x","y"]' \
		'~ runscript  "#!/bin/sh\nexec a\n" -> "#!/bin/sh\nexec b\n"' '+ recipe  "From: x\n"' \
		'- environment script 10-a.sh  "1\n"' '+ environment script 20-b.sh  "1\n"'
	expect_section 'build record' '~ record builder  1 -> 2' '- bases  [{}]' '~ config created  "2020-01-01" -> "2021-01-01"'
	expect_section files ""
	expect_stdout_has "different: 4 values of the metadata added, 2 removed, 4 changed; times not compared"
	run simg diff --metadata a b
	expect_status 1
	expect_stdout_lacks record created files
	run simg diff --files a b
	expect_status 1
	expect_section files "~ /.simg/config.json  size 158 -> 183" "+ /.singularity.d/Singularity  file, 8 B" \
		"- /.singularity.d/env/10-a.sh  file, 2 B" "+ /.singularity.d/env/20-b.sh  file, 2 B" "~ /.singularity.d/runscript  content"
)

(
	t "modes of metadata are those of files, and metadata that is no file is compared as it is"
	mkdir -p a/.singularity.d/env b/.singularity.d/env
	echo 1 >a/.singularity.d/runscript
	cp -a a/.singularity.d/runscript b/.singularity.d/
	chmod 0755 b/.singularity.d/runscript
	ln -s x b/.singularity.d/test
	run simg diff a b
	expect_status 1
	expect_section metadata ""
	expect_section files "~ /.singularity.d/runscript  mode 0644 -> 0755" "+ /.singularity.d/test  symlink to x"
)

(
	t "metadata that makes no sense, or is no JSON, is different nevertheless"
	mkdir -p a/.simg a/.singularity.d b/.simg b/.singularity.d
	for two in '[1] [2]' '{"config":{"Env":[1]}} {"config":{"Env":[2]}}' '{"config":{"Env":["A=1","A=2"]}} {"config":{"Env":["A=2"]}}' \
		'{"config":5} {"config":6}' '{"config":[]} {"config":{}}' 'no neither' '{} no'; do
		echo "${two% *}" >a/.simg/config.json
		echo "${two#* }" >b/.simg/config.json
		run simg diff a b
		expect_status 1
		expect_stdout_has "  ~ config "
	done
	echo '{"config":{},"created":1}' >a/.simg/config.json
	echo '{ "created": 2, "config": {} }' >b/.simg/config.json
	run simg diff a b
	expect_status 0
	echo '{"a": 1}' >a/.singularity.d/labels.json
	echo '{"a": 2}' >b/.singularity.d/labels.json
	run simg diff a b
	expect_status 1
	expect_section metadata '~ labels  {"a":1} -> {"a":2}'
)

(
	t "nothing hides in a file that has nearly the name of a record"
	mkdir -p a/.simg b/.simg
	touch b/.simg/base-1.json b/.simg/base-16.json b/.simg/base-x b/.simg/build.json.old b/.simgx
	run simg diff a b
	expect_status 1
	expect_section files "+ /.simg/base-16.json  file, 0 B" "+ /.simg/base-x  file, 0 B" "+ /.simg/build.json.old  file, 0 B" \
		"+ /.simgx  file, 0 B"
)

(
	t "long values are cut, and scripts that are no text are shown as such"
	mkdir -p a/.singularity.d b/.singularity.d
	printf '%0200d\n' 1 >b/.singularity.d/runscript
	printf '\377\n' >a/.singularity.d/test
	run simg diff a b
	expect_status 1
	expect_section metadata "+ runscript  \"$(printf '%0119d' 0)…" "- test  null"
)

(
	t "the build record does not count, nor its directory"
	pair
	pack a
	simg build -q --no-mount-points a2.simg a.simg
	run simg diff a.simg a2.simg
	expect_status 0
	expect_section 'build record' '+ record base  "/.simg/base-0.json"' '~ record source.kind  "directory" -> "image"' \
		"+ bases  $(simg inspect --record a.simg | jq -c '[.]' | head -c 120)…"
	expect_stdout_has "no difference"
	run simg diff --files a a2.simg
	expect_status 0
	run simg diff --json a a.simg
	expect_status 0
	expect_equal "$(jq -c '[.different, .files, (.record | length)]' "$stdout")" '[false,[],1]'
)

(
	t "packages: added, removed, another version, and several versions of one"
	need python3
	mkdir -p a/var/lib/dpkg b/var/lib/dpkg
	status() { printf 'Package: %s\nVersion: %s\nArchitecture: amd64\n\n' "$@"; }
	status gone 1 libc6 2.36-9 same 1 >a/var/lib/dpkg/status
	status libc6 2.36-10 new 1:2 same 1 >b/var/lib/dpkg/status
	lines=("- gone  1  (dpkg, amd64)" "~ libc6  2.36-9 -> 2.36-10  (dpkg, amd64)" "+ new  1:2  (dpkg, amd64)")
	if grep -qs '^#define HAVE_SQLITE 1' "$build/config.h"; then
		mkdir -p a/var/lib/rpm b/var/lib/rpm
		"$top/tests/rpmdb.py" a/var/lib/rpm/rpmdb.sqlite kernel::6.7:1:x86_64 kernel::6.8:1:x86_64 key::1:1:
		"$top/tests/rpmdb.py" b/var/lib/rpm/rpmdb.sqlite kernel::6.8:1:x86_64 kernel::6.9:1:x86_64 key::1:2:
		lines+=("- kernel  6.7-1  (rpm, x86_64)" "+ kernel  6.9-1  (rpm, x86_64)" "~ key  1-1 -> 1-2  (rpm)")
	fi
	pack a
	for two in 'a b' 'a.simg b'; do
		run simg diff --packages $two
		expect_status 1
		expect_section packages "${lines[@]}"
		expect_stdout_lacks files
	done
	run simg diff a b
	expect_stdout_has "  ~ /var/lib/dpkg/status"
	run simg diff --packages --json a b
	expect_equal "$(jq -c '.packages[0], .packages[1], .different' "$stdout")" "$(printf '%s\n' \
		'{"manager":"dpkg","name":"gone","architecture":"amd64","before":"1","after":null,"change":"removed"}' \
		'{"manager":"dpkg","name":"libc6","architecture":"amd64","before":"2.36-9","after":"2.36-10","change":"changed"}' true)"
	expect_equal "$(jq -c keys "$stdout")" '["a","b","different","packages","times"]'
)

(
	t "packages that cannot be read are noted, and an error if nothing else was asked for"
	mkdir -p a b/var/lib/rpm
	echo x >b/var/lib/rpm/Packages
	run simg diff a b
	expect_status 1
	expect_stderr "simg: note: 'b': the packages in '/var/lib/rpm/Packages' are kept in Berkeley DB, which simg does not read"
	run simg diff --packages a b
	expect_status 3
	expect_stderr "simg: error: 'b': the packages in '/var/lib/rpm/Packages' are kept in Berkeley DB, which simg does not read"
)

(
	t "JSON has both sides of a file"
	pair
	rm b/etc/conf
	echo hello, >b/etc/motd
	chmod 0600 b/etc/motd
	touch -d @1000000000 a/etc/conf a/etc/motd b/etc/motd
	ids=$(id -u),\"gid\":$(id -g)
	run simg diff --json a b
	expect_status 1
	expect_equal "$(jq -c '.files[]' "$stdout")" "$(cat <<-JSON
		{"path":"/etc/conf","what":[],"before":{"type":"file","mode":"0644","uid":$ids,"mtime":1000000000,"bytes":2},"after":null,"change":"removed"}
		{"path":"/etc/motd","what":["size","mode"],"before":{"type":"file","mode":"0644","uid":$ids,"mtime":1000000000,"bytes":6},"after":{"type":"file","mode":"0600","uid":$ids,"mtime":1000000000,"bytes":7},"change":"changed"}
	JSON
	)"
	expect_equal "$(jq -c '[.a, .b, .times, .metadata, .packages, .record, .different]' "$stdout")" '["a","b",false,[],[],[],true]'
	run simg diff --json --files --times a a
	expect_status 0
	expect_equal "$(jq -c . "$stdout")" '{"a":"a","b":"a","times":true,"files":[],"different":false}'
	run simg diff --json --quiet a b
	expect_status 1
	expect_stdout ""
)

(
	t "what cannot be compared ends with status 3 and a reason"
	pair
	pack a
	run simg diff a nowhere
	expect_status 3
	expect_stderr "simg: error: cannot open the image 'nowhere': No such file or directory"
	echo text >text
	run simg diff text a
	expect_status 3
	expect_stderr_has "'text' is not a SquashFS image"
	head -c 5000 a.simg >cut.simg
	run simg diff a.simg cut.simg
	expect_status 3
	expect_stderr_has "image 'cut.simg' is truncated"
	run simg diff a /dev/null
	expect_status 3
	expect_stderr_has "image '/dev/null' is neither a regular file nor a directory"
	run bash -c 'simg diff --json a b >/dev/full'
	expect_status 3
	expect_stderr "simg: error: cannot write to standard output: No space left on device"
)

(
	t "a file that may not be read, and an image with a compressor that libsquashfs lacks"
	need_user
	pair
	chmod 0600 b/etc/conf
	chmod 0755 .
	user_runs simg diff a b
	expect_status 3
	expect_stderr "$(printf '%s\n' "simg: error: 'b': cannot read the file './etc/conf': Permission denied" \
		"simg: hint: compare as a user who may read all of the directory")"
	need mksquashfs
	mksquashfs a lzo.sqfs -comp lzo -quiet -no-progress >/dev/null || skip "mksquashfs has no lzo"
	run simg diff a lzo.sqfs
	expect_status 3
	expect_stderr_has "simg: error: the compressor lzo of the image 'lzo.sqfs' is not supported"
)

(
	t "a wrong command line"
	for arguments in '' 'a' 'a b c'; do
		run simg diff $arguments
		expect_status 2
		expect_stderr "$(printf '%s\n' "simg: error: simg diff needs two images" "simg: hint: simg diff --help lists the options")"
	done
	run simg diff --xml a b
	expect_status 2
	expect_stderr_has "simg: error: there is no option '--xml'"
	run simg diff --help
	expect_status 0
	expect_stdout_has "--times" "3 they could not be compared"
	[ "$(wc -l <"$stdout")" -le 24 ]
	! grep -q '.\{81\}' "$stdout"
)

(
	t "memory does not grow with the tree"
	need time
	need python3
	python3 - <<-'PYTHON'
		import os
		for i in range(300):
		    os.makedirs(f"a/{i}")
		    for k in range(100):
		        with open(f"a/{i}/{k}", "w") as file:
		            file.write(str(i * k))
	PYTHON
	pack a
	mkdir small
	echo 1 >small/file
	pack small
	peak() { command time -f %M -o peak simg diff -q "$@"; cat peak; }
	large=$(peak a a.simg) least=$(peak small small.simg)
	echo "$large KiB, $least KiB"
	! grep -q 'enable-sanitizers' "$build/config.status" || skip "a build with sanitizers"
	[ "$large" -lt $((least + 4096)) ]
)

(
	t "100 images with one changed byte each are compared or refused, never with a crash"
	pair
	pack a
	size=$(stat -c %s a.simg) RANDOM=1
	for i in $(seq 100); do
		cp a.simg bad.simg
		at=$((i <= 30 ? RANDOM % 96 : size - 4096 + (RANDOM * 32768 + RANDOM) % 4096))
		printf %b "\\x$(printf %02x $((RANDOM % 256)))" | dd of=bad.simg bs=1 seek=$at conv=notrunc status=none
		status=0
		ASAN_OPTIONS=allocator_may_return_null=1 timeout 20 simg diff a.simg bad.simg >"$stdout" 2>"$stderr" || status=$?
		case $status in
		0 | 1) ;;
		3) expect_equal "$(grep -c '^simg: error: ' "$stderr")" 1 ;;
		*) fail "status $status with byte $at changed" ;;
		esac
	done
)

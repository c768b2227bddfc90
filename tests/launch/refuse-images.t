#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What is no image, or none that this user may have: refused by name, where it was asked for and, if the submit side is passed by, on
# the nodes; and the kernel never gets to see it.
#
# guard: 240 s
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tiny.sh"
need mksquashfs strace dd
need_cluster --slurm InactiveLimit=0
. "$(dirname "$0")/refuse.sh"

tiny_tree "$file_dir/tree"
app=$file_dir/app.simg
pack "$file_dir/tree" "$app"
no_plugin_here
traces=$file_dir/traces
trace_helper "$own_cluster" "$traces" ioctl,mount,move_mount

# What root's half of a launch did with images since the last call.
attempts() { cat "$traces"/* 2>/dev/null | grep -E 'LOOP_CONFIGURE|LOOP_SET_FD|"squashfs"' || :; rm -f "$traces"/*; }

# refused_everywhere IMAGE TEXT…
refused_everywhere() {
	local image=$1
	shift
	attempts >/dev/null
	refused_at_submit --container="$image"
	expect_stderr_has "$@"
	refused_on_nodes "${past_submit[@]}" SLURM_CONTAINER="$image"
	expect_stderr_has "$@"
	[ "$(ls "$traces")" ] || fail "no helper was traced"
	expect_equal "$(attempts)" ''
}

# damaged OFFSET BYTES: a copy of the good image with these bytes (as for printf) in its superblock.
damaged() {
	cp "$app" bad.simg
	# shellcheck disable=SC2059
	printf "$2" | dd of=bad.simg bs=1 seek="$1" conv=notrunc status=none
}

(
	t "a good image is attached and mounted, and the traces show it"
	attempts >/dev/null
	user_runs srun --container="$app" cat /etc/tiny
	expect_status 0
	expect_stdout tiny
	attempts >tried
	text_has tried "the trace" '"squashfs"' LOOP_CONFIGURE
)
(
	t "a relative name of nothing is refused where the job is submitted"
	refused_at_submit --container=./nosuch.simg
	expect_stderr_has "there is no image './nosuch.simg' in '$PWD' (hint: a relative path starts at the directory where the job is submitted)"
)
(
	t "a bare name of nothing says that the site has no image_path"
	refused_at_submit --container=nosuch
	expect_stderr_has "there is no image 'nosuch' in '$PWD', and the site has set no image_path"
)
(
	t "an absolute path that is missing on the nodes is refused there, once per node"
	refused_on_nodes --container=/nonexistent/app.simg
	expect_stderr_has "simg: n1: cannot open image '/nonexistent/app.simg': No such file or directory (hint: is the file system that holds it mounted here?)"
	expect_stderr_has "simg: n2: cannot open image '/nonexistent/app.simg'"
)
(
	t "an image that only root can read is refused, although the helper is root"
	cp "$app" root.simg
	chmod 0600 root.simg
	refused_everywhere "$PWD/root.simg" "cannot read image '$PWD/root.simg': Permission denied"
)
(
	t "an image below a directory that the user may not search is refused"
	mkdir closed
	chmod 0700 closed
	cp "$app" closed/app.simg
	refused_everywhere "$PWD/closed/app.simg" "cannot open image '$PWD/closed/app.simg': Permission denied"
	refused_at_submit --container=closed/app.simg
	expect_stderr_has "cannot find image 'closed/app.simg': Permission denied"
)
(
	t "an image in a directory of the user's own that nobody else may enter runs"
	mkdir own
	cp "$app" own/app.simg
	chmod 0600 own/app.simg
	chmod 0700 own
	user_file own own/app.simg
	user_runs srun -N2 --container="$PWD/own/app.simg" cat /etc/tiny
	expect_status 0
)
(
	t "a directory without a root filesystem is refused"
	mkdir -p empty/data
	refused_everywhere "$PWD/empty" "directory '$PWD/empty' holds no root filesystem: it has no usr, bin or lib" "give the directory that is to be '/' in the container"
)
(
	t "a truncated image is refused as truncated"
	head -c 1000000 "$app" >short.simg
	refused_everywhere "$PWD/short.simg" "image '$PWD/short.simg' is truncated: it has 1000000 bytes, its superblock says" "the copy is not complete"
)
(
	t "an image of less than a superblock is refused as truncated"
	head -c 50 "$app" >short.simg
	refused_everywhere "$PWD/short.simg" "image '$PWD/short.simg' is truncated: 50 bytes, less than a superblock"
)
(
	t "an empty file is refused as empty"
	: >empty.simg
	refused_everywhere "$PWD/empty.simg" "image '$PWD/empty.simg' is empty"
)
(
	t "a text file is refused, and says what to do"
	echo "this is not an image" >text.simg
	refused_everywhere "$PWD/text.simg" "'$PWD/text.simg' is not a SquashFS image (hint: make an image of it with: simg build app.simg SOURCE)"
)
(
	t "a script is not taken for an image of Singularity 2"
	printf '#!/bin/sh\necho hello\n' >script.simg
	refused_everywhere "$PWD/script.simg" "'$PWD/script.simg' is not a SquashFS image"
)
(
	t "a program is refused"
	cp /bin/true program
	refused_everywhere "$PWD/program" "'$PWD/program' is not a SquashFS image"
)
(
	t "random bytes are refused"
	head -c 100000 /dev/urandom >random.simg
	refused_everywhere "$PWD/random.simg" "'$PWD/random.simg' is not a SquashFS image"
)
(
	t "a SIF image is refused by name"
	{ printf '#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0'; head -c 4096 /dev/zero; } >app.sif
	refused_everywhere "$PWD/app.sif" "image '$PWD/app.sif' is a SIF file, which this version cannot launch" "build it again with simg build"
)
(
	t "SquashFS version 3 is refused by its number"
	damaged 28 '\003\000\001\000'
	refused_everywhere "$PWD/bad.simg" "image '$PWD/bad.simg' is SquashFS version 3.1, only 4.0 is supported"
)
(
	t "a superblock with an impossible block size is refused"
	damaged 12 '\001\000\002\000'
	refused_everywhere "$PWD/bad.simg" "image '$PWD/bad.simg' is damaged: block size (131073)" "copy or build the image again"
)
(
	t "a superblock whose block size and its logarithm differ is refused"
	damaged 22 '\020\000'
	refused_everywhere "$PWD/bad.simg" "image '$PWD/bad.simg' is damaged: block size"
)
(
	t "a superblock with an unknown compressor is refused"
	damaged 20 '\011\000'
	refused_everywhere "$PWD/bad.simg" "image '$PWD/bad.simg' is damaged: unknown compressor (9)"
)
# Each table's offset far out of bounds, and at the superblock itself.
while read -r offset name; do
	(
		t "a superblock whose $name is out of bounds is refused"
		damaged "$offset" '\377\377\377\377\377\377\377\177'
		refused_everywhere "$PWD/bad.simg" "image '$PWD/bad.simg' is damaged: $name out of bounds"
		damaged "$offset" '\010\000\000\000\000\000\000\000'
		refused_at_submit --container="$PWD/bad.simg"
		expect_stderr_has "image '$PWD/bad.simg' is damaged: "
	)
done <<'TABLES'
48 id table
64 inode table
72 directory table
80 fragment table
TABLES
(
	t "a superblock whose root inode lies outside of the inode table is refused"
	damaged 32 '\000\000\377\377\377\377\000\000'
	refused_everywhere "$PWD/bad.simg" "image '$PWD/bad.simg' is damaged: root inode out of bounds"
)
(
	t "an id table whose list leads out of the image is refused"
	local_table=$(od -An -t u8 -j 48 -N 8 "$app" | tr -d ' ')
	damaged "$local_table" '\377\377\377\377\377\377\377\177'
	refused_everywhere "$PWD/bad.simg" "image '$PWD/bad.simg' is damaged: id table out of bounds"
)
(
	t "a symlink to an image is followed"
	ln -s "$app" link
	ln -s link second
	user_runs srun -N2 --container="$PWD/second" cat /etc/tiny
	expect_status 0
	user_runs srun -N2 --container=second cat /etc/tiny
	expect_status 0
)
(
	t "a symlink loop is refused as one"
	ln -s b a
	ln -s a b
	refused_everywhere "$PWD/a" "cannot open image '$PWD/a': Too many levels of symbolic links"
	refused_at_submit --container=./a
	expect_stderr_has "cannot open image '$PWD/./a': Too many levels of symbolic links"
)
(
	t "a symlink to nothing is refused"
	ln -s nowhere gone
	refused_on_nodes "${past_submit[@]}" SLURM_CONTAINER="$PWD/gone"
	expect_stderr_has "cannot open image '$PWD/gone': No such file or directory"
)
(
	t "a FIFO, a device or a socket is refused without being opened"
	mkfifo -m 0666 fifo
	ln -s /dev/zero zero
	ln -s "$(find "$own_cluster/munge" -type s | head -n 1)" socket
	for name in fifo zero socket; do
		begun=$SECONDS
		refused_everywhere "$PWD/$name" "image '$PWD/$name' is neither a regular file nor a directory"
		[ $((SECONDS - begun)) -lt 20 ] || fail "it took too long: was it opened?"
	done
)
(
	t "a name longer than a path is refused by its length"
	long=/$(printf '%05000d' 0)
	refused_everywhere "$long" "the image's name is 5001 bytes long, more than a path can be"
)
(
	t "a component longer than a name is refused"
	long=/tmp/$(printf '%0300d' 0)
	refused_everywhere "$long" "cannot open image '/tmp/000" "File name too long"
)
(
	t "control characters, quotes and shell text in a name are text, and shown without controls"
	name=$'/no\nsuch \e[31m"im\'age" $(touch pwned) `touch pwned`; touch pwned %s%n \xc2\x9b31m'
	refused_on_nodes --container="$name"
	expect_stderr_has "cannot open image '/no?such ?[31m\"im'age\" \$(touch pwned) \`touch pwned\`; touch pwned %s%n ??31m'"
	expect_equal "$(find . -name 'pwned*')" ''
	refused_at_submit --container="./$name"
	expect_equal "$(find . -name 'pwned*')" ''
)
(
	t "an image with such a name runs"
	name=$'my "app"\n$(touch pwned)\'s, the: one.simg'
	cp "$app" "$name"
	user_runs srun --container="./$name" cat /etc/tiny
	expect_status 0
	expect_equal "$(find . -name 'pwned*')" ''
)
(
	t "an image that is replaced by a bad one while the job waits is refused on the node, and no task runs"
	cp "$app" later.simg
	user_file later.simg
	user_runs sbatch --parsable --begin=now+3 -o out --container="$PWD/later.simg" --wrap="touch $PWD/ran"
	expect_status 0
	job=$(cat "$stdout")
	echo "no image any more" >later.simg
	eventually job_is_over "$job"
	expect_equal "$(scontrol -o show job "$job" | grep -o 'JobState=[A-Z]* ')" "JobState=FAILED "
	text_has out "the job's output" "simg: n1: '$PWD/later.simg' is not a SquashFS image"
	nothing_ran
)
(
	t "after all this the nodes are up"
	nodes_stay_up
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Many tasks, steps and jobs on one node: one image is attached once, and a changed one anew.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need mksquashfs
need_cluster
app=$(image minbase)

# Two small images that differ in what /marker says.
for name in old new; do
	tiny_tree "$file_dir/$name"
	echo "$name" >"$file_dir/$name/marker"
	pack "$file_dir/$name" "$file_dir/$name.simg"
done

# Prints the loop devices that serve the image, one a line.
loops_of() { grep -lsxF "$1" /sys/block/loop*/loop/backing_file | cut -d/ -f4; }
no_loops_of() { [ -z "$(loops_of "$1")" ]; }

# waiting NAME COMMAND…: in the background, a step that writes to NAME.dev the device of its root, and to NAME.marker what the image says,
# and ends when the file "go" appears.
waiting() {
	local name=$1
	shift
	cleanup wait
	cleanup as_user scancel --user="$user"
	as_user "$@" sh -c "stat -c %d / >$name.part && cat /marker >$name.marker && mv $name.part $name.dev; while [ ! -e go ]; do sleep 0.1; done; cat /marker >$name.after" &
}

(
	t "steps of one image on one node share its device, also those of other jobs and images by another name"
	ln -s "$file_dir/old.simg" link.simg
	waiting one srun -w n1 --container="$file_dir/old.simg"
	waiting two srun -w n1 --container=link.simg
	waiting three srun -w n2 --container="$file_dir/old.simg"
	eventually test -e one.dev -a -e two.dev -a -e three.dev
	expect_equal "$(cat one.dev two.dev three.dev | sort -u | wc -l)" 1
	expect_equal "$(loops_of "$file_dir/old.simg" | wc -l)" 1
	as_user touch go
	wait
)
(
	t "the device goes with the last step"
	eventually no_loops_of "$file_dir/old.simg"
	waiting one srun --container="$file_dir/old.simg"
	eventually test -e one.dev
	expect_equal "$(loops_of "$file_dir/old.simg" | wc -l)" 1
	as_user touch go
	wait
	eventually no_loops_of "$file_dir/old.simg"
)
(
	t "an image that replaced another by rename is the one that new steps get, while old ones keep theirs"
	cp "$file_dir/old.simg" app.simg
	waiting first srun --container=app.simg
	eventually test -e first.dev
	cp "$file_dir/new.simg" next.simg
	mv next.simg app.simg
	waiting second srun --container=app.simg
	eventually test -e second.dev
	expect_equal "$(cat first.marker second.marker)" $'old\nnew'
	[ "$(cat first.dev)" != "$(cat second.dev)" ]
	as_user touch go
	wait
	expect_equal "$(cat first.after second.after)" $'old\nnew'
)
(
	t "an image that was written over in place is not served by the device of before"
	cp "$file_dir/old.simg" app.simg
	waiting first srun --container=app.simg
	eventually test -e first.dev
	# the same bytes: to change what a mounted image reads is for its owner to risk
	dd if="$file_dir/old.simg" of=app.simg conv=notrunc status=none
	waiting second srun --container=app.simg
	eventually test -e second.dev
	[ "$(cat first.dev)" != "$(cat second.dev)" ]
	as_user touch go
	wait
)
(
	t "an image that was written over in place between two steps is the new one"
	cp "$file_dir/old.simg" app.simg
	inode=$(stat -c %i app.simg)
	user_runs srun --container=app.simg cat /marker
	expect_stdout old
	eventually no_loops_of "$PWD/app.simg"
	cp "$file_dir/new.simg" app.simg
	expect_equal "$(stat -c %i app.simg)" "$inode"
	user_runs srun --container=app.simg cat /marker
	expect_stdout new
)
(
	t "two images at once on one node have a device each"
	waiting one srun -w n1 --container="$file_dir/old.simg"
	waiting two srun -w n1 --container="$file_dir/new.simg"
	eventually test -e one.dev -a -e two.dev
	[ "$(cat one.dev)" != "$(cat two.dev)" ]
	expect_equal "$(cat one.marker two.marker)" $'old\nnew'
	as_user touch go
	wait
)
(
	t "an image in a Singularity file, behind a line of text, is served from where it begins"
	{ printf '#!/usr/bin/env run-singularity\n'; cat "$file_dir/old.simg"; } >prefixed.simg
	chmod 0644 prefixed.simg
	user_runs srun --container=prefixed.simg cat /marker
	expect_status 0
	expect_stdout old
)
(
	t "all of 64 tasks on one node run inside, in one namespace"
	# shellcheck disable=SC2016
	user_runs srun -N1 -n64 -O --container="$app" sh -c 'echo $(stat -f -c %T /) $(readlink /proc/self/ns/mnt)'
	expect_status 0
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' ' | cut -d' ' -f2,3)" "64 squashfs"
	expect_stderr ""
)
(
	t "32 steps at once on one node all run inside"
	# shellcheck disable=SC2016
	user_runs salloc -Q -N1 -n32 sh -c 'for i in $(seq 32); do srun -n1 --exact --container="$1" sh -c "cat /marker; sleep 1" & done; wait' sh "$file_dir/old.simg"
	expect_status 0
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' ')" " 32 old"
	expect_stderr ""
	eventually no_loops_of "$file_dir/old.simg"
)
(
	t "steps after each other do not use devices up"
	eventually no_loops_of "$file_dir/old.simg"
	before=$(find /sys/block/loop*/loop -maxdepth 0 2>/dev/null | wc -l)
	# shellcheck disable=SC2016
	user_runs salloc -Q sh -c 'for i in $(seq 10); do srun --container="$1" cat /marker; done' sh "$file_dir/old.simg"
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' ')" " 10 old"
	eventually no_loops_of "$file_dir/old.simg"
	[ "$(find /sys/block/loop*/loop -maxdepth 0 2>/dev/null | wc -l)" -le $((before + 2)) ]
)

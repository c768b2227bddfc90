#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --container-mounts: paths of the host in the container.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need_cluster
app=$(image minbase)

# mounting MOUNTS COMMAND…: a step with these mounts.
mounting() { local mounts=$1; shift; user_runs srun --container="$app" --container-mounts="$mounts" "$@"; }

# source NAME: a directory of the user's with a file "name" that says NAME.
source_dir() { mkdir -p "$1"; echo "$1" >"$1/name"; chown -R "$user:" "$1"; }

(
	t "SRC:DST mounts a directory, which can be written"
	source_dir data
	mounting "$PWD/data:/mnt/data" sh -c 'cat /mnt/data/name; echo more >/mnt/data/made'
	expect_status 0
	expect_stdout data
	expect_stderr ""
	expect_equal "$(stat -c %U data/made) $(cat data/made)" "$user more"
)
(
	t "SRC:DST:ro mounts it read-only, with all that is mounted below it"
	source_dir data
	mkdir data/below
	mount -t tmpfs tmpfs data/below -o mode=1777
	cleanup umount "$PWD/data/below"
	mounting "$PWD/data:/mnt/data:ro" sh -c 'cat /mnt/data/name; touch /mnt/data/made; touch /mnt/data/below/made'
	expect_stdout data
	expect_equal "$(grep -c 'Read-only file system' "$stderr")" 2
)
(
	t "SRC:DST:rw mounts it for writing"
	source_dir data
	mounting "$PWD/data:/mnt/data:rw" touch /mnt/data/made
	expect_status 0
	[ -e data/made ]
)
(
	t "SRC alone, and SRC:ro, mount it at its own place"
	mkdir "/srv/simg-test-$$"
	cleanup rmdir "/srv/simg-test-$$"
	chown "$user:" "/srv/simg-test-$$"
	mounting "/srv/simg-test-$$" rmdir "/srv/simg-test-$$/x"
	expect_stderr_has "/srv/simg-test-$$/x': No such file or directory"
	mounting "/srv/simg-test-$$:ro" mkdir "/srv/simg-test-$$/x"
	expect_stderr_has "Read-only file system"
)
(
	t "several mounts are separated by commas, and repeated options add up"
	for name in one two three; do source_dir $name; done
	user_runs srun --container="$app" --container-mounts="$PWD/one:/mnt/one,$PWD/two:/mnt/two:ro" --container-mounts="$PWD/three:/mnt/three" \
		sh -c 'cat /mnt/*/name'
	expect_status 0
	expect_stdout $'one\nthree\ntwo'
)
(
	t "a file is mounted on a file, and on a name that the image lacks"
	source_dir data
	mounting "$PWD/data/name:/usr/share/debianutils/shells,$PWD/data/name:/mnt/new,$PWD/data/name:/mnt/deep/er/new:ro" \
		sh -c 'cat /usr/share/debianutils/shells /mnt/new /mnt/deep/er/new; echo changed >/mnt/new; cat /mnt/deep/er/new; echo no >/mnt/deep/er/new'
	expect_stdout $'data\ndata\ndata\nchanged'
	expect_stderr_has "Read-only file system"
	expect_equal "$(cat data/name)" changed
)
(
	t "a mount can lie in another, also the other way round"
	source_dir outer
	source_dir inner
	mkdir outer/in
	mounting "$PWD/outer:/mnt/out,$PWD/inner:/mnt/out/in" sh -c 'cat /mnt/out/name /mnt/out/in/name'
	expect_stdout $'outer\ninner'
	expect_equal "$(ls outer/in)" ""
	mounting "$PWD/inner:/mnt/out/in,$PWD/outer:/mnt/out" sh -c 'cat /mnt/out/name; ls /mnt/out/in'
	expect_stdout outer
)
(
	t "the later of two mounts on one place wins"
	source_dir one
	source_dir two
	mounting "$PWD/one:/mnt,$PWD/two:/mnt" cat /mnt/name
	expect_stdout two
)
(
	t "a relative source is found from the job's working directory"
	source_dir data/sub
	mounting data/sub:/mnt/data cat /mnt/data/name
	expect_stdout data/sub
	cd data
	user_runs srun --container="$app" --chdir="$PWD/sub" --container-mounts=../sub:/mnt/data cat /mnt/data/name
	expect_stdout data/sub
)
(
	t "a target that the image lacks is supplied, at the top and deep down"
	source_dir data
	mounting "$PWD/data:/newtop,$PWD/data:/newtop2/a/b/c,$PWD/data:/opt/x/y,$PWD/data:/usr/share/x/y" \
		sh -c 'cat /newtop/name /newtop2/a/b/c/name /opt/x/y/name /usr/share/x/y/name; ls -d /usr/share/debianutils /newtop2/a; ls -A /newtop2/a; touch /newtop2/file'
	expect_stdout $'data\ndata\ndata\ndata\n/newtop2/a\n/usr/share/debianutils\nb'
	expect_stderr_matches 'touch: .*(Read-only file system|Permission denied)'
)
(
	t "a target that the image lacks is supplied in a root directory without touching it"
	source_dir data
	tree=$(shared_tree minbase)
	user_runs srun --container="$tree" --container-mounts="$PWD/data:/newtop/deep" cat /newtop/deep/name
	expect_stdout data
	[ ! -e "$tree/newtop" ]
)
(
	t "a directory and a file of the image can be covered, and what is beside them stays"
	source_dir data
	mounting "$PWD/data:/usr/share/debianutils,$PWD/data/name:/usr/lib/os-release" sh -c 'ls /usr/share/debianutils; cat /usr/lib/os-release; ls -d /usr/share/base-files'
	expect_status 0
	expect_stdout $'name\ndata\n/usr/share/base-files'
)
(
	t "a target below a symlink of the image goes where the link leads, inside"
	new_tree tree
	source_dir data
	ln -s /opt tree/link
	ln -s ../../../../../../opt tree/far
	user_runs srun --container="$PWD/tree" --container-mounts="$PWD/data:/link/one,$PWD/data:/far/two" sh -c 'cat /opt/one/name /opt/two/name'
	expect_stdout $'data\ndata'
	[ ! -e /opt/one ]
	[ ! -e /opt/two ]
)
(
	t "spaces need no quoting, and colons and commas are written with a backslash"
	source_dir "a b"
	source_dir "c:d,e"
	source_dir 'f\g'
	mounting "$PWD/a b:/mnt/a b,$PWD/c\\:d\\,e:/mnt/c\\:d\\,e:ro,$PWD/f\\\\g:/mnt/f\\\\g" \
		sh -c 'cat "/mnt/a b/name" "/mnt/c:d,e/name" "/mnt/f\\g/name"'
	expect_status 0
	expect_stdout $'a b\nc:d,e\nf\\g'
)
(
	t "names with quotes, newlines and signs of the shell are data"
	# shellcheck disable=SC2016
	name=$'new\nline "quoted" \'single\' $(touch gone) `touch gone` ;&|<>*?%s\t\\'
	source_dir "$name"
	chown -R "$user:" .
	escaped=${name//\\/\\\\}
	mounting "$PWD/$escaped:/mnt/$escaped" sh -c 'cat "$1/name"' sh "/mnt/$name"
	expect_status 0
	expect_stdout "$name"
	[ ! -e gone ]
	run find / -xdev -maxdepth 3 -name gone
	expect_stdout ""
)
(
	t "bytes that are no valid text are data"
	name=$'\377\376'
	source_dir "$name"
	mounting "$PWD/$name:/mnt/$name" cat "/mnt/$name/name"
	expect_stdout "$name"
)
(
	t "many mounts are no problem"
	list=''
	for i in $(seq 200); do
		source_dir "s$i"
		list+=",$PWD/s$i:/mnt/many/t$i"
	done
	mounting "${list#,}" sh -c 'cat /mnt/many/*/name | sort -u | wc -l'
	expect_stdout 200
)
(
	t "a source that only the user may read is mounted"
	source_dir data
	chmod 0700 data
	mounting "$PWD/data:/mnt/data" cat /mnt/data/name
	expect_stdout data
)
(
	t "a symlink as source brings what it leads to"
	source_dir data
	ln -s data link
	ln -s data/name filelink
	mounting "$PWD/link:/mnt/dir,$PWD/filelink:/mnt/file" sh -c 'cat /mnt/dir/name /mnt/file; test -h /mnt/dir || echo no link'
	expect_stdout $'data\ndata\nno link'
)
(
	t "what is mounted on the host during the step shows below a mount, where the host shares its mounts"
	source_dir data
	mkdir data/later
	mount --bind data data
	cleanup umount "$PWD/data"
	mount --make-shared data
	as_user srun --container="$app" --container-mounts="$PWD/data:/mnt/data" \
		sh -c "touch /mnt/data/ready; while [ ! -e /mnt/data/later/file ] && [ ! -e /mnt/data/stop ]; do sleep 0.1; done; ls /mnt/data/later" >out &
	eventually test -e data/ready
	mount -t tmpfs tmpfs data/later
	cleanup umount "$PWD/data/later"
	touch data/later/file
	for _ in $(seq 50); do kill -0 $! 2>/dev/null || break; sleep 0.1; done
	touch data/stop
	wait
	expect_equal "$(cat out)" file
)
(
	t "mounts reach the node with --export=NONE and --export=NAME"
	source_dir data
	for export in NONE PATH ALL; do
		user_runs srun --export=$export --container="$app" --container-mounts="$PWD/data:/mnt/data" cat /mnt/data/name
		expect_stdout data
	done
)

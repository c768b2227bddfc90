#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What "make install" puts where, and that it works from there.
. "$(dirname "$0")/../lib.sh"
need make
! grep -qsF 'S["HAVE_SLURM_TRUE"]="#"' "$build/config.status" || skip "built without Slurm"

dest=$file_dir/dest
make -s -C "$build" install DESTDIR="$dest" >"$file_dir/log" 2>&1 || { cat "$file_dir/log"; exit 1; }
prefix=$dest$(sed -n 's/^prefix = //p' "$build/Makefile")

(
	t "install puts the plugin, the programs and the manual pages in their places"
	installed=$(cd "$prefix" && find . -type f -o -type l | sort)
	echo "$installed"
	for file in ./bin/simg ./lib/simg/simg.so ./libexec/simg/simg-helper; do
		grep -qxF "$file" <<<"$installed" || fail "$file is not installed"
	done
	for page in "$top"/man/*.[1-8]; do
		[ ! -e "$page" ] || grep -qxF "./share/man/man${page##*.}/${page##*/}" <<<"$installed" || fail "$page is not installed"
	done
)

(
	t "nothing is installed outside of the prefix, and nothing for linking against"
	expect_equal "$(find "$dest" -type f ! -path "$prefix/*")" ""
	expect_equal "$(find "$dest" -name '*.la' -o -name '*.a' -o -name '*.h')" ""
)

(
	t "no installed file is writable by others, and no program is set-user-id"
	expect_equal "$(find "$dest" ! -type l -perm /022)" ""
	expect_equal "$(find "$dest" -perm /6000)" ""
)

(
	t "an installed tree serves a cluster"
	need_user
	need slurmctld slurmd munged
	cleanup "$top/tests/cluster" stop "$file_dir/c"
	"$top/tests/cluster" start --nodes 1 --prefix "$prefix" "$file_dir/c"
	eval "$("$top/tests/cluster" env "$file_dir/c")"
	user_runs srun --container="$(image minbase)" cat /etc/debian_version
	expect_status 0
	expect_stdout_has 12.
	expect_equal "$(command -v simg)" "$file_dir/c/bin/simg"
)

(
	t "uninstall removes all of it"
	make -s -C "$build" uninstall DESTDIR="$dest" >/dev/null
	expect_equal "$(find "$dest" -type f)" ""
)

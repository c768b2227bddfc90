# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Small root trees and images, made of this machine's own programs, for tests that need many odd ones. Sourced after tests/lib.sh.
#
#	tiny_tree DIR [PROGRAM…]   a root filesystem laid out as Debian's: sh, and these programs, with their libraries
#	pack DIR IMAGE             a SquashFS image of it, owners and modes as they are
#	user_file FILE…            gives them to the test user
#	trace_helper CLUSTER DIR CALLS   runs the helper of the file's own cluster under strace
#	job_is_over JOB            for eventually
#	batch OPTION…              runs a batch job of the test user and waits for its end
#	no_loop FILE               for eventually

tiny_programs=(bash cat chmod echo env find grep head id ln ls mkdir mount mv readlink rm rmdir sed seq setpriv sh sleep sort stat touch true umount unshare)

tiny_tree() {
	local tree=$1 name file
	shift
	mkdir -p "$tree"/{dev,etc,home,opt,proc,root,run,srv,sys,tmp,usr/{bin,lib,lib64,sbin},var/tmp}
	chmod 1777 "$tree"/{tmp,var/tmp}
	for name in bin lib lib64 sbin; do ln -s "usr/$name" "$tree/$name"; done
	for name in "${tiny_programs[@]}" "$@"; do
		file=$(realpath -s "$(type -P "$name")")
		copy_program "$tree" "$file" "/usr/bin/${file##*/}"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
	echo 'root:x:0:' >"$tree/etc/group"
	: >"$tree/etc/hosts"
	: >"$tree/etc/resolv.conf"
	echo tiny >"$tree/etc/tiny"
}

# copy_program TREE FILE TARGET: with the libraries that its loader would take, at their own places; a link, such as the loader often
# is, stays one.
copy_program() {
	local tree=$1 library real
	cp -L --preserve=mode "$2" "$tree$3"
	ldd "$2" 2>/dev/null | sed -n 's,^[^/]*\(/[^ ]*\) .*,\1,p' | while read -r library; do
		[ ! -L "$tree$library" ] && [ ! -e "$tree$library" ] || continue
		real=$(realpath "$library")
		install -D -m 0755 "$real" "$tree$real"
		[ -e "$tree$library" ] || ln -s "$real" "$tree$library"
	done
}

pack() { rm -f "$2"; mksquashfs "$1" "$2" -comp gzip -Xcompression-level 1 -noappend -no-progress -quiet >/dev/null; chmod 0644 "$2"; }

user_file() { chown "$user:" "$@"; }

# trace_helper CLUSTER DIR CALLS: from now on the helper of a cluster of the file's own runs under strace. DIR gets files named
# LAUNCH.PROCESS; the planner's are those with setresuid.
trace_helper() {
	local helper=$1/libexec/simg-helper
	mkdir -m 0700 "$2"
	[ -e "$helper.real" ] || mv "$helper" "$helper.real"
	printf '#!/bin/sh\nexec %s -ff -qq -yy -o %s/$$ -e trace=%s %s.real\n' "$(type -P strace)" "$2" "$3" "$helper" >"$helper"
	chmod 0755 "$helper"
}

# Known to slurmctld, and neither waiting nor running.
job_is_over() { scontrol -o show job "$1" | grep -qE ' JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY) '; }

# sbatch --wait asks at long intervals.
batch() {
	user_runs sbatch --parsable "$@"
	expect_status 0
	eventually job_is_over "$(cat "$stdout")"
}

# No loop device serves this file.
no_loop() { ! grep -qsxF "$1" /sys/block/loop*/loop/backing_file; }

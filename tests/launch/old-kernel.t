#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Launches where the kernel lacks what we would rather use: slurmd runs with system calls taken away, and what a container looks
# like must not change by that. From Linux 4.18 on there is a way for everything.
. "$(dirname "$0")/../lib.sh"
need_user
need sqfstar findmnt
denysys=$build/tests/denysys
[ -x "$denysys" ] || skip "tests/denysys is not built (it needs libseccomp)"

app=$file_dir/app.simg
tree=$file_dir/tree
minbase=$("$top/tests/images" tar minbase)
sqfstar -quiet -no-progress -noI -noD -noF -noX "$app" <"$minbase"
mkdir "$tree"
tar -C "$tree" -xf "$minbase"
chmod 0644 "$app"

# Makes the directory `tree` on the host, with mounts in it that allow all, except that the last one forbids more.
make_host_tree() {
	mkdir -p host/file-system host/read-only
	mount -t tmpfs -o mode=1777 simg-test host/file-system
	cleanup umount "$PWD/host/file-system"
	mkdir host/file-system/deeper "host/file-system/a b"
	mount -t tmpfs -o mode=1777 simg-test host/file-system/deeper
	cleanup umount "$PWD/host/file-system/deeper"
	mount -t tmpfs -o mode=1777,noexec,noatime simg-test "host/file-system/a b"
	cleanup umount "$PWD/host/file-system/a b"
	mount -t tmpfs -o ro simg-test host/read-only
	cleanup umount "$PWD/host/read-only"
}

# The flags of the mount on POINT, in the mountinfo that the last run printed; "none" without such a mount.
flags_of() { point=$1 awk '$5 == ENVIRON["point"] { flags = $6 } END { print flags ? flags : "none" }' "$stdout"; }

expect_flags() {
	local point=$1 flag
	shift
	for flag; do
		case ,$(flags_of "$point"), in *,"$flag",*) ;; *) fail "'$point' is not $flag: $(flags_of "$point")" ;; esac
	done
}

loops_of() { grep -lsxF "$1" /sys/block/loop*/loop/backing_file || :; }
no_loop_of() { [ -z "$(loops_of "$1")" ]; }

in_container() { user_runs srun --container="$app" "$@"; }

cases() {
	(
		t "$kernel: calls are denied, and the container is the image, read-only, without setuid and devices"
		in_container sh -c 'grep ^Seccomp: /proc/self/status; cat /etc/debian_version /proc/self/mountinfo'
		expect_status 0
		expect_stdout_has "Seccomp:	2" "12."
		expect_flags / ro nosuid nodev
		expect_equal "$(awk '$5 == "/" && / - / { n++ } END { print n }' "$stdout")" 1
	)
	(
		t "$kernel: the image's root is the top of what a task can name"
		in_container stat -c %d:%i / /.. /../../..
		expect_status 0
		expect_equal "$(sort -u "$stdout" | wc -l)" 1
		expect_stdout_lacks "$(stat -c %d:%i /)"
	)
	(
		t "$kernel: a read-only bind is that, and nosuid and nodev, with all that is mounted below it"
		make_host_tree
		in_container --container-mounts="$PWD/host:/data:ro" sh -c 'cat /proc/self/mountinfo
			for d in /data/file-system /data/file-system/deeper "/data/file-system/a b"; do touch "$d/x" 2>&1; done'
		expect_flags /data ro nosuid nodev
		expect_flags /data/file-system ro nosuid nodev
		expect_flags /data/file-system/deeper ro nosuid nodev
		expect_flags '/data/file-system/a\040b' ro nosuid nodev noexec noatime
		expect_flags /data/read-only ro nosuid nodev
		expect_equal "$(grep -c 'Read-only file system' "$stdout")" 3
		run findmnt -no OPTIONS host/file-system
		expect_stdout_lacks nosuid nodev ro,
	)
	(
		t "$kernel: a writable bind is nosuid and nodev, with all that is mounted below it, and keeps what was forbidden"
		make_host_tree
		in_container --container-mounts="$PWD/host:/data" sh -c 'cat /proc/self/mountinfo; touch /data/file-system/deeper/x'
		expect_status 0
		expect_flags /data rw nosuid nodev
		expect_flags /data/file-system rw nosuid nodev
		expect_flags /data/file-system/deeper rw nosuid nodev
		expect_flags '/data/file-system/a\040b' rw nosuid nodev noexec noatime
		expect_flags /data/read-only ro nosuid nodev
		[ -e host/file-system/deeper/x ] || fail "the file is not on the host"
	)
	(
		t "$kernel: a file can be bound, and a bind into a bind"
		as_user sh -c 'mkdir -p outer/place inner; echo text >file; echo deep >inner/x'
		in_container --container-mounts="$PWD/file:/opt/a file:ro,$PWD/outer:/opt/new/outer,$PWD/inner:/opt/new/outer/place:ro" \
			sh -c 'cat "/opt/a file" /opt/new/outer/place/x /proc/self/mountinfo; echo x >>"/opt/a file"'
		expect_stdout_has text deep
		expect_stderr_has "Read-only file system"
		expect_flags '/opt/a\040file' ro nosuid nodev
		expect_flags /opt/new/outer rw nosuid nodev
		expect_flags /opt/new/outer/place ro nosuid nodev
	)
	(
		t "$kernel: devices work, and /etc/passwd knows the user"
		in_container sh -c 'echo x >/dev/null && head -c 4 /dev/zero | wc -c && id -un'
		expect_status 0
		expect_stdout "$(printf '4\n%s' "$user")"
	)
	(
		t "$kernel: a directory is a container, read-only, without setuid and devices"
		user_runs srun --container="$tree" sh -c 'cat /etc/debian_version /proc/self/mountinfo; touch /x'
		expect_stdout_has "12."
		expect_flags / ro nosuid nodev
		expect_stderr_has "Read-only file system"
	)
	(
		t "$kernel: an image of Singularity 2.x, which begins with a line, is a container"
		{ printf '#!/usr/bin/env run-singularity\n'; cat "$app"; } >old.simg
		user_runs srun --container=./old.simg cat /etc/debian_version
		expect_status 0
		expect_stdout_has "12."
		eventually no_loop_of "$PWD/old.simg"
	)
	(
		t "$kernel: a writable layer is one, and goes with the step"
		in_container --container-writable sh -c 'echo 1 >/run/lock/new && cat /run/lock/new'
		expect_status 0
		expect_stdout 1
		in_container ls /run/lock/new
		expect_stderr_has "No such file"
	)
	(
		t "$kernel: the tasks of two nodes and of two steps share one loop device, and none is left after them"
		user_runs sh -c "srun -N1 -n1 -w n1 --container='$app' sleep 3 & srun -N1 -n2 -w n2 --container='$app' sleep 3 & wait" &
		eventually eval '! no_loop_of "$app"'
		sleep 1.5
		loops_of "$app"
		expect_equal "$(loops_of "$app" | wc -l)" 1
		wait $!
		eventually no_loop_of "$app"
	)
}

for kernel in "Linux 4.18" "Linux 5.8" "an initramfs"; do
	case $kernel in
	"Linux 4.18")
		denied=open_tree,move_mount,mount_setattr,fsopen,fsconfig,fsmount,fspick,loop_configure
		denied+=,openat2,faccessat2,pidfd_open,pidfd_getfd,clone3,close_range
		;;
	"Linux 5.8") denied=mount_setattr,close_range ;; # it can clone a mount, but not change it before it is attached
	"an initramfs") denied=pivot_root ;;
	esac
	[ -z "$own_cluster" ] || "$top/tests/cluster" stop "$own_cluster"
	need_cluster --wrap "$denysys $denied --"
	cases
done

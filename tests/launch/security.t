#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What a launch must not give away: privilege to the task, the host's root to the container, root's eyes and hands to the user, and
# root's process to what an image brings along.
#
# guard: 240 s
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tiny.sh"
need mksquashfs gcc strace setcap
need_cluster --conf helper_timeout=30
. "$(dirname "$0")/refuse.sh"

id=$(id -u "$user")
tree=$file_dir/tree
tiny_tree "$tree" setcap
# Ways to root, if the image's files had a say.
install -m 4755 /usr/bin/id "$tree/usr/bin/suid-id"
install -m 2755 /usr/bin/id "$tree/usr/bin/sgid-id"
install -m 4755 /usr/bin/cat "$tree/usr/bin/suid-cat"
install -m 0755 /usr/bin/cat "$tree/usr/bin/cap-cat"
setcap cap_dac_override+ep "$tree/usr/bin/cap-cat"
install -m 0600 /dev/null "$tree/etc/secret"
echo secret >"$tree/etc/secret"
mknod -m 0666 "$tree/srv/zero" c 1 5
root_disk=$(stat -c %d /)
mknod -m 0666 "$tree/srv/disk" b $((root_disk >> 8)) $((root_disk & 255))
app=$file_dir/app.simg
pack "$tree" "$app"
no_plugin_here
helper=$own_cluster/libexec/simg-helper
cp -p "$helper" "$helper.good"

# status_of COMMAND…: what the kernel says of a task's process, in $stdout.
status_of() { user_runs "$@" grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs):' /proc/self/status; expect_status 0; }

# no_capabilities FILE: in none of the five sets.
no_capabilities() { expect_equal "$(grep '^Cap' "$1" | sort -u | tr '\t\n' '  ')" "CapAmb: $zeros CapBnd: $zeros CapEff: $zeros CapInh: $zeros CapPrm: $zeros "; }
zeros=0000000000000000

# --- the task ---

(
	t "every task has no capability in any set, and cannot gain one"
	status_of srun -N2 -n8 --container="$app"
	no_capabilities "$stdout"
	expect_equal "$(grep -c '^NoNewPrivs:[[:space:]]*1$' "$stdout")" 8
)
(
	t "a task on the host is as Slurm makes it"
	status_of srun
	expect_stdout_matches "^CapPrm:.*$zeros"
	expect_stdout_matches '^NoNewPrivs:.*0$'
	grep CapBnd "$stdout" >bare
	expect_equal "$(cat bare)" "$(grep CapBnd /proc/self/status)"
)
(
	t "user, group and all groups are exactly those of a task on the host"
	status_of srun -N2 -n2
	grep -E '^(Uid|Gid|Groups)' "$stdout" >bare
	status_of srun -N2 -n2 --container="$app"
	expect_equal "$(grep -E '^(Uid|Gid|Groups)' "$stdout")" "$(cat bare)"
	expect_equal "$(grep -c "^Uid:[[:space:]]*${id}[[:space:]]*${id}[[:space:]]*${id}[[:space:]]*${id}" bare)" 2
)
(
	t "a batch script in a container has no capability either"
	printf '#!/bin/sh\ngrep ^Cap /proc/self/status\n' >script
	batch -o "$PWD/out" --container="$app" script
	no_capabilities out
)
(
	t "a job of root has none in a container"
	run srun --container="$app" grep -E '^(Uid|Cap...|NoNewPrivs):' /proc/self/status
	expect_status 0
	expect_stdout_matches '^Uid:[[:space:]]*0'
	no_capabilities "$stdout"
)
(
	t "the task has the descriptors of a task on the host, and none of ours"
	# Without the numbers of what is no standard stream, and those of pipes, sockets and processes.
	descriptors() { sed -nE 's/.* ([0-9]+ -> .*)/\1/p' "$stdout" | sed -E 's/\[[0-9]+\]|[0-9]+.fd$//; s/^([3-9]|[1-9][0-9]+) /N /' | sort; }
	for mpi in none pmi2; do
		user_runs srun --mpi=$mpi sh -c 'exec ls -l /proc/self/fd'
		descriptors >bare
		user_runs srun --mpi=$mpi --container="$app" sh -c 'exec ls -l /proc/self/fd'
		descriptors >inside
		[ "$(wc -l <bare)" -ge 4 ]
		expect_equal "$(cat inside)" "$(cat bare)"
	done
)

# --- the image's files ---

(
	t "setuid, setgid and capability files of the image give nothing"
	user_runs srun --container="$app" suid-id
	expect_stdout_has "uid=$id("
	expect_stdout_lacks euid
	user_runs srun --container="$app" sgid-id
	expect_stdout_lacks egid
	user_runs srun --container="$app" suid-cat /etc/secret
	expect_stderr_has "/etc/secret: Permission denied"
	user_runs srun --container="$app" cap-cat /etc/secret
	expect_stdout_lacks secret
)
(
	t "the same holds for a root directory"
	user_runs srun --container="$tree" sh -c 'suid-id; suid-cat /etc/secret; cap-cat /etc/secret'
	expect_stdout_has "uid=$id("
	expect_stdout_lacks euid secret
)
(
	t "device nodes of the image are dead"
	for root in "$app" "$tree"; do
		user_runs srun --container="$root" sh -c 'head -c 1 /srv/zero; head -c 1 /srv/disk; head -c 1 /dev/zero | od -An -tx1 2>/dev/null; true'
		expect_stderr_has "'/srv/zero' for reading: Permission denied" "'/srv/disk' for reading: Permission denied"
		expect_stderr_lacks /dev/zero
	done
)
(
	t "setuid files and devices that the user mounts are dead, too"
	mkdir tools
	install -m 4755 /usr/bin/id tools/suid-id
	mknod -m 0666 tools/zero c 1 5
	user_runs tools/suid-id
	expect_stdout_has "euid=0(root)" # or the file system of the tests would prove nothing
	user_runs srun --container="$app" --container-mounts="$PWD/tools:/mnt,$PWD/tools/suid-id:/srv/id,$PWD/tools/zero:/srv/dev" \
		sh -c '/mnt/suid-id; /srv/id; head -c 1 /mnt/zero; head -c 1 /srv/dev; true'
	expect_stdout_has "uid=$id("
	expect_stdout_lacks euid
	expect_stderr_has "'/mnt/zero' for reading: Permission denied" "'/srv/dev' for reading: Permission denied"
)
(
	t "nothing that an image or a root directory brings is loaded or run by root"
	cp -a "$tree" evil
	mkdir -m 0777 marks
	printf '#include <fcntl.h>\n#include <stdio.h>\n#include <unistd.h>\n__attribute__((constructor)) static void mark(void)\n{\n' >evil.c
	printf 'char path[4096];\nsnprintf(path, sizeof(path), "%s/marks/%%s.%%d", NAME, (int)geteuid());\nclose(open(path, O_CREAT | O_WRONLY, 0666));\n}\n' "$PWD" >>evil.c
	libraries=$(dirname "$(find evil/usr/lib -name 'libc.so.6')")
	gcc -shared -fPIC -w -DNAME='"preload"' -o evil/usr/lib/evil.so evil.c
	gcc -shared -fPIC -w -DNAME='"nss"' -o "$libraries/libnss_evil.so.2" evil.c
	mkdir -p "$libraries/gconv"
	gcc -shared -fPIC -w -DNAME='"gconv"' -o "$libraries/gconv/EVIL.so" evil.c
	printf 'module\tEVIL//\tINTERNAL\tEVIL\t1\nmodule\tINTERNAL\tEVIL//\tEVIL\t1\n' >"$libraries/gconv/gconv-modules"
	echo /usr/lib/evil.so >evil/etc/ld.so.preload
	printf 'passwd: evil\ngroup: evil\nhosts: evil\ninitgroups: evil\n' >evil/etc/nsswitch.conf
	printf 'user::%s:%s::/:/bin/sh\n' "$id" "$id" >evil/etc/passwd
	pack evil evil.simg
	for root in "$PWD/evil.simg" "$PWD/evil"; do
		user_runs srun -N2 -n4 --container="$root" id
		expect_status 0
		printf '#!/bin/sh\nid\n' >script
		batch -o "$PWD/out" --container="$root" script
	done
	ls marks
	[ -e "marks/preload.$id" ] && [ -e "marks/nss.$id" ] # they do work, for the user
	expect_equal "$(find marks -name '*.0')" ''
)

# --- the mounts ---

(
	t "all mounts but the system's own are nosuid and nodev, and the image is read-only"
	user_runs srun -N2 --container="$app" --container-mounts="$PWD:/mnt" cat /proc/self/mountinfo
	expect_equal "$(awk '$5 !~ "^/(proc|sys|dev)(/|$)" && $6 !~ /nosuid/ || $5 !~ "^/(proc|sys|dev)(/|$)" && $6 !~ /nodev/' "$stdout")" ''
	expect_equal "$(awk '$5 == "/" { print $6 }' "$stdout" | sort -u)" ro,nosuid,nodev,relatime
	user_runs srun --container="$app" sh -c 'touch /new; touch /etc/passwd; echo >>/etc/tiny; touch /usr/bin/new; true'
	expect_equal "$(grep -c -e 'Read-only file system' -e 'Permission denied' "$stderr")" 4
)
(
	t "what is mounted below a mount of the user's is nosuid and nodev as well, and read-only with :ro"
	mkdir -p tree/a
	cleanup umount -R "$PWD/tree/a"
	mount -t tmpfs -o mode=1777 test "$PWD/tree/a"
	mkdir tree/a/b
	mount -t tmpfs -o mode=1777 test "$PWD/tree/a/b"
	expect_equal "$(grep -c " $PWD/tree/a.* rw,relatime" /proc/self/mountinfo)" 2
	user_runs srun --container="$app" --container-mounts="$PWD/tree:/mnt" sh -c 'grep " /mnt" /proc/self/mountinfo; touch /mnt/a/b/file'
	expect_status 0
	expect_equal "$(awk '$6 ~ /^rw,nosuid,nodev/' "$stdout" | wc -l)" 3
	user_runs srun --container="$app" --container-mounts="$PWD/tree:/mnt:ro" sh -c 'grep " /mnt" /proc/self/mountinfo; touch /mnt/a/b/more'
	expect_status 1
	expect_equal "$(awk '$6 ~ /^ro,nosuid,nodev/' "$stdout" | wc -l)" 3
	expect_stderr_has "cannot touch '/mnt/a/b/more': Read-only file system"
	[ ! -e tree/a/b/more ]
)
(
	t "the host's root is not among the mounts, and not to be reached through other processes"
	user_runs srun --container="$app" cat /proc/self/mountinfo
	host=$(awk '$5 == "/" { dev = $3; root = $4 } END { print dev, root }' /proc/self/mountinfo)
	expect_equal "$(awk -v host="$host" '$3 " " $4 == host' "$stdout")" ''
	expect_stdout_lacks ' /top '
	user_runs srun --container="$app" sh -c 'ls /proc/1/root/; ls /proc/$PPID/root/; ls /proc/$PPID/cwd/; ls /proc/$PPID/fd/; cat /../etc/tiny; ls -d /../../top'
	expect_stdout tiny
	expect_equal "$(grep -c 'Permission denied' "$stderr")" 4
)
(
	t "not even root of a user namespace of its own can take mounts off or make them writable"
	as_user unshare --user --map-root-user true 2>/dev/null || skip "this kernel gives users no user namespaces"
	user_runs srun --container="$app" unshare --user --map-root-user --mount sh -c \
		'umount /etc/passwd; umount -l /proc; mount -o remount,rw,bind /; mount -o remount,suid,bind /; mount -o remount,dev,bind /tmp; ls / >/dev/null'
	expect_equal "$(grep -cE 'must be superuser|permission denied|not permitted|Invalid argument|not mounted' "$stderr")" 5
	user_runs srun --container="$app" unshare --user --map-root-user --mount sh -c 'cat /proc/self/mountinfo; suid-cat /etc/secret'
	expect_stdout_lacks secret
)

# --- whose eyes ---

(
	t "an image and a directory that only another user may reach are refused"
	mkdir private
	cp "$app" private/app.simg
	mkdir private/data
	chown -R nobody:nogroup private
	chmod 0700 private
	refused_on_nodes "${past_submit[@]}" SLURM_CONTAINER="$PWD/private/app.simg"
	expect_stderr_has "cannot open image '$PWD/private/app.simg': Permission denied"
	refused_on_nodes --container="$app" --container-mounts="$PWD/private/data:/mnt"
	expect_stderr_has "cannot open bind source '$PWD/private/data': Permission denied"
	refused_on_nodes --container="$app" --container-mounts="$PWD/private/data:/mnt/a,$PWD:/mnt/b"
	chmod 0755 private
	chmod 0600 private/app.simg
	refused_on_nodes "${past_submit[@]}" SLURM_CONTAINER="$PWD/private/app.simg"
	expect_stderr_has "cannot read image '$PWD/private/app.simg': Permission denied"
)
(
	t "a target inside a mount is looked up with the user's permissions"
	mkdir -p first/private/deep
	chown -R nobody: first/private
	chmod 0700 first/private
	refused_on_nodes --container="$app" --container-mounts="$PWD/first:/mnt,$PWD:/mnt/private/deep"
	expect_stderr_has "cannot resolve '/mnt/private/deep': Permission denied"
)
(
	t "what the user may read through a supplementary group is there"
	team=$(id -Gn "$user" | tr ' ' '\n' | grep -vx "$(id -gn "$user")" | head -n 1)
	[ -n "$team" ] || skip "the user $user has no second group"
	mkdir -m 0750 team
	cp "$app" team/app.simg
	chmod 0640 team/app.simg
	chgrp -R "$team" team
	user_runs srun -N2 --container="$PWD/team/app.simg" --container-mounts="$PWD/team:/mnt" ls /mnt
	expect_status 0
)
(
	t "a FIFO, a socket or a device as a source is mounted without being opened"
	mkfifo -m 0666 fifo
	begun=$SECONDS
	user_runs srun --container="$app" --container-mounts="$PWD/fifo:/mnt,/dev/zero:/srv/z" sh -c '[ -p /mnt ] && [ -c /srv/z ]'
	expect_status 0
	[ $((SECONDS - begun)) -lt 20 ] || fail "it took too long"
)

# --- root's process ---

(
	t "by hand, the helper does nothing"
	user_runs "$helper.good"
	expect_status 2
	expect_stderr_has "It is started by the plugin and is of no use by hand."
	as_user bash -c "exec $helper.good 3</dev/null 4</dev/null" && fail "it succeeded"
	grep -c . /proc/self/mountinfo >before
	head -c 200 /dev/urandom >request
	as_user bash -c "exec $helper.good 3<request 4<&0" </dev/null && fail "it succeeded"
	expect_equal "$(grep -c . /proc/self/mountinfo)" "$(cat before)"
)
(
	t "the helper's environment is empty, whatever the job's is"
	cleanup cp -p "$helper.good" "$helper"
	rm "$helper"
	printf '#!/bin/sh\ntr "\\0" "\\n" </proc/$$/environ >>%s/environment\nls -l /proc/self/fd >>%s/descriptors\nexec %s.good\n' "$PWD" "$PWD" "$helper" >"$helper"
	chmod 0755 "$helper"
	printf '#include <unistd.h>\n#include <fcntl.h>\n__attribute__((constructor)) static void mark(void) { if (geteuid() == 0) close(open("%s/loaded", O_CREAT | O_WRONLY, 0666)); }\n' "$PWD" >preload.c
	gcc -shared -fPIC -w -o "$PWD/preload.so" preload.c
	user_runs LD_PRELOAD="$PWD/preload.so" LD_AUDIT="$PWD/preload.so" GCONV_PATH="$PWD" BASH_ENV="$PWD/x" srun --container="$app" true
	expect_status 0
	[ -e environment ] && [ -e descriptors ]
	expect_equal "$(cat environment)" ''
	[ ! -e loaded ]
)
(
	t "the planner is the user through and through, and the user can get at neither it nor the task that waits"
	cleanup cp -p "$helper.good" "$helper"
	printf '#include <unistd.h>\nint getpwuid_r() { for (int i = 0; i < 100; i++) usleep(100000); return 1; }\n' >preload.c
	gcc -shared -fPIC -w -o "$PWD/preload.so" preload.c
	rm "$helper"
	printf '#!/bin/sh\nLD_PRELOAD=%s/preload.so exec %s.good\n' "$PWD" "$helper" >"$helper"
	chmod 0755 "$helper"
	cleanup scancel --full --signal=KILL --user="$user"
	as_user srun --container="$app" true &
	find_planner() { planner=$(find /proc/[0-9]*/exe -lname "$helper.good" 2>/dev/null | cut -d/ -f3 | while read -r pid; do ! grep -q "^Uid:[[:space:]]*$id" "/proc/$pid/status" || echo "$pid"; done) && [ -n "$planner" ]; }
	eventually find_planner
	sleep 0.3 # for it to reach the look-up
	run cat "/proc/$planner/status"
	no_capabilities "$stdout"
	expect_stdout_matches '^NoNewPrivs:[[:space:]]*1$'
	expect_stdout_matches "^Uid:[[:space:]]*${id}[[:space:]]*${id}[[:space:]]*${id}[[:space:]]*${id}"
	expect_equal "$(grep ^Groups "/proc/$planner/status")" "$(as_user grep ^Groups /proc/self/status)"
	as_user sleep 20 &
	own=$!
	eventually pgrep -u "$user" -x sleep >/dev/null
	own=$(pgrep -u "$user" -x sleep | tail -n 1)
	user_runs ls "/proc/$own/fd"
	expect_status 0 # of its own processes the user sees everything
	for what in fd mem environ maps root/ cwd/; do
		user_runs head -c 1 "/proc/$planner/$what"
		expect_status 1
	done
	user_runs ls "/proc/$planner/fd"
	expect_status 2
	user_runs strace -qq -p "$planner" -o /dev/null
	expect_stderr_has "Operation not permitted"
	# The task's process waits for the helper as the user, with the capabilities that it is to enter with.
	task=$(pgrep -u "$user" -x slurmstepd | head -n 1)
	[ -n "$task" ]
	expect_equal "$(sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/$task/status" | tr -d 0)" "$(sed -n 's/^CapPrm:[[:space:]]*//p' /proc/self/status | tr -d 0)"
	for what in mem environ maps root/ cwd/; do
		user_runs head -c 1 "/proc/$task/$what"
		expect_status 1
	done
	user_runs strace -qq -p "$task" -o /dev/null
	expect_stderr_has "Operation not permitted"
	kill "$own"
)
(
	t "root opens nothing of the image and nothing that the user named"
	cleanup cp -p "$helper.good" "$helper"
	cp -p "$helper.good" "$helper.real"
	cleanup rm -f "$helper.real"
	trace_helper "$own_cluster" "$PWD/traces" openat,open,setresuid,execve
	mkdir -m 0755 data
	user_runs srun --container="$app" --container-mounts="$PWD/data:/mnt" true
	expect_status 0
	planner=$(grep -l "^setresuid($id," traces/*)
	# What the planner opens counts for nothing after it has become the user; O_PATH gives a name and no content.
	sed '1,/^setresuid/d' "$planner" >user
	{ grep -v O_PATH "$(grep -l ^execve traces/*)"; sed '/^setresuid/,$d' "$planner"; } >root # not the planner's thread
	text_has user "the planner's trace" "$app" "$PWD/data"
	text_matches user "the planner's trace" '= [0-9]+</top/root/etc/passwd>'
	text_lacks root "root's trace" "$app" "$PWD/data" /top/root
	text_has root "root's trace" /dev/loop-control
)

# --- races ---

swapper() {
	cat >swap.c <<'END'
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	while (access(argv[3], F_OK) < 0)
		renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE);
}
END
	gcc -w -o swap swap.c
	chmod 0755 swap
	as_user ./swap "$1" "$2" stop &
	cleanup wait $!
	cleanup touch "$PWD/stop"
}

# launches COUNT SRUN-OPTION…: four at a time; the tasks' output is in the file launches.
launches() {
	local count=$1
	shift
	as_user bash -c 'for i in $(seq "$1"); do echo "$i"; done | xargs -P 4 -I{} -- "${@:2}"' - "$count" srun --overlap "$@" >launches 2>errors || :
	sort launches | uniq -c
	sed -E 's/.*(error: .{0,80}).*/\1/' errors | sort | uniq -c | sort -rn | head -n 5
}

(
	t "a source that is swapped all the time is the one thing or the other, never what the user may not see"
	mkdir mine
	echo mine >mine/what
	mkdir -p closed/data
	echo closed >closed/data/what
	chmod 0700 closed
	ln -s mine a
	ln -s closed/data b
	user_file .
	chown -h "$user:" a b
	swapper a b
	launches 50 --container="$app" --container-mounts="$PWD/a:/mnt" cat /mnt/what
	expect_equal "$(sort -u launches)" mine
	text_has errors "the refusals" "cannot open bind source '$PWD/a': Permission denied"
)
(
	t "a target that is swapped all the time never lets a mount out of the user's own"
	mkdir -p first/there second
	echo second >second/tiny
	ln -s /etc first/link
	user_file . first first/there second
	chown -h "$user:" first/link
	swapper first/there first/link
	launches 50 --container="$app" --container-mounts="$PWD/first:/mnt,$PWD/second:/mnt/there" \
		sh -c 'echo "$(cat /etc/tiny) $(grep -c " /etc " /proc/self/mountinfo) $(grep -c " /mnt/" /proc/self/mountinfo)"'
	# The mount is on the directory, under whichever name it has, or there is none.
	expect_equal "$(sort -u launches)" "tiny 0 1"
	text_has errors "the refusals" "(it leads to '/etc')"
)
(
	t "after all this the nodes are up"
	nodes_stay_up
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a task finds inside its container: file systems, directories, files of the host, and who it is.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need_cluster
app=$(image minbase)

inside() { user_runs srun --container="$app" "$@"; }

(
	t "the image is the root, and read-only"
	before=$(sha256sum <"$app")
	inside sh -c 'stat -f -c %T /; touch /file; touch /etc/file; touch /usr/bin/file; rm /etc/debian_version; id -u'
	expect_stdout $'squashfs\n'"$(id -u "$user")"
	expect_equal "$(grep -c 'Read-only file system' "$stderr")" 4
	expect_equal "$(sha256sum <"$app")" "$before"
)
(
	t "nothing in the container has set-user-id or devices in force, but for /proc, /sys and /dev"
	inside sh -c "grep -vE ' /(proc|sys|dev)[/ ]' /proc/self/mountinfo | grep -v ' [^ ]*nosuid,nodev'"
	expect_status 1
	expect_stdout ""
)
(
	t "nothing of the host shows but what is mounted on purpose"
	touch "/host-$$"
	cleanup rm "/host-$$"
	inside sh -c "ls -d /host-$$ /var/cache/* 2>&1; cut -d' ' -f5 /proc/self/mountinfo | grep -vE '^/(proc|sys|dev)(/|\$)' | sort -u"
	expect_stdout_has "/host-$$': No such file or directory"
	grep '^/' "$stdout" | grep -v '^/var/cache/' >mounts
	places="/ /etc/group /etc/hosts /etc/passwd /etc/resolv.conf /home/$user /tmp /var/tmp ${SLURM_CONF%/*}/tmp/n1"
	# what lies below /tmp and /var/tmp of the host comes along; an image without mount points has a layer with some on /etc and /home
	expect_equal "$(grep -vE '^/(var/)?tmp/|^/etc/localtime$|^/etc$|^/home$' mounts)" "$(tr ' ' '\n' <<<"$places" | grep -vE '^/(var/)?tmp/' | sort)"
)
(
	t "/proc and /sys are the host's"
	inside sh -c 'stat -f -c %T /proc /sys; readlink /proc/self/exe; ls /sys/devices/system/cpu | head -n 1; cat /proc/sys/kernel/random/boot_id'
	expect_status 0
	expect_stdout_has proc sysfs /bin/readlink "$(cat /proc/sys/kernel/random/boot_id)"
)
(
	t "a task sees the process ids that Slurm knows"
	# shellcheck disable=SC2016
	inside sh -c 'echo $$ $SLURM_TASK_PID'
	read -r pid slurms <"$stdout"
	expect_equal "$pid" "$slurms"
)
(
	t "/dev has its devices, and they work"
	inside sh -c 'echo x >/dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c; test -c /dev/tty && test -c /dev/full; ls /dev/fd/0'
	expect_status 0
	expect_stdout $'4\n4\n/dev/fd/0'
)
(
	t "/dev/shm and /dev/pts are the host's own, and /dev/shm is shared by tasks"
	cleanup rm -f "/dev/shm/simg-test-$$.0" "/dev/shm/simg-test-$$.1"
	inside -n2 sh -c "stat -f -c %T /dev/shm /dev/pts; : >/dev/shm/simg-test-$$.\$SLURM_PROCID; until [ -e /dev/shm/simg-test-$$.0 -a -e /dev/shm/simg-test-$$.1 ]; do sleep 0.1; done"
	expect_status 0
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' \n' ' ')" " 2 devpts 2 tmpfs "
	[ -e "/dev/shm/simg-test-$$.1" ]
)
(
	t "/dev/mqueue is there, and a queue of the host shows in it"
	grep -qw mqueue /proc/filesystems || skip "this kernel has no POSIX message queues"
	if ! grep -qs ' /dev/mqueue ' /proc/mounts; then
		mkdir -p /dev/mqueue
		cleanup rmdir /dev/mqueue
		mount -t mqueue mqueue /dev/mqueue
		cleanup umount /dev/mqueue
	fi
	touch "/dev/mqueue/simg-test-$$"
	cleanup rm "/dev/mqueue/simg-test-$$"
	inside sh -c "stat -f -c %t /dev/mqueue; ls /dev/mqueue/simg-test-$$"
	expect_status 0
	expect_stdout "$(stat -f -c %t /dev/mqueue)"$'\n'"/dev/mqueue/simg-test-$$"
)
(
	t "/tmp and /var/tmp are the job's, and can be written"
	inside sh -c "stat -c %a /tmp /var/tmp; echo data >/tmp/simg-test-$$; echo data >/var/tmp/simg-test-$$"
	cleanup rm -f "/tmp/simg-test-$$" "/var/tmp/simg-test-$$"
	expect_status 0
	expect_stdout $'1777\n1777'
	expect_equal "$(cat "/tmp/simg-test-$$" "/var/tmp/simg-test-$$")" $'data\ndata'
)
(
	t "the user's home is there, and can be written"
	inside sh -c "ls -d ~; echo data >~/simg-test-$$"
	cleanup rm -f "/home/$user/simg-test-$$"
	expect_status 0
	expect_stdout "/home/$user"
	expect_equal "$(stat -c %U "/home/$user/simg-test-$$")" "$user"
)
(
	t "no other home is there"
	inside ls /home
	expect_stdout "$user"
)
(
	t "--no-container-mount-home leaves the home out, and --container-mount-home brings it"
	inside --no-container-mount-home ls /home
	expect_stdout ""
	inside --container-mount-home ls /home
	expect_stdout "$user"
)
(
	t "the job's working directory is there, and can be written"
	inside sh -c 'pwd; echo data >made'
	expect_stdout "$PWD"
	expect_stderr ""
	expect_equal "$(cat made)" data
)
(
	t "hosts and resolv.conf are the host's, and read-only"
	inside sh -c 'cat /etc/hosts /etc/resolv.conf; echo more >>/etc/hosts'
	expect_stdout "$(cat /etc/hosts /etc/resolv.conf)"
	expect_stderr_matches "/etc/hosts: (Read-only file system|Permission denied)"
)
(
	t "the clock shows the host's local time"
	inside date +%H:%Z
	expect_stdout "$(env -u TZ date +%H:%Z)"
)
(
	t "a time zone of the job wins over the host's"
	user_runs TZ=XYZ-5 srun --container="$app" date +%Z
	expect_stdout XYZ
)
(
	t "the user has a name inside, and the image's own users are still known"
	inside sh -c "id -un; id -gn; getent passwd $user daemon | cut -d: -f1,3"
	expect_stdout "$user"$'\n'"$(id -gn "$user")"$'\n'"$user:$(id -u "$user")"$'\ndaemon:1'
)
(
	t "the user's entry has the host's home and shell"
	inside getent passwd "$user"
	expect_equal "$(cut -d: -f3,4,6,7 "$stdout")" "$(getent passwd "$user" | cut -d: -f3,4,6,7)"
)
(
	t "the user's groups are those of the job outside, and have their names"
	groups=$(as_user srun id -G)
	inside id -G
	expect_stdout "$groups"
	for gid in $groups; do
		[ -z "$(getent group "$gid")" ] || { inside getent group "$gid"; expect_equal "$(cut -d: -f1,3 "$stdout")" "$(getent group "$gid" | cut -d: -f1,3)"; }
	done
	inside id -Gn
	expect_stdout "$(as_user srun id -Gn)"
	[ "$(wc -w <"$stdout")" -ge 2 ] || skip "user $user is in one group only"
)
(
	t "a file of a group that the user is in can be written"
	group=$(id -G "$user" | tr ' ' '\n' | grep -vx "$(id -g "$user")" | head -n 1)
	[ -n "$group" ] || skip "user $user is in one group only"
	touch file
	chown "0:$group" file
	chmod 0660 file
	inside sh -c 'echo data >file'
	expect_status 0
	expect_equal "$(cat file)" data
)
(
	t "passwd and group are made for the step and leave the image alone"
	tree=$(shared_tree minbase)
	before=$(cat "$tree/etc/passwd" "$tree/etc/group")
	user_runs srun --container="$tree" sh -c 'id -un; touch /etc/passwd'
	expect_stdout "$user"
	expect_stderr_has "cannot touch '/etc/passwd'"
	expect_equal "$(cat "$tree/etc/passwd" "$tree/etc/group")" "$before"
)
(
	t "an image's entry for the same user or number gives way"
	new_tree tree
	rm tree/etc/passwd
	printf '%s\n' "$user:x:4711:4711::/elsewhere:/bin/sh" "other:x:$(id -u "$user"):1::/elsewhere:/bin/sh" 'kept:x:4712:1::/:/bin/sh' >tree/etc/passwd
	user_runs srun --container="$PWD/tree" sh -c "id -un; getent passwd $user | cut -d: -f3; getent passwd other 4711; getent passwd kept | cut -d: -f3"
	expect_stdout "$user"$'\n'"$(id -u "$user")"$'\n4712'
)
(
	t "an image without passwd, group, /tmp and any mount point gets them all"
	tiny_tree tree
	rm -r tree/etc tree/proc tree/sys tree/dev tree/tmp tree/var tree/home
	user_runs srun --container="$PWD/tree" sh -c 'id -un; id -Gn; pwd; cat /proc/self/comm; ls -d ~ /tmp /var/tmp /sys/kernel /dev/null; ls /'
	expect_status 0
	expect_stdout_has "$user" "$(as_user srun id -Gn)" "$PWD" /dev/null /sys/kernel
	[ ! -e tree/tmp ]
	pack tree tiny.simg
	user_runs srun --container=tiny.simg sh -c 'id -un; cat /proc/self/comm; ls -d ~ /tmp'
	expect_status 0
	expect_stdout "$user"$'\ncat\n'"/home/$user"$'\n/tmp'
)
(
	t "a directory of the image that gets a mount point looks as before"
	new_tree tree
	mkdir tree/data
	touch tree/data/file
	chmod 2755 tree/data
	touch -d @1000000 tree/data
	mkdir source
	user_runs srun --container="$PWD/tree" --container-mounts="$PWD/source:/data/point" sh -c 'stat -c "%a %u %g %Y" /data; ls -A /data'
	expect_stdout $'2755 0 0 1000000\nfile\npoint'
)
(
	t "the umask and resource limits are the job's"
	(umask 027; as_user sh -c "ulimit -n 123; srun --container='$app' sh -c 'umask; ulimit -n'") >out
	expect_equal "$(cat out)" $'0027\n123'
)
(
	t "a task holds no descriptor that Slurm or the launch had"
	inside ls -l /proc/self/fd
	sed -n 's/.* \([0-9]* -> .*\)/\1/p' "$stdout" >inside
	user_runs srun ls -l /proc/self/fd
	sed -n 's/.* \([0-9]* -> .*\)/\1/p' "$stdout" >outside
	expect_equal "$(sed 's/[0-9][0-9]*\]*$//' inside | cut -d' ' -f1)" "$(sed 's/[0-9][0-9]*\]*$//' outside | cut -d' ' -f1)"
)
(
	t "a job that a site gives a node of its own name sees that node"
	# shellcheck disable=SC2016
	user_runs srun -w n2 --container="$app" sh -c 'echo $SLURMD_NODENAME'
	expect_stdout n2
)

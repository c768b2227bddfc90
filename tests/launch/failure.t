#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What can fail on a node that is not the user's doing: the helper, the site's configuration, loop devices, the user database, a full
# /tmp, one node of several. The tasks don't run, the message says where and why, and the node goes on working.
#
# guard: 240 s
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tiny.sh"
need mksquashfs gcc strace unshare

# Nodes with something wrong: each slurmd in a mount namespace of its own.
cat >"$file_dir/node" <<END
#!/bin/sh
case "\$*" in
*' -N n3') how='mount --bind $file_dir/nothing /dev/loop-control' ;;
*' -N n4') how='mount --bind $file_dir/passwd /etc/passwd' ;;
*' -N n5') how='mount -t tmpfs -o size=64k,mode=1777 full /tmp; head -c 1000000 /dev/zero >/tmp/full 2>/dev/null' ;;
*) exec "\$@" ;;
esac
exec unshare --mount sh -c "\$how"'; exec "\$@"' sh "\$@"
END
chmod 0755 "$file_dir/node"
: >"$file_dir/nothing"
grep -v "^$user:" /etc/passwd >"$file_dir/passwd" || :
chmod 0644 "$file_dir/passwd"

need_cluster --nodes 5 --conf helper_timeout=2 --wrap "$file_dir/node"
. "$(dirname "$0")/refuse.sh"

tiny_tree "$file_dir/tree"
app=$file_dir/app.simg
pack "$file_dir/tree" "$app"
no_plugin_here
helper=$own_cluster/libexec/simg-helper
conf=$own_cluster/simg.conf
cp -p "$helper" "$helper.real"
cp -p "$conf" "$conf.good"

# helper_is TEXT: a script in place of the helper, until the case ends.
helper_is() {
	cleanup cp -p "$helper.real" "$helper"
	rm -f "$helper"
	printf '#!/bin/bash\n%s\n' "$1" >"$helper"
	chmod 0755 "$helper"
}

# conf_has LINE: in addition, until the case ends.
conf_has() {
	cleanup cp -p "$conf.good" "$conf"
	echo "$1" >>"$conf"
}

# By their programs, and scripts by their command lines.
no_helpers() { ! find /proc/[0-9]*/exe -lname "$own_cluster/libexec/*" 2>/dev/null | grep -q . && ! pgrep -f "$helper" >/dev/null; }

works_again() {
	eventually no_helpers
	user_runs srun -N2 -n8 --container="$app" cat /etc/tiny
	expect_status 0
	expect_stdout "$(yes tiny | head -n 8)"
}

# helper_fails SCRIPT TEXT…
helper_fails() {
	helper_is "$1"
	shift
	refused_on_nodes --container="$app"
	expect_stderr_has "$@"
	nodes_stay_up
	eventually no_helpers
}

# preload DECLARATION BODY: a library with a function of its own. The planner looks the user up with getpwuid_r, root's half calls fchdir
# before it pivots.
preload() {
	printf '#include <signal.h>\n#include <stdlib.h>\n#include <unistd.h>\nint %s\n{\n%s\n}\n' "$1" "$2" >preload.c
	gcc -shared -fPIC -w -o "$case_dir/preload.so" preload.c
	chmod 0755 "$case_dir/preload.so"
}

# --- the helper ---

(
	t "a helper that hangs is ended after helper_timeout, and nothing of it stays"
	begun=$SECONDS
	helper_fails 'exec sleep 1000' "simg: n1: simg-helper did not finish within 2 s (hint: does a file system hang? helper_timeout in simg.conf sets the limit)"
	[ $((SECONDS - begun)) -lt 15 ] || fail "it took too long"
	expect_equal "$(pgrep -f '^sleep 1000$' || :)" ''
)
(
	t "a planner that hangs is ended with its helper"
	preload "getpwuid_r()" 'for (;;) pause();'
	helper_fails "LD_PRELOAD=$case_dir/preload.so exec $helper.real" "simg: n1: simg-helper did not finish within 2 s"
	eventually no_loop "$app"
)
(
	t "a planner that the user has stopped is ended with its helper"
	preload "getpwuid_r()" 'raise(SIGSTOP);'
	helper_fails "LD_PRELOAD=$case_dir/preload.so exec $helper.real" "simg: n1: simg-helper did not finish within 2 s"
	eventually no_loop "$app"
)
(
	t "a helper whose task is gone, and whose planner never answers, ends by itself"
	preload "getpwuid_r()" 'for (;;) pause();'
	# The plugin sees this script end; the helper, another process, is nobody's child when it begins.
	helper_fails "(sleep 0.3; LD_PRELOAD=$case_dir/preload.so exec $helper.real) & exit 0" "simg: n1: simg-helper did not finish within 2 s"
	eventually no_loop "$app"
)
(
	t "a planner that crashes is told from one that refuses"
	preload "getpwuid_r()" 'abort();'
	helper_fails "LD_PRELOAD=$case_dir/preload.so exec $helper.real" "simg: n1: the planner process died (hint: the node's log may tell why; a planner that crashes is a bug)"
	eventually no_loop "$app"
)
(
	t "a helper that is killed is reported with the signal"
	helper_fails 'kill -KILL $$' "simg: n1: simg-helper was killed by signal 9 (Killed)"
)
(
	t "a helper that is killed in the middle of its work leaves nothing"
	preload "fchdir(int fd)" 'kill(getpid(), SIGKILL);'
	helper_fails "LD_PRELOAD=$case_dir/preload.so exec $helper.real" "simg: n1: simg-helper was killed by signal 9 (Killed)"
	eventually no_loop "$app"
)
(
	t "a helper that answers and then hangs does not hold the tasks up"
	printf '#include <unistd.h>\n__attribute__((destructor)) static void end(void)\n{\nif (getuid() == 0) for (;;) pause();\n}\n' >preload.c
	gcc -shared -fPIC -w -o "$case_dir/preload.so" preload.c
	helper_is "LD_PRELOAD=$case_dir/preload.so exec $helper.real"
	user_runs srun -N2 -n8 --container="$app" cat /etc/tiny
	expect_status 0
	expect_stdout "$(yes tiny | head -n 8)"
	eventually no_helpers
)
(
	t "a helper that ends without an answer is reported"
	helper_fails 'exit 0' "simg: n1: simg-helper ended without an answer"
)
(
	t "an answer that makes no sense is reported"
	helper_fails 'printf nonsense >&4' "simg: n1: simg-helper gave an answer that this plugin does not understand: do their versions differ?"
)
(
	t "a helper that cannot be executed is reported"
	helper_is 'exit 0'
	chmod 0644 "$helper"
	refused_on_nodes --container="$app"
	expect_stderr_has "simg: n1: cannot execute simg-helper '$helper'"
)
(
	t "a helper that is missing is reported, and what to do"
	cleanup cp -p "$helper.real" "$helper"
	rm "$helper"
	refused_on_nodes --container="$app"
	expect_stderr_has "simg: n1: cannot find simg-helper '$helper': No such file or directory (hint: install simg on this node, or set helper= in simg.conf)"
)
(
	t "a helper that others than root could change is not run"
	helper_is "touch $case_dir/helper.ran"
	chown "$user:" "$helper"
	refused_on_nodes --container="$app"
	expect_stderr_has "simg: n1: simg-helper '$helper' is not a file that only root can change"
	chown root: "$helper"
	chmod 0775 "$helper"
	refused_on_nodes --container="$app"
	expect_stderr_has "is not a file that only root can change"
	rm "$helper"
	mkdir "$helper"
	refused_on_nodes --container="$app"
	expect_stderr_has "is not a file that only root can change"
	rmdir "$helper"
	[ ! -e helper.ran ]
)
(
	t "after all these helpers, the real one launches"
	works_again
)
(
	t "if it fails on one node of two, that node is named and its tasks do not run"
	helper_is "! grep -aq n2 <&3 || exit 1; exec $helper.real"
	chmod 0777 .
	user_runs srun -w n1,n2 -N2 -n4 --kill-on-bad-exit=0 --container="$app" sh -c 'touch ran.$SLURMD_NODENAME'
	expect_status 125
	expect_stderr_has "simg: n2: simg-helper ended without an answer"
	expect_equal "$(our_lines)" 1
	expect_equal "$(ls -d ran.*)" ran.n1
)

# --- the site's configuration ---

# bad_conf TEXT…: refused where it is asked for, and by the nodes.
bad_conf() {
	refused_at_submit --container="$app"
	expect_stderr_has "$@"
	refused_on_nodes "${past_submit[@]}" SLURM_CONTAINER="$app"
	expect_stderr_has "$@"
	nodes_stay_up
	user_runs srun -N2 hostname
	expect_status 0
	expect_equal "$(our_lines)" 0
}

lines=$(wc -l <"$conf")
while IFS='|' read -r line text; do
	(
		t "simg.conf with '$line' stops containers, with file and line, and nothing else"
		conf_has "$line"
		bad_conf "$conf:$((lines + 1)): $text"
	)
done <<'LINES'
colour = blue|unknown key 'colour' (hint: simg.conf(5) lists the keys)
just words|'just words' is not of the form key = value
helper_timeout = soon|helper_timeout: bad value 'soon': expected seconds from 1 to 3600
helper_timeout = 0|helper_timeout: bad value '0': expected seconds from 1 to 3600
mount_home = perhaps|mount_home: bad value 'perhaps': expected yes or no
mount_driver = magic|mount_driver: bad value 'magic': expected kernel
tmp = none|tmp: bad value 'none': expected job or private
tmp_size = big|tmp_size: bad value 'big': expected a size
protect = here|protect: path 'here' is not an absolute path
image_path = here|image_path: directory 'here' is not an absolute path
bind = here:/there|bind: bad value 'here:/there': expected an absolute source
bind = /a:/b:rx|bind: bind '/a:/b:rx' has the unknown mode 'rx'
bind =|bind: no value
LINES
(
	t "a simg.conf that others could write is not read"
	cleanup chmod 0644 "$conf"
	chmod 0666 "$conf"
	bad_conf "'$conf' could be written by others than root (owner 0, mode 666) (hint: chown root '$conf' && chmod 644 '$conf')"
	chmod 0644 "$conf"
	cleanup chown root: "$conf"
	chown "$user:" "$conf"
	bad_conf "'$conf' could be written by others than root (owner $(id -u "$user"), mode 644)"
)
(
	t "a simg.conf that plugstack.conf names and that is missing is an error"
	cleanup mv "$conf.away" "$conf"
	mv "$conf" "$conf.away"
	bad_conf "cannot open '$conf': No such file or directory"
)
(
	t "a bad argument in plugstack.conf is one, too"
	plugstack=$own_cluster/plugstack.conf
	cp -p "$plugstack" "$plugstack.good"
	cleanup mv "$plugstack.good" "$plugstack"
	sed -i 's/$/ colour=blue/' "$plugstack"
	bad_conf "plugstack.conf: unknown key 'colour'"
)
(
	t "a bind of the site whose source is missing names its line"
	conf_has 'bind = /nonexistent/site:/mnt'
	refused_on_nodes --container="$app"
	expect_stderr_has "simg: n1: $conf:$((lines + 1)): cannot open bind source '/nonexistent/site': No such file or directory (hint: the site's configuration names a path that this node or user lacks)"
)
(
	t "if plugstack.conf calls the plugin optional, nothing that asked for a container runs outside"
	plugstack=$own_cluster/plugstack.conf
	cp -p "$plugstack" "$plugstack.good"
	cleanup mv "$plugstack.good" "$plugstack"
	sed -i 's/^required/optional/' "$plugstack"
	refused_at_submit --container=./nosuch.simg
	refused_on_nodes --container=/nonexistent/app.simg
	# In a job with a container, a step's bad option must not lead to the host either.
	user_runs SLURM_CONTAINER="$app" srun --container-workdir=relative touch "$PWD/ran"
	expect_status 1
	expect_equal "$(our_lines)" 1
	nothing_ran
	helper_fails 'exit 0' "simg-helper ended without an answer"
	conf_has 'colour = blue'
	bad_conf "unknown key 'colour'"
)

# --- the node ---

(
	t "a node without loop devices says so"
	user_runs srun -w n3 -n4 --container="$app" touch "$PWD/ran"
	expect_status 125
	expect_stderr_has "simg: n3: cannot mount image '$app': no free loop device on this node: " "(hint: losetup -a lists those in use; the administrator can raise the loop driver's max_loop)"
	expect_equal "$(our_lines)" 1
	nothing_ran
)
(
	t "a node whose loop devices are all in use says so"
	helper_is "exec $(type -P strace) -f -qq -o /dev/null -e trace=ioctl -e inject=ioctl:error=ENOSPC $helper.real"
	refused_on_nodes --container="$app"
	expect_stderr_has "simg: n1: cannot mount image '$app': no free loop device on this node: No space left on device (hint: losetup -a"
)
(
	t "a directory runs on a node without loop devices"
	user_runs srun -w n3 --container="$file_dir/tree" cat /etc/tiny
	expect_status 0
	expect_stdout tiny
)
(
	t "a user whom the node's user database does not know is named by the job's environment"
	user_runs srun -w n4 --container="$app" sh -c 'id -un; id -u; head -n 1 /etc/passwd; grep -c . /etc/passwd'
	expect_status 0
	expect_stdout "$(printf '%s\n' "$user" "$(id -u "$user")" "$(head -n 1 "$file_dir/tree/etc/passwd")" 2)"
)
(
	t "a user name from the environment cannot add lines to the container's passwd"
	user_runs USER=$'x:x:0:0::/:/bin/sh\nroot2' HOME=$'/tmp\nroot3:x:0:0::/:/bin/sh' srun -w n4 --container="$app" cat /etc/passwd
	expect_status 0
	expect_stdout_lacks root2 root3
	expect_stdout_has "user$(id -u "$user"):x:$(id -u "$user"):"
)
(
	t "a full /tmp does not hinder a launch"
	user_runs srun -w n5 -n4 --container="$app" sh -c 'cat /etc/tiny; ! echo more >/tmp/more'
	expect_status 0
	expect_stdout "$(yes tiny | head -n 4)"
	expect_equal "$(our_lines)" 0
)
(
	t "after all this the nodes are up and launch containers"
	nodes_stay_up
	works_again
)

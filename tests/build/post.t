#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What a script may ask for, what becomes of it, and what is left of one that fails or is killed.
# guard: 600 s
. "$(dirname "$0")/../lib.sh"
need unsquashfs jq
# shellcheck source=tests/build/sif.sh
. "$(dirname "$0")/sif.sh"
# shellcheck source=tests/build/recipes.sh
. "$(dirname "$0")/recipes.sh"
make_bases
! id "$user" >/dev/null 2>&1 || as=user

post() {
	{ printf 'Bootstrap: localimage\nFrom: %s\n%%post\n' "$bases/base.simg"; cat; } | recipe
}

(
	t "owners are recorded, seen by stat, and written into the image"
	post <<-'END'
		    cd /opt && touch f g && mkdir d && ln -s f l
		    chown 12:34 f && chown :56 g && chown 7 d && chown -h 8:9 l
		    stat -c '%u:%g' f g d l >seen
		    ls -ln f | cut -d' ' -f3- | cut -c1-20 >/dev/null
		    cp -a f copy && tar cf - d | (mkdir x && cd x && tar xf -) && mv g moved
		    chown 0:0 f
	END
	builds
	expect_equal "$(content app.simg opt/seen | tr '\n' ' ')" "12:34 0:56 7:0 8:9 "
	expect_listing app.simg <<-'END'
		-rw-r--r-- 0/0 opt/f
		-rw-r--r-- 12/34 opt/copy
		-rw-r--r-- 0/56 opt/moved
		drwxr-xr-x 7/0 opt/d
		drwxr-xr-x 7/0 opt/x/d
		lrwxrwxrwx 8/9 opt/l -> f
	END
)

(
	t "a change of owner takes set-user-ID bits away, as it does for root, and a mode set later stays"
	post <<-'END'
		    cd /opt && touch a b && chmod 6755 a b && chown 1:1 a && chown 1:1 b && chmod 4711 b
		    stat -c %a a b >seen
	END
	builds
	expect_equal "$(content app.simg opt/seen | tr '\n' ' ')" "755 4711 "
	expect_listing app.simg <<<'-rws--x--x 1/1 opt/b'
)

(
	t "device nodes are device nodes, to stat and in the image"
	post <<-'END'
		    cd /opt && mknod c c 5 1 && mknod b b 8 17 && mknod -m 600 p p && chown 3:4 c && chmod 620 c
		    test -c c && test -b b && test -p p
		    stat -c '%t:%T' c b >seen
	END
	builds
	expect_equal "$(content app.simg opt/seen | tr '\n' ' ')" "5:1 8:11 "
	expect_listing app.simg <<-'END'
		crw--w---- 3/4 opt/c
		brw-r--r-- 0/0 opt/b
		prw------- 0/0 opt/p
	END
)

(
	t "the number of a deleted file's inode means nothing for the next file"
	post <<-'END'
		    cd /opt && for i in 1 2 3 4 5 6 7 8; do touch x$i && chown 5:5 x$i && rm x$i && touch y$i; done
		    stat -c %u:%g y* | sort -u >seen
	END
	builds
	expect_equal "$(content app.simg opt/seen)" 0:0
)

(
	t "chown of what is not there fails as it does for root"
	post <<-'END'
		    ! chown 1:1 /nowhere && ! chown 1:1 /etc/passwd/x
	END
	builds
)

(
	t "file capabilities are those of any file system, not of a namespace"
	command -v setcap >/dev/null || skip "setcap is not installed"
	getfattr --version >/dev/null 2>&1 || skip "attr is not installed"
	need_root
	cp -a "$bases/tree" tree
	mkdir -p tree/lib tree/lib64
	cp -L /sbin/setcap tree/bin/
	for lib in $(ldd /sbin/setcap | grep -o '/[^ ]*'); do mkdir -p "tree$(dirname "$lib")" && cp -L "$lib" "tree$lib"; done
	post <<-'END'
		    touch /opt/ping && setcap cap_net_raw+ep /opt/ping
	END
	sed -i "s,^From: .*,From: tree," app.def
	builds
	unsquashfs -q -n -d out app.simg opt/ping >/dev/null
	expect_equal "$(getfattr --absolute-names -n security.capability -e hex out/opt/ping | grep security)" \
		"security.capability=0x0100000200200000000000000000000000000000"
)

(
	t "a chroot within has its devices"
	post <<-'END'
		    mkdir -p /opt/r/dev /opt/r/bin && cp /bin/busybox /opt/r/bin/sh && mknod -m 666 /opt/r/dev/null c 1 3
		    chroot /opt/r /bin/sh -c 'echo gone >/dev/null; busybox chown 4:5 /bin/sh 2>/dev/null || true'
		    chroot /opt/r /bin/sh -c 'echo x >/y'
		    chown 6:7 /opt/r/y
	END
	builds
	expect_listing app.simg <<-'END'
		crw-rw-rw- 0/0 opt/r/dev/null
		-rw-r--r-- 6/7 opt/r/y
	END
)

(
	t "changes of identity succeed and change nothing; writing to disk is not waited for"
	post <<-'END'
		    id -u >/opt/seen && sync && sync -f /opt 2>/dev/null || sync
		    dd if=/dev/zero of=/opt/z bs=1k count=1 conv=fsync 2>/dev/null
	END
	builds
	expect_equal "$(content app.simg opt/seen)" 0
)

(
	t "mount, reboot and writes to /proc/sys and /sys do no harm"
	before=$(cat /proc/sys/kernel/printk)
	post <<-'END'
		    mount -t tmpfs none /opt && echo x >/opt/x && umount /opt
		    ! reboot -f
		    ! echo 1 >/proc/sys/kernel/printk
		    ! echo x >/sys/kernel/uevent_helper
		    ! echo b >/proc/sysrq-trigger
		    ! test -e /dev/sda && ! test -e /dev/kmsg && ! test -e /dev/mem
	END
	builds
	as=root
	rm -rf cache
	chown root: work
	builds
	expect_equal "$(cat /proc/sys/kernel/printk)" "$before"
	expect_listing app.simg <<<'! opt/x'
)

(
	t "a script sees the image, and nothing of the host's files"
	echo secret >secret
	post <<-END
		    ! test -e "$PWD/secret" && ! test -e "$top" && ! test -e /proc/1/root/$PWD
		    ls / | sort | tr '\\n' ' ' >/opt/seen
	END
	builds
	expect_equal "$(content app.simg opt/seen)" "bin dev etc home mnt opt proc root run sys tmp usr var "
)

(
	t "no process outlives a script"
	mark=$RANDOM$RANDOM
	post <<-END
		    (sleep 1$mark &)
		    setsid sleep 1$mark &
		    setsid sh -c 'trap "" TERM HUP; sleep 1$mark & wait' &
	END
	builds
	! pgrep -f "sleep 1$mark" || fail "a process is left"
)

(
	t "standard input is empty, and the environment a clean one"
	post <<-'END'
		    wc -c >/opt/input
		    env | sed 's/=.*//' | sort | tr '\n' ' ' >/opt/env
	END
	SECRET=1 builds
	expect_equal "$(content app.simg opt/input)" 0
	! content app.simg opt/env | grep -q SECRET
	content app.simg opt/env | grep -q 'APPTAINER_ENVIRONMENT.*SINGULARITY_LABELS'
)

(
	t "a command that fails is named, with its line and status; --keep-failed keeps the tree, which can be entered"
	post <<-'END'
		    echo kept >/opt/kept
		    chown 5:6 /opt/kept
		    sh -c 'exit 3'
		    echo never
	END
	refuses
	expect_stderr_matches "^simg: error: app.def:6: %post failed with status 3 at: sh -c '?exit 3'?$"
	expect_stderr_has "hint: --keep-failed keeps the tree"
	expect_stderr_lacks never
	build_it --keep-failed app.simg app.def
	expect_status 1
	kept=$(sed -n "s/.*hint: the tree is kept: .*--writable \([^']*\)'.*/\1/p" "$stderr")
	[ -d "$kept" ] || fail "nothing is kept"
	expect_equal "$(ls -A work)" "${kept##*/}"
	if [ "$as" = user ]; then user_runs simg shell "$kept" stat -c %u:%g /opt/kept; else run simg shell "$kept" stat -c %u:%g /opt/kept; fi
	expect_stdout 5:6
	rm -r "$kept"
)

(
	t "-q shows the output of a script only if it fails"
	post <<-'END'
		    echo first
		    false
	END
	refuses -q
	expect_stderr_has first "app.def:5: %post failed with status 1 at: false"
	sed -i '/false/d' app.def
	builds -q
	expect_stderr ""
)

(
	t "a full disk: one message, and nothing is left"
	need_root
	as=root
	own_cache
	mount -t tmpfs -o size=8m none work 2>/dev/null || skip "tmpfs cannot be mounted"
	cleanup umount "$PWD/work"
	post <<-'END'
		    dd if=/dev/zero of=/opt/big bs=1M count=64
	END
	refuses
	expect_stderr_has "No space left on device"
)

for signal in INT TERM KILL; do
	(
		t "SIG$signal to the build: nothing is left, no process either"
		mark=$RANDOM$RANDOM
		post <<-END
			    (setsid sleep 2$mark &)
			    echo begun
			    sleep 2$mark
		END
		own_cache
		chown -R "$(id -u)" work
		# A job in the background ignores SIGINT.
		env --default-signal=INT simg build app.simg app.def >output 2>&1 &
		pid=$!
		eventually grep -qx begun output
		kill -$signal $pid
		wait $pid || :
		gone() { ! pgrep -f "sleep 2$mark" >/dev/null && [ -z "$(ls -A work)" ]; }
		eventually gone
		[ ! -e app.simg ] || fail "there is an image"
	)
done

(
	t "a script that is killed is an error that names the signal"
	post <<-'END'
		    kill -9 $$
	END
	refuses
	expect_stderr_has "%post was ended by signal 9"
)

(
	t "without the kernel's help owners are lost, with a note, and all the rest is there"
	[ -x "$build/tests/denysys" ] || skip "tests/denysys is not built"
	post <<-'END'
		    touch /opt/f && chown 5:6 /opt/f && mknod /opt/d c 5 1 && stat -c %u:%g /opt/f >/opt/seen
	END
	own_cache
	as=root
	chown root: work
	run "$build/tests/denysys" openat2 -- simg build app.simg app.def
	expect_status 0
	expect_stderr_has "note: owners and device nodes that scripts ask for are lost, all is root's: this kernel is older than 5.6"
	expect_equal "$(content app.simg opt/seen)" 0:0
	expect_listing app.simg <<-'END'
		-rw-r--r-- 0/0 opt/f
		! opt/d
	END
)

(
	t "apt-get installs packages with users, groups and set-group-ID programs of their own"
	[ "$as" = user ] || skip "there is no user $user (./setup check makes it)"
	tar=$("$top/tests/images" tar minbase) || skip "there is no Debian mirror"
	simg build -q base.simg "$tar"
	chmod a+r base.simg
	{ printf 'Bootstrap: localimage\nFrom: base.simg\n%%post\n'; cat; } <<-'END' | recipe
		    export DEBIAN_FRONTEND=noninteractive
		    apt-get update -q && apt-get install -q -y --no-install-recommends openssh-client
		    useradd -m -u 4711 somebody
	END
	build_it -q app.simg app.def
	! grep -qE 'Could not resolve|Failed to fetch|Unable to locate' "$stderr" || skip "there is no Debian mirror"
	expect_status 0
	expect_listing app.simg <<-'END'
		drwxr-xr-x 4711/4711 home/somebody
	END
	listing app.simg | grep -qE '^-rwxr-sr-x 0/[1-9][0-9]* usr/bin/ssh-agent$'
	run simg inspect --packages app.simg
	expect_stdout_matches '^openssh-client '
)

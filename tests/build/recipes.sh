# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the tests of recipes share. At the top of a file:
#
#	make_bases           $bases, a directory that everybody can read, with the same small tree in every form that a base may have:
#	                     tree/ (a directory), base.simg, base.sif, old.simg (the format of Singularity 2), layout/ (OCI, tag base),
#	                     archive.tar (OCI), docker.tar; and shell-less.simg
# In a case:
#	recipe [FILE]        standard input becomes the recipe, by default app.def
#	builds [OPTION…]     simg build makes app.simg of app.def, as the test user if $as is "user"
#	refuses [OPTION…]    it does not: status 1, one line of error, nothing left behind
#	listing IMAGE        its entries: "-rwxr-xr-x 0/0 bin/tool", without sizes and times
#	content IMAGE PATH   a file's content
#	nothing_left         neither beside the image nor where recipes are carried out
#
# Each case has a cache and a work directory of its own, and both belong to the test user as the working directory does.

bases=$file_dir/bases
unset SOURCE_DATE_EPOCH XDG_CACHE_HOME APPTAINER_BUILD SINGULARITY_BUILD
as=root

# The commands that busybox has by another name in /bin.
base_commands='sh ash cat chmod chown cp cut date dd echo env false find grep head id kill ln ls mkdir mknod mv od ps pwd rm rmdir sed
	seq setsid sha256sum sleep sort stat sync tail tar tee test touch tr true umask uname wc xargs mount umount reboot chroot install
	readlink basename dirname printf sh expr cmp diff md5sum hostname nproc tty'

base_tree() {
	local name
	mkdir -p "$1"/bin "$1"/etc "$1"/tmp "$1"/var/tmp "$1"/usr/bin "$1"/opt "$1"/root
	chmod 1777 "$1/tmp" "$1/var/tmp"
	install -m 0755 /bin/busybox "$1/bin/busybox"
	for name in $base_commands; do ln -sf busybox "$1/bin/$name"; done
	ln -sf ../../bin/env "$1/usr/bin/env"
	printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n' >"$1/etc/passwd"
	printf 'root:x:0:\ndaemon:x:1:\nmail:x:8:\n' >"$1/etc/group"
	find "$1" -exec touch -h -d '2021-03-04 05:06:07 UTC' {} +
	chown -R 0:0 "$1"
}

make_bases() {
	command -v busybox >/dev/null || skip "busybox is not installed"
	file -L /bin/busybox 2>/dev/null | grep -q 'dynamically' && skip "busybox is not a static program"
	mkdir -p "$bases/plain/opt"
	base_tree "$bases/tree"
	simg build -q "$bases/base.simg" "$bases/tree"
	echo text >"$bases/plain/opt/file"
	simg build -q "$bases/shell-less.simg" "$bases/plain"
	{ printf '#!/usr/bin/env run-singularity\n'; cat "$bases/base.simg"; } >"$bases/old.simg"
	make_sif "$bases/base.sif" "$bases/base.simg" 1
	tar -C "$bases/tree" -cf "$bases/tree.tar" .
	(cd "$bases" && { printf 'config %s\n' "'$(base_config)'" && echo layer gzip tree.tar; } | "$top/tests/layout.py" image layout base >/dev/null)
	tar -C "$bases/layout" -cf "$bases/archive.tar" .
	! command -v skopeo >/dev/null || skopeo copy -q "oci:$bases/layout:base" "docker-archive:$bases/docker.tar:base:1"
	chmod -R a+rX "$bases"
}

base_config() { echo '{"config": {"Env": ["PATH=/opt/tools:/usr/bin:/bin", "COLOUR=red"], "Cmd": ["/bin/echo", "hello"], "Labels": {"maker": "base"}}}'; }

own_cache() {
	export SIMG_CACHE_DIR=$case_dir/cache SIMG_TMPDIR=$case_dir/work
	[ -d work ] || mkdir work
	[ "$(id -u)" != 0 ] || ! id "$user" >/dev/null 2>&1 || chown "$user:" work
}

recipe() { cat >"${1-app.def}"; chmod a+r "${1-app.def}"; }

build_it() {
	own_cache
	if [ "$as" = user ]; then
		user_runs SIMG_CACHE_DIR="$case_dir/cache" SIMG_TMPDIR="$SIMG_TMPDIR" simg build "$@"
	else
		run timeout --kill-after=5 "$limit" simg build "$@"
	fi
}

builds() {
	build_it "$@" -f app.simg app.def
	expect_status 0
	nothing_left
}

refuses() {
	rm -f app.simg
	build_it "$@" app.simg app.def
	expect_status 1
	expect_equal "$(grep -c '^simg: error: ' "$stderr")" 1
	[ ! -e app.simg ] || fail "there is an image"
	nothing_left
}

nothing_left() {
	expect_equal "$(find . -maxdepth 1 -name '.*simg*')" ""
	expect_equal "$(ls -A "$SIMG_TMPDIR")" ""
}

listing() { unsquashfs -lln "$1" | sed -nE 's/^([^ ]+) ([0-9]+\/[0-9]+) +[0-9]+(, *[0-9]+)? [0-9-]+ [0-9:]+ squashfs-root\/?/\1 \2 /p'; }
content() { unsquashfs -cat "$1" "$2"; }

# expect_listing IMAGE: each line of standard input is one of listing's; or "! PATH", which is not there.
expect_listing() {
	local line
	listing "$1" >listing
	while IFS= read -r line; do
		if [[ $line == '! '* ]]; then
			! sed -E 's/ -> .*//' listing | cut -d' ' -f3- | grep -qxF -- "${line#! }" || fail "there is ${line#! }"
		else
			grep -qxF -- "$line" listing || { grep -F -- "$(cut -d' ' -f3 <<<"$line")" listing || :; fail "the listing lacks: $line"; }
		fi
	done
}

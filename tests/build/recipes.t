#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Recipes: every agent, section and option, and what they become in the image.
# guard: 600 s
. "$(dirname "$0")/../lib.sh"
need unsquashfs jq
# shellcheck source=tests/build/sif.sh
. "$(dirname "$0")/sif.sh"
# shellcheck source=tests/build/recipes.sh
. "$(dirname "$0")/recipes.sh"
make_bases

# --- bases ---

for source in base.simg base.sif old.simg tree; do
	(
		t "localimage: $source"
		recipe <<-END
			Bootstrap: localimage
			From: $bases/$source
			%post
			    echo made >/opt/made
		END
		builds
		expect_listing app.simg <<-'END'
			-rw-r--r-- 0/0 opt/made
			-rwxr-xr-x 0/0 bin/busybox
		END
		expect_equal "$(content app.simg opt/made)" made
	)
done

for source in oci:layout:base oci-archive:archive.tar docker-archive:docker.tar; do
	(
		t "${source%%:*}: environment and command of the container stay, and %post has its environment"
		[ -e "$bases/${source#*:}" ] || [ -d "$bases/layout" ] || skip "skopeo is not installed"
		[ "${source%%:*}" != docker-archive ] || [ -e "$bases/docker.tar" ] || skip "skopeo is not installed"
		recipe <<-END
			Bootstrap: ${source%%:*}
			From: $bases/${source#*:}
			%post
			    echo "\$COLOUR \$PATH" >/opt/seen
		END
		builds
		expect_equal "$(content app.simg opt/seen)" "red /opt/tools:/usr/bin:/bin"
		content app.simg .simg/config.json | grep -q '"COLOUR=red"'
		content app.simg .singularity.d/runscript | grep -q /bin/echo
	)
done

(
	t "scratch: files and nothing else"
	echo text >file
	recipe <<-'END'
		Bootstrap: scratch
		%files
		    file /data/file
		    file /tmp/file
	END
	builds
	expect_equal "$(content app.simg data/file)" text
	expect_listing app.simg <<-'END'
		drwxr-xr-x 0/0 data
		drwxrwxrwt 0/0 tmp
		! bin
	END
)

(
	t "a base that is not there is named with the recipe's line"
	recipe <<-'END'
		Bootstrap: localimage
		From: nowhere.simg
	END
	refuses
	expect_stderr_has "app.def:1: cannot open the source 'nowhere.simg'"
)

(
	t "a program that makes the base, and that the host lacks, is named"
	[ ! -e /usr/sbin/debootstrap ] || skip "debootstrap is installed"
	recipe <<-'END'
		Bootstrap: debootstrap
		OSVersion: bookworm
		MirrorURL: http://127.0.0.1:1/debian
	END
	refuses
	expect_stderr_has "this host has no debootstrap"
)

(
	t "dnf: a mirror that is not there is the program's to complain about, or the program is named"
	recipe <<-'END'
		Bootstrap: dnf
		MirrorURL: http://127.0.0.1:1/repo
		Include: bash
	END
	refuses
	expect_stderr_matches "this host has no dnf|could not make the base$"
)

# --- sections ---

(
	t "the order of things: pre, files of stages, setup, files, post, test"
	need_user
	as=user
	echo host >host
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		Stage: one
		%post
		    echo one >/one

		Bootstrap: localimage
		From: $bases/base.simg
		%test
		    grep -qx three /order/post
		%post
		    cat /order/setup /order/host >/dev/null
		    echo three >/order/post
		%files
		    host /order/host
		%setup
		    [ -e "\$APPTAINER_ROOTFS/order/one" ] && [ ! -e "\$SINGULARITY_ROOTFS/order/host" ]
		    echo two >"\$SINGULARITY_ROOTFS/order/setup"
		%files from one
		    /one /order/one
		%pre
		    echo pre >pre
	END
	builds
	expect_equal "$(cat pre)" pre
	expect_listing app.simg <<-'END'
		-rw-r--r-- 0/0 order/one
		-rw-r--r-- 0/0 order/setup
		-rw-r--r-- 0/0 order/host
		-rw-r--r-- 0/0 order/post
		! one
	END
)

(
	t "environment, runscript, startscript, test, help and labels become the files of Singularity"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%environment
		    export GREETING="hi there"
		%runscript
		    echo "\$GREETING \$*"
		%startscript
		    exec sleep 1
		%help
		    how to use it
		%labels
		    Author somebody
		    Version 1.2
		%test
		    [ "\$GREETING" = "hi there" ]
	END
	builds
	content app.simg .singularity.d/env/90-environment.sh | grep -qF 'export GREETING="hi there"'
	content app.simg .singularity.d/startscript | grep -qF 'exec sleep 1'
	content app.simg .singularity.d/runscript.help | grep -qF 'how to use it'
	expect_equal "$(content app.simg .singularity.d/labels.json | jq -r '.Author + .Version')" somebody1.2
	expect_equal "$(content app.simg .singularity.d/Singularity)" "$(cat app.def)"
	run simg inspect --recipe app.simg
	expect_stdout "$(cat app.def)"
	run simg build -q --sandbox dir app.simg
	run simg shell dir /.singularity.d/actions/run you
	expect_stdout "hi there you"
)

(
	t "variables and labels that %post leaves are the image's"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post
		    echo 'export A=1' >>"\$SINGULARITY_ENVIRONMENT"
		    echo 'export B=2' >>"\$APPTAINER_ENVIRONMENT"
		    echo 'Key value of it' >>"\$APPTAINER_LABELS"
		    [ "\$APPTAINER_LABELS" = "\$SINGULARITY_LABELS" ]
		%test
		    [ "\$A\$B" = 12 ]
	END
	builds
	expect_equal "$(content app.simg .singularity.d/labels.json | jq -r .Key)" "value of it"
	expect_listing app.simg <<<'! .build.labels'
)

(
	t "%test fails the build, and says where; --no-test does not run it"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%test
		    true
		    test 1 = 2
	END
	refuses
	expect_stderr_matches "app.def:5: %test failed with status 1 at: test 1 '?='? 2"
	builds --no-test
)

(
	t "%test cannot write in the image, but in /tmp"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%test
		    echo x >/tmp/x && ! echo x >/x
	END
	builds
	expect_listing app.simg <<-'END'
		! x
		! tmp/x
	END
)

(
	t "%post takes another shell, flags, and comes in several parts"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post -c /bin/ash -u
		    echo one >/opt/parts
		%environment
		    export X=1
		%post
		    echo two >>/opt/parts
		    echo "\$UNSET"
	END
	refuses
	expect_stderr_has "%post failed with status"
	sed -i '/UNSET/d' app.def
	builds
	expect_equal "$(content app.simg opt/parts)" "$(printf 'one\ntwo')"
)

(
	t "a shell that the image lacks is named, and so is a base without any"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post -c /bin/zsh
		    true
	END
	refuses
	expect_stderr_has "app.def: %post cannot be run: the image has no /bin/zsh"
	sed -i -e "s,base.simg,shell-less.simg," -e 's, -c /bin/zsh,,' app.def
	refuses
	expect_stderr_has "the image has no /bin/sh, or not what that needs" "a base without any takes only %files"
)

(
	t "%files: globs, directories, links of the host, into links of the image, /tmp and /var/tmp"
	mkdir -p tree/sub
	echo a >tree/a.txt
	echo b >tree/sub/b.txt
	echo c >c.dat
	ln -s c.dat link
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post
		    ln -s /opt/real /opt/alias
		    mkdir /opt/real
		Bootstrap: localimage
		From: $bases/base.simg
		%files
		    tree /opt/tree
		    *.dat /data/
		    link /linked
		    tree/**/*.txt /flat/
		    c.dat /tmp/c.dat
		    c.dat /var/tmp/
		    "c.dat" '/with blank'
		%post
		    cat /tmp/c.dat
	END
	builds
	expect_listing app.simg <<-'END'
		-rw-r--r-- 0/0 opt/tree/sub/b.txt
		-rw-r--r-- 0/0 data/c.dat
		-rw-r--r-- 0/0 linked
		-rw-r--r-- 0/0 flat/a.txt
		-rw-r--r-- 0/0 flat/b.txt
		-rw-r--r-- 0/0 tmp/c.dat
		-rw-r--r-- 0/0 var/tmp/c.dat
		-rw-r--r-- 0/0 with blank
	END
)

(
	t "%files: a link of the image leads to no file of the host"
	mkdir outside
	cp -a "$bases/tree" tree
	ln -s "$PWD/outside" tree/out
	ln -s "../../../../../../../../../../../..$PWD/outside" tree/up
	echo x >x
	recipe <<-'END'
		Bootstrap: localimage
		From: tree
		%files
		    x /out/x
		    x /up/y
	END
	builds
	expect_equal "$(ls -A outside)" ""
	expect_listing app.simg <<-END
		-rw-r--r-- 0/0 ${PWD#/}/outside/x
		-rw-r--r-- 0/0 ${PWD#/}/outside/y
	END
)

(
	t "%files of the directory that the image lies in do not have the image, nor does the key"
	mkdir here
	echo x >here/x
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%files
		    here /opt/here
		%post
		    : ran
	END
	for time in 1 2 3; do
		build_it -f here/app.simg app.def
		expect_status 0
		expect_listing here/app.simg <<-'END'
			-rw-r--r-- 0/0 opt/here/x
			! opt/here/app.simg
		END
	done
	expect_stderr_lacks ": ran"
)

(
	t "%files: what is not there is named with its line"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%files
		    nothing-*.txt /x
	END
	refuses
	expect_stderr_matches "app.def:4: .*nothing-\*.txt"
)

(
	t "%files from a stage keep owners, modes and links"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		Stage: build
		%post
		    mkdir -p /out && cd /out
		    echo x >tool && chown 12:34 tool && chmod 4755 tool
		    ln tool second && ln -s tool third
		    mknod dev c 5 1 && chown 1:2 dev

		Bootstrap: scratch
		%files from build
		    /out /result
	END
	builds
	expect_listing app.simg <<-'END'
		-rwsr-xr-x 12/34 result/tool
		-rwsr-xr-x 12/34 result/second
		lrwxrwxrwx 0/0 result/third -> tool
		crw-r--r-- 1/2 result/dev
	END
)

(
	t "what %post newly leaves in /tmp is gone, what it changes or removes there is not"
	echo old >old
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%files
		    old /tmp/kept
		    old /tmp/removed
		%post
		    echo new >/tmp/kept
		    rm /tmp/removed
		    mkdir -p /tmp/junk/deep /var/tmp/junk
	END
	builds
	expect_equal "$(content app.simg tmp/kept)" new
	expect_listing app.simg <<-'END'
		! tmp/removed
		! tmp/junk
		! var/tmp/junk
	END
)

(
	t "apps: install, files, labels, environment, run, test and help"
	echo tool >tool
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%appinstall foo
		    echo "\$SCIF_APPROOT" >where
		%appfiles foo
		    tool bin/tool
		%applabels foo
		    Maker me
		%appenv foo
		    export FOO=bar
		%apprun foo
		    echo "\$FOO"
		%apptest foo
		    true
		%apphelp foo
		    help of foo
	END
	builds
	expect_equal "$(content app.simg scif/apps/foo/where)" /scif/apps/foo
	expect_equal "$(content app.simg scif/apps/foo/bin/tool)" tool
	expect_equal "$(content app.simg scif/apps/foo/scif/labels.json | jq -r .Maker)" me
	content app.simg scif/apps/foo/scif/runscript | grep -qF 'echo "$FOO"'
	content app.simg scif/apps/foo/scif/runscript.help | grep -qF 'help of foo'
)

# --- arguments ---

(
	t "arguments: defaults, file, command line, in this order"
	printf '# comment\nB=file\nC=file\n' >args
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%arguments
		    A=default
		    B=default
		    C=default
		%post
		    echo "{{ A }} {{B}} {{ C }}" >/opt/args
		    cat >/opt/template <<EOF
		{{ jinja }} {{ A }}
		EOF
	END
	builds --build-arg-file args --build-arg C=line
	expect_equal "$(content app.simg opt/args)" "default file line"
	expect_equal "$(content app.simg opt/template)" "{{ jinja }} default"
	expect_equal "$(content app.simg .simg/build.json | jq -r .recipe.arguments.C)" line
)

(
	t "an argument without a value is an error with its line, one without use a note"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post
		    echo {{ MISSING }}
	END
	refuses
	expect_stderr_matches "app.def:4: .*MISSING"
	builds --build-arg MISSING=x --build-arg UNUSED=y
	expect_stderr_has "the recipe has no '{{ UNUSED }}', for which there is a --build-arg"
)

# --- text ---

(
	t "here-documents are text, whatever is in them"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post
		    cat >/opt/one <<'EOF'
		%files is no section
		Bootstrap: docker
		EOF
		    cat >/opt/two <<-EOT
				%wheel ALL=(ALL) ALL
				EOT
	END
	builds
	expect_equal "$(content app.simg opt/one)" "$(printf '%%files is no section\nBootstrap: docker')"
	expect_equal "$(content app.simg opt/two)" "%wheel ALL=(ALL) ALL"
)

(
	t "CRLF, tabs, a byte order mark, and no newline at the end"
	printf '\xef\xbb\xbfBootstrap:\tlocalimage\r\nFrom:\t%s\r\n%%post\r\n\techo gr\xc3\xbc\xc3\x9fe >/opt/text' "$bases/base.simg" >app.def
	builds
	expect_equal "$(content app.simg opt/text)" grüße
)

(
	t "a section of a megabyte"
	{ printf 'Bootstrap: localimage\nFrom: %s\n%%post\n' "$bases/base.simg"; seq -f '    : %.0f' 80000; echo '    echo end >/opt/end'; } >app.def
	builds -q
	expect_equal "$(content app.simg opt/end)" end
)

while IFS='|' read -r sentence text message; do
	(
		t "refused: $sentence"
		printf 'Bootstrap: localimage\nFrom: %s\n%b\n' "$bases/base.simg" "$text" >app.def
		refuses
		expect_stderr_has "$message"
	)
done <<'END'
an unknown section|%psot\n true|app.def:3: there is no section '%psot': did you mean 'post'?
an unknown key|Frm: x|app.def:3: 
a section of shell text that ends in a here-document|%post\n cat <<EOF\n text|app.def:4: 
files from an unknown stage|%files from nowhere\n /a /b|app.def:
three words in a line of files|%files\n a b c|app.def:4:
END

(
	t "refused: an agent of Apptainer's, and an unknown one"
	printf 'Bootstrap: library\nFrom: x\n' >app.def
	refuses
	expect_stderr_has "library" "docker"
	printf 'Bootstrap: dokcer\nFrom: x\n' >app.def
	refuses
	expect_stderr_has "did you mean 'docker'"
)

(
	t "refused: options of recipes for what is none"
	mkdir dir
	run simg build --no-test app.simg dir
	expect_status 1
	expect_stderr_has "'dir' is no recipe"
)

# --- options ---

(
	t "--section carries out only those"
	echo x >x
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%files
		    x /x
		%post
		    echo post >/post
		%environment
		    export E=1
		%test
		    false
	END
	builds --section files,environment
	expect_listing app.simg <<-'END'
		-rw-r--r-- 0/0 x
		! post
	END
	content app.simg .singularity.d/env/90-environment.sh | grep -q E=1
	builds --section none
	expect_listing app.simg <<<'! x'
	run simg build --section psot -f app.simg app.def
	expect_status 2
	expect_stderr_has "--section: there is no section 'psot'" "did you mean 'post'?"
)

(
	t "--bind is there while scripts run, and leaves nothing in the image"
	mkdir data
	echo text >data/file
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post
		    cp /in/deep/file /opt/file
		    echo back >/in/deep/back
		    ! echo no >/ro/deny
	END
	builds --bind data:/in/deep,data:/ro:ro
	expect_equal "$(content app.simg opt/file)" text
	expect_equal "$(cat data/back)" back
	expect_listing app.simg <<-'END'
		! in
		! ro
	END
	build_it --bind nowhere:/x app.simg app.def
	expect_status 2
	expect_stderr_has "--bind: cannot find 'nowhere'"
)

(
	t "--sandbox makes a directory, and an image of it is the same"
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post
		    echo x >/opt/x && chown 5:6 /opt/x && mknod /opt/dev b 8 1
	END
	builds
	build_it --sandbox dir app.def
	expect_status 0
	run simg build -q again.simg dir
	expect_status 0
	diff <(listing app.simg | grep -v ' .simg') <(listing again.simg | grep -v ' .simg')
)

(
	t "no script runs for a sandbox or an image that cannot be made"
	mkdir dir
	echo mine >dir/file
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post
		    : ran
	END
	build_it --sandbox --force dir app.def
	expect_status 1
	expect_stderr_has "'dir' is no sandbox made by simg build, and not empty"
	expect_stderr_lacks ": ran"
	build_it nowhere/app.simg app.def
	expect_status 1
	expect_stderr_lacks ": ran"
	nothing_left
)

(
	t "root and an ordinary user get the same image"
	need_root
	need_user
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		%post
		    mkdir /opt/d && echo x >/opt/d/x && chown -R 5:6 /opt/d && chmod 2750 /opt/d && mknod /opt/null c 1 3
		    touch -d '2020-01-01 00:00:00' /opt/d/x /opt/d /opt/null /opt /opt/link 2>/dev/null || :
		%labels
		    A b
	END
	builds --timestamp 1600000000
	mv app.simg root.simg
	chmod a+rX .
	as=user
	rm -rf work cache
	builds --timestamp 1600000000
	run simg diff -t root.simg app.simg
	expect_status 0
	cmp root.simg app.simg
)

(
	t "a Dockerfile is told from a recipe, and what to do"
	printf '# syntax=docker/dockerfile:1\nFROM debian:12\nRUN true\n' >app.def
	refuses
	expect_stderr_has "'app.def' is a Dockerfile; those are not supported" "docker-archive:FILE"
)

(
	t "a base with a dangling resolv.conf, /var/tmp -> /tmp, and odd mount points"
	cp -a "$bases/tree" tree
	ln -s ../run/systemd/resolve/stub-resolv.conf tree/etc/resolv.conf
	rmdir tree/var/tmp
	ln -s ../tmp tree/var/tmp
	recipe <<-'END'
		Bootstrap: localimage
		From: tree
		%post
		    test -e /etc/resolv.conf
		    echo x >/var/tmp/x
	END
	builds
	expect_listing app.simg <<-'END'
		lrwxrwxrwx 0/0 etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf
		lrwxrwxrwx 0/0 var/tmp -> ../tmp
		! run/systemd
		! tmp/x
	END
)

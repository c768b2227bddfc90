#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg doctor: what it finds on a node that works, and what it says of each thing that is broken.
. "$(dirname "$0")/../lib.sh"
need_cluster
site_conf=${SLURM_CONF%/*}/simg.conf

# A configuration of Slurm that the case can break: the shared cluster's, copied, with a plugstack.conf of its own.
copy_of_slurm_conf() {
	local etc=$PWD/etc
	mkdir -m 0755 "$etc"
	cp "${SLURM_CONF%/*}"/*.conf "$etc"
	sed -i "s,^PlugStackConfig=.*,PlugStackConfig=$etc/plugstack.conf," "$etc/slurm.conf"
	SLURM_CONF=$etc/slurm.conf
	plugstack=$etc/plugstack.conf
	good_conf=$site_conf
}

(
	t "a node that works has nothing to mend"
	user_runs simg doctor
	expect_status 0
	expect_stdout_has "squashfs       the kernel has it" "/dev/loop-control is there" "plugin         srun loads it" "oci.conf       there is none" \
		"plugstack.conf '${SLURM_CONF%/*}/plugstack.conf' has: required" "simg.conf      '$site_conf'" "simg-helper    '${site_conf%/*}/libexec/simg-helper'"
	expect_stdout_lacks FAIL
)
(
	t "a plugstack.conf without the plugin is told, with the line that it lacks"
	copy_of_slurm_conf
	: >"$plugstack"
	user_runs simg doctor
	expect_status 1
	expect_stdout_matches "^FAIL +plugin +srun does not load simg.so"
	expect_stdout_matches "^FAIL +plugstack.conf '$plugstack' does not name simg.so"
	expect_stdout_matches "put into it, on every node: required /.*/simg.so"
)
(
	t "an included plugstack file is read, and 'optional' is warned of"
	copy_of_slurm_conf
	mkdir -m 0755 etc/plugstack.d
	sed 's/^required/optional/' "$plugstack" >etc/plugstack.d/simg.conf
	echo "include $PWD/etc/plugstack.d/*.conf" >"$plugstack"
	user_runs simg doctor
	expect_status 0
	expect_stdout_matches "^warn +plugstack.conf '$PWD/etc/plugstack.d/simg.conf' has: optional /"
	expect_stdout_has "write 'required'"
)
(
	t "an oci.conf is told"
	copy_of_slurm_conf
	: >etc/oci.conf
	user_runs simg doctor
	expect_status 1
	expect_stdout_matches "^FAIL +oci.conf +'$PWD/etc/oci.conf' exists: Slurm takes --container for an OCI bundle"
)
(
	t "a mistake in simg.conf is told with its line"
	copy_of_slurm_conf
	{ cat "$good_conf"; echo "bnid = /opt"; } >bad.conf
	user_runs simg doctor --conf "$PWD/bad.conf"
	expect_status 1
	expect_stdout_has "$PWD/bad.conf:$(wc -l <bad.conf): unknown key 'bnid'"
)
(
	t "a bind source and a helper that this node lacks are told"
	{ grep -v ^helper "$site_conf" || :; printf 'bind = /no/such\nhelper = /no/helper\nimage_path = /no/images\n'; } >bad.conf
	user_runs simg doctor --conf "$PWD/bad.conf"
	expect_status 1
	expect_stdout_has "'/no/such': No such file or directory" "'/no/helper': No such file or directory" "'/no/images': No such file or directory"
)
(
	t "a wrong command line is told"
	user_runs simg doctor node7
	expect_status 2
	expect_stderr "simg: error: doctor takes no argument, but got 'node7'"
	user_runs simg doctor --help
	expect_status 0
	expect_stdout_has "usage: simg doctor [--conf FILE]"
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the built plugin and programs are made of: what they export and load, and how they are hardened.
. "$(dirname "$0")/../lib.sh"
need nm readelf
[ -e "$build/spank/.libs/simg.so" ] || ! grep -qsF 'S["HAVE_SLURM_TRUE"]="#"' "$build/config.status" || skip "built without Slurm"

plugin=$build/spank/.libs/simg.so
programs=("$build/runtime/simg" "$build/runtime/simg-helper")

needed() { readelf --dynamic --wide "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }

(
	t "the plugin exports what Slurm looks up, and nothing else"
	run nm --dynamic --defined-only --format=posix "$plugin"
	expect_stdout_has "plugin_name " "plugin_type " "plugin_version "
	expect_stdout_matches '^slurm_spank_'
	expect_equal "$(cut -d' ' -f1 "$stdout" | grep -vE '^(plugin_(name|type|version)|spank_plugin_version|slurm_spank_[a-z_]*)$')" ""
)

(
	t "the plugin loads nothing into slurmstepd but libc"
	expect_equal "$(needed "$plugin" | grep -vE '^(libc\.so|libpthread\.so|ld-linux)')" ""
)

(
	t "the helper, which starts as root, loads no library of the builder's"
	expect_equal "$(needed "${programs[1]}" | grep -E '^lib(archive|squashfs|curl|z|zstd|lzma|xml2|sqlite3)\.')" ""
)

(
	t "programs are position-independent"
	for program in "${programs[@]}"; do
		run readelf --file-header "$program"
		expect_stdout_matches 'Type: +DYN'
	done
)

for file in "$plugin" "${programs[@]}"; do
	(
		t "${file##*/} is hardened: relocations read-only and bound at once, no executable stack, no search path"
		run readelf --program-headers --dynamic --wide "$file"
		expect_stdout_has "GNU_RELRO"
		expect_stdout_matches 'BIND_NOW|FLAGS.*NOW'
		expect_stdout_matches 'GNU_STACK.* RW '
		expect_stdout_lacks RPATH RUNPATH TEXTREL
	)
	(
		t "${file##*/} checks its stack and the bounds of its copies"
		! grep -q 'enable-sanitizers' "$build/config.status" || skip "a build with sanitizers"
		run nm --dynamic --undefined-only "$file"
		expect_stdout_has "__stack_chk_fail"
		expect_stdout_matches '__[a-z]+_chk'
	)
done

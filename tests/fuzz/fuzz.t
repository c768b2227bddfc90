#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guard: 900 s
#
# libFuzzer on everything that reads what others wrote: each of tests/fuzz/*.c for SIMG_FUZZ_SECONDS (default 4), under the address and
# undefined behaviour sanitizers. SIMG_FUZZ_TARGETS names some of them. What it finds interesting is kept in
# ${SIMG_TESTS_CACHE:-/var/cache/simg-tests}/fuzz, so that runs go on from one another, and so is an input that makes a target fail.
# tests/fuzz/NAME.seeds has a beginning: inputs, one a line, with printf's escapes.
. "$(dirname "$0")/../lib.sh"
need clang pkg-config python3
[ -n "$(find "$(clang --print-resource-dir)" -name 'libclang_rt.fuzzer-*.a' | head -n 1)" ] || skip "clang has no libFuzzer here (libclang-rt-dev)"

seconds=${SIMG_FUZZ_SECONDS:-4}
limit=$((seconds + 60))
targets=${SIMG_FUZZ_TARGETS:-$(cd "$top/tests/fuzz" && printf '%s\n' *.c | sed 's/\.c$//')}
kept=${SIMG_TESTS_CACHE:-/var/cache/simg-tests}/fuzz
mkdir -p "$kept"
objects=$file_dir/objects
mkdir "$objects"

packages=(libarchive libcurl libsquashfs1 libzstd jansson openssl zlib libseccomp)
! grep -qs '^#define HAVE_ISAL 1' "$build/config.h" || packages+=(libisal)
! grep -qs '^#define HAVE_SQLITE 1' "$build/config.h" || packages+=(sqlite3)
read -ra cflags < <(pkg-config --cflags "${packages[@]}")
read -ra libs < <(pkg-config --libs "${packages[@]}")
flags=(-gline-tables-only -O1 -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DSIMG_SANITIZED "-DSIMG_SYSCONFDIR=\"/etc\"" "-DSIMG_LIBEXECDIR=\"/nowhere\"" -I"$top" -I"$build"
	-fno-sanitize-recover=all "${cflags[@]}")

compile() {
	local sanitizers=$1 source=$2
	clang "${flags[@]}" -fsanitize="$sanitizers",address,undefined -c -o "$objects/${source//\//_}.o" "$top/$source"
}
compile_all() {
	export -f compile
	export objects top
	(cd "$top" && find builder lib runtime/mount.c runtime/privilege.c -name '*.c') | xargs -P "$(nproc)" -n 1 bash -euc "$(declare -p flags); compile fuzzer-no-link \"\$1\"" sh
}

# Layers come from the same sets that are compared with umoci.
seeds_of_layer() {
	python3 - "$top" seeds <<'PYTHON'
import os, shlex, sys
top, seeds = sys.argv[1:]
sys.path.insert(0, os.path.join(top, "tests"))
sys.dont_write_bytecode = True
import layout
with open(os.path.join(top, "tests", "layers.recipes"), encoding="utf-8") as file:
    parts = file.read().split("\n== ")[1:]
for number, part in enumerate(parts):
    if "tarball" in part or "block 131072" in part:
        continue
    layer = layout.Layer("plain")
    for line in part.splitlines()[1:]:
        words = shlex.split(line, comments=True)
        if words and words[0] in layout.Layer.TYPES:
            layer.add(*words)
    with open(os.path.join(seeds, f"recipe-{number}"), "wb") as file:
        file.write(layer.bytes())
PYTHON
}

# Images whose tables lie open, as --hot makes them, and as nobody fuzzes his way through zstd.
seeds_of_image() {
	mkdir tree tree/empty
	seq 3000 >tree/text
	ln tree/text tree/again
	ln -s text tree/symlink
	mkfifo tree/fifo
	truncate -s 300000 tree/hole
	echo /text >hot
	simg build --quiet --hot hot seeds/one.simg tree
	simg build --quiet --hot hot --block-size 4K seeds/two.simg tree
}

seeds_of_packages() {
	"$top/tests/rpmdb.py" seeds/rpmdb bash::5.2:3:x86_64 perl:4:5.38:506:noarch
}

seeds() {
	local line number=0
	mkdir seeds
	case $1 in
	image | layer | packages) "seeds_of_$1" ;;
	image_layer) seeds_of_image ;;
	esac
	[ -e "$top/tests/fuzz/$1.seeds" ] || return 0
	while IFS= read -r line; do
		number=$((number + 1))
		printf %b "$line" >"seeds/line-$number"
	done <"$top/tests/fuzz/$1.seeds"
}

compile_all >"$file_dir/log" 2>&1 || { cat "$file_dir/log"; exit 1; }

for name in $targets; do
	(
		t "fuzzing for $seconds s finds nothing: $name"
		clang "${flags[@]}" -fsanitize=fuzzer,address,undefined -o fuzz "$top/tests/fuzz/$name.c" "$objects"/*.o "${libs[@]}" -lpthread -ldl
		mkdir -p "$kept/$name"
		seeds "$name"
		run timeout "$limit" ./fuzz -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -timeout=10 -verbosity=0 -print_final_stats=1 \
			-artifact_prefix="$kept/$name-" "$kept/$name" seeds
		grep -h 'stat::number_of_executed_units\|SUMMARY\|ERROR' "$stdout" "$stderr" || :
		[ "$status" = 0 ] || {
			echo "the input is kept in $kept: put it into $kept/$name/, and SIMG_FUZZ_TARGETS=$name tests/run tests/fuzz/fuzz.t begins with it"
			exit 1
		}
	)
done

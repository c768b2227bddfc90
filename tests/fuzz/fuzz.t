#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guard: 900 s
#
# libFuzzer on everything that reads what others wrote: each of tests/fuzz/*.c for SIMG_FUZZ_SECONDS (default 5), under the address and
# undefined behaviour sanitizers. What it finds interesting is kept in ${SIMG_TESTS_CACHE:-/var/cache/simg-tests}/fuzz, so that
# runs go on from one another; tests/fuzz/NAME.seeds has a beginning, one input a line.
. "$(dirname "$0")/../lib.sh"
need clang python3
[ -n "$(find "$(clang --print-resource-dir)" -name 'libclang_rt.fuzzer-*.a' | head -n 1)" ] || skip "clang has no libFuzzer here (libclang-rt-dev)"

seconds=${SIMG_FUZZ_SECONDS:-5}
kept=${SIMG_TESTS_CACHE:-/var/cache/simg-tests}/fuzz
mkdir -p "$kept"
objects=$file_dir/objects
mkdir "$objects"

packages=(libarchive libcrypto libcurl libsquashfs1 libzstd jansson zlib)
! pkg-config --exists libisal || packages+=(libisal)
read -ra cflags < <(pkg-config --cflags "${packages[@]}")
read -ra libs < <(pkg-config --libs "${packages[@]}")
flags=(-g -O1 -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DSIMG_SANITIZED "-DSIMG_SYSCONFDIR=\"/etc\"" "-DSIMG_LIBEXECDIR=\"/nowhere\"" -I"$top" -I"$build"
	-fno-sanitize-recover=all "${cflags[@]}")

compile_all() {
	local source running=0
	while read -r source; do
		clang "${flags[@]}" -fsanitize=fuzzer-no-link,address,undefined -c -o "$objects/${source//\//_}.o" "$top/$source" &
		running=$((running + 1))
		[ $((running % $(nproc))) != 0 ] || wait || return 1
	done < <(cd "$top" && find builder lib -name '*.c')
	wait
}

# Layers come from the same sets that are compared with umoci.
seeds() {
	mkdir -p "seeds"
	if [ "$1" = layer ]; then
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
	elif [ -e "$top/tests/fuzz/$1.seeds" ]; then
		split -l 1 --additional-suffix=.seed "$top/tests/fuzz/$1.seeds" seeds/line-
	fi
}

compile_all >"$file_dir/log" 2>&1 || { cat "$file_dir/log"; exit 1; }

for source in "$top"/tests/fuzz/*.c; do
	name=$(basename "$source" .c)
	(
		t "fuzzing for $seconds s finds nothing: $name"
		clang "${flags[@]}" -fsanitize=fuzzer,address,undefined -o fuzz "$source" "$objects"/*.o "${libs[@]}" -lpthread -ldl
		mkdir -p "$kept/$name"
		seeds "$name"
		run timeout $((seconds + 100)) ./fuzz -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -timeout=10 -verbosity=0 -print_final_stats=1 \
			-artifact_prefix="$kept/$name-" "$kept/$name" seeds
		grep -h 'stat::number_of_executed_units\|SUMMARY\|ERROR' "$stdout" "$stderr" || :
		[ "$status" = 0 ] || { tail -n 40 "$stderr"; exit 1; }
	)
done

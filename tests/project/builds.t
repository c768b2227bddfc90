#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guard: 900 s
#
# Builds of what would be released, elsewhere and in other ways: from a distribution, with another compiler and no warning,
# with sanitizers, without Slurm.
. "$(dirname "$0")/../lib.sh"
need make autoconf automake libtoolize

jobs=-j$(nproc)
sources=$file_dir/sources
make -s -C "$build" distdir distdir="$sources" >"$file_dir/log" 2>&1 || { cat "$file_dir/log"; exit 1; }

# Configures in the current directory, with the given options, and builds the programs and the tests.
build_here() {
	"$sources/configure" "$@" >configure.log 2>&1 || { tail -n 30 configure.log; return 1; }
	make -s "$jobs" all
	make -s "$jobs" check-programs
}

# Prints of a runner's output only what failed.
failures() { grep -A 4 '^  FAIL' "$1" || tail -n 40 "$1"; }

(
	t "clang builds it without a warning, and unit and builder tests pass under the address and undefined behaviour sanitizers"
	need clang
	rest=$(find "$(clang --print-resource-dir)" -name 'libclang_rt.asan*.a' | head -n 1)
	[ -n "$rest" ] || skip "clang has no address sanitizer here (libclang-rt-dev)"
	build_here CC=clang --enable-werror --enable-sanitizers
	# Without what is about other programs and times, and the slowest.
	mapfile -t files < <(cd "$sources" && find tests/unit tests/build -name '*.t' ! -name 'docker-registry.t' ! -name 'registry-ways.t' \
		! -name kill.t ! -name memory.t ! -name images.t ! -name cache.t ! -name registry-auth.t ! -name fidelity.t ! -name hot.t | sort)
	SIMG_SETS=0 SIMG_BUILD_DIR=$PWD "$sources/tests/run" tests/unit "${files[@]}" >log 2>&1 || { failures log; exit 1; }
	grep -E '^[1-9][0-9]* passed, 0 failed' log
)

(
	t "without Slurm it builds as the builder alone"
	build_here --enable-werror --without-slurm
	[ -x runtime/simg ]
	[ ! -e runtime/simg-helper ] && [ ! -e spank/simg.la ]
	run runtime/simg --help
	expect_status 0
)

(
	t "the distribution is complete: it unpacks, builds without a warning, tests, installs and cleans"
	cp -a "$sources" tree
	cd tree
	./configure >configure.log 2>&1 || { tail -n 30 configure.log; exit 1; }
	make "$jobs" distcheck CHECK=tests/unit DISTCHECK_CONFIGURE_FLAGS=--enable-werror >log 2>&1 || { failures log; exit 1; }
	grep -E '^[1-9][0-9]* passed, 0 failed' log
	grep "ready for distribution" log
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds that are killed at random moments. No target is ever there in part, and the cache serves the next build. SIMG_SEED repeats a
# run, as far as time can be repeated; SIMG_KILLS says how many there are.
. "$(dirname "$0")/../lib.sh"
need python3

seed=${SIMG_SEED:-$RANDOM}
kills=${SIMG_KILLS:-50}
RANDOM=$seed

# Files that are compared, compressed, shared between fragments and removed again; a few megabytes.
mkdir "$file_dir/layouts"
{
	for layer in 1 2 3 4; do
		echo "layer $([ $((layer % 2)) = 0 ] && echo zstd || echo gzip)"
		echo "random big-$layer 1200000"
		for i in $(seq 30); do echo "random dir-$layer/small-$i $((i * 700))"; done
	done
	echo "whiteout dir-1/small-3"
} | "$top/tests/layout.py" image "$file_dir/layouts/app" 1 >/dev/null

serve() {
	mkdir server
	"$top/tests/registry_server.py" "$file_dir/layouts" server 'layer drip 400000' 3>&- &
	cleanup kill $!
	eventually test -e server/ports
	source=docker://127.0.0.1:$(sed -n 's/^registry_port=//p' server/ports)/app:1
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# How a cache may be left by others: never used, without images, without images and indexes, or as it is.
cache_some() {
	case $((RANDOM % 4)) in
	0) rm -rf "$SIMG_CACHE_DIR" ;;
	1) rm -rf "$SIMG_CACHE_DIR"/images/* ;;
	2) rm -rf "$SIMG_CACHE_DIR"/images/* "$SIMG_CACHE_DIR"/derived/* ;;
	esac
}

# killed SIGNAL SOURCE AFTER-MS
killed() {
	local pid code=0
	simg build -q x.simg "$2" &
	pid=$!
	sleep "$(printf '%d.%03d' $(($3 / 1000)) $(($3 % 1000)))"
	kill -s "$1" $pid 2>/dev/null || :
	wait $pid 2>/dev/null || code=$?
	echo "SIG$1 after $3 ms: status $code, $(ls -A)"
	# The name is there only if the image is complete.
	[ ! -e x.simg ] || cmp x.simg "$file_dir/undisturbed.simg"
	[ $code = 0 ] || [ ! -e x.simg ] || [ "$1" != KILL ] || echo "(killed behind the rename)"
}

next_build_is_right() {
	rm -f x.simg
	run simg build -q x.simg "$1"
	expect_status 0
	expect_stderr ""
	cmp x.simg "$file_dir/undisturbed.simg"
	run simg cache verify
	expect_status 0
	expect_stdout_has ": 0 damaged"
	expect_equal "$(find "$SIMG_CACHE_DIR/partial" -type f)" ""
	rm -f x.simg
}

# A killed process cannot remove a hidden file: it has none where the file system knows files without a name.
left_most=1
! (cd "$file_dir" && python3 -c 'import os; os.open(".", os.O_TMPFILE | os.O_RDWR)' 2>/dev/null) || left_most=0

for kind in registry layout; do
	(
		t "$((kills / 2)) builds from a $kind that are killed with SIGKILL, seed $seed"
		export SIMG_CACHE_DIR=$PWD/cache HOME=$PWD
		# So slow that fetching takes about as long as the rest.
		if [ $kind = registry ]; then serve; else source=oci:$file_dir/layouts/app:1; fi
		began=$(now_ms)
		simg build -q "$file_dir/undisturbed.simg" "$source"
		whole=$(($(now_ms) - began))
		for ((i = 0; i < kills / 2; i++)); do
			cache_some
			killed KILL "$source" $((RANDOM % (whole + whole / 10 + 1)))
			[ "$(find . -maxdepth 1 -name '.x.simg.*' | wc -l)" -le $left_most ] || fail "$(ls -A)"
			rm -f .x.simg.??????
			expect_equal "$(find . -maxdepth 1 -name '*simg*' ! -name x.simg)" ""
			next_build_is_right "$source"
		done
		rm "$file_dir/undisturbed.simg"
	)
done

for signal in TERM INT; do
	(
		t "builds that end by SIG$signal leave nothing beside the target, and the cache of use, seed $seed"
		export SIMG_CACHE_DIR=$PWD/cache HOME=$PWD
		serve
		# A background job of a shell ignores SIGINT, and would hand that on: the builds are python's.
		cat >ended.py <<'PYTHON'
import os, random, signal, subprocess, sys, time
name, source, seed, tries = sys.argv[1:]
number, chance = getattr(signal, "SIG" + name), random.Random(int(seed))
def build(target):
    return subprocess.Popen(["simg", "build", "-q", target, source], preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
began = time.monotonic()
assert build("whole.simg").wait() == 0
whole = time.monotonic() - began
ended = 0
for _ in range(int(tries)):
    subprocess.run(["rm", "-rf", "cache", "x.simg"], check=True)
    process = build("x.simg")
    time.sleep(chance.uniform(0.01, whole))
    process.send_signal(number)
    status = process.wait()
    ended += status == -number
    left = [file for file in os.listdir(".") if "simg" in file and file != "whole.simg"]
    assert (status, left) in ((-number, []), (-number, ["x.simg"]), (0, ["x.simg"])), (status, left)
    os.path.exists("x.simg") and os.unlink("x.simg")
    assert build("x.simg").wait() == 0
    subprocess.run(["cmp", "x.simg", "whole.simg"], check=True)
    subprocess.run(["simg", "cache", "verify", "-q"], check=True)
print(f"{ended} of {tries} were ended")
assert ended > 0
PYTHON
		run python3 ended.py $signal "$source" "$seed" 8
		expect_status 0
	)
done

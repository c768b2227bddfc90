#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/run itself: a test that fails, hangs, ends early or leaves something behind must not pass for a good one.
. "$(dirname "$0")/../lib.sh"

# Makes test file $1 from the lines on standard input.
test_file() {
	{ printf '#!/bin/bash\n# guard: %s s\n. "%s/tests/lib.sh"\n' "${2-20}" "$top"; cat; } >"$1"
	chmod 0755 "$1"
}

(
	t "a case that fails is shown with what it printed, and the run fails"
	test_file a.t <<-'EOF'
		(t "good"; true)
		(t "bad"; echo some detail; false)
		(t "not possible"; need nonesuch)
	EOF
	run "$top/tests/run" a.t
	expect_status 1
	expect_stdout_has "ok  good" "FAIL  bad" "| some detail" "skip  not possible (nonesuch is not installed)" "2 passed, 1 failed, 1 skipped"
)

(
	t "a run that passes says so in its last line"
	test_file a.t <<<'(t "good"; true)'
	run "$top/tests/run" a.t
	expect_status 0
	expect_equal "$(tail -n 1 "$stdout")" "2 passed, 0 failed, 0 skipped"
)

(
	t "a command that fails ends its case, not its file"
	test_file a.t <<-'EOF'
		(t "first"; cd /nonesuch; true)
		(t "second"; true)
	EOF
	run "$top/tests/run" a.t
	expect_status 1
	expect_stdout_has "FAIL  first" "ok  second"
)

(
	t "a file that ends early fails"
	test_file a.t <<-'EOF'
		(t "first"; true)
		false
		(t "never run"; true)
	EOF
	run "$top/tests/run" a.t
	expect_status 1
	expect_stdout_has "FAIL  runs to its end (status 1)"
)

(
	t "a file that hangs is ended, and its case fails"
	test_file a.t 2 <<<'(t "endless"; sleep 1000)'
	run "$top/tests/run" a.t
	expect_status 1
	expect_stdout_has "FAIL  endless" "FAIL  ends within 2 seconds"
)

(
	t "a process that a test leaves behind is named and ended"
	test_file a.t <<<'(t "careless"; setsid sleep 7117 & true)'
	run "$top/tests/run" a.t
	expect_status 1
	expect_stdout_matches 'process [0-9]+: sleep 7117'
	eventually sh -c '! pgrep -f "^sleep 7117"'
)

(
	t "a mount that a test leaves behind is named"
	need_root
	mnt=$(mktemp -d /tmp/mount.XXXXXX) # not in this run's directory, which is another's to the run below
	cleanup rmdir "$mnt"
	cleanup umount "$mnt"
	test_file a.t <<<"(t careless; mount -t tmpfs none '$mnt')"
	run "$top/tests/run" a.t
	expect_status 1
	expect_stdout_has "FAIL  leaves no mount, loop device or process behind" "mount $mnt"
)

(
	t "a run without any test fails"
	mkdir empty
	run "$top/tests/run" empty
	expect_status 1
	expect_stdout_has "0 passed, 0 failed, 0 skipped"
)

(
	t "an interrupted run leaves nothing behind"
	test_file a.t <<<'(t "endless"; sleep 7227)'
	TMPDIR=$PWD setsid "$top/tests/run" a.t >log 2>&1 &
	eventually sh -c 'pgrep -f "^sleep 7227"'
	kill -TERM $!
	code=0
	wait $! || code=$?
	expect_equal "$code" 143
	expect_equal "$(ls)" "$(printf 'a.t\nlog')"
	! pgrep -f "^sleep 7227"
)

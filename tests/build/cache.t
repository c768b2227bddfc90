#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg cache: what it lists, what it finds damaged, what it removes and what it keeps; and where the cache is.
. "$(dirname "$0")/../lib.sh"
need jq sha256sum flock

sysconfdir=$(sed -n 's/^sysconfdir = //p' "$build/Makefile")
sysconfdir=${sysconfdir/'${prefix}'/$(sed -n 's/^prefix = //p' "$build/Makefile")}

# blob TEXT [AGE]: puts a blob of that text into the cache, not used since then; prints its digest in hex.
blob() {
	local hex
	hex=$(printf %s "$1" | sha256sum | cut -d ' ' -f 1)
	printf %s "$1" >"$SIMG_CACHE_DIR/blobs/sha256/$hex"
	touch -d "${2:-now}" "$SIMG_CACHE_DIR/blobs/sha256/$hex"
	echo "$hex"
}

# file NAME BYTES AGE: any file of the cache.
file() {
	head -c "$2" /dev/zero >"$SIMG_CACHE_DIR/$1"
	touch -d "$3" "$SIMG_CACHE_DIR/$1"
}

new_cache() {
	export SIMG_CACHE_DIR=$PWD/cache
	simg cache list >/dev/null
}

zeros=0000000000000000000000000000000000000000000000000000000000000000

# --- list ---

(
	t "the list of a new cache is empty, and says where it is"
	export SIMG_CACHE_DIR=$PWD/a/b/cache
	run simg cache list
	expect_status 0
	expect_stdout "0 files, 0 B in '$PWD/a/b/cache'"
	expect_equal "$(stat -c %a a a/b a/b/cache)" "$(printf '700\n700\n700')"
	grep -q '^Signature: 8a477f597d28d172789f06886806bc55$' a/b/cache/CACHEDIR.TAG
)

(
	t "the list shows every file, the least recently used first, and the sum"
	new_cache
	hex=$(blob hello "2024-05-06 07:08")
	file derived/index-1 2048 "2024-05-06 07:09"
	file images/image-1 3145728 "2024-05-06 07:10"
	file "partial/sha256-$zeros.1234" 10 "2024-05-06 07:11"
	file blobs/sha256/.tmp-0123 20 "2024-05-06 07:12"
	run simg cache list
	expect_status 0
	expect_stdout "KIND             SIZE  LAST USED         NAME
blob              5 B  2024-05-06 07:08  sha256:$hex
derived       2.0 KiB  2024-05-06 07:09  index-1
image         3.0 MiB  2024-05-06 07:10  image-1
partial          10 B  2024-05-06 07:11  sha256:$zeros
temporary        20 B  2024-05-06 07:12  .tmp-0123
5 files, 3.0 MiB in '$PWD/cache'"
)

(
	t "the list is JSON on request"
	new_cache
	hex=$(blob hello @1700000000)
	run simg cache list --json
	expect_status 0
	expect_equal "$(jq -c '.directory, .bytes, .files[]' "$stdout")" "\"$PWD/cache\"
5
{\"kind\":\"blob\",\"name\":\"sha256:$hex\",\"bytes\":5,\"used\":1700000000}"
)

(
	t "dates that no calendar has are listed, and pruned by"
	new_cache
	directory=$(mktemp -d /dev/shm/simg-tests.XXXXXX) # tmpfs keeps any date
	cleanup rm -rf "$directory"
	export SIMG_CACHE_DIR=$directory
	simg cache list >/dev/null
	file derived/ancient 1 @-9223372036854775000
	file derived/future 1 @9223372036854775000
	[ "$(stat -c %Y "$directory/derived/ancient")" = -9223372036854775000 ] || skip "/dev/shm keeps no such dates"
	run simg cache list
	expect_status 0
	expect_stdout_matches "^derived +1 B  no date           ancient\$"
	expect_stdout_matches "^derived +1 B  no date           future\$"
	run simg cache prune
	expect_status 0
	expect_equal "$(ls "$directory/derived")" future
)

# --- verify ---

(
	t "a sound cache is verified"
	new_cache
	blob one && blob two
	run simg cache verify
	expect_status 0
	expect_stdout "2 blobs verified, 6 B: 0 damaged"
	expect_stderr ""
)

(
	t "a damaged blob is reported and removed, with what was derived from it"
	new_cache
	good=$(blob one) bad=$(blob two)
	echo damage >"cache/blobs/sha256/$bad"
	file "derived/index-$bad" 1 now
	file "derived/index-$good" 1 now
	run simg cache verify
	expect_status 1
	expect_stdout "damaged, removed: sha256:$bad
2 blobs verified, 10 B: 1 damaged"
	expect_equal "$(cd cache && ls blobs/sha256/* derived/*)" "blobs/sha256/$good
derived/index-$good"
	run simg cache verify --quiet
	expect_status 0
	expect_stdout ""
)

(
	t "a quiet verification still says what is damaged"
	new_cache
	bad=$(blob two)
	: >"cache/blobs/sha256/$bad"
	run simg cache verify -q
	expect_status 1
	expect_stdout "damaged, removed: sha256:$bad"
)

(
	t "a blob that is all but a hole is reported as damaged without being read"
	new_cache
	blob one
	truncate -s 8T "cache/blobs/sha256/$zeros"
	run timeout 20 simg cache verify
	expect_status 1
	expect_stdout "damaged, removed: sha256:$zeros
2 blobs verified, 3 B: 1 damaged"
)

(
	t "verification does not count as use"
	new_cache
	hex=$(blob one "100 days ago")
	simg cache verify
	run simg cache prune --dry-run
	expect_stdout_has "sha256:$hex" "would remove: 1 file"
)

(
	t "verification has a progress line on a terminal, and none elsewhere"
	need script
	new_cache
	blob one
	TERM=xterm run script -qec "simg cache verify" /dev/null
	expect_stdout_has "verifying the cache: 3 B of 3 B" "1 blob verified, 3 B: 0 damaged"
)

# --- prune ---

(
	t "prune removes what was not used for 30 days, and unfinished files after one"
	new_cache
	old=$(blob old "31 days ago") young=$(blob young "29 days ago")
	file derived/old 5 "40 days ago"
	file "partial/sha256-$zeros" 10 "25 hours ago"
	file "partial/sha256-${zeros/0/1}" 10 "23 hours ago"
	file blobs/sha256/.tmp-old 1 "2 days ago"
	file images/.tmp-new 1 "2 hours ago"
	file "locks/sha256-$zeros" 0 "2 days ago"
	file "locks/sha256-${zeros/0/1}" 0 "2 hours ago"
	run simg cache prune
	expect_status 0
	expect_stdout_matches "^blob +3 B  ....-..-.. ..:..  sha256:$old\$"
	expect_stdout_matches "^derived +5 B .* old\$"
	expect_stdout_matches "^partial +10 B .* sha256:$zeros\$"
	expect_stdout_matches "^temporary +1 B .* .tmp-old\$"
	expect_stdout_matches '^removed: 4 files, 19 B; 16 B left$'
	expect_equal "$(cd cache && find . -type f ! -name CACHEDIR.TAG | sort)" "./blobs/sha256/$young
./images/.tmp-new
./locks/sha256-${zeros/0/1}
./partial/sha256-${zeros/0/1}"
)

(
	t "a dry run says the same, and removes nothing"
	new_cache
	hex=$(blob old "31 days ago")
	file "partial/sha256-$zeros" 10 "2 days ago"
	run simg cache prune -n
	expect_status 0
	expect_stdout_has "sha256:$hex" "sha256:$zeros" "would remove: 2 files, 13 B; 0 B left"
	[ -e "cache/blobs/sha256/$hex" ] && [ -e "cache/partial/sha256-$zeros" ]
)

(
	t "prune takes another number of days"
	new_cache
	older=$(blob older "8 days ago") newer=$(blob newer "6 days ago")
	run simg cache prune --older-than 7
	expect_stdout_has "sha256:$older" "removed: 1 file, 5 B; 5 B left"
	run simg cache prune --older-than 0
	expect_stdout_has "sha256:$newer" "removed: 1 file, 5 B; 0 B left"
)

(
	t "prune removes the least recently used until the rest is small enough, whatever its age"
	new_cache
	file images/a 4096 "90 days ago"
	file images/b 4096 "3 hours ago"
	file derived/c 4096 "80 days ago"
	file derived/d 4096 "1 hour ago"
	run simg cache prune --max-size 8K
	expect_status 0
	expect_stdout_has "removed: 2 files, 8.0 KiB; 8.0 KiB left"
	expect_equal "$(ls cache/images cache/derived)" "$(printf 'cache/derived:\nd\n\ncache/images:\nb')"
	run simg cache prune --max-size 8K
	expect_stdout "removed: 0 files, 0 B; 8.0 KiB left"
)

(
	t "prune --all empties the cache, locks included"
	new_cache
	blob one
	file "partial/sha256-$zeros" 10 now
	file "locks/sha256-$zeros" 0 now
	file derived/d 1 now
	run simg cache prune --all
	expect_stdout_has "removed: 3 files, 14 B; 0 B left"
	expect_equal "$(find cache -type f)" cache/CACHEDIR.TAG
)

(
	t "prune keeps what a builder has open"
	new_cache
	hex=$(blob one "90 days ago")
	exec 7<"cache/blobs/sha256/$hex"
	flock -s 7
	run simg cache prune --all
	expect_status 0
	expect_stdout "removed: 0 files, 0 B; 3 B left"
	expect_stderr "simg: note: kept what is in use: 1 file, 3 B"
	exec 7<&-
	run simg cache prune --all --quiet
	expect_stdout ""
	expect_stderr ""
	[ ! -e "cache/blobs/sha256/$hex" ]
)

(
	t "prune keeps a download under way"
	new_cache
	file "partial/sha256-$zeros" 10 "90 days ago"
	exec 7>"cache/locks/sha256-$zeros"
	flock 7
	run simg cache prune --all
	expect_stdout "removed: 0 files, 0 B; 10 B left"
	expect_stderr "simg: note: kept what is in use: 1 file, 10 B"
	[ -e "cache/partial/sha256-$zeros" ] && [ -e "cache/locks/sha256-$zeros" ]
)

(
	t "prune leaves alone what is none of the cache's"
	new_cache
	touch -d "2 years ago" cache/notes cache/blobs/sha256/README cache/partial/.nfs0001
	run simg cache prune --all
	expect_stdout "removed: 0 files, 0 B; 0 B left"
	[ -e cache/notes ] && [ -e cache/blobs/sha256/README ] && [ -e cache/partial/.nfs0001 ]
)

(
	t "prune makes room on a full disk"
	need_root
	need unshare
	mkdir cache
	run unshare -m --propagation private bash -ec '
		mount -t tmpfs -o size=128k,mode=0700 none cache
		export SIMG_CACHE_DIR=$PWD/cache
		simg cache list
		touch -d "2 days ago" cache/partial/sha256-'"$zeros"'
		! cat /dev/zero >cache/partial/sha256-'"$zeros"'
		touch -d "2 days ago" cache/partial/sha256-'"$zeros"'
		simg cache prune
		df --output=used cache | tail -n 1'
	expect_status 0
	expect_stdout_matches '^removed: 1 file, 1[0-9][0-9]\.0 KiB; 0 B left$'
)

(
	t "a full disk is named when the cache cannot be made"
	need_root
	need unshare
	mkdir cache
	run unshare -m --propagation private bash -ec "mount -t tmpfs -o nr_inodes=2,mode=0700 none cache
		SIMG_CACHE_DIR=$PWD/cache exec simg cache list"
	expect_status 1
	expect_stderr "simg: error: cannot write to the cache '$PWD/cache': No space left on device
simg: hint: 'simg cache prune' makes room in it; SIMG_CACHE_DIR=DIRECTORY names another one"
)

# --- all users ---

shared_cache() {
	need_user
	mkdir shared
	chmod 1777 shared
	export SIMG_CACHE_DIR=$PWD/shared
	simg cache list >/dev/null
}

(
	t "in a cache for all users, a user sees all, and removes what is the user's own"
	shared_cache
	hex=$(blob roots "90 days ago")
	printf own | as_user tee "shared/blobs/sha256/$(printf own | sha256sum | cut -d ' ' -f 1)" >/dev/null
	touch -d "80 days ago" shared/blobs/sha256/*
	user_runs SIMG_CACHE_DIR="$PWD/shared" simg cache list
	expect_stdout_has "2 files, 8 B in '$PWD/shared'"
	user_runs SIMG_CACHE_DIR="$PWD/shared" simg cache prune
	expect_status 0
	expect_stdout_has "removed: 1 file, 3 B; 5 B left"
	expect_stderr "simg: note: kept what only other users or root can remove: 1 file, 5 B"
	[ -e "shared/blobs/sha256/$hex" ]
)

(
	t "in a cache for all users, a user finds another's damaged blob, and root removes it"
	shared_cache
	hex=$(blob roots)
	echo damage >"shared/blobs/sha256/$hex"
	user_runs SIMG_CACHE_DIR="$PWD/shared" simg cache verify
	expect_status 1
	expect_stdout_has "damaged, but of another user, and still there: sha256:$hex"
	run simg cache verify
	expect_status 1
	expect_stdout_has "damaged, removed: sha256:$hex"
)

(
	t "in a cache for all users, root prunes the derived files of all of them"
	shared_cache
	user_runs SIMG_CACHE_DIR="$PWD/shared" simg cache list
	as_user touch -d "90 days ago" "shared/user-$(id -u "$user")/derived/key"
	run simg cache prune
	expect_stdout_has "key" "removed: 1 file, 0 B"
)

(
	t "a blob that may not be read is noted, and not called damaged"
	shared_cache
	hex=$(blob roots)
	chmod 600 "shared/blobs/sha256/$hex"
	user_runs SIMG_CACHE_DIR="$PWD/shared" simg cache verify
	expect_status 0
	expect_stdout "0 blobs verified, 0 B: 0 damaged"
	expect_stderr "simg: note: cannot read the blob 'sha256:$hex': Permission denied"
)

# --- the place ---

# with_conf TEXT COMMAND…: runs it where SYSCONFDIR/simg.conf has this text.
with_conf() {
	need_root
	need unshare
	[ -d "$sysconfdir" ] || skip "there is no $sysconfdir"
	printf '%s\n' "$1" >simg.conf
	shift
	run unshare -m --propagation private bash -ec '
		mount -t tmpfs -o mode=0755 none "$0"
		cat simg.conf >"$0/simg.conf"
		exec "$@"' "$sysconfdir" "$@"
}

(
	t "cache_dir of simg.conf names the place"
	mkdir site
	with_conf "cache_dir = $PWD/site" env -u SIMG_CACHE_DIR simg cache list
	expect_status 0
	expect_stdout "0 files, 0 B in '$PWD/site'"
)

(
	t "a cache_dir that does not exist is not made for one user"
	with_conf "cache_dir = $PWD/site" env -u SIMG_CACHE_DIR simg cache list
	expect_status 1
	expect_stderr "simg: error: the cache directory '$PWD/site' of simg.conf does not exist
simg: hint: root makes it for all users: mkdir -m 1777 '$PWD/site'; SIMG_CACHE_DIR=DIRECTORY names another one"
)

(
	t "an error in simg.conf is an error, unless SIMG_CACHE_DIR makes it needless"
	with_conf "nonsense = 1" env -u SIMG_CACHE_DIR simg cache list
	expect_status 1
	expect_stderr_has "/simg.conf:1: unknown key 'nonsense'"
	with_conf "nonsense = 1" env SIMG_CACHE_DIR="$PWD/own" simg cache list
	expect_status 0
)

(
	t "without a home, SIMG_CACHE_DIR is asked for"
	[ ! -e "$sysconfdir/simg.conf" ] || skip "there is a $sysconfdir/simg.conf"
	run env -u SIMG_CACHE_DIR -u XDG_CACHE_HOME -u HOME simg cache list
	expect_status 1
	expect_stderr "simg: error: there is no place for the cache: HOME is not set
simg: hint: SIMG_CACHE_DIR=DIRECTORY names another place for the cache"
)

(
	t "a home that cannot be written is named"
	need_user
	[ ! -e "$sysconfdir/simg.conf" ] || skip "there is a $sysconfdir/simg.conf"
	user_runs HOME=/proc simg cache list
	expect_status 1
	expect_stderr "simg: error: cannot open the cache directory '/proc/.cache/simg': No such file or directory
simg: hint: SIMG_CACHE_DIR=DIRECTORY names another place for the cache"
	mkdir home
	chmod 555 home
	chown root home
	user_runs HOME="$PWD/home" simg cache list
	expect_status 1
	expect_stderr_has "simg: error: cannot open the cache directory '$PWD/home/.cache/simg': Permission denied"
)

# --- the command line ---

refuses() {
	local message=$1
	shift
	t "simg cache $* is refused"
	run simg cache "$@"
	expect_status 2
	expect_stderr "simg: error: $message
simg: hint: simg cache --help lists the options"
}

(refuses "simg cache is not told what to do: list, verify or prune")
(refuses "simg cache does list, verify and prune, but not 'clean'" clean)
(refuses "simg cache does list, verify and prune, but not '--json'" --json)
(refuses "simg cache list has no option '--all'" list --all)
(refuses "simg cache verify takes no argument, and there is one: 'x'" verify x)
(refuses "the option '--max-size' needs a value" prune --max-size)
(refuses "--max-size takes a size like 500M or 50G, not 'much'" prune --max-size much)
(refuses "--older-than takes a number of days from 0 to 36500, not '-1'" prune --older-than=-1)
(refuses "--older-than takes a number of days from 0 to 36500, not '36501'" prune --older-than 36501)
(refuses "--all leaves nothing for --max-size to choose" prune --all --max-size 1G)
(refuses "--all leaves nothing for --older-than to choose" prune --older-than 3 --all)

(
	t "the help fits on a screen"
	run simg cache --help
	expect_status 0
	expect_stdout_has "usage: simg cache list" "simg-cache(1)"
	[ "$(wc -l <"$stdout")" -le 24 ] && [ "$(wc -L <"$stdout")" -le 80 ]
	run simg cache prune -h
	expect_status 0
	expect_stdout_has "usage: simg cache list"
)

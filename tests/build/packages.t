#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg inspect --packages: the databases of dpkg, apk and rpm, in directories and in images, and those that are damaged, made to do
# harm, or of a kind that is not read.
. "$(dirname "$0")/../lib.sh"
need jq python3

mkdir "$file_dir/rpm"
"$top/tests/rpmdb.py" "$file_dir/rpm/sound" bash::5.2:3.fc40:x86_64 perl:4:5.38:506:x86_64 kernel::6.8:1:x86_64 kernel::6.9:1:x86_64 \
	gpg-pubkey::a15b79cc:63d04c2c:
grep -qs '^#define HAVE_SQLITE 1' "$build/config.h" && sqlite=1 || sqlite=''

# Makes the directory "dir" with one file.
tree() { mkdir -p "dir/${1%/*}"; cat >"dir/$1"; }
need_sqlite() { [ -n "$sqlite" ] || skip "built without libsqlite3"; }

# The database $1 is refused, and the reason is $2.
expect_damaged() {
	tree usr/lib/sysimage/rpm/rpmdb.sqlite <"$1"
	run simg inspect --packages dir
	expect_status 1
	expect_stdout ""
	expect_stderr_has "simg: error: '/usr/lib/sysimage/rpm/rpmdb.sqlite' is damaged: $2"
}

(
	t "the packages of a Debian tree are those that dpkg names, from an image and from a directory"
	need_root
	need dpkg-query
	mkdir tree
	tar -C tree -xf "$("$top/tests/images" tar minbase)"
	simg build -q debian.simg tree
	dpkg-query --admindir=tree/var/lib/dpkg -W -f '${Package} ${Version} ${Architecture}\n' | sort >expected
	[ "$(wc -l <expected)" -gt 50 ]
	for from in debian.simg tree; do
		run simg inspect --packages --json "$from"
		expect_status 0
		expect_stderr ""
		jq -r '.[] | select(.manager == "dpkg") | "\(.name) \(.version) \(.architecture)"' "$stdout" | sort | cmp - expected
	done
	run simg inspect --packages debian.simg
	expect_status 0
	expect_stdout_matches '^NAME +VERSION +ARCHITECTURE +MANAGER$'
	expect_stdout_matches '^base-files +[0-9]\S+ +[a-z0-9]+ +dpkg$'
	expect_stdout_has "$(wc -l <expected) packages"
)

(
	t "an image without dpkg, with a file for each package"
	printf 'Package: tzdata\nVersion: 2024a\nArchitecture: all\n' | tree var/lib/dpkg/status.d/tzdata
	printf 'Package: base-files\nVersion: 12.4\nArchitecture: amd64\n' | tree var/lib/dpkg/status.d/base
	printf '0123 usr/share/x\nPackage: no\n' | tree var/lib/dpkg/status.d/base.md5sums
	simg build -q app.simg dir
	for from in app.simg dir; do
		run simg inspect --packages "$from"
		expect_status 0
		expect_stdout "$(printf '%s\n' "NAME        VERSION  ARCHITECTURE  MANAGER" "base-files  12.4     amd64         dpkg" \
			"tzdata      2024a    all           dpkg" "2 packages")"
	done
)

(
	t "apk's database, where it was and where it went"
	for path in lib/apk/db/installed usr/lib/apk/db/installed; do
		rm -rf dir app.simg
		printf 'C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\np:so:libc.musl\n\nP:busybox\nV:1.36.1-r5\nA:x86_64\n' | tree "$path"
		simg build -q app.simg dir
		for from in app.simg dir; do
			run simg inspect --packages --json "$from"
			expect_status 0
			expect_equal "$(jq -c . "$stdout")" '[{"manager":"apk","name":"busybox","version":"1.36.1-r5","architecture":"x86_64"},{"manager":"apk","name":"musl","version":"1.2.4-r2","architecture":"x86_64"}]'
		done
	done
)

(
	t "rpm's database in SQLite, in both places"
	need_sqlite
	for path in usr/lib/sysimage/rpm/rpmdb.sqlite var/lib/rpm/rpmdb.sqlite; do
		rm -rf dir app.simg
		tree "$path" <"$file_dir/rpm/sound"
		: | tree "$path-wal"
		simg build -q app.simg dir
		for from in app.simg dir; do
			run simg inspect --packages "$from"
			expect_status 0
			expect_stderr ""
			expect_stdout "$(printf '%s\n' "NAME        VERSION            ARCHITECTURE  MANAGER" \
				"bash        5.2-3.fc40         x86_64        rpm" \
				"gpg-pubkey  a15b79cc-63d04c2c                rpm" \
				"kernel      6.8-1              x86_64        rpm" \
				"kernel      6.9-1              x86_64        rpm" \
				"perl        4:5.38-506         x86_64        rpm" "5 packages")"
		done
		cmp "dir/$path" "$file_dir/rpm/sound"
	done
)

(
	t "a large database of rpm's"
	need_sqlite
	"$top/tests/rpmdb.py" db --copies 20000 a::1:1:noarch b:1:2:3:noarch
	tree var/lib/rpm/rpmdb.sqlite <db
	run simg inspect --packages --json dir
	expect_status 0
	expect_equal "$(jq length "$stdout")" 40000
)

(
	t "without libsqlite3 its database is named"
	[ -z "$sqlite" ] || skip "built with libsqlite3"
	tree var/lib/rpm/rpmdb.sqlite <"$file_dir/rpm/sound"
	run simg inspect --packages dir
	expect_status 1
	expect_stderr "simg: error: the packages in '/var/lib/rpm/rpmdb.sqlite' are kept in SQLite, which this simg was built without"
)

(
	t "rpm's older formats, and changes that are not in the database yet"
	echo x | tree var/lib/rpm/Packages
	run simg inspect --packages dir
	expect_status 1
	expect_stderr "simg: error: the packages in '/var/lib/rpm/Packages' are kept in Berkeley DB, which simg does not read"
	rm dir/var/lib/rpm/Packages
	echo x | tree usr/lib/sysimage/rpm/Packages.db
	run simg inspect --packages dir
	expect_status 1
	expect_stderr "simg: error: the packages in '/usr/lib/sysimage/rpm/Packages.db' are kept in rpm's own format ndb, which simg does not read"
	tree var/lib/rpm/rpmdb.sqlite <"$file_dir/rpm/sound"
	echo x | tree var/lib/rpm/rpmdb.sqlite-wal
	run simg inspect --packages dir
	expect_status 1
	expect_stderr "simg: error: '/var/lib/rpm/rpmdb.sqlite' is not up to date: changes to it are in '/var/lib/rpm/rpmdb.sqlite-wal' still"
)

(
	t "what can be read is printed, with a note about what cannot"
	printf 'Package: a\nVersion: 1\n' | tree var/lib/dpkg/status
	echo x | tree var/lib/rpm/Packages
	run simg inspect --packages dir
	expect_status 0
	expect_stdout_has "1 package"
	expect_stderr "simg: note: the packages in '/var/lib/rpm/Packages' are kept in Berkeley DB, which simg does not read"
)

(
	t "a database of rpm's that is none, is cut, or has no table, or a view or something made up for one"
	need_sqlite
	echo "not a database, but long enough to have a header" >db
	expect_damaged db "file is not a database"
	head -c 4096 "$file_dir/rpm/sound" >db
	expect_damaged db ""
	for sql in 'DROP TABLE Packages' 'DROP TABLE Packages; CREATE VIEW Packages AS SELECT zeroblob(9) AS blob' \
		'DROP TABLE Packages; CREATE VIRTUAL TABLE Packages USING fts4(blob)'; do
		rm -f db
		"$top/tests/rpmdb.py" db --sql "$sql" a::1:1:noarch
		expect_damaged db "it has no table of packages"
	done
	rm -f db
	"$top/tests/rpmdb.py" db --sql 'DROP TABLE Packages; CREATE TABLE Packages (x)' a::1:1:noarch
	expect_damaged db "no such column: blob"
	rm -f db
	"$top/tests/rpmdb.py" db --sql "DROP TABLE Packages; CREATE TABLE Packages (x, blob AS (x || printf('%9d', 1))); INSERT INTO Packages VALUES (1)"
	expect_damaged db ""
	for blob in NULL "x''" "x'00'" "x'ffffffff00000000'" "zeroblob(1000)"; do
		rm -f db
		"$top/tests/rpmdb.py" db --sql "DROP TABLE Packages; CREATE TABLE Packages (blob); INSERT INTO Packages VALUES ($blob)"
		expect_damaged db ""
	done
)

(
	t "a database of rpm's in which pages are used twice or in a circle ends with an error"
	need_sqlite
	"$top/tests/rpmdb.py" db --copies 3000 a::1:1:noarch
	python3 - db circle <<-'PYTHON'
		import sqlite3, struct, sys
		page = sqlite3.connect(sys.argv[1]).execute("SELECT rootpage FROM sqlite_master WHERE name = 'Packages'").fetchone()[0]
		data = bytearray(open(sys.argv[1], "rb").read())
		size = struct.unpack(">H", data[16:18])[0]
		root = (page - 1) * size
		assert data[root] == 5
		cells = struct.unpack(">H", data[root + 3:root + 5])[0]
		for cell in range(cells):
		    at = root + struct.unpack(">H", data[root + 12 + 2 * cell:root + 14 + 2 * cell])[0]
		    data[at:at + 4] = struct.pack(">I", page)
		open(sys.argv[2], "wb").write(data)
	PYTHON
	expect_damaged circle ""
	python3 - db twice <<-'PYTHON'
		import sqlite3, struct, sys
		page = sqlite3.connect(sys.argv[1]).execute("SELECT rootpage FROM sqlite_master WHERE name = 'Packages'").fetchone()[0]
		data = bytearray(open(sys.argv[1], "rb").read())
		size = struct.unpack(">H", data[16:18])[0]
		root = (page - 1) * size
		cells = struct.unpack(">H", data[root + 3:root + 5])[0]
		at = [root + struct.unpack(">H", data[root + 12 + 2 * cell:root + 14 + 2 * cell])[0] for cell in range(cells)]
		for cell in at:
		    data[cell:cell + 4] = data[at[0]:at[0] + 4]
		open(sys.argv[2], "wb").write(data)
	PYTHON
	tree var/lib/rpm/rpmdb.sqlite <twice
	run simg inspect --packages dir
	[ "$status" -le 1 ]
)

(
	t "100 databases with changed bytes each end with a list or one error, never with a crash"
	need_sqlite
	size=$(stat -c %s "$file_dir/rpm/sound") RANDOM=1
	for i in $(seq 100); do
		cp "$file_dir/rpm/sound" db
		for k in 1 2 3; do
			printf %b "\\x$(printf %02x $((RANDOM % 256)))" | dd of=db bs=1 seek=$((RANDOM % size)) conv=notrunc status=none
		done
		tree var/lib/rpm/rpmdb.sqlite <db
		status=0
		timeout 20 simg inspect --packages --json dir >"$stdout" 2>"$stderr" || status=$?
		[ $status -le 1 ] || fail "status $status in round $i"
		[ $status = 0 ] || expect_equal "$(grep -c '^simg: error: ' "$stderr")" 1
	done
)

(
	t "databases that are too large, and words that are"
	mkdir -p dir/var/lib/dpkg
	truncate -s $((64 * 1024 * 1024 + 1)) dir/var/lib/dpkg/status
	run simg inspect --packages dir
	expect_status 1
	expect_stderr "simg: error: '/var/lib/dpkg/status' is too large for a list of packages"
	printf 'Package: %02000d\n' 1 >dir/var/lib/dpkg/status
	run simg inspect --packages dir
	expect_status 1
	expect_stderr "simg: error: '/var/lib/dpkg/status' is damaged: a package's name, version or architecture is too long"
	mkdir -p rpm/var/lib/rpm
	truncate -s $((512 * 1024 * 1024 + 1)) rpm/var/lib/rpm/rpmdb.sqlite
	run simg inspect --packages rpm
	expect_status 1
	expect_stderr "simg: error: '/var/lib/rpm/rpmdb.sqlite' is too large for a list of packages"
)

(
	t "control characters of a database never get out"
	printf 'Package: a\033[31m\nVersion: \233\n' | tree var/lib/dpkg/status
	run simg inspect --packages dir
	expect_status 0
	expect_stdout_matches '^a\?\[31m  \? '
)

(
	t "symlinks in a database's place are not followed out of a directory"
	mkdir -p dir/var/lib/dpkg
	printf 'Package: secret\n' >secret
	ln -s ../../../../secret dir/var/lib/dpkg/status
	run simg inspect --packages dir
	expect_status 1
	expect_stderr "simg: error: the image 'dir' has no packages, or none that simg knows of"
)

(
	t "the record's list comes first in an image, and last in a directory, which may have changed since"
	printf 'Package: here\nVersion: 1\n' | tree var/lib/dpkg/status
	echo '{"packages": [{"manager": "dpkg", "name": "recorded", "version": "2", "architecture": "all"}, {"manager": "x", "name": "y"}]}' |
		tree .simg/build.json
	need mksquashfs
	mksquashfs dir app.sqfs -quiet -no-progress >/dev/null
	run simg inspect --packages app.sqfs
	expect_status 0
	expect_stdout_has "recorded  2        all" "1 package"
	run simg inspect --packages dir
	expect_stdout_has "here  1 "
	expect_stdout_lacks recorded
	rm dir/var/lib/dpkg/status
	run simg inspect --packages dir
	expect_status 0
	expect_stdout_has recorded
)

(
	t "options: JSON in either order, and nothing else beside it"
	printf 'Package: a\nVersion: 1\n' | tree var/lib/dpkg/status
	for options in '--json --packages' '--packages --json' '--packages --json --packages --json'; do
		run simg inspect $options dir
		expect_status 0
		expect_equal "$(jq -c . "$stdout")" '[{"manager":"dpkg","name":"a","version":"1"}]'
	done
	for options in '--packages --labels' '--json --packages --labels'; do
		run simg inspect $options dir
		expect_status 2
		expect_stderr_has "simg: error: --packages and --labels exclude each other"
	done
	run simg inspect --json --labels dir
	expect_status 2
	expect_stderr_has "simg: error: --json and --labels exclude each other"
)

(
	t "a recipe is printed as it stands"
	printf 'Bootstrap: docker\nFrom: debian:12\n\n%%post\n\techo "\303\251" \\\n\n' | tree .singularity.d/Singularity
	simg build -q app.simg dir
	run simg inspect --recipe app.simg
	expect_status 0
	cmp "$stdout" dir/.singularity.d/Singularity
)

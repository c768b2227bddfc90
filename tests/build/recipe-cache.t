#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Steps in the cache: what is not run again, and what is.
# guard: 600 s
. "$(dirname "$0")/../lib.sh"
need unsquashfs jq
# shellcheck source=tests/build/sif.sh
. "$(dirname "$0")/sif.sh"
# shellcheck source=tests/build/recipes.sh
. "$(dirname "$0")/recipes.sh"
make_bases

standard() {
	echo text >file
	recipe <<-END
		Bootstrap: localimage
		From: $bases/base.simg
		Stage: one
		%files
		    file /one
		%post
		    : post-one {{ ARG }}
		    cp /one /made

		Bootstrap: localimage
		From: $bases/base.simg
		%arguments
		    ARG=x
		%files from one
		    /made /two
		%post
		    : post-two
		    cp /two /three
		%environment
		    export E=1
	END
	sed -i 's/^Stage: one/&\n%arguments\n    ARG=x/' app.def
}

# ran NAME…: these scripts, and no others, were run by the last build.
ran() {
	expect_equal "$(sed -n 's/^+%post:[0-9]*: : \(post-[a-z]*\).*/\1/p' "$stderr" | tr '\n' ' ')" "$*${*:+ }"
}

(
	t "a build of nothing new is a copy, and an edit of %environment runs no script"
	standard
	builds
	ran post-one post-two
	cp app.simg first.simg
	builds
	ran
	cmp app.simg first.simg
	sed -i 's/E=1/E=2/' app.def
	builds
	ran
	content app.simg .singularity.d/env/90-environment.sh | grep -q E=2
	expect_equal "$(content app.simg three)" text
	expect_equal "$(content app.simg .simg/build.json | jq -c '[.recipe.stages[].steps[].cached]')" "[true,true,true,true]"
)

(
	t "an edit of the last stage runs that one's script alone"
	standard
	builds
	sed -i 's/cp .two .three/cp \/two \/four/' app.def
	builds
	ran post-two
	expect_listing app.simg <<-'END'
		-rw-r--r-- 0/0 four
		! three
	END
)

for change in 'echo other >file' 'chmod 755 file' 'touch -d 2001-01-01 file'; do
	(
		t "changed files are seen: $change"
		standard
		builds
		eval "$change"
		builds
		ran post-one post-two
		run simg build -q --sandbox dir app.simg
		cmp file dir/two
	)
done

(
	t "another argument, another script, another base: each is run"
	standard
	builds
	builds --build-arg ARG=y
	ran post-one post-two
	cp -a "$bases/tree" tree
	simg build -q other.simg tree
	echo more >tree/more
	simg build -q -f other.simg tree
	sed -i "0,/^From: .*/s//From: other.simg/" app.def
	builds
	ran post-one post-two
)

(
	t "another compressor or block size is another step"
	standard
	builds
	builds -c gzip
	ran post-one post-two
	builds -b 64K
	ran post-one post-two
	builds
	ran
)

(
	t "--no-cache runs all, and the next build has the new results"
	standard
	builds
	builds --no-cache
	ran post-one post-two
	builds
	ran
)

(
	t "what %setup or a bind mount brings cannot be known: nothing from there on is kept"
	standard
	sed -i '0,/^%files/s//%setup\n    :\n%files/' app.def
	builds
	builds
	ran post-one post-two
	standard
	mkdir data
	builds --bind data:/data
	builds --bind data:/data
	ran post-one post-two
)

(
	t "a damaged delta is made again"
	standard
	builds
	for kept in cache/images/*.simg; do
		[ -w "$kept" ] || chmod u+w "$kept"
		dd if=/dev/urandom of="$kept" bs=1 seek=200 count=64 conv=notrunc 2>/dev/null
	done
	sed -i 's/E=1/E=2/' app.def
	builds
	ran post-one post-two
	expect_equal "$(content app.simg three)" text
)

(
	t "a delta that is gone is made again, with those that stand on it"
	standard
	builds
	rm -r cache
	sed -i 's/E=1/E=2/' app.def
	builds
	ran post-one post-two
)

(
	t "of two builds at once one runs the scripts, and the other waits"
	standard
	need flock
	sed -i 's/: post-one.*/&\n    sleep 2/' app.def
	own_cache
	simg build one.simg app.def 2>one &
	first=$!
	eventually grep -q post-one one
	simg build two.simg app.def 2>two
	wait $first
	cmp one.simg two.simg
	expect_equal "$(cat one two | grep -c 'post-one')" 1
	grep -q "note: another build makes this image at the moment: waiting for it" two
)

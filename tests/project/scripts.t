#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The texts that no compiler reads: scripts, manual pages, licence lines.
. "$(dirname "$0")/../lib.sh"

# The sources, without what is generated.
sources() {
	find "$top" \( -name .git -o -name build-aux -o -name autom4te.cache -o -name .deps -o -name .libs -o -name 'simg-[0-9]*' \) -prune -o \
		-type f ! -name 'configure*' ! -name aclocal.m4 ! -name config.h ! -name config.status ! -name libtool ! -name 'lt*.m4' ! -name libtool.m4 -print
}
in_order=$(sources | sort)
scripts=$(for file in $in_order; do ! head -n 1 "$file" | grep -qaE '^#!/bin/(ba)?sh' || echo "$file"; done)

for script in $scripts "$top/tests/lib.sh"; do
	(
		t "shellcheck finds nothing in ${script#"$top"/}"
		need shellcheck
		# Test files take names and "set -e" from lib.sh, are made of subshells, split lists of words, and have code for inner shells in quotes.
		excluded=''
		[[ $script != *.t ]] || excluded=SC1091,SC2013,SC2016,SC2030,SC2031,SC2034,SC2086,SC2154,SC2164,SC2317
		shellcheck --exclude="$excluded" "$script"
	)
done

(
	t "every source file names its licence at the top"
	without=$(for file in $(grep -E '\.(c|h|sh|t|am|ac|m4|1|5|8)$' <<<"$in_order") $scripts; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
	done)
	expect_equal "$without" ""
)

for page in $(grep -E '/man/[^/]*\.[1-8]$' <<<"$in_order"); do
	(
		t "mandoc finds nothing in ${page#"$top"/}"
		need mandoc
		mandoc -T lint -W warning "$page"
	)
done

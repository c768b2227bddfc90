# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Tarballs that no tar would write, for the tests of simg build. Each function prints a piece of a tarball:
#
#	entry TYPE NAME [LINK|CONTENT] [FIELD=VALUE…] >>x.tar
#		TYPE: 0 file, 1 hard link, 2 symlink, 3 and 4 device nodes, 5 directory, 6 FIFO, x pax header (CONTENT is its records, without the last newline);
#		FIELD: mode uid gid mtime size (octal), major minor (octal)
#	end_mark >>x.tar
#	pax KEY VALUE                prints one record of a pax header

zeros() { head -c "$1" /dev/zero; }

# A header of 512 bytes. The checksum is the sum of its bytes, with spaces in the checksum's own place.
header() {
	local name=$1 type=$2 link=$3 mode=$4 uid=$5 gid=$6 size=$7 mtime=$8 major=$9 minor=${10} file sum
	file=$(mktemp)
	field() { printf '%s' "$1" | head -c "$2"; zeros $(($2 - $(printf '%s' "$1" | head -c "$2" | wc -c))); }
	{
		field "$name" 100
		field "$mode" 8
		field "$uid" 8
		field "$gid" 8
		field "$size" 12
		field "$mtime" 12
		printf '        '
		printf '%s' "$type"
		field "$link" 100
		printf 'ustar\00000'
		zeros 64
		field "$major" 8
		field "$minor" 8
		zeros 167
	} >"$file"
	sum=$(od -An -v -tu1 "$file" | awk '{ for (i = 1; i <= NF; i++) sum += $i } END { printf "%06o", sum }')
	head -c 148 "$file"
	printf '%s\0 ' "$sum"
	tail -c +157 "$file"
	rm "$file"
}

entry() {
	local type=$1 name=$2 third=${3-} link='' content='' mode=0000644 uid=0000000 gid=0000000 mtime=07346545000 size='' major='' minor='' word bytes
	case $type in 1 | 2) link=$third ;; 0) content=$third ;; x) content=$third$'\n' ;; 5) mode=0000755 ;; esac
	shift $(($# < 3 ? $# : 3))
	for word; do printf -v "${word%%=*}" %s "${word#*=}"; done
	bytes=$(printf '%s' "$content" | wc -c)
	header "$name" "$type" "$link" "$mode" "$uid" "$gid" "${size:-$(printf %011o "$bytes")}" "$mtime" "$major" "$minor"
	printf '%s' "$content"
	zeros $(((512 - bytes % 512) % 512))
}

end_mark() { zeros 1024; }

pax() {
	local rest=" $1=$2" length
	rest+=$'\n'
	length=${#rest}
	while [ "$((${#rest} + ${#length}))" != "$length" ]; do length=$((${#rest} + ${#length})); done
	printf '%s%s' "$length" "$rest"
}

# The lines of an image's listing, without the mount points and the record that simg build adds: mode, owner, size, path and link target.
listing() {
	unsquashfs -lln "$1" | sed -n 's,squashfs-root/,,p' |
		awk '$6 !~ /^(\.simg|\.simg\/build\.json|dev|etc|etc\/(group|hosts|localtime|passwd|resolv\.conf)|home|mnt|proc|root|run|sys|tmp|var|var\/tmp)$/ {
			line = $1 " " $2 " " $3; for (i = 6; i <= NF; i++) line = line " " $i; print line }'
}

content() { unsquashfs -cat "$1" "$2"; }

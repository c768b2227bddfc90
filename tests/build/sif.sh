# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# SIF images, for the tests of simg build and simg inspect.
#
#	make_sif FILE IMAGE FSTYPE [OFFSET]
#		a SIF whose system partition is IMAGE, at byte 4096; it says that it is of type FSTYPE (1 is SquashFS) and at OFFSET

# A number of so many bytes, the lowest first.
le() { local value=$2 i; for ((i = 0; i < $1; i++)); do printf %b "\\x$(printf %02x $((value & 255)))"; value=$((value >> 8)); done; }

# A SIF header, a descriptor of something else, one of the partition, and the partition.
make_sif() {
	local file=$1 image=$2 fstype=$3 offset=${4-4096}
	{
		printf '#!/usr/bin/env run-singularity\n\0'
		printf 'SIF_MAGIC\0'
		head -c $((88 - 42)) /dev/zero
		le 8 2
		le 8 200
		head -c $((200 - 104)) /dev/zero
		le 4 $((0x4001)); printf '\1'; head -c $((585 - 5)) /dev/zero
		le 4 $((0x4004)); printf '\1'; head -c 12 /dev/zero; le 8 "$offset"; le 8 "$(stat -c %s "$image")"
		head -c $((201 - 33)) /dev/zero; le 4 "$fstype"; le 4 2; head -c $((585 - 209)) /dev/zero
	} >"$file"
	truncate -s 4096 "$file"
	cat "$image" >>"$file"
}

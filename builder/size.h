/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes for people: "128K", "50 GiB".
 */
#ifndef SIMG_BUILDER_SIZE_H
#define SIMG_BUILDER_SIZE_H

#include <stdint.h>

enum { SIZE_TEXT_MAX = 16 };

/* Reads a whole number with an optional K, M, G or T (powers of 1024, "KiB" and "kB" are taken too). Returns 0, or -EINVAL for
 * anything else, -ERANGE for a number that does not fit. */
int size_parse(const char *text, uint64_t *ret_bytes);

/* Writes "999 B", "1.0 KiB", "208.7 MiB", … and returns text. */
const char *size_format(uint64_t bytes, char text[SIZE_TEXT_MAX]);

#endif

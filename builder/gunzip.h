/* SPDX-License-Identifier: Apache-2.0
 *
 * Decompression of gzip, member by member, with the checksum at each one's end: by isa-l where it is there, else by zlib.
 * Memory: about 100 KiB.
 */
#ifndef SIMG_BUILDER_GUNZIP_H
#define SIMG_BUILDER_GUNZIP_H

#include <stddef.h>
#include <stdint.h>

struct gunzip;

struct gunzip *gunzip_new(void); /* NULL without memory */
void gunzip_free(struct gunzip *gunzip);

/* Before another member. */
void gunzip_reset(struct gunzip *gunzip);

/* Decompresses as far as input and room reach, and moves both on. Returns 0 for more, 1 at the end of a member whose checksum is
 * right, -1 with the reason for damaged data. */
int gunzip_step(struct gunzip *gunzip, const uint8_t **input, size_t *input_bytes, uint8_t **room, size_t *room_bytes,
		const char **ret_why);

#endif

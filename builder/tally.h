/* SPDX-License-Identifier: Apache-2.0
 *
 * What is worth a note at the end of a build: how many of a kind, and the first one's path.
 */
#ifndef SIMG_BUILDER_TALLY_H
#define SIMG_BUILDER_TALLY_H

#include <stdint.h>

struct tally {
	uint64_t count;
	char first[256];
};

void tally_add(struct tally *tally, const char *path);

/* Prints "1 ONE: 'path'" or "7 MANY, the first: 'path'", or nothing if nothing was counted. */
void tally_note(const struct tally *tally, const char *one, const char *many);

#endif

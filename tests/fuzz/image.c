/* SPDX-License-Identifier: Apache-2.0
 *
 * A squashfs image of any bytes as a source: entries and pieces of files, or an error with a text. The checksums within compressed
 * blocks are rarely right by chance: the seeds have none.
 */
#include "builder/source.h"
#include "lib/err.h"
#include "tests/fuzz/memory_file.h"

#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ENTRIES_MAX = 10000, PIECES_MAX = 100 };

static int file_read(struct reader *reader, uint64_t bytes, struct err *err)
{
	struct piece piece;
	volatile uint8_t last;
	int r = 1;
	for (int i = 0; i < PIECES_MAX && (r = source_image.read(reader, &piece, err)) > 0; i++) {
		if (piece.bytes > bytes || piece.offset > bytes - piece.bytes)
			abort();
		last = piece.bytes > 0 ? ((const uint8_t *)piece.data)[piece.bytes - 1] : 0;
		(void)last;
	}
	return r;
}

static int entries_read(struct reader *reader, struct err *err)
{
	struct source_entry entry;
	volatile size_t sum = 0;
	int r = 1;
	for (int i = 0; i < ENTRIES_MAX && (r = source_image.next(reader, &entry, err)) > 0; i++) {
		sum += strlen(entry.path) + (entry.target != NULL ? strlen(entry.target) : 0);
		if (S_ISREG(entry.mode) && !entry.hard_link && (r = file_read(reader, entry.bytes, err)) < 0)
			break;
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char path[MEMORY_PATH_MAX];
	struct err err = ERR_INIT;
	struct reader *reader = NULL;
	const struct source_options options = { .name = "image", .fd = memory_file(data, bytes, path), .quiet = true };
	int r = source_image.open(&options, &reader, &err);
	if (r == 0)
		r = entries_read(reader, &err);
	if (r < 0 && (err.text[0] == '\0' || err.code >= 0))
		abort();
	source_image.close(reader);
	close(options.fd);
	return 0;
}

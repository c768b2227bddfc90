/* SPDX-License-Identifier: Apache-2.0
 *
 * A line about the build's progress on a terminal; nothing at all anywhere else, so that logs stay clean.
 */
#ifndef SIMG_BUILDER_PROGRESS_H
#define SIMG_BUILDER_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct progress {
	bool shown;             /* standard error is a terminal, and the user did not ask for quiet */
	atomic_bool drawn;      /* the line stands on the terminal; a download's thread that has to say something clears it */
	struct timespec begin, last;
};

/* Starts the clock. */
void progress_begin(struct progress *progress, bool quiet);

/* Redraws the line, a few times a second at most: "reading 120 MiB  40%, writing 50 MiB, 80 MiB/s". bytes_total: 0 if nobody knows.
 * bytes_out: 0 while nothing is written. */
void progress_update(struct progress *progress, const char *doing, uint64_t bytes_in, uint64_t bytes_total, uint64_t bytes_out);

/* Takes the line away, so that a message can follow. */
void progress_clear(struct progress *progress);

/* Clears the line and sums up: "app.simg: 208.7 MiB from 605.1 MiB in 13401 files, 3.2 s". */
void progress_end(struct progress *progress, const char *image, uint64_t bytes_in, uint64_t bytes_out, uint64_t files);

/* The same for an image that was copied from the cache. */
void progress_end_copy(struct progress *progress, const char *image, uint64_t bytes);

#endif

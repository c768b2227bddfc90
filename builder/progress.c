/* SPDX-License-Identifier: Apache-2.0
 *
 * Progress on a terminal: see progress.h.
 */
#include "builder/progress.h"

#include "builder/size.h"
#include "lib/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UPDATE_SECONDS 0.2

static double seconds_between(const struct timespec *begin, const struct timespec *end)
{
	return (double)(end->tv_sec - begin->tv_sec) + (double)(end->tv_nsec - begin->tv_nsec) / 1e9;
}

void progress_begin(struct progress *progress, bool quiet)
{
	const char *terminal = getenv("TERM");
	bool able = terminal != NULL && strcmp(terminal, "dumb") != 0;
	*progress = (struct progress){ .shown = !quiet && able && isatty(STDERR_FILENO) };
	clock_gettime(CLOCK_MONOTONIC, &progress->begin);
	progress->last = progress->begin;
}

void progress_update(struct progress *progress, const char *doing, uint64_t bytes_in, uint64_t bytes_total, uint64_t bytes_out)
{
	if (!progress->shown)
		return;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (seconds_between(&progress->last, &now) < UPDATE_SECONDS)
		return;
	progress->last = now;
	progress->drawn = true;
	char in[SIZE_TEXT_MAX], out[SIZE_TEXT_MAX], rate[SIZE_TEXT_MAX], part[8] = "", writing[SIZE_TEXT_MAX + 16] = "";
	if (bytes_total > 0)
		snprintf(part, sizeof(part), " %3u%%", (unsigned)(bytes_in >= bytes_total ? 100 : bytes_in * 100 / bytes_total));
	if (bytes_out > 0)
		snprintf(writing, sizeof(writing), ", writing %s", size_format(bytes_out, out));
	double seconds = seconds_between(&progress->begin, &now);
	fprintf(stderr, "\r\033[K%s %s%s%s, %s/s", doing, size_format(bytes_in, in), part, writing,
		size_format((uint64_t)((double)bytes_in / seconds), rate));
}

void progress_clear(struct progress *progress)
{
	if (progress->drawn)
		fputs("\r\033[K", stderr);
	progress->drawn = false;
}

void progress_end(struct progress *progress, const char *image, uint64_t bytes_in, uint64_t bytes_out, uint64_t files)
{
	progress_clear(progress);
	if (!progress->shown)
		return;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	char in[SIZE_TEXT_MAX], out[SIZE_TEXT_MAX];
	log_note("'%s': %s, from %s in %" PRIu64 " files, %.1f s", image, size_format(bytes_out, out), size_format(bytes_in, in),
		 files, seconds_between(&progress->begin, &now));
}

void progress_end_copy(struct progress *progress, const char *image, uint64_t bytes)
{
	progress_clear(progress);
	char text[SIZE_TEXT_MAX];
	if (progress->shown)
		log_note("'%s': %s, built before and copied from the cache", image, size_format(bytes, text));
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * See memory.h.
 */
#include "builder/memory.h"

#include <stdbool.h>
#include <sys/resource.h>

#define MEMORY_MAX_BYTES ((rlim_t)4 << 30)

static struct rlimit before;
static bool limited;

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_SHADOW
#endif
#endif
#if defined(SIMG_SANITIZED) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SHADOW
#endif

/* No input may bring the machine down: a few kilobytes of a map of holes can make libarchive ask for gigabytes. A tree of ten
 * million files needs about 3 GiB. */
void memory_limit(void)
{
#ifndef HAS_SHADOW /* a sanitizer's shadow counts, too */
	struct rlimit limit;
	if (getrlimit(RLIMIT_DATA, &limit) < 0 || limit.rlim_cur <= MEMORY_MAX_BYTES)
		return;
	before = limit;
	limited = true;
	limit.rlim_cur = MEMORY_MAX_BYTES;
	setrlimit(RLIMIT_DATA, &limit);
#endif
}

void memory_limit_lift(void)
{
	if (limited)
		setrlimit(RLIMIT_DATA, &before);
}

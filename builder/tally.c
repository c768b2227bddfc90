/* SPDX-License-Identifier: Apache-2.0
 *
 * Counted notes: see tally.h.
 */
#include "builder/tally.h"

#include "lib/log.h"

#include <inttypes.h>
#include <stdio.h>

void tally_add(struct tally *tally, const char *path)
{
	if (tally->count++ == 0)
		snprintf(tally->first, sizeof(tally->first), "%s", path);
}

void tally_note(const struct tally *tally, const char *one, const char *many)
{
	if (tally->count == 1)
		log_note("1 %s: '%s'", one, tally->first);
	else if (tally->count > 1)
		log_note("%" PRIu64 " %s, the first: '%s'", tally->count, many, tally->first);
}

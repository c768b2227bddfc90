/* SPDX-License-Identifier: Apache-2.0
 *
 * Header fields of a registry's answer: whatever they hold, the parsers end, and what they give is within its bounds.
 */
#include "builder/registry/challenge.h"
#include "builder/registry/http_field.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_challenges(const char *text)
{
	struct challenges challenges = { 0 };
	if (challenges_add(&challenges, text) < 0 || challenges_add(&challenges, text) < 0 || challenges.count > CHALLENGES_MAX)
		abort();
	const struct challenge *best = challenges_best(&challenges);
	if (best != NULL && (best->scheme == CHALLENGE_NONE || (best->scheme == CHALLENGE_BEARER && best->realm == NULL)))
		abort();
	challenges_free(&challenges);
}

/* An origin is a URL whose origin is itself. */
static void check_origin(const char *text)
{
	char origin[ORIGIN_MAX], again[ORIGIN_MAX];
	if (!url_origin(text, origin))
		return;
	if (!url_origin(origin, again) || strcmp(origin, again) != 0)
		abort();
	(void)origin_is_loopback(origin);
	(void)origin_is_https(origin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *text = strndup((const char *)data, bytes);
	uint64_t first, last, total;
	check_challenges(text);
	check_origin(text);
	if (field_retry_after(text, 1000000000) < -1)
		abort();
	if (field_content_range(text, &first, &last, &total) && (first > last || last >= total))
		abort();
	free(field_warning(text));
	free(text);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Retries: see retry.h.
 */
#include "builder/registry/retry.h"

#include <stdlib.h>
#include <time.h>

enum {
	WAIT_MS = 2000,
	WAIT_GROWTH_MAX = 30,
	WAIT_ASKED_MAX_S = 300, /* a registry that asks for more is not waited for */
	SLICE_MS = 100,
};

static unsigned wait_first_ms(void)
{
	const char *text = getenv("SIMG_RETRY_WAIT_MS");
	long ms = text != NULL ? strtol(text, NULL, 10) : 0;
	return ms > 0 && ms <= WAIT_MS ? (unsigned)ms : WAIT_MS;
}

void retry_begin(struct retry *retry, int tries)
{
	*retry = (struct retry){ .tries = tries, .tries_left = tries, .wait_ms = wait_first_ms() };
}

void retry_progress(struct retry *retry)
{
	retry_begin(retry, retry->tries);
	/* Also a mirror that gets no second chance at the beginning: what it has sent so far was good. */
	if (retry->tries_left < 2)
		retry->tries_left = 2;
}

static bool status_passes(int status)
{
	return status == 408 || status == 425 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

/* A failure behind a redirect is mostly a signature that has expired: the next try gets a new one. */
static bool passes(const struct http_response *response, bool reached)
{
	switch (response->failure) {
	case HTTP_ANSWERED:
		return status_passes(response->status) ||
		       (response->elsewhere && response->status >= 400 && response->status != 416);
	case HTTP_UNREACHABLE:
	case HTTP_STALLED:
		return reached;
	case HTTP_BROKEN:
		return true;
	default:
		return false;
	}
}

bool retry_again(struct retry *retry, const struct http_response *response, bool reached, unsigned *ret_wait_ms)
{
	if (!passes(response, reached) || --retry->tries_left <= 0)
		return false;
	long asked_s = -1;
	if (response->failure == HTTP_ANSWERED && response->retry_after != NULL)
		asked_s = field_retry_after(response->retry_after, time(NULL));
	if (asked_s > WAIT_ASKED_MAX_S)
		return false;
	*ret_wait_ms = asked_s >= 0 ? (unsigned)asked_s * 1000 : retry->wait_ms;
	retry->wait_ms *= 2;
	if (retry->wait_ms > WAIT_GROWTH_MAX * wait_first_ms())
		retry->wait_ms = WAIT_GROWTH_MAX * wait_first_ms();
	return true;
}

bool retry_sleep(unsigned wait_ms, bool (*go_on)(void *context), void *context)
{
	while (go_on == NULL || go_on(context)) {
		if (wait_ms == 0)
			return true;
		unsigned slice = wait_ms < SLICE_MS ? wait_ms : SLICE_MS;
		nanosleep(&(struct timespec){ .tv_nsec = (long)slice * 1000000 }, NULL);
		wait_ms -= slice;
	}
	return false;
}

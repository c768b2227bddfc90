/* SPDX-License-Identifier: Apache-2.0
 *
 * Which failures pass by themselves, and how long to wait for that.
 *
 * Environment: SIMG_RETRY_WAIT_MS (default 2000): the first wait; each further one is twice as long, up to 30 times the first.
 * Meant for tests.
 */
#ifndef SIMG_BUILDER_REGISTRY_RETRY_H
#define SIMG_BUILDER_REGISTRY_RETRY_H

#include "builder/registry/http.h"

enum { RETRY_TRIES = 5 };

struct retry {
	int tries, tries_left;
	unsigned wait_ms;
};

void retry_begin(struct retry *retry, int tries);

/* Some of the bytes have come: the next failure is the first again. */
void retry_progress(struct retry *retry);

/* Whether another try is worth while after this answer, or none: counts it, and says in *ret_wait_ms how long to wait
 * before. reached: the server has answered before, so that one that cannot be reached is taken for one that starts again. */
bool retry_again(struct retry *retry, const struct http_response *response, bool reached, unsigned *ret_wait_ms);

/* Sleeps. Returns false as soon as go_on (may be NULL) does. */
bool retry_sleep(unsigned wait_ms, bool (*go_on)(void *context), void *context);

#endif

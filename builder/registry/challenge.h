/* SPDX-License-Identifier: Apache-2.0
 *
 * What a registry wants for proof: the WWW-Authenticate fields of an answer. Pure functions.
 *
 * Source: RFC 9110, section 11; Docker, "Token Authentication Specification".
 */
#ifndef SIMG_BUILDER_REGISTRY_CHALLENGE_H
#define SIMG_BUILDER_REGISTRY_CHALLENGE_H

#include <stddef.h>

enum { CHALLENGES_MAX = 16 };
enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_scheme scheme;
	char *realm, *service, *scope, *error; /* NULL: not given */
};

struct challenges {
	struct challenge list[CHALLENGES_MAX];
	size_t count;
};

/* Adds what one field holds: any number of challenges. Schemes that are neither Basic nor Bearer are skipped, and so is what
 * makes no sense. -ENOMEM or 0. */
int challenges_add(struct challenges *challenges, const char *field);

/* The one to answer: the first Bearer with a realm, else the first Basic; NULL if there is neither. challenges keeps it. */
const struct challenge *challenges_best(const struct challenges *challenges);

void challenges_free(struct challenges *challenges);
#define autochallenges __attribute__((cleanup(challenges_free)))

#endif

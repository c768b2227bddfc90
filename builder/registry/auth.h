/* SPDX-License-Identifier: Apache-2.0
 *
 * Proof for one registry: answers its challenges with a user's name and password, or with a token that its token server hands out
 * for them or for nothing. One token serves all threads, and is renewed before it ends, or when the registry says that it has.
 *
 * What never happens: credentials to a server that is not the registry or named by it; over http, unless the registry itself may be
 * asked by http; in a message.
 *
 * Source: Docker, "Token Authentication Specification" and "OAuth2 Token Authentication"; RFC 7617.
 */
#ifndef SIMG_BUILDER_REGISTRY_AUTH_H
#define SIMG_BUILDER_REGISTRY_AUTH_H

#include "builder/registry/http.h"

struct auth;
struct credentials;
struct err;

struct auth_options {
	struct http *http;
	const struct http_tls *tls;   /* also for the token server */
	const char *host;             /* as credentials are filed: "docker.io" */
	const char *repository;       /* as the registry names it: "library/debian"; "": none */
	const char *auth_file;        /* NULL: the usual places */
	bool mirror;                  /* gets no credentials that do not say which host they are for */
	const struct credentials *credentials; /* instead of what the places hold; outlives it. NULL: those */
};

/* options' strings and structs outlive it. NULL without memory. */
struct auth *auth_new(const struct auth_options *options);
void auth_free(struct auth *auth); /* wipes; takes NULL */

/* What the registry's front door (GET /v2/) wants: to be used where a later refusal does not say. */
int auth_expect(struct auth *auth, const struct strlist *challenges, struct err *err);

/* Asked about once a second while a token is fetched: false ends that with -ECANCELED. */
struct auth_wait {
	bool (*go_on)(void *context); /* NULL: always */
	void *context;
};

/* The value of Authorization for a request now; *ret_value is NULL where there is none to give, else freed with
 * secret_free() of secret.h. Asks for a token where one is needed. *ret_generation tells auth_answer() what was sent. If the
 * token server refuses or fails, *ret_response is its answer (http_response_free() in any case). */
int auth_value(struct auth *auth, const struct auth_wait *wait, char **ret_value, unsigned *ret_generation,
	       struct http_response *ret_response, struct err *err);

/* The registry refused what auth_value() gave (401, or 403 with insufficient_scope), with these challenges. Returns 1 if
 * asking again may help, 0 if there is nothing else to offer. */
int auth_answer(struct auth *auth, const struct strlist *challenges, unsigned generation, struct err *err);

/* Where the credentials come from, for messages; NULL if there are none, or nobody has asked for them yet. auth keeps it. */
const char *auth_origin(struct auth *auth);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Refusals: see refusal.h.
 */
#include "builder/registry/refusal.h"

#include "builder/registry/challenge.h"
#include "lib/err.h"
#include "lib/log.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 200 };

/* Registries answer {"errors": [{"code", "message"}]}, token servers {"details"} or OAuth2's {"error_description"}. */
static const char *words_of(const json_t *answer)
{
	const json_t *first = json_array_get(json_object_get(answer, "errors"), 0);
	const char *words = json_string_value(json_object_get(first, "message"));
	if (words == NULL || *words == '\0')
		words = json_string_value(json_object_get(first, "code"));
	if (words == NULL)
		words = json_string_value(json_object_get(answer, "error_description"));
	if (words == NULL)
		words = json_string_value(json_object_get(answer, "details"));
	return words;
}

char *refusal_text(const struct http_response *response, char text[static REFUSAL_TEXT_MAX])
{
	json_t *answer = response->body != NULL ? json_loadb(response->body, response->body_bytes, 0, NULL) : NULL;
	const char *words = words_of(answer);
	text[0] = '\0';
	if (words != NULL && *words != '\0')
		snprintf(text, REFUSAL_TEXT_MAX, ": %.*s%s", WORDS_MAX, words, strlen(words) > WORDS_MAX ? "…" : "");
	log_sanitize(text);
	json_decref(answer);
	return text;
}

/* Whether the registry asks for nothing but what we cannot do, and what that is. */
static bool asks_otherwise(const struct http_response *response, char text[static REFUSAL_TEXT_MAX])
{
	autochallenges struct challenges known = { .count = 0 };
	for (size_t i = 0; i < response->challenges.count; i++)
		if (challenges_add(&known, response->challenges.items[i]) < 0)
			return false;
	if (response->challenges.count == 0 || challenges_best(&known) != NULL)
		return false;
	snprintf(text, REFUSAL_TEXT_MAX, "%.100s", response->challenges.items[0]);
	log_sanitize(text);
	return true;
}

static int refuse_challenge(const struct http_response *response, const char *challenge, struct err *err)
{
	err_set(err, EACCES, "'%s' wants a login of a kind that simg does not know (%d, WWW-Authenticate: %s)",
		origin_host(response->origin), response->status, challenge);
	return err_hint(err, "simg logs in by name and password, or by a token that it gets for them");
}

static int refuse_login(const struct refusal *refusal, const struct http_response *response, const char *words, struct err *err)
{
	const char *host = origin_host(response->origin);
	char challenge[REFUSAL_TEXT_MAX];
	if (asks_otherwise(response, challenge))
		return refuse_challenge(response, challenge, err);
	if (refusal->login_origin != NULL) {
		err_set(err, EACCES, "'%s' denies the %s to the login from '%s' (%d%s)", host, refusal->what, refusal->login_origin,
			response->status, words);
		return err_hint(err, "is the name right, and may this user pull it? Another login: simg login %s",
				refusal->login_host);
	}
	err_set(err, EACCES, "'%s' has no such %s, or wants a login for it (%d%s)", host, refusal->what, response->status, words);
	return err_hint(err, "is the name right? Log in with: simg login %s", refusal->login_host);
}

static int refuse_rate(const struct refusal *refusal, const struct http_response *response, const char *words, struct err *err)
{
	const struct {
		const char *name, *value;
	} facts[] = {
		{ "limit", response->rate_limit },
		{ "remaining", response->rate_remaining },
		{ "counted for", response->rate_source },
		{ "asks to wait for", response->retry_after },
	};
	char limit[REFUSAL_TEXT_MAX + 128] = "";
	for (size_t i = 0, used = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (facts[i].value != NULL)
			used += (size_t)snprintf(limit + used, sizeof(limit) - used, "; %s %.64s", facts[i].name, facts[i].value);
	log_sanitize(limit);
	err_set(err, EBUSY, "'%s' has had too many requests (%d%s%s)", origin_host(response->origin), response->status, words,
		limit);
	if (refusal->login_host == NULL || refusal->login_origin != NULL)
		return err_hint(err, "try again later, or set up a mirror in registries.conf");
	return err_hint(err, "try again later, or log in for a higher limit: simg login %s", refusal->login_host);
}

int refusal_set(const struct refusal *refusal, const struct http_response *response, struct err *err)
{
	char words[REFUSAL_TEXT_MAX];
	const char *host = origin_host(response->origin);
	refusal_text(response, words);
	if (response->status == 407) /* by http: a proxy's answer takes the place of the server's */
		return http_proxy_refused(host, response->status, err);
	if (response->elsewhere)
		return err_set(err, response->status == 404 ? ENOENT : EIO,
			       "'%s', where the registry redirects to, answers %d for the %s", host, response->status,
			       refusal->what);
	if ((response->status == 401 || response->status == 403) && refusal->login_host != NULL)
		return refuse_login(refusal, response, words, err);
	if (response->status == 429)
		return refuse_rate(refusal, response, words, err);
	if (response->status == 404) {
		err_set(err, ENOENT, "'%s' has no such %s (404%s)", host, refusal->what, words);
		return err_hint(err, refusal->part ? "the image is incomplete there: it has to be pushed again"
						   : "are name and tag right?");
	}
	return err_set(err, EIO, "'%s' answers %d for the %s%s", host, response->status, refusal->what, words);
}

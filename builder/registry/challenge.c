/* SPDX-License-Identifier: Apache-2.0
 *
 * Challenges: see challenge.h. A comma separates both challenges and the parameters of one; what follows a word tells which it is:
 * "=" makes it a parameter's name, anything else the scheme of the next challenge.
 */
#include "builder/registry/challenge.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char WORD[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~/";

static const char *skip_space(const char *at)
{
	return at + strspn(at, " \t");
}

static bool word_is(const char *word, size_t bytes, const char *name)
{
	return strlen(name) == bytes && strncasecmp(word, name, bytes) == 0;
}

static enum challenge_scheme scheme_of(const char *word, size_t bytes)
{
	return word_is(word, bytes, "Bearer") ? CHALLENGE_BEARER : word_is(word, bytes, "Basic") ? CHALLENGE_BASIC : CHALLENGE_NONE;
}

/* A parameter's value, a word or a quoted string, to a new string. Returns what follows it, or NULL without memory. */
static const char *value_parse(const char *at, char **ret_value)
{
	char *value = malloc(strlen(at) + 1), *end = value;
	if (value == NULL)
		return NULL;
	if (*at == '"') {
		for (at++; *at != '\0' && *at != '"'; at++) {
			if (*at == '\\' && at[1] != '\0')
				at++;
			*end++ = *at;
		}
		at += *at == '"';
	} else {
		/* Some write a URL without quotes: everything but the separators is taken. */
		size_t bytes = strcspn(at, ", \t");
		memcpy(value, at, bytes);
		end += bytes;
		at += bytes;
	}
	*end = '\0';
	*ret_value = value;
	return at;
}

/* Where a parameter of this name is kept; NULL: nowhere. The first of several counts. */
static char **parameter_slot(struct challenge *challenge, const char *name, size_t bytes)
{
	if (challenge == NULL)
		return NULL;
	char **slot = word_is(name, bytes, "realm")     ? &challenge->realm
		      : word_is(name, bytes, "service") ? &challenge->service
		      : word_is(name, bytes, "scope")   ? &challenge->scope
		      : word_is(name, bytes, "error")   ? &challenge->error
							: NULL;
	return slot != NULL && *slot == NULL ? slot : NULL;
}

static const char *parameter_parse(const char *at, struct challenge *challenge, const char *name, size_t bytes)
{
	char *value;
	at = value_parse(skip_space(at), &value);
	if (at == NULL)
		return NULL;
	char **slot = parameter_slot(challenge, name, bytes);
	if (slot != NULL)
		*slot = value;
	else
		free(value);
	return at;
}

/* Begins a challenge, if it is one of ours. */
static struct challenge *scheme_begin(struct challenges *challenges, const char *word, size_t bytes)
{
	enum challenge_scheme scheme = scheme_of(word, bytes);
	if (scheme == CHALLENGE_NONE || challenges->count == CHALLENGES_MAX)
		return NULL;
	struct challenge *challenge = &challenges->list[challenges->count++];
	*challenge = (struct challenge){ .scheme = scheme };
	return challenge;
}

int challenges_add(struct challenges *challenges, const char *field)
{
	struct challenge *challenge = NULL;
	bool behind_scheme = false; /* no comma since: a word without "=" belongs to the scheme, like Negotiate's */
	for (const char *at = field; *at != '\0';) {
		size_t bytes = strspn(at, WORD);
		const char *word = at;
		if (bytes == 0) {
			behind_scheme = behind_scheme && *at != ',';
			at++;
			continue;
		}
		at = skip_space(at + bytes);
		if (*at == '=') {
			at = parameter_parse(at + 1, challenge, word, bytes);
			if (at == NULL)
				return -ENOMEM;
			behind_scheme = false;
		} else if (!behind_scheme) {
			challenge = scheme_begin(challenges, word, bytes);
			behind_scheme = true;
		}
	}
	return 0;
}

const struct challenge *challenges_best(const struct challenges *challenges)
{
	const struct challenge *basic = NULL;
	for (size_t i = 0; i < challenges->count; i++) {
		const struct challenge *one = &challenges->list[i];
		if (one->scheme == CHALLENGE_BEARER && one->realm != NULL)
			return one;
		if (one->scheme == CHALLENGE_BASIC && basic == NULL)
			basic = one;
	}
	return basic;
}

void challenges_free(struct challenges *challenges)
{
	for (size_t i = 0; i < challenges->count; i++) {
		free(challenges->list[i].realm);
		free(challenges->list[i].service);
		free(challenges->list[i].scope);
		free(challenges->list[i].error);
	}
	challenges->count = 0;
}

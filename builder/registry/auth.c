/* SPDX-License-Identifier: Apache-2.0
 *
 * Proof for a registry: see auth.h.
 */
#include "builder/registry/auth.h"

#include "builder/registry/challenge.h"
#include "builder/registry/credentials.h"
#include "builder/registry/json_secret.h"
#include "builder/registry/refusal.h"
#include "builder/registry/secret.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	TOKEN_BYTES_MAX = 1 << 20,
	LIFETIME_MIN_S = 60, /* also where the server does not say */
	LIFETIME_MAX_S = 24 * 3600,
	EARLY_S = 10,        /* renewed so long before it ends */
};

struct auth {
	struct auth_options options;
	pthread_mutex_t lock; /* for all that follows; held while a token is fetched, so that one thread does it for all */
	struct credentials found;             /* in the places, if they were asked */
	const struct credentials *credentials; /* NULL: not known yet */
	enum challenge_scheme scheme; /* what is sent */
	char *realm, *service;
	struct strlist scopes;        /* the repository's own first */
	char *token;
	time_t token_end;             /* by the monotonic clock */
	unsigned token_uses;
	unsigned generation;          /* counts changes of what is sent */
};

struct auth *auth_new(const struct auth_options *options)
{
	struct auth *auth = calloc(1, sizeof(*auth));
	if (auth == NULL)
		return NULL;
	auth->options = *options;
	pthread_mutex_init(&auth->lock, NULL);
	auth->credentials = options->credentials;
	if (*options->repository == '\0' || strlist_addf(&auth->scopes, "repository:%s:pull", options->repository) == 0)
		return auth;
	auth_free(auth);
	return NULL;
}

void auth_free(struct auth *auth)
{
	if (auth == NULL)
		return;
	credentials_free(&auth->found);
	secret_free(auth->token);
	free(auth->realm);
	free(auth->service);
	strlist_free(&auth->scopes);
	pthread_mutex_destroy(&auth->lock);
	free(auth);
}

static int no_memory(const struct auth *auth, struct err *err)
{
	return err_sys(err, ENOMEM, "cannot log in at '%s'", auth->options.host);
}

static time_t now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Asked only for a registry that wants proof: a helper program may take its time. */
static int credentials_get(struct auth *auth, struct err *err)
{
	if (auth->credentials != NULL)
		return 0;
	const struct auth_options *options = &auth->options;
	int (*find)(const char *, const char *, const char *, struct credentials *, struct err *) =
		options->mirror ? credentials_find_for_mirror : credentials_find;
	int r = find(options->auth_file, options->host, options->repository, &auth->found, err);
	if (r >= 0)
		auth->credentials = &auth->found;
	return r < 0 ? r : 0;
}

static bool has_password(const struct auth *auth)
{
	return auth->credentials != NULL && auth->credentials->user != NULL && auth->credentials->password != NULL;
}

static bool has_identity_token(const struct auth *auth)
{
	return auth->credentials != NULL && auth->credentials->identity_token != NULL;
}

static const char *origin_of(const struct auth *auth)
{
	return has_password(auth) || has_identity_token(auth) ? auth->credentials->origin : NULL;
}

/* A format whose result is a secret; NULL without memory. */
static char *secret_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *secret_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return text;
}

static int basic_value(const struct auth *auth, char **ret_value, struct err *err)
{
	autosecret char *plain = secret_format("%s:%s", auth->credentials->user, auth->credentials->password);
	size_t bytes = plain != NULL ? strlen(plain) : 0;
	char *value = plain != NULL ? malloc(sizeof("Basic ") + 4 * (bytes / 3 + 1) + 1) : NULL;
	if (value == NULL)
		return no_memory(auth, err);
	memcpy(value, "Basic ", 6);
	EVP_EncodeBlock((unsigned char *)value + 6, (const unsigned char *)plain, (int)bytes);
	*ret_value = value;
	return 0;
}

/* What goes into a header has to be one line of ASCII. */
static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static time_t lifetime(const json_t *answer)
{
	const json_t *seconds = json_object_get(answer, "expires_in");
	double value = json_number_value(seconds);
	return value < LIFETIME_MIN_S ? LIFETIME_MIN_S : value > LIFETIME_MAX_S ? LIFETIME_MAX_S : (time_t)value;
}

static const char *token_of(const json_t *answer)
{
	const char *token = json_string_value(json_object_get(answer, "token"));
	if (token == NULL || *token == '\0')
		token = json_string_value(json_object_get(answer, "access_token"));
	return token != NULL && *token != '\0' && is_printable(token) ? token : NULL;
}

static int token_take(struct auth *auth, const struct http_response *response, time_t asked_s, struct err *err)
{
	autojson json_t *answer = response->body != NULL ? json_loadb(response->body, response->body_bytes, 0, NULL) : NULL;
	const char *token = token_of(answer);
	if (token == NULL)
		return err_set(err, EBADMSG, "the token server '%s' of '%s' answers without a token", origin_host(response->origin),
			       auth->options.host);
	secret_free(auth->token);
	auth->token = strdup(token);
	auth->token_end = asked_s + lifetime(answer);
	auth->token_uses = 0;
	auth->generation++;
	return auth->token != NULL ? 0 : no_memory(auth, err);
}

/* Adds "NAME=VALUE", escaped. The buffer is replaced, the old one wiped. */
static int form_add(char **form, const char *name, const char *value)
{
	char *escaped = curl_easy_escape(NULL, value, (int)strlen(value));
	char *longer = NULL;
	if (escaped != NULL && *form != NULL) {
		size_t bytes = strlen(*form);
		bool first = bytes == 0 || (*form)[bytes - 1] == '?' || (*form)[bytes - 1] == '&';
		longer = secret_format("%s%s%s=%s", *form, first ? "" : "&", name, escaped);
	}
	if (escaped != NULL)
		explicit_bzero(escaped, strlen(escaped));
	curl_free(escaped);
	secret_free(*form);
	*form = longer;
	return longer != NULL ? 0 : -ENOMEM;
}

/* OAuth2: a POST, since the identity token must not stand in a URL. */
static char *token_form(const struct auth *auth)
{
	char *form = strdup("");
	autofree char *scope = strdup("");
	for (size_t i = 0; i < auth->scopes.count && scope != NULL; i++) {
		char *longer = secret_format("%s%s%s", scope, i > 0 ? " " : "", auth->scopes.items[i]);
		free(scope);
		scope = longer;
	}
	if (scope == NULL || form_add(&form, "grant_type", "refresh_token") < 0 || form_add(&form, "client_id", "simg") < 0 ||
	    form_add(&form, "refresh_token", auth->credentials->identity_token) < 0 ||
	    (*scope != '\0' && form_add(&form, "scope", scope) < 0) ||
	    (auth->service != NULL && form_add(&form, "service", auth->service) < 0)) {
		secret_free(form);
		return NULL;
	}
	return form;
}

/* The realm with its questions; a fragment would swallow them. */
static char *token_url(const struct auth *auth)
{
	size_t bytes = strcspn(auth->realm, "#");
	char *url = secret_format("%.*s%s", (int)bytes, auth->realm, memchr(auth->realm, '?', bytes) != NULL ? "" : "?");
	int r = url != NULL ? 0 : -ENOMEM;
	if (r == 0 && auth->service != NULL)
		r = form_add(&url, "service", auth->service);
	for (size_t i = 0; i < auth->scopes.count && r == 0; i++)
		r = form_add(&url, "scope", auth->scopes.items[i]);
	if (r == 0 && has_password(auth))
		r = form_add(&url, "account", auth->credentials->user);
	return url;
}

/* Who hands out the tokens is the registry's word; so it must not lead credentials into the open. */
static int realm_check(const struct auth *auth, struct err *err)
{
	char origin[ORIGIN_MAX];
	if (!url_origin(auth->realm, origin))
		return err_set(err, EPROTO, "'%s' names a token server that is no plain http or https address", auth->options.host);
	if (origin_is_https(origin) || auth->options.tls->insecure)
		return 0;
	err_set(err, EPROTO, "'%s' names a token server without encryption, '%s'", auth->options.host, origin_host(origin));
	return err_hint(err, "if the site trusts its network that far, registries.conf can say for this registry: insecure = true");
}

static int token_refused(const struct auth *auth, const struct http_response *response, struct err *err)
{
	char why[REFUSAL_TEXT_MAX];
	refusal_text(response, why);
	const char *origin = origin_of(auth);
	if (origin != NULL && (response->status == 400 || response->status == 401 || response->status == 403)) {
		err_set(err, EACCES, "'%s' refuses the login from '%s' (%d from '%s'%s)", auth->options.host,
			origin, response->status, origin_host(response->origin), why);
		return err_hint(err, "log in again: simg login %s", auth->options.host);
	}
	bool denied = response->status == 401 || response->status == 403;
	int r = err_set(err, denied ? EACCES : EIO, "the token server '%s' of '%s' answers %d%s", origin_host(response->origin),
			auth->options.host, response->status, why);
	return denied ? err_hint(err, "log in with: simg login %s", auth->options.host) : r;
}

static int token_request(struct auth *auth, struct http_request *request, struct http_response *response, struct err *err)
{
	time_t asked_s = now_s();
	int r = http_send(auth->options.http, request, response, err);
	if (r < 0)
		return r;
	if (response->status != 200)
		return token_refused(auth, response, err);
	return token_take(auth, response, asked_s, err);
}

static int token_fetch(struct auth *auth, const struct auth_wait *wait, struct http_response *response, struct err *err)
{
	int r = realm_check(auth, err);
	if (r < 0)
		return r;
	static const char *const accept[] = { "application/json", NULL };
	bool by_form = has_identity_token(auth);
	autofree char *url = by_form ? strdup(auth->realm) : token_url(auth);
	autosecret char *form = by_form ? token_form(auth) : NULL;
	autosecret char *basic = NULL;
	if (url == NULL || (by_form && form == NULL))
		return no_memory(auth, err);
	if (!by_form && has_password(auth) && (r = basic_value(auth, &basic, err)) < 0)
		return r;
	struct http_request request = {
		.method = by_form ? HTTP_POST : HTTP_GET,
		.url = url,
		.accept = accept,
		.authorization = basic,
		.form = form,
		.tls = auth->options.tls,
		.body_bytes_max = TOKEN_BYTES_MAX,
		.brief = true,
		.go_on = wait->go_on,
		.go_on_context = wait->context,
	};
	return token_request(auth, &request, response, err);
}

static int value_locked(struct auth *auth, const struct auth_wait *wait, char **ret_value, struct http_response *response,
			struct err *err)
{
	if (auth->scheme == CHALLENGE_NONE)
		return 0;
	int r = credentials_get(auth, err);
	if (r < 0)
		return r;
	if (auth->scheme == CHALLENGE_BASIC)
		return has_password(auth) ? basic_value(auth, ret_value, err) : 0;
	if (auth->token == NULL || now_s() >= auth->token_end - EARLY_S)
		r = token_fetch(auth, wait, response, err);
	response->by_token_server = r < 0;
	if (r < 0)
		return r;
	auth->token_uses++;
	*ret_value = secret_format("Bearer %s", auth->token);
	return *ret_value != NULL ? 0 : no_memory(auth, err);
}

int auth_value(struct auth *auth, const struct auth_wait *wait, char **ret_value, unsigned *ret_generation,
	       struct http_response *ret_response, struct err *err)
{
	*ret_value = NULL;
	*ret_response = (struct http_response){ .failure = HTTP_FORBIDDEN, .content_length = -1 };
	pthread_mutex_lock(&auth->lock);
	int r = value_locked(auth, wait, ret_value, ret_response, err);
	*ret_generation = auth->generation;
	pthread_mutex_unlock(&auth->lock);
	return r;
}

static bool scope_known(const struct auth *auth, const char *scope)
{
	for (size_t i = 0; i < auth->scopes.count; i++)
		if (strcmp(auth->scopes.items[i], scope) == 0)
			return true;
	return false;
}

/* Adds what a challenge asks for, separated by spaces, to what the token is for. Returns whether there was anything new. */
static int scopes_add(struct auth *auth, const char *text)
{
	enum { SCOPES_MAX = 8 };
	autofree char *copy = text != NULL ? strdup(text) : NULL;
	char *rest = NULL;
	int added = 0;
	for (char *scope = copy != NULL ? strtok_r(copy, " ", &rest) : NULL; scope != NULL; scope = strtok_r(NULL, " ", &rest)) {
		if (scope_known(auth, scope) || auth->scopes.count == SCOPES_MAX)
			continue;
		if (strlist_add(&auth->scopes, scope) < 0)
			return -ENOMEM;
		added = 1;
	}
	return added;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int text_set(char **slot, const char *text)
{
	char *copy = text != NULL ? strdup(text) : NULL;
	if (text != NULL && copy == NULL)
		return -ENOMEM;
	free(*slot);
	*slot = copy;
	return 0;
}

/* Takes a challenge over. Returns whether the next request will carry something else than before: 1 or 0, or -ENOMEM. */
static int challenge_take(struct auth *auth, const struct challenge *challenge)
{
	bool other = auth->scheme != challenge->scheme;
	if (challenge->scheme == CHALLENGE_BEARER) {
		int added = scopes_add(auth, challenge->scope);
		other = other || added > 0 || !same(auth->realm, challenge->realm) || !same(auth->service, challenge->service);
		if (added < 0 || text_set(&auth->realm, challenge->realm) < 0 || text_set(&auth->service, challenge->service) < 0)
			return -ENOMEM;
	}
	auth->scheme = challenge->scheme;
	return other;
}

static int challenges_parse(const struct strlist *fields, struct challenges *challenges)
{
	int r = 0;
	for (size_t i = 0; i < fields->count && r == 0; i++)
		r = challenges_add(challenges, fields->items[i]);
	return r;
}

int auth_expect(struct auth *auth, const struct strlist *challenges, struct err *err)
{
	autochallenges struct challenges list = { .count = 0 };
	int r = challenges_parse(challenges, &list);
	const struct challenge *best = challenges_best(&list);
	pthread_mutex_lock(&auth->lock);
	if (r == 0 && best != NULL)
		r = challenge_take(auth, best);
	pthread_mutex_unlock(&auth->lock);
	return r < 0 ? no_memory(auth, err) : 0;
}

/* What was refused is not sent a second time: another token is worth asking for if the old one was good before, or if the registry
 * has said what else it should be for. */
static int answer_locked(struct auth *auth, const struct challenge *best, unsigned generation, struct err *err)
{
	if (auth->generation != generation)
		return 1; /* another thread has renewed it meanwhile */
	int other = best != NULL ? challenge_take(auth, best) : 0;
	if (other < 0)
		return no_memory(auth, err);
	if (auth->scheme == CHALLENGE_NONE)
		return 0;
	int r = credentials_get(auth, err);
	if (r < 0)
		return r;
	if (auth->scheme == CHALLENGE_BASIC && (!other || !has_password(auth)))
		return 0;
	if (auth->scheme == CHALLENGE_BEARER && !other && auth->token_uses <= 1)
		return 0;
	secret_free(auth->token);
	auth->token = NULL;
	auth->generation++;
	return 1;
}

int auth_answer(struct auth *auth, const struct strlist *challenges, unsigned generation, struct err *err)
{
	autochallenges struct challenges list = { .count = 0 };
	if (challenges_parse(challenges, &list) < 0)
		return no_memory(auth, err);
	pthread_mutex_lock(&auth->lock);
	int r = answer_locked(auth, challenges_best(&list), generation, err);
	pthread_mutex_unlock(&auth->lock);
	return r;
}

const char *auth_origin(struct auth *auth)
{
	pthread_mutex_lock(&auth->lock);
	const char *origin = origin_of(auth);
	pthread_mutex_unlock(&auth->lock);
	return origin;
}

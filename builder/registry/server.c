/* SPDX-License-Identifier: Apache-2.0
 *
 * A server: see server.h. Its front door (GET /v2/) is asked first, once: it tells whether a server that may be asked by http
 * speaks https after all, and which proof is wanted. Some registries say the latter nowhere else, or answer 404 where they want
 * a login.
 */
#include "builder/registry/server.h"

#include "builder/registry/auth.h"
#include "builder/registry/notes.h"
#include "builder/registry/refusal.h"
#include "builder/registry/retry.h"
#include "builder/registry/secret.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PROOFS_MAX = 2,          /* answers to challenges in one try: a token that has ended, then one with too small a scope */
	FRONT_DOOR_BYTES_MAX = 64 * 1024,
	WAIT_WORTH_A_NOTE_MS = 5000,
};

struct server {
	const struct endpoint *endpoint;
	struct server_options options;
	struct http_tls tls;
	struct auth *auth;
	pthread_mutex_t lock;
	bool reached, https; /* https: once reached */
};

struct server *server_new(const struct endpoint *endpoint, const struct server_options *options)
{
	struct server *server = calloc(1, sizeof(*server));
	if (server == NULL)
		return NULL;
	server->endpoint = endpoint;
	server->options = *options;
	pthread_mutex_init(&server->lock, NULL);
	if (endpoint == NULL)
		return server;
	server->tls = (struct http_tls){
		.insecure = endpoint->insecure,
		.ca_files = &endpoint->ca_files,
		.cert_file = endpoint->cert_file,
		.key_file = endpoint->key_file,
	};
	server->auth = auth_new(&(struct auth_options){
		.http = options->http,
		.tls = &server->tls,
		.host = endpoint->credentials_host,
		.repository = endpoint->name,
		.auth_file = options->auth_file,
		.mirror = endpoint->mirror,
		.credentials = options->credentials,
	});
	if (server->auth != NULL)
		return server;
	server_free(server);
	return NULL;
}

void server_free(struct server *server)
{
	if (server == NULL)
		return;
	auth_free(server->auth);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

static void show_warnings(struct server *server, const struct http_response *response)
{
	for (size_t i = 0; i < response->warnings.count; i++) {
		autofree char *text = field_warning(response->warnings.items[i]);
		if (text != NULL)
			notes_say(server->options.notes, "'%s' says: %.500s", origin_host(response->origin), text);
	}
}

static int knock(struct server *server, const struct server_request *request, bool https, struct http_response *response,
		 struct err *err)
{
	char url[ORIGIN_MAX + 8];
	snprintf(url, sizeof(url), "%s://%.255s/v2/", https ? "https" : "http", server->endpoint->host);
	struct http_request knock = {
		.method = HTTP_GET,
		.url = url,
		.accept = (const char *const[]){ "application/json", NULL },
		.tls = &server->tls,
		.body_bytes_max = FRONT_DOOR_BYTES_MAX,
		.go_on = request->go_on,
		.go_on_context = request->go_on_context,
	};
	return http_send(server->options.http, &knock, response, err);
}

/* Whether http's outcome says more than that of https, which has failed. 400: "this is https". */
static bool http_says_more(const struct http_response *https, const struct http_response *http)
{
	if (https->failure == HTTP_NOT_TLS)
		return http->failure != HTTP_UNREACHABLE;
	if (http->failure == HTTP_ANSWERED)
		return http->status != 400;
	return https->failure != HTTP_TLS && http->failure != HTTP_UNREACHABLE;
}

/* Where http is allowed, https comes first nevertheless. */
static int knock_both(struct server *server, const struct server_request *request, bool *ret_https, struct http_response *response,
		      struct err *err)
{
	*ret_https = true;
	int r = knock(server, request, true, response, err);
	if (r >= 0 || !server->endpoint->insecure || response->failure == HTTP_FORBIDDEN)
		return r;
	struct err http_err = ERR_INIT;
	autoresponse struct http_response http_response;
	int http_r = knock(server, request, false, &http_response, &http_err);
	if (!http_says_more(response, &http_response))
		return r;
	*ret_https = false;
	*err = http_err;
	struct http_response other = *response;
	*response = http_response;
	http_response = other;
	return http_r;
}

static bool is_overloaded(int status)
{
	return status == 429 || status >= 500;
}

static int reach_locked(struct server *server, const struct server_request *request, struct http_response *response,
			struct err *err)
{
	bool https;
	if (server->reached)
		return 0;
	int r = knock_both(server, request, &https, response, err);
	if (r < 0)
		return r;
	show_warnings(server, response);
	if (is_overloaded(response->status))
		return 1;
	if (response->status == 401 && !response->elsewhere && (r = auth_expect(server->auth, &response->challenges, err)) < 0)
		return r;
	server->https = https;
	server->reached = true;
	return 0;
}

/* Returns 1 if the front door is closed for now: *response is its answer. */
static int reach(struct server *server, const struct server_request *request, struct http_response *response, struct err *err)
{
	*response = (struct http_response){ .failure = HTTP_FORBIDDEN };
	pthread_mutex_lock(&server->lock);
	int r = reach_locked(server, request, response, err);
	pthread_mutex_unlock(&server->lock);
	return r;
}

static bool is_reached(struct server *server)
{
	pthread_mutex_lock(&server->lock);
	bool reached = server->reached;
	pthread_mutex_unlock(&server->lock);
	return reached;
}

static int send_once(struct server *server, const struct server_request *request, const char *url, const char *authorization,
		     struct http_response *response, struct err *err)
{
	struct http_request http_request = {
		.method = request->method,
		.url = url,
		.accept = request->accept,
		.authorization = authorization,
		.tls = &server->tls,
		.offset = request->whole ? 0 : request->position,
		.sink = request->sink,
		.body_bytes_max = request->body_bytes_max,
		.go_on = request->go_on,
		.go_on_context = request->go_on_context,
	};
	int r = http_send(server->options.http, &http_request, response, err);
	if (r >= 0)
		show_warnings(server, response);
	return r;
}

/* A challenge of the server itself; those of a server behind a redirect get no answer. */
static bool wants_proof(const struct http_response *response)
{
	if (response->elsewhere || (response->status != 401 && response->status != 403))
		return false;
	if (response->status == 401)
		return true;
	for (size_t i = 0; i < response->challenges.count; i++)
		if (strstr(response->challenges.items[i], "insufficient_scope") != NULL)
			return true;
	return false;
}

/* Asks, and answers challenges. 0 with any status. */
static int send_with_proof(struct server *server, const struct server_request *request, const char *url,
			   struct http_response *response, struct err *err)
{
	const struct auth_wait wait = { .go_on = request->go_on, .context = request->go_on_context };
	for (int proofs = 0;; proofs++) {
		autosecret char *authorization = NULL;
		unsigned generation;
		int r = auth_value(server->auth, &wait, &authorization, &generation, response, err);
		if (r < 0)
			return r;
		http_response_free(response);
		r = send_once(server, request, url, authorization, response, err);
		if (r < 0 || !wants_proof(response) || proofs == PROOFS_MAX)
			return r;
		r = auth_answer(server->auth, &response->challenges, generation, err);
		if (r <= 0)
			return r;
		http_response_free(response);
	}
}

static int try_once(struct server *server, const struct server_request *request, struct http_response *response, struct err *err)
{
	if (server->endpoint == NULL)
		return send_once(server, request, request->url, NULL, response, err);
	int r = reach(server, request, response, err);
	if (r != 0)
		return r < 0 ? r : 0;
	http_response_free(response);
	autofree char *url = NULL;
	const char *scheme = server->https ? "https" : "http";
	r = request->kind == NULL ? asprintf(&url, "%s://%s/v2/", scheme, server->endpoint->host)
				  : asprintf(&url, "%s://%s/v2/%s/%s/%s", scheme, server->endpoint->host, server->endpoint->name,
					     request->kind, request->name);
	if (r < 0) {
		url = NULL;
		return err_sys(err, ENOMEM, "cannot ask '%s'", server->endpoint->host);
	}
	return send_with_proof(server, request, url, response, err);
}

static int refused(struct server *server, const struct server_request *request, const struct http_response *response,
		   struct err *err)
{
	bool blob = request->url != NULL || (request->kind != NULL && strcmp(request->kind, "blobs") == 0);
	struct refusal refusal = { .what = request->what, .part = blob };
	if (server->endpoint != NULL) {
		refusal.login_host = server->endpoint->credentials_host;
		refusal.login_origin = auth_origin(server->auth);
	}
	return refusal_set(&refusal, response, err);
}

/* Whether it was there a moment ago. */
static bool was_there(struct server *server, const struct server_request *request)
{
	return request->position > 0 || (server->endpoint != NULL && is_reached(server));
}

static bool is_done(const struct http_response *response)
{
	return response->failure == HTTP_ANSWERED && (response->status == 200 || response->status == 206);
}

static bool wait_for_next(struct server *server, const struct server_request *request, unsigned wait_ms, const struct err *err)
{
	if (wait_ms >= WAIT_WORTH_A_NOTE_MS)
		notes_say(server->options.notes, "%s; next try in %u s", err->text, wait_ms / 1000);
	return retry_sleep(wait_ms, request->go_on, request->go_on_context);
}

int server_send(struct server *server, struct server_request *request, struct http_response *ret_response, struct err *err)
{
	struct retry retry;
	retry_begin(&retry, request->tries);
	for (;;) {
		unsigned wait_ms;
		uint64_t position = request->position;
		int r = try_once(server, request, ret_response, err);
		if (r >= 0 && is_done(ret_response))
			return 0;
		if (r >= 0)
			r = refused(server, request, ret_response, err);
		if (request->position > position)
			retry_progress(&retry);
		if (!retry_again(&retry, ret_response, was_there(server, request), &wait_ms))
			return r;
		if (!wait_for_next(server, request, wait_ms, err))
			return err_set(err, ECANCELED, "stopped");
		http_response_free(ret_response);
	}
}

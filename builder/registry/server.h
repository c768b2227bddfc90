/* SPDX-License-Identifier: Apache-2.0
 *
 * One registry or mirror that is asked for one repository: https or http, login, retries, and a message for what fails in the end.
 */
#ifndef SIMG_BUILDER_REGISTRY_SERVER_H
#define SIMG_BUILDER_REGISTRY_SERVER_H

#include "builder/registry/http.h"
#include "builder/registry/registries.h"

struct credentials;
struct err;
struct notes;
struct server; /* any thread may use it */

struct server_options {
	struct http *http;
	struct notes *notes;
	const char *auth_file;
	const struct credentials *credentials; /* instead of those that can be found; NULL: those */
};

/* endpoint and what options lead to outlive it. endpoint NULL: a server for plain addresses, without a login. NULL without
 * memory. */
struct server *server_new(const struct endpoint *endpoint, const struct server_options *options);
void server_free(struct server *server); /* takes NULL */

struct server_request {
	enum http_method method;
	const char *kind, *name;   /* "manifests", "blobs"; a tag or a digest. NULL: the front door */
	const char *url;           /* instead of the two, for a server without an endpoint */
	const char *what;          /* for messages: "image", "layer sha256:…" */
	const char *const *accept;
	const struct http_sink *sink;
	uint64_t position;         /* bytes that are there already; the sink moves it on, which makes a new start for the retries */
	bool whole;                /* all bytes are asked for nevertheless */
	size_t body_bytes_max;
	int tries;                 /* 1: no retries, but for a blob that has begun to come */
	bool (*go_on)(void *context);
	void *go_on_context;
};

/* 0 with status 200 or 206. Everything else is an error, with err for the user: see refusal.h for statuses. *ret_response is
 * the last answer; http_response_free() in any case. */
int server_send(struct server *server, struct server_request *request, struct http_response *ret_response, struct err *err);

#endif

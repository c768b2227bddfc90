/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP request and its answer, through redirects. Proxies are libcurl's matter (HTTPS_PROXY, https_proxy, http_proxy,
 * NO_PROXY), but for this machine itself, which is never asked through one. Nothing is retried here. Never prints; no message
 * holds a URL's path or query, since those of blob storage are signed.
 *
 * Environment: SIMG_STALL_SECONDS (default 30): after so long without data a transfer counts as broken, and a brief one after twice
 * that in all. Meant for tests.
 */
#ifndef SIMG_BUILDER_REGISTRY_HTTP_H
#define SIMG_BUILDER_REGISTRY_HTTP_H

#include "builder/registry/http_field.h"
#include "lib/strlist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct http; /* idle connections; any thread may use it */

/* NULL without memory. */
struct http *http_new(void);
void http_free(struct http *http); /* takes NULL */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST };

struct http_tls {
	bool insecure;          /* certificates are not checked, and a redirect from https to http is followed */
	const struct strlist *ca_files; /* valid besides the system's; NULL: none */
	const char *cert_file, *key_file; /* for the server itself, not where it redirects to */
};

struct http_response;

/* Takes the body of an answer with status 200 or 206 as it arrives. A negative return ends the request with it; err is
 * filled then. */
struct http_sink {
	int (*begin)(void *context, const struct http_response *response, struct err *err); /* its fields are there */
	int (*data)(void *context, const void *data, size_t bytes, struct err *err);
	void *context;
};

struct http_request {
	enum http_method method;
	const char *url;
	const char *const *accept; /* media types, ends with NULL; may be NULL */
	const char *authorization; /* the field's value, or NULL. For the URL's origin: a redirect to another one ends that */
	const char *form;          /* the body of a POST, which is not redirected */
	const struct http_tls *tls;
	uint64_t offset;           /* asks for the bytes from here on, if not 0 */
	const struct http_sink *sink; /* NULL: to memory */
	size_t body_bytes_max;     /* in memory */
	bool brief;                /* meant to take a moment: broken after twice the time for a transfer without data, whatever comes */
	bool (*go_on)(void *context); /* asked about once a second; NULL: always */
	void *go_on_context;
};

/* Why there is no answer. */
enum http_failure {
	HTTP_ANSWERED,    /* there is one */
	HTTP_UNREACHABLE, /* -EHOSTUNREACH: unknown host, refused, no answer to the attempt to connect; also a proxy's refusal */
	HTTP_TLS,         /* -EPROTO: no trust, or no agreement on how to encrypt */
	HTTP_NOT_TLS,     /* -EPROTO: the server's answer to https is something else */
	HTTP_BROKEN,      /* -ECONNRESET: the connection broke */
	HTTP_STALLED,     /* -ETIMEDOUT: nothing came any more, or too slowly */
	HTTP_FORBIDDEN,   /* a redirect that is not followed, a body that is too large, no memory, the sink, go_on (-ECANCELED) */
};

struct http_response {
	enum http_failure failure;
	int status;
	char origin[ORIGIN_MAX];  /* who has answered */
	bool elsewhere;           /* another origin than the one that was asked: after a redirect */
	bool by_token_server;     /* set by auth_value(): not the registry has answered, or failed to */
	int64_t content_length;   /* -1: unknown */
	char *content_type, *content_range, *content_digest, *retry_after; /* NULL: not there */
	char *rate_limit, *rate_remaining, *rate_source;
	struct strlist challenges, warnings; /* WWW-Authenticate and Warning */
	char *body;               /* without a sink; with a zero behind it. Cut if long, unless the status is 2xx. NULL if empty */
	size_t body_bytes;
};

/* 0 with any status; negative errno if there is no answer: *ret_response says why, too. The caller ends both with
 * http_response_free(). */
int http_send(struct http *http, const struct http_request *request, struct http_response *ret_response, struct err *err);

/* Wipes: a body may hold a token. */
void http_response_free(struct http_response *response);
#define autoresponse __attribute__((cleanup(http_response_free)))

/* Fills err for a proxy that answers status instead of leading to host. -EHOSTUNREACH. */
int http_proxy_refused(const char *host, int status, struct err *err);

/* The host and port of an origin, for messages. */
const char *origin_host(const char *origin);

#endif

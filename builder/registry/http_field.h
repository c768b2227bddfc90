/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of HTTP's header fields, and the origins of URLs. Pure functions.
 *
 * Source: RFC 9110 (Retry-After, Content-Range), RFC 9111 (Warning), RFC 6454 (origins).
 */
#ifndef SIMG_BUILDER_REGISTRY_HTTP_FIELD_H
#define SIMG_BUILDER_REGISTRY_HTTP_FIELD_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Retry-After, in seconds or as a date, counted from now. -1 if it is neither; a date that has passed is 0. */
long field_retry_after(const char *text, time_t now);

/* Content-Range: "bytes 100-199/200". False for anything else. *ret_total is UINT64_MAX for "*". */
bool field_content_range(const char *text, uint64_t *ret_first, uint64_t *ret_last, uint64_t *ret_total);

/* The text of a Warning with code 299, the one that registries use: the caller frees it. NULL for other codes, and for nonsense. */
char *field_warning(const char *text);

/* "https://host:port" in lower case, without the default port: who gets the request, and may see what is secret. Only http
 * and https, and only names that every parser of URLs understands in the same way: no user, no escapes. False for all
 * others. */
enum { ORIGIN_MAX = 8 + 255 + 6 + 1 };
bool url_origin(const char *url, char ret_origin[static ORIGIN_MAX]);

/* Whether an origin is this machine: "http://localhost:5000", "https://127.0.0.1", "http://[::1]:5000". */
bool origin_is_loopback(const char *origin);

bool origin_is_https(const char *origin);

#endif

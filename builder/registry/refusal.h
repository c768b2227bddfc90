/* SPDX-License-Identifier: Apache-2.0
 *
 * From an answer that is not what was asked for to a message that says what to do.
 */
#ifndef SIMG_BUILDER_REGISTRY_REFUSAL_H
#define SIMG_BUILDER_REGISTRY_REFUSAL_H

#include "builder/registry/http.h"

struct err;

enum { REFUSAL_TEXT_MAX = 256 };

/* What the registry itself says about it, as ": text" in one line, or "". Returns text. */
char *refusal_text(const struct http_response *response, char text[static REFUSAL_TEXT_MAX]);

struct refusal {
	const char *what;         /* "image", "layer sha256:…" */
	bool part;                /* it belongs to an image whose manifest is there */
	const char *login_host;   /* for simg login; NULL where no login helps */
	const char *login_origin; /* where the credentials that were sent come from, or NULL */
};

/* Fills err. -ENOENT for 404, -EACCES for 401 and 403, -EBUSY for 429, -EHOSTUNREACH for 407, else -EIO. */
int refusal_set(const struct refusal *refusal, const struct http_response *response, struct err *err);

#endif

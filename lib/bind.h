/* SPDX-License-Identifier: Apache-2.0
 *
 * What a user or a site wants mounted into a container: "SRC[:DST][:ro|rw]", several of them separated by commas on a command
 * line. A backslash takes the special meaning from the character after it (colon, comma, backslash).
 */
#ifndef SIMG_LIB_BIND_H
#define SIMG_LIB_BIND_H

#include <stdbool.h>
#include <stddef.h>

struct err;

enum { BIND_COUNT_MAX = 512 }; /* of one job and one site each: more is a mistake, and costs every launch */

struct bind {
	char *source;   /* absolute, or relative to the job's working directory */
	char *target;   /* absolute, normalised, without ".." */
	bool read_only;
	char *origin;   /* where it was asked for, for messages: "--container-mounts", "simg.conf:12" */
};

struct bind_list {
	struct bind *items;
	size_t count;
};

/* Parses the comma-separated text and appends to list. -EINVAL with the offending part and its origin in the text; what was
 * appended before the error stays in the list, which the caller frees in any case. */
int bind_parse_list(const char *text, const char *origin, struct bind_list *list, struct err *err);

/* The same for exactly one; a comma is an ordinary character. */
int bind_parse_one(const char *text, const char *origin, struct bind_list *list, struct err *err);

/* Makes the sources from number first on absolute and free of symlinks, as seen from the working directory: for binds that the calling
 * user asks for and that are made elsewhere. -ENOENT and the like, with the origin in the text. */
int bind_list_resolve(struct bind_list *list, size_t first, struct err *err);

void bind_list_free(struct bind_list *list);
#define autobinds __attribute__((cleanup(bind_list_free)))

#endif

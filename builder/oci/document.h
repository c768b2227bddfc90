/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON documents from strangers: read whole or not at all, and every access says in which document and where in it something is of
 * the wrong type. "null" counts as absent, as programs written in Go mean it.
 */
#ifndef SIMG_BUILDER_OCI_DOCUMENT_H
#define SIMG_BUILDER_OCI_DOCUMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct err;

enum { FIELD_PATH_MAX = 128 };

/* A value, and where it stands. */
struct field {
	json_t *value;             /* the document keeps it; NULL if it is absent */
	const char *document;      /* how messages call the document: "the manifest of 'app.tar'"; the caller keeps it */
	char path[FIELD_PATH_MAX]; /* "layers[3].size", empty for the document itself */
};

/* Reads a document whose root is an object or an array (type). Refuses more than bytes_max, duplicate keys, anything behind the
 * end, and what would take a hundred times its bytes in memory. *ret_root is to be released (autoroot); -EBADMSG. */
int document_parse(const char *text, size_t bytes, size_t bytes_max, const char *name, json_type type, struct field *ret_root,
		   struct err *err);

/* A member of an object. 1 if it is there, 0 if it is absent and need not be there (ret_field->value is NULL then); -EBADMSG. */
enum field_need { FIELD_OPTIONAL, FIELD_REQUIRED };
int field_member(const struct field *object, const char *key, json_type type, enum field_need need, struct field *ret_field,
		 struct err *err);

/* An item of an array. -EBADMSG if it is of another type. */
int field_item(const struct field *array, size_t index, json_type type, struct field *ret_field, struct err *err);

/* Whether an object has a member of any type. */
bool field_has(const struct field *object, const char *key);

/* The string of an optional member, NULL if it is absent or empty. */
int field_string(const struct field *object, const char *key, const char **ret_text, struct err *err);

/* "DOCUMENT: 'PATH' …": what is wrong with a field. Returns -EBADMSG. */
int field_fail(const struct field *field, struct err *err, const char *format, ...) __attribute__((format(printf, 3, 4)));

static inline void cleanup_json(json_t **slot)
{
	json_decref(*slot);
}
#define autojson __attribute__((cleanup(cleanup_json)))

static inline void cleanup_root(struct field *root)
{
	json_decref(root->value);
}
#define autoroot __attribute__((cleanup(cleanup_root))) /* of document_parse(); begins as { 0 } */

#endif

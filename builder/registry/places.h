/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a user's settings about registries lie, and how they are read: small files, whole, whatever their owner and mode.
 */
#ifndef SIMG_BUILDER_REGISTRY_PLACES_H
#define SIMG_BUILDER_REGISTRY_PLACES_H

#include <stddef.h>

struct err;

/* The variable's value, or NULL if it is not set or empty. */
const char *place_variable(const char *name);

/* "$HOME/REST", and "$XDG_CONFIG_HOME/REST" or "$HOME/.config/REST". The caller frees *ret_path, which is NULL where HOME is
 * not set: there is no such place then. -ENOMEM or 0. */
int place_in_home(const char *rest, char **ret_path, struct err *err);
int place_in_config(const char *rest, char **ret_path, struct err *err);

/* Reads a regular file of at most 1 MiB. The text has a zero byte behind its end; the caller frees it. A file that does not
 * exist is no error: *ret_text is NULL then. */
int place_read(const char *path, char **ret_text, size_t *ret_bytes, struct err *err);

#endif

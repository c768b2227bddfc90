/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON with secrets in it, which is wiped before it is released: jansson keeps its strings in memory of their own.
 */
#ifndef SIMG_BUILDER_REGISTRY_JSON_SECRET_H
#define SIMG_BUILDER_REGISTRY_JSON_SECRET_H

#include <jansson.h>

/* Overwrites all strings in value with zeros, also where others hold references to it. Takes NULL. */
void json_wipe(json_t *value);

/* Releases json_t *, wiped. */
void cleanup_json(json_t **slot);
#define autojson __attribute__((cleanup(cleanup_json)))

#endif

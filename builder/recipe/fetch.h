/* SPDX-License-Identifier: Apache-2.0
 *
 * What a mirror of packages says of itself.
 */
#ifndef SIMG_BUILDER_RECIPE_FETCH_H
#define SIMG_BUILDER_RECIPE_FETCH_H

struct digest;
struct recipe_stage;

/* The digest of the mirror's index, which changes whenever a package does: dists/SUITE/InRelease (or Release) of Debian's,
 * repodata/repomd.xml of others. 0, or -1 if it cannot be had: no reason to fail, but one not to keep a result. */
int fetch_index_digest(const struct recipe_stage *stage, struct digest *ret_digest);

/* A header with "%{OSVERSION}" replaced, or NULL without memory or if there is no such header. The caller frees. */
char *fetch_header_expand(const struct recipe_stage *stage, const char *key);

#endif

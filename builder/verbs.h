/* SPDX-License-Identifier: Apache-2.0
 *
 * The builder's verbs, for the table in runtime/simg.c.
 */
#ifndef SIMG_BUILDER_VERBS_H
#define SIMG_BUILDER_VERBS_H

#include "lib/verb.h"

extern const struct verb verb_build;
extern const struct verb verb_shell;   /* simg build */
extern const struct verb verb_cache;   /* simg cache */
extern const struct verb verb_diff;    /* simg diff */
extern const struct verb verb_inspect; /* simg inspect */
extern const struct verb verb_login;   /* simg login */
extern const struct verb verb_logout;  /* simg logout */

#endif

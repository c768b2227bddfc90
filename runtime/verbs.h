/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime's verbs, for the table in runtime/simg.c.
 */
#ifndef SIMG_RUNTIME_VERBS_H
#define SIMG_RUNTIME_VERBS_H

#include "lib/verb.h"

extern const struct verb verb_doctor; /* simg doctor */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Bases that a program of the host makes: debootstrap, dnf and yum.
 */
#ifndef SIMG_BUILDER_RECIPE_AGENT_H
#define SIMG_BUILDER_RECIPE_AGENT_H

#include "lib/strlist.h"

struct err;
struct recipe_stage;

/* The command that fills the empty directory root. directory: where it may leave files of its own; architecture as for --arch, or
 * NULL. -ENOENT if the host lacks the program. */
int agent_command(const struct recipe_stage *stage, const char *root, const char *directory, const char *architecture,
		  struct strlist *ret_command, struct err *err);

#endif

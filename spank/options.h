/* SPDX-License-Identifier: Apache-2.0
 *
 * The container options of srun, sbatch and salloc. On the submit side they are checked and exported as environment variables
 * (SLURM_SIMG_…, which Slurm carries to the nodes whatever --export says, and into the steps of a job); on a node they are read from
 * there. So a step inside `sbatch --container=…` inherits the whole request, and one that names a container of its own starts afresh.
 */
#ifndef SIMG_SPANK_OPTIONS_H
#define SIMG_SPANK_OPTIONS_H

#include "lib/launch.h"
#include "lib/strlist.h"

#include <slurm/spank.h>
#include <stdbool.h>

struct err;

/* What was asked for; every string may be NULL. */
struct options {
	char *container; /* as typed, or resolved by the submit side; "none" switches an inherited one off */
	char *mounts;
	char *workdir;
	char *env;       /* NAME[=VALUE],… */
	enum home_choice home;
	bool home_conflict; /* asked for both ways */
	bool writable;
};

/* Registers the options with Slurm, in any context. Those given on the command line end up in *options_given(); call it before Slurm looks
 * for them in the environment. */
int options_register(spank_t spank);
struct options *options_given(void);

/* True if something besides the container itself was asked for. */
bool options_any(const struct options *options);

/* Checks what can be told without a node: syntax of mounts, environment and working directory. */
int options_check(const struct options *options, struct err *err);

/* Exports to this process's environment, replacing what was inherited; the container itself as SLURM_CONTAINER. */
int options_export(const struct options *options, struct err *err);

/* Reads from an environment array (NULL-terminated). The caller frees with options_free(). */
int options_import(char *const *env, struct options *ret_options, struct err *err);
void options_free(struct options *options);

/* A container other than "none" is asked for. */
bool options_want_container(const struct options *options);

/* Splits --container-env at its commas; a backslash keeps the character after it. Each item is NAME or NAME=VALUE. */
int options_split_env(const char *text, struct strlist *ret_items, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * What an OCI image configuration says about program and environment, as scripts for sh. Every byte of an argument or value is
 * literal: nothing in it is ever evaluated by the shell. The scripts need no more than POSIX, since Apptainer reads some of them
 * with a shell of its own.
 */
#ifndef SIMG_BUILDER_SCRIPT_H
#define SIMG_BUILDER_SCRIPT_H

struct strlist;

/* The runscript: executes entrypoint, followed by the script's arguments, or by command if there are none. Without an entrypoint
 * the arguments are the whole command line; without anything it says so and starts a shell. An entrypoint that is one empty string
 * counts as none, which is how Docker spells it. The caller frees; NULL without memory. */
char *script_run(const struct strlist *entrypoint, const struct strlist *command);

/* Exports the items of env ("NAME=VALUE"): PATH in any case, others if they are empty or not set. Of several values for one name
 * the last counts; items that image_env_is_valid() of lib/image_config.h refuses are left out. The caller frees; NULL without
 * memory. */
char *script_environment(const struct strlist *env);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * How the plugin talks to people: through Slurm, one line a message, control characters replaced.
 */
#ifndef SIMG_SPANK_REPORT_H
#define SIMG_SPANK_REPORT_H

struct err;

/* An error with its hint; on a node, with the node's name (NULL on the submit side). */
void report_err(const char *node, const struct err *err);

/* A note on the task's standard error, which must be set up. */
void report_note(const char *text);

#endif

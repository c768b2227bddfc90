/* SPDX-License-Identifier: Apache-2.0
 *
 * The plugin in srun, sbatch and salloc: takes the options, resolves the image's name where the user typed it, and refuses what is
 * plainly wrong before anything is queued. Runs as the user.
 */
#ifndef SIMG_SPANK_SUBMIT_H
#define SIMG_SPANK_SUBMIT_H

#include <slurm/spank.h>

/* Before the options are parsed: puts the inherited request aside. */
int submit_begin(spank_t spank);

/* After they were parsed: decides what this job or step runs in. The arguments are the plugin's in plugstack.conf. If that fails, prints why
 * and ends the program. */
int submit_finish(int arg_count, char *const *args);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The plugin on a node: one container for a step, made by simg-helper for the first task, entered by all. What the tasks share is made
 * by slurmstepd before it forks them: a page with the outcome and a lock, and a socket pair whose queue holds the descriptor of the
 * container's mount namespace. The queue keeps the namespace alive as long as slurmstepd lives, and needs no process.
 */
#ifndef SIMG_SPANK_STEP_H
#define SIMG_SPANK_STEP_H

#include <slurm/spank.h>

struct step;

/* slurmstepd, root, after the options are known: reads the request. Returns NULL if the step runs on the host. Whatever is wrong, the lack
 * of memory included, is remembered and told by the tasks, where the user can read it. */
struct step *step_open(spank_t spank, int arg_count, char *const *args);

/* Task process, root: the first task starts simg-helper. After a failure the task goes on to step_enter(), which ends it where Slurm expects
 * a task to end. */
void step_prepare(struct step *step);

/* Task process, the user: waits until the container is there and enters it for good, sets environment and working directory. If that fails, prints why (one task of
 * the node does) and ends the process: a task that asked for a container never runs outside of it, whatever plugstack.conf says about
 * plugins that fail. */
void step_enter(struct step *step, spank_t spank);

#endif

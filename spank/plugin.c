/* SPDX-License-Identifier: Apache-2.0
 *
 * The SPANK plugin: Slurm's hooks, each handed to the side that it belongs to.
 */
#include "spank/options.h"
#include "spank/step.h"
#include "spank/submit.h"

#include <slurm/spank.h>

#define EXPORT __attribute__((visibility("default")))

/* The macro defines plugin_name, plugin_type and plugin_version, which Slurm looks up. */
#pragma GCC visibility push(default)
SPANK_PLUGIN(simg, 1)
#pragma GCC visibility pop

/* This step's container in slurmstepd and, after the fork, in its tasks; NULL if it runs on the host. */
static struct step *step;

EXPORT int slurm_spank_init(spank_t spank, int arg_count, char **args);
EXPORT int slurm_spank_init(spank_t spank, int arg_count, char **args)
{
	(void)arg_count;
	(void)args;
	switch (spank_context()) {
	case S_CTX_LOCAL:
	case S_CTX_ALLOCATOR:
		return submit_begin(spank);
	case S_CTX_REMOTE:
		return options_register(spank);
	default:
		return ESPANK_SUCCESS;
	}
}

EXPORT int slurm_spank_init_post_opt(spank_t spank, int arg_count, char **args);
EXPORT int slurm_spank_init_post_opt(spank_t spank, int arg_count, char **args)
{
	switch (spank_context()) {
	case S_CTX_LOCAL:
	case S_CTX_ALLOCATOR:
		return submit_finish(arg_count, args);
	case S_CTX_REMOTE:
		step = step_open(spank, arg_count, args);
		return ESPANK_SUCCESS;
	default:
		return ESPANK_SUCCESS;
	}
}

EXPORT int slurm_spank_task_init_privileged(spank_t spank, int arg_count, char **args);
EXPORT int slurm_spank_task_init_privileged(spank_t spank, int arg_count, char **args)
{
	(void)spank;
	(void)arg_count;
	(void)args;
	if (step != NULL)
		step_prepare(step);
	return ESPANK_SUCCESS;
}

EXPORT int slurm_spank_task_init(spank_t spank, int arg_count, char **args);
EXPORT int slurm_spank_task_init(spank_t spank, int arg_count, char **args)
{
	(void)arg_count;
	(void)args;
	if (step != NULL)
		step_enter(step, spank);
	return ESPANK_SUCCESS;
}

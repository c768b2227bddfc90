/* SPDX-License-Identifier: Apache-2.0
 *
 * A Slurm that is none: it loads the plugin and drives it through its hooks as srun, slurmd and slurmstepd do, tells it what the
 * scene says, and lets fail what the scene wants to fail. Each scene runs in a process of its own, so the plugin begins afresh. What it printed,
 * and what became of the processes, is in the result.
 */
#ifndef SIMG_TESTS_SPANK_HOST_H
#define SIMG_TESTS_SPANK_HOST_H

#include <slurm/slurm.h>
#include <slurm/spank.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { HOST_TASKS_MAX = 16, HOST_LIST_MAX = 12 };

struct host_option {
	const char *name, *arg;
};

struct scene {
	enum spank_context context;
	const char *args[HOST_LIST_MAX];           /* the plugin's in plugstack.conf */
	const char *env[HOST_LIST_MAX];            /* what the command inherits; on a node, the job's */
	const char *cwd;                           /* NULL: as it is */
	int refuse_option;                         /* the first, second, … option is not registered */

	/* the submit side */
	const char *container;                     /* what Slurm's own --container says, NULL if it is not typed */
	struct host_option options[HOST_LIST_MAX]; /* what of ours is typed */
	const char *second_container;              /* a second component of the job asks for this one … */
	bool second;                               /* … or for none */

	/* a node */
	uint64_t failing;                          /* bits of the spank_items that Slurm does not tell */
	bool refuse_setenv;
	bool no_descriptors;                       /* slurmstepd can open no file */
	uint32_t step_id, node_id;
	const char *const *argv;
	int task_count;                            /* 1 if 0 */
	void (*meanwhile)(void);                   /* done while the tasks run */
};
#define HOST_BIT(item) (1ULL << (item))

/* Strings are valid until the next scene. */
struct result {
	int status;                       /* of srun or slurmstepd: its exit status, or 128 + a signal */
	int task_status[HOST_TASKS_MAX];
	int option_count;                 /* registered */
	const char *log;                  /* what went through slurm_error(), a line each */
	const char *facts;                /* srun: its environment afterwards. Tasks: "task N: …", see host.c */
	const char *output;               /* standard error of the tasks */
};

/* Runs it as srun (S_CTX_LOCAL), salloc and sbatch (S_CTX_ALLOCATOR), slurmstepd (S_CTX_REMOTE), or any other. */
struct result host_play(const struct scene *scene);

/* The user that tasks run as: root's are made that user's, others stay what they are. */
enum { HOST_UID = 54321, HOST_GID = 54322, HOST_OTHER_GID = 54323 };

#endif

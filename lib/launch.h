/* SPDX-License-Identifier: Apache-2.0
 *
 * What the plugin and simg-helper say to each other. The plugin writes a request and runs the helper once per step and node with
 * descriptor LAUNCH_REQUEST_FD (a memfd with the request) and LAUNCH_REPLY_FD (a SOCK_SEQPACKET socket). The helper answers with one
 * packet and exits: an outcome, and on success two descriptors, the mount namespace and a memfd with the entry.
 */
#ifndef SIMG_LIB_LAUNCH_H
#define SIMG_LIB_LAUNCH_H

#include "lib/err.h"
#include "lib/strlist.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct wire;

enum { LAUNCH_REQUEST_FD = 3, LAUNCH_REPLY_FD = 4 };

enum home_choice { HOME_DEFAULT, HOME_MOUNT, HOME_NONE };

/* Identity, job and Slurm's directories come from slurmstepd and are trusted; the rest is the user's and is not. */
struct launch_request {
	uid_t uid;
	gid_t gid;
	gid_t *gids;                /* supplementary groups */
	uint32_t gid_count;
	uint32_t job_id, step_id;
	char *node;                 /* Slurm's name of this node */
	char *spool_dir;            /* SlurmdSpoolDir of this node, NULL if not known */
	char *tmp_fs;               /* TmpFS of this node, NULL if not known */
	char *batch_script;         /* the job script's path in the spool directory, NULL in other steps */
	struct strlist prologs;     /* TaskProlog */
	struct strlist conf_args;   /* the plugin's arguments in plugstack.conf */

	char *image;                /* as --container had it, or as the submit side resolved it */
	char *cwd;                  /* the job's working directory */
	char *mounts;               /* --container-mounts, NULL if not given */
	char *workdir;              /* --container-workdir, NULL if not given */
	char *home_dir;             /* HOME of the job's environment: only used for a user whom the user database does not know */
	char *user_name;            /* likewise */
	enum home_choice home;
	bool writable;
	bool has_tz;                /* the job's environment sets TZ */
};

/* What a task needs to enter: read by every task of the step. */
struct launch_entry {
	uint64_t root_dev, root_ino; /* what "/" must be after entering */
	char *image;                 /* resolved path, for SIMG_IMAGE */
	char *workdir;               /* the image's own working directory, NULL if it has none */
	struct strlist env;          /* NAME=VALUE of the image and of the plan */
	struct strlist notes;        /* lines for the user */
};

void launch_request_put(struct wire *wire, const struct launch_request *request);
int launch_request_get(struct wire *wire, struct launch_request *ret_request); /* 0 or -EBADMSG; free in both cases */
void launch_request_free(struct launch_request *request);

void launch_entry_put(struct wire *wire, const struct launch_entry *entry);
int launch_entry_get(struct wire *wire, struct launch_entry *ret_entry);       /* 0 or -EBADMSG; free in both cases */
void launch_entry_free(struct launch_entry *entry);

/* The outcome packet: err->code 0 is success. */
void launch_outcome_put(struct wire *wire, const struct err *err);
int launch_outcome_get(struct wire *wire, struct err *ret_err); /* 0, -EBADMSG */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan: everything that a launch will mount, decided without privilege, each item with the rule that caused it. The planner (the
 * user's process) makes it and sends it; the executor (root) receives it, checks it against the site's policy and carries it out.
 */
#ifndef SIMG_RUNTIME_PLAN_H
#define SIMG_RUNTIME_PLAN_H

#include "lib/launch.h"

#include <stdbool.h>
#include <stddef.h>

struct conf;
struct err;

/* Who asked for a mount: decides where it may go. */
enum plan_origin {
	PLAN_SYSTEM, /* we: fixed targets and sources, see policy.h */
	PLAN_SITE,   /* bind in simg.conf */
	PLAN_USER,   /* --container-mounts, home, working directory */
};

enum plan_kind {
	PLAN_BIND,  /* the file or directory that fd is open on, with what is mounted below it */
	PLAN_FILE,  /* a small read-only file with the content of the memfd fd */
	PLAN_TMPFS, /* a fresh, private file system */
};

/* The strings belong to the plan once the mount is in one. */
struct plan_mount {
	enum plan_kind kind;
	enum plan_origin origin;
	int fd;           /* O_PATH or memfd; -1 for PLAN_TMPFS */
	const char *source; /* for messages */
	const char *target;     /* absolute and normalised, as asked for: resolved in the new root when it is mounted */
	bool read_only;
	bool directory;   /* what is mounted is a directory */
	const char *rule; /* why it is here: "simg.conf:12", "--container-mounts", "mount_home" */
};

/* A mount point that the image lacks: below the existing directory `anchor` (resolved, in the image) the path `missing`. */
struct plan_point {
	char *anchor;
	char *missing;
	bool directory;
};

struct plan {
	struct plan_mount *mounts;
	size_t mount_count;
	struct plan_point *points;
	size_t point_count;
	bool writable;
	struct launch_entry entry; /* env, workdir, notes; root_dev and root_ino are the executor's to fill */
};
#define PLAN_INIT { .mounts = NULL }

enum { PLAN_MOUNTS_MAX = 2048, PLAN_FILE_BYTES_MAX = 4 << 20 };

/* Adds one item; takes the descriptor over, copies the strings. On failure the descriptor is closed. */
int plan_add_mount(struct plan *plan, const struct plan_mount *mount, struct err *err);
int plan_add_point(struct plan *plan, const struct plan_point *point, struct err *err);

/* Sends the plan over a SOCK_SEQPACKET socket, and receives one. What comes in is well-formed afterwards (targets normalised, kinds and
 * counts in range, a descriptor with every item that needs one) but not yet allowed: policy_check_plan() decides that. */
int plan_send(int socket, const struct plan *plan, struct err *err);
int plan_receive(int socket, struct plan *ret_plan, struct err *err);

void plan_free(struct plan *plan);
#define autoplan __attribute__((cleanup(plan_free)))

#endif

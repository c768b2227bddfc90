/* SPDX-License-Identifier: Apache-2.0
 *
 * The executor: the privileged half of a launch. Carries a plan out in a mount namespace of its own. Works on descriptors that the
 * planner opened and on names that it has checked; reads nothing of the user's or the image's.
 */
#ifndef SIMG_RUNTIME_EXECUTOR_H
#define SIMG_RUNTIME_EXECUTOR_H

#include "runtime/plan.h"

#include <sys/types.h>

struct conf;
struct err;
struct image;
struct launch_request;

/* A root under construction. It is built on a small tmpfs, the top, in a cover that is mounted on "/": so no directory of the node is
 * needed, and paths, which start at the root below the cover, don't see it. The cover is unbindable: a bind of the host's "/" must not
 * bring it along. */
struct executor {
	const struct launch_request *request;
	const struct conf *conf;
	int cover_fd;
	int top_fd;
	int image_fd;  /* the image's tree, mounted on TOP/root */
	int root_fd;   /* what will be "/": the image, or an overlay on it */
	bool fresh;    /* nothing of the image is in memory yet */
	dev_t private_tmp[2]; /* file systems of the plan's PLAN_TMPFS mounts; 0: none */
	unsigned made; /* for names of what is put on the tmpfs */
};
#define EXECUTOR_INIT { .cover_fd = -1, .top_fd = -1, .image_fd = -1, .root_fd = -1 }

/* Makes the private namespace and the tmpfs. CAP_SYS_ADMIN. */
int executor_begin(struct executor *executor, const struct launch_request *request, const struct conf *conf, struct err *err);

/* Mounts the image (a descriptor of the user's, see driver.h); afterwards image_fd is its tree. */
int executor_mount_image(struct executor *executor, int fd, const struct image *image, struct err *err);

/* Carries out the plan, which policy_check_plan() has allowed, asks the policy about every resolved target, and pivots. Fills root_dev
 * and root_ino of the plan's entry. */
int executor_carry_out(struct executor *executor, struct plan *plan, struct err *err);

void executor_free(struct executor *executor);

#endif

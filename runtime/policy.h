/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be mounted where. The planner asks, so that a refusal comes early and with the user's words; the executor asks again as
 * root, because the planner is the user's process and might be anybody's by then.
 */
#ifndef SIMG_RUNTIME_POLICY_H
#define SIMG_RUNTIME_POLICY_H

#include "lib/strlist.h"
#include "runtime/plan.h"

struct conf;
struct err;
struct launch_request;

struct policy {
	const struct conf *conf;
	struct strlist loaders; /* resolved paths of the image's dynamic loaders, and of the links to them */
};

/* Finds the loaders in the root that root_fd is open on. conf must outlive the policy. */
int policy_init(struct policy *policy, const struct conf *conf, int root_fd, struct err *err);
void policy_free(struct policy *policy);

/* May a mount of this origin lie on `resolved`, the absolute path without symlinks that its target leads to in the new root? Users
 * may not cover /etc, /proc, /sys, /dev, the root itself, a loader, what holds one of them, or what the site protects. -EPERM
 * with the target and rule of the mount in the text. */
int policy_check_target(const struct policy *policy, const struct plan_mount *mount, const char *resolved, struct err *err);

/* Root's check of a received plan: the planner may claim a system or site mount only where one belongs, a system bind only of
 * the same path of the host, a site bind only of the source and mode that simg.conf names. Looks paths up, so it is called with the user's
 * file system rights. */
int policy_check_plan(const struct policy *policy, const struct launch_request *request, const struct plan *plan, struct err *err);

/* The host's paths that a launch mounts at the same place inside, besides the user's and site's: /proc, /sys, /dev, /tmp, … and
 * Slurm's directories of this step. Not all exist everywhere. */
int policy_system_paths(const struct launch_request *request, struct strlist *ret_paths, struct err *err);

#endif

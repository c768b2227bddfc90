/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be mounted where: see policy.h.
 */
#include "runtime/policy.h"

#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/path.h"
#include "mpi/wireup.h"

#include <string.h>
#include <sys/stat.h>

/* Everything below these is the system's: a user's mount there could lie to programs about users, devices or the kernel. */
static const char *const system_dirs[] = { "/etc", "/proc", "/sys", "/dev" };

/* Who controls the loader controls every program, also those that a site trusts. Source: each ABI's program interpreter. */
static const char *const loader_paths[] = {
#if defined(__x86_64__)
	"/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "/lib/ld-linux.so.2",
#elif defined(__aarch64__)
	"/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1",
#endif
};

static const char *const host_paths[] = {
	"/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/etc/hosts", "/etc/resolv.conf", "/etc/localtime",
};
static const char *const made_files[] = { "/etc/passwd", "/etc/group" };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Where a loader is, and where the link to it is that programs name: who covers the link gives them another loader. */
static int add_loader(struct policy *policy, int root_fd, const char *path)
{
	const char *name = strrchr(path, '/');
	autofree char *dir_path = strndup(path, (size_t)(name - path));
	autoplace struct path_place dir = PATH_PLACE_INIT, loader = PATH_PLACE_INIT;
	if (dir_path == NULL)
		return -ENOMEM;
	if (path_resolve(root_fd, dir_path, &dir, NULL) < 0 || path_resolve(root_fd, path, &loader, NULL) < 0 || loader.missing[0] != '\0')
		return 0;
	int r = strlist_add(&policy->loaders, loader.real);
	return r < 0 ? r : strlist_addf(&policy->loaders, "%s%s", dir.real, name);
}

int policy_init(struct policy *policy, const struct conf *conf, int root_fd, struct err *err)
{
	*policy = (struct policy){ .conf = conf };
	for (size_t i = 0; i < COUNT(loader_paths); i++)
		if (add_loader(policy, root_fd, loader_paths[i]) < 0)
			return err_sys(err, ENOMEM, "cannot set up the mount policy");
	return 0;
}

void policy_free(struct policy *policy)
{
	strlist_free(&policy->loaders);
}

static int refuse(const struct plan_mount *mount, const char *resolved, const char *why, struct err *err)
{
	if (strcmp(mount->target, resolved) == 0)
		return err_set(err, EPERM, "%s: users may not mount on '%s': %s", mount->rule, mount->target, why);
	return err_set(err, EPERM, "%s: users may not mount on '%s' (it leads to '%s'): %s", mount->rule, mount->target, resolved, why);
}

static bool touches(const char *resolved, const char *path)
{
	return path_is_beneath(resolved, path) || path_is_beneath(path, resolved);
}

int policy_check_target(const struct policy *policy, const struct plan_mount *mount, const char *resolved, struct err *err)
{
	if (strcmp(resolved, "/") == 0)
		return err_set(err, EPERM, "%s: nothing can be mounted on '/': that is the image", mount->rule);
	/* An image's /tmp that is a link must not put a private one there, either. */
	for (size_t i = 0; (mount->origin == PLAN_USER || mount->kind == PLAN_TMPFS) && i < COUNT(system_dirs); i++)
		if (touches(resolved, system_dirs[i]))
			return refuse(mount, resolved, "it belongs to the system", err);
	if (mount->origin != PLAN_USER)
		return 0;
	for (size_t i = 0; i < policy->loaders.count; i++)
		if (touches(resolved, policy->loaders.items[i]))
			return refuse(mount, resolved, "it would cover the dynamic loader", err);
	for (size_t i = 0; i < policy->conf->protect.count; i++)
		if (touches(resolved, policy->conf->protect.items[i]))
			return refuse(mount, resolved, "the site protects it (simg.conf: protect)", err);
	return 0;
}

int policy_system_paths(const struct launch_request *request, struct strlist *ret_paths, struct err *err)
{
	autostrlist struct strlist paths = { 0 };
	int r = 0;
	for (size_t i = 0; i < COUNT(host_paths) && r == 0; i++)
		r = strlist_add(&paths, host_paths[i]);
	for (size_t i = 0; i < request->prologs.count && r == 0; i++)
		r = strlist_add(&paths, request->prologs.items[i]);
	if (r == 0 && request->batch_script != NULL) {
		const char *slash = strrchr(request->batch_script, '/');
		autofree char *dir = strndup(request->batch_script, slash != NULL ? (size_t)(slash - request->batch_script) : 0);
		r = dir == NULL ? -ENOMEM : strlist_add(&paths, dir);
	}
	if (r == 0)
		r = wireup_paths(request->spool_dir, request->tmp_fs, request->job_id, request->step_id, &paths);
	if (r < 0)
		return err_sys(err, -r, "cannot list the system's mounts");
	*ret_paths = paths;
	paths = (struct strlist){ 0 };
	return 0;
}

static bool list_has(const struct strlist *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], text) == 0)
			return true;
	return false;
}

static bool same_file(int fd, const char *path)
{
	struct stat a, b;
	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static bool system_mount_is_right(const struct plan_mount *mount, const struct strlist *system_paths)
{
	switch (mount->kind) {
	case PLAN_FILE:
		return strcmp(mount->target, made_files[0]) == 0 || strcmp(mount->target, made_files[1]) == 0;
	case PLAN_TMPFS:
		return strcmp(mount->target, "/tmp") == 0 || strcmp(mount->target, "/var/tmp") == 0;
	case PLAN_BIND:
		return list_has(system_paths, mount->target) && same_file(mount->fd, mount->target);
	}
	return false;
}

static bool site_mount_is_right(const struct plan_mount *mount, const struct conf *conf)
{
	for (size_t i = 0; i < conf->binds.count; i++)
		if (strcmp(conf->binds.items[i].target, mount->target) == 0 && same_file(mount->fd, conf->binds.items[i].source))
			return mount->kind == PLAN_BIND && (mount->read_only || !conf->binds.items[i].read_only);
	return false;
}

int policy_check_plan(const struct policy *policy, const struct launch_request *request, const struct plan *plan, struct err *err)
{
	autostrlist struct strlist system_paths = { 0 };
	int r = policy_system_paths(request, &system_paths, err);
	for (size_t i = 0; i < plan->mount_count && r == 0; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		bool right = mount->kind == PLAN_BIND;
		if (mount->origin == PLAN_SYSTEM)
			right = system_mount_is_right(mount, &system_paths);
		else if (mount->origin == PLAN_SITE)
			right = site_mount_is_right(mount, policy->conf);
		if (!right)
			r = err_set(err, EPERM, "the plan wants a mount on '%s' that the policy does not know", mount->target);
	}
	if (r == 0 && plan->writable != request->writable)
		r = err_set(err, EPERM, "the plan and the request differ about --container-writable");
	return r;
}

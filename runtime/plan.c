/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan and its way from the planner to root: see plan.h. One packet a mount, since a packet carries few descriptors.
 */
#include "runtime/plan.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/path.h"
#include "lib/wire.h"

#include <string.h>

static void mount_free(struct plan_mount *mount)
{
	cleanup_close(&mount->fd);
	free((void *)mount->source);
	free((void *)mount->target);
	free((void *)mount->rule);
}

static void point_free(struct plan_point *point)
{
	free(point->anchor);
	free(point->missing);
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->mount_count; i++)
		mount_free(&plan->mounts[i]);
	for (size_t i = 0; i < plan->point_count; i++)
		point_free(&plan->points[i]);
	free(plan->mounts);
	free(plan->points);
	launch_entry_free(&plan->entry);
	*plan = (struct plan)PLAN_INIT;
}

/* Takes over everything in mount. */
static int take_mount(struct plan *plan, struct plan_mount mount, struct err *err)
{
	int r = 0;
	if (mount.source == NULL || mount.target == NULL || mount.rule == NULL)
		r = err_sys(err, ENOMEM, "cannot add to the plan");
	else if (plan->mount_count >= PLAN_MOUNTS_MAX)
		r = err_set(err, E2BIG, "more than %d mounts", PLAN_MOUNTS_MAX);
	struct plan_mount *mounts = r < 0 ? NULL : reallocarray(plan->mounts, plan->mount_count + 1, sizeof(*mounts));
	if (r == 0 && mounts == NULL)
		r = err_sys(err, ENOMEM, "cannot add to the plan");
	if (r < 0) {
		mount_free(&mount);
		return r;
	}
	plan->mounts = mounts;
	plan->mounts[plan->mount_count++] = mount;
	return 0;
}

static int take_point(struct plan *plan, struct plan_point point, struct err *err)
{
	struct plan_point *points = NULL;
	if (point.anchor != NULL && point.missing != NULL && plan->point_count < PLAN_MOUNTS_MAX)
		points = reallocarray(plan->points, plan->point_count + 1, sizeof(*points));
	if (points == NULL) {
		point_free(&point);
		return err_sys(err, ENOMEM, "cannot add a mount point to the plan");
	}
	plan->points = points;
	plan->points[plan->point_count++] = point;
	return 0;
}

int plan_add_mount(struct plan *plan, const struct plan_mount *mount, struct err *err)
{
	struct plan_mount copy = *mount;
	copy.source = strdup(mount->source);
	copy.target = strdup(mount->target);
	copy.rule = strdup(mount->rule);
	return take_mount(plan, copy, err);
}

int plan_add_point(struct plan *plan, const struct plan_point *point, struct err *err)
{
	struct plan_point copy = { .directory = point->directory };
	copy.anchor = strdup(point->anchor);
	copy.missing = strdup(point->missing);
	return take_point(plan, copy, err);
}

/* Header packet: counts, points and the entry (in a memfd: an environment can be larger than a packet). */
static int send_header(int socket, const struct plan *plan)
{
	autowire struct wire body = WIRE_INIT, packet = WIRE_INIT;
	wire_put_u64(&body, plan->mount_count);
	wire_put_u64(&body, plan->writable);
	wire_put_u64(&body, plan->point_count);
	for (size_t i = 0; i < plan->point_count; i++) {
		wire_put_string(&body, plan->points[i].anchor);
		wire_put_string(&body, plan->points[i].missing);
		wire_put_u64(&body, plan->points[i].directory);
	}
	launch_entry_put(&body, &plan->entry);
	autoclose int fd = wire_to_memfd(&body);
	if (fd < 0)
		return fd;
	wire_put_u64(&packet, plan->mount_count);
	return wire_send(socket, &packet, &fd, 1);
}

static int send_mount(int socket, const struct plan_mount *mount)
{
	autowire struct wire packet = WIRE_INIT;
	wire_put_u64(&packet, mount->kind);
	wire_put_u64(&packet, mount->origin);
	wire_put_u64(&packet, mount->read_only);
	wire_put_u64(&packet, mount->directory);
	wire_put_string(&packet, mount->source);
	wire_put_string(&packet, mount->target);
	wire_put_string(&packet, mount->rule);
	return wire_send(socket, &packet, &mount->fd, mount->fd >= 0 ? 1 : 0);
}

int plan_send(int socket, const struct plan *plan, struct err *err)
{
	int r = send_header(socket, plan);
	for (size_t i = 0; i < plan->mount_count && r == 0; i++)
		r = send_mount(socket, &plan->mounts[i]);
	return r < 0 ? err_sys(err, -r, "cannot send the plan") : 0;
}

static int bad_plan(struct err *err, const char *what)
{
	return err_set(err, EBADMSG, "the planner sent a bad plan: %s", what);
}

static bool is_normalised(const char *path)
{
	autofree char *same = NULL;
	return path != NULL && path_normalise(path, "path", &same, NULL) == 0 && strcmp(path, same) == 0;
}

static bool is_relative_clean(const char *path)
{
	return path != NULL && path[0] != '\0' && path[0] != '/' && strlen(path) < 4096 && !path_has_dotdot(path);
}

static int receive_header(int socket, struct plan *plan, uint64_t *ret_count, struct err *err)
{
	autowire struct wire packet = WIRE_INIT, body = WIRE_INIT;
	int fds[WIRE_FDS_MAX];
	int r = wire_receive(socket, 0, &packet, fds);
	if (r < 0)
		return err_sys(err, -r, "cannot receive the plan");
	autoclose int fd = fds[0];
	for (int i = 1; i < WIRE_FDS_MAX; i++)
		cleanup_close(&fds[i]);
	if (fd < 0 || wire_from_fd(fd, &body) < 0)
		return bad_plan(err, "header");
	*ret_count = wire_get_u64(&body);
	plan->writable = wire_get_u64(&body) != 0;
	uint64_t points = wire_get_u64(&body);
	if (*ret_count > PLAN_MOUNTS_MAX || points > PLAN_MOUNTS_MAX)
		return bad_plan(err, "too many mounts");
	for (uint64_t i = 0; i < points && wire_ok(&body); i++) {
		struct plan_point point = { 0 };
		point.anchor = wire_get_string(&body);
		point.missing = wire_get_string(&body);
		point.directory = wire_get_u64(&body) != 0;
		if (!is_normalised(point.anchor) || !is_relative_clean(point.missing)) {
			point_free(&point);
			return bad_plan(err, "mount point");
		}
		r = take_point(plan, point, err);
		if (r < 0)
			return r;
	}
	if (launch_entry_get(&body, &plan->entry) < 0 || !wire_done(&body))
		return bad_plan(err, "entry");
	return 0;
}

static int receive_mount(int socket, struct plan *plan, struct err *err)
{
	autowire struct wire packet = WIRE_INIT;
	int fds[WIRE_FDS_MAX];
	int r = wire_receive(socket, 0, &packet, fds);
	if (r < 0)
		return err_sys(err, -r, "cannot receive the plan");
	for (int i = 1; i < WIRE_FDS_MAX; i++)
		cleanup_close(&fds[i]);
	struct plan_mount mount = { .fd = fds[0] };
	uint64_t kind = wire_get_u64(&packet), origin = wire_get_u64(&packet);
	mount.kind = (enum plan_kind)kind;
	mount.origin = (enum plan_origin)origin;
	mount.read_only = wire_get_u64(&packet) != 0;
	mount.directory = wire_get_u64(&packet) != 0;
	mount.source = wire_get_string(&packet);
	mount.target = wire_get_string(&packet);
	mount.rule = wire_get_string(&packet);
	bool good = wire_done(&packet) && kind <= PLAN_TMPFS && origin <= PLAN_USER && is_normalised(mount.target) &&
		    mount.source != NULL && mount.rule != NULL && (mount.fd >= 0) == (mount.kind != PLAN_TMPFS);
	if (good)
		return take_mount(plan, mount, err);
	mount_free(&mount);
	return bad_plan(err, "mount");
}

int plan_receive(int socket, struct plan *ret_plan, struct err *err)
{
	autoplan struct plan plan = PLAN_INIT;
	uint64_t count = 0;
	int r = receive_header(socket, &plan, &count, err);
	for (uint64_t i = 0; i < count && r == 0; i++)
		r = receive_mount(socket, &plan, err);
	if (r < 0)
		return r;
	*ret_plan = plan;
	plan = (struct plan)PLAN_INIT;
	return 0;
}

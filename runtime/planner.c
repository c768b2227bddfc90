/* SPDX-License-Identifier: Apache-2.0
 *
 * The planner: see planner.h. The order of the mounts is the order in which they are made: what comes later can lie inside what came
 * before.
 */
#include "runtime/planner.h"

#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/image_name.h"
#include "lib/path.h"
#include "lib/wire.h"
#include "runtime/identity.h"
#include "runtime/metadata.h"
#include "runtime/policy.h"
#include "runtime/privilege.h"
#include "runtime/warmup.h"

#include "config.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What the steps of planning share. */
struct planner {
	const struct launch_request *request;
	const struct conf *conf;
	int root_fd;            /* the image's tree */
	struct policy policy;
	struct identity identity;
	struct plan *plan;
	struct strlist covered; /* where the directories mounted so far lead to, without symlinks */
};

static int note(struct planner *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int note(struct planner *p, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return strlist_add(&p->plan->entry.notes, text);
}

/* --- where a mount goes --- */

static bool is_covered(const struct planner *p, const char *resolved)
{
	for (size_t i = 0; i < p->covered.count; i++)
		if (path_is_beneath(resolved, p->covered.items[i]) && strcmp(resolved, p->covered.items[i]) != 0)
			return true;
	return false;
}

static int check_type(const struct path_place *place, const struct plan_mount *mount, struct err *err)
{
	struct stat st;
	if (fstat(place->fd, &st) < 0)
		return err_sys(err, errno, "%s: cannot stat target '%s'", mount->rule, mount->target);
	if (S_ISDIR(st.st_mode) == mount->directory)
		return 0;
	err_set(err, mount->directory ? ENOTDIR : EISDIR, "%s: cannot mount %s '%s' on %s '%s' of the image", mount->rule,
		mount->directory ? "the directory" : "the file", mount->source, mount->directory ? "the file" : "the directory",
		mount->target);
	return mount->directory ? err->code : err_hint(err, "give the whole target, with the file's name");
}

/* Resolves a target in the image, asks the policy, and notes a mount point that the image lacks. What lies in a directory mounted
 * before can only be looked up once that is mounted: the executor does it. */
static int place_target(struct planner *p, const struct plan_mount *mount, struct err *err)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	int r = path_resolve(p->root_fd, mount->target, &place, err);
	if (r < 0)
		return err_prefix(err, "%s", mount->rule);
	autofree char *resolved = NULL;
	bool missing = place.missing[0] != '\0';
	if (asprintf(&resolved, "%s%s%s", strcmp(place.real, "/") == 0 && missing ? "" : place.real, missing ? "/" : "", place.missing) < 0)
		return err_sys(err, ENOMEM, "cannot plan mounts");
	r = policy_check_target(&p->policy, mount, resolved, err);
	if (r < 0)
		return r;
	if (!is_covered(p, resolved)) {
		struct plan_point point = { .anchor = place.real, .missing = place.missing, .directory = mount->directory };
		r = missing ? plan_add_point(p->plan, &point, err) : check_type(&place, mount, err);
	}
	if (r == 0 && mount->directory && strlist_add(&p->covered, resolved) < 0)
		r = err_sys(err, ENOMEM, "cannot plan mounts");
	return r;
}

/* --- adding mounts --- */

static int add_mount(struct planner *p, struct plan_mount mount, struct err *err)
{
	int r = place_target(p, &mount, err);
	if (r < 0) {
		cleanup_close(&mount.fd);
		return r;
	}
	return plan_add_mount(p->plan, &mount, err);
}

/* Opens source as the user; a relative one is relative to the working directory of the process, which is the job's. */
static int open_source(const char *source, bool *ret_directory)
{
	autoclose int fd = open(source, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret_directory = S_ISDIR(st.st_mode);
	return steal_fd(&fd);
}

/* A path of the host that appears inside under the same name, if the host has it. */
static int add_system_path(struct planner *p, const char *path, struct err *err)
{
	struct plan_mount mount = { .kind = PLAN_BIND, .origin = PLAN_SYSTEM, .rule = "system" };
	mount.fd = open_source(path, &mount.directory);
	if (mount.fd == -ENOENT || mount.fd == -EACCES)
		return 0;
	if (mount.fd < 0)
		return err_sys(err, -mount.fd, "cannot open '%s'", path);
	mount.source = mount.target = path;
	mount.read_only = strncmp(path, "/etc/", 5) == 0;
	return add_mount(p, mount, err);
}

static int add_private_tmp(struct planner *p, const char *path, struct err *err)
{
	struct plan_mount mount = { .kind = PLAN_TMPFS, .origin = PLAN_SYSTEM, .fd = -1, .directory = true, .rule = "simg.conf: tmp" };
	mount.source = "tmpfs";
	mount.target = path;
	return add_mount(p, mount, err);
}

/* An image's /etc/localtime is most often a link to a file of its time zone database. Mounting over what it leads to would change the
 * meaning of that zone's name; telling the zone in TZ does not. */
static int add_localtime(struct planner *p, struct err *err)
{
	char host[PATH_MAX], inside[PATH_MAX];
	autoplace struct path_place etc = PATH_PLACE_INIT;
	int r = path_resolve(p->root_fd, "/etc", &etc, err);
	if (r < 0)
		return r;
	if (etc.missing[0] != '\0' || readlinkat(etc.fd, "localtime", inside, sizeof(inside)) < 0)
		return add_system_path(p, "/etc/localtime", err);
	ssize_t length = readlink("/etc/localtime", host, sizeof(host) - 1);
	if (length <= 0 || p->request->has_tz)
		return 0;
	host[length] = '\0';
	const char *zone = strstr(host, "zoneinfo/");
	return zone == NULL ? 0 : strlist_addf(&p->plan->entry.env, "TZ=:%s", zone + strlen("zoneinfo/"));
}

static int add_system(struct planner *p, struct err *err)
{
	autostrlist struct strlist paths = { 0 };
	int r = policy_system_paths(p->request, &paths, err);
	for (size_t i = 0; i < paths.count && r == 0; i++) {
		const char *path = paths.items[i];
		bool is_tmp = strcmp(path, "/tmp") == 0 || strcmp(path, "/var/tmp") == 0;
		if (is_tmp && p->conf->tmp == CONF_TMP_PRIVATE)
			r = add_private_tmp(p, path, err);
		else if (strcmp(path, "/etc/localtime") == 0)
			r = add_localtime(p, err);
		else
			r = add_system_path(p, path, err);
	}
	return r;
}

static int add_made_file(struct planner *p, const char *target, int fd, struct err *err)
{
	if (fd < 0)
		return fd;
	struct plan_mount mount = { .kind = PLAN_FILE, .origin = PLAN_SYSTEM, .fd = fd, .read_only = true, .rule = "identity" };
	mount.source = mount.target = target;
	return add_mount(p, mount, err);
}

static int add_identity(struct planner *p, struct err *err)
{
	int r = add_made_file(p, "/etc/passwd", identity_make_passwd(p->root_fd, p->request, &p->identity, err), err);
	return r < 0 ? r : add_made_file(p, "/etc/group", identity_make_group(p->root_fd, p->request, err), err);
}

static int add_binds(struct planner *p, const struct bind_list *binds, enum plan_origin origin, struct err *err)
{
	for (size_t i = 0; i < binds->count; i++) {
		const struct bind *bind = &binds->items[i];
		struct plan_mount mount = { .kind = PLAN_BIND, .origin = origin, .read_only = bind->read_only };
		mount.source = bind->source;
		mount.target = bind->target;
		mount.rule = bind->origin;
		mount.fd = open_source(bind->source, &mount.directory);
		if (mount.fd < 0) {
			err_sys(err, -mount.fd, "%s: cannot open bind source '%s'", bind->origin, bind->source);
			return err_hint(err, "%s", origin == PLAN_SITE   ? "the site's configuration names a path that this node or user lacks" :
						   mount.fd == -EACCES ? "you may not read it, or may not pass a directory on the way to it" :
									 "the path must exist on every node of the job");
		}
		int r = add_mount(p, mount, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A directory of the user at its own place. Returns 1 if it was added, 0 if it can't be opened, with why in ret_errnum. */
static int add_own_directory(struct planner *p, const char *path, const char *rule, int *ret_errnum, struct err *err)
{
	autofree char *target = NULL;
	int r = path_normalise(path, rule, &target, err);
	if (r < 0)
		return r;
	struct plan_mount mount = { .kind = PLAN_BIND, .origin = PLAN_USER, .directory = true };
	mount.fd = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mount.fd < 0) {
		*ret_errnum = errno;
		return 0;
	}
	mount.source = mount.target = target;
	mount.rule = rule;
	r = add_mount(p, mount, err);
	return r < 0 ? r : 1;
}

static bool home_is_unwanted(const struct planner *p)
{
	return p->request->home == HOME_NONE || (p->request->home == HOME_DEFAULT && !p->conf->mount_home);
}

static int add_home(struct planner *p, struct err *err)
{
	enum home_choice choice = p->request->home;
	const char *home = p->identity.home;
	if (home_is_unwanted(p))
		return 0;
	if (strcmp(home, "/") == 0)
		return choice == HOME_MOUNT ? err_set(err, EINVAL, "--container-mount-home: your home is '/', which is the image's") : 0;
	int why = 0;
	int r = add_own_directory(p, home, choice == HOME_MOUNT ? "--container-mount-home" : "mount_home", &why, err);
	if (r == -EPERM && choice == HOME_DEFAULT)
		return note(p, "%s", err->text);
	if (r != 0)
		return r < 0 ? r : 0;
	if (choice == HOME_MOUNT)
		return err_sys(err, why, "--container-mount-home: cannot open your home directory '%s'", home);
	return note(p, "your home directory '%s' is not mounted: %s", home, strerror(why));
}

/* The job's working directory is brought along where the image cannot mean the same thing by that path: not below the image's own
 * system directories, not where another mount has brought it already, and not if it would bring a home that is to stay out. */
static bool is_image_place(const char *path)
{
	static const char *const places[] = { "/usr", "/etc", "/bin",  "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
					      "/opt", "/var", "/boot", "/proc", "/sys", "/dev",   "/run",   "/root" };
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (path_is_beneath(path, places[i]))
			return true;
	return strcmp(path, "/") == 0;
}

static int add_cwd(struct planner *p, struct err *err)
{
	const char *cwd = p->request->cwd;
	autoplace struct path_place place = PATH_PLACE_INIT;
	if (cwd[0] != '/' || path_resolve(p->root_fd, cwd, &place, NULL) < 0)
		return 0;
	for (size_t i = 0; i < p->plan->mount_count; i++)
		if (path_is_beneath(cwd, p->plan->mounts[i].target))
			return 0;
	if (is_image_place(cwd) && place.missing[0] == '\0')
		return 0;
	if (home_is_unwanted(p) && path_is_beneath(p->identity.home, cwd))
		return 0;
	int why = 0;
	int r = add_own_directory(p, cwd, "working directory", &why, err);
	if (r == -EPERM) /* the policy's word; the task will stand elsewhere, and say so */
		return note(p, "%s", err->text);
	return r < 0 ? r : 0; /* Slurm itself has ended the task if the directory can't be entered */
}

/* --- environment --- */

static int add_env(struct planner *p, const char *image_path, struct err *err)
{
	struct metadata metadata;
	struct strlist *env = &p->plan->entry.env;
	int r = metadata_read(p->root_fd, &metadata, err);
	if (r < 0)
		return r;
	if (strlist_getenv(&metadata.env, "PATH") == NULL)
		r = strlist_add(env, "PATH=" DEFAULT_PATH);
	if (strlist_getenv(&metadata.env, "LD_LIBRARY_PATH") == NULL && r == 0)
		r = strlist_add(env, "LD_LIBRARY_PATH"); /* without "=": to be unset */
	for (size_t i = 0; i < metadata.env.count && r == 0; i++)
		r = strlist_add(env, metadata.env.items[i]);
	if (r == 0)
		r = strlist_addf(env, "SIMG_IMAGE=%s", image_path);
	if (r == 0)
		r = strlist_add(env, "SIMG_VERSION=" PACKAGE_VERSION);
	p->plan->entry.workdir = steal_ptr(&metadata.workdir);
	p->plan->entry.image = strdup(image_path);
	metadata_free(&metadata);
	return r < 0 || p->plan->entry.image == NULL ? err_sys(err, ENOMEM, "cannot plan the environment") : 0;
}

/* --- the whole --- */

static int make_steps(struct planner *p, const char *image_path, struct err *err)
{
	const struct launch_request *request = p->request;
	autobinds struct bind_list user_binds = { 0 };
	int r = policy_init(&p->policy, p->conf, p->root_fd, err);
	if (r == 0)
		r = identity_find(request, &p->identity, err);
	if (r == 0)
		r = add_env(p, image_path, err);
	if (r == 0)
		r = add_system(p, err);
	if (r == 0)
		r = add_identity(p, err);
	if (r == 0)
		r = add_home(p, err);
	if (r == 0)
		r = add_binds(p, &p->conf->binds, PLAN_SITE, err);
	if (r == 0 && request->mounts != NULL)
		r = bind_parse_list(request->mounts, "--container-mounts", &user_binds, err);
	if (r == 0)
		r = add_binds(p, &user_binds, PLAN_USER, err);
	if (r == 0)
		r = add_cwd(p, err);
	return r;
}

int planner_make(const struct launch_request *request, const struct conf *conf, const char *image_path, int root_fd, struct plan *ret_plan,
		 struct err *err)
{
	autoplan struct plan plan = { .writable = request->writable };
	struct planner planner = { .request = request, .conf = conf, .root_fd = root_fd, .plan = &plan };
	int r = make_steps(&planner, image_path, err);
	policy_free(&planner.policy);
	identity_free(&planner.identity);
	strlist_free(&planner.covered);
	if (r < 0)
		return r;
	*ret_plan = plan;
	plan = (struct plan)PLAN_INIT;
	return 0;
}

int planner_open_image(const struct launch_request *request, const struct conf *conf, struct image *ret_image, char **ret_path,
		       struct err *err)
{
	autofree char *path = NULL;
	int r = image_name_find(request->image, request->cwd, &conf->image_path, &path, err);
	if (r < 0)
		return r;
	r = image_name_open(path, ret_image, err);
	if (r >= 0)
		*ret_path = steal_ptr(&path);
	return r;
}

/* --- the conversation with root --- */

static int send_image(int socket, int fd, const struct image *image)
{
	autowire struct wire packet = WIRE_INIT;
	struct err ok = ERR_INIT;
	autowire struct wire outcome = WIRE_INIT;
	launch_outcome_put(&outcome, &ok);
	wire_put_u64(&packet, image->format);
	wire_put_u64(&packet, image->offset_bytes);
	wire_put_u64(&packet, image->super.compressor);
	int r = wire_send(socket, &outcome, NULL, 0);
	return r < 0 ? r : wire_send(socket, &packet, &fd, 1);
}

static int receive_root(int socket, bool *ret_fresh)
{
	autowire struct wire packet = WIRE_INIT;
	int fds[WIRE_FDS_MAX];
	int r = wire_receive(socket, 0, &packet, fds);
	*ret_fresh = r == 0 && wire_get_u64(&packet) != 0;
	return r < 0 ? r : fds[0];
}

static int send_plan(int socket, const struct plan *plan, struct err *err)
{
	autowire struct wire outcome = WIRE_INIT;
	struct err ok = ERR_INIT;
	launch_outcome_put(&outcome, &ok);
	int r = wire_send(socket, &outcome, NULL, 0);
	return r < 0 ? r : plan_send(socket, plan, err);
}

static int converse(int socket, const struct launch_request *request, const struct conf *conf, struct err *err)
{
	int r = privilege_become_user(request->uid, request->gid, request->gids, request->gid_count, err);
	if (r < 0)
		return r;
	/* The working directory only matters to relative bind sources; one that cannot be entered makes those fail by name. */
	if (chdir(request->cwd) < 0 && chdir("/") < 0)
		return err_sys(err, errno, "cannot change to '/'");
	struct image image;
	autofree char *path = NULL;
	autoclose int image_fd = planner_open_image(request, conf, &image, &path, err);
	if (image_fd < 0)
		return image_fd;
	bool fresh = false;
	r = send_image(socket, image_fd, &image);
	autoclose int root_fd = r < 0 ? r : receive_root(socket, &fresh);
	if (root_fd < 0)
		_exit(EXIT_FAILURE); /* root has ended the launch and has said why */
	if (fresh)
		warmup_start(root_fd);
	autoplan struct plan plan = PLAN_INIT;
	r = planner_make(request, conf, path, root_fd, &plan, err);
	if (r == 0)
		r = send_plan(socket, &plan, err);
	/* What warmup_start() began may go on as long as root is busy, and no longer. */
	struct pollfd hangup = { .fd = socket };
	while (r == 0 && fresh && poll(&hangup, 1, -1) < 0 && errno == EINTR)
		;
	return r;
}

void planner_run(int socket, const struct launch_request *request, const struct conf *conf)
{
	struct err err = ERR_INIT;
	if (converse(socket, request, conf, &err) < 0) {
		autowire struct wire outcome = WIRE_INIT;
		launch_outcome_put(&outcome, &err);
		wire_send(socket, &outcome, NULL, 0);
		_exit(EXIT_FAILURE);
	}
	_exit(EXIT_SUCCESS);
}

/* The planner's word on how it went. A planner that died without one was killed or crashed. */
static int receive_outcome(int socket, struct err *err)
{
	autowire struct wire packet = WIRE_INIT;
	int fds[WIRE_FDS_MAX];
	int r = wire_receive(socket, 0, &packet, fds);
	for (int i = 0; r == 0 && i < WIRE_FDS_MAX; i++)
		cleanup_close(&fds[i]);
	struct err outcome;
	if (r < 0 || launch_outcome_get(&packet, &outcome) < 0) {
		err_set(err, ECONNRESET, "the planner process died");
		return err_hint(err, "the node's log may tell why; a planner that crashes is a bug");
	}
	if (outcome.code < 0)
		*err = outcome;
	return outcome.code;
}

int planner_ask_image(int socket, struct image *ret_image, struct err *err)
{
	int r = receive_outcome(socket, err);
	if (r < 0)
		return r;
	autowire struct wire packet = WIRE_INIT;
	int fds[WIRE_FDS_MAX];
	r = wire_receive(socket, 0, &packet, fds);
	if (r < 0)
		return err_sys(err, -r, "cannot receive the image");
	autoclose int fd = fds[0];
	for (int i = 1; i < WIRE_FDS_MAX; i++)
		cleanup_close(&fds[i]);
	*ret_image = (struct image){ .format = (enum image_format)wire_get_u64(&packet) };
	ret_image->offset_bytes = wire_get_u64(&packet);
	ret_image->super.compressor = (uint16_t)wire_get_u64(&packet);
	struct stat st;
	bool directory = ret_image->format == IMAGE_DIRECTORY;
	bool good = wire_done(&packet) && fd >= 0 && fstat(fd, &st) == 0 && (directory ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
	/* A loop device reads its file without asking whether the descriptor was opened for that. */
	if (!good || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
		return err_set(err, EBADMSG, "the planner sent a bad image");
	return steal_fd(&fd);
}

int planner_ask_plan(int socket, int root_fd, bool fresh, struct plan *ret_plan, struct err *err)
{
	autowire struct wire packet = WIRE_INIT;
	wire_put_u64(&packet, fresh);
	int r = wire_send(socket, &packet, &root_fd, 1);
	if (r < 0)
		return err_sys(err, -r, "cannot hand the image's tree to the planner");
	r = receive_outcome(socket, err);
	return r < 0 ? r : plan_receive(socket, ret_plan, err);
}

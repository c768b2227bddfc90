/* SPDX-License-Identifier: Apache-2.0
 *
 * A step's container on a node: see step.h.
 */
#include "spank/step.h"

#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/verb.h"
#include "lib/wire.h"
#include "runtime/privilege.h"
#include "spank/options.h"
#include "spank/report.h"
#include "spank/spawn.h"

#include <limits.h>
#include <pthread.h>
#include <slurm/slurm.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

/* How much longer the other tasks wait than the one that waits for the helper. */
enum { LOCK_MARGIN_S = 10 };

enum outcome { OUTCOME_NONE, OUTCOME_READY, OUTCOME_FAILED };

/* Shared by slurmstepd and all tasks of the step. */
struct shared {
	pthread_mutex_t lock; /* robust: a task can be killed while it holds it */
	enum outcome outcome;
	struct err err;       /* why, after OUTCOME_FAILED */
	bool told;            /* a task has printed it */
};

struct step {
	struct shared *shared;
	int queue[2];                   /* [0] is read, [1] written */
	struct launch_request request;
	struct options options;
	char *helper;
	unsigned timeout_s;
	struct spawn spawn;             /* in the task that started the helper */
};

/* Slurm's own configuration in slurmstepd. Declared in slurm.h, defined in the daemon that loads us; weak, because the plugin also loads
 * into programs that may not have it. */
extern slurm_conf_t slurm_conf __attribute__((weak));

/* --- reading the request --- */

static void replace(char **text, const char *what, const char *by)
{
	char *place = *text == NULL ? NULL : strstr(*text, what), *out = NULL;
	if (place == NULL)
		return;
	if (asprintf(&out, "%.*s%s%s", (int)(place - *text), *text, by, place + strlen(what)) < 0)
		out = NULL;
	free(*text);
	*text = out;
}

/* A directory of slurm.conf with its node's name and host name filled in. Source: slurm.conf(5), SlurmdSpoolDir and TmpFS. */
static char *node_dir(const char *pattern, const char *node, const char *host)
{
	char *dir = pattern != NULL ? strdup(pattern) : NULL;
	replace(&dir, "%n", node);
	replace(&dir, "%h", host);
	return dir;
}

static int take_slurm_dirs(struct launch_request *request, struct err *err)
{
	char host[HOST_NAME_MAX + 1] = "";
	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	const char *node = getenv("SLURMD_NODENAME");
	request->node = strdup(node != NULL ? node : host); /* slurmstepd of 20.11 does not tell; there, nodes have their hosts' names */
	if (request->node == NULL)
		return err_sys(err, ENOMEM, "cannot read the request");
	if (&slurm_conf == NULL)
		return 0;
	request->spool_dir = node_dir(slurm_conf.slurmd_spooldir, request->node, host);
	request->tmp_fs = node_dir(slurm_conf.tmp_fs, request->node, host);
	if (slurm_conf.task_prolog != NULL && slurm_conf.task_prolog[0] == '/')
		return strlist_add(&request->prologs, slurm_conf.task_prolog);
	return 0;
}

/* The user's groups, the primary one among them. */
static int take_groups(spank_t spank, struct launch_request *request, struct err *err)
{
	gid_t *gids = NULL;
	int count = 0;
	if (spank_get_item(spank, S_JOB_UID, &request->uid) != ESPANK_SUCCESS || spank_get_item(spank, S_JOB_GID, &request->gid) != ESPANK_SUCCESS)
		return err_set(err, EINVAL, "Slurm does not tell the job's user");
	if (spank_get_item(spank, S_JOB_SUPPLEMENTARY_GIDS, &gids, &count) != ESPANK_SUCCESS)
		count = 0;
	request->gids = calloc((size_t)count + 1, sizeof(gid_t));
	if (request->gids == NULL)
		return err_sys(err, ENOMEM, "cannot read the request");
	bool has_primary = false;
	for (int i = 0; i < count; i++) {
		request->gids[request->gid_count++] = gids[i];
		has_primary = has_primary || gids[i] == request->gid;
	}
	if (!has_primary)
		request->gids[request->gid_count++] = request->gid;
	return 0;
}

static char *copy_text(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

static int take_job(spank_t spank, struct launch_request *request, char *const *env, struct err *err)
{
	char **argv = NULL;
	int argc = 0;
	if (spank_get_item(spank, S_JOB_ID, &request->job_id) != ESPANK_SUCCESS ||
	    spank_get_item(spank, S_JOB_STEPID, &request->step_id) != ESPANK_SUCCESS)
		return err_set(err, EINVAL, "Slurm does not tell the job's number");
	if (request->step_id == SLURM_BATCH_SCRIPT && spank_get_item(spank, S_JOB_ARGV, &argc, &argv) == ESPANK_SUCCESS && argc > 0 &&
	    argv[0][0] == '/')
		request->batch_script = copy_text(argv[0]);
	request->home_dir = copy_text(env_find(env, "HOME"));
	request->user_name = copy_text(env_find(env, "USER"));
	request->has_tz = env_find(env, "TZ") != NULL;
	return 0;
}

static int take_options(struct launch_request *request, const struct options *options, struct err *err)
{
	request->image = copy_text(options->container);
	request->mounts = copy_text(options->mounts);
	request->workdir = copy_text(options->workdir);
	request->home = options->home;
	request->writable = options->writable;
	return request->image == NULL ? err_sys(err, ENOMEM, "cannot read the request") : 0;
}

static int read_request(struct step *step, spank_t spank, char *const *env, int arg_count, char *const *args, struct err *err)
{
	struct launch_request *request = &step->request;
	int r = take_slurm_dirs(request, err);
	if (r == 0)
		r = take_groups(spank, request, err);
	if (r == 0)
		r = take_job(spank, request, env, err);
	if (r == 0)
		r = take_options(request, &step->options, err);
	for (int i = 0; i < arg_count && r == 0; i++)
		r = strlist_add(&request->conf_args, args[i]);
	if (r == 0)
		r = options_check(&step->options, err);
	autoconf struct conf conf = { 0 };
	if (r == 0)
		r = conf_load(&conf, arg_count, args, err);
	if (r < 0)
		return r;
	step->helper = steal_ptr(&conf.helper);
	step->timeout_s = conf.helper_timeout_s;
	return 0;
}

/* --- what the tasks share --- */

static int init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;
	int r = pthread_mutexattr_init(&attributes);
	if (r == 0)
		r = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (r == 0)
		r = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	return r != 0 ? r : pthread_mutex_init(lock, &attributes);
}

/* Sets step->shared, or leaves it NULL. */
static int share(struct step *step, struct err *err)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return err_sys(err, errno, "cannot share memory between tasks");
	int r = init_lock(&shared->lock);
	if (r != 0)
		err_sys(err, r, "cannot make a lock for the tasks");
	else if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, step->queue) < 0)
		err_sys(err, r = errno, "cannot make a socket for the tasks");
	if (r == 0)
		step->shared = shared;
	else
		munmap(shared, sizeof(*shared));
	return -r;
}

static void fail(struct step *step, const struct err *err)
{
	step->shared->err = *err;
	step->shared->outcome = OUTCOME_FAILED;
}

static const struct err *lock_err(int errnum, struct err *err)
{
	err_sys(err, errnum, "cannot lock the step's container");
	return err;
}

/* What the step asks for. Without the job's environment nobody knows, and the step counts as one that wants a container. */
static int read_options(spank_t spank, char ***ret_env, struct options *ret_options, struct err *err)
{
	if (spank_get_item(spank, S_JOB_ENV, ret_env) != ESPANK_SUCCESS)
		return err_set(err, EINVAL, "Slurm does not tell the job's environment");
	return options_import(*ret_env, ret_options, err);
}

struct step *step_open(spank_t spank, int arg_count, char *const *args)
{
	static struct step broken; /* has no shared page: its tasks end */
	struct err err = ERR_INIT, share_err = ERR_INIT;
	char **env = NULL;
	struct step *step = calloc(1, sizeof(*step));
	if (step == NULL)
		return &broken;
	int r = read_options(spank, &env, &step->options, &err);
	if (r == 0 && !options_want_container(&step->options)) {
		options_free(&step->options);
		free(step);
		return NULL;
	}
	step->queue[0] = step->queue[1] = -1;
	if (share(step, &share_err) < 0) {
		report_err(NULL, &share_err);
		return step;
	}
	if (r < 0 || read_request(step, spank, env, arg_count, args, &err) < 0)
		fail(step, &err);
	return step;
}

/* --- making the container --- */

/* The helper works while Slurm goes on with the task: it is started in step_prepare(), which has root's rights, and its answer is collected
 * in step_enter(). The task that started it holds the lock from the one to the other; the others wait for the lock. */

void step_prepare(struct step *step)
{
	struct err err = ERR_INIT;
	if (step->shared == NULL)
		return; /* step_enter() finds no container */
	/* Slurm has put its tasks into the job's directory, and tells it in no other way. */
	step->request.cwd = getcwd(NULL, 0);
	if (step->request.cwd == NULL)
		step->request.cwd = strdup("/");
	int r = pthread_mutex_trylock(&step->shared->lock);
	if (r == EOWNERDEAD) /* its holder was killed before there was an outcome */
		r = pthread_mutex_consistent(&step->shared->lock);
	if (r != 0 && r != EBUSY)
		fail(step, lock_err(r, &err));
	if (r == 0 && step->shared->outcome == OUTCOME_NONE && spawn_start(step->helper, &step->request, &step->spawn, &err) < 0)
		fail(step, &err);
	if (r == 0 && step->spawn.pid == 0)
		pthread_mutex_unlock(&step->shared->lock);
	if (privilege_keep_for_entry(&err) < 0)
		fail(step, &err);
}

/* Puts what the helper returns into the queue. */
static int collect(struct step *step, struct err *err)
{
	int fds[WIRE_FDS_MAX] = { -1, -1, -1, -1 };
	autowire struct wire packet = WIRE_INIT;
	int r = spawn_collect(&step->spawn, step->timeout_s, fds, err);
	if (r == 0) {
		wire_put_u64(&packet, 1);
		r = wire_send(step->queue[1], &packet, fds, SPAWN_FD_COUNT);
		if (r < 0)
			err_sys(err, -r, "cannot pass the container on to the tasks");
	}
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		cleanup_close(&fds[i]);
	return r;
}

/* Waits until the container is there, or is known to fail. */
static void wait_for_container(struct step *step)
{
	struct err err = ERR_INIT;
	struct timespec until;
	if (step->spawn.pid > 0) {
		if (privilege_keep_kill(&err) < 0 || collect(step, &err) < 0)
			fail(step, &err);
		else
			step->shared->outcome = OUTCOME_READY;
		pthread_mutex_unlock(&step->shared->lock);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)step->timeout_s + LOCK_MARGIN_S;
	int r = pthread_mutex_timedlock(&step->shared->lock, &until);
	if (r == EOWNERDEAD) {
		/* Root's rights are gone by now, so the helper cannot be started again. */
		pthread_mutex_consistent(&step->shared->lock);
		if (step->shared->outcome == OUTCOME_NONE) {
			err_set(&err, ESRCH, "the task that made the container was killed");
			fail(step, &err);
		}
	}
	if (r == 0 || r == EOWNERDEAD)
		pthread_mutex_unlock(&step->shared->lock);
}

/* --- entering it --- */

/* Reads the queue without emptying it: a peek hands out new descriptors each time. */
static int peek(struct step *step, int *ret_namespace, struct launch_entry *ret_entry, struct err *err)
{
	int fds[WIRE_FDS_MAX];
	autowire struct wire packet = WIRE_INIT, body = WIRE_INIT;
	int r = wire_receive(step->queue[0], MSG_PEEK | MSG_DONTWAIT, &packet, fds);
	if (r < 0)
		return err_sys(err, -r, "cannot get at the step's container");
	*ret_namespace = fds[0];
	autoclose int entry_fd = fds[1];
	r = entry_fd < 0 ? -EBADMSG : wire_from_fd(entry_fd, &body);
	if (r == 0)
		r = launch_entry_get(&body, ret_entry);
	return r < 0 ? err_sys(err, -r, "cannot read the step's container") : 0;
}

static bool is_kept(const struct strlist *kept, const char *item)
{
	size_t length = strcspn(item, "=");
	for (size_t i = 0; i < kept->count; i++)
		if (strncmp(kept->items[i], item, length) == 0 && (kept->items[i][length] == '\0' || kept->items[i][length] == '='))
			return true;
	return false;
}

static int set_variable(spank_t spank, const char *item, struct err *err)
{
	const char *equals = strchr(item, '=');
	autofree char *name = strndup(item, equals != NULL ? (size_t)(equals - item) : strlen(item));
	if (name == NULL)
		return err_sys(err, ENOMEM, "cannot set the environment");
	if (equals == NULL) {
		spank_unsetenv(spank, name);
		return 0;
	}
	if (spank_setenv(spank, name, equals + 1, 1) != ESPANK_SUCCESS)
		return err_set(err, EIO, "cannot set %s in the task's environment", name);
	return 0;
}

/* The image's variables, then those the user has given a value; a name without one keeps what the job has. */
static int set_environment(const struct step *step, spank_t spank, const struct launch_entry *entry, struct err *err)
{
	autostrlist struct strlist kept = { 0 };
	int r = step->options.env != NULL ? options_split_env(step->options.env, &kept, err) : 0;
	for (size_t i = 0; i < entry->env.count && r == 0; i++)
		if (!is_kept(&kept, entry->env.items[i]))
			r = set_variable(spank, entry->env.items[i], err);
	for (size_t i = 0; i < kept.count && r == 0; i++)
		if (strchr(kept.items[i], '=') != NULL)
			r = set_variable(spank, kept.items[i], err);
	return r;
}

static bool is_first_task(spank_t spank)
{
	uint32_t node = 0;
	int task = 0;
	return spank_get_item(spank, S_JOB_NODEID, &node) == ESPANK_SUCCESS && node == 0 &&
	       spank_get_item(spank, S_TASK_ID, &task) == ESPANK_SUCCESS && task == 0;
}

/* The task's standard error, which is set up by now: a note is for the user alone, not for the node's log. */
static void print_note(spank_t spank, const char *text)
{
	if (is_first_task(spank))
		report_note(text);
}

/* The job's working directory if it exists inside, else the image's, else "/". */
static int set_workdir(const struct step *step, spank_t spank, const struct launch_entry *entry, struct err *err)
{
	const char *asked = step->options.workdir, *reached = asked;
	char note[PATH_MAX + 128];
	if (asked != NULL && chdir(asked) < 0) {
		err_sys(err, errno, "--container-workdir: cannot change to '%s' in the container", asked);
		return err_hint(err, "give a directory of the image, or mount one with --container-mounts");
	}
	if (asked == NULL) {
		reached = step->request.cwd;
		if (chdir(reached) == 0)
			return 0;
		reached = entry->workdir;
		if (reached == NULL || chdir(reached) < 0)
			reached = "/";
		if (chdir(reached) < 0)
			return err_sys(err, errno, "cannot change to '%s' in the container", reached);
		snprintf(note, sizeof(note), "'%s' does not exist in the container, the working directory is '%s'", step->request.cwd, reached);
		print_note(spank, note);
	}
	spank_setenv(spank, "PWD", reached, 1);
	return 0;
}

static int enter(struct step *step, spank_t spank, struct err *err)
{
	autoclose int namespace = -1;
	struct launch_entry entry = { 0 };
	int r = peek(step, &namespace, &entry, err);
	if (r == 0)
		r = privilege_enter(namespace, entry.root_dev, entry.root_ino, err);
	else
		privilege_drop(NULL);
	for (size_t i = 0; i < entry.notes.count && r == 0; i++)
		print_note(spank, entry.notes.items[i]);
	if (r == 0)
		r = set_environment(step, spank, &entry, err);
	if (r == 0)
		r = set_workdir(step, spank, &entry, err);
	launch_entry_free(&entry);
	return r;
}

/* One task of the node tells; the first to come. */
static void tell(struct step *step, const struct err *err)
{
	if (step->shared == NULL || !__atomic_exchange_n(&step->shared->told, true, __ATOMIC_ACQ_REL))
		report_err(step->request.node, err);
}

void step_enter(struct step *step, spank_t spank)
{
	struct err err = ERR_INIT;
	struct shared *shared = step->shared;
	if (shared != NULL)
		wait_for_container(step);
	if (shared == NULL)
		err_set(&err, ENOMEM, "no container could be set up: slurmstepd is out of memory or descriptors");
	else if (shared->outcome == OUTCOME_FAILED)
		err = shared->err;
	else if (shared->outcome == OUTCOME_NONE)
		err_set(&err, ETIMEDOUT, "the container was not ready within %u s", step->timeout_s);
	else
		enter(step, spank, &err);
	spawn_reap(&step->spawn, err.code == 0 ? &err : NULL);
	if (err.code == 0)
		return;
	tell(step, &err);
	_exit(EXIT_SIMG);
}

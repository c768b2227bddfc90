/* SPDX-License-Identifier: Apache-2.0
 *
 * The fake Slurm: see host.h.
 */
#include "tests/spank/host.h"

#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_HOOK_FAILED = 1, OPTION_COUNT_MAX = 16, FIRST_JOB = 77 };

static const struct scene *scene;
static void *plugin;
static struct spank_option options[OPTION_COUNT_MAX];
static int option_count, task_number, log_fd, facts_fd;
static char *environment[HOST_LIST_MAX + 1]; /* on a node, the job's */

/* --- what the plugin calls --- */

#pragma GCC visibility push(default)

slurm_conf_t slurm_conf;

enum spank_context spank_context(void)
{
	return scene->context;
}

spank_err_t spank_option_register(spank_t spank, struct spank_option *option)
{
	(void)spank;
	if (option_count + 1 == scene->refuse_option)
		return ESPANK_BAD_ARG;
	options[option_count++] = *option;
	return ESPANK_SUCCESS;
}

static void tell_list(va_list args)
{
	int *argc = va_arg(args, int *);
	char ***argv = va_arg(args, char ***);
	*argv = (char **)scene->argv;
	for (*argc = 0; scene->argv != NULL && scene->argv[*argc] != NULL; (*argc)++)
		;
}

static void tell_gids(va_list args)
{
	static gid_t gids[] = { HOST_OTHER_GID };
	*va_arg(args, gid_t **) = gids;
	*va_arg(args, int *) = 1;
}

spank_err_t spank_get_item(spank_t spank, spank_item_t item, ...)
{
	(void)spank;
	va_list args;
	if ((scene->failing & HOST_BIT(item)) != 0)
		return ESPANK_ERROR;
	va_start(args, item);
	switch (item) {
	case S_JOB_UID:
		*va_arg(args, uid_t *) = geteuid() == 0 ? HOST_UID : geteuid();
		break;
	case S_JOB_GID:
		*va_arg(args, gid_t *) = geteuid() == 0 ? HOST_GID : getegid();
		break;
	case S_JOB_SUPPLEMENTARY_GIDS:
		tell_gids(args);
		break;
	case S_JOB_ID:
		*va_arg(args, uint32_t *) = FIRST_JOB;
		break;
	case S_JOB_STEPID:
		*va_arg(args, uint32_t *) = scene->step_id;
		break;
	case S_JOB_NODEID:
		*va_arg(args, uint32_t *) = scene->node_id;
		break;
	case S_TASK_ID:
		*va_arg(args, int *) = task_number;
		break;
	case S_JOB_ARGV:
		tell_list(args);
		break;
	case S_JOB_ENV:
		*va_arg(args, char ***) = environment;
		break;
	default:
		errx(99, "the fake Slurm does not know item %d", item);
	}
	va_end(args);
	return ESPANK_SUCCESS;
}

spank_err_t spank_setenv(spank_t spank, const char *name, const char *value, int overwrite)
{
	(void)spank;
	if (scene->refuse_setenv)
		return ESPANK_ERROR;
	dprintf(facts_fd, "task %d: set %s=%s%s\n", task_number, name, value, overwrite ? "" : " unless set");
	return ESPANK_SUCCESS;
}

spank_err_t spank_unsetenv(spank_t spank, const char *name)
{
	(void)spank;
	dprintf(facts_fd, "task %d: unset %s\n", task_number, name);
	return ESPANK_SUCCESS;
}

void slurm_error(const char *format, ...)
{
	char text[8192];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dprintf(log_fd, "%s\n", text);
}

#pragma GCC visibility pop

/* --- driving it --- */

static void load_plugin(void)
{
	const char *build = getenv("SIMG_BUILD_DIR");
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/spank/.libs/simg.so", build != NULL ? build : ".");
	plugin = dlopen(path, RTLD_NOW);
	if (plugin == NULL)
		errx(99, "%s", dlerror());
}

/* 0 as well if the plugin has no such hook. */
static int call(const char *hook)
{
	spank_f *function;
	int count = 0;
	*(void **)&function = dlsym(plugin, hook);
	while (count < HOST_LIST_MAX && scene->args[count] != NULL)
		count++;
	return function == NULL ? 0 : function((spank_t)&options, count, (char **)scene->args);
}

static void give(const struct host_option *given)
{
	for (int i = 0; i < option_count; i++)
		if (strcmp(options[i].name, given->name) == 0 && options[i].cb(options[i].val, given->arg, 0) == 0)
			return;
	errx(99, "the plugin does not take --%s", given->name);
}

/* Slurm's own option: the name is in the environment unless one is there already. */
static void give_container(const char *container)
{
	if (container != NULL)
		setenv("SLURM_CONTAINER", container, 0);
}

static void tell_environment(void)
{
	for (char **item = environ; *item != NULL; item++)
		dprintf(facts_fd, "%s\n", *item);
}

static int submit(void)
{
	if (call("slurm_spank_init") < 0)
		return EXIT_HOOK_FAILED;
	give_container(scene->container);
	for (int i = 0; i < HOST_LIST_MAX && scene->options[i].name != NULL; i++)
		give(&scene->options[i]);
	if (call("slurm_spank_init_post_opt") < 0)
		return EXIT_HOOK_FAILED;
	give_container(scene->second_container);
	if ((scene->second || scene->second_container != NULL) && call("slurm_spank_init_post_opt") < 0)
		return EXIT_HOOK_FAILED;
	call("slurm_spank_exit");
	tell_environment();
	return 0;
}

/* What the command of a task would find. */
static void tell_facts(void)
{
	char cwd[PATH_MAX] = "", line[256];
	struct stat st = { 0 };
	stat("/", &st);
	dprintf(facts_fd, "task %d: cwd %s\n", task_number, getcwd(cwd, sizeof(cwd)));
	dprintf(facts_fd, "task %d: %s\n", task_number, access("/in-the-image", F_OK) == 0 ? "inside" : "outside");
	FILE *status = fopen("/proc/self/status", "re");
	while (status != NULL && fgets(line, sizeof(line), status) != NULL)
		if (strncmp(line, "Cap", 3) == 0 || strncmp(line, "NoNewPrivs", 10) == 0 || strncmp(line, "Uid", 3) == 0)
			dprintf(facts_fd, "task %d: %s", task_number, line);
	if (status != NULL)
		fclose(status);
}

static void become_user(void)
{
	gid_t gids[] = { HOST_GID, HOST_OTHER_GID };
	if (geteuid() != 0)
		return;
	if (setgroups(2, gids) < 0 || setresgid(HOST_GID, HOST_GID, HOST_GID) < 0 || setresuid(HOST_UID, HOST_UID, HOST_UID) < 0)
		err(99, "cannot become the user");
}

/* Slurm calls the first hook as root and the second as the user. */
static int run_task(void)
{
	if (call("slurm_spank_task_init_privileged") < 0)
		return EXIT_HOOK_FAILED;
	become_user();
	if (call("slurm_spank_task_init") < 0)
		return EXIT_HOOK_FAILED;
	tell_facts();
	return 0;
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void forbid_descriptors(void)
{
	int next = dup(0);
	struct rlimit limit;
	close(next);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(99, "getrlimit");
	limit.rlim_cur = (rlim_t)next;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(99, "setrlimit");
}

static int run_step(int *task_status)
{
	int count = scene->task_count > 0 ? scene->task_count : 1;
	pid_t pids[HOST_TASKS_MAX];
	memcpy(environment, scene->env, sizeof(scene->env));
	if (call("slurm_spank_init") < 0)
		return EXIT_HOOK_FAILED;
	if (scene->no_descriptors)
		forbid_descriptors();
	if (call("slurm_spank_init_post_opt") < 0)
		return EXIT_HOOK_FAILED;
	for (task_number = 0; task_number < count; task_number++)
		if ((pids[task_number] = fork()) == 0)
			_exit(run_task());
	if (scene->meanwhile != NULL)
		scene->meanwhile();
	for (int i = 0; i < count; i++) {
		int status = 0;
		waitpid(pids[i], &status, 0);
		task_status[i] = exit_status(status);
	}
	call("slurm_spank_exit");
	return 0;
}

/* slurmd and the job script's shell: nothing is done for us. */
static int run_other(void)
{
	static const char *const hooks[] = { "slurm_spank_init",       "slurm_spank_slurmd_init", "slurm_spank_init_post_opt",
					     "slurm_spank_job_prolog", "slurm_spank_job_epilog",  "slurm_spank_slurmd_exit",
					     "slurm_spank_exit" };
	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++)
		if (call(hooks[i]) < 0)
			return EXIT_HOOK_FAILED;
	return 0;
}

static int open_new(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		err(99, "%s", path);
	return fd;
}

/* In the new process. */
static void play(struct result *shared, int output_fd) __attribute__((noreturn));
static void play(struct result *shared, int output_fd)
{
	dup2(output_fd, STDERR_FILENO);
	if (scene->cwd != NULL && chdir(scene->cwd) < 0)
		err(99, "%s", scene->cwd);
	slurm_conf.slurmd_spooldir = (char *)"/var/spool/slurm/%n";
	slurm_conf.tmp_fs = (char *)"/tmp";
	slurm_conf.task_prolog = (char *)"/etc/slurm/task-prolog";
	load_plugin();
	clearenv();
	setenv("SLURMD_NODENAME", "n1", 1);
	bool node = scene->context == S_CTX_REMOTE;
	for (int i = 0; !node && i < HOST_LIST_MAX && scene->env[i] != NULL; i++)
		putenv((char *)scene->env[i]);
	int r;
	if (node)
		r = run_step(shared->task_status);
	else if (scene->context == S_CTX_LOCAL || scene->context == S_CTX_ALLOCATOR)
		r = submit();
	else
		r = run_other();
	shared->option_count = option_count;
	_exit(r);
}

static const char *read_back(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

struct result host_play(const struct scene *wanted)
{
	static char log[32 << 10], facts[64 << 10], output[32 << 10];
	struct result *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int output_fd = open_new("host.output"), status = 0;
	if (shared == MAP_FAILED)
		err(99, "mmap");
	log_fd = open_new("host.log");
	facts_fd = open_new("host.facts");
	scene = wanted;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		play(shared, output_fd);
	waitpid(pid, &status, 0);
	struct result result = *shared;
	munmap(shared, sizeof(*shared));
	result.status = exit_status(status);
	result.log = read_back(log_fd, log, sizeof(log));
	result.facts = read_back(facts_fd, facts, sizeof(facts));
	result.output = read_back(output_fd, output, sizeof(output));
	return result;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * simg-helper: run by the plugin as root, once per step and node. Reads a request, lets the planner (the user's process) plan,
 * carries the plan out in a mount namespace of its own, answers with that namespace's descriptor, and exits. The namespace lives
 * on in the tasks that enter it.
 *
 * It is not setuid and does nothing for a caller who is not root already.
 */
#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/image.h"
#include "lib/launch.h"
#include "lib/wire.h"
#include "runtime/executor.h"
#include "runtime/planner.h"
#include "runtime/privilege.h"

#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* OVERTIME_S: how much longer than its task the helper waits before it gives up by itself. */
enum { FIRST_UNKNOWN_FD = LAUNCH_REPLY_FD + 1, OVERTIME_S = 2 };

/* Closes all descriptors from `first` on but `kept`. */
static int close_fds(int first, int kept)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	if (dir == NULL)
		return -errno;
	while ((entry = readdir(dir)) != NULL) {
		int fd = atoi(entry->d_name);
		if (fd >= first && fd != kept && fd != dirfd(dir))
			close(fd);
	}
	closedir(dir);
	return 0;
}

/* Standard input, output and error are slurmstepd's, and may be its log. */
static int replace_stdio(void)
{
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd <= 2; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			return -errno;
	return 0;
}

/* A clean process, whatever slurmstepd's was: no environment, default signals, enough descriptors for a plan. */
static void clean_process(void)
{
	clearenv();
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_RDWR);
	fcntl(LAUNCH_REQUEST_FD, F_SETFD, FD_CLOEXEC);
	fcntl(LAUNCH_REPLY_FD, F_SETFD, FD_CLOEXEC);
	close_fds(FIRST_UNKNOWN_FD, -1); /* slurmstepd's that leaked through the exec: sockets and files of other jobs' business */
	/* An exec keeps which signals are ignored, and nothing else of them. */
	static const int ignored[] = { SIGPIPE, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2 };
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int read_request(struct launch_request *ret_request, struct err *err)
{
	autowire struct wire wire = WIRE_INIT;
	int r = wire_from_fd(LAUNCH_REQUEST_FD, &wire);
	if (r == 0)
		r = launch_request_get(&wire, ret_request);
	if (r < 0)
		return err_set(err, -r, "simg-helper got no valid request");
	return 0;
}

/* Returns the socket to a new planner. */
static int start_planner(const struct launch_request *request, const struct conf *conf, pid_t *ret_pid, struct err *err)
{
	int sockets[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_sys(err, errno, "cannot make a socket for the planner");
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		/* What root opened is not the user's, who could name it in a bind as /proc/self/fd/N. */
		if (replace_stdio() < 0 || close_fds(LAUNCH_REQUEST_FD, sockets[1]) < 0 || privilege_die_with_parent(parent, NULL) < 0)
			_exit(EXIT_FAILURE);
		planner_run(sockets[1], request, conf);
	}
	int saved = errno;
	close(sockets[1]);
	if (pid > 0) {
		*ret_pid = pid;
		return sockets[0];
	}
	close(sockets[0]);
	return err_sys(err, saved, "cannot fork the planner");
}

/* It has said all it had to say. Reaped here, because it belongs to the task's process group, and Slurm waits by the second for a step of
 * which a process is left, be it a zombie that the init process has not got round to. */
static void end_planner(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int build(struct executor *executor, int planner, struct plan *plan, struct err *err)
{
	struct image image;
	autoclose int image_fd = planner_ask_image(planner, &image, err);
	if (image_fd < 0)
		return image_fd;
	int r = executor_mount_image(executor, image_fd, &image, err);
	if (r == 0)
		r = planner_ask_plan(planner, executor->image_fd, executor->fresh, plan, err);
	if (r == 0)
		r = executor_carry_out(executor, plan, err);
	return r;
}

/* The whole launch. Fills plan's entry and returns the namespace's descriptor. */
static int launch(const struct launch_request *request, struct plan *plan, struct err *err)
{
	struct executor executor = EXECUTOR_INIT;
	autoconf struct conf conf = { 0 };
	int r = conf_load(&conf, (int)request->conf_args.count, request->conf_args.items, err);
	/* A task that Slurm has just made the user's can die without being allowed to end us, and the user may have seen to it that the
	 * planner never answers: SIGALRM ends the process then, and the planner with it. */
	alarm(r == 0 ? conf.helper_timeout_s + OVERTIME_S : 0);
	if (r == 0)
		r = privilege_take_groups(request->gids, request->gid_count, err);
	if (r == 0)
		r = executor_begin(&executor, request, &conf, err);
	if (r < 0)
		return r;
	/* Opened now: after the pivot, /proc is what the plan made of it. */
	autoclose int namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	pid_t pid = 0;
	autoclose int planner = namespace < 0 ? err_sys(err, errno, "cannot open the mount namespace") : start_planner(request, &conf, &pid, err);
	r = planner < 0 ? planner : build(&executor, planner, plan, err);
	if (planner >= 0)
		end_planner(pid);
	executor_free(&executor);
	return r < 0 ? r : steal_fd(&namespace);
}

static int answer(const struct launch_entry *entry, int namespace, const struct err *err)
{
	autowire struct wire outcome = WIRE_INIT, body = WIRE_INIT;
	launch_outcome_put(&outcome, err);
	if (err->code < 0)
		return wire_send(LAUNCH_REPLY_FD, &outcome, NULL, 0);
	launch_entry_put(&body, entry);
	autoclose int entry_fd = wire_to_memfd(&body);
	const int fds[] = { namespace, entry_fd };
	return entry_fd < 0 ? entry_fd : wire_send(LAUNCH_REPLY_FD, &outcome, fds, 2);
}

static int usage(void)
{
	fputs("simg-helper " PACKAGE_VERSION ": the part of simg that slurmstepd runs as root to set a container up.\n"
	      "It is started by the plugin and is of no use by hand. See simg-plugin(8).\n", stderr);
	return 2;
}

int main(void)
{
	if (fcntl(LAUNCH_REQUEST_FD, F_GETFD) < 0 || fcntl(LAUNCH_REPLY_FD, F_GETFD) < 0)
		return usage();
	struct err err = ERR_INIT;
	if (privilege_die_with_parent(getppid(), &err) < 0)
		return EXIT_FAILURE;
	clean_process();
	struct launch_request request = { 0 };
	autoplan struct plan plan = PLAN_INIT;
	autoclose int namespace = read_request(&request, &err);
	if (namespace == 0)
		namespace = launch(&request, &plan, &err);
	int r = answer(&plan.entry, namespace, &err);
	launch_request_free(&request);
	return r < 0 || err.code < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

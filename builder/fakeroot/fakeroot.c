/* SPDX-License-Identifier: Apache-2.0
 *
 * Processes of a fake root: see fakeroot.h. Where a name says "init" it is in the first process of the namespaces.
 */
#include "builder/fakeroot/fakeroot.h"

#include "builder/fakeroot/filter.h"
#include "builder/fakeroot/owners.h"
#include "builder/fakeroot/supervisor.h"
#include "builder/memory.h"
#include "builder/temporary.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/wire.h"
#include "runtime/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_BYTES = 64 * 1024, STATUS_NOT_FOUND = 127 };

/* What both sides see. */
struct report {
	struct err err; /* the program could not be started */
	int status;     /* its wait status */
	bool finished;
};

/* One run. */
struct run {
	const struct fakeroot *fakeroot;
	struct report *report;  /* shared memory */
	bool ask;
	int program_fd;         /* the filter */
	int owners_fd;          /* the table on its way back */
	int output[2];          /* a pipe; -1: none */
	int alive[2];           /* a pipe that ends with the builder */
	pid_t init;

	/* in the first process */
	bool own_pids;
	int signal_fd;
	struct supervisor *supervisor;
	pid_t program;
};

int fakeroot_enter(struct err *err)
{
	return privilege_become_namespace_root(err);
}

bool fakeroot_can_record(const char *root, const char **ret_reason)
{
	autoclose int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*ret_reason = NULL;
	if (!filter_can_ask())
		*ret_reason = "this kernel is older than 5.6";
	else if (fd < 0 || !owners_possible(fd))
		*ret_reason = "the file system keeps no time of birth";
	return *ret_reason == NULL;
}

/* --- the program, behind the filter --- */

static void program_signals_reset(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
}

static int program_descriptors_set(const struct run *run)
{
	int input = run->fakeroot->input_fd;
	if (run->fakeroot->print == NULL)
		return 0;
	if (input < 0)
		input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (setsid() < 0 || input < 0 || dup2(input, STDIN_FILENO) < 0)
		return -1;
	return dup2(run->output[1], STDOUT_FILENO) < 0 || dup2(run->output[1], STDERR_FILENO) < 0 ? -1 : 0;
}

/* Hands the filter's descriptor to the first process. */
static int program_filter(const struct run *run, int socket, struct err *err)
{
	autowire struct wire wire = WIRE_INIT;
	autoclose int listener = filter_install(run->program_fd, run->ask, err);
	if (listener < 0 || !run->ask)
		return steal_fd(&listener) < 0 ? err->code : 0;
	wire_put_u64(&wire, 1);
	int r = wire_send(socket, &wire, &listener, 1);
	return r < 0 ? err_sys(err, -r, "cannot hand on the descriptor of the system call filter") : 0;
}

static _Noreturn void program_main(const struct run *run, int socket)
{
	const struct fakeroot *fakeroot = run->fakeroot;
	struct err *err = &run->report->err;
	int r = 0;
	program_signals_reset();
	if (program_descriptors_set(run) < 0)
		r = err_sys(err, errno, "cannot set up the descriptors of '%s'", fakeroot->argv[0]);
	if (r == 0)
		r = program_filter(run, socket, err);
	fd_limit_restore();
	memory_limit_lift();
	if (r == 0) {
		execve(fakeroot->argv[0], fakeroot->argv, fakeroot->environment);
		err_sys(err, errno, "cannot execute '%s'", fakeroot->argv[0]);
	}
	_exit(STATUS_NOT_FOUND);
}

/* --- the first process --- */

static int init_program_start(struct run *run, struct err *err)
{
	int sockets[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_sys(err, errno, "cannot make a socket");
	autoclose int own = sockets[0];
	autoclose int others = sockets[1];
	run->program = fork();
	if (run->program < 0)
		return err_sys(err, errno, "cannot start a process");
	if (run->program == 0)
		program_main(run, others);
	close(steal_fd(&others));
	if (!run->ask)
		return 0;
	autowire struct wire wire = WIRE_INIT;
	int fds[WIRE_FDS_MAX];
	if (wire_receive(own, 0, &wire, fds) < 0 || fds[0] < 0)
		return 0; /* it failed, and says why itself */
	run->supervisor = supervisor_new(fds[0], run->fakeroot->owners);
	return run->supervisor != NULL ? 0 : err_sys(err, ENOMEM, "cannot answer the system calls of a build");
}

/* Returns true once the program itself has ended. */
static bool init_reap(struct run *run)
{
	struct signalfd_siginfo info;
	bool ended = false;
	int status;
	pid_t pid;
	(void)!read(run->signal_fd, &info, sizeof(info));
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != run->program)
			continue;
		run->report->status = status;
		ended = true;
	}
	return ended;
}

/* Until the program has ended, or the builder has. */
static void init_serve(struct run *run)
{
	struct pollfd polled[] = {
		{ .fd = run->signal_fd, .events = POLLIN },
		{ .fd = run->alive[0], .events = POLLIN },
		{ .fd = run->supervisor != NULL ? supervisor_fd(run->supervisor) : -1, .events = POLLIN },
	};
	for (;;) {
		if (poll(polled, sizeof(polled) / sizeof(polled[0]), -1) < 0 && errno != EINTR)
			return;
		if ((polled[2].revents & POLLIN) != 0)
			supervisor_answer(run->supervisor);
		else if (polled[2].revents != 0)
			polled[2].fd = -1; /* nobody is left behind the filter */
		if (polled[1].revents != 0 || (polled[0].revents != 0 && init_reap(run)))
			return;
	}
}

/* A child that lost its parent becomes ours, and so on until there is none. */
static void init_kill_children(void)
{
	char path[64];
	int child;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	autofclose FILE *file = fopen(path, "re");
	while (file != NULL && fscanf(file, "%d", &child) == 1)
		kill(child, SIGKILL);
}

/* What the program has left running. */
static void init_end_all(const struct run *run)
{
	do {
		if (run->own_pids)
			kill(-1, SIGKILL);
		else
			init_kill_children();
	} while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

static int init_prepare(struct run *run, struct err *err)
{
	const char *directory = run->fakeroot->directory;
	sigset_t children;
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_SETMASK, &children, NULL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* at once; the pipe is for a builder that is gone already */
	close(run->alive[1]);
	run->signal_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signal_fd < 0 || (!run->own_pids && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0))
		return err_sys(err, errno, "cannot watch over the processes of a build");
	int r = view_enter(&run->fakeroot->view, run->own_pids, err);
	if (r < 0)
		return r;
	umask(022);
	return chdir(directory) < 0 ? err_sys(err, errno, "cannot go to the directory '%s'", directory) : 0;
}

static _Noreturn void init_main(struct run *run)
{
	struct report *report = run->report;
	int r = init_prepare(run, &report->err);
	if (r == 0)
		r = init_program_start(run, &report->err);
	if (run->output[1] >= 0)
		close(run->output[1]);
	if (r == 0)
		init_serve(run);
	init_end_all(run);
	if (r == 0 && run->ask && (r = owners_save(run->fakeroot->owners, run->owners_fd)) < 0)
		err_sys(&report->err, -r, "cannot hand back the owners of files");
	report->finished = r == 0;
	_exit(0);
}

/* --- the builder --- */

static void pipe_close(int pipe[2])
{
	for (int i = 0; i < 2; i++)
		cleanup_close(&pipe[i]);
	pipe[0] = pipe[1] = -1;
}

static int run_open(struct run *run, struct err *err)
{
	run->report = mmap(NULL, sizeof(*run->report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run->report == MAP_FAILED) {
		run->report = NULL;
		return err_sys(err, errno, "cannot run '%s'", run->fakeroot->argv[0]);
	}
	run->owners_fd = memfd_create("simg-owners", MFD_CLOEXEC);
	if (run->owners_fd < 0 || pipe2(run->alive, O_CLOEXEC) < 0 ||
	    (run->fakeroot->print != NULL && pipe2(run->output, O_CLOEXEC) < 0))
		return err_sys(err, errno, "cannot run '%s'", run->fakeroot->argv[0]);
	run->program_fd = filter_compile(run->ask, err);
	return run->program_fd < 0 ? run->program_fd : 0;
}

static void run_close(struct run *run)
{
	pipe_close(run->output);
	pipe_close(run->alive);
	cleanup_close(&run->owners_fd);
	cleanup_close(&run->program_fd);
	if (run->report != NULL)
		munmap(run->report, sizeof(*run->report));
}

/* The pipe ends when the last process is gone. */
static void output_relay(const struct run *run)
{
	autofree char *buffer = malloc(OUTPUT_BYTES);
	ssize_t n = 1;
	while (buffer != NULL && n != 0) {
		n = read(run->output[0], buffer, OUTPUT_BYTES);
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0)
			run->fakeroot->print(run->fakeroot->context, buffer, (size_t)n);
	}
}

/* ^C at a terminal that the program has is the program's. */
static void signals_leave(struct sigaction old[2])
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigaction(SIGINT, &ignore, &old[0]);
	sigaction(SIGQUIT, &ignore, &old[1]);
}

static void signals_take(const struct sigaction old[2])
{
	sigaction(SIGINT, &old[0], NULL);
	sigaction(SIGQUIT, &old[1], NULL);
}

static void wait_for(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static void run_wait(struct run *run)
{
	struct sigaction old[2];
	bool interactive = run->fakeroot->print == NULL;
	temporary_worker_begin(run->init);
	if (interactive)
		signals_leave(old);
	else
		output_relay(run);
	wait_for(run->init);
	temporary_worker_begin(0);
	if (interactive)
		signals_take(old);
}

static int run_result(const struct run *run, int *ret_status, struct err *err)
{
	const struct report *report = run->report;
	if (report->err.code != 0) {
		*err = report->err;
		return err->code;
	}
	if (!report->finished)
		return err_set(err, ECHILD, "the process that watched over '%s' was killed", run->fakeroot->argv[0]);
	*ret_status = report->status;
	int r = run->ask ? owners_load(run->fakeroot->owners, run->owners_fd) : 0;
	return r < 0 ? err_sys(err, -r, "cannot take back the owners of files") : 0;
}

static int run_fork(struct run *run, struct err *err)
{
	fflush(NULL);
	run->init = privilege_fork_namespaces(&run->own_pids);
	if (run->init < 0)
		return err_sys(err, errno, "cannot make the namespaces of a build");
	if (run->init == 0)
		init_main(run);
	close(run->alive[0]);
	run->alive[0] = -1;
	if (run->output[1] >= 0)
		close(run->output[1]);
	run->output[1] = -1;
	return 0;
}

int fakeroot_run(const struct fakeroot *fakeroot, int *ret_status, struct err *err)
{
	struct run run = {
		.fakeroot = fakeroot,
		.ask = fakeroot->owners != NULL,
		.program_fd = -1,
		.owners_fd = -1,
		.output = { -1, -1 },
		.alive = { -1, -1 },
		.signal_fd = -1,
	};
	autostrlist struct strlist made = { 0 };
	int r = view_prepare(&fakeroot->view, &made, err);
	if (r == 0)
		r = run_open(&run, err);
	if (r == 0)
		r = run_fork(&run, err);
	if (r == 0) {
		run_wait(&run);
		r = run_result(&run, ret_status, err);
	}
	run_close(&run);
	view_clean(&fakeroot->view, &made);
	return r;
}

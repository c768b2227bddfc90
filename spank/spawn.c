/* SPDX-License-Identifier: Apache-2.0
 *
 * Running simg-helper: see spawn.h.
 */
#include "spank/spawn.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/launch.h"
#include "lib/wire.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { REAP_PAUSE_US = 50, REAP_PAUSE_MAX_US = 5000, REAP_MAX_US = 1000000 };

/* root will run it: nobody else may be able to change it. */
static int check_helper(const char *helper, struct err *err)
{
	struct stat st;
	if (stat(helper, &st) < 0) {
		err_sys(err, errno, "cannot find simg-helper '%s'", helper);
		return err_hint(err, "install simg on this node, or set helper= in simg.conf");
	}
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_set(err, EPERM, "simg-helper '%s' is not a file that only root can change", helper);
	return 0;
}

static int write_request(const struct launch_request *request, struct err *err)
{
	autowire struct wire wire = WIRE_INIT;
	launch_request_put(&wire, request);
	int fd = wire_to_memfd(&wire);
	return fd < 0 ? err_sys(err, -fd, "cannot write the request for simg-helper") : fd;
}

/* In the new process: bound to the task's life, the two descriptors at their places, then the helper. Only async-signal-safe calls. */
static void become_helper(const char *helper, int request, int reply) __attribute__((noreturn));
static void become_helper(const char *helper, int request, int reply)
{
	char *const argv[] = { (char *)"simg-helper", NULL };
	char *const envp[] = { NULL };
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* Out of the way first: either could already have the other's number. */
	int high_request = fcntl(request, F_DUPFD_CLOEXEC, LAUNCH_REPLY_FD + 1), high_reply = fcntl(reply, F_DUPFD_CLOEXEC, LAUNCH_REPLY_FD + 1);
	if (high_request >= 0 && high_reply >= 0 && dup2(high_request, LAUNCH_REQUEST_FD) >= 0 && dup2(high_reply, LAUNCH_REPLY_FD) >= 0)
		execve(helper, argv, envp);
	_exit(127);
}

/* vfork: slurmstepd's page tables need not be copied, and the child only executes. On its own, so that no variable lives across it. */
static pid_t __attribute__((noinline)) start(const char *helper, int request, int reply)
{
	pid_t pid = vfork();
	if (pid == 0)
		become_helper(helper, request, reply);
	return pid;
}

/* Waits REAP_MAX_US at most; true if the process is gone. It is about to end, so the first pauses are short. The status stays as it is if
 * somebody else has taken it. */
static bool wait_gone(pid_t pid, int *ret_status)
{
	long pause_us = REAP_PAUSE_US;
	for (long waited_us = 0; waited_us < REAP_MAX_US; waited_us += pause_us) {
		pid_t gone = waitpid(pid, ret_status, WNOHANG);
		if (gone == pid || (gone < 0 && errno != EINTR))
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = pause_us * 1000 }, NULL);
		if (pause_us < REAP_PAUSE_MAX_US)
			pause_us *= 2;
	}
	return false;
}

/* 1: something to read, 0: time-out. */
static int wait_readable(int fd, unsigned timeout_s)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	const long long end_ms = now.tv_sec * 1000LL + now.tv_nsec / 1000000 + timeout_s * 1000LL;
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		long long left_ms = end_ms - (now.tv_sec * 1000LL + now.tv_nsec / 1000000);
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		int n = poll(&poll_fd, 1, left_ms > 0 ? (int)left_ms : 0);
		if (n > 0 || (n == 0 && left_ms <= 0))
			return n;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

int spawn_reap(struct spawn *spawn, struct err *err)
{
	int status;
	if (spawn->pid > 0 && !wait_gone(spawn->pid, &status))
		return err_set(err, ETIMEDOUT, "simg-helper does not end: it hangs in the kernel");
	spawn->pid = 0;
	return 0;
}

/* After its answer, or without one in time, there is nothing left for it to do. spawn_reap() follows. */
static void end(const struct spawn *spawn)
{
	kill(spawn->pid, SIGKILL);
}

/* It hung up without an answer: why, as far as its end tells. */
static int died(struct spawn *spawn, struct err *err)
{
	int status = -1;
	if (wait_gone(spawn->pid, &status))
		spawn->pid = 0;
	else
		end(spawn);
	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(err, ENOEXEC, "cannot execute simg-helper '%s'", spawn->helper);
	if (status >= 0 && WIFSIGNALED(status))
		return err_set(err, ECONNRESET, "simg-helper was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return err_set(err, ECONNRESET, "simg-helper ended without an answer");
}

static int receive(int socket, int *ret_fds, struct err *err)
{
	autowire struct wire packet = WIRE_INIT;
	struct err outcome;
	int r = wire_receive(socket, 0, &packet, ret_fds);
	if (r < 0)
		return r;
	if (launch_outcome_get(&packet, &outcome) < 0 || (outcome.code == 0 && (ret_fds[0] < 0 || ret_fds[1] < 0)))
		return err_set(err, EBADMSG, "simg-helper gave an answer that this plugin does not understand: do their versions differ?");
	if (outcome.code < 0)
		*err = outcome;
	return outcome.code;
}

int spawn_collect(struct spawn *spawn, unsigned timeout_s, int *ret_fds, struct err *err)
{
	if (wait_readable(spawn->socket, timeout_s) <= 0) {
		end(spawn);
		err_set(err, ETIMEDOUT, "simg-helper did not finish within %u s", timeout_s);
		return err_hint(err, "does a file system hang? helper_timeout in simg.conf sets the limit");
	}
	int r = receive(spawn->socket, ret_fds, err);
	cleanup_close(&spawn->socket);
	spawn->socket = -1;
	if (r < 0 && err->code == 0)
		return died(spawn, err);
	end(spawn);
	return r;
}

int spawn_start(const char *helper, const struct launch_request *request, struct spawn *ret_spawn, struct err *err)
{
	int r = check_helper(helper, err);
	if (r < 0)
		return r;
	autoclose int request_fd = write_request(request, err);
	if (request_fd < 0)
		return request_fd;
	int sockets[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_sys(err, errno, "cannot make a socket for simg-helper");
	autoclose int ours = sockets[0];
	pid_t pid = start(helper, request_fd, sockets[1]);
	int saved = errno;
	close(sockets[1]);
	if (pid < 0)
		return err_sys(err, saved, "cannot start simg-helper");
	*ret_spawn = (struct spawn){ .pid = pid, .socket = steal_fd(&ours), .helper = helper };
	return 0;
}

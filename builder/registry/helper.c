/* SPDX-License-Identifier: Apache-2.0
 *
 * Running a credential helper: see helper.h. Between fork and exec only what is safe with other threads around.
 */
#include "builder/registry/helper.h"

#include "builder/registry/secret.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* Linux 5.9; the same number everywhere */
#endif

enum { OUTPUT_BYTES_MAX = 64 * 1024, ERROR_FD = 3, WAIT_STEP_MS = 10, CLOSE_MAX = 65536, PROGRAM_MAX = 128 };

/* The protocol has no status for this, just these words. */
static const char NOT_FOUND[] = "credentials not found in native keychain";

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int check_name(const char *name, struct err *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(name);
	if (length == 0 || length > 64 || strspn(name, allowed) != length)
		return err_set(err, EINVAL, "'%s' is not the name of a credential helper", name);
	return 0;
}

/* A pipe that holds the input already, so that nobody has to write while the helper runs, and no SIGPIPE can come. */
static int input_pipe(const char *input, int *ret_fd)
{
	int ends[2];
	size_t bytes = strlen(input);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	ssize_t n = write(ends[1], input, bytes);
	int r = n < 0 ? -errno : (size_t)n < bytes ? -EFBIG : 0;
	close(ends[1]);
	if (r == 0)
		r = fcntl(ends[0], F_SETFL, 0) < 0 ? -errno : 0; /* the helper expects an ordinary pipe */
	if (r < 0)
		close(ends[0]);
	else
		*ret_fd = ends[0];
	return r;
}

static void close_from(int first)
{
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return;
	long limit = sysconf(_SC_OPEN_MAX);
	for (int fd = first; fd < (limit > 0 && limit < CLOSE_MAX ? limit : CLOSE_MAX); fd++)
		close(fd);
}

/* The child. Reports an errno on errors_fd if the program cannot be executed. */
static void become_helper(char *const *argv, int input_fd, int output_fd, int errors_fd)
{
	sigset_t none;
	sigemptyset(&none);
	int input = fcntl(input_fd, F_DUPFD_CLOEXEC, 10), output = fcntl(output_fd, F_DUPFD_CLOEXEC, 10);
	int errors = fcntl(errors_fd, F_DUPFD_CLOEXEC, 10);
	if (input >= 0 && output >= 0 && errors >= 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
	    dup3(errors, ERROR_FD, O_CLOEXEC) >= 0) {
		close_from(ERROR_FD + 1);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		execvp(argv[0], argv);
	}
	int code = errno;
	_exit(write(ERROR_FD, &code, sizeof(code)) == sizeof(code) ? 127 : 126);
}

/* Starts the program. *ret_output_fd is the end to read from. */
static int start(char *const *argv, const char *input, pid_t *ret_pid, int *ret_output_fd, struct err *err)
{
	autoclose int input_fd = -1;
	int output[2], errors[2], code = 0;
	int r = input_pipe(input, &input_fd);
	if (r < 0 || pipe2(output, O_CLOEXEC) < 0)
		return err_sys(err, r < 0 ? -r : errno, "cannot run %s", argv[0]);
	autoclose int output_read = output[0], output_write = output[1];
	if (pipe2(errors, O_CLOEXEC) < 0)
		return err_sys(err, errno, "cannot run %s", argv[0]);
	autoclose int errors_read = errors[0], errors_write = errors[1];
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "cannot run %s", argv[0]);
	if (pid == 0)
		become_helper(argv, input_fd, output_write, errors_write);
	close(steal_fd(&errors_write));
	while ((r = (int)read(errors_read, &code, sizeof(code))) < 0 && errno == EINTR)
		;
	if (r == (int)sizeof(code)) {
		waitpid(pid, NULL, 0);
		return err_sys(err, code, "cannot run %s", argv[0]);
	}
	*ret_pid = pid;
	*ret_output_fd = steal_fd(&output_read);
	return 0;
}

/* Reads to the end into output, which has OUTPUT_BYTES_MAX + 1 bytes and is all zeros. */
static int read_output(int fd, int64_t deadline_ms, char *output)
{
	for (size_t bytes = 0;;) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		int64_t left_ms = deadline_ms - now_ms();
		int ready = left_ms > 0 ? poll(&wait, 1, (int)left_ms) : 0;
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return ready < 0 ? -errno : -ETIMEDOUT;
		ssize_t n = read(fd, output + bytes, OUTPUT_BYTES_MAX + 1 - bytes);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		bytes += n > 0 ? (size_t)n : 0;
		if (bytes > OUTPUT_BYTES_MAX)
			return -EFBIG;
	}
}

/* Waits for the end of a program that may keep running after it closed its output. */
static int wait_for(pid_t pid, int64_t deadline_ms, int *ret_status)
{
	for (;;) {
		pid_t ended = waitpid(pid, ret_status, WNOHANG);
		if (ended == pid)
			return 0;
		if (ended < 0 && errno != EINTR)
			return -errno;
		if (now_ms() >= deadline_ms)
			return -ETIMEDOUT;
		poll(NULL, 0, WAIT_STEP_MS);
	}
}

static int explain_status(const char *program, const char *output, int status, struct err *err)
{
	if (status == 0)
		return 0;
	if (strstr(output, NOT_FOUND) != NULL)
		return err_set(err, ENODATA, "%s has no such credentials", program);
	if (WIFSIGNALED(status))
		return err_set(err, EIO, "%s was killed by signal %d", program, WTERMSIG(status));
	bool speaks = output[0] != '\0' && strchr(output, '{') == NULL;
	return err_set(err, EIO, "%s failed with status %d%s%.*s", program, WEXITSTATUS(status), speaks ? ": " : "",
		       speaks ? (int)strcspn(output, "\n") : 0, output);
}

static void trim_end(char *text)
{
	size_t length = strlen(text);
	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		text[--length] = '\0';
}

int helper_run(const char *name, const char *verb, const char *input, unsigned timeout_ms, char **ret_output, struct err *err)
{
	char program[PROGRAM_MAX];
	int status = 0;
	pid_t pid = -1;
	autoclose int fd = -1;
	int r = check_name(name, err);
	if (r < 0)
		return r;
	snprintf(program, sizeof(program), "docker-credential-%s", name);
	char *const argv[] = { program, (char *)verb, NULL };
	autosecret char *output = calloc(1, OUTPUT_BYTES_MAX + 2);
	if (output == NULL)
		return err_sys(err, ENOMEM, "cannot run %s", program);
	r = start(argv, input, &pid, &fd, err);
	if (r < 0)
		return r;
	int64_t deadline_ms = now_ms() + timeout_ms;
	r = read_output(fd, deadline_ms, output);
	if (r == 0)
		r = wait_for(pid, deadline_ms, &status);
	if (r < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (r == -ETIMEDOUT)
		return err_set(err, ETIMEDOUT, "%s did not answer within %u seconds", program, (timeout_ms + 999) / 1000);
	if (r == -EFBIG)
		return err_set(err, EFBIG, "%s printed more than %d bytes", program, OUTPUT_BYTES_MAX);
	if (r < 0)
		return err_sys(err, -r, "cannot read what %s prints", program);
	trim_end(output);
	r = explain_status(program, output, status, err);
	if (r == 0)
		*ret_output = steal_ptr(&output);
	return r;
}

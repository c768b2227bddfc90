/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking on the terminal: see terminal.h. Signals are let in only while waiting, so that none comes between the question
 * whether there was one and the waiting.
 */
#include "builder/registry/terminal.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

static const int SIGNALS[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP };
enum { SIGNAL_COUNT = sizeof(SIGNALS) / sizeof(SIGNALS[0]) };

static volatile sig_atomic_t caught; /* a handler has no other way to say it */

static void catch(int number)
{
	caught = number;
}

struct signals {
	struct sigaction actions[SIGNAL_COUNT];
	sigset_t mask;
};

/* Blocks the signals and catches those that are not ignored. */
static void signals_hold(struct signals *ret_before)
{
	struct sigaction action = { .sa_handler = catch };
	sigset_t held;
	sigemptyset(&action.sa_mask);
	sigemptyset(&held);
	for (int i = 0; i < SIGNAL_COUNT; i++)
		sigaddset(&held, SIGNALS[i]);
	pthread_sigmask(SIG_BLOCK, &held, &ret_before->mask);
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		sigaction(SIGNALS[i], NULL, &ret_before->actions[i]);
		if (ret_before->actions[i].sa_handler != SIG_IGN)
			sigaction(SIGNALS[i], &action, NULL);
	}
}

static void signals_release(const struct signals *before)
{
	for (int i = 0; i < SIGNAL_COUNT; i++)
		sigaction(SIGNALS[i], &before->actions[i], NULL);
	pthread_sigmask(SIG_SETMASK, &before->mask, NULL);
}

/* The terminal gives whole lines, so one read is one answer. -EINTR after a signal. */
static int read_line(int fd, const sigset_t *mask, char *answer, size_t bytes)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	if (ppoll(&wait, 1, NULL, mask) < 0)
		return -errno;
	ssize_t n = read(fd, answer, bytes - 1);
	if (n < 0)
		return -errno;
	answer[n] = '\0';
	if (n == 0)
		return -ECANCELED;
	if (answer[n - 1] != '\n')
		return (size_t)n == bytes - 1 ? -EMSGSIZE : -ECANCELED;
	answer[n - 1] = '\0';
	return 0;
}

static void put(int fd, const char *text)
{
	ssize_t n = write(fd, text, strlen(text)); /* a terminal that cannot be written to cannot be read from either */
	(void)n;
}

static int ask_once(int fd, const char *prompt, bool hidden, char *answer, size_t bytes)
{
	struct termios before, quiet;
	struct signals signals;
	if (tcgetattr(fd, &before) < 0)
		return -errno;
	quiet = before;
	quiet.c_lflag |= ICANON | ISIG;
	quiet.c_lflag &= ~(tcflag_t)(hidden ? ECHO | ECHONL : 0);
	caught = 0;
	signals_hold(&signals);
	int r = tcsetattr(fd, TCSAFLUSH, &quiet) < 0 ? -errno : 0;
	if (r == 0) {
		put(fd, prompt);
		r = read_line(fd, &signals.mask, answer, bytes);
		if (hidden || r < 0)
			put(fd, "\n");
	}
	tcsetattr(fd, TCSAFLUSH, &before);
	signals_release(&signals);
	if (caught != 0)
		raise(caught); /* ends the process or stops it, as it would have */
	return r;
}

int terminal_ask(const char *prompt, bool hidden, char *answer, size_t bytes, struct err *err)
{
	int r;
	autoclose int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set(err, ENXIO, "there is no terminal to ask on");
	while ((r = ask_once(fd, prompt, hidden, answer, bytes)) == -EINTR)
		;
	if (r == -ECANCELED)
		return err_set(err, ECANCELED, "the question was not answered");
	if (r == -EMSGSIZE)
		return err_set(err, EMSGSIZE, "the answer is too long");
	return r < 0 ? err_sys(err, -r, "cannot ask on the terminal") : 0;
}

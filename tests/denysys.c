/* SPDX-License-Identifier: Apache-2.0
 *
 * denysys NAME[,NAME…] -- COMMAND [ARGUMENT…]
 *
 * Runs a command, and all that it starts, as on a kernel that lacks the named system calls: they fail with ENOSYS. Two names stand for
 * what fails in another way:
 *	loop_configure   the ioctl of that name fails with EINVAL, as before Linux 5.8
 *	pivot_root       fails with EINVAL, as it does where the root is an unpacked initramfs
 *
 * Needs root: without it, only a process that can gain no privileges may filter its system calls, and slurmd must be able to.
 */
#include <err.h>
#include <errno.h>
#include <linux/loop.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef LOOP_CONFIGURE
#define LOOP_CONFIGURE 0x4C0A
#endif

enum { EXIT_WRONG_USE = 2, EXIT_NO_FILTER = 125, EXIT_NO_COMMAND = 127 };

static int deny(scmp_filter_ctx filter, const char *name)
{
	if (strcmp(name, "loop_configure") == 0)
		return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, LOOP_CONFIGURE));
	int number = seccomp_syscall_resolve_name(name);
	if (number < 0)
		errx(EXIT_WRONG_USE, "error: there is no system call '%s'", name);
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(strcmp(name, "pivot_root") == 0 ? EINVAL : ENOSYS), number, 0);
}

static scmp_filter_ctx make_filter(char *names)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	char *name;
	if (filter == NULL)
		errx(EXIT_NO_FILTER, "error: cannot make a filter");
	/* A program of another architecture runs unfiltered rather than not at all; a setuid one keeps its meaning. */
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	while (r == 0 && (name = strsep(&names, ",")) != NULL)
		r = deny(filter, name);
	if (r < 0)
		errx(EXIT_NO_FILTER, "error: cannot make a filter: %s", strerror(-r));
	return filter;
}

int main(int argc, char **argv)
{
	if (argc < 4 || strcmp(argv[2], "--") != 0) {
		fputs("usage: denysys NAME[,NAME…] -- COMMAND [ARGUMENT…]\n", stderr);
		return EXIT_WRONG_USE;
	}
	scmp_filter_ctx filter = make_filter(argv[1]);
	int r = seccomp_load(filter);
	if (r < 0)
		errx(EXIT_NO_FILTER, "error: cannot load the filter: %s", strerror(-r));
	seccomp_release(filter);
	execvp(argv[3], argv + 3);
	err(EXIT_NO_COMMAND, "error: cannot execute '%s'", argv[3]);
}

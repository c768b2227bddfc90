/* SPDX-License-Identifier: Apache-2.0
 *
 * The filter: see filter.h. Programs of another architecture (i386 on x86-64) are not filtered.
 */
#include "builder/fakeroot/filter.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
enum { SYSCALL_OPENAT2 = 437, SYSCALL_FCHMODAT2 = 452, PROGRAM_MAX = 4096 };

/* Those that an architecture lacks have a negative number there. */
static const struct {
	int number;
	enum filter_call call;
	bool harmless;    /* may be left to the kernel where it cannot ask */
	int mode_argument; /* only if that argument is the mode of a device node; 0: always */
} asked[] = {
	{ SCMP_SYS(chown), CALL_CHOWN, false, 0 },
	{ SCMP_SYS(lchown), CALL_LCHOWN, false, 0 },
	{ SCMP_SYS(fchown), CALL_FCHOWN, false, 0 },
	{ SCMP_SYS(fchownat), CALL_FCHOWNAT, false, 0 },
	{ SCMP_SYS(mknod), CALL_MKNOD, false, 1 },
	{ SCMP_SYS(mknodat), CALL_MKNODAT, false, 2 },
	{ SCMP_SYS(chmod), CALL_CHMOD, true, 0 },
	{ SCMP_SYS(fchmod), CALL_FCHMOD, true, 0 },
	{ SCMP_SYS(fchmodat), CALL_FCHMODAT, true, 0 },
	{ SYSCALL_FCHMODAT2, CALL_FCHMODAT2, true, 0 },
#ifdef __NR_stat
	{ __NR_stat, CALL_STAT, true, 0 },
	{ __NR_lstat, CALL_LSTAT, true, 0 },
#endif
	{ __NR_fstat, CALL_FSTAT, true, 0 },
#ifdef __NR_newfstatat
	{ __NR_newfstatat, CALL_FSTATAT, true, 0 },
#endif
	{ SCMP_SYS(statx), CALL_STATX, true, 0 },
	{ SCMP_SYS(chroot), CALL_CHROOT, true, 0 },
	{ SCMP_SYS(pivot_root), CALL_PIVOT_ROOT, true, 0 },
};
enum { ASKED_COUNT = sizeof(asked) / sizeof(asked[0]) };

static const int nothing[] = {
	SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid), SCMP_SYS(setresgid),
	SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups),
	SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync), SCMP_SYS(syncfs), SCMP_SYS(msync), SCMP_SYS(sync_file_range),
};
enum { NOTHING_COUNT = sizeof(nothing) / sizeof(nothing[0]) };

bool filter_can_ask(void)
{
	return syscall(SYSCALL_OPENAT2, -1, NULL, NULL, 0) >= 0 || errno != ENOSYS;
}

static int device_rules_add(scmp_filter_ctx *filter, uint32_t action, int number, int argument)
{
	static const mode_t types[] = { S_IFCHR, S_IFBLK };
	int r = 0;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]) && r == 0; i++)
		r = seccomp_rule_add(filter, action, number, 1,
				     SCMP_CMP((unsigned)argument, SCMP_CMP_MASKED_EQ, S_IFMT, types[i]));
	return r;
}

static int rules_add(scmp_filter_ctx *filter, bool ask)
{
	int r = 0;
	for (int i = 0; i < ASKED_COUNT && r == 0; i++) {
		uint32_t action = ask ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO(0);
		if (asked[i].number < 0 || (!ask && asked[i].harmless))
			continue;
		if (asked[i].mode_argument > 0)
			r = device_rules_add(filter, action, asked[i].number, asked[i].mode_argument);
		else
			r = seccomp_rule_add(filter, action, asked[i].number, 0);
	}
	for (int i = 0; i < NOTHING_COUNT && r == 0; i++)
		if (nothing[i] >= 0)
			r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), nothing[i], 0);
	return r < 0 ? r : seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(reboot), 0);
}

static int filter_failed(int errnum, struct err *err)
{
	return err_sys(err, errnum, "cannot make the system call filter of a build");
}

int filter_compile(bool ask, struct err *err)
{
	autoclose int fd = memfd_create("simg-filter", MFD_CLOEXEC);
	scmp_filter_ctx *filter = fd < 0 ? NULL : seccomp_init(SCMP_ACT_ALLOW);
	if (filter == NULL)
		return filter_failed(fd < 0 ? errno : ENOMEM, err);
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	if (r == 0)
		r = rules_add(filter, ask);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = seccomp_export_bpf(filter, fd);
	seccomp_release(filter);
	return r < 0 ? filter_failed(-r, err) : steal_fd(&fd);
}

int filter_install(int program_fd, bool ask, struct err *err)
{
	struct sock_filter program[PROGRAM_MAX];
	ssize_t bytes = pread(program_fd, program, sizeof(program), 0);
	if (bytes <= 0 || bytes == (ssize_t)sizeof(program))
		return filter_failed(bytes < 0 ? errno : E2BIG, err);
	struct sock_fprog descriptor = { .len = (unsigned short)((size_t)bytes / sizeof(program[0])), .filter = program };
	unsigned long flags = ask ? SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV : 0;
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &descriptor);
	if (r < 0 && errno == EINVAL && ask) /* before 5.19, a signal may interrupt a call that is being answered */
		r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &descriptor);
	return r < 0 ? err_sys(err, errno, "cannot install the system call filter of a build") : (int)r;
}

enum filter_call filter_call_of(unsigned arch, int number)
{
	if (arch != seccomp_arch_native())
		return CALL_NONE;
	for (int i = 0; i < ASKED_COUNT; i++)
		if (asked[i].number == number)
			return asked[i].call;
	return CALL_NONE;
}

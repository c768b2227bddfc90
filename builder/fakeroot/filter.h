/* SPDX-License-Identifier: Apache-2.0
 *
 * Which system calls of a fake root are not the kernel's business alone, as a seccomp filter. Three ways of dealing with a call:
 *
 * - asked: a supervisor answers it (SECCOMP_RET_USER_NOTIF). Calls that change or tell owners, and those that make device nodes.
 * - nothing: it succeeds and does nothing. Changes of user and group ids, since there is only one of each; what forces data to disk,
 *   since a work directory that a crash leaves half written is of no use anyway.
 * - refused: reboot(2), which would end the namespace's first process.
 *
 * Where the kernel cannot ask (before 5.6), those that would be asked and change something do nothing instead, and owners are lost.
 */
#ifndef SIMG_BUILDER_FAKEROOT_FILTER_H
#define SIMG_BUILDER_FAKEROOT_FILTER_H

#include <stdbool.h>

struct err;

/* The calls that a supervisor answers. */
enum filter_call {
	CALL_NONE,
	CALL_CHOWN, CALL_LCHOWN, CALL_FCHOWN, CALL_FCHOWNAT,
	CALL_MKNOD, CALL_MKNODAT,
	CALL_CHMOD, CALL_FCHMOD, CALL_FCHMODAT, CALL_FCHMODAT2,
	CALL_STAT, CALL_LSTAT, CALL_FSTAT, CALL_FSTATAT, CALL_STATX,
	CALL_CHROOT, CALL_PIVOT_ROOT,
};

/* Whether this kernel can ask a supervisor and take "go on yourself" for an answer (5.5), and has openat2 (5.6), which came with it
 * in every kernel that people run. */
bool filter_can_ask(void);

/* The program, in a file that the caller closes: struct sock_filter after struct sock_filter. Negative errno on failure. */
int filter_compile(bool ask, struct err *err);

/* Installs the program for the calling thread and what it will execute. Needs CAP_SYS_ADMIN in the user namespace, or no_new_privs.
 * Returns the descriptor for the supervisor (close-on-exec) if ask is set, else 0. */
int filter_install(int program_fd, bool ask, struct err *err);

/* What a number in struct seccomp_data stands for on this machine. */
enum filter_call filter_call_of(unsigned arch, int number);

#endif

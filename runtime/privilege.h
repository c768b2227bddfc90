/* SPDX-License-Identifier: Apache-2.0
 *
 * Every change of user, group, capability or namespace of this project, each with its reason. Used by the plugin (in a task's
 * process) and by simg-helper. The file calls the kernel directly where glibc would signal other threads or where libcap would be
 * needed: the callers are single-threaded, and slurmstepd must not load more libraries for our sake.
 */
#ifndef SIMG_RUNTIME_PRIVILEGE_H
#define SIMG_RUNTIME_PRIVILEGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/* Plugin, task process, root, before Slurm makes it the user's: keep the permitted capabilities over that change, so that
 * privilege_enter() can use two of them as the user. Effective ones are dropped by the kernel at the change. */
int privilege_keep_for_entry(struct err *err);

/* Plugin, task process, already the user: enters the mount namespace (its root and working directory with it), then gives up
 * everything for good, also when entering failed: no capability in any set, no way to gain one (bounding set empty,
 * no_new_privs). dev and ino are those of the root that must be found; any other is an error. After an error the process must not
 * run the user's program: it may stand outside the container. */
int privilege_enter(int namespace_fd, uint64_t dev, uint64_t ino, struct err *err);

/* Plugin, task process, already the user, while simg-helper works for it: makes the kept CAP_KILL effective. A process that dies sends its
 * children the signal that they have asked for (privilege_die_with_parent()) with its own rights, and a user's do not reach root's. */
int privilege_keep_kill(struct err *err);

/* Plugin, task process that will not enter: the second half of the above. */
int privilege_drop(struct err *err);

/* Helper and planner: die (SIGKILL) with the process that started this one, so that nothing goes on after a step is gone. Fails if
 * `parent` is gone already. The kernel forgets this at every change of ids, so the functions below set it again. */
int privilege_die_with_parent(pid_t parent, struct err *err);

/* Planner, root: becomes the user for good (groups, ids, capabilities, no_new_privs, not traceable by the user), and verifies that root
 * cannot be had back. */
int privilege_become_user(uid_t uid, gid_t gid, const gid_t *gids, size_t gid_count, struct err *err);

/* Helper, root, once: takes the user's groups, so that the filesystem ids below are the user's in full. */
int privilege_take_groups(const gid_t *gids, size_t gid_count, struct err *err);

/* Helper, root: paths are looked up with the user's permissions between the two calls (root-squashed file systems, and
 * no view of what the user may not see), while CAP_SYS_ADMIN stays for the mount that follows. */
void privilege_lookup_as_user(uid_t uid, gid_t gid);
void privilege_lookup_as_root(void);

/* Helper, root: a mount namespace of its own, of which nothing reaches the host's; changes on the host still reach it (an
 * automounted file system, an unmount). */
int privilege_private_mounts(struct err *err);

/* Builder, the user: becomes root of a new user namespace, in which its own user and group are 0 and there is no other. It gains
 * rights over nothing but what it owns already, and over namespaces that it makes from there. One thread only. */
int privilege_become_namespace_root(struct err *err);

/* Builder, root of its own user namespace: a child process that is the first one of new mount and pid namespaces. Returns as fork()
 * does; *ret_own_pids is false where there can be no pid namespace. */
pid_t privilege_fork_namespaces(bool *ret_own_pids);

#endif

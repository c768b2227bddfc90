/* SPDX-License-Identifier: Apache-2.0
 *
 * All privilege changes: see privilege.h.
 */
#include "runtime/privilege.h"

#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int caps_get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	return (int)syscall(SYS_capget, &header, data);
}

static int caps_set(const struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	return (int)syscall(SYS_capset, &header, data);
}

/* Makes exactly these capabilities effective; they must be permitted. */
static int caps_raise(const int *caps, int count, struct err *err)
{
	struct __user_cap_data_struct data[2];
	if (caps_get(data) < 0)
		return err_sys(err, errno, "cannot read capabilities");
	data[0].effective = data[1].effective = 0;
	for (int i = 0; i < count; i++)
		data[CAP_TO_INDEX(caps[i])].effective |= CAP_TO_MASK(caps[i]);
	if (caps_set(data) < 0) {
		err_sys(err, errno, "cannot raise capabilities to make or enter the container");
		return err_hint(err, "slurmd must run as root with all capabilities");
	}
	return 0;
}

/* The bounding set limits what a later execve could give; emptying it needs CAP_SETPCAP. */
static int bounding_set_drop(struct err *err)
{
	int cap = 0;
	while (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
		cap++;
	/* EINVAL: the kernel knows no more of them. */
	return errno == EINVAL && cap > 0 ? 0 : err_sys(err, errno, "cannot drop capability %d from the bounding set", cap);
}

static bool caps_empty(void)
{
	struct __user_cap_data_struct data[2];
	if (caps_get(data) < 0)
		return false;
	return (data[0].effective | data[1].effective | data[0].permitted | data[1].permitted | data[0].inheritable |
		data[1].inheritable) == 0;
}

/* From here on the process has nothing that an ordinary process of the user has not, and can't get it from a setuid file. */
static int caps_give_up(struct err *err)
{
	static const struct __user_cap_data_struct none[2];
	static const int setpcap[] = { CAP_SETPCAP };
	int r = caps_raise(setpcap, 1, err);
	if (r == 0)
		r = bounding_set_drop(err);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && r == 0)
		r = err_sys(err, errno, "cannot clear the ambient capabilities");
	if (caps_set(none) < 0 && r == 0)
		r = err_sys(err, errno, "cannot drop capabilities");
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 && r == 0)
		r = err_sys(err, errno, "cannot reset keepcaps");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 && r == 0)
		r = err_sys(err, errno, "cannot set no_new_privs");
	if (r == 0 && !caps_empty())
		r = err_set(err, EPERM, "capabilities are left after dropping them");
	return r;
}

int privilege_keep_for_entry(struct err *err)
{
	if (geteuid() != 0) {
		err_set(err, EPERM, "slurmstepd does not run as root (uid %u)", (unsigned)geteuid());
		return err_hint(err, "containers need a slurmd that runs as root");
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "cannot keep capabilities over the change of user");
	return 0;
}

static int enter_namespace(int namespace_fd, uint64_t dev, uint64_t ino, struct err *err)
{
	/* setns into a mount namespace asks for both; it also moves root and working directory to the namespace's root, which
	 * is the image's, because the helper pivoted there. */
	static const int caps[] = { CAP_SYS_ADMIN, CAP_SYS_CHROOT };
	int r = caps_raise(caps, 2, err);
	if (r < 0)
		return r;
	if (setns(namespace_fd, CLONE_NEWNS) < 0)
		return err_sys(err, errno, "cannot enter the container's mount namespace");
	struct stat st;
	if (stat("/", &st) < 0)
		return err_sys(err, errno, "cannot stat the container's root");
	if (st.st_dev != dev || st.st_ino != ino) {
		err_set(err, EXDEV, "entering the container's mount namespace did not lead to the image's root");
		return err_hint(err, "slurmd seems to run in a chroot: start it where the root of its mount namespace is its own (pivot_root)");
	}
	return 0;
}

int privilege_enter(int namespace_fd, uint64_t dev, uint64_t ino, struct err *err)
{
	int entered = enter_namespace(namespace_fd, dev, ino, err);
	struct err drop_err = ERR_INIT;
	int dropped = caps_give_up(&drop_err);
	if (entered == 0 && dropped < 0 && err != NULL)
		*err = drop_err;
	return entered < 0 ? entered : dropped;
}

int privilege_keep_kill(struct err *err)
{
	static const int caps[] = { CAP_KILL };
	return caps_raise(caps, 1, err);
}

int privilege_drop(struct err *err)
{
	return caps_give_up(err);
}

int privilege_die_with_parent(pid_t parent, struct err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_sys(err, errno, "cannot ask to die with the parent process");
	return getppid() != parent ? err_set(err, ESRCH, "the parent process is gone") : 0;
}

static bool root_comes_back(void)
{
	return setuid(0) == 0 || seteuid(0) == 0 || setresuid(0, 0, 0) == 0;
}

int privilege_become_user(uid_t uid, gid_t gid, const gid_t *gids, size_t gid_count, struct err *err)
{
	pid_t parent = getppid();
	int r = bounding_set_drop(err);
	if (r < 0)
		return r;
	if (setgroups(gid_count, gids) < 0)
		return err_sys(err, errno, "cannot take the user's %zu groups", gid_count);
	if (setresgid(gid, gid, gid) < 0)
		return err_sys(err, errno, "cannot take group id %u", (unsigned)gid);
	if (setresuid(uid, uid, uid) < 0)
		return err_sys(err, errno, "cannot take user id %u", (unsigned)uid);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "cannot set no_new_privs");
	/* Other processes of the user must not trace the planner, which talks to root. A job of root has nothing to hide from root. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, errno, "cannot make the planner untraceable");
	r = privilege_die_with_parent(parent, err);
	if (r < 0)
		return r;
	if (uid == 0) {
		static const struct __user_cap_data_struct none[2];
		return caps_set(none) < 0 ? err_sys(err, errno, "cannot drop capabilities") : 0;
	}
	if (root_comes_back() || !caps_empty())
		return err_set(err, EPERM, "root could be had back after dropping it");
	return 0;
}

int privilege_take_groups(const gid_t *gids, size_t gid_count, struct err *err)
{
	return setgroups(gid_count, gids) < 0 ? err_sys(err, errno, "cannot take the user's %zu groups", gid_count) : 0;
}

void privilege_lookup_as_user(uid_t uid, gid_t gid)
{
	setfsgid(gid);
	setfsuid(uid); /* takes the file system capabilities (DAC override among them) out of the effective set, too */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

void privilege_lookup_as_root(void)
{
	setfsuid(0);
	setfsgid(0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

int privilege_private_mounts(struct err *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(err, errno, "cannot make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(err, errno, "cannot cut the mount namespace off the host's");
	return 0;
}

static int proc_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, text, strlen(text));
	int r = n < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int namespace_refused(int errnum, struct err *err)
{
	err_sys(err, errnum, "cannot make a user namespace, in which an ordinary user is root of a build");
	if (errnum == ENOSPC || errnum == EUSERS)
		return err_hint(err, "the site has switched them off: sysctl user.max_user_namespaces is 0, or too low");
	return err_hint(err, "the kernel or a security module forbids them: sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu, "
			     "kernel.unprivileged_userns_clone=1 on older Debian; or build on another host");
}

int privilege_become_namespace_root(struct err *err)
{
	char users[32], groups[32];
	snprintf(users, sizeof(users), "0 %u 1\n", (unsigned)geteuid());
	snprintf(groups, sizeof(groups), "0 %u 1\n", (unsigned)getegid());
	if (unshare(CLONE_NEWUSER) < 0)
		return namespace_refused(errno, err);
	int r = proc_write("/proc/self/uid_map", users);
	/* Without it a user could drop a group that keeps him out of something. Linux 3.19 */
	if (r == 0)
		r = proc_write("/proc/self/setgroups", "deny");
	if (r == 0)
		r = proc_write("/proc/self/gid_map", groups);
	if (r == 0 && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		r = -errno;
	return r < 0 ? namespace_refused(-r, err) : 0;
}

pid_t privilege_fork_namespaces(bool *ret_own_pids)
{
	*ret_own_pids = true;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid >= 0 || (errno != ENOSPC && errno != EPERM && errno != EINVAL))
		return pid;
	*ret_own_pids = false;
	return (pid_t)syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
}

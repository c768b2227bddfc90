/* SPDX-License-Identifier: Apache-2.0
 *
 * Files without a name, hidden names, renaming and removal: see temporary.h.
 */
#include "builder/temporary.h"

#include "builder/remove.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RANDOM_CHARS = 6, TRIES_MAX = 100, REMOVE_TRIES = 3, DOOMED_MAX = 4 };

/* For the signal handler: what to remove, and who still writes there. */
static struct doomed {
	volatile sig_atomic_t armed;
	int directory_fd;
	char name[NAME_MAX + 1];
} doomed[DOOMED_MAX];
static volatile sig_atomic_t worker_pid;

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXCPU, SIGXFSZ };
enum { SIGNAL_COUNT = sizeof(signals) / sizeof(signals[0]) };

/* Another thread may go on writing until the process is gone. Also at exit: libarchive ends the process when it runs out of
 * memory. */
static void doomed_remove(void)
{
	temporary_worker_end();
	for (int d = 0; d < DOOMED_MAX; d++)
		for (int i = 0; doomed[d].armed && i < REMOVE_TRIES; i++)
			if (remove_tree(doomed[d].directory_fd, doomed[d].name) == 0)
				break;
}

void temporary_worker_begin(pid_t pid)
{
	worker_pid = pid;
}

void temporary_worker_end(void)
{
	pid_t pid = worker_pid;
	worker_pid = 0;
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static void remove_and_die(int signum)
{
	doomed_remove();
	signal(signum, SIG_DFL);
	raise(signum);
}

/* The slot of that name, or with directory_fd -1 one that is free, or NULL. */
static struct doomed *doomed_slot(int directory_fd, const char *name)
{
	for (int d = 0; d < DOOMED_MAX; d++)
		if (directory_fd < 0 ? !doomed[d].armed :
				       doomed[d].armed && doomed[d].directory_fd == directory_fd && strcmp(doomed[d].name, name) == 0)
			return &doomed[d];
	return NULL;
}

static void doomed_arm(const struct temporary *temporary)
{
	struct sigaction action = { .sa_handler = remove_and_die }, old;
	struct doomed *slot = doomed_slot(-1, "");
	static bool at_exit;
	if (slot == NULL) /* more than there is use for: what is left to do is to remove it in the orderly way */
		return;
	if (!at_exit)
		atexit(doomed_remove);
	at_exit = true;
	slot->directory_fd = temporary->directory_fd;
	memcpy(slot->name, temporary->hidden, sizeof(slot->name));
	slot->armed = 1;
	sigemptyset(&action.sa_mask);
	for (int i = 0; i < SIGNAL_COUNT; i++)
		sigaddset(&action.sa_mask, signals[i]);
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		/* What the parent ignores (nohup) stays ignored. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(signals[i], &action, NULL);
	}
}

static void signals_restore(void)
{
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		struct sigaction old;
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == remove_and_die)
			signal(signals[i], SIG_DFL);
	}
}

static void doomed_disarm(const struct temporary *temporary)
{
	struct doomed *slot = doomed_slot(temporary->directory_fd, temporary->hidden);
	bool left = false;
	if (slot != NULL)
		slot->armed = 0;
	for (int d = 0; d < DOOMED_MAX; d++)
		left |= doomed[d].armed;
	if (!left)
		signals_restore();
}

int temporary_place(struct temporary *temporary, const char *what, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	*temporary = (struct temporary){ .what = what, .path = path, .name = slash == NULL ? path : slash + 1,
					 .directory_fd = -1, .unnamed_fd = -1 };
	const char *name = temporary->name;
	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(err, EISDIR, "the %s '%s' has no file name", what, path);
	if (strlen(name) > NAME_MAX)
		return err_sys(err, ENAMETOOLONG, "cannot write the %s '%s'", what, path);
	autofree char *directory = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
	if (directory == NULL)
		return err_sys(err, ENOMEM, "cannot write the %s '%s'", what, path);
	temporary->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (temporary->directory_fd < 0)
		return err_sys(err, errno, "cannot open the directory of the %s '%s'", what, path);
	return 0;
}

/* ".NAME.XXXXXX", cut where the name is too long. */
static void hidden_name(struct temporary *temporary, uint64_t *seed)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	int kept = (int)strnlen(temporary->name, NAME_MAX - RANDOM_CHARS - 2);
	char random[RANDOM_CHARS + 1] = "";
	for (int i = 0; i < RANDOM_CHARS; i++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		random[i] = letters[(*seed >> 33) % (sizeof(letters) - 1)];
	}
	snprintf(temporary->hidden, sizeof(temporary->hidden), ".%.*s.%s", kept, temporary->name, random);
}

static int create(const struct temporary *temporary, bool directory)
{
	int at = temporary->directory_fd;
	if (!directory)
		return openat(at, temporary->hidden, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (mkdirat(at, temporary->hidden, 0700) < 0)
		return -1;
	return openat(at, temporary->hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Tries hidden names until make() has made something of one: returns what make() returned, and -1 with errno if nothing works. */
static int make_hidden(struct temporary *temporary, int (*make)(const struct temporary *temporary, bool directory), bool directory)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t seed = (uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 20) ^ ((uint64_t)getpid() << 40);
	int result = -1;
	for (int i = 0; i < TRIES_MAX && result < 0; i++) {
		hidden_name(temporary, &seed);
		result = make(temporary, directory);
		if (result < 0 && errno != EEXIST)
			break;
	}
	if (result < 0)
		temporary->hidden[0] = '\0';
	return result;
}

/* Gives the file without a name one. */
static int name_it(const struct temporary *temporary, const char *name)
{
	char source[FD_PATH_MAX];
	fd_path(temporary->unnamed_fd, source);
	return linkat(AT_FDCWD, source, temporary->directory_fd, name, AT_SYMLINK_FOLLOW);
}

static int name_hidden(const struct temporary *temporary, bool directory)
{
	(void)directory;
	return name_it(temporary, temporary->hidden);
}

/* Only what can be given a name later is of use. */
static int create_unnamed(struct temporary *temporary)
{
	if (access("/proc/self/fd", X_OK) == 0)
		temporary->unnamed_fd = openat(temporary->directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return temporary->unnamed_fd;
}

int temporary_create(struct temporary *temporary, bool directory, struct err *err)
{
	int fd = directory ? -1 : create_unnamed(temporary);
	if (fd >= 0)
		return fd;
	fd = make_hidden(temporary, create, directory);
	if (fd < 0)
		return err_sys(err, errno, "cannot write in the directory of the %s '%s'", temporary->what, temporary->path);
	doomed_arm(temporary);
	return fd;
}

/* Replaces nothing that came there meanwhile: RENAME_NOREPLACE, or a hard link where the file system lacks it (NFS), or at last,
 * and for directories, a look before the rename. */
static int rename_new(const struct temporary *temporary)
{
	int at = temporary->directory_fd;
	const char *hidden = temporary->hidden, *name = temporary->name;
	if (renameat2(at, hidden, at, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
		return -errno;
	if (linkat(at, hidden, at, name, 0) == 0) {
		unlinkat(at, hidden, 0);
		return 0;
	}
	if (errno == EEXIST || faccessat(at, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(at, hidden, at, name) < 0 ? -errno : 0;
}

int temporary_rename(struct temporary *temporary, bool replace)
{
	int at = temporary->directory_fd, r = 0;
	if (temporary->unnamed_fd >= 0 && !replace)
		return name_it(temporary, temporary->name) < 0 ? -errno : 0;
	if (temporary->unnamed_fd >= 0) { /* no call names a file and replaces another one at once */
		if (make_hidden(temporary, name_hidden, false) < 0)
			return -errno;
		doomed_arm(temporary);
	}
	if (!replace)
		r = rename_new(temporary);
	else if (renameat(at, temporary->hidden, at, temporary->name) < 0)
		r = -errno;
	if (r == 0) {
		doomed_disarm(temporary);
		temporary->hidden[0] = '\0';
	}
	return r;
}

int temporary_remove(struct temporary *temporary)
{
	int r = remove_tree(temporary->directory_fd, temporary->hidden);
	doomed_disarm(temporary);
	temporary->hidden[0] = '\0';
	return r;
}

void temporary_close(struct temporary *temporary)
{
	if (temporary->hidden[0] != '\0')
		temporary_remove(temporary);
	if (temporary->directory_fd >= 0)
		close(temporary->directory_fd);
	temporary->directory_fd = -1;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Temporary file, fsync, rename: see output.h. O_TMPFILE would spare the signal handler, but NFS and older Lustre lack it.
 */
#include "builder/output.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { RANDOM_CHARS = 6, TRIES_MAX = 100 };

struct output {
	char *path;       /* as given */
	const char *name; /* its last component */
	int directory_fd;
	int fd;
	char temporary[NAME_MAX + 1];
	uint64_t bytes;
	bool force, abandoned, committed;
	bool target_exists;
	struct stat target;
};

/* For the signal handler: the file to remove. */
static struct {
	volatile sig_atomic_t armed;
	int directory_fd;
	char name[NAME_MAX + 1];
} doomed;

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXCPU, SIGXFSZ };
enum { SIGNAL_COUNT = sizeof(signals) / sizeof(signals[0]) };

static void remove_and_die(int signum)
{
	if (doomed.armed)
		unlinkat(doomed.directory_fd, doomed.name, 0);
	signal(signum, SIG_DFL);
	raise(signum);
}

/* libarchive ends the process when it runs out of memory. */
static void remove_at_exit(void)
{
	if (doomed.armed)
		unlinkat(doomed.directory_fd, doomed.name, 0);
}

static void doomed_arm(const struct output *output)
{
	atexit(remove_at_exit);
	doomed.directory_fd = output->directory_fd;
	memcpy(doomed.name, output->temporary, sizeof(doomed.name));
	doomed.armed = 1;
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		struct sigaction action = { .sa_handler = remove_and_die }, old;
		/* What the parent ignores (nohup) stays ignored. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(signals[i], &action, NULL);
	}
}

static void doomed_disarm(void)
{
	doomed.armed = 0;
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		struct sigaction old;
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == remove_and_die)
			signal(signals[i], SIG_DFL);
	}
}

static int target_check(const struct output *output, struct err *err)
{
	const char *path = output->path;
	if (!output->target_exists)
		return 0;
	if (S_ISDIR(output->target.st_mode)) {
		err_set(err, EISDIR, "the image '%s' would replace a directory", path);
		return err_hint(err, "name a file: simg build %s/app.simg SOURCE", path);
	}
	if (S_ISLNK(output->target.st_mode)) {
		err_set(err, EEXIST, "the image '%s' would replace a symlink", path);
		return err_hint(err, "name the file that it points to");
	}
	if (!S_ISREG(output->target.st_mode))
		return err_set(err, EEXIST, "the image '%s' would replace something that is no regular file", path);
	if (!output->force) {
		err_set(err, EEXIST, "the image '%s' exists", path);
		return err_hint(err, "--force replaces it");
	}
	return 0;
}

static int directory_open(struct output *output, struct err *err)
{
	const char *slash = strrchr(output->path, '/');
	output->name = slash == NULL ? output->path : slash + 1;
	if (output->name[0] == '\0' || strcmp(output->name, ".") == 0 || strcmp(output->name, "..") == 0) {
		err_set(err, EISDIR, "the image '%s' has no file name", output->path);
		return err_hint(err, "the first argument is the image to write: simg build app.simg SOURCE");
	}
	if (strlen(output->name) > NAME_MAX)
		return err_sys(err, ENAMETOOLONG, "cannot write the image '%s'", output->path);
	autofree char *directory = slash == NULL ? strdup(".") : strndup(output->path, (size_t)(slash - output->path) + 1);
	if (directory == NULL)
		return err_sys(err, ENOMEM, "cannot write the image '%s'", output->path);
	output->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (output->directory_fd < 0)
		return err_sys(err, errno, "cannot open the directory of the image '%s'", output->path);
	return 0;
}

/* ".app.simg.XXXXXX", cut where the name is too long. */
static int temporary_create(struct output *output, struct err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	int kept = (int)strnlen(output->name, NAME_MAX - RANDOM_CHARS - 2);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t seed = (uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 20) ^ ((uint64_t)getpid() << 40);

	for (int i = 0; i < TRIES_MAX; i++) {
		char random[RANDOM_CHARS + 1] = "";
		for (int k = 0; k < RANDOM_CHARS; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			random[k] = letters[(seed >> 33) % (sizeof(letters) - 1)];
		}
		snprintf(output->temporary, sizeof(output->temporary), ".%.*s.%s", kept, output->name, random);
		output->fd = openat(output->directory_fd, output->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (output->fd >= 0 || errno != EEXIST)
			break;
	}
	if (output->fd < 0)
		return err_sys(err, errno, "cannot write in the directory of the image '%s'", output->path);
	doomed_arm(output);
	return 0;
}

int output_open(const char *path, bool force, struct output **ret_output, struct err *err)
{
	struct output *output = calloc(1, sizeof(*output));
	if (output == NULL)
		return err_sys(err, ENOMEM, "cannot write the image '%s'", path);
	*output = (struct output){ .path = strdup(path), .directory_fd = -1, .fd = -1, .force = force };
	int r = output->path == NULL ? err_sys(err, ENOMEM, "cannot write the image '%s'", path) : directory_open(output, err);
	if (r == 0) {
		output->target_exists = fstatat(output->directory_fd, output->name, &output->target, AT_SYMLINK_NOFOLLOW) == 0;
		r = target_check(output, err);
	}
	if (r == 0)
		r = temporary_create(output, err);
	if (r < 0) {
		output_free(output);
		return r;
	}
	*ret_output = output;
	return 0;
}

int output_read(struct output *output, uint64_t offset, void *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = pread(output->fd, data, bytes, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data = (char *)data + n;
		bytes -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int output_write(struct output *output, uint64_t offset, const void *data, size_t bytes)
{
	uint64_t end = offset + bytes;
	while (bytes > 0 && !output->abandoned) {
		ssize_t n = pwrite(output->fd, data, bytes, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data = (const char *)data + n;
		bytes -= (size_t)n;
		offset += (uint64_t)n;
	}
	if (end > output->bytes)
		output->bytes = end;
	return 0;
}

uint64_t output_bytes(const struct output *output)
{
	return output->bytes;
}

void output_truncate(struct output *output, uint64_t bytes)
{
	output->bytes = bytes;
}

/* Copies through memory where the kernel cannot (another file system, before Linux 5.3). */
static int copy_rest(struct output *output, int fd)
{
	enum { ROOM = 1024 * 1024 };
	autofree char *room = malloc(ROOM);
	ssize_t n = room == NULL ? -1 : 1;
	while (n > 0) {
		n = pread(fd, room, ROOM, (off_t)output->bytes);
		int r = n > 0 ? output_write(output, output->bytes, room, (size_t)n) : 0;
		if (r < 0)
			return r;
	}
	return n < 0 ? -errno : 0;
}

int output_copy(struct output *output, int fd, struct err *err)
{
	enum { PART = 1 << 30 };
	loff_t from = 0, to = 0;
	ssize_t n = 1;
	output_restart(output);
	if (ioctl(output->fd, FICLONE, fd) == 0) {
		struct stat st;
		output->bytes = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
		return 0;
	}
	while (n > 0) {
		n = copy_file_range(fd, &from, output->fd, &to, PART, 0);
		if (n > 0)
			output->bytes += (uint64_t)n;
	}
	int r = copy_rest(output, fd);
	return r < 0 ? err_sys(err, -r, "cannot write the image '%s'", output->path) : 0;
}

void output_restart(struct output *output)
{
	output->bytes = 0;
	output->abandoned = false;
}

void output_abandon(struct output *output)
{
	output->abandoned = true;
}

int output_fd(const struct output *output)
{
	return output->fd;
}

const char *output_path(const struct output *output)
{
	return output->path;
}

bool output_target(const struct output *output, struct stat *ret_st)
{
	if (output->target_exists)
		*ret_st = output->target;
	return output->target_exists;
}

/* Gives the file its name, and replaces nothing that came there meanwhile: RENAME_NOREPLACE, or a hard link where the file system
 * lacks it (NFS), or at last a look before the rename. */
static int rename_new(const struct output *output)
{
	int at = output->directory_fd;
	if (renameat2(at, output->temporary, at, output->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
		return -errno;
	if (linkat(at, output->temporary, at, output->name, 0) == 0) {
		unlinkat(at, output->temporary, 0);
		return 0;
	}
	if (errno == EEXIST || faccessat(at, output->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(at, output->temporary, at, output->name) < 0 ? -errno : 0;
}

static mode_t umask_read(void)
{
	mode_t mask = umask(077);
	umask(mask);
	return mask;
}

int output_commit(struct output *output, struct err *err)
{
	if (ftruncate(output->fd, (off_t)output->bytes) < 0 || fchmod(output->fd, 0666 & ~umask_read()) < 0 || fsync(output->fd) < 0)
		return err_sys(err, errno, "cannot write the image '%s'", output->path);
	int r = 0;
	if (!output->force)
		r = rename_new(output);
	else if (renameat(output->directory_fd, output->temporary, output->directory_fd, output->name) < 0)
		r = -errno;
	if (r == -EEXIST) {
		err_set(err, EEXIST, "the image '%s' came into being while it was built", output->path);
		return err_hint(err, "somebody else builds it too; --force replaces it");
	}
	if (r < 0)
		return err_sys(err, -r, "cannot rename the finished image to '%s'", output->path);
	output->committed = true;
	doomed_disarm();
	/* Some file systems cannot sync a directory; the image is complete all the same. */
	(void)fsync(output->directory_fd);
	return 0;
}

void output_free(struct output *output)
{
	if (output == NULL)
		return;
	if (output->fd >= 0) {
		if (!output->committed) {
			unlinkat(output->directory_fd, output->temporary, 0);
			doomed_disarm();
		}
		close(output->fd);
	}
	if (output->directory_fd >= 0)
		close(output->directory_fd);
	free(output->path);
	free(output);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A directory of its own for a unit test: made and entered by scratch_enter(), removed when the program ends. What a test writes there
 * has relative paths. Failures of these helpers end the program, which the test run reports.
 */
#ifndef SIMG_TESTS_UNIT_SCRATCH_H
#define SIMG_TESTS_UNIT_SCRATCH_H

#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	char path[PATH_MAX / 2];
	pid_t owner; /* a forked child must not remove it */
} scratch;

static inline int scratch_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	(void)type;
	remove(path);
	return 0; /* go on, whatever is left */
}

static inline void scratch_remove(void)
{
	if (getpid() == scratch.owner && chdir("/") == 0)
		nftw(scratch.path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static inline void scratch_enter(void)
{
	const char *dir = getenv("SIMG_TESTS_DIR");
	snprintf(scratch.path, sizeof(scratch.path), "%s/unit.XXXXXX", dir != NULL ? dir : "/tmp");
	if (mkdtemp(scratch.path) == NULL || chdir(scratch.path) < 0)
		err(99, "%s", scratch.path);
	chmod(scratch.path, 0755);
	scratch.owner = getpid();
	atexit(scratch_remove);
	umask(022);
}

/* Makes the directories of a path up to its last slash. */
static inline void scratch_mkdirs(const char *path)
{
	char part[PATH_MAX];
	for (const char *c = strchr(path + 1, '/'); c != NULL; c = strchr(c + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(c - path), path);
		mkdir(part, 0755);
	}
}

/* Writes a file with this text, and the directories that it needs. */
static inline void scratch_bytes(const char *path, const void *bytes, size_t count)
{
	scratch_mkdirs(path);
	FILE *file = fopen(path, "w");
	if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0)
		err(99, "%s", path);
}

static inline void scratch_file(const char *path, const char *text)
{
	scratch_bytes(path, text, strlen(text));
}

static inline void scratch_link(const char *target, const char *path)
{
	scratch_mkdirs(path);
	if (symlink(target, path) < 0)
		err(99, "%s", path);
}

static inline int scratch_open_dir(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		err(99, "%s", path);
	return fd;
}

/* What an open file holds, as a string in one static buffer. */
static inline const char *scratch_content(int fd)
{
	static char text[64 << 10];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		err(99, "cannot read");
	text[n] = '\0';
	return text;
}

/* How many descriptors this process has open, to see that none is lost. */
static inline int scratch_fd_count(void)
{
	int count = 0;
	for (int fd = 0; fd < 4096; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

#endif

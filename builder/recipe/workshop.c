/* SPDX-License-Identifier: Apache-2.0
 *
 * See workshop.h.
 */
#include "builder/recipe/workshop.h"

#include "builder/fakeroot/fakeroot.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "simg-build"

/* What the child tells. */
struct report {
	struct err err;
	int result;
	bool finished;
};

static const char *parent_find(void)
{
	const char *const places[] = { getenv("SIMG_TMPDIR"), getenv("TMPDIR"), "/var/tmp", "/tmp" };
	struct stat st;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (places[i] != NULL && places[i][0] == '/' && stat(places[i], &st) == 0 && S_ISDIR(st.st_mode))
			return places[i];
	return "/";
}

/* New files would take the directory's group, which is not in the user namespace, if the set-group-ID bit came with the parent's. */
static int directory_own(int fd)
{
	return fchown(fd, (uid_t)-1, getegid()) < 0 || fchmod(fd, 0700) < 0 ? -errno : 0;
}

int workshop_open(struct workshop *workshop, struct err *err)
{
	*workshop = (struct workshop)WORKSHOP_INIT;
	autofree char *real = realpath(parent_find(), NULL);
	if (real == NULL || asprintf(&workshop->parent, "%s/" NAME, strcmp(real, "/") == 0 ? "" : real) < 0) {
		workshop->parent = NULL;
		return err_sys(err, errno, "cannot find a directory to build in");
	}
	int r = temporary_place(&workshop->temporary, "work directory", workshop->parent, err);
	if (r == 0)
		r = workshop->fd = temporary_create(&workshop->temporary, true, err);
	if (r < 0)
		return err_hint(err, "set SIMG_TMPDIR to a directory on a local disk with room for the unpacked image");
	r = directory_own(workshop->fd);
	if (r == 0 && asprintf(&workshop->path, "%s/%s", strcmp(real, "/") == 0 ? "" : real, workshop->temporary.hidden) < 0) {
		workshop->path = NULL;
		r = -ENOMEM;
	}
	return r < 0 ? err_sys(err, -r, "cannot build in '%s'", real) : 0;
}

char *workshop_path(const struct workshop *workshop, const char *name)
{
	char *path;
	return asprintf(&path, "%s/%s", workshop->path, name) < 0 ? NULL : path;
}

/* If the parent is killed, its child cleans up in its place, by the handler that it has from it. */
static _Noreturn void child_main(struct report *report, int (*work)(void *context, struct err *err), void *context, pid_t parent)
{
	temporary_worker_begin(0);
	umask(022);
	report->result = fakeroot_enter(&report->err);
	if (report->result == 0 && (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0 || getppid() != parent))
		report->result = err_set(&report->err, ESRCH, "the parent process is gone");
	if (report->result == 0)
		report->result = work(context, &report->err);
	report->finished = true;
	fflush(NULL);
	_exit(0);
}

static int child_result(const struct report *report, int status, struct err *err)
{
	if (report->finished) {
		if (report->result < 0)
			*err = report->err;
		return report->result;
	}
	if (WIFSIGNALED(status))
		return err_set(err, ECHILD, "the process that carries out the recipe was killed by signal %d", WTERMSIG(status));
	return err_set(err, ECHILD, "the process that carries out the recipe ended with status %d", WEXITSTATUS(status));
}

int workshop_run(int (*work)(void *context, struct err *err), void *context, struct err *err)
{
	int status = 0;
	struct report *report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return err_sys(err, errno, "cannot carry out the recipe");
	fflush(NULL);
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		child_main(report, work, context, parent);
	int r = pid < 0 ? err_sys(err, errno, "cannot start a process") : 0;
	if (r == 0) {
		temporary_worker_begin(pid);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			continue;
		temporary_worker_begin(0);
		r = child_result(report, status, err);
	}
	munmap(report, sizeof(*report));
	return r;
}

void workshop_close(struct workshop *workshop)
{
	cleanup_close(&workshop->fd);
	temporary_close(&workshop->temporary);
	free(workshop->parent);
	free(workshop->path);
	*workshop = (struct workshop)WORKSHOP_INIT;
}

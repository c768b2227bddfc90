/* SPDX-License-Identifier: Apache-2.0
 *
 * What a build writes to until it is complete: a file without a name, or, for directories and where the file system has no such
 * files (NFS), a hidden one beside the target, ".NAME.XXXXXX". It takes the target's name at the end. Nothing of it is left behind
 * by a failure, by ^C or by SIGTERM; by SIGKILL only what has a name. A few at a time: the signal handler has room for four.
 */
#ifndef SIMG_BUILDER_TEMPORARY_H
#define SIMG_BUILDER_TEMPORARY_H

#include <linux/limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct err;

struct temporary {
	const char *what;          /* "image", "sandbox", for messages */
	const char *path;          /* the target's, as the user gave it; the caller's */
	const char *name;          /* its last component */
	int directory_fd;          /* of the directory that holds both */
	char hidden[NAME_MAX + 1]; /* the temporary name; empty while there is nothing of that name to remove */
	int unnamed_fd;            /* the file without a name, the caller's to close; -1 if there is none */
};
#define TEMPORARY_INIT { .directory_fd = -1, .unnamed_fd = -1 }

/* Opens the target's directory. -EISDIR if the path ends in a slash, "." or "..". */
int temporary_place(struct temporary *temporary, const char *what, const char *path, struct err *err);

/* Creates the file (0600) or the directory (0700), and returns its descriptor, the caller's, or a negative errno. */
int temporary_create(struct temporary *temporary, bool directory, struct err *err);

/* Gives it the target's name. Replaces a file or an empty directory of that name only with replace, else -EEXIST. Returns 0 or a
 * bare negative errno. */
int temporary_rename(struct temporary *temporary, bool replace);

/* Removes what has the temporary name, a directory with all that is in it. Returns 0 or a bare negative errno. */
int temporary_remove(struct temporary *temporary);

/* A child process that works in a temporary directory: before anything is removed by a signal handler or at exit, it is killed and
 * waited for. temporary_worker_end() does that now; after it was waited for, and in the child itself, temporary_worker_begin(0). */
void temporary_worker_begin(pid_t pid);
void temporary_worker_end(void);

/* Removes it unless it was renamed, and closes the directory. */
void temporary_close(struct temporary *temporary);

#endif

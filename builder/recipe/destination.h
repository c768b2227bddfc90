/* SPDX-License-Identifier: Apache-2.0
 *
 * Where in a root a file is to be written: an open directory and a name in it. Symlinks of the root are followed inside it, also
 * one that leads to what does not exist yet; directories that are missing are made (0755, root's).
 *
 * What is written changes the times of directories, and a build of the same files should come to the same image: at the end those
 * that were there have the time that they had, and those that were made have the time of the file.
 */
#ifndef SIMG_BUILDER_RECIPE_DESTINATION_H
#define SIMG_BUILDER_RECIPE_DESTINATION_H

#include <stddef.h>
#include <time.h>

struct err;

struct destination_directory;

struct destination {
	int fd;          /* O_PATH, of the directory */
	char *directory; /* its path in the root, without symlinks */
	char *name;      /* no symlink, if it exists; "." if it is the root itself */
	struct destination_directory *directories; /* whose times are to be set */
	size_t directory_count;
};
#define DESTINATION_INIT { .fd = -1 }
#define autodestination __attribute__((cleanup(destination_free)))

/* Finds the place for path; mtime is that of the file that is to be there. */
int destination_find(int root_fd, const char *path, const struct timespec *mtime, struct destination *ret, struct err *err);

/* Sets the times, and releases it. */
void destination_free(struct destination *destination);

#endif

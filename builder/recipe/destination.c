/* SPDX-License-Identifier: Apache-2.0
 *
 * Places in a root: see destination.h.
 */
#include "builder/recipe/destination.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct destination_directory {
	int fd;
	struct timespec mtime;
};

static int failed(struct err *err, int errnum, const char *path)
{
	return err_sys(err, errnum, "cannot write '%s' in the image", path);
}

void destination_free(struct destination *destination)
{
	for (size_t i = destination->directory_count; i > 0; i--) {
		struct destination_directory *directory = &destination->directories[i - 1];
		struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, directory->mtime };
		utimensat(directory->fd, ".", times, 0);
		close(directory->fd);
	}
	cleanup_close(&destination->fd);
	free(destination->directories);
	free(destination->directory);
	free(destination->name);
	*destination = (struct destination)DESTINATION_INIT;
}

/* Remembers the time of the current directory: mtime, or if that is NULL what it has. */
static int time_remember(struct destination *destination, const struct timespec *mtime)
{
	struct stat st;
	if (fstat(destination->fd, &st) < 0)
		return -errno;
	size_t count = destination->directory_count;
	struct destination_directory *directories = realloc(destination->directories, (count + 1) * sizeof(*directories));
	if (directories == NULL)
		return -ENOMEM;
	destination->directories = directories;
	int fd = fcntl(destination->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	directories[count] = (struct destination_directory){ .fd = fd, .mtime = mtime != NULL ? *mtime : st.st_mtim };
	destination->directory_count++;
	return 0;
}

/* Makes a directory in the current one, and enters it. */
static int enter_new(struct destination *destination, const char *name, const struct timespec *mtime)
{
	if (mkdirat(destination->fd, name, 0755) < 0)
		return -errno;
	int fd = openat(destination->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(destination->fd);
	destination->fd = fd;
	if (fchmodat(fd, ".", 0755, 0) < 0) /* whatever the umask */
		return -errno;
	return time_remember(destination, mtime);
}

/* Splits path at its last slash into the directory and the name. */
static int path_split(struct destination *destination, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash[1] != '\0' ? slash + 1 : ".";
	destination->directory = strndup(path, slash > path ? (size_t)(slash - path) : 1);
	destination->name = strdup(name);
	return destination->directory == NULL || destination->name == NULL ? -ENOMEM : 0;
}

/* The directory that an existing file is in. */
static int existing_find(int root_fd, struct destination *destination, const char *real)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	int r = path_split(destination, real);
	if (r == 0)
		r = path_resolve(root_fd, destination->directory, &place, NULL);
	if (r < 0)
		return r;
	destination->fd = steal_fd(&place.fd);
	return time_remember(destination, NULL);
}

/* Makes what is missing but for the last component. */
static int missing_make(struct destination *destination, struct path_place *place, const struct timespec *mtime)
{
	autofree char *whole = NULL;
	if (asprintf(&whole, "%s/%s", place->real[1] != '\0' ? place->real : "", place->missing) < 0) {
		whole = NULL;
		return -ENOMEM;
	}
	destination->fd = steal_fd(&place->fd);
	int r = time_remember(destination, NULL);
	char *name = place->missing;
	for (char *slash; r == 0 && (slash = strchr(name, '/')) != NULL; name = slash + 1) {
		*slash = '\0';
		r = enter_new(destination, name, mtime);
	}
	return r < 0 ? r : path_split(destination, whole);
}

/* The part that exists has to be a directory. */
static int place_check(const struct path_place *place, struct err *err)
{
	struct stat st;
	if (fstat(place->fd, &st) < 0)
		return failed(err, errno, place->real);
	if (place->missing[0] == '\0' || S_ISDIR(st.st_mode))
		return 0;
	return err_set(err, ENOTDIR, "cannot write '%s' below '%s' in the image, which is no directory", place->missing,
		       place->real);
}

int destination_find(int root_fd, const char *path, const struct timespec *mtime, struct destination *ret, struct err *err)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	autodestination struct destination destination = DESTINATION_INIT;
	struct err reason = ERR_INIT;
	int r = path_resolve(root_fd, path, &place, &reason);
	if (r < 0)
		return failed(err, -r, path);
	if ((r = place_check(&place, err)) < 0)
		return r;
	if (place.missing[0] == '\0')
		r = existing_find(root_fd, &destination, place.real);
	else
		r = missing_make(&destination, &place, mtime);
	if (r < 0)
		return failed(err, -r, path);
	*ret = destination;
	destination = (struct destination)DESTINATION_INIT;
	return 0;
}

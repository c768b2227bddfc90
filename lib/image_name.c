/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding and opening images: see image_name.h.
 */
#include "lib/image_name.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/image.h"
#include "lib/strlist.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static int join(const char *dir, const char *name, const char *suffix, char **ret_path)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s%s", strcmp(dir, "/") == 0 ? "" : dir, name, suffix) < 0)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

/* 1 if it is there, and then *ret_path is set; 0 if not; -EACCES, -ELOOP, … if that cannot be told. */
static int look(const char *dir, const char *name, const char *suffix, char **ret_path)
{
	autofree char *path = NULL;
	int r = join(dir, name, suffix, &path);
	if (r < 0)
		return r;
	/* A link that leads nowhere counts as found: opening it then says so. */
	if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	*ret_path = steal_ptr(&path);
	return 1;
}

static int not_found(const char *name, const char *cwd, const struct strlist *image_path, struct err *err)
{
	if (strstr(name, "://") != NULL) {
		err_set(err, ENOENT, "'%s' is no file: images are not fetched when a job starts", name);
		return err_hint(err, "make an image of it first (simg build), and give the image's path");
	}
	if (strchr(name, '/') != NULL) {
		err_set(err, ENOENT, "there is no image '%s' in '%s'", name, cwd);
		return err_hint(err, "a relative path starts at the directory where the job is submitted");
	}
	if (image_path->count == 0) {
		err_set(err, ENOENT, "there is no image '%s' in '%s', and the site has set no image_path", name, cwd);
		return err_hint(err, "give the path of the image");
	}
	char where[256] = "";
	for (size_t i = 0; i < image_path->count; i++) {
		size_t used = strlen(where);
		snprintf(where + used, sizeof(where) - used, "%s%s", i > 0 ? ", " : "", image_path->items[i]);
	}
	err_set(err, ENOENT, "there is no image '%s' in '%s' or along image_path (%s)", name, cwd, where);
	return err_hint(err, "give the path of the image");
}

int image_name_find(const char *name, const char *cwd, const struct strlist *image_path, char **ret_path, struct err *err)
{
	if (name[0] == '\0') {
		err_set(err, EINVAL, "the image's name is empty");
		return err_hint(err, "is a variable unset? write --container=IMAGE");
	}
	if (strlen(name) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "the image's name is %zu bytes long, more than a path can be", strlen(name));
	if (name[0] == '/') {
		*ret_path = strdup(name);
		return *ret_path != NULL ? 0 : err_sys(err, ENOMEM, "cannot find image '%s'", name);
	}
	int r = look(cwd, name, "", ret_path);
	bool bare = strchr(name, '/') == NULL;
	for (size_t i = 0; bare && i < image_path->count && r == 0; i++) {
		r = look(image_path->items[i], name, "", ret_path);
		if (r == 0)
			r = look(image_path->items[i], name, ".simg", ret_path);
		if (r == -EACCES) /* a directory for others, not for this user */
			r = 0;
	}
	if (r < 0)
		return err_sys(err, -r, "cannot find image '%s'", name);
	return r > 0 ? 0 : not_found(name, cwd, image_path, err);
}

static int check_directory(int fd, const char *path, struct err *err)
{
	static const char *const parts[] = { "usr", "bin", "lib" };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (faccessat(fd, parts[i], F_OK, 0) == 0)
			return 0;
	err_set(err, ENOENT, "directory '%s' holds no root filesystem: it has no usr, bin or lib", path);
	return err_hint(err, "give the directory that is to be '/' in the container");
}

static int open_checked(const char *path, struct err *err)
{
	/* O_PATH first: opening a FIFO or a device for reading could block or act. */
	autoclose int place = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	if (place < 0 || fstat(place, &st) < 0) {
		err_sys(err, errno, "cannot open image '%s'", path);
		if (err != NULL && err->code == -ENOENT)
			err_hint(err, "is the file system that holds it mounted here?");
		return err != NULL ? err->code : -ENOENT;
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		err_set(err, EINVAL, "image '%s' is neither a regular file nor a directory", path);
		return err_hint(err, "give a SquashFS image, or a directory with a root filesystem");
	}
	int fd = fd_reopen(place, O_RDONLY);
	return fd >= 0 ? fd : err_sys(err, -fd, "cannot read image '%s'", path);
}

int image_name_open(const char *path, struct image *ret_image, struct err *err)
{
	autoclose int fd = open_checked(path, err);
	if (fd < 0)
		return fd;
	int r = image_identify(fd, path, ret_image, err);
	if (r < 0)
		return r;
	if (ret_image->format == IMAGE_SIF) {
		err_set(err, EMEDIUMTYPE, "image '%s' is a SIF file, which this version cannot launch", path);
		return err_hint(err, "make a SquashFS image of it: build it again with simg build from the same source");
	}
	r = ret_image->format == IMAGE_DIRECTORY ? check_directory(fd, path, err) : image_check(fd, path, ret_image, err);
	return r < 0 ? r : steal_fd(&fd);
}

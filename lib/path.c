/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths and their resolution inside a root: see path.h. The walk opens one component at a time with O_NOFOLLOW and reads symlinks
 * itself, so that neither an absolute link nor ".." nor a rename under way leads out.
 */
#include "lib/path.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { LINKS_MAX = 40, DEPTH_MAX = 512 };

bool path_is_beneath(const char *path, const char *base)
{
	size_t length = strlen(base);
	if (strcmp(base, "/") == 0)
		return true;
	return strncmp(path, base, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Cuts the first component off *rest; NULL at the end. Slashes around it are dropped. */
static const char *next_component(const char **rest, size_t *ret_length)
{
	const char *start = *rest + strspn(*rest, "/");
	*ret_length = strcspn(start, "/");
	*rest = start + *ret_length;
	return *ret_length > 0 ? start : NULL;
}

static bool is_dot(const char *name, size_t length)
{
	return length == 1 && name[0] == '.';
}

static bool is_dotdot(const char *name, size_t length)
{
	return length == 2 && name[0] == '.' && name[1] == '.';
}

bool path_has_dotdot(const char *path)
{
	const char *name;
	size_t length;
	while ((name = next_component(&path, &length)) != NULL)
		if (is_dotdot(name, length))
			return true;
	return false;
}

/* A copy with one slash before each component and nothing else: "" or "/a/b". NULL if there is no memory. */
static char *squeeze(const char *path)
{
	char *out = malloc(strlen(path) + 2), *end = out;
	const char *name;
	size_t length;
	if (out == NULL)
		return NULL;
	while ((name = next_component(&path, &length)) != NULL) {
		if (is_dot(name, length))
			continue;
		*end++ = '/';
		end = mempcpy(end, name, length);
	}
	*end = '\0';
	return out;
}

int path_normalise(const char *path, const char *what, char **ret_path, struct err *err)
{
	if (path[0] != '/')
		return err_set(err, EINVAL, "%s '%s' is not an absolute path", what, path);
	if (strlen(path) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "%s is %zu bytes long, more than a path can be: '%.64s…'", what, strlen(path), path);
	if (path_has_dotdot(path))
		return err_set(err, EINVAL, "%s '%s' contains '..'", what, path);
	char *out = squeeze(path);
	if (out == NULL)
		return err_sys(err, ENOMEM, "cannot normalise '%s'", path);
	if (out[0] == '\0')
		strcpy(out, "/");
	*ret_path = out;
	return 0;
}

void path_place_free(struct path_place *place)
{
	if (place->fd >= 0)
		close(place->fd);
	free(place->real);
	free(place->missing);
	*place = (struct path_place)PATH_PLACE_INIT;
}

/* The state of a walk: the directories from the root down, and what of the path is still to go. */
struct walk {
	int fds[DEPTH_MAX];            /* fds[0] is the caller's root and stays open */
	size_t ends[DEPTH_MAX];        /* real[0..ends[i]) is the path of fds[i] */
	int depth;                     /* index of the current one */
	char real[PATH_MAX];           /* "" is the root */
	char pending[2 * PATH_MAX];    /* still to resolve */
	int links;
};

static void walk_up(struct walk *walk)
{
	if (walk->depth == 0)
		return;
	close(walk->fds[walk->depth--]);
	walk->real[walk->ends[walk->depth]] = '\0';
}

static void walk_free(struct walk *walk)
{
	while (walk->depth > 0)
		walk_up(walk);
}

/* Enters the child that fd is open on; takes fd over. */
static int walk_down(struct walk *walk, const char *name, int fd)
{
	size_t end = walk->ends[walk->depth];
	if (walk->depth + 1 >= DEPTH_MAX || end + strlen(name) + 2 > sizeof(walk->real)) {
		close(fd);
		return -ENAMETOOLONG;
	}
	walk->real[end] = '/';
	strcpy(walk->real + end + 1, name);
	walk->depth++;
	walk->fds[walk->depth] = fd;
	walk->ends[walk->depth] = end + 1 + strlen(name);
	return 0;
}

/* Puts a symlink's text before what is still to go, which is "" or begins with a slash. */
static int walk_follow(struct walk *walk, int link_fd, const char *rest)
{
	char text[2 * PATH_MAX];
	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	ssize_t length = readlinkat(link_fd, "", text, PATH_MAX);
	if (length < 0)
		return -errno;
	if (length == 0 || length >= PATH_MAX)
		return -ENAMETOOLONG;
	if (text[0] == '/')
		walk_free(walk);
	if ((size_t)length + strlen(rest) + 1 > sizeof(walk->pending))
		return -ENAMETOOLONG;
	strcpy(text + length, rest);
	strcpy(walk->pending, text);
	return 0;
}

/* One step. 1: go on, 0: this component does not exist and name holds it, negative: an error. */
static int walk_step(struct walk *walk, const char *name, const char *rest)
{
	int fd = openat(walk->fds[walk->depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	struct stat st;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return -errno;
	}
	int r;
	if (S_ISLNK(st.st_mode)) {
		r = walk_follow(walk, fd, rest);
		close(fd);
		return r < 0 ? r : 1;
	}
	if (*rest != '\0' && !S_ISDIR(st.st_mode)) { /* also before "/.", "/.." and a slash at the end */
		close(fd);
		return -ENOTDIR;
	}
	if ((r = walk_down(walk, name, fd)) < 0)
		return r;
	memmove(walk->pending, rest, strlen(rest) + 1);
	return 1;
}

/* Walks as far as the path exists. Returns 0 with the part that does not exist left in pending. */
static int walk_run(struct walk *walk)
{
	for (;;) {
		const char *rest = walk->pending;
		size_t length;
		const char *start = next_component(&rest, &length);
		if (start == NULL) {
			walk->pending[0] = '\0';
			return 0;
		}
		char name[NAME_MAX + 1];
		if (length > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, start, length);
		name[length] = '\0';
		if (is_dot(name, length) || is_dotdot(name, length)) {
			if (is_dotdot(name, length))
				walk_up(walk);
			memmove(walk->pending, rest, strlen(rest) + 1);
			continue;
		}
		int r = walk_step(walk, name, rest);
		if (r <= 0)
			return r;
	}
}

int path_resolve(int root_fd, const char *path, struct path_place *ret_place, struct err *err)
{
	autofree struct walk *walk = calloc(1, sizeof(*walk));
	if (walk == NULL)
		return err_sys(err, ENOMEM, "cannot resolve '%s'", path);
	walk->fds[0] = root_fd;
	if (strlen(path) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "path of %zu bytes is too long: '%.64s…'", strlen(path), path);
	strcpy(walk->pending, path);
	int r = walk_run(walk);
	if (r == 0 && path_has_dotdot(walk->pending))
		r = -ENOENT;
	autoplace struct path_place place = PATH_PLACE_INIT;
	if (r == 0) {
		autofree char *missing = squeeze(walk->pending);
		place.fd = fcntl(walk->fds[walk->depth], F_DUPFD_CLOEXEC, 3);
		if (place.fd < 0)
			r = -errno;
		place.real = strdup(walk->depth > 0 ? walk->real : "/");
		place.missing = missing != NULL ? strdup(missing + strspn(missing, "/")) : NULL;
		if (place.real == NULL || place.missing == NULL)
			r = -ENOMEM;
	}
	walk_free(walk);
	if (r < 0)
		return err_sys(err, -r, "cannot resolve '%s'", path);
	*ret_place = place;
	place = (struct path_place)PATH_PLACE_INIT;
	return 0;
}

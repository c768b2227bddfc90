/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of sources, and what to say about everything that is none: see source.h.
 */
#include "builder/source.h"

#include "builder/oci/container.h"
#include "builder/recipe/recipe.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct source *const sources[] = { &source_directory, &source_image, &source_tarball };
enum { SOURCE_COUNT = sizeof(sources) / sizeof(sources[0]) };

static const struct container_kind *const containers[] = { &container_registry, &container_layout, &container_oci_archive,
							   &container_docker_archive };
enum { CONTAINER_COUNT = sizeof(containers) / sizeof(containers[0]) };

static const char SUPPORTED[] =
	"a source is a recipe, a directory, an image, a tarball (plain, gzip, zstd, xz or bzip2; - for standard input), or docker://NAME, "
	"oci:DIR, oci-archive:FILE, docker-archive:FILE";

/* Files that people give by mistake, or because another program takes them. */
static const struct {
	const char *what;
	uint16_t offset;
	uint8_t bytes;
	const char *magic;
} strangers[] = {
	{ "a ZIP archive", 0, 4, "PK\3\4" },
	{ "a cpio archive", 0, 5, "07070" },
	{ "an rpm package", 0, 4, "\xed\xab\xee\xdb" },
	{ "a Debian package", 0, 8, "!<arch>\n" },
	{ "a 7-Zip archive", 0, 6, "7z\xbc\xaf\x27\x1c" },
};
enum {
	STRANGER_COUNT = sizeof(strangers) / sizeof(strangers[0]),
	HEAD_BYTES = 4200, /* a Singularity 2.x image has a line before its magic number, of up to 4096 bytes */
};

static int stranger_check(const uint8_t *head, const char *name, struct err *err)
{
	for (int i = 0; i < STRANGER_COUNT; i++) {
		if (memcmp(head + strangers[i].offset, strangers[i].magic, strangers[i].bytes) != 0)
			continue;
		err_set(err, EINVAL, "'%s' is %s", name, strangers[i].what);
		return err_hint(err, "%s", SUPPORTED);
	}
	return 0;
}

static int dockerfile_refuse(const char *name, struct err *err)
{
	err_set(err, ENOTSUP, "'%s' is a Dockerfile; those are not supported", name);
	return err_hint(err, "build a container of it elsewhere, and an image of that: docker-archive:FILE, oci:DIR, docker://NAME; or write a "
			     "recipe: FROM becomes From, COPY %%files, RUN %%post, ENV %%environment");
}

static bool container_find(const char *name, struct source_place *ret_place)
{
	for (int i = 0; i < CONTAINER_COUNT; i++) {
		size_t length = strlen(containers[i]->scheme);
		if (strncmp(name, containers[i]->scheme, length) != 0 || name[length] != ':')
			continue;
		*ret_place = (struct source_place){ .fd = -1, .container = containers[i], .rest = name + length + 1 };
		return true;
	}
	return false;
}

/* Whether the name reads like "library://image" or "docker-daemon:image". */
static bool is_reference(const char *name)
{
	const char *c = name;
	while (isalnum((unsigned char)*c) || *c == '-' || *c == '+')
		c++;
	return c > name && *c == ':';
}

static int open_failed(const char *name, int errnum, struct err *err)
{
	if (errnum == ENOENT && is_reference(name)) {
		err_set(err, EINVAL, "sources of the form '%.*s:…' are not supported: '%s'", (int)strcspn(name, ":"), name, name);
		return err_hint(err, "%s", SUPPORTED);
	}
	err_sys(err, errnum, "cannot open the source '%s'", name);
	return errnum == ENOENT ? err_hint(err, "%s", SUPPORTED) : err->code;
}

static int source_open(const char *name, struct err *err)
{
	int fd = strcmp(name, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? open_failed(name, errno, err) : fd;
}

int source_find(const char *name, struct source_place *ret_place, struct err *err)
{
	if (container_find(name, ret_place))
		return 0;
	autoclose int fd = source_open(name, err);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot stat the source '%s'", name);
	if (isatty(fd)) {
		err_set(err, EINVAL, "the source '%s' is a terminal", name);
		return err_hint(err, "pipe a tarball into simg build");
	}
	uint8_t head[HEAD_BYTES] = { 0 };
	ssize_t bytes = S_ISREG(st.st_mode) ? pread(fd, head, sizeof(head), 0) : 0;
	if (bytes < 0)
		return err_sys(err, errno, "cannot read '%s'", name);
	if (recipe_matches((const char *)head, (size_t)bytes)) {
		*ret_place = (struct source_place){ .is_recipe = true, .fd = steal_fd(&fd) };
		return 0;
	}
	if (recipe_is_dockerfile((const char *)head, (size_t)bytes))
		return dockerfile_refuse(name, err);
	for (int i = 0; i < SOURCE_COUNT; i++) {
		if (!sources[i]->matches(st.st_mode, head, (size_t)bytes))
			continue;
		int r = S_ISREG(st.st_mode) ? stranger_check(head, name, err) : 0;
		if (r < 0)
			return r;
		*ret_place = (struct source_place){ .source = sources[i], .fd = steal_fd(&fd) };
		return 0;
	}
	err_set(err, EINVAL, "the source '%s' is neither a file nor a directory", name);
	return err_hint(err, "%s", SUPPORTED);
}

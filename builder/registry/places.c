/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of a user: see places.h.
 */
#include "builder/registry/places.h"

#include "builder/registry/secret.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { PLACE_BYTES_MAX = 1024 * 1024 };

const char *place_variable(const char *name)
{
	const char *value = getenv(name);
	return value != NULL && value[0] != '\0' ? value : NULL;
}

static int join(const char *directory, const char *middle, const char *rest, char **ret_path, struct err *err)
{
	*ret_path = NULL;
	if (directory != NULL && asprintf(ret_path, "%s%s/%s", directory, middle, rest) < 0) {
		*ret_path = NULL;
		return err_sys(err, ENOMEM, "cannot look for '%s'", rest);
	}
	return 0;
}

int place_in_home(const char *rest, char **ret_path, struct err *err)
{
	return join(place_variable("HOME"), "", rest, ret_path, err);
}

int place_in_config(const char *rest, char **ret_path, struct err *err)
{
	const char *config = place_variable("XDG_CONFIG_HOME");
	if (config != NULL)
		return join(config, "", rest, ret_path, err);
	return join(place_variable("HOME"), "/.config", rest, ret_path, err);
}

/* Fills text up to bytes_max; a file that is cut while it is read is no error here, but for whoever parses it. */
static int read_all(int fd, const char *path, char *text, size_t bytes_max, size_t *ret_bytes, struct err *err)
{
	size_t bytes = 0;
	while (bytes < bytes_max) {
		ssize_t n = read(fd, text + bytes, bytes_max - bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read '%s'", path);
		if (n == 0)
			break;
		bytes += (size_t)n;
	}
	text[bytes] = '\0';
	*ret_bytes = bytes;
	return 0;
}

int place_read(const char *path, char **ret_text, size_t *ret_bytes, struct err *err)
{
	struct stat st;
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	*ret_text = NULL;
	*ret_bytes = 0;
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "'%s' is not a regular file", path);
	if (st.st_size > PLACE_BYTES_MAX)
		return err_set(err, EFBIG, "'%s' has more than 1 MiB", path);
	autosecret char *text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		return err_sys(err, ENOMEM, "cannot read '%s'", path);
	text[0] = '\0';
	int r = read_all(fd, path, text, (size_t)st.st_size, ret_bytes, err);
	if (r == 0)
		*ret_text = steal_ptr(&text);
	return r;
}

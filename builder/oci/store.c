/* SPDX-License-Identifier: Apache-2.0
 *
 * Files by their path, and the store that is a directory: see store.h.
 */
#include "builder/oci/store.h"

#include "builder/size.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct directory {
	struct store store;
	int fd;
};

/* Never blocks: a FIFO or a device is not read, but refused. */
static int directory_file_open(struct store *store, const char *path, struct extent *ret_extent, struct err *err)
{
	const struct directory *directory = (const struct directory *)store;
	struct stat st;
	autoclose int fd = openat(directory->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot open '%s/%s'", store->name, path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EBADMSG, "'%s/%s' is not a regular file", store->name, path);
	*ret_extent = (struct extent){ .fd = steal_fd(&fd), .bytes = (uint64_t)st.st_size };
	return 1;
}

static void directory_close(struct store *store)
{
	struct directory *directory = (struct directory *)store;
	if (directory->fd >= 0)
		close(directory->fd);
	free(store->name);
	free(directory);
}

static const struct store_ops directory_ops = { .open = directory_file_open, .close = directory_close };

int store_directory_open(const char *path, struct store **ret_store, struct err *err)
{
	autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open the directory '%s'", path);
	struct directory *directory = calloc(1, sizeof(*directory));
	if (directory == NULL || (directory->store.name = strdup(path)) == NULL) {
		free(directory);
		return err_sys(err, ENOMEM, "cannot open the directory '%s'", path);
	}
	directory->store.ops = &directory_ops;
	directory->fd = steal_fd(&fd);
	*ret_store = &directory->store;
	return 0;
}

int store_read(struct store *store, const char *path, size_t bytes_max, char **ret_text, size_t *ret_bytes, struct err *err)
{
	char size[SIZE_TEXT_MAX];
	struct extent extent = { .fd = -1 };
	int r = store_open(store, path, &extent, err);
	if (r <= 0)
		return r;
	autoclose int fd = extent.fd;
	if (extent.bytes > bytes_max)
		return err_set(err, EBADMSG, "'%s' in '%s' is larger than %s", path, store->name, size_format(bytes_max, size));
	autofree char *text = malloc(extent.bytes + 1);
	if (text == NULL)
		return err_sys(err, ENOMEM, "cannot read '%s' in '%s'", path, store->name);
	r = fdio_read(fd, extent.offset, text, extent.bytes); /* -EIO: it became shorter meanwhile */
	if (r < 0)
		return err_sys(err, -r, "cannot read '%s' in '%s'", path, store->name);
	text[extent.bytes] = '\0';
	*ret_text = steal_ptr(&text);
	*ret_bytes = extent.bytes;
	return 1;
}

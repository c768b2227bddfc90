/* SPDX-License-Identifier: Apache-2.0
 *
 * Temporary file, fsync, rename: see output.h.
 */
#include "builder/output.h"

#include "builder/temporary.h"
#include "lib/err.h"
#include "lib/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct output {
	char *path; /* as given */
	struct temporary temporary;
	int fd;
	uint64_t bytes;
	bool force, abandoned, scratch;
	bool target_exists;
	struct stat target;
};

static int target_check(const struct output *output, struct err *err)
{
	const char *path = output->path;
	if (!output->target_exists)
		return 0;
	if (S_ISDIR(output->target.st_mode)) {
		err_set(err, EISDIR, "the image '%s' would replace a directory", path);
		return err_hint(err, "name a file: simg build %s/app.simg SOURCE", path);
	}
	if (S_ISLNK(output->target.st_mode)) {
		err_set(err, EEXIST, "the image '%s' would replace a symlink", path);
		return err_hint(err, "name the file that it points to");
	}
	if (!S_ISREG(output->target.st_mode))
		return err_set(err, EEXIST, "the image '%s' would replace something that is no regular file", path);
	if (!output->force) {
		err_set(err, EEXIST, "the image '%s' exists", path);
		return err_hint(err, "--force replaces it");
	}
	return 0;
}

static int place_open(struct output *output, struct err *err)
{
	int r = temporary_place(&output->temporary, "image", output->path, err);
	if (r == -EISDIR)
		return err_hint(err, "the first argument is the image to write: simg build app.simg SOURCE");
	if (r < 0)
		return r;
	const struct temporary *temporary = &output->temporary;
	output->target_exists = fstatat(temporary->directory_fd, temporary->name, &output->target, AT_SYMLINK_NOFOLLOW) == 0;
	return target_check(output, err);
}

int output_open(const char *path, bool force, struct output **ret_output, struct err *err)
{
	struct output *output = calloc(1, sizeof(*output));
	if (output == NULL)
		return err_sys(err, ENOMEM, "cannot write the image '%s'", path);
	*output = (struct output){ .path = strdup(path), .temporary = TEMPORARY_INIT, .fd = -1, .force = force };
	int r = output->path == NULL ? err_sys(err, ENOMEM, "cannot write the image '%s'", path) : place_open(output, err);
	if (r == 0)
		r = output->fd = temporary_create(&output->temporary, false, err);
	if (r < 0) {
		output_free(output);
		return r;
	}
	*ret_output = output;
	return 0;
}

int output_read(struct output *output, uint64_t offset, void *data, size_t bytes)
{
	return fdio_read(output->fd, offset, data, bytes);
}

int output_write(struct output *output, uint64_t offset, const void *data, size_t bytes)
{
	int r = output->abandoned ? 0 : fdio_write(output->fd, offset, data, bytes);
	if (r == 0 && offset + bytes > output->bytes)
		output->bytes = offset + bytes;
	return r;
}

/* copy_file_range() needs Linux 4.5, and fails between file systems before 5.3. */
size_t output_append(struct output *output, int fd, uint64_t offset, size_t bytes)
{
	loff_t in = (loff_t)offset, out = (loff_t)output->bytes;
	size_t done = 0;
	while (done < bytes && !output->abandoned) {
		ssize_t n = copy_file_range(fd, &in, output->fd, &out, bytes - done, 0);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	output->bytes += done;
	return done;
}

uint64_t output_bytes(const struct output *output)
{
	return output->bytes;
}

void output_truncate(struct output *output, uint64_t bytes)
{
	output->bytes = bytes;
}

int output_copy(struct output *output, int fd, struct err *err)
{
	struct stat st;
	output_restart(output);
	int r = fstat(fd, &st) < 0 ? -errno : fdio_copy(fd, output->fd);
	if (r < 0)
		return err_sys(err, -r, "cannot write the image '%s'", output->path);
	output->bytes = (uint64_t)st.st_size;
	return 0;
}

void output_restart(struct output *output)
{
	output->bytes = 0;
	output->abandoned = false;
}

void output_abandon(struct output *output)
{
	output->abandoned = true;
}

void output_scratch(struct output *output)
{
	output->scratch = true;
}

int output_fd(const struct output *output)
{
	return output->fd;
}

const char *output_path(const struct output *output)
{
	return output->path;
}

bool output_target(const struct output *output, struct stat *ret_st)
{
	if (output->target_exists)
		*ret_st = output->target;
	return output->target_exists;
}

static mode_t umask_read(void)
{
	mode_t mask = umask(077);
	umask(mask);
	return mask;
}

int output_commit(struct output *output, struct err *err)
{
	if (ftruncate(output->fd, (off_t)output->bytes) < 0 || fchmod(output->fd, 0666 & ~umask_read()) < 0 ||
	    (!output->scratch && fsync(output->fd) < 0))
		return err_sys(err, errno, "cannot write the image '%s'", output->path);
	int r = temporary_rename(&output->temporary, output->force);
	if (r == -EEXIST) {
		err_set(err, EEXIST, "the image '%s' came into being while it was built", output->path);
		return err_hint(err, "somebody else builds it too; --force replaces it");
	}
	if (r < 0)
		return err_sys(err, -r, "cannot rename the finished image to '%s'", output->path);
	if (output->scratch)
		return 0;
	/* Some file systems cannot sync a directory; the image is complete all the same. */
	(void)fsync(output->temporary.directory_fd);
	return 0;
}

void output_free(struct output *output)
{
	if (output == NULL)
		return;
	temporary_close(&output->temporary);
	if (output->fd >= 0)
		close(output->fd);
	free(output->path);
	free(output);
}

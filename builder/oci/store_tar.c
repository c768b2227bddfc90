/* SPDX-License-Identifier: Apache-2.0
 *
 * The store that is a tar archive: see store.h. libarchive reads the headers; the data between them is skipped, and read later
 * where it lies. Nothing in the archive is trusted: names are only looked up, never opened, and every range is checked against the
 * file.
 */
#include "builder/oci/store.h"

#include "builder/cache/cache.h"
#include "builder/oci/container.h"
#include "builder/progress.h"
#include "builder/stream.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BLOCK_BYTES = 64 * 1024,
	HEADERS_BYTES_MAX = 16 * 1024 * 1024, /* of one member: libarchive holds them in memory */
	MEMBERS_MAX = 1 << 17,                /* an image of 4096 layers, saved by an old Docker, has 16,384 */
	NAME_MAX_BYTES = 512,                 /* a longer name is none of an image's files */
	LINKS_MAX = 40,
};

enum member_type { MEMBER_FILE, MEMBER_SPARSE, MEMBER_SYMLINK, MEMBER_HARD_LINK, MEMBER_OTHER };

struct member {
	char *path;      /* clean: no leading slash, no "." and no ".." */
	char *target;    /* of a link */
	size_t number;   /* in the archive's order */
	enum member_type type;
	uint64_t offset, bytes;
};

struct tarball {
	struct store store;
	int fd;
	uint64_t file_bytes;
	struct member *members; /* by path, then by number */
	size_t count, room;
};

/* The file as libarchive reads it. */
struct input {
	struct tarball *tarball;
	uint64_t at, headers_end; /* how far an entry's headers may reach, while they are read */
	struct err err;           /* a failure inside a callback */
	uint8_t block[BLOCK_BYTES];
};

/* Writes where path leads, seen from the directory of the file base ("" for the root), without "." and "..". False if that is
 * outside, or too long. */
static bool path_clean(const char *base, const char *path, char clean[static NAME_MAX_BYTES])
{
	const char *slash = path[0] == '/' ? NULL : strrchr(base, '/');
	size_t used = slash != NULL ? (size_t)(slash - base) : 0;
	memcpy(clean, base, used);
	for (const char *part = path; *part != '\0';) {
		size_t bytes = strcspn(part, "/");
		if (bytes == 2 && memcmp(part, "..", 2) == 0) {
			if (used == 0)
				return false;
			while (used > 0 && clean[--used] != '/')
				;
		} else if (bytes > 0 && !(bytes == 1 && *part == '.')) {
			if (used + bytes + 2 > NAME_MAX_BYTES)
				return false;
			if (used > 0)
				clean[used++] = '/';
			memcpy(clean + used, part, bytes);
			used += bytes;
		}
		part += bytes;
		part += *part == '/';
	}
	clean[used] = '\0';
	return true;
}

static la_ssize_t input_read(struct archive *archive, void *data, const void **ret_block)
{
	struct input *input = data;
	ssize_t n;
	if (input->at > input->headers_end) {
		err_set(&input->err, EFBIG, "the archive '%s' has a member with more than 16 MiB of headers",
			input->tarball->store.name);
		archive_set_error(archive, EIO, "read failed");
		return -1;
	}
	do
		n = pread(input->tarball->fd, input->block, sizeof(input->block), (off_t)input->at);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		err_sys(&input->err, errno, "cannot read '%s'", input->tarball->store.name);
		archive_set_error(archive, EIO, "read failed");
		return -1;
	}
	input->at += (uint64_t)n;
	*ret_block = input->block;
	return n;
}

static la_int64_t input_skip(struct archive *archive, void *data, la_int64_t bytes)
{
	(void)archive;
	struct input *input = data;
	uint64_t left = input->at < input->tarball->file_bytes ? input->tarball->file_bytes - input->at : 0;
	uint64_t skipped = (uint64_t)bytes < left ? (uint64_t)bytes : left;
	input->at += skipped;
	return (la_int64_t)skipped;
}

static int input_failed(const struct input *input, struct archive *archive, struct err *err)
{
	const struct tarball *tarball = input->tarball;
	if (input->err.code != 0) {
		*err = input->err;
		return err->code;
	}
	if (tarball->count == 0 && archive_format(archive) == 0)
		return err_set(err, EBADMSG, "'%s' is not a tar archive", tarball->store.name);
	const char *why = archive_error_string(archive);
	return err_set(err, EBADMSG, "the archive '%s' is truncated or damaged: %s", tarball->store.name,
		       why != NULL ? why : "unknown reason");
}

static enum member_type member_type(struct archive_entry *entry)
{
	if (archive_entry_hardlink(entry) != NULL)
		return MEMBER_HARD_LINK;
	if (archive_entry_symlink(entry) != NULL)
		return MEMBER_SYMLINK;
	if (archive_entry_filetype(entry) != AE_IFREG)
		return MEMBER_OTHER;
	return archive_entry_sparse_count(entry) > 0 ? MEMBER_SPARSE : MEMBER_FILE;
}

static struct member *member_room(struct tarball *tarball)
{
	if (tarball->count == tarball->room) {
		size_t room = tarball->room == 0 ? 64 : tarball->room * 2;
		struct member *members = realloc(tarball->members, room * sizeof(*members));
		if (members == NULL)
			return NULL;
		tarball->members = members;
		tarball->room = room;
	}
	return &tarball->members[tarball->count];
}

static int member_add(struct tarball *tarball, const char *path, struct archive_entry *entry, uint64_t offset, struct err *err)
{
	struct member *member = member_room(tarball);
	enum member_type type = member_type(entry);
	const char *target = type == MEMBER_HARD_LINK ? archive_entry_hardlink(entry) :
			     type == MEMBER_SYMLINK   ? archive_entry_symlink(entry) : NULL;
	if (member == NULL)
		return err_sys(err, ENOMEM, "cannot read '%s'", tarball->store.name);
	*member = (struct member){ .path = strdup(path),
				   .target = target != NULL ? strndup(target, NAME_MAX_BYTES) : NULL,
				   .number = tarball->count,
				   .type = type,
				   .offset = offset,
				   .bytes = (uint64_t)archive_entry_size(entry) };
	tarball->count++;
	if (member->path == NULL || (target != NULL && member->target == NULL))
		return err_sys(err, ENOMEM, "cannot read '%s'", tarball->store.name);
	if (type == MEMBER_FILE && (offset > tarball->file_bytes || member->bytes > tarball->file_bytes - offset)) {
		err_set(err, EBADMSG, "the archive '%s' is truncated: it ends within '%s'", tarball->store.name, path);
		return err_hint(err, "copy or make the archive again");
	}
	return 0;
}

/* What cannot be a file of an image is left out: a name that is too long, leads out, or is none at all. */
static int entry_take(struct tarball *tarball, struct archive_entry *entry, uint64_t offset, struct err *err)
{
	char path[NAME_MAX_BYTES];
	const char *name = archive_entry_pathname(entry);
	if (name == NULL || !path_clean("", name, path) || path[0] == '\0')
		return 0;
	if (tarball->count == MEMBERS_MAX)
		return err_set(err, EFBIG, "the archive '%s' has more than %d members", tarball->store.name, MEMBERS_MAX);
	return member_add(tarball, path, entry, offset, err);
}

static int entries_take(struct input *input, struct archive *archive, struct err *err)
{
	struct archive_entry *entry;
	for (;;) {
		input->headers_end = (uint64_t)archive_filter_bytes(archive, 0) + HEADERS_BYTES_MAX;
		int r = archive_read_next_header(archive, &entry);
		/* A warning means that something of an entry was ignored: what we take of it is compared with its digest in any
		 * case. */
		if (r == ARCHIVE_EOF && input->err.code == 0)
			return 0;
		if ((r != ARCHIVE_OK && r != ARCHIVE_WARN) || input->err.code != 0)
			return input_failed(input, archive, err);
		input->headers_end = UINT64_MAX;
		r = entry_take(input->tarball, entry, (uint64_t)archive_filter_bytes(archive, 0), err);
		if (r < 0)
			return r;
		if (archive_read_data_skip(archive) < ARCHIVE_WARN)
			return input_failed(input, archive, err);
	}
}

static int member_compare(const void *left, const void *right)
{
	const struct member *a = left, *b = right;
	int r = strcmp(a->path, b->path);
	return r != 0 ? r : (a->number > b->number) - (a->number < b->number);
}

static int members_read(struct tarball *tarball, struct err *err)
{
	autofree struct input *input = calloc(1, sizeof(*input));
	struct archive *archive = archive_read_new();
	int r = 0;
	if (input == NULL || archive == NULL) {
		r = err_sys(err, ENOMEM, "cannot read '%s'", tarball->store.name);
	} else {
		input->tarball = tarball;
		input->headers_end = HEADERS_BYTES_MAX;
		archive_read_support_format_tar(archive);
		if (archive_read_open2(archive, input, NULL, input_read, input_skip, NULL) < ARCHIVE_OK)
			r = input_failed(input, archive, err);
		else
			r = entries_take(input, archive, err);
	}
	if (archive != NULL)
		archive_read_free(archive);
	if (r == 0 && tarball->count > 0)
		qsort(tarball->members, tarball->count, sizeof(*tarball->members), member_compare);
	return r;
}

/* The last member of that path. */
static const struct member *member_find(const struct tarball *tarball, const char *path)
{
	size_t low = 0, high = tarball->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(tarball->members[middle].path, path) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && strcmp(tarball->members[low - 1].path, path) == 0 ? &tarball->members[low - 1] : NULL;
}

/* Follows links to a file. 1, or 0 if there is nothing of that path. */
static int member_resolve(const struct tarball *tarball, const char *path, const struct member **ret_member, struct err *err)
{
	char clean[NAME_MAX_BYTES];
	const char *from = "", *to = path;
	for (int links = 0; links <= LINKS_MAX; links++) {
		if (!path_clean(from, to, clean))
			return err_set(err, EBADMSG, "'%s' leads out of the archive '%s'", path, tarball->store.name);
		const struct member *member = member_find(tarball, clean);
		*ret_member = member;
		if (member == NULL && links == 0)
			return 0;
		if (member == NULL)
			return err_set(err, EBADMSG, "'%s' in '%s' is a link to '%s', which is not there", path,
				       tarball->store.name, clean);
		if (member->target == NULL)
			return 1;
		from = member->type == MEMBER_SYMLINK ? member->path : "";
		to = member->target;
	}
	return err_set(err, EBADMSG, "'%s' in '%s' is a loop of links", path, tarball->store.name);
}

static int tarball_file_open(struct store *store, const char *path, struct extent *ret_extent, struct err *err)
{
	const struct tarball *tarball = (const struct tarball *)store;
	const struct member *member;
	int r = member_resolve(tarball, path, &member, err);
	if (r <= 0)
		return r;
	if (member->type != MEMBER_FILE)
		return err_set(err, EBADMSG, "'%s' in '%s' is %s", path, store->name,
			       member->type == MEMBER_SPARSE ? "stored as a sparse file" : "not a regular file");
	int fd = fcntl(tarball->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", store->name);
	*ret_extent = (struct extent){ fd, member->offset, member->bytes };
	return 1;
}

static void tarball_close(struct store *store)
{
	struct tarball *tarball = (struct tarball *)store;
	for (size_t i = 0; i < tarball->count; i++) {
		free(tarball->members[i].path);
		free(tarball->members[i].target);
	}
	free(tarball->members);
	if (tarball->fd >= 0)
		close(tarball->fd);
	free(store->name);
	free(tarball);
}

/* A file without a name: nothing is left behind, however the program ends. NFS cannot make one; there it has a name for a
 * moment. */
static int spool_open(const char *directory, struct err *err)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	autofree char *path = NULL;
	if (asprintf(&path, "%s/archive.XXXXXX", directory) < 0) {
		path = NULL;
		return err_sys(err, ENOMEM, "cannot make a file in '%s'", directory);
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot make a file in '%s'", directory);
	unlink(path);
	return fd;
}

static int spool_write(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, data, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int spool_fill(struct tarball *tarball, struct stream *stream, int spool, const struct container_options *options,
		      struct err *err)
{
	const void *data;
	long n;
	while ((n = stream_read(stream, &data, err)) > 0) {
		int r = spool_write(spool, data, (size_t)n);
		if (r < 0) {
			err_sys(err, -r, "cannot keep the decompressed '%s' in '%s'", tarball->store.name,
				cache_directory(options->cache));
			return err_hint(err, "an uncompressed archive is read in place; SIMG_CACHE_DIR names another directory");
		}
		if (options->progress != NULL)
			progress_update(options->progress, "reading", stream_bytes_in(stream), tarball->file_bytes, 0);
	}
	return (int)n;
}

/* Replaces the descriptor by one of the decompressed archive. */
static int tarball_spool(struct tarball *tarball, struct stream *stream, const struct container_options *options, struct err *err)
{
	autoclose int spool = spool_open(cache_directory(options->cache), err);
	if (spool < 0)
		return spool;
	int r = spool_fill(tarball, stream, spool, options, err);
	if (r < 0)
		return r;
	close(tarball->fd);
	tarball->fd = steal_fd(&spool);
	tarball->file_bytes = stream_bytes_out(stream);
	return 0;
}

static int tarball_begin(struct tarball *tarball, const struct container_options *options, struct err *err)
{
	struct stat st;
	struct stream *stream;
	if (fstat(tarball->fd, &st) < 0)
		return err_sys(err, errno, "cannot read '%s'", tarball->store.name);
	if (S_ISDIR(st.st_mode)) {
		err_set(err, EISDIR, "'%s' is a directory, not an archive", tarball->store.name);
		return err_hint(err, "a directory with an OCI layout is oci:%s", tarball->store.name);
	}
	tarball->file_bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	int r = stream_open_fd(tarball->fd, tarball->store.name, &stream, err);
	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode) || stream_compression(stream) != NULL)
		r = tarball_spool(tarball, stream, options, err);
	stream_free(stream);
	return r < 0 ? r : members_read(tarball, err);
}

static const struct store_ops tarball_ops = { .open = tarball_file_open, .close = tarball_close };

int store_tar_open(const char *path, const struct container_options *options, struct store **ret_store, struct err *err)
{
	bool standard_input = strcmp(path, "-") == 0;
	autoclose int fd = standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", standard_input ? "standard input" : path);
	struct tarball *tarball = calloc(1, sizeof(*tarball));
	if (tarball == NULL || (tarball->store.name = strdup(standard_input ? "standard input" : path)) == NULL) {
		free(tarball);
		return err_sys(err, ENOMEM, "cannot open '%s'", path);
	}
	tarball->store.ops = &tarball_ops;
	tarball->fd = steal_fd(&fd);
	int r = tarball_begin(tarball, options, err);
	if (r < 0) {
		tarball_close(&tarball->store);
		return r;
	}
	*ret_store = &tarball->store;
	return 0;
}

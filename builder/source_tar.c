/* SPDX-License-Identifier: Apache-2.0
 *
 * Tarballs, plain or compressed, from a file or standard input, and layers: libarchive reads the tar stream, stream.c decompresses.
 * The end of a tarball has to be there: two blocks of zeros, and nothing but zeros behind them. A layer has a digest instead.
 *
 * The program never sets a locale, so names are bytes for libarchive too. It then warns about every name in a pax header that is
 * not ASCII and hands out the bytes as they stand, which is what we want; every other warning means that something was ignored,
 * and is an error here.
 */
#include "builder/source_tar.h"

#include "builder/stream.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	END_BYTES = 1024,
	HEADERS_BYTES_MAX = 16 * 1024 * 1024, /* of one entry: libarchive holds them in memory, a sparse file's map among them */
};
static const char HARMLESS_WARNING[] = "can't be converted";

struct reader {
	char *name;
	struct stream *stream;
	bool layer;
	void (*tap)(void *context, const void *data, size_t bytes);
	void *tap_context;
	struct archive *archive;
	struct archive_entry *entry; /* the current one, libarchive's */
	struct err stream_err;       /* a failure inside libarchive's callback */
	char *last_path;             /* for messages about a damaged place */
	uint64_t file_bytes;         /* 0: unknown */
	uint64_t headers_end;        /* how far in the stream an entry's headers may reach, while they are read */
	const char *block;           /* the piece of the stream that libarchive got last */
	uint64_t block_bytes;
	struct xattr *xattrs;        /* of the current entry; names and values are libarchive's */
	size_t xattr_room;
};

static bool tarball_matches(mode_t mode, const uint8_t *head, size_t bytes)
{
	(void)head;
	(void)bytes;
	return S_ISREG(mode) || S_ISFIFO(mode) || S_ISSOCK(mode) || S_ISCHR(mode);
}

static long block_read(struct reader *reader, const void **ret_block, struct err *err)
{
	long n = stream_read(reader->stream, ret_block, err);
	if (n > 0 && reader->tap != NULL)
		reader->tap(reader->tap_context, *ret_block, (size_t)n);
	return n;
}

static la_ssize_t tarball_input(struct archive *archive, void *data, const void **ret_block)
{
	struct reader *reader = data;
	long n = block_read(reader, ret_block, &reader->stream_err);
	if (n > 0 && stream_bytes_out(reader->stream) > reader->headers_end)
		n = err_set(&reader->stream_err, EFBIG, "the tarball '%s' has a file with more than 16 MiB of headers, after '%s'",
			    reader->name, reader->last_path != NULL ? reader->last_path : "");
	if (n < 0)
		archive_set_error(archive, EIO, "read failed");
	if (n > 0) {
		reader->block = *ret_block;
		reader->block_bytes = (uint64_t)n;
	}
	return n < 0 ? -1 : n;
}

/* Decoders hand out damaged data before they come to the checksum that tells. So where the tar stream makes no sense, the rest of a
 * compressed file is read for the better reason. */
static void stream_drain(struct reader *reader)
{
	const void *data;
	if (stream_compression(reader->stream) != NULL && reader->stream_err.code == 0)
		while (stream_read(reader->stream, &data, &reader->stream_err) > 0)
			;
}

static int tarball_failed(struct reader *reader, struct err *err)
{
	stream_drain(reader);
	if (reader->stream_err.code != 0) {
		*err = reader->stream_err;
		return err->code;
	}
	if (reader->last_path == NULL && archive_format(reader->archive) == 0) {
		err_set(err, EBADMSG, "'%s' is not a tarball", reader->name);
		return err_hint(err, "a tarball may be plain, gzip, zstd, xz or bzip2; simg build --help lists what else a source is");
	}
	const char *why = archive_error_string(reader->archive);
	if (archive_errno(reader->archive) == ENOMEM)
		return err_set(err, ENOMEM, "the tarball '%s' takes too much memory to read, after '%s'", reader->name,
			       reader->last_path != NULL ? reader->last_path : "");
	err_set(err, EBADMSG, "the tarball '%s' is truncated or damaged: %s%s%s%s", reader->name,
		why != NULL ? why : "unknown reason", reader->last_path != NULL ? ", after '" : "",
		reader->last_path != NULL ? reader->last_path : "", reader->last_path != NULL ? "'" : "");
	return err_hint(err, "copy or make the tarball again");
}

static void tarball_close(struct reader *reader)
{
	if (reader == NULL)
		return;
	if (reader->archive != NULL)
		archive_read_free(reader->archive);
	stream_free(reader->stream);
	free(reader->xattrs);
	free(reader->last_path);
	free(reader->name);
	free(reader);
}

static int tarball_begin(struct reader *reader, struct err *err)
{
	reader->headers_end = UINT64_MAX;
	reader->archive = archive_read_new();
	if (reader->archive == NULL)
		return err_sys(err, ENOMEM, "cannot read '%s'", reader->name);
	archive_read_support_format_tar(reader->archive);
	if (archive_read_open(reader->archive, reader, NULL, tarball_input, NULL) < ARCHIVE_OK)
		return tarball_failed(reader, err);
	return 0;
}

/* Takes the stream, also when it fails. */
static int reader_new(struct stream *stream, const char *name, struct reader **ret_reader, struct err *err)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL || (reader->name = strdup(name)) == NULL) {
		free(reader);
		stream_free(stream);
		return err_sys(err, ENOMEM, "cannot read '%s'", name);
	}
	reader->stream = stream;
	*ret_reader = reader;
	return 0;
}

static int tarball_open(const struct source_options *options, struct reader **ret_reader, struct err *err)
{
	struct stream *stream;
	struct reader *reader;
	int r = stream_open_fd(options->fd, options->name, &stream, err);
	if (r == 0)
		r = reader_new(stream, options->name, &reader, err);
	if (r < 0)
		return r;
	if (options->trusted)
		stream_trust(stream);
	struct stat st;
	if (fstat(options->fd, &st) == 0 && S_ISREG(st.st_mode))
		reader->file_bytes = (uint64_t)st.st_size;
	r = tarball_begin(reader, err);
	if (r < 0)
		tarball_close(reader);
	else
		*ret_reader = reader;
	return r;
}

int tarball_open_layer(struct stream *stream, const char *name, void (*tap)(void *, const void *, size_t), void *tap_context,
		       struct reader **ret_reader, struct err *err)
{
	struct reader *reader;
	int r = reader_new(stream, name, &reader, err);
	if (r < 0)
		return r;
	reader->layer = true;
	reader->tap = tap;
	reader->tap_context = tap_context;
	r = tarball_begin(reader, err);
	if (r < 0)
		tarball_close(reader);
	else
		*ret_reader = reader;
	return r;
}

static bool is_zero(const char *data, uint64_t bytes)
{
	return bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0);
}

/* Reads what is behind the end mark, so that a decompressor gets to its checksum, and refuses a second archive there: tar would
 * drop it without a word. consumed is libarchive's position in the stream. */
static int tarball_end(struct reader *reader, uint64_t begin, uint64_t consumed, struct err *err)
{
	if (consumed - begin < END_BYTES) {
		err_set(err, EBADMSG, "the tarball '%s' is truncated: its end mark is missing%s%s%s", reader->name,
			reader->last_path != NULL ? ", after '" : "", reader->last_path != NULL ? reader->last_path : "",
			reader->last_path != NULL ? "'" : "");
		return err_hint(err, "copy or make the tarball again");
	}
	const void *data = reader->block + reader->block_bytes - (stream_bytes_out(reader->stream) - consumed);
	long n = (long)(stream_bytes_out(reader->stream) - consumed);
	do {
		if (!is_zero(data, (uint64_t)n)) {
			err_set(err, EBADMSG, "there is something behind the end of the tarball '%s'", reader->name);
			return err_hint(err, "tarballs put one behind the other are joined with: tar --concatenate");
		}
		n = stream_read(reader->stream, &data, err);
	} while (n > 0);
	return (int)n;
}

/* The digest has the last word about a layer, and it covers every byte. */
static int layer_end(struct reader *reader, struct err *err)
{
	const void *data;
	long n;
	do
		n = block_read(reader, &data, err);
	while (n > 0);
	return (int)n;
}

static int xattrs_collect(struct reader *reader, struct source_entry *entry, struct err *err)
{
	size_t count = (size_t)archive_entry_xattr_reset(reader->entry);
	if (count > reader->xattr_room) {
		struct xattr *room = realloc(reader->xattrs, count * sizeof(*room));
		if (room == NULL)
			return err_sys(err, ENOMEM, "cannot read '%s'", reader->name);
		reader->xattrs = room;
		reader->xattr_room = count;
	}
	for (size_t i = 0; i < count; i++)
		archive_entry_xattr_next(reader->entry, &reader->xattrs[i].name, &reader->xattrs[i].value,
					 &reader->xattrs[i].value_bytes);
	entry->xattrs = reader->xattrs;
	entry->xattr_count = count;
	return 0;
}

static int entry_fill(struct reader *reader, struct source_entry *entry, struct err *err)
{
	struct archive_entry *from = reader->entry;
	*entry = (struct source_entry){
		.path = archive_entry_pathname(from),
		.target = archive_entry_hardlink(from),
		.mode = archive_entry_mode(from),
		.uid = archive_entry_uid(from),
		.gid = archive_entry_gid(from),
		.mtime = archive_entry_mtime(from),
		.major = (uint32_t)archive_entry_rdevmajor(from),
		.minor = (uint32_t)archive_entry_rdevminor(from),
		.bytes = (uint64_t)archive_entry_size(from),
		.acl = (archive_entry_acl_types(from) & ARCHIVE_ENTRY_ACL_TYPE_POSIX1E) != 0,
	};
	entry->hard_link = entry->target != NULL;
	if (!entry->hard_link)
		entry->target = archive_entry_symlink(from);
	if (entry->path == NULL)
		return err_set(err, EBADMSG, "an entry of the tarball '%s' has no name", reader->name);
	free(reader->last_path);
	reader->last_path = strdup(entry->path);
	return xattrs_collect(reader, entry, err);
}

static int tarball_next(struct reader *reader, struct source_entry *ret_entry, struct err *err)
{
	if (reader->entry != NULL && archive_read_data_skip(reader->archive) < ARCHIVE_OK)
		return tarball_failed(reader, err);
	uint64_t begin = (uint64_t)archive_filter_bytes(reader->archive, 0);
	reader->headers_end = stream_bytes_out(reader->stream) + HEADERS_BYTES_MAX;
	int r = archive_read_next_header(reader->archive, &reader->entry);
	reader->headers_end = UINT64_MAX;
	if (reader->stream_err.code != 0)
		return tarball_failed(reader, err);
	if (reader->layer && (r == ARCHIVE_EOF || stream_bytes_out(reader->stream) == 0))
		return layer_end(reader, err);
	if (r == ARCHIVE_EOF)
		return tarball_end(reader, begin, (uint64_t)archive_filter_bytes(reader->archive, 0), err);
	const char *warning = archive_error_string(reader->archive);
	if (r != ARCHIVE_OK && (r != ARCHIVE_WARN || warning == NULL || strstr(warning, HARMLESS_WARNING) == NULL))
		return tarball_failed(reader, err);
	r = entry_fill(reader, ret_entry, err);
	return r < 0 ? r : 1;
}

static int tarball_read(struct reader *reader, struct piece *ret_piece, struct err *err)
{
	la_int64_t offset;
	int r = archive_read_data_block(reader->archive, &ret_piece->data, &ret_piece->bytes, &offset);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK)
		return tarball_failed(reader, err);
	ret_piece->offset = (uint64_t)offset;
	return 1;
}

static void tarball_progress(const struct reader *reader, uint64_t *ret_bytes, uint64_t *ret_total)
{
	*ret_bytes = stream_bytes_in(reader->stream);
	*ret_total = reader->file_bytes;
}

const struct source source_tarball = {
	.name = "tarball",
	.matches = tarball_matches,
	.open = tarball_open,
	.next = tarball_next,
	.read = tarball_read,
	.progress = tarball_progress,
	.close = tarball_close,
};

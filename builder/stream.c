/* SPDX-License-Identifier: Apache-2.0
 *
 * Decompression: see stream.h. libarchive decodes all formats but gzip, where it ignores the checksum at the end; zlib does that.
 */
#include "builder/stream.h"

#include "builder/size.h"
#include "lib/err.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
	INPUT_BYTES = 256 * 1024,
	OUTPUT_BYTES = 256 * 1024,
	MAGIC_BYTES = 6,
	GZIP_WINDOW = 15 + 16, /* zlib: the largest window, and a gzip header and trailer */
	RATIO_MAX = 1000,
};
/* Real trees shrink to a tenth, the most compressible to a hundredth. Below this much output a ratio tells nothing: a tree may
 * begin with one large file of zeros. */
#define RATIO_FREE_BYTES ((uint64_t)1 << 30)

enum compression { PLAIN, GZIP, ZSTD, XZ, BZIP2 };

struct stream {
	int fd;
	char *name;
	enum compression compression;
	bool trusted, ended;
	uint64_t bytes_in, bytes_out;
	uint8_t *input;          /* INPUT_BYTES */
	size_t input_bytes;      /* held in input, from the start of the file, not consumed yet: the sniffed beginning */
	struct err read_err;     /* a failed read inside libarchive's callback */
	struct archive *archive; /* ZSTD, XZ, BZIP2 */
	z_stream zlib;           /* GZIP */
	bool zlib_open, in_member;
	uint8_t *output;         /* OUTPUT_BYTES, GZIP */
};

static const struct {
	const char *name;
	uint8_t magic_bytes, magic[MAGIC_BYTES];
} compressions[] = {
	[PLAIN] = { NULL, 0, { 0 } },
	[GZIP] = { "gzip", 3, { 0x1f, 0x8b, 8 } },
	[ZSTD] = { "zstd", 4, { 0x28, 0xb5, 0x2f, 0xfd } },
	[XZ] = { "xz", 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
	[BZIP2] = { "bzip2", 3, { 'B', 'Z', 'h' } },
};
enum { COMPRESSION_COUNT = sizeof(compressions) / sizeof(compressions[0]) };

static enum compression sniff(const uint8_t *data, size_t bytes)
{
	for (int i = GZIP; i < COMPRESSION_COUNT; i++)
		if (bytes >= compressions[i].magic_bytes && memcmp(data, compressions[i].magic, compressions[i].magic_bytes) == 0)
			return (enum compression)i;
	return PLAIN;
}

/* Fills the input buffer once, 0 at the end of the file. */
static long input_read(struct stream *stream, struct err *err)
{
	ssize_t n;
	do
		n = read(stream->fd, stream->input, INPUT_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(err, errno, "cannot read '%s'", stream->name);
	stream->bytes_in += (uint64_t)n;
	return n;
}

/* The next compressed bytes: first those that were read to sniff the format. */
static long input_next(struct stream *stream, struct err *err)
{
	if (stream->input_bytes == 0)
		return input_read(stream, err);
	size_t bytes = stream->input_bytes;
	stream->input_bytes = 0;
	return (long)bytes;
}

/* Pipes hand out little at a time, so reads until there is enough to sniff. */
static int input_begin(struct stream *stream, struct err *err)
{
	while (stream->input_bytes < MAGIC_BYTES) {
		ssize_t n = read(stream->fd, stream->input + stream->input_bytes, INPUT_BYTES - stream->input_bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read '%s'", stream->name);
		if (n == 0)
			break;
		stream->input_bytes += (size_t)n;
		stream->bytes_in += (uint64_t)n;
	}
	if (stream->input_bytes == 0)
		return err_set(err, ENODATA, "'%s' is empty", stream->name);
	stream->compression = sniff(stream->input, stream->input_bytes);
	return 0;
}

static int damaged(const struct stream *stream, const char *why, struct err *err)
{
	err_set(err, EBADMSG, "'%s' is truncated or damaged: %s", stream->name, why);
	return err_hint(err, "copy or make the %s file again", stream_compression(stream));
}

static int gzip_open(struct stream *stream, struct err *err)
{
	stream->output = malloc(OUTPUT_BYTES);
	if (stream->output == NULL || inflateInit2(&stream->zlib, GZIP_WINDOW) != Z_OK)
		return err_sys(err, ENOMEM, "cannot decompress '%s'", stream->name);
	stream->zlib_open = stream->in_member = true;
	return 0;
}

/* Behind a member there may be another one, or padding with zeros. Returns 1 if there is another member. */
static int gzip_member_next(struct stream *stream, struct err *err)
{
	z_stream *zlib = &stream->zlib;
	while (zlib->avail_in > 0 && *zlib->next_in == 0) {
		zlib->next_in++;
		zlib->avail_in--;
	}
	if (zlib->avail_in == 0)
		return 0;
	if (*zlib->next_in != compressions[GZIP].magic[0])
		return damaged(stream, "there is something else behind the gzip data", err);
	inflateReset(zlib);
	stream->in_member = true;
	return 1;
}

static long gzip_read(struct stream *stream, const void **ret_data, struct err *err)
{
	z_stream *zlib = &stream->zlib;
	zlib->next_out = stream->output;
	zlib->avail_out = OUTPUT_BYTES;
	while (zlib->avail_out == OUTPUT_BYTES) {
		if (zlib->avail_in == 0) {
			long n = input_next(stream, err);
			if (n < 0)
				return n;
			if (n == 0)
				return stream->in_member ? damaged(stream, "it ends inside the gzip data", err) : 0;
			zlib->next_in = stream->input;
			zlib->avail_in = (unsigned)n;
		}
		if (!stream->in_member) {
			int r = gzip_member_next(stream, err);
			if (r < 0)
				return r;
			if (r == 0)
				continue;
		}
		int r = inflate(zlib, Z_NO_FLUSH);
		if (r == Z_STREAM_END)
			stream->in_member = false;
		else if (r != Z_OK && r != Z_BUF_ERROR)
			return damaged(stream, zlib->msg != NULL ? zlib->msg : "not gzip data", err);
	}
	*ret_data = stream->output;
	return OUTPUT_BYTES - (long)zlib->avail_out;
}

static la_ssize_t archive_input(struct archive *archive, void *data, const void **ret_buffer)
{
	struct stream *stream = data;
	long n = input_next(stream, &stream->read_err);
	if (n < 0)
		archive_set_error(archive, EIO, "read failed");
	*ret_buffer = stream->input;
	return n < 0 ? -1 : n;
}

static int archive_failed(struct stream *stream, struct err *err)
{
	if (stream->read_err.code != 0) {
		*err = stream->read_err;
		return err->code;
	}
	const char *why = archive_error_string(stream->archive);
	return damaged(stream, why != NULL ? why : "unknown reason", err);
}

static int archive_begin(struct stream *stream, struct err *err)
{
	struct archive *archive = stream->archive = archive_read_new();
	if (archive == NULL)
		return err_sys(err, ENOMEM, "cannot decompress '%s'", stream->name);
	archive_read_support_format_raw(archive);
	archive_read_support_filter_zstd(archive);
	archive_read_support_filter_xz(archive);
	archive_read_support_filter_bzip2(archive);
	struct archive_entry *entry;
	if (archive_read_open(archive, stream, NULL, archive_input, NULL) < ARCHIVE_OK ||
	    archive_read_next_header(archive, &entry) < ARCHIVE_OK)
		return archive_failed(stream, err);
	return 0;
}

static long archive_next(struct stream *stream, const void **ret_data, struct err *err)
{
	size_t bytes;
	la_int64_t offset;
	int r;
	do
		r = archive_read_data_block(stream->archive, ret_data, &bytes, &offset);
	while (r == ARCHIVE_OK && bytes == 0);
	if (r == ARCHIVE_EOF)
		return 0;
	return r == ARCHIVE_OK ? (long)bytes : archive_failed(stream, err);
}

int stream_open(int fd, const char *name, struct stream **ret_stream, struct err *err)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	if (stream == NULL || (stream->name = strdup(name)) == NULL || (stream->input = malloc(INPUT_BYTES)) == NULL) {
		stream_free(stream);
		return err_sys(err, ENOMEM, "cannot read '%s'", name);
	}
	stream->fd = fd;
	int r = input_begin(stream, err);
	if (r == 0 && stream->compression == GZIP)
		r = gzip_open(stream, err);
	else if (r == 0 && stream->compression != PLAIN)
		r = archive_begin(stream, err);
	if (r < 0) {
		stream_free(stream);
		return r;
	}
	*ret_stream = stream;
	return 0;
}

static int ratio_check(const struct stream *stream, struct err *err)
{
	if (stream->trusted || stream->bytes_out < RATIO_FREE_BYTES || stream->bytes_out / RATIO_MAX < stream->bytes_in)
		return 0;
	char in[SIZE_TEXT_MAX], out[SIZE_TEXT_MAX];
	err_set(err, EFBIG, "'%s' expands beyond reason: %s became %s so far", stream->name, size_format(stream->bytes_in, in),
		size_format(stream->bytes_out, out));
	return err_hint(err, "if you trust it, say how much it may hold, e.g. --max-size 100G");
}

long stream_read(struct stream *stream, const void **ret_data, struct err *err)
{
	long n = 0;
	if (stream->ended)
		return 0;
	if (stream->compression == PLAIN) {
		n = input_next(stream, err);
		*ret_data = stream->input;
	} else if (stream->compression == GZIP) {
		n = gzip_read(stream, ret_data, err);
	} else {
		n = archive_next(stream, ret_data, err);
	}
	stream->ended = n <= 0;
	if (n <= 0)
		return n;
	stream->bytes_out += (uint64_t)n;
	int r = ratio_check(stream, err);
	return r < 0 ? r : n;
}

void stream_trust(struct stream *stream)
{
	stream->trusted = true;
}

uint64_t stream_bytes_in(const struct stream *stream)
{
	return stream->bytes_in;
}

uint64_t stream_bytes_out(const struct stream *stream)
{
	return stream->bytes_out;
}

const char *stream_compression(const struct stream *stream)
{
	return compressions[stream->compression].name;
}

void stream_free(struct stream *stream)
{
	if (stream == NULL)
		return;
	if (stream->archive != NULL)
		archive_read_free(stream->archive);
	if (stream->zlib_open)
		inflateEnd(&stream->zlib);
	free(stream->output);
	free(stream->input);
	free(stream->name);
	free(stream);
}

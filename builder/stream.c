/* SPDX-License-Identifier: Apache-2.0
 *
 * Decompression: see stream.h. gzip and zstd, in which layers come, by their own libraries: libarchive ignores the checksum at the
 * end of gzip. The others by libarchive.
 */
#include "builder/stream.h"

#include "builder/gunzip.h"
#include "builder/size.h"
#include "lib/err.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum {
	INPUT_BYTES = 256 * 1024,
	OUTPUT_BYTES = 256 * 1024,
	MAGIC_BYTES = 6,
	RATIO_MAX = 1000,
};
/* Real trees shrink to a tenth, the most compressible to a hundredth. Below this much output a ratio tells nothing: a tree may
 * begin with one large file of zeros. */
#define RATIO_FREE_BYTES ((uint64_t)1 << 30)

enum compression { PLAIN, GZIP, ZSTD, XZ, BZIP2 };

struct stream {
	struct stream_input source;
	int fd;                  /* of stream_open_fd() */
	char *name;
	enum compression compression;
	bool trusted, ended;
	uint64_t bytes_in, bytes_out;
	uint8_t *input;          /* INPUT_BYTES */
	size_t input_bytes;      /* held in input, from the start of the file, not consumed yet: the sniffed beginning */
	struct err read_err;     /* a failed read inside libarchive's callback */
	struct archive *archive; /* XZ, BZIP2 */
	struct gunzip *gunzip;
	ZSTD_DStream *zstd;
	bool in_member;          /* GZIP, ZSTD: within a member, a frame */
	const uint8_t *next;     /* GZIP, ZSTD: of the input, not decoded yet */
	size_t next_bytes;
	uint8_t *output;         /* OUTPUT_BYTES, GZIP and ZSTD */
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
	/* a frame without data */
	bool skippable = bytes >= 4 && (data[0] & 0xf0) == 0x50 && memcmp(data + 1, "\x2a\x4d\x18", 3) == 0;
	return skippable ? ZSTD : PLAIN;
}

static long fd_read(void *context, void *data, size_t bytes, struct err *err)
{
	const struct stream *stream = context;
	ssize_t n;
	do
		n = read(stream->fd, data, bytes);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(err, errno, "cannot read '%s'", stream->name) : n;
}

/* Fills the input buffer once, 0 at the end. */
static long input_read(struct stream *stream, struct err *err)
{
	long n = stream->source.read(stream->source.context, stream->input, INPUT_BYTES, err);
	if (n > 0)
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
	long n = 1;
	while (stream->input_bytes < MAGIC_BYTES && n != 0) {
		n = stream->source.read(stream->source.context, stream->input + stream->input_bytes,
					INPUT_BYTES - stream->input_bytes, err);
		if (n < 0)
			return (int)n;
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

static int decoder_open(struct stream *stream, struct err *err)
{
	stream->output = malloc(OUTPUT_BYTES);
	if (stream->compression == GZIP)
		stream->gunzip = gunzip_new();
	else
		stream->zstd = ZSTD_createDStream();
	if (stream->output == NULL || (stream->gunzip == NULL && stream->zstd == NULL))
		return err_sys(err, ENOMEM, "cannot decompress '%s'", stream->name);
	stream->in_member = true;
	return 0;
}

/* Behind a member there may be another one, or padding with zeros. Returns 1 if there is another member. */
static int gzip_member_next(struct stream *stream, struct err *err)
{
	while (stream->next_bytes > 0 && *stream->next == 0) {
		stream->next++;
		stream->next_bytes--;
	}
	if (stream->next_bytes == 0)
		return 0;
	if (*stream->next != compressions[GZIP].magic[0])
		return damaged(stream, "there is something else behind the gzip data", err);
	gunzip_reset(stream->gunzip);
	stream->in_member = true;
	return 1;
}

static int gzip_step(struct stream *stream, uint8_t **room, size_t *room_bytes, struct err *err)
{
	if (!stream->in_member) {
		int r = gzip_member_next(stream, err);
		if (r <= 0)
			return r;
	}
	const char *why;
	int r = gunzip_step(stream->gunzip, &stream->next, &stream->next_bytes, room, room_bytes, &why);
	if (r < 0)
		return damaged(stream, why, err);
	stream->in_member = r == 0;
	return 0;
}

/* Frames that can be skipped, and further frames, are the library's matter. */
static int zstd_step(struct stream *stream, uint8_t **room, size_t *room_bytes, struct err *err)
{
	ZSTD_inBuffer in = { stream->next, stream->next_bytes, 0 };
	ZSTD_outBuffer out = { *room, *room_bytes, 0 };
	size_t r = ZSTD_decompressStream(stream->zstd, &out, &in);
	if (ZSTD_isError(r))
		return damaged(stream, ZSTD_getErrorName(r), err);
	stream->in_member = r != 0;
	stream->next += in.pos;
	stream->next_bytes -= in.pos;
	*room += out.pos;
	*room_bytes -= out.pos;
	return 0;
}

static int input_refill(struct stream *stream, struct err *err)
{
	long n = input_next(stream, err);
	if (n > 0) {
		stream->next = stream->input;
		stream->next_bytes = (size_t)n;
	}
	return (int)n;
}

static long decoder_read(struct stream *stream, const void **ret_data, struct err *err)
{
	uint8_t *room = stream->output;
	size_t room_bytes = OUTPUT_BYTES;
	while (room == stream->output) {
		int r = stream->next_bytes == 0 ? input_refill(stream, err) : 1;
		if (r < 0)
			return r;
		bool ended = r == 0; /* the decoder may still hold output */
		if (ended && !stream->in_member)
			return 0;
		r = stream->compression == GZIP ? gzip_step(stream, &room, &room_bytes, err) :
						  zstd_step(stream, &room, &room_bytes, err);
		if (r < 0)
			return r;
		if (ended && room == stream->output && stream->in_member)
			return damaged(stream, stream->compression == GZIP ? "it ends inside the gzip data" :
									     "it ends inside the zstd data", err);
	}
	*ret_data = stream->output;
	return room - stream->output;
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

static int begin(struct stream *stream, struct err *err)
{
	int r = input_begin(stream, err);
	if (r == 0 && (stream->compression == GZIP || stream->compression == ZSTD))
		r = decoder_open(stream, err);
	else if (r == 0 && stream->compression != PLAIN)
		r = archive_begin(stream, err);
	return r;
}

/* A descriptor's callback finds the descriptor in the stream. */
static int open_input(const struct stream_input *input, int fd, const char *name, struct stream **ret_stream, struct err *err)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	if (stream == NULL || (stream->name = strdup(name)) == NULL || (stream->input = malloc(INPUT_BYTES)) == NULL) {
		stream_free(stream);
		return err_sys(err, ENOMEM, "cannot read '%s'", name);
	}
	stream->fd = fd;
	stream->source = input != NULL ? *input : (struct stream_input){ fd_read, stream };
	int r = begin(stream, err);
	if (r < 0) {
		stream_free(stream);
		return r;
	}
	*ret_stream = stream;
	return 0;
}

int stream_open(const struct stream_input *input, const char *name, struct stream **ret_stream, struct err *err)
{
	return open_input(input, -1, name, ret_stream, err);
}

int stream_open_fd(int fd, const char *name, struct stream **ret_stream, struct err *err)
{
	return open_input(NULL, fd, name, ret_stream, err);
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
	} else if (stream->compression == GZIP || stream->compression == ZSTD) {
		n = decoder_read(stream, ret_data, err);
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
	gunzip_free(stream->gunzip);
	ZSTD_freeDStream(stream->zstd);
	free(stream->output);
	free(stream->input);
	free(stream->name);
	free(stream);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes from somewhere as a stream of decompressed bytes: plain, gzip, zstd, xz or bzip2, told apart by their first bytes.
 * Checksums of the compressed formats are verified, and an input that ends early is an error. Nothing is written to disk.
 */
#ifndef SIMG_BUILDER_STREAM_H
#define SIMG_BUILDER_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct stream;

/* Where the bytes come from: read returns how many, 0 at the end, or a negative errno with err filled. */
struct stream_input {
	long (*read)(void *context, void *data, size_t bytes, struct err *err);
	void *context;
};

/* name is for messages and is copied. Reads the beginning; input without a single byte is an error, -ENODATA. */
int stream_open(const struct stream_input *input, const char *name, struct stream **ret_stream, struct err *err);

/* The same for an open descriptor, which stays the caller's and must outlive the stream. */
int stream_open_fd(int fd, const char *name, struct stream **ret_stream, struct err *err);

/* The next bytes, valid until the next call. Returns their count, 0 at the end. Fails when the input is damaged or truncated, and
 * once it expands beyond all reason, unless stream_trust() was called: a few megabytes can hold years of zeros. */
long stream_read(struct stream *stream, const void **ret_data, struct err *err);

/* Lifts the limit on the ratio of what was read to what came out. */
void stream_trust(struct stream *stream);

/* Bytes taken from the input and handed out so far. */
uint64_t stream_bytes_in(const struct stream *stream);
uint64_t stream_bytes_out(const struct stream *stream);

/* "gzip", …, or NULL for plain bytes. */
const char *stream_compression(const struct stream *stream);

void stream_free(struct stream *stream);

#endif

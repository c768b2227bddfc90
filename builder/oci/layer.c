/* SPDX-License-Identifier: Apache-2.0
 *
 * The two readings of a layer: see layer.h.
 */
#include "builder/oci/layer.h"

#include "builder/cache/cache.h"
#include "builder/source_tar.h"
#include "builder/stream.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fdio.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DRAIN_BYTES = 256 * 1024 };

/* A blob on its way into a stream. */
struct input {
	struct blob *blob;
	uint64_t offset;
	struct hash *hash; /* of what was read; NULL if the one who downloads compares the digest */
};

static long input_read(void *context, void *data, size_t bytes, struct err *err)
{
	struct input *input = context;
	long n = blob_read(input->blob, input->offset, data, bytes, err);
	if (n > 0) {
		input->offset += (uint64_t)n;
		if (input->hash != NULL)
			hash_add(input->hash, data, (size_t)n);
	}
	return n;
}

/* Reads on to the blob's end, so that all of it has been hashed, and a download has been compared. */
static int input_drain(struct input *input, struct err *err)
{
	autofree char *room = malloc(DRAIN_BYTES);
	long n = room == NULL ? err_sys(err, ENOMEM, "cannot read '%s'", blob_name(input->blob)) : 1;
	while (n > 0)
		n = input_read(input, room, DRAIN_BYTES, err);
	return (int)n;
}

static int input_begin(struct input *input, const struct layer *layer, bool hashed, struct err *err)
{
	*input = (struct input){ .blob = layer->blob };
	if (hashed && (input->hash = hash_new(&layer->digest)) == NULL)
		return err_sys(err, ENOMEM, "cannot read '%s'", layer->name);
	return 0;
}

/* Whether the bytes were those that the digest names; then result stands, which is the one of reading them. */
static int input_end(struct input *input, struct digest *digest, const char *name, int result, struct err *err)
{
	struct err drain_err = ERR_INIT;
	int r = result == 0 || result == -EBADMSG ? input_drain(input, &drain_err) : 0;
	if (r == -EUCLEAN || (r < 0 && result == 0)) /* damage explains what could not be read */
		*err = drain_err;
	if (r == 0 && input->hash != NULL) {
		struct digest seen;
		hash_digest(input->hash, &seen);
		if (!digest_is_set(digest))
			*digest = seen;
		if ((result == 0 || result == -EBADMSG) && !digest_equal(&seen, digest)) {
			r = err_set(err, EUCLEAN, "%s is damaged: its digest is %s, not %s", name, seen.text, digest->text);
			err_hint(err, "copy or make the image again");
		}
	}
	hash_free(input->hash);
	return r < 0 ? r : result;
}

static void tap(void *context, const void *data, size_t bytes)
{
	hash_add(context, data, bytes);
}

static int tar_open(const struct layer *layer, struct input *input, struct hash *diff, struct reader **ret_reader, struct err *err)
{
	const struct stream_input source = { input_read, input };
	struct stream *stream;
	int r = stream_open(&source, layer->name, &stream, err);
	if (r < 0)
		return r;
	if (layer->trusted)
		stream_trust(stream);
	return tarball_open_layer(stream, layer->name, diff != NULL ? tap : NULL, diff, ret_reader, err);
}

static int index_fill(struct layer *layer, struct reader *reader, struct err *err)
{
	struct source_entry entry;
	int r;
	while ((r = source_tarball.next(reader, &entry, err)) > 0) {
		r = index_add(&layer->index, &entry, err);
		if (r < 0)
			break;
	}
	return r;
}

static int diff_compare(const struct layer *layer, const struct hash *diff, struct err *err)
{
	struct digest seen;
	hash_digest(diff, &seen);
	if (digest_equal(&seen, &layer->diff_id))
		return 0;
	err_set(err, EBADMSG, "%s is not what the image's configuration says: it decompresses to %s, not %s", layer->name,
		seen.text, layer->diff_id.text);
	return err_hint(err, "the image is inconsistent where it comes from; it has to be made again there");
}

static int scan(struct layer *layer, struct input *input, struct hash *diff, struct err *err)
{
	struct reader *reader = NULL;
	int r = tar_open(layer, input, diff, &reader, err);
	if (r == 0)
		r = index_fill(layer, reader, err);
	source_tarball.close(reader);
	if (r == -ENODATA) /* no byte at all: a layer that changes nothing */
		r = 0;
	return r < 0 ? r : diff_compare(layer, diff, err);
}

/* --- the index in the cache --- */

static const char INDEX_MAGIC[8] = "simgidx1";

struct index_head {
	char magic[8];
	uint64_t bytes, entry_count;
	char digest[DIGEST_TEXT_MAX]; /* of the bytes that follow */
};

enum { KEY_MAX = 256 };

/* By the layer's digest, so that it goes with the blob, and by what it must decompress to. */
static bool index_key(const struct layer *layer, char key[KEY_MAX])
{
	if (!digest_is_set(&layer->digest))
		return false;
	snprintf(key, KEY_MAX, "%s-%s.%.32s.%s", digest_algorithm(&layer->digest), digest_hex(&layer->digest),
		 digest_hex(&layer->diff_id), BYTE_ORDER == LITTLE_ENDIAN ? "index1l" : "index1b");
	return true;
}

static bool index_is_right(const uint8_t *data, size_t bytes)
{
	struct index_head head;
	struct digest seen;
	if (bytes < sizeof(head))
		return false;
	memcpy(&head, data, sizeof(head));
	if (memcmp(head.magic, INDEX_MAGIC, sizeof(INDEX_MAGIC)) != 0 || head.bytes != bytes - sizeof(head))
		return false;
	digest_of(data + sizeof(head), head.bytes, &seen);
	return strncmp(seen.text, head.digest, sizeof(head.digest)) == 0;
}

static bool index_load(struct layer *layer, struct cache *cache)
{
	char key[KEY_MAX];
	autoclose int fd = -1;
	struct stat st;
	if (cache == NULL || !blob_is_whole(layer->blob) || !index_key(layer, key) ||
	    cache_file_find(cache, CACHE_DERIVED, key, &fd) != 1)
		return false;
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct index_head) || st.st_size > (off_t)1 << 31)
		return false;
	autofree uint8_t *data = malloc((size_t)st.st_size);
	if (data == NULL || fdio_read(fd, 0, data, (size_t)st.st_size) < 0 || !index_is_right(data, (size_t)st.st_size))
		return false;
	struct index_head head;
	memcpy(&head, data, sizeof(head));
	memmove(data, data + sizeof(head), head.bytes);
	layer->index = (struct index){ steal_ptr(&data), head.bytes, (size_t)st.st_size, head.entry_count };
	return true;
}

static void index_save(const struct layer *layer, struct cache *cache)
{
	char key[KEY_MAX];
	if (cache == NULL || !index_key(layer, key))
		return;
	struct index_head head = { .bytes = layer->index.bytes, .entry_count = layer->index.entry_count };
	struct digest digest;
	memcpy(head.magic, INDEX_MAGIC, sizeof(INDEX_MAGIC));
	digest_of(layer->index.data, layer->index.bytes, &digest);
	memcpy(head.digest, digest.text, sizeof(head.digest));
	autofree uint8_t *file = malloc(sizeof(head) + head.bytes);
	if (file == NULL)
		return; /* only the next build's time is lost */
	memcpy(file, &head, sizeof(head));
	if (head.bytes > 0)
		memcpy(file + sizeof(head), layer->index.data, head.bytes);
	cache_file_store(cache, CACHE_DERIVED, key, file, sizeof(head) + head.bytes);
}

int layer_scan(struct layer *layer, struct cache *cache, struct err *err)
{
	bool named = digest_is_set(&layer->digest);
	if (index_load(layer, cache))
		return 0;
	struct input input;
	struct hash *diff = hash_new(&layer->diff_id);
	int r = diff == NULL ? err_sys(err, ENOMEM, "cannot read '%s'", layer->name) : 0;
	if (r == 0)
		r = input_begin(&input, layer, blob_is_whole(layer->blob) && !blob_is_verified(layer->blob), err);
	if (r == 0)
		r = input_end(&input, &layer->digest, layer->name, scan(layer, &input, diff, err), err);
	hash_free(diff);
	if (r < 0)
		index_free(&layer->index);
	else if (named) /* else nobody could look for it */
		index_save(layer, cache);
	return r;
}

/* --- the second reading --- */

static int file_extract(struct reader *reader, const struct wanted *wanted, const struct source_entry *entry,
			const struct layer_sink *sink, struct err *err)
{
	struct piece piece;
	int r = sink->file(sink->context, wanted, entry, err);
	while (r == 0 && entry->bytes > 0 && (r = source_tarball.read(reader, &piece, err)) > 0)
		r = sink->piece(sink->context, &piece, err);
	return r < 0 ? r : sink->file_end(sink->context, err);
}

static int extract(const struct layer *layer, struct input *input, const struct wanted *wanted, size_t count,
		   const struct layer_sink *sink, struct err *err)
{
	struct reader *reader = NULL;
	struct source_entry entry;
	size_t done = 0;
	int r = tar_open(layer, input, NULL, &reader, err);
	for (uint64_t number = 1; r == 0 && done < count; number++) {
		r = source_tarball.next(reader, &entry, err);
		if (r == 0)
			r = err_set(err, EUCLEAN, "%s has fewer files than before", layer->name);
		else if (r > 0)
			r = number == wanted[done].entry ? file_extract(reader, &wanted[done++], &entry, sink, err) : 0;
	}
	source_tarball.close(reader);
	return r;
}

int layer_extract(const struct layer *layer, const struct wanted *wanted, size_t count, const struct layer_sink *sink,
		  struct err *err)
{
	struct input input;
	struct digest digest = layer->digest;
	int r = input_begin(&input, layer, true, err);
	return r < 0 ? r : input_end(&input, &digest, layer->name, extract(layer, &input, wanted, count, sink, err), err);
}

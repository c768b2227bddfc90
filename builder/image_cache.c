/* SPDX-License-Identifier: Apache-2.0
 *
 * Images in the cache: see image_cache.h. The digest lies beside the image, as a derived file: SquashFS has no checksums, and
 * disks rot.
 */
#include "builder/image_cache.h"

#include "builder/cache/cache.h"
#include "builder/oci/digest.h"
#include "builder/output.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_MAX = 100, PART_BYTES = 1024 * 1024 };

static void image_key(const struct image_slot *slot, char key[KEY_MAX])
{
	snprintf(key, KEY_MAX, "%s.simg", slot->key);
}

static void digest_key(const struct image_slot *slot, char key[KEY_MAX])
{
	snprintf(key, KEY_MAX, "%s.digest", slot->key);
}

static bool output_digest(struct output *output, struct digest *ret_digest)
{
	autofree char *part = malloc(PART_BYTES);
	struct hash *hash = part == NULL ? NULL : hash_new(NULL);
	uint64_t at = 0, end = output_bytes(output);
	bool right = hash != NULL;
	while (right && at < end) {
		size_t bytes = end - at < PART_BYTES ? (size_t)(end - at) : PART_BYTES;
		right = output_read(output, at, part, bytes) == 0;
		if (right)
			hash_add(hash, part, bytes);
		at += bytes;
	}
	if (right)
		hash_digest(hash, ret_digest);
	hash_free(hash);
	return right;
}

static bool digest_is_stored(const struct image_slot *slot, const struct digest *digest)
{
	char key[KEY_MAX], text[DIGEST_TEXT_MAX] = "";
	autoclose int fd = -1;
	digest_key(slot, key);
	return cache_file_find(slot->cache, CACHE_DERIVED, key, &fd) == 1 && pread(fd, text, sizeof(text) - 1, 0) > 0 &&
	       strcmp(text, digest->text) == 0;
}

/* Whether the image was there and is right. What cannot be copied is built, and that says what is wrong. */
static bool image_copy(const struct image_slot *slot, struct output *output)
{
	struct err ignored = ERR_INIT;
	char key[KEY_MAX];
	autoclose int fd = -1;
	struct digest digest;
	image_key(slot, key);
	return cache_file_find(slot->cache, CACHE_IMAGES, key, &fd) == 1 && output_copy(output, fd, &ignored) == 0 &&
	       output_digest(output, &digest) && digest_is_stored(slot, &digest);
}

static void note_waiting(void *context)
{
	struct image_slot *slot = context;
	if (!slot->quiet && !slot->noted)
		log_note("another build makes this image at the moment: waiting for it");
	slot->noted = true;
}

bool image_cache_take(struct image_slot *slot, struct output *output)
{
	char key[KEY_MAX];
	if (image_copy(slot, output))
		return true;
	image_key(slot, key);
	slot->lock_fd = cache_file_lock(slot->cache, key, note_waiting, slot);
	return image_copy(slot, output); /* it may have come until the lock was free */
}

void image_cache_keep(const struct image_slot *slot, struct output *output)
{
	char key[KEY_MAX];
	struct digest digest;
	if (!output_digest(output, &digest))
		return;
	digest_key(slot, key);
	cache_file_store(slot->cache, CACHE_DERIVED, key, digest.text, strlen(digest.text));
	image_key(slot, key);
	cache_file_copy(slot->cache, CACHE_IMAGES, key, output_fd(output));
}

void image_cache_close(struct image_slot *slot)
{
	cleanup_close(&slot->lock_fd);
	slot->lock_fd = -1;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Images in the cache: see image_cache.h. A checksum lies beside the image, as a derived file: SquashFS has none, and disks rot.
 * It is no defence against an attacker, who could change both: the cache takes only files that the user or root owns.
 */
#include "config.h"

#include "builder/image_cache.h"

#include "builder/cache/cache.h"
#include "builder/output.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fdio.h"
#include "lib/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_ISAL
#include <isa-l/crc64.h>
#else
#include <zlib.h>
#endif

enum { KEY_MAX = 100, CHECKSUM_TEXT_MAX = 64, PART_BYTES = 1024 * 1024 };

static void image_key(const struct image_slot *slot, char key[KEY_MAX])
{
	snprintf(key, KEY_MAX, "%s.simg", slot->key);
}

static void checksum_key(const struct image_slot *slot, char key[KEY_MAX])
{
	snprintf(key, KEY_MAX, "%s.checksum", slot->key);
}

#ifdef HAVE_ISAL
static const char CHECKSUM[] = "crc64";

static uint64_t checksum_add(uint64_t checksum, const void *data, size_t bytes)
{
	return crc64_ecma_refl(checksum, data, bytes);
}
#else
static const char CHECKSUM[] = "crc32";

static uint64_t checksum_add(uint64_t checksum, const void *data, size_t bytes)
{
	return crc32((uLong)checksum, data, (uInt)bytes);
}
#endif

static bool checksum_of(int fd, char text[CHECKSUM_TEXT_MAX])
{
	autofree char *part = malloc(PART_BYTES);
	uint64_t checksum = 0, at = 0;
	struct stat st;
	bool right = part != NULL && fstat(fd, &st) == 0;
	uint64_t end = right ? (uint64_t)st.st_size : 0;
	while (right && at < end) {
		size_t bytes = end - at < PART_BYTES ? (size_t)(end - at) : PART_BYTES;
		right = fdio_read(fd, at, part, bytes) == 0;
		if (right)
			checksum = checksum_add(checksum, part, bytes);
		at += bytes;
	}
	snprintf(text, CHECKSUM_TEXT_MAX, "%s:%016" PRIx64 ":%" PRIu64, CHECKSUM, checksum, end);
	return right;
}

static bool checksum_is_stored(const struct image_slot *slot, const char *checksum)
{
	char key[KEY_MAX], text[CHECKSUM_TEXT_MAX] = "";
	autoclose int fd = -1;
	checksum_key(slot, key);
	return cache_file_find(slot->cache, CACHE_DERIVED, key, &fd) == 1 && pread(fd, text, sizeof(text) - 1, 0) > 0 &&
	       strcmp(text, checksum) == 0;
}

/* Whether the image was there and is right. What cannot be copied is built, and that says what is wrong. */
static bool image_copy(const struct image_slot *slot, struct output *output)
{
	struct err ignored = ERR_INIT;
	char key[KEY_MAX];
	autoclose int fd = -1;
	char checksum[CHECKSUM_TEXT_MAX];
	image_key(slot, key);
	return cache_file_find(slot->cache, CACHE_IMAGES, key, &fd) == 1 && output_copy(output, fd, &ignored) == 0 &&
	       checksum_of(output_fd(output), checksum) && checksum_is_stored(slot, checksum);
}

/* The same for a descriptor of the cache's own file. */
static int image_open(const struct image_slot *slot)
{
	char key[KEY_MAX], checksum[CHECKSUM_TEXT_MAX];
	autoclose int fd = -1;
	image_key(slot, key);
	if (cache_file_find(slot->cache, CACHE_IMAGES, key, &fd) != 1 || !checksum_of(fd, checksum) ||
	    !checksum_is_stored(slot, checksum))
		return -1;
	return steal_fd(&fd);
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

int image_cache_open(struct image_slot *slot)
{
	char key[KEY_MAX];
	int fd = image_open(slot);
	if (fd >= 0)
		return fd;
	image_key(slot, key);
	slot->lock_fd = cache_file_lock(slot->cache, key, note_waiting, slot);
	return image_open(slot);
}

void image_cache_keep(const struct image_slot *slot, int image_fd)
{
	char key[KEY_MAX];
	char checksum[CHECKSUM_TEXT_MAX];
	if (!checksum_of(image_fd, checksum))
		return;
	checksum_key(slot, key);
	cache_file_store(slot->cache, CACHE_DERIVED, key, checksum, strlen(checksum));
	image_key(slot, key);
	cache_file_copy(slot->cache, CACHE_IMAGES, key, image_fd);
}

void image_cache_close(struct image_slot *slot)
{
	cleanup_close(&slot->lock_fd);
	slot->lock_fd = -1;
}

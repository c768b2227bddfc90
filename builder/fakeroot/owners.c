/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table with open addressing: see owners.h.
 */
#include "builder/fakeroot/owners.h"

#include "builder/arena.h"
#include "lib/cleanup.h"
#include "lib/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { SLOTS_MIN = 1024 };
#define XATTR_BYTES_MAX ((size_t)1 << 30)

enum slot_state { SLOT_FREE, SLOT_USED, SLOT_REMOVED };

struct slot {
	struct owner_key key;
	struct owner owner;
	enum slot_state state;
};

struct owners {
	struct slot *slots;
	size_t slot_count;  /* a power of two */
	size_t used, taken; /* taken: those that were removed, too */
	struct arena arena; /* attributes */
};

struct owners *owners_new(void)
{
	struct owners *owners = calloc(1, sizeof(*owners));
	if (owners == NULL)
		return NULL;
	owners->slots = calloc(SLOTS_MIN, sizeof(*owners->slots));
	owners->slot_count = SLOTS_MIN;
	owners->arena.limit_bytes = XATTR_BYTES_MAX;
	if (owners->slots == NULL) {
		free(owners);
		return NULL;
	}
	return owners;
}

void owners_free(struct owners *owners)
{
	if (owners == NULL)
		return;
	arena_free(&owners->arena);
	free(owners->slots);
	free(owners);
}

/* --- keys --- */

static void stat_fill(const struct statx *stx, struct stat *st)
{
	*st = (struct stat){
		.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.st_ino = stx->stx_ino,
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = (off_t)stx->stx_size,
		.st_blksize = (blksize_t)stx->stx_blksize,
		.st_blocks = (blkcnt_t)stx->stx_blocks,
		.st_atim = { .tv_sec = stx->stx_atime.tv_sec, .tv_nsec = stx->stx_atime.tv_nsec },
		.st_mtim = { .tv_sec = stx->stx_mtime.tv_sec, .tv_nsec = stx->stx_mtime.tv_nsec },
		.st_ctim = { .tv_sec = stx->stx_ctime.tv_sec, .tv_nsec = stx->stx_ctime.tv_nsec },
	};
}

int owner_key_read(int directory_fd, const char *name, int flags, struct owner_key *ret_key, struct stat *ret_st)
{
	struct statx stx;
	if (statx(directory_fd, name, flags, STATX_BASIC_STATS | STATX_BTIME, &stx) < 0)
		return -errno;
	stat_fill(&stx, ret_st);
	*ret_key = (struct owner_key){ .device = ret_st->st_dev, .inode = ret_st->st_ino };
	if (stx.stx_mask & STATX_BTIME)
		ret_key->birth_ns = stx.stx_btime.tv_sec * 1000000000 + stx.stx_btime.tv_nsec;
	return 0;
}

bool owners_possible(int directory_fd)
{
	struct owner_key key;
	struct stat st;
	return owner_key_read(directory_fd, "", AT_EMPTY_PATH, &key, &st) == 0 && key.birth_ns != 0;
}

/* --- the table --- */

static size_t hash(const struct owner_key *key)
{
	uint64_t h = key->inode * 0x9e3779b97f4a7c15u ^ (key->device + 0x7f4a7c15u) * 0xff51afd7ed558ccdu;
	return (size_t)(h ^ h >> 29);
}

static bool is_key(const struct slot *slot, const struct owner_key *key)
{
	return slot->state == SLOT_USED && slot->key.inode == key->inode && slot->key.device == key->device;
}

/* The key's slot, or the first one that is free for it. An inode of another birth is another file, whose record is void. */
static struct slot *slot_find(const struct owners *owners, const struct owner_key *key)
{
	struct slot *vacant = NULL;
	for (size_t i = hash(key);; i++) {
		struct slot *slot = &owners->slots[i & (owners->slot_count - 1)];
		if (is_key(slot, key))
			return slot;
		if (vacant == NULL && slot->state != SLOT_USED)
			vacant = slot;
		if (slot->state == SLOT_FREE)
			return vacant;
	}
}

const struct owner *owners_find(const struct owners *owners, const struct owner_key *key)
{
	const struct slot *slot = slot_find(owners, key);
	return slot->state == SLOT_USED && slot->key.birth_ns == key->birth_ns ? &slot->owner : NULL;
}

static int grow(struct owners *owners)
{
	struct owners bigger = { .slot_count = owners->slot_count * (owners->used * 4 > owners->slot_count ? 2 : 1) };
	bigger.slots = calloc(bigger.slot_count, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < owners->slot_count; i++)
		if (owners->slots[i].state == SLOT_USED)
			*slot_find(&bigger, &owners->slots[i].key) = owners->slots[i];
	free(owners->slots);
	owners->slots = bigger.slots;
	owners->slot_count = bigger.slot_count;
	owners->taken = owners->used;
	return 0;
}

static int xattrs_copy(struct owners *owners, const struct owner *from, struct owner *to)
{
	struct xattr *copy = arena_alloc(&owners->arena, from->xattr_count * sizeof(*copy));
	if (copy == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < from->xattr_count; i++) {
		char *name = arena_strdup(&owners->arena, from->xattrs[i].name);
		void *value = arena_alloc(&owners->arena, from->xattrs[i].value_bytes + 1);
		if (name == NULL || value == NULL)
			return -ENOMEM;
		memcpy(value, from->xattrs[i].value, from->xattrs[i].value_bytes);
		copy[i] = (struct xattr){ .name = name, .value = value, .value_bytes = from->xattrs[i].value_bytes };
	}
	to->xattrs = copy;
	return 0;
}

int owners_set(struct owners *owners, const struct owner_key *key, const struct owner *owner)
{
	struct owner own = *owner;
	if (own.xattr_count == 0)
		own.xattrs = NULL; /* not the caller's */
	struct slot *slot = slot_find(owners, key);
	bool known = slot->state == SLOT_USED && own.xattrs == slot->owner.xattrs;
	if (own.xattr_count > 0 && !known && xattrs_copy(owners, owner, &own) < 0)
		return -ENOMEM;
	if (slot->state != SLOT_USED && (owners->taken + 1) * 2 > owners->slot_count) {
		if (grow(owners) < 0)
			return -ENOMEM;
		slot = slot_find(owners, key);
	}
	owners->used += slot->state != SLOT_USED;
	owners->taken += slot->state == SLOT_FREE;
	*slot = (struct slot){ .key = *key, .owner = own, .state = SLOT_USED };
	return 0;
}

void owners_remove(struct owners *owners, const struct owner_key *key)
{
	struct slot *slot = slot_find(owners, key);
	if (slot->state != SLOT_USED)
		return;
	slot->state = SLOT_REMOVED;
	owners->used--;
}

size_t owners_count(const struct owners *owners)
{
	return owners->used;
}

void owner_apply(const struct owner *owner, struct stat *st)
{
	st->st_uid = owner != NULL ? owner->uid : 0;
	st->st_gid = owner != NULL ? owner->gid : 0;
	if (owner == NULL)
		return;
	mode_t permissions = st->st_mode & 07777;
	if ((owner->mode | owner->disk_mode) != 0 && permissions == (owner->disk_mode & 07777))
		permissions = owner->mode & 07777;
	bool is_device = owner->type != 0 && S_ISREG(st->st_mode) && st->st_size == 0;
	st->st_mode = (is_device ? owner->type : st->st_mode & S_IFMT) | permissions;
	if (is_device)
		st->st_rdev = makedev((owner->device_number >> 8) & 0xfff,
				      (owner->device_number & 0xff) | ((owner->device_number >> 12) & 0xfff00));
}

/* --- from one process to another --- */

/* Both are one program on one machine. */
struct saved {
	struct owner_key key;
	struct owner owner;
};

int owners_save(const struct owners *owners, int fd)
{
	autofree struct saved *list = malloc((owners->used + 1) * sizeof(*list));
	size_t count = 0;
	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < owners->slot_count; i++)
		if (owners->slots[i].state == SLOT_USED)
			list[count++] = (struct saved){ owners->slots[i].key, owners->slots[i].owner };
	if (ftruncate(fd, (off_t)(count * sizeof(*list))) < 0)
		return -errno;
	return fdio_write(fd, 0, list, count * sizeof(*list));
}

static int list_load(struct owners *owners, const struct owners *before, const struct saved *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct owner own = list[i].owner;
		const struct owner *old = owners_find(before, &list[i].key);
		own.xattrs = old != NULL ? old->xattrs : NULL;
		own.xattr_count = old != NULL ? old->xattr_count : 0;
		int r = owners_set(owners, &list[i].key, &own);
		if (r < 0)
			return r;
	}
	return 0;
}

int owners_load(struct owners *owners, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	size_t count = (size_t)st.st_size / sizeof(struct saved);
	autofree struct saved *list = malloc((count + 1) * sizeof(*list));
	struct owners *fresh = owners_new();
	int r = list == NULL || fresh == NULL ? -ENOMEM : fdio_read(fd, 0, list, count * sizeof(*list));
	if (r == 0)
		r = list_load(fresh, owners, list, count);
	if (r == 0) {
		struct owners old = *owners;
		*owners = *fresh;
		*fresh = old;
	}
	owners_free(fresh);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A layer's index: see index.h. A record is a struct record, then path, target and attributes, each with a terminating zero, then
 * padding. The byte order is the machine's: the cache's key names it.
 */
#include "builder/oci/index.h"

#include "lib/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 8, FLAG_HARD_LINK = 1, FLAG_ACL = 2, FLAG_TARGET = 4, FIRST_ROOM = 64 * 1024 };
#define INDEX_BYTES_MAX ((size_t)1 << 30)

struct record {
	uint32_t bytes; /* of the record, a multiple of ALIGNMENT */
	uint32_t mode;
	int64_t uid, gid, mtime;
	uint64_t file_bytes;
	uint32_t major, minor;
	uint32_t path_bytes, target_bytes; /* without the zero */
	uint32_t xattr_count;
	uint32_t flags;
};

struct record_xattr {
	uint32_t name_bytes, value_bytes;
};

static size_t aligned(size_t bytes)
{
	return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t record_size(const struct source_entry *entry)
{
	size_t bytes = sizeof(struct record) + strlen(entry->path) + 1 + (entry->target != NULL ? strlen(entry->target) + 1 : 1);
	for (size_t i = 0; i < entry->xattr_count; i++)
		bytes += sizeof(struct record_xattr) + strlen(entry->xattrs[i].name) + 1 + entry->xattrs[i].value_bytes;
	return aligned(bytes);
}

static int reserve(struct index *index, size_t bytes)
{
	if (bytes > INDEX_BYTES_MAX - index->bytes)
		return -ENOMEM;
	size_t room = index->room == 0 ? FIRST_ROOM : index->room;
	while (room < index->bytes + bytes)
		room += room / 2;
	uint8_t *data = room == index->room ? index->data : realloc(index->data, room);
	if (data == NULL)
		return -ENOMEM;
	index->data = data;
	index->room = room;
	return 0;
}

static uint8_t *append(uint8_t *to, const void *data, size_t bytes)
{
	if (bytes > 0)
		memcpy(to, data, bytes);
	return to + bytes;
}

static void record_write(uint8_t *to, size_t bytes, const struct source_entry *entry)
{
	const char *target = entry->target != NULL ? entry->target : "";
	struct record record = {
		.bytes = (uint32_t)bytes,
		.mode = entry->mode,
		.uid = entry->uid,
		.gid = entry->gid,
		.mtime = entry->mtime,
		.file_bytes = entry->bytes,
		.major = entry->major,
		.minor = entry->minor,
		.path_bytes = (uint32_t)strlen(entry->path),
		.target_bytes = (uint32_t)strlen(target),
		.xattr_count = (uint32_t)entry->xattr_count,
		.flags = (entry->hard_link ? FLAG_HARD_LINK : 0u) | (entry->acl ? FLAG_ACL : 0u) |
			 (entry->target != NULL ? FLAG_TARGET : 0u),
	};
	uint8_t *end = to + bytes;
	to = append(to, &record, sizeof(record));
	to = append(to, entry->path, record.path_bytes + 1);
	to = append(to, target, record.target_bytes + 1);
	for (size_t i = 0; i < entry->xattr_count; i++) {
		const struct xattr *xattr = &entry->xattrs[i];
		struct record_xattr head = { (uint32_t)strlen(xattr->name), (uint32_t)xattr->value_bytes };
		to = append(to, &head, sizeof(head));
		to = append(to, xattr->name, head.name_bytes + 1);
		to = append(to, xattr->value, head.value_bytes);
	}
	memset(to, 0, (size_t)(end - to));
}

int index_add(struct index *index, const struct source_entry *entry, struct err *err)
{
	size_t bytes = record_size(entry);
	if (reserve(index, bytes) < 0)
		return err_set(err, ENOMEM, "the list of the layer's files does not fit in memory, at '%s'", entry->path);
	record_write(index->data + index->bytes, bytes, entry);
	index->bytes += bytes;
	index->entry_count++;
	return 0;
}

static int damaged(struct err *err)
{
	return err_set(err, EBADMSG, "the index of a layer is damaged");
}

/* A text of the given length within the record, with its zero. NULL if it is not there. */
static const char *text_take(const uint8_t **at, size_t *left, uint32_t bytes)
{
	const char *text = (const char *)*at;
	if (*left == 0 || bytes > *left - 1 || text[bytes] != '\0')
		return NULL;
	*at += bytes + 1;
	*left -= bytes + 1;
	return text;
}

static int xattrs_take(struct index_cursor *cursor, const uint8_t *at, size_t left, uint32_t count, struct err *err)
{
	if (count > left / sizeof(struct record_xattr))
		return damaged(err);
	if (count > cursor->xattr_room) {
		struct xattr *room = realloc(cursor->xattrs, count * sizeof(*room));
		if (room == NULL)
			return err_sys(err, ENOMEM, "cannot read the index of a layer");
		cursor->xattrs = room;
		cursor->xattr_room = count;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct record_xattr head;
		if (left < sizeof(head))
			return damaged(err);
		memcpy(&head, at, sizeof(head));
		at += sizeof(head);
		left -= sizeof(head);
		const char *name = text_take(&at, &left, head.name_bytes);
		if (name == NULL || head.value_bytes > left)
			return damaged(err);
		cursor->xattrs[i] = (struct xattr){ name, at, head.value_bytes };
		at += head.value_bytes;
		left -= head.value_bytes;
	}
	return 0;
}

static int record_read(struct index_cursor *cursor, const uint8_t *at, const struct record *record, struct source_entry *ret_entry,
		       struct err *err)
{
	size_t left = record->bytes - sizeof(*record);
	at += sizeof(*record);
	const char *path = text_take(&at, &left, record->path_bytes);
	const char *target = path == NULL ? NULL : text_take(&at, &left, record->target_bytes);
	if (target == NULL)
		return damaged(err);
	int r = xattrs_take(cursor, at, left, record->xattr_count, err);
	if (r < 0)
		return r;
	*ret_entry = (struct source_entry){
		.path = path,
		.target = record->flags & FLAG_TARGET ? target : NULL,
		.hard_link = record->flags & FLAG_HARD_LINK && record->flags & FLAG_TARGET,
		.mode = record->mode,
		.uid = record->uid,
		.gid = record->gid,
		.mtime = record->mtime,
		.major = record->major,
		.minor = record->minor,
		.bytes = record->file_bytes,
		.xattrs = cursor->xattrs,
		.xattr_count = record->xattr_count,
		.acl = record->flags & FLAG_ACL,
	};
	return 1;
}

int index_next(struct index_cursor *cursor, struct source_entry *ret_entry, struct err *err)
{
	size_t left = cursor->index->bytes - cursor->at;
	struct record record;
	if (left == 0)
		return 0;
	if (left < sizeof(record))
		return damaged(err);
	const uint8_t *at = cursor->index->data + cursor->at;
	memcpy(&record, at, sizeof(record));
	if (record.bytes > left || record.bytes < sizeof(record) || record.bytes % ALIGNMENT != 0)
		return damaged(err);
	cursor->at += record.bytes;
	cursor->entry++;
	return record_read(cursor, at, &record, ret_entry, err);
}

void index_cursor_free(struct index_cursor *cursor)
{
	free(cursor->xattrs);
	*cursor = (struct index_cursor){ 0 };
}

void index_free(struct index *index)
{
	free(index->data);
	*index = (struct index){ 0 };
}

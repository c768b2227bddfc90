/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets of extended attributes: see xattr.h.
 */
#include "builder/xattr.h"

#include "builder/arena.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_HEADER_BYTES = 4, VALUE_HEADER_BYTES = 4, FIRST_BUCKETS = 256 };

/* The position is the number that SquashFS stores for the prefix. */
static const char *const prefixes[] = { "user.", "trusted.", "security." };
enum { PREFIX_COUNT = sizeof(prefixes) / sizeof(prefixes[0]) };

static int prefix_find(const char *name)
{
	for (int i = 0; i < PREFIX_COUNT; i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return i;
	return -1;
}

bool xattr_storable(const struct xattr *xattr)
{
	int prefix = prefix_find(xattr->name);
	if (prefix < 0 || xattr->value_bytes > XATTR_SIZE_MAX)
		return false;
	size_t length = strlen(xattr->name);
	return length > strlen(prefixes[prefix]) && length <= XATTR_NAME_MAX;
}

bool xattr_is_label(const char *name)
{
	return strncmp(name, "security.", strlen("security.")) == 0 && strcmp(name, "security.capability") != 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

static size_t encoded_bytes(const struct xattr *xattr)
{
	return ENTRY_HEADER_BYTES + strlen(strchr(xattr->name, '.') + 1) + VALUE_HEADER_BYTES + xattr->value_bytes;
}

static uint8_t *encode(uint8_t *out, const struct xattr *xattr)
{
	const char *name = strchr(xattr->name, '.') + 1;
	size_t name_bytes = strlen(name);
	uint16_t head[2] = { htole16((uint16_t)prefix_find(xattr->name)), htole16((uint16_t)name_bytes) };
	uint32_t value_bytes = htole32((uint32_t)xattr->value_bytes);
	memcpy(out, head, sizeof(head));
	memcpy(out + sizeof(head), name, name_bytes);
	out += sizeof(head) + name_bytes;
	memcpy(out, &value_bytes, sizeof(value_bytes));
	if (xattr->value_bytes > 0)
		memcpy(out + sizeof(value_bytes), xattr->value, xattr->value_bytes);
	return out + sizeof(value_bytes) + xattr->value_bytes;
}

static uint64_t hash(const uint8_t *data, size_t bytes)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */
	for (size_t i = 0; i < bytes; i++)
		h = (h ^ data[i]) * 1099511628211u;
	return h;
}

static int grow(struct xattr_table *table)
{
	size_t bucket_count = table->bucket_count == 0 ? FIRST_BUCKETS : table->bucket_count * 2;
	struct xattr_set **buckets = calloc(bucket_count, sizeof(*buckets));
	if (buckets == NULL)
		return -1;
	for (size_t i = 0; i < table->bucket_count; i++) {
		for (struct xattr_set *set = table->buckets[i], *next; set != NULL; set = next) {
			size_t bucket = hash(set->data, set->bytes) % bucket_count;
			next = set->chain;
			set->chain = buckets[bucket];
			buckets[bucket] = set;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->bucket_count = bucket_count;
	return 0;
}

struct xattr_set *xattr_intern(struct xattr_table *table, struct arena *arena, struct xattr *xattrs, size_t count)
{
	if (table->count >= table->bucket_count && grow(table) < 0)
		return NULL;
	qsort(xattrs, count, sizeof(*xattrs), compare_names);
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += encoded_bytes(&xattrs[i]);
	uint8_t *data = malloc(bytes);
	if (data == NULL)
		return NULL;
	uint8_t *end = data;
	for (size_t i = 0; i < count; i++)
		end = encode(end, &xattrs[i]);

	struct xattr_set **bucket = &table->buckets[hash(data, bytes) % table->bucket_count], *set;
	for (set = *bucket; set != NULL; set = set->chain)
		if (set->bytes == bytes && memcmp(set->data, data, bytes) == 0)
			break;
	if (set == NULL && (set = arena_alloc(arena, sizeof(*set) + bytes)) != NULL) {
		*set = (struct xattr_set){ .chain = *bucket, .index = XATTR_UNUSED, .count = (uint32_t)count,
					   .bytes = (uint32_t)bytes };
		memcpy(set->data, data, bytes);
		*bucket = set;
		table->count++;
	}
	free(data);
	return set;
}

bool xattr_set_next(const struct xattr_set *set, size_t *at, char name[XATTR_NAME_MAX + 1], struct xattr *ret_xattr)
{
	if (*at >= set->bytes)
		return false;
	const uint8_t *in = set->data + *at;
	uint16_t head[2];
	uint32_t value_bytes;
	memcpy(head, in, sizeof(head));
	size_t name_bytes = le16toh(head[1]);
	snprintf(name, XATTR_NAME_MAX + 1, "%s%.*s", prefixes[le16toh(head[0])], (int)name_bytes, (const char *)in + sizeof(head));
	in += sizeof(head) + name_bytes;
	memcpy(&value_bytes, in, sizeof(value_bytes));
	in += sizeof(value_bytes);
	*ret_xattr = (struct xattr){ .name = name, .value = in, .value_bytes = le32toh(value_bytes) };
	*at = (size_t)(in - set->data) + ret_xattr->value_bytes;
	return true;
}

void xattr_table_free(struct xattr_table *table)
{
	free(table->buckets);
	*table = (struct xattr_table){ 0 };
}

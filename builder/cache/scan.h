/* SPDX-License-Identifier: Apache-2.0
 *
 * All files of a cache, for those who look after it: simg cache list, verify and prune. In a directory for all users, these are
 * the files of all users, as far as the caller may see them. What has no name that a cache would give is not listed and never
 * touched.
 */
#ifndef SIMG_BUILDER_CACHE_SCAN_H
#define SIMG_BUILDER_CACHE_SCAN_H

#include "builder/oci/digest.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct cache;
struct err;

/* SCAN_TEMPORARY: a file that was being written, by a builder that may be dead. */
enum scan_kind { SCAN_BLOB, SCAN_DERIVED, SCAN_IMAGE, SCAN_PARTIAL, SCAN_TEMPORARY };

struct scan_entry {
	enum scan_kind kind;
	size_t place;         /* in scan->places */
	char *name;           /* there */
	struct digest digest; /* of a blob or a partial download */
	uint64_t bytes;
	time_t used;          /* the later one of last read and last written or marked as used */
	uid_t owner;
};

struct scan {
	struct scan_place *places;
	size_t place_count;
	struct scan_entry *entries; /* the least recently used first */
	size_t count;
	uint64_t bytes;             /* of all */
};

/* The caller ends it with scan_close(), also after an error. */
int scan_open(struct cache *cache, struct scan *ret_scan, struct err *err);
void scan_close(struct scan *scan);
#define autoscan __attribute__((cleanup(scan_close)))

/* "blob", "derived", "image", "partial", "temporary". */
const char *scan_kind_name(enum scan_kind kind);

/* The digest, or the name. The entry keeps it. */
const char *scan_text(const struct scan_entry *entry);

/* From a file's date to now; the longest time there is for a date further back than that. */
time_t scan_idle_seconds(time_t now, time_t date);

/* Opens the entry for reading, without dating its use where that is possible. Returns a descriptor or a negative errno. */
int scan_entry_open(const struct scan *scan, const struct scan_entry *entry);

/* Removes the entry, unless a builder has it open or downloads to it, or it is another user's. With dry_run, only says what would
 * happen. */
enum scan_removal { SCAN_REMOVED, SCAN_IN_USE, SCAN_FOREIGN, SCAN_GONE, SCAN_FAILED /* errno says why */ };
enum scan_removal scan_remove(struct cache *cache, const struct scan *scan, const struct scan_entry *entry, bool dry_run);

/* Removes files of locks that nobody holds and nobody has held for so many seconds. */
void scan_remove_locks(struct cache *cache, time_t idle_seconds);

#endif

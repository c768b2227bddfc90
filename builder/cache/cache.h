/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache: blobs by their digest, what was derived from them, and finished images. One directory, for many builders at once, on
 * one node or over NFS:
 *
 *	CACHEDIR.TAG             for backup programs
 *	blobs/sha256/HEX         a blob; only whole ones with the right digest get this name
 *	partial/sha256-HEX       a download, perhaps interrupted; to be continued. With .UID or something random behind it where the
 *	                         plain name is another user's, or the downloader has no lock
 *	locks/sha256-HEX         held (flock) by the one who downloads
 *	derived/KEY              indexes of layers, and digests of images; images/KEY finished images
 *	user-UID/…               the last two, of each user, if others than the user can write to the directory
 *
 * Nothing is ever changed under its final name: files are written beside and renamed. So a killed builder leaves at worst a
 * partial download. Blobs are verified by those who read them, so a shared directory needs no trust; derived files and images
 * have no digest to check, so they are taken only if the user or root owns them and nobody else may write them.
 *
 * A blob that another user owns can change under an open descriptor, even after its digest was compared: who reads it twice
 * compares twice.
 *
 * All functions but cache_open() and cache_close() may be called by several threads at once.
 *
 * Place: $SIMG_CACHE_DIR, else cache_dir of simg.conf, else $XDG_CACHE_HOME/simg, else ~/.cache/simg.
 */
#ifndef SIMG_BUILDER_CACHE_CACHE_H
#define SIMG_BUILDER_CACHE_CACHE_H

#include "builder/oci/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;
struct cache_fetch; /* a download under way */
struct err;

/* Finds and makes the directory, which must have an absolute path. directory: NULL for the usual place. simg.conf is read only if
 * neither directory nor the environment names one, and what it names is not made. */
int cache_open(const char *directory, struct cache **ret_cache, struct err *err);
void cache_close(struct cache *cache); /* takes NULL */
const char *cache_directory(const struct cache *cache);

/* Opens a whole blob for reading, and marks it as used: as long as the descriptor or a copy is open, prune leaves it alone.
 * Returns 1 and *ret_fd, or 0 if it is not there (or not of that many bytes; bytes 0: any). */
int cache_blob_find(struct cache *cache, const struct digest *digest, uint64_t bytes, int *ret_fd, struct err *err);

/* The same, or the right to download it: returns 1 and *ret_fd, or 0 and *ret_fetch. While another process downloads the blob,
 * waits for it; calls waiting (may be NULL) once a second from the third one on, and gives up with -ECANCELED when that returns
 * false. Where the file system has no locks, or the other one makes no progress for a minute,
 * or is a stranger and takes longer than ten minutes, goes ahead alone: the first one to finish wins, with the same bytes. */
int cache_blob_begin(struct cache *cache, const struct digest *digest, uint64_t bytes, bool (*waiting)(void *context),
		     void *context, int *ret_fd, struct cache_fetch **ret_fetch, struct err *err);

/* The download's file, for reading and writing; it may hold the beginning of the blob already (fstat), never more than its bytes.
 * A copy of the descriptor stays of use after the fetch has ended. */
int cache_fetch_fd(const struct cache_fetch *fetch);

/* Writing to that file failed: fills err, with a hint how to make room, and returns -errnum. */
int cache_fetch_err(const struct cache_fetch *fetch, int errnum, struct err *err);

/* The file holds exactly the blob, its digest was compared by the caller: fsync, rename. Ends the fetch in any case. A failing
 * rename is no error: then the blob is not in the cache, and a copy of the descriptor is all there is of it. */
int cache_fetch_commit(struct cache_fetch *fetch, struct err *err);

/* Ends it and leaves the beginning for the next one to continue, or removes it if it is of no use. Takes NULL. */
void cache_fetch_abandon(struct cache_fetch *fetch, bool keep);

/* A blob of a few bytes (a manifest, a configuration) whose digest was compared. Failing to store is no error. */
void cache_blob_store(struct cache *cache, const struct digest *digest, const void *data, size_t bytes);

/* A blob turned out to be damaged: removes it, and all files whose key has its hex digits in it. If it cannot be removed, being
 * another user's, then it is not found again in this process. */
void cache_blob_discard(struct cache *cache, const struct digest *digest);

/* Files by a key that says all that went into them (KEY: [0-9a-z.-], at most 200 bytes, no dot in front). find returns 1 and
 * *ret_fd, or 0; store writes the file's content from memory; copy takes a descriptor's file, as a hard link where that is
 * possible (so it costs no space, and whoever uses the file has to verify it), else by reflink or as a copy. Both do nothing if
 * that fails. */
enum cache_room { CACHE_DERIVED, CACHE_IMAGES };
int cache_file_find(struct cache *cache, enum cache_room room, const char *key, int *ret_fd);
void cache_file_store(struct cache *cache, enum cache_room room, const char *key, const void *data, size_t bytes);
void cache_file_copy(struct cache *cache, enum cache_room room, const char *key, int fd);

/* The right to make such a file: waits while another process of this user has it, and calls waiting once a second. Returns a
 * descriptor, which holds the lock until it is closed, or -1 where that cannot be had: then goes ahead without. */
int cache_file_lock(struct cache *cache, const char *key, void (*waiting)(void *context), void *context);

#endif

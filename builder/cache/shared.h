/* SPDX-License-Identifier: Apache-2.0
 *
 * Files in a directory that others write to as well: another builder at the same time, or a user who wishes harm. A name is
 * opened once and only if it is a regular file; a file is written under a name of its own and renamed when it is whole.
 *
 * Nothing here fills a struct err: most failures only mean that something is not in the cache.
 */
#ifndef SIMG_BUILDER_CACHE_SHARED_H
#define SIMG_BUILDER_CACHE_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* Temporary files begin so. The random part is 16 characters. */
#define SHARED_TEMPORARY ".tmp-"
enum { SHARED_RANDOM_CHARS = 16, SHARED_TEMPORARY_MAX = sizeof(SHARED_TEMPORARY) + SHARED_RANDOM_CHARS };

/* Opens an existing regular file: neither follows a symlink nor waits for a FIFO. Returns the descriptor, or a negative errno
 * (-EINVAL: it is something else). */
int shared_open(int directory_fd, const char *name, int flags, struct stat *ret_st);

/* Makes a file that did not exist, for reading and writing. mode is subject to the umask. */
int shared_create(int directory_fd, const char *name, mode_t mode);

/* 16 random hex digits and a terminating zero. */
void shared_random(char text[static SHARED_RANDOM_CHARS + 1]);

/* Whether name still leads to the open file, which is how a lock on it is known to be worth something. */
bool shared_is(int directory_fd, const char *name, int fd);

/* Removes name if it still leads to the open file. */
void shared_remove(int directory_fd, const char *name, int fd);

/* Whether nobody but the caller or root can have written the file or directory. */
bool shared_is_trusted(const struct stat *st);

/* Tries to lock an open file (LOCK_SH or LOCK_EX), and never waits. Works over NFS; LOCK_EX then takes a descriptor for writing. */
enum shared_lock { SHARED_LOCK_TAKEN, SHARED_LOCK_BUSY, SHARED_LOCK_NONE /* the file system has none */ };
enum shared_lock shared_lock(int fd, int operation);

/* Puts a file of this content under its name, atomically, replacing what was there: data, or with data NULL all of the file
 * source_fd, by reflink where possible. 0 or a negative errno, and then nothing is left of it. */
int shared_write(int directory_fd, const char *name, const void *data, size_t bytes, int source_fd);

/* The same without taking space: the name becomes another one of the file source_fd. Only for files that are the
 * caller's own, and that nobody else may write. 0 or a negative errno. */
int shared_link(int directory_fd, const char *name, int source_fd);

#endif

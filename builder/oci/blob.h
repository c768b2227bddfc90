/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of one blob: a file, a part of a file (a member of an archive), or a file that is still being downloaded. Any number of
 * threads may read it while one writes; a reader waits for bytes that have not arrived. Readers and writer hold it together: it is
 * freed with the last blob_unref().
 */
#ifndef SIMG_BUILDER_OCI_BLOB_H
#define SIMG_BUILDER_OCI_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob;
struct err;

/* A blob that is all there. Takes the descriptor, also when it fails. name is for messages and is copied. verified says that its
 * digest has been compared with the bytes that the descriptor leads to; else a reader that needs to know compares it. NULL without
 * memory. */
struct blob *blob_of_file(int fd, uint64_t offset, uint64_t bytes, bool verified, const char *name);

/* A blob that arrives: bytes is how many it will be. The same descriptor is written by the one who makes it, who says so with
 * blob_arrived(), and blob_finish() at the end. */
struct blob *blob_arriving(int fd, uint64_t bytes, const char *name);
void blob_arrived(struct blob *blob, uint64_t bytes);       /* so many are there from the beginning, never fewer than before */
void blob_finish(struct blob *blob, const struct err *err); /* NULL: all is there, and its digest is right */

/* Whether nobody but the caller holds it: then there is no use in downloading on. */
bool blob_is_abandoned(const struct blob *blob);

/* Reads at offset, waits for at least one byte. Returns how many, 0 at the end, which an arriving blob has only once it was
 * finished without an error; the error of blob_finish() otherwise. */
long blob_read(struct blob *blob, uint64_t offset, void *data, size_t bytes, struct err *err);

uint64_t blob_bytes(const struct blob *blob);
bool blob_is_whole(const struct blob *blob);    /* nothing of it is still to arrive */
bool blob_is_verified(const struct blob *blob); /* for an arriving blob: once blob_read() has returned its end */
const char *blob_name(const struct blob *blob);

struct blob *blob_ref(struct blob *blob);
void blob_unref(struct blob *blob); /* takes NULL */

#endif

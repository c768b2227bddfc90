/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests of the OCI image specification, "sha256:64 hex digits" or "sha512:128 hex digits", and computing them piece by piece.
 * Source: OCI image specification, descriptor.md, "Digests". The hash functions are libcrypto's.
 */
#ifndef SIMG_BUILDER_OCI_DIGEST_H
#define SIMG_BUILDER_OCI_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct hash; /* a digest being computed */

enum { DIGEST_TEXT_MAX = 7 + 128 + 1 };

/* In its canonical spelling, "sha256:…", lower case. An empty text is no digest. */
struct digest {
	char text[DIGEST_TEXT_MAX];
};

/* Takes bytes of text, which need no terminating zero. -EINVAL, naming the text, for anything but a canonical digest of these two
 * algorithms. */
int digest_parse(const char *text, size_t bytes, struct digest *ret_digest, struct err *err);

bool digest_is_set(const struct digest *digest);
bool digest_equal(const struct digest *a, const struct digest *b);

/* "sha256", and the hex digits: both for names of files; they hold nothing but [0-9a-z]. */
const char *digest_algorithm(const struct digest *digest);
const char *digest_hex(const struct digest *digest);

/* Starts computing a digest of the same algorithm as like, or SHA-256 if like is NULL or not set. NULL without memory. */
struct hash *hash_new(const struct digest *like);
void hash_add(struct hash *hash, const void *data, size_t bytes);

/* The digest of all that was added so far; more may be added afterwards. */
void hash_digest(const struct hash *hash, struct digest *ret_digest);
void hash_free(struct hash *hash); /* takes NULL */

/* SHA-256 of one piece. */
void digest_of(const void *data, size_t bytes, struct digest *ret_digest);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests: see digest.h. A hash that fails within libcrypto yields a digest that is not set, and that equals none.
 */
#include "builder/oci/digest.h"

#include "lib/err.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUOTED_MAX = 160, ALGORITHM_BYTES = 6 };

static const struct algorithm {
	const char *prefix; /* with the colon */
	size_t hex_bytes;
	const EVP_MD *(*function)(void);
} algorithms[] = {
	{ "sha256:", 64, EVP_sha256 },
	{ "sha512:", 128, EVP_sha512 },
};
enum { ALGORITHM_COUNT = sizeof(algorithms) / sizeof(algorithms[0]), PREFIX_BYTES = ALGORITHM_BYTES + 1 };

struct hash {
	const struct algorithm *algorithm;
	EVP_MD_CTX *context;
	bool failed;
};

static const struct algorithm *algorithm_find(const char *text, size_t bytes)
{
	for (int i = 0; i < ALGORITHM_COUNT; i++)
		if (bytes >= PREFIX_BYTES && memcmp(text, algorithms[i].prefix, PREFIX_BYTES) == 0)
			return &algorithms[i];
	return NULL;
}

/* How many of the bytes from the first one are lower-case hex digits. */
static size_t hex_span(const char *text, size_t bytes)
{
	size_t n = 0;
	while (n < bytes && ((text[n] >= '0' && text[n] <= '9') || (text[n] >= 'a' && text[n] <= 'f')))
		n++;
	return n;
}

int digest_parse(const char *text, size_t bytes, struct digest *ret_digest, struct err *err)
{
	int quoted = bytes < QUOTED_MAX ? (int)bytes : QUOTED_MAX;
	const struct algorithm *algorithm = algorithm_find(text, bytes);
	if (algorithm == NULL) {
		err_set(err, EINVAL, "'%.*s' is not a digest", quoted, text);
		return err_hint(err, "a digest is 'sha256:' and 64 hex digits, or 'sha512:' and 128");
	}
	size_t hex = bytes - PREFIX_BYTES;
	if (hex != algorithm->hex_bytes)
		return err_set(err, EINVAL, "the digest '%.*s' has %zu characters after '%s', not %zu", quoted, text, hex,
			       algorithm->prefix, algorithm->hex_bytes);
	if (hex_span(text + PREFIX_BYTES, hex) != hex)
		return err_set(err, EINVAL, "the digest '%.*s' has characters that are no hex digits in lower case", quoted, text);
	*ret_digest = (struct digest){ 0 };
	memcpy(ret_digest->text, text, bytes);
	return 0;
}

bool digest_is_set(const struct digest *digest)
{
	return digest->text[0] != '\0';
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return digest_is_set(a) && strcmp(a->text, b->text) == 0;
}

const char *digest_algorithm(const struct digest *digest)
{
	return strncmp(digest->text, "sha512:", PREFIX_BYTES) == 0 ? "sha512" : "sha256";
}

const char *digest_hex(const struct digest *digest)
{
	return digest_is_set(digest) ? digest->text + PREFIX_BYTES : "";
}

struct hash *hash_new(const struct digest *like)
{
	struct hash *hash = calloc(1, sizeof(*hash));
	if (hash == NULL)
		return NULL;
	hash->algorithm = like != NULL && digest_is_set(like) ? algorithm_find(like->text, strlen(like->text)) : &algorithms[0];
	hash->context = EVP_MD_CTX_new();
	if (hash->context == NULL || EVP_DigestInit_ex(hash->context, hash->algorithm->function(), NULL) != 1) {
		hash_free(hash);
		return NULL;
	}
	return hash;
}

void hash_add(struct hash *hash, const void *data, size_t bytes)
{
	if (EVP_DigestUpdate(hash->context, data, bytes) != 1)
		hash->failed = true;
}

static void digest_fill(const struct algorithm *algorithm, const unsigned char *raw, struct digest *ret_digest)
{
	char *to = ret_digest->text + sprintf(ret_digest->text, "%s", algorithm->prefix);
	for (size_t i = 0; i < algorithm->hex_bytes / 2; i++)
		to += sprintf(to, "%02x", raw[i]);
}

void hash_digest(const struct hash *hash, struct digest *ret_digest)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	*ret_digest = (struct digest){ 0 };
	EVP_MD_CTX *copy = EVP_MD_CTX_new(); /* ending a computation ends it for good */
	if (!hash->failed && copy != NULL && EVP_MD_CTX_copy_ex(copy, hash->context) == 1 &&
	    EVP_DigestFinal_ex(copy, raw, NULL) == 1)
		digest_fill(hash->algorithm, raw, ret_digest);
	EVP_MD_CTX_free(copy);
}

void hash_free(struct hash *hash)
{
	if (hash == NULL)
		return;
	EVP_MD_CTX_free(hash->context);
	free(hash);
}

void digest_of(const void *data, size_t bytes, struct digest *ret_digest)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	*ret_digest = (struct digest){ 0 };
	if (EVP_Digest(data, bytes, raw, NULL, algorithms[0].function(), NULL) == 1)
		digest_fill(&algorithms[0], raw, ret_digest);
}

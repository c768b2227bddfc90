/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings that are wiped when they are released: passwords, tokens, and texts that hold some.
 */
#ifndef SIMG_BUILDER_REGISTRY_SECRET_H
#define SIMG_BUILDER_REGISTRY_SECRET_H

#include <stdlib.h>
#include <string.h>

/* Wipes and frees a string. Takes NULL. Bytes behind a zero byte are not wiped. */
static inline void secret_free(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static inline void cleanup_secret(char **slot)
{
	secret_free(*slot);
}
#define autosecret __attribute__((cleanup(cleanup_secret)))

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Credential helpers: programs docker-credential-NAME, which keep passwords in a keychain or make them on demand.
 *
 * Source: Docker, "docker login", "Credential helper protocol"; docker/docker-credential-helpers.
 */
#ifndef SIMG_BUILDER_REGISTRY_HELPER_H
#define SIMG_BUILDER_REGISTRY_HELPER_H

struct err;

enum { HELPER_TIMEOUT_MS = 60 * 1000 }; /* time enough for a passphrase */

/* Runs "docker-credential-NAME VERB" (get, store, erase), found in PATH, without a shell. It gets input on its standard input,
 * the caller's standard error and environment, and no other descriptor. *ret_output is what it printed, without newlines at the
 * end; the caller releases it with secret_free().
 *
 * -EINVAL for a NAME with other characters than [A-Za-z0-9._-]; -ENOENT if there is no such program; -ENODATA if it has no such
 * credentials; -ETIMEDOUT, and the program is killed, if it takes longer; -EFBIG if it prints more than 64 KiB; -EIO if it
 * fails otherwise, with its words, unless those look like an answer with a secret. */
int helper_run(const char *name, const char *verb, const char *input, unsigned timeout_ms, char **ret_output, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * enroot's file of credentials: lines "machine HOST login USER password PASSWORD". Everything else in it is passed over.
 */
#ifndef SIMG_BUILDER_REGISTRY_NETRC_H
#define SIMG_BUILDER_REGISTRY_NETRC_H

#include "builder/registry/credentials.h"

/* The first entry for the host; a machine without a port is any port's. 1 if there is one, 0 if not or if there is no such
 * file. Entries that a shell would have to evaluate are skipped: see credentials.h. -EINVAL with file and line for a line that
 * has not this form. */
int netrc_find(const char *path, const char *host, struct credentials *ret_credentials, struct err *err);

#endif

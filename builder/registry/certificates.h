/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates for a registry, from the directories certs.d. Source: containers-certs.d(5); Docker, "Verify repository client
 * with certificates".
 */
#ifndef SIMG_BUILDER_REGISTRY_CERTIFICATES_H
#define SIMG_BUILDER_REGISTRY_CERTIFICATES_H

#include "lib/strlist.h"

struct err;

/* Looks for the files of host[:port]: *.crt are authorities, NAME.cert with NAME.key is the client's pair. Adds to *ca_files;
 * sets *ret_cert and *ret_key, which the caller frees, or leaves them. -EINVAL for half a pair, and for two pairs, of which the
 * registry could want either. */
int certificates_find(const char *host, struct strlist *ca_files, char **ret_cert, char **ret_key, struct err *err);

#endif

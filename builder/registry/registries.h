/* SPDX-License-Identifier: Apache-2.0
 *
 * What the site and the user say about registries: mirrors, blocked ones, insecure ones, certificates. Read from
 * registries.conf (version 2 of the format) and registries.conf.d, and certs.d directories.
 *
 * Source: containers-registries.conf(5), containers-registries.conf.d(5), containers-certs.d(5).
 */
#ifndef SIMG_BUILDER_REGISTRY_REGISTRIES_H
#define SIMG_BUILDER_REGISTRY_REGISTRIES_H

#include "builder/oci/reference.h"
#include "lib/strlist.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

/* One place to ask for a repository, in the order to be tried; the last one is the registry itself. */
struct endpoint {
	char *host;        /* host[:port] to connect to: "registry-1.docker.io" for docker.io */
	char *name;        /* the repository's name there: a mirror may have a prefix. "" if the reference had none */
	bool insecure;     /* http is allowed, and certificates are not checked */
	bool mirror;       /* gets no credentials of the registry that it mirrors, only its own: credentials_find_for_mirror() */
	bool by_digest_only, by_tag_only; /* pull-from-mirror */
	char *credentials_host;   /* the host as users name it, for credentials_find(): "docker.io" */
	struct strlist ca_files;  /* of certs.d: all of them are trusted, besides the system's */
	char *cert_file, *key_file; /* of certs.d, the client's; both or none */
};

struct endpoints {
	struct endpoint *list;
	size_t count;
};

/* The endpoints for a reference. One without a name stands for its registry as a whole (login).
 *
 * Files: $CONTAINERS_REGISTRIES_CONF alone if it is set. Else ~/.config/containers/registries.conf, or without it
 * /etc/containers/registries.conf and the files *.conf in /etc/containers/registries.conf.d; then those in
 * ~/.config/containers/registries.conf.d, by name. A later file's [[registry]] replaces one of the same prefix. The longest
 * prefix that ends at a component of the reference counts; hosts are compared without case.
 *
 * Of the global settings none has a meaning here, and none is read: a name without a host is always docker.io's, as the
 * reference grammar says, so that a name means the same image everywhere (unqualified-search-registries, short-name-mode,
 * [aliases]), and credentials come from where credentials.h says (credential-helpers). Unknown keys are skipped, as by other
 * programs: newer ones must not break older readers.
 *
 * Loopback hosts are insecure by themselves, as with Docker. certs.d: the first directory HOST[:PORT] of
 * ~/.config/containers/certs.d, /etc/containers/certs.d and /etc/docker/certs.d counts, where HOST is the one that users name.
 *
 * -EPERM with the file's name and line if the registry is blocked; -EINVAL with file and line for a malformed file, or for
 * version 1 of the format; -EINVAL for certificates that cannot be used: half a pair, or several pairs. The caller releases
 * *ret_endpoints with endpoints_free(). */
int endpoints_find(const struct reference *reference, struct endpoints *ret_endpoints, struct err *err);
void endpoints_free(struct endpoints *endpoints);

#endif

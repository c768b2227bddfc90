/* SPDX-License-Identifier: Apache-2.0
 *
 * What the site and the user say about registries: mirrors, blocked ones, insecure ones, certificates. Read from registries.conf (version 2 of the
 * format) and registries.conf.d, and certs.d directories.
 *
 * Source: containers-registries.conf(5), containers-certs.d(5).
 */
#ifndef SIMG_BUILDER_REGISTRY_REGISTRIES_H
#define SIMG_BUILDER_REGISTRY_REGISTRIES_H

#include "builder/oci/reference.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

/* One place to ask for a repository, in the order to be tried; the last one is the registry itself. */
struct endpoint {
	char *host;        /* host[:port] to connect to: "registry-1.docker.io" for docker.io */
	char *name;        /* the repository's name there: a mirror may have a prefix */
	bool insecure;     /* http is allowed, and certificates are not checked */
	bool mirror;       /* gets no credentials of the registry that it mirrors, only its own */
	bool by_digest_only, by_tag_only; /* pull-from-mirror */
	char *credentials_host; /* the host as users name it, for credentials_find(): "docker.io" */
	char *ca_file, *cert_file, *key_file; /* of certs.d, NULL where there is none; ca_file is added to the system's */
};

struct endpoints {
	struct endpoint *list;
	size_t count;
};

/* -EPERM with the file's name if the registry is blocked, -EINVAL with file and line for a malformed file, or for version 1 of the format. Files: $CONTAINERS_REGISTRIES_CONF, else
 * ~/.config/containers/registries.conf, else /etc/containers/registries.conf; then registries.conf.d beside /etc's and ~'s, by name. Loopback hosts are
 * insecure by themselves, as with Docker. */
int endpoints_find(const struct reference *reference, struct endpoints *ret_endpoints, struct err *err);
void endpoints_free(struct endpoints *endpoints);

#endif

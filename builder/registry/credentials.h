/* SPDX-License-Identifier: Apache-2.0
 *
 * User names and passwords for registries, from the files and helper programs that Docker, Podman, Skopeo, Apptainer and enroot use.
 * Secrets live in memory only as long as they are needed and are wiped; they are never printed, and no message quotes them.
 *
 * Source: containers-auth.json(5); Docker, "docker login" (credential helpers).
 */
#ifndef SIMG_BUILDER_REGISTRY_CREDENTIALS_H
#define SIMG_BUILDER_REGISTRY_CREDENTIALS_H

#include <stdbool.h>

struct err;

struct credentials {
	char *user, *password;   /* NULL: none */
	char *identity_token;    /* instead of both: a refresh token */
	char *origin;            /* the file or helper they came from, for messages */
};

/* The most specific entry for a repository ("quay.io/team/app", then "quay.io/team", then "quay.io"; docker.io also under https://index.docker.io/v1/), from the first
 * place that has one: auth_file, $REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json,
 * $DOCKER_CONFIG/config.json, ~/.docker/config.json, ~/.dockercfg, ~/.apptainer/docker-config.json, ~/.singularity/docker-config.json,
 * ~/.config/enroot/.credentials (netrc), and SIMG_DOCKER_USERNAME/_PASSWORD, APPTAINER_…, SINGULARITY_… before all of them. No
 * credentials is no error: all members are NULL then. A malformed file is one, that names it. */
int credentials_find(const char *auth_file, const char *host, const char *repository, struct credentials *ret_credentials,
		     struct err *err);
void credentials_free(struct credentials *credentials); /* wipes */

/* Stores for host where simg login does: auth_file, $REGISTRY_AUTH_FILE, or ~/.config/containers/auth.json (mode 0600, other entries are
 * kept, written beside and renamed), or the credential helper that the file names. remove returns 0 if there was nothing: *ret_found tells. */
int credentials_store(const char *auth_file, const char *host, const struct credentials *credentials, struct err *err);
int credentials_remove(const char *auth_file, const char *host, bool *ret_found, struct err *err);

#endif

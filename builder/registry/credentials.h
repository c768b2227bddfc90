/* SPDX-License-Identifier: Apache-2.0
 *
 * User names and passwords for registries, from the files and helper programs that Docker, Podman, Skopeo, Apptainer and enroot
 * use. Secrets live in memory only as long as they are needed and are wiped; they are never printed, and no message quotes
 * them.
 *
 * Source: containers-auth.json(5); Docker, "docker login" (credential helpers); enroot, "enroot import".
 */
#ifndef SIMG_BUILDER_REGISTRY_CREDENTIALS_H
#define SIMG_BUILDER_REGISTRY_CREDENTIALS_H

#include <stdbool.h>

struct err;

struct credentials {
	char *user, *password;   /* NULL: none */
	char *identity_token;    /* instead of both: a refresh token */
	char *origin;            /* the file, helper or variable they came from, for messages */
};

/* The most specific entry for a repository ("quay.io/team/app", then "quay.io/team", then "quay.io"; docker.io also under
 * https://index.docker.io/v1/), from the first place that has one: auth_file, $REGISTRY_AUTH_FILE,
 * $XDG_RUNTIME_DIR/containers/auth.json (if the directory is the user's own), ~/.config/containers/auth.json,
 * $DOCKER_CONFIG/config.json or ~/.docker/config.json, ~/.dockercfg, ~/.apptainer/docker-config.json,
 * ~/.singularity/docker-config.json, $ENROOT_CONFIG_PATH/.credentials or ~/.config/enroot/.credentials, and
 * SIMG_DOCKER_USERNAME/_PASSWORD, APPTAINER_…, SINGULARITY_… before all of them. No credentials is no error: all members are
 * NULL then. A malformed file is one, that names it.
 *
 * Within a file the helper in credHelpers goes before the entry in auths; credsStore is asked before the host's entry, after
 * more specific ones. A program for credsStore that is not installed is an error only if the file says that it keeps this
 * host's password.
 *
 * enroot's file has lines "machine HOST login USER password PASSWORD". Where it says $VARIABLE or $(command), enroot lets a
 * shell evaluate it; nothing is evaluated here, and such an entry is skipped (but the user $oauthtoken is meant as it stands).
 * */
int credentials_find(const char *auth_file, const char *host, const char *repository, struct credentials *ret_credentials,
		     struct err *err);

/* The same without the variables of the environment, which do not say which registry they are for: a mirror must not get them. */
int credentials_find_for_mirror(const char *auth_file, const char *host, const char *repository,
				struct credentials *ret_credentials, struct err *err);
void credentials_free(struct credentials *credentials); /* wipes */

/* Stores for host where simg login does: auth_file, $REGISTRY_AUTH_FILE, or ~/.config/containers/auth.json (mode 0600, other
 * entries are kept, written beside and renamed; a symlink stays one), or the credential helper that the file names. *ret_place
 * names that; the caller frees it. */
int credentials_store(const char *auth_file, const char *host, const struct credentials *credentials, char **ret_place,
		      struct err *err);

/* Removes from there what is stored for host, or everything if host is NULL. *ret_place is NULL if there was nothing. */
int credentials_remove(const char *auth_file, const char *host, char **ret_place, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Where credentials are looked for, in which order: see credentials.h.
 */
#include "builder/registry/credentials.h"

#include "builder/registry/authfile.h"
#include "builder/registry/netrc.h"
#include "builder/registry/places.h"
#include "builder/registry/secret.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <stdio.h>
#include <sys/stat.h>

enum { PLACE_COUNT_MAX = 10 };

struct place {
	char *path;
	enum { PLACE_JSON, PLACE_DOCKERCFG, PLACE_NETRC } kind;
};

struct places {
	struct place list[PLACE_COUNT_MAX];
	size_t count;
};

static void places_free(struct places *places)
{
	for (size_t i = 0; i < places->count; i++)
		free(places->list[i].path);
}
#define autoplaces __attribute__((cleanup(places_free)))

void credentials_free(struct credentials *credentials)
{
	secret_free(credentials->user);
	secret_free(credentials->password);
	secret_free(credentials->identity_token);
	free(credentials->origin);
	*credentials = (struct credentials){ 0 };
}

/* --- the environment --- */

/* 1 if the variables of this family are set. */
static int find_in_family(const char *family, struct credentials *ret_credentials, struct err *err)
{
	char user_name[64], password_name[64];
	snprintf(user_name, sizeof(user_name), "%s_DOCKER_USERNAME", family);
	snprintf(password_name, sizeof(password_name), "%s_DOCKER_PASSWORD", family);
	const char *user = place_variable(user_name), *password = place_variable(password_name);
	if (user == NULL && password == NULL)
		return 0;
	if (user == NULL || password == NULL)
		return err_set(err, EINVAL, "%s is set, but %s is not", user != NULL ? user_name : password_name,
			       user != NULL ? password_name : user_name);
	struct credentials found = { .user = strdup(user), .password = strdup(password), .origin = strdup(user_name) };
	if (found.user == NULL || found.password == NULL || found.origin == NULL) {
		credentials_free(&found);
		return err_sys(err, ENOMEM, "cannot store credentials");
	}
	*ret_credentials = found;
	return 1;
}

static int find_in_environment(struct credentials *ret_credentials, struct err *err)
{
	static const char *const families[] = { "SIMG", "APPTAINER", "SINGULARITY" };
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(families) / sizeof(families[0]); i++)
		r = find_in_family(families[i], ret_credentials, err);
	return r;
}

/* --- files --- */

/* Takes over path; NULL is no place. */
static void add(struct places *places, int kind, char *path)
{
	if (path != NULL)
		places->list[places->count++] = (struct place){ .path = path, .kind = kind };
}

static int add_in(struct places *places, int kind, const char *directory, const char *file, struct err *err)
{
	char *path = NULL;
	if (directory == NULL)
		return 0;
	if (asprintf(&path, "%s/%s", directory, file) < 0)
		return err_sys(err, ENOMEM, "cannot look for '%s'", file);
	add(places, kind, path);
	return 0;
}

static int add_in_home(struct places *places, int kind, const char *file, struct err *err)
{
	return add_in(places, kind, place_variable("HOME"), file, err);
}

static int add_in_config(struct places *places, int kind, const char *file, struct err *err)
{
	char *path = NULL;
	int r = place_in_config(file, &path, err);
	add(places, kind, path);
	return r;
}

static int add_copy(struct places *places, const char *path, struct err *err)
{
	char *copy = path != NULL ? strdup(path) : NULL;
	if (path != NULL && copy == NULL)
		return err_sys(err, ENOMEM, "cannot look for '%s'", path);
	add(places, PLACE_JSON, copy);
	return 0;
}

/* After su, the variable still names the other user's directory, which cannot be read. */
static const char *runtime_directory(void)
{
	struct stat st;
	const char *directory = place_variable("XDG_RUNTIME_DIR");
	return directory != NULL && stat(directory, &st) == 0 && st.st_uid == geteuid() ? directory : NULL;
}

static int list_places(const char *auth_file, struct places *places, struct err *err)
{
	const char *docker = place_variable("DOCKER_CONFIG"), *enroot = place_variable("ENROOT_CONFIG_PATH");
	int r = add_copy(places, auth_file, err);
	if (r == 0)
		r = add_copy(places, place_variable("REGISTRY_AUTH_FILE"), err);
	if (r == 0)
		r = add_in(places, PLACE_JSON, runtime_directory(), "containers/auth.json", err);
	if (r == 0)
		r = add_in_config(places, PLACE_JSON, "containers/auth.json", err);
	if (r == 0)
		r = docker != NULL ? add_in(places, PLACE_JSON, docker, "config.json", err) :
				     add_in_home(places, PLACE_JSON, ".docker/config.json", err);
	if (r == 0)
		r = add_in_home(places, PLACE_DOCKERCFG, ".dockercfg", err);
	if (r == 0)
		r = add_in_home(places, PLACE_JSON, ".apptainer/docker-config.json", err);
	if (r == 0)
		r = add_in_home(places, PLACE_JSON, ".singularity/docker-config.json", err);
	if (r == 0)
		r = enroot != NULL ? add_in(places, PLACE_NETRC, enroot, ".credentials", err) :
				     add_in_config(places, PLACE_NETRC, "enroot/.credentials", err);
	return r;
}

static int find_in_place(const struct place *place, const char *host, const char *repository, struct credentials *ret_credentials,
			 struct err *err)
{
	if (place->kind == PLACE_NETRC)
		return netrc_find(place->path, host, ret_credentials, err);
	return authfile_find(place->path, place->kind == PLACE_JSON ? AUTHFILE_JSON : AUTHFILE_DOCKERCFG, host, repository,
			     ret_credentials, err);
}

static int find_in_files(const char *auth_file, const char *host, const char *repository, struct credentials *ret_credentials,
			 struct err *err)
{
	autoplaces struct places places = { 0 };
	if (auth_file != NULL && access(auth_file, F_OK) < 0)
		return err_sys(err, errno, "cannot read the credentials in '%s'", auth_file);
	int r = list_places(auth_file, &places, err);
	for (size_t i = 0; r == 0 && i < places.count; i++)
		r = find_in_place(&places.list[i], host, repository, ret_credentials, err);
	return r;
}

int credentials_find(const char *auth_file, const char *host, const char *repository, struct credentials *ret_credentials,
		     struct err *err)
{
	struct credentials found = { 0 };
	int r = find_in_environment(&found, err);
	if (r == 0)
		r = find_in_files(auth_file, host, repository, &found, err);
	if (r < 0)
		return r;
	*ret_credentials = found;
	return 0;
}

int credentials_find_for_mirror(const char *auth_file, const char *host, const char *repository,
				struct credentials *ret_credentials, struct err *err)
{
	struct credentials found = { 0 };
	int r = find_in_files(auth_file, host, repository, &found, err);
	if (r < 0)
		return r;
	*ret_credentials = found;
	return 0;
}

/* --- where login and logout write --- */

static int own_file(const char *auth_file, char **ret_path, struct err *err)
{
	const char *named = auth_file != NULL ? auth_file : place_variable("REGISTRY_AUTH_FILE");
	if (named == NULL) {
		int r = place_in_config("containers/auth.json", ret_path, err);
		if (r < 0 || *ret_path != NULL)
			return r;
		return err_set(err, ENOENT, "HOME is not set, and no file is named with --auth-file");
	}
	*ret_path = strdup(named);
	return *ret_path == NULL ? err_sys(err, ENOMEM, "cannot write '%s'", named) : 0;
}

int credentials_store(const char *auth_file, const char *host, const struct credentials *credentials, char **ret_place,
		      struct err *err)
{
	autofree char *path = NULL;
	*ret_place = NULL;
	int r = own_file(auth_file, &path, err);
	return r < 0 ? r : authfile_store(path, host, credentials, ret_place, err);
}

int credentials_remove(const char *auth_file, const char *host, char **ret_place, struct err *err)
{
	autofree char *path = NULL;
	*ret_place = NULL;
	int r = own_file(auth_file, &path, err);
	return r < 0 ? r : authfile_remove(path, host, ret_place, err);
}

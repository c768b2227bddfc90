/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of credentials in JSON: see authfile.h. No message may quote what stands in the file but for hosts and names of programs.
 */
#include "builder/registry/authfile.h"

#include "builder/registry/helper.h"
#include "builder/registry/json_secret.h"
#include "builder/registry/places.h"
#include "builder/registry/secret.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#define DOCKER_HOST "docker.io"
#define DOCKER_URL  "https://index.docker.io/v1/" /* under which Docker keeps its hub's */
#define TOKEN_USER  "<token>"                     /* a helper's user name for an identity token */

struct authfile {
	const char *path;
	json_t *top;             /* NULL: there is no file. All others are part of it, NULL where absent */
	json_t *auths, *helpers;
	const char *store;
};

/* --- names --- */

static void cut_end(char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);
	if (length > end_length && strcmp(text + length - end_length, end) == 0)
		text[length - end_length] = '\0';
}

char *authfile_normalise(const char *key)
{
	const char *scheme = strstr(key, "://");
	char *name = strdup(scheme != NULL ? scheme + 3 : key);
	if (name == NULL)
		return NULL;
	cut_end(name, "/");
	cut_end(name, "/v1");
	cut_end(name, "/v2");
	size_t host = strcspn(name, "/");
	for (size_t i = 0; i < host; i++)
		name[i] = (char)tolower((unsigned char)name[i]);
	if (strncmp(name, "index.docker.io", host) != 0 && strncmp(name, "registry-1.docker.io", host) != 0)
		return name;
	if (host != strlen("index.docker.io") && host != strlen("registry-1.docker.io"))
		return name;
	size_t rest = strlen(name + host) + 1;
	memmove(name + strlen(DOCKER_HOST), name + host, rest);
	memcpy(name, DOCKER_HOST, strlen(DOCKER_HOST));
	return name;
}

static bool names(const char *key, const char *place)
{
	autofree char *name = authfile_normalise(key);
	return name != NULL && strcmp(name, place) == 0;
}

/* The member for a place, rather one that is spelt just so. *ret_key is its key as it stands. */
static json_t *member_of(json_t *object, const char *place, const char **ret_key)
{
	const char *key;
	json_t *value = json_object_get(object, place);
	*ret_key = place;
	if (value != NULL)
		return value;
	json_object_foreach(object, key, value)
		if (names(key, place)) {
			*ret_key = key;
			return value;
		}
	return NULL;
}

/* --- reading --- */

static int expect_object(const struct authfile *file, const char *key, json_t **slot, struct err *err)
{
	*slot = json_object_get(file->top, key);
	if (*slot != NULL && !json_is_object(*slot))
		return err_set(err, EINVAL, "'%s': \"%s\" is not an object", file->path, key);
	return 0;
}

static int check_members(struct authfile *file, enum authfile_format format, struct err *err)
{
	const char *key;
	json_t *value;
	int r = 0;
	if (format == AUTHFILE_DOCKERCFG)
		file->auths = file->top;
	else if ((r = expect_object(file, "auths", &file->auths, err)) == 0)
		r = expect_object(file, "credHelpers", &file->helpers, err);
	json_t *store = format == AUTHFILE_JSON ? json_object_get(file->top, "credsStore") : NULL;
	if (r == 0 && store != NULL && !json_is_string(store))
		r = err_set(err, EINVAL, "'%s': \"credsStore\" is not a string", file->path);
	file->store = json_string_length(store) > 0 ? json_string_value(store) : NULL;
	json_object_foreach(file->helpers, key, value)
		if (r == 0 && !json_is_string(value))
			r = err_set(err, EINVAL, "'%s': \"credHelpers\": '%s' is not a string", file->path, key);
	json_object_foreach(file->auths, key, value)
		if (r == 0 && !json_is_object(value))
			r = err_set(err, EINVAL, "'%s': the entry of '%s' is not an object", file->path, key);
	return r;
}

/* *ret_file has to be released with authfile_free(), also after an error. */
static int authfile_load(const char *path, enum authfile_format format, struct authfile *ret_file, struct err *err)
{
	autosecret char *text = NULL;
	size_t bytes;
	json_error_t error;
	*ret_file = (struct authfile){ .path = path };
	int r = place_read(path, &text, &bytes, err);
	if (r < 0 || text == NULL)
		return r;
	if (text[strspn(text, " \t\r\n")] == '\0' && strlen(text) == bytes) /* Docker and Podman take an empty file */
		ret_file->top = json_object();
	else
		ret_file->top = json_loadb(text, bytes, 0, &error);
	if (ret_file->top == NULL) {
		char *near = strstr(error.text, " near "); /* a piece of the text follows, which may be a secret */
		if (near != NULL)
			*near = '\0';
		return err_set(err, EINVAL, "%s:%d:%d: no valid JSON: %s", path, error.line, error.column, error.text);
	}
	if (!json_is_object(ret_file->top))
		return err_set(err, EINVAL, "'%s' is not a JSON object", path);
	return check_members(ret_file, format, err);
}

static void authfile_free(struct authfile *file)
{
	cleanup_json(&file->top);
}
#define autoauthfile __attribute__((cleanup(authfile_free)))

/* --- entries --- */

/* "user:password" of its base64; NULL if it is none. */
static char *decode_auth(const char *auth)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t length = strlen(auth), significant = strspn(auth, digits), padding = length - significant;
	if (length % 4 != 0 || padding > 2 || strspn(auth + significant, "=") != padding)
		return NULL;
	char *text = calloc(1, length / 4 * 3 + 1);
	int bytes = text == NULL ? -1 : EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)auth, (int)length);
	size_t count = bytes < 0 ? 0 : (size_t)bytes - padding;
	while (count > 0 && text[count - 1] == '\0') /* some writers pad with them */
		count--;
	if (bytes < 0 || strlen(text) != count || strchr(text, ':') == NULL) {
		secret_free(text);
		return NULL;
	}
	return text;
}

static int credentials_set(struct credentials *credentials, const char *user, const char *password, const char *token,
			   const char *origin, struct err *err)
{
	struct credentials copy = { 0 };
	copy.user = user != NULL ? strdup(user) : NULL;
	copy.password = password != NULL ? strdup(password) : NULL;
	copy.identity_token = token != NULL ? strdup(token) : NULL;
	copy.origin = strdup(origin);
	if (copy.origin == NULL || !copy.user != !user || !copy.password != !password || !copy.identity_token != !token) {
		credentials_free(&copy);
		return err_sys(err, ENOMEM, "cannot store credentials");
	}
	*credentials = copy;
	return 1;
}

static int take_auth(const char *path, const char *key, const char *auth, struct credentials *ret_credentials, struct err *err)
{
	autosecret char *pair = decode_auth(auth);
	if (pair == NULL)
		return err_set(err, EINVAL, "'%s': \"auth\" of '%s' is not the base64 of USER:PASSWORD", path, key);
	char *colon = strchr(pair, ':');
	*colon = '\0';
	int r = credentials_set(ret_credentials, pair, colon + 1, NULL, path, err);
	*colon = ':'; /* so that all of it is wiped */
	return r;
}

static const char *text_of(const json_t *entry, const char *key)
{
	const json_t *value = json_object_get(entry, key);
	return json_string_length(value) > 0 ? json_string_value(value) : NULL;
}

/* 1 if the entry holds credentials. Empty ones remain where a helper keeps the password. */
static int take_entry(const char *path, const char *key, const json_t *entry, struct credentials *ret_credentials, struct err *err)
{
	const char *token = text_of(entry, "identitytoken"), *auth = text_of(entry, "auth");
	const char *user = text_of(entry, "username"), *password = text_of(entry, "password");
	if (token != NULL)
		return credentials_set(ret_credentials, NULL, NULL, token, path, err);
	if (auth != NULL)
		return take_auth(path, key, auth, ret_credentials, err);
	if (user != NULL && password != NULL)
		return credentials_set(ret_credentials, user, password, NULL, path, err);
	if (text_of(entry, "registrytoken") != NULL) {
		err_set(err, ENOTSUP, "'%s': '%s' has a \"registrytoken\", which is not supported", path, key);
		return err_hint(err, "simg login '%s' stores a password instead", key);
	}
	return 0;
}

/* --- helpers --- */

static int take_answer(const char *name, const char *answer, struct credentials *ret_credentials, struct err *err)
{
	char origin[128];
	autojson json_t *top = json_loads(answer, 0, NULL);
	const json_t *user = json_object_get(top, "Username"), *secret = json_object_get(top, "Secret");
	snprintf(origin, sizeof(origin), "docker-credential-%s", name);
	if (!json_is_string(user) || !json_is_string(secret))
		return err_set(err, EINVAL, "the answer of %s is not JSON with \"Username\" and \"Secret\"", origin);
	if (json_string_length(secret) == 0)
		return 0;
	if (strcmp(json_string_value(user), TOKEN_USER) == 0)
		return credentials_set(ret_credentials, NULL, NULL, json_string_value(secret), origin, err);
	return credentials_set(ret_credentials, json_string_value(user), json_string_value(secret), NULL, origin, err);
}

/* 1 if the helper has credentials for the server, 0 if not. */
static int ask_helper(const char *path, const char *name, const char *server, struct credentials *ret_credentials, struct err *err)
{
	autosecret char *answer = NULL;
	struct err inner = ERR_INIT;
	int r = helper_run(name, "get", server, HELPER_TIMEOUT_MS, &answer, &inner);
	if (r == 0)
		return take_answer(name, answer, ret_credentials, err);
	if (r == -ENODATA)
		return 0;
	err_set(err, -r, "'%s' keeps the password for '%s' elsewhere: %s", path, server, inner.text);
	return r == -ENOENT ? err_hint(err, "install docker-credential-%s, or run simg login with --auth-file", name) : r;
}

static const char *server_of(const char *host)
{
	return strcmp(host, DOCKER_HOST) == 0 ? DOCKER_URL : host;
}

/* A file that was copied from another machine may name a store that is not here. It matters if a password is in it, for which
 * Docker leaves an empty entry. */
static int ask_store(const struct authfile *file, const char *host, struct credentials *ret_credentials, struct err *err)
{
	const char *key;
	struct err inner = ERR_INIT;
	int r = ask_helper(file->path, file->store, server_of(host), ret_credentials, &inner);
	if (r == -ENOENT && member_of(file->auths, host, &key) == NULL)
		return 0;
	if (r < 0 && err != NULL)
		*err = inner;
	return r;
}

/* --- finding --- */

static int find_at(const struct authfile *file, const char *place, struct credentials *ret_credentials, struct err *err)
{
	const char *key;
	const json_t *helper = member_of(file->helpers, place, &key);
	if (helper != NULL)
		return ask_helper(file->path, json_string_value(helper), key, ret_credentials, err);
	if (file->store != NULL && strchr(place, '/') == NULL) {
		int r = ask_store(file, place, ret_credentials, err);
		if (r != 0)
			return r;
	}
	const json_t *entry = member_of(file->auths, place, &key);
	return entry != NULL ? take_entry(file->path, key, entry, ret_credentials, err) : 0;
}

int authfile_find(const char *path, enum authfile_format format, const char *host, const char *repository,
		  struct credentials *ret_credentials, struct err *err)
{
	autoauthfile struct authfile file = { 0 };
	autofree char *full = NULL;
	int r = authfile_load(path, format, &file, err);
	if (r < 0 || file.top == NULL)
		return r;
	if (asprintf(&full, "%s/%s", host, repository != NULL ? repository : "") < 0) {
		full = NULL;
		return err_sys(err, ENOMEM, "cannot look for '%s'", host);
	}
	autofree char *place = authfile_normalise(full);
	if (place == NULL)
		return err_sys(err, ENOMEM, "cannot look for '%s'", host);
	for (;;) {
		char *slash = strrchr(place, '/');
		r = find_at(&file, place, ret_credentials, err);
		if (r != 0 || slash == NULL)
			return r;
		*slash = '\0';
	}
}

/* --- writing --- */

static int make_parents(const char *path, struct err *err)
{
	autofree char *copy = strdup(path);
	if (copy == NULL)
		return err_sys(err, ENOMEM, "cannot write '%s'", path);
	for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "cannot make the directory '%s'", copy);
		*slash = '/';
	}
	return 0;
}

/* Where the file really is, so that a symlink to it stays one. */
static int find_target(const char *path, char **ret_target, struct err *err)
{
	struct stat st;
	*ret_target = realpath(path, NULL);
	if (*ret_target != NULL)
		return 0;
	if (errno != ENOENT)
		return err_sys(err, errno, "cannot write '%s'", path);
	if (lstat(path, &st) == 0)
		return err_set(err, ENOENT, "'%s' is a symlink to a file that does not exist", path);
	int r = make_parents(path, err);
	if (r == 0 && (*ret_target = strdup(path)) == NULL)
		r = err_sys(err, ENOMEM, "cannot write '%s'", path);
	return r;
}

static int write_all(int fd, const char *text)
{
	for (size_t left = strlen(text); left > 0;) {
		ssize_t n = write(fd, text, left);
		if (n < 0 && errno != EINTR)
			return -errno;
		text += n > 0 ? n : 0;
		left -= n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Replaces the file: beside it, mode 0600 from the start, then renamed. */
static int authfile_write(const struct authfile *file, struct err *err)
{
	autofree char *target = NULL, *beside = NULL;
	autosecret char *text = json_dumps(file->top, JSON_INDENT(4));
	int r = find_target(file->path, &target, err);
	if (r < 0)
		return r;
	if (asprintf(&beside, "%s.XXXXXX", target) < 0)
		beside = NULL;
	if (text == NULL || beside == NULL)
		return err_sys(err, ENOMEM, "cannot write '%s'", target);
	autoclose int fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot write '%s'", target);
	r = write_all(fd, text);
	if (r == 0 && rename(beside, target) < 0)
		r = -errno;
	if (r < 0) {
		unlink(beside);
		return err_sys(err, -r, "cannot write '%s'", target);
	}
	return 0;
}

/* The helper that keeps a host's password, and what the host is called there; NULL if the file itself does. */
static const char *helper_of(const struct authfile *file, const char *host, const char **ret_server)
{
	const json_t *helper = member_of(file->helpers, host, ret_server);
	if (helper != NULL)
		return json_string_value(helper);
	*ret_server = server_of(host);
	return file->store;
}

static int name_helper(const char *helper, char **ret_place, struct err *err)
{
	free(*ret_place);
	if (asprintf(ret_place, "docker-credential-%s", helper) < 0) {
		*ret_place = NULL;
		return err_sys(err, ENOMEM, "cannot name the credential helper");
	}
	return 0;
}

static int name_file(const char *path, char **ret_place, struct err *err)
{
	free(*ret_place);
	*ret_place = strdup(path);
	return *ret_place == NULL ? err_sys(err, ENOMEM, "cannot name '%s'", path) : 0;
}

static int store_with_helper(const char *helper, const char *server, const struct credentials *credentials, char **ret_place,
			     struct err *err)
{
	bool token = credentials->identity_token != NULL;
	const char *user = token ? TOKEN_USER : credentials->user;
	const char *secret = token ? credentials->identity_token : credentials->password;
	autojson json_t *top = json_pack("{ss ss ss}", "ServerURL", server, "Username", user, "Secret", secret);
	autosecret char *input = top != NULL ? json_dumps(top, JSON_COMPACT) : NULL;
	autosecret char *answer = NULL;
	if (input == NULL)
		return err_set(err, EINVAL, "user name or password is not valid UTF-8, which docker-credential-%s needs", helper);
	int r = helper_run(helper, "store", input, HELPER_TIMEOUT_MS, &answer, err);
	return r < 0 ? r : name_helper(helper, ret_place, err);
}

static json_t *make_entry(const struct credentials *credentials)
{
	autosecret char *pair = NULL;
	if (credentials->identity_token != NULL)
		return json_pack("{ss}", "identitytoken", credentials->identity_token);
	if (asprintf(&pair, "%s:%s", credentials->user, credentials->password) < 0) {
		pair = NULL;
		return NULL;
	}
	size_t bytes = strlen(pair);
	autosecret char *auth = calloc(1, (bytes + 2) / 3 * 4 + 1);
	if (auth == NULL)
		return NULL;
	EVP_EncodeBlock((unsigned char *)auth, (const unsigned char *)pair, (int)bytes);
	return json_pack("{ss}", "auth", auth);
}

/* Gives the host its one entry, under the key that it has already. */
static int set_entry(struct authfile *file, const char *host, const struct credentials *credentials, struct err *err)
{
	const char *key;
	if (file->auths == NULL) {
		file->auths = json_object();
		json_object_set_new(file->top, "auths", file->auths);
	}
	json_t *old = member_of(file->auths, host, &key);
	json_t *entry = make_entry(credentials);
	json_wipe(old);
	if (entry == NULL || json_object_set_new(file->auths, key, entry) < 0)
		return err_sys(err, ENOMEM, "cannot store credentials");
	return 0;
}

int authfile_store(const char *path, const char *host, const struct credentials *credentials, char **ret_place, struct err *err)
{
	autoauthfile struct authfile file = { 0 };
	autofree char *name = authfile_normalise(host);
	const char *server;
	if (name == NULL)
		return err_sys(err, ENOMEM, "cannot store credentials");
	if (credentials->identity_token == NULL && strchr(credentials->user, ':') != NULL)
		return err_set(err, EINVAL, "the user name '%s' has a colon", credentials->user);
	int r = authfile_load(path, AUTHFILE_JSON, &file, err);
	if (r < 0)
		return r;
	if (file.top == NULL && (file.top = json_object()) == NULL)
		return err_sys(err, ENOMEM, "cannot store credentials");
	const char *helper = helper_of(&file, name, &server);
	if (helper != NULL)
		return store_with_helper(helper, server, credentials, ret_place, err);
	r = set_entry(&file, name, credentials, err);
	if (r == 0)
		r = authfile_write(&file, err);
	return r < 0 ? r : name_file(path, ret_place, err);
}

/* --- removing --- */

static int erase_with_helper(const char *helper, const char *server, char **ret_place, struct err *err)
{
	autosecret char *answer = NULL;
	int r = helper_run(helper, "erase", server, HELPER_TIMEOUT_MS, &answer, err);
	if (r == -ENODATA)
		return 0;
	return r < 0 ? r : name_helper(helper, ret_place, err);
}

static int erase_from_helpers(const struct authfile *file, const char *host, char **ret_place, struct err *err)
{
	const char *key, *server;
	json_t *value;
	int r = 0;
	if (host != NULL) {
		const char *helper = helper_of(file, host, &server);
		return helper != NULL ? erase_with_helper(helper, server, ret_place, err) : 0;
	}
	json_object_foreach(file->helpers, key, value)
		if (r == 0)
			r = erase_with_helper(json_string_value(value), key, ret_place, err);
	json_object_foreach(file->auths, key, value)
		if (r == 0 && file->store != NULL)
			r = erase_with_helper(file->store, key, ret_place, err);
	return r;
}

/* How many entries went. */
static size_t remove_entries(json_t *auths, const char *host)
{
	const char *key;
	json_t *value;
	void *next;
	size_t before = json_object_size(auths);
	json_object_foreach_safe(auths, next, key, value)
		if (host == NULL || names(key, host)) {
			json_wipe(value);
			json_object_del(auths, key);
		}
	return before - json_object_size(auths);
}

int authfile_remove(const char *path, const char *host, char **ret_place, struct err *err)
{
	autoauthfile struct authfile file = { 0 };
	autofree char *name = host != NULL ? authfile_normalise(host) : NULL;
	autofree char *place = NULL;
	if (host != NULL && name == NULL)
		return err_sys(err, ENOMEM, "cannot remove credentials");
	int r = authfile_load(path, AUTHFILE_JSON, &file, err);
	if (r == 0 && file.top != NULL)
		r = erase_from_helpers(&file, name, &place, err);
	if (r == 0 && remove_entries(file.auths, name) > 0) {
		r = authfile_write(&file, err);
		if (r == 0)
			r = name_file(path, &place, err);
	}
	if (r == 0)
		*ret_place = steal_ptr(&place);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * certs.d: see certificates.h.
 */
#include "builder/registry/certificates.h"

#include "builder/registry/places.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <stdbool.h>
#include <string.h>

static bool ends_with(const char *name, const char *suffix)
{
	size_t length = strlen(name), suffix_length = strlen(suffix);
	return length > suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

static int is_certificate(const struct dirent *entry)
{
	return entry->d_name[0] != '.' &&
	       (ends_with(entry->d_name, ".crt") || ends_with(entry->d_name, ".cert") || ends_with(entry->d_name, ".key"));
}

/* Takes "NAME.cert" or "NAME.key" into *pair, which becomes "DIRECTORY/NAME". */
static int take_pair(const char *directory, const char *file, char **pair, struct err *err)
{
	autofree char *found = NULL;
	if (asprintf(&found, "%s/%.*s", directory, (int)(strrchr(file, '.') - file), file) < 0) {
		found = NULL;
		return err_sys(err, ENOMEM, "cannot read '%s'", directory);
	}
	if (*pair != NULL && strcmp(*pair, found) != 0) {
		err_set(err, EINVAL, "'%s' has several client certificates, '%s' and '%s'", directory, strrchr(*pair, '/') + 1,
			strrchr(found, '/') + 1);
		return err_hint(err, "only one pair of NAME.cert and NAME.key can be used");
	}
	free(*pair);
	*pair = steal_ptr(&found);
	return 0;
}

static int both_halves(const char *pair, char **ret_cert, char **ret_key, struct err *err)
{
	autofree char *cert = NULL, *key = NULL;
	if (asprintf(&cert, "%s.cert", pair) < 0)
		cert = NULL;
	if (asprintf(&key, "%s.key", pair) < 0)
		key = NULL;
	if (cert == NULL || key == NULL)
		return err_sys(err, ENOMEM, "cannot read '%s'", pair);
	if (access(cert, F_OK) < 0)
		return err_set(err, EINVAL, "the client key '%s' has no certificate '%s'", key, cert);
	if (access(key, F_OK) < 0)
		return err_set(err, EINVAL, "the client certificate '%s' has no key '%s'", cert, key);
	*ret_cert = steal_ptr(&cert);
	*ret_key = steal_ptr(&key);
	return 0;
}

static int take_files(const char *directory, struct dirent *const *entries, int count, struct strlist *ca_files, char **ret_cert,
		      char **ret_key, struct err *err)
{
	autofree char *pair = NULL;
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		int r = 0;
		if (!ends_with(name, ".crt"))
			r = take_pair(directory, name, &pair, err);
		else if (strlist_addf(ca_files, "%s/%s", directory, name) < 0)
			r = err_sys(err, ENOMEM, "cannot read '%s'", directory);
		if (r < 0)
			return r;
	}
	return pair == NULL ? 0 : both_halves(pair, ret_cert, ret_key, err);
}

/* 1 if there is such a directory, which then is the one that counts. */
static int look_in(const char *base, const char *host, struct strlist *ca_files, char **ret_cert, char **ret_key, struct err *err)
{
	autofree char *directory = NULL;
	struct dirent **entries = NULL;
	if (asprintf(&directory, "%s/%s", base, host) < 0) {
		directory = NULL;
		return err_sys(err, ENOMEM, "cannot read '%s'", base);
	}
	int count = scandir(directory, &entries, is_certificate, alphasort);
	if (count < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(err, errno, "cannot read '%s'", directory);
	int r = take_files(directory, entries, count, ca_files, ret_cert, ret_key, err);
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	return r < 0 ? r : 1;
}

int certificates_find(const char *host, struct strlist *ca_files, char **ret_cert, char **ret_key, struct err *err)
{
	autofree char *of_user = NULL;
	int r = place_in_config("containers/certs.d", &of_user, err);
	const char *const bases[] = { of_user, "/etc/containers/certs.d", "/etc/docker/certs.d" };
	for (size_t i = 0; r == 0 && i < sizeof(bases) / sizeof(bases[0]); i++)
		if (bases[i] != NULL)
			r = look_in(bases[i], host, ca_files, ret_cert, ret_key, err);
	return r < 0 ? r : 0;
}

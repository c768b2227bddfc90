/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of credentials of any bytes, in each of the formats: found, not found, or an error with a text. Helpers that they name are not
 * to be found anywhere.
 */
#include "builder/registry/authfile.h"
#include "builder/registry/netrc.h"
#include "lib/err.h"
#include "tests/fuzz/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(int result, struct credentials *found, const struct err *err)
{
	bool any = found->identity_token != NULL || found->user != NULL || found->password != NULL;
	if ((result < 0 && (err->text[0] == '\0' || err->code >= 0)) || (result == 0 && any) || (result == 1 && !any))
		abort();
	credentials_free(found);
}

static void find_in_json(const char *path, enum authfile_format format)
{
	struct credentials found = { 0 };
	struct err err = ERR_INIT;
	int r = authfile_find(path, format, "docker.io", "library/debian", &found, &err);
	check(r, &found, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char path[MEMORY_PATH_MAX];
	struct credentials found = { 0 };
	struct err err = ERR_INIT;
	int fd = memory_file(data, bytes, path);
	setenv("PATH", "/nowhere", 1);
	find_in_json(path, AUTHFILE_JSON);
	find_in_json(path, AUTHFILE_DOCKERCFG);
	int r = netrc_find(path, "docker.io", &found, &err);
	check(r, &found, &err);
	close(fd);
	return 0;
}

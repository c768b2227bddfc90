/* SPDX-License-Identifier: Apache-2.0
 *
 * A registries.conf of any bytes: endpoints, of which the last one is a registry, or an error with a text.
 */
#include "builder/registry/registries.h"
#include "lib/err.h"
#include "tests/fuzz/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_endpoints(const char *name)
{
	struct reference reference;
	struct endpoints endpoints = { 0 };
	struct err err = ERR_INIT;
	if (reference_parse(name, &reference, &err) < 0)
		abort();
	int r = endpoints_find(&reference, &endpoints, &err);
	if (r < 0 && (err.text[0] == '\0' || err.code >= 0))
		abort();
	if (r == 0 && (endpoints.count == 0 || endpoints.list[endpoints.count - 1].mirror))
		abort();
	endpoints_free(&endpoints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char path[MEMORY_PATH_MAX];
	int fd = memory_file(data, bytes, path);
	setenv("CONTAINERS_REGISTRIES_CONF", path, 1);
	setenv("HOME", "/nowhere", 1);
	check_endpoints("//a.b/c/d:e");
	check_endpoints("//docker.io/library/debian");
	close(fd);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * See fetch.h.
 */
#include "builder/recipe/fetch.h"

#include "builder/oci/digest.h"
#include "builder/recipe/recipe.h"
#include "lib/cleanup.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_BYTES_MAX = 64 << 20, CONNECT_SECONDS = 20, STALL_SECONDS = 30 };

struct index {
	struct hash *hash;
	size_t bytes;
};

static size_t index_take(char *data, size_t size, size_t count, void *context)
{
	struct index *index = context;
	index->bytes += size * count;
	if (index->bytes > INDEX_BYTES_MAX)
		return 0;
	hash_add(index->hash, data, size * count);
	return size * count;
}

static int url_digest(const char *url, struct digest *ret_digest)
{
	struct index index = { .hash = hash_new(NULL) };
	CURL *curl = index.hash == NULL ? NULL : curl_easy_init();
	CURLcode code = CURLE_OUT_OF_MEMORY;
	if (curl != NULL) {
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
		curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
		curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, index_take);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, &index);
		code = curl_easy_perform(curl);
	}
	curl_easy_cleanup(curl);
	if (code == CURLE_OK && index.bytes > 0)
		hash_digest(index.hash, ret_digest);
	hash_free(index.hash);
	return code == CURLE_OK && index.bytes > 0 ? 0 : -1;
}

char *fetch_header_expand(const struct recipe_stage *stage, const char *key)
{
	static const char VARIABLE[] = "%{OSVERSION}";
	const char *value = recipe_header(stage, key), *version = recipe_header(stage, "OSVersion");
	char *text = value != NULL ? strdup(value) : NULL, *at;
	while (text != NULL && version != NULL && strstr(version, VARIABLE) == NULL && (at = strstr(text, VARIABLE)) != NULL) {
		char *longer;
		if (asprintf(&longer, "%.*s%s%s", (int)(at - text), text, version, at + strlen(VARIABLE)) < 0)
			longer = NULL;
		free(text);
		text = longer;
	}
	return text;
}

static int below_digest(const char *mirror, const char *path, struct digest *ret_digest)
{
	autofree char *url = NULL;
	size_t length = strlen(mirror);
	while (length > 0 && mirror[length - 1] == '/')
		length--;
	if (asprintf(&url, "%.*s/%s", (int)length, mirror, path) < 0) {
		url = NULL;
		return -1;
	}
	return url_digest(url, ret_digest);
}

static int debian_digest(const char *mirror, const char *suite, struct digest *ret_digest)
{
	autofree char *path = NULL;
	if (asprintf(&path, "dists/%s/InRelease", suite) < 0) {
		path = NULL;
		return -1;
	}
	if (below_digest(mirror, path, ret_digest) == 0)
		return 0;
	memcpy(path + strlen(path) - strlen("InRelease"), "Release", sizeof("Release"));
	return below_digest(mirror, path, ret_digest);
}

/* The mirror's and that of its updates, as one. */
static int rpm_digest(const struct recipe_stage *stage, const char *mirror, struct digest *ret_digest)
{
	struct digest both[2] = { 0 };
	autofree char *updates = fetch_header_expand(stage, "UpdateURL");
	if (below_digest(mirror, "repodata/repomd.xml", &both[0]) < 0 ||
	    (updates != NULL && below_digest(updates, "repodata/repomd.xml", &both[1]) < 0))
		return -1;
	digest_of(both, sizeof(both), ret_digest);
	return 0;
}

int fetch_index_digest(const struct recipe_stage *stage, struct digest *ret_digest)
{
	autofree char *mirror = fetch_header_expand(stage, "MirrorURL");
	const char *version = recipe_header(stage, "OSVersion");
	if (mirror == NULL)
		return -1;
	if (stage->agent == RECIPE_DEBOOTSTRAP)
		return version == NULL ? -1 : debian_digest(mirror, version, ret_digest);
	return rpm_digest(stage, mirror, ret_digest);
}

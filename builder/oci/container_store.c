/* SPDX-License-Identifier: Apache-2.0
 *
 * Containers in stores: see container_store.h.
 */
#include "builder/oci/container_store.h"

#include "builder/oci/reference.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int container_store_split(const char *text, char **ret_path, const char **ret_tag, struct err *err)
{
	autofree char *path = strdup(text);
	if (path == NULL)
		return err_sys(err, ENOMEM, "cannot open '%s'", text);
	*ret_tag = NULL;
	for (char *colon; access(path, F_OK) < 0 && (colon = strrchr(path, ':')) != NULL;) {
		*colon = '\0';
		*ret_tag = text + (colon - path) + 1;
	}
	if (path[0] == '\0')
		return err_set(err, EINVAL, "'%s' has no path before the tag", text);
	if (*ret_tag != NULL && (*ret_tag)[0] == '\0')
		return err_set(err, EINVAL, "the tag of '%s' is empty", text);
	*ret_path = steal_ptr(&path);
	return 0;
}

bool container_store_tag_equal(const char *a, const char *b)
{
	struct reference left, right;
	char left_text[REFERENCE_TEXT_MAX], right_text[REFERENCE_TEXT_MAX];
	if (strcmp(a, b) == 0)
		return true;
	return reference_parse(a, &left, NULL) == 0 && reference_parse(b, &right, NULL) == 0 &&
	       strcmp(reference_format(&left, left_text), reference_format(&right, right_text)) == 0;
}

static struct container_store *stored_new(const struct container_kind *kind, const char *tag, struct store *store)
{
	struct container_store *stored = calloc(1, sizeof(*stored));
	if (stored == NULL || asprintf(&stored->container.source, "%s:%s", kind->scheme, tag != NULL ? tag : "") < 0) {
		free(stored);
		store_close(store);
		return NULL;
	}
	stored->container.kind = kind;
	stored->store = store;
	return stored;
}

int container_store_make(const struct container_kind *kind, struct store *store, const char *tag, container_store_fill *fill,
			 const struct container_options *options, struct container **ret_container, struct err *err)
{
	struct container_store *stored = stored_new(kind, tag, store);
	if (stored == NULL)
		return err_sys(err, ENOMEM, "cannot open '%s'", options->name);
	int r = fill(stored, tag, options, err);
	if (r < 0)
		container_close(&stored->container);
	else
		*ret_container = &stored->container;
	return r;
}

/* A layer's file, its size compared. */
static int layer_find(struct container_store *stored, size_t layer, struct extent *ret_extent, struct err *err)
{
	const struct descriptor *descriptor = &stored->container.manifest.layers[layer];
	const char *path = stored->layer_paths.items[layer];
	struct extent extent;
	int r = store_open(stored->store, path, &extent, err);
	if (r < 0)
		return r;
	if (r == 0) {
		err_set(err, ENOENT, "layer %zu of '%s' is missing: there is no '%s'", layer + 1, stored->store->name, path);
		return descriptor->urls.count > 0 ? err_hint(err, "its maker does not pass it on; it can be had from %s",
							      descriptor->urls.items[0]) : -ENOENT;
	}
	if (descriptor->bytes != 0 && descriptor->bytes != extent.bytes) {
		close(extent.fd);
		return err_set(err, EBADMSG, "'%s' in '%s' has %llu bytes, not %llu: it is truncated or damaged", path,
			       stored->store->name, (unsigned long long)extent.bytes, (unsigned long long)descriptor->bytes);
	}
	*ret_extent = extent;
	return 0;
}

int container_store_check(struct container_store *stored, struct err *err)
{
	for (size_t i = 0; i < stored->container.manifest.layer_count; i++) {
		struct extent extent;
		int r = layer_find(stored, i, &extent, err);
		if (r < 0)
			return r;
		close(extent.fd);
	}
	return 0;
}

int container_store_layer_open(struct container *container, size_t layer, struct blob **ret_blob, struct err *err)
{
	struct container_store *stored = (struct container_store *)container;
	struct extent extent;
	autofree char *name = NULL;
	int r = layer_find(stored, layer, &extent, err);
	if (r < 0)
		return r;
	if (asprintf(&name, "%s/%s", stored->store->name, stored->layer_paths.items[layer]) < 0) {
		name = NULL;
		close(extent.fd);
	} else {
		*ret_blob = blob_of_file(extent.fd, extent.offset, extent.bytes, false, name);
	}
	return name != NULL && *ret_blob != NULL ? 0 : err_sys(err, ENOMEM, "cannot read layer %zu of '%s'", layer + 1,
							       stored->store->name);
}

bool container_store_layer_discard(struct container *container, size_t layer)
{
	(void)container;
	(void)layer;
	return false; /* the user's file is damaged: there is no other copy */
}

void container_store_progress(const struct container *container, uint64_t *ret_bytes, uint64_t *ret_total)
{
	(void)container;
	*ret_bytes = *ret_total = 0;
}

void container_store_close(struct container *container)
{
	struct container_store *stored = (struct container_store *)container;
	container_release(container);
	store_close(stored->store);
	strlist_free(&stored->layer_paths);
	free(stored);
}

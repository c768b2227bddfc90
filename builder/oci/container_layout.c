/* SPDX-License-Identifier: Apache-2.0
 *
 * OCI layouts, "oci:DIR[:TAG]", and archives of them, "oci-archive:FILE[:TAG]". TAG is a tag, a name, or the digest of an entry of
 * index.json. What it selects there becomes an index of its own, from which the platform is chosen as usual.
 * Source: OCI image specification, image-layout.md and annotations.md.
 */
#include "builder/oci/container_store.h"
#include "builder/oci/document.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOB_PATH_MAX = sizeof("blobs/sha512/") + DIGEST_TEXT_MAX,
	VERSION_BYTES_MAX = 4096,
	NAMES_TEXT_MAX = 400,
	WHERE_TEXT_MAX = 512,
	TAKEN_MAX = 256, /* platforms of one image: more is many images */
};

static const char REF_NAME[] = "org.opencontainers.image.ref.name";
static const char CONTAINERD_NAME[] = "io.containerd.image.name"; /* the whole name, where REF_NAME is the bare tag */

/* Entries of index.json that the tag means. */
struct selection {
	const char *tag;            /* NULL: none was given */
	bool named_only;            /* entries without a name are passed over */
	bool several;               /* those that were taken have different names */
	const char *name;           /* of the first one that was taken */
	json_t *taken;              /* an array */
	char names[NAMES_TEXT_MAX]; /* of all entries, for messages */
};

/* What index.json says of an entry; NULL where it does not. */
struct entry {
	const char *digest, *ref_name, *containerd_name;
};

static const char *entry_name(const struct entry *entry)
{
	return entry->containerd_name != NULL ? entry->containerd_name : entry->ref_name;
}

static int entry_read(const struct field *object, struct entry *ret_entry, struct err *err)
{
	struct field annotations;
	*ret_entry = (struct entry){ 0 };
	int r = field_string(object, "digest", &ret_entry->digest, err);
	if (r >= 0)
		r = field_member(object, "annotations", JSON_OBJECT, FIELD_OPTIONAL, &annotations, err);
	if (r <= 0)
		return r;
	r = field_string(&annotations, REF_NAME, &ret_entry->ref_name, err);
	return r < 0 ? r : field_string(&annotations, CONTAINERD_NAME, &ret_entry->containerd_name, err);
}

static bool entry_matches(const struct entry *entry, const struct selection *selection)
{
	const char *tag = selection->tag;
	if (tag == NULL)
		return !selection->named_only || entry_name(entry) != NULL;
	return (entry->digest != NULL && strcmp(entry->digest, tag) == 0) ||
	       (entry->ref_name != NULL && container_store_tag_equal(entry->ref_name, tag)) ||
	       (entry->containerd_name != NULL && container_store_tag_equal(entry->containerd_name, tag));
}

/* One image often has several tags. */
static bool is_taken(const struct selection *selection, const struct entry *entry)
{
	size_t i;
	json_t *taken;
	json_array_foreach (selection->taken, i, taken) {
		const char *digest = json_string_value(json_object_get(taken, "digest"));
		if (digest != NULL && entry->digest != NULL && strcmp(digest, entry->digest) == 0)
			return true;
	}
	return false;
}

static void names_add(struct selection *selection, const char *name)
{
	size_t used = strlen(selection->names);
	if (used + strlen(name) + 3 < sizeof(selection->names))
		sprintf(selection->names + used, "%s%s", used > 0 ? ", " : "", name);
}

static int entry_consider(struct selection *selection, const struct field *object, struct err *err)
{
	struct entry entry;
	int r = entry_read(object, &entry, err);
	if (r < 0)
		return r;
	const char *name = entry_name(&entry);
	if (name != NULL || entry.digest != NULL)
		names_add(selection, name != NULL ? name : entry.digest);
	if (selection->several || !entry_matches(&entry, selection) || is_taken(selection, &entry))
		return 0;
	size_t taken = json_array_size(selection->taken);
	if (taken == 0)
		selection->name = name;
	else if (taken == TAKEN_MAX || strcmp(selection->name != NULL ? selection->name : "", name != NULL ? name : "") != 0)
		selection->several = true;
	if (json_array_append(selection->taken, object->value) != 0)
		return err_sys(err, ENOMEM, "cannot read %s", object->document);
	return 0;
}

static bool any_named(const struct field *entries)
{
	for (size_t i = 0; i < json_array_size(entries->value); i++) {
		struct field object;
		struct entry entry;
		if (field_item(entries, i, JSON_OBJECT, &object, NULL) > 0 && entry_read(&object, &entry, NULL) >= 0 &&
		    entry_name(&entry) != NULL)
			return true;
	}
	return false;
}

static int selection_fill(struct selection *selection, const struct field *root, struct err *err)
{
	struct field entries, object;
	int r = field_member(root, "manifests", JSON_ARRAY, FIELD_REQUIRED, &entries, err);
	if (r < 0)
		return r;
	selection->named_only = selection->tag == NULL && any_named(&entries);
	for (size_t i = 0; i < json_array_size(entries.value) && r >= 0; i++) {
		r = field_item(&entries, i, JSON_OBJECT, &object, err);
		if (r >= 0)
			r = entry_consider(selection, &object, err);
	}
	return r < 0 ? r : 0;
}

static int selection_check(const struct selection *selection, const struct store *store, struct err *err)
{
	if (selection->several) {
		err_set(err, EINVAL, "'%s' holds several images%s%s%s", store->name, selection->tag != NULL ? " called '" : "",
			selection->tag != NULL ? selection->tag : "", selection->tag != NULL ? "'" : "");
		return err_hint(err, "add one of them after a colon: %s", selection->names);
	}
	if (selection->tag != NULL && json_array_size(selection->taken) == 0) {
		err_set(err, ENOENT, "'%s' holds no image called '%s'", store->name, selection->tag);
		return selection->names[0] != '\0' ? err_hint(err, "there is: %s", selection->names) : -ENOENT;
	}
	return 0;
}

/* The taken entries as an index. An entry that is alone is wanted whatever its platform; the configuration tells that again. */
static char *selection_format(const struct selection *selection)
{
	if (json_array_size(selection->taken) == 1)
		json_object_del(json_array_get(selection->taken, 0), "platform");
	autojson json_t *index = json_pack("{s:i, s:O}", "schemaVersion", 2, "manifests", selection->taken);
	return index != NULL ? json_dumps(index, JSON_COMPACT) : NULL;
}

static int index_select(struct store *store, const char *tag, char **ret_text, struct err *err)
{
	autofree char *text = NULL;
	char where[WHERE_TEXT_MAX];
	size_t bytes;
	autoroot struct field root = { 0 };
	int r = store_read(store, "index.json", MANIFEST_BYTES_MAX, &text, &bytes, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, EBADMSG, "'%s' is no OCI layout: there is no 'index.json' in it", store->name);
	snprintf(where, sizeof(where), "'index.json' in '%s'", store->name);
	r = document_parse(text, bytes, MANIFEST_BYTES_MAX, where, JSON_OBJECT, &root, err);
	if (r < 0)
		return r;
	autojson json_t *taken = json_array();
	struct selection selection = { .tag = tag, .taken = taken };
	r = selection_fill(&selection, &root, err);
	if (r == 0)
		r = selection_check(&selection, store, err);
	if (r < 0)
		return r;
	*ret_text = selection_format(&selection);
	return *ret_text != NULL ? 0 : err_sys(err, ENOMEM, "cannot read %s", where);
}

static int version_missing(struct store *store, struct err *err)
{
	struct extent extent;
	err_set(err, EBADMSG, "'%s' is no OCI layout: there is no 'oci-layout' in it", store->name);
	if (store_open(store, "manifest.json", &extent, NULL) <= 0)
		return -EBADMSG;
	close(extent.fd);
	return err_hint(err, "it looks like an image saved by Docker: docker-archive:%s", store->name);
}

static int version_check(struct store *store, struct err *err)
{
	autofree char *text = NULL;
	char where[WHERE_TEXT_MAX];
	autoroot struct field root = { 0 };
	const char *version;
	size_t bytes;
	int r = store_read(store, "oci-layout", VERSION_BYTES_MAX, &text, &bytes, err);
	if (r <= 0)
		return r < 0 ? r : version_missing(store, err);
	snprintf(where, sizeof(where), "'oci-layout' in '%s'", store->name);
	r = document_parse(text, bytes, VERSION_BYTES_MAX, where, JSON_OBJECT, &root, err);
	if (r < 0)
		return r;
	r = field_string(&root, "imageLayoutVersion", &version, err);
	if (r >= 0 && (version == NULL || strncmp(version, "1.", 2) != 0))
		r = err_set(err, ENOTSUP, "'%s' is an OCI layout of version '%s', not 1", store->name,
			    version != NULL ? version : "");
	return r < 0 ? r : 0;
}

static void blob_path(const struct digest *digest, char path[static BLOB_PATH_MAX])
{
	snprintf(path, BLOB_PATH_MAX, "blobs/%s/%s", digest_algorithm(digest), digest_hex(digest));
}

static int layout_read(void *context, const struct descriptor *descriptor, bool is_blob, size_t bytes_max, char **ret_text,
		       size_t *ret_bytes, struct err *err)
{
	(void)is_blob;
	struct store *store = context;
	char path[BLOB_PATH_MAX];
	blob_path(&descriptor->digest, path);
	int r = store_read(store, path, bytes_max, ret_text, ret_bytes, err);
	return r == 0 ? err_set(err, ENOENT, "'%s' is incomplete: there is no '%s'", store->name, path) : r < 0 ? r : 0;
}

static int layout_fill(struct container_store *stored, const char *tag, const struct container_options *options, struct err *err)
{
	autofree char *text = NULL;
	char path[BLOB_PATH_MAX];
	struct container *container = &stored->container;
	struct document_reader reader = { .context = stored->store, .read = layout_read };
	int r = version_check(stored->store, err);
	if (r == 0)
		r = index_select(stored->store, tag, &text, err);
	if (r == 0)
		r = container_resolve(container, options, text, strlen(text), NULL, &reader, err);
	for (size_t i = 0; i < container->manifest.layer_count && r == 0; i++) {
		blob_path(&container->manifest.layers[i].digest, path);
		if (strlist_add(&stored->layer_paths, path) < 0)
			r = err_sys(err, ENOMEM, "cannot open '%s'", options->name);
	}
	return r < 0 ? r : container_store_check(stored, err);
}

static int layout_open(const char *rest, const struct container_options *options, struct container **ret_container, struct err *err)
{
	autofree char *path = NULL;
	const char *tag;
	struct store *store;
	int r = container_store_split(rest, &path, &tag, err);
	if (r == 0)
		r = store_directory_open(path, &store, err);
	if (r == -ENOTDIR)
		err_hint(err, "an archive of an OCI layout is oci-archive:%s", path);
	return r < 0 ? r : container_store_make(&container_layout, store, tag, layout_fill, options, ret_container, err);
}

static int oci_archive_open(const char *rest, const struct container_options *options, struct container **ret_container,
			    struct err *err)
{
	autofree char *path = NULL;
	const char *tag;
	struct store *store;
	int r = container_store_split(rest, &path, &tag, err);
	if (r == 0)
		r = store_tar_open(path, options, &store, err);
	return r < 0 ? r : container_store_make(&container_oci_archive, store, tag, layout_fill, options, ret_container, err);
}

const struct container_kind container_layout = {
	.scheme = "oci",
	.open = layout_open,
	.layer_open = container_store_layer_open,
	.layer_discard = container_store_layer_discard,
	.progress = container_store_progress,
	.close = container_store_close,
};

const struct container_kind container_oci_archive = {
	.scheme = "oci-archive",
	.open = oci_archive_open,
	.layer_open = container_store_layer_open,
	.layer_discard = container_store_layer_discard,
	.progress = container_store_progress,
	.close = container_store_close,
};

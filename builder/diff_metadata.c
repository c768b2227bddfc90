/* SPDX-License-Identifier: Apache-2.0
 *
 * What two images say about themselves: see diff_metadata.h.
 */
#include "builder/diff_metadata.h"

#include "builder/addition.h"
#include "builder/describe.h"
#include "builder/diff_report.h"
#include "builder/image_metadata.h"
#include "builder/subject.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image_config.h"
#include "lib/strlist.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPTS ".singularity.d/env"

enum { DEPTH_MAX = 8 }; /* of objects in objects; what is below is one value */

/* --- which file is what --- */

static const struct {
	const char *path, *what;
} files[] = {
	{ SUBJECT_RUNSCRIPT, "runscript" },
	{ ".singularity.d/startscript", "startscript" },
	{ ".singularity.d/test", "test" },
	{ ".singularity.d/runscript.help", "help" },
	{ SUBJECT_RECIPE, "recipe" },
};
enum { FILE_COUNT = sizeof(files) / sizeof(files[0]) };

/* base-0.json and so on, as many as there can be: anything could hide behind another name. */
static bool is_base(const char *path)
{
	for (int i = 0; i < HISTORY_MAX; i++) {
		char base[64];
		snprintf(base, sizeof(base), IMAGE_BASE_PREFIX "%d" IMAGE_BASE_SUFFIX, i);
		if (strcmp(path, base) == 0)
			return true;
	}
	return false;
}

bool diff_metadata_is_record(const char *path)
{
	if (strncmp(path, ".simg", 5) != 0)
		return false;
	return path[5] == '\0' || strcmp(path, IMAGE_RECORD_PATH) == 0 || is_base(path);
}

bool diff_metadata_has(const char *path)
{
	for (int i = 0; i < FILE_COUNT; i++)
		if (strcmp(path, files[i].path) == 0)
			return true;
	if (strcmp(path, SUBJECT_LABELS) == 0 || strcmp(path, IMAGE_CONFIG_PATH) == 0)
		return true;
	return strncmp(path, SCRIPTS "/", sizeof(SCRIPTS)) == 0 && strchr(path + sizeof(SCRIPTS), '/') == NULL;
}

/* --- objects --- */

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void keys_add(const json_t *object, struct strlist *keys)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)object, key, value)
		strlist_add(keys, key);
}

/* Sorted, each once or twice. */
static void keys_gather(const json_t *a, const json_t *b, struct strlist *keys)
{
	keys_add(a, keys);
	keys_add(b, keys);
	if (keys->count > 0)
		qsort(keys->items, keys->count, sizeof(*keys->items), compare_keys);
}

/* Where values are compared: what and section are for the report. */
struct place {
	struct diff_report *report;
	enum diff_section section;
	const char *what;
};

static void values_compare(const struct place *place, const char *key, const json_t *a, const json_t *b, int depth)
{
	autostrlist struct strlist keys = { 0 };
	if (json_equal(a, b) || (a == NULL && b == NULL))
		return;
	if (!json_is_object(a) || !json_is_object(b) || depth == DEPTH_MAX) {
		report_value(place->report, place->section, place->what, key, a, b);
		return;
	}
	keys_gather(a, b, &keys);
	for (size_t i = 0; i < keys.count; i++) {
		const char *name = keys.items[i];
		autofree char *below = NULL;
		if (i > 0 && strcmp(keys.items[i - 1], name) == 0)
			continue;
		if (asprintf(&below, "%s%s%s", key, key[0] != '\0' ? "." : "", name) < 0) {
			below = NULL;
			return;
		}
		values_compare(place, below, json_object_get(a, name), json_object_get(b, name), depth + 1);
	}
}

/* Takes both references. */
static void objects_compare(struct diff_report *report, enum diff_section section, const char *what, json_t *a, json_t *b)
{
	const struct place place = { report, section, what };
	values_compare(&place, "", a, b, 0);
	json_decref(a);
	json_decref(b);
}

/* --- parts of the metadata; each a new reference --- */

static const json_t *config_of(const json_t *metadata)
{
	return json_object_get(json_object_get(metadata, "config"), "config");
}

/* An object of variables. One without a value is null. */
static json_t *environment_of(const json_t *metadata)
{
	json_t *variables = json_object();
	size_t i;
	const json_t *item;
	json_array_foreach(json_object_get(config_of(metadata), "Env"), i, item) {
		const char *text = json_string_value(item), *value = text != NULL ? strchr(text, '=') : NULL;
		autofree char *name = text == NULL ? NULL : value != NULL ? strndup(text, (size_t)(value - text)) : strdup(text);
		if (name != NULL)
			json_object_set_new(variables, name, value != NULL ? json_string(value + 1) : json_null());
	}
	return variables;
}

static json_t *labels_of(json_t *metadata)
{
	json_t *top = json_pack("{sO}", "metadata", metadata);
	json_t *labels = describe_labels(top);
	json_decref(top);
	return labels;
}

/* How a container is run, without what is compared by itself. */
static json_t *running_of(const json_t *metadata)
{
	const json_t *whole = json_object_get(metadata, "config");
	json_t *running = json_is_object(config_of(metadata)) ? json_copy((json_t *)config_of(metadata)) : json_object();
	static const char *const platform[] = { "os", "architecture", "variant" };
	json_object_del(running, "Env");
	json_object_del(running, "Labels");
	for (int i = 0; i < 3; i++)
		if (json_object_get(whole, platform[i]) != NULL)
			json_object_set(running, platform[i], json_object_get(whole, platform[i]));
	return running;
}

static bool is_history(const char *key)
{
	static const char *const others[] = { "config", "os", "architecture", "variant" };
	for (int i = 0; i < 4; i++)
		if (strcmp(key, others[i]) == 0)
			return false;
	return true;
}

/* The part of a configuration that tells how it came to be, or the other one. What is no object has no history. */
static json_t *part_of(const json_t *whole, bool history)
{
	json_t *part = json_object();
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)whole, key, value)
		if (is_history(key) == history)
			json_object_set(part, key, value);
	return part;
}

static json_t *history_of(const json_t *metadata)
{
	return part_of(json_object_get(metadata, "config"), true);
}

static json_t *record_of(const json_t *metadata)
{
	json_t *record = json_copy(json_object_get(metadata, "record"));
	if (json_is_object(record))
		json_object_del(record, "packages");
	return record;
}

/* --- files --- */

/* What is no text is null. A missing file is NULL, and so is one that is too large, which counts as a file. */
static int file_read(const struct subject *subject, const char *path, char **ret_text, size_t *ret_bytes, json_t **ret_value,
		     struct err *err)
{
	int r = subject_file(subject, path, SUBJECT_FILE_BYTES_MAX, ret_text, ret_bytes, err);
	if (r == -ENOENT || r == -EFBIG)
		return 0;
	if (r == 0 && (*ret_value = json_stringn(*ret_text, *ret_bytes)) == NULL)
		*ret_value = json_null();
	return r;
}

static int file_compare(const struct subject *a, const struct subject *b, const char *path, const char *what, const char *key,
			struct diff_report *report, struct err *err)
{
	autofree char *a_text = NULL, *b_text = NULL;
	size_t a_bytes = 0, b_bytes = 0;
	json_t *a_value = NULL, *b_value = NULL;
	int r = file_read(a, path, &a_text, &a_bytes, &a_value, err);
	if (r == 0)
		r = file_read(b, path, &b_text, &b_bytes, &b_value, err);
	bool equal = (a_value == NULL) == (b_value == NULL) && a_bytes == b_bytes;
	if (equal && a_bytes > 0)
		equal = memcmp(a_text, b_text, a_bytes) == 0;
	if (r == 0 && !equal)
		report_value(report, DIFF_METADATA, what, key, a_value, b_value);
	json_decref(a_value);
	json_decref(b_value);
	return r;
}

/* What the comparison by value takes no notice of in a document, since it makes no sense there, or since it is no JSON. It differs
 * nevertheless. */
static int rest_compare(const struct subject *a, const struct subject *b, const char *path, const char *what, const json_t *a_whole,
			const json_t *b_whole, struct diff_report *report, struct err *err)
{
	bool config = strcmp(path, IMAGE_CONFIG_PATH) == 0;
	if (a_whole == NULL || b_whole == NULL)
		return file_compare(a, b, path, what, "", report, err);
	if (config && json_is_object(a_whole) && json_is_object(b_whole)) {
		json_t *a_part = part_of(a_whole, false), *b_part = part_of(b_whole, false);
		if (!json_equal(a_part, b_part))
			report_value(report, DIFF_METADATA, what, "", a_part, b_part);
		json_decref(a_part);
		json_decref(b_part);
	} else if (!json_equal(a_whole, b_whole))
		report_value(report, DIFF_METADATA, what, "", a_whole, b_whole);
	return 0;
}

static int documents_compare(const struct subject *a, const struct subject *b, const json_t *a_metadata, const json_t *b_metadata,
			     struct diff_report *report, struct err *err)
{
	objects_compare(report, DIFF_METADATA, "environment", environment_of(a_metadata), environment_of(b_metadata));
	objects_compare(report, DIFF_METADATA, "label", labels_of((json_t *)a_metadata), labels_of((json_t *)b_metadata));
	objects_compare(report, DIFF_METADATA, "config", running_of(a_metadata), running_of(b_metadata));
	if (report_differs(report)) /* nothing else was compared so far */
		return 0;
	int r = rest_compare(a, b, IMAGE_CONFIG_PATH, "config", json_object_get(a_metadata, "config"),
			     json_object_get(b_metadata, "config"), report, err);
	if (r == 0)
		r = rest_compare(a, b, SUBJECT_LABELS, "labels", json_object_get(a_metadata, "labels"),
				 json_object_get(b_metadata, "labels"), report, err);
	return r;
}

static int scripts_compare(const struct subject *a, const struct subject *b, struct diff_report *report, struct err *err)
{
	autostrlist struct strlist names = { 0 };
	int r = subject_list(a, SCRIPTS, &names, err);
	if (r == 0 || r == -ENOENT)
		r = subject_list(b, SCRIPTS, &names, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare_keys);
	r = 0;
	for (size_t i = 0; i < names.count && r == 0; i++) {
		autofree char *path = NULL;
		if (i > 0 && strcmp(names.items[i - 1], names.items[i]) == 0)
			continue;
		if (asprintf(&path, SCRIPTS "/%s", names.items[i]) < 0) {
			path = NULL;
			return err_sys(err, ENOMEM, "cannot compare");
		}
		r = file_compare(a, b, path, "environment script", names.items[i], report, err);
	}
	return r;
}

/* --- all of it --- */

int diff_metadata(const struct subject *a, const struct subject *b, const json_t *a_metadata, const json_t *b_metadata,
		  struct diff_report *report, struct err *err)
{
	int r = documents_compare(a, b, a_metadata, b_metadata, report, err);
	for (int i = 0; i < FILE_COUNT && r == 0; i++)
		r = file_compare(a, b, files[i].path, files[i].what, "", report, err);
	return r < 0 ? r : scripts_compare(a, b, report, err);
}

void diff_record(const json_t *a_metadata, const json_t *b_metadata, struct diff_report *report)
{
	const struct place bases = { report, DIFF_RECORD, "bases" };
	objects_compare(report, DIFF_RECORD, "record", record_of(a_metadata), record_of(b_metadata));
	values_compare(&bases, "", json_object_get(a_metadata, "bases"), json_object_get(b_metadata, "bases"), 0);
	objects_compare(report, DIFF_RECORD, "config", history_of(a_metadata), history_of(b_metadata));
}

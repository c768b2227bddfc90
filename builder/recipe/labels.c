/* SPDX-License-Identifier: Apache-2.0
 *
 * See labels.h. Lack of memory shows at the end, when the text is missing.
 */
#include "builder/recipe/labels.h"

#include "builder/addition.h"
#include "builder/recipe/text.h"
#include "lib/cleanup.h"
#include "lib/strlist.h"

#include <string.h>

json_t *labels_read(const char *text)
{
	json_t *labels = text != NULL ? json_loads(text, 0, NULL) : NULL;
	if (json_is_object(labels))
		return labels;
	json_decref(labels);
	return json_object();
}

void labels_set(json_t *labels, const char *key, const char *value)
{
	autofree char *printable_key = addition_printable(key);
	autofree char *printable = value != NULL ? addition_printable(value) : NULL;
	if (printable_key != NULL && printable != NULL)
		json_object_set_new(labels, printable_key, json_string(printable));
}

static void line_add(json_t *labels, const struct text_line *line)
{
	const char *begin = line->text + text_indent(line->text, line->length), *end = line->text + line->length;
	size_t key_length = strcspn(begin, " \t\n");
	autofree char *key = strndup(begin, key_length);
	autofree char *value = text_trimmed(begin + key_length, (size_t)(end - begin) - key_length);
	if (key != NULL)
		labels_set(labels, key, value);
}

void labels_add(json_t *labels, const char *text)
{
	struct text_line line = { .text = NULL };
	autofree char *clean = NULL;
	if (text_clean("labels", text, strlen(text), &clean, NULL) < 0)
		return;
	while (text_next(clean, &line))
		if (!text_says_nothing(&line))
			line_add(labels, &line);
}

void labels_merge(json_t *labels, json_t *added, bool force, struct strlist *kept)
{
	const char *key;
	json_t *value;
	json_object_foreach(added, key, value) {
		json_t *before = json_object_get(labels, key);
		if (before == NULL || force)
			json_object_set(labels, key, value);
		else if (!json_equal(before, value))
			strlist_add(kept, key);
	}
	json_decref(added);
}

char *labels_format(json_t *labels)
{
	char *text = json_dumps(labels, JSON_INDENT(2) | JSON_SORT_KEYS);
	json_decref(labels);
	return text;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON documents: see document.h. jansson itself bounds the depth.
 */
#include "builder/oci/document.h"

#include "builder/size.h"
#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Two bytes of text ("[]") can become a hundred of memory. Real documents have hundreds of values, an image of 4096 layers
 * 40,000. */
enum { VALUES_MAX = 1 << 19 };

static const char *type_name(json_type type)
{
	switch (type) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a whole number";
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	default:
		return "null";
	}
}

/* How many values there are at most, counted by the marks before them. */
static size_t values_count(const char *text, size_t bytes)
{
	size_t count = 0;
	bool in_string = false;
	for (size_t i = 0; i < bytes; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && strchr("[{,:", text[i]) != NULL)
			count++;
	}
	return count;
}

int document_parse(const char *text, size_t bytes, size_t bytes_max, const char *name, json_type type, struct field *ret_root,
		   struct err *err)
{
	char size[SIZE_TEXT_MAX];
	if (bytes > bytes_max)
		return err_set(err, EBADMSG, "%s is larger than %s", name, size_format(bytes_max, size));
	if (values_count(text, bytes) > VALUES_MAX)
		return err_set(err, EBADMSG, "%s has more than %d values", name, VALUES_MAX);
	json_error_t why;
	json_t *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
	if (value == NULL)
		return err_set(err, EBADMSG, "%s is no JSON document: line %d: %s", name, why.line, why.text);
	*ret_root = (struct field){ .value = value, .document = name };
	if (json_typeof(value) == type)
		return 0;
	err_set(err, EBADMSG, "%s is %s, not %s", name, type_name(json_typeof(value)), type_name(type));
	json_decref(value);
	ret_root->value = NULL;
	return -EBADMSG;
}

int field_fail(const struct field *field, struct err *err, const char *format, ...)
{
	char what[512];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	return field->path[0] == '\0' ? err_set(err, EBADMSG, "%s %s", field->document, what) :
					err_set(err, EBADMSG, "%s: '%s' %s", field->document, field->path, what);
}

/* The path of a part of `from`; a path that is too long is cut. */
static void path_set(struct field *field, const struct field *from, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void path_set(struct field *field, const struct field *from, const char *format, ...)
{
	size_t bytes = strlen(from->path);
	memcpy(field->path, from->path, bytes + 1);
	va_list args;
	va_start(args, format);
	vsnprintf(field->path + bytes, sizeof(field->path) - bytes, format, args);
	va_end(args);
}

static int field_check(const struct field *field, json_type type, struct err *err)
{
	if (json_typeof(field->value) == type)
		return 1;
	return field_fail(field, err, "is %s, not %s", type_name(json_typeof(field->value)), type_name(type));
}

int field_member(const struct field *object, const char *key, json_type type, enum field_need need, struct field *ret_field,
		 struct err *err)
{
	ret_field->value = json_object_get(object->value, key);
	ret_field->document = object->document;
	path_set(ret_field, object, "%s%s", object->path[0] != '\0' ? "." : "", key);
	if (ret_field->value != NULL && json_is_null(ret_field->value))
		ret_field->value = NULL;
	if (ret_field->value == NULL)
		return need == FIELD_OPTIONAL ? 0 : field_fail(object, err, "has no '%s'", key);
	return field_check(ret_field, type, err);
}

int field_item(const struct field *array, size_t index, json_type type, struct field *ret_field, struct err *err)
{
	ret_field->value = json_array_get(array->value, index);
	ret_field->document = array->document;
	path_set(ret_field, array, "[%zu]", index);
	return field_check(ret_field, type, err);
}

bool field_has(const struct field *object, const char *key)
{
	const json_t *value = json_object_get(object->value, key);
	return value != NULL && !json_is_null(value);
}

int field_string(const struct field *object, const char *key, const char **ret_text, struct err *err)
{
	struct field field;
	int r = field_member(object, key, JSON_STRING, FIELD_OPTIONAL, &field, err);
	if (r < 0)
		return r;
	*ret_text = r > 0 && json_string_length(field.value) > 0 ? json_string_value(field.value) : NULL;
	return 0;
}

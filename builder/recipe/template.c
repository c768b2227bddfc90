/* SPDX-License-Identifier: Apache-2.0
 *
 * See template.h. The text is read twice: first for what is in %arguments, then line by line with all values at hand. The second
 * time, what is a here-document is decided by the lines as they have become.
 */
#include "builder/recipe/template.h"

#include "builder/recipe/nearest.h"
#include "builder/recipe/recipe.h"
#include "builder/recipe/scanner.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* A line of %arguments. */
struct fallback {
	char *name, *value;
	unsigned line;
	unsigned begin, end; /* the stage's first line, and that of the next stage */
};

struct buffer {
	char *bytes;
	size_t count, room;
};

struct template {
	struct template_arguments *given;
	struct fallback *fallbacks;
	size_t fallback_count;
	size_t fallback_bytes; /* of all values that had arguments in them */
	struct scanner scanner;
	struct text_line line;
	unsigned error_line; /* where it is wrong, after an error */
	struct buffer out;
};

static int no_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "cannot put arguments into the recipe");
}

static int put(struct buffer *out, const char *bytes, size_t count, struct err *err)
{
	if (out->count + count > RECIPE_BYTES_MAX)
		return err_set(err, EFBIG, "with its arguments, the recipe is longer than %d MiB", RECIPE_BYTES_MAX >> 20);
	if (out->count + count >= out->room) {
		size_t room = 2 * (out->count + count) + 256;
		char *grown = realloc(out->bytes, room);
		if (grown == NULL)
			return no_memory(err);
		out->bytes = grown;
		out->room = room;
	}
	memcpy(out->bytes + out->count, bytes, count);
	out->count += count;
	out->bytes[out->count] = '\0';
	return 0;
}

/* --- names and values --- */

static size_t name_length(const char *text, size_t length)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	size_t count = 0;
	while (count < length && text[count] != '\0' && strchr(allowed, text[count]) != NULL)
		count++;
	return count;
}

/* "NAME=VALUE". The caller frees both, whatever is returned. */
static int pair_split(const char *text, size_t length, char **ret_name, char **ret_value, struct err *err)
{
	const char *equals = memchr(text, '=', length);
	if (equals == NULL)
		return err_set(err, EINVAL, "'%.*s' is no argument: NAME=VALUE", (int)(length < 256 ? length : 256), text);
	*ret_name = text_trimmed(text, (size_t)(equals - text));
	*ret_value = text_trimmed(equals + 1, length - (size_t)(equals + 1 - text));
	if (*ret_name == NULL || *ret_value == NULL)
		return no_memory(err);
	if (**ret_name != '\0' && name_length(*ret_name, strlen(*ret_name)) == strlen(*ret_name))
		return 0;
	err_set(err, EINVAL, "'%s' is no name of an argument", *ret_name);
	return err_hint(err, "a name has letters, digits and '_'");
}

/* --- given arguments --- */

static bool is_name(const char *name, const char *text, size_t length)
{
	return strncmp(name, text, length) == 0 && name[length] == '\0';
}

static struct template_argument *given_find(const struct template_arguments *arguments, const char *name, size_t length,
					    bool from_file)
{
	for (size_t i = 0; i < arguments->count; i++)
		if (arguments->list[i].from_file == from_file && is_name(arguments->list[i].name, name, length))
			return &arguments->list[i];
	return NULL;
}

static bool is_given(const struct template_arguments *arguments, const char *name, size_t length)
{
	return given_find(arguments, name, length, false) != NULL || given_find(arguments, name, length, true) != NULL;
}

static int given_add(struct template_arguments *arguments, char **name, char **value, bool from_file, struct err *err)
{
	struct template_argument *same = given_find(arguments, *name, strlen(*name), from_file);
	if (same != NULL) {
		free(same->value);
		same->value = steal_ptr(value);
		return 0;
	}
	if (arguments->count == TEMPLATE_ARGUMENTS_MAX)
		return err_set(err, EINVAL, "there are more than %d arguments", TEMPLATE_ARGUMENTS_MAX);
	struct template_argument *list = reallocarray(arguments->list, arguments->count + 1, sizeof(*list));
	if (list == NULL)
		return no_memory(err);
	arguments->list = list;
	list[arguments->count++] = (struct template_argument){ steal_ptr(name), steal_ptr(value), from_file, false };
	return 0;
}

int template_arguments_add(struct template_arguments *arguments, const char *text, struct err *err)
{
	autofree char *name = NULL, *trimmed = NULL;
	int r = pair_split(text, strlen(text), &name, &trimmed, err);
	if (r < 0)
		return r;
	if (strpbrk(text, "\r\n") != NULL)
		return err_set(err, EINVAL, "the value of the argument '%s' has more than one line", name);
	autofree char *value = strdup(strchr(text, '=') + 1);
	return value == NULL ? no_memory(err) : given_add(arguments, &name, &value, false, err);
}

int template_arguments_read(struct template_arguments *arguments, const char *name, const char *text, size_t bytes,
			    struct err *err)
{
	autofree char *clean = NULL;
	struct text_line line = { .text = NULL };
	int r = text_clean(name, text, bytes, &clean, err);
	if (r < 0)
		return r;
	while (r == 0 && text_next(clean, &line)) {
		autofree char *key = NULL, *value = NULL;
		if (text_says_nothing(&line))
			continue;
		r = pair_split(line.text, line.length, &key, &value, err);
		if (r == 0)
			r = given_add(arguments, &key, &value, true, err);
	}
	return r < 0 ? err_prefix(err, "%s:%u", name, line.number) : 0;
}

void template_arguments_free(struct template_arguments *arguments)
{
	for (size_t i = 0; i < arguments->count; i++) {
		free(arguments->list[i].name);
		free(arguments->list[i].value);
	}
	free(arguments->list);
	*arguments = (struct template_arguments){ .count = 0 };
}

/* --- what a name stands for --- */

/* The last one of the name in the stage of the current line. */
static const struct fallback *fallback_find(const struct template *template, const char *name, size_t length)
{
	for (size_t i = template->fallback_count; i > 0; i--) {
		const struct fallback *fallback = &template->fallbacks[i - 1];
		if (template->line.number >= fallback->begin && template->line.number < fallback->end &&
		    is_name(fallback->name, name, length))
			return fallback;
	}
	return NULL;
}

static const char *nearest(const struct template *template, const char *name, size_t length)
{
	const char *names[2 * TEMPLATE_ARGUMENTS_MAX];
	size_t count = 0;
	autofree char *word = strndup(name, length);
	for (size_t i = 0; i < template->given->count; i++)
		names[count++] = template->given->list[i].name;
	for (size_t i = 0; i < template->fallback_count; i++)
		if (template->line.number >= template->fallbacks[i].begin && template->line.number < template->fallbacks[i].end)
			names[count++] = template->fallbacks[i].name;
	return word != NULL ? nearest_name(word, names, count) : NULL;
}

static int refuse(const struct template *template, const char *name, size_t length, struct err *err)
{
	const char *meant = nearest(template, name, length);
	int shown = (int)(length < 256 ? length : 256);
	if (meant != NULL)
		err_set(err, EINVAL, "the argument '%.*s' has no value: did you mean '%s'?", shown, name, meant);
	else
		err_set(err, EINVAL, "the argument '%.*s' has no value", shown, name);
	return err_hint(err, "give it one with --build-arg %.*s=VALUE, or in %%arguments of this stage", shown, name);
}

/* *ret_value is NULL if there is none. */
static void value_find(struct template *template, const char *name, size_t length, const char **ret_value)
{
	struct template_argument *option = given_find(template->given, name, length, false);
	struct template_argument *file = given_find(template->given, name, length, true);
	const struct fallback *fallback = fallback_find(template, name, length);
	if (option != NULL)
		option->used = true;
	if (file != NULL)
		file->used = true;
	*ret_value = option != NULL ? option->value : file != NULL ? file->value : fallback != NULL ? fallback->value : NULL;
}

/* --- putting values into a line --- */

/* "{{ NAME }}" at the beginning of text: its length, or 0. */
static size_t reference_length(const char *text, size_t length, const char **ret_name, size_t *ret_name_length)
{
	if (length < 2 || text[0] != '{' || text[1] != '{')
		return 0;
	size_t at = 2 + text_indent(text + 2, length - 2);
	*ret_name = text + at;
	*ret_name_length = name_length(text + at, length - at);
	at += *ret_name_length;
	at += text_indent(text + at, length - at);
	return *ret_name_length > 0 && length - at >= 2 && text[at] == '}' && text[at + 1] == '}' ? at + 2 : 0;
}

/* The next reference at or after *at, which is set to it. */
static size_t reference_next(const char *text, size_t length, size_t *at, const char **ret_name, size_t *ret_name_length)
{
	for (; *at < length; (*at)++) {
		size_t found = reference_length(text + *at, length - *at, ret_name, ret_name_length);
		if (found > 0)
			return found;
	}
	return 0;
}

/* Copies the text to out with the values in place of names. lenient: what has no value stays. */
static int expand(struct template *template, const char *text, size_t length, bool lenient, struct buffer *out, struct err *err)
{
	size_t done = 0, at = 0, found, count;
	const char *name, *value;
	while ((found = reference_next(text, length, &at, &name, &count)) > 0) {
		value_find(template, name, count, &value);
		if (value == NULL && !lenient)
			return refuse(template, name, count, err);
		int r = put(out, text + done, at - done, err);
		if (r == 0)
			r = value != NULL ? put(out, value, strlen(value), err) : put(out, text + at, found, err);
		if (r < 0)
			return r;
		at += found;
		done = at;
	}
	return put(out, text + done, length - done, err);
}

/* Tells the scanner what a line is, or has become. */
static int scan(struct template *template, const struct text_line *line, enum scanner_kind *ret_kind, struct err *err)
{
	int r = scanner_line(&template->scanner, line, ret_kind, err);
	if (r < 0)
		template->error_line = template->scanner.error_line;
	return r;
}

/* --- the first reading --- */

static void stage_begins(struct template *template, unsigned *begin)
{
	for (size_t i = 0; i < template->fallback_count; i++)
		if (template->fallbacks[i].end == UINT_MAX)
			template->fallbacks[i].end = template->line.number;
	*begin = template->line.number;
}

static int fallback_add(struct template *template, unsigned begin, struct err *err)
{
	autofree char *name = NULL, *value = NULL;
	if (text_says_nothing(&template->line))
		return 0;
	int r = pair_split(template->line.text, template->line.length, &name, &value, err);
	if (r < 0)
		return r;
	if (template->fallback_count == TEMPLATE_ARGUMENTS_MAX)
		return err_set(err, EINVAL, "there are more than %d arguments", TEMPLATE_ARGUMENTS_MAX);
	struct fallback *list = reallocarray(template->fallbacks, template->fallback_count + 1, sizeof(*list));
	if (list == NULL)
		return no_memory(err);
	template->fallbacks = list;
	list[template->fallback_count++] =
		(struct fallback){ steal_ptr(&name), steal_ptr(&value), template->line.number, begin, UINT_MAX };
	return 0;
}

static int fallbacks_read(struct template *template, const char *text, struct err *err)
{
	enum scanner_kind kind;
	unsigned begin = 1;
	int r = 0;
	while (r == 0 && text_next(text, &template->line)) {
		template->error_line = template->line.number;
		r = scan(template, &template->line, &kind, err);
		if (r == 0 && kind == SCANNER_STAGE)
			stage_begins(template, &begin);
		if (r == 0 && kind == SCANNER_TEXT && template->scanner.section.section == RECIPE_ARGUMENTS)
			r = fallback_add(template, begin, err);
	}
	return r;
}

static bool has_reference(const char *value)
{
	const char *name;
	size_t at = 0, count;
	return reference_next(value, strlen(value), &at, &name, &count) > 0;
}

/* What this one has in it must not have anything in it itself. */
static int fallback_check(struct template *template, const struct fallback *fallback, struct err *err)
{
	size_t at = 0, found, count, length = strlen(fallback->value);
	const char *name;
	while ((found = reference_next(fallback->value, length, &at, &name, &count)) > 0) {
		const struct fallback *other = fallback_find(template, name, count);
		if (!is_given(template->given, name, count) && other != NULL && other >= fallback && has_reference(other->value))
			return err_set(err, EINVAL, "'%s' has '%s' in it, which has another one in it and does not stand before",
				       fallback->name, other->name);
		at += found;
	}
	return 0;
}

static int fallback_expand(struct template *template, struct fallback *fallback, struct err *err)
{
	struct buffer out = { .count = 0 };
	if (!has_reference(fallback->value))
		return 0;
	template->line.number = template->error_line = fallback->line;
	int r = fallback_check(template, fallback, err);
	if (r == 0)
		r = expand(template, fallback->value, strlen(fallback->value), false, &out, err);
	if (out.bytes != NULL) {
		free(fallback->value);
		fallback->value = out.bytes;
	}
	/* All together have the room of one recipe, or a few lines could ask for any amount of memory. */
	template->fallback_bytes += out.count;
	if (r == 0 && template->fallback_bytes > RECIPE_BYTES_MAX)
		r = err_set(err, EFBIG, "the values in %%arguments are longer than %d MiB", RECIPE_BYTES_MAX >> 20);
	return r;
}

/* --- the second reading --- */

static bool is_comment(const struct text_line *line)
{
	size_t indent = text_indent(line->text, line->length);
	return indent < line->length && line->text[indent] == '#';
}

static int line_apply(struct template *template, struct err *err)
{
	struct buffer *out = &template->out;
	struct text_line line = template->line;
	enum scanner_kind kind;
	size_t begin = out->count;
	template->error_line = line.number;
	int r = is_comment(&line) ? put(out, line.text, line.length, err) :
				    expand(template, line.text, line.length, scanner_in_heredoc(&template->scanner), out, err);
	if (r < 0)
		return r;
	line.text = out->bytes + begin;
	line.length = out->count - begin;
	r = scan(template, &line, &kind, err);
	return r < 0 ? r : put(out, "\n", 1, err);
}

static void rewind_text(struct template *template)
{
	scanner_free(&template->scanner);
	template->scanner = (struct scanner){ .in_stage = false };
	template->line = (struct text_line){ .text = NULL };
}

static int text_apply(struct template *template, const char *text, struct err *err)
{
	int r = fallbacks_read(template, text, err);
	for (size_t i = 0; r == 0 && i < template->fallback_count; i++)
		r = fallback_expand(template, &template->fallbacks[i], err);
	if (r < 0)
		return r;
	rewind_text(template);
	r = put(&template->out, "", 0, err);
	while (r == 0 && text_next(text, &template->line))
		r = line_apply(template, err);
	return r;
}

static void template_free(struct template *template)
{
	for (size_t i = 0; i < template->fallback_count; i++) {
		free(template->fallbacks[i].name);
		free(template->fallbacks[i].value);
	}
	free(template->fallbacks);
	free(template->out.bytes);
	scanner_free(&template->scanner);
}

int template_apply(const char *name, const char *text, size_t bytes, struct template_arguments *arguments, char **ret_text,
		   size_t *ret_bytes, struct err *err)
{
	struct template template = { .given = arguments };
	autofree char *clean = NULL;
	int r = text_clean(name, text, bytes, &clean, err);
	if (r < 0)
		return r;
	r = text_apply(&template, clean, err);
	if (r < 0)
		err_prefix(err, "%s:%u", name, template.error_line);
	*ret_bytes = template.out.count;
	*ret_text = r < 0 ? NULL : steal_ptr(&template.out.bytes);
	template_free(&template);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * See section.h.
 */
#include "builder/recipe/section.h"

#include "builder/recipe/nearest.h"
#include "builder/recipe/text.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <string.h>

static const char *const names[RECIPE_SECTION_COUNT] = {
	[RECIPE_PRE] = "pre",
	[RECIPE_SETUP] = "setup",
	[RECIPE_FILES] = "files",
	[RECIPE_POST] = "post",
	[RECIPE_ENVIRONMENT] = "environment",
	[RECIPE_RUNSCRIPT] = "runscript",
	[RECIPE_STARTSCRIPT] = "startscript",
	[RECIPE_TEST] = "test",
	[RECIPE_LABELS] = "labels",
	[RECIPE_HELP] = "help",
	[RECIPE_ARGUMENTS] = "arguments",
	[RECIPE_APPINSTALL] = "appinstall",
	[RECIPE_APPLABELS] = "applabels",
	[RECIPE_APPFILES] = "appfiles",
	[RECIPE_APPENV] = "appenv",
	[RECIPE_APPTEST] = "apptest",
	[RECIPE_APPHELP] = "apphelp",
	[RECIPE_APPRUN] = "apprun",
	[RECIPE_APPSTART] = "appstart",
};

const char *recipe_section_name(enum recipe_section section)
{
	return names[section];
}

bool section_is_script(enum recipe_section section)
{
	switch (section) {
	case RECIPE_FILES:
	case RECIPE_LABELS:
	case RECIPE_HELP:
	case RECIPE_ARGUMENTS:
	case RECIPE_APPLABELS:
	case RECIPE_APPFILES:
	case RECIPE_APPHELP:
		return false;
	default:
		return true;
	}
}

/* --- words --- */

/* One word of the line at *at, its quotes and backslashes taken away, into word, which is long enough. Returns false if a quote
 * does not end. */
static bool take_word(const char **at, const char *end, char *word)
{
	char quote = '\0';
	for (; *at < end; (*at)++) {
		char c = **at;
		if (quote == '\0' && (c == ' ' || c == '\t'))
			break;
		if (c == quote)
			quote = '\0';
		else if (quote == '\0' && (c == '\'' || c == '"'))
			quote = c;
		else if (c == '\\' && quote != '\'' && *at + 1 < end)
			*word++ = *++*at;
		else
			*word++ = c;
	}
	*word = '\0';
	return quote == '\0';
}

/* What follows a '#' at the beginning of a word is a comment. */
static int words_split(const char *line, size_t length, struct strlist *words, struct err *err)
{
	const char *at = line, *end = line + length;
	autofree char *word = malloc(length + 1);
	if (word == NULL)
		return err_sys(err, ENOMEM, "cannot read a section");
	for (;;) {
		at += text_indent(at, (size_t)(end - at));
		if (at == end || *at == '#')
			return 0;
		if (!take_word(&at, end, word))
			return err_set(err, EINVAL, "a quote in the section's line does not end");
		if (strlist_add(words, word) < 0)
			return err_sys(err, ENOMEM, "cannot read a section");
	}
}

/* The first item, for which the list is no longer responsible. */
static char *words_shift(struct strlist *words)
{
	char *first = words->items[0];
	memmove(&words->items[0], &words->items[1], words->count * sizeof(words->items[0]));
	words->count--;
	return first;
}

/* --- names --- */

static int refuse_name(const char *name, struct err *err)
{
	const char *nearest = nearest_name(name, names, RECIPE_SECTION_COUNT);
	if (nearest != NULL)
		err_set(err, EINVAL, "there is no section '%%%s': did you mean '%s'?", name, nearest);
	else
		err_set(err, EINVAL, "there is no section '%%%s'", name);
	return err_hint(err, "a line that begins with '%%' begins a section, in scripts too, but for lines of here-documents");
}

static int find_name(const char *name, enum recipe_section *ret_section, struct err *err)
{
	for (int i = 0; i < RECIPE_SECTION_COUNT; i++)
		if (strcasecmp(name, names[i]) == 0) {
			*ret_section = (enum recipe_section)i;
			return 0;
		}
	return refuse_name(name, err);
}

bool section_is_app_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
	return name[0] != '.' && name[0] != '-' && name[0] != '\0' && strlen(name) <= 128 && name[strspn(name, allowed)] == '\0';
}

static int take_app(struct section_line *line, struct err *err)
{
	const char *section = names[line->section];
	if (line->words.count == 0)
		return err_set(err, EINVAL, "'%%%s' does not say which app: '%%%s NAME'", section, section);
	line->app = words_shift(&line->words);
	if (section_is_app_name(line->app))
		return 0;
	err_set(err, EINVAL, "'%s' is no name for an app", line->app);
	return err_hint(err, "it has letters, digits, '_', '-', '+' and '.', and begins with neither '-' nor '.'");
}

int section_line_parse(const char *line, size_t length, struct section_line *ret_line, struct err *err)
{
	const char *at = line + text_indent(line, length) + 1, *end = line + length;
	const char *word_end = at;
	*ret_line = (struct section_line){ .app = NULL };
	while (word_end < end && *word_end != ' ' && *word_end != '\t')
		word_end++;
	autofree char *name = strndup(at, (size_t)(word_end - at));
	if (name == NULL)
		return err_sys(err, ENOMEM, "cannot read a section");
	int r = find_name(name, &ret_line->section, err);
	if (r == 0)
		r = words_split(word_end, (size_t)(end - word_end), &ret_line->words, err);
	return r < 0 || ret_line->section < RECIPE_APPINSTALL ? r : take_app(ret_line, err);
}

void section_line_free(struct section_line *line)
{
	free(line->app);
	strlist_free(&line->words);
	*line = (struct section_line){ .app = NULL };
}

/* --- which language --- */

static bool is_shell(const char *program, size_t length)
{
	static const char *const shells[] = { "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox" };
	for (size_t i = length; i > 0; i--)
		if (program[i - 1] == '/') {
			program += i;
			length -= i;
			break;
		}
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		if (strlen(shells[i]) == length && memcmp(program, shells[i], length) == 0)
			return true;
	return false;
}

static size_t word_length(const char *text, size_t length)
{
	size_t count = 0;
	while (count < length && text[count] != ' ' && text[count] != '\t')
		count++;
	return count;
}

/* "#!/usr/bin/env -S bash -e" means bash. */
static bool names_shell(const char *line, size_t length)
{
	const char *end = line + length;
	bool through_env = true;
	while (line < end) {
		line += text_indent(line, (size_t)(end - line));
		size_t word = word_length(line, (size_t)(end - line));
		bool env = word >= 3 && memcmp(line + word - 3, "env", 3) == 0;
		through_env = env || (word > 0 && line[0] == '-');
		if (!through_env)
			return is_shell(line, word);
		line += word;
	}
	return through_env;
}

/* A script of the build is given to the shell, or to what "-c" names. The others become files. */
static bool is_build_script(enum recipe_section section)
{
	return section == RECIPE_PRE || section == RECIPE_SETUP || section == RECIPE_POST;
}

bool section_is_shell(const struct section_line *line, const char *first, size_t length)
{
	const struct strlist *words = &line->words;
	if (!is_build_script(line->section))
		return length < 2 || memcmp(first, "#!", 2) != 0 || names_shell(first + 2, length - 2);
	for (size_t i = 0; i + 1 < words->count; i++)
		if (strcmp(words->items[i], "-c") == 0)
			return names_shell(words->items[i + 1], strlen(words->items[i + 1]));
	return true;
}

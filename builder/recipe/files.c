/* SPDX-License-Identifier: Apache-2.0
 *
 * The section %files: see files.h.
 */
#include "builder/recipe/files_internal.h"

#include "builder/recipe/glob.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/strlist.h"

#include <errno.h>
#include <string.h>

static const char BLANKS[] = " \t\r\v\f";

void files_free(struct files_list *list)
{
	if (list == NULL)
		return;
	for (size_t i = 0; i < list->count; i++) {
		free(list->entries[i].source);
		free(list->entries[i].destination);
	}
	free(list->entries);
	free(list->recipe_name);
	free(list);
}

/* --- words --- */

struct word {
	char *text; /* a pattern: a backslash before each byte that is literal and could mean something */
	size_t used;
};

/* A word is never longer than twice its line. */
static void put(struct word *word, char c, bool literal)
{
	if (literal && strchr("\\*?[]{}(),|@+!^-", c) != NULL)
		word->text[word->used++] = '\\';
	word->text[word->used++] = c;
}

/* Takes the byte after a backslash. */
static int put_escaped(struct word *word, const char **at, struct err *err)
{
	if ((*at)[1] == '\0') {
		err_set(err, EINVAL, "the line ends with a backslash");
		return err_hint(err, "each line is one source and its destination, and cannot go on in the next");
	}
	put(word, (*at)[1], true);
	*at += 2;
	return 0;
}

static int put_quoted(struct word *word, const char **at, struct err *err)
{
	char quote = **at;
	for (++*at; **at != quote;) {
		if (**at == '\0') {
			err_set(err, EINVAL, "a quote is not closed");
			return err_hint(err, "a quote that is part of a name has a backslash before it: \\%c", quote);
		}
		if (**at == '\\' && quote == '"') {
			int r = put_escaped(word, at, err);
			if (r < 0)
				return r;
			continue;
		}
		put(word, **at, quote == '\'');
		++*at;
	}
	++*at;
	return 0;
}

/* Takes the next word of a line off *at. */
static int word_next(const char **at, char **ret_word, struct err *err)
{
	struct word word = { .text = malloc(strlen(*at) * 2 + 1) };
	autofree char *text = word.text;
	if (text == NULL)
		return err_sys(err, ENOMEM, "cannot read the line");
	int r = 0;
	while (r == 0 && **at != '\0' && strchr(BLANKS, **at) == NULL) {
		if (**at == '\\')
			r = put_escaped(&word, at, err);
		else if (**at == '"' || **at == '\'')
			r = put_quoted(&word, at, err);
		else
			put(&word, *(*at)++, false);
	}
	if (r < 0)
		return r;
	text[word.used] = '\0';
	*ret_word = steal_ptr(&text);
	return 0;
}

/* --- lines --- */

/* Whether another word begins at *at, past blanks. */
static bool word_begins(const char **at)
{
	*at += strspn(*at, BLANKS);
	return **at != '\0' && **at != '#';
}

static int err_words(struct err *err, const char *third)
{
	err_set(err, EINVAL, "more than a source and a destination: what is '%s'?", third);
	return err_hint(err, "put a name with blanks into quotes: \"my file\" /destination; each source has a line of its own");
}

/* An empty destination is none. */
static int destination_take(struct files_entry *entry, const char **at, struct err *err)
{
	autofree char *pattern = NULL;
	int r = word_next(at, &pattern, err);
	if (r < 0 || pattern[0] == '\0')
		return r;
	entry->destination = glob_literal(pattern);
	return entry->destination == NULL ? err_sys(err, ENOMEM, "cannot read the line") : 0;
}

/* Takes a line that has a word. */
static int line_parse(const char *at, struct files_entry *entry, struct err *err)
{
	int r = word_next(&at, &entry->source, err);
	if (r == 0 && entry->source[0] == '\0')
		return err_set(err, EINVAL, "the source is empty");
	if (r == 0 && word_begins(&at))
		r = destination_take(entry, &at, err);
	return r == 0 && word_begins(&at) ? err_words(err, at) : r;
}

static int entry_add(struct files_list *list, unsigned line, const char *text, struct err *err)
{
	struct files_entry *entries = reallocarray(list->entries, list->count + 1, sizeof(*entries));
	if (entries == NULL)
		return err_sys(err, ENOMEM, "cannot read the section %%files");
	list->entries = entries;
	struct files_entry *entry = &entries[list->count++];
	*entry = (struct files_entry){ .line = line };
	return line_parse(text, entry, err) < 0 ? files_failed(list, entry, err) : 0;
}

static int lines_parse(struct files_list *list, const char *text, unsigned line, struct err *err)
{
	for (; *text != '\0'; line++) {
		size_t bytes = strcspn(text, "\n");
		autofree char *copy = strndup(text, bytes);
		if (copy == NULL)
			return err_sys(err, ENOMEM, "cannot read the section %%files");
		const char *at = copy;
		int r = word_begins(&at) ? entry_add(list, line, at, err) : 0;
		if (r < 0)
			return r;
		text += bytes + (text[bytes] == '\n');
	}
	return 0;
}

int files_parse(const char *text, unsigned first_line, const char *recipe_name, struct files_list **ret_list, struct err *err)
{
	struct files_list *list = calloc(1, sizeof(*list));
	if (list == NULL || (list->recipe_name = strdup(recipe_name)) == NULL) {
		files_free(list);
		return err_sys(err, ENOMEM, "cannot read the section %%files");
	}
	int r = lines_parse(list, text, first_line, err);
	if (r < 0)
		files_free(list);
	else
		*ret_list = list;
	return r;
}

/* --- sources --- */

/* Why there may be no such file. */
static int missing_hint(const struct files_entry *entry, const struct walk_source *source, struct err *err)
{
	if (entry->source[0] == '~' || strchr(entry->source, '$') != NULL)
		return err_hint(err, "'~' and variables are not expanded: write the whole path");
	if (source->is_stage)
		return err_hint(err, "paths are those of the stage '%s'", source->name);
	if (entry->source[0] != '/')
		return err_hint(err, "paths are relative to '%s'", source->name);
	return err->code;
}

int files_expand(const struct files_entry *entry, const struct walk_source *source, struct strlist *ret_paths, struct err *err)
{
	struct glob_base base = { .fd = source->directory_fd, .is_root = source->is_stage };
	struct err own = ERR_INIT;
	int r = glob_expand(&base, entry->source, ret_paths, &own);
	if (r == -ENOENT)
		missing_hint(entry, source, &own);
	if (r < 0 && err != NULL)
		*err = own;
	return r;
}

int files_failed(const struct files_list *list, const struct files_entry *entry, struct err *err)
{
	return err_prefix(err, "%s:%u", list->recipe_name, entry->line);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * See shell.h. What is wrong is forgiven here, since a shell is going to say so: a parenthesis too many, a quote too few.
 */
#include "builder/recipe/shell.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <string.h>

enum context {
	COMMAND, /* in parentheses, or not within anything */
	BACKTICK,
	SINGLE,  /* '…' */
	ANSI,    /* $'…', in which a backslash has its meaning */
	DOUBLE,
	BRACE,   /* ${…} */
	NUMBER,  /* one of the parentheses of $((…)) */
	BRACKET, /* $[…], which bash still has */
};

struct cursor {
	const char *at, *end;
	unsigned line;
};

static char peek(const struct cursor *cursor, size_t ahead)
{
	return (size_t)(cursor->end - cursor->at) > ahead ? cursor->at[ahead] : '\0';
}

static void skip(struct cursor *cursor, size_t count)
{
	size_t left = (size_t)(cursor->end - cursor->at);
	cursor->at += count < left ? count : left;
}

static enum context innermost(const struct shell *shell)
{
	return shell->depth > 0 ? shell->contexts[shell->depth - 1] : COMMAND;
}

static bool in_command(const struct shell *shell)
{
	return innermost(shell) == COMMAND || innermost(shell) == BACKTICK;
}

static int enter(struct shell *shell, enum context context, struct err *err)
{
	if (shell->depth == SHELL_DEPTH_MAX)
		return err_set(err, EINVAL, "more than %d quotes, parentheses and braces are open within one another",
			       SHELL_DEPTH_MAX);
	shell->contexts[shell->depth++] = (unsigned char)context;
	shell->in_word = context != COMMAND && context != BACKTICK;
	return 0;
}

static void leave(struct shell *shell)
{
	if (shell->depth > 0)
		shell->depth--;
	shell->in_word = true;
}

/* Whether a single quote is only a character: in double quotes, also in braces within them. */
static bool is_in_double(const struct shell *shell)
{
	int i = shell->depth;
	while (i > 0 && shell->contexts[i - 1] == BRACE)
		i--;
	return i > 0 && shell->contexts[i - 1] == DOUBLE;
}

/* A second backtick ends what the first one began, and all that is still open in it. */
static int take_backtick(struct shell *shell, struct cursor *cursor, struct err *err)
{
	skip(cursor, 1);
	for (int i = shell->depth; i > 0; i--)
		if (shell->contexts[i - 1] == BACKTICK) {
			shell->depth = i - 1;
			shell->in_word = true;
			return 0;
		}
	return enter(shell, BACKTICK, err);
}

static int take_dollar(struct shell *shell, struct cursor *cursor, struct err *err)
{
	char next = peek(cursor, 1);
	bool number = next == '(' && peek(cursor, 2) == '(';
	shell->in_word = true;
	if (next != '(' && next != '{' && next != '[' && (next != '\'' || is_in_double(shell))) {
		skip(cursor, 1);
		return 0;
	}
	skip(cursor, number ? 3 : 2);
	if (number) {
		int r = enter(shell, NUMBER, err);
		return r < 0 ? r : enter(shell, NUMBER, err);
	}
	return enter(shell, next == '(' ? COMMAND : next == '{' ? BRACE : next == '[' ? BRACKET : ANSI, err);
}

/* --- the word after << --- */

static bool ends_word(char c, bool in_backtick)
{
	return strchr(" \t;&|<>()", c) != NULL || (in_backtick && c == '`');
}

/* What stands in quotes; the cursor is behind the first one. A quote that does not end on its line is the shell's to refuse. */
static size_t take_quoted(struct cursor *cursor, char quote, char *word, size_t length)
{
	while (cursor->at < cursor->end && *cursor->at != quote) {
		if (quote == '"' && *cursor->at == '\\' && peek(cursor, 1) != '\0' && strchr("\"\\$`", peek(cursor, 1)) != NULL)
			skip(cursor, 1);
		word[length++] = *cursor->at++;
	}
	skip(cursor, 1);
	return length;
}

/* Returns the word without quotes, or NULL without memory; "" with *ret_literal false is no word at all. */
static char *take_delimiter(struct cursor *cursor, bool in_backtick, bool *ret_literal)
{
	size_t length = 0;
	char *word = malloc((size_t)(cursor->end - cursor->at) + 1);
	if (word == NULL)
		return NULL;
	*ret_literal = false;
	while (cursor->at < cursor->end && !ends_word(*cursor->at, in_backtick)) {
		char c = *cursor->at++;
		*ret_literal |= c == '\'' || c == '"' || c == '\\';
		if (c == '\'' || c == '"')
			length = take_quoted(cursor, c, word, length);
		else if (c != '\\')
			word[length++] = c;
		else if (cursor->at < cursor->end)
			word[length++] = *cursor->at++;
	}
	word[length] = '\0';
	return word;
}

/* "<<" is a here-document, "<<<" a string. */
static int take_heredoc(struct shell *shell, struct cursor *cursor, struct err *err)
{
	struct shell_heredoc heredoc = { .line = cursor->line };
	bool string = peek(cursor, 2) == '<';
	heredoc.tabs = peek(cursor, 2) == '-';
	shell->in_word = false;
	skip(cursor, string || heredoc.tabs ? 3 : 2);
	if (string)
		return 0;
	while (peek(cursor, 0) == ' ' || peek(cursor, 0) == '\t')
		skip(cursor, 1);
	heredoc.delimiter = take_delimiter(cursor, innermost(shell) == BACKTICK, &heredoc.literal);
	if (heredoc.delimiter == NULL)
		return err_sys(err, ENOMEM, "cannot read a here-document");
	shell->in_word = true;
	bool nothing = heredoc.delimiter[0] == '\0' && !heredoc.literal;
	if (nothing || shell->heredoc_count == SHELL_HEREDOCS_MAX) {
		free(heredoc.delimiter);
		return nothing ? 0 : err_set(err, EINVAL, "there are more than %d here-documents in a line", SHELL_HEREDOCS_MAX);
	}
	shell->heredocs[shell->heredoc_count++] = heredoc;
	return 0;
}

/* --- one step within each context --- */

static void skip_comment(struct shell *shell, struct cursor *cursor)
{
	const char *end = cursor->end;
	if (innermost(shell) == BACKTICK)
		end = memchr(cursor->at, '`', (size_t)(cursor->end - cursor->at));
	cursor->at = end != NULL ? end : cursor->end;
}

/* "((" is arithmetic of bash. A subshell within a subshell may look like it, and its author can tell them apart by a blank. */
static int take_parenthesis(struct shell *shell, struct cursor *cursor, struct err *err)
{
	bool number = !shell->in_word && peek(cursor, 1) == '(';
	skip(cursor, number ? 2 : 1);
	if (!number)
		return enter(shell, COMMAND, err);
	int r = enter(shell, NUMBER, err);
	return r < 0 ? r : enter(shell, NUMBER, err);
}

static int take_plain(struct shell *shell, struct cursor *cursor)
{
	shell->in_word = strchr(" \t;&|<>()", *cursor->at) == NULL;
	skip(cursor, 1);
	return 0;
}

static int step_command(struct shell *shell, struct cursor *cursor, struct err *err)
{
	switch (*cursor->at) {
	case '#':
		if (shell->in_word)
			return take_plain(shell, cursor);
		skip_comment(shell, cursor);
		return 0;
	case '\'':
	case '"':
		skip(cursor, 1);
		return enter(shell, cursor->at[-1] == '"' ? DOUBLE : SINGLE, err);
	case '(':
		return take_parenthesis(shell, cursor, err);
	case ')':
		/* That of a case's pattern closes nothing. */
		if (innermost(shell) == COMMAND)
			leave(shell);
		return take_plain(shell, cursor);
	case '<':
		return peek(cursor, 1) == '<' ? take_heredoc(shell, cursor, err) : take_plain(shell, cursor);
	default:
		return take_plain(shell, cursor);
	}
}

/* Within quotes, braces and arithmetic, where << is no operator. */
static int step_inside(struct shell *shell, struct cursor *cursor, struct err *err)
{
	enum context context = innermost(shell);
	char c = *cursor->at;
	skip(cursor, 1);
	if (c == '"' && context != DOUBLE)
		return enter(shell, DOUBLE, err);
	if (c == '\'' && context == BRACE && !is_in_double(shell))
		return enter(shell, SINGLE, err);
	if ((c == '(' && context == NUMBER) || (c == '[' && context == BRACKET))
		return enter(shell, context, err);
	if ((c == '"' && context == DOUBLE) || (c == '}' && context == BRACE) || (c == ')' && context == NUMBER) ||
	    (c == ']' && context == BRACKET))
		leave(shell);
	return 0;
}

static void step_quoted(struct shell *shell, struct cursor *cursor)
{
	if (*cursor->at == '\'')
		leave(shell);
	skip(cursor, *cursor->at == '\\' && innermost(shell) == ANSI ? 2 : 1);
}

static int step(struct shell *shell, struct cursor *cursor, struct err *err)
{
	enum context context = innermost(shell);
	if (context == SINGLE || context == ANSI) {
		step_quoted(shell, cursor);
		return 0;
	}
	switch (*cursor->at) {
	case '\\':
		shell->continued = cursor->at + 1 == cursor->end;
		shell->in_word |= !shell->continued;
		skip(cursor, 2);
		return 0;
	case '`':
		return take_backtick(shell, cursor, err);
	case '$':
		return take_dollar(shell, cursor, err);
	default:
		return in_command(shell) ? step_command(shell, cursor, err) : step_inside(shell, cursor, err);
	}
}

/* --- lines --- */

static void heredoc_end(struct shell *shell)
{
	free(shell->heredocs[0].delimiter);
	shell->heredoc_count--;
	memmove(&shell->heredocs[0], &shell->heredocs[1], (size_t)shell->heredoc_count * sizeof(shell->heredocs[0]));
	shell->in_heredoc = shell->heredoc_count > 0;
	shell->continued = false;
}

/* Without quotes around the delimiter, a backslash at the end joins a line with the next one, which then is no delimiter. */
static void heredoc_line(struct shell *shell, const char *line, size_t length)
{
	const struct shell_heredoc *heredoc = &shell->heredocs[0];
	size_t backslashes = 0, tabs = 0;
	while (heredoc->tabs && tabs < length && line[tabs] == '\t')
		tabs++;
	bool same = length - tabs == strlen(heredoc->delimiter) && memcmp(line + tabs, heredoc->delimiter, length - tabs) == 0;
	if (same && !shell->continued) {
		heredoc_end(shell);
		return;
	}
	while (backslashes < length && line[length - 1 - backslashes] == '\\')
		backslashes++;
	shell->continued = !heredoc->literal && backslashes % 2 == 1;
}

int shell_line(struct shell *shell, const char *line, size_t length, unsigned number, struct err *err)
{
	struct cursor cursor = { .at = line, .end = line + length, .line = number };
	if (shell->in_heredoc) {
		heredoc_line(shell, line, length);
		return 0;
	}
	shell->continued = false;
	int r = 0;
	while (r == 0 && cursor.at < cursor.end)
		r = step(shell, &cursor, err);
	if (r < 0 || shell->continued || !in_command(shell))
		return r;
	shell->in_word = false;
	shell->in_heredoc = shell->heredoc_count > 0;
	return 0;
}

int shell_end(const struct shell *shell, unsigned *ret_line, struct err *err)
{
	if (shell->heredoc_count == 0)
		return 0;
	const struct shell_heredoc *heredoc = &shell->heredocs[0];
	*ret_line = heredoc->line;
	err_set(err, EINVAL, "the here-document that begins here does not end: no line after it is '%s'", heredoc->delimiter);
	return err_hint(err, "%s may stand before '%s', and nothing after it", heredoc->tabs ? "only tabs" : "nothing",
			heredoc->delimiter);
}

void shell_reset(struct shell *shell)
{
	for (int i = 0; i < shell->heredoc_count; i++)
		free(shell->heredocs[i].delimiter);
	*shell = (struct shell){ .depth = 0 };
}

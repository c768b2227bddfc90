/* SPDX-License-Identifier: Apache-2.0
 *
 * See scanner.h.
 */
#include "builder/recipe/scanner.h"

#include "lib/err.h"

#include <errno.h>
#include <string.h>

static const char BOOTSTRAP[] = "bootstrap:";

static bool is_bootstrap(const char *text, size_t length)
{
	return length >= sizeof(BOOTSTRAP) - 1 && strncasecmp(text, BOOTSTRAP, sizeof(BOOTSTRAP) - 1) == 0;
}

/* The first one may be indented; behind it, that would be text that stages have never been split at. */
static bool begins_stage(const struct scanner *scanner, const struct text_line *line)
{
	size_t indent = scanner->in_stage ? 0 : text_indent(line->text, line->length);
	return is_bootstrap(line->text + indent, line->length - indent);
}

static bool begins_section(const struct text_line *line)
{
	size_t indent = text_indent(line->text, line->length);
	return indent < line->length && line->text[indent] == '%';
}

static int section_begin(struct scanner *scanner, const struct text_line *line, struct err *err)
{
	if (!scanner->in_stage)
		return err_set(err, EINVAL, "a section comes before the line 'Bootstrap: AGENT', which begins a recipe");
	section_line_free(&scanner->section);
	int r = section_line_parse(line->text, line->length, &scanner->section, err);
	scanner->in_section = true;
	scanner->first = true;
	scanner->script = section_is_script(scanner->section.section);
	return r;
}

static int take_text(struct scanner *scanner, const struct text_line *line, struct err *err)
{
	size_t indent = text_indent(line->text, line->length);
	if (scanner->first && scanner->script && indent < line->length) {
		scanner->script = section_is_shell(&scanner->section, line->text + indent, line->length - indent);
		scanner->first = false;
	}
	return scanner->script ? shell_line(&scanner->shell, line->text, line->length, line->number, err) : 0;
}

static int take_header(struct scanner *scanner, const struct text_line *line, enum scanner_kind *ret_kind, struct err *err)
{
	*ret_kind = text_says_nothing(line) ? SCANNER_NOTHING : SCANNER_HEADER;
	if (scanner->in_stage || *ret_kind == SCANNER_NOTHING)
		return 0;
	return err_set(err, EINVAL, "a recipe begins with a line 'Bootstrap: AGENT', not with this one");
}

static int take_line(struct scanner *scanner, const struct text_line *line, enum scanner_kind *ret_kind, struct err *err)
{
	bool stage = !scanner->shell.in_heredoc && begins_stage(scanner, line);
	bool section = !scanner->shell.in_heredoc && begins_section(line);
	int r = stage || section ? scanner_end(scanner, err) : 0;
	if (r < 0)
		return r;
	if (stage) {
		scanner->in_stage = true;
		scanner->in_section = false;
		*ret_kind = SCANNER_STAGE;
		return 0;
	}
	if (section) {
		*ret_kind = SCANNER_SECTION;
		return section_begin(scanner, line, err);
	}
	if (!scanner->in_section)
		return take_header(scanner, line, ret_kind, err);
	*ret_kind = SCANNER_TEXT;
	return take_text(scanner, line, err);
}

int scanner_line(struct scanner *scanner, const struct text_line *line, enum scanner_kind *ret_kind, struct err *err)
{
	scanner->error_line = line->number;
	return take_line(scanner, line, ret_kind, err);
}

int scanner_end(struct scanner *scanner, struct err *err)
{
	int r = shell_end(&scanner->shell, &scanner->error_line, err);
	shell_reset(&scanner->shell);
	return r;
}

bool scanner_in_heredoc(const struct scanner *scanner)
{
	return scanner->shell.in_heredoc;
}

void scanner_free(struct scanner *scanner)
{
	section_line_free(&scanner->section);
	shell_reset(&scanner->shell);
}

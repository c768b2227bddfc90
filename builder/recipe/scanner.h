/* SPDX-License-Identifier: Apache-2.0
 *
 * What each line of a recipe is: part of a header, the beginning of a section, or text. Lines come one by one, so that arguments
 * can be put into each (template.c), and what they make of it counts.
 */
#ifndef SIMG_BUILDER_RECIPE_SCANNER_H
#define SIMG_BUILDER_RECIPE_SCANNER_H

#include "builder/recipe/section.h"
#include "builder/recipe/shell.h"
#include "builder/recipe/text.h"

enum scanner_kind {
	SCANNER_NOTHING, /* a blank line or a comment before the first section of a stage */
	SCANNER_STAGE,   /* "Bootstrap: …" */
	SCANNER_HEADER,  /* another line of the header */
	SCANNER_SECTION, /* its meaning is in scanner.section, which the caller may take */
	SCANNER_TEXT,    /* of the section */
};

/* All zeros at the beginning. */
struct scanner {
	struct section_line section; /* that the text belongs to */
	struct shell shell;
	bool in_stage, in_section;
	bool first;  /* no line of the section so far, but blank ones */
	bool script; /* here-documents count */
	unsigned error_line; /* where it is wrong, after an error */
};

/* Takes in the next line. */
int scanner_line(struct scanner *scanner, const struct text_line *line, enum scanner_kind *ret_kind, struct err *err);

/* There are no more lines. */
int scanner_end(struct scanner *scanner, struct err *err);

/* Whether the next line belongs to a here-document. */
bool scanner_in_heredoc(const struct scanner *scanner);

void scanner_free(struct scanner *scanner);

#endif

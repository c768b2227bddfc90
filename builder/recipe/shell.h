/* SPDX-License-Identifier: Apache-2.0
 *
 * As much of the shell's syntax as tells which lines of a script are in a here-document: quotes, comments, substitutions,
 * arithmetic and the operators << and <<-. The script comes line by line.
 */
#ifndef SIMG_BUILDER_RECIPE_SHELL_H
#define SIMG_BUILDER_RECIPE_SHELL_H

#include <stdbool.h>
#include <stddef.h>

struct err;

enum { SHELL_DEPTH_MAX = 256, SHELL_HEREDOCS_MAX = 16 };

struct shell_heredoc {
	char *delimiter;
	bool tabs;     /* <<-: tabs before the delimiter do not count */
	bool literal;  /* the delimiter was quoted: a backslash joins no lines */
	unsigned line; /* of the operator */
};

struct shell {
	unsigned char contexts[SHELL_DEPTH_MAX]; /* the quotes, parentheses and braces that are open */
	int depth;
	bool in_word;   /* what comes is not the first character of a word */
	bool continued; /* the line before ended with a backslash */
	struct shell_heredoc heredocs[SHELL_HEREDOCS_MAX]; /* that the lines so far asked for, and that have not ended */
	int heredoc_count;
	bool in_heredoc; /* the next line belongs to heredocs[0] */
};

/* Takes in a line, without its end. number is the line's, for messages. */
int shell_line(struct shell *shell, const char *line, size_t length, unsigned number, struct err *err);

/* The script is over. If a here-document is not, -EINVAL, and *ret_line is where it began. */
int shell_end(const struct shell *shell, unsigned *ret_line, struct err *err);

/* Back to the beginning of a script. A struct of zeros is there already. */
void shell_reset(struct shell *shell);

#endif

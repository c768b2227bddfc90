/* SPDX-License-Identifier: Apache-2.0
 *
 * Scripts for sh: see script.h.
 */
#include "builder/script.h"

#include "lib/cleanup.h"
#include "lib/image_config.h"
#include "lib/strlist.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Text that grows. */
struct text {
	FILE *out;
	char *data;
	size_t bytes;
};

static bool text_begin(struct text *text)
{
	*text = (struct text){ 0 };
	text->out = open_memstream(&text->data, &text->bytes);
	return text->out != NULL;
}

static char *text_end(struct text *text)
{
	bool failed = ferror(text->out);
	failed |= fclose(text->out) != 0;
	if (failed)
		free(text->data);
	return failed ? NULL : text->data;
}

/* One word for sh. Within single quotes, the single quote is the only byte with a meaning. */
static void put_word(FILE *out, const char *word)
{
	fputc('\'', out);
	for (const char *c = word; *c != '\0'; c++) {
		if (*c == '\'')
			fputs("'\\''", out);
		else
			fputc(*c, out);
	}
	fputc('\'', out);
}

static void put_words(FILE *out, const struct strlist *words)
{
	for (size_t i = 0; i < words->count; i++) {
		fputc(' ', out);
		put_word(out, words->items[i]);
	}
}

static void put_command(FILE *out, const struct strlist *command, bool has_entrypoint)
{
	if (command->count > 0) {
		fputs("[ $# -gt 0 ] || set --", out);
		put_words(out, command);
		fputc('\n', out);
	} else if (!has_entrypoint) {
		fputs("if [ $# -eq 0 ]; then\n"
		      "\techo 'this image names no command: starting a shell' >&2\n"
		      "\tset -- /bin/sh\n"
		      "fi\n",
		      out);
	}
}

char *script_run(const struct strlist *entrypoint, const struct strlist *command)
{
	struct text text;
	bool has_entrypoint = entrypoint->count > 1 || (entrypoint->count == 1 && entrypoint->items[0][0] != '\0');
	if (!text_begin(&text))
		return NULL;
	fputs("#!/bin/sh\n# The image's command, from its OCI configuration. Arguments take the place of its default ones.\n",
	      text.out);
	put_command(text.out, command, has_entrypoint);
	if (has_entrypoint) {
		fputs("set --", text.out);
		put_words(text.out, entrypoint);
		fputs(" \"$@\"\n", text.out);
	}
	/* Older shells of the Almquist family know no "exec --", and do not take a dash for an option either. */
	fputs("case $1 in\n"
	      "-*) exec -- \"$@\" ;;\n"
	      "*) exec \"$@\" ;;\n"
	      "esac\n",
	      text.out);
	return text_end(&text);
}

/* Whether a later item has the same name. */
static bool is_replaced(const struct strlist *env, size_t item)
{
	size_t length = strcspn(env->items[item], "=") + 1;
	for (size_t i = item + 1; i < env->count; i++)
		if (strncmp(env->items[item], env->items[i], length) == 0)
			return true;
	return false;
}

static void put_variable(FILE *out, const char *item)
{
	int length = (int)strcspn(item, "=");
	if (length != 4 || memcmp(item, "PATH", 4) != 0)
		fprintf(out, "[ -n \"${%.*s-}\" ] || ", length, item);
	fprintf(out, "%.*s=", length, item);
	put_word(out, item + length + 1);
	fprintf(out, "\nexport %.*s\n", length, item);
}

char *script_environment(const struct strlist *env)
{
	struct text text;
	if (!text_begin(&text))
		return NULL;
	fputs("#!/bin/sh\n# The image's environment, from its OCI configuration. What the caller has set, but for PATH, stays.\n",
	      text.out);
	for (size_t i = 0; i < env->count; i++)
		if (image_env_is_valid(env->items[i]) && !is_replaced(env, i))
			put_variable(text.out, env->items[i]);
	return text_end(&text);
}

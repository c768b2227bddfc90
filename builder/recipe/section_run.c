/* SPDX-License-Identifier: Apache-2.0
 *
 * See section_run.h. The script's first line, where the recipe has its header, sets the trace; the trace's prefix, "+%post:12: ", is
 * what tells it from other output.
 */
#include "builder/recipe/section_run.h"

#include "builder/progress.h"
#include "builder/recipe/recipe.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/strlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16 * 1024, KEPT_BYTES = 64 * 1024, COMMAND_MAX = 300 };

/* What the script prints, line by line. */
struct printer {
	struct section_run *run;
	char line[LINE_MAX_BYTES];
	size_t bytes;
	char *kept;            /* of a quiet run: the last KEPT_BYTES, and where they begin in the ring */
	size_t kept_bytes;
	char label[64];        /* "%post" */
	char command[COMMAND_MAX];
	unsigned number;       /* of the command's line */
};

static void label_format(const struct section_run *run, char *label, size_t room)
{
	snprintf(label, room, "%%%s%s%.32s", recipe_section_name((enum recipe_section)run->section), run->app != NULL ? " " : "",
		 run->app != NULL ? run->app : "");
}

/* --- output --- */

/* How many of the command's words are in the line; 0 unless the first one is. */
static int line_score(const char *line, size_t length, const char *command)
{
	int score = 0;
	for (const char *word = command; *word != '\0'; word += strspn(word, " ")) {
		size_t bytes = strcspn(word, " ");
		if (memmem(line, length, word, bytes) != NULL)
			score++;
		else if (word == command)
			return 0;
		word += bytes;
	}
	return score;
}

/* The line that is most like a command, for shells that do not tell (Debian's dash): of several, the next one after the last command's. */
static unsigned line_guess(const struct printer *printer)
{
	const struct section_run *run = printer->run;
	const struct recipe_part *part = NULL;
	unsigned best = 0;
	int best_score = 0;
	while ((part = recipe_next_part(run->stage, (enum recipe_section)run->section, run->app, part)) != NULL) {
		unsigned number = part->line;
		for (const char *line = part->text; *line != '\0'; number++) {
			size_t length = strcspn(line, "\n");
			int score = line_score(line, length, printer->command);
			if (score > best_score || (score > 0 && score == best_score && best <= printer->number && number > printer->number)) {
				best = number;
				best_score = score;
			}
			line += length + (line[length] == '\n');
		}
	}
	return best;
}

/* "++%post:12: make install": the trace repeats its first character for commands within commands. Puts in the number that is missing. */
static void trace_take(struct printer *printer)
{
	const char *c = printer->line + strspn(printer->line, "+");
	size_t length = strlen(printer->label);
	if (c == printer->line || strncmp(c, printer->label, length) != 0 || c[length] != ':')
		return;
	c += length + 1;
	size_t digits = strspn(c, "0123456789"), head = (size_t)(c - printer->line);
	if (strncmp(c + digits, ": ", 2) != 0)
		return;
	snprintf(printer->command, sizeof(printer->command), "%s", c + digits + 2);
	printer->number = digits > 0 ? (unsigned)strtoul(c, NULL, 10) : line_guess(printer);
	if (digits > 0 || printer->number == 0)
		return;
	char number[16];
	size_t added = (size_t)snprintf(number, sizeof(number), "%u", printer->number);
	if (printer->bytes + added + 2 >= sizeof(printer->line))
		return;
	memmove(printer->line + head + added, printer->line + head, printer->bytes - head + 1);
	memcpy(printer->line + head, number, added);
	printer->bytes += added;
}

/* The last of it, for when the script fails. */
static void keep(struct printer *printer, const char *data, size_t bytes)
{
	if (printer->kept == NULL && (printer->kept = malloc(KEPT_BYTES)) == NULL)
		return;
	if (bytes > KEPT_BYTES / 2)
		bytes = KEPT_BYTES / 2;
	if (printer->kept_bytes + bytes > KEPT_BYTES) {
		size_t half = printer->kept_bytes / 2;
		memmove(printer->kept, printer->kept + half, printer->kept_bytes - half);
		printer->kept_bytes -= half;
	}
	memcpy(printer->kept + printer->kept_bytes, data, bytes);
	printer->kept_bytes += bytes;
}

static void line_end(struct printer *printer, bool newline)
{
	printer->line[printer->bytes] = '\0';
	trace_take(printer);
	if (newline)
		printer->line[printer->bytes++] = '\n';
	if (printer->run->quiet) {
		keep(printer, printer->line, printer->bytes);
	} else {
		progress_clear(printer->run->progress);
		fwrite(printer->line, 1, printer->bytes, stderr);
	}
	printer->bytes = 0;
}

/* Without a newline at the end of it, what is there is not held back: it may be a question, or dots. */
static void print(void *context, const char *data, size_t bytes)
{
	struct printer *printer = context;
	for (size_t i = 0; i < bytes; i++) {
		if (data[i] == '\n' || printer->bytes + 2 >= sizeof(printer->line))
			line_end(printer, data[i] == '\n');
		if (data[i] != '\n')
			printer->line[printer->bytes++] = data[i];
	}
	if (printer->bytes > 0 && printer->line[0] != '+')
		line_end(printer, false);
}

/* --- the script --- */

/* Whether sh's own words do for it: set, and traces. */
static bool is_shell(const char *path)
{
	static const char *const shells[] = { "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox" };
	const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		if (strcmp(name, shells[i]) == 0)
			return true;
	return false;
}

/* "%post -c /bin/bash -u": the words without -c, and the shell. "%test" may begin with "#!", which is as good. */
static int arguments_find(const struct recipe_part *part, struct strlist *ret_arguments)
{
	const char *shell = "/bin/sh";
	int r = 0;
	for (size_t i = 0; i + 1 < part->words.count; i++)
		if (strcmp(part->words.items[i], "-c") == 0)
			shell = part->words.items[i + 1];
	const char *text = part->text + strspn(part->text, " \t\n");
	if (strncmp(text, "#!", 2) == 0 && shell[0] == '/' && strcmp(shell, "/bin/sh") == 0) {
		text += 2 + strspn(text + 2, " \t");
		for (size_t length; r == 0 && *text != '\n' && (length = strcspn(text, " \t\n")) > 0; text += strspn(text, " \t")) {
			r = strlist_addf(ret_arguments, "%.*s", (int)length, text);
			text += length;
		}
	}
	if (r == 0 && ret_arguments->count == 0)
		r = strlist_add(ret_arguments, shell);
	for (size_t i = 0; i < part->words.count && r == 0; i++) {
		if (strcmp(part->words.items[i], "-c") == 0)
			i++;
		else
			r = strlist_add(ret_arguments, part->words.items[i]);
	}
	return r;
}

/* One line: the image's own environment, then the trace. Words that the script's own variables could take the place of are avoided. */
static void preamble_write(FILE *out, const struct section_run *run, const char *label)
{
	if (!run->on_host)
		fputs("for _simg in /.singularity.d/env/*.sh; do [ ! -f \"$_simg\" ] || . \"$_simg\"; done; unset _simg; ", out);
	if (run->prologue != NULL)
		fprintf(out, "%.*s; ", (int)strcspn(run->prologue, "\n"), run->prologue);
	fprintf(out, "PS4='+%s:${LINENO-}: '; set -%sx", label, run->go_on ? "" : "e");
}

static void parts_write(FILE *out, const struct section_run *run)
{
	const struct recipe_part *part = NULL;
	unsigned line = 1; /* of the script, which is that of the recipe */
	while ((part = recipe_next_part(run->stage, (enum recipe_section)run->section, run->app, part)) != NULL) {
		for (; line < part->line; line++)
			putc('\n', out);
		fputs(part->text, out);
		for (const char *c = part->text; *c != '\0'; c++)
			line += *c == '\n';
	}
}

static int script_write(const struct section_run *run, const char *path, bool traced, const char *label, struct err *err)
{
	FILE *out = fopen(path, "we");
	if (out == NULL)
		return err_sys(err, errno, "cannot write the script of %s", label);
	if (traced)
		preamble_write(out, run, label);
	parts_write(out, run);
	bool failed = ferror(out) != 0;
	failed |= fclose(out) != 0;
	return failed ? err_sys(err, errno, "cannot write the script of %s", label) : 0;
}

/* --- the result --- */

static int script_failed(const struct printer *printer, int status, struct err *err)
{
	char how[64];
	const struct section_run *run = printer->run;
	const char *in = run->on_host ? "" : ", or is not in the image";
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof(how), "failed with status %d", WEXITSTATUS(status));
	if (printer->command[0] == '\0')
		err_set(err, ECHILD, "%s: %s %s", run->recipe, printer->label, how);
	else if (printer->number == 0)
		err_set(err, ECHILD, "%s: %s %s at: %s", run->recipe, printer->label, how, printer->command);
	else
		err_set(err, ECHILD, "%s:%u: %s %s at: %s", run->recipe, printer->number, printer->label, how, printer->command);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_hint(err, "127 says that a command was not found: it is misspelled, not in PATH%s", in);
	return err->code;
}

static int not_started(const struct section_run *run, const char *label, const char *shell, struct err *err)
{
	if (err->code == -EACCES && !run->on_host)
		err_hint(err, "is the work directory on a file system that is mounted noexec? SIMG_TMPDIR names another");
	if (err->code == -ENOEXEC && !run->on_host)
		err_hint(err, "the base seems to be for another processor: simg build --arch takes one for this");
	if (err->code != -ENOENT || run->on_host)
		return err_prefix(err, "%s: %s", run->recipe, label);
	err_set(err, ENOENT, "%s: %s cannot be run: the image has no %s, or not what that needs", run->recipe, label, shell);
	return err_hint(err, "another shell is chosen by '%s -c SHELL'; a base without any takes only %%files", label);
}

static int run_script(struct section_run *run, struct printer *printer, struct strlist *arguments, bool *ret_failed, struct err *err)
{
	int status = 0;
	run->fakeroot.argv = arguments->items;
	run->fakeroot.print = print;
	run->fakeroot.context = printer;
	int r = fakeroot_run(&run->fakeroot, &status, err);
	if (printer->bytes > 0)
		line_end(printer, true);
	if (r < 0)
		return not_started(run, printer->label, arguments->items[0], err);
	if (status == 0)
		return 0;
	*ret_failed = true;
	if (printer->kept_bytes > 0)
		fwrite(printer->kept, 1, printer->kept_bytes, stderr);
	return script_failed(printer, status, err);
}

int section_run(struct section_run *run, bool *ret_failed, struct err *err)
{
	static const char NAME[] = "script";
	autostrlist struct strlist arguments = { 0 };
	autofree struct printer *printer = calloc(1, sizeof(*printer));
	autofree char *path = NULL;
	*ret_failed = false;
	const struct recipe_part *part = recipe_next_part(run->stage, (enum recipe_section)run->section, run->app, NULL);
	if (printer == NULL || asprintf(&path, "%s/%s", run->files, NAME) < 0 || arguments_find(part, &arguments) < 0 ||
	    strlist_addf(&arguments, "%s/%s", run->on_host ? run->files : VIEW_FILES, NAME) < 0)
		return err_sys(err, ENOMEM, "cannot run a script");
	printer->run = run;
	label_format(run, printer->label, sizeof(printer->label));
	int r = script_write(run, path, is_shell(arguments.items[0]), printer->label, err);
	if (r == 0)
		r = run_script(run, printer, &arguments, ret_failed, err);
	free(printer->kept);
	unlink(path);
	return r;
}

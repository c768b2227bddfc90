/* SPDX-License-Identifier: Apache-2.0
 *
 * See results.h.
 */
#include "builder/recipe/results.h"

#include "builder/addition.h"
#include "builder/load.h"
#include "builder/recipe/apps.h"
#include "builder/recipe/labels.h"
#include "builder/recipe/text.h"
#include "builder/singularity.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DIR ".singularity.d"
#define SCHEMA "org.label-schema."
#define USAGE SCHEMA "usage"
#define SINGULARITY USAGE ".singularity."
#define DEFFILE SINGULARITY "deffile."
#define IMAGE "org.opencontainers.image."

/* --- scripts --- */

static void put_words(FILE *out, const struct recipe_stage *stage, enum recipe_section section, const char *app)
{
	const struct recipe_part *part = NULL;
	while ((part = recipe_next_part(stage, section, app, part)) != NULL)
		for (size_t i = 0; i < part->words.count; i++)
			fprintf(out, " %s", part->words.items[i]);
}

/* Blank lines and blanks before "#!" are no reason not to see it. */
char *results_script(const struct recipe_stage *stage, enum recipe_section section, const char *app)
{
	autofree char *text = recipe_text(stage, section, app);
	char *script = NULL;
	size_t bytes;
	FILE *out = text != NULL ? open_memstream(&script, &bytes) : NULL;
	if (out == NULL)
		return NULL;
	const char *rest = text, *first = text + strspn(text, " \t\n");
	if (strncmp(first, "#!", 2) == 0) {
		size_t length = strcspn(first, "\n");
		fwrite(first, 1, length, out);
		rest = first + length + (first[length] == '\n');
	} else
		fputs("#!/bin/sh", out);
	put_words(out, stage, section, app);
	fprintf(out, "\n%s", rest);
	if (fclose(out) != 0)
		free(steal_ptr(&script));
	return script;
}

/* Whether the section is there and more than blanks. */
static int says_something(const struct recipe_stage *stage, enum recipe_section section, struct err *err)
{
	autofree char *text = recipe_text(stage, section, NULL);
	if (text == NULL)
		return err_sys(err, ENOMEM, "cannot make the recipe's '%%%s'", recipe_section_name(section));
	return text[strspn(text, " \t\r\n")] != '\0';
}

static int add_scripts(struct load *load, const struct recipe_stage *stage, struct err *err)
{
	static const struct {
		enum recipe_section section;
		const char *path;
	} scripts[] = {
		{ RECIPE_RUNSCRIPT, DIR "/runscript" },
		{ RECIPE_STARTSCRIPT, DIR "/startscript" },
		{ RECIPE_TEST, DIR "/test" },
	};
	int r = 0;
	for (size_t i = 0; r >= 0 && i < COUNT(scripts); i++) {
		r = says_something(stage, scripts[i].section, err);
		if (r > 0)
			r = addition_text(load, scripts[i].path, 0755, results_script(stage, scripts[i].section, NULL), err);
	}
	return r < 0 ? r : 0;
}

static int add_help(struct load *load, const struct recipe_stage *stage, struct err *err)
{
	int r = says_something(stage, RECIPE_HELP, err);
	return r <= 0 ? r : addition_text(load, DIR "/runscript.help", 0644, recipe_text(stage, RECIPE_HELP, NULL), err);
}

/* A base without variables of its own says so in a comment, which does not hold any more. */
static char *environment_text(const struct recipe_stage *stage, const char *base)
{
	autofree char *text = recipe_text(stage, RECIPE_ENVIRONMENT, NULL);
	char *script;
	if (base == NULL || base[0] == '\0' || strcmp(base, SINGULARITY_NO_ENVIRONMENT) == 0)
		base = "#!/bin/sh\n";
	bool ends = base[strlen(base) - 1] == '\n';
	return text == NULL || asprintf(&script, "%s%s%s", base, ends ? "" : "\n", text) < 0 ? NULL : script;
}

static int add_environment(struct load *load, const struct recipe_stage *stage, const struct results_options *options,
			   struct err *err)
{
	int r = says_something(stage, RECIPE_ENVIRONMENT, err);
	return r <= 0 ? r : addition_text(load, RESULTS_ENVIRONMENT, 0755, environment_text(stage, options->environment), err);
}

/* --- labels --- */

/* What a base's recipe had in its header is not what this one has. */
static void forget_headers(json_t *labels)
{
	const char *key;
	json_t *value;
	void *next;
	json_object_foreach_safe(labels, next, key, value)
		if (strncmp(key, DEFFILE, sizeof(DEFFILE) - 1) == 0)
			json_object_del(labels, key);
}

static void label_headers(json_t *labels, const struct recipe_stage *stage)
{
	for (size_t i = 0; i < stage->header_count; i++) {
		char key[sizeof(DEFFILE) + 32];
		int length = snprintf(key, sizeof(key), DEFFILE "%s", stage->headers[i].key);
		for (char *c = key + sizeof(DEFFILE) - 1; c < key + length && *c != '\0'; c++)
			*c = (char)tolower((unsigned char)*c);
		labels_set(labels, key, recipe_header(stage, stage->headers[i].key));
	}
}

static void label_time(json_t *labels, uint64_t time)
{
	time_t seconds = (time_t)time;
	struct tm tm;
	char text[64];
	if (time == RESULTS_NO_TIME || gmtime_r(&seconds, &tm) == NULL)
		return;
	strftime(text, sizeof(text), "%A_%d_%B_%Y_%H:%M:%S_UTC", &tm);
	labels_set(labels, SCHEMA "build-date", text);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	labels_set(labels, IMAGE "created", text);
}

static void label_build(json_t *labels, const struct recipe_stage *stage, const struct results_options *options, bool help)
{
	forget_headers(labels);
	labels_set(labels, SCHEMA "schema-version", "1.0");
	labels_set(labels, SCHEMA "build-arch", options->architecture);
	label_headers(labels, stage);
	labels_set(labels, USAGE, help ? "/" DIR "/runscript.help" : NULL);
	labels_set(labels, SINGULARITY "runscript.help", help ? "/" DIR "/runscript.help" : NULL);
	labels_set(labels, IMAGE "base.name", options->base_name);
	labels_set(labels, IMAGE "base.digest", options->base_digest);
	label_time(labels, options->time);
}

static int add_labels(struct load *load, const struct recipe_stage *stage, const struct results_options *options,
		      struct strlist *kept, struct err *err)
{
	autofree char *text = recipe_text(stage, RECIPE_LABELS, NULL);
	int help = says_something(stage, RECIPE_HELP, err);
	if (help < 0 || text == NULL)
		return err_sys(err, ENOMEM, "cannot make the image's '/" RESULTS_LABELS "'");
	json_t *labels = labels_read(options->labels), *added = json_object();
	label_build(labels, stage, options, help > 0);
	labels_add(added, text);
	if (options->build_labels != NULL)
		labels_add(added, options->build_labels);
	labels_merge(labels, added, options->force, kept);
	return addition_text(load, RESULTS_LABELS, 0644, labels_format(labels), err);
}

/* --- the whole --- */

static int add_layout(struct load *load, struct err *err)
{
	return addition_has_file(load, DIR "/actions/run") ? 0 : singularity_add_layout(load, err);
}

int results_add(struct load *load, const struct recipe_stage *stage, const struct results_options *options,
		struct strlist *ret_kept, struct err *err)
{
	int r = add_layout(load, err);
	if (r == 0)
		r = add_scripts(load, stage, err);
	if (r == 0)
		r = add_help(load, stage, err);
	if (r == 0)
		r = add_environment(load, stage, options, err);
	if (r == 0)
		r = add_labels(load, stage, options, ret_kept, err);
	if (r == 0 && options->recipe != NULL)
		r = singularity_add_recipe(load, strdup(options->recipe), err);
	return r < 0 ? r : apps_add(load, stage, err);
}

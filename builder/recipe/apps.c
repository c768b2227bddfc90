/* SPDX-License-Identifier: Apache-2.0
 *
 * See apps.h.
 */
#include "builder/recipe/apps.h"

#include "builder/addition.h"
#include "builder/load.h"
#include "builder/recipe/labels.h"
#include "builder/recipe/results.h"
#include "builder/recipe/section.h"
#include "builder/singularity.h"
#include "builder/tree.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Where an app's things are, below /scif/apps/NAME; SCIF_APPDATA is below /scif/data. */
static const struct {
	const char *variable, *path;
} places[] = {
	{ "SCIF_APPROOT", "" },
	{ "SCIF_APPMETA", "/scif" },
	{ "SCIF_APPBIN", "/bin" },
	{ "SCIF_APPLIB", "/lib" },
	{ "SCIF_APPENV", "/scif/env/90-environment.sh" },
	{ "SCIF_APPLABELS", "/scif/labels.json" },
	{ "SCIF_APPRUN", "/scif/runscript" },
	{ "SCIF_APPHELP", "/scif/runscript.help" },
	{ "SCIF_APPTEST", "/scif/test" },
	{ "SCIF_APPRECIPE", "/scif/Singularity" },
};

static int no_memory(const char *app, struct err *err)
{
	return err_sys(err, ENOMEM, "cannot add the app '%s'", app);
}

static char *in_app(const char *app, const char *path)
{
	char *text;
	return asprintf(&text, RESULTS_APPS "/%s%s", app, path) < 0 ? NULL : text;
}

/* --- directories and files --- */

static int add_directory(struct load *load, const char *app, const char *path, struct err *err)
{
	autofree char *full = in_app(app, path);
	return full == NULL ? no_memory(app, err) : addition_directory(load, full, err);
}

static int add_directories(struct load *load, const char *app, struct err *err)
{
	static const char *const inside[] = { "", "/scif", "/scif/env", "/bin", "/lib" };
	autofree char *data = NULL;
	int r = addition_directory(load, "scif", err);
	if (r == 0)
		r = addition_directory(load, RESULTS_APPS, err);
	for (size_t i = 0; r == 0 && i < COUNT(inside); i++)
		r = add_directory(load, app, inside[i], err);
	if (r == 0)
		r = addition_directory(load, "scif/data", err);
	if (r == 0 && asprintf(&data, "scif/data/%s", app) < 0) {
		data = NULL;
		return no_memory(app, err);
	}
	return r < 0 ? r : addition_directory(load, data, err);
}

/* Takes text, and frees it. */
static int add_text(struct load *load, const char *app, const char *path, uint16_t mode, char *text, struct err *err)
{
	autofree char *full = in_app(app, path);
	if (full != NULL)
		return addition_text(load, full, mode, text, err);
	free(text);
	return no_memory(app, err);
}

static char *labels_text(const struct recipe_stage *stage, const char *app)
{
	autofree char *text = recipe_text(stage, RECIPE_APPLABELS, app);
	json_t *labels = labels_read(NULL);
	if (text != NULL)
		labels_add(labels, text);
	char *result = labels_format(labels);
	return text != NULL ? result : (free(result), NULL);
}

static char *environment_text(const struct recipe_stage *stage, const char *app)
{
	autofree char *text = recipe_text(stage, RECIPE_APPENV, app);
	char *script;
	return text == NULL || asprintf(&script, "#!/bin/sh\n%s", text) < 0 ? NULL : script;
}

/* The sections of the app alone, as they are in the recipe but for quotes in their first lines. */
static char *recipe_of(const struct recipe_stage *stage, const char *app)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	for (size_t i = 0; out != NULL && i < stage->part_count; i++) {
		const struct recipe_part *part = &stage->parts[i];
		if (part->app == NULL || strcmp(part->app, app) != 0)
			continue;
		fprintf(out, "%%%s %s", recipe_section_name(part->section), app);
		for (size_t j = 0; j < part->words.count; j++)
			fprintf(out, " %s", part->words.items[j]);
		fprintf(out, "\n%s", part->text);
	}
	if (out != NULL && fclose(out) != 0)
		free(steal_ptr(&text));
	return text;
}

static int add_scripts(struct load *load, const struct recipe_stage *stage, const char *app, struct err *err)
{
	static const struct {
		enum recipe_section section;
		const char *path;
	} scripts[] = {
		{ RECIPE_APPRUN, "/scif/runscript" },
		{ RECIPE_APPSTART, "/scif/startscript" },
		{ RECIPE_APPTEST, "/scif/test" },
	};
	int r = 0;
	for (size_t i = 0; r == 0 && i < COUNT(scripts); i++)
		if (recipe_next_part(stage, scripts[i].section, app, NULL) != NULL)
			r = add_text(load, app, scripts[i].path, 0755, results_script(stage, scripts[i].section, app), err);
	return r;
}

static int add_app(struct load *load, const struct recipe_stage *stage, const char *app, struct err *err)
{
	int r = add_directories(load, app, err);
	if (r == 0)
		r = add_scripts(load, stage, app, err);
	if (r == 0)
		r = add_text(load, app, "/scif/env/90-environment.sh", 0755, environment_text(stage, app), err);
	if (r == 0)
		r = add_text(load, app, "/scif/labels.json", 0644, labels_text(stage, app), err);
	if (r == 0 && recipe_next_part(stage, RECIPE_APPHELP, app, NULL) != NULL)
		r = add_text(load, app, "/scif/runscript.help", 0644, recipe_text(stage, RECIPE_APPHELP, app), err);
	return r < 0 ? r : add_text(load, app, "/scif/Singularity", 0644, recipe_of(stage, app), err);
}

/* --- the environment --- */

/* A name in that of a variable: other characters than letters and digits become '_'. */
static void put_variable_name(FILE *out, const char *app)
{
	for (; *app != '\0'; app++)
		fputc(strchr(".+-", *app) == NULL ? *app : '_', out);
}

static void put_app(FILE *out, const char *app)
{
	for (size_t i = 0; i < COUNT(places); i++) {
		fprintf(out, "export %s_", places[i].variable);
		put_variable_name(out, app);
		fprintf(out, "=/" RESULTS_APPS "/%s%s\n", app, places[i].path);
	}
	fputs("export SCIF_APPDATA_", out);
	put_variable_name(out, app);
	fprintf(out, "=/scif/data/%s\n", app);
}

/* env/94-appsbase.sh: where each app's things are. */
static char *base_script(const struct strlist *apps)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	if (out == NULL)
		return NULL;
	fputs("#!/bin/sh\n# Where the image's apps are.\nexport SCIF_DATA=/scif/data\nexport SCIF_APPS=/" RESULTS_APPS "\n", out);
	for (size_t i = 0; i < apps->count; i++)
		put_app(out, apps->items[i]);
	if (fclose(out) != 0)
		free(steal_ptr(&text));
	return text;
}

/* env/95-apps.sh: the environment of the app that the caller asks for. */
static char *choice_script(void)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	if (out == NULL)
		return NULL;
	fputs("#!/bin/sh\n# The environment of the app that the caller of Singularity or Apptainer asks for.\n"
	      "SCIF_APPNAME=${SINGULARITY_APPNAME:-${APPTAINER_APPNAME-}}\n"
	      "if [ -n \"$SCIF_APPNAME\" ] && [ -d \"/" RESULTS_APPS "/$SCIF_APPNAME\" ]; then\n"
	      "\texport SCIF_APPNAME\n",
	      out);
	for (size_t i = 0; i < COUNT(places); i++)
		fprintf(out, "\texport %s=\"/" RESULTS_APPS "/$SCIF_APPNAME%s\"\n", places[i].variable, places[i].path);
	fputs("\texport SCIF_APPDATA=\"/scif/data/$SCIF_APPNAME\"\n"
	      "\texport PATH=\"$SCIF_APPBIN:$PATH\"\n"
	      "\texport LD_LIBRARY_PATH=\"$SCIF_APPLIB${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\"\n"
	      "\t[ ! -f \"$SCIF_APPENV\" ] || . \"$SCIF_APPENV\"\n"
	      "else\n"
	      "\tunset SCIF_APPNAME\n"
	      "fi\n",
	      out);
	if (fclose(out) != 0)
		free(steal_ptr(&text));
	return text;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All apps in the tree, also those of the base, sorted. A directory whose name could be no app's is left out: scripts hold it. */
static int apps_list(const struct load *load, struct strlist *apps, struct err *err)
{
	const struct node *directory = tree_find(load->tree, RESULTS_APPS);
	for (const struct node *node = directory->inode->children; node != NULL; node = node->sibling)
		if (S_ISDIR(node->inode->mode) && section_is_app_name(node->name) && strlist_add(apps, node->name) < 0)
			return no_memory(node->name, err);
	if (apps->count > 0)
		qsort(apps->items, apps->count, sizeof(apps->items[0]), compare);
	return 0;
}

static int add_environment(struct load *load, struct err *err)
{
	autostrlist struct strlist apps = { 0 };
	int r = apps_list(load, &apps, err);
	if (r == 0)
		r = addition_text(load, ".singularity.d/env/94-appsbase.sh", 0755, base_script(&apps), err);
	return r < 0 ? r : addition_text(load, ".singularity.d/env/95-apps.sh", 0755, choice_script(), err);
}

int apps_add(struct load *load, const struct recipe_stage *stage, struct err *err)
{
	autostrlist struct strlist apps = { 0 };
	int r = recipe_apps(stage, &apps, err);
	for (size_t i = 0; r == 0 && i < apps.count; i++)
		r = add_app(load, stage, apps.items[i], err);
	if (r < 0 || apps.count == 0)
		return r;
	r = add_environment(load, err);
	return r < 0 ? r : singularity_add_app_actions(load, err);
}

char *results_app_install(const char *app)
{
	char *text;
	if (asprintf(&text,
		     "SCIF_APPNAME=%1$s SCIF_APPROOT=/" RESULTS_APPS "/%1$s; "
		     "SCIF_APPBIN=$SCIF_APPROOT/bin SCIF_APPLIB=$SCIF_APPROOT/lib "
		     "SCIF_APPMETA=$SCIF_APPROOT/scif SCIF_APPDATA=/scif/data/%1$s; "
		     "export SCIF_APPNAME SCIF_APPROOT SCIF_APPBIN SCIF_APPLIB SCIF_APPMETA SCIF_APPDATA; "
		     "mkdir -p \"$SCIF_APPBIN\" \"$SCIF_APPLIB\" \"$SCIF_APPMETA/env\" \"$SCIF_APPDATA\"; cd \"$SCIF_APPROOT\"\n",
		     app) < 0)
		return NULL;
	return text;
}

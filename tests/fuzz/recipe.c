/* SPDX-License-Identifier: Apache-2.0
 *
 * A recipe of any bytes, with arguments from anywhere: an error with a text, or stages whose lines and texts are those of the file.
 */
#include "builder/recipe/recipe.h"
#include "builder/recipe/template.h"
#include "lib/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(int result, const struct err *err)
{
	if (result < 0 && (err->text[0] == '\0' || err->code >= 0))
		abort();
}

static size_t count_lines(const char *text, size_t bytes)
{
	size_t count = 1;
	for (size_t i = 0; i < bytes; i++)
		count += text[i] == '\n';
	return count;
}

static void check_part(const struct recipe_part *part, size_t lines)
{
	size_t length = strlen(part->text);
	if ((length > 0 && part->text[length - 1] != '\n') || part->line - 1 + count_lines(part->text, length) - 1 > lines)
		abort();
	if ((part->app != NULL) != (part->section >= RECIPE_APPINSTALL))
		abort();
}

static void check_stage(const struct recipe_stage *stage, size_t lines)
{
	struct strlist apps = { 0 };
	struct err err = ERR_INIT;
	char *source;
	check(recipe_source(stage, &source, &err), &err);
	check(recipe_apps(stage, &apps, &err), &err);
	free(source);
	strlist_free(&apps);
	for (size_t i = 0; i < stage->part_count; i++)
		check_part(&stage->parts[i], lines);
}

static void check_recipe(const char *text, size_t bytes)
{
	struct recipe recipe;
	struct err err = ERR_INIT;
	int r = recipe_parse("fuzz", text, bytes, &recipe, &err);
	check(r, &err);
	if (r == 0 && recipe.stage_count == 0)
		abort();
	for (size_t i = 0; i < recipe.stage_count; i++)
		check_stage(&recipe.stages[i], count_lines(text, bytes));
	recipe_free(&recipe);
}

static void check_template(const char *text, size_t bytes, struct template_arguments *arguments)
{
	struct err err = ERR_INIT;
	char *result;
	size_t result_bytes;
	int r = template_apply("fuzz", text, bytes, arguments, &result, &result_bytes, &err);
	check(r, &err);
	if (r < 0)
		return;
	size_t lines = count_lines(text, bytes) + (bytes > 0 && text[bytes - 1] != '\n');
	if (strlen(result) != result_bytes || (result_bytes > 0 && count_lines(result, result_bytes) != lines))
		abort();
	check_recipe(result, result_bytes);
	free(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const char *text = (const char *)data;
	struct template_arguments arguments = { .count = 0 };
	struct err err = ERR_INIT;
	recipe_matches(text, bytes);
	recipe_is_dockerfile(text, bytes);
	check_recipe(text, bytes);
	check_template(text, bytes, &arguments);
	check(template_arguments_read(&arguments, "fuzz", text, bytes, &err), &err);
	template_arguments_free(&arguments);
	err = (struct err)ERR_INIT;
	check(template_arguments_add(&arguments, "A=%post", &err), &err);
	check(template_arguments_add(&arguments, "B=<<E", &err), &err);
	check_template(text, bytes, &arguments);
	template_arguments_free(&arguments);
	return 0;
}

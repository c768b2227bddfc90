/* SPDX-License-Identifier: Apache-2.0
 *
 * See recipe.h.
 */
#include "builder/recipe/recipe.h"

#include "builder/recipe/header.h"
#include "builder/recipe/scanner.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <string.h>

struct parser {
	struct recipe *recipe;
	struct scanner scanner;
	struct text_line line;
	const char *text;   /* of the part that is not finished; NULL: there is none */
	bool in_header;     /* of the last stage: not checked yet */
	bool continued;     /* its last line ended with a backslash */
	unsigned error_line;
	size_t part_count;  /* of all stages */
};

static struct recipe_stage *last_stage(const struct parser *parser)
{
	return &parser->recipe->stages[parser->recipe->stage_count - 1];
}

/* Room for one more item in an array that has room for the next power of two. */
static void *grow(void *array, size_t count, size_t item_bytes)
{
	return (count & (count - 1)) == 0 ? reallocarray(array, count == 0 ? 1 : 2 * count, item_bytes) : array;
}

/* --- stages --- */

static int name_check(const struct parser *parser, struct err *err)
{
	const struct recipe_stage *stage = last_stage(parser);
	if (stage->name == NULL || recipe_stage_find(parser->recipe, stage->name, stage) == NULL)
		return 0;
	return err_set(err, EINVAL, "there are two stages '%s': the first begins in line %u", stage->name,
		       recipe_stage_find(parser->recipe, stage->name, stage)->line);
}

static int header_finish(struct parser *parser, struct err *err)
{
	if (!parser->in_header)
		return 0;
	parser->in_header = parser->continued = false;
	int r = header_check(last_stage(parser), &parser->error_line, err);
	return r < 0 ? r : name_check(parser, err);
}

static int stage_add(struct parser *parser, struct err *err)
{
	struct recipe *recipe = parser->recipe;
	if (recipe->stage_count == RECIPE_STAGES_MAX)
		return err_set(err, EINVAL, "there are more than %d stages", RECIPE_STAGES_MAX);
	struct recipe_stage *stages = grow(recipe->stages, recipe->stage_count, sizeof(*stages));
	if (stages == NULL)
		return err_sys(err, ENOMEM, "cannot read a stage");
	recipe->stages = stages;
	stages[recipe->stage_count++] = (struct recipe_stage){ .line = parser->line.number };
	parser->in_header = true;
	return 0;
}

/* --- sections --- */

static int part_finish(struct parser *parser, const char *end, struct err *err)
{
	if (parser->text == NULL)
		return 0;
	struct recipe_stage *stage = last_stage(parser);
	struct recipe_part *part = &stage->parts[stage->part_count - 1];
	part->text = strndup(parser->text, (size_t)(end - parser->text));
	parser->text = NULL;
	return part->text != NULL ? 0 : err_sys(err, ENOMEM, "cannot read a section");
}

/* "%files", or "%files from STAGE". */
static int files_check(const struct parser *parser, const struct recipe_part *part, struct err *err)
{
	const struct strlist *words = &part->words;
	if (part->section != RECIPE_FILES || words->count == 0)
		return 0;
	if (words->count != 2 || strcmp(words->items[0], "from") != 0)
		return err_set(err, EINVAL, "'%%files' is followed by 'from STAGE', or nothing");
	if (recipe_stage_find(parser->recipe, words->items[1], last_stage(parser)) != NULL)
		return 0;
	err_set(err, EINVAL, "there is no stage '%s' before this one", words->items[1]);
	return err_hint(err, "a stage gets its name from a line 'Stage: %s' in its header", words->items[1]);
}

static int part_add(struct parser *parser, struct err *err)
{
	struct recipe_stage *stage = last_stage(parser);
	struct section_line *section = &parser->scanner.section;
	if (parser->part_count++ == RECIPE_PARTS_MAX)
		return err_set(err, EINVAL, "there are more than %d sections", RECIPE_PARTS_MAX);
	struct recipe_part *parts = grow(stage->parts, stage->part_count, sizeof(*parts));
	if (parts == NULL)
		return err_sys(err, ENOMEM, "cannot read a section");
	stage->parts = parts;
	struct recipe_part *part = &parts[stage->part_count++];
	*part = (struct recipe_part){ .section = section->section, .line = parser->line.number + 1 };
	/* The scanner looks at the words once more, for the script's language, so it keeps its own. */
	for (size_t i = 0; i < section->words.count; i++)
		if (strlist_add(&part->words, section->words.items[i]) < 0)
			return err_sys(err, ENOMEM, "cannot read a section");
	part->app = steal_ptr(&section->app);
	parser->text = parser->line.text + parser->line.length + 1;
	return files_check(parser, part, err);
}

/* --- lines --- */

static int take_header(struct parser *parser, struct err *err)
{
	return header_line(last_stage(parser), &parser->line, &parser->continued, err);
}

static int take_stage(struct parser *parser, struct err *err)
{
	int r = part_finish(parser, parser->line.text, err);
	if (r == 0)
		r = header_finish(parser, err);
	if (r < 0)
		return r;
	parser->error_line = parser->line.number;
	r = stage_add(parser, err);
	return r < 0 ? r : take_header(parser, err);
}

static int take_section(struct parser *parser, struct err *err)
{
	int r = part_finish(parser, parser->line.text, err);
	if (r == 0)
		r = header_finish(parser, err);
	if (r < 0)
		return r;
	parser->error_line = parser->line.number;
	return part_add(parser, err);
}

static int take_line(struct parser *parser, struct err *err)
{
	enum scanner_kind kind;
	int r = scanner_line(&parser->scanner, &parser->line, &kind, err);
	parser->error_line = parser->scanner.error_line;
	if (r < 0)
		return r;
	switch (kind) {
	case SCANNER_STAGE:
		return take_stage(parser, err);
	case SCANNER_HEADER:
		return take_header(parser, err);
	case SCANNER_SECTION:
		return take_section(parser, err);
	case SCANNER_NOTHING:
		parser->continued = false;
		return 0;
	default:
		return 0;
	}
}

static int take_end(struct parser *parser, const char *end, struct err *err)
{
	int r = scanner_end(&parser->scanner, err);
	parser->error_line = parser->scanner.error_line;
	if (r == 0 && parser->recipe->stage_count == 0) {
		parser->error_line = 1;
		return err_set(err, EINVAL, "the recipe is empty: it begins with a line 'Bootstrap: AGENT'");
	}
	if (r == 0)
		r = part_finish(parser, end, err);
	return r < 0 ? r : header_finish(parser, err);
}

int recipe_parse(const char *name, const char *text, size_t bytes, struct recipe *ret_recipe, struct err *err)
{
	struct parser parser = { .recipe = ret_recipe, .error_line = 1 };
	autofree char *clean = NULL;
	*ret_recipe = (struct recipe){ .stage_count = 0 };
	int r = text_clean(name, text, bytes, &clean, err);
	if (r < 0)
		return r;
	while (r == 0 && text_next(clean, &parser.line))
		r = take_line(&parser, err);
	if (r == 0)
		r = take_end(&parser, clean + strlen(clean), err);
	if (r < 0) {
		err_prefix(err, "%s:%u", name, parser.error_line);
		recipe_free(ret_recipe);
	}
	scanner_free(&parser.scanner);
	return r;
}

static void part_free(struct recipe_part *part)
{
	free(part->app);
	free(part->text);
	strlist_free(&part->words);
}

static void stage_free(struct recipe_stage *stage)
{
	for (size_t i = 0; i < stage->header_count; i++)
		free(stage->headers[i].value);
	for (size_t i = 0; i < stage->part_count; i++)
		part_free(&stage->parts[i]);
	free(stage->headers);
	free(stage->parts);
}

void recipe_free(struct recipe *recipe)
{
	for (size_t i = 0; i < recipe->stage_count; i++)
		stage_free(&recipe->stages[i]);
	free(recipe->stages);
	*recipe = (struct recipe){ .stage_count = 0 };
}

void recipe_keep_sections(struct recipe *recipe, unsigned long sections)
{
	for (size_t i = 0; i < recipe->stage_count; i++) {
		struct recipe_stage *stage = &recipe->stages[i];
		size_t kept = 0;
		for (size_t k = 0; k < stage->part_count; k++) {
			if ((sections >> stage->parts[k].section & 1) != 0)
				stage->parts[kept++] = stage->parts[k];
			else
				part_free(&stage->parts[k]);
		}
		stage->part_count = kept;
	}
}

/* --- questions --- */

const struct recipe_part *recipe_next_part(const struct recipe_stage *stage, enum recipe_section section, const char *app,
					   const struct recipe_part *after)
{
	for (size_t i = after == NULL ? 0 : (size_t)(after - stage->parts) + 1; i < stage->part_count; i++) {
		const struct recipe_part *part = &stage->parts[i];
		if (part->section == section && (app == NULL || (part->app != NULL && strcmp(part->app, app) == 0)))
			return part;
	}
	return NULL;
}

char *recipe_text(const struct recipe_stage *stage, enum recipe_section section, const char *app)
{
	const struct recipe_part *part = NULL;
	size_t bytes = 0;
	while ((part = recipe_next_part(stage, section, app, part)) != NULL)
		bytes += strlen(part->text);
	char *text = malloc(bytes + 1), *end = text;
	if (text == NULL)
		return NULL;
	while ((part = recipe_next_part(stage, section, app, part)) != NULL)
		end = stpcpy(end, part->text);
	*end = '\0';
	return text;
}

const struct recipe_stage *recipe_stage_find(const struct recipe *recipe, const char *name, const struct recipe_stage *before)
{
	for (const struct recipe_stage *stage = recipe->stages; stage < before; stage++)
		if (stage->name != NULL && strcmp(stage->name, name) == 0)
			return stage;
	return NULL;
}

const char *recipe_files_from(const struct recipe_part *part)
{
	return part->section == RECIPE_FILES && part->words.count == 2 ? part->words.items[1] : NULL;
}

static bool has(const struct strlist *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], text) == 0)
			return true;
	return false;
}

int recipe_apps(const struct recipe_stage *stage, struct strlist *ret_apps, struct err *err)
{
	for (size_t i = 0; i < stage->part_count; i++) {
		const char *app = stage->parts[i].app;
		if (app != NULL && !has(ret_apps, app) && strlist_add(ret_apps, app) < 0)
			return err_sys(err, ENOMEM, "cannot list the apps of the recipe");
	}
	return 0;
}

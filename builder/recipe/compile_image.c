/* SPDX-License-Identifier: Apache-2.0
 *
 * The image of a recipe: the last stage's files, what the sections say, and the record.
 */
#include "builder/addition.h"
#include "builder/load.h"
#include "builder/oci/container.h"
#include "builder/options.h"
#include "builder/packages.h"
#include "builder/progress.h"
#include "builder/recipe/compile_internal.h"
#include "builder/recipe/environment.h"
#include "builder/recipe/results.h"
#include "builder/target.h"
#include "builder/tree.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/strlist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TEXT_BYTES_MAX = 16 << 20 };

static const struct stage *last_stage(const struct compile *compile)
{
	return &compile->stages[compile->recipe.stage_count - 1];
}

/* The files whose texts come into new ones. */
struct texts {
	char *labels, *environment, *build_labels;
};

static void texts_free(struct texts *texts)
{
	free(texts->labels);
	free(texts->environment);
	free(texts->build_labels);
}

static int texts_read(const struct chain *chain, const struct load *load, struct texts *texts, struct err *err)
{
	size_t bytes;
	int r = chain_read(chain, load, RESULTS_LABELS, TEXT_BYTES_MAX, &texts->labels, &bytes, err);
	if (r == 0)
		r = chain_read(chain, load, RESULTS_ENVIRONMENT, TEXT_BYTES_MAX, &texts->environment, &bytes, err);
	return r < 0 ? r : chain_read(chain, load, LABELS_FILE, TEXT_BYTES_MAX, &texts->build_labels, &bytes, err);
}

/* The file with which %post hands over labels is no part of the image. */
static int labels_file_remove(struct tree *tree, struct err *err)
{
	if (tree_find(tree, LABELS_FILE) == NULL)
		return 0;
	tree_layer_begin(tree);
	int r = tree_remove(tree, LABELS_FILE, err);
	tree_sweep(tree);
	return r;
}

/* --- packages --- */

struct merged {
	const struct chain *chain;
	const struct load *load;
};

static int merged_file(const void *tree, const char *path, size_t bytes_max, char **ret_text, size_t *ret_bytes, struct err *err)
{
	const struct merged *merged = tree;
	int r = chain_read(merged->chain, merged->load, path, bytes_max, ret_text, ret_bytes, err);
	return r == 0 && *ret_text == NULL ? -ENOENT : r;
}

static int merged_list(const void *tree, const char *path, struct strlist *names, struct err *err)
{
	const struct merged *merged = tree;
	const struct node *directory = tree_find(merged->load->tree, path);
	if (directory == NULL || !S_ISDIR(directory->inode->mode))
		return -ENOENT;
	for (const struct node *node = directory->inode->children; node != NULL; node = node->sibling)
		if (strlist_add(names, node->name) < 0)
			return err_sys(err, ENOMEM, "cannot list '/%s'", path);
	return 0;
}

/* A database that cannot be read is no reason not to build; simg inspect --packages says why. */
static int packages_find(struct compile *compile, const struct chain *chain, const struct load *load, struct err *err)
{
	struct merged merged = { chain, load };
	const struct packages_tree tree = { merged_file, merged_list, &merged };
	autopackages struct packages packages = { .count = 0 };
	int r = packages_read(&tree, &packages, err);
	json_decref(compile->packages);
	compile->packages = r == 0 && packages.count > 0 ? packages_json(&packages) : NULL;
	return r;
}

/* --- the image --- */

static int results_make(struct compile *compile, struct load *load, const struct texts *texts, struct err *err)
{
	const struct stage *stage = last_stage(compile);
	const struct build_options *build = compile->options.build;
	autostrlist struct strlist kept = { 0 };
	char storage[PLATFORM_STORAGE_BYTES];
	struct platform platform;
	int r = platform_parse(build->architecture, storage, &platform, err);
	struct results_options options = {
		.recipe = compile->raw,
		.labels = texts->labels,
		.environment = texts->environment,
		.build_labels = texts->build_labels,
		.architecture = platform.architecture,
		.base_name = stage->base.name,
		.base_digest = stage->base.name != NULL ? stage->base.digest.text : NULL,
		.time = build->time < UINT32_MAX ? build->time : RESULTS_NO_TIME,
		.force = build->force,
	};
	if (r == 0)
		r = results_add(load, stage->recipe, &options, &kept, err);
	for (size_t i = 0; i < kept.count && r == 0 && !build->quiet; i++)
		log_note("the label '%s' stays as the base has it; --force replaces it", kept.items[i]);
	return r;
}

int compile_load(struct compile *compile, struct load *load, struct err *err)
{
	struct chain chain;
	struct texts texts = { NULL };
	stage_chain(last_stage(compile), STEP_COUNT, &chain);
	int r = chain_merge(&chain, load, err);
	if (r == 0)
		r = texts_read(&chain, load, &texts, err);
	if (r == 0)
		r = packages_find(compile, &chain, load, err);
	if (r == 0)
		r = labels_file_remove(load->tree, err);
	if (r == 0)
		r = chain_feed(&chain, load, err);
	if (r == 0)
		r = results_make(compile, load, &texts, err);
	chain_close(&chain);
	texts_free(&texts);
	return r;
}

/* --- the record --- */

static void put(json_t *object, const char *key, const char *text)
{
	autofree char *printable = text != NULL && text[0] != '\0' ? addition_printable(text) : NULL;
	if (printable != NULL)
		json_object_set_new(object, key, json_string(printable));
}

/* Builds that are to be equal say nothing of time. */
static json_t *step_describe(const struct compile *compile, const struct stage *stage, int kind)
{
	const struct step *step = &stage->steps[kind];
	double milliseconds = (double)(long)(compile->seconds[stage - compile->stages][kind] * 1000);
	json_t *object = json_object();
	put(object, "name", step_name((enum step_kind)kind));
	put(object, "key", step->known ? step->key.text : NULL);
	if (compile->options.build->time < UINT32_MAX)
		return object;
	json_object_set_new(object, "cached", json_boolean(step->cached));
	if (!step->cached)
		json_object_set_new(object, "seconds", json_real(milliseconds / 1000));
	return object;
}

static json_t *stage_describe(const struct compile *compile, const struct stage *stage)
{
	json_t *object = json_object(), *steps = json_array();
	put(object, "stage", stage->recipe->name);
	put(object, "bootstrap", recipe_agent_name(stage->recipe->agent));
	put(object, "base", stage->base.name != NULL ? stage->base.name : stage->base.source);
	put(object, "digest", stage->base.fd >= 0 ? stage->base.digest.text : NULL);
	for (int kind = 0; kind < STEP_COUNT; kind++)
		if (stage->steps[kind].wanted)
			json_array_append_new(steps, step_describe(compile, stage, kind));
	json_object_set_new(object, "steps", steps);
	return object;
}

json_t *compile_describe(const struct compile *compile)
{
	json_t *top = json_object(), *recipe = json_object(), *stages = json_array(), *arguments = json_object();
	struct digest digest;
	digest_of(compile->raw, compile->raw_bytes, &digest);
	put(recipe, "digest", digest.text);
	for (size_t i = 0; i < compile->arguments.count; i++)
		put(arguments, compile->arguments.list[i].name, compile->arguments.list[i].value);
	for (size_t i = 0; i < compile->recipe.stage_count; i++)
		json_array_append_new(stages, stage_describe(compile, &compile->stages[i]));
	json_object_set_new(recipe, "arguments", arguments);
	json_object_set_new(recipe, "owners_recorded", json_boolean(compile->recording));
	json_object_set_new(recipe, "stages", stages);
	json_object_set_new(top, "recipe", recipe);
	if (compile->packages != NULL)
		json_object_set(top, "packages", compile->packages);
	return top;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of steps: digests of all that goes in, so that a step that was carried out once need not be again, and never a result is used
 * that another input would change.
 */
#include "config.h"

#include "builder/hot.h"
#include "builder/options.h"
#include "builder/recipe/compile_internal.h"
#include "builder/recipe/fetch.h"
#include "builder/recipe/files.h"
#include "lib/bind.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_SCHEMA = 1 }; /* to be raised when a step comes to mean something else */

static void add(struct hash *hash, const char *text)
{
	hash_add(hash, text, strlen(text) + 1);
}

/* What all steps depend on: how their images are written, and whether owners come into them. */
static void common_add(const struct compile *compile, struct hash *hash)
{
	const struct writer_options *writer = &compile->root_options.writer;
	const char *version = writer_library_version(writer), *architecture = compile->options.build->architecture;
	char hot[DIGEST_TEXT_MAX], text[256];
	hot_set_key(compile->options.hot, hot);
	snprintf(text, sizeof(text), "step %d %s %s %d %u %d %d", KEY_SCHEMA, PACKAGE_VERSION, writer->compressor, writer->level,
		 writer->block_bytes, compile->recording, compile->options.build->mount_points);
	add(hash, text);
	add(hash, version != NULL ? version : "");
	add(hash, architecture != NULL ? architecture : "");
	add(hash, getenv("SOURCE_DATE_EPOCH") != NULL ? getenv("SOURCE_DATE_EPOCH") : ""); /* scripts see it */
	add(hash, hot);
}

static void part_add(struct hash *hash, const struct recipe_part *part)
{
	add(hash, recipe_section_name(part->section));
	add(hash, part->app != NULL ? part->app : "");
	for (size_t i = 0; i < part->words.count; i++)
		add(hash, part->words.items[i]);
	add(hash, "");
	add(hash, part->text);
}

/* The index of the mirror is what changes when its packages do. Without it nothing is known. */
static bool bootstrap_add(const struct stage *stage, struct hash *hash)
{
	struct digest index;
	for (size_t i = 0; i < stage->recipe->header_count; i++) {
		add(hash, stage->recipe->headers[i].key);
		add(hash, stage->recipe->headers[i].value);
	}
	if (fetch_index_digest(stage->recipe, &index) < 0)
		return false;
	add(hash, index.text);
	return true;
}

int stage_host_source(const struct compile *compile, struct walk_source *ret_source, struct stat ret_own[static STAGE_OWN_MAX],
		      struct err *err)
{
	int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open the working directory");
	*ret_source = (struct walk_source){ .directory_fd = fd, .name = ".", .own = ret_own };
	ret_source->own_count += fstat(compile->workshop.fd, &ret_own[ret_source->own_count]) == 0;
	/* The image of the build before lies where recipes do. */
	ret_source->own_count += lstat(compile->options.build->target, &ret_own[ret_source->own_count]) == 0;
	return 0;
}

/* From the host, what is read; from a stage, its key. Returns 1, or 0 if something is not known. */
static int files_add(const struct compile *compile, const struct stage *stage, const struct recipe_part *part, struct hash *hash,
		     struct err *err)
{
	const char *from = recipe_files_from(part);
	struct walk_source source = { .directory_fd = -1, .name = from, .is_stage = true };
	struct stat own[STAGE_OWN_MAX];
	struct digest key;
	struct files_list *list = NULL;
	const struct recipe_stage *other = from == NULL ? NULL : recipe_stage_find(&compile->recipe, from, stage->recipe);
	if (other != NULL && !stage_key(&compile->stages[other - compile->recipe.stages], &key))
		return 0;
	if (other != NULL)
		add(hash, key.text);
	int r = files_parse(part->text, part->line, compile->options.name, &list, err);
	if (r == 0 && other == NULL)
		r = stage_host_source(compile, &source, own, err);
	if (r == 0)
		r = files_digest(list, &source, hash, err);
	cleanup_close(&source.directory_fd);
	files_free(list);
	return r < 0 ? r : 1;
}

/* Adds the parts that a step carries out. Returns how many there are, or an error; *known becomes false if something is not. */
static int parts_add(const struct compile *compile, const struct stage *stage, enum step_kind kind, struct hash *hash, bool *known,
		     struct err *err)
{
	static const enum recipe_section files[] = { RECIPE_FILES, RECIPE_SETUP, RECIPE_APPFILES },
					 post[] = { RECIPE_POST, RECIPE_APPINSTALL };
	const enum recipe_section *sections = kind == STEP_FILES ? files : post;
	int section_count = kind == STEP_FILES ? 3 : 2, count = 0;
	for (int i = 0; i < section_count; i++) {
		const struct recipe_part *part = NULL;
		while ((part = compile_part(stage, sections[i], part)) != NULL) {
			count++;
			part_add(hash, part);
			*known &= part->section != RECIPE_SETUP;
			bool copies = part->section == RECIPE_FILES || part->section == RECIPE_APPFILES;
			int r = copies ? files_add(compile, stage, part, hash, err) : 1;
			if (r < 0)
				return r;
			*known &= r > 0;
		}
	}
	if (kind == STEP_POST)
		*known &= compile->options.build->binds.count == 0;
	return count;
}

static bool is_bootstrapped(const struct stage *stage)
{
	enum recipe_agent agent = stage->recipe->agent;
	return agent == RECIPE_DEBOOTSTRAP || agent == RECIPE_DNF || agent == RECIPE_YUM;
}

/* before: the state that the step begins with, and whether its key is known. Both become those after it. */
static int step_key(struct compile *compile, struct stage *stage, enum step_kind kind, struct digest *before, bool *known,
		    struct err *err)
{
	struct step *step = &stage->steps[kind];
	struct hash *hash = hash_new(NULL);
	int r;
	if (hash == NULL)
		return err_sys(err, ENOMEM, "cannot compute the key of a step");
	common_add(compile, hash);
	add(hash, before->text);
	add(hash, step_name(kind));
	if (kind == STEP_BOOTSTRAP) {
		r = is_bootstrapped(stage);
		*known &= r == 0 || bootstrap_add(stage, hash);
	} else {
		r = parts_add(compile, stage, kind, hash, known, err);
	}
	hash_digest(hash, &step->key);
	hash_free(hash);
	step->wanted = r > 0;
	step->known = *known;
	if (r > 0)
		*before = step->key;
	return r < 0 ? r : 0;
}

int stage_keys(struct compile *compile, struct stage *stage, struct err *err)
{
	struct digest before = stage->base.key;
	bool known = true;
	int r = 0;
	for (int kind = 0; kind < STEP_COUNT && r == 0; kind++)
		r = step_key(compile, stage, (enum step_kind)kind, &before, &known, err);
	return r;
}

bool stage_key(const struct stage *stage, struct digest *ret_key)
{
	bool known = true;
	*ret_key = stage->base.key;
	for (int kind = 0; kind < STEP_COUNT; kind++) {
		if (!stage->steps[kind].wanted)
			continue;
		*ret_key = stage->steps[kind].key;
		known &= stage->steps[kind].known;
	}
	return known;
}

int stage_missing(const struct stage *stage)
{
	int kind = 0;
	while (kind < STEP_COUNT && (!stage->steps[kind].wanted || stage->steps[kind].fd >= 0))
		kind++;
	return kind;
}

void step_slot(const struct compile *compile, struct step *step)
{
	step->slot = (struct image_slot){ .cache = compile->options.cache, .lock_fd = -1, .quiet = compile->options.build->quiet };
	snprintf(step->slot.key, sizeof(step->slot.key), "%s", digest_hex(&step->key));
}

/* Waits while another process makes the same delta. The lock of the first one that is missing is kept until it has been made. */
void stage_look_up(struct compile *compile, struct stage *stage)
{
	int kind;
	while ((kind = stage_missing(stage)) < STEP_COUNT) {
		struct step *step = &stage->steps[kind];
		if (!step->known || step->slot.cache != NULL)
			return;
		step_slot(compile, step);
		step->fd = compile->options.build->no_cache ? -1 : image_cache_open(&step->slot);
		step->cached = step->fd >= 0;
		if (!step->cached)
			return;
		image_cache_close(&step->slot);
	}
}

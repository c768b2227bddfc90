/* SPDX-License-Identifier: Apache-2.0
 *
 * The order in which a recipe is carried out: see compile.h.
 */
#include "builder/recipe/compile.h"

#include "builder/fakeroot/fakeroot.h"
#include "builder/hot.h"
#include "builder/options.h"
#include "builder/recipe/compile_internal.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fdio.h"
#include "lib/log.h"
#include "lib/strlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLATFORM_MAX = 64 };

static int out_of_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "cannot carry out the recipe");
}

const char *step_name(enum step_kind kind)
{
	static const char *const names[] = { "bootstrap", "files", "post" };
	return names[kind];
}

const struct recipe_part *compile_part(const struct stage *stage, enum recipe_section section, const struct recipe_part *after)
{
	return recipe_next_part(stage->recipe, section, NULL, after);
}

void stage_chain(const struct stage *stage, int before, struct chain *ret_chain)
{
	*ret_chain = (struct chain){ .count = 0 };
	if (stage->base.fd >= 0)
		chain_add(ret_chain, stage->base.fd, stage->base.source, stage->base.trusted);
	for (int kind = 0; kind < before; kind++)
		if (stage->steps[kind].wanted)
			chain_add(ret_chain, stage->steps[kind].fd, step_name((enum step_kind)kind), true);
}

/* --- the recipe --- */

static int file_read(const char *name, int fd, size_t bytes_max, char **ret_text, size_t *ret_bytes, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot read '%s'", name);
	if ((uint64_t)st.st_size > bytes_max)
		return err_set(err, EFBIG, "'%s' has more than %zu MiB", name, bytes_max >> 20);
	autofree char *text = calloc(1, (size_t)st.st_size + 1);
	int r = text == NULL ? -ENOMEM : fdio_read(fd, 0, text, (size_t)st.st_size);
	if (r < 0)
		return err_sys(err, -r, "cannot read '%s'", name);
	*ret_text = steal_ptr(&text);
	*ret_bytes = (size_t)st.st_size;
	return 0;
}

static int argument_file_read(struct compile *compile, const char *path, struct err *err)
{
	autofree char *text = NULL;
	size_t bytes = 0;
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? err_sys(err, errno, "cannot open the file of --build-arg-file '%s'", path) :
			 file_read(path, fd, RECIPE_BYTES_MAX, &text, &bytes, err);
	return r < 0 ? r : template_arguments_read(&compile->arguments, path, text, bytes, err);
}

static int arguments_take(struct compile *compile, struct err *err)
{
	const struct build_options *build = compile->options.build;
	int r = build->argument_file == NULL ? 0 : argument_file_read(compile, build->argument_file, err);
	for (size_t i = 0; i < build->arguments.count && r == 0; i++)
		r = template_arguments_add(&compile->arguments, build->arguments.items[i], err);
	return r;
}

static void arguments_note(const struct compile *compile)
{
	for (size_t i = 0; i < compile->arguments.count && !compile->options.build->quiet; i++)
		if (!compile->arguments.list[i].used && !compile->arguments.list[i].from_file)
			log_note("the recipe has no '{{ %s }}', for which there is a --build-arg", compile->arguments.list[i].name);
}

static int recipe_read(struct compile *compile, struct err *err)
{
	const struct compile_options *options = &compile->options;
	autofree char *text = NULL;
	size_t bytes;
	int r = file_read(options->name, options->fd, RECIPE_BYTES_MAX, &compile->raw, &compile->raw_bytes, err);
	if (r == 0)
		r = arguments_take(compile, err);
	if (r == 0)
		r = template_apply(options->name, compile->raw, compile->raw_bytes, &compile->arguments, &text, &bytes, err);
	if (r == 0)
		r = recipe_parse(options->name, text, bytes, &compile->recipe, err);
	if (r < 0)
		return r;
	arguments_note(compile);
	recipe_keep_sections(&compile->recipe, options->build->sections);
	return 0;
}

static int stages_make(struct compile *compile, struct err *err)
{
	size_t count = compile->recipe.stage_count;
	compile->stages = calloc(count, sizeof(*compile->stages));
	compile->seconds = mmap(NULL, count * sizeof(*compile->seconds), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (compile->seconds == MAP_FAILED)
		compile->seconds = NULL;
	if (compile->stages == NULL || compile->seconds == NULL)
		return out_of_memory(err);
	for (size_t i = 0; i < count; i++) {
		struct stage *stage = &compile->stages[i];
		*stage = (struct stage){ .recipe = &compile->recipe.stages[i], .base = BASE_INIT };
		for (int kind = 0; kind < STEP_COUNT; kind++) {
			stage->steps[kind].fd = stage->steps[kind].slot.lock_fd = -1;
			if (asprintf(&stage->steps[kind].path, "%s/%zu-%s", compile->workshop.path, i,
				     step_name((enum step_kind)kind)) < 0) {
				stage->steps[kind].path = NULL;
				return out_of_memory(err);
			}
		}
	}
	return 0;
}

/* --- %pre and bases --- */

struct work {
	struct compile *compile;
	struct stage *stage;
};

static int pre_work(void *context, struct err *err)
{
	const struct work *work = context;
	autofree char *root = workshop_path(&work->compile->workshop, "root");
	return root == NULL ? out_of_memory(err) : stage_host_script(work->compile, work->stage, RECIPE_PRE, root, NULL, err);
}

static int stage_pre(struct compile *compile, struct stage *stage, struct err *err)
{
	struct work work = { compile, stage };
	return compile_part(stage, RECIPE_PRE, NULL) == NULL ? 0 : workshop_run(pre_work, &work, err);
}

static int stage_base(struct compile *compile, struct stage *stage, struct err *err)
{
	autofree char *source = NULL, *path = NULL;
	const struct compile_options *options = &compile->options;
	int r = recipe_source(stage->recipe, &source, err);
	if (r < 0 || source == NULL)
		return r;
	if (asprintf(&path, "%s/%zu-base", compile->workshop.path, (size_t)(stage - compile->stages)) < 0) {
		path = NULL;
		return out_of_memory(err);
	}
	r = base_open(source, path, options->build, options->cache, options->progress, &stage->base, err);
	return r < 0 ? err_prefix(err, "%s:%u", options->name, stage->recipe->line) : 0;
}

static int stages_prepare(struct compile *compile, struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < compile->recipe.stage_count && r == 0; i++) {
		struct stage *stage = &compile->stages[i];
		r = stage_pre(compile, stage, err);
		if (r == 0)
			r = stage_base(compile, stage, err);
		if (r == 0)
			r = stage_keys(compile, stage, err);
	}
	return r;
}

int compile_open(const struct compile_options *options, struct compile **ret_compile, struct err *err)
{
	struct compile *compile = calloc(1, sizeof(*compile));
	if (compile == NULL)
		return out_of_memory(err);
	*compile = (struct compile){ .options = *options, .workshop = WORKSHOP_INIT, .uid = geteuid(), .gid = getegid() };
	compile->root_options = (struct root_options){ .writer = options->build->writer, .hot = options->hot,
						       .progress = options->progress };
	int r = recipe_read(compile, err);
	if (r == 0)
		r = workshop_open(&compile->workshop, err);
	if (r == 0)
		r = stages_make(compile, err);
	if (r == 0) {
		compile->recording = fakeroot_can_record(compile->workshop.path, &compile->not_recording);
		r = stages_prepare(compile, err);
	}
	if (r < 0)
		compile_close(compile);
	else
		*ret_compile = compile;
	return r;
}

bool compile_key(const struct compile *compile, struct digest *ret_key)
{
	struct digest key;
	bool known = true;
	struct hash *hash = hash_new(NULL);
	if (hash == NULL)
		return false;
	for (size_t i = 0; i < compile->recipe.stage_count; i++) {
		known &= stage_key(&compile->stages[i], &key);
		hash_add(hash, key.text, sizeof(key.text));
	}
	hash_add(hash, compile->raw, compile->raw_bytes + 1);
	hash_add(hash, &compile->options.build->sections, sizeof(compile->options.build->sections));
	hash_add(hash, &compile->options.build->no_test, sizeof(compile->options.build->no_test));
	hash_add(hash, &compile->options.build->force, sizeof(compile->options.build->force)); /* of labels */
	for (size_t i = 0; i < compile->arguments.count; i++) {
		hash_add(hash, compile->arguments.list[i].name, strlen(compile->arguments.list[i].name) + 1);
		hash_add(hash, compile->arguments.list[i].value, strlen(compile->arguments.list[i].value) + 1);
	}
	hash_digest(hash, ret_key);
	hash_free(hash);
	return known;
}

/* --- carrying out --- */

static int missing_work(void *context, struct err *err)
{
	const struct work *work = context;
	return stage_work(work->compile, work->stage, err);
}

/* The workshop has left deltas of all steps from the first missing one on. */
static int deltas_take(const struct compile *compile, struct stage *stage, int first, struct err *err)
{
	for (int kind = first; kind < STEP_COUNT; kind++) {
		struct step *step = &stage->steps[kind];
		if (!step->wanted)
			continue;
		cleanup_close(&step->fd);
		step->fd = open(step->path, O_RDONLY | O_CLOEXEC);
		if (step->fd < 0)
			return err_sys(err, errno, "cannot open what a step has left, '%s'", step->path);
		step->cached = false;
		if (step->known && step->slot.cache == NULL)
			step_slot(compile, step);
		if (step->known)
			image_cache_keep(&step->slot, step->fd);
		image_cache_close(&step->slot);
	}
	return 0;
}

static int stage_run(struct compile *compile, struct stage *stage, struct err *err)
{
	struct work work = { compile, stage };
	stage_look_up(compile, stage);
	int first = stage_missing(stage);
	if (first == STEP_COUNT)
		return 0;
	if (compile->not_recording != NULL && !compile->options.build->quiet)
		log_note("owners and device nodes that scripts ask for are lost, all is root's: %s", compile->not_recording);
	compile->not_recording = NULL; /* said once */
	int r = workshop_run(missing_work, &work, err);
	return r < 0 ? r : deltas_take(compile, stage, first, err);
}

int compile_run(struct compile *compile, struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < compile->recipe.stage_count && r == 0; i++)
		r = stage_run(compile, &compile->stages[i], err);
	return r;
}

static int test_work(void *context, struct err *err)
{
	const struct work *work = context;
	return stage_test(work->compile, err);
}

int compile_test(struct compile *compile, struct err *err)
{
	struct stage *last = &compile->stages[compile->recipe.stage_count - 1];
	struct work work = { compile, last };
	if (compile->options.build->no_test || compile_part(last, RECIPE_TEST, NULL) == NULL)
		return 0;
	return workshop_run(test_work, &work, err);
}

static void stage_close(struct stage *stage)
{
	base_close(&stage->base);
	for (int kind = 0; kind < STEP_COUNT; kind++) {
		image_cache_close(&stage->steps[kind].slot);
		cleanup_close(&stage->steps[kind].fd);
		free(stage->steps[kind].path);
	}
}

void compile_close(struct compile *compile)
{
	if (compile == NULL)
		return;
	for (size_t i = 0; compile->stages != NULL && i < compile->recipe.stage_count; i++)
		stage_close(&compile->stages[i]);
	if (compile->seconds != NULL)
		munmap(compile->seconds, compile->recipe.stage_count * sizeof(*compile->seconds));
	free(compile->stages);
	workshop_close(&compile->workshop);
	recipe_free(&compile->recipe);
	template_arguments_free(&compile->arguments);
	json_decref(compile->packages);
	free(compile->raw);
	free(compile);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * simg build: one source to one image. Needs no privilege, and unpacks nothing to disk but where a recipe's scripts run.
 */
#include "builder/base.h"
#include "builder/cache/cache.h"
#include "builder/hot.h"
#include "builder/image_cache.h"
#include "builder/image_metadata.h"
#include "builder/load.h"
#include "builder/memory.h"
#include "builder/oci/container.h"
#include "builder/oci/layers.h"
#include "builder/options.h"
#include "builder/output.h"
#include "builder/progress.h"
#include "builder/recipe/compile.h"
#include "builder/sandbox.h"
#include "builder/source.h"
#include "builder/target.h"
#include "builder/tree.h"
#include "builder/verbs.h"
#include "builder/writer.h"
#include "config.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More than a real tree holds, and little enough that its block lists fit in the image. */
#define CONTENT_MAX_BYTES ((uint64_t)4 << 40)

/* All that a build holds. */
struct build {
	const struct build_options *options;
	struct progress progress;
	struct source_place place;
	struct cache *cache;         /* of a container and of a recipe */
	struct image_slot slot;      /* its image in the cache; slot.cache is NULL if there is none */
	struct container *container; /* NULL: the source is a file, a directory or a recipe */
	struct compile *compile;     /* a recipe */
	struct output *output;
	struct target *target;
	struct tree *tree;
	struct hot_set hot;
	struct load load;
	struct target_stats stats;
};

/* --- files and directories --- */

/* Files that are the build's own. Returns how many. */
static int own_files(const struct build *build, struct stat ret_st[static 2])
{
	int count = 0;
	if (build->output == NULL)
		return sandbox_own(build->target, ret_st);
	count += fstat(output_fd(build->output), &ret_st[count]) == 0;
	return count + output_target(build->output, &ret_st[count]);
}

static void source_options_fill(struct build *build, struct source_options *ret_options)
{
	struct stat own[2];
	*ret_options = (struct source_options){
		.name = strcmp(build->options->source, "-") == 0 ? "standard input" : build->options->source,
		.fd = build->place.fd,
		.trusted = build->options->max_bytes != 0,
		.quiet = build->options->quiet,
		.progress = &build->progress,
	};
	ret_options->output_count = own_files(build, own);
	for (int i = 0; i < ret_options->output_count; i++) {
		ret_options->output[i].device = own[i].st_dev;
		ret_options->output[i].inode = own[i].st_ino;
	}
}

static int entries_load(struct build *build, struct err *err)
{
	const struct source *source = build->place.source;
	struct source_options source_options;
	struct reader *reader = NULL;
	source_options_fill(build, &source_options);
	int r = source->open(&source_options, &reader, err);
	if (r == 0)
		r = load_source(&build->load, source, reader, err);
	source->close(reader);
	return r;
}

/* A tarball made by "docker save" is full of layers, not of files: it would give an image that nobody can use. */
static void archive_note(const struct build *build)
{
	bool oci = tree_find(build->tree, "oci-layout") != NULL;
	bool docker = tree_find(build->tree, "manifest.json") != NULL;
	if (build->container != NULL || build->compile != NULL || (!oci && !docker))
		return;
	log_note("'%s' looks like a saved container image; its layers are stored as they are. For its files, build from %s:%s",
		 build->options->source, oci ? "oci-archive" : "docker-archive", build->options->source);
}

/* --- recipes --- */

static int recipe_find(struct build *build, struct err *err)
{
	struct compile_options options = {
		.name = build->options->source,
		.fd = build->place.fd,
		.build = build->options,
		.hot = &build->hot,
		.progress = &build->progress,
	};
	int r = build->cache != NULL ? 0 : cache_open(NULL, &build->cache, err);
	options.cache = build->cache;
	return r < 0 ? r : compile_open(&options, &build->compile, err);
}

/* Forks, so it comes before the writer has threads: a child has the locks that they held, and nobody to release them. */
static int recipe_run(struct build *build, struct err *err)
{
	int r = compile_run(build->compile, err);
	return r < 0 ? r : compile_test(build->compile, err);
}

/* --- containers --- */

static int container_find(struct build *build, struct err *err)
{
	struct container_options options = {
		.name = build->options->source,
		.platform_given = build->options->architecture != NULL,
		.progress = &build->progress,
		.auth_file = build->options->auth_file,
		.quiet = build->options->quiet,
	};
	char storage[PLATFORM_STORAGE_BYTES];
	int r = platform_parse(build->options->architecture, storage, &options.platform, err);
	if (r == 0 && build->cache == NULL)
		r = cache_open(NULL, &build->cache, err);
	options.cache = build->cache;
	return r < 0 ? r : build->place.container->open(build->place.rest, &options, &build->container, err);
}

static int container_load(struct build *build, struct err *err)
{
	const struct layers_options options = {
		.cache = build->cache,
		.trusted = build->options->max_bytes != 0,
		.jobs = build->options->writer.jobs,
	};
	return layers_load(&build->load, build->container, &options, err);
}

/* What the files depend on. An archive of Docker's has no digest of its own, so the layers' are in it, too. */
static void container_hash(const struct container *container, struct hash *hash)
{
	hash_add(hash, container->digest.text, strlen(container->digest.text));
	hash_add(hash, container->source, strlen(container->source) + 1);
	for (size_t i = 0; i < container->manifest.layer_count; i++)
		hash_add(hash, container->manifest.layers[i].digest.text, sizeof(container->manifest.layers[i].digest.text));
}

static bool files_hash(const struct build *build, struct hash *hash)
{
	struct digest key;
	if (build->container != NULL)
		container_hash(build->container, hash);
	else if (build->compile != NULL && compile_key(build->compile, &key))
		hash_add(hash, key.text, sizeof(key.text));
	else
		return false;
	return true;
}

/* Everything that the image's bytes depend on. Returns false if that is not known, or without memory. */
static bool image_slot_fill(const struct build *build, struct image_slot *ret_slot)
{
	const struct build_options *options = build->options;
	const struct writer_options *writer = &options->writer;
	const char *version = writer_library_version(writer);
	char hot[DIGEST_TEXT_MAX], text[512];
	struct digest digest;
	struct hash *hash = hash_new(NULL);
	if (hash == NULL)
		return false;
	hot_set_key(&build->hot, hot);
	int bytes = snprintf(text, sizeof(text), "%s\n%s\n%s\n%s %d %u\n%" PRIu64 "\n%d\n%" PRIu64 "\n", PACKAGE_VERSION, hot,
			     version != NULL ? version : "", writer->compressor, writer->level, writer->block_bytes, options->time,
			     options->mount_points, options->max_bytes);
	hash_add(hash, text, (size_t)bytes);
	bool known = files_hash(build, hash);
	hash_digest(hash, &digest);
	hash_free(hash);
	*ret_slot = (struct image_slot){ .cache = known ? build->cache : NULL, .lock_fd = -1, .quiet = options->quiet };
	snprintf(ret_slot->key, sizeof(ret_slot->key), "%s", digest_hex(&digest));
	return known;
}

/* What is written has to pass the check that every launch makes. */
static int image_verify(const struct output *output, struct err *err)
{
	struct image image;
	int r = image_identify(output_fd(output), output_path(output), &image, err);
	return r < 0 ? r : image_check(output_fd(output), output_path(output), &image, err);
}

/* The same image was built before, or is being built by somebody else: returns 1 if it was taken from the cache. */
static int image_copy(struct build *build, struct err *err)
{
	if (build->output == NULL || !image_slot_fill(build, &build->slot))
		return 0;
	if (build->options->no_cache || !image_cache_take(&build->slot, build->output))
		return 0;
	int r = output_commit(build->output, err);
	return r < 0 ? r : 1;
}

/* --- the build --- */

/* What every start reads, and with it the metadata, through which everything is found. */
static int hot_take(struct build *build, struct err *err)
{
	const struct build_options *options = build->options;
	build->hot.standard = options->hot_standard;
	return options->hot_list == NULL ? 0 : hot_set_read(&build->hot, options->hot_list, err);
}

static int target_open(struct build *build, struct err *err)
{
	struct writer_options writer_options = build->options->writer;
	if (build->target != NULL)
		return 0;
	if (build->options->sandbox)
		return sandbox_open(build->options->target, build->options->force, &build->target, err);
	writer_options.plain_metadata = !hot_set_is_empty(&build->hot);
	output_restart(build->output);
	return writer_open(build->output, &writer_options, &build->target, err);
}

static int build_begin(struct build *build, struct err *err)
{
	int r = target_open(build, err);
	if (r < 0)
		return r;
	build->tree = tree_new();
	if (build->tree == NULL)
		return err_sys(err, ENOMEM, "cannot build the image '%s'", build->options->target);
	build->load = (struct load){
		.tree = build->tree,
		.target = build->target,
		.progress = &build->progress,
		.hot = &build->hot,
		.content_max_bytes = build->options->max_bytes != 0 ? build->options->max_bytes : CONTENT_MAX_BYTES,
		.time_max = build->options->time < UINT32_MAX ? (uint32_t)build->options->time : UINT32_MAX,
	};
	return 0;
}

static void build_end(struct build *build)
{
	target_free(build->target);
	tree_free(build->tree);
	build->target = NULL;
	build->tree = NULL;
}

/* Names of files stay out: equal sources give equal images. A sandbox of other files is those files, as they are. */
static int metadata_add(struct build *build, struct err *err)
{
	if (build->options->sandbox && build->container == NULL && build->compile == NULL)
		return 0;
	json_t *details = build->compile != NULL ? compile_describe(build->compile) : NULL;
	struct image_record record = {
		.container = build->container,
		.source_kind = build->compile != NULL ? "recipe" : build->container == NULL ? build->place.source->name : NULL,
		.details = details,
		.writer = build->options->sandbox ? NULL : &build->options->writer,
		.mount_points = build->options->mount_points,
	};
	int r = image_metadata_add(&build->load, &record, err);
	json_decref(details);
	return r;
}

static int files_load(struct build *build, struct err *err)
{
	if (build->compile != NULL)
		return compile_load(build->compile, &build->load, err);
	return build->container != NULL ? container_load(build, err) : entries_load(build, err);
}

static int build_try(struct build *build, struct err *err)
{
	int r = build_begin(build, err);
	if (r == 0)
		r = files_load(build, err);
	if (r == 0 && build->options->mount_points)
		r = load_mount_points(&build->load, err);
	if (r == 0)
		r = metadata_add(build, err);
	return r < 0 ? r : target_finish(build->target, build->tree, build->options->time, &build->stats, err);
}

static int build_run(struct build *build, struct err *err)
{
	int r = build->compile != NULL ? recipe_run(build, err) : 0;
	if (r < 0)
		return r;
	r = build_try(build, err);
	if (r == -EUCLEAN) { /* a stored blob went bad under our hands, and was discarded */
		build_end(build);
		*err = (struct err)ERR_INIT;
		r = build_try(build, err);
	}
	if (r < 0 || build->output == NULL)
		return r;
	r = image_verify(build->output, err);
	if (r == 0)
		r = output_commit(build->output, err);
	if (r == 0 && build->slot.cache != NULL)
		image_cache_keep(&build->slot, output_fd(build->output));
	return r;
}

static int build_image(struct build *build, struct err *err)
{
	const struct build_options *options = build->options;
	int r = image_copy(build, err);
	bool copied = r > 0;
	if (r == 0)
		r = build_run(build, err);
	progress_clear(&build->progress);
	if (r >= 0 && copied && !options->quiet)
		progress_end_copy(&build->progress, options->target, output_bytes(build->output));
	if (r < 0 || copied)
		return r;
	if (!options->quiet) {
		load_notes(&build->load);
		archive_note(build);
		if (options->sandbox)
			sandbox_notes(build->target);
	}
	progress_end(&build->progress, options->target, build->stats.content_bytes, target_bytes(build->target),
		     build->stats.file_count);
	return 0;
}

static int source_open(struct build *build, struct err *err)
{
	const struct build_options *options = build->options;
	int r = source_find(options->source, &build->place, err);
	if (r == 0 && options->recipe_given && !build->place.is_recipe) {
		err_set(err, EINVAL, "'%s' is no recipe, and --build-arg, --build-arg-file, --section, --bind, --no-test, --no-cache and "
				     "--keep-failed are for recipes", options->source);
		return err_hint(err, "simg build --help lists the options");
	}
	return r;
}

static void build_close(struct build *build)
{
	progress_clear(&build->progress);
	build_end(build);
	output_free(build->output);
	hot_set_free(&build->hot);
	image_cache_close(&build->slot);
	container_close(build->container);
	compile_close(build->compile);
	if (build->place.fd >= 0)
		close(build->place.fd);
}

static int build(const struct build_options *options, struct err *err)
{
	struct build build = { .options = options, .place = { .fd = -1 }, .slot = { .lock_fd = -1 } };
	memory_limit();
	progress_begin(&build.progress, options->quiet);
	int r = hot_take(&build, err);
	if (r == 0)
		r = source_open(&build, err);
	if (r == 0 && !options->sandbox)
		r = output_open(options->target, options->force, &build.output, err);
	else if (r == 0 && build.place.is_recipe) /* no script is to run for a directory that cannot be made */
		r = target_open(&build, err);
	if (r == 0 && build.place.container != NULL)
		r = container_find(&build, err);
	else if (r == 0 && build.place.is_recipe)
		r = recipe_find(&build, err);
	if (r == 0)
		r = build_image(&build, err);
	build_close(&build);
	cache_close(build.cache);
	return r < 0 ? r : 0;
}

/* --- bases of recipes --- */

static int file_digest(int fd, const char *name, struct digest *ret_digest, struct err *err)
{
	enum { PART_BYTES = 1024 * 1024 };
	autofree char *part = malloc(PART_BYTES);
	struct hash *hash = hash_new(NULL);
	ssize_t n = part == NULL || hash == NULL ? -1 : 1;
	for (off_t at = 0; n > 0; at += n) {
		n = pread(fd, part, PART_BYTES, at);
		if (n > 0)
			hash_add(hash, part, (size_t)n);
	}
	if (n == 0)
		hash_digest(hash, ret_digest);
	hash_free(hash);
	return n < 0 ? err_sys(err, errno, "cannot read '%s'", name) : 0;
}

/* As it is built, from the cache if it is there. */
static int base_build(struct build *build, struct base *base, struct err *err)
{
	if (build->container != NULL && image_slot_fill(build, &build->slot) && (base->fd = image_cache_open(&build->slot)) >= 0)
		return 0;
	int r = output_open(build->options->target, false, &build->output, err);
	if (r == 0)
		r = build_run(build, err);
	if (r == 0 && (base->fd = open(build->options->target, O_RDONLY | O_CLOEXEC)) < 0)
		r = err_sys(err, errno, "cannot open the base '%s'", base->source);
	progress_clear(&build->progress);
	if (r == 0 && !build->options->quiet)
		load_notes(&build->load);
	return r;
}

static int base_find(struct build *build, struct base *base, struct err *err)
{
	int r = source_find(base->source, &build->place, err);
	if (r < 0)
		return r;
	if (build->place.is_recipe)
		return err_set(err, EINVAL, "the base '%s' is a recipe: build that first", base->source);
	if (build->place.source == &source_image) {
		base->fd = build->place.fd;
		build->place.fd = -1;
		return file_digest(base->fd, base->source, &base->digest, err);
	}
	base->trusted = true;
	r = build->place.container != NULL ? container_find(build, err) : 0;
	if (r == 0)
		r = base_build(build, base, err);
	if (r < 0 || build->container == NULL)
		return r < 0 ? r : file_digest(base->fd, base->source, &base->digest, err);
	base->digest = build->container->digest;
	const char *name = strstr(build->container->source, "://");
	if (name != NULL && (base->name = strdup(name + 3)) == NULL)
		return err_sys(err, ENOMEM, "cannot open the base '%s'", base->source);
	return 0;
}

int base_open(const char *source, const char *path, const struct build_options *options, struct cache *cache,
	      struct progress *progress, struct base *ret_base, struct err *err)
{
	struct build_options own = *options;
	struct build build = { .options = &own, .place = { .fd = -1 }, .slot = { .lock_fd = -1 }, .cache = cache };
	own.source = source;
	own.target = path;
	own.sandbox = own.force = false;
	own.time = TARGET_TIME_NEWEST; /* what is too young is cut to the time when the image is made of it */
	progress_clear(progress);
	progress_begin(&build.progress, options->quiet);
	*ret_base = (struct base)BASE_INIT;
	ret_base->source = strdup(source);
	int r = ret_base->source == NULL ? err_sys(err, ENOMEM, "cannot open the base '%s'", source) : hot_take(&build, err);
	if (r == 0)
		r = base_find(&build, ret_base, err);
	if (r == 0 && build.slot.cache != NULL)
		digest_of(build.slot.key, sizeof(build.slot.key), &ret_base->key);
	else if (r == 0)
		ret_base->key = ret_base->digest;
	build_close(&build);
	return r < 0 ? r : 0;
}

void base_close(struct base *base)
{
	if (base->fd >= 0)
		close(base->fd);
	free(base->source);
	free(base->name);
	*base = (struct base)BASE_INIT;
}

/* --- the verb --- */

static int run(int argc, char **argv)
{
	struct build_options options;
	struct err err = ERR_INIT;
	int r = build_options_parse(argc, argv, &options, &err);
	if (r > 0) {
		fputs(BUILD_HELP, stdout);
		return EXIT_SUCCESS;
	}
	if (r < 0) {
		log_err(&err);
		build_options_free(&options);
		return EXIT_USAGE;
	}
	r = build(&options, &err);
	if (r < 0)
		log_err(&err);
	build_options_free(&options);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct verb verb_build = { "build", "make an image of a recipe, a container, a tarball or a directory", run };

/* SPDX-License-Identifier: Apache-2.0
 *
 * A recipe, carried out. For each stage in turn
 *
 *	%pre on the host; the base; then up to three steps, each with a delta as its result, which is kept in the cache by a key of all
 *	that went in: BOOTSTRAP (debootstrap, dnf), FILES (%files from stages, %setup, %files and %appfiles of the host) and
 *	POST (%post and %appinstall)
 *
 * and of the last one the image: its chain of images, and what the other sections say (results.h). %test runs on that, before it is
 * given out. A step whose outcome depends on more than can be known, %setup and whatever a bind mount leads to, is not kept, nor is
 * any that follows it.
 */
#ifndef SIMG_BUILDER_RECIPE_COMPILE_H
#define SIMG_BUILDER_RECIPE_COMPILE_H

#include <jansson.h>
#include <stdbool.h>

struct build_options;
struct cache;
struct compile;
struct digest;
struct err;
struct hot_set;
struct load;
struct progress;

struct compile_options {
	const char *name;  /* of the recipe's file */
	int fd;            /* that is open */
	const struct build_options *build;
	struct cache *cache;
	struct hot_set *hot;
	struct progress *progress;
};

/* Reads the recipe, runs %pre, finds the bases, and looks up what has been done before. The options must outlive it. */
int compile_open(const struct compile_options *options, struct compile **ret_compile, struct err *err);

/* What all of the image depends on. Returns false if that cannot be known. */
bool compile_key(const struct compile *compile, struct digest *ret_key);

/* Carries out what is not in the cache. */
int compile_run(struct compile *compile, struct err *err);

/* Fills a load with the image's files and what the sections say. May be called several times. */
int compile_load(struct compile *compile, struct load *load, struct err *err);

/* Runs %test, if there is one and it is asked for. */
int compile_test(struct compile *compile, struct err *err);

/* For the image's record, after compile_load(): an object with the members "recipe" and "packages". The caller's. */
json_t *compile_describe(const struct compile *compile);

void compile_close(struct compile *compile); /* takes NULL */

#endif

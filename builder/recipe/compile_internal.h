/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of a compilation share: compile.c has the order of things, stage_key.c the keys of steps and the cache, stage_work.c
 * what happens in the workshop, compile_image.c the image.
 */
#ifndef SIMG_BUILDER_RECIPE_COMPILE_INTERNAL_H
#define SIMG_BUILDER_RECIPE_COMPILE_INTERNAL_H

#include "builder/base.h"
#include "builder/image_cache.h"
#include "builder/recipe/chain.h"
#include "builder/recipe/compile.h"
#include "builder/recipe/recipe.h"
#include "builder/recipe/root.h"
#include "builder/recipe/template.h"
#include "builder/recipe/workshop.h"

#include <sys/stat.h>
#include <sys/types.h>

enum step_kind { STEP_BOOTSTRAP, STEP_FILES, STEP_POST, STEP_COUNT };

struct step {
	bool wanted;            /* the stage has something to do there */
	bool known;             /* the key says all that it depends on, and so do those before */
	struct digest key;
	struct image_slot slot; /* while it is being made */
	int fd;                 /* of the delta; -1: not there yet */
	char *path;             /* where the workshop leaves it */
	bool cached;
};

struct stage {
	const struct recipe_stage *recipe;
	struct base base;
	struct step steps[STEP_COUNT];
};

struct compile {
	struct compile_options options;
	char *raw;               /* the recipe as it is in the file, with a zero behind it */
	size_t raw_bytes;
	struct template_arguments arguments;
	struct recipe recipe;
	struct stage *stages;    /* recipe.stage_count */
	struct workshop workshop;
	struct root_options root_options;
	bool recording;          /* owners can be recorded here */
	const char *not_recording; /* why not, until it has been said */
	uid_t uid;               /* of the builder, outside of the workshop */
	gid_t gid;
	double (*seconds)[STEP_COUNT]; /* by stage; shared memory */
	json_t *packages;        /* of the image */
};

/* The next part of a section, of any app or none. */
const struct recipe_part *compile_part(const struct stage *stage, enum recipe_section section, const struct recipe_part *after);

/* "post" and the like. */
const char *step_name(enum step_kind kind);

/* The stage's images before the step of that number; STEP_COUNT: all. */
void stage_chain(const struct stage *stage, int before, struct chain *ret_chain);

/* stage_key.c: the keys of all steps; and the deltas that are in the cache. */
int stage_keys(struct compile *compile, struct stage *stage, struct err *err);
void stage_look_up(struct compile *compile, struct stage *stage);

/* Prepares the place of a step's delta in the cache. */
void step_slot(const struct compile *compile, struct step *step);

/* The key of the state after all steps. Returns false if it is not known. */
bool stage_key(const struct stage *stage, struct digest *ret_key);

/* The first step that is wanted and not there, or STEP_COUNT. */
int stage_missing(const struct stage *stage);

/* Where sources of %files on the host are looked for, and what of that is the build's own. fd is the caller's to close. */
enum { STAGE_OWN_MAX = 2 };
struct walk_source;
int stage_host_source(const struct compile *compile, struct walk_source *ret_source, struct stat ret_own[static STAGE_OWN_MAX],
		      struct err *err);

/* stage_work.c, in the workshop: what is missing of a stage. */
int stage_work(struct compile *compile, struct stage *stage, struct err *err);

/* Likewise: a section's script on the host, %pre or %setup. */
int stage_host_script(struct compile *compile, struct stage *stage, enum recipe_section section, const char *root,
		      struct owners *owners, struct err *err);

/* Likewise: %test on the finished files. */
int stage_test(struct compile *compile, struct err *err);

#endif

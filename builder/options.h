/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of simg build, and the environment variables that stand for options.
 */
#ifndef SIMG_BUILDER_OPTIONS_H
#define SIMG_BUILDER_OPTIONS_H

#include "builder/writer.h"
#include "lib/bind.h"
#include "lib/strlist.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct build_options {
	const char *target, *source;
	struct writer_options writer;
	const char *architecture; /* --arch; NULL: this machine's */
	const char *auth_file;    /* NULL: the usual places */
	const char *hot_list;     /* NULL: none */
	uint64_t max_bytes;       /* 0: not given */
	uint64_t time;            /* --timestamp or SOURCE_DATE_EPOCH; TARGET_TIME_NEWEST if neither is given */
	bool force, quiet, mount_points, hot_standard;
	bool sandbox;             /* target names a directory to be made */
	bool writer_given;        /* an option that only images have */

	/* Of recipes. */
	struct strlist arguments;  /* --build-arg: "NAME=VALUE" */
	const char *argument_file; /* NULL: none */
	struct bind_list binds;
	unsigned long sections;    /* a bit for each that is carried out, by enum recipe_section */
	bool no_test, no_cache, keep_failed;
	bool recipe_given;         /* an option that only recipes have */
};

extern const char BUILD_HELP[];

/* Returns 0, 1 if the help was asked for, or a negative errno. The strings are those of argv. To be released in any case. */
int build_options_parse(int argc, char **argv, struct build_options *options, struct err *err);
void build_options_free(struct build_options *options);

#endif

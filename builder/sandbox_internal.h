/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the sandbox share: sandbox.c takes the data and gives the whole its name, sandbox_tree.c makes the tree.
 */
#ifndef SIMG_BUILDER_SANDBOX_INTERNAL_H
#define SIMG_BUILDER_SANDBOX_INTERNAL_H

#include "builder/tally.h"
#include "builder/target.h"
#include "builder/temporary.h"

#include <linux/limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

struct owners;

struct file {
	struct file *next;  /* the sandbox's list */
	uint64_t number;    /* its name among the files */
};

enum { FILE_NAME_MAX = 24 };

struct sandbox {
	struct target base;  /* first: callers know the sandbox by it */
	char *path;          /* as given, without slashes at the end */
	struct temporary temporary;
	int root_fd;         /* of the hidden directory, which is the tree's root */
	int files_fd;        /* of the directory in it that holds what has no name yet */
	char files_name[NAME_MAX + 1]; /* … and its name */
	struct owners *work; /* it is a work directory, and this has what is not on disk; else NULL */
	bool privileged;
	bool replace;        /* there is a directory to replace: */
	struct stat old;

	struct file *files;
	int data_fd;         /* the current file, or -1 */
	uint64_t data_bytes; /* … and its length so far, holes included */
	bool data_hole;      /* … which ends in a hole */
	uint64_t content_bytes, written_bytes, file_count;

	FILE *record;
	bool recorded;       /* there is something in it */
	struct tally owners, setids, modes, devices, xattrs;
};

/* The name of a data file. */
void sandbox_file_name(uint64_t number, char name[FILE_NAME_MAX]);

/* Fills err for a failed system call on a path in the sandbox. Returns its code. */
int sandbox_failed(const struct sandbox *sandbox, int errnum, const char *path, struct err *err);

struct tree;

/* sandbox_tree.c: makes the tree in the hidden directory, from the files and the numbered tree, and the record. seconds is the time
 * of what has none of its own. */
int sandbox_tree_make(struct sandbox *sandbox, struct tree *tree, uint32_t seconds, struct err *err);

#endif

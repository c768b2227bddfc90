/* SPDX-License-Identifier: Apache-2.0
 *
 * Which files of an image are hot: read by nearly every program start, and so worth storing without compression. A fresh mount has
 * no cached pages, and decompressing the loader, libc and the shell once more is most of a first launch (bench/README.md).
 *
 * Files are known by their names, not by what they need: a tarball is read once, and when a library's data comes by, the program
 * that needs it may not have been seen. What a shell or Python needs has the same names in every distribution.
 */
#ifndef SIMG_BUILDER_HOT_H
#define SIMG_BUILDER_HOT_H

#include <stdbool.h>
#include <stddef.h>

struct err;

struct hot_path {
	char *path; /* without its first slash; a directory keeps its last one, and "" is the root */
	bool found;
};

struct hot_set {
	bool standard;          /* with the built-in names: loader, C and C++ library, shells, Python, and so on */
	struct hot_path *paths; /* of lists, sorted */
	size_t count;
};

/* Adds the paths of a list: one on a line, absolute, as in the image; one that ends with '/' stands for all files below that
 * directory. Empty lines and those that begin with '#' are skipped. Fails, with the line's number, on anything else, and on a list
 * without a path. */
int hot_set_read(struct hot_set *set, const char *list, struct err *err);

/* Whether nothing at all is hot. */
bool hot_set_is_empty(const struct hot_set *set);

/* Whether the regular file at path, as a source names it ("./usr/bin/bash"), is hot. Remembers which paths of lists were found. */
bool hot_set_contains(struct hot_set *set, const char *path);

/* A text that is the same for sets of the same files, and else another one. key has DIGEST_TEXT_MAX bytes. */
void hot_set_key(const struct hot_set *set, char *key);

/* Prints a note if paths of lists were not found. */
void hot_set_note(const struct hot_set *set);

/* The set is empty afterwards. */
void hot_set_free(struct hot_set *set);

#endif

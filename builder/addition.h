/* SPDX-License-Identifier: Apache-2.0
 *
 * What the builder adds to a tree that came from somewhere else, and that may hold anything at the places where additions go. Paths
 * run through the tree's own symlinks and never out of it; all that is added is root's and has the image's own time.
 */
#ifndef SIMG_BUILDER_ADDITION_H
#define SIMG_BUILDER_ADDITION_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct load;

/* Whether path is a regular file, not a link to one. */
bool addition_has_file(const struct load *load, const char *path);

/* Makes path a directory. One that is there stays as it is; anything else that is there is replaced. */
int addition_directory(struct load *load, const char *path, struct err *err);

/* Makes path a symlink, unless there is something other than a symlink. */
int addition_link(struct load *load, const char *path, const char *target, struct err *err);

/* Makes path a file with this text, which it frees. Takes NULL, for lack of memory, and says so. */
int addition_text(struct load *load, const char *path, uint16_t mode, char *text, struct err *err);

/* Gives the file at path, which is to be replaced, a second name: prefix, the lowest number from 0 on that is free, and suffix.
 * Returns that number; -ENOENT without filling err if path is no regular file or has been kept HISTORY_MAX times already. */
enum { HISTORY_MAX = 16 };
int addition_keep(struct load *load, const char *path, const char *prefix, const char *suffix, struct err *err);

/* A copy of text for a line of a text file or for JSON: control characters are replaced by '?', and so are all other than ASCII
 * if it is not UTF-8. The caller frees; NULL without memory. */
char *addition_printable(const char *text);

#endif

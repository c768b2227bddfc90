/* SPDX-License-Identifier: Apache-2.0
 *
 * The file that the image is written to: a temporary one beside the target, which takes the target's name only when it is complete
 * and on disk (temporary.h). One output at a time.
 */
#ifndef SIMG_BUILDER_OUTPUT_H
#define SIMG_BUILDER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct err;
struct output;

/* Creates the temporary file. Fails if the target exists and force is not set, and if it is anything but a regular file. */
int output_open(const char *path, bool force, struct output **ret_output, struct err *err);

/* Reads and writes all of it at an offset; a write behind the end makes the file longer. 0 or a negative errno. */
int output_read(struct output *output, uint64_t offset, void *data, size_t bytes);
int output_write(struct output *output, uint64_t offset, const void *data, size_t bytes);

/* Appends a part of another file, inside the kernel. Returns how many bytes, less than asked where that is not possible: then what
 * is left has to be read and written. */
size_t output_append(struct output *output, int fd, uint64_t offset, size_t bytes);

/* The length as the writer sees it. Making it shorter touches the file only at the end. */
uint64_t output_bytes(const struct output *output);
void output_truncate(struct output *output, uint64_t bytes);

/* Fills the file with all that fd holds: by reflink or inside the kernel where that is possible. */
int output_copy(struct output *output, int fd, struct err *err);

/* From the beginning again: the file is empty, and writes count again. */
void output_restart(struct output *output);

/* From now on writes are dropped: for an orderly end of threads that still have data, when the file is doomed anyway. */
void output_abandon(struct output *output);

/* It is the build's own, and worth nothing after a crash: nobody waits for the disk. */
void output_scratch(struct output *output);

int output_fd(const struct output *output);
const char *output_path(const struct output *output); /* the target's, as the user gave it */

/* The target as it was when the output was opened. Returns false if there was none. */
bool output_target(const struct output *output, struct stat *ret_st);

/* Mode by the umask, fsync, rename, fsync of the directory. */
int output_commit(struct output *output, struct err *err);

/* Removes the temporary file unless it was committed. Takes NULL. */
void output_free(struct output *output);

#endif

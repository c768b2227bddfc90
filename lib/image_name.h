/* SPDX-License-Identifier: Apache-2.0
 *
 * From what a user typed after --container= to a file. Used on the submit side and on the nodes, with the same rules.
 */
#ifndef SIMG_LIB_IMAGE_NAME_H
#define SIMG_LIB_IMAGE_NAME_H

struct err;
struct image;
struct strlist;

/* The absolute path that `name` means: itself if absolute; relative to cwd if it has a slash; else NAME in cwd, then NAME and NAME.simg in each
 * directory of image_path. Only a relative or bare name is looked for (with the caller's permissions); an absolute path is returned
 * as it is. -ENOENT says where it was searched. The caller frees *ret_path. */
int image_name_find(const char *name, const char *cwd, const struct strlist *image_path, char **ret_path, struct err *err);

/* Opens the image at an absolute path for reading without side effects (a FIFO or a device is not opened), tells its format and
 * checks it: image_check() for SquashFS, a root filesystem for a directory. Formats that can't be launched are refused by name. Returns a
 * descriptor, close-on-exec. */
int image_name_open(const char *path, struct image *ret_image, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Ways to bring an image's tree to a directory. Root's side: the image is a descriptor that the user opened.
 */
#ifndef SIMG_RUNTIME_DRIVER_H
#define SIMG_RUNTIME_DRIVER_H

#include <stdbool.h>

struct err;
struct image;

/* The kernel's SquashFS driver over a loop device, read-only, nosuid, nodev. The image must have passed image_check().
 *
 * One image is attached once per node: a loop device that already reads this very file (same device, inode, size and times) is
 * used again, and the kernel then shares its superblock and with it every decompressed page. The loop device frees itself
 * with its last mount (autoclear), whatever happens to any process. *ret_fresh tells whether this was the first mount of the image here. */
int driver_kernel_mount(int image_fd, const struct image *image, int dst_fd, bool *ret_fresh, struct err *err);

/* A directory with a root filesystem, bound read-only, nosuid, nodev. cover_fd as for mount_bind(). */
int driver_directory_mount(int dir_fd, int dst_fd, int cover_fd, struct err *err);

#endif

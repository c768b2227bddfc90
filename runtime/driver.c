/* SPDX-License-Identifier: Apache-2.0
 *
 * Mount drivers: see driver.h.
 */
#include "runtime/driver.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image.h"
#include "runtime/mount.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Linux 5.8; the structure has the same size on every architecture. Source: include/uapi/linux/loop.h */
#ifndef LOOP_CONFIGURE
#define LOOP_CONFIGURE 0x4C0A
struct loop_config {
	__u32 fd;
	__u32 block_size;
	struct loop_info64 info;
	__u64 __reserved[8];
};
#endif

enum { ATTACH_TRIES = 64 };

/* What a loop device must say of itself to be this image's. The name field, which the kernel only stores, holds a tag of size and
 * times: a file that was overwritten in place is another image, and must not share pages with the old one. */
static int describe(int image_fd, const struct image *image, struct loop_info64 *info, uint64_t *ret_sectors, struct err *err)
{
	struct stat st;
	if (fstat(image_fd, &st) < 0)
		return err_sys(err, errno, "cannot stat the image");
	const uint64_t parts[] = { (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec,
				   (uint64_t)st.st_ctim.tv_sec, (uint64_t)st.st_ctim.tv_nsec };
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a: told apart, not secured; only root writes this field */
	for (size_t i = 0; i < sizeof(parts); i++)
		hash = (hash ^ ((const unsigned char *)parts)[i]) * 0x100000001b3;
	*info = (struct loop_info64){
		.lo_device = st.st_dev,
		.lo_inode = st.st_ino,
		.lo_offset = image->offset_bytes,
		.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
	};
	snprintf((char *)info->lo_file_name, LO_NAME_SIZE, "simg:%016" PRIx64, hash);
	*ret_sectors = ((uint64_t)st.st_size - image->offset_bytes) / 512;
	return 0;
}

static bool is_same_image(const struct loop_info64 *a, const struct loop_info64 *b)
{
	return a->lo_device == b->lo_device && a->lo_inode == b->lo_inode && a->lo_offset == b->lo_offset && a->lo_sizelimit == 0 &&
	       (a->lo_flags & (LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR)) == (LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR) &&
	       memcmp(a->lo_file_name, b->lo_file_name, LO_NAME_SIZE) == 0;
}

static int open_loop(int number, char path[static 32])
{
	snprintf(path, 32, "/dev/loop%d", number);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* 512-byte sectors of a device, 0 if nothing is attached to it. From sysfs, which asks no file system. */
static uint64_t loop_sectors(const char *name)
{
	char path[64];
	uint64_t sectors = 0;
	snprintf(path, sizeof(path), "/sys/block/%.32s/size", name);
	autofclose FILE *file = fopen(path, "re");
	return file != NULL && fscanf(file, "%" SCNu64, &sectors) == 1 ? sectors : 0;
}

/* Open means in use: a device found here can't go away before the descriptor is closed. -1 if there is none.
 *
 * The status of a device asks the file system that its file is on, and hangs with it: those of another size are passed over first, or one
 * dead file server with an image in use would stop the launches from all others. */
static int find_loop(const struct loop_info64 *wanted, uint64_t sectors, char path[static 32])
{
	autoclosedir DIR *dir = opendir("/sys/block");
	const struct dirent *entry;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		int number;
		if (sscanf(entry->d_name, "loop%d", &number) != 1 || loop_sectors(entry->d_name) != sectors)
			continue;
		struct loop_info64 info;
		autoclose int fd = open_loop(number, path);
		if (fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && is_same_image(&info, wanted))
			return steal_fd(&fd);
	}
	return -1;
}

/* Linux before 5.8: two steps. A crash in between leaves a device without autoclear, which is why the newer call is preferred. */
static int configure_in_steps(int loop_fd, int image_fd, const struct loop_info64 *info)
{
	if (ioctl(loop_fd, LOOP_SET_FD, image_fd) < 0)
		return -errno;
	if (ioctl(loop_fd, LOOP_SET_STATUS64, info) < 0) {
		int saved = errno;
		ioctl(loop_fd, LOOP_CLR_FD, 0);
		return -saved;
	}
	return 0;
}

static int configure(int loop_fd, int image_fd, const struct loop_info64 *info)
{
	struct loop_config config = { .fd = (__u32)image_fd, .info = *info };
	if (ioctl(loop_fd, LOOP_CONFIGURE, &config) == 0)
		return 0;
	return errno == EINVAL || errno == ENOTTY ? configure_in_steps(loop_fd, image_fd, info) : -errno;
}

static int no_loop_device(int errnum, struct err *err)
{
	err_sys(err, errnum, "no free loop device on this node");
	return err_hint(err, "losetup -a lists those in use; the administrator can raise the loop driver's max_loop");
}

/* Others take loop devices at the same time, and any step can find the device gone: then the next free one is tried. */
static int attach_loop(int control_fd, int image_fd, const struct loop_info64 *info, char path[static 32], struct err *err)
{
	int last = ENODEV;
	for (int i = 0; i < ATTACH_TRIES; i++) {
		int number = ioctl(control_fd, LOOP_CTL_GET_FREE);
		if (number < 0)
			return no_loop_device(errno, err);
		autoclose int fd = open_loop(number, path);
		if (fd < 0 && errno != ENOENT && errno != ENXIO)
			return no_loop_device(errno, err);
		int r = fd < 0 ? -errno : configure(fd, image_fd, info);
		if (r == 0)
			return steal_fd(&fd);
		last = -r;
		/* EAGAIN: before 5.8 an offset cannot be set once somebody (udev) has read from the fresh device. loop_set_status() */
		if (last != EBUSY && last != ENXIO && last != ENOENT && last != EAGAIN)
			return err_sys(err, last, "cannot attach the image to '%s'", path);
	}
	return no_loop_device(last, err);
}

static int take_loop(int image_fd, const struct image *image, char path[static 32], bool *ret_fresh, struct err *err)
{
	struct loop_info64 info;
	uint64_t sectors = 0;
	int r = describe(image_fd, image, &info, &sectors, err);
	if (r < 0)
		return r;
	autoclose int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return no_loop_device(errno, err);
	/* So that of many launches at once one attaches and the others find it. Only root can open this device, so nobody else can
	 * hold the lock; without it (it failed) two devices would read the file, which costs memory and nothing else. */
	flock(control, LOCK_EX);
	int loop = find_loop(&info, sectors, path);
	*ret_fresh = loop < 0;
	return loop >= 0 ? loop : attach_loop(control, image_fd, &info, path, err);
}

int driver_kernel_mount(int image_fd, const struct image *image, int dst_fd, bool *ret_fresh, struct err *err)
{
	char path[32];
	autoclose int loop = take_loop(image_fd, image, path, ret_fresh, err); /* held open until the mount holds it */
	if (loop < 0)
		return loop;
	int r = mount_new("squashfs", path, dst_fd, MOUNT_READ_ONLY, NULL, err);
	if (r == -EINVAL || r == -ENODEV)
		return err_hint(err, "does this kernel have SquashFS with %s? see dmesg, and simg doctor on this node",
				image_compressor_name(image->super.compressor));
	return r;
}

int driver_directory_mount(int dir_fd, int dst_fd, int cover_fd, struct err *err)
{
	return mount_bind(dir_fd, dst_fd, MOUNT_READ_ONLY | MOUNT_NOSUID | MOUNT_NODEV, cover_fd, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The yardstick of the launch benchmark: nothing but the system calls that bring a program into a SquashFS image. No options are
 * read from files, nothing is checked, nobody's rights are respected: what a launch takes longer than this is ours to explain.
 *
 * Runs as root, and only with an image that root trusts. Needs /mnt, and mount points in the image as `simg build` makes them.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROOT "/mnt"

/* What a launch binds. Home directories as a whole: the image has no place for a single one, and a limit need not make one. */
static const char *const binds[] = {
	"/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/home", "/etc/hosts", "/etc/resolv.conf", "/etc/passwd", "/etc/group",
};

static bool tell_times;

/* With -t: what passed since the last call, in microseconds. */
static void stage(const char *name)
{
	static struct timespec last;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (tell_times && name != NULL)
		fprintf(stderr, "%-10s %7.0f us\n", name,
			(double)(now.tv_sec - last.tv_sec) * 1e6 + (double)(now.tv_nsec - last.tv_nsec) / 1e3);
	clock_gettime(CLOCK_MONOTONIC, &last);
}

static void private_namespace(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		err(EXIT_FAILURE, "cannot make a private mount namespace");
}

static int configure(int loop, int image)
{
	struct loop_info64 info = { .lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR };
#ifdef LOOP_CONFIGURE
	struct loop_config config = { .fd = (__u32)image, .info = info };
	if (ioctl(loop, LOOP_CONFIGURE, &config) == 0 || (errno != EINVAL && errno != ENOTTY))
		return errno == 0 ? 0 : -errno;
#endif
	return ioctl(loop, LOOP_SET_FD, image) < 0 || ioctl(loop, LOOP_SET_STATUS64, &info) < 0 ? -errno : 0;
}

/* Attaches the image and leaves the device's name in path. The descriptor holds the device until it is mounted. */
static int attach(const char *image_path, char path[static 32])
{
	int image = open(image_path, O_RDONLY | O_CLOEXEC), control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (image < 0 || control < 0)
		err(EXIT_FAILURE, "cannot open '%s' or /dev/loop-control", image_path);
	for (;;) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		snprintf(path, 32, "/dev/loop%d", number);
		int loop = number < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
		if (loop < 0)
			err(EXIT_FAILURE, "no free loop device");
		errno = 0;
		int r = configure(loop, image);
		if (r == 0)
			return loop;
		if (r != -EBUSY) /* somebody else was quicker */
			errx(EXIT_FAILURE, "cannot attach '%s' to %s: %s", image_path, path, strerror(-r));
		close(loop);
	}
}

/* An image, or the loop device that it is mounted from already: then the kernel shares that mount's superblock. */
static void mount_image(const char *source)
{
	struct stat st;
	char path[32];
	int loop = -1;
	if (stat(source, &st) < 0)
		err(EXIT_FAILURE, "cannot find '%s'", source);
	if (!S_ISBLK(st.st_mode)) {
		loop = attach(source, path);
		stage("loop");
		source = path;
	}
	if (mount(source, ROOT, "squashfs", MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		err(EXIT_FAILURE, "cannot mount %s", source);
	if (loop >= 0)
		close(loop);
	stage("squashfs");
}

static void bind_host(void)
{
	for (size_t i = 0; i < sizeof(binds) / sizeof(binds[0]); i++) {
		char target[64];
		snprintf(target, sizeof(target), ROOT "%s", binds[i]);
		if (mount(binds[i], target, NULL, MS_BIND | MS_REC, NULL) < 0)
			err(EXIT_FAILURE, "cannot bind '%s' on '%s'", binds[i], target);
	}
}

static void enter(void)
{
	if (chdir(ROOT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		err(EXIT_FAILURE, "cannot make the image the root directory");
}

int main(int argc, char **argv)
{
	int next = 1;
	if (argc > 1 && strcmp(argv[1], "-t") == 0) {
		tell_times = true;
		next++;
	}
	if (argc < next + 2) {
		fputs("usage: limit [-t] IMAGE|LOOPDEVICE COMMAND [ARGUMENT…]\n", stderr);
		return 2;
	}
	stage(NULL);
	private_namespace();
	stage("namespace");
	mount_image(argv[next]);
	bind_host();
	stage("binds");
	enter();
	stage("pivot");
	execvp(argv[next + 1], &argv[next + 1]);
	err(EXIT_FAILURE, "cannot execute '%s'", argv[next + 1]);
}

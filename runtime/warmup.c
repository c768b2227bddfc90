/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading ahead for the first program: see warmup.h.
 */
#include "runtime/warmup.h"

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/path.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>

/* The loader and libc of the Debian and Red Hat families, in the order in which a program needs them. */
static const char *const hot_paths[] = {
#if defined(__x86_64__)
	"/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6",
#elif defined(__aarch64__)
	"/lib/ld-linux-aarch64.so.1", "/lib/aarch64-linux-gnu/libc.so.6",
#endif
	"/lib64/libc.so.6",
};

enum { CHUNK_BYTES = 128 << 10, FILE_BYTES_MAX = 4 << 20 };

/* One block at a time: each call decompresses before it returns, and between two calls the process can be ended. */
static void read_ahead(int root_fd, const char *path)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	struct stat st;
	if (path_resolve(root_fd, path, &place, NULL) < 0 || place.missing[0] != '\0')
		return;
	autoclose int fd = fstat(place.fd, &st) == 0 && S_ISREG(st.st_mode) ? fd_reopen(place.fd, O_RDONLY) : -1;
	for (off_t offset = 0; fd >= 0 && offset < st.st_size && offset < FILE_BYTES_MAX; offset += CHUNK_BYTES)
		posix_fadvise(fd, offset, CHUNK_BYTES, POSIX_FADV_WILLNEED);
}

static void *warm_up(void *argument)
{
	autoclose int root_fd = (int)(intptr_t)argument;
	for (size_t i = 0; i < sizeof(hot_paths) / sizeof(hot_paths[0]); i++)
		read_ahead(root_fd, hot_paths[i]);
	return NULL;
}

void warmup_start(int root_fd)
{
	pthread_t thread;
	int own_fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
	if (own_fd < 0)
		return;
	if (pthread_create(&thread, NULL, warm_up, (void *)(intptr_t)own_fd) == 0)
		pthread_detach(thread);
	else
		close(own_fd);
}

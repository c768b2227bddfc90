/* SPDX-License-Identifier: Apache-2.0
 *
 * Cleanup attributes: a resource is released where its variable goes out of scope. Such a variable is always initialised where it
 * is declared, and ownership leaves through steal_fd() or steal_ptr(). Every release function takes the empty value (NULL, -1).
 */
#ifndef SIMG_LIB_CLEANUP_H
#define SIMG_LIB_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *slot)
{
	free(*(void **)slot);
}

static inline void cleanup_close(int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void cleanup_fclose(FILE **file)
{
	if (*file != NULL)
		fclose(*file);
}

static inline void cleanup_closedir(DIR **dir)
{
	if (*dir != NULL)
		closedir(*dir);
}

#define autofree __attribute__((cleanup(cleanup_free)))
#define autoclose __attribute__((cleanup(cleanup_close)))
#define autofclose __attribute__((cleanup(cleanup_fclose)))
#define autoclosedir __attribute__((cleanup(cleanup_closedir)))

static inline int steal_fd(int *fd)
{
	int out = *fd;
	*fd = -1;
	return out;
}

static inline void *steal_ptr_(void *slot)
{
	void **place = slot, *out = *place;
	*place = NULL;
	return out;
}
#define steal_ptr(slot) ((__typeof__(*(slot)))steal_ptr_(slot))

#endif

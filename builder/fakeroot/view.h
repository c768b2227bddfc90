/* SPDX-License-Identifier: Apache-2.0
 *
 * What a program in a work directory sees: the directory as "/", and on it a /dev of its own with the harmless devices, /proc of its
 * own processes, the host's /sys to read, the host's resolver configuration, and what the user binds. All of it is mounted in a
 * namespace of its own and gone with it. Mount points that the directory lacks are made, and taken away again by view_clean().
 */
#ifndef SIMG_BUILDER_FAKEROOT_VIEW_H
#define SIMG_BUILDER_FAKEROOT_VIEW_H

#include "lib/strlist.h"

#include <stdbool.h>

struct bind_list;
struct err;

struct view {
	const char *root;              /* the directory, absolute; NULL: the host's own tree, with nothing mounted but /proc */
	bool read_only;                /* nothing can be written but below /tmp and /var/tmp, which are in memory */
	const struct bind_list *binds; /* NULL: none */
	const char *files;             /* a directory that is to be seen at /.simg-build, to read; NULL: none */
};

/* Before the namespaces are made: makes the mount points that are missing. ret_made gets what was made, a path within root each, in
 * order. */
int view_prepare(const struct view *view, struct strlist *ret_made, struct err *err);

/* In the first process of new mount and pid namespaces, as root of its user namespace: mounts, and makes it the root. own_pids:
 * whether the pid namespace is a new one. */
int view_enter(const struct view *view, bool own_pids, struct err *err);

/* Afterwards, outside: removes what view_prepare() made, unless something is in it, and gives directories back their time. */
void view_clean(const struct view *view, const struct strlist *made);

#define VIEW_FILES "/.simg-build"

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A directory and a tree in lockstep: see work_walk.h.
 */
#include "builder/workdir/work_walk.h"

#include "builder/tree.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int work_walk_failed(const struct work_walk *walk, int errnum, struct err *err)
{
	return err_sys(err, errnum, "cannot read '%s' in the directory '%s'", dir_walk_path(&walk->walk), walk->path);
}

int work_walk_fd(const struct work_walk *walk)
{
	return walk->walk.level == NULL ? walk->root_fd : walk->walk.level->fd;
}

static int entry_read(struct work_walk *walk, struct err *err)
{
	int r = owner_key_read(work_walk_fd(walk), walk->name, AT_SYMLINK_NOFOLLOW, &walk->key, &walk->st);
	return r < 0 ? work_walk_failed(walk, -r, err) : 1;
}

int work_walk_begin(struct work_walk *walk, int root_fd, const char *path, const struct tree *tree, struct err *err)
{
	*walk = (struct work_walk){ .path = path, .root_fd = root_fd, .tree = tree, .name = "." };
	if (dir_walk_begin(&walk->walk) < 0)
		return err_sys(err, ENOMEM, "cannot read the directory '%s'", path);
	walk->node = tree == NULL ? NULL : tree_root(tree);
	return entry_read(walk, err);
}

bool work_walk_is_mount(const struct work_walk *walk)
{
	autoclose int fd = openat(work_walk_fd(walk), walk->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && walk->walk.level != NULL && fd_is_mount_point(fd, work_walk_fd(walk));
}

int work_walk_enter(struct work_walk *walk, struct err *err)
{
	const struct node *node = walk->node != NULL && S_ISDIR(walk->node->inode->mode) ? walk->node : NULL;
	autoclose int fd = openat(work_walk_fd(walk), walk->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return work_walk_failed(walk, errno, err);
	if (walk->walk.level != NULL && fd_is_mount_point(fd, work_walk_fd(walk)))
		return 0;
	int r = dir_walk_enter(&walk->walk, steal_fd(&fd));
	if (r < 0)
		return work_walk_failed(walk, -r, err);
	walk->walk.level->context = (void *)node;
	return 1;
}

int work_walk_next(struct work_walk *walk, struct err *err)
{
	int r = dir_walk_next(&walk->walk, &walk->name);
	if (r <= 0)
		return r < 0 ? err_sys(err, -r, "cannot read the directory '%s'", walk->path) : 0;
	const struct node *directory = work_walk_directory(walk);
	walk->node = directory == NULL ? NULL : tree_child(walk->tree, directory, walk->name);
	return entry_read(walk, err);
}

const struct node *work_walk_directory(const struct work_walk *walk)
{
	return walk->walk.level->context;
}

void work_walk_end(struct work_walk *walk)
{
	dir_walk_end(&walk->walk);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Inodes and their times of change: see baseline.h. A time of change comes from a clock that ticks every few milliseconds: two
 * changes within a tick look like one. So the baseline is done only when a file that is touched then gets a later time than all
 * others have.
 */
#include "builder/workdir/baseline.h"

#include "builder/tree.h"
#include "builder/workdir/work_walk.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_MS = 1, PAUSES_MAX = 5000, NS_PER_MS = 1000000 };

static int64_t change_ns(const struct stat *st)
{
	return st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec;
}

/* --- what a table says --- */

static uint64_t hash_add(uint64_t hash, const void *data, size_t bytes)
{
	const uint8_t *in = data;
	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ in[i]) * 1099511628211u; /* FNV-1a */
	return hash;
}

uint64_t baseline_owner(const struct owners *owners, const struct owner_key *key)
{
	const struct owner *owner = owners_find(owners, key);
	if (owner == NULL)
		return 0;
	const uint32_t numbers[] = { owner->uid, owner->gid, owner->type, owner->device_number, owner->mode, owner->disk_mode };
	uint64_t hash = hash_add(14695981039346656037u, numbers, sizeof(numbers));
	for (size_t i = 0; i < owner->xattr_count; i++) {
		const struct xattr *xattr = &owner->xattrs[i];
		hash = hash_add(hash, xattr->name, strlen(xattr->name) + 1);
		hash = hash_add(hash, &xattr->value_bytes, sizeof(xattr->value_bytes));
		hash = hash_add(hash, xattr->value, xattr->value_bytes);
	}
	return hash;
}

/* --- the clock --- */

/* A file without a name, since one with a name would change its directory: at least not the root, where there is no such thing. */
static int probe_open(int root_fd)
{
	char template[FD_PATH_MAX + sizeof("/../.probe.XXXXXX")];
	int fd = openat(root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	fd_path(root_fd, template);
	strcat(template, "/../.probe.XXXXXX");
	fd = mkostemp(template, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(template);
	return fd;
}

static int probe_touch(int fd, int64_t *ret_ns)
{
	struct stat st;
	if (futimens(fd, NULL) < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret_ns = change_ns(&st);
	return 0;
}

/* Waits until what is changed gets a later time than newest. *ret_ns is what it gets now: after some seconds it may still be an
 * earlier one, if the clock was set back. */
static int clock_pass(int root_fd, int64_t newest_ns, int64_t *ret_ns)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * NS_PER_MS };
	autoclose int fd = probe_open(root_fd);
	if (fd < 0)
		return fd;
	int r = probe_touch(fd, ret_ns);
	for (int i = 0; r == 0 && *ret_ns <= newest_ns && i < PAUSES_MAX; i++) {
		nanosleep(&pause, NULL);
		r = probe_touch(fd, ret_ns);
	}
	return r;
}

/* Nobody could say of these whether they are changed: they are. */
static void future_forget(struct baseline *baseline, int64_t now_ns)
{
	for (uint32_t i = 0; i < baseline->inode_count; i++)
		if (baseline->inodes[i].change_ns >= now_ns)
			baseline->inodes[i].key.inode = 0;
}

static int clock_settle(struct baseline *baseline, int root_fd, const char *name, struct err *err)
{
	int64_t newest_ns = 0, now_ns = 0;
	for (uint32_t i = 0; i < baseline->inode_count; i++)
		if (baseline->inodes[i].change_ns > newest_ns)
			newest_ns = baseline->inodes[i].change_ns;
	int r = clock_pass(root_fd, newest_ns, &now_ns);
	if (r < 0)
		return err_sys(err, -r, "cannot write in the directory '%s'", name);
	future_forget(baseline, now_ns);
	return 0;
}

/* --- the inodes --- */

struct baseline_inode *baseline_find(const struct baseline *baseline, const struct inode *inode)
{
	return &baseline->inodes[inode->number - 1];
}

bool baseline_holds(const struct baseline_inode *inode, const struct stat *st)
{
	return inode->key.inode == st->st_ino && inode->key.device == st->st_dev && inode->change_ns == change_ns(st);
}

static struct baseline *baseline_new(struct tree *tree, struct err *err)
{
	uint32_t count, newest;
	struct baseline *baseline = calloc(1, sizeof(*baseline));
	if (baseline != NULL && tree_number(tree, &count, &newest, err) < 0) {
		baseline_free(baseline);
		return NULL;
	}
	if (baseline != NULL && (baseline->inodes = calloc(count, sizeof(*baseline->inodes))) != NULL) {
		baseline->inode_count = count;
		return baseline;
	}
	baseline_free(baseline);
	err_set(err, ENOMEM, "what a work directory holds does not fit in memory");
	return NULL;
}

static void remember(struct baseline *baseline, const struct work_walk *walk, const struct owners *owners)
{
	if (walk->node != NULL)
		*baseline_find(baseline, walk->node->inode) = (struct baseline_inode){
			.key = walk->key,
			.change_ns = change_ns(&walk->st),
			.owner = baseline_owner(owners, &walk->key),
		};
}

static int remember_all(struct baseline *baseline, struct work_walk *walk, const struct owners *owners, struct err *err)
{
	int r;
	do {
		remember(baseline, walk, owners);
		r = walk->node != NULL && S_ISDIR(walk->st.st_mode) ? work_walk_enter(walk, err) : 0;
		if (r >= 0)
			r = work_walk_next(walk, err);
	} while (r > 0);
	return r;
}

int baseline_take(int root_fd, const char *name, struct tree *tree, const struct owners *owners, struct baseline **ret_baseline,
		  struct err *err)
{
	struct work_walk walk;
	struct baseline *baseline = baseline_new(tree, err);
	if (baseline == NULL)
		return err->code;
	int r = work_walk_begin(&walk, root_fd, name, tree, err);
	if (r >= 0)
		r = remember_all(baseline, &walk, owners, err);
	work_walk_end(&walk);
	if (r == 0)
		r = clock_settle(baseline, root_fd, name, err);
	if (r < 0) {
		baseline_free(baseline);
		return r;
	}
	*ret_baseline = baseline;
	return 0;
}

void baseline_free(struct baseline *baseline)
{
	if (baseline == NULL)
		return;
	free(baseline->inodes);
	free(baseline);
}

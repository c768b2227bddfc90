/* SPDX-License-Identifier: Apache-2.0
 *
 * See root.h.
 */
#include "builder/recipe/root.h"

#include "builder/fakeroot/owners.h"
#include "builder/hot.h"
#include "builder/load.h"
#include "builder/output.h"
#include "builder/sandbox.h"
#include "builder/target.h"
#include "builder/tree.h"
#include "builder/workdir/baseline.h"
#include "builder/workdir/delta.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct load load_new(const struct root *root, struct tree *tree, struct target *target)
{
	return (struct load){
		.tree = tree,
		.target = target,
		.progress = root->options->progress,
		.hot = root->options->hot,
		.content_max_bytes = UINT64_MAX,
		.time_max = UINT32_MAX,
	};
}

static int out_of_memory(const struct root *root, struct err *err)
{
	return err_sys(err, ENOMEM, "cannot work in '%s'", root->path);
}

/* The chain's tree, without data. */
static int tree_make(struct root *root, struct load *load, struct err *err)
{
	tree_free(root->tree);
	root->tree = load->tree = tree_new();
	return root->tree == NULL ? out_of_memory(root, err) : chain_merge(&root->chain, load, err);
}

static int baseline_make(struct root *root, struct err *err)
{
	baseline_free(root->baseline);
	root->baseline = NULL;
	return baseline_take(root->fd, root->path, root->tree, root->owners, &root->baseline, err);
}

static int directory_fill(struct root *root, struct err *err)
{
	struct target *target = NULL;
	struct target_stats stats;
	int r = sandbox_open_work(root->fd, root->path, root->owners, &target, err);
	struct load load = load_new(root, NULL, target);
	if (r == 0)
		r = tree_make(root, &load, err);
	if (r == 0)
		r = chain_feed(&root->chain, &load, err);
	if (r == 0)
		r = target_finish(target, root->tree, TARGET_TIME_NEWEST, &stats, err);
	target_free(target);
	chain_close(&root->chain);
	umask(022); /* as scripts and those who copy expect it */
	return r;
}

int root_make(struct root *root, const char *path, const struct chain *chain, const struct root_options *options, struct err *err)
{
	*root = (struct root){ .options = options, .path = strdup(path), .fd = -1, .owners = owners_new(), .chain = *chain };
	if (root->path == NULL || root->owners == NULL)
		return out_of_memory(root, err);
	if (mkdir(path, 0755) < 0 || (root->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return err_sys(err, errno, "cannot make the directory '%s'", path);
	int r = directory_fill(root, err);
	return r < 0 ? r : baseline_make(root, err);
}

static int delta_image_write(struct root *root, struct delta *delta, struct output *output, struct err *err)
{
	struct writer_options options = root->options->writer;
	struct target *target = NULL;
	struct target_stats stats;
	struct tree *tree = tree_new();
	if (tree == NULL)
		return out_of_memory(root, err);
	options.plain_metadata = !hot_set_is_empty(root->options->hot);
	int r = writer_open(output, &options, &target, err);
	struct load load = load_new(root, tree, target);
	if (r == 0)
		r = delta_load(delta, &load, err);
	if (r == 0)
		r = target_finish(target, tree, TARGET_TIME_NEWEST, &stats, err);
	target_free(target);
	tree_free(tree);
	if (r < 0)
		return r;
	output_scratch(output);
	return output_commit(output, err);
}

static int delta_make(struct root *root, const char *path, const char *const *left_out, struct err *err)
{
	struct delta_options options = {
		.root_fd = root->fd,
		.name = root->path,
		.baseline = root->baseline,
		.tree = root->tree,
		.owners = root->owners,
		.left_out = left_out,
	};
	struct delta *delta = NULL;
	struct output *output = NULL;
	int r = delta_find(&options, &delta, err);
	if (r == 0)
		r = output_open(path, false, &output, err);
	if (r == 0)
		r = delta_image_write(root, delta, output, err);
	output_free(output);
	delta_free(delta);
	return r;
}

int root_delta(struct root *root, const char *path, const char *const *left_out, struct err *err)
{
	int r = delta_make(root, path, left_out, err);
	int fd = r < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (r < 0 || fd < 0)
		return r < 0 ? r : err_sys(err, errno, "cannot open '%s'", path);
	chain_add(&root->chain, fd, path, true);
	return 0;
}

int root_next(struct root *root, struct err *err)
{
	struct load load = load_new(root, NULL, NULL);
	int r = tree_make(root, &load, err);
	chain_close(&root->chain);
	return r < 0 ? r : baseline_make(root, err);
}

int root_directory(const struct root *root, const char *path, struct err *err)
{
	for (;;) {
		autoplace struct path_place place = PATH_PLACE_INIT;
		int r = path_resolve(root->fd, path, &place, err);
		if (r < 0)
			return r;
		if (place.missing[0] == '\0')
			return steal_fd(&place.fd);
		place.missing[strcspn(place.missing, "/")] = '\0';
		if (mkdirat(place.fd, place.missing, 0755) < 0)
			return err_sys(err, errno, "cannot make the directory '%s' in the image", path);
	}
}

void root_close(struct root *root)
{
	baseline_free(root->baseline);
	tree_free(root->tree);
	owners_free(root->owners);
	cleanup_close(&root->fd);
	free(root->path);
	*root = (struct root)ROOT_INIT;
}

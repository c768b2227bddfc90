/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads for the first reading, the merge, and the second reading: see layers.h.
 */
#include "builder/oci/layers.h"

#include "builder/load.h"
#include "builder/oci/container.h"
#include "builder/oci/feed.h"
#include "builder/oci/layer.h"
#include "builder/oci/merge.h"
#include "builder/progress.h"
#include "builder/target.h"
#include "builder/tree.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
	THREADS_MIN = 4, /* downloads at once, however few processors there are */
	THREADS_MAX = 8,
	SHOW_MS = 200,
};

enum state { WAITING, SCANNED, FAILED };

struct layers {
	struct load *load;
	struct container *container;
	const struct layers_options *options;
	struct layer *list;
	struct wanted **wanted;    /* per layer, sorted by entry */
	size_t *wanted_count;
	size_t count;

	pthread_t threads[THREADS_MAX];
	unsigned thread_count;
	pthread_mutex_t mutex;     /* for what follows */
	pthread_cond_t changed;
	enum state *states;
	struct err err;            /* of the first layer that failed */
	size_t next;               /* the layer that a thread takes next */
	bool cancelled;
};

/* --- the first reading, in threads --- */

static int layer_bring(struct layers *layers, size_t i, struct err *err)
{
	struct layer *layer = &layers->list[i];
	struct blob *blob;
	int r = layers->container->kind->layer_open(layers->container, i, &blob, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&layers->mutex);
	layer->blob = blob;
	bool cancelled = layers->cancelled;
	pthread_mutex_unlock(&layers->mutex);
	return cancelled ? err_set(err, ECANCELED, "cancelled") : layer_scan(layer, layers->options->cache, err);
}

static void layer_drop(struct layers *layers, size_t i)
{
	pthread_mutex_lock(&layers->mutex);
	blob_unref(layers->list[i].blob);
	layers->list[i].blob = NULL;
	pthread_mutex_unlock(&layers->mutex);
}

/* A stored blob may be damaged, and so may a download: then it is fetched again, once. */
static int layer_get(struct layers *layers, size_t i, struct err *err)
{
	int r = layer_bring(layers, i, err);
	if (r == -EUCLEAN && layers->container->kind->layer_discard(layers->container, i)) {
		layer_drop(layers, i);
		*err = (struct err)ERR_INIT;
		r = layer_bring(layers, i, err);
	}
	if (r == -EUCLEAN) /* for good: a new beginning of the whole build would not help either */
		r = err->code = -EBADMSG;
	return r;
}

static bool layer_take(struct layers *layers, size_t *ret_layer)
{
	pthread_mutex_lock(&layers->mutex);
	bool more = !layers->cancelled && layers->next < layers->count;
	if (more)
		*ret_layer = layers->next++;
	pthread_mutex_unlock(&layers->mutex);
	return more;
}

/* The others have no use any more: their readers stop, and then their downloads. Called with the mutex held. */
static void cancel(struct layers *layers)
{
	struct err err = ERR_INIT;
	err_set(&err, ECANCELED, "cancelled");
	layers->cancelled = true;
	if (layers->container->kind->cancel != NULL)
		layers->container->kind->cancel(layers->container);
	for (size_t i = 0; i < layers->count; i++)
		if (layers->list[i].blob != NULL && layers->states[i] == WAITING && !blob_is_whole(layers->list[i].blob))
			blob_finish(layers->list[i].blob, &err);
}

static void *scan_run(void *context)
{
	struct layers *layers = context;
	size_t i;
	while (layer_take(layers, &i)) {
		struct err err = ERR_INIT;
		int r = layer_get(layers, i, &err);
		pthread_mutex_lock(&layers->mutex);
		layers->states[i] = r < 0 ? FAILED : SCANNED;
		if (r < 0 && !layers->cancelled) {
			layers->err = err;
			cancel(layers);
		}
		pthread_cond_broadcast(&layers->changed);
		pthread_mutex_unlock(&layers->mutex);
	}
	return NULL;
}

static int threads_start(struct layers *layers, struct err *err)
{
	unsigned wanted = layers->options->jobs < THREADS_MIN ? THREADS_MIN : layers->options->jobs;
	if (wanted > THREADS_MAX)
		wanted = THREADS_MAX;
	while (layers->thread_count < wanted && layers->thread_count < layers->count) {
		int code = pthread_create(&layers->threads[layers->thread_count], NULL, scan_run, layers);
		if (code != 0)
			return err_sys(err, code, "cannot start a thread");
		layers->thread_count++;
	}
	return 0;
}

static void threads_join(struct layers *layers)
{
	pthread_mutex_lock(&layers->mutex);
	layers->cancelled = true;
	pthread_mutex_unlock(&layers->mutex);
	for (unsigned i = 0; i < layers->thread_count; i++)
		pthread_join(layers->threads[i], NULL);
	layers->thread_count = 0;
}

/* --- the merge --- */

static void scan_show(const struct layers *layers)
{
	uint64_t bytes, total;
	layers->container->kind->progress(layers->container, &bytes, &total);
	if (total > 0)
		progress_update(layers->load->progress, "fetching", bytes, total, 0);
}

static void wait_a_moment(struct layers *layers)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += SHOW_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_cond_timedwait(&layers->changed, &layers->mutex, &until);
}

/* Waits until a layer has been read, or one has failed. */
static int layer_wait(struct layers *layers, size_t i, struct err *err)
{
	pthread_mutex_lock(&layers->mutex);
	while (layers->states[i] == WAITING && layers->err.code == 0) {
		scan_show(layers);
		wait_a_moment(layers);
	}
	if (layers->err.code != 0)
		*err = layers->err;
	int r = layers->err.code;
	pthread_mutex_unlock(&layers->mutex);
	return r;
}

static int scan_and_merge(struct layers *layers, struct err *err)
{
	int r = threads_start(layers, err);
	for (size_t i = 0; i < layers->count && r == 0; i++) {
		r = layer_wait(layers, i, err);
		if (r < 0) /* perhaps of another layer: the thread of this one may still be at its index */
			break;
		r = merge_layer(layers->load, &layers->list[i].index, (uint32_t)i, layers->list[i].name, err);
		index_free(&layers->list[i].index);
	}
	if (r < 0) {
		pthread_mutex_lock(&layers->mutex);
		cancel(layers);
		pthread_mutex_unlock(&layers->mutex);
	}
	threads_join(layers);
	return r;
}

/* --- the second reading --- */

typedef void file_visitor(struct layers *layers, struct node *node);

static void files_visit(struct layers *layers, file_visitor *visit)
{
	for (struct node *d = tree_root(layers->load->tree); d != NULL; d = tree_next_down(d))
		for (struct node *node = d->inode->children; node != NULL; node = node->sibling)
			if (S_ISREG(node->inode->mode) && node->inode->deferred)
				visit(layers, node);
}

static void wanted_count(struct layers *layers, struct node *node)
{
	layers->wanted_count[node->inode->origin.layer]++;
}

static void wanted_add(struct layers *layers, struct node *node)
{
	uint32_t layer = node->inode->origin.layer;
	struct wanted *wanted = &layers->wanted[layer][layers->wanted_count[layer]++];
	*wanted = (struct wanted){ .entry = node->inode->origin.entry, .inode = node->inode };
}

static int compare_wanted(const void *a, const void *b)
{
	const struct wanted *left = a, *right = b;
	return left->entry < right->entry ? -1 : left->entry > right->entry;
}

/* An inode with several names was found once for each of them. */
static size_t unique(struct wanted *wanted, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || wanted[kept - 1].entry != wanted[i].entry)
			wanted[kept++] = wanted[i];
	return kept;
}

static int wanted_collect(struct layers *layers, struct err *err)
{
	files_visit(layers, wanted_count);
	for (size_t i = 0; i < layers->count; i++) {
		layers->wanted[i] = calloc(layers->wanted_count[i] + 1, sizeof(*layers->wanted[i]));
		if (layers->wanted[i] == NULL)
			return err_sys(err, ENOMEM, "cannot list the files of the layers");
		layers->wanted_count[i] = 0;
	}
	files_visit(layers, wanted_add);
	for (size_t i = 0; i < layers->count; i++) {
		qsort(layers->wanted[i], layers->wanted_count[i], sizeof(*layers->wanted[i]), compare_wanted);
		layers->wanted_count[i] = unique(layers->wanted[i], layers->wanted_count[i]);
	}
	return 0;
}

static void feed_show(struct load *load)
{
	progress_update(load->progress, "reading", load->content_bytes, 0, target_bytes(load->target));
}

/* Stored bytes that were right before: the next build can fetch them again, if they came from somewhere. */
static int discard(struct layers *layers, const struct layer *layer, struct err *err)
{
	if (layer == NULL || !layers->container->kind->layer_discard(layers->container, (size_t)(layer - layers->list)))
		err->code = -EBADMSG;
	return err->code;
}

static int data_load(struct layers *layers, struct err *err)
{
	autofree struct feed_layer *list = calloc(layers->count + 1, sizeof(*list));
	size_t count = 0;
	struct feed *feed = NULL;
	if (list == NULL)
		return err_sys(err, ENOMEM, "cannot read the layers");
	for (size_t i = 0; i < layers->count; i++)
		if (layers->wanted_count[i] > 0)
			list[count++] = (struct feed_layer){ &layers->list[i], layers->wanted[i], layers->wanted_count[i] };
	layers->load->show = feed_show;
	int r = feed_open(list, count, &feed, err);
	if (r == 0)
		r = load_feed(layers->load, feed, err);
	if (r == -EUCLEAN)
		r = discard(layers, feed_failed(feed), err);
	feed_close(feed);
	return r;
}

/* --- all of it --- */

static void layer_name(struct layer *layer, size_t i)
{
	const struct digest *digest = digest_is_set(&layer->digest) ? &layer->digest : &layer->diff_id;
	snprintf(layer->name, sizeof(layer->name), "layer %zu (%s:%.12s)", i + 1, digest_algorithm(digest), digest_hex(digest));
}

static int layers_init(struct layers *layers, struct err *err)
{
	const struct manifest *manifest = &layers->container->manifest;
	layers->count = manifest->layer_count;
	layers->list = calloc(layers->count + 1, sizeof(*layers->list));
	layers->states = calloc(layers->count + 1, sizeof(*layers->states));
	layers->wanted = calloc(layers->count + 1, sizeof(*layers->wanted));
	layers->wanted_count = calloc(layers->count + 1, sizeof(*layers->wanted_count));
	pthread_mutex_init(&layers->mutex, NULL);
	pthread_cond_init(&layers->changed, NULL);
	if (layers->list == NULL || layers->states == NULL || layers->wanted == NULL || layers->wanted_count == NULL)
		return err_sys(err, ENOMEM, "cannot read the layers");
	for (size_t i = 0; i < layers->count; i++) {
		layers->list[i].digest = manifest->layers[i].digest;
		layers->list[i].diff_id = layers->container->config.diff_ids[i];
		layers->list[i].trusted = layers->options->trusted;
		layer_name(&layers->list[i], i);
	}
	return 0;
}

static void layers_free(struct layers *layers)
{
	for (size_t i = 0; i < layers->count; i++) {
		if (layers->list != NULL) {
			blob_unref(layers->list[i].blob);
			index_free(&layers->list[i].index);
		}
		if (layers->wanted != NULL)
			free(layers->wanted[i]);
	}
	pthread_cond_destroy(&layers->changed);
	pthread_mutex_destroy(&layers->mutex);
	free(layers->list);
	free(layers->states);
	free(layers->wanted);
	free(layers->wanted_count);
}

int layers_load(struct load *load, struct container *container, const struct layers_options *options, struct err *err)
{
	struct layers layers = { .load = load, .container = container, .options = options };
	fd_limit_raise();
	int r = layers_init(&layers, err);
	if (r == 0)
		r = scan_and_merge(&layers, err);
	if (r == 0)
		r = wanted_collect(&layers, err);
	if (r == 0)
		r = data_load(&layers, err);
	layers_free(&layers);
	return r;
}

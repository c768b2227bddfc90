/* SPDX-License-Identifier: Apache-2.0
 *
 * Images in registries: docker://HOST/NAME:TAG. The tag is resolved each time; everything else has a digest, and comes from the
 * cache where that has it. A layer is downloaded into the cache by a thread of its own, while others read what has come of it.
 */
#include "builder/oci/container.h"

#include "builder/cache/cache.h"
#include "builder/progress.h"
#include "builder/registry/registry.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fdio.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct layer {
	bool counted;   /* it was missing at the beginning: part of the total */
	bool discarded; /* once: it is not fetched a third time */
	uint64_t fetched_bytes;
};

struct registry_container {
	struct container container; /* first: the callers' pointer */
	struct cache *cache;
	struct progress *progress;
	bool quiet;
	struct registry *registry;
	pthread_mutex_t lock;    /* for what follows */
	pthread_cond_t ended;
	unsigned downloads;      /* threads that run */
	bool cancelled, waited;
	struct layer *layers;
	uint64_t total_bytes;
};

/* A layer on its way: belongs to its thread. */
struct download_job {
	struct registry_container *owner;
	size_t layer;
	struct cache_fetch *fetch;
	struct blob *blob; /* one of its references */
};

static struct registry_container *own(const struct container *container)
{
	return (struct registry_container *)(void *)container;
}

static bool has_digest(const char *data, size_t bytes, const struct digest *digest)
{
	struct hash *hash = hash_new(digest);
	struct digest actual;
	if (hash == NULL)
		return false;
	hash_add(hash, data, bytes);
	hash_digest(hash, &actual);
	hash_free(hash);
	return digest_equal(&actual, digest);
}

/* A manifest or a configuration from the cache. Returns whether it was there; a damaged one is dropped, and fetched again. */
static bool stored_read(struct cache *cache, const struct digest *digest, size_t bytes_max, char **ret_text, size_t *ret_bytes)
{
	autoclose int fd = -1;
	struct stat st;
	if (cache_blob_find(cache, digest, 0, &fd, NULL) != 1 || fstat(fd, &st) < 0 || (uint64_t)st.st_size > bytes_max)
		return false;
	size_t bytes = (size_t)st.st_size;
	autofree char *text = calloc(1, bytes + 1);
	if (text == NULL)
		return false;
	if (fdio_read(fd, 0, text, bytes) < 0 || !has_digest(text, bytes, digest)) {
		cache_blob_discard(cache, digest);
		return false;
	}
	*ret_text = steal_ptr(&text);
	*ret_bytes = bytes;
	return true;
}

static int manifest_read(struct registry_container *self, const struct digest *digest, size_t bytes_max, char **ret_text,
			 size_t *ret_bytes, char **ret_type, struct err *err)
{
	*ret_type = NULL;
	if (stored_read(self->cache, digest, bytes_max, ret_text, ret_bytes))
		return 0;
	int r = registry_manifest(self->registry, digest, ret_text, ret_bytes, ret_type, err);
	if (r == 0)
		cache_blob_store(self->cache, digest, *ret_text, *ret_bytes);
	return r;
}

static int document_read(void *context, const struct descriptor *descriptor, bool is_blob, size_t bytes_max, char **ret_text,
			 size_t *ret_bytes, struct err *err)
{
	struct registry_container *self = context;
	autofree char *type = NULL;
	if (!is_blob)
		return manifest_read(self, &descriptor->digest, bytes_max, ret_text, ret_bytes, &type, err);
	if (stored_read(self->cache, &descriptor->digest, bytes_max, ret_text, ret_bytes))
		return 0;
	int r = registry_blob_read(self->registry, descriptor, bytes_max, ret_text, ret_bytes, err);
	if (r == 0)
		cache_blob_store(self->cache, &descriptor->digest, *ret_text, *ret_bytes);
	return r;
}

static bool is_repeated(const struct manifest *manifest, size_t layer)
{
	for (size_t i = 0; i < layer; i++)
		if (digest_equal(&manifest->layers[i].digest, &manifest->layers[layer].digest))
			return true;
	return false;
}

/* What has to be fetched, for the progress. */
static int layers_count(struct registry_container *self, struct err *err)
{
	const struct manifest *manifest = &self->container.manifest;
	self->layers = calloc(manifest->layer_count + 1, sizeof(*self->layers));
	if (self->layers == NULL)
		return err_sys(err, ENOMEM, "cannot read '%s'", self->container.source);
	for (size_t i = 0; i < manifest->layer_count; i++) {
		autoclose int fd = -1;
		const struct descriptor *layer = &manifest->layers[i];
		if (is_repeated(manifest, i) || cache_blob_find(self->cache, &layer->digest, layer->bytes, &fd, NULL) == 1)
			continue;
		self->layers[i].counted = true;
		self->total_bytes += layer->bytes;
	}
	return 0;
}

static int open_with(struct registry_container *self, const struct reference *reference, const struct container_options *options,
		     struct err *err)
{
	const struct registry_options registry_options = {
		.auth_file = options->auth_file,
		.progress = options->progress,
		.quiet = options->quiet,
	};
	const struct document_reader reader = { .context = self, .read = document_read };
	struct digest digest;
	autofree char *text = NULL, *type = NULL;
	size_t bytes;
	int r = registry_open(reference, &registry_options, &self->registry, err);
	if (r == 0)
		r = registry_resolve(self->registry, &digest, err);
	if (r == 0)
		self->container.digest = digest;
	if (r == 0)
		r = manifest_read(self, &digest, MANIFEST_BYTES_MAX, &text, &bytes, &type, err);
	if (r == 0)
		r = container_resolve(&self->container, options, text, bytes, type, &reader, err);
	return r < 0 ? r : layers_count(self, err);
}

static void registry_container_cancel(struct container *container)
{
	struct registry_container *self = own(container);
	pthread_mutex_lock(&self->lock);
	self->cancelled = true;
	pthread_mutex_unlock(&self->lock);
}

static bool is_cancelled(struct registry_container *self)
{
	pthread_mutex_lock(&self->lock);
	bool cancelled = self->cancelled;
	pthread_mutex_unlock(&self->lock);
	return cancelled;
}

static void registry_container_close(struct container *container)
{
	struct registry_container *self = own(container);
	pthread_mutex_lock(&self->lock);
	self->cancelled = true;
	while (self->downloads > 0)
		pthread_cond_wait(&self->ended, &self->lock);
	pthread_mutex_unlock(&self->lock);
	registry_close(self->registry);
	container_release(&self->container);
	pthread_cond_destroy(&self->ended);
	pthread_mutex_destroy(&self->lock);
	free(self->layers);
	free(self);
}

static int registry_container_open(const char *rest, const struct container_options *options, struct container **ret_container,
				   struct err *err)
{
	struct reference reference;
	char name[REFERENCE_TEXT_MAX];
	int r = reference_parse(rest, &reference, err);
	if (r < 0)
		return r;
	struct registry_container *self = calloc(1, sizeof(*self));
	if (self == NULL || asprintf(&self->container.source, "docker://%s", reference_format(&reference, name)) < 0) {
		free(self);
		return err_sys(err, ENOMEM, "cannot read '%s'", options->name);
	}
	self->container.kind = &container_registry;
	self->cache = options->cache;
	self->progress = options->progress;
	self->quiet = options->quiet;
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->ended, NULL);
	r = open_with(self, &reference, options, err);
	if (r < 0) {
		registry_container_close(&self->container);
		return r;
	}
	*ret_container = &self->container;
	return 0;
}

/* Bytes of a layer that are there. A second fetch of a damaged one does not count again. */
static void count_fetched(struct registry_container *self, size_t layer, uint64_t bytes)
{
	pthread_mutex_lock(&self->lock);
	if (bytes > self->layers[layer].fetched_bytes)
		self->layers[layer].fetched_bytes = bytes;
	pthread_mutex_unlock(&self->lock);
}

static bool job_arrived(void *context, uint64_t bytes)
{
	const struct download_job *job = context;
	struct registry_container *self = job->owner;
	count_fetched(self, job->layer, bytes);
	blob_arrived(job->blob, bytes);
	return !is_cancelled(self) && !blob_is_abandoned(job->blob);
}

/* A beginning is kept for the next attempt, unless its bytes are wrong. Whose fault that is, cannot be told: that of a beginning
 * that an earlier build left, of a mirror, of the way. So it is worth one more attempt, from the start. */
static int job_fetch(struct download_job *job, struct err *err)
{
	const struct descriptor *layer = &job->owner->container.manifest.layers[job->layer];
	int r = registry_blob_fetch(job->owner->registry, layer, cache_fetch_fd(job->fetch), job_arrived, job, err);
	if (r == -ENOSPC || r == -EDQUOT)
		r = cache_fetch_err(job->fetch, -r, err);
	if (r >= 0)
		return cache_fetch_commit(job->fetch, err);
	cache_fetch_abandon(job->fetch, r != -EBADMSG);
	if (r == -EBADMSG)
		r = err->code = -EUCLEAN;
	return r;
}

static void *job_run(void *context)
{
	struct download_job *job = context;
	struct registry_container *self = job->owner;
	struct err err = ERR_INIT;
	int r = job_fetch(job, &err);
	blob_finish(job->blob, r < 0 ? &err : NULL);
	blob_unref(job->blob);
	free(job);
	/* The last look at the container: it may be gone once the lock is released. */
	pthread_mutex_lock(&self->lock);
	self->downloads--;
	pthread_cond_broadcast(&self->ended);
	pthread_mutex_unlock(&self->lock);
	return NULL;
}

static int job_start(struct download_job *job)
{
	struct registry_container *self = job->owner;
	pthread_t thread;
	pthread_mutex_lock(&self->lock);
	self->downloads++;
	pthread_mutex_unlock(&self->lock);
	int r = pthread_create(&thread, NULL, job_run, job);
	if (r == 0) {
		pthread_detach(thread);
		return 0;
	}
	pthread_mutex_lock(&self->lock);
	self->downloads--;
	pthread_mutex_unlock(&self->lock);
	return -r;
}

/* Takes the fetch. */
static int download_start(struct registry_container *self, size_t layer, struct cache_fetch *fetch, struct blob **ret_blob,
			  struct err *err)
{
	const struct descriptor *descriptor = &self->container.manifest.layers[layer];
	struct download_job *job = calloc(1, sizeof(*job));
	int fd = fcntl(cache_fetch_fd(fetch), F_DUPFD_CLOEXEC, 3), r = fd < 0 ? -errno : 0;
	struct blob *blob = fd >= 0 ? blob_arriving(fd, descriptor->bytes, descriptor->digest.text) : NULL;
	if (job != NULL && blob != NULL) {
		*job = (struct download_job){ .owner = self, .layer = layer, .fetch = fetch, .blob = blob_ref(blob) };
		r = job_start(job);
		if (r == 0) {
			*ret_blob = blob;
			return 0;
		}
		blob_unref(job->blob);
	}
	blob_unref(blob);
	free(job);
	cache_fetch_abandon(fetch, true);
	return err_sys(err, r < 0 ? -r : ENOMEM, "cannot fetch the layer '%s'", descriptor->digest.text);
}

/* A layer that somebody waits for. */
struct waiting {
	struct registry_container *owner;
	size_t layer;
};

/* Whether the image has the layer twice: then it is most likely this build that fetches it. */
static bool is_twice(const struct manifest *manifest, size_t layer)
{
	for (size_t i = 0; i < manifest->layer_count; i++)
		if (i != layer && digest_equal(&manifest->layers[i].digest, &manifest->layers[layer].digest))
			return true;
	return false;
}

/* Said once: layers come from the same other build, most of the time. */
static void note_waiting(const struct waiting *waiting)
{
	struct registry_container *self = waiting->owner;
	if (self->quiet || is_twice(&self->container.manifest, waiting->layer))
		return;
	pthread_mutex_lock(&self->lock);
	bool first = !self->waited;
	self->waited = true;
	pthread_mutex_unlock(&self->lock);
	if (!first)
		return;
	if (self->progress != NULL)
		progress_clear(self->progress);
	log_note("another build fetches a layer of '%s' at the moment: waiting for it", self->container.source);
}

static bool wait_on(void *context)
{
	const struct waiting *waiting = context;
	if (is_cancelled(waiting->owner))
		return false;
	note_waiting(waiting);
	return true;
}

static int registry_layer_open(struct container *container, size_t layer, struct blob **ret_blob, struct err *err)
{
	struct registry_container *self = own(container);
	const struct descriptor *descriptor = &container->manifest.layers[layer];
	struct waiting waiting = { .owner = self, .layer = layer };
	struct cache_fetch *fetch;
	int fd;
	int r = cache_blob_begin(self->cache, &descriptor->digest, descriptor->bytes, wait_on, &waiting, &fd, &fetch, err);
	if (r < 0)
		return r;
	if (r == 0)
		return download_start(self, layer, fetch, ret_blob, err);
	count_fetched(self, layer, descriptor->bytes);
	*ret_blob = blob_of_file(fd, 0, descriptor->bytes, false, descriptor->digest.text);
	return *ret_blob != NULL ? 0 : err_sys(err, ENOMEM, "cannot read the layer '%s'", descriptor->digest.text);
}

static bool registry_layer_discard(struct container *container, size_t layer)
{
	struct registry_container *self = own(container);
	cache_blob_discard(self->cache, &container->manifest.layers[layer].digest);
	pthread_mutex_lock(&self->lock);
	bool first = !self->layers[layer].discarded;
	self->layers[layer].discarded = true;
	pthread_mutex_unlock(&self->lock);
	return first;
}

static void registry_container_progress(const struct container *container, uint64_t *ret_bytes, uint64_t *ret_total)
{
	struct registry_container *self = own(container);
	uint64_t bytes = 0;
	pthread_mutex_lock(&self->lock);
	for (size_t i = 0; i < container->manifest.layer_count; i++)
		if (self->layers[i].counted)
			bytes += self->layers[i].fetched_bytes;
	*ret_bytes = bytes;
	*ret_total = self->total_bytes;
	pthread_mutex_unlock(&self->lock);
}

const struct container_kind container_registry = {
	.scheme = "docker",
	.open = registry_container_open,
	.layer_open = registry_layer_open,
	.cancel = registry_container_cancel,
	.layer_discard = registry_layer_discard,
	.progress = registry_container_progress,
	.close = registry_container_close,
};

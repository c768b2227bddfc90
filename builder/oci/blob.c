/* SPDX-License-Identifier: Apache-2.0
 *
 * A blob's bytes, whole or arriving: see blob.h.
 */
#include "builder/oci/blob.h"

#include "lib/err.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum state { ARRIVING, WHOLE, FAILED };

struct blob {
	int fd;
	uint64_t offset, bytes;
	bool verified;
	char *name;
	pthread_mutex_t mutex; /* for what follows */
	pthread_cond_t changed;
	unsigned references;
	enum state state;
	uint64_t arrived;
	struct err err;        /* FAILED: why */
};

static struct blob *blob_new(int fd, uint64_t offset, uint64_t bytes, const char *name, enum state state)
{
	struct blob *blob = calloc(1, sizeof(*blob));
	if (blob == NULL || (blob->name = strdup(name)) == NULL) {
		free(blob);
		close(fd);
		return NULL;
	}
	blob->fd = fd;
	blob->offset = offset;
	blob->bytes = bytes;
	blob->state = state;
	blob->references = 1;
	pthread_mutex_init(&blob->mutex, NULL);
	pthread_cond_init(&blob->changed, NULL);
	return blob;
}

struct blob *blob_of_file(int fd, uint64_t offset, uint64_t bytes, bool verified, const char *name)
{
	struct blob *blob = blob_new(fd, offset, bytes, name, WHOLE);
	if (blob != NULL) {
		blob->verified = verified;
		blob->arrived = bytes;
	}
	return blob;
}

struct blob *blob_arriving(int fd, uint64_t bytes, const char *name)
{
	return blob_new(fd, 0, bytes, name, ARRIVING);
}

void blob_arrived(struct blob *blob, uint64_t bytes)
{
	pthread_mutex_lock(&blob->mutex);
	if (bytes > blob->arrived) {
		blob->arrived = bytes < blob->bytes ? bytes : blob->bytes;
		pthread_cond_broadcast(&blob->changed);
	}
	pthread_mutex_unlock(&blob->mutex);
}

void blob_finish(struct blob *blob, const struct err *err)
{
	pthread_mutex_lock(&blob->mutex);
	blob->state = err == NULL ? WHOLE : FAILED;
	if (err != NULL)
		blob->err = *err;
	else
		blob->arrived = blob->bytes;
	blob->verified = err == NULL;
	pthread_cond_broadcast(&blob->changed);
	pthread_mutex_unlock(&blob->mutex);
}

bool blob_is_abandoned(const struct blob *blob)
{
	struct blob *mutable = (struct blob *)blob;
	pthread_mutex_lock(&mutable->mutex);
	bool abandoned = blob->references == 1;
	pthread_mutex_unlock(&mutable->mutex);
	return abandoned;
}

/* How many bytes can be read at offset without waiting for more. At the end of what is there, waits until the blob's fate is known:
 * its last bytes are worth nothing before the digest was compared. */
static long wait_for(struct blob *blob, uint64_t offset, struct err *err)
{
	long available = 0;
	pthread_mutex_lock(&blob->mutex);
	while (blob->state == ARRIVING && blob->arrived <= offset)
		pthread_cond_wait(&blob->changed, &blob->mutex);
	if (blob->state == FAILED) {
		*err = blob->err;
		available = err->code;
	} else if (offset < blob->arrived) {
		uint64_t rest = blob->arrived - offset;
		available = rest < LONG_MAX ? (long)rest : LONG_MAX;
	}
	pthread_mutex_unlock(&blob->mutex);
	return available;
}

long blob_read(struct blob *blob, uint64_t offset, void *data, size_t bytes, struct err *err)
{
	long available = wait_for(blob, offset, err);
	if (available <= 0)
		return available;
	if ((size_t)available < bytes)
		bytes = (size_t)available;
	ssize_t n;
	do
		n = pread(blob->fd, data, bytes, (off_t)(blob->offset + offset));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(err, errno, "cannot read '%s'", blob->name);
	if (n == 0)
		return err_set(err, EBADMSG, "'%s' is truncated: it ends after %llu of %llu bytes", blob->name,
			       (unsigned long long)offset, (unsigned long long)blob->bytes);
	return n;
}

uint64_t blob_bytes(const struct blob *blob)
{
	return blob->bytes;
}

bool blob_is_verified(const struct blob *blob)
{
	struct blob *mutable = (struct blob *)blob;
	pthread_mutex_lock(&mutable->mutex);
	bool verified = blob->verified;
	pthread_mutex_unlock(&mutable->mutex);
	return verified;
}

bool blob_is_whole(const struct blob *blob)
{
	struct blob *mutable = (struct blob *)blob;
	pthread_mutex_lock(&mutable->mutex);
	bool whole = blob->state == WHOLE;
	pthread_mutex_unlock(&mutable->mutex);
	return whole;
}

const char *blob_name(const struct blob *blob)
{
	return blob->name;
}

struct blob *blob_ref(struct blob *blob)
{
	pthread_mutex_lock(&blob->mutex);
	blob->references++;
	pthread_mutex_unlock(&blob->mutex);
	return blob;
}

void blob_unref(struct blob *blob)
{
	if (blob == NULL)
		return;
	pthread_mutex_lock(&blob->mutex);
	bool last = --blob->references == 0;
	pthread_mutex_unlock(&blob->mutex);
	if (!last)
		return;
	close(blob->fd);
	pthread_cond_destroy(&blob->changed);
	pthread_mutex_destroy(&blob->mutex);
	free(blob->name);
	free(blob);
}

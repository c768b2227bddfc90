/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads that read layers, and one reader: see feed.h. A thread packs files and pieces as records into a chunk of memory and hands
 * on the chunk when it is full, so that a small file costs no hand-over of its own.
 */
#include "builder/oci/feed.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LANES = 4,
	CHUNKS = 3, /* one filled, one full, one being read */
	CHUNK_BYTES = 1024 * 1024,
	TURN_BYTES = 4 * 1024 * 1024,
	ALIGNMENT = 8,
	PATH_ROOM = 512, /* a longer path is cut: it serves messages only */
};

enum record_kind { RECORD_FILE, RECORD_PIECE, RECORD_END };

/* In a chunk; followed by the file's path or the piece's data, and padding. */
struct record {
	enum record_kind kind;
	uint32_t bytes;      /* of what follows, without padding */
	uint64_t size;       /* RECORD_FILE: of the file; RECORD_PIECE: its offset */
	struct inode *inode; /* RECORD_FILE */
};

struct chunk {
	uint8_t *data;   /* CHUNK_BYTES */
	size_t bytes, at;
	bool turn_ends;  /* behind this chunk it is another lane's turn */
	bool layer_ends;
	int result;      /* layer_ends: how it went */
};

/* One thread, which reads one layer. */
struct lane {
	struct feed *feed;
	const struct feed_layer *layer; /* NULL: the lane is at rest */
	pthread_t thread;
	pthread_cond_t changed;
	struct chunk chunks[CHUNKS];    /* a ring */
	unsigned filled, emptied;       /* counts of chunks handed on and given back; under the feed's mutex */
	uint64_t turn_bytes;            /* the thread's: how much of its turn is used */
	struct err err;                 /* the thread's, for the reader once the layer has ended */
};

struct feed {
	const struct feed_layer *layers;
	size_t layer_count, started;
	pthread_mutex_t mutex;
	bool cancelled;
	struct lane lanes[LANES];
	unsigned turn;       /* the lane whose turn it is */
	struct chunk *chunk; /* what is being read of it, NULL: the next one */
	const struct layer *failed;
	bool in_file;
	char path[PATH_ROOM]; /* of the file that is being read */
};

/* --- in the lane's thread --- */

static struct chunk *chunk_filling(struct lane *lane)
{
	return &lane->chunks[lane->filled % CHUNKS];
}

/* Hands on the chunk and waits for an empty one. */
static int chunk_hand_on(struct lane *lane)
{
	struct feed *feed = lane->feed;
	pthread_mutex_lock(&feed->mutex);
	lane->filled++;
	pthread_cond_broadcast(&lane->changed);
	while (lane->filled - lane->emptied == CHUNKS && !feed->cancelled)
		pthread_cond_wait(&lane->changed, &feed->mutex);
	int r = feed->cancelled ? -ECANCELED : 0;
	pthread_mutex_unlock(&feed->mutex);
	struct chunk *next = chunk_filling(lane);
	if (r == 0)
		*next = (struct chunk){ .data = next->data };
	return r;
}

static size_t padded(size_t bytes)
{
	return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Whether there is room for a record with so many bytes behind it. A record without any needs room, too. */
static bool chunk_fits(const struct chunk *chunk, size_t bytes)
{
	return chunk->bytes + sizeof(struct record) + padded(bytes) <= CHUNK_BYTES;
}

static void record_put(struct chunk *chunk, const struct record *record, const void *data)
{
	memcpy(chunk->data + chunk->bytes, record, sizeof(*record));
	if (record->bytes > 0)
		memcpy(chunk->data + chunk->bytes + sizeof(*record), data, record->bytes);
	chunk->bytes += sizeof(*record) + padded(record->bytes);
}

static int cancelled(struct err *err)
{
	return err_set(err, ECANCELED, "cancelled");
}

static int record_add(struct lane *lane, const struct record *record, const void *data, struct err *err)
{
	if (!chunk_fits(chunk_filling(lane), record->bytes) && chunk_hand_on(lane) < 0)
		return cancelled(err);
	record_put(chunk_filling(lane), record, data);
	return 0;
}

static int lane_file(void *context, const struct wanted *wanted, const struct source_entry *entry, struct err *err)
{
	struct lane *lane = context;
	struct record record = { .kind = RECORD_FILE, .size = entry->bytes, .inode = wanted->inode };
	char path[PATH_ROOM];
	snprintf(path, sizeof(path), "%s", entry->path);
	record.bytes = (uint32_t)strlen(path) + 1;
	lane->turn_bytes += entry->bytes;
	return record_add(lane, &record, path, err);
}

static int lane_piece(void *context, const struct piece *piece, struct err *err)
{
	struct lane *lane = context;
	enum { LITTLE = 4096 };
	for (size_t done = 0; done < piece->bytes;) {
		if (!chunk_fits(chunk_filling(lane), LITTLE) && chunk_hand_on(lane) < 0)
			return cancelled(err);
		struct chunk *chunk = chunk_filling(lane);
		size_t room = CHUNK_BYTES - chunk->bytes - sizeof(struct record); /* a multiple of ALIGNMENT, as all of these are */
		size_t bytes = piece->bytes - done < room ? piece->bytes - done : room;
		struct record record = { .kind = RECORD_PIECE, .bytes = (uint32_t)bytes, .size = piece->offset + done };
		record_put(chunk, &record, (const char *)piece->data + done);
		done += bytes;
	}
	return 0;
}

static int lane_file_end(void *context, struct err *err)
{
	struct lane *lane = context;
	struct record record = { .kind = RECORD_END };
	int r = record_add(lane, &record, NULL, err);
	if (r < 0 || lane->turn_bytes < TURN_BYTES)
		return r;
	lane->turn_bytes = 0;
	chunk_filling(lane)->turn_ends = true;
	return chunk_hand_on(lane) < 0 ? cancelled(err) : 0;
}

static void *lane_run(void *context)
{
	struct lane *lane = context;
	const struct layer_sink sink = { lane_file, lane_piece, lane_file_end, lane };
	int r = layer_extract(lane->layer->layer, lane->layer->wanted, lane->layer->count, &sink, &lane->err);
	struct chunk *chunk = chunk_filling(lane);
	chunk->turn_ends = chunk->layer_ends = true;
	chunk->result = r;
	pthread_mutex_lock(&lane->feed->mutex);
	lane->filled++;
	pthread_cond_broadcast(&lane->changed);
	pthread_mutex_unlock(&lane->feed->mutex);
	return NULL;
}

/* --- in the reader's thread --- */

static int lane_start(struct feed *feed, struct lane *lane, struct err *err)
{
	if (feed->started == feed->layer_count)
		return 0;
	for (int i = 0; i < CHUNKS; i++) {
		if (lane->chunks[i].data == NULL && (lane->chunks[i].data = malloc(CHUNK_BYTES)) == NULL)
			return err_sys(err, ENOMEM, "cannot read the layers");
		lane->chunks[i] = (struct chunk){ .data = lane->chunks[i].data };
	}
	lane->filled = lane->emptied = 0;
	lane->turn_bytes = 0;
	lane->err = (struct err)ERR_INIT;
	lane->layer = &feed->layers[feed->started++];
	int code = pthread_create(&lane->thread, NULL, lane_run, lane);
	if (code == 0)
		return 0;
	lane->layer = NULL;
	return err_sys(err, code, "cannot start a thread");
}

int feed_open(const struct feed_layer *layers, size_t count, struct feed **ret_feed, struct err *err)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	if (feed == NULL)
		return err_sys(err, ENOMEM, "cannot read the layers");
	feed->layers = layers;
	feed->layer_count = count;
	pthread_mutex_init(&feed->mutex, NULL);
	int r = 0;
	for (int i = 0; i < LANES; i++) {
		feed->lanes[i].feed = feed;
		pthread_cond_init(&feed->lanes[i].changed, NULL);
	}
	for (int i = 0; i < LANES && r == 0; i++)
		r = lane_start(feed, &feed->lanes[i], err);
	if (r < 0)
		feed_close(feed);
	else
		*ret_feed = feed;
	return r;
}

/* The chunk of this lane that is to be read next, once it is there. */
static struct chunk *chunk_wait(struct feed *feed, struct lane *lane)
{
	pthread_mutex_lock(&feed->mutex);
	while (lane->filled == lane->emptied)
		pthread_cond_wait(&lane->changed, &feed->mutex);
	pthread_mutex_unlock(&feed->mutex);
	return &lane->chunks[lane->emptied % CHUNKS];
}

static void chunk_give_back(struct feed *feed, struct lane *lane)
{
	pthread_mutex_lock(&feed->mutex);
	lane->emptied++;
	pthread_cond_broadcast(&lane->changed);
	pthread_mutex_unlock(&feed->mutex);
}

/* A lane's layer has ended: it takes the next one. */
static int lane_end(struct feed *feed, struct lane *lane, int result, struct err *err)
{
	const struct layer *layer = lane->layer->layer;
	pthread_join(lane->thread, NULL);
	lane->layer = NULL;
	if (result < 0) {
		feed->failed = layer;
		*err = lane->err;
		return err->code;
	}
	return lane_start(feed, lane, err);
}

/* Finds the lane whose turn it is. Returns false when all are at rest. */
static bool turn_find(struct feed *feed)
{
	for (int tries = 0; tries < LANES; tries++) {
		if (feed->lanes[feed->turn].layer != NULL)
			return true;
		feed->turn = (feed->turn + 1) % LANES;
	}
	return false;
}

/* Done with the current chunk: whose turn it is, says the chunk. */
static int chunk_end(struct feed *feed, struct err *err)
{
	struct lane *lane = &feed->lanes[feed->turn];
	struct chunk end = *feed->chunk;
	feed->chunk = NULL;
	if (end.turn_ends)
		feed->turn = (feed->turn + 1) % LANES;
	if (end.layer_ends)
		return lane_end(feed, lane, end.result, err);
	chunk_give_back(feed, lane);
	return 0;
}

/* The next record and its data: 1, or 0 when all layers have ended. */
static int record_next(struct feed *feed, struct record *ret_record, const void **ret_data, struct err *err)
{
	for (;;) {
		if (feed->chunk == NULL) {
			if (!turn_find(feed))
				return 0;
			feed->chunk = chunk_wait(feed, &feed->lanes[feed->turn]);
		}
		struct chunk *chunk = feed->chunk;
		if (chunk->at < chunk->bytes) {
			memcpy(ret_record, chunk->data + chunk->at, sizeof(*ret_record));
			*ret_data = chunk->data + chunk->at + sizeof(*ret_record);
			chunk->at += sizeof(*ret_record) + padded(ret_record->bytes);
			return 1;
		}
		int r = chunk_end(feed, err);
		if (r < 0)
			return r;
	}
}

int feed_next(struct feed *feed, struct feed_file *ret_file, struct err *err)
{
	struct record record;
	const void *data;
	int r;
	do
		r = record_next(feed, &record, &data, err);
	while (r > 0 && record.kind != RECORD_FILE);
	if (r <= 0)
		return r;
	snprintf(feed->path, sizeof(feed->path), "%s", (const char *)data);
	*ret_file = (struct feed_file){ .inode = record.inode, .path = feed->path, .bytes = record.size };
	feed->in_file = true;
	return 1;
}

int feed_read(struct feed *feed, struct piece *ret_piece, struct err *err)
{
	struct record record;
	const void *data;
	int r = feed->in_file ? record_next(feed, &record, &data, err) : 0;
	if (r <= 0)
		return r;
	if (record.kind != RECORD_PIECE) {
		feed->in_file = false;
		return 0;
	}
	*ret_piece = (struct piece){ .offset = record.size, .data = data, .bytes = record.bytes };
	return 1;
}

const struct layer *feed_failed(const struct feed *feed)
{
	return feed->failed;
}

void feed_close(struct feed *feed)
{
	if (feed == NULL)
		return;
	pthread_mutex_lock(&feed->mutex);
	feed->cancelled = true;
	for (int i = 0; i < LANES; i++)
		pthread_cond_broadcast(&feed->lanes[i].changed);
	pthread_mutex_unlock(&feed->mutex);
	for (int i = 0; i < LANES; i++) {
		struct lane *lane = &feed->lanes[i];
		if (lane->layer != NULL)
			pthread_join(lane->thread, NULL);
		for (int c = 0; c < CHUNKS; c++)
			free(lane->chunks[c].data);
		pthread_cond_destroy(&lane->changed);
	}
	pthread_mutex_destroy(&feed->mutex);
	free(feed);
}

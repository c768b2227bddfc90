/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/oci/blob.c: readers get what has arrived, wait for what has not, and learn how it ended.
 */
#include "builder/oci/blob.h"
#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

enum { BYTES = 400000, STEP = 1777, READERS = 4 };

static struct err error;
static uint8_t content[BYTES];

static int file_new(size_t bytes)
{
	int fd = open("blob", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check_int(pwrite(fd, content, bytes, 0), (long)bytes);
	return fd;
}

/* A thread that reads a blob to its end, or to its error. */
struct reader {
	pthread_t thread;
	struct blob *blob;
	uint8_t data[BYTES];
	uint64_t offset;
	long result;
	struct err error;
};

static void *read_on(void *context)
{
	struct reader *reader = context;
	do {
		reader->result = blob_read(reader->blob, reader->offset, reader->data + reader->offset,
					   sizeof(reader->data) - reader->offset, &reader->error);
		if (reader->result > 0)
			reader->offset += (uint64_t)reader->result;
	} while (reader->result > 0 && reader->offset < BYTES);
	if (reader->result > 0)
		reader->result = blob_read(reader->blob, BYTES, &(char){ 0 }, 1, &reader->error);
	blob_unref(reader->blob);
	return NULL;
}

static struct reader readers[READERS];

static void readers_start(struct blob *blob)
{
	memset(readers, 0, sizeof(readers));
	for (int i = 0; i < READERS; i++) {
		readers[i].blob = blob_ref(blob);
		pthread_create(&readers[i].thread, NULL, read_on, &readers[i]);
	}
}

static void readers_join(void)
{
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i].thread, NULL);
}

/* Writes the blob on, in steps. */
static void arrive(struct blob *blob, int fd, size_t from, size_t to)
{
	for (size_t at = from; at < to; at += STEP) {
		size_t bytes = at + STEP < to ? STEP : to - at;
		check_int(pwrite(fd, content + at, bytes, (off_t)at), (long)bytes);
		blob_arrived(blob, at + bytes);
	}
}

int main(void)
{
	char data[64];
	struct blob *blob;
	scratch_enter();
	for (size_t i = 0; i < BYTES; i++)
		content[i] = (uint8_t)(i * 7 + i / 256);

	test_case ("a part of a file is read from its offset to its end, and not beyond") {
		blob = blob_of_file(file_new(1000), 100, 30, true, "part");
		check(blob_is_whole(blob) && blob_is_verified(blob));
		check_int(blob_bytes(blob), 30);
		check_str(blob_name(blob), "part");
		check_int(blob_read(blob, 0, data, sizeof(data), &error), 30);
		check(memcmp(data, content + 100, 30) == 0);
		check_int(blob_read(blob, 25, data, sizeof(data), &error), 5);
		check(memcmp(data, content + 125, 5) == 0);
		check_int(blob_read(blob, 30, data, sizeof(data), &error), 0);
		check_int(blob_read(blob, 31, data, sizeof(data), &error), 0);
		blob_unref(blob);
	}

	test_case ("a file that is shorter than the blob is called truncated") {
		blob = blob_of_file(file_new(50), 0, 60, false, "short.tar");
		check(!blob_is_verified(blob));
		check_int(blob_read(blob, 0, data, sizeof(data), &error), 50);
		check_int(blob_read(blob, 50, data, sizeof(data), &error), -EBADMSG);
		check_has(error.text, "'short.tar' is truncated: it ends after 50 of 60 bytes");
		blob_unref(blob);
	}

	test_case ("several readers get all of a blob while it arrives") {
		int fd = file_new(0);
		blob = blob_arriving(fd, BYTES, "arriving");
		check(!blob_is_whole(blob) && !blob_is_verified(blob));
		readers_start(blob);
		arrive(blob, fd, 0, BYTES);
		check(!blob_is_whole(blob));
		blob_finish(blob, NULL);
		readers_join();
		check(blob_is_whole(blob) && blob_is_verified(blob));
		for (int i = 0; i < READERS; i++) {
			check_int(readers[i].result, 0);
			check_int(readers[i].offset, BYTES);
			check(memcmp(readers[i].data, content, BYTES) == 0);
		}
		blob_unref(blob);
	}

	test_case ("what has arrived is read at once, and never less of it than before") {
		blob = blob_arriving(file_new(100), 100, "begun");
		blob_arrived(blob, 40);
		blob_arrived(blob, 10);
		check_int(blob_read(blob, 0, data, sizeof(data), &error), 40);
		check_int(blob_read(blob, 39, data, sizeof(data), &error), 1);
		blob_arrived(blob, 5000);
		check_int(blob_read(blob, 90, data, sizeof(data), &error), 10);
		blob_unref(blob);
	}

	test_case ("a download that fails gives its error to all who read, also at the end of the bytes") {
		int fd = file_new(0);
		struct err failure = ERR_INIT;
		blob = blob_arriving(fd, BYTES, "failing");
		readers_start(blob);
		arrive(blob, fd, 0, BYTES);
		err_set(&failure, EUCLEAN, "the digest is another one");
		blob_finish(blob, &failure);
		readers_join();
		check(!blob_is_whole(blob) && !blob_is_verified(blob));
		for (int i = 0; i < READERS; i++) {
			check_int(readers[i].result, -EUCLEAN);
			check_str(readers[i].error.text, "the digest is another one");
		}
		blob_unref(blob);
	}

	test_case ("a blob is abandoned once its maker alone has it, and outlives its maker otherwise") {
		blob = blob_arriving(file_new(10), 10, "kept");
		check(blob_is_abandoned(blob));
		struct blob *kept = blob_ref(blob);
		check(!blob_is_abandoned(blob));
		blob_finish(blob, NULL);
		blob_unref(blob);
		check(blob_is_abandoned(kept));
		check_int(blob_read(kept, 0, data, sizeof(data), &error), 10);
		blob_unref(kept);
		blob_unref(NULL);
	}

	return test_end();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Images and directories, to be asked alike: see subject.h.
 */
#include "builder/subject.h"

#include "builder/addition.h"
#include "builder/image_metadata.h"
#include "builder/image_reader.h"
#include "builder/packages.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/strlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- opening --- */

int subject_open(const char *path, struct subject *ret_subject, struct err *err)
{
	struct subject *subject = ret_subject;
	*subject = (struct subject){ .path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
	if (subject->fd < 0)
		return err_sys(err, errno, "cannot open the image '%s'", path);
	int r = image_identify(subject->fd, path, &subject->image, err);
	if (r < 0 || subject->image.format == IMAGE_DIRECTORY)
		return r;
	if (subject->image.format == IMAGE_SIF)
		r = image_sif_partition(subject->fd, path, &subject->image, err);
	if (r == 0)
		r = image_check(subject->fd, path, &subject->image, err);
	if (r == 0)
		r = image_reader_open(subject->fd, path, &subject->image, &subject->reader, err);
	else
		return r;
	return r == -ENOTSUP ? 1 : r;
}

void subject_close(struct subject *subject)
{
	image_reader_free(subject->reader);
	if (subject->fd >= 0)
		close(subject->fd);
	*subject = (struct subject)SUBJECT_INIT;
}

/* --- files --- */

/* Opens what is at path below a directory, no symlink on the way. */
static int directory_open(int directory_fd, const char *path)
{
	autoclose int fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 3);
	for (const char *rest = path; fd >= 0 && *rest != '\0';) {
		char name[256];
		size_t length = strcspn(rest, "/");
		snprintf(name, sizeof(name), "%.*s", (int)length, rest);
		rest += length + (rest[length] == '/');
		int next = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (*rest != '\0' ? O_DIRECTORY : 0));
		close(fd);
		fd = next;
	}
	return steal_fd(&fd);
}

/* Up to bytes, less if the file ends before. */
static ssize_t read_whole(int fd, char *data, size_t bytes)
{
	size_t done = 0;
	for (ssize_t n = 1; n > 0 && done < bytes; done += (size_t)n) {
		n = read(fd, data + done, bytes - done);
		if (n < 0)
			return -1;
	}
	return (ssize_t)done;
}

static int directory_file(int directory_fd, const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes, struct err *err)
{
	autoclose int fd = directory_open(directory_fd, path);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -ENOENT;
	if ((uint64_t)st.st_size > max_bytes)
		return err_set(err, EFBIG, "'%s' in the directory is too large", path);
	autofree char *text = malloc((size_t)st.st_size + 1);
	ssize_t bytes = text == NULL ? -1 : read_whole(fd, text, (size_t)st.st_size);
	if (bytes < 0)
		return err_sys(err, text == NULL ? ENOMEM : errno, "cannot read '%s'", path);
	text[bytes] = '\0';
	*ret_text = steal_ptr(&text);
	*ret_bytes = (size_t)bytes;
	return 0;
}

int subject_file(const struct subject *subject, const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes,
		 struct err *err)
{
	if (subject->image.format == IMAGE_DIRECTORY)
		return directory_file(subject->fd, path, max_bytes, ret_text, ret_bytes, err);
	return image_reader_file(subject->reader, path, max_bytes, ret_text, ret_bytes, err);
}

static int directory_list(int directory_fd, const char *path, struct strlist *names, struct err *err)
{
	autoclose int fd = directory_open(directory_fd, path);
	autoclosedir DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	size_t before = names->count;
	struct dirent *entry;
	if (directory == NULL)
		return -ENOENT;
	steal_fd(&fd);
	while ((entry = readdir(directory)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (names->count - before == SUBJECT_NAMES_MAX)
			return err_set(err, EFBIG, "the directory '%s' has too many names", path);
		if (strlist_add(names, entry->d_name) < 0)
			return err_sys(err, ENOMEM, "cannot read the directory '%s'", path);
	}
	return 0;
}

int subject_list(const struct subject *subject, const char *path, struct strlist *names, struct err *err)
{
	if (subject->image.format == IMAGE_DIRECTORY)
		return directory_list(subject->fd, path, names, err);
	return image_reader_list(subject->reader, path, SUBJECT_NAMES_MAX, names, err);
}

/* --- metadata --- */

/* Adds the JSON file at path under key, if it is there. What is no JSON is noted, not fatal. */
static int metadata_json(const struct subject *subject, const char *path, json_t *object, const char *key, struct err *err)
{
	autofree char *text = NULL;
	size_t bytes;
	json_error_t error;
	int r = subject_file(subject, path, SUBJECT_FILE_BYTES_MAX, &text, &bytes, err);
	if (r == -EFBIG)
		log_note("%s", err->text);
	if (r < 0)
		return r == -ENOENT || r == -EFBIG ? 0 : r;
	json_t *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
	if (value == NULL)
		log_note("'/%s' in '%s' is not valid JSON: %s", path, subject->path, error.text);
	json_object_set_new(object, key, value);
	return 0;
}

/* The records of what the image was made of, the oldest one first. */
static int bases_gather(const struct subject *subject, json_t *metadata, struct err *err)
{
	json_t *bases = json_array();
	int r = 0;
	for (int i = 0; i < HISTORY_MAX && r == 0; i++) {
		char path[64];
		json_t *found = json_object();
		snprintf(path, sizeof(path), IMAGE_BASE_PREFIX "%d" IMAGE_BASE_SUFFIX, i);
		r = metadata_json(subject, path, found, "base", err);
		bool last = json_array_append(bases, json_object_get(found, "base")) < 0;
		json_decref(found);
		if (last)
			break;
	}
	if (json_array_size(bases) > 0)
		json_object_set(metadata, "bases", bases);
	json_decref(bases);
	return r;
}

static int metadata_present(const struct subject *subject, const char *path, json_t *object, const char *key, struct err *err)
{
	autofree char *text = NULL;
	size_t bytes;
	int r = subject_file(subject, path, SUBJECT_FILE_BYTES_MAX, &text, &bytes, err);
	if (r == -EFBIG)
		r = 0;
	if (r < 0 && r != -ENOENT)
		return r;
	json_object_set_new(object, key, json_boolean(r == 0));
	return 0;
}

static int metadata_gather(const struct subject *subject, json_t *metadata, struct err *err)
{
	int r = metadata_present(subject, SUBJECT_RUNSCRIPT, metadata, "runscript", err);
	if (r == 0)
		r = metadata_present(subject, SUBJECT_RECIPE, metadata, "recipe", err);
	if (r == 0)
		r = metadata_json(subject, SUBJECT_LABELS, metadata, "labels", err);
	if (r == 0)
		r = metadata_json(subject, IMAGE_CONFIG_PATH, metadata, "config", err);
	if (r == 0)
		r = metadata_json(subject, IMAGE_RECORD_PATH, metadata, "record", err);
	return r < 0 ? r : bases_gather(subject, metadata, err);
}

int subject_metadata(const struct subject *subject, json_t **ret_metadata, struct err *err)
{
	json_t *metadata = json_object();
	int r = metadata_gather(subject, metadata, err);
	if (r < 0) {
		json_decref(metadata);
		return r;
	}
	*ret_metadata = metadata;
	return 0;
}

/* --- packages --- */

static int tree_file(const void *tree, const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes, struct err *err)
{
	return subject_file(tree, path, max_bytes, ret_text, ret_bytes, err);
}

static int tree_list(const void *tree, const char *path, struct strlist *names, struct err *err)
{
	return subject_list(tree, path, names, err);
}

int subject_packages(const struct subject *subject, const json_t *metadata, struct packages *ret_packages, struct err *err)
{
	const struct packages_tree tree = { .file = tree_file, .list = tree_list, .tree = subject };
	const json_t *recorded = json_object_get(json_object_get(metadata, "record"), "packages");
	*ret_packages = (struct packages){ 0 };
	if (json_is_array(recorded) && subject->image.format != IMAGE_DIRECTORY)
		return packages_take_json(ret_packages, recorded, err);
	int r = packages_read(&tree, ret_packages, err);
	if (r < 0 || !json_is_array(recorded) || ret_packages->count > 0)
		return r;
	return packages_take_json(ret_packages, recorded, err);
}

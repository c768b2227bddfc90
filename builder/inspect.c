/* SPDX-License-Identifier: Apache-2.0
 *
 * simg inspect: what an image is and holds, as text or as JSON. Both are made from one JSON object; simg-build(1) documents it.
 */
#include "builder/addition.h"
#include "builder/describe.h"
#include "builder/image_metadata.h"
#include "builder/image_reader.h"
#include "builder/source.h"
#include "builder/verbs.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image.h"
#include "lib/image_config.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { METADATA_BYTES_MAX = IMAGE_CONFIG_BYTES_MAX, SUPER_EXPORTABLE = 0x0080 };

#define RUNSCRIPT ".singularity.d/runscript"
#define RECIPE ".singularity.d/Singularity"

static const char HELP[] =
	"usage: simg inspect [OPTION] IMAGE\n"
	"\n"
	"Shows what IMAGE is and holds: format, sizes, files, metadata of the container.\n"
	"IMAGE is a SquashFS image, a Singularity or Apptainer image, or a directory.\n"
	"\n"
	"      --json         the same as JSON\n"
	"      --environment  only the environment that the image sets\n"
	"      --labels       only the labels, as JSON\n"
	"      --recipe       only the recipe that it was built from\n"
	"      --record       only the record of the build, as JSON\n"
	"      --runscript    only the runscript\n"
	"  -h, --help         this text\n"
	"\n"
	"Manual: simg-build(1)\n";

/* An image or a directory, whose metadata is read alike. */
struct subject {
	const char *path;
	int fd;
	struct image image;
	struct image_reader *reader; /* NULL: a directory, or an image that libsquashfs cannot read */
};

/* A regular file below a directory, no symlink on the way. */
static int directory_file(int directory_fd, const char *path, char **ret_text, size_t *ret_bytes, struct err *err)
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
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -ENOENT;
	if (st.st_size > METADATA_BYTES_MAX)
		return err_set(err, EFBIG, "'%s' in the directory is too large", path);
	autofree char *text = malloc((size_t)st.st_size + 1);
	ssize_t bytes = text == NULL ? -1 : read(fd, text, (size_t)st.st_size);
	if (bytes < 0)
		return err_sys(err, text == NULL ? ENOMEM : errno, "cannot read '%s'", path);
	text[bytes] = '\0';
	*ret_text = steal_ptr(&text);
	*ret_bytes = (size_t)bytes;
	return 0;
}

static int metadata_file(const struct subject *subject, const char *path, char **ret_text, size_t *ret_bytes, struct err *err)
{
	if (subject->image.format == IMAGE_DIRECTORY)
		return directory_file(subject->fd, path, ret_text, ret_bytes, err);
	return image_reader_file(subject->reader, path, METADATA_BYTES_MAX, ret_text, ret_bytes, err);
}

/* Adds the JSON file at path under key, if it is there. What is no JSON is noted, not fatal. */
static int metadata_json(const struct subject *subject, const char *path, json_t *object, const char *key, struct err *err)
{
	autofree char *text = NULL;
	size_t bytes;
	json_error_t error;
	int r = metadata_file(subject, path, &text, &bytes, err);
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
	int r = metadata_file(subject, path, &text, &bytes, err);
	if (r == -EFBIG)
		r = 0;
	if (r < 0 && r != -ENOENT)
		return r;
	json_object_set_new(object, key, json_boolean(r == 0));
	return 0;
}

static int metadata_gather(const struct subject *subject, json_t *top, struct err *err)
{
	json_t *metadata = json_object();
	json_object_set_new(top, "metadata", metadata);
	int r = metadata_present(subject, RUNSCRIPT, metadata, "runscript", err);
	if (r == 0)
		r = metadata_present(subject, RECIPE, metadata, "recipe", err);
	if (r == 0)
		r = metadata_json(subject, ".singularity.d/labels.json", metadata, "labels", err);
	if (r == 0)
		r = metadata_json(subject, IMAGE_CONFIG_PATH, metadata, "config", err);
	if (r == 0)
		r = metadata_json(subject, IMAGE_RECORD_PATH, metadata, "record", err);
	return r < 0 ? r : bases_gather(subject, metadata, err);
}

static void counts_set(json_t *top, const struct image_counts *counts)
{
	json_object_set_new(top, "content",
			    json_pack("{sI sI sI sI sI sI sI}", "files", (json_int_t)counts->files, "directories",
				      (json_int_t)counts->directories, "symlinks", (json_int_t)counts->symlinks, "devices",
				      (json_int_t)counts->devices, "fifos", (json_int_t)counts->fifos, "sockets",
				      (json_int_t)counts->sockets, "bytes", (json_int_t)counts->content_bytes));
}

static void entry_count(const struct source_entry *entry, struct image_counts *counts)
{
	if (entry->hard_link)
		return;
	counts->files += S_ISREG(entry->mode);
	counts->directories += S_ISDIR(entry->mode);
	counts->symlinks += S_ISLNK(entry->mode);
	counts->devices += S_ISCHR(entry->mode) || S_ISBLK(entry->mode);
	counts->fifos += S_ISFIFO(entry->mode);
	counts->sockets += S_ISSOCK(entry->mode);
	counts->content_bytes += entry->bytes;
}

static int directory_gather(const struct subject *subject, json_t *top, struct err *err)
{
	struct source_options options = { .name = subject->path, .fd = subject->fd, .quiet = true };
	struct image_counts counts = { 0 };
	struct reader *reader = NULL;
	struct source_entry entry;
	int r = source_directory.open(&options, &reader, err);
	if (r < 0)
		return r;
	while ((r = source_directory.next(reader, &entry, err)) > 0)
		entry_count(&entry, &counts);
	source_directory.close(reader);
	counts_set(top, &counts);
	return r;
}

static void super_gather(const struct subject *subject, json_t *top)
{
	const struct image_super *super = &subject->image.super;
	json_t *squashfs = json_pack("{sI ss sI sI sI sI sI sb sb}", "used_bytes", (json_int_t)super->used_bytes, "compressor",
				     image_compressor_name(super->compressor), "block_bytes", (json_int_t)super->block_bytes,
				     "made", (json_int_t)super->modified_seconds, "inodes", (json_int_t)super->inode_count,
				     "fragments", (json_int_t)super->fragment_count, "ids", (json_int_t)super->id_count,
				     "exportable", (super->flags & SUPER_EXPORTABLE) != 0, "xattrs",
				     super->xattr_table != UINT64_MAX);
	json_object_set_new(top, "squashfs", squashfs);
}

static int squashfs_gather(struct subject *subject, json_t *top, struct err *err)
{
	struct image_counts counts;
	int r = image_check(subject->fd, subject->path, &subject->image, err);
	if (r < 0)
		return r;
	super_gather(subject, top);
	r = image_reader_open(subject->fd, subject->path, &subject->image, &subject->reader, err);
	if (r == -ENOTSUP) {
		log_note("%s: its files cannot be counted", err->text);
		return 0;
	}
	if (r == 0)
		r = image_reader_count(subject->reader, &counts, err);
	if (r < 0)
		return r;
	counts_set(top, &counts);
	return metadata_gather(subject, top, err);
}

static int subject_gather(struct subject *subject, json_t *top, struct err *err)
{
	int r = image_identify(subject->fd, subject->path, &subject->image, err);
	if (r == 0 && subject->image.format == IMAGE_SIF)
		r = image_sif_partition(subject->fd, subject->path, &subject->image, err);
	if (r < 0)
		return r;
	json_t *path_json = json_string(subject->path); /* NULL for bytes that are no UTF-8, which JSON cannot hold */
	json_object_set_new(top, "path", path_json != NULL ? path_json : json_null());
	json_object_set_new(top, "format", json_string(image_format_name(subject->image.format)));
	if (subject->image.format == IMAGE_DIRECTORY) {
		r = directory_gather(subject, top, err);
		return r < 0 ? r : metadata_gather(subject, top, err);
	}
	json_object_set_new(top, "file_bytes", json_integer((json_int_t)subject->image.file_bytes));
	json_object_set_new(top, "offset_bytes", json_integer((json_int_t)subject->image.offset_bytes));
	return squashfs_gather(subject, top, err);
}

/* --- what to print --- */

static void print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

static int print_text(const struct subject *subject, const json_t *top, struct err *err)
{
	(void)err;
	describe(subject->path, &subject->image, top);
	return 0;
}

static int print_all(const struct subject *subject, const json_t *top, struct err *err)
{
	(void)subject, (void)err;
	print_json(top);
	return 0;
}

static int lacks(const struct subject *subject, const char *what, struct err *err)
{
	return err_set(err, ENOENT, "the image '%s' has no %s", subject->path, what);
}

static int print_file(const struct subject *subject, const char *path, const char *what, struct err *err)
{
	autofree char *text = NULL;
	size_t bytes;
	int r = metadata_file(subject, path, &text, &bytes, err);
	if (r == 0)
		describe_file(text, bytes);
	return r == -ENOENT ? lacks(subject, what, err) : r;
}

static int print_runscript(const struct subject *subject, const json_t *top, struct err *err)
{
	(void)top;
	return print_file(subject, RUNSCRIPT, "runscript", err);
}

static int print_recipe(const struct subject *subject, const json_t *top, struct err *err)
{
	(void)top;
	return print_file(subject, RECIPE, "recipe", err);
}

/* An image of Singularity's says it in a script. */
static int print_environment(const struct subject *subject, const json_t *top, struct err *err)
{
	if (describe_environment(top) > 0)
		return 0;
	return print_file(subject, ".singularity.d/env/90-environment.sh", "environment of its own", err);
}

static int print_labels(const struct subject *subject, const json_t *top, struct err *err)
{
	json_t *labels = describe_labels(top);
	size_t count = json_object_size(labels);
	if (count > 0)
		print_json(labels);
	json_decref(labels);
	return count > 0 ? 0 : lacks(subject, "labels", err);
}

static int print_record(const struct subject *subject, const json_t *top, struct err *err)
{
	const json_t *record = json_object_get(json_object_get(top, "metadata"), "record");
	if (record == NULL)
		return lacks(subject, "record of how it was built", err);
	print_json(record);
	return 0;
}

static const struct view {
	const char *option;
	int (*print)(const struct subject *subject, const json_t *top, struct err *err);
	bool reads_metadata; /* and prints nothing else */
} views[] = {
	{ NULL, print_text, false },
	{ "json", print_all, false },
	{ "environment", print_environment, true },
	{ "labels", print_labels, true },
	{ "recipe", print_recipe, true },
	{ "record", print_record, true },
	{ "runscript", print_runscript, true },
};
enum { VIEW_COUNT = sizeof(views) / sizeof(views[0]) };

static int print(const struct subject *subject, const struct view *view, const json_t *top, struct err *err)
{
	if (view->reads_metadata && json_object_get(top, "metadata") == NULL)
		return err_set(err, ENOTSUP, "the files of the image '%s' cannot be read", subject->path);
	int r = view->print(subject, top, err);
	if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = err_sys(err, errno, "cannot write to standard output");
	return r;
}

static int inspect(const char *path, const struct view *view, struct err *err)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "cannot open the image '%s'", path);
	struct subject subject = { .path = path, .fd = fd };
	json_t *top = json_object();
	int r = subject_gather(&subject, top, err);
	if (r == 0)
		r = print(&subject, view, top, err);
	json_decref(top);
	image_reader_free(subject.reader);
	return r;
}

/* --- command line --- */

static int err_usage(struct err *err)
{
	return err_hint(err, "simg inspect --help lists the options");
}

/* Returns 0, 1 if the help was asked for, or a negative errno. */
static int options_parse(int argc, char **argv, const struct view **ret_view, const char **ret_path, struct err *err)
{
	struct option options[VIEW_COUNT + 1] = { { "help", no_argument, NULL, 'h' } };
	int option, chosen = 0;
	for (int i = 1; i < VIEW_COUNT; i++)
		options[i] = (struct option){ views[i].option, no_argument, NULL, i };
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return 1;
		if (option == '?') {
			err_set(err, EINVAL, "there is no option '%s'", argv[optind - 1]);
			return err_usage(err);
		}
		if (chosen != 0 && chosen != option) {
			err_set(err, EINVAL, "--%s and --%s exclude each other", views[chosen].option, views[option].option);
			return err_usage(err);
		}
		chosen = option;
	}
	if (argc - optind != 1) {
		err_set(err, EINVAL, "simg inspect needs one image");
		return err_usage(err);
	}
	*ret_view = &views[chosen];
	*ret_path = argv[optind];
	return 0;
}

static int run(int argc, char **argv)
{
	struct err err = ERR_INIT;
	const struct view *view = NULL;
	const char *path = NULL;
	int r = options_parse(argc, argv, &view, &path, &err);
	if (r > 0) {
		fputs(HELP, stdout);
		return EXIT_SUCCESS;
	}
	if (r < 0) {
		log_err(&err);
		return EXIT_USAGE;
	}
	r = inspect(path, view, &err);
	if (r < 0)
		log_err(&err);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct verb verb_inspect = { "inspect", "show what an image is and holds", run };

/* SPDX-License-Identifier: Apache-2.0
 *
 * simg inspect: what an image is and holds, as text or as JSON. Both are made from one JSON object; simg-build(1) documents it.
 */
#include "builder/describe.h"
#include "builder/image_reader.h"
#include "builder/packages.h"
#include "builder/source.h"
#include "builder/subject.h"
#include "builder/verbs.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image.h"
#include "lib/log.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SUPER_EXPORTABLE = 0x0080 };

static const char HELP[] =
	"usage: simg inspect [OPTION] IMAGE\n"
	"\n"
	"Shows what IMAGE is and holds: format, sizes, files, metadata of the container.\n"
	"IMAGE is a SquashFS image, a Singularity or Apptainer image, or a directory.\n"
	"\n"
	"      --json         the same as JSON\n"
	"      --environment  only the environment that the image sets\n"
	"      --labels       only the labels, as JSON\n"
	"      --packages     only the packages that are installed in it; with --json as\n"
	"                     JSON\n"
	"      --recipe       only the recipe that it was built from\n"
	"      --record       only the record of the build, as JSON\n"
	"      --runscript    only the runscript\n"
	"  -h, --help         this text\n"
	"\n"
	"Manual: simg-build(1)\n";

/* --- what there is to know --- */

static int metadata_gather(const struct subject *subject, json_t *top, struct err *err)
{
	json_t *metadata = NULL;
	int r = subject_metadata(subject, &metadata, err);
	if (r == 0)
		json_object_set_new(top, "metadata", metadata);
	return r;
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

static int squashfs_gather(const struct subject *subject, json_t *top, struct err *err)
{
	struct image_counts counts;
	json_object_set_new(top, "file_bytes", json_integer((json_int_t)subject->image.file_bytes));
	json_object_set_new(top, "offset_bytes", json_integer((json_int_t)subject->image.offset_bytes));
	super_gather(subject, top);
	if (subject->reader == NULL)
		return 0;
	int r = image_reader_count(subject->reader, &counts, err);
	if (r < 0)
		return r;
	counts_set(top, &counts);
	return metadata_gather(subject, top, err);
}

static int subject_gather(const struct subject *subject, json_t *top, struct err *err)
{
	json_t *path_json = json_string(subject->path); /* NULL for bytes that are no UTF-8, which JSON cannot hold */
	json_object_set_new(top, "path", path_json != NULL ? path_json : json_null());
	json_object_set_new(top, "format", json_string(image_format_name(subject->image.format)));
	if (subject->image.format != IMAGE_DIRECTORY)
		return squashfs_gather(subject, top, err);
	int r = directory_gather(subject, top, err);
	return r < 0 ? r : metadata_gather(subject, top, err);
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
	int r = subject_file(subject, path, SUBJECT_FILE_BYTES_MAX, &text, &bytes, err);
	if (r == 0)
		describe_file(text, bytes);
	return r == -ENOENT ? lacks(subject, what, err) : r;
}

static int print_runscript(const struct subject *subject, const json_t *top, struct err *err)
{
	(void)top;
	return print_file(subject, SUBJECT_RUNSCRIPT, "runscript", err);
}

static int print_recipe(const struct subject *subject, const json_t *top, struct err *err)
{
	(void)top;
	return print_file(subject, SUBJECT_RECIPE, "recipe", err);
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

/* A database that cannot be read is an error if there is nothing else to print. */
static int packages_gather(const struct subject *subject, const json_t *top, struct packages *packages, struct err *err)
{
	int r = subject_packages(subject, json_object_get(top, "metadata"), packages, err);
	if (r < 0 || packages->count > 0) {
		for (size_t i = 0; r == 0 && i < packages->unread.count; i++)
			log_note("%s", packages->unread.items[i]);
		return r;
	}
	if (packages->unread.count > 0)
		return err_set(err, ENOTSUP, "%s", packages->unread.items[0]);
	return lacks(subject, "packages, or none that simg knows of", err);
}

static int print_packages(const struct subject *subject, const json_t *top, struct err *err)
{
	autopackages struct packages packages = { 0 };
	int r = packages_gather(subject, top, &packages, err);
	if (r == 0)
		packages_print(&packages);
	return r;
}

static int print_packages_json(const struct subject *subject, const json_t *top, struct err *err)
{
	autopackages struct packages packages = { 0 };
	int r = packages_gather(subject, top, &packages, err);
	if (r < 0)
		return r;
	json_t *array = packages_json(&packages);
	print_json(array);
	json_decref(array);
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
	{ "packages", print_packages, true },
	{ "recipe", print_recipe, true },
	{ "record", print_record, true },
	{ "runscript", print_runscript, true },
};
enum { VIEW_COUNT = sizeof(views) / sizeof(views[0]) };

static const struct view packages_as_json = { "packages", print_packages_json, true };

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
	autosubject struct subject subject = SUBJECT_INIT;
	int r = subject_open(path, &subject, err);
	if (r < 0)
		return r;
	if (r > 0)
		log_note("%s: its files cannot be counted", err->text);
	json_t *top = json_object();
	r = subject_gather(&subject, top, err);
	if (r == 0)
		r = print(&subject, view, top, err);
	json_decref(top);
	return r;
}

/* --- command line --- */

static int err_usage(struct err *err)
{
	return err_hint(err, "simg inspect --help lists the options");
}

/* What two options together ask for, or NULL if they exclude each other. */
static const struct view *view_join(const struct view *before, const struct view *added)
{
	const struct view *json = before->print == print_all ? before : added, *other = json == before ? added : before;
	if (before == added || before->option == NULL)
		return added;
	if (before == &packages_as_json)
		return added->print == print_all || added->print == print_packages ? before : NULL;
	return json->print == print_all && other->print == print_packages ? &packages_as_json : NULL;
}

/* Returns 0, 1 if the help was asked for, or a negative errno. */
static int options_parse(int argc, char **argv, const struct view **ret_view, const char **ret_path, struct err *err)
{
	struct option options[VIEW_COUNT + 1] = { { "help", no_argument, NULL, 'h' } };
	const struct view *view = &views[0];
	int option;
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
		const struct view *before = view;
		view = view_join(before, &views[option]);
		if (view == NULL) {
			err_set(err, EINVAL, "--%s and --%s exclude each other", before->option, views[option].option);
			return err_usage(err);
		}
	}
	if (argc - optind != 1) {
		err_set(err, EINVAL, "simg inspect needs one image");
		return err_usage(err);
	}
	*ret_view = view;
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

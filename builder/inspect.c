/* SPDX-License-Identifier: Apache-2.0
 *
 * simg inspect: what an image is and holds, as text or as JSON. Both are made from one JSON object; simg-build(1) documents it.
 */
#include "builder/image_reader.h"
#include "builder/size.h"
#include "builder/source.h"
#include "builder/verbs.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { METADATA_BYTES_MAX = 1024 * 1024, LABEL_WIDTH = 12, SUPER_EXPORTABLE = 0x0080 };

static const char HELP[] =
	"usage: simg inspect [--json] IMAGE\n"
	"\n"
	"Shows what IMAGE is and holds: format, sizes, files, metadata of the container.\n"
	"IMAGE is a SquashFS image, a Singularity or Apptainer image, or a directory.\n"
	"\n"
	"      --json   the same as JSON\n"
	"  -h, --help   this text\n"
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
static int directory_file(int directory_fd, const char *path, char **ret_text, size_t *ret_bytes)
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
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > METADATA_BYTES_MAX)
		return -ENOENT;
	autofree char *text = malloc((size_t)st.st_size + 1);
	ssize_t bytes = text == NULL ? -1 : read(fd, text, (size_t)st.st_size);
	if (bytes < 0)
		return -EIO;
	text[bytes] = '\0';
	*ret_text = steal_ptr(&text);
	*ret_bytes = (size_t)bytes;
	return 0;
}

static int metadata_file(const struct subject *subject, const char *path, char **ret_text, size_t *ret_bytes, struct err *err)
{
	if (subject->image.format == IMAGE_DIRECTORY)
		return directory_file(subject->fd, path, ret_text, ret_bytes);
	return image_reader_file(subject->reader, path, METADATA_BYTES_MAX, ret_text, ret_bytes, err);
}

/* Adds the JSON file at path under key, if it is there. What is no JSON is noted, not fatal. */
static int metadata_json(const struct subject *subject, const char *path, json_t *object, const char *key, struct err *err)
{
	autofree char *text = NULL;
	size_t bytes;
	json_error_t error;
	int r = metadata_file(subject, path, &text, &bytes, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	json_t *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
	if (value == NULL) {
		log_note("'/%s' in '%s' is not valid JSON: %s", path, subject->path, error.text);
		return 0;
	}
	json_object_set_new(object, key, value);
	return 0;
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
	int r = metadata_present(subject, ".singularity.d/runscript", metadata, "runscript", err);
	if (r == 0)
		r = metadata_present(subject, ".singularity.d/Singularity", metadata, "recipe", err);
	if (r == 0)
		r = metadata_json(subject, ".singularity.d/labels.json", metadata, "labels", err);
	if (r == 0)
		r = metadata_json(subject, ".simg/config.json", metadata, "config", err);
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
				     image_compressor_name(super->compressor), "block_bytes", (json_int_t)super->block_bytes, "made",
				     (json_int_t)super->modified_seconds, "inodes", (json_int_t)super->inode_count, "fragments",
				     (json_int_t)super->fragment_count, "ids", (json_int_t)super->id_count, "exportable",
				     (super->flags & SUPER_EXPORTABLE) != 0, "xattrs", super->xattr_table != UINT64_MAX);
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

static void print_line(const char *label, const char *text)
{
	/* The image's words are not the terminal's commands. */
	autofree char *clean = strdup(text);
	if (clean == NULL)
		return;
	log_sanitize(clean);
	printf("%-*s%s\n", LABEL_WIDTH, label, clean);
}

static uint64_t number_of(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void print_size_line(const json_t *top)
{
	char file[SIZE_TEXT_MAX], content[SIZE_TEXT_MAX], text[128];
	const json_t *counts = json_object_get(top, "content");
	uint64_t file_bytes = number_of(top, "file_bytes"), content_bytes = number_of(counts, "bytes");
	size_format(file_bytes, file);
	size_format(content_bytes, content);
	if (json_object_get(top, "file_bytes") == NULL)
		snprintf(text, sizeof(text), "%s of files", content);
	else if (content_bytes == 0)
		snprintf(text, sizeof(text), "%s", file);
	else
		snprintf(text, sizeof(text), "%s, for %s of files (%.0f %%)", file, content,
			 100.0 * (double)file_bytes / (double)content_bytes);
	print_line("size", text);
}

static void print_squashfs(const json_t *top)
{
	const json_t *squashfs = json_object_get(top, "squashfs");
	char text[256], block[SIZE_TEXT_MAX];
	if (squashfs == NULL)
		return;
	time_t made = (time_t)number_of(squashfs, "made");
	struct tm utc;
	gmtime_r(&made, &utc);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc);
	print_line("made", text);
	snprintf(text, sizeof(text), "%s, blocks of %s", json_string_value(json_object_get(squashfs, "compressor")),
		 size_format(number_of(squashfs, "block_bytes"), block));
	print_line("compressor", text);
	snprintf(text, sizeof(text), "%" PRIu64 " owners and groups, extended attributes: %s, NFS export: %s", number_of(squashfs, "ids"),
		 json_is_true(json_object_get(squashfs, "xattrs")) ? "yes" : "no",
		 json_is_true(json_object_get(squashfs, "exportable")) ? "yes" : "no");
	print_line("tables", text);
}

static void print_counts(const json_t *top)
{
	static const struct {
		const char *key, *one;
	} kinds[] = {
		{ "files", "file" },	 { "directories", "directory" }, { "symlinks", "symlink" },
		{ "devices", "device" }, { "fifos", "fifo" },		 { "sockets", "socket" },
	};
	const json_t *counts = json_object_get(top, "content");
	char text[256] = "";
	if (counts == NULL)
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t used = strlen(text);
		uint64_t count = number_of(counts, kinds[i].key);
		if (count > 0)
			snprintf(text + used, sizeof(text) - used, "%s%" PRIu64 " %s", used > 0 ? ", " : "", count,
				 count == 1 ? kinds[i].one : kinds[i].key);
	}
	print_line("content", text);
}

/* A list of words, one a line, or all in one. */
static void print_words(const char *label, const json_t *words)
{
	size_t i;
	const json_t *word;
	json_array_foreach(words, i, word)
		if (json_is_string(word))
			print_line(i == 0 ? label : "", json_string_value(word));
}

static void print_pairs(const char *label, json_t *pairs)
{
	const char *key;
	json_t *value;
	bool first = true;
	json_object_foreach(pairs, key, value) {
		char text[1024];
		if (!json_is_string(value))
			continue;
		snprintf(text, sizeof(text), "%s = %s", key, json_string_value(value));
		print_line(first ? label : "", text);
		first = false;
	}
}

static void print_metadata(const json_t *top)
{
	const json_t *metadata = json_object_get(top, "metadata");
	const json_t *config = json_object_get(json_object_get(metadata, "config"), "config");
	if (json_is_true(json_object_get(metadata, "runscript")))
		print_line("runscript", "/.singularity.d/runscript");
	if (json_is_true(json_object_get(metadata, "recipe")))
		print_line("recipe", "/.singularity.d/Singularity");
	print_words("entrypoint", json_object_get(config, "Entrypoint"));
	print_words("command", json_object_get(config, "Cmd"));
	if (json_is_string(json_object_get(config, "WorkingDir")))
		print_line("directory", json_string_value(json_object_get(config, "WorkingDir")));
	print_words("environment", json_object_get(config, "Env"));
	print_pairs("labels", json_object_get(metadata, "labels"));
	print_pairs("labels", json_object_get(config, "Labels"));
}

static void print_text(const struct subject *subject, const json_t *top)
{
	char text[64];
	print_line("image", subject->path);
	snprintf(text, sizeof(text), "%s", image_format_name(subject->image.format));
	if (subject->image.offset_bytes > 0)
		snprintf(text, sizeof(text), "%s, SquashFS at byte %" PRIu64, image_format_name(subject->image.format),
			 subject->image.offset_bytes);
	print_line("format", text);
	print_size_line(top);
	print_counts(top);
	print_squashfs(top);
	print_metadata(top);
}

static int inspect(const char *path, bool as_json, struct err *err)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "cannot open the image '%s'", path);
	struct subject subject = { .path = path, .fd = fd };
	json_t *top = json_object();
	int r = subject_gather(&subject, top, err);
	if (r == 0 && as_json) {
		json_dumpf(top, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (r == 0) {
		print_text(&subject, top);
	}
	if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = err_sys(err, errno, "cannot write to standard output");
	json_decref(top);
	image_reader_free(subject.reader);
	return r;
}

static const struct option LONG_OPTIONS[] = {
	{ "json", no_argument, NULL, 'J' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int run(int argc, char **argv)
{
	struct err err = ERR_INIT;
	bool as_json = false;
	int option;
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", LONG_OPTIONS, NULL)) != -1) {
		if (option == 'h') {
			fputs(HELP, stdout);
			return EXIT_SUCCESS;
		}
		if (option == '?') {
			err_set(&err, EINVAL, "there is no option '%s'", argv[optind - 1]);
			err_hint(&err, "simg inspect --help lists the options");
			log_err(&err);
			return EXIT_USAGE;
		}
		as_json = true;
	}
	if (argc - optind != 1) {
		err_set(&err, EINVAL, "simg inspect needs one image");
		err_hint(&err, "simg inspect --help lists the options");
		log_err(&err);
		return EXIT_USAGE;
	}
	if (inspect(argv[optind], as_json, &err) < 0) {
		log_err(&err);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

const struct verb verb_inspect = { "inspect", "show what an image is and holds", run };

/* SPDX-License-Identifier: Apache-2.0
 *
 * See describe.h.
 */
#include "builder/describe.h"

#include "builder/size.h"
#include "lib/cleanup.h"
#include "lib/image.h"
#include "lib/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LABEL_WIDTH = 12 };

/* label NULL: the text alone. */
static void print_line(const char *label, const char *text)
{
	/* The image's words are not the terminal's commands. */
	autofree char *clean = strdup(text);
	if (clean == NULL)
		return;
	log_sanitize(clean);
	printf("%-*s%s\n", label != NULL ? LABEL_WIDTH : 0, label != NULL ? label : "", clean);
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
	else if (file_bytes > content_bytes) /* what it takes to describe them: no ratio of compression */
		snprintf(text, sizeof(text), "%s, for %s of files", file, content);
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
	snprintf(text, sizeof(text), "%" PRIu64 " owners and groups, extended attributes: %s, NFS export: %s",
		 number_of(squashfs, "ids"), json_is_true(json_object_get(squashfs, "xattrs")) ? "yes" : "no",
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

static size_t print_string(const char *label, const json_t *string)
{
	if (!json_is_string(string) || json_string_length(string) == 0)
		return 0;
	print_line(label, json_string_value(string));
	return 1;
}

/* A list of words, one a line. A single string stands for a list of one. */
static size_t print_words(const char *label, const json_t *words)
{
	size_t i, count = print_string(label, words);
	const json_t *word;
	json_array_foreach(words, i, word)
		if (json_is_string(word))
			print_line(count++ == 0 || label == NULL ? label : "", json_string_value(word));
	return count;
}

static void print_pairs(const char *label, json_t *pairs)
{
	const char *key;
	json_t *value;
	json_object_foreach(pairs, key, value) {
		char text[1024];
		snprintf(text, sizeof(text), "%s = %s", key, json_string_value(value));
		print_line(label, text);
		label = "";
	}
}

/* The keys of an object, such as exposed ports. */
static void print_keys(const char *label, json_t *object)
{
	const char *key;
	json_t *value;
	json_object_foreach(object, key, value) {
		print_line(label, key);
		label = "";
	}
}

/* The strings of an object under these keys, joined; what is missing is left out. */
static void join(const json_t *object, const char *const *keys, const char *separator, char *text, size_t bytes)
{
	text[0] = '\0';
	for (; *keys != NULL; keys++) {
		const char *value = json_string_value(json_object_get(object, *keys));
		size_t used = strlen(text);
		if (value != NULL)
			snprintf(text + used, bytes - used, "%s%s", used > 0 ? separator : "", value);
	}
}

/* The name of a container's source begins with the kind. */
static void print_source(const char *label, const json_t *source)
{
	static const char *const keys[] = { "kind", "name", "digest", NULL };
	char text[1024];
	const char *kind = json_string_value(json_object_get(source, "kind"));
	const char *name = json_string_value(json_object_get(source, "name"));
	bool repeated = kind != NULL && name != NULL && strncmp(name, kind, strlen(kind)) == 0 && name[strlen(kind)] == ':';
	join(source, repeated ? keys + 1 : keys, ", ", text, sizeof(text));
	print_line(label, text);
}

static void print_layers(const json_t *layers)
{
	size_t i;
	const json_t *layer;
	json_array_foreach(layers, i, layer) {
		char text[256], size[SIZE_TEXT_MAX];
		const char *digest = json_string_value(json_object_get(layer, "digest"));
		if (digest == NULL)
			digest = json_string_value(json_object_get(layer, "diff_id"));
		uint64_t bytes = number_of(layer, "bytes");
		snprintf(text, sizeof(text), "%s%s%s", digest != NULL ? digest : "?", bytes > 0 ? ", " : "",
			 bytes > 0 ? size_format(bytes, size) : "");
		print_line(i == 0 ? "layers" : "", text);
	}
}

static void print_builder(const json_t *record)
{
	static const char *const builder_keys[] = { "name", "version", NULL };
	static const char *const library_keys[] = { "compressor", "library_version", NULL };
	const json_t *squashfs = json_object_get(record, "squashfs"), *level = json_object_get(squashfs, "level");
	char text[512], library[128];
	join(json_object_get(record, "builder"), builder_keys, " ", text, sizeof(text));
	join(squashfs, library_keys, " ", library, sizeof(library));
	size_t used = strlen(text);
	if (library[0] != '\0')
		snprintf(text + used, sizeof(text) - used, ", %s", library);
	used = strlen(text);
	if (json_is_integer(level))
		snprintf(text + used, sizeof(text) - used, ", level %" JSON_INTEGER_FORMAT, json_integer_value(level));
	print_line("builder", text);
}

/* What it was made of, then what that was made of. */
static void print_record(const json_t *metadata)
{
	static const char *const keys[] = { "os", "architecture", "variant", NULL };
	const json_t *record = json_object_get(metadata, "record"), *bases = json_object_get(metadata, "bases");
	const json_t *source = json_object_get(record, "source");
	char text[256];
	if (!json_is_object(record))
		return;
	print_source("source", source);
	join(json_object_get(source, "platform"), keys, "/", text, sizeof(text));
	if (text[0] != '\0')
		print_line("platform", text);
	print_layers(json_object_get(source, "layers"));
	for (size_t i = json_array_size(bases); i > 0; i--)
		print_source(i == json_array_size(bases) ? "base" : "", json_object_get(json_array_get(bases, i - 1), "source"));
	print_builder(record);
}

json_t *describe_labels(const json_t *top)
{
	const json_t *metadata = json_object_get(top, "metadata");
	const json_t *config = json_object_get(json_object_get(metadata, "config"), "config");
	json_t *from[] = { json_object_get(metadata, "labels"), json_object_get(config, "Labels") };
	json_t *labels = json_object(), *value;
	for (size_t i = 0; i < 2; i++) {
		const char *key;
		json_object_foreach(from[i], key, value)
			if (json_is_string(value) && json_object_get(labels, key) == NULL)
				json_object_set(labels, key, value);
	}
	return labels;
}

static size_t print_environment(const char *label, const json_t *top)
{
	const json_t *config = json_object_get(json_object_get(json_object_get(top, "metadata"), "config"), "config");
	return print_words(label, json_object_get(config, "Env"));
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
	print_string("directory", json_object_get(config, "WorkingDir"));
	print_string("user", json_object_get(config, "User"));
	print_keys("ports", json_object_get(config, "ExposedPorts"));
	print_keys("volumes", json_object_get(config, "Volumes"));
	print_environment("environment", top);
	json_t *labels = describe_labels(top);
	print_pairs("labels", labels);
	json_decref(labels);
}

void describe(const char *path, const struct image *image, const json_t *top)
{
	char text[64];
	print_line("image", path);
	snprintf(text, sizeof(text), "%s", image_format_name(image->format));
	if (image->offset_bytes > 0)
		snprintf(text, sizeof(text), "%s, SquashFS at byte %" PRIu64, image_format_name(image->format),
			 image->offset_bytes);
	print_line("format", text);
	print_size_line(top);
	print_counts(top);
	print_squashfs(top);
	print_record(json_object_get(top, "metadata"));
	print_metadata(top);
}

size_t describe_environment(const json_t *top)
{
	return print_environment(NULL, top);
}

void describe_file(const char *text, size_t bytes)
{
	autofree char *clean = isatty(STDOUT_FILENO) ? malloc(bytes + 1) : NULL;
	if (clean == NULL) {
		fwrite(text, 1, bytes, stdout);
		return;
	}
	/* Piece by piece between the characters that may stay. */
	for (size_t at = 0, end; at <= bytes; at = end + 1) {
		for (end = at; end < bytes && text[end] != '\n' && text[end] != '\t' && text[end] != '\0'; end++)
			clean[end - at] = text[end];
		clean[end - at] = '\0';
		log_sanitize(clean);
		fputs(clean, stdout);
		if (end < bytes)
			putchar(text[end] != '\0' ? text[end] : '?');
	}
}

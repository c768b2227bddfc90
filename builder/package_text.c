/* SPDX-License-Identifier: Apache-2.0
 *
 * Databases of packages that are text: see package_text.h.
 */
#include "builder/package_text.h"

#include "builder/packages.h"

#include <stdbool.h>
#include <string.h>

struct record {
	struct package_word name, version, architecture, status;
};

/* How a format spells the lines that count, by the record's fields. */
struct format {
	const char *manager;
	const char *name, *version, *architecture, *status;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct package_word trim(struct package_word word)
{
	while (word.bytes > 0 && is_blank(word.data[0])) {
		word.data++;
		word.bytes--;
	}
	while (word.bytes > 0 && is_blank(word.data[word.bytes - 1]))
		word.bytes--;
	return word;
}

/* Puts what follows key into *ret_value, if the line begins so. Case counts: apk's "p:" is another field than "P:". */
static void field_take(const struct package_word *line, const char *key, struct package_word *ret_value)
{
	size_t bytes = key != NULL ? strlen(key) : 0;
	if (bytes == 0 || line->bytes < bytes || memcmp(line->data, key, bytes) != 0)
		return;
	*ret_value = trim((struct package_word){ line->data + bytes, line->bytes - bytes });
}

/* By the last word of "install ok installed". Between removal and installation, files are there. */
static bool is_installed(struct package_word status)
{
	static const char *const absent[] = { "not-installed", "config-files" };
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		size_t bytes = strlen(absent[i]);
		if (status.bytes >= bytes && memcmp(status.data + status.bytes - bytes, absent[i], bytes) == 0)
			return false;
	}
	return true;
}

static int record_end(struct packages *packages, const struct format *format, struct record *record, const char *path,
		      struct err *err)
{
	struct record done = *record;
	*record = (struct record){ 0 };
	if (done.name.bytes == 0 || !is_installed(done.status))
		return 0;
	return packages_add(packages, format->manager, &done.name, &done.version, &done.architecture, path, err);
}

static int parse(struct packages *packages, const struct format *format, const char *text, size_t bytes, const char *path,
		 struct err *err)
{
	struct record record = { 0 };
	int r = 0;
	for (const char *at = text, *end = text + bytes; at < end && r == 0;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct package_word line = { at, (size_t)((newline != NULL ? newline : end) - at) };
		at += line.bytes + (newline != NULL);
		if (trim(line).bytes == 0)
			r = record_end(packages, format, &record, path, err);
		field_take(&line, format->name, &record.name);
		field_take(&line, format->version, &record.version);
		field_take(&line, format->architecture, &record.architecture);
		field_take(&line, format->status, &record.status);
	}
	return r < 0 ? r : record_end(packages, format, &record, path, err);
}

int package_text_dpkg(struct packages *packages, const char *text, size_t bytes, const char *path, struct err *err)
{
	static const struct format format = { "dpkg", "Package:", "Version:", "Architecture:", "Status:" };
	return parse(packages, &format, text, bytes, path, err);
}

int package_text_apk(struct packages *packages, const char *text, size_t bytes, const char *path, struct err *err)
{
	static const struct format format = { "apk", "P:", "V:", "A:", NULL };
	return parse(packages, &format, text, bytes, path, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * What simg diff prints: see diff_report.h.
 */
#include "builder/diff_report.h"

#include "builder/diff_side.h"
#include "builder/packages.h"
#include "builder/size.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { VALUE_BYTES_SHOWN = 120 };

static const struct {
	const char *key, *title, *one, *many;
} sections[DIFF_SECTION_COUNT] = {
	[DIFF_METADATA] = { "metadata", "metadata", "value of the metadata", "values of the metadata" },
	[DIFF_PACKAGES] = { "packages", "packages", "package", "packages" },
	[DIFF_RECORD] = { "record", "build record (does not count)", NULL, NULL },
	[DIFF_FILES] = { "files", "files", "file", "files" },
};

static const struct {
	const char *word;
	char mark;
} changes[DIFF_CHANGE_COUNT] = {
	[DIFF_ADDED] = { "added", '+' },
	[DIFF_REMOVED] = { "removed", '-' },
	[DIFF_CHANGED] = { "changed", '~' },
};

/* In the order in which they are named. */
static const struct {
	unsigned what;
	const char *word;
} whats[] = {
	{ DIFF_TYPE, "type" },	   { DIFF_CONTENT, "content" }, { DIFF_SIZE, "size" },	 { DIFF_TARGET, "target" },
	{ DIFF_DEVICE, "device" }, { DIFF_MODE, "mode" },	{ DIFF_OWNER, "owner" }, { DIFF_XATTRS, "xattrs" },
	{ DIFF_LINK, "link" },	   { DIFF_TIME, "time" },
};
enum { WHAT_COUNT = sizeof(whats) / sizeof(whats[0]) };

static const char *type_name(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	case S_IFIFO:
		return "fifo";
	default:
		return "socket";
	}
}

/* --- the frame --- */

static json_t *json_text(const char *text)
{
	json_t *string = text != NULL ? json_string(text) : NULL;
	return string != NULL ? string : json_null(); /* no UTF-8 */
}

static void print_member(const char *key, json_t *value, bool first)
{
	printf("%s\n  \"%s\": ", first ? "" : ",", key);
	json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
	json_decref(value);
}

void report_begin(struct diff_report *report, const char *a, const char *b)
{
	report->open = -1;
	if (!report->json || report->quiet)
		return;
	putchar('{');
	print_member("a", json_text(a), true);
	print_member("b", json_text(b), false);
	print_member("times", json_boolean(report->times), false);
}

/* Goes on to a section: those before it that were compared are there in JSON, even if they are empty. */
static void section_go(struct diff_report *report, int section)
{
	for (; report->open < section; report->open++) {
		int next = report->open + 1;
		if (report->json && report->open >= 0 && report->sections[report->open])
			fputs("\n  ]", stdout);
		if (report->json && next < DIFF_SECTION_COUNT && report->sections[next])
			printf(",\n  \"%s\": [", sections[next].key);
		if (!report->json && next == section && next < DIFF_SECTION_COUNT)
			puts(sections[next].title);
	}
}

/* Returns whether the difference is to be printed; object is what JSON has of it, which is freed. */
static bool begin(struct diff_report *report, enum diff_section section, enum diff_change change, json_t *object)
{
	uint64_t *counts = report->counts[section];
	bool first = counts[DIFF_ADDED] + counts[DIFF_REMOVED] + counts[DIFF_CHANGED] == 0;
	counts[change]++;
	if (!report->quiet)
		section_go(report, (int)section);
	if (!report->quiet && report->json) {
		json_object_set_new(object, "change", json_string(changes[change].word));
		fputs(first ? "\n    " : ",\n    ", stdout);
		json_dumpf(object, stdout, JSON_COMPACT);
	}
	json_decref(object);
	if (report->quiet || report->json)
		return false;
	printf("  %c ", changes[change].mark);
	return true;
}

bool report_differs(const struct diff_report *report)
{
	for (int section = 0; section < DIFF_SECTION_COUNT; section++)
		for (int change = 0; change < DIFF_CHANGE_COUNT && section != DIFF_RECORD; change++)
			if (report->counts[section][change] > 0)
				return true;
	return false;
}

/* "2 files added, 1 changed" */
static void print_counts(const struct diff_report *report, int section, const char **separator)
{
	bool named = false;
	for (int change = 0; change < DIFF_CHANGE_COUNT; change++) {
		uint64_t count = report->counts[section][change];
		if (count == 0)
			continue;
		printf("%s%" PRIu64 " ", *separator, count);
		if (!named)
			printf("%s ", count == 1 ? sections[section].one : sections[section].many);
		fputs(changes[change].word, stdout);
		named = true;
		*separator = ", ";
	}
	if (named)
		*separator = "; ";
}

static void print_sum(const struct diff_report *report)
{
	const char *separator = "different: ";
	if (!report_differs(report))
		fputs("no difference", stdout);
	for (int section = 0; section < DIFF_SECTION_COUNT; section++)
		if (section != DIFF_RECORD)
			print_counts(report, section, &separator);
	puts(!report->times && report->sections[DIFF_FILES] ? "; times not compared" : "");
}

int report_end(struct diff_report *report, struct err *err)
{
	if (report->json && !report->quiet) {
		section_go(report, DIFF_SECTION_COUNT);
		print_member("different", json_boolean(report_differs(report)), false);
		puts("\n}");
	} else if (!report->quiet)
		print_sum(report);
	if (fflush(stdout) != 0 || ferror(stdout))
		return err_sys(err, errno, "cannot write to standard output");
	return 0;
}

/* --- text --- */

/* A name as it stands, but for what a terminal could take for a command, and for what could be taken for that. */
static void print_name(const char *name)
{
	for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++) {
		if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) {
			printf("\\x%02x\\x%02x", c[0], c[1]);
			c++;
		} else if (*c == '\\')
			fputs("\\\\", stdout);
		else if (*c == '\n')
			fputs("\\n", stdout);
		else if (*c < 0x20 || *c == 0x7f)
			printf("\\x%02x", *c);
		else
			putchar(*c);
	}
}

static void print_path(const char *path)
{
	putchar('/');
	print_name(path);
}

/* A value on one line, cut if it is long. */
static void print_value(const json_t *value)
{
	autofree char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	size_t bytes = text != NULL ? strlen(text) : 0, shown = bytes > VALUE_BYTES_SHOWN ? VALUE_BYTES_SHOWN : bytes;
	if (text == NULL)
		return;
	while (shown < bytes && shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80)
		shown--;
	text[shown] = '\0';
	log_sanitize(text);
	printf("%s%s", text, shown < bytes ? "…" : "");
}

/* --- metadata --- */

void report_value(struct diff_report *report, enum diff_section section, const char *what, const char *key, const json_t *before,
		  const json_t *after)
{
	enum diff_change change = before == NULL ? DIFF_ADDED : after == NULL ? DIFF_REMOVED : DIFF_CHANGED;
	json_t *object = json_pack("{ss sO? sO?}", "what", what, "before", before, "after", after);
	if (object != NULL)
		json_object_set_new(object, "key", json_text(key));
	if (!begin(report, section, change, object))
		return;
	fputs(what, stdout);
	if (key[0] != '\0') {
		putchar(' ');
		print_name(key);
	}
	fputs("  ", stdout);
	if (before != NULL)
		print_value(before);
	if (change == DIFF_CHANGED)
		fputs(" -> ", stdout);
	if (after != NULL)
		print_value(after);
	putchar('\n');
}

/* --- packages --- */

void report_package(struct diff_report *report, const struct package *before, const struct package *after)
{
	enum diff_change change = before == NULL ? DIFF_ADDED : after == NULL ? DIFF_REMOVED : DIFF_CHANGED;
	const struct package *any = before != NULL ? before : after;
	const char *from = before != NULL ? before->version : NULL, *to = after != NULL ? after->version : NULL;
	json_t *object = json_pack("{ss ss ss ss? ss?}", "manager", any->manager, "name", any->name, "architecture",
				   any->architecture, "before", from, "after", to);
	if (!begin(report, DIFF_PACKAGES, change, object))
		return;
	printf("%s  %s%s%s", any->name, from != NULL ? from : "", change == DIFF_CHANGED ? " -> " : "", to != NULL ? to : "");
	printf("  (%s%s%s)\n", any->manager, any->architecture[0] != '\0' ? ", " : "", any->architecture);
}

/* --- files --- */

/* A path for JSON; one that is not UTF-8 is there in hexadecimal digits alone. */
static void put_path(json_t *object, const char *key, const char *path)
{
	char hex_key[32];
	autofree char *absolute = NULL, *hex = calloc(strlen(path) + 2, 2);
	if (asprintf(&absolute, "/%s", path) < 0 || hex == NULL)
		return;
	json_object_set_new(object, key, json_text(absolute));
	if (!json_is_null(json_object_get(object, key)))
		return;
	for (size_t i = 0; absolute[i] != '\0'; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)absolute[i]);
	snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
	json_object_set_new(object, hex_key, json_string(hex));
}

/* An object of the digests of the values. */
static json_t *xattrs_json(const struct diff_facts *facts)
{
	json_t *object = json_object();
	for (const char *at = facts->xattrs, *end = at + facts->xattrs_bytes; at < end;) {
		const char *value = at + strlen(at) + 1;
		json_object_set_new(object, at, json_string(value)); /* fails for a name that is no UTF-8 */
		at = value + strlen(value) + 1;
	}
	return object;
}

static json_t *facts_json(const struct diff_facts *facts, const char *link)
{
	if (facts == NULL)
		return json_null();
	char mode[8];
	snprintf(mode, sizeof(mode), "%04o", facts->mode & 07777);
	json_t *object = json_pack("{ss ss sI sI sI}", "type", type_name(facts->mode), "mode", mode, "uid", (json_int_t)facts->uid,
				   "gid", (json_int_t)facts->gid, "mtime", (json_int_t)facts->mtime);
	if (S_ISREG(facts->mode))
		json_object_set_new(object, "bytes", json_integer((json_int_t)facts->bytes));
	if (S_ISCHR(facts->mode) || S_ISBLK(facts->mode))
		json_object_set_new(object, "device", json_pack("[I I]", (json_int_t)facts->major, (json_int_t)facts->minor));
	if (facts->target != NULL)
		json_object_set_new(object, "target", json_text(facts->target));
	if (facts->xattrs_bytes > 0)
		json_object_set_new(object, "xattrs", xattrs_json(facts));
	if (link != NULL)
		put_path(object, "link", link);
	return object;
}

static json_t *file_json(const struct diff_file *file)
{
	json_t *object = json_object(), *what = json_array();
	put_path(object, "path", file->path);
	for (size_t i = 0; i < WHAT_COUNT; i++)
		if (file->what & whats[i].what)
			json_array_append_new(what, json_string(whats[i].word));
	json_object_set_new(object, "what", what);
	json_object_set_new(object, "before", facts_json(file->before, file->link_before));
	json_object_set_new(object, "after", facts_json(file->after, file->link_after));
	return object;
}

/* What a file is that is on one side alone. */
static void print_facts(const struct diff_facts *facts, const char *link)
{
	char size[SIZE_TEXT_MAX];
	printf("  %s", type_name(facts->mode));
	if (S_ISREG(facts->mode))
		printf(", %s", size_format(facts->bytes, size));
	if (facts->target != NULL) {
		fputs(" to ", stdout);
		print_name(facts->target);
	}
	if (link != NULL) {
		fputs(", hard link to ", stdout);
		print_path(link);
	}
}

/* "user.a changed", … by the sorted lists of both. */
static void print_xattrs(const struct diff_facts *before, const struct diff_facts *after)
{
	const char *a = before->xattrs, *a_end = a + before->xattrs_bytes, *b = after->xattrs, *b_end = b + after->xattrs_bytes;
	while (a < a_end || b < b_end) {
		int order = a == a_end ? 1 : b == b_end ? -1 : strcmp(a, b);
		const char *name = order <= 0 ? a : b;
		const char *a_value = a + (order <= 0 ? strlen(a) + 1 : 0), *b_value = b + (order >= 0 ? strlen(b) + 1 : 0);
		if (order != 0 || strcmp(a_value, b_value) != 0) {
			putchar(' ');
			print_name(name);
			printf(" %s", order < 0 ? "removed" : order > 0 ? "added" : "changed");
		}
		if (order <= 0)
			a = a_value + strlen(a_value) + 1;
		if (order >= 0)
			b = b_value + strlen(b_value) + 1;
	}
}

static void print_time(int64_t seconds)
{
	char text[64];
	time_t time = (time_t)seconds;
	struct tm utc;
	if (gmtime_r(&time, &utc) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
		snprintf(text, sizeof(text), "%" PRId64, seconds);
	fputs(text, stdout);
}

static void print_link(const char *path)
{
	if (path != NULL)
		print_path(path);
	else
		fputs("none", stdout);
}

/* What follows the word for one kind of change. */
static void print_what(const struct diff_file *file, unsigned what)
{
	const struct diff_facts *a = file->before, *b = file->after;
	if (what == DIFF_TYPE)
		printf(" %s -> %s", type_name(a->mode), type_name(b->mode));
	if (what == DIFF_SIZE)
		printf(" %" PRIu64 " -> %" PRIu64, a->bytes, b->bytes);
	if (what == DIFF_MODE)
		printf(" %04o -> %04o", a->mode & 07777, b->mode & 07777);
	if (what == DIFF_OWNER)
		printf(" %" PRId64 ":%" PRId64 " -> %" PRId64 ":%" PRId64, a->uid, a->gid, b->uid, b->gid);
	if (what == DIFF_DEVICE)
		printf(" %" PRIu32 ":%" PRIu32 " -> %" PRIu32 ":%" PRIu32, a->major, a->minor, b->major, b->minor);
	if (what == DIFF_XATTRS)
		print_xattrs(a, b);
	if (what != DIFF_TARGET && what != DIFF_LINK && what != DIFF_TIME)
		return;
	putchar(' ');
	what == DIFF_TARGET ? print_name(a->target) : what == DIFF_LINK ? print_link(file->link_before) : print_time(a->mtime);
	fputs(" -> ", stdout);
	what == DIFF_TARGET ? print_name(b->target) : what == DIFF_LINK ? print_link(file->link_after) : print_time(b->mtime);
}

void report_file(struct diff_report *report, const struct diff_file *file)
{
	if (!begin(report, DIFF_FILES, file->change, report->json ? file_json(file) : NULL))
		return;
	print_path(file->path);
	if (file->change == DIFF_ADDED)
		print_facts(file->after, file->link_after);
	if (file->change == DIFF_REMOVED)
		print_facts(file->before, file->link_before);
	const char *separator = "  ";
	for (size_t i = 0; i < WHAT_COUNT; i++) {
		if (!(file->what & whats[i].what))
			continue;
		printf("%s%s", separator, whats[i].word);
		print_what(file, whats[i].what);
		separator = ", ";
	}
	putchar('\n');
}

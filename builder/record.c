/* SPDX-License-Identifier: Apache-2.0
 *
 * The record of a sandbox: see record.h. It is the user's file, and may be anything by now: it is checked, but not against harm,
 * since it can say no more than a tarball can.
 */
#include "builder/record.h"

#include "builder/arena.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE "simg-sandbox 1\n"
#define MADE_LINE "made\n"
#define RECORD_BYTES_MAX ((size_t)1 << 30)

enum { XATTRS_MAX = XATTR_LIST_MAX / sizeof("user.x") }; /* as load.c takes them */

struct record {
	struct arena arena;
	void *entries; /* tsearch(3) */
	bool made_directory;
};

static void text_write(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (c <= ' ' || c >= 0x7f || c == '%' || c == '=')
			fprintf(out, "%%%02x", c);
		else
			putc(c, out);
	}
}

void record_begin(FILE *out)
{
	fputs(FIRST_LINE, out);
}

void record_made_directory(FILE *out)
{
	fputs(MADE_LINE, out);
}

void record_add(FILE *out, const struct record_entry *entry)
{
	text_write(out, entry->path);
	fprintf(out, " %" PRIo32 " %" PRIo32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32, entry->disk_mode, entry->mode,
		entry->uid, entry->gid, entry->major, entry->minor);
	for (size_t i = 0; i < entry->xattr_count; i++) {
		const unsigned char *value = entry->xattrs[i].value;
		putc(' ', out);
		text_write(out, entry->xattrs[i].name);
		putc('=', out);
		for (size_t k = 0; k < entry->xattrs[i].value_bytes; k++)
			fprintf(out, "%02x", value[k]);
	}
	putc('\n', out);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Two digits, or -1. */
static int hex_byte(const char *digits)
{
	int high = hex_digit(digits[0]), low = high < 0 ? -1 : hex_digit(digits[1]);
	return low < 0 ? -1 : high << 4 | low;
}

/* Decodes a text in place. */
static bool text_decode(char *text)
{
	char *out = text;
	for (; *text != '\0'; text++) {
		int c = *text == '%' ? hex_byte(text + 1) : (unsigned char)*text;
		if (c <= 0)
			return false;
		text += *text == '%' ? 2 : 0;
		*out++ = (char)c;
	}
	*out = '\0';
	return true;
}

/* Decodes "NAME=HEX" in place: the value takes the place of its digits. */
static bool xattr_decode(char *text, struct xattr *ret_xattr)
{
	char *value = strchr(text, '=');
	if (value == NULL)
		return false;
	*value++ = '\0';
	size_t digits = strlen(value);
	for (size_t i = 0; i < digits; i += 2) {
		int c = hex_byte(value + i);
		if (c < 0)
			return false;
		value[i / 2] = (char)c;
	}
	*ret_xattr = (struct xattr){ .name = text, .value = value, .value_bytes = digits / 2 };
	return text_decode(text) && xattr_storable(ret_xattr);
}

static bool number_decode(char **rest, int base, uint32_t *ret_number)
{
	char *word = strsep(rest, " "), *end;
	if (word == NULL || word[0] < '0' || word[0] > '9')
		return false;
	errno = 0;
	unsigned long number = strtoul(word, &end, base);
	*ret_number = (uint32_t)number;
	return *end == '\0' && errno == 0 && number <= UINT32_MAX;
}

static bool xattrs_decode(struct record *record, char *rest, struct record_entry *entry)
{
	size_t count = 0;
	for (const char *c = rest; c != NULL; c = strchr(c + 1, ' '))
		count++;
	if (count == 0)
		return true;
	if (count > XATTRS_MAX || (entry->xattrs = arena_alloc(&record->arena, count * sizeof(*entry->xattrs))) == NULL)
		return false;
	for (char *word; (word = strsep(&rest, " ")) != NULL;)
		if (!xattr_decode(word, &entry->xattrs[entry->xattr_count++]))
			return false;
	return true;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(((const struct record_entry *)a)->path, ((const struct record_entry *)b)->path);
}

static bool line_take(struct record *record, const char *line)
{
	char *rest = arena_strdup(&record->arena, line);
	struct record_entry *entry = arena_alloc(&record->arena, sizeof(*entry));
	if (rest == NULL || entry == NULL)
		return false;
	char *path = strsep(&rest, " ");
	entry->path = path;
	if (!text_decode(path) || !number_decode(&rest, 8, &entry->disk_mode) || !number_decode(&rest, 8, &entry->mode) ||
	    !number_decode(&rest, 10, &entry->uid) || !number_decode(&rest, 10, &entry->gid) ||
	    !number_decode(&rest, 10, &entry->major) || !number_decode(&rest, 10, &entry->minor) ||
	    !xattrs_decode(record, rest, entry))
		return false;
	return tsearch(entry, &record->entries, compare_paths) != NULL;
}

/* Returns the number of the first line that makes no sense, or 0. */
static unsigned long lines_take(struct record *record, FILE *in)
{
	autofree char *line = NULL;
	size_t room = 0;
	ssize_t bytes;
	for (unsigned long number = 1; (bytes = getline(&line, &room, in)) > 0; number++) {
		bool whole = line[bytes - 1] == '\n' && strlen(line) == (size_t)bytes, taken;
		if (number == 1)
			taken = strcmp(line, FIRST_LINE) == 0;
		else if (strcmp(line, MADE_LINE) == 0)
			taken = record->made_directory = true;
		else {
			line[bytes - 1] = '\0';
			taken = line_take(record, line);
		}
		if (!whole || !taken)
			return number;
	}
	return 0;
}

/* Opens the file if it is there and a regular one, else returns NULL. */
static FILE *record_open(int root_fd)
{
	autoclose int directory = openat(root_fd, RECORD_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	autoclose int fd = directory < 0 ? -1 : openat(directory, RECORD_NAME, flags);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	FILE *file = fdopen(fd, "r");
	if (file != NULL)
		steal_fd(&fd);
	return file;
}

int record_read(int root_fd, const char *path, struct record **ret_record, struct err *err)
{
	autofclose FILE *in = record_open(root_fd);
	*ret_record = NULL;
	if (in == NULL)
		return 0;
	struct record *record = calloc(1, sizeof(*record));
	if (record == NULL)
		return err_sys(err, ENOMEM, "cannot read the directory '%s'", path);
	record->arena.limit_bytes = RECORD_BYTES_MAX;
	unsigned long bad_line = lines_take(record, in);
	if (bad_line == 0 && !ferror(in)) {
		*ret_record = record;
		return 0;
	}
	record_free(record);
	err_set(err, EBADMSG, "the record of the sandbox, '%s/" RECORD_DIRECTORY "/" RECORD_NAME "', is damaged in line %lu", path,
		bad_line);
	return err_hint(err, "without it, the directory is built as it is on disk");
}

mode_t record_permissions(mode_t mode, mode_t disk_type, bool owner_kept, bool privileged)
{
	mode_t given = mode & 07777, needed = S_ISDIR(disk_type) ? 0700 : S_ISREG(disk_type) ? 0400 : 0;
	if (disk_type != (mode & S_IFMT))
		return 0400;
	if (!owner_kept)
		given &= ~(mode_t)(S_ISUID | S_ISGID);
	return privileged ? given : given | needed;
}

const struct record_entry *record_find(const struct record *record, const char *path)
{
	struct record_entry wanted = { .path = path };
	struct record_entry *const *found = tfind(&wanted, &record->entries, compare_paths);
	return found != NULL ? *found : NULL;
}

bool record_holds(const struct record_entry *entry, const struct stat *st)
{
	return entry->disk_mode == st->st_mode && (((entry->mode ^ st->st_mode) & S_IFMT) == 0 || st->st_size == 0);
}

bool record_owns_directory(const struct record *record, int root_fd)
{
	autoclose int fd = !record->made_directory ? -1 :
		openat(root_fd, RECORD_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	autoclosedir DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	int count = 0;
	if (directory == NULL)
		return false;
	steal_fd(&fd);
	while (readdir(directory) != NULL)
		count++;
	return count == 3; /* ".", ".." and the record */
}

bool record_marks(int root_fd)
{
	char line[sizeof(FIRST_LINE)] = "";
	autofclose FILE *in = record_open(root_fd);
	return in != NULL && fgets(line, sizeof(line), in) != NULL && strcmp(line, FIRST_LINE) == 0;
}

static void entry_forget(void *entry)
{
	(void)entry; /* the arena's */
}

void record_free(struct record *record)
{
	if (record == NULL)
		return;
	tdestroy(record->entries, entry_forget);
	arena_free(&record->arena);
	free(record);
}

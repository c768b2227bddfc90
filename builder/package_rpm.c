/* SPDX-License-Identifier: Apache-2.0
 *
 * rpm's database in SQLite: see package_rpm.h.
 */
#include "builder/package_rpm.h"

#include "config.h"

#include "builder/packages.h"
#include "lib/err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* --- headers --- */

enum {
	TAG_NAME = 1000,
	TAG_VERSION = 1001,
	TAG_RELEASE = 1002,
	TAG_EPOCH = 1003,
	TAG_ARCHITECTURE = 1022,
	TYPE_NUMBER = 4, /* of 32 bits */
	TYPE_STRING = 6,
	PREFACE_BYTES = 8, /* the number of entries, and the length of the data */
	ENTRY_BYTES = 16,
};

struct header {
	const uint8_t *entries; /* tag, type, offset of the value in the data, number of values */
	uint32_t entry_count;
	const uint8_t *data;
	uint32_t data_bytes;
};

static uint32_t number_at(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool header_open(const uint8_t *bytes, size_t count, struct header *ret_header)
{
	if (count < PREFACE_BYTES)
		return false;
	struct header header = { .entry_count = number_at(bytes), .data_bytes = number_at(bytes + 4) };
	if (header.entry_count > (count - PREFACE_BYTES) / ENTRY_BYTES)
		return false;
	header.entries = bytes + PREFACE_BYTES;
	header.data = header.entries + (size_t)header.entry_count * ENTRY_BYTES;
	if (header.data_bytes > count - PREFACE_BYTES - (size_t)header.entry_count * ENTRY_BYTES)
		return false;
	*ret_header = header;
	return true;
}

/* Where a tag's value stands in the data, or NULL. */
static const uint8_t *value_find(const struct header *header, uint32_t tag, uint32_t type)
{
	for (uint32_t i = 0; i < header->entry_count; i++) {
		const uint8_t *entry = header->entries + (size_t)i * ENTRY_BYTES;
		if (number_at(entry) == tag && number_at(entry + 4) == type && number_at(entry + 8) < header->data_bytes)
			return header->data + number_at(entry + 8);
	}
	return NULL;
}

/* A string without its zero. Empty if it is not there; false if it has no end. */
static bool string_find(const struct header *header, uint32_t tag, struct package_word *ret_word)
{
	const uint8_t *value = value_find(header, tag, TYPE_STRING);
	*ret_word = (struct package_word){ 0 };
	if (value == NULL)
		return true;
	const uint8_t *end = memchr(value, 0, (size_t)(header->data + header->data_bytes - value));
	if (end == NULL)
		return false;
	*ret_word = (struct package_word){ (const char *)value, (size_t)(end - value) };
	return true;
}

/* "EPOCH:" or "". */
static void epoch_format(const struct header *header, char text[static 16])
{
	const uint8_t *value = value_find(header, TAG_EPOCH, TYPE_NUMBER);
	text[0] = '\0';
	if (value != NULL && header->data + header->data_bytes - value >= 4)
		snprintf(text, 16, "%" PRIu32 ":", number_at(value));
}

static int err_header(struct err *err, const char *path)
{
	return err_set(err, EBADMSG, "'/%s' is damaged: the header of a package is out of bounds", path);
}

int package_rpm_header(struct packages *packages, const void *bytes, size_t count, const char *path, struct err *err)
{
	struct header header;
	struct package_word name, version, release, architecture;
	char epoch[16], text[PACKAGE_WORD_MAX * 2 + 16];
	if (!header_open(bytes, count, &header) || !string_find(&header, TAG_NAME, &name) ||
	    !string_find(&header, TAG_VERSION, &version) || !string_find(&header, TAG_RELEASE, &release) ||
	    !string_find(&header, TAG_ARCHITECTURE, &architecture))
		return err_header(err, path);
	if (version.bytes > PACKAGE_WORD_MAX || release.bytes > PACKAGE_WORD_MAX) /* too long for packages_add() as well */
		release = (struct package_word){ 0 };
	else {
		epoch_format(&header, epoch);
		snprintf(text, sizeof(text), "%s%.*s%s%.*s", epoch, (int)version.bytes, version.bytes > 0 ? version.data : "",
			 release.bytes > 0 ? "-" : "", (int)release.bytes, release.bytes > 0 ? release.data : "");
		version = (struct package_word){ text, strlen(text) };
	}
	return packages_add(packages, "rpm", &name, &version, &architecture, path, err);
}

/* --- the database --- */

#ifndef HAVE_SQLITE

int package_rpm_sqlite(struct packages *packages, void *database, size_t bytes, const char *path, struct err *err)
{
	(void)packages, (void)database, (void)bytes;
	return err_set(err, ENOTSUP, "the packages in '/%s' are kept in SQLite, which this simg was built without", path);
}

#else

#include <sqlite3.h>

enum {
	STEP_OPCODES = 1000,          /* of SQLite's machine between two looks at the budget */
	STEPS_MAX = 20000,            /* a row takes about ten */
	VALUE_BYTES_MAX = 64 << 20,
	SQL_BYTES_MAX = 100000,
	WRITE_VERSION = 18,           /* where the file says whether it has a write-ahead log */
	READ_VERSION = 19,
	ROLLBACK_JOURNAL = 1,
};

static int budget_spend(void *steps)
{
	return ++*(int *)steps > STEPS_MAX;
}

/* Reading two tables is all that is allowed, and nothing that a table drags in. */
static int authorise(void *none, int action, const char *table, const char *column, const char *schema, const char *within)
{
	(void)none, (void)column, (void)schema;
	if (action == SQLITE_SELECT)
		return SQLITE_OK;
	bool known = table != NULL && (strcmp(table, "Packages") == 0 || strcmp(table, "sqlite_master") == 0);
	return action == SQLITE_READ && known && within == NULL ? SQLITE_OK : SQLITE_DENY;
}

static int err_database(struct err *err, sqlite3 *connection, int result, const char *path)
{
	if (result == SQLITE_NOMEM)
		return err_sys(err, ENOMEM, "cannot read the list of packages in '/%s'", path);
	if (result == SQLITE_INTERRUPT)
		return err_set(err, EBADMSG, "'/%s' is damaged: it takes too long to read", path);
	return err_set(err, EBADMSG, "'/%s' is damaged: %s", path, sqlite3_errmsg(connection));
}

static void connection_confine(sqlite3 *connection, int *steps)
{
#ifdef SQLITE_DBCONFIG_DEFENSIVE
	sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
#endif
	sqlite3_limit(connection, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
	sqlite3_limit(connection, SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX);
	sqlite3_progress_handler(connection, STEP_OPCODES, budget_spend, steps);
}

/* Opens the database where it lies in memory. A database with a write-ahead log cannot be opened so, unless it says it has none. */
static int connection_open(sqlite3 *connection, uint8_t *database, size_t bytes, int *steps)
{
	connection_confine(connection, steps);
	if (bytes > READ_VERSION)
		database[WRITE_VERSION] = database[READ_VERSION] = ROLLBACK_JOURNAL;
	const sqlite3_int64 length = (sqlite3_int64)bytes;
	int r = sqlite3_deserialize(connection, "main", database, length, length, SQLITE_DESERIALIZE_READONLY);
	if (r == SQLITE_OK)
		r = sqlite3_exec(connection, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON", NULL, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_set_authorizer(connection, authorise, NULL);
	return r;
}

/* A table of rows, neither a view nor one that a program makes up. */
static int table_check(sqlite3 *connection, const char *path, struct err *err)
{
	static const char query[] = "SELECT type, rootpage FROM sqlite_master WHERE name = 'Packages'";
	sqlite3_stmt *statement = NULL;
	bool table = false;
	int r = sqlite3_prepare_v2(connection, query, -1, &statement, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_step(statement);
	if (r == SQLITE_ROW) {
		const unsigned char *type = sqlite3_column_text(statement, 0);
		table = type != NULL && strcmp((const char *)type, "table") == 0 && sqlite3_column_int64(statement, 1) > 0;
	}
	sqlite3_finalize(statement);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return err_database(err, connection, r, path);
	return table ? 0 : err_set(err, EBADMSG, "'/%s' is damaged: it has no table of packages", path);
}

static int row_take(sqlite3_stmt *row, struct packages *packages, uint64_t *bytes_left, const char *path, struct err *err)
{
	const void *header = sqlite3_column_blob(row, 0);
	uint64_t bytes = (uint64_t)sqlite3_column_bytes(row, 0);
	if (header == NULL || bytes > *bytes_left) /* more than there is: pages are read twice */
		return err_header(err, path);
	*bytes_left -= bytes;
	return package_rpm_header(packages, header, bytes, path, err);
}

static int rows_take(sqlite3 *connection, struct packages *packages, size_t database_bytes, const char *path, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	uint64_t bytes_left = database_bytes;
	int r = 0, result = sqlite3_prepare_v2(connection, "SELECT blob FROM Packages", -1, &statement, NULL);
	if (result == SQLITE_OK)
		while (r == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW)
			r = row_take(statement, packages, &bytes_left, path, err);
	if (r == 0 && result != SQLITE_DONE)
		r = err_database(err, connection, result, path);
	sqlite3_finalize(statement);
	return r;
}

int package_rpm_sqlite(struct packages *packages, void *database, size_t bytes, const char *path, struct err *err)
{
	sqlite3 *connection = NULL;
	int steps = 0;
	int r = sqlite3_open_v2(":memory:", &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX, NULL);
	if (r == SQLITE_OK)
		r = connection_open(connection, database, bytes, &steps);
	if (r != SQLITE_OK)
		r = err_database(err, connection, r, path);
	else if ((r = table_check(connection, path, err)) == 0)
		r = rows_take(connection, packages, bytes, path, err);
	sqlite3_close(connection);
	return r;
}

#endif

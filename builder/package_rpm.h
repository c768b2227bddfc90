/* SPDX-License-Identifier: Apache-2.0
 *
 * rpm's database in SQLite, rpmdb.sqlite, and the headers of packages in it. Nothing of rpm is needed, but libsqlite3 is.
 * Source: rpm, docs/manual/format.md "Header", and lib/backend/sqlite.c: the table Packages has a header in each row, as it is in a
 * package but for its first eight bytes.
 */
#ifndef SIMG_BUILDER_PACKAGE_RPM_H
#define SIMG_BUILDER_PACKAGE_RPM_H

#include <stddef.h>

struct err;
struct packages;

/* Adds the package that one header is of. path is the database's, for messages. -EBADMSG if it is no header, or has no name. */
int package_rpm_header(struct packages *packages, const void *header, size_t bytes, const char *path, struct err *err);

/* Adds the packages of a database, which is changed meanwhile. It is read in memory and never believed: a table that is none,
 * SQL in it and anything that takes too long are refused, with -EBADMSG. -ENOTSUP if simg was built without libsqlite3. */
int package_rpm_sqlite(struct packages *packages, void *database, size_t bytes, const char *path, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The databases of packages that are text: records of lines, with an empty line between records. Lines that are of no interest are
 * not judged.
 */
#ifndef SIMG_BUILDER_PACKAGE_TEXT_H
#define SIMG_BUILDER_PACKAGE_TEXT_H

#include <stddef.h>

struct err;
struct packages;

/* dpkg's: "Package: bash", and so on. What is removed but for its settings does not count; what has no status, as in status.d,
 * is installed. Adds to packages in the order of the text. path is the database's, for messages. -EBADMSG and -EFBIG as
 * packages_add(). */
int package_text_dpkg(struct packages *packages, const char *text, size_t bytes, const char *path, struct err *err);

/* apk's: "P:busybox", and so on. */
int package_text_apk(struct packages *packages, const char *text, size_t bytes, const char *path, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Where programs print what they have to say: one line a message on standard error, "simg: error: …". The plugin prints
 * through Slurm instead, and uses log_sanitize() for the same reason: names in messages come from users and archives, and
 * a terminal must not obey them.
 */
#ifndef SIMG_LIB_LOG_H
#define SIMG_LIB_LOG_H

#include <stdbool.h>

struct err;

/* Prints "PROGRAM: error: TEXT", and on a line of its own "PROGRAM: hint: HINT" if there is one. */
void log_err(const struct err *err);

/* "PROGRAM: note: …": something the user should know that is no failure. */
void log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "PROGRAM: …", only after log_set_verbose(true). */
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_set_verbose(bool verbose);

/* Replaces control characters (bytes below 0x20, 0x7f, and U+0080 to U+009F in UTF-8) by '?' in place. Other bytes stay. */
void log_sanitize(char *text);

#endif

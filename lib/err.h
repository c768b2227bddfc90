/* SPDX-License-Identifier: Apache-2.0
 *
 * The one error type. A function that can fail takes a struct err as its last argument, returns 0 or more on success and a
 * negative errno on failure, and then has filled err once, at the call that failed. The struct owns no memory, so it can lie on
 * the stack, in shared memory or in a message to another process.
 *
 * Text: lower case, no full stop: what failed, on what (quoted), why. A hint says what to do about it, where the cause is known.
 */
#ifndef SIMG_LIB_ERR_H
#define SIMG_LIB_ERR_H

enum { ERR_TEXT_MAX = 1024, ERR_HINT_MAX = 512 };

struct err {
	int code;                /* negative errno, 0 while nothing failed */
	char text[ERR_TEXT_MAX]; /* empty while nothing failed */
	char hint[ERR_HINT_MAX]; /* empty when there is none */
};

#define ERR_INIT { .code = 0 }

/* Fills err with the formatted text and code -errnum, forgets an earlier hint, and returns -errnum (an errnum of 0 counts as
 * EIO, so that a failure is never taken for success). The text is cut, not refused, when it is too long. err may be NULL. */
int err_set(struct err *err, int errnum, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same, with ": strerror(errnum)" at the end, which stays whole when the text is cut. */
int err_sys(struct err *err, int errnum, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Sets the hint of an err that is already filled, and returns its code, so that it can end a return statement. */
int err_hint(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the text of a filled err (a file and line, a node) and returns its code. */
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

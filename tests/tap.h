/* SPDX-License-Identifier: Apache-2.0
 *
 * The harness of the unit tests, all of it. A test program is a list of cases in main(), each a sentence and a block of checks:
 *
 *	int main(void)
 *	{
 *		test_case ("an image that ends before its tables is called truncated") {
 *			struct err err = ERR_INIT;
 *			check_int(image_check(fd, "short.simg", &image, &err), -EBADMSG);
 *			check_has(err.text, "truncated");
 *		}
 *		return test_end();
 *	}
 *
 * A failed check says what it saw and lets the case go on; `break` leaves a case, test_skip("reason") leaves it as skipped.
 * Output is TAP on standard output.
 */
#ifndef SIMG_TESTS_TAP_H
#define SIMG_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	char sentence[512];
	const char *skip_reason;
	bool open, failed;
	int count, failed_count;
} tap;

static inline void tap_close(void)
{
	if (!tap.open)
		return;
	tap.open = false;
	tap.failed_count += tap.failed;
	printf("%sok %d - %s", tap.failed ? "not " : "", ++tap.count, tap.sentence);
	if (tap.skip_reason != NULL && !tap.failed)
		printf(" # SKIP %s", tap.skip_reason);
	putchar('\n');
	fflush(stdout);
}

__attribute__((format(printf, 1, 2))) static inline bool tap_open(const char *format, ...)
{
	va_list args;

	tap_close();
	va_start(args, format);
	vsnprintf(tap.sentence, sizeof(tap.sentence), format, args);
	va_end(args);
	for (char *c = tap.sentence; *c != '\0'; c++)
		if ((unsigned char)*c < ' ')
			*c = '?'; /* a line of TAP, whatever names are in it */
	tap.open = true;
	tap.failed = false;
	tap.skip_reason = NULL;
	return true;
}

/* Begins a case; what follows is its block. The sentence may be a format with its arguments, for cases made from a table. */
#define test_case(...) for (bool tap_running = tap_open(__VA_ARGS__); tap_running; tap_running = false)

/* Leaves the case as skipped. The reason names what this machine lacks. Not within a loop inside the case. */
#define test_skip(reason) { tap.skip_reason = (reason); break; }

/* Closes the last case and prints the plan. Returns main's exit status: 0 if every case passed. */
static inline int test_end(void)
{
	tap_close();
	printf("1..%d\n", tap.count);
	return tap.failed_count > 0;
}

/* Marks the case as failed, with a line that says why. */
__attribute__((format(printf, 3, 4))) static inline bool tap_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	printf("# %s:%d: ", file, line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	tap.failed = true;
	return false;
}

static inline bool tap_true(const char *file, int line, const char *what, bool holds)
{
	return holds || tap_fail(file, line, "not so: %s", what);
}

static inline bool tap_int(const char *file, int line, const char *what, long long actual, long long expected)
{
	return actual == expected || tap_fail(file, line, "%s is %lld, not %lld", what, actual, expected);
}

static inline bool tap_str(const char *file, int line, const char *what, const char *actual, const char *expected)
{
	if (actual == NULL || expected == NULL)
		return actual == expected || tap_fail(file, line, "%s is %s, not %s", what, actual ? actual : "NULL", expected ? expected : "NULL");
	return strcmp(actual, expected) == 0 || tap_fail(file, line, "%s is \"%s\", not \"%s\"", what, actual, expected);
}

static inline bool tap_has(const char *file, int line, const char *what, const char *text, const char *part)
{
	return (text != NULL && strstr(text, part) != NULL) ||
	       tap_fail(file, line, "%s is \"%s\", without \"%s\"", what, text ? text : "NULL", part);
}

/* The checks. Each returns whether it held. */
#define check(condition) tap_true(__FILE__, __LINE__, #condition, condition)
#define check_int(actual, expected) tap_int(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
#define check_str(actual, expected) tap_str(__FILE__, __LINE__, #actual, actual, expected)
#define check_has(text, part) tap_has(__FILE__, __LINE__, #text, text, part)

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The one place of the programs that prints messages: see log.h.
 */
#include "lib/log.h"

#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static bool log_verbose;

void log_sanitize(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
		if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) /* U+0080 to U+009F: to some terminals the same as ESC and a letter */
			c[0] = c[1] = '?';
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
}

static void log_line(const char *kind, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void log_line(const char *kind, const char *format, va_list args)
{
	char text[ERR_TEXT_MAX + ERR_HINT_MAX];
	vsnprintf(text, sizeof(text), format, args);
	log_sanitize(text);
	fprintf(stderr, "%s: %s%s\n", program_invocation_short_name, kind, text);
}

static void log_kind(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void log_kind(const char *kind, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line(kind, format, args);
	va_end(args);
}

void log_err(const struct err *err)
{
	log_kind("error: ", "%s", err->text);
	if (err->hint[0] != '\0')
		log_kind("hint: ", "%s", err->hint);
}

void log_note(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line("note: ", format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	if (!log_verbose)
		return;
	va_list args;
	va_start(args, format);
	log_line("", format, args);
	va_end(args);
}

void log_set_verbose(bool verbose)
{
	log_verbose = verbose;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The error type: see err.h. Nothing here allocates, prints or touches errno.
 */
#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int err_fill(struct err *err, int errnum, const char *format, va_list args) __attribute__((format(printf, 3, 0)));
static int err_fill(struct err *err, int errnum, const char *format, va_list args)
{
	int code = errnum > 0 ? -errnum : -EIO;
	if (err == NULL)
		return code;
	err->code = code;
	err->hint[0] = '\0';
	vsnprintf(err->text, sizeof(err->text), format, args);
	return code;
}

int err_set(struct err *err, int errnum, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int code = err_fill(err, errnum, format, args);
	va_end(args);
	return code;
}

int err_sys(struct err *err, int errnum, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int code = err_fill(err, errnum, format, args);
	va_end(args);
	if (err != NULL) {
		/* A path can be longer than the text: rather cut that than the reason. */
		const char *reason = strerror(-code);
		size_t used = strlen(err->text), room = sizeof(err->text) - sizeof(": ") - strlen(reason);
		if (used > room)
			used = room;
		snprintf(err->text + used, sizeof(err->text) - used, ": %s", reason);
	}
	return code;
}

int err_hint(struct err *err, const char *format, ...)
{
	if (err == NULL)
		return -EIO;
	va_list args;
	va_start(args, format);
	vsnprintf(err->hint, sizeof(err->hint), format, args);
	va_end(args);
	return err->code;
}

int err_prefix(struct err *err, const char *format, ...)
{
	if (err == NULL)
		return -EIO;
	char prefix[ERR_TEXT_MAX], text[ERR_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(prefix, sizeof(prefix), format, args);
	va_end(args);
	memcpy(text, err->text, sizeof(text));
	if (snprintf(err->text, sizeof(err->text), "%s: %s", prefix, text) >= (int)sizeof(err->text))
		err->text[sizeof(err->text) - 1] = '\0';
	return err->code;
}

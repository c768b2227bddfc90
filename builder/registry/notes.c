/* SPDX-License-Identifier: Apache-2.0
 *
 * Notes: see notes.h.
 */
#include "builder/registry/notes.h"

#include "builder/progress.h"
#include "lib/err.h"
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NOTES_MAX = 64 }; /* a registry that warns about something else with every answer gets no further */

void notes_begin(struct notes *notes, struct progress *progress, bool quiet)
{
	*notes = (struct notes){ .progress = progress, .quiet = quiet };
	pthread_mutex_init(&notes->lock, NULL);
}

static bool is_new(struct notes *notes, const char *text)
{
	for (size_t i = 0; i < notes->said.count; i++)
		if (strcmp(notes->said.items[i], text) == 0)
			return false;
	return notes->said.count < NOTES_MAX && strlist_add(&notes->said, text) == 0;
}

void notes_say(struct notes *notes, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	if (notes->quiet)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	pthread_mutex_lock(&notes->lock);
	if (is_new(notes, text)) {
		if (notes->progress != NULL)
			progress_clear(notes->progress);
		log_note("%s", text);
	}
	pthread_mutex_unlock(&notes->lock);
}

void notes_end(struct notes *notes)
{
	strlist_free(&notes->said);
	pthread_mutex_destroy(&notes->lock);
}

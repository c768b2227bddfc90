/* SPDX-License-Identifier: Apache-2.0
 *
 * What a registry's client tells the user on the way: waits, mirrors that fail, warnings of the registry. Any thread may speak.
 */
#ifndef SIMG_BUILDER_REGISTRY_NOTES_H
#define SIMG_BUILDER_REGISTRY_NOTES_H

#include "lib/strlist.h"

#include <pthread.h>
#include <stdbool.h>

struct progress;

struct notes {
	struct progress *progress; /* its line is cleared before; may be NULL */
	bool quiet;
	pthread_mutex_t lock;
	struct strlist said;       /* each text is said once */
};

void notes_begin(struct notes *notes, struct progress *progress, bool quiet);
void notes_say(struct notes *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));
void notes_end(struct notes *notes);

#endif

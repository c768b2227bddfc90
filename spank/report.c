/* SPDX-License-Identifier: Apache-2.0
 *
 * The plugin's messages: see report.h.
 */
#include "spank/report.h"

#include "lib/err.h"
#include "lib/log.h"

#include <slurm/spank.h>
#include <stdio.h>
#include <unistd.h>

void report_err(const char *node, const struct err *err)
{
	char line[ERR_TEXT_MAX + ERR_HINT_MAX + 256];
	const char *hint = err->hint[0] != '\0' ? " (hint: " : "";
	snprintf(line, sizeof(line), "simg: %s%s%s%s%s%s", node != NULL ? node : "", node != NULL ? ": " : "", err->text, hint, err->hint,
		 hint[0] != '\0' ? ")" : "");
	log_sanitize(line);
	slurm_error("%s", line);
}

void report_note(const char *text)
{
	char line[ERR_TEXT_MAX];
	snprintf(line, sizeof(line), "simg: note: %s", text);
	log_sanitize(line);
	dprintf(STDERR_FILENO, "%s\n", line);
}

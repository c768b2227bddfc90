/* SPDX-License-Identifier: Apache-2.0
 *
 * What simg diff prints: differences one by one as they are found, as text or as one JSON object (simg-diff(1)), and at the end how
 * many there were. The names and words are an image's: control characters never get out.
 */
#ifndef SIMG_BUILDER_DIFF_REPORT_H
#define SIMG_BUILDER_DIFF_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct diff_facts;
struct err;
struct package;

/* In the order in which they are reported. */
enum diff_section { DIFF_METADATA, DIFF_PACKAGES, DIFF_RECORD, DIFF_FILES, DIFF_SECTION_COUNT };

enum diff_change { DIFF_ADDED, DIFF_REMOVED, DIFF_CHANGED, DIFF_CHANGE_COUNT };

/* What has changed of a file. */
enum {
	DIFF_TYPE = 1 << 0,
	DIFF_SIZE = 1 << 1,
	DIFF_CONTENT = 1 << 2,
	DIFF_TARGET = 1 << 3,
	DIFF_DEVICE = 1 << 4,
	DIFF_MODE = 1 << 5,
	DIFF_OWNER = 1 << 6,
	DIFF_TIME = 1 << 7,
	DIFF_XATTRS = 1 << 8,
	DIFF_LINK = 1 << 9,
};

struct diff_report {
	bool quiet, json;
	bool sections[DIFF_SECTION_COUNT]; /* those that are compared */
	bool times;                        /* so were the times of files */
	uint64_t counts[DIFF_SECTION_COUNT][DIFF_CHANGE_COUNT];
	int open;                          /* the section that was begun last, or -1 */
};

/* One of the two of a change; both for DIFF_CHANGED. */
struct diff_file {
	const char *path;                /* without a leading slash, "" for the root */
	enum diff_change change;
	unsigned what;                   /* DIFF_TYPE …, for DIFF_CHANGED */
	const struct diff_facts *before, *after; /* NULL: it was not there, it is not there */
	const char *link_before, *link_after; /* the path that it is another name of, or NULL */
};

/* The sections are begun with the first difference in them, so they have to come in their order. */
void report_begin(struct diff_report *report, const char *a, const char *b);
void report_file(struct diff_report *report, const struct diff_file *file);

/* before NULL: added, after NULL: removed. */
void report_package(struct diff_report *report, const struct package *before, const struct package *after);

/* A value of the metadata: what is "config", "label", …, and key its place in that, or "". In the section DIFF_METADATA or
 * DIFF_RECORD. before NULL: added, after NULL: removed. */
void report_value(struct diff_report *report, enum diff_section section, const char *what, const char *key, const json_t *before,
		  const json_t *after);

/* Sums up. Fails if standard output has failed. */
int report_end(struct diff_report *report, struct err *err);

/* Whether anything was reported that counts; the record does not. */
bool report_differs(const struct diff_report *report);

#endif

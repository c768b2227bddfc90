/* SPDX-License-Identifier: Apache-2.0
 *
 * simg diff: what differs between two images or directories. simg-diff(1) says what counts.
 */
#include "builder/diff_metadata.h"
#include "builder/diff_report.h"
#include "builder/diff_tree.h"
#include "builder/packages.h"
#include "builder/subject.h"
#include "builder/verbs.h"
#include "lib/err.h"
#include "lib/log.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char HELP[] =
	"usage: simg diff [OPTIONS] A B\n"
	"\n"
	"Shows what differs between A and B, each of them an image or a directory:\n"
	"metadata, installed packages, files. The record of how they were built is shown,\n"
	"and does not count.\n"
	"\n"
	"      --files     compare only files: content, type, mode, owner, links, ...\n"
	"      --metadata  compare only environment, labels, configuration and scripts\n"
	"      --packages  compare only the packages that are installed\n"
	"  -t, --times     compare the times of files, too, which do not count otherwise\n"
	"  -q, --quiet     print nothing, and stop at the first difference\n"
	"      --json      print JSON\n"
	"  -h, --help      this text\n"
	"\n"
	"A line begins with + for what B alone has, - for what A alone has, ~ for what\n"
	"differs. Exit status: 0 no difference, 1 differences, 2 wrong command line,\n"
	"3 they could not be compared. Manual: simg-diff(1)\n";

struct options {
	struct diff_report report;
	const char *a, *b;
};

/* The two, and what they say about themselves. */
struct pair {
	struct subject a, b;
	json_t *a_metadata, *b_metadata;
};

/* --- opening --- */

static int side_open(const char *path, struct subject *subject, json_t **ret_metadata, struct err *err)
{
	int r = subject_open(path, subject, err);
	if (r > 0)
		return err->code;
	return r < 0 ? r : subject_metadata(subject, ret_metadata, err);
}

static void pair_close(struct pair *pair)
{
	json_decref(pair->a_metadata);
	json_decref(pair->b_metadata);
	subject_close(&pair->a);
	subject_close(&pair->b);
}

/* --- packages --- */

/* How many of the list from at on differ in nothing but their version. */
static size_t run_of(const struct packages *packages, size_t at)
{
	size_t count = at < packages->count;
	while (count > 0 && at + count < packages->count && package_compare(&packages->list[at], &packages->list[at + count]) == 0)
		count++;
	return count;
}

/* Versions of one package, of which several may be installed; both lists are sorted. */
static void versions_compare(const struct package *a, size_t a_count, const struct package *b, size_t b_count,
			     struct diff_report *report)
{
	if (a_count == 1 && b_count == 1) {
		if (strcmp(a->version, b->version) != 0)
			report_package(report, a, b);
		return;
	}
	while (a_count > 0 || b_count > 0) {
		int order = a_count == 0 ? 1 : b_count == 0 ? -1 : strcmp(a->version, b->version);
		if (order != 0)
			report_package(report, order < 0 ? a : NULL, order < 0 ? NULL : b);
		a_count -= order <= 0;
		a += order <= 0;
		b_count -= order >= 0;
		b += order >= 0;
	}
}

static void lists_compare(const struct packages *a, const struct packages *b, struct diff_report *report)
{
	for (size_t i = 0, k = 0; i < a->count || k < b->count;) {
		int order = i == a->count ? 1 : k == b->count ? -1 : package_compare(&a->list[i], &b->list[k]);
		size_t a_count = order <= 0 ? run_of(a, i) : 0, b_count = order >= 0 ? run_of(b, k) : 0;
		versions_compare(a->list + i, a_count, b->list + k, b_count, report);
		i += a_count;
		k += b_count;
	}
}

/* A database that cannot be read is noted, since the files are compared as well, unless packages are all that is wanted. */
static int unread_note(const struct subject *subject, const struct packages *packages, bool wanted, struct err *err)
{
	for (size_t i = 0; i < packages->unread.count; i++) {
		if (wanted)
			return err_set(err, ENOTSUP, "'%s': %s", subject->path, packages->unread.items[i]);
		log_note("'%s': %s", subject->path, packages->unread.items[i]);
	}
	return 0;
}

static int packages_compare(const struct pair *pair, struct diff_report *report, struct err *err)
{
	autopackages struct packages a = { 0 }, b = { 0 };
	bool wanted = !report->sections[DIFF_FILES];
	int r = subject_packages(&pair->a, pair->a_metadata, &a, err);
	if (r == 0)
		r = subject_packages(&pair->b, pair->b_metadata, &b, err);
	if (r == 0)
		r = unread_note(&pair->a, &a, wanted, err);
	if (r == 0)
		r = unread_note(&pair->b, &b, wanted, err);
	if (r == 0)
		lists_compare(&a, &b, report);
	return r;
}

/* --- comparing --- */

static int pair_compare(const struct pair *pair, struct diff_report *report, struct err *err)
{
	const bool *sections = report->sections;
	int r = 0;
	report_begin(report, pair->a.path, pair->b.path);
	if (sections[DIFF_METADATA])
		r = diff_metadata(&pair->a, &pair->b, pair->a_metadata, pair->b_metadata, report, err);
	if (r == 0 && sections[DIFF_PACKAGES])
		r = packages_compare(pair, report, err);
	if (r == 0 && sections[DIFF_RECORD])
		diff_record(pair->a_metadata, pair->b_metadata, report);
	if (r == 0 && sections[DIFF_FILES] && !(report->quiet && report_differs(report)))
		r = diff_tree(&pair->a, &pair->b, report, err);
	return r < 0 ? r : report_end(report, err);
}

static int compare(struct options *options, struct err *err)
{
	struct pair pair = { .a = SUBJECT_INIT, .b = SUBJECT_INIT };
	int r = side_open(options->a, &pair.a, &pair.a_metadata, err);
	if (r == 0)
		r = side_open(options->b, &pair.b, &pair.b_metadata, err);
	if (r == 0)
		r = pair_compare(&pair, &options->report, err);
	pair_close(&pair);
	return r;
}

/* --- command line --- */

static const struct option LONG_OPTIONS[] = {
	{ "files", no_argument, NULL, 'F' },
	{ "metadata", no_argument, NULL, 'M' },
	{ "packages", no_argument, NULL, 'P' },
	{ "times", no_argument, NULL, 't' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "json", no_argument, NULL, 'J' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int err_usage(struct err *err)
{
	return err_hint(err, "simg diff --help lists the options");
}

static void option_take(int option, struct diff_report *report)
{
	report->times |= option == 't';
	report->quiet |= option == 'q';
	report->json |= option == 'J';
	report->sections[DIFF_FILES] |= option == 'F';
	report->sections[DIFF_METADATA] |= option == 'M';
	report->sections[DIFF_PACKAGES] |= option == 'P';
}

/* Without a choice, all of it. */
static void sections_default(bool sections[DIFF_SECTION_COUNT])
{
	for (int i = 0; i < DIFF_SECTION_COUNT; i++)
		if (sections[i])
			return;
	for (int i = 0; i < DIFF_SECTION_COUNT; i++)
		sections[i] = true;
}

/* Returns 0, 1 if the help was asked for, or a negative errno. */
static int options_parse(int argc, char **argv, struct options *options, struct err *err)
{
	int option;
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "tqh", LONG_OPTIONS, NULL)) != -1) {
		if (option == 'h')
			return 1;
		if (option == '?') {
			err_set(err, EINVAL, "there is no option '%s'", argv[optind - 1]);
			return err_usage(err);
		}
		option_take(option, &options->report);
	}
	if (argc - optind != 2) {
		err_set(err, EINVAL, "simg diff needs two images");
		return err_usage(err);
	}
	sections_default(options->report.sections);
	options->a = argv[optind];
	options->b = argv[optind + 1];
	return 0;
}

static int run(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct options options = { 0 };
	int r = options_parse(argc, argv, &options, &err);
	if (r > 0) {
		fputs(HELP, stdout);
		return EXIT_SUCCESS;
	}
	if (r < 0) {
		log_err(&err);
		return EXIT_USAGE;
	}
	r = compare(&options, &err);
	if (r < 0) {
		fflush(stdout);
		log_err(&err);
		return EXIT_TROUBLE;
	}
	return report_differs(&options.report) ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct verb verb_diff = { "diff", "show what differs between two images", run };

/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of two trees: see diff_tree.h.
 */
#include "builder/diff_tree.h"

#include "builder/diff_metadata.h"
#include "builder/diff_report.h"
#include "builder/diff_side.h"
#include "builder/subject.h"
#include "lib/err.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct walk {
	struct diff_side a, b;
	struct diff_report *report;
};

/* The path that the current one is another name of. */
static const char *link_of(const struct diff_side *side)
{
	return side->linked ? side->shared->path : NULL;
}

/* --- what is not a file's matter --- */

/* Whether the current file can be what its path says. */
static bool is_metadata_file(const struct diff_side *side)
{
	return S_ISREG(side->facts->mode) && side->facts->bytes <= SUBJECT_FILE_BYTES_MAX;
}

/* Whether there is nothing to say of a path that one side alone has. */
static bool is_left_out(const struct walk *walk, const struct diff_side *side)
{
	if (diff_metadata_is_record(side->path))
		return S_ISDIR(side->facts->mode) || S_ISREG(side->facts->mode);
	return walk->report->sections[DIFF_METADATA] && is_metadata_file(side) && diff_metadata_has(side->path);
}

/* What may differ of a path on both sides without being said here. */
static unsigned left_out_of_both(const struct walk *walk)
{
	const char *path = walk->a.path;
	if (diff_metadata_is_record(path) && (walk->a.facts->mode & S_IFMT) == (walk->b.facts->mode & S_IFMT))
		return ~0U;
	bool metadata = walk->report->sections[DIFF_METADATA] && diff_metadata_has(path);
	return metadata && is_metadata_file(&walk->a) && is_metadata_file(&walk->b) ? DIFF_CONTENT | DIFF_SIZE | DIFF_TIME : 0;
}

/* --- one path --- */

static void one_report(struct walk *walk, struct diff_side *side)
{
	bool added = side == &walk->b;
	if (is_left_out(walk, side))
		return;
	const struct diff_file file = {
		.path = side->path,
		.change = added ? DIFF_ADDED : DIFF_REMOVED,
		.before = added ? NULL : side->facts,
		.after = added ? side->facts : NULL,
		.link_before = added ? NULL : link_of(side),
		.link_after = added ? link_of(side) : NULL,
	};
	report_file(walk->report, &file);
}

/* Whether the current name belongs together with other names than on the other side. Names that one side alone has do not
 * count: that they are missing is said where they are. */
static bool links_differ(struct diff_side *a, struct diff_side *b)
{
	const char *x = a->shared != NULL ? a->shared->common : NULL, *y = b->shared != NULL ? b->shared->common : NULL;
	return (x == NULL) != (y == NULL) || (x != NULL && strcmp(x, y) != 0);
}

/* Remembers the current path as the first that both sides have of a file's names. */
static int common_set(struct diff_side *side, struct err *err)
{
	if (side->shared == NULL || side->shared->common != NULL)
		return 0;
	side->shared->common = arena_strdup(&side->arena, side->path);
	return side->shared->common != NULL ? 0 : err_sys(err, ENOMEM, "cannot compare");
}

static unsigned facts_differ(const struct diff_facts *a, const struct diff_facts *b)
{
	unsigned what = 0;
	if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
		return DIFF_TYPE;
	if (a->bytes != b->bytes)
		what |= DIFF_SIZE;
	if (a->target != NULL && strcmp(a->target, b->target) != 0)
		what |= DIFF_TARGET;
	if ((S_ISCHR(a->mode) || S_ISBLK(a->mode)) && (a->major != b->major || a->minor != b->minor))
		what |= DIFF_DEVICE;
	if (a->mode != b->mode && !S_ISLNK(a->mode))
		what |= DIFF_MODE;
	if (a->mtime != b->mtime)
		what |= DIFF_TIME;
	return what;
}

static unsigned owners_differ(const struct diff_facts *a, const struct diff_facts *b)
{
	bool xattrs = a->xattrs_bytes != b->xattrs_bytes || memcmp(a->xattrs, b->xattrs, a->xattrs_bytes) != 0;
	return (a->uid != b->uid || a->gid != b->gid ? DIFF_OWNER : 0U) | (xattrs ? DIFF_XATTRS : 0U);
}

/* Data is read only of files that are alike so far. */
static int content_differs(struct walk *walk, unsigned *what, struct err *err)
{
	const struct diff_facts *a = walk->a.facts, *b = walk->b.facts;
	if (!S_ISREG(a->mode) || (*what & (DIFF_TYPE | DIFF_SIZE)) != 0)
		return 0;
	int r = diff_side_read(&walk->a, err);
	if (r == 0)
		r = diff_side_read(&walk->b, err);
	if (r == 0 && !digest_equal(&a->content, &b->content))
		*what |= DIFF_CONTENT;
	return r;
}

static int both_compare(struct walk *walk, struct err *err)
{
	struct diff_side *a = &walk->a, *b = &walk->b;
	unsigned left_out = left_out_of_both(walk) | (walk->report->times ? 0 : DIFF_TIME);
	unsigned what = facts_differ(a->facts, b->facts) | owners_differ(a->facts, b->facts);
	if (links_differ(a, b))
		what |= DIFF_LINK;
	int r = (left_out & DIFF_CONTENT) != 0 ? 0 : content_differs(walk, &what, err);
	const struct diff_file file = {
		.path = a->path,
		.change = DIFF_CHANGED,
		.what = what & ~left_out,
		.before = a->facts,
		.after = b->facts,
		.link_before = a->shared != NULL ? a->shared->common : NULL,
		.link_after = b->shared != NULL ? b->shared->common : NULL,
	};
	if (r == 0 && file.what != 0)
		report_file(walk->report, &file);
	if (r == 0)
		r = common_set(a, err);
	return r < 0 ? r : common_set(b, err);
}

/* --- all paths --- */

static int step(struct walk *walk, struct err *err)
{
	struct diff_side *a = &walk->a, *b = &walk->b;
	int order = a->done ? 1 : b->done ? -1 : diff_path_compare(a->path, b->path), r = 0;
	if (order == 0)
		r = both_compare(walk, err);
	else
		one_report(walk, order < 0 ? a : b);
	if (r == 0 && order <= 0)
		r = diff_side_next(a, err);
	if (r == 0 && order >= 0)
		r = diff_side_next(b, err);
	return r;
}

static int walk_all(struct walk *walk, const struct subject *a, const struct subject *b, struct err *err)
{
	int r = diff_side_open(a, &walk->a, err);
	if (r == 0)
		r = diff_side_open(b, &walk->b, err);
	if (r == 0)
		r = diff_side_next(&walk->a, err);
	if (r == 0)
		r = diff_side_next(&walk->b, err);
	while (r == 0 && !(walk->a.done && walk->b.done) && !(walk->report->quiet && report_differs(walk->report)))
		r = step(walk, err);
	return r;
}

int diff_tree(const struct subject *a, const struct subject *b, struct diff_report *report, struct err *err)
{
	struct walk walk = { .a = DIFF_SIDE_INIT, .b = DIFF_SIDE_INIT, .report = report };
	int r = walk_all(&walk, a, b, err);
	diff_side_close(&walk.a);
	diff_side_close(&walk.b);
	return r;
}

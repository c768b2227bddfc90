/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of two trees, compared path by path in one pass over each.
 */
#ifndef SIMG_BUILDER_DIFF_TREE_H
#define SIMG_BUILDER_DIFF_TREE_H

struct diff_report;
struct err;
struct subject;

/* Reports what differs, until the end, or with report->quiet until the first difference. Left out is the record of the build;
 * and, if metadata is compared, files whose content diff_metadata() compares, but for their owners and modes. */
int diff_tree(const struct subject *a, const struct subject *b, struct diff_report *report, struct err *err);

#endif

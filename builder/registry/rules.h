/* SPDX-License-Identifier: Apache-2.0
 *
 * registries.conf as it is written: the files, read into a list of rules, one a [[registry]]. What they mean for a reference is
 * in registries.c.
 */
#ifndef SIMG_BUILDER_REGISTRY_RULES_H
#define SIMG_BUILDER_REGISTRY_RULES_H

#include <stdbool.h>
#include <stddef.h>

struct err;

enum pull { PULL_UNSET, PULL_ALL, PULL_DIGEST_ONLY, PULL_TAG_ONLY };

struct mirror {
	char *location;
	bool insecure;
	enum pull pull;
};

/* One [[registry]]. */
struct rule {
	char *prefix, *location; /* a location of NULL: the reference stays as it is (only of a prefix "*.") */
	bool insecure, blocked, by_digest_only;
	struct mirror *mirrors;
	size_t mirror_count;
	char *origin; /* "FILE:LINE" */
};

struct rules {
	struct rule *list;
	size_t count;
};

/* Reads all files, as registries.h says which. 0 or an error with file and line; the caller releases *ret_rules with
 * rules_free(). */
int rules_read(struct rules *ret_rules, struct err *err);
void rules_free(struct rules *rules);

/* How long the host[:port] of "host[:port][/path…]" is, and the host in lower case: rules have it so. */
size_t rule_host_length(const char *place);
void rule_lower_host(char *place);

#endif

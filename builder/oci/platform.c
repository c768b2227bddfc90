/* SPDX-License-Identifier: Apache-2.0
 *
 * Platforms: see platform.h.
 */
#include "builder/oci/platform.h"

#include "lib/err.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* What the kernel, Debian and GNU call the architectures of Go. */
static const struct {
	const char *alias, *architecture, *variant;
} aliases[] = {
	{ "x86_64", "amd64", NULL },    { "x86-64", "amd64", NULL },     { "aarch64", "arm64", NULL },
	{ "arm", "arm", "v7" },         { "armhf", "arm", "v7" },        { "armv7l", "arm", "v7" },
	{ "armv8l", "arm", "v7" },      { "armel", "arm", "v6" },        { "armv6l", "arm", "v6" },
	{ "i386", "386", NULL },        { "i486", "386", NULL },         { "i586", "386", NULL },
	{ "i686", "386", NULL },        { "x86", "386", NULL },          { "ppc64el", "ppc64le", NULL },
	{ "loongarch64", "loong64", NULL },
};
enum { ALIAS_COUNT = sizeof(aliases) / sizeof(aliases[0]), RANK_WORST = INT_MAX };

static void alias_apply(struct platform *platform)
{
	for (int i = 0; i < ALIAS_COUNT; i++)
		if (strcmp(platform->architecture, aliases[i].alias) == 0) {
			platform->architecture = aliases[i].architecture;
			if (platform->variant == NULL)
				platform->variant = aliases[i].variant;
			return;
		}
}

static bool is_variant(const char *part)
{
	return part[0] == 'v' && isdigit((unsigned char)part[1]);
}

/* Lower case, and cut at the slashes. Returns the number of parts, or -1. */
static int name_split(const char *name, char *storage, char *parts[static 3])
{
	size_t bytes = strlen(name);
	if (bytes >= PLATFORM_STORAGE_BYTES)
		return -1;
	int count = 0;
	parts[count++] = storage;
	for (size_t i = 0; i <= bytes; i++) {
		int c = tolower((unsigned char)name[i]);
		if (c != '/' && c != '\0' && !isalnum(c) && strchr("._-", c) == NULL)
			return -1;
		bool cut = c == '/' || c == '\0';
		storage[i] = cut ? '\0' : (char)c;
		if (cut && &storage[i] == parts[count - 1])
			return -1; /* an empty part */
		if (c == '/' && count == 3)
			return -1;
		if (c == '/')
			parts[count++] = storage + i + 1;
	}
	return count;
}

static int platform_malformed(const char *name, struct err *err)
{
	err_set(err, EINVAL, "'%s' is no architecture", name);
	return err_hint(err, "an architecture is a word like amd64 or arm64, with a variant arm/v7, or in full linux/arm64/v8");
}

int platform_parse(const char *name, char *storage, struct platform *ret_platform, struct err *err)
{
	struct utsname machine;
	if (name == NULL && uname(&machine) < 0)
		return err_sys(err, errno, "cannot tell this machine's architecture");
	if (name == NULL)
		name = machine.machine;
	char *parts[3];
	int count = name_split(name, storage, parts);
	if (count < 0)
		return platform_malformed(name, err);
	bool has_os = count == 3 || (count == 2 && !is_variant(parts[1]));
	if (has_os && strcmp(parts[0], "linux") != 0)
		return err_set(err, EINVAL, "'%s' is for the system '%s'; images are for linux", name, parts[0]);
	bool has_variant = count > 1 + has_os;
	*ret_platform = (struct platform){ "linux", parts[has_os], has_variant ? parts[has_os + 1] : NULL };
	alias_apply(ret_platform);
	return 0;
}

/* "v8.1" as 801, and 0 for the variant that the plain name of the architecture means already; -1 for other words. */
static int variant_number(const char *architecture, const char *variant)
{
	if (variant == NULL || variant[0] == '\0')
		return 0;
	if (variant[0] == 'v')
		variant++;
	char *end;
	long major = strtol(variant, &end, 10), minor = 0;
	if (end != variant && *end == '.' && isdigit((unsigned char)end[1]))
		minor = strtol(end + 1, &end, 10);
	if (!isdigit((unsigned char)variant[0]) || *end != '\0' || major > 99 || minor > 99)
		return -1;
	bool plain = minor == 0 &&
		     ((strcmp(architecture, "arm64") == 0 && major == 8) || (strcmp(architecture, "amd64") == 0 && major == 1));
	return plain ? 0 : (int)(major * 100 + minor);
}

static bool equal(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

int platform_rank(const struct platform *wanted, const struct platform *offered)
{
	if (offered->os == NULL || offered->architecture == NULL || strcmp(wanted->os, offered->os) != 0)
		return -1;
	struct platform plain = *offered;
	alias_apply(&plain); /* what was not made with Go's names */
	if (strcmp(wanted->architecture, plain.architecture) != 0)
		return -1;
	const char *variant = offered->variant;
	if (equal(wanted->variant, variant))
		return 0;
	int has = variant_number(plain.architecture, variant), most = variant_number(plain.architecture, wanted->variant);
	if (wanted->variant == NULL)
		return has == 0 ? 0 : 1;
	if (has == 0)
		return most == 0 ? 0 : RANK_WORST;
	return has > 0 && has <= most ? most - has : -1;
}

char *platform_format(const struct platform *platform, char text[static PLATFORM_TEXT_MAX])
{
	bool has_variant = platform->variant != NULL && platform->variant[0] != '\0';
	snprintf(text, PLATFORM_TEXT_MAX, "%s/%s%s%s", platform->os != NULL ? platform->os : "?",
		 platform->architecture != NULL ? platform->architecture : "?", has_variant ? "/" : "",
		 has_variant ? platform->variant : "");
	return text;
}

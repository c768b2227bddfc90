/* SPDX-License-Identifier: Apache-2.0
 *
 * What machine an image is for: operating system, architecture and variant, as Go spells them.
 * Source: OCI image specification, image-index.md, "platform"; the GOOS, GOARCH and GOARM values of Go.
 */
#ifndef SIMG_BUILDER_OCI_PLATFORM_H
#define SIMG_BUILDER_OCI_PLATFORM_H

struct err;

struct platform {
	const char *os;           /* "linux" */
	const char *architecture; /* "amd64", "arm64", … */
	const char *variant;      /* "v8", or NULL: any */
};

/* The platform of a name that users give ("amd64", "x86_64", "arm64", "aarch64", "arm/v7", "linux/arm64/v8", …), or of this machine
 * with NULL. "arm" is arm/v7, as Docker means it. The strings are constants or, for an unknown name, parts of storage, which the
 * caller provides. -EINVAL for a malformed name, and for another system than Linux. */
enum { PLATFORM_STORAGE_BYTES = 64 };
int platform_parse(const char *name, char *storage, struct platform *ret_platform, struct err *err);

/* How well an image of the offered platform suits the wanted one: 0 is best, larger is worse, -1 is not at all. An image for a
 * lower variant runs, too (v6 on v7); with no variant wanted, one for the plain architecture is better than one for a variant. */
int platform_rank(const struct platform *wanted, const struct platform *offered);

/* Writes "linux/arm64/v8" and returns text; what is too long is cut. Takes NULL members. */
enum { PLATFORM_TEXT_MAX = 64 };
char *platform_format(const struct platform *platform, char text[static PLATFORM_TEXT_MAX]);

#endif

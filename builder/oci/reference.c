/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of images in registries: see reference.h. A name is cut at its outermost marks first ('@', then '#' or the first '/', then
 * the last ':'), so that each part can be judged by itself and a message names the part.
 */
#include "builder/oci/reference.h"

#include "lib/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const char DEFAULT_HOST[] = "docker.io", DEFAULT_HOST_OF_OLD[] = "index.docker.io", DEFAULT_NAMESPACE[] = "library/";

enum { IMAGE_ID_BYTES = 64, PORT_DIGITS_MAX = 5, PORT_MAX = 65535 };

/* Copies a part of the text to a place of `room` bytes. */
static int part_copy(const char *what, const char *part, size_t bytes, char *to, size_t room, struct err *err)
{
	if (bytes >= room)
		return err_set(err, EINVAL, "the %s has %zu characters, more than %zu", what, bytes, room - 1);
	memcpy(to, part, bytes);
	to[bytes] = '\0';
	return 0;
}

static int port_check(const char *port, struct err *err)
{
	size_t digits = strspn(port, DIGITS);
	if (digits == 0 || digits > PORT_DIGITS_MAX || port[digits] != '\0' || atoi(port) == 0 || atoi(port) > PORT_MAX)
		return err_set(err, EINVAL, "'%s' is no port", port);
	return 0;
}

/* Labels of letters, digits and hyphens, with dots between them; IPv4 addresses look the same. */
static bool host_is_domain(const char *host)
{
	for (const char *label = host;; label++) {
		size_t bytes = strspn(label, LOWER DIGITS "-");
		if (bytes == 0 || label[0] == '-' || label[bytes - 1] == '-')
			return false;
		label += bytes;
		if (*label != '.')
			return *label == '\0';
	}
}

static bool host_is_ipv6(char *host)
{
	size_t bytes = strlen(host);
	if (host[0] != '[' || host[bytes - 1] != ']')
		return false;
	struct in6_addr address;
	host[bytes - 1] = '\0';
	bool is = inet_pton(AF_INET6, host + 1, &address) == 1;
	host[bytes - 1] = ']';
	return is;
}

static int host_check(char *host, struct err *err)
{
	char *colon = strrchr(host, ':');
	if (colon != NULL && strchr(colon, ']') != NULL)
		colon = NULL; /* one of the address */
	if (colon != NULL) {
		int r = port_check(colon + 1, err);
		if (r < 0)
			return r;
		*colon = '\0';
	}
	bool ok = host[0] == '[' ? host_is_ipv6(host) : host_is_domain(host);
	if (colon != NULL)
		*colon = ':';
	return ok ? 0 : err_set(err, EINVAL, "'%s' is no host", host);
}

static int host_parse(const char *text, size_t bytes, struct reference *reference, struct err *err)
{
	int r = part_copy("host", text, bytes, reference->host, sizeof(reference->host), err);
	if (r < 0)
		return r;
	for (char *c = reference->host; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a'); /* the same host in one spelling */
	r = host_check(reference->host, err);
	if (r == 0 && strcmp(reference->host, DEFAULT_HOST_OF_OLD) == 0)
		strcpy(reference->host, DEFAULT_HOST);
	return r;
}

/* Letters and digits, with separators between them: one dot, one or two underscores, any number of hyphens. */
static bool component_is_valid(const char *component, size_t bytes)
{
	const char *end = component + bytes;
	for (;;) {
		size_t run = strspn(component, LOWER DIGITS);
		if (run == 0)
			return false;
		component += run;
		if (component == end)
			return true;
		size_t hyphens = strspn(component, "-");
		component += hyphens > 0 ? hyphens : strncmp(component, "__", 2) == 0 ? 2 : *component == '_' || *component == '.';
	}
}

static int name_check(const char *name, struct err *err)
{
	if (name[0] == '\0')
		return err_set(err, EINVAL, "the name is empty");
	if (strpbrk(name, UPPER) != NULL) {
		err_set(err, EINVAL, "'%s' has upper-case letters", name);
		return err_hint(err, "registries have names in lower case only");
	}
	if (strlen(name) == IMAGE_ID_BYTES && strspn(name, DIGITS "abcdef") == IMAGE_ID_BYTES) {
		err_set(err, EINVAL, "'%s' is the number of an image, not a name", name);
		return err_hint(err, "an image without a tag is written NAME@sha256:DIGEST");
	}
	for (const char *component = name;; component++) {
		size_t bytes = strcspn(component, "/");
		if (!component_is_valid(component, bytes))
			return bytes == 0 ? err_set(err, EINVAL, "'%s' has an empty component", name) :
					    err_set(err, EINVAL, "'%.*s' cannot be part of a name", (int)bytes, component);
		component += bytes;
		if (*component == '\0')
			return 0;
	}
}

static int name_parse(const char *text, size_t bytes, struct reference *reference, struct err *err)
{
	int r = part_copy("name", text, bytes, reference->name, sizeof(reference->name), err);
	if (r == 0)
		r = name_check(reference->name, err);
	if (r < 0 || strcmp(reference->host, DEFAULT_HOST) != 0 || strchr(reference->name, '/') != NULL)
		return r;
	char bare[REFERENCE_NAME_MAX];
	strcpy(bare, reference->name);
	if (bytes + strlen(DEFAULT_NAMESPACE) >= sizeof(reference->name))
		return err_set(err, EINVAL, "the name has %zu characters, too many", bytes);
	strcpy(stpcpy(reference->name, DEFAULT_NAMESPACE), bare);
	return 0;
}

static int tag_parse(const char *text, size_t bytes, struct reference *reference, struct err *err)
{
	if (bytes == 0) {
		err_set(err, EINVAL, "the tag is empty");
		return err_hint(err, "without a tag and its colon, it is 'latest'");
	}
	int r = part_copy("tag", text, bytes, reference->tag, sizeof(reference->tag), err);
	if (r < 0)
		return r;
	if (strspn(reference->tag, LOWER UPPER DIGITS "_.-") != bytes || text[0] == '.' || text[0] == '-')
		return err_set(err, EINVAL, "'%s' is no tag", reference->tag);
	return 0;
}

/* How much of the text is a host; 0 if it begins with the name at once. */
static size_t host_span(const char *text, size_t bytes)
{
	const char *mark = memchr(text, '#', bytes);
	if (mark != NULL)
		return (size_t)(mark - text);
	mark = memchr(text, '/', bytes);
	if (mark == NULL)
		return 0;
	size_t span = (size_t)(mark - text);
	bool is_host = memchr(text, '.', span) != NULL || memchr(text, ':', span) != NULL ||
		       (span == strlen("localhost") && memcmp(text, "localhost", span) == 0);
	return is_host ? span : 0;
}

/* Everything before the digest. */
static int parts_parse(const char *text, size_t bytes, struct reference *reference, struct err *err)
{
	size_t span = host_span(text, bytes);
	int r = 0;
	if (span > 0) {
		r = host_parse(text, span, reference, err);
		text += span + 1;
		bytes -= span + 1;
	} else {
		strcpy(reference->host, DEFAULT_HOST);
	}
	if (r < 0)
		return r;
	const char *slash = memrchr(text, '/', bytes), *colon = memrchr(text, ':', bytes);
	if (colon != NULL && slash != NULL && colon < slash)
		colon = NULL;
	r = name_parse(text, colon != NULL ? (size_t)(colon - text) : bytes, reference, err);
	if (r < 0)
		return r;
	if (colon != NULL)
		return tag_parse(colon + 1, bytes - (size_t)(colon + 1 - text), reference, err);
	if (!digest_is_set(&reference->digest))
		strcpy(reference->tag, "latest");
	return 0;
}

/* What follows '@'. What stands before it may be a password, which no message may quote. */
static int after_at_parse(const char *text, struct reference *reference, struct err *err)
{
	if (strpbrk(text, "/#") == NULL)
		return digest_parse(text, strlen(text), &reference->digest, err);
	err_set(err, EINVAL, "the name of an image cannot have a user or a password in it");
	return err_hint(err, "simg login HOST stores them");
}

int reference_parse(const char *text, struct reference *ret_reference, struct err *err)
{
	struct reference reference = { 0 };
	if (strncmp(text, "//", 2) == 0)
		text += 2;
	const char *at = strchr(text, '@'), *scheme = strstr(text, "://");
	int r = at != NULL ? after_at_parse(at + 1, &reference, err) : 0;
	if (r < 0)
		return r;
	if (scheme != NULL) {
		err_set(err, EINVAL, "'%s' names no container image: '%.*s' is no host", text, (int)(scheme + 3 - text), text);
		return err_hint(err, "without '%.*s', it is docker://%s", (int)(scheme + 3 - text), text, scheme + 3);
	}
	r = parts_parse(text, at != NULL ? (size_t)(at - text) : strlen(text), &reference, err);
	if (r < 0)
		return err_prefix(err, "'%s' names no container image", text);
	*ret_reference = reference;
	return 0;
}

char *reference_format(const struct reference *reference, char *text)
{
	/* A host that would be taken for the beginning of the name is told apart as enroot does. */
	size_t span = strlen(reference->host);
	char *to = stpcpy(text, reference->host);
	stpcpy(to, "/");
	if (host_span(text, span + 1) == 0)
		*to = '#';
	to = stpcpy(to + 1, reference->name);
	if (reference->tag[0] != '\0')
		to += sprintf(to, ":%s", reference->tag);
	if (digest_is_set(&reference->digest))
		sprintf(to, "@%s", reference->digest.text);
	return text;
}

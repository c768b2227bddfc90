/* SPDX-License-Identifier: Apache-2.0
 *
 * See header.h.
 */
#include "builder/recipe/header.h"

#include "builder/recipe/nearest.h"
#include "builder/recipe/text.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <string.h>

enum { VALUE_BYTES_MAX = 64 << 10 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define AGENT(agent) (1u << (agent))

static const char *const agents[RECIPE_AGENT_COUNT] = {
	[RECIPE_DOCKER] = "docker",
	[RECIPE_DOCKER_ARCHIVE] = "docker-archive",
	[RECIPE_OCI] = "oci",
	[RECIPE_OCI_ARCHIVE] = "oci-archive",
	[RECIPE_LOCALIMAGE] = "localimage",
	[RECIPE_SCRATCH] = "scratch",
	[RECIPE_DEBOOTSTRAP] = "debootstrap",
	[RECIPE_DNF] = "dnf",
	[RECIPE_YUM] = "yum",
};

#define SUPPORTED "docker, docker-archive, oci, oci-archive, localimage, scratch, debootstrap, dnf and yum"

/* Those of Apptainer that are left out. */
static const char *const others[] = {
	"library", "shub", "oras", "zypper", "arch", "busybox", "docker-daemon", "buildkit", "dockerfile", "self",
};

enum {
	ALL = (1u << RECIPE_AGENT_COUNT) - 1,
	CONTAINERS = AGENT(RECIPE_DOCKER) | AGENT(RECIPE_DOCKER_ARCHIVE) | AGENT(RECIPE_OCI) | AGENT(RECIPE_OCI_ARCHIVE),
	READERS = CONTAINERS | AGENT(RECIPE_LOCALIMAGE),
	RPM = AGENT(RECIPE_DNF) | AGENT(RECIPE_YUM),
	INSTALLERS = RPM | AGENT(RECIPE_DEBOOTSTRAP),
};

/* Which agents know a key, and which need it. */
static const struct {
	const char *name;
	unsigned known, needed;
} keys[] = {
	{ "Bootstrap", ALL, ALL },
	{ "Stage", ALL, 0 },
	{ "From", READERS, READERS },
	{ "Registry", AGENT(RECIPE_DOCKER), 0 },
	{ "Namespace", AGENT(RECIPE_DOCKER), 0 },
	{ "Fingerprints", AGENT(RECIPE_LOCALIMAGE), 0 },
	{ "OSVersion", INSTALLERS, AGENT(RECIPE_DEBOOTSTRAP) },
	{ "MirrorURL", INSTALLERS, INSTALLERS },
	{ "UpdateURL", RPM, 0 },
	{ "Include", INSTALLERS, 0 },
	{ "Setopt", RPM, 0 },
	{ "IncludeCmd", ALL, 0 }, /* of Singularity 2; has no meaning any more */
	{ "Library", 0, 0 },
	{ "Product", 0, 0 },
	{ "User", 0, 0 },
	{ "RegCode", 0, 0 },
	{ "ProductPGP", 0, 0 },
	{ "RegisterURL", 0, 0 },
	{ "Modules", 0, 0 },
	{ "OtherURL", 0, 0 },
	{ "ConfURL", 0, 0 },
	{ "Target", 0, 0 },
	{ "Frontend", 0, 0 },
	{ "Filename", 0, 0 },
	{ "BuildArgs", 0, 0 },
};

const char *recipe_agent_name(enum recipe_agent agent)
{
	return agents[agent];
}

static const struct recipe_header *find(const struct recipe_stage *stage, const char *key)
{
	for (size_t i = 0; i < stage->header_count; i++)
		if (strcasecmp(stage->headers[i].key, key) == 0)
			return &stage->headers[i];
	return NULL;
}

const char *recipe_header(const struct recipe_stage *stage, const char *key)
{
	const struct recipe_header *header = find(stage, key);
	return header != NULL && header->value[0] != '\0' ? header->value : NULL;
}

/* --- lines --- */

static int key_find(const char *name, const char **ret_key, struct err *err)
{
	const char *names[COUNT(keys)];
	for (size_t i = 0; i < COUNT(keys); i++) {
		names[i] = keys[i].name;
		bool numbered = strcmp(names[i], "OtherURL") == 0 && strncasecmp(name, names[i], strlen(names[i])) == 0;
		if (strcasecmp(name, names[i]) == 0 || numbered) {
			*ret_key = names[i];
			return 0;
		}
	}
	const char *nearest = nearest_name(name, names, COUNT(names));
	if (nearest == NULL)
		return err_set(err, EINVAL, "there is no header key '%s'", name);
	return err_set(err, EINVAL, "there is no header key '%s': did you mean '%s'?", name, nearest);
}

/* A '#' ends a value, and a backslash at the end has it go on. Blanks before that are kept, since they may separate two words. */
static char *value_take(const char *text, size_t length, bool *ret_continued)
{
	size_t indent = text_indent(text, length);
	const char *comment = memchr(text, '#', length);
	if (comment != NULL)
		length = (size_t)(comment - text);
	while (length > indent && text_indent(text + length - 1, 1) == 1)
		length--;
	*ret_continued = length > indent && text[length - 1] == '\\';
	return strndup(text + (indent < length ? indent : length), indent < length ? length - indent - *ret_continued : 0);
}

static int header_add(struct recipe_stage *stage, const struct text_line *line, const char *key, char *value, struct err *err)
{
	const struct recipe_header *before = find(stage, key);
	if (before != NULL)
		return err_set(err, EINVAL, "'%s' is there twice, first in line %u", key, before->line);
	struct recipe_header *headers = realloc(stage->headers, (stage->header_count + 1) * sizeof(*headers));
	if (headers == NULL)
		return err_sys(err, ENOMEM, "cannot read the header");
	stage->headers = headers;
	headers[stage->header_count++] = (struct recipe_header){ .key = key, .value = value, .line = line->number };
	return 0;
}

/* What follows replaces the blanks that it begins with. */
static int header_continue(struct recipe_header *header, const struct text_line *line, bool *continued, struct err *err)
{
	autofree char *more = value_take(line->text, line->length, continued);
	char *value;
	if (more == NULL || asprintf(&value, "%s%s", header->value, more) < 0)
		return err_sys(err, ENOMEM, "cannot read the header");
	free(header->value);
	header->value = value;
	if (strlen(value) > VALUE_BYTES_MAX)
		return err_set(err, EINVAL, "the value of '%s' is longer than %d bytes", header->key, VALUE_BYTES_MAX);
	return 0;
}

int header_line(struct recipe_stage *stage, const struct text_line *line, bool *continued, struct err *err)
{
	if (*continued)
		return header_continue(&stage->headers[stage->header_count - 1], line, continued, err);
	const char *colon = memchr(line->text, ':', line->length), *key = NULL;
	if (colon == NULL)
		return err_set(err, EINVAL, "this is no line of a header: 'Key: value'");
	autofree char *name = text_trimmed(line->text, (size_t)(colon - line->text));
	autofree char *value = value_take(colon + 1, line->length - (size_t)(colon + 1 - line->text), continued);
	if (name == NULL || value == NULL)
		return err_sys(err, ENOMEM, "cannot read the header");
	int r = key_find(name, &key, err);
	if (r == 0)
		r = header_add(stage, line, key, value, err);
	if (r == 0)
		steal_ptr(&value);
	return r;
}

/* --- the whole --- */

static int refuse_agent(const char *name, struct err *err)
{
	for (size_t i = 0; i < COUNT(others); i++)
		if (strcasecmp(name, others[i]) == 0) {
			err_set(err, ENOTSUP, "the agent '%s' is not supported", others[i]);
			return err_hint(err, "supported are %s", SUPPORTED);
		}
	const char *nearest = nearest_name(name, agents, COUNT(agents));
	if (name[0] == '\0')
		err_set(err, EINVAL, "'Bootstrap' does not say which agent");
	else if (nearest != NULL)
		err_set(err, EINVAL, "there is no agent '%s': did you mean '%s'?", name, nearest);
	else
		err_set(err, EINVAL, "there is no agent '%s'", name);
	return err_hint(err, "supported are %s", SUPPORTED);
}

static int agent_find(struct recipe_stage *stage, struct err *err)
{
	const char *name = recipe_header(stage, "Bootstrap");
	for (int i = 0; name != NULL && i < RECIPE_AGENT_COUNT; i++)
		if (strcasecmp(name, agents[i]) == 0) {
			stage->agent = (enum recipe_agent)i;
			return 0;
		}
	return refuse_agent(name != NULL ? name : "", err);
}

static int keys_check(const struct recipe_stage *stage, unsigned *ret_line, struct err *err)
{
	unsigned agent = AGENT(stage->agent);
	for (size_t i = 0; i < COUNT(keys); i++) {
		const struct recipe_header *header = find(stage, keys[i].name);
		if (header != NULL && (keys[i].known & agent) == 0) {
			*ret_line = header->line;
			return err_set(err, EINVAL, "the agent '%s' has no header key '%s'", agents[stage->agent], keys[i].name);
		}
		if ((keys[i].needed & agent) != 0 && recipe_header(stage, keys[i].name) == NULL) {
			*ret_line = header != NULL ? header->line : stage->line;
			return err_set(err, EINVAL, "the agent '%s' needs the header key '%s'", agents[stage->agent], keys[i].name);
		}
	}
	return 0;
}

/* The URLs of dnf and yum may have the version in them. */
static int version_check(const struct recipe_stage *stage, unsigned *ret_line, struct err *err)
{
	static const char *const urls[] = { "MirrorURL", "UpdateURL" };
	for (size_t i = 0; i < COUNT(urls); i++) {
		const struct recipe_header *header = find(stage, urls[i]);
		if (header == NULL || strstr(header->value, "%{OSVERSION}") == NULL || recipe_header(stage, "OSVersion") != NULL)
			continue;
		*ret_line = header->line;
		return err_set(err, EINVAL, "'%s' has '%%{OSVERSION}', but the header key 'OSVersion' is missing", urls[i]);
	}
	return 0;
}

/* A value that went on over several lines may end with blanks. */
static void values_trim(struct recipe_stage *stage)
{
	for (size_t i = 0; i < stage->header_count; i++) {
		char *value = stage->headers[i].value;
		size_t length = strlen(value);
		while (length > 0 && text_indent(value + length - 1, 1) == 1)
			value[--length] = '\0';
	}
}

int header_check(struct recipe_stage *stage, unsigned *ret_line, struct err *err)
{
	values_trim(stage);
	*ret_line = stage->line;
	int r = agent_find(stage, err);
	if (r == 0)
		r = keys_check(stage, ret_line, err);
	if (r == 0)
		r = version_check(stage, ret_line, err);
	stage->name = r == 0 ? recipe_header(stage, "Stage") : NULL;
	return r;
}

/* --- sources --- */

static const char *without_scheme(const char *from)
{
	static const char SCHEME[] = "docker:";
	if (strncmp(from, SCHEME, sizeof(SCHEME) - 1) == 0)
		from += sizeof(SCHEME) - 1;
	return from + 2 * (strncmp(from, "//", 2) == 0);
}

static char *docker_source(const struct recipe_stage *stage)
{
	const char *registry = recipe_header(stage, "Registry"), *namespace = recipe_header(stage, "Namespace");
	const char *from = without_scheme(recipe_header(stage, "From"));
	char *source;
	int r = asprintf(&source, "docker://%s%s%s%s%s", registry != NULL ? registry : "", registry != NULL ? "/" : "",
			 namespace != NULL ? namespace : "", namespace != NULL ? "/" : "", from);
	return r < 0 ? NULL : source;
}

static char *source_make(const struct recipe_stage *stage)
{
	const char *from = recipe_header(stage, "From");
	char *source;
	if (stage->agent == RECIPE_DOCKER)
		return docker_source(stage);
	if (stage->agent == RECIPE_LOCALIMAGE)
		return strdup(from);
	return asprintf(&source, "%s:%s", agents[stage->agent], from) < 0 ? NULL : source;
}

int recipe_source(const struct recipe_stage *stage, char **ret_source, struct err *err)
{
	*ret_source = NULL;
	if ((READERS & AGENT(stage->agent)) == 0)
		return 0;
	*ret_source = source_make(stage);
	return *ret_source != NULL ? 0 : err_sys(err, ENOMEM, "cannot tell what the recipe is based on");
}

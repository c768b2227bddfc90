/* SPDX-License-Identifier: Apache-2.0
 *
 * The recipe language of Apptainer and Singularity: a recipe's bytes into stages, header keys and sections. Nothing is executed,
 * read or downloaded here. Arguments, "{{ NAME }}", are put in before: template.h.
 *
 * A recipe is one or more stages, each begun by a line "Bootstrap: AGENT" at the left margin. Key: value lines follow, up to the
 * first line whose first word begins with '%': that and each such line begins a section, whose text goes on to the next one.
 *
 * Other than with Apptainer, a line of a here-document is never syntax: in a section that is a script for a shell, "%files" or
 * "Bootstrap:" between <<EOF and EOF is text. A script for another interpreter (its first line is #!/usr/bin/python3, or the
 * section's is "%post -c /usr/bin/python3") has no here-documents that count.
 */
#ifndef SIMG_BUILDER_RECIPE_RECIPE_H
#define SIMG_BUILDER_RECIPE_RECIPE_H

#include "lib/strlist.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

enum { RECIPE_BYTES_MAX = 16 << 20, RECIPE_STAGES_MAX = 256, RECIPE_PARTS_MAX = 4096 };

/* Those of an app come last. */
enum recipe_section {
	RECIPE_PRE,
	RECIPE_SETUP,
	RECIPE_FILES,
	RECIPE_POST,
	RECIPE_ENVIRONMENT,
	RECIPE_RUNSCRIPT,
	RECIPE_STARTSCRIPT,
	RECIPE_TEST,
	RECIPE_LABELS,
	RECIPE_HELP,
	RECIPE_ARGUMENTS,
	RECIPE_APPINSTALL,
	RECIPE_APPLABELS,
	RECIPE_APPFILES,
	RECIPE_APPENV,
	RECIPE_APPTEST,
	RECIPE_APPHELP,
	RECIPE_APPRUN,
	RECIPE_APPSTART,
};
enum { RECIPE_SECTION_COUNT = RECIPE_APPSTART + 1 };

enum recipe_agent {
	RECIPE_DOCKER,
	RECIPE_DOCKER_ARCHIVE,
	RECIPE_OCI,
	RECIPE_OCI_ARCHIVE,
	RECIPE_LOCALIMAGE,
	RECIPE_SCRATCH,
	RECIPE_DEBOOTSTRAP,
	RECIPE_DNF,
	RECIPE_YUM,
};
enum { RECIPE_AGENT_COUNT = RECIPE_YUM + 1 };

struct recipe_header {
	const char *key; /* as Apptainer's manual writes it: "OSVersion"; static */
	char *value;     /* maybe empty */
	unsigned line;
};

struct recipe_part {
	enum recipe_section section;
	char *app;            /* NULL: none, for the sections that belong to no app */
	struct strlist words; /* of its first line, after the section's and the app's name; quotes taken away */
	unsigned line;        /* of the first line of text, in the file; the section's name is in the line before */
	char *text;           /* as it stands, but lines end with '\n', the last one too; maybe empty */
};

struct recipe_stage {
	enum recipe_agent agent;
	const char *name; /* NULL: it has none. A value in headers */
	unsigned line;    /* of Bootstrap: */
	struct recipe_header *headers;
	size_t header_count;
	struct recipe_part *parts; /* in the order of the file */
	size_t part_count;
};

struct recipe {
	struct recipe_stage *stages; /* at least one */
	size_t stage_count;
};

/* Whether a file with these first bytes is a recipe: the first line that is neither blank nor a comment begins with "Bootstrap:".
 * Or a Dockerfile, which is refused, but with its name: a parser directive, or FROM with nothing but ARG before it. */
bool recipe_matches(const char *head, size_t bytes);
bool recipe_is_dockerfile(const char *head, size_t bytes);

/* Takes in all bytes of a recipe; name is for messages, which are "NAME:LINE: …". Checks what can be checked without looking
 * elsewhere: sections, agents, that keys are known to the agent and that those it needs are there, that stages have different
 * names and copy from earlier ones. -EINVAL, -EFBIG or -ENOTSUP (an agent that only Apptainer has). The caller frees with
 * recipe_free(), which takes a recipe of zeros. */
int recipe_parse(const char *name, const char *text, size_t bytes, struct recipe *ret_recipe, struct err *err);
void recipe_free(struct recipe *recipe);

/* Forgets the parts of all sections that are not in the set (a bit for each, 1 << section). */
void recipe_keep_sections(struct recipe *recipe, unsigned long sections);

/* "docker", and the section without the sign: "post". */
const char *recipe_agent_name(enum recipe_agent agent);
const char *recipe_section_name(enum recipe_section section);

/* The value of a header key, or NULL if it is not there or empty. */
const char *recipe_header(const struct recipe_stage *stage, const char *key);

/* What the agent reads, as simg build spells a source: "docker://REGISTRY/NAMESPACE/FROM", "oci:PATH:TAG", "docker-archive:PATH",
 * or the path of a local image. *ret_source is NULL for an agent that reads none: scratch, debootstrap, dnf, yum. The caller
 * frees. */
int recipe_source(const struct recipe_stage *stage, char **ret_source, struct err *err);

/* The next part of this section after `after` (NULL: the first one), or NULL. app NULL: any app's, or none. */
const struct recipe_part *recipe_next_part(const struct recipe_stage *stage, enum recipe_section section, const char *app,
					   const struct recipe_part *after);

/* The texts of all such parts, one after the other. The caller frees; NULL without memory. "" also if there is no such part. */
char *recipe_text(const struct recipe_stage *stage, enum recipe_section section, const char *app);

/* The stage of that name before `before`, or NULL. */
const struct recipe_stage *recipe_stage_find(const struct recipe *recipe, const char *name, const struct recipe_stage *before);

/* The stage that a part "%files from STAGE" copies from, or NULL if it copies from the host. */
const char *recipe_files_from(const struct recipe_part *part);

/* The names of the apps that any section names, in the order of the file. */
int recipe_apps(const struct recipe_stage *stage, struct strlist *ret_apps, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * See agent.h.
 */
#include "builder/recipe/agent.h"

#include "builder/recipe/fetch.h"
#include "builder/recipe/recipe.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In PATH, and where programs for root are. */
static char *program_find(const char *name)
{
	const char *path = getenv("PATH");
	autofree char *places = NULL;
	char *rest, *place;
	if (asprintf(&places, "%s:/usr/sbin:/sbin:/usr/bin:/bin", path != NULL ? path : "") < 0) {
		places = NULL;
		return NULL;
	}
	for (rest = places; (place = strsep(&rest, ":")) != NULL;) {
		char *found;
		if (place[0] != '/' || asprintf(&found, "%s/%s", place, name) < 0)
			continue;
		if (access(found, X_OK) == 0)
			return found;
		free(found);
	}
	return NULL;
}

static int program_add(const char *const *names, struct strlist *command, struct err *err)
{
	for (const char *const *name = names; *name != NULL; name++) {
		autofree char *found = program_find(*name);
		if (found != NULL)
			return strlist_add(command, found) < 0 ? err_sys(err, ENOMEM, "cannot run '%s'", *name) : 0;
	}
	err_set(err, ENOENT, "this host has no %s, which the recipe's base is made with", names[0]);
	return err_hint(err, "install it, or take a base that needs no program: Bootstrap: docker, oci or localimage");
}

static int out_of_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "cannot prepare the base");
}

/* "a b, c" as "a,b,c". */
static char *with_commas(const char *words)
{
	char *text = strdup(words), *out = text;
	for (const char *c = words; text != NULL && *c != '\0'; c++) {
		bool separates = *c == ' ' || *c == '\t' || *c == ',';
		if (!separates)
			*out++ = *c;
		else if (out > text && out[-1] != ',')
			*out++ = ',';
	}
	if (text != NULL) {
		*out = '\0';
		if (out > text && out[-1] == ',')
			out[-1] = '\0';
	}
	return text;
}

/* Links to the current directory are of no use in an image; and apt can check signatures only with a keyring that the host may lack,
 * which is debootstrap's to say. */
static int debootstrap_command(const struct recipe_stage *stage, const char *root, const char *architecture, struct strlist *command,
			       struct err *err)
{
	static const char *const names[] = { "debootstrap", NULL };
	const char *include = recipe_header(stage, "Include");
	autofree char *packages = with_commas(include != NULL ? include : ""), *mirror = fetch_header_expand(stage, "MirrorURL");
	int r = program_add(names, command, err);
	if (r < 0)
		return r;
	if (packages == NULL || mirror == NULL || strlist_add(command, "--variant=minbase") < 0 ||
	    strlist_addf(command, "--include=apt%s%s", packages[0] != '\0' ? "," : "", packages) < 0 ||
	    (architecture != NULL && strlist_addf(command, "--arch=%s", architecture) < 0) ||
	    strlist_add(command, recipe_header(stage, "OSVersion")) < 0 || strlist_add(command, root) < 0 ||
	    strlist_add(command, mirror) < 0)
		return out_of_memory(err);
	return 0;
}

static int repository_write(FILE *out, const char *name, const char *url)
{
	fprintf(out, "[%s]\nname=%s\nbaseurl=%s\nenabled=1\ngpgcheck=0\n", name, name, url);
	return 0;
}

/* The configuration is the build's own: that of the host is about the host. */
static int repositories_write(const struct recipe_stage *stage, const char *path, struct err *err)
{
	autofree char *mirror = fetch_header_expand(stage, "MirrorURL"), *updates = fetch_header_expand(stage, "UpdateURL");
	autofclose FILE *out = fopen(path, "we");
	if (out == NULL || mirror == NULL)
		return err_sys(err, out == NULL ? errno : ENOMEM, "cannot write '%s'", path);
	fputs("[main]\nreposdir=/dev/null\nkeepcache=0\ngpgcheck=0\nplugins=0\nobsoletes=1\n", out);
	repository_write(out, "base", mirror);
	if (updates != NULL)
		repository_write(out, "updates", updates);
	return ferror(out) ? err_sys(err, EIO, "cannot write '%s'", path) : 0;
}

static int words_add(struct strlist *command, const char *prefix, const char *words)
{
	autofree char *text = with_commas(words);
	char *rest = text, *word;
	int r = text == NULL ? -ENOMEM : 0;
	while (r == 0 && (word = strsep(&rest, ",")) != NULL)
		if (word[0] != '\0')
			r = strlist_addf(command, "%s%s", prefix, word);
	return r;
}

static int dnf_command(const struct recipe_stage *stage, const char *root, const char *directory, const char *architecture,
		       struct strlist *command, struct err *err)
{
	static const char *const dnf[] = { "dnf", "dnf5", "yum", NULL }, *const yum[] = { "yum", "dnf", NULL };
	const char *include = recipe_header(stage, "Include"), *options = recipe_header(stage, "Setopt");
	const char *version = recipe_header(stage, "OSVersion");
	autofree char *path = NULL;
	int r = program_add(stage->agent == RECIPE_YUM ? yum : dnf, command, err);
	if (r == 0 && asprintf(&path, "%s/dnf.conf", directory) < 0) {
		path = NULL;
		r = out_of_memory(err);
	}
	if (r == 0)
		r = repositories_write(stage, path, err);
	if (r < 0)
		return r;
	if (strlist_addf(command, "--config=%s", path) < 0 || strlist_addf(command, "--installroot=%s", root) < 0 ||
	    (version != NULL && strlist_addf(command, "--releasever=%s", version) < 0) ||
	    (architecture != NULL && strlist_addf(command, "--forcearch=%s", architecture) < 0) ||
	    words_add(command, "--setopt=", options != NULL ? options : "") < 0 || strlist_add(command, "--assumeyes") < 0 ||
	    strlist_add(command, "install") < 0 || words_add(command, "", include != NULL ? include : "coreutils bash dnf") < 0)
		return out_of_memory(err);
	return 0;
}

int agent_command(const struct recipe_stage *stage, const char *root, const char *directory, const char *architecture,
		  struct strlist *ret_command, struct err *err)
{
	if (stage->agent == RECIPE_DEBOOTSTRAP)
		return debootstrap_command(stage, root, architecture, ret_command, err);
	return dnf_command(stage, root, directory, architecture, ret_command, err);
}

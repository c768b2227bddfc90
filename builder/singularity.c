/* SPDX-License-Identifier: Apache-2.0
 *
 * See singularity.h. Paths are looked up and made in the tree, whose symlinks lead nowhere else.
 */
#include "builder/singularity.h"

#include "builder/addition.h"
#include "builder/load.h"
#include "builder/oci/container.h"
#include "builder/run_config.h"
#include "builder/script.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DIR ".singularity.d"

/* In this order, so that parents come first. */
static const char *const directories[] = { DIR, DIR "/actions", DIR "/env", DIR "/libs" };
enum { DIRECTORY_COUNT = sizeof(directories) / sizeof(directories[0]) };

static const struct {
	const char *path, *target;
} links[] = {
	{ ".exec", DIR "/actions/exec" },
	{ ".run", DIR "/actions/run" },
	{ ".shell", DIR "/actions/shell" },
	{ ".test", DIR "/actions/test" },
	{ "environment", DIR "/env/90-environment.sh" },
	{ "singularity", DIR "/runscript" },
};
enum { LINK_COUNT = sizeof(links) / sizeof(links[0]) };

#define READ_ENVIRONMENT \
	"for _simg_file in /" DIR "/env/*.sh; do\n" \
	"\t[ ! -f \"$_simg_file\" ] || . \"$_simg_file\"\n" \
	"done\n" \
	"unset _simg_file\n"

static const char ACTION_EXEC[] = "#!/bin/sh\n" READ_ENVIRONMENT "exec \"$@\"\n";

#define RUN \
	"[ ! -x /" DIR "/runscript ] || exec /" DIR "/runscript \"$@\"\n" \
	"echo 'this image has no runscript: starting a shell' >&2\n" \
	"exec /bin/sh \"$@\"\n"
#define START "[ ! -x /" DIR "/startscript ] || exec /" DIR "/startscript \"$@\"\n"
#define TEST \
	"[ ! -x /" DIR "/test ] || exec /" DIR "/test \"$@\"\n" \
	"echo 'this image has no test' >&2\n"
#define CONTINUE \
	"# The first process of an instance of Singularity 3.0 to 3.5 waits for this.\n" \
	"kill -CONT 1\n"

static const char ACTION_RUN[] = "#!/bin/sh\n" READ_ENVIRONMENT RUN;

static const char ACTION_SHELL[] =
	"#!/bin/sh\n" READ_ENVIRONMENT
	"for SHELL in \"${SINGULARITY_SHELL-}\" /bin/bash /bin/sh; do\n"
	"\t[ -x \"$SHELL\" ] || continue\n"
	"\texport SHELL\n"
	"\t# The start-up files are those of the host's home directory.\n"
	"\t[ \"$SHELL\" != /bin/bash ] || set -- --norc \"$@\"\n"
	"\texec \"$SHELL\" \"$@\"\n"
	"done\n"
	"echo 'this image has no /bin/sh' >&2\n"
	"exit 127\n";

static const char ACTION_START[] = "#!/bin/sh\n" CONTINUE READ_ENVIRONMENT START;
static const char ACTION_TEST[] = "#!/bin/sh\n" READ_ENVIRONMENT TEST;

/* The same in an image with apps, whose caller may have asked for one: its script takes the image's place. */
#define APP_META "/scif/apps/$SINGULARITY_APPNAME/scif/"
#define APP_ACTION(script) \
	"if [ -n \"${SINGULARITY_APPNAME:=${APPTAINER_APPNAME-}}\" ]; then\n" \
	"\t[ ! -x \"" APP_META script "\" ] || exec \"" APP_META script "\" \"$@\"\n" \
	"\techo \"the app '$SINGULARITY_APPNAME' has no " script "\" >&2\n" \
	"\texit 1\n" \
	"fi\n"

static const char APP_ACTION_RUN[] = "#!/bin/sh\n" READ_ENVIRONMENT APP_ACTION("runscript") RUN;
static const char APP_ACTION_START[] = "#!/bin/sh\n" CONTINUE READ_ENVIRONMENT APP_ACTION("startscript") START;
static const char APP_ACTION_TEST[] = "#!/bin/sh\n" READ_ENVIRONMENT APP_ACTION("test") TEST;

const char SINGULARITY_NO_ENVIRONMENT[] =
	"#!/bin/sh\n"
	"# Further variables of the image. There are none.\n";

/* The directory gets libraries of the host: those of a GPU's driver. */
static const char ENV_BASE[] =
	"#!/bin/sh\n"
	"LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/" DIR "/libs\n"
	"[ -n \"${PS1-}\" ] || PS1='container> '\n"
	"export LD_LIBRARY_PATH PS1\n";

static const char ENV_RUNTIME[] =
	"#!/bin/sh\n"
	"# What the caller asks of Singularity for PATH.\n"
	"[ -z \"${SING_USER_DEFINED_PREPEND_PATH-}\" ] || PATH=$SING_USER_DEFINED_PREPEND_PATH:$PATH\n"
	"[ -z \"${SING_USER_DEFINED_APPEND_PATH-}\" ] || PATH=$PATH:$SING_USER_DEFINED_APPEND_PATH\n"
	"[ -z \"${SING_USER_DEFINED_PATH-}\" ] || PATH=$SING_USER_DEFINED_PATH\n"
	"unset SING_USER_DEFINED_PREPEND_PATH SING_USER_DEFINED_APPEND_PATH SING_USER_DEFINED_PATH\n"
	"export PATH\n";

static const char STARTSCRIPT[] =
	"#!/bin/sh\n"
	"# What an instance starts: nothing, since an OCI configuration does not say.\n";

static const struct {
	const char *path, *text;
	bool keep; /* what the image has of its own */
} scripts[] = {
	{ DIR "/actions/exec", ACTION_EXEC, false },
	{ DIR "/actions/run", ACTION_RUN, false },
	{ DIR "/actions/shell", ACTION_SHELL, false },
	{ DIR "/actions/start", ACTION_START, false },
	{ DIR "/actions/test", ACTION_TEST, false },
	{ DIR "/env/90-environment.sh", SINGULARITY_NO_ENVIRONMENT, true },
	{ DIR "/env/99-base.sh", ENV_BASE, false },
	{ DIR "/env/99-runtimevars.sh", ENV_RUNTIME, false },
	{ DIR "/startscript", STARTSCRIPT, true },
};
enum { SCRIPT_COUNT = sizeof(scripts) / sizeof(scripts[0]) };

static int add_directories(struct load *load, struct err *err)
{
	int r = 0;
	for (int i = 0; i < DIRECTORY_COUNT && r == 0; i++)
		r = addition_directory(load, directories[i], err);
	return r;
}

static int add_scripts(struct load *load, struct err *err)
{
	int r = 0;
	for (int i = 0; i < SCRIPT_COUNT && r == 0; i++)
		if (!scripts[i].keep || !addition_has_file(load, scripts[i].path))
			r = load_text(load, scripts[i].path, 0755, scripts[i].text, strlen(scripts[i].text), err);
	return r;
}

static int add_links(struct load *load, struct err *err)
{
	int r = 0;
	for (int i = 0; i < LINK_COUNT && r == 0; i++)
		r = addition_link(load, links[i].path, links[i].target, err);
	return r;
}

static int add_command(struct load *load, const struct run_config *config, struct err *err)
{
	bool says_nothing = config->entrypoint.count == 0 && config->command.count == 0;
	int r = addition_text(load, DIR "/env/10-docker2singularity.sh", 0755, script_environment(&config->env), err);
	if (r < 0 || (says_nothing && addition_has_file(load, DIR "/runscript")))
		return r;
	return addition_text(load, DIR "/runscript", 0755, script_run(&config->entrypoint, &config->command), err);
}

/* Where the image comes from, as a recipe says it: "docker", and "docker.io/library/debian:12". What has no name is its digest. */
static void split_source(const struct container *container, char *agent, const char **ret_from)
{
	char *colon = strchr(agent, ':');
	*ret_from = agent;
	if (colon == NULL || strncmp(agent, container->kind->scheme, (size_t)(colon - agent)) != 0)
		return;
	*colon = '\0';
	*ret_from = colon + 1 + 2 * (strncmp(colon + 1, "//", 2) == 0);
	if (**ret_from == '\0')
		*ret_from = container->digest.text;
}

static void label(json_t *labels, const char *key, const char *value)
{
	if (value != NULL && json_object_get(labels, key) == NULL)
		json_object_set_new(labels, key, json_string(value));
}

/* The image's own words about its base are about another image: then the two labels stay as they are. */
static void label_base(json_t *labels, const char *agent, const char *from, const char *digest)
{
	static const char NAME[] = "org.opencontainers.image.base.name", DIGEST[] = "org.opencontainers.image.base.digest";
	if (strcmp(agent, "docker") != 0 || json_object_get(labels, NAME) != NULL || json_object_get(labels, DIGEST) != NULL)
		return;
	label(labels, NAME, from);
	label(labels, DIGEST, digest);
}

/* The configuration's labels, and those of Singularity that are the same in every build. */
static int add_labels(struct load *load, const struct container *container, const char *agent, const char *from, json_t *configured,
		      struct err *err)
{
	json_t *labels = json_copy(configured);
	label(labels, "org.label-schema.schema-version", "1.0");
	label(labels, "org.label-schema.build-arch", container->config.architecture);
	label(labels, "org.label-schema.usage.singularity.deffile.bootstrap", agent);
	label(labels, "org.label-schema.usage.singularity.deffile.from", from);
	label_base(labels, agent, from, container->digest.text);
	char *text = json_dumps(labels, JSON_INDENT(2) | JSON_SORT_KEYS);
	json_decref(labels);
	return addition_text(load, DIR "/labels.json", 0644, text, err);
}

/* Keeps the recipe that the image has already, as Singularity does. */
static int keep_recipe(struct load *load, struct err *err)
{
	if (!addition_has_file(load, DIR "/Singularity"))
		return 0;
	int r = addition_directory(load, DIR "/bootstrap_history", err);
	if (r == 0)
		r = addition_keep(load, DIR "/Singularity", DIR "/bootstrap_history/Singularity", "", err);
	return r == -ENOENT || r > 0 ? 0 : r;
}

int singularity_add_recipe(struct load *load, char *text, struct err *err)
{
	int r = keep_recipe(load, err);
	if (r == 0)
		return addition_text(load, DIR "/Singularity", 0644, text, err);
	free(text);
	return r;
}

static int add_recipe(struct load *load, const char *agent, const char *from, struct err *err)
{
	char *text;
	if (asprintf(&text, "Bootstrap: %s\nFrom: %s\n", agent, from) < 0)
		text = NULL;
	return singularity_add_recipe(load, text, err);
}

static int add_origin(struct load *load, const struct container *container, json_t *labels, struct err *err)
{
	const char *from;
	autofree char *agent = addition_printable(container->source);
	if (agent == NULL)
		return err_sys(err, ENOMEM, "cannot tell where the image comes from");
	split_source(container, agent, &from);
	int r = add_labels(load, container, agent, from, labels, err);
	return r < 0 ? r : add_recipe(load, agent, from, err);
}

int singularity_add_layout(struct load *load, struct err *err)
{
	int r = add_directories(load, err);
	if (r == 0)
		r = add_scripts(load, err);
	return r < 0 ? r : add_links(load, err);
}

int singularity_add_app_actions(struct load *load, struct err *err)
{
	int r = load_text(load, DIR "/actions/run", 0755, APP_ACTION_RUN, strlen(APP_ACTION_RUN), err);
	if (r == 0)
		r = load_text(load, DIR "/actions/start", 0755, APP_ACTION_START, strlen(APP_ACTION_START), err);
	return r < 0 ? r : load_text(load, DIR "/actions/test", 0755, APP_ACTION_TEST, strlen(APP_ACTION_TEST), err);
}

int singularity_add(struct load *load, const struct container *container, const struct run_config *config, struct err *err)
{
	int r = singularity_add_layout(load, err);
	if (r == 0)
		r = add_command(load, config, err);
	return r < 0 ? r : add_origin(load, container, config->labels, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The container options: see options.h.
 */
#include "spank/options.h"

#include "lib/bind.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/path.h"

#include <ctype.h>
#include <slurm/slurm.h>
#include <string.h>

#define ENV_CONTAINER "SLURM_CONTAINER" /* Slurm's own name for it since 21.08 */
#define ENV_MOUNTS "SLURM_SIMG_MOUNTS"
#define ENV_WORKDIR "SLURM_SIMG_WORKDIR"
#define ENV_ENV "SLURM_SIMG_ENV"
#define ENV_HOME "SLURM_SIMG_HOME"
#define ENV_WRITABLE "SLURM_SIMG_WRITABLE"

enum option_id { OPTION_CONTAINER, OPTION_MOUNTS, OPTION_WORKDIR, OPTION_ENV, OPTION_HOME, OPTION_NO_HOME, OPTION_WRITABLE };

/* SPANK's callbacks get no context, so what they collect lies here; one process parses one command line. */
static struct options given;

struct options *options_given(void)
{
	return &given;
}

static int set_text(char **slot, const char *text)
{
	char *copy = strdup(text);
	if (copy == NULL)
		return ESPANK_ERROR;
	free(*slot);
	*slot = copy;
	return ESPANK_SUCCESS;
}

/* Options that hold lists add up when they are repeated. */
static int add_text(char **slot, const char *text)
{
	if (*slot == NULL)
		return set_text(slot, text);
	autofree char *both = NULL;
	if (asprintf(&both, "%s,%s", *slot, text) < 0)
		return ESPANK_ERROR;
	return set_text(slot, both);
}

static int take_option(int id, const char *arg, int remote)
{
	if (remote) /* the nodes read the environment instead: it is inherited, and holds the resolved image */
		return ESPANK_SUCCESS;
	switch (id) {
	case OPTION_CONTAINER:
		return set_text(&given.container, arg);
	case OPTION_MOUNTS:
		return add_text(&given.mounts, arg);
	case OPTION_WORKDIR:
		return set_text(&given.workdir, arg);
	case OPTION_ENV:
		return add_text(&given.env, arg);
	case OPTION_HOME:
	case OPTION_NO_HOME:
		given.home_conflict = given.home != HOME_DEFAULT && (given.home == HOME_MOUNT) != (id == OPTION_HOME);
		given.home = id == OPTION_HOME ? HOME_MOUNT : HOME_NONE;
		return ESPANK_SUCCESS;
	case OPTION_WRITABLE:
		given.writable = true;
		return ESPANK_SUCCESS;
	}
	return ESPANK_BAD_ARG;
}

static char *mutable(const char *text)
{
	return (char *)text; /* struct spank_option lacks a const */
}

/* salloc, sbatch and srun hand the options that they were given to their children, and an srun inside takes those for typed. The request
 * is inherited by ENV_… alone, or a step that names its own container would get the mounts of another. Slurm's name for such a variable
 * is made in its plugstack.c. */
static int forget_inherited(const char *option)
{
	autofree char *name = NULL;
	if (asprintf(&name, "SLURM_SPANK__SLURM_SPANK_OPTION_simg_%s", option) < 0)
		return -1;
	for (char *c = name; *c != '\0'; c++)
		if (*c == '-')
			*c = '_';
	return unsetenv(name);
}

int options_register(spank_t spank)
{
	const struct {
		const char *name, *arginfo, *usage;
		enum option_id id;
	} table[] = {
#if SLURM_VERSION_NUMBER < SLURM_VERSION_NUM(21, 8, 0)
		{ "container", "IMAGE", "run in a SquashFS image or a root directory; none: on the host", OPTION_CONTAINER },
#endif
		{ "container-mounts", "SRC:DST[:ro],...", "mount host paths into the container", OPTION_MOUNTS },
		{ "container-workdir", "DIR", "working directory in the container", OPTION_WORKDIR },
		{ "container-env", "NAME[=VALUE],...", "variables that the image does not set or hide", OPTION_ENV },
		{ "container-mount-home", NULL, "mount the home directory, or fail", OPTION_HOME },
		{ "no-container-mount-home", NULL, "do not mount the home directory", OPTION_NO_HOME },
		{ "container-writable", NULL, "throw-away writable layer over the image", OPTION_WRITABLE },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct spank_option option = {
			.name = mutable(table[i].name),
			.arginfo = mutable(table[i].arginfo),
			.usage = mutable(table[i].usage),
			.has_arg = table[i].arginfo != NULL,
			.val = table[i].id,
			.cb = take_option,
		};
		if (forget_inherited(table[i].name) < 0 || spank_option_register(spank, &option) != ESPANK_SUCCESS)
			return -1;
	}
	return 0;
}

bool options_any(const struct options *options)
{
	return options->mounts != NULL || options->workdir != NULL || options->env != NULL || options->home != HOME_DEFAULT ||
	       options->writable;
}

bool options_want_container(const struct options *options)
{
	return options->container != NULL && strcmp(options->container, "none") != 0;
}

static bool is_name(const char *text, size_t length)
{
	if (length == 0 || isdigit((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '_')
			return false;
	return true;
}

int options_split_env(const char *text, struct strlist *ret_items, struct err *err)
{
	autofree char *item = malloc(strlen(text) + 1);
	autostrlist struct strlist items = { 0 };
	if (item == NULL)
		return err_sys(err, ENOMEM, "--container-env");
	char *out = item;
	for (const char *c = text;; c++) {
		if (*c == '\\' && c[1] != '\0') {
			*out++ = *++c;
			continue;
		}
		if (*c != ',' && *c != '\0') {
			*out++ = *c;
			continue;
		}
		*out = '\0';
		if (item[0] == '\0')
			return err_set(err, EINVAL, "--container-env: an item is empty: is there a stray comma?");
		if (!is_name(item, strcspn(item, "="))) {
			err_set(err, EINVAL, "--container-env: '%s' is not NAME or NAME=VALUE", item);
			return err_hint(err, "a comma in a value is written '\\,'");
		}
		if (strlist_add(&items, item) < 0)
			return err_sys(err, ENOMEM, "--container-env");
		out = item;
		if (*c == '\0')
			break;
	}
	*ret_items = items;
	items = (struct strlist){ 0 };
	return 0;
}

int options_check(const struct options *options, struct err *err)
{
	int r = 0;
	if (options->home_conflict)
		return err_set(err, EINVAL, "--container-mount-home and --no-container-mount-home contradict each other");
	if (options->mounts != NULL) {
		autobinds struct bind_list binds = { 0 };
		r = bind_parse_list(options->mounts, "--container-mounts", &binds, err);
	}
	if (r == 0 && options->env != NULL) {
		autostrlist struct strlist items = { 0 };
		r = options_split_env(options->env, &items, err);
	}
	if (r == 0 && options->workdir != NULL && options->workdir[0] != '/') {
		err_set(err, EINVAL, "--container-workdir: '%s' is not an absolute path", options->workdir);
		r = err_hint(err, "give the path as it is inside the container");
	}
	return r;
}

static int export_text(const char *name, const char *value, struct err *err)
{
	int r = value != NULL ? setenv(name, value, 1) : unsetenv(name);
	return r < 0 ? err_sys(err, errno, "cannot set %s", name) : 0;
}

int options_export(const struct options *options, struct err *err)
{
	static const char *const home_names[] = { [HOME_DEFAULT] = NULL, [HOME_MOUNT] = "mount", [HOME_NONE] = "none" };
	const struct {
		const char *name, *value;
	} table[] = {
		{ ENV_CONTAINER, options->container },
		{ ENV_MOUNTS, options->mounts },
		{ ENV_WORKDIR, options->workdir },
		{ ENV_ENV, options->env },
		{ ENV_HOME, home_names[options->home] },
		{ ENV_WRITABLE, options->writable ? "1" : NULL },
	};
	int r = 0;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && r == 0; i++)
		r = export_text(table[i].name, table[i].value, err);
	return r;
}

static int import_text(char *const *env, const char *name, char **slot)
{
	const char *value = env_find(env, name);
	if (value == NULL || value[0] == '\0')
		return 0;
	*slot = strdup(value);
	return *slot != NULL ? 0 : -ENOMEM;
}

int options_import(char *const *env, struct options *ret_options, struct err *err)
{
	struct options options = { 0 };
	int r = import_text(env, ENV_CONTAINER, &options.container);
	if (r == 0)
		r = import_text(env, ENV_MOUNTS, &options.mounts);
	if (r == 0)
		r = import_text(env, ENV_WORKDIR, &options.workdir);
	if (r == 0)
		r = import_text(env, ENV_ENV, &options.env);
	const char *home = env_find(env, ENV_HOME), *writable = env_find(env, ENV_WRITABLE);
	if (home != NULL)
		options.home = strcmp(home, "mount") == 0 ? HOME_MOUNT : strcmp(home, "none") == 0 ? HOME_NONE : HOME_DEFAULT;
	options.writable = writable != NULL && strcmp(writable, "1") == 0;
	if (r < 0) {
		options_free(&options);
		return err_sys(err, -r, "cannot read the container options");
	}
	*ret_options = options;
	return 0;
}

void options_free(struct options *options)
{
	free(options->container);
	free(options->mounts);
	free(options->workdir);
	free(options->env);
	*options = (struct options){ 0 };
}

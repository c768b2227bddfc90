/* SPDX-License-Identifier: Apache-2.0 */
#include "spank/options.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- a Slurm that takes options --- */

static struct spank_option registered[16];
static int registered_count, refuse_from = 16;

spank_err_t spank_option_register(spank_t spank, struct spank_option *option)
{
	(void)spank;
	if (registered_count >= refuse_from)
		return ESPANK_BAD_ARG;
	registered[registered_count++] = *option;
	return ESPANK_SUCCESS;
}

static const struct spank_option *find_option(const char *name)
{
	for (int i = 0; i < registered_count; i++)
		if (strcmp(registered[i].name, name) == 0)
			return &registered[i];
	return NULL;
}

/* As srun would: the option is on the command line. */
static void give(const char *name, const char *arg, int remote)
{
	const struct spank_option *option = find_option(name);
	if (check(option != NULL))
		check_int(option->cb(option->val, arg, remote), 0);
}

static void forget(void)
{
	options_free(options_given());
}

static void test_given(void)
{
	test_case ("all options are registered, with or without an argument") {
		check_int(options_register(NULL), 0);
		static const struct {
			const char *name;
			int has_arg;
		} expected[] = { { "container-mounts", 1 },	{ "container-workdir", 1 },	     { "container-env", 1 },
				 { "container-mount-home", 0 }, { "no-container-mount-home", 0 }, { "container-writable", 0 } };
		for (size_t i = 0; i < COUNT(expected); i++) {
			const struct spank_option *option = find_option(expected[i].name);
			if (check(option != NULL))
				check_int(option->has_arg, expected[i].has_arg);
		}
		/* The container itself is Slurm's own option since 21.08. */
		check_int(find_option("container") == NULL, SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(21, 8, 0));
	}
	test_case ("an option that Slurm refuses is an error") {
		int saved = registered_count;
		registered_count = 0;
		refuse_from = 3;
		check_int(options_register(NULL), -1);
		refuse_from = 16;
		registered_count = saved;
	}
	test_case ("what is given is kept, lists add up, the last of the others counts") {
		struct options *given = options_given();
		check(!options_any(given));
		give("container-mounts", "/a", 0);
		give("container-mounts", "/b:/c", 0);
		give("container-env", "A=1", 0);
		give("container-env", "B", 0);
		give("container-workdir", "/one", 0);
		give("container-workdir", "/two", 0);
		give("container-mount-home", NULL, 0);
		give("container-writable", NULL, 0);
		check_str(given->mounts, "/a,/b:/c");
		check_str(given->env, "A=1,B");
		check_str(given->workdir, "/two");
		check_int(given->home, HOME_MOUNT);
		check(given->writable);
		check(options_any(given));
		give("no-container-mount-home", NULL, 0);
		check_int(given->home, HOME_NONE);
		forget();
	}
	static const struct {
		const char *name, *arg;
	} each[] = { { "container-mounts", "/a" },    { "container-workdir", "/" },	   { "container-env", "A" },
		     { "container-mount-home", NULL }, { "no-container-mount-home", NULL }, { "container-writable", NULL } };
	for (size_t i = 0; i < COUNT(each); i++)
		test_case ("--%s alone counts as something asked for", each[i].name) {
			give(each[i].name, each[i].arg, 0);
			check(options_any(options_given()));
			forget();
		}
	test_case ("on a node the options are not taken: the environment tells") {
		give("container-mounts", "/a", 1);
		give("container-writable", NULL, 1);
		check(!options_any(options_given()));
	}
	static const struct {
		char *container;
		bool wanted;
	} wants[] = { { NULL, false }, { (char *)"none", false }, { (char *)"none.simg", true }, { (char *)"None", true }, { (char *)"", true } };
	for (size_t i = 0; i < COUNT(wants); i++)
		test_case ("container %s is %s", wants[i].container ? wants[i].container : "unset", wants[i].wanted ? "one" : "none") {
			const struct options options = { .container = wants[i].container };
			check_int(options_want_container(&options), wants[i].wanted);
		}
}

/* --- checks --- */

static const struct {
	const char *text;
	const char *items[4];
} env_good[] = {
	{ "A", { "A" } },
	{ "A=1", { "A=1" } },
	{ "A=", { "A=" } },
	{ "A=1,B,_c9=x y", { "A=1", "B", "_c9=x y" } },
	{ "A=a\\,b,B=2", { "A=a,b", "B=2" } },
	{ "A=a\\\\b", { "A=a\\b" } },
	{ "A=x\\", { "A=x\\" } },
	{ "A=b=c", { "A=b=c" } },
	{ "A=$(reboot)\n`id`", { "A=$(reboot)\n`id`" } },
};

static const struct {
	const char *text, *message;
} env_bad[] = {
	{ "", "--container-env: an item is empty: is there a stray comma?" },
	{ ",", "--container-env: an item is empty: is there a stray comma?" },
	{ "A,", "--container-env: an item is empty: is there a stray comma?" },
	{ "=1", "--container-env: '=1' is not NAME or NAME=VALUE" },
	{ "1A=1", "--container-env: '1A=1' is not NAME or NAME=VALUE" },
	{ "A B", "--container-env: 'A B' is not NAME or NAME=VALUE" },
	{ "A=1, B=2", "--container-env: ' B=2' is not NAME or NAME=VALUE" },
	{ "A-B=1", "--container-env: 'A-B=1' is not NAME or NAME=VALUE" },
	{ "A\\,B", "--container-env: 'A,B' is not NAME or NAME=VALUE" },
	{ "ü=1", "--container-env: 'ü=1' is not NAME or NAME=VALUE" },
};

static void test_env(void)
{
	for (size_t i = 0; i < COUNT(env_good); i++)
		test_case ("--container-env=%s is understood", env_good[i].text) {
			struct err err = ERR_INIT;
			autostrlist struct strlist items = { 0 };
			check_int(options_split_env(env_good[i].text, &items, &err), 0);
			for (size_t k = 0; k < 4 && (k < items.count || env_good[i].items[k] != NULL); k++)
				check_str(k < items.count ? items.items[k] : NULL, env_good[i].items[k]);
		}
	for (size_t i = 0; i < COUNT(env_bad); i++)
		test_case ("--container-env=%s is refused", env_bad[i].text) {
			struct err err = ERR_INIT;
			autostrlist struct strlist items = { 0 };
			check_int(options_split_env(env_bad[i].text, &items, &err), -EINVAL);
			check_str(err.text, env_bad[i].message);
			check_str(err.hint, strstr(err.text, "stray") != NULL ? "" : "a comma in a value is written '\\,'");
			check_int(items.count, 0);
		}
}

static void test_check(void)
{
	static const struct {
		struct options options;
		const char *message;
	} cases[] = {
		{ { .mounts = (char *)"/a,/b:/c:ro", .env = (char *)"A=1", .workdir = (char *)"/w" }, NULL },
		{ { 0 }, NULL },
		{ { .mounts = (char *)"/a:b" }, "--container-mounts: bind target 'b' is not an absolute path" },
		{ { .env = (char *)"A=1,=" }, "--container-env: '=' is not NAME or NAME=VALUE" },
		{ { .workdir = (char *)"w" }, "--container-workdir: 'w' is not an absolute path" },
		{ { .workdir = (char *)"" }, "--container-workdir: '' is not an absolute path" },
		{ { .mounts = (char *)":", .env = (char *)"=", .workdir = (char *)"w" }, "--container-mounts: bind ':' has no source" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("the options are checked: %s", cases[i].message ? cases[i].message : "good") {
			struct err err = ERR_INIT;
			check_int(options_check(&cases[i].options, &err), cases[i].message ? -EINVAL : 0);
			check_str(err.text, cases[i].message ? cases[i].message : "");
		}
}

/* --- the environment --- */

static void test_environment(void)
{
	test_case ("what is exported is imported again") {
		const struct options sent = { .container = (char *)"/i.simg", .mounts = (char *)"/a\\,b:/c,/d", .workdir = (char *)"/w",
					      .env = (char *)"A=1\nB", .home = HOME_NONE, .writable = true };
		struct options got;
		struct err err = ERR_INIT;
		check_int(options_export(&sent, &err), 0);
		check_int(options_import(environ, &got, &err), 0);
		check_str(got.container, sent.container);
		check_str(got.mounts, sent.mounts);
		check_str(got.workdir, sent.workdir);
		check_str(got.env, sent.env);
		check_int(got.home, HOME_NONE);
		check(got.writable);
		options_free(&got);
		check(got.container == NULL);
		options_free(&got);
	}
	test_case ("an export replaces all that was inherited") {
		const struct options full = { .container = (char *)"/i", .mounts = (char *)"/a", .home = HOME_MOUNT, .writable = true };
		const struct options bare = { .container = (char *)"none" };
		struct options got;
		options_export(&full, NULL);
		check_str(getenv("SLURM_SIMG_HOME"), "mount");
		options_export(&bare, NULL);
		check_str(getenv("SLURM_CONTAINER"), "none");
		check(getenv("SLURM_SIMG_MOUNTS") == NULL && getenv("SLURM_SIMG_HOME") == NULL && getenv("SLURM_SIMG_WRITABLE") == NULL);
		check_int(options_import(environ, &got, NULL), 0);
		check(!options_any(&got));
		options_free(&got);
		const struct options nothing = { 0 };
		options_export(&nothing, NULL);
		check(getenv("SLURM_CONTAINER") == NULL);
	}
	test_case ("empty and odd values of the environment count as unset") {
		char *env[] = { (char *)"SLURM_CONTAINER=", (char *)"SLURM_SIMG_MOUNTS", (char *)"SLURM_SIMG_HOME=yes",
				(char *)"SLURM_SIMG_WRITABLE=yes", (char *)"SLURM_SIMG_WORKDIRS=/x", NULL };
		struct options got;
		check_int(options_import(env, &got, NULL), 0);
		check(got.container == NULL && got.mounts == NULL && got.workdir == NULL);
		check_int(got.home, HOME_DEFAULT);
		check(!got.writable);
	}
	test_case ("home choices are read") {
		char *env[] = { (char *)"SLURM_SIMG_HOME=mount", NULL };
		struct options got;
		check_int(options_import(env, &got, NULL), 0);
		check_int(got.home, HOME_MOUNT);
	}
}

int main(void)
{
	test_given();
	test_env();
	test_check();
	test_environment();
	return test_end();
}

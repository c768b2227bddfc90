/* SPDX-License-Identifier: Apache-2.0
 *
 * The plugin in srun, sbatch and salloc, driven by the fake Slurm.
 */
#include "tests/spank/host.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char cwd[PATH_MAX], app[PATH_MAX + 32];

/* The value of a variable in srun's environment afterwards, in a static buffer; NULL if it is not set. */
static const char *variable(const struct result *result, const char *name)
{
	static char value[4096];
	char line[64];
	snprintf(line, sizeof(line), "\n%s=", name);
	const char *place = strncmp(result->facts, line + 1, strlen(line + 1)) == 0 ? result->facts - 1 : strstr(result->facts, line);
	if (place == NULL)
		return NULL;
	place += strlen(line);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(place, "\n"), place);
	return value;
}

static void expect_variable(const struct result *result, const char *name, const char *value)
{
	const char *actual = variable(result, name);
	if (!check_str(actual, value))
		printf("# … in %s\n", name);
}

static void test_refusals(void)
{
	const struct {
		const char *what;
		struct scene scene;
		const char *message;
	} cases[] = {
		{ "an option without a container",
		  { .options = { { "container-mounts", "/a" } } },
		  "simg: a --container-… option was given without a container (hint: name the image with --container=IMAGE)" },
		{ "an option with none",
		  { .container = "none", .options = { { "container-env", "A" } } },
		  "simg: a --container-… option was given without a container" },
		{ "two options that contradict each other",
		  { .container = "./tree", .options = { { "container-mount-home", NULL }, { "no-container-mount-home", NULL } } },
		  "simg: --container-mount-home and --no-container-mount-home contradict each other" },
		{ "each option without a container",
		  { .options = { { "container-writable", NULL } } },
		  "simg: a --container-… option was given without a container" },
		{ "an image that is not there",
		  { .container = "./none.simg" },
		  "simg: there is no image './none.simg' in '" },
		{ "a bare name that is nowhere", { .container = "nothing" }, "simg: there is no image 'nothing' in '" },
		{ "an empty name", { .container = "" }, "simg: the image's name is empty" },
		{ "a file that is no image", { .container = "./text" }, "text' is not a SquashFS image (hint: make an image of it with: simg build" },
		{ "a directory that is no root filesystem", { .container = "./empty" }, "holds no root filesystem" },
		{ "a bad bind",
		  { .container = "./tree", .options = { { "container-mounts", "/a:b" } } },
		  "simg: --container-mounts: bind target 'b' is not an absolute path" },
		{ "a bad variable",
		  { .container = "./tree", .options = { { "container-env", "A B" } } },
		  "simg: --container-env: 'A B' is not NAME or NAME=VALUE (hint: a comma in a value is written '\\,')" },
		{ "a relative working directory",
		  { .container = "./tree", .options = { { "container-workdir", "w" } } },
		  "simg: --container-workdir: 'w' is not an absolute path (hint: give the path as it is inside the container)" },
		{ "a name with control characters, which the message does not pass on",
		  { .container = "./a\nb\033[2J" },
		  "simg: there is no image './a?b?[2J' in '" },
		{ "two components with the same container",
		  { .container = "./tree", .second_container = "./tree" },
		  "simg: heterogeneous jobs cannot have containers (hint: run the components as separate jobs or steps)" },
		{ "a second component without a container", { .container = "./tree", .second = true }, "simg: heterogeneous jobs cannot" },
		{ "only a second component with a container", { .second_container = "./tree" }, "simg: heterogeneous jobs cannot" },
		{ "a missing simg.conf",
		  { .container = "./tree", .args = { "conf=/nowhere/simg.conf" } },
		  "simg: cannot open '/nowhere/simg.conf': No such file or directory" },
		{ "an unknown argument in plugstack.conf",
		  { .container = "./tree", .args = { "conf=simg.conf", "verbose=1" } },
		  "plugstack.conf: unknown key 'verbose'" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("refused with a message: %s", cases[i].what) {
			struct scene scene = cases[i].scene;
			scene.context = S_CTX_LOCAL;
			if (scene.args[0] != NULL && strcmp(scene.args[0], "conf=simg.conf") == 0 && geteuid() != 0)
				test_skip("simg.conf would have to belong to root");
			struct result result = host_play(&scene);
			check_int(result.status, 1);
			check_has(result.log, cases[i].message);
			check(strchr(result.log, '\n') == result.log + strlen(result.log) - 1); /* one line */
		}
	test_case ("what cannot be registered with Slurm makes the plugin fail") {
		struct scene scene = { .context = S_CTX_LOCAL, .container = "./tree" };
		for (int i = 1; i <= 6; i++) {
			scene.refuse_option = i;
			check_int(host_play(&scene).status, 1);
		}
	}
	test_case ("what an image needs beyond its name is looked at here: a FIFO is refused and not waited for") {
		struct scene scene = { .context = S_CTX_LOCAL, .container = "fifo" };
		mkfifo("fifo", 0644);
		struct result result = host_play(&scene);
		check_int(result.status, 1);
		check_has(result.log, "fifo' is neither a regular file nor a directory");
	}
}

static void test_names(void)
{
	static char absolute[PATH_MAX + 32], site_arg[PATH_MAX + 64], expected[PATH_MAX + 32];
	snprintf(absolute, sizeof(absolute), "%s/tree", cwd);
	snprintf(site_arg, sizeof(site_arg), "image_path=%s/site", cwd);
	const struct {
		const char *typed, *path; /* an absolute path, or one below the current directory */
	} names[] = {
		{ "./tree", "./tree" }, { "tree", "tree" },	   { "empty/../tree", "empty/../tree" },
		{ absolute, absolute }, { "tool", "site/tool.simg" }, { "/not/on/this/machine.simg", "/not/on/this/machine.simg" },
	};
	for (size_t i = 0; i < COUNT(names); i++)
		for (int context = S_CTX_LOCAL; context <= S_CTX_ALLOCATOR; context++) {
			if (context != S_CTX_LOCAL && context != S_CTX_ALLOCATOR)
				continue;
			test_case ("in %s, '%s' is resolved", context == S_CTX_LOCAL ? "srun" : "sbatch", i == 3 ? "an absolute path" : names[i].typed) {
				struct scene scene = { .context = (enum spank_context)context, .container = names[i].typed, .args = { site_arg } };
				struct result result = host_play(&scene);
				check_int(result.status, 0);
				check_str(result.log, "");
				snprintf(expected, sizeof(expected), "%s%s%s", names[i].path[0] == '/' ? "" : cwd,
					 names[i].path[0] == '/' ? "" : "/", names[i].path);
				expect_variable(&result, "SLURM_CONTAINER", expected);
			}
		}
}

/* A job with all of it, in which a command runs. */
#define INHERITED_IMAGE "/inherited.simg"
#define INHERITED                                                                                                       \
	"SLURM_CONTAINER=" INHERITED_IMAGE, "SLURM_SIMG_MOUNTS=/m", "SLURM_SIMG_WORKDIR=/w", "SLURM_SIMG_ENV=A=1",      \
		"SLURM_SIMG_HOME=none", "SLURM_SIMG_WRITABLE=1"

static void test_inheritance(void)
{
	test_case ("a command without a container leaves nothing in the environment, and needs no simg.conf") {
		struct scene scene = { .context = S_CTX_LOCAL, .env = { "PATH=/bin" }, .args = { "conf=/nowhere", "nonsense" } };
		struct result result = host_play(&scene);
		check_int(result.status, 0);
		check_str(result.log, "");
		check_str(result.facts, "SLURMD_NODENAME=n1\nPATH=/bin\n");
	}
	test_case ("a command in a job takes the job's whole request over") {
		struct scene scene = { .context = S_CTX_LOCAL, .env = { INHERITED } };
		struct result result = host_play(&scene);
		check_int(result.status, 0);
		expect_variable(&result, "SLURM_CONTAINER", INHERITED_IMAGE);
		expect_variable(&result, "SLURM_SIMG_MOUNTS", "/m");
		expect_variable(&result, "SLURM_SIMG_WORKDIR", "/w");
		expect_variable(&result, "SLURM_SIMG_ENV", "A=1");
		expect_variable(&result, "SLURM_SIMG_HOME", "none");
		expect_variable(&result, "SLURM_SIMG_WRITABLE", "1");
	}
	test_case ("a command in a job may change parts of its request") {
		struct scene scene = { .context = S_CTX_LOCAL,
				       .env = { INHERITED },
				       .options = { { "container-mounts", "/n" }, { "container-mount-home", NULL } } };
		struct result result = host_play(&scene);
		check_int(result.status, 0);
		expect_variable(&result, "SLURM_CONTAINER", INHERITED_IMAGE);
		expect_variable(&result, "SLURM_SIMG_MOUNTS", "/n");
		expect_variable(&result, "SLURM_SIMG_WORKDIR", "/w");
		expect_variable(&result, "SLURM_SIMG_HOME", "mount");
	}
	test_case ("a command in a job that names its own container is seen, and starts afresh") {
		/* Slurm sets SLURM_CONTAINER only where it is not set: the inherited one must be out of the way. */
		struct scene scene = { .context = S_CTX_LOCAL, .env = { INHERITED }, .container = "./tree", .options = { { "container-env", "B" } } };
		struct result result = host_play(&scene);
		check_int(result.status, 0);
		static char expected[PATH_MAX + 32];
		snprintf(expected, sizeof(expected), "%s/./tree", cwd);
		expect_variable(&result, "SLURM_CONTAINER", expected);
		expect_variable(&result, "SLURM_SIMG_MOUNTS", NULL);
		expect_variable(&result, "SLURM_SIMG_WORKDIR", NULL);
		expect_variable(&result, "SLURM_SIMG_ENV", "B");
		expect_variable(&result, "SLURM_SIMG_HOME", NULL);
		expect_variable(&result, "SLURM_SIMG_WRITABLE", NULL);
	}
	test_case ("none switches an inherited container off, and with it the rest") {
		struct scene scene = { .context = S_CTX_LOCAL, .env = { INHERITED }, .container = "none", .args = { "conf=/nowhere" } };
		struct result result = host_play(&scene);
		check_int(result.status, 0);
		check_str(result.log, "");
		expect_variable(&result, "SLURM_CONTAINER", NULL);
		expect_variable(&result, "SLURM_SIMG_MOUNTS", NULL);
		expect_variable(&result, "SLURM_SIMG_WRITABLE", NULL);
	}
	test_case ("what is typed is exported") {
		struct scene scene = { .context = S_CTX_ALLOCATOR,
				       .container = app,
				       .options = { { "container-mounts", "/a:/b" }, { "container-mounts", "/c" }, { "container-workdir", "/w" },
						    { "container-env", "X=1" }, { "no-container-mount-home", NULL }, { "container-writable", NULL } } };
		struct result result = host_play(&scene);
		check_int(result.status, 0);
		expect_variable(&result, "SLURM_CONTAINER", app);
		expect_variable(&result, "SLURM_SIMG_MOUNTS", "/a:/b,/c");
		expect_variable(&result, "SLURM_SIMG_WORKDIR", "/w");
		expect_variable(&result, "SLURM_SIMG_ENV", "X=1");
		expect_variable(&result, "SLURM_SIMG_HOME", "none");
		expect_variable(&result, "SLURM_SIMG_WRITABLE", "1");
	}
	test_case ("two components without a container are none of our business") {
		struct scene scene = { .context = S_CTX_LOCAL, .second = true };
		struct result result = host_play(&scene);
		check_int(result.status, 0);
		check_str(result.log, "");
	}
}

static void test_other_contexts(void)
{
	static const struct {
		enum spank_context context;
		const char *name;
	} contexts[] = { { S_CTX_SLURMD, "slurmd" }, { S_CTX_JOB_SCRIPT, "a prolog's shell" } };
	for (size_t i = 0; i < COUNT(contexts); i++)
		test_case ("in %s the plugin does nothing", contexts[i].name) {
			struct scene scene = { .context = contexts[i].context, .env = { INHERITED }, .args = { "conf=/nowhere" } };
			struct result result = host_play(&scene);
			check_int(result.status, 0);
			check_int(result.option_count, 0);
			check_str(result.log, "");
		}
}

int main(void)
{
	scratch_enter();
	snprintf(cwd, sizeof(cwd), "%s", scratch.path);
	snprintf(app, sizeof(app), "%s/tree", cwd);
	scratch_file("simg.conf", "");
	scratch_file("text", "no image at all\n");
	scratch_mkdirs("empty/");
	scratch_mkdirs("tree/usr/");
	scratch_mkdirs("site/tool.simg/usr/");
	test_refusals();
	test_names();
	test_inheritance();
	test_other_contexts();
	return test_end();
}

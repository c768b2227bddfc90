/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/recipe/results.c and what it calls: the files that a recipe makes, read back from a real image.
 */
#include "builder/recipe/results.h"

#include "builder/image_reader.h"
#include "builder/load.h"
#include "builder/singularity.h"
#include "lib/cleanup.h"
#include "lib/image.h"
#include "tests/tap.h"
#include "tests/unit/make_image.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define IMAGE_FILE "app.simg"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAD "Bootstrap: docker\nFrom: a:1\n"
#define SECTIONS ".singularity.d/"

/* One image being made. */
static struct maker maker;
static struct load load;

static void begin(void)
{
	maker_begin(&maker, IMAGE_FILE, 4096);
	load = (struct load){ .tree = maker.tree, .target = maker.target };
}

static void put(const char *path, const char *text)
{
	maker_file(&maker, path, text, strlen(text), &(struct inode){ .mode = S_IFREG | 0644 });
}

static void put_link(const char *path, const char *target)
{
	struct inode inode = { .mode = S_IFLNK | 0777, .target = target };
	struct node *node;
	maker_must(&maker, tree_insert(maker.tree, path, &inode, &node, &maker.err));
}

/* Adds what this recipe makes. Returns the labels that were kept, with blanks between, in a static buffer. */
static const char *add(const char *text, const struct results_options *options)
{
	static char names[256];
	struct results_options with_text = *options;
	autostrlist struct strlist kept = { 0 };
	struct recipe recipe;
	maker_must(&maker, recipe_parse("a.def", text, strlen(text), &recipe, &maker.err));
	with_text.recipe = with_text.recipe != NULL ? with_text.recipe : text;
	check_int(results_add(&load, &recipe.stages[recipe.stage_count - 1], &with_text, &kept, &maker.err), 0);
	recipe_free(&recipe);
	names[0] = '\0';
	for (size_t i = 0; i < kept.count; i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i > 0 ? " " : "", kept.items[i]);
	return names;
}

static const struct results_options plain = { .time = RESULTS_NO_TIME };

/* The content of a file of the finished image, or "(none)". The caller frees. */
static char *content(const char *path)
{
	struct err err = ERR_INIT;
	struct image image;
	struct image_reader *reader = NULL;
	char *text = NULL;
	size_t bytes;
	autoclose int fd = open(IMAGE_FILE, O_RDONLY | O_CLOEXEC);
	if (image_identify(fd, IMAGE_FILE, &image, &err) < 0 || image_check(fd, IMAGE_FILE, &image, &err) < 0 ||
	    image_reader_open(fd, IMAGE_FILE, &image, &reader, &err) < 0)
		errx(99, "%s", err.text);
	if (image_reader_file(reader, path, 1 << 20, &text, &bytes, &err) < 0)
		text = strdup("(none)");
	image_reader_free(reader);
	return text;
}

static void check_content(const char *path, const char *expected)
{
	autofree char *text = content(path);
	check_str(text, expected);
}

static uint16_t mode_of(const char *path)
{
	struct node *node = tree_find(maker.tree, path);
	return node != NULL ? node->inode->mode : 0;
}

/* --- scripts and texts --- */

static const struct {
	const char *sentence, *sections, *path, *expected;
} files[] = {
	{ "a runscript", "%runscript\necho a\n", "runscript", "#!/bin/sh\necho a\n" },
	{ "a startscript", "%startscript\na\n", "startscript", "#!/bin/sh\na\n" },
	{ "a test", "%test\na\n", "test", "#!/bin/sh\na\n" },
	{ "an interpreter of its own", "%runscript\n#!/usr/bin/python3\nprint(1)\n", "runscript", "#!/usr/bin/python3\nprint(1)\n" },
	{ "one behind blank lines and blanks", "%runscript\n\n  #!/bin/bash\na\n", "runscript", "#!/bin/bash\na\n" },
	{ "one that is the last line", "%runscript\n#!/bin/true", "runscript", "#!/bin/true\n" },
	{ "words of the section, for the interpreter", "%runscript -e '-u'\na\n", "runscript", "#!/bin/sh -e -u\na\n" },
	{ "words of the section, for an interpreter of its own", "%test -x\n#!/bin/bash -e\na\n", "test", "#!/bin/bash -e -x\na\n" },
	{ "sections that are repeated", "%runscript\na\n%help\nb\n%runscript -x\nc\n", "runscript", "#!/bin/sh -x\na\nc\n" },
	{ "a help", "%help\n\n a\n", "runscript.help", "\n a\n" },
	{ "an environment", "%environment\nexport A=1\n", "env/90-environment.sh", "#!/bin/sh\nexport A=1\n" },
	{ "no runscript", "", "runscript", "(none)" },
	{ "a runscript of blanks is none", "%runscript\n \n\t\n", "runscript", "(none)" },
	{ "no help", "%help\n", "runscript.help", "(none)" },
	{ "no environment", "%environment\n\n", "env/90-environment.sh", "#!/bin/sh\n# Further variables of the image. There are none.\n" },
};

static void test_files(void)
{
	for (size_t i = 0; i < COUNT(files); i++)
		test_case ("%s", files[i].sentence) {
			char path[64];
			autofree char *text = NULL;
			snprintf(path, sizeof(path), SECTIONS "%s", files[i].path);
			if (asprintf(&text, HEAD "%s", files[i].sections) < 0)
				break;
			begin();
			add(text, &plain);
			bool executable = strstr(path, "help") == NULL && strcmp(files[i].expected, "(none)") != 0;
			check(!executable || mode_of(path) == (S_IFREG | 0755));
			check_int(maker_end(&maker), 0);
			check_content(path, files[i].expected);
			check_content(SECTIONS "Singularity", text);
		}
	test_case ("an image from nothing gets the layout") {
		begin();
		add("Bootstrap: scratch\n", &plain);
		check_int(mode_of(SECTIONS "actions/run"), S_IFREG | 0755);
		check_int(mode_of(SECTIONS "env/99-base.sh"), S_IFREG | 0755);
		check_int(mode_of(SECTIONS "libs"), S_IFDIR | 0755);
		check_int(mode_of(SECTIONS "labels.json"), S_IFREG | 0644);
		check_int(mode_of(".run"), S_IFLNK | 0777);
		check_int(mode_of("singularity"), S_IFLNK | 0777);
		check_int(mode_of("scif"), 0);
		check_int(maker_end(&maker), 0);
	}
}

/* --- bases --- */

static void test_bases(void)
{
	struct results_options options = plain;
	test_case ("a base keeps its layout, and what the recipe does not say") {
		begin();
		put(SECTIONS "actions/run", "old action");
		put(SECTIONS "runscript", "old runscript");
		put(SECTIONS "test", "old test");
		put(SECTIONS "runscript.help", "old help");
		put(SECTIONS "env/90-environment.sh", "old environment");
		put(SECTIONS "Singularity", "old recipe");
		put(SECTIONS "bootstrap_history/Singularity0", "older recipe");
		options.recipe = "new recipe\n";
		options.environment = "old environment";
		add(HEAD "%test\nnew test\n", &options);
		check_int(maker_end(&maker), 0);
		check_content(SECTIONS "actions/run", "old action");
		check_content(SECTIONS "runscript", "old runscript");
		check_content(SECTIONS "test", "#!/bin/sh\nnew test\n");
		check_content(SECTIONS "runscript.help", "old help");
		check_content(SECTIONS "env/90-environment.sh", "old environment");
		check_content(SECTIONS "Singularity", "new recipe\n");
		check_content(SECTIONS "bootstrap_history/Singularity0", "older recipe");
		check_content(SECTIONS "bootstrap_history/Singularity1", "old recipe");
	}
	static const struct {
		const char *base, *expected;
	} environments[] = {
		{ "#!/bin/sh\nA=1\n", "#!/bin/sh\nA=1\nB=2\n" },
		{ "A=1", "A=1\nB=2\n" },
		{ "", "#!/bin/sh\nB=2\n" },
		{ SINGULARITY_NO_ENVIRONMENT, "#!/bin/sh\nB=2\n" },
		{ NULL, "#!/bin/sh\nB=2\n" },
	};
	for (size_t i = 0; i < COUNT(environments); i++)
		test_case ("%%environment comes behind the base's: \"%s\"", environments[i].base != NULL ? environments[i].base : "none") {
			options = plain;
			options.environment = environments[i].base;
			begin();
			add(HEAD "%environment\nB=2\n", &options);
			check_int(maker_end(&maker), 0);
			check_content(SECTIONS "env/90-environment.sh", environments[i].expected);
		}
	test_case ("links in the place of files and directories lead nowhere") {
		begin();
		put("etc/passwd", "users");
		put_link(SECTIONS "runscript", "/etc/passwd");
		put_link("scif", "/etc");
		add(HEAD "%runscript\na\n%apprun passwd\na\n", &plain);
		check_int(maker_end(&maker), 0);
		check_content("etc/passwd", "users");
		check_content(SECTIONS "runscript", "#!/bin/sh\na\n");
		check_content("scif/apps/passwd/scif/runscript", "#!/bin/sh\na\n");
	}
}

/* --- labels --- */

#define SCHEMA_VERSION "  \"org.label-schema.schema-version\": \"1.0\",\n"
#define FROM_SCRATCH "  \"org.label-schema.usage.singularity.deffile.bootstrap\": \"scratch\""

static const struct {
	const char *sentence, *text, *base, *build, *expected, *kept;
	bool force;
} labels[] = {
	{ "none but those of every build", "Bootstrap: scratch\n", NULL, NULL, "{\n" SCHEMA_VERSION FROM_SCRATCH "\n}", "", false },
	{ "keys and values", "Bootstrap: scratch\n%labels\n# x\n\n z \t a  \"b\" # c \na\n", NULL, NULL,
	  "{\n  \"a\": \"\",\n" SCHEMA_VERSION FROM_SCRATCH ",\n  \"z\": \"a  \\\"b\\\" # c\"\n}", "", false },
	{ "the last one of a key counts", "Bootstrap: scratch\n%labels\nz 1\n%labels\nz 2\n", NULL, "z 2\r\nz 3", "{\n" SCHEMA_VERSION FROM_SCRATCH ",\n  \"z\": \"3\"\n}",
	  "", false },
	{ "control characters and bytes that are no UTF-8", "Bootstrap: scratch\n%labels\nz\x01\xff a\x02\xff\xc3\xa4\nzz \xc3\xa4\n", NULL, NULL,
	  "{\n" SCHEMA_VERSION FROM_SCRATCH ",\n  \"z??\": \"a????\",\n  \"zz\": \"\xc3\xa4\"\n}", "", false },
	{ "those of the base stay, and are told", "Bootstrap: scratch\n%labels\nx 2\ny 1\n", "{\"x\":\"1\",\"y\":\"1\",\"z\":\"1\"}", "z 2\n",
	  "{\n" SCHEMA_VERSION FROM_SCRATCH ",\n  \"x\": \"1\",\n  \"y\": \"1\",\n  \"z\": \"1\"\n}", "x z", false },
	{ "with force, they are replaced", "Bootstrap: scratch\n%labels\nx 2\n", "{\"x\":\"1\",\"y\":\"1\",\"z\":\"1\"}", "z 2\n",
	  "{\n" SCHEMA_VERSION FROM_SCRATCH ",\n  \"x\": \"2\",\n  \"y\": \"1\",\n  \"z\": \"2\"\n}", "", true },
	{ "the base's own header is forgotten", "Bootstrap: scratch\n",
	  "{\"org.label-schema.usage.singularity.deffile.from\":\"a\",\"org.label-schema.usage.singularity.deffile.bootstrap\":\"docker\",\"x\":\"1\"}", NULL,
	  "{\n" SCHEMA_VERSION FROM_SCRATCH ",\n  \"x\": \"1\"\n}", "", false },
	{ "a base whose labels are no JSON", "Bootstrap: scratch\n", "{\"x\":", NULL, "{\n" SCHEMA_VERSION FROM_SCRATCH "\n}", "", false },
	{ "a base whose labels are no object", "Bootstrap: scratch\n", "[]", NULL, "{\n" SCHEMA_VERSION FROM_SCRATCH "\n}", "", false },
};

static void test_labels(void)
{
	struct results_options options = plain;
	for (size_t i = 0; i < COUNT(labels); i++)
		test_case ("labels: %s", labels[i].sentence) {
			options = plain;
			options.labels = labels[i].base;
			options.build_labels = labels[i].build;
			options.force = labels[i].force;
			begin();
			check_str(add(labels[i].text, &options), labels[i].kept);
			check_int(maker_end(&maker), 0);
			check_content(RESULTS_LABELS, labels[i].expected);
		}
	test_case ("labels: all that a build can say") {
		options = (struct results_options){ .architecture = "arm64", .base_name = "docker.io/library/a:1", .base_digest = "sha256:1", .time = 1000000000 };
		begin();
		add("Bootstrap: docker\nFrom: a:1\nRegistry:\nNamespace: library\n%help\nx\n", &options);
		check_int(maker_end(&maker), 0);
		check_content(RESULTS_LABELS, "{\n  \"org.label-schema.build-arch\": \"arm64\",\n"
					      "  \"org.label-schema.build-date\": \"Sunday_09_September_2001_01:46:40_UTC\",\n"
					      "  \"org.label-schema.schema-version\": \"1.0\",\n"
					      "  \"org.label-schema.usage\": \"/.singularity.d/runscript.help\",\n"
					      "  \"org.label-schema.usage.singularity.deffile.bootstrap\": \"docker\",\n"
					      "  \"org.label-schema.usage.singularity.deffile.from\": \"a:1\",\n"
					      "  \"org.label-schema.usage.singularity.deffile.namespace\": \"library\",\n"
					      "  \"org.label-schema.usage.singularity.runscript.help\": \"/.singularity.d/runscript.help\",\n"
					      "  \"org.opencontainers.image.base.digest\": \"sha256:1\",\n"
					      "  \"org.opencontainers.image.base.name\": \"docker.io/library/a:1\",\n"
					      "  \"org.opencontainers.image.created\": \"2001-09-09T01:46:40Z\"\n}");
	}
	test_case ("twice the same gives the same bytes") {
		for (int i = 0; i < 2; i++) {
			begin();
			add(HEAD "%labels\na b\n%apprun x\n%apprun y\n", &plain);
			check_int(maker_end(&maker), 0);
			if (i == 0)
				rename(IMAGE_FILE, "first.simg");
		}
		check_int(system("cmp first.simg " IMAGE_FILE), 0);
	}
}

/* --- apps --- */

#define APPS \
	HEAD "%appinstall x\nmake\n%applabels x\nk v\n%appfiles x\na b\n%appenv x\nexport FROM_X=1\n%apphelp x\nhelp\n%apprun x -e\nrun\n" \
	     "%appstart x\nstart\n%apptest x\n#!/bin/bash\ntest\n%apprun y.z\n"

/* Copies a script of the image to the scratch directory, with this directory in the place of the image's root. */
static void script_out(const char *path, const char *name)
{
	autofree char *text = content(path), *command = NULL;
	scratch_file(name, text);
	if (asprintf(&command, "sed -i 's:/scif/\\(apps\\|data\\):%1$s/scif/\\1:g; s:/\\.singularity\\.d/:%1$s/.singularity.d/:g' %2$s && chmod 0755 %2$s", scratch.path, name) < 0 ||
	    system(command) != 0)
		errx(99, "sed");
}

static void check_output(const char *command, const char *expected)
{
	char text[1024] = "";
	FILE *in = popen(command, "re");
	size_t bytes = fread(text, 1, sizeof(text) - 1, in);
	text[bytes] = '\0';
	pclose(in);
	check_str(text, expected);
}

static void test_apps(void)
{
	begin();
	put("scif/apps/base/scif/runscript", "x");
	put("scif/apps/$(id)/scif/runscript", "x");
	put(SECTIONS "actions/run", "old action");
	add(APPS, &plain);
	uint16_t bin = mode_of("scif/apps/x/bin"), lib = mode_of("scif/apps/x/lib"), data = mode_of("scif/data/y.z"), run = mode_of("scif/apps/x/scif/runscript");
	maker_must(&maker, maker_end(&maker));
	test_case ("an app has directories, scripts, labels and its part of the recipe") {
		check_int(bin, S_IFDIR | 0755);
		check_int(lib, S_IFDIR | 0755);
		check_int(data, S_IFDIR | 0755);
		check_int(run, S_IFREG | 0755);
		check_content("scif/apps/x/scif/runscript", "#!/bin/sh -e\nrun\n");
		check_content("scif/apps/x/scif/startscript", "#!/bin/sh\nstart\n");
		check_content("scif/apps/x/scif/test", "#!/bin/bash\ntest\n");
		check_content("scif/apps/x/scif/runscript.help", "help\n");
		check_content("scif/apps/x/scif/env/90-environment.sh", "#!/bin/sh\nexport FROM_X=1\n");
		check_content("scif/apps/x/scif/labels.json", "{\n  \"k\": \"v\"\n}");
		check_content("scif/apps/x/scif/Singularity",
			      "%appinstall x\nmake\n%applabels x\nk v\n%appfiles x\na b\n%appenv x\nexport FROM_X=1\n%apphelp x\nhelp\n%apprun x -e\nrun\n"
			      "%appstart x\nstart\n%apptest x\n#!/bin/bash\ntest\n");
	}
	test_case ("another one has only what it asks for") {
		check_content("scif/apps/y.z/scif/runscript", "#!/bin/sh\n");
		check_content("scif/apps/y.z/scif/startscript", "(none)");
		check_content("scif/apps/y.z/scif/runscript.help", "(none)");
		check_content("scif/apps/y.z/scif/labels.json", "{}");
	}
	test_case ("a script tells where each app is, also those of the base, but for odd names") {
		autofree char *text = content(SECTIONS "env/94-appsbase.sh");
		check_has(text, "export SCIF_APPROOT_base=/scif/apps/base\n");
		check_has(text, "export SCIF_APPBIN_x=/scif/apps/x/bin\n");
		check_has(text, "export SCIF_APPRUN_y_z=/scif/apps/y.z/scif/runscript\n");
		check_has(text, "export SCIF_APPDATA_y_z=/scif/data/y.z\n");
		check(strstr(text, "id)") == NULL);
	}
	script_out(SECTIONS "env/94-appsbase.sh", ".singularity.d/env/94-appsbase.sh");
	script_out(SECTIONS "env/95-apps.sh", ".singularity.d/env/95-apps.sh");
	script_out(SECTIONS "actions/run", "run");
	script_out(SECTIONS "actions/test", "test");
	script_out("scif/apps/x/scif/env/90-environment.sh", "scif/apps/x/scif/env/90-environment.sh");
	scratch_file("scif/apps/x/scif/runscript", "#!/bin/sh\necho \"x $FROM_X $SCIF_APPNAME ${SCIF_APPROOT##*/scif/} ${PATH%%:*} $*\" | sed \"s:$PWD::\"\n");
	scratch_file(".singularity.d/runscript", "#!/bin/sh\necho \"image ${FROM_X-none} ${SCIF_APPNAME-none} $SCIF_DATA $*\" | sed \"s:$PWD::\"\n");
	chmod("scif/apps/x/scif/runscript", 0755);
	chmod(".singularity.d/runscript", 0755);
	test_case ("an app that is asked for runs, in its environment") {
		check_output("SINGULARITY_APPNAME=x ./run a b", "x 1 x apps/x /scif/apps/x/bin a b\n");
		check_output("APPTAINER_APPNAME=x ./run", "x 1 x apps/x /scif/apps/x/bin \n");
	}
	test_case ("without one, the image's own runscript does") {
		check_output("./run a", "image none none /scif/data a\n");
	}
	test_case ("an app that is not there, or has no such script, is an error") {
		check_output("SINGULARITY_APPNAME=no ./run a 2>&1; echo $?", "the app 'no' has no runscript\n1\n");
		check_output("SINGULARITY_APPNAME=x ./test a 2>&1; echo $?", "the app 'x' has no test\n1\n");
	}
	test_case ("before an app is installed, its directories are made and entered") {
		autofree char *line = results_app_install("y.z");
		check_int(strcspn(line, "\n") + 1, strlen(line));
		scratch_file("install", line);
		check_int(system("sed -i \"s:/scif/:$PWD/scif/:g\" install && (cat install; echo 'echo \"$SCIF_APPNAME ${PWD##*/scif/}\"; ls -d scif/env lib bin') >all"), 0);
		check_output("sh -e all", "y.z apps/y.z\nbin\nlib\nscif/env\n");
	}
}

int main(void)
{
	scratch_enter();
	test_files();
	test_bases();
	test_labels();
	test_apps();
	return test_end();
}

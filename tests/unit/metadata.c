/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/metadata.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image_config.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CONFIG "root/.simg/config.json"

static int root;

static int load(const char *json, struct metadata *metadata, struct err *err)
{
	scratch_file(CONFIG, json);
	return metadata_read(root, metadata, err);
}

static void test_good(void)
{
	test_case ("an image without metadata has none") {
		struct err err = ERR_INIT;
		struct metadata metadata;
		check_int(metadata_read(root, &metadata, &err), 0);
		check_int(err.code, 0);
		check_int(metadata.env.count, 0);
		check(metadata.workdir == NULL);
		metadata_free(&metadata);
	}
	test_case ("environment and working directory are read") {
		struct err err = ERR_INIT;
		struct metadata metadata;
		check_int(load("{\"architecture\": \"amd64\", \"config\": {\"Env\": [\"PATH=/bin\", \"EMPTY=\", \"_x1=a=b\\nc, ü\"],"
			       " \"WorkingDir\": \"/work\", \"Cmd\": [\"sh\"]}, \"rootfs\": {}}",
			       &metadata, &err),
			  0);
		check_int(metadata.env.count, 3);
		check_str(metadata.env.items[0], "PATH=/bin");
		check_str(metadata.env.items[1], "EMPTY=");
		check_str(metadata.env.items[2], "_x1=a=b\nc, ü");
		check_str(metadata.workdir, "/work");
		metadata_free(&metadata);
		metadata_free(&metadata);
	}
	test_case ("variables with names that no shell knows are left out") {
		struct metadata metadata;
		check_int(load("{\"config\": {\"Env\": [\"A=1\", \"B\", \"\", \"=1\", \"1A=1\", \"A B=1\", \"A-B=1\", \"a.b=1\","
			       " \"BASH_FUNC_x%%=1\", \"\\u00fc=1\", \"_Z9=2\"]}}",
			       &metadata, NULL),
			  0);
		check_int(metadata.env.count, 2);
		check_str(metadata.env.items[0], "A=1");
		check_str(metadata.env.items[1], "_Z9=2");
		metadata_free(&metadata);
	}
	static const struct {
		const char *json, *workdir;
	} empty[] = {
		{ "{}", NULL },
		{ "{\"config\": null}", NULL },
		{ "{\"config\": {}}", NULL },
		{ "{\"config\": {\"Env\": null, \"WorkingDir\": null}}", NULL },
		{ "{\"config\": {\"Env\": [], \"WorkingDir\": \"\"}}", NULL },
		{ "{\"config\": {\"WorkingDir\": \"work\"}}", "/work" },
		{ "{\"Env\": [\"A=1\"], \"WorkingDir\": \"/not/here\"}", NULL },
	};
	for (size_t i = 0; i < COUNT(empty); i++)
		test_case ("no environment, and working directory %s: %s", empty[i].workdir ? empty[i].workdir : "unset", empty[i].json) {
			struct metadata metadata;
			check_int(load(empty[i].json, &metadata, NULL), 0);
			check_int(metadata.env.count, 0);
			check_str(metadata.workdir, empty[i].workdir);
			metadata_free(&metadata);
		}
	test_case ("the file may be a symlink inside the image, which cannot lead out of it") {
		struct metadata metadata;
		unlink(CONFIG);
		scratch_file("root/real.json", "{\"config\": {\"WorkingDir\": \"/in\"}}");
		scratch_file("real.json", "{\"config\": {\"WorkingDir\": \"/out\"}}");
		scratch_link("../../../real.json", CONFIG);
		check_int(metadata_read(root, &metadata, NULL), 0);
		check_str(metadata.workdir, "/in");
		metadata_free(&metadata);
		unlink(CONFIG);
	}
}

static const struct {
	const char *json, *message;
} bad[] = {
	{ "", "malformed: " },
	{ "{", "malformed: " },
	{ "{} {}", "malformed: end of file expected" },
	{ "{\"config\": {}, \"config\": {}}", "malformed: duplicate object key" },
	{ "{\"config\": {\"Env\": [\"A=\\u0000\"]}}", "malformed: " },
	{ "\"\xff\"", "malformed: " },
	{ "[]", "malformed: it is no object with a config object" },
	{ "{\"config\": 5}", "malformed: it is no object with a config object" },
	{ "{\"config\": []}", "malformed: it is no object with a config object" },
	{ "{\"config\": {\"Env\": \"A=1\"}}", "malformed: Env is no list, or too long" },
	{ "{\"config\": {\"Env\": {}}}", "malformed: Env is no list, or too long" },
	{ "{\"config\": {\"Env\": [1]}}", "malformed: an item of Env is no string" },
	{ "{\"config\": {\"Env\": [null]}}", "malformed: an item of Env is no string" },
	{ "{\"config\": {\"WorkingDir\": 1}}", "malformed: WorkingDir is no string" },
	{ "{\"config\": {\"WorkingDir\": [\"/\"]}}", "malformed: WorkingDir is no string" },
};

static void expect_malformed(const char *message)
{
	struct err err = ERR_INIT;
	struct metadata metadata;
	check_int(metadata_read(root, &metadata, &err), -EBADMSG);
	check_has(err.text, "the image's /.simg/config.json is malformed: ");
	check_has(err.text, message);
	check_str(err.hint, "build the image again");
	check(metadata.env.items == NULL && metadata.workdir == NULL);
}

static void test_bad(void)
{
	for (size_t i = 0; i < COUNT(bad); i++)
		test_case ("refused: %s", bad[i].json[0] != '\0' ? bad[i].json : "an empty file") {
			scratch_file(CONFIG, bad[i].json);
			expect_malformed(bad[i].message);
		}
	test_case ("a very deep file is refused") {
		static char text[100001];
		memset(text, '[', sizeof(text) - 1);
		scratch_file(CONFIG, text);
		expect_malformed("maximum parsing depth reached");
	}
	test_case ("an environment of 4096 variables is read, a longer one is refused") {
		struct metadata metadata;
		autofree char *text = calloc(1, 100000);
		char *end = stpcpy(text, "{\"config\": {\"Env\": [");
		for (int i = 0; i < IMAGE_ENV_MAX; i++)
			end = stpcpy(end, "\"A=1\",");
		strcpy(end - 1, "]}}");
		check_int(load(text, &metadata, NULL), 0);
		check_int(metadata.env.count, IMAGE_ENV_MAX);
		metadata_free(&metadata);
		strcpy(text + strlen(text) - 3, ",\"A=1\"]}}");
		scratch_file(CONFIG, text);
		expect_malformed("Env is no list, or too long");
	}
	test_case ("a file of 4 MiB is refused") {
		autofree char *text = malloc(IMAGE_CONFIG_BYTES_MAX + 1);
		memset(text, ' ', IMAGE_CONFIG_BYTES_MAX);
		memcpy(text, "{}", 2);
		text[IMAGE_CONFIG_BYTES_MAX] = '\0';
		scratch_file(CONFIG, text);
		expect_malformed("larger than 4 MiB");
		text[IMAGE_CONFIG_BYTES_MAX - 1] = '\0';
		struct metadata metadata;
		check_int(load(text, &metadata, NULL), 0);
	}
	test_case ("a directory in its place is refused") {
		unlink(CONFIG);
		mkdir(CONFIG, 0755);
		expect_malformed("not a regular file");
		rmdir(CONFIG);
	}
	test_case ("a FIFO in its place is refused and not waited for") {
		mkfifo(CONFIG, 0644);
		expect_malformed("not a regular file");
		unlink(CONFIG);
	}
	test_case ("a symlink loop in its place is refused") {
		struct err err = ERR_INIT;
		struct metadata metadata;
		scratch_link("config.json", CONFIG);
		check_int(metadata_read(root, &metadata, &err), -ELOOP);
		check_str(err.text, "cannot resolve '/.simg/config.json': Too many levels of symbolic links");
		unlink(CONFIG);
	}
	test_case ("a file that the user may not read is refused") {
		if (geteuid() == 0)
			test_skip("root may read everything");
		struct err err = ERR_INIT;
		struct metadata metadata;
		scratch_file(CONFIG, "{}");
		chmod(CONFIG, 0);
		check_int(metadata_read(root, &metadata, &err), -EACCES);
		check_str(err.text, "cannot open the image's /.simg/config.json: Permission denied");
	}
}

int main(void)
{
	scratch_enter();
	mkdir("root", 0755);
	root = scratch_open_dir("root");
	test_good();
	test_bad();
	close(root);
	return test_end();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/image_metadata.c and what it calls: the files that an image gets, read back from a real one, over trees that hold all sorts of
 * things in their places.
 */
#include "builder/image_metadata.h"

#include "builder/addition.h"
#include "builder/image_reader.h"
#include "builder/load.h"
#include "builder/oci/container.h"
#include "lib/cleanup.h"
#include "lib/image.h"
#include "lib/image_config.h"
#include "tests/tap.h"
#include "tests/unit/make_image.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <jansson.h>

#define IMAGE "app.simg"
#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char CONFIG[] =
	"{ \"architecture\":\"amd64\", \"config\": {\"Env\":[\"PATH=/opt/bin\",\"A=it's\",\"b.c=secret\"],\"Entrypoint\":[\"/bin/solver\"],"
	"\"Cmd\":[\"--fast\"],\"WorkingDir\":\"/work\",\"Labels\":{\"version\":\"7\",\"org.label-schema.build-arch\":\"mine\"}}}\n";

static const struct container_kind registry = { .scheme = "docker" }, archive = { .scheme = "oci-archive" };

/* One image being made. */
static struct maker maker;
static struct load load;
static struct writer_options writer;

static void begin(void)
{
	maker_begin(&maker, IMAGE, 4096);
	load = (struct load){ .tree = maker.tree, .target = maker.target };
	writer = (struct writer_options){ .compressor = "zstd", .level = 3, .block_bytes = 131072, .jobs = 2 };
}

static void put(const char *path, uint16_t mode, const char *target)
{
	struct inode inode = { .mode = mode, .uid = 5, .target = target };
	struct node *node;
	if (S_ISREG(mode))
		maker_file(&maker, path, target, strlen(target), &(struct inode){ .mode = mode, .uid = 5 });
	else
		maker_must(&maker, tree_insert(maker.tree, path, &inode, &node, &maker.err));
}

static int add_container(const char *config, const char *source, const struct container_kind *kind)
{
	struct descriptor layers[2] = { { .media_type = (char *)"application/vnd.oci.image.layer.v1.tar+gzip", .digest = { DIGEST_A }, .bytes = 77 },
					{ .digest = { "" } } };
	struct digest diff_ids[2] = { { DIGEST_B }, { DIGEST_A } };
	struct container container = {
		.kind = kind,
		.source = (char *)source,
		.digest = { DIGEST_B },
		.manifest = { .config = { .digest = { DIGEST_A } }, .layers = layers, .layer_count = 2 },
		.config = { .text = (char *)config, .bytes = strlen(config), .diff_ids = diff_ids, .diff_id_count = 2, .os = (char *)"linux",
			    .architecture = (char *)"amd64" },
	};
	struct image_record record = { .container = &container, .writer = &writer, .mount_points = true };
	return image_metadata_add(&load, &record, &maker.err);
}

static int add_directory(void)
{
	struct image_record record = { .source_kind = "directory", .writer = &writer };
	return image_metadata_add(&load, &record, &maker.err);
}

/* The content of a file of the finished image, or "(none)". The caller frees. */
static char *content(const char *path)
{
	struct err err = ERR_INIT;
	struct image image;
	struct image_reader *reader = NULL;
	char *text = NULL;
	size_t bytes;
	autoclose int fd = open(IMAGE, O_RDONLY | O_CLOEXEC);
	if (image_identify(fd, IMAGE, &image, &err) < 0 || image_check(fd, IMAGE, &image, &err) < 0 ||
	    image_reader_open(fd, IMAGE, &image, &reader, &err) < 0)
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

static void check_content_has(const char *path, const char *part)
{
	autofree char *text = content(path);
	check_has(text, part);
}

static const char *target_of(const char *path)
{
	struct node *node = tree_find(maker.tree, path);
	return node != NULL && S_ISLNK(node->inode->mode) ? node->inode->target : "(no symlink)";
}

static uint16_t mode_of(const char *path)
{
	struct node *node = tree_find(maker.tree, path);
	return node != NULL ? node->inode->mode : 0;
}

/* The record without the versions, which differ from one machine to the next. Says whether they were there. */
static char *record_text(bool *ret_versions)
{
	autofree char *text = content(".simg/build.json");
	json_t *top = json_loads(text, 0, NULL), *builder = json_object_get(top, "builder"), *squashfs = json_object_get(top, "squashfs");
	const char *library = json_string_value(json_object_get(squashfs, "library_version"));
	*ret_versions = json_is_string(json_object_get(builder, "version")) && library != NULL && strchr(library, '.') != NULL;
	json_object_del(builder, "version");
	json_object_del(squashfs, "library_version");
	char *compact = json_dumps(top, JSON_COMPACT);
	json_decref(top);
	return compact;
}

static void test_container(void)
{
	test_case ("a container image gets its configuration as it was, and a record") {
		bool versions;
		begin();
		check_int(add_container(CONFIG, "docker://docker.io/library/app:7", &registry), 0);
		check_int(maker_end(&maker), 0);
		check_content(IMAGE_CONFIG_PATH, CONFIG);
		autofree char *record = record_text(&versions);
		check(versions);
		check_str(record,
			  "{\"schema\":1,\"builder\":{\"name\":\"simg\"},\"source\":{\"kind\":\"docker\",\"name\":\"docker://docker.io/library/app:7\","
			  "\"digest\":\"" DIGEST_B "\",\"config_digest\":\"" DIGEST_A "\",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"},"
			  "\"layers\":[{\"digest\":\"" DIGEST_A "\",\"diff_id\":\"" DIGEST_B
			  "\",\"media_type\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"bytes\":77},{\"diff_id\":\"" DIGEST_A "\"}]},"
			  "\"squashfs\":{\"compressor\":\"zstd\",\"level\":3,\"block_bytes\":131072},\"options\":{\"mount_points\":true}}");
	}
	test_case ("it gets the layout of Singularity, root's, with the image's own time") {
		static const char *const executable[] = { "actions/exec", "actions/run", "actions/shell", "actions/start", "actions/test", "runscript",
							  "startscript", "env/10-docker2singularity.sh", "env/90-environment.sh", "env/99-base.sh",
							  "env/99-runtimevars.sh" };
		begin();
		check_int(add_container(CONFIG, "docker://docker.io/library/app:7", &registry), 0);
		for (size_t i = 0; i < COUNT(executable); i++) {
			char path[128];
			snprintf(path, sizeof(path), ".singularity.d/%s", executable[i]);
			struct node *node = tree_find(maker.tree, path);
			check(node != NULL && node->inode->mode == (S_IFREG | 0755) && node->inode->uid == 0 && node->inode->implicit);
		}
		check_int(mode_of(".singularity.d/libs"), S_IFDIR | 0755);
		check_int(mode_of(".singularity.d/labels.json"), S_IFREG | 0644);
		check_str(target_of("singularity"), ".singularity.d/runscript");
		check_str(target_of(".run"), ".singularity.d/actions/run");
		check_str(target_of(".exec"), ".singularity.d/actions/exec");
		check_str(target_of(".shell"), ".singularity.d/actions/shell");
		check_str(target_of(".test"), ".singularity.d/actions/test");
		check_str(target_of("environment"), ".singularity.d/env/90-environment.sh");
		check_int(maker_end(&maker), 0);
		check_content_has(".singularity.d/runscript", "|| set -- '--fast'\nset -- '/bin/solver' \"$@\"\n");
		check_content_has(".singularity.d/env/10-docker2singularity.sh", "PATH='/opt/bin'\nexport PATH\n[ -n \"${A-}\" ] || A='it'\\''s'\n");
		check_content(".singularity.d/Singularity", "Bootstrap: docker\nFrom: docker.io/library/app:7\n");
	}
	test_case ("labels are the configuration's, then those that every build gives alike") {
		begin();
		check_int(add_container(CONFIG, "docker://docker.io/library/app:7", &registry), 0);
		check_int(maker_end(&maker), 0);
		check_content(".singularity.d/labels.json", "{\n  \"org.label-schema.build-arch\": \"mine\",\n"
							    "  \"org.label-schema.schema-version\": \"1.0\",\n"
							    "  \"org.label-schema.usage.singularity.deffile.bootstrap\": \"docker\",\n"
							    "  \"org.label-schema.usage.singularity.deffile.from\": \"docker.io/library/app:7\",\n"
							    "  \"org.opencontainers.image.base.digest\": \"" DIGEST_B "\",\n"
							    "  \"org.opencontainers.image.base.name\": \"docker.io/library/app:7\",\n"
							    "  \"version\": \"7\"\n}");
	}
	test_case ("what the image says about its own base stays, as a whole") {
		begin();
		check_int(add_container("{\"config\":{\"Labels\":{\"org.opencontainers.image.base.name\":\"other\"}}}", "docker://a/b:c", &registry), 0);
		check_int(maker_end(&maker), 0);
		check_content_has(".singularity.d/labels.json", "\"org.opencontainers.image.base.name\": \"other\"");
		autofree char *labels = content(".singularity.d/labels.json");
		check(strstr(labels, DIGEST_B) == NULL);
	}
	test_case ("a file's name cannot add a line to the recipe, nor be anything but UTF-8") {
		begin();
		check_int(add_container("{}", "oci-archive:a\n%post\xff.tar", &archive), 0);
		check_int(maker_end(&maker), 0);
		check_content(".singularity.d/Singularity", "Bootstrap: oci-archive\nFrom: a?%post?.tar\n");
		check_content_has(".simg/build.json", "\"name\": \"oci-archive:a?%post?.tar\"");
		check_content_has(".singularity.d/runscript", "this image names no command");
	}
	test_case ("variables that no shell knows are counted, by name alone") {
		begin();
		check_int(add_container(CONFIG, "docker://a/b:c", &registry), 0);
		check_int(load.variables.count, 1);
		check_str(load.variables.first, "b.c");
		check_int(maker_end(&maker), 0);
	}
	test_case ("twice the same gives the same bytes") {
		char command[] = "cmp first.simg " IMAGE;
		for (int i = 0; i < 2; i++) {
			begin();
			check_int(add_container(CONFIG, "docker://a/b:c", &registry), 0);
			check_int(maker_end(&maker), 0);
			if (i == 0)
				rename(IMAGE, "first.simg");
		}
		check_int(system(command), 0);
	}
}

static void test_others(void)
{
	test_case ("a directory or a tarball gets a record, and nothing else") {
		bool versions;
		begin();
		check_int(add_directory(), 0);
		check(tree_find(maker.tree, ".singularity.d") == NULL);
		check(tree_find(maker.tree, IMAGE_CONFIG_PATH) == NULL);
		check_int(maker_end(&maker), 0);
		autofree char *record = record_text(&versions);
		check_str(record, "{\"schema\":1,\"builder\":{\"name\":\"simg\"},\"source\":{\"kind\":\"directory\"},\"squashfs\":{\"compressor\":\"zstd\","
				  "\"level\":3,\"block_bytes\":131072},\"options\":{\"mount_points\":false}}");
	}
	test_case ("a sandbox's record says nothing of SquashFS, an image's has name and digest") {
		begin();
		struct digest digest = { DIGEST_A };
		struct image_record record = { .source_kind = "image", .source_name = "app.sif", .source_digest = &digest };
		check_int(image_metadata_add(&load, &record, &maker.err), 0);
		check_int(maker_end(&maker), 0);
		autofree char *text = content(".simg/build.json");
		check(strstr(text, "squashfs") == NULL);
		check_has(text, "\"kind\": \"image\"");
		check_has(text, "\"name\": \"app.sif\"");
		check_has(text, "\"digest\": \"" DIGEST_A "\"");
	}
	static const struct {
		const char *compressor;
		int level;
	} compressors[] = { { "zstd", 3 }, { "gzip", 9 }, { "lz4", LEVEL_DEFAULT }, { "xz", 6 } };
	for (size_t i = 0; i < COUNT(compressors); i++)
		test_case ("the record has the version of the library of %s", compressors[i].compressor) {
			bool versions;
			begin();
			writer.compressor = compressors[i].compressor;
			writer.level = compressors[i].level;
			check_int(add_directory(), 0);
			check_int(maker_end(&maker), 0);
			autofree char *record = record_text(&versions);
			check(versions);
			check((strstr(record, "\"level\"") == NULL) == (compressors[i].level == LEVEL_DEFAULT));
		}
}

static void test_rebuilt(void)
{
	test_case ("the records of what an image was made of are kept, the oldest one first") {
		begin();
		put(".simg/build.json", S_IFREG | 0600, "second");
		put(".simg/base-0.json", S_IFREG | 0600, "first");
		put(".simg/config.json", S_IFREG | 0600, "{\"kept\": true}");
		check_int(add_directory(), 0);
		check_int(maker_end(&maker), 0);
		check_content(".simg/base-0.json", "first");
		check_content(".simg/base-1.json", "second");
		check_content(".simg/config.json", "{\"kept\": true}");
		check_content_has(".simg/build.json", "\"base\": \"/.simg/base-1.json\"");
	}
	test_case ("after sixteen of them, the newest is dropped") {
		char path[64];
		begin();
		put(".simg/build.json", S_IFREG | 0600, "old");
		for (int i = 0; i < HISTORY_MAX; i++) {
			snprintf(path, sizeof(path), ".simg/base-%d.json", i);
			put(path, S_IFREG | 0600, "older");
		}
		check_int(add_directory(), 0);
		check(tree_find(maker.tree, ".simg/base-16.json") == NULL);
		check_int(maker_end(&maker), 0);
		check_content_has(".simg/build.json", "\"kind\": \"directory\"");
		check_content(".simg/base-15.json", "older");
	}
	test_case ("an image of Singularity keeps what the configuration does not say") {
		begin();
		put(".singularity.d/runscript", S_IFREG | 0700, "old runscript");
		put(".singularity.d/startscript", S_IFREG | 0700, "old startscript");
		put(".singularity.d/test", S_IFREG | 0700, "old test");
		put(".singularity.d/Singularity", S_IFREG | 0600, "old recipe");
		put(".singularity.d/bootstrap_history/Singularity0", S_IFREG | 0600, "older recipe");
		put(".singularity.d/env/90-environment.sh", S_IFREG | 0700, "old environment");
		put(".singularity.d/env/91-environment.sh", S_IFREG | 0700, "old post environment");
		put(".singularity.d/actions/run", S_IFREG | 0700, "old action");
		check_int(add_container("{\"config\":{\"Entrypoint\":null,\"Cmd\":[],\"Env\":null}}", "docker://a/b:c", &registry), 0);
		check_int(maker_end(&maker), 0);
		check_content(".singularity.d/runscript", "old runscript");
		check_content(".singularity.d/startscript", "old startscript");
		check_content(".singularity.d/test", "old test");
		check_content(".singularity.d/env/90-environment.sh", "old environment");
		check_content(".singularity.d/env/91-environment.sh", "old post environment");
		check_content(".singularity.d/bootstrap_history/Singularity0", "older recipe");
		check_content(".singularity.d/bootstrap_history/Singularity1", "old recipe");
		check_content(".singularity.d/Singularity", "Bootstrap: docker\nFrom: a/b:c\n");
		check_content_has(".singularity.d/actions/run", "exec /.singularity.d/runscript");
	}
	test_case ("but a configuration with a command replaces its runscript") {
		begin();
		put(".singularity.d/runscript", S_IFREG | 0700, "old runscript");
		check_int(add_container(CONFIG, "docker://a/b:c", &registry), 0);
		check_int(maker_end(&maker), 0);
		check_content_has(".singularity.d/runscript", "'/bin/solver'");
	}
}

static void test_odd_trees(void)
{
	static const char *const in_the_way[] = { ".simg", ".singularity.d", ".singularity.d/env", ".singularity.d/actions" };
	for (size_t i = 0; i < COUNT(in_the_way); i++) {
		test_case ("a file in the place of the directory /%s is replaced", in_the_way[i]) {
			begin();
			put(in_the_way[i], S_IFREG | 0644, "in the way");
			check_int(add_container(CONFIG, "docker://a/b:c", &registry), 0);
			check_int(mode_of(in_the_way[i]), S_IFDIR | 0755);
			check_int(maker_end(&maker), 0);
			check_content(IMAGE_CONFIG_PATH, CONFIG);
			check_content_has(".singularity.d/actions/run", "#!/bin/sh\n");
		}
		test_case ("and so is a symlink, whose target stays as it is: /%s", in_the_way[i]) {
			begin();
			put("etc/passwd", S_IFREG | 0644, "users");
			put("etc/config.json", S_IFREG | 0644, "theirs");
			put("etc/run", S_IFREG | 0644, "theirs");
			put(in_the_way[i], S_IFLNK | 0777, "/etc");
			check_int(add_container(CONFIG, "docker://a/b:c", &registry), 0);
			check(tree_find(maker.tree, "etc/build.json") == NULL);
			check_int(maker_end(&maker), 0);
			check_content("etc/config.json", "theirs");
			check_content("etc/run", "theirs");
			check_content(IMAGE_CONFIG_PATH, CONFIG);
		}
	}
	test_case ("directories and links in the place of files are replaced, too") {
		begin();
		put("etc/passwd", S_IFREG | 0644, "users");
		put(".simg/config.json", S_IFLNK | 0777, "../etc/passwd");
		put(".simg/build.json/deep/er", S_IFREG | 0644, "x");
		put(".singularity.d/runscript", S_IFLNK | 0777, "/etc/passwd");
		put(".singularity.d/Singularity/deep", S_IFREG | 0644, "x");
		put(".singularity.d/env/90-environment.sh", S_IFLNK | 0777, "90-environment.sh");
		put(".singularity.d/bootstrap_history", S_IFREG | 0644, "x");
		check_int(add_container(CONFIG, "docker://a/b:c", &registry), 0);
		check_int(maker_end(&maker), 0);
		check_content("etc/passwd", "users");
		check_content(IMAGE_CONFIG_PATH, CONFIG);
		check_content_has(".simg/build.json", "\"schema\": 1");
		check_content_has(".singularity.d/runscript", "'/bin/solver'");
		check_content_has(".singularity.d/Singularity", "Bootstrap: docker\n");
		check_content_has(".singularity.d/env/90-environment.sh", "#!/bin/sh\n");
	}
	test_case ("a recipe is kept even if a file has the name of the history") {
		begin();
		put(".singularity.d/bootstrap_history", S_IFREG | 0644, "x");
		put(".singularity.d/Singularity", S_IFREG | 0644, "old recipe");
		check_int(add_container(CONFIG, "docker://a/b:c", &registry), 0);
		check_int(maker_end(&maker), 0);
		check_content(".singularity.d/bootstrap_history/Singularity0", "old recipe");
	}
	test_case ("of the links at the root, only links are replaced") {
		begin();
		put("singularity/data", S_IFREG | 0644, "theirs");
		put("environment", S_IFREG | 0644, "theirs");
		put(".run", S_IFLNK | 0777, "/nowhere");
		check_int(add_container(CONFIG, "docker://a/b:c", &registry), 0);
		check_str(target_of(".run"), ".singularity.d/actions/run");
		check_int(maker_end(&maker), 0);
		check_content("singularity/data", "theirs");
		check_content("environment", "theirs");
	}
}

static const struct {
	const char *config, *message;
} refused[] = {
	{ "", "is malformed: " },
	{ "[]", "is malformed: it is no object with a config object" },
	{ "{\"config\": 5}", "is malformed: it is no object with a config object" },
	{ "{\"a\": 1, \"a\": 2}", "is malformed: duplicate object key" },
	{ "{\"config\":{\"Env\": \"A=1\"}}", "is malformed: Env is no list of strings" },
	{ "{\"config\":{\"Env\": [1]}}", "is malformed: Env is no list of strings" },
	{ "{\"config\":{\"Cmd\": [\"a\", {}]}}", "is malformed: Cmd is no list of strings" },
	{ "{\"config\":{\"Entrypoint\": {}}}", "is malformed: Entrypoint is no list of strings" },
	{ "{\"config\":{\"Cmd\": [\"a\\u0000b\"]}}", "is malformed: " },
	{ "{\"config\":{\"Cmd\": [\"a\xff\"]}}", "is malformed: " },
	{ "{\"config\":{\"WorkingDir\": []}}", "is malformed: WorkingDir is no string" },
	{ "{\"config\":{\"Labels\": []}}", "is malformed: Labels is no object" },
	{ "{\"config\":{\"Labels\": {\"a\": 1}}}", "is malformed: a label is no string" },
};

static void check_refused(const char *config, int code, const char *message)
{
	begin();
	maker.err = (struct err)ERR_INIT;
	check_int(add_container(config, "docker://a/b:c", &registry), code);
	check_has(maker.err.text, "the image configuration of 'docker://a/b:c' ");
	check_has(maker.err.text, message);
	check_int(maker_end(&maker), 0);
}

static void test_refused(void)
{
	for (size_t i = 0; i < COUNT(refused); i++)
		test_case ("refused: %s", refused[i].config)
			check_refused(refused[i].config, -EBADMSG, refused[i].message);
	test_case ("a command that is one string is a list of one") {
		begin();
		check_int(add_container("{\"config\":{\"Cmd\":\"a b\"}}", "docker://a/b:c", &registry), 0);
		check_int(maker_end(&maker), 0);
		check_content_has(".singularity.d/runscript", "|| set -- 'a b'\n");
	}
	test_case ("what is too much for a launch is refused") {
		autofree char *text = calloc(1, IMAGE_CONFIG_BYTES_MAX + 1);
		memset(text, ' ', IMAGE_CONFIG_BYTES_MAX);
		memcpy(text, "{}", 2);
		check_refused(text, -EFBIG, "has 4.0 MiB, a launch reads less than 4 MiB");
		char *end = stpcpy(text, "{\"config\":{\"Env\":[");
		for (int i = 0; i <= IMAGE_ENV_MAX; i++)
			end = stpcpy(end, "\"A=1\",");
		strcpy(end - 1, "]}}");
		check_refused(text, -EFBIG, "sets 4097 variables, a launch takes at most 4096");
	}
}

int main(void)
{
	scratch_enter();
	test_container();
	test_others();
	test_rebuilt();
	test_odd_trees();
	test_refused();
	return test_end();
}

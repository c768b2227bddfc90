/* SPDX-License-Identifier: Apache-2.0
 *
 * Containers in OCI layouts, in archives of them and in Docker's: made here, whole and damaged, and by skopeo. JSON is written with
 * single quotes.
 */
#include "builder/cache/cache.h"
#include "builder/oci/container.h"
#include "builder/oci/container_store.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/wait.h>

#define DOCKER "application/vnd.docker."
#define OCI "application/vnd.oci.image."
#define TAG "org.opencontainers.image.ref.name"

static struct cache *cache;

/* Runs a shell command; the status. */
__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
	char command[4096];
	va_list args;
	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static bool has_command(const char *name)
{
	return shell("command -v %s >/dev/null 2>&1", name) == 0;
}

/* A formatted text with double quotes, the caller's to free. */
__attribute__((format(printf, 1, 2))) static char *json(const char *format, ...)
{
	char *text;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		errx(99, "no memory");
	va_end(args);
	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	return text;
}

static char *file_read(const char *path, size_t *ret_bytes)
{
	FILE *file = fopen(path, "r");
	if (file == NULL)
		err(99, "%s", path);
	char *data = malloc(1 << 22);
	*ret_bytes = fread(data, 1, 1 << 22, file);
	fclose(file);
	return data;
}

/* A piece of an image: its text, and the descriptor that points to it. */
struct part {
	struct digest digest;
	size_t bytes;
	char *descriptor;
};

/* Puts a blob into the layout; more follows the size in the descriptor. */
static struct part part_put(const char *layout, const char *type, const char *data, size_t bytes, const char *more)
{
	struct part part = { .bytes = bytes };
	char path[PATH_MAX];
	digest_of(data, bytes, &part.digest);
	snprintf(path, sizeof(path), "%s/blobs/sha256/%s", layout, digest_hex(&part.digest));
	scratch_bytes(path, data, bytes);
	part.descriptor = json("{'mediaType':'%s','digest':'%s','size':%zu%s}", type, part.digest.text, bytes, more);
	return part;
}

/* An image of one layer; returns the descriptor of its manifest. */
struct image_parts {
	struct part layer, config, manifest;
	struct digest diff_id;
};

static void image_parts_free(struct image_parts *parts)
{
	free(parts->layer.descriptor);
	free(parts->config.descriptor);
	free(parts->manifest.descriptor);
}

/* The layer holds one file "name", gzip'ed. more follows the size in the manifest's descriptor. */
static struct image_parts image_put(const char *layout, const char *name, const char *architecture, const char *more)
{
	struct image_parts parts;
	size_t bytes;
	if (shell("rm -rf layer && mkdir layer && echo %s >layer/%s && tar -C layer --mtime=@0 -cf layer.tar . && gzip -nkf layer.tar", name, name) != 0)
		errx(99, "cannot make a layer");
	autofree char *tar = file_read("layer.tar", &bytes);
	digest_of(tar, bytes, &parts.diff_id);
	autofree char *gzip = file_read("layer.tar.gz", &bytes);
	parts.layer = part_put(layout, OCI "layer.v1.tar+gzip", gzip, bytes, "");
	autofree char *config = json("{'os':'linux','architecture':'%s','config':{},'rootfs':{'type':'layers','diff_ids':['%s']}}",
				     architecture, parts.diff_id.text);
	parts.config = part_put(layout, OCI "config.v1+json", config, strlen(config), "");
	autofree char *manifest = json("{'schemaVersion':2,'mediaType':'%s','config':%s,'layers':[%s]}", OCI "manifest.v1+json",
				       parts.config.descriptor, parts.layer.descriptor);
	parts.manifest = part_put(layout, OCI "manifest.v1+json", manifest, strlen(manifest), more);
	return parts;
}

static void index_put(const char *layout, const char *entries)
{
	char path[PATH_MAX];
	autofree char *index = json("{'schemaVersion':2,'manifests':[%s]}", entries);
	snprintf(path, sizeof(path), "%s/index.json", layout);
	scratch_file(path, index);
	snprintf(path, sizeof(path), "%s/oci-layout", layout);
	scratch_file(path, "{\"imageLayoutVersion\": \"1.0.0\"}");
}

/* A layout of one image with the tag "v1". */
static struct image_parts layout_put(const char *layout)
{
	shell("rm -rf '%s'", layout);
	struct image_parts parts = image_put(layout, "a", "amd64", ",'annotations':{'" TAG "':'v1'}");
	index_put(layout, parts.manifest.descriptor);
	return parts;
}

/* Opens "scheme:rest" for an architecture; given: as if --arch had said so. */
static int container_open_as(const struct container_kind *kind, const char *rest, const char *architecture, bool given,
			     struct container **ret_container, struct err *err)
{
	struct container_options options = {
		.name = rest,
		.platform = { "linux", architecture, NULL },
		.platform_given = given,
		.cache = cache,
		.quiet = true,
	};
	*ret_container = NULL;
	return kind->open(rest, &options, ret_container, err);
}

static int container_open(const struct container_kind *kind, const char *rest, struct container **ret_container, struct err *err)
{
	return container_open_as(kind, rest, "amd64", false, ret_container, err);
}

/* It cannot be opened, for this reason, and no descriptor is lost. */
static bool check_refused(const struct container_kind *kind, const char *rest, const char *message, const char *hint)
{
	struct err err = ERR_INIT;
	struct container *container;
	int before = scratch_fd_count();
	int r = container_open(kind, rest, &container, &err);
	bool ok = check(r < 0);
	container_close(container);
	ok = check_has(err.text, message) && ok;
	ok = check_has(err.hint, hint) && ok;
	return check_int(scratch_fd_count(), before) && ok;
}

/* The layer's bytes have this digest. */
static bool check_layer(struct container *container, size_t layer, const struct digest *digest)
{
	struct err err = ERR_INIT;
	struct blob *blob;
	char data[777];
	struct digest is;
	if (!check_int(container->kind->layer_open(container, layer, &blob, &err), 0) || !check_str(err.text, ""))
		return false;
	struct hash *hash = hash_new(NULL);
	uint64_t at = 0;
	for (long n; (n = blob_read(blob, at, data, sizeof(data), &err)) > 0; at += (uint64_t)n)
		hash_add(hash, data, (size_t)n);
	hash_digest(hash, &is);
	hash_free(hash);
	bool ok = check_int(at, blob_bytes(blob)) && check_str(is.text, digest->text);
	blob_unref(blob);
	return ok;
}

/* It opens, and it is this image. */
static bool check_image(const struct container_kind *kind, const char *rest, const struct image_parts *parts)
{
	struct err err = ERR_INIT;
	struct container *container;
	int before = scratch_fd_count();
	if (!check_int(container_open(kind, rest, &container, &err), 0) || !check_str(err.text, ""))
		return false;
	autofree char *path = NULL;
	const char *tag;
	char source[PATH_MAX];
	check_int(container_store_split(rest, &path, &tag, &err), 0);
	snprintf(source, sizeof(source), "%s:%s", kind->scheme, tag != NULL ? tag : ""); /* not where it lies */
	check_str(container->source, source);
	bool ok = check_int(container->manifest.layer_count, 1);
	ok = ok && check_str(container->config.diff_ids[0].text, parts->diff_id.text) &&
	     check_str(container->manifest.config.digest.text, parts->config.digest.text) &&
	     check_layer(container, 0, kind == &container_docker_archive ? &container->manifest.layers[0].digest : &parts->layer.digest);
	ok = ok && check_str(container->digest.text, kind == &container_docker_archive ? parts->config.digest.text : parts->manifest.digest.text);
	uint64_t bytes = 1, total = 1;
	kind->progress(container, &bytes, &total);
	check_int(bytes + total, 0);
	check(!kind->layer_discard(container, 0));
	container_close(container);
	return check_int(scratch_fd_count(), before) && ok;
}

static void test_layout_tags(void)
{
	struct image_parts a = layout_put("one");
	test_case ("a layout of one image needs no tag") {
		check_image(&container_layout, "one", &a);
		check_image(&container_layout, "one/", &a);
	}
	test_case ("a layout's image is found by tag and by digest") {
		char rest[PATH_MAX];
		check_image(&container_layout, "one:v1", &a);
		snprintf(rest, sizeof(rest), "one:%s", a.manifest.digest.text);
		check_image(&container_layout, rest, &a);
	}
	test_case ("a tag that a layout lacks is an error that says what there is") {
		check_refused(&container_layout, "one:v2", "'one' holds no image called 'v2'", "there is: v1");
		check_refused(&container_layout, "one:", "the tag of 'one:' is empty", "");
		check_refused(&container_layout, ":v1", "':v1' has no path before the tag", "");
	}
	test_case ("a layout's path may have colons") {
		shell("mkdir -p x && cp -r one x:y:z");
		check_image(&container_layout, "x:y:z", &a);
		check_image(&container_layout, "x:y:z:v1", &a);
	}
	test_case ("blobs of a layout may be symbolic links") {
		shell("cp -r one linked && mv linked/blobs/sha256 linked/shared && mkdir linked/blobs/sha256 && cd linked/blobs/sha256 && "
		      "for f in ../../shared/*; do ln -s \"$f\" .; done");
		check_image(&container_layout, "linked", &a);
	}
	image_parts_free(&a);
}

static void test_layout_several(void)
{
	struct image_parts a = image_put("several", "a", "amd64", ",'annotations':{'" TAG "':'v1'}");
	struct image_parts b = image_put("several", "b", "amd64", ",'annotations':{'" TAG "':'docker.io/team/app:v2'}");
	test_case ("a layout of several images needs a tag") {
		autofree char *entries = json("%s,%s", a.manifest.descriptor, b.manifest.descriptor);
		index_put("several", entries);
		check_refused(&container_layout, "several", "'several' holds several images",
			      "add one of them after a colon: v1, docker.io/team/app:v2");
		check_image(&container_layout, "several:v1", &a);
	}
	test_case ("an image is found by its whole name, however that is spelled") {
		check_image(&container_layout, "several:docker.io/team/app:v2", &b);
		check_image(&container_layout, "several:team/app:v2", &b);
		check_refused(&container_layout, "several:team/app:v3", "holds no image called 'team/app:v3'", "there is: v1, docker.io");
	}
	test_case ("one image with two tags needs none") {
		autofree char *entries = json("%s,{'mediaType':'%s','digest':'%s','size':%zu,'annotations':{'" TAG "':'latest'}}",
					      a.manifest.descriptor, OCI "manifest.v1+json", a.manifest.digest.text, a.manifest.bytes);
		index_put("several", entries);
		check_image(&container_layout, "several", &a);
		check_image(&container_layout, "several:latest", &a);
	}
	test_case ("one tag of two images, as Docker writes it, is told apart by the whole name") {
		autofree char *one = json("{'mediaType':'%s','digest':'%s','size':%zu,'annotations':{'io.containerd.image.name':"
					  "'docker.io/library/a:1','" TAG "':'1'}}", OCI "manifest.v1+json", a.manifest.digest.text, a.manifest.bytes);
		autofree char *two = json("{'mediaType':'%s','digest':'%s','size':%zu,'annotations':{'io.containerd.image.name':"
					  "'docker.io/library/b:1','" TAG "':'1'}}", OCI "manifest.v1+json", b.manifest.digest.text, b.manifest.bytes);
		autofree char *entries = json("%s,%s", one, two);
		index_put("several", entries);
		check_refused(&container_layout, "several:1", "'several' holds several images called '1'",
			      "docker.io/library/a:1, docker.io/library/b:1");
		check_image(&container_layout, "several:b:1", &b);
	}
	test_case ("an entry without a name does not stand in the way of the only one with a name") {
		autofree char *entries = json("{'mediaType':'%s','digest':'%s','size':%zu},%s", OCI "manifest.v1+json",
					      b.manifest.digest.text, b.manifest.bytes, a.manifest.descriptor);
		index_put("several", entries);
		check_image(&container_layout, "several", &a);
	}
	test_case ("images without names and platforms cannot be told apart") {
		autofree char *entries = json("{'mediaType':'%s','digest':'%s','size':%zu},{'mediaType':'%s','digest':'%s','size':%zu}",
					      OCI "manifest.v1+json", b.manifest.digest.text, b.manifest.bytes, OCI "manifest.v1+json",
					      a.manifest.digest.text, a.manifest.bytes);
		index_put("several", entries);
		check_refused(&container_layout, "several", "lists 2 images and does not say which is for linux/amd64", "");
	}
	image_parts_free(&a);
	image_parts_free(&b);
}

static void test_platforms(void)
{
	struct image_parts amd64 = image_put("multi", "a", "amd64", ",'platform':{'os':'linux','architecture':'amd64'}");
	struct image_parts arm64 = image_put("multi", "b", "arm64", ",'platform':{'os':'linux','architecture':'arm64'}");
	autofree char *entries = json("%s,%s", amd64.manifest.descriptor, arm64.manifest.descriptor);
	struct err err = ERR_INIT;
	struct container *container;
	test_case ("the platform is chosen in index.json") {
		index_put("multi", entries);
		check_image(&container_layout, "multi", &amd64);
		if (!check_int(container_open_as(&container_layout, "multi", "arm64", true, &container, &err), 0))
			break;
		check_str(container->digest.text, arm64.manifest.digest.text);
		container_close(container);
		check_int(container_open_as(&container_layout, "multi", "riscv64", true, &container, &err), -ENOENT);
		check_has(err.text, "has no image for linux/riscv64, only for linux/amd64, linux/arm64");
	}
	test_case ("the platform is chosen in indexes within each other, but not more than four") {
		autofree char *index = json("{'schemaVersion':2,'manifests':[%s]}", entries);
		for (int depth = 1; depth <= 6; depth++) {
			struct part part = part_put("multi", OCI "index.v1+json", index, strlen(index), "");
			index_put("multi", part.descriptor);
			if (depth < 4)
				check_image(&container_layout, "multi", &amd64);
			if (depth > 4)
				check_refused(&container_layout, "multi", "'multi' has more than 4 indexes within each other", "");
			free(index);
			index = json("{'schemaVersion':2,'manifests':[%s]}", part.descriptor);
			free(part.descriptor);
		}
	}
	test_case ("the only image is taken though it is for another machine, unless --arch says what is wanted") {
		index_put("multi", arm64.manifest.descriptor);
		check_image(&container_layout, "multi", &arm64);
		check_int(container_open_as(&container_layout, "multi", "amd64", true, &container, &err), -ENOENT);
		check_has(err.text, "'multi' is for linux/arm64, not for linux/amd64");
	}
	test_case ("an image for another system is refused") {
		autofree char *config = json("{'os':'windows','architecture':'amd64','rootfs':{'type':'layers','diff_ids':[]}}");
		struct part part = part_put("multi", OCI "config.v1+json", config, strlen(config), "");
		autofree char *text = json("{'config':%s,'layers':[]}", part.descriptor);
		struct part manifest = part_put("multi", OCI "manifest.v1+json", text, strlen(text), "");
		index_put("multi", manifest.descriptor);
		check_refused(&container_layout, "multi", "'multi' is for windows/amd64, not for linux", "");
		free(part.descriptor);
		free(manifest.descriptor);
	}
	image_parts_free(&amd64);
	image_parts_free(&arm64);
}

/* Changes a file of a fresh layout "bad" by a shell command, where $file is the blob of that digest. */
static void damage(const struct digest *digest, const char *command)
{
	struct image_parts parts = layout_put("bad");
	if (shell("file=bad/blobs/sha256/%s; chmod u+w \"$file\"; %s", digest_hex(digest), command) != 0)
		errx(99, "cannot damage");
	image_parts_free(&parts);
}

static void test_layout_damage(void)
{
	struct image_parts a = layout_put("bad");
	test_case ("a directory that is no layout is called that") {
		damage(&a.layer.digest, "rm bad/oci-layout");
		check_refused(&container_layout, "bad", "'bad' is no OCI layout: there is no 'oci-layout' in it", "");
		damage(&a.layer.digest, "rm bad/oci-layout; echo '[]' >bad/manifest.json");
		check_refused(&container_layout, "bad", "is no OCI layout", "docker-archive:bad");
		check_refused(&container_layout, "nowhere:v1", "cannot open the directory 'nowhere': No such file or directory", "");
		check_refused(&container_layout, "layer.tar", "cannot open the directory 'layer.tar': Not a directory", "oci-archive:layer.tar");
	}
	test_case ("another version of the layout is refused") {
		damage(&a.layer.digest, "echo '{\"imageLayoutVersion\":\"2.0.0\"}' >bad/oci-layout");
		check_refused(&container_layout, "bad", "'bad' is an OCI layout of version '2.0.0', not 1", "");
		damage(&a.layer.digest, "echo '{\"imageLayoutVersion\":1}' >bad/oci-layout");
		check_refused(&container_layout, "bad", "'oci-layout' in 'bad': 'imageLayoutVersion' is a whole number, not a string", "");
		damage(&a.layer.digest, "head -c 5000 /dev/zero >bad/oci-layout");
		check_refused(&container_layout, "bad", "'oci-layout' in 'bad' is larger than 4.0 KiB", "");
	}
	test_case ("a damaged index.json is refused") {
		damage(&a.layer.digest, "rm bad/index.json");
		check_refused(&container_layout, "bad", "there is no 'index.json' in it", "");
		damage(&a.layer.digest, "echo '{' >bad/index.json");
		check_refused(&container_layout, "bad", "'index.json' in 'bad' is no JSON document: line 2", "");
		damage(&a.layer.digest, "echo '{\"manifests\":{}}' >bad/index.json");
		check_refused(&container_layout, "bad", "'index.json' in 'bad': 'manifests' is an object, not an array", "");
		damage(&a.layer.digest, "echo '{\"manifests\":[{\"annotations\":{\"" TAG "\":1}}]}' >bad/index.json");
		check_refused(&container_layout, "bad", "'manifests[0].annotations." TAG "' is a whole number, not a string", "");
		damage(&a.layer.digest, "echo '{\"manifests\":[]}' >bad/index.json");
		check_refused(&container_layout, "bad", "the index of 'bad' lists no container image", "");
		check_refused(&container_layout, "bad:v1", "'bad' holds no image called 'v1'", "");
		damage(&a.layer.digest, "truncate -s 5M bad/index.json");
		check_refused(&container_layout, "bad", "'index.json' in 'bad' is larger than 4.0 MiB", "");
	}
	test_case ("a manifest that is missing, changed or truncated is refused") {
		damage(&a.manifest.digest, "rm $file");
		check_refused(&container_layout, "bad", "'bad' is incomplete: there is no 'blobs/sha256/", "");
		damage(&a.manifest.digest, "sed -i 's/layers/Layers/' $file");
		check_refused(&container_layout, "bad", "the manifest sha256:", "");
		check_refused(&container_layout, "bad", "of 'bad' is damaged: its digest is sha256:", "");
		damage(&a.manifest.digest, "truncate -s 100 $file");
		check_refused(&container_layout, "bad", "of 'bad' has 100 bytes, not ", "");
	}
	test_case ("a configuration that is missing or changed is refused") {
		damage(&a.config.digest, "rm $file");
		check_refused(&container_layout, "bad", "'bad' is incomplete: there is no 'blobs/sha256/", "");
		damage(&a.config.digest, "sed -i 's/amd64/arm64/' $file");
		check_refused(&container_layout, "bad", "the configuration sha256:", "");
		check_refused(&container_layout, "bad", "is damaged: its digest is", "");
	}
	test_case ("a layer that is missing or truncated is refused before anything is read") {
		damage(&a.layer.digest, "rm $file");
		check_refused(&container_layout, "bad", "layer 1 of 'bad' is missing: there is no 'blobs/sha256/", "");
		damage(&a.layer.digest, "truncate -s 100 $file");
		check_refused(&container_layout, "bad", "in 'bad' has 100 bytes, not ", "");
		check_refused(&container_layout, "bad", "it is truncated or damaged", "");
	}
	test_case ("a FIFO or a directory in place of a blob is refused, and not waited for") {
		damage(&a.layer.digest, "rm $file; mkfifo $file");
		check_refused(&container_layout, "bad", "is not a regular file", "");
		damage(&a.manifest.digest, "rm $file; mkdir $file");
		check_refused(&container_layout, "bad", "is not a regular file", "");
	}
	image_parts_free(&a);
}

/* A layout "made" whose manifest has this configuration and these layers. */
static void manifest_put(const char *config, const char *layers)
{
	autofree char *text = json("{'schemaVersion':2,'config':%s,'layers':[%s]}", config, layers);
	struct part part = part_put("made", OCI "manifest.v1+json", text, strlen(text), "");
	index_put("made", part.descriptor);
	free(part.descriptor);
}

static void test_layout_content(void)
{
	struct err err = ERR_INIT;
	struct container *container;
	struct digest digest;
	static const char empty[] = "{}";
	digest_of(empty, 2, &digest);
	test_case ("an image without layers can be opened") {
		struct part config = part_put("made", OCI "config.v1+json", empty, 2, "");
		manifest_put(config.descriptor, "");
		if (check_int(container_open(&container_layout, "made", &container, &err), 0))
			check_int(container->manifest.layer_count, 0);
		container_close(container);
		free(config.descriptor);
	}
	test_case ("a configuration within its descriptor is taken from there, and its digest compared") {
		autofree char *config = json("{'mediaType':'%s','digest':'%s','size':2,'data':'e30='}", OCI "config.v1+json", digest.text);
		shell("rm -rf made");
		manifest_put(config, "");
		check_int(container_open(&container_layout, "made", &container, &err), 0);
		container_close(container);
		memcpy(strstr(config, "e30="), "W10=", 4); /* [] */
		manifest_put(config, "");
		check_refused(&container_layout, "made", "of 'made' is damaged: its digest is sha256:", "");
	}
	test_case ("blobs may have digests of SHA-512") {
		static const char hex[] = "27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9"
					  "a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd"; /* of "{}" */
		char path[PATH_MAX];
		autofree char *config = json("{'mediaType':'%s','digest':'sha512:%s','size':2}", OCI "config.v1+json", hex);
		snprintf(path, sizeof(path), "made/blobs/sha512/%s", hex);
		manifest_put(config, "");
		scratch_file(path, empty);
		check_int(container_open(&container_layout, "made", &container, &err), 0);
		container_close(container);
		scratch_file(path, "[]");
		check_refused(&container_layout, "made", "is damaged: its digest is sha512:", "");
	}
	test_case ("a configuration that claims gigabytes is not read") {
		autofree char *config = json("{'mediaType':'%s','digest':'%s','size':5000000000}", OCI "config.v1+json", digest.text);
		manifest_put(config, "");
		check_refused(&container_layout, "made", "is said to have 5000000000 bytes, more than 16777216", "");
	}
	test_case ("a foreign layer that is not there is told with its address") {
		autofree char *text = json("{'rootfs':{'type':'layers','diff_ids':['%s']}}", digest.text);
		struct part config = part_put("made", OCI "config.v1+json", text, strlen(text), "");
		autofree char *layer = json("{'mediaType':'%s','digest':'sha256:%064d','size':9,'urls':['https://example.com/a']}",
					    OCI "layer.nondistributable.v1.tar+gzip", 0);
		manifest_put(config.descriptor, layer);
		check_refused(&container_layout, "made", "layer 1 of 'made' is missing", "it can be had from https://example.com/a");
		free(config.descriptor);
	}
}

static void test_oci_archive(void)
{
	struct image_parts a = layout_put("one");
	shell("tar -C one -cf one.tar . && tar -C one -cf plain.tar oci-layout index.json blobs && ln -sf plain.tar link.tar");
	test_case ("an archive of a layout is read where it lies") {
		check_image(&container_oci_archive, "one.tar", &a);
		check_image(&container_oci_archive, "plain.tar", &a);
		check_image(&container_oci_archive, "one.tar:v1", &a);
		check_image(&container_oci_archive, "./link.tar:v1", &a);
		check_refused(&container_oci_archive, "one.tar:v2", "'one.tar' holds no image called 'v2'", "there is: v1");
	}
	test_case ("a compressed archive of a layout is read, and leaves nothing behind") {
		static const char *const tools[] = { "gzip", "xz", "zstd -q", "bzip2" };
		for (int i = 0; i < 4; i++) {
			if (!has_command(tools[i]))
				continue;
			if (check_int(shell("%s -c one.tar >one.tar.z", tools[i]), 0))
				check_image(&container_oci_archive, "one.tar.z:v1", &a);
		}
		check_int(shell("test -z \"$(find cache -type f ! -name CACHEDIR.TAG)\""), 0);
	}
	test_case ("an archive can come through a pipe") {
		shell("mkfifo pipe; cat one.tar >pipe &");
		check_image(&container_oci_archive, "pipe", &a);
		shell("gzip -c one.tar >pipe &");
		check_image(&container_oci_archive, "pipe:v1", &a);
	}
	test_case ("a damaged archive of a layout is refused") {
		shell("head -c 3000 one.tar >short.tar; head -c 500 one.tar.z >short.tar.z; : >empty.tar; echo hello >text.tar; echo hello | gzip >text.gz");
		check_refused(&container_oci_archive, "short.tar", "the archive 'short.tar' is truncated", "");
		check_refused(&container_oci_archive, "short.tar.z", "short.tar.z", "");
		check_refused(&container_oci_archive, "empty.tar", "'empty.tar' is empty", "");
		check_refused(&container_oci_archive, "text.tar", "'text.tar' is not a tar archive", "");
		check_refused(&container_oci_archive, "text.gz", "'text.gz' is not a tar archive", "");
		check_refused(&container_oci_archive, "one", "'one' is a directory, not an archive", "oci:one");
		check_refused(&container_oci_archive, "nowhere.tar:v1", "cannot open 'nowhere.tar': No such file or directory", "");
		check_refused(&container_oci_archive, "layer.tar", "'layer.tar' is no OCI layout: there is no 'oci-layout' in it", "");
	}
	image_parts_free(&a);
}

/* A tar archive, written member by member, so that nothing is too strange. */
static void tar_number(char *field, size_t bytes, unsigned long long value)
{
	for (size_t i = bytes - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

static void tar_header(FILE *tar, const char *name, char type, const char *target, unsigned long long bytes)
{
	char header[512] = { 0 };
	snprintf(header, 100, "%s", name);
	tar_number(header + 100, 8, 0644);
	tar_number(header + 108, 8, 0);
	tar_number(header + 116, 8, 0);
	tar_number(header + 124, 12, bytes);
	tar_number(header + 136, 12, 0);
	memset(header + 148, ' ', 8);
	header[156] = type;
	snprintf(header + 157, 100, "%s", target);
	memcpy(header + 257, "ustar\00000", 8);
	unsigned sum = 0;
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)header[i];
	tar_number(header + 148, 7, sum);
	fwrite(header, 1, sizeof(header), tar);
}

static void tar_data(FILE *tar, const char *name, const char *data, size_t bytes)
{
	static const char zeros[512];
	tar_header(tar, name, '0', "", bytes);
	fwrite(data, 1, bytes, tar);
	fwrite(zeros, 1, (512 - bytes % 512) % 512, tar);
}

static void tar_text(FILE *tar, const char *name, const char *text)
{
	tar_data(tar, name, text, strlen(text));
}

static FILE *tar_open(const char *path)
{
	FILE *tar = fopen(path, "w");
	if (tar == NULL)
		err(99, "%s", path);
	return tar;
}

static void tar_close(FILE *tar)
{
	static const char zeros[1024];
	fwrite(zeros, 1, sizeof(zeros), tar);
	fclose(tar);
}

/* What an archive of Docker is made of. */
struct saved {
	char *layer;        /* a tar stream */
	size_t layer_bytes;
	struct digest diff_id;
	char *config;
	struct digest number;
	char config_path[128];
	char *manifest;     /* manifest.json, with the layer at "1/layer.tar" */
};

static struct saved saved_make(void)
{
	struct saved saved;
	shell("rm -rf layer && mkdir layer && echo a >layer/a && tar -C layer --mtime=@0 -cf layer.tar . && gzip -nkf layer.tar");
	saved.layer = file_read("layer.tar", &saved.layer_bytes);
	digest_of(saved.layer, saved.layer_bytes, &saved.diff_id);
	saved.config = json("{'os':'linux','architecture':'amd64','rootfs':{'type':'layers','diff_ids':['%s']}}", saved.diff_id.text);
	digest_of(saved.config, strlen(saved.config), &saved.number);
	snprintf(saved.config_path, sizeof(saved.config_path), "%s.json", digest_hex(&saved.number));
	saved.manifest = json("[{'Config':'%s','RepoTags':['debian:12','quay.io/a/b:c'],'Layers':['1/layer.tar']}]", saved.config_path);
	return saved;
}

static void saved_free(struct saved *saved)
{
	free(saved->layer);
	free(saved->config);
	free(saved->manifest);
}

/* The beginning of an archive with this manifest.json, and the configuration. */
static FILE *saved_begin(const struct saved *saved, const char *path, const char *manifest)
{
	FILE *tar = tar_open(path);
	tar_text(tar, "manifest.json", manifest);
	tar_text(tar, saved->config_path, saved->config);
	return tar;
}

static void saved_write(const struct saved *saved, const char *path)
{
	FILE *tar = saved_begin(saved, path, saved->manifest);
	tar_data(tar, "1/layer.tar", saved->layer, saved->layer_bytes);
	tar_close(tar);
}

static bool check_saved(const char *rest, const struct saved *saved)
{
	struct image_parts parts = { .diff_id = saved->diff_id, .config.digest = saved->number };
	return check_image(&container_docker_archive, rest, &parts);
}

static void test_docker_archive(void)
{
	struct saved saved = saved_make();
	struct err err = ERR_INIT;
	struct container *container;
	char rest[PATH_MAX];
	saved_write(&saved, "saved.tar");
	test_case ("an archive of Docker is read where it lies") {
		check_saved("saved.tar", &saved);
		if (!check_int(container_open(&container_docker_archive, "saved.tar", &container, &err), 0))
			break;
		check_str(container->manifest.layers[0].digest.text, saved.diff_id.text);
		check_str(container->manifest.layers[0].media_type, DOCKER "image.rootfs.diff.tar");
		check_int(container->manifest.layers[0].bytes, saved.layer_bytes);
		container_close(container);
	}
	test_case ("an archive's image is found by each of its names and by its number") {
		check_saved("saved.tar:debian:12", &saved);
		check_saved("saved.tar:docker.io/library/debian:12", &saved);
		check_saved("saved.tar:quay.io/a/b:c", &saved);
		snprintf(rest, sizeof(rest), "saved.tar:%s", saved.number.text);
		check_saved(rest, &saved);
		check_refused(&container_docker_archive, "saved.tar:debian:11", "'saved.tar' holds no image called 'debian:11'",
			      "there is: debian:12, quay.io/a/b:c");
		check_refused(&container_docker_archive, "saved.tar:debian", "holds no image called 'debian'", "");
	}
	test_case ("a compressed archive of Docker is read") {
		shell("gzip -c saved.tar >saved.tar.gz");
		check_saved("saved.tar.gz:debian:12", &saved);
	}
	test_case ("an archive of several images needs a tag") {
		autofree char *manifest = json("[{'Config':'%s','RepoTags':['a:1'],'Layers':['1/layer.tar']},"
					       "{'Config':'other.json','RepoTags':null,'Layers':[]}]", saved.config_path);
		FILE *tar = saved_begin(&saved, "two.tar", manifest);
		tar_data(tar, "1/layer.tar", saved.layer, saved.layer_bytes);
		tar_close(tar);
		check_refused(&container_docker_archive, "two.tar", "'two.tar' holds several images",
			      "add one of them after a colon: a:1, other.json");
		check_saved("two.tar:a:1", &saved);
	}
	test_case ("layers may be compressed, symbolic links and hard links") {
		size_t bytes;
		autofree char *gzip = file_read("layer.tar.gz", &bytes);
		struct digest digest;
		digest_of(gzip, bytes, &digest);
		FILE *tar = saved_begin(&saved, "links.tar", saved.manifest);
		tar_header(tar, "1/layer.tar", '2', "../2/layer.tar", 0);
		tar_header(tar, "./2/layer.tar", '1', "./3/../4/layer.tar", 0);
		tar_data(tar, "4/layer.tar", gzip, bytes);
		tar_close(tar);
		if (!check_int(container_open(&container_docker_archive, "links.tar", &container, &err), 0))
			break;
		check(!digest_is_set(&container->manifest.layers[0].digest));
		check_str(container->manifest.layers[0].media_type, DOCKER "image.rootfs.diff.tar.gzip");
		check_layer(container, 0, &digest);
		container_close(container);
	}
	test_case ("of two members of one name the last one counts") {
		FILE *tar = tar_open("twice.tar");
		tar_text(tar, "manifest.json", "[]");
		tar_header(tar, "1/layer.tar", '5', "", 0);
		tar_text(tar, saved.config_path, "{}");
		tar_data(tar, "1/layer.tar", saved.layer, saved.layer_bytes);
		tar_text(tar, "/./manifest.json", saved.manifest);
		tar_text(tar, saved.config_path, saved.config);
		tar_close(tar);
		check_saved("twice.tar", &saved);
	}
	saved_free(&saved);
}

/* An archive "bad.tar" with the layer as a link to somewhere. */
static void link_check(const struct saved *saved, char type, const char *target, const char *message)
{
	FILE *tar = saved_begin(saved, "bad.tar", saved->manifest);
	tar_header(tar, "1/layer.tar", type, target, 0);
	tar_header(tar, "loop", '2', "1/layer.tar", 0);
	tar_close(tar);
	check_refused(&container_docker_archive, "bad.tar", message, "");
}

static void test_docker_archive_refused(void)
{
	struct saved saved = saved_make();
	test_case ("links that lead out, nowhere or to themselves are refused") {
		link_check(&saved, '2', "../../etc/passwd", "'1/layer.tar' leads out of the archive 'bad.tar'");
		link_check(&saved, '2', "/etc/passwd", "'1/layer.tar' in 'bad.tar' is a link to 'etc/passwd', which is not there");
		link_check(&saved, '2', "layer.tar", "'1/layer.tar' in 'bad.tar' is a loop of links");
		link_check(&saved, '2', "../loop", "'1/layer.tar' in 'bad.tar' is a loop of links");
		link_check(&saved, '1', "1/layer.tar", "'1/layer.tar' in 'bad.tar' is a loop of links");
		link_check(&saved, '1', "gone", "is a link to 'gone', which is not there");
	}
	test_case ("what is no file is refused as a layer") {
		link_check(&saved, '5', "", "'1/layer.tar' in 'bad.tar' is not a regular file");
		link_check(&saved, '3', "", "'1/layer.tar' in 'bad.tar' is not a regular file");
		FILE *tar = saved_begin(&saved, "bad.tar", saved.manifest);
		tar_close(tar);
		check_refused(&container_docker_archive, "bad.tar", "'bad.tar' is incomplete: there is no '1/layer.tar'", "");
	}
	test_case ("a sparse member is refused") {
		shell("rm -rf sparse && mkdir -p sparse/1 && truncate -s 1M sparse/1/layer.tar");
		scratch_file("sparse/manifest.json", saved.manifest);
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "sparse/%s", saved.config_path);
		scratch_file(path, saved.config);
		if (shell("tar -C sparse -S -cf bad.tar . 2>/dev/null") != 0)
			test_skip("tar has no option -S");
		check_refused(&container_docker_archive, "bad.tar", "'1/layer.tar' in 'bad.tar' is stored as a sparse file", "");
	}
	test_case ("a layer beyond the archive's end is refused") {
		FILE *tar = saved_begin(&saved, "bad.tar", saved.manifest);
		tar_header(tar, "1/layer.tar", '0', "", 0777777777777ULL >> 3);
		tar_close(tar);
		check_refused(&container_docker_archive, "bad.tar", "the archive 'bad.tar' is truncated: it ends within '1/layer.tar'",
			      "copy or make the archive again");
	}
	test_case ("headers of gigabytes are refused, not held in memory") {
		FILE *tar = saved_begin(&saved, "bad.tar", saved.manifest);
		tar_header(tar, "pax", 'x', "", 1ULL << 32);
		fseek(tar, 1L << 32, SEEK_CUR);
		tar_data(tar, "1/layer.tar", saved.layer, saved.layer_bytes);
		tar_close(tar);
		struct err err = ERR_INIT;
		struct container *container;
		check(container_open(&container_docker_archive, "bad.tar", &container, &err) < 0);
		check(strstr(err.text, "16 MiB of headers") != NULL || strstr(err.text, "truncated or damaged") != NULL);
		unlink("bad.tar");
	}
	test_case ("a manifest.json that is too large or wrong is refused") {
		FILE *tar = tar_open("bad.tar");
		char *big = calloc(1, MANIFEST_BYTES_MAX + 1);
		tar_data(tar, "manifest.json", big, MANIFEST_BYTES_MAX + 1);
		tar_close(tar);
		free(big);
		check_refused(&container_docker_archive, "bad.tar", "'manifest.json' in 'bad.tar' is larger than 4.0 MiB", "");
		static const char *const wrong[][2] = {
			{ "{}", "'manifest.json' in 'bad.tar' is an object, not an array" },
			{ "[]", "'bad.tar' holds no image" },
			{ "[1]", "'[0]' is a whole number, not an object" },
			{ "[{}]", "'[0]' has no 'Config'" },
			{ "[{'Config':[]}]", "'[0].Config' is an array, not a string" },
			{ "[{'Config':'a','RepoTags':'b'}]", "'[0].RepoTags' is a string, not an array" },
			{ "[{'Config':'a','RepoTags':[1]}]", "'[0].RepoTags[0]' is a whole number, not a string" },
			{ "[{'Config':'a','Layers':{}}]", "'[0].Layers' is an object, not an array" },
			{ "[{'Config':'a','Layers':[null]}]", "'[0].Layers[0]' is null, not a string" },
			{ "[{'Config':'a','Layers':[]}]", "'bad.tar' is incomplete: there is no 'a'" },
			{ "[{'Config':'../../etc/passwd'}]", "'../../etc/passwd' leads out of the archive 'bad.tar'" },
			{ "[{'Config':'config','Layers':[]}]", "the configuration 'config' in 'bad.tar': 'rootfs.diff_ids' has 1 entries" },
			{ "[{'Config':'blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'}]", "is damaged: its digest is" },
		};
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			autofree char *text = json("%s", wrong[i][0]);
			tar = tar_open("bad.tar");
			tar_text(tar, "manifest.json", text);
			tar_text(tar, "config", saved.config);
			tar_text(tar, "blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", saved.config);
			tar_close(tar);
			check_refused(&container_docker_archive, "bad.tar", wrong[i][1], "");
		}
	}
	test_case ("archives of other kinds are told by what they are") {
		FILE *tar = tar_open("bad.tar");
		tar_text(tar, "repositories", "{}");
		tar_close(tar);
		check_refused(&container_docker_archive, "bad.tar", "'bad.tar' was saved by a Docker before 1.10", "save it again");
		struct image_parts parts = layout_put("one");
		shell("tar -C one -cf one.tar .");
		check_refused(&container_docker_archive, "one.tar", "'one.tar' is no archive of Docker", "oci-archive:one.tar");
		check_refused(&container_docker_archive, "layer.tar", "there is no 'manifest.json' in it", "");
		saved_write(&saved, "saved.tar");
		check_refused(&container_oci_archive, "saved.tar", "'saved.tar' is no OCI layout", "docker-archive:saved.tar");
		image_parts_free(&parts);
	}
	saved_free(&saved);
}

static void test_both(void)
{
	struct image_parts a = layout_put("both");
	test_case ("what a recent Docker saves can be read as either kind") {
		autofree char *manifest = json("[{'Config':'blobs/sha256/%s','RepoTags':['a:1'],'Layers':['blobs/sha256/%s']}]",
					       digest_hex(&a.config.digest), digest_hex(&a.layer.digest));
		scratch_file("both/manifest.json", manifest);
		shell("tar -C both -cf both.tar .");
		check_image(&container_oci_archive, "both.tar", &a);
		check_image(&container_docker_archive, "both.tar:a:1", &a);
	}
	image_parts_free(&a);
}

static void test_skopeo(void)
{
	struct image_parts a = layout_put("one");
	bool skopeo = has_command("skopeo");
	test_case ("skopeo's copies of an image are opened, whatever their form") {
		if (!skopeo)
			test_skip("no skopeo");
		check_int(shell("skopeo --insecure-policy copy -q oci:one:v1 oci-archive:skopeo-oci.tar:v2 >&2"), 0);
		check_int(shell("skopeo --insecure-policy copy -q oci:one:v1 oci:skopeo-oci:v3 >&2"), 0);
		check_int(shell("skopeo --insecure-policy copy -q --format v2s2 oci:one:v1 docker-archive:skopeo-docker.tar:team/app:v4 >&2"), 0);
		check_image(&container_oci_archive, "skopeo-oci.tar:v2", &a);
		check_image(&container_layout, "skopeo-oci:v3", &a);
		struct err err = ERR_INIT;
		struct container *container;
		if (!check_int(container_open(&container_docker_archive, "skopeo-docker.tar:team/app:v4", &container, &err), 0) ||
		    !check_str(err.text, ""))
			break;
		check_str(container->config.diff_ids[0].text, a.diff_id.text);
		check_layer(container, 0, &a.diff_id);
		container_close(container);
	}
	image_parts_free(&a);
}

int main(void)
{
	scratch_enter();
	struct err err = ERR_INIT;
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/cache", scratch.path);
	mkdir(path, 0700);
	if (cache_open(path, &cache, &err) < 0)
		errx(99, "%s", err.text);
	test_layout_tags();
	test_layout_several();
	test_platforms();
	test_layout_damage();
	test_layout_content();
	test_oci_archive();
	test_docker_archive();
	test_docker_archive_refused();
	test_both();
	test_skopeo();
	cache_close(cache);
	return test_end();
}

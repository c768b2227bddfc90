/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/oci/manifest.c and platform.c. JSON is written with single quotes here.
 */
#include "builder/oci/manifest.h"

#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define DOCKER "application/vnd.docker."
#define OCI "application/vnd.oci.image."
#define A "'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
#define B "'sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'"
#define C512                                                                                                                        \
	"'sha512:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" \
	"cccccccccc'"
#define TYPE(type) "'mediaType':'" type "'"
#define CONFIG "'config':{" TYPE(OCI "config.v1+json") ",'digest':" A ",'size':7}"
#define LAYER(type) "{" TYPE(type) ",'digest':" B ",'size':1000}"
#define GZIP LAYER(OCI "layer.v1.tar+gzip")
#define ENTRY(type, platform) "{" TYPE(type) ",'digest':" A ",'size':5" platform "}"
#define PLATFORM(os, arch) ",'platform':{'os':'" os "','architecture':'" arch "'}"
#define VARIANT(arch, variant) ",'platform':{'os':'linux','architecture':'" arch "','variant':'" variant "'}"

/* The text with double quotes, in one static buffer. */
static const char *json(const char *text)
{
	static char buffer[1 << 16];
	size_t i = 0;
	for (; text[i] != '\0' && i < sizeof(buffer) - 1; i++)
		buffer[i] = text[i] == '\'' ? '"' : text[i];
	buffer[i] = '\0';
	return buffer;
}

/* An index of the entry, so many times. */
static const char *index_json(const char *entry, int count)
{
	static char text[1 << 16];
	strcpy(text, "{'manifests':[");
	for (int i = 0; i < count && strlen(text) + strlen(entry) + 4 < sizeof(text); i++)
		strcat(strcat(text, i > 0 ? "," : ""), entry);
	strcat(text, "]}");
	return json(text);
}

static const struct {
	const char *what, *text, *content_type;
	int r;
	enum document_kind kind;
	const char *message;
} kinds[] = {
	{ "Docker's manifest", "{'schemaVersion':2," TYPE(DOCKER "distribution.manifest.v2+json") ",'layers':[],'config':{}}", NULL, 0,
	  DOCUMENT_MANIFEST, "" },
	{ "OCI's manifest", "{'schemaVersion':2," TYPE(OCI "manifest.v1+json") ",'layers':[],'config':{}}", OCI "manifest.v1+json", 0,
	  DOCUMENT_MANIFEST, "" },
	{ "Docker's list", "{'schemaVersion':2," TYPE(DOCKER "distribution.manifest.list.v2+json") ",'manifests':[]}", NULL, 0,
	  DOCUMENT_INDEX, "" },
	{ "OCI's index", "{'schemaVersion':2," TYPE(OCI "index.v1+json") ",'manifests':[]}", NULL, 0, DOCUMENT_INDEX, "" },
	{ "a manifest known by its Content-Type", "{'schemaVersion':2,'layers':[],'config':{}}", OCI "manifest.v1+json; charset=utf-8", 0,
	  DOCUMENT_MANIFEST, "" },
	{ "an index known by its Content-Type in upper case", "{'schemaVersion':2,'manifests':[]}",
	  "Application/vnd.oci.image.INDEX.v1+json", 0, DOCUMENT_INDEX, "" },
	{ "a manifest known by its shape", "{'schemaVersion':2,'layers':[],'config':{}}", "application/json", 0, DOCUMENT_MANIFEST, "" },
	{ "an index known by its shape", "{'manifests':[]}", NULL, 0, DOCUMENT_INDEX, "" },
	{ "a manifest that came under the other family's type", "{" TYPE(OCI "manifest.v1+json") ",'layers':[],'config':{}}",
	  DOCKER "distribution.manifest.v2+json", 0, DOCUMENT_MANIFEST, "" },
	{ "a manifest whose index members are null", "{'layers':[],'manifests':null}", NULL, 0, DOCUMENT_MANIFEST, "" },

	{ "both manifests and layers", "{'schemaVersion':2,'manifests':[],'layers':[],'config':{}}", NULL, -EBADMSG, 0, "is ambiguous" },
	{ "both manifests and config", "{'schemaVersion':2," TYPE(OCI "index.v1+json") ",'manifests':[],'config':{}}", NULL, -EBADMSG, 0,
	  "is ambiguous" },
	{ "both layers and fsLayers", "{'schemaVersion':2,'fsLayers':[],'layers':[]}", NULL, -EBADMSG, 0, "is ambiguous" },
	{ "a manifest called an index by itself", "{" TYPE(OCI "index.v1+json") ",'layers':[],'config':{}}", NULL, -EBADMSG, 0,
	  "is of the type 'application/vnd.oci.image.index.v1+json', but has the members of a manifest" },
	{ "an index called a manifest by itself", "{" TYPE(OCI "manifest.v1+json") ",'manifests':[]}", NULL, -EBADMSG, 0,
	  "but has the members of an index" },
	{ "an index called a manifest by its Content-Type", "{'manifests':[]}", OCI "manifest.v1+json", -EBADMSG, 0,
	  "but has the members of an index" },
	{ "an index that came as a manifest", "{" TYPE(OCI "index.v1+json") ",'manifests':[]}", OCI "manifest.v1+json", -EBADMSG, 0,
	  "the document came as 'application/vnd.oci.image.manifest.v1+json', but is of the type" },
	{ "schema 1", "{'schemaVersion':1,'name':'a','fsLayers':[],'history':[]}", "application/json", -ENOTSUP, 0,
	  "the document is that of an image of Docker's old format, schema 1" },
	{ "signed schema 1", "{'schemaVersion':1,'fsLayers':[]}", DOCKER "distribution.manifest.v1+prettyjws", -ENOTSUP, 0, "schema 1" },
	{ "schema 3", "{'schemaVersion':3,'layers':[]}", NULL, -EBADMSG, 0, "the document: 'schemaVersion' is 3, not 2" },
	{ "a schema that is a string", "{'schemaVersion':'2','layers':[]}", NULL, -EBADMSG, 0,
	  "'schemaVersion' is a string, not a whole number" },
	{ "a media type that is a number", "{'mediaType':5,'layers':[]}", NULL, -EBADMSG, 0, "'mediaType' is a whole number, not a string" },
	{ "an artifact manifest", "{" TYPE("application/vnd.oci.artifact.manifest.v1+json") ",'blobs':[]}", NULL, -ENOTSUP, 0,
	  "that of an artifact, not a container image" },
	{ "another type", "{" TYPE("text/x-recipe") "}", NULL, -ENOTSUP, 0, "is of the type 'text/x-recipe', which is no container image" },
	{ "an empty object", "{}", NULL, -EBADMSG, 0, "the document is no manifest: it has neither 'layers' nor 'manifests'" },
	{ "an error message of a registry", "{'errors':[{'code':'DENIED'}]}", NULL, -EBADMSG, 0, "is no manifest" },
	{ "an array", "[]", NULL, -EBADMSG, 0, "the document is an array, not an object" },
	{ "nothing", "", NULL, -EBADMSG, 0, "the document is no JSON document: line 1" },
	{ "a web page", "<html>", NULL, -EBADMSG, 0, "the document is no JSON document: line 1" },
	{ "half a document", "{'layers':[", NULL, -EBADMSG, 0, "is no JSON document" },
	{ "two documents", "{'layers':[]}{'layers':[]}", NULL, -EBADMSG, 0, "is no JSON document" },
	{ "a member that is there twice", "{'layers':[],'layers':[]}", NULL, -EBADMSG, 0, "is no JSON document: line 1: duplicate" },
	{ "a number beyond all integers", "{'schemaVersion':99999999999999999999,'layers':[]}", NULL, -EBADMSG, 0, "is no JSON document" },
	{ "a text that is not UTF-8", "{'layers':[],'a':'\xff'}", NULL, -EBADMSG, 0, "is no JSON document" },
	{ "a zero byte in a string", "{" TYPE("a\\u0000b") "}", NULL, -EBADMSG, 0, "is no JSON document" },
};

static void test_kinds(void)
{
	for (size_t i = 0; i < COUNT(kinds); i++)
		test_case ("kind of a document: %s", kinds[i].what) {
			struct err err = ERR_INIT;
			enum document_kind kind = (enum document_kind)99;
			const char *text = json(kinds[i].text);
			check_int(document_kind(text, strlen(text), kinds[i].content_type, "the document", &kind, &err), kinds[i].r);
			check_has(err.text, kinds[i].message);
			check_int(kind, kinds[i].r == 0 ? kinds[i].kind : 99);
		}
}

static void big_check(const char *text, size_t bytes, const char *message)
{
	struct err err = ERR_INIT;
	enum document_kind kind;
	check_int(document_kind(text, bytes, NULL, "the document", &kind, &err), -EBADMSG);
	check_has(err.text, message);
}

static void test_bounds(void)
{
	size_t bytes = MANIFEST_BYTES_MAX + 1;
	char *text = malloc(bytes);
	test_case ("a document of more than 4 MiB is refused") {
		memset(text, ' ', bytes);
		memcpy(text, "{\"layers\":[]}", 13);
		big_check(text, bytes, "the document is larger than 4.0 MiB");
	}
	test_case ("a document of a million values is refused") {
		memcpy(text, "{\"layers\":[", 11);
		for (size_t i = 11; i < 2000011; i += 2)
			memcpy(text + i, "0,", 2);
		memcpy(text + 2000011, "0]}", 3);
		big_check(text, 2000014, "the document has more than 524288 values");
	}
	test_case ("a document nested a million times is refused") {
		memset(text, '[', 500000);
		memset(text + 500000, ']', 500000);
		big_check(text, 1000000, "is no JSON document: line 1: maximum parsing depth");
	}
	free(text);
}

#define LINUX_AMD64 ENTRY(OCI "manifest.v1+json", PLATFORM("linux", "amd64"))
#define ATTESTATION(platform)                                                                                                       \
	ENTRY(OCI "manifest.v1+json", platform ",'annotations':{'vnd.docker.reference.type':'attestation-manifest'}")

/* The chosen one is the one whose size is 77. */
#define GOOD(type, platform) "{" TYPE(type) ",'digest':" B ",'size':77" platform "}"
#define M OCI "manifest.v1+json"

static const struct {
	const char *what, *wanted, *entries;
	int r;
	const char *message;
} choices[] = {
	{ "the entry for the architecture", "amd64",
	  ENTRY(M, PLATFORM("linux", "arm64")) "," GOOD(M, PLATFORM("linux", "amd64")) "," ENTRY(M, PLATFORM("linux", "s390x")), 0, "" },
	{ "Docker's spelling of the types", "amd64",
	  ENTRY(DOCKER "distribution.manifest.v2+json", PLATFORM("linux", "arm64")) "," GOOD(DOCKER "distribution.manifest.v2+json",
											     PLATFORM("linux", "amd64")),
	  0, "" },
	{ "the first one that matches", "amd64", GOOD(M, PLATFORM("linux", "amd64")) "," LINUX_AMD64, 0, "" },
	{ "not one for another system", "amd64", ENTRY(M, PLATFORM("windows", "amd64")) "," GOOD(M, PLATFORM("linux", "amd64")), 0, "" },
	{ "an index within the index", "amd64", GOOD(OCI "index.v1+json", PLATFORM("linux", "amd64")), 0, "" },
	{ "not an attestation for the same platform", "amd64",
	  ATTESTATION(PLATFORM("linux", "amd64")) "," GOOD(M, PLATFORM("linux", "amd64")), 0, "" },
	{ "arm64 for arm64/v8", "arm64/v8", GOOD(M, PLATFORM("linux", "arm64")), 0, "" },
	{ "arm64/v8 for arm64", "arm64", GOOD(M, VARIANT("arm64", "v8")), 0, "" },
	{ "arm64/8 for arm64/v8", "arm64/v8", GOOD(M, VARIANT("arm64", "8")), 0, "" },
	{ "aarch64 for arm64", "arm64", GOOD(M, PLATFORM("linux", "aarch64")), 0, "" },
	{ "arm/v7 before v6 and v5", "arm/v7",
	  ENTRY(M, VARIANT("arm", "v5")) "," ENTRY(M, VARIANT("arm", "v6")) "," GOOD(M, VARIANT("arm", "v7")), 0, "" },
	{ "arm/v6 for v7 if there is none for v7", "arm/v7",
	  ENTRY(M, VARIANT("arm", "v5")) "," GOOD(M, VARIANT("arm", "v6")) "," ENTRY(M, VARIANT("arm", "v8")), 0, "" },
	{ "arm for arm/v6 as the last resort", "arm/v6", ENTRY(M, VARIANT("arm", "v7")) "," GOOD(M, PLATFORM("linux", "arm")), 0, "" },
	{ "arm/v7 for armhf", "armhf", ENTRY(M, VARIANT("arm", "v6")) "," GOOD(M, VARIANT("arm", "v7")), 0, "" },
	{ "plain amd64 before amd64/v3", "amd64", ENTRY(M, VARIANT("amd64", "v3")) "," GOOD(M, PLATFORM("linux", "amd64")), 0, "" },
	{ "amd64/v1 as plain amd64", "amd64", ENTRY(M, VARIANT("amd64", "v3")) "," GOOD(M, VARIANT("amd64", "v1")), 0, "" },
	{ "amd64/v3 where that is wanted", "amd64/v3",
	  LINUX_AMD64 "," ENTRY(M, VARIANT("amd64", "v4")) "," GOOD(M, VARIANT("amd64", "v3")), 0, "" },
	{ "amd64/v3 where nothing else is there", "amd64", GOOD(M, VARIANT("amd64", "v3")), 0, "" },
	{ "one entry without a platform", "amd64", GOOD(M, ""), 0, "" },
	{ "one entry with an empty platform", "amd64", GOOD(M, ",'platform':{}"), 0, "" },
	{ "one entry without a platform beside an attestation", "amd64",
	  ENTRY(M, PLATFORM("unknown", "unknown")) "," GOOD(OCI "index.v1+json", ""), 0, "" },
	{ "one entry without a platform beside an artifact", "amd64",
	  ENTRY("application/vnd.cncf.helm.config.v1+json", "") "," GOOD(M, ",'platform':null,'annotations':null"), 0, "" },

	{ "another architecture", "riscv64", LINUX_AMD64 "," ENTRY(M, VARIANT("arm64", "v8")) "," ENTRY(M, PLATFORM("unknown", "unknown")),
	  -ENOENT, "the index has no image for linux/riscv64, only for linux/amd64, linux/arm64/v8" },
	{ "a variant that is too high", "arm/v6", ENTRY(M, VARIANT("arm", "v7")), -ENOENT,
	  "the index has no image for linux/arm/v6, only for linux/arm/v7" },
	{ "an entry without a platform beside another platform's", "riscv64", LINUX_AMD64 "," ENTRY(M, ""), -ENOENT,
	  "no image for linux/riscv64, only for linux/amd64" },
	{ "two entries without a platform", "amd64", ENTRY(M, "") "," ENTRY(M, ""), -ENOENT,
	  "the index lists 2 images and does not say which is for linux/amd64" },
	{ "attestations alone", "amd64", ATTESTATION(PLATFORM("unknown", "unknown")), -ENOENT, "the index lists no container image" },
	{ "no entry", "amd64", "", -ENOENT, "the index lists no container image" },
	{ "an entry that is a string", "amd64", "'amd64'", -EBADMSG, "the index: 'manifests[0]' is a string, not an object" },
	{ "a platform that is a string", "amd64", ENTRY(M, ",'platform':'linux'"), -EBADMSG,
	  "the index: 'manifests[0].platform' is a string, not an object" },
	{ "an architecture that is an array", "amd64", LINUX_AMD64 "," ENTRY(M, ",'platform':{'architecture':[]}"), -EBADMSG,
	  "'manifests[1].platform.architecture' is an array, not a string" },
	{ "annotations that are a boolean", "amd64", ENTRY(M, ",'annotations':true"), -EBADMSG,
	  "'manifests[0].annotations' is a boolean, not an object" },
	{ "a chosen entry without a digest", "amd64", "{" TYPE(M) ",'size':5" PLATFORM("linux", "amd64") "}", -EBADMSG,
	  "the index: 'manifests[0]' has no 'digest'" },
	{ "a chosen entry with a digest that is a path", "amd64",
	  "{" TYPE(M) ",'size':5,'digest':'../../etc/passwd'" PLATFORM("linux", "amd64") "}", -EBADMSG,
	  "'manifests[0].digest' cannot be used: '../../etc/passwd' is not a digest" },
};

static int choose(const char *text, const char *wanted, struct descriptor *ret_chosen, struct err *err)
{
	char storage[PLATFORM_STORAGE_BYTES];
	struct platform platform;
	int r = platform_parse(wanted, storage, &platform, err);
	return r < 0 ? r : index_choose(text, strlen(text), &platform, "the index", ret_chosen, err);
}

static void test_choices(void)
{
	for (size_t i = 0; i < COUNT(choices); i++)
		test_case ("choice from an index: %s", choices[i].what) {
			struct err err = ERR_INIT;
			struct descriptor chosen = { 0 };
			check_int(choose(index_json(choices[i].entries, 1), choices[i].wanted, &chosen, &err), choices[i].r);
			check_has(err.text, choices[i].message);
			check_int(chosen.bytes, choices[i].r == 0 ? 77 : 0);
			descriptor_free(&chosen);
		}
	test_case ("a long list of what an index offers is cut") {
		struct err err = ERR_INIT;
		struct descriptor chosen = { 0 };
		check_int(choose(index_json(LINUX_AMD64, 200), "arm64", &chosen, &err), -ENOENT);
		check_has(err.text, "linux/amd64, linux/amd64, ...");
		check_has(err.hint, "--arch");
	}
	test_case ("an index without entries at all is refused") {
		struct err err = ERR_INIT;
		struct descriptor chosen;
		check_int(choose("{}", "arm64", &chosen, &err), -EBADMSG);
		check_has(err.text, "the index has no 'manifests'");
	}
}

#define MANIFEST(layers) "{'schemaVersion':2," CONFIG ",'layers':[" layers "]}"
#define WITH_CONFIG(type, rest) "{'config':{" TYPE(type) ",'digest':" A ",'size':2},'layers':[" GZIP "]" rest "}"

static const struct {
	const char *what, *text;
	int r;
	const char *message;
} manifests[] = {
	{ "an image without layers", MANIFEST(""), 0, "" },
	{ "all types of layers of OCI",
	  MANIFEST(LAYER(OCI "layer.v1.tar") "," GZIP "," LAYER(OCI "layer.v1.tar+zstd") "," LAYER(
		  OCI "layer.nondistributable.v1.tar") "," LAYER(OCI "layer.nondistributable.v1.tar+gzip") "," LAYER(
		  OCI "layer.nondistributable.v1.tar+zstd")),
	  0, "" },
	{ "all types of layers of Docker",
	  MANIFEST(LAYER(DOCKER "image.rootfs.diff.tar") "," LAYER(DOCKER "image.rootfs.diff.tar.gzip") "," LAYER(
		  DOCKER "image.rootfs.diff.tar.zstd") "," LAYER(DOCKER "image.rootfs.foreign.diff.tar.gzip")),
	  0, "" },
	{ "Docker's type of the configuration", WITH_CONFIG(DOCKER "container.image.v1+json", ""), 0, "" },
	{ "the configuration's type of Docker 1.10", WITH_CONFIG("application/octet-stream", ""), 0, "" },

	{ "a Helm chart", WITH_CONFIG("application/vnd.cncf.helm.config.v1+json", ""), -ENOTSUP,
	  "the manifest is that of a Helm chart, not of a container image: it has the type 'application/vnd.cncf.helm.config.v1+json'" },
	{ "a SIF file", WITH_CONFIG("application/vnd.sylabs.sif.config.v1+json", ""), -ENOTSUP, "that of a SIF file of Singularity or Apptainer" },
	{ "an artifact with a type", WITH_CONFIG("application/vnd.oci.empty.v1+json", ",'artifactType':'application/x-model'"), -ENOTSUP,
	  "that of an artifact, not of a container image: it has the type 'application/x-model'" },
	{ "an artifact of ORAS", WITH_CONFIG("application/vnd.unknown.config.v1+json", ""), -ENOTSUP, "that of an artifact" },
	{ "something else", WITH_CONFIG("application/x-other", ""), -ENOTSUP, "it has the type 'application/x-other'" },
	{ "a plugin of Docker", WITH_CONFIG(DOCKER "plugin.v1+json", ""), -ENOTSUP, "that of a plugin of Docker" },
	{ "a signature", MANIFEST(LAYER("application/vnd.dev.cosign.simplesigning.v1+json")), -ENOTSUP, "that of a signature of cosign" },
	{ "an attestation", MANIFEST(LAYER("application/vnd.in-toto+json")), -ENOTSUP, "that of an attestation" },
	{ "an encrypted layer", MANIFEST(GZIP "," LAYER(OCI "layer.v1.tar+gzip+encrypted")), -ENOTSUP,
	  "the manifest: 'layers[1]' is encrypted" },
	{ "a layer of another type", MANIFEST(LAYER("application/x-squashfs")), -ENOTSUP,
	  "the manifest: 'layers[0]' is of the type 'application/x-squashfs', which is no layer of a container image" },

	{ "no configuration", "{'layers':[]}", -EBADMSG, "the manifest has no 'config'" },
	{ "a configuration that is a string", "{'config':'a','layers':[]}", -EBADMSG, "'config' is a string, not an object" },
	{ "no layers", "{" CONFIG "}", -EBADMSG, "the manifest has no 'layers'" },
	{ "layers that are an object", "{" CONFIG ",'layers':{}}", -EBADMSG, "'layers' is an object, not an array" },
	{ "a layer that is null", MANIFEST("null"), -EBADMSG, "'layers[0]' is null, not an object" },
	{ "a layer without a type", MANIFEST("{'digest':" A ",'size':1}"), -EBADMSG, "'layers[0]' has no 'mediaType'" },
	{ "a layer without a digest", MANIFEST("{" TYPE("a") ",'size':1}"), -EBADMSG, "'layers[0]' has no 'digest'" },
	{ "a digest that is a number", MANIFEST("{" TYPE("a") ",'digest':1}"), -EBADMSG, "'layers[0].digest' is a whole number, not a string" },
	{ "a digest with a zero byte", MANIFEST("{" TYPE("a") ",'digest':'sha256:\\u0000'}"), -EBADMSG, "no JSON document" },
	{ "a layer without a size", MANIFEST("{" TYPE("a") ",'digest':" A "}"), -EBADMSG, "'layers[0]' has no 'size'" },
	{ "a size that is a string", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':'1'}"), -EBADMSG,
	  "'layers[0].size' is a string, not a whole number" },
	{ "a size with a fraction", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':1.5}"), -EBADMSG,
	  "'layers[0].size' is a number, not a whole number" },
	{ "a negative size", MANIFEST(GZIP ",{" TYPE("a") ",'digest':" A ",'size':-1}"), -EBADMSG, "'layers[1].size' is negative" },
	{ "a size beyond 64 bits", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':18446744073709551617}"), -EBADMSG, "no JSON document" },
	{ "sizes whose sum is beyond 63 bits",
	  MANIFEST(GZIP ",{" TYPE(OCI "layer.v1.tar") ",'digest':" A ",'size':9223372036854775807}"), -EBADMSG,
	  "'layers' has sizes whose sum is out of range" },
	{ "urls that are a string", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':1,'urls':'http://a'}"), -EBADMSG,
	  "'layers[0].urls' is a string, not an array" },
	{ "a url that is a number", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':1,'urls':['http://a',1]}"), -EBADMSG,
	  "'layers[0].urls[1]' is a whole number, not a string" },
	{ "data that is an array", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':1,'data':[]}"), -EBADMSG,
	  "'layers[0].data' is an array, not a string" },
	{ "data of another length than the size", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':4,'data':'YWJj'}"), -EBADMSG,
	  "'layers[0].data' is not the base64 of 4 bytes" },
	{ "data of a wild length", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':9223372036854775807,'data':'YWJj'}"), -EBADMSG,
	  "is not the base64 of 9223372036854775807 bytes" },
	{ "data that is not base64", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':3,'data':'YW-j'}"), -EBADMSG, "is not the base64" },
	{ "data with padding in the middle", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':5,'data':'YW==YWI='}"), -EBADMSG,
	  "is not the base64" },
	{ "data without padding", MANIFEST("{" TYPE("a") ",'digest':" A ",'size':2,'data':'YWI'}"), -EBADMSG, "is not the base64" },
};

static void test_manifests(void)
{
	for (size_t i = 0; i < COUNT(manifests); i++)
		test_case ("manifest: %s", manifests[i].what) {
			struct err err = ERR_INIT;
			struct manifest manifest = { 0 };
			const char *text = json(manifests[i].text);
			check_int(manifest_parse(text, strlen(text), "the manifest", &manifest, &err), manifests[i].r);
			check_has(err.text, manifests[i].message);
			check_int(manifest.config.bytes > 0, manifests[i].r == 0);
			manifest_free(&manifest);
		}
}

static void test_manifest_content(void)
{
	test_case ("a manifest is read as it stands") {
		struct err err = ERR_INIT;
		struct manifest manifest = { 0 };
		const char *text = json(MANIFEST(GZIP ",{" TYPE(DOCKER "image.rootfs.foreign.diff.tar.gzip") ",'digest':" C512
						      ",'size':3,'urls':['https://a/b','https://c/d'],'data':'YWJj','annotations':{}}"));
		if (!check_int(manifest_parse(text, strlen(text), "the manifest", &manifest, &err), 0) ||
		    !check_int(manifest.layer_count, 2))
			break;
		check_str(manifest.config.media_type, OCI "config.v1+json");
		check_has(manifest.config.digest.text, "sha256:aaaa");
		check_int(manifest.config.bytes, 7);
		check_str(manifest.layers[0].media_type, OCI "layer.v1.tar+gzip");
		check_int(manifest.layers[0].bytes, 1000);
		check_int(manifest.layers[0].urls.count, 0);
		check(manifest.layers[0].data == NULL);
		check_has(manifest.layers[1].digest.text, "sha512:cccc");
		check_int(manifest.layers[1].urls.count, 2);
		check_str(manifest.layers[1].urls.items[1], "https://c/d");
		check_int(manifest.layers[1].data_bytes, 3);
		check(memcmp(manifest.layers[1].data, "abc", 3) == 0);
		manifest_free(&manifest);
	}
	test_case ("data may be of any length, also empty") {
		static const char *const base64[] = { "", "YQ==", "YWI=", "YWJj", "YWJjZA==" };
		for (size_t i = 0; i < COUNT(base64); i++) {
			struct err err = ERR_INIT;
			struct manifest manifest = { 0 };
			char text[1024];
			snprintf(text, sizeof(text), "{'config':{" TYPE(OCI "config.v1+json") ",'digest':" A ",'size':%zu,'data':'%s'},'layers':[]}",
				 i, base64[i]);
			const char *fixed = json(text);
			check_int(manifest_parse(fixed, strlen(fixed), "the manifest", &manifest, &err), 0);
			check_int(manifest.config.data_bytes, i);
			check(manifest.config.data != NULL && memcmp(manifest.config.data, "abcd", i) == 0);
			manifest_free(&manifest);
		}
	}
	test_case ("a manifest of 4097 layers is refused") {
		struct err err = ERR_INIT;
		struct manifest manifest;
		char *text = malloc(1 << 20);
		size_t used = (size_t)sprintf(text, "%s", json("{" CONFIG ",'layers':["));
		for (int i = 0; i < LAYERS_MAX + 1; i++)
			used += (size_t)sprintf(text + used, "%s{}", i > 0 ? "," : "");
		used += (size_t)sprintf(text + used, "]}");
		check_int(manifest_parse(text, used, "the manifest", &manifest, &err), -EBADMSG);
		check_has(err.text, "'layers' has 4097 entries, more than 4096");
		free(text);
	}
}

#define ROOTFS(ids) "'rootfs':{'type':'layers','diff_ids':[" ids "]}"

static const struct {
	const char *what, *text;
	size_t layers;
	int r;
	const char *message;
} configs[] = {
	{ "one layer", "{" ROOTFS(A) "}", 1, 0, "" },
	{ "two layers, one with sha512", "{'os':'linux'," ROOTFS(A "," C512) "}", 2, 0, "" },
	{ "no layer", "{" ROOTFS("") "}", 0, 0, "" },
	{ "no layer and no rootfs", "{}", 0, 0, "" },
	{ "members that are null", "{'created':null,'os':null,'config':null," ROOTFS(A) "}", 1, 0, "" },

	{ "fewer diff_ids than layers", "{" ROOTFS(A) "}", 2, -EBADMSG,
	  "the configuration: 'rootfs.diff_ids' has 1 entries, but the manifest has 2 layers" },
	{ "more diff_ids than layers", "{" ROOTFS(A "," B) "}", 1, -EBADMSG, "has 2 entries, but the manifest has 1 layers" },
	{ "no rootfs", "{'os':'linux'}", 1, -EBADMSG, "the configuration has no 'rootfs'" },
	{ "no diff_ids", "{'rootfs':{'type':'layers'}}", 1, -EBADMSG, "'rootfs.diff_ids' has 0 entries, but" },
	{ "a rootfs that is an array", "{'rootfs':[]}", 1, -EBADMSG, "'rootfs' is an array, not an object" },
	{ "a rootfs of another type", "{'rootfs':{'type':'layers+base','diff_ids':[" A "]}}", 1, -EBADMSG,
	  "'rootfs' is of the type 'layers+base', not 'layers'" },
	{ "diff_ids that are an object", "{'rootfs':{'diff_ids':{}}}", 1, -EBADMSG, "'rootfs.diff_ids' is an object, not an array" },
	{ "a diff_id that is a number", "{" ROOTFS("1") "}", 1, -EBADMSG, "'rootfs.diff_ids[0]' is a whole number, not a string" },
	{ "a diff_id that is no digest", "{" ROOTFS("'sha256:12'") "}", 1, -EBADMSG, "'rootfs.diff_ids[0]' cannot be used: the digest 'sha256:12'" },
	{ "an architecture that is a number", "{'architecture':64," ROOTFS(A) "}", 1, -EBADMSG, "'architecture' is a whole number, not a string" },
	{ "a configuration that is an array", "[]", 1, -EBADMSG, "the configuration is an array, not an object" },
	{ "no JSON", "\x1f\x8b\x08", 1, -EBADMSG, "the configuration is no JSON document" },
};

static void test_configs(void)
{
	for (size_t i = 0; i < COUNT(configs); i++)
		test_case ("configuration: %s", configs[i].what) {
			struct err err = ERR_INIT;
			struct image_config config = { 0 };
			const char *text = json(configs[i].text);
			check_int(image_config_parse(text, strlen(text), configs[i].layers, "the configuration", &config, &err), configs[i].r);
			check_has(err.text, configs[i].message);
			if (configs[i].r == 0)
				check_int(config.diff_id_count, configs[i].layers);
			image_config_free(&config);
		}
	test_case ("a configuration is read as it stands, and its text is kept") {
		struct err err = ERR_INIT;
		struct image_config config = { 0 };
		const char *text = json("{'architecture':'arm','variant':'v7','os':'linux','created':'2024-01-02T03:04:05Z'," ROOTFS(B) "}");
		if (!check_int(image_config_parse(text, strlen(text), 1, "the configuration", &config, &err), 0))
			break;
		check_str(config.text, text);
		check_int(config.bytes, strlen(text));
		check_str(config.os, "linux");
		check_str(config.architecture, "arm");
		check_str(config.variant, "v7");
		check_str(config.created, "2024-01-02T03:04:05Z");
		check_has(config.diff_ids[0].text, "sha256:bbbb");
		image_config_free(&config);
	}
}

static const struct {
	const char *name, *platform;
} platforms[] = {
	{ "amd64", "linux/amd64" },
	{ "x86_64", "linux/amd64" },
	{ "X86-64", "linux/amd64" },
	{ "linux/amd64", "linux/amd64" },
	{ "linux/x86_64", "linux/amd64" },
	{ "amd64/v3", "linux/amd64/v3" },
	{ "arm64", "linux/arm64" },
	{ "aarch64", "linux/arm64" },
	{ "linux/arm64/v8", "linux/arm64/v8" },
	{ "arm", "linux/arm/v7" },
	{ "armhf", "linux/arm/v7" },
	{ "armel", "linux/arm/v6" },
	{ "arm/v6", "linux/arm/v6" },
	{ "linux/arm", "linux/arm/v7" },
	{ "i686", "linux/386" },
	{ "ppc64el", "linux/ppc64le" },
	{ "riscv64", "linux/riscv64" },
	{ "s390x", "linux/s390x" },
	{ "loongarch64", "linux/loong64" },
	{ "future128", "linux/future128" },
};

static const struct {
	const char *name, *message;
} bad_platforms[] = {
	{ "", "'' is no architecture" },
	{ "/", "'/' is no architecture" },
	{ "linux/", "'linux/' is no architecture" },
	{ "/amd64", "'/amd64' is no architecture" },
	{ "linux//v8", "is no architecture" },
	{ "linux/arm/v7/x", "is no architecture" },
	{ "amd 64", "'amd 64' is no architecture" },
	{ "windows/amd64", "'windows/amd64' is for the system 'windows'; images are for linux" },
	{ "darwin/arm64/v8", "is for the system 'darwin'" },
	{ "a123456789b123456789c123456789d123456789e123456789f123456789g123456789", "is no architecture" },
};

static void test_platforms(void)
{
	char storage[PLATFORM_STORAGE_BYTES], text[PLATFORM_TEXT_MAX];
	for (size_t i = 0; i < COUNT(platforms); i++)
		test_case ("'%s' is %s", platforms[i].name, platforms[i].platform) {
			struct err err = ERR_INIT;
			struct platform platform;
			if (check_int(platform_parse(platforms[i].name, storage, &platform, &err), 0))
				check_str(platform_format(&platform, text), platforms[i].platform);
		}
	for (size_t i = 0; i < COUNT(bad_platforms); i++)
		test_case ("'%s' is refused as an architecture", bad_platforms[i].name) {
			struct err err = ERR_INIT;
			struct platform platform;
			check_int(platform_parse(bad_platforms[i].name, storage, &platform, &err), -EINVAL);
			check_has(err.text, bad_platforms[i].message);
		}
	test_case ("this machine has a platform") {
		struct err err = ERR_INIT;
		struct platform platform = { 0 };
		check_int(platform_parse(NULL, storage, &platform, &err), 0);
		check_str(platform.os, "linux");
#ifdef __x86_64__
		check_str(platform.architecture, "amd64");
#endif
	}
}

int main(void)
{
	test_kinds();
	test_bounds();
	test_choices();
	test_manifests();
	test_manifest_content();
	test_configs();
	test_platforms();
	return test_end();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/oci/reference.h"

#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define SHA256 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA512                                                                                                                      \
	"sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9a" \
	"c94fa54ca49f"

static const struct {
	const char *text, *host, *name, *tag, *digest, *formatted;
} good[] = {
	{ "debian", "docker.io", "library/debian", "latest", "", "docker.io/library/debian:latest" },
	{ "//debian", "docker.io", "library/debian", "latest", "", "docker.io/library/debian:latest" },
	{ "//debian:12", "docker.io", "library/debian", "12", "", "docker.io/library/debian:12" },
	{ "team/app", "docker.io", "team/app", "latest", "", "docker.io/team/app:latest" },
	{ "docker.io/debian", "docker.io", "library/debian", "latest", "", "docker.io/library/debian:latest" },
	{ "index.docker.io/debian", "docker.io", "library/debian", "latest", "", "docker.io/library/debian:latest" },
	{ "docker.io/library/debian:12", "docker.io", "library/debian", "12", "", "docker.io/library/debian:12" },
	{ "quay.io/app", "quay.io", "app", "latest", "", "quay.io/app:latest" },
	{ "//nvcr.io/nvidia/cuda:12.2.0-base", "nvcr.io", "nvidia/cuda", "12.2.0-base", "", "nvcr.io/nvidia/cuda:12.2.0-base" },
	{ "GHCR.io/a/b/c/d", "ghcr.io", "a/b/c/d", "latest", "", "ghcr.io/a/b/c/d:latest" },
	/* hosts */
	{ "localhost/app", "localhost", "app", "latest", "", "localhost/app:latest" },
	{ "localhost:5000/app:1", "localhost:5000", "app", "1", "", "localhost:5000/app:1" },
	{ "node01:5000/app", "node01:5000", "app", "latest", "", "node01:5000/app:latest" },
	{ "127.0.0.1:5000/app", "127.0.0.1:5000", "app", "latest", "", "127.0.0.1:5000/app:latest" },
	{ "[::1]:5000/app", "[::1]:5000", "app", "latest", "", "[::1]:5000/app:latest" },
	{ "[2001:DB8::1]/team/app:v1", "[2001:db8::1]", "team/app", "v1", "", "[2001:db8::1]/team/app:v1" },
	{ "[::ffff:10.0.0.1]:65535/app", "[::ffff:10.0.0.1]:65535", "app", "latest", "", "[::ffff:10.0.0.1]:65535/app:latest" },
	{ "a-b.example/app", "a-b.example", "app", "latest", "", "a-b.example/app:latest" },
	/* as enroot spells it */
	{ "nvcr.io#nvidia/cuda:12", "nvcr.io", "nvidia/cuda", "12", "", "nvcr.io/nvidia/cuda:12" },
	{ "docker.io#debian", "docker.io", "library/debian", "latest", "", "docker.io/library/debian:latest" },
	{ "registry#team/app", "registry", "team/app", "latest", "", "registry#team/app:latest" },
	{ "localhost:5000#app:1", "localhost:5000", "app", "1", "", "localhost:5000/app:1" },
	/* a word with a colon and no slash is a tag */
	{ "localhost:5000", "docker.io", "library/localhost", "5000", "", "docker.io/library/localhost:5000" },
	{ "localhost", "docker.io", "library/localhost", "latest", "", "docker.io/library/localhost:latest" },
	/* digests */
	{ "debian@" SHA256, "docker.io", "library/debian", "", SHA256, "docker.io/library/debian@" SHA256 },
	{ "debian@" SHA512, "docker.io", "library/debian", "", SHA512, "docker.io/library/debian@" SHA512 },
	{ "quay.io/a/b:1.0@" SHA256, "quay.io", "a/b", "1.0", SHA256, "quay.io/a/b:1.0@" SHA256 },
	{ "localhost:5000/a@" SHA256, "localhost:5000", "a", "", SHA256, "localhost:5000/a@" SHA256 },
	{ "nvcr.io#a@" SHA256, "nvcr.io", "a", "", SHA256, "nvcr.io/a@" SHA256 },
	/* names and tags */
	{ "a.b/c", "a.b", "c", "latest", "", "a.b/c:latest" },
	{ "a_b/c__d/e---f.g", "docker.io", "a_b/c__d/e---f.g", "latest", "", "docker.io/a_b/c__d/e---f.g:latest" },
	{ "app:_a.B-9", "docker.io", "library/app", "_a.B-9", "", "docker.io/library/app:_a.B-9" },
	{ "a/b:" HUNDRED TEN TEN "12345678", "docker.io", "a/b", HUNDRED TEN TEN "12345678", "",
	  "docker.io/a/b:" HUNDRED TEN TEN "12345678" },
};

static const struct {
	const char *text, *message, *hint;
} bad[] = {
	{ "", "'' names no container image: the name is empty", "" },
	{ "//", "'' names no container image: the name is empty", "" },
	{ ":12", "the name is empty", "" },
	{ "@" SHA256, "the name is empty", "" },
	{ "quay.io/", "the name is empty", "" },
	{ "quay.io#", "the name is empty", "" },
	{ "///app", "has an empty component", "" },
	{ "team//app", "'team//app' has an empty component", "" },
	{ "team/app/", "'team/app/' has an empty component", "" },
	{ "debian:", "'debian:' names no container image: the tag is empty", "without a tag and its colon, it is 'latest'" },
	{ "debian:@" SHA256, "the tag is empty", "" },
	{ "Debian:12", "'Debian:12' names no container image: 'Debian' has upper-case letters", "names in lower case only" },
	{ "quay.io/Team/app", "'Team/app' has upper-case letters", "names in lower case only" },
	{ "https://ghcr.io/a/b", "'https://' is no host", "without 'https://', it is docker://ghcr.io/a/b" },
	{ "//docker://debian", "'docker://' is no host", "without 'docker://', it is docker://debian" },
	{ "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "is the number of an image, not a name", "NAME@sha256:DIGEST" },
	{ "debian:a/b", "'debian:a/b' names no container image: 'a' is no port", "" },
	{ "debian:-x", "'-x' is no tag", "" },
	{ "debian:.x", "'.x' is no tag", "" },
	{ "debian:1:2", "'debian:1' cannot be part of a name", "" },
	{ "debian:a b", "'a b' is no tag", "" },
	{ "debian:\xc3\xa4", "is no tag", "" },
	{ "debian:" HUNDRED TEN TEN "123456789", "the tag has 129 characters, more than 128", "" },
	{ "-a", "'-a' cannot be part of a name", "" },
	{ "a-", "'a-' cannot be part of a name", "" },
	{ "a..b/c/d_", "'a..b' is no host", "" },
	{ "q.io/a..b", "'a..b' cannot be part of a name", "" },
	{ "q.io/a___b", "'a___b' cannot be part of a name", "" },
	{ "q.io/../b", "'..' cannot be part of a name", "" },
	{ "q.io/_/debian", "'_' cannot be part of a name", "" },
	{ "de bian", "'de bian' cannot be part of a name", "" },
	{ "q.io/a%2fb", "'a%2fb' cannot be part of a name", "" },
	{ "q.io/a?b=c", "'a?b=c' cannot be part of a name", "" },
	{ "q.io/a\nb", "cannot be part of a name", "" },
	{ "q.io/" HUNDRED HUNDRED TEN TEN TEN TEN TEN "123456", "the name has 256 characters, more than 255", "" },
	{ HUNDRED HUNDRED TEN TEN TEN TEN TEN, "the name has 250 characters, too many", "" },
	{ HUNDRED HUNDRED TEN TEN TEN TEN TEN ".12345/a", "the host has 256 characters, more than 255", "" },
	{ "-q.io/a", "'-q.io' is no host", "" },
	{ "q-.io/a", "'q-.io' is no host", "" },
	{ ".q.io/a", "'.q.io' is no host", "" },
	{ "q.io./a", "'q.io.' is no host", "" },
	{ "q_r.io/a", "'q_r.io' is no host", "" },
	{ "q.io:/a", "'' is no port", "" },
	{ "q.io:0/a", "'0' is no port", "" },
	{ "q.io:65536/a", "'65536' is no port", "" },
	{ "q.io:123456/a", "'123456' is no port", "" },
	{ "q.io:+80/a", "'+80' is no port", "" },
	{ ":80/a", "':80' is no host", "" },
	{ "::1/a", "is no host", "" },
	{ "[::1/a", "is no host", "" },
	{ "[::1]x/a", "is no host", "" },
	{ "[:::1]/a", "is no host", "" },
	{ "[]:5000/a", "is no host", "" },
	{ "[fe80::1%eth0]/a", "is no host", "" },
	{ "#app", "names no container image: '#app' cannot be part of a name", "" },
	{ "a#b#c", "'b#c' cannot be part of a name", "" },
	{ "debian@", "'' is not a digest", "'sha256:' and 64 hex digits" },
	{ "debian@latest", "'latest' is not a digest", "'sha256:' and 64 hex digits" },
	{ "debian@sha256:12", "the digest 'sha256:12' has 2 characters", "" },
	{ "debian@" SHA256 ":12", "has 67 characters after 'sha256:', not 64", "" },
	{ "debian@" SHA256 "@" SHA256, "after 'sha256:', not 64", "" },
};

static void test_good(void)
{
	for (size_t i = 0; i < COUNT(good); i++)
		test_case ("'%s' is understood", good[i].text) {
			struct err err = ERR_INIT;
			struct reference reference, again;
			char text[REFERENCE_TEXT_MAX];
			if (!check_int(reference_parse(good[i].text, &reference, &err), 0) || !check_str(err.text, ""))
				break;
			check_str(reference.host, good[i].host);
			check_str(reference.name, good[i].name);
			check_str(reference.tag, good[i].tag);
			check_str(reference.digest.text, good[i].digest);
			check_str(reference_format(&reference, text), good[i].formatted);
			check_int(reference_parse(text, &again, &err), 0);
			check_str(again.host, good[i].host);
			check_str(again.name, good[i].name);
			check_str(again.tag, good[i].tag);
			check_str(again.digest.text, good[i].digest);
		}
}

static void test_bad(void)
{
	for (size_t i = 0; i < COUNT(bad); i++)
		test_case ("'%s' is refused as a name", bad[i].text) {
			struct err err = ERR_INIT;
			struct reference reference;
			check_int(reference_parse(bad[i].text, &reference, &err), -EINVAL);
			check_has(err.text, bad[i].message);
			check_has(err.hint, bad[i].hint);
		}
}

static void test_password(void)
{
	static const char *const texts[] = { "user:secret@quay.io/app", "//user:secret@nvcr.io#nvidia/cuda", "user:secret@debian",
					     "https://user:secret@quay.io/app" };
	for (size_t i = 0; i < COUNT(texts); i++)
		test_case ("a password in a name is refused and not repeated: %s", texts[i]) {
			struct err err = ERR_INIT;
			struct reference reference;
			check_int(reference_parse(texts[i], &reference, &err), -EINVAL);
			check(strstr(err.text, "secret") == NULL && strstr(err.hint, "secret") == NULL);
			check_has(err.text, i == 2 ? "'debian' is not a digest" : "cannot have a user or a password");
		}
}

static void test_longest(void)
{
	test_case ("the longest reference fits") {
		struct reference reference = { 0 };
		char text[REFERENCE_TEXT_MAX];
		memset(reference.host, 'h', sizeof(reference.host) - 1);
		memset(reference.name, 'n', sizeof(reference.name) - 1);
		memset(reference.tag, 't', sizeof(reference.tag) - 1);
		strcpy(reference.digest.text, SHA512);
		reference_format(&reference, text);
		check_int(strlen(text), 255 + 1 + 255 + 1 + 128 + 1 + strlen(SHA512));
		check(strlen(text) < sizeof(text));
	}
}

int main(void)
{
	test_good();
	test_bad();
	test_password();
	test_longest();
	return test_end();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/registry/registries.c: which endpoints a reference has, by the user's registries.conf and certs.d. A user's file
 * takes the place of the machine's, so that none of the machine's is read here.
 */
#include "builder/registry/registries.h"

#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DIGEST       "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define USER_CONF    "home/.config/containers/registries.conf"

/* "HOST NAME TAG DIGEST", "-" for none. */
static struct reference make_reference(const char *words)
{
	struct reference reference = { 0 };
	char host[256], name[256], tag[128], digest[128];
	sscanf(words, "%255s %255s %127s %127s", host, name, tag, digest);
	snprintf(reference.host, sizeof(reference.host), "%s", host);
	snprintf(reference.name, sizeof(reference.name), "%s", strcmp(name, "-") == 0 ? "" : name);
	snprintf(reference.tag, sizeof(reference.tag), "%s", strcmp(tag, "-") == 0 ? "" : tag);
	snprintf(reference.digest.text, sizeof(reference.digest.text), "%s", strcmp(digest, "-") == 0 ? "" : digest);
	return reference;
}

/* The endpoints as one text: "[mirror ][insecure ][by-digest ][by-tag ]HOST NAME; …". */
static int find(const char *words, char *ret_text, size_t bytes, struct err *err)
{
	struct reference reference = make_reference(words);
	struct endpoints endpoints = { 0 };
	*err = (struct err)ERR_INIT;
	ret_text[0] = '\0';
	int r = endpoints_find(&reference, &endpoints, err);
	for (size_t i = 0; i < endpoints.count; i++) {
		const struct endpoint *endpoint = &endpoints.list[i];
		size_t used = strlen(ret_text);
		snprintf(ret_text + used, bytes - used, "%s%s%s%s%s%s %s", i > 0 ? "; " : "", endpoint->mirror ? "mirror " : "",
			 endpoint->insecure ? "insecure " : "", endpoint->by_digest_only ? "by-digest " : "",
			 endpoint->by_tag_only ? "by-tag " : "", endpoint->host, endpoint->name);
	}
	endpoints_free(&endpoints);
	return r;
}

#define TEAM "[[registry]]\nprefix = 'example.com/team'\nlocation = 'inner.net/t'\n"

static void test_endpoints(void)
{
	static const struct {
		const char *what, *conf, *reference, *endpoints;
	} cases[] = {
		{ "an empty file leaves the registry itself", "", "example.com a/b 1 -", "example.com a/b" },
		{ "docker.io is asked at its own host", "", "docker.io library/debian 12 -",
		  "registry-1.docker.io library/debian" },
		{ "a file's other settings have no effect",
		  "unqualified-search-registries = ['quay.io']\nshort-name-mode = 'enforcing'\n[aliases]\n'debian' = 'quay.io/debian'\n",
		  "docker.io library/debian 12 -", "registry-1.docker.io library/debian" },
		{ "unknown keys are skipped",
		  "new = 1\n[[registry]]\nlocation = 'example.com'\nnewer = ['x']\n[[registry.mirror]]\n"
		  "location = 'm.net'\nnewest = true\n[[registry.more]]\nlocation = ''\n",
		  "example.com a 1 -", "mirror m.net a; example.com a" },
		{ "a location takes the prefix's place", TEAM, "example.com team/app/x 1 -", "inner.net t/app/x" },
		{ "a prefix can be the whole repository", TEAM, "example.com team 1 -", "inner.net t" },
		{ "a prefix ends at a component", TEAM, "example.com teams/app 1 -", "example.com teams/app" },
		{ "a prefix is a host without its port", "[[registry]]\nprefix = 'example.com'\nlocation = 'inner.net'\n",
		  "example.com:5000 a 1 -", "example.com:5000 a" },
		{ "a prefix with a port", "[[registry]]\nprefix = 'example.com:5000'\nlocation = 'inner.net:80/x'\n",
		  "example.com:5000 a 1 -", "inner.net:80 x/a" },
		{ "a prefix with the tag", "[[registry]]\nprefix = 'example.com/a:1'\nlocation = 'inner.net/b:1'\n",
		  "example.com a 1 -",
		  "inner.net b" },
		{ "a prefix with another tag", "[[registry]]\nprefix = 'example.com/a:1'\nlocation = 'inner.net/b:1'\n",
		  "example.com a 12 -",
		  "example.com a" },
		{ "a prefix with the digest", "[[registry]]\nprefix = 'example.com/a@" DIGEST "'\ninsecure = true\n",
		  "example.com a 1 " DIGEST, "insecure example.com a" },
		{ "a prefix that is not the location's", TEAM, "inner.net t/app 1 -", "inner.net t/app" },
		{ "hosts are compared without case", TEAM, "Example.COM team/app 1 -", "inner.net t/app" },
		{ "a host in capitals in the file", "[[registry]]\nlocation = 'EXAMPLE.com'\ninsecure = true\n",
		  "example.com a 1 -",
		  "insecure example.com a" },
		{ "slashes at the end do not matter", "[[registry]]\nprefix = 'example.com/team/'\nlocation = 'inner.net//'\n",
		  "example.com team/app 1 -", "inner.net app" },
		{ "the longest prefix counts, wherever it stands",
		  "[[registry]]\nprefix = 'example.com/team/app'\nlocation = 'three.net'\n[[registry]]\nprefix = 'example.com'\nlocation = 'one.net'\n" TEAM,
		  "example.com team/app/x 1 -", "three.net x" },
		{ "only the longest prefix counts", "[[registry]]\nprefix = 'example.com'\ninsecure = true\n" TEAM,
		  "example.com team/app 1 -",
		  "inner.net t/app" },
		{ "a prefix without a location", "[[registry]]\nprefix = 'example.com'\ninsecure = true\n", "example.com a 1 -",
		  "insecure example.com a" },
		{ "an empty location is none", "[[registry]]\nprefix = 'example.com'\nlocation = ''\ninsecure = true\n",
		  "example.com a 1 -",
		  "insecure example.com a" },
		{ "a location without a prefix", "[[registry]]\nlocation = 'example.com/a'\ninsecure = true\n",
		  "example.com a/b 1 -",
		  "insecure example.com a/b" },
		{ "*. matches every subdomain", "[[registry]]\nprefix = '*.example.com'\ninsecure = true\n",
		  "a.b.example.com x 1 -",
		  "insecure a.b.example.com x" },
		{ "*. does not match the domain", "[[registry]]\nprefix = '*.example.com'\ninsecure = true\n",
		  "example.com x 1 -", "example.com x" },
		{ "*. does not match another domain", "[[registry]]\nprefix = '*.example.com'\ninsecure = true\n",
		  "a.badexample.com x 1 -",
		  "a.badexample.com x" },
		{ "*. does not match a name in the path", "[[registry]]\nprefix = '*.example.com'\ninsecure = true\n",
		  "a.net b.example.com/x 1 -",
		  "a.net b.example.com/x" },
		{ "*. with a path", "[[registry]]\nprefix = '*.example.com/team'\nlocation = 'inner.net/x'\n",
		  "a.example.com team/app 1 -",
		  "inner.net x/app" },
		{ "*. with another path", "[[registry]]\nprefix = '*.example.com/team'\nlocation = 'inner.net/x'\n",
		  "a.example.com teams 1 -",
		  "a.example.com teams" },
		{ "*. with a location", "[[registry]]\nprefix = '*.example.com'\nlocation = 'inner.net'\n", "a.example.com x/y 1 -",
		  "inner.net x/y" },
		{ "*. with a mirror", "[[registry]]\nprefix = '*.example.com'\n[[registry.mirror]]\nlocation = 'm.net/c'\n",
		  "a.example.com x/y 1 -",
		  "mirror m.net c/x/y; a.example.com x/y" },
		{ "mirrors come first, in order, and each is insecure for itself",
		  TEAM "[[registry.mirror]]\nlocation = 'm.net/x'\n[[registry.mirror]]\nlocation = 'n.net'\ninsecure = true\n",
		  "example.com team/app 1 -", "mirror m.net x/app; mirror insecure n.net app; inner.net t/app" },
		{ "an insecure registry does not make its mirrors insecure",
		  "[[registry]]\nlocation = 'example.com'\ninsecure = true\n[[registry.mirror]]\nlocation = 'm.net'\n",
		  "example.com a 1 -",
		  "mirror m.net a; insecure example.com a" },
		{ "mirrors of one registry are not another's",
		  "[[registry]]\nlocation = 'a.net'\n[[registry.mirror]]\nlocation = 'm.net'\n[[registry]]\nlocation = 'example.com'\n",
		  "example.com a 1 -", "example.com a" },
		{ "pull-from-mirror is handed on",
		  "[[registry]]\nlocation = 'example.com'\n[[registry.mirror]]\nlocation = 'm.net'\npull-from-mirror = 'digest-only'\n"
		  "[[registry.mirror]]\nlocation = 'n.net'\npull-from-mirror = 'tag-only'\n[[registry.mirror]]\nlocation = 'o.net'\npull-from-mirror = 'all'\n",
		  "example.com a 1 -", "mirror by-digest m.net a; mirror by-tag n.net a; mirror o.net a; example.com a" },
		{ "mirror-by-digest-only is for all mirrors",
		  "[[registry]]\nlocation = 'example.com'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'm.net'\n",
		  "example.com a 1 -", "mirror by-digest m.net a; example.com a" },
		{ "docker.io has mirrors as others have",
		  "[[registry]]\nprefix = 'docker.io'\n[[registry.mirror]]\nlocation = 'm.net/hub'\n",
		  "docker.io library/debian 12 -", "mirror m.net hub/library/debian; registry-1.docker.io library/debian" },
		{ "a location at docker.io has library/ as there", "[[registry]]\nprefix = 'example.com'\nlocation = 'docker.io'\n",
		  "example.com debian 12 -", "registry-1.docker.io library/debian" },
		{ "a reference with a digest", TEAM, "example.com team/app 1 " DIGEST, "inner.net t/app" },
		{ "a reference with a digest alone", TEAM, "example.com team/app - " DIGEST, "inner.net t/app" },
		{ "a registry as a whole", "[[registry]]\nprefix = 'example.com'\nlocation = 'inner.net'\ninsecure = true\n",
		  "example.com - - -",
		  "insecure inner.net " },
		{ "a registry as a whole is not one of its paths", TEAM, "example.com - - -", "example.com " },
		{ "localhost is insecure", "", "localhost a 1 -", "insecure localhost a" },
		{ "localhost is insecure on every port", "", "localhost:5000 a 1 -", "insecure localhost:5000 a" },
		{ "127.0.0.0/8 is insecure", "", "127.1.2.3:5000 a 1 -", "insecure 127.1.2.3:5000 a" },
		{ "::1 is insecure", "", "[::1]:5000 a 1 -", "insecure [::1]:5000 a" },
		{ "a name that only begins like an address is not", "", "127.0.0.1.example.com a 1 -", "127.0.0.1.example.com a" },
		{ "localhost.example.com is not", "", "localhost.example.com a 1 -", "localhost.example.com a" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("%s", cases[i].what) {
			char text[1024];
			struct err err;
			scratch_file(USER_CONF, cases[i].conf);
			check_int(find(cases[i].reference, text, sizeof(text), &err), 0);
			check_str(text, cases[i].endpoints);
			check_str(err.text, "");
		}
}

static void test_refused(void)
{
	static const struct {
		const char *what, *conf;
		int code;
		const char *message;
	} cases[] = {
		{ "a blocked registry", "\n[[registry]]\nprefix = 'example.com'\nblocked = true\n", -EPERM,
		  "'example.com/team/app:1' is blocked: " },
		{ "text that is no TOML", "[[registry]]\nprefix = example.com\n", -EINVAL,
		  "registries.conf:2: 'example.com' is no value" },
		{ "version 1", "[registries.search]\nregistries = ['docker.io']\n", -EINVAL,
		  "registries.conf:1: this is version 1 of registries.conf, which is not supported" },
		{ "version 1 with dotted keys", "registries.search.registries = ['docker.io']\n", -EINVAL,
		  "registries.conf:1: this is version 1 of registries.conf, which is not supported" },
		{ "[registry] with one bracket", "[registry]\nlocation = 'a'\n", -EINVAL,
		  "registries.conf:1: [registry] has to be [[registry]]" },
		{ "[registry.mirror] with one bracket", "[[registry]]\nlocation = 'a'\n[registry.mirror]\n", -EINVAL,
		  "registries.conf:3: [registry.mirror] has to be [[registry.mirror]]" },
		{ "a mirror of nothing", "[[registry.mirror]]\nlocation = 'a'\n", -EINVAL,
		  "registries.conf:1: [[registry.mirror]] stands before any [[registry]]" },
		{ "a registry without a name", "[[registry]]\ninsecure = true\n", -EINVAL,
		  "registries.conf:1: the registry has neither prefix nor location" },
		{ "a mirror without a name",
		  "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\ninsecure = true\n[[registry]]\n", -EINVAL,
		  "registries.conf:5: the mirror before has no location" },
		{ "a last mirror without a name", "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\n", -EINVAL,
		  "registries.conf: the mirror before has no location" },
		{ "a mirror with an empty name", "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\nlocation = '/'\n", -EINVAL,
		  "registries.conf:4: location: the name of a registry is empty" },
		{ "an URL as location", "[[registry]]\nlocation = 'https://a.net'\n", -EINVAL,
		  "registries.conf:2: location: 'https://a.net' is an URL, not the name of a registry" },
		{ "an URL as prefix", "[[registry]]\nprefix = 'http://a.net'\n", -EINVAL,
		  "registries.conf:2: prefix: 'http://a.net' is an URL" },
		{ "a name with a space", "[[registry]]\nprefix = 'a b'\n", -EINVAL,
		  "registries.conf:2: prefix: 'a b' is not the name of a registry" },
		{ "a star elsewhere", "[[registry]]\nprefix = 'a.*.com'\n", -EINVAL,
		  "registries.conf:2: prefix: 'a.*.com' is not the name of a registry" },
		{ "a star in a location", "[[registry]]\nlocation = '*.a.com'\n", -EINVAL,
		  "registries.conf:2: location: '*.a.com' is not the name of a registry" },
		{ "a prefix of a star alone", "[[registry]]\nprefix = '*.'\n", -EINVAL,
		  "registries.conf:2: prefix: '*.' is not the name of a registry" },
		{ "a word for true", "[[registry]]\nlocation = 'a'\ninsecure = 'yes'\n", -EINVAL,
		  "registries.conf:3: insecure: expected true or false" },
		{ "a number for true", "[[registry]]\nlocation = 'a'\nblocked = 1\n", -EINVAL,
		  "registries.conf:3: blocked: expected true or false" },
		{ "a list of locations", "[[registry]]\nlocation = ['a']\n", -EINVAL,
		  "registries.conf:2: location: expected a string" },
		{ "an unknown pull-from-mirror",
		  "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\nlocation='b'\npull-from-mirror = 'never'\n", -EINVAL,
		  "registries.conf:5: pull-from-mirror: expected \"all\", \"digest-only\" or \"tag-only\"" },
		{ "pull-from-mirror of a registry", "[[registry]]\nlocation = 'a'\npull-from-mirror = 'all'\n", -EINVAL,
		  "registries.conf:3: pull-from-mirror belongs into [[registry.mirror]]" },
		{ "both ways to restrict mirrors",
		  "[[registry]]\nlocation = 'a'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation='b'\npull-from-mirror = 'all'\n", -EINVAL,
		  "registries.conf:1: mirror-by-digest-only and pull-from-mirror exclude each other" },
		{ "mirrors as a list", "[[registry]]\nlocation = 'a'\nmirror = ['b']\n", -EINVAL,
		  "registries.conf:3: mirrors are written as [[registry.mirror]]" },
		{ "a prefix twice", "[[registry]]\nprefix = 'a'\n\n[[registry]]\nlocation = 'A/'\n", -EINVAL,
		  "registries.conf:4: 'a' is described twice, first in " },
		{ "a location with another tag",
		  "[[registry]]\nprefix = 'example.com/team/app:1'\nlocation = 'inner.net/b:2'\n", -EINVAL,
		  "registries.conf:1: the location would change the tag or digest '1' to that of 'inner.net/b:2'" },
		{ "a location that leaves no name", "[[registry]]\nprefix = 'example.com/team/app'\nlocation = 'inner.net'\n",
		  -EINVAL,
		  "registries.conf:1: the location would make the reference 'inner.net', which is none" },
		{ "a location with a tag before the name",
		  "[[registry]]\nprefix = 'example.com/team'\nlocation = 'inner.net/b:2'\n", -EINVAL,
		  "registries.conf:1: the location would make the reference 'inner.net/b:2/app', which is none" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("it refuses %s", cases[i].what) {
			char text[1024];
			struct err err;
			scratch_file(USER_CONF, cases[i].conf);
			check_int(find("example.com team/app 1 -", text, sizeof(text), &err), cases[i].code);
			check_has(err.text, cases[i].message);
			check_has(err.text, "home/.config/containers/registries.conf");
		}
	test_case ("a registry is blocked whatever the reference's case") {
		char text[1024];
		struct err err;
		scratch_file(USER_CONF, "[[registry]]\nprefix = 'example.com/team'\nblocked = true\n");
		check_int(find("EXAMPLE.com team/app 1 -", text, sizeof(text), &err), -EPERM);
		check_int(find("example.com other 1 -", text, sizeof(text), &err), 0);
	}
	test_case ("a directory in the file's place is refused") {
		char text[1024];
		struct err err;
		unlink(USER_CONF);
		scratch_mkdirs(USER_CONF "/");
		check_int(find("example.com a 1 -", text, sizeof(text), &err), -EINVAL);
		check_has(err.text, "registries.conf' is not a regular file");
		rmdir(USER_CONF);
	}
	test_case ("a file of more than 1 MiB is refused") {
		static char big[1024 * 1024 + 1];
		char text[1024];
		struct err err;
		memset(big, '#', sizeof(big));
		scratch_bytes(USER_CONF, big, sizeof(big));
		check_int(find("example.com a 1 -", text, sizeof(text), &err), -EFBIG);
		check_has(err.text, "registries.conf' has more than 1 MiB");
	}
}

static void test_files(void)
{
	char text[1024];
	struct err err;
	test_case ("drop-ins are read by name, and replace a registry of the same prefix as a whole") {
		scratch_file(USER_CONF,
			"[[registry]]\nlocation = 'example.com'\ninsecure = true\n[[registry.mirror]]\nlocation = 'm.net'\n"
					"[[registry]]\nlocation = 'other.com'\ninsecure = true\n");
		scratch_file(USER_CONF ".d/10.conf",
			"[[registry]]\nlocation = 'example.com'\n[[registry.mirror]]\nlocation = 'ten.net'\n");
		scratch_file(USER_CONF ".d/9.conf",
			"[[registry]]\nlocation = 'example.com'\n[[registry.mirror]]\nlocation = 'nine.net'\n");
		check_int(find("example.com a 1 -", text, sizeof(text), &err), 0);
		check_str(text, "mirror nine.net a; example.com a");
		check_int(find("other.com a 1 -", text, sizeof(text), &err), 0);
		check_str(text, "insecure other.com a");
	}
	test_case ("drop-ins are *.conf, and not hidden") {
		scratch_file(USER_CONF ".d/x.conf.rpmsave", "no\n");
		scratch_file(USER_CONF ".d/.y.conf", "no\n");
		check_int(find("example.com a 1 -", text, sizeof(text), &err), 0);
		check_str(text, "mirror nine.net a; example.com a");
	}
	test_case ("a malformed drop-in is named") {
		scratch_file(USER_CONF ".d/z.conf", "\nno\n");
		check_int(find("example.com a 1 -", text, sizeof(text), &err), -EINVAL);
		check_has(err.text, "registries.conf.d/z.conf:2: the key 'no' has no '='");
	}
	test_case ("$CONTAINERS_REGISTRIES_CONF names the only file") {
		setenv("CONTAINERS_REGISTRIES_CONF", "named.conf", 1);
		scratch_file("named.conf", "[[registry]]\nlocation = 'example.com'\n[[registry.mirror]]\nlocation = 'named.net'\n");
		check_int(find("example.com a 1 -", text, sizeof(text), &err), 0);
		check_str(text, "mirror named.net a; example.com a");
	}
	test_case ("that file has to be there") {
		setenv("CONTAINERS_REGISTRIES_CONF", "missing.conf", 1);
		check_int(find("example.com a 1 -", text, sizeof(text), &err), -ENOENT);
		check_str(err.text, "there is no 'missing.conf', which CONTAINERS_REGISTRIES_CONF names");
		unsetenv("CONTAINERS_REGISTRIES_CONF");
	}
	test_case ("the user's directory follows $XDG_CONFIG_HOME") {
		setenv("XDG_CONFIG_HOME", "xdg", 1);
		scratch_file("xdg/containers/registries.conf",
			"[[registry]]\nlocation = 'example.com'\n[[registry.mirror]]\nlocation = 'xdg.net'\n");
		check_int(find("example.com a 1 -", text, sizeof(text), &err), 0);
		check_str(text, "mirror xdg.net a; example.com a");
		unsetenv("XDG_CONFIG_HOME");
	}
	unlink(USER_CONF ".d/z.conf");
	unlink(USER_CONF ".d/9.conf");
	unlink(USER_CONF ".d/10.conf");
}

#define CERTS "home/.config/containers/certs.d/"

static void test_certificates(void)
{
	struct err err = ERR_INIT;
	scratch_file(USER_CONF, "[[registry]]\nprefix = 'docker.io'\n[[registry.mirror]]\nlocation = 'm.net:5000'\n");
	test_case ("an endpoint has the authorities of its host, by name, and the client's pair") {
		struct reference reference = make_reference("docker.io library/debian 12 -");
		struct endpoints endpoints = { 0 };
		scratch_file(CERTS "m.net:5000/b.crt", "");
		scratch_file(CERTS "m.net:5000/a.crt", "");
		scratch_file(CERTS "m.net:5000/client.cert", "");
		scratch_file(CERTS "m.net:5000/client.key", "");
		scratch_file(CERTS "m.net:5000/README", "");
		scratch_file(CERTS "m.net/other.crt", "");
		scratch_file(CERTS "docker.io/hub.crt", "");
		check_int(endpoints_find(&reference, &endpoints, &err), 0);
		if (!check_int(endpoints.count, 2))
			break;
		const struct endpoint *mirror = &endpoints.list[0], *hub = &endpoints.list[1];
		check_str(mirror->credentials_host, "m.net:5000");
		if (check_int(mirror->ca_files.count, 2)) {
			check_has(mirror->ca_files.items[0], "certs.d/m.net:5000/a.crt");
			check_has(mirror->ca_files.items[1], "certs.d/m.net:5000/b.crt");
		}
		check_has(mirror->cert_file, "certs.d/m.net:5000/client.cert");
		check_has(mirror->key_file, "certs.d/m.net:5000/client.key");
		check_str(hub->credentials_host, "docker.io");
		check_str(hub->host, "registry-1.docker.io");
		if (check_int(hub->ca_files.count, 1))
			check_has(hub->ca_files.items[0], "certs.d/docker.io/hub.crt");
		check(hub->cert_file == NULL && hub->key_file == NULL);
		endpoints_free(&endpoints);
	}
	static const struct {
		const char *what, *file, *message;
	} cases[] = {
		{ "a client's certificate without its key", CERTS "one.net/a.cert", "a.cert' has no key '" },
		{ "a client's key without its certificate", CERTS "two.net/a.key", "a.key' has no certificate '" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("it refuses %s", cases[i].what) {
			char text[256];
			scratch_file(cases[i].file, "");
			check_int(find(i == 0 ? "one.net a 1 -" : "two.net a 1 -", text, sizeof(text), &err), -EINVAL);
			check_has(err.text, cases[i].message);
		}
	test_case ("it refuses several pairs, of which the registry could want any") {
		char text[256];
		scratch_file(CERTS "three.net/a.cert", "");
		scratch_file(CERTS "three.net/a.key", "");
		scratch_file(CERTS "three.net/b.cert", "");
		check_int(find("three.net a 1 -", text, sizeof(text), &err), -EINVAL);
		check_has(err.text, "certs.d/three.net' has several client certificates, 'a' and 'b'");
	}
}

int main(void)
{
	static const char *const unset[] = { "XDG_CONFIG_HOME", "CONTAINERS_REGISTRIES_CONF" };
	char home[PATH_MAX];
	scratch_enter();
	for (size_t i = 0; i < COUNT(unset); i++)
		unsetenv(unset[i]);
	snprintf(home, sizeof(home), "%s/home", scratch.path);
	setenv("HOME", home, 1);
	test_endpoints();
	test_refused();
	test_files();
	test_certificates();
	return test_end();
}

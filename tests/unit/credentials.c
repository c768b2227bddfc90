/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/registry/credentials.c and what it stands on: where credentials are found, in which order, and how they are stored.
 * HOME and every variable are the test's own.
 */
#include "builder/registry/credentials.h"

#include "builder/registry/helper.h"
#include "builder/registry/secret.h"
#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define AUTH         "auth.json"

static struct err fault;

/* What is found, as "USER:PASSWORD" or "token TOKEN", "none", or "error N". The origin stays in its buffer. */
static char origin[PATH_MAX];

static const char *found_as(int r, struct credentials *found)
{
	static char text[512];
	snprintf(origin, sizeof(origin), "%s", found->origin != NULL ? found->origin : "");
	if (r < 0)
		snprintf(text, sizeof(text), "error %d", r);
	else if (found->identity_token != NULL)
		snprintf(text, sizeof(text), "token %s%s", found->identity_token,
			found->user != NULL || found->password != NULL ? "?" : "");
	else if (found->user == NULL && found->password == NULL)
		snprintf(text, sizeof(text), "none");
	else
		snprintf(text, sizeof(text), "%s:%s", found->user, found->password);
	credentials_free(found);
	return text;
}

static const char *find(const char *auth_file, const char *host, const char *repository)
{
	struct credentials found = { 0 };
	fault = (struct err)ERR_INIT;
	return found_as(credentials_find(auth_file, host, repository, &found, &fault), &found);
}

/* In a file with this text. */
static const char *find_in(const char *text, const char *host, const char *repository)
{
	scratch_file(AUTH, text);
	return find(AUTH, host, repository);
}

static const char *content(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *text = fd < 0 ? "(none)" : scratch_content(fd);
	if (fd >= 0)
		close(fd);
	return text;
}

/* A program docker-credential-NAME in PATH. */
static void make_helper(const char *name, const char *script)
{
	char path[256], text[2048];
	snprintf(path, sizeof(path), "bin/docker-credential-%s", name);
	snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
	scratch_file(path, text);
	chmod(path, 0755);
}

/* base64 of ada:secret, bob:word, eve:one:two, team:t */
#define ADA  "{\"auth\": \"YWRhOnNlY3JldA==\"}"
#define BOB  "{\"auth\": \"Ym9iOndvcmQ=\"}"
#define TEAM "{\"auth\": \"dGVhbTp0\"}"

static void test_matching(void)
{
	static const struct {
		const char *what, *text, *host, *repository, *found;
	} cases[] = {
		{ "a host's entry", "{\"auths\": {\"quay.io\": " ADA "}}", "quay.io", "a/b", "ada:secret" },
		{ "a host's entry without a repository", "{\"auths\": {\"quay.io\": " ADA "}}", "quay.io", NULL, "ada:secret" },
		{ "no entry", "{\"auths\": {\"quay.io\": " ADA "}}", "ghcr.io", "a/b", "none" },
		{ "no auths at all", "{}", "quay.io", "a/b", "none" },
		{ "an empty file", "", "quay.io", "a/b", "none" },
		{ "the most specific entry",
		  "{\"auths\": {\"quay.io\": " ADA ", \"quay.io/team\": " TEAM ", \"quay.io/team/app\": " BOB "}}",
		  "quay.io", "team/app", "bob:word" },
		{ "the entry above", "{\"auths\": {\"quay.io\": " ADA ", \"quay.io/team\": " TEAM "}}", "quay.io",
		  "team/x/app", "team:t" },
		{ "only whole components", "{\"auths\": {\"quay.io\": " ADA ", \"quay.io/te\": " TEAM "}}", "quay.io",
		  "team/app", "ada:secret" },
		{ "nothing of a path if there is no repository", "{\"auths\": {\"quay.io/team\": " TEAM "}}", "quay.io", NULL,
		  "none" },
		{ "a port", "{\"auths\": {\"a.net:5000\": " ADA ", \"a.net\": " BOB "}}", "a.net:5000", "x", "ada:secret" },
		{ "another port", "{\"auths\": {\"a.net:5000\": " ADA "}}", "a.net:5001", "x", "none" },
		{ "no port", "{\"auths\": {\"a.net:5000\": " ADA "}}", "a.net", "x", "none" },
		{ "a key with a scheme", "{\"auths\": {\"https://a.net\": " ADA "}}", "a.net", "x", "ada:secret" },
		{ "a key with a scheme and /v1/", "{\"auths\": {\"https://a.net:5000/v1/\": " ADA "}}", "a.net:5000", "x",
		  "ada:secret" },
		{ "a key with /v2", "{\"auths\": {\"a.net/v2\": " ADA "}}", "a.net", "x", "ada:secret" },
		{ "a key with a slash at its end", "{\"auths\": {\"a.net/\": " ADA "}}", "a.net", "x", "ada:secret" },
		{ "a key in capitals", "{\"auths\": {\"A.Net\": " ADA "}}", "a.net", "x", "ada:secret" },
		{ "a host in capitals", "{\"auths\": {\"a.net\": " ADA "}}", "A.NET", "x", "ada:secret" },
		{ "the exact key before a similar one", "{\"auths\": {\"https://a.net\": " BOB ", \"a.net\": " ADA "}}",
		  "a.net", "x", "ada:secret" },
		{ "docker.io as Docker writes it", "{\"auths\": {\"https://index.docker.io/v1/\": " ADA "}}", "docker.io",
		  "library/x", "ada:secret" },
		{ "docker.io as index.docker.io", "{\"auths\": {\"index.docker.io\": " ADA "}}", "docker.io", "library/x",
		  "ada:secret" },
		{ "docker.io as registry-1.docker.io", "{\"auths\": {\"registry-1.docker.io\": " ADA "}}", "docker.io",
		  "library/x", "ada:secret" },
		{ "docker.io by another of its names", "{\"auths\": {\"docker.io\": " ADA "}}", "index.docker.io",
		  "library/x", "ada:secret" },
		{ "docker.io's paths", "{\"auths\": {\"docker.io\": " ADA ", \"docker.io/team\": " TEAM "}}", "docker.io",
		  "team/x", "team:t" },
		{ "not Docker's tokens", "{\"auths\": {\"https://index.docker.io/v1/access-token\": " ADA "}}", "docker.io",
		  "team/x", "none" },
		{ "not a name that begins like docker.io's", "{\"auths\": {\"index.docker.i\": " ADA "}}", "docker.io",
		  "team/x", "none" },
		{ "a password with colons", "{\"auths\": {\"a.net\": {\"auth\": \"ZXZlOm9uZTp0d28=\"}}}", "a.net", "x",
		  "eve:one:two" },
		{ "an identity token, which goes before a password",
		  "{\"auths\": {\"a.net\": {\"auth\": \"YWRhOg==\", \"identitytoken\": \"tok\"}}}",
		  "a.net", "x", "token tok" },
		{ "user and password in plain", "{\"auths\": {\"a.net\": {\"username\": \"u\", \"password\": \"p\"}}}",
		  "a.net", "x", "u:p" },
		{ "an entry that is empty", "{\"auths\": {\"a.net\": {}}}", "a.net", "x", "none" },
		{ "an entry that is empty, but the one above is not",
		  "{\"auths\": {\"a.net/x\": {\"auth\": \"\"}, \"a.net\": " ADA "}}", "a.net", "x",
		  "ada:secret" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("it finds %s", cases[i].what) {
			check_str(find_in(cases[i].text, cases[i].host, cases[i].repository), cases[i].found);
			check_str(fault.text, "");
			check_str(origin, strcmp(cases[i].found, "none") == 0 ? "" : AUTH);
		}
}

static void test_malformed(void)
{
	static const struct {
		const char *what, *text, *message;
	} cases[] = {
		{ "text that is no JSON", "{\n  \"auths\": secret123 }", "auth.json:2:" },
		{ "a file that is cut", "{\"auths\": {\"a.net\": {\"auth\": \"secret123", "auth.json:1:" },
		{ "an array", "[\"secret123\"]", "'auth.json' is not a JSON object" },
		{ "auths that are no object", "{\"auths\": [\"secret123\"]}", "'auth.json': \"auths\" is not an object" },
		{ "an entry that is no object", "{\"auths\": {\"a.net\": \"secret123\"}}",
		  "'auth.json': the entry of 'a.net' is not an object" },
		{ "credHelpers that are no object", "{\"credHelpers\": \"x\"}", "'auth.json': \"credHelpers\" is not an object" },
		{ "a helper that is no string", "{\"credHelpers\": {\"a.net\": 1}}",
		  "'auth.json': \"credHelpers\": 'a.net' is not a string" },
		{ "a credsStore that is no string", "{\"credsStore\": []}", "'auth.json': \"credsStore\" is not a string" },
		{ "base64 of the wrong length", "{\"auths\": {\"a.net\": {\"auth\": \"secret123\"}}}",
		  "'auth.json': \"auth\" of 'a.net' is not the base64 of USER:PASSWORD" },
		{ "base64 with other characters", "{\"auths\": {\"a.net\": {\"auth\": \"secret-1\"}}}",
		  "\"auth\" of 'a.net' is not the base64" },
		{ "base64 with padding in the middle", "{\"auths\": {\"a.net\": {\"auth\": \"YW==OnNl\"}}}",
		  "\"auth\" of 'a.net' is not the base64" },
		{ "base64 of padding alone", "{\"auths\": {\"a.net\": {\"auth\": \"====\"}}}",
		  "\"auth\" of 'a.net' is not the base64" },
		{ "a pair without a colon", "{\"auths\": {\"a.net\": {\"auth\": \"c2VjcmV0MTIz\"}}}",
		  "\"auth\" of 'a.net' is not the base64" },
		{ "a pair with a zero byte", "{\"auths\": {\"a.net\": {\"auth\": \"YToAYmNk\"}}}",
		  "\"auth\" of 'a.net' is not the base64" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("it refuses %s, without quoting a secret", cases[i].what) {
			check_str(find_in(cases[i].text, "a.net", "x"), "error -22");
			check_has(fault.text, cases[i].message);
			check(strstr(fault.text, "secret") == NULL);
		}
	test_case ("a registrytoken is said to be unsupported") {
		check_str(find_in("{\"auths\": {\"a.net\": {\"registrytoken\": \"secret123\"}}}", "a.net", "x"), "error -95");
		check_str(fault.text, "'auth.json': 'a.net' has a \"registrytoken\", which is not supported");
		check_has(fault.hint, "simg login");
	}
	test_case ("a file that is named has to be there") {
		check_str(find("missing.json", "a.net", "x"), "error -2");
		check_str(fault.text, "cannot read the credentials in 'missing.json': No such file or directory");
	}
	test_case ("a directory in a file's place is refused") {
		check_str(find(".", "a.net", "x"), "error -22");
		check_str(fault.text, "'.' is not a regular file");
	}
}

static void test_places(void)
{
	/* From the last place to the first, so that each new one has to win. */
	static const struct {
		const char *variable, *value, *path, *text, *user;
	} places[] = {
		{ NULL, NULL, "home/.config/enroot/.credentials", "machine a.net login enroot password p\n", "enroot:p" },
		{ NULL, NULL, "home/.singularity/docker-config.json",
		  "{\"auths\": {\"a.net\": {\"username\": \"singularity\", \"password\": \"p\"}}}",
		  "singularity:p" },
		{ NULL, NULL, "home/.apptainer/docker-config.json",
		  "{\"auths\": {\"a.net\": {\"username\": \"apptainer\", \"password\": \"p\"}}}",
		  "apptainer:p" },
		{ NULL, NULL, "home/.dockercfg", "{\"a.net\": {\"username\": \"dockercfg\", \"password\": \"p\"}}", "dockercfg:p" },
		{ NULL, NULL, "home/.docker/config.json",
		  "{\"auths\": {\"a.net\": {\"username\": \"docker\", \"password\": \"p\"}}}", "docker:p" },
		{ "DOCKER_CONFIG", "docker", "docker/config.json",
		  "{\"auths\": {\"a.net\": {\"username\": \"config\", \"password\": \"p\"}}}", "config:p" },
		{ NULL, NULL, "home/.config/containers/auth.json",
		  "{\"auths\": {\"a.net\": {\"username\": \"home\", \"password\": \"p\"}}}", "home:p" },
		{ "XDG_CONFIG_HOME", "xdg", "xdg/containers/auth.json",
		  "{\"auths\": {\"a.net\": {\"username\": \"xdg\", \"password\": \"p\"}}}", "xdg:p" },
		{ "XDG_RUNTIME_DIR", "run", "run/containers/auth.json",
		  "{\"auths\": {\"a.net\": {\"username\": \"run\", \"password\": \"p\"}}}", "run:p" },
		{ "REGISTRY_AUTH_FILE", "file.json", "file.json",
		  "{\"auths\": {\"a.net\": {\"username\": \"file\", \"password\": \"p\"}}}", "file:p" },
	};
	for (size_t i = 0; i < COUNT(places); i++)
		test_case ("%s goes before the places after it", places[i].variable != NULL ? places[i].variable : places[i].path) {
			scratch_file(places[i].path, places[i].text);
			if (places[i].variable != NULL)
				setenv(places[i].variable, places[i].value, 1);
			check_str(find(NULL, "a.net", "x"), places[i].user);
			check_has(origin, places[i].path);
			check_str(find(NULL, "b.net", "x"), "none");
		}
	test_case ("the file that is named goes before all of them, which are looked at too") {
		check_str(find_in("{\"auths\": {\"b.net\": " ADA "}}", "b.net", "x"), "ada:secret");
		check_str(find(AUTH, "a.net", "x"), "file:p");
	}
	test_case ("a malformed file that comes first is not passed over") {
		scratch_file("file.json", "{");
		check_str(find(NULL, "a.net", "x"), "error -22");
		check_has(fault.text, "file.json:1:");
	}
	test_case ("a file that REGISTRY_AUTH_FILE names may be missing") {
		setenv("REGISTRY_AUTH_FILE", "missing.json", 1);
		check_str(find(NULL, "a.net", "x"), "run:p");
	}
	test_case ("another user's XDG_RUNTIME_DIR is left alone") {
		if (geteuid() != 0)
			test_skip("not root, who can give a directory away");
		check_int(chown("run", 65534, 65534), 0);
		check_str(find(NULL, "a.net", "x"), "xdg:p");
	}
	test_case ("ENROOT_CONFIG_PATH names enroot's directory") {
		setenv("ENROOT_CONFIG_PATH", "enroot", 1);
		scratch_file("enroot/.credentials", "machine e.net login e password p\n");
		check_str(find(NULL, "e.net", "x"), "e:p");
	}
	for (size_t i = 0; i < COUNT(places); i++) {
		unlink(places[i].path);
		if (places[i].variable != NULL)
			unsetenv(places[i].variable);
	}
	unsetenv("ENROOT_CONFIG_PATH");
	test_case ("without HOME there is nothing to find, and no error") {
		char *home = strdup(getenv("HOME"));
		unsetenv("HOME");
		check_str(find(NULL, "a.net", "x"), "none");
		setenv("HOME", home, 1);
		free(home);
	}
}

static void test_environment(void)
{
	static const char *const families[] = { "SINGULARITY", "APPTAINER", "SIMG" };
	char name[64];
	for (size_t i = 0; i < COUNT(families); i++)
		test_case ("%s_DOCKER_USERNAME and _PASSWORD go before every file, for any registry but a mirror", families[i]) {
			struct credentials found = { 0 };
			snprintf(name, sizeof(name), "%s_DOCKER_USERNAME", families[i]);
			setenv(name, families[i], 1);
			snprintf(name, sizeof(name), "%s_DOCKER_PASSWORD", families[i]);
			setenv(name, "p:w", 1);
			char expected[64];
			snprintf(expected, sizeof(expected), "%s:p:w", families[i]);
			check_str(find_in("{\"auths\": {\"a.net\": " ADA "}}", "a.net", "x"), expected);
			check_has(origin, families[i]);
			check_str(find(NULL, "b.net", NULL), expected);
			check_str(found_as(credentials_find_for_mirror(AUTH, "a.net", "x", &found, &fault), &found), "ada:secret");
		}
	test_case ("half of a pair is an error that does not quote it") {
		unsetenv("SIMG_DOCKER_USERNAME");
		check_str(find(NULL, "a.net", "x"), "error -22");
		check_str(fault.text, "SIMG_DOCKER_PASSWORD is set, but SIMG_DOCKER_USERNAME is not");
		setenv("SIMG_DOCKER_USERNAME", "u", 1);
		setenv("SIMG_DOCKER_PASSWORD", "", 1);
		check_str(find(NULL, "a.net", "x"), "error -22");
		check_str(fault.text, "SIMG_DOCKER_USERNAME is set, but SIMG_DOCKER_PASSWORD is not");
	}
	for (size_t i = 0; i < COUNT(families); i++) {
		snprintf(name, sizeof(name), "%s_DOCKER_USERNAME", families[i]);
		unsetenv(name);
		snprintf(name, sizeof(name), "%s_DOCKER_PASSWORD", families[i]);
		unsetenv(name);
	}
}

static const char *find_netrc(const char *text, const char *host)
{
	scratch_file("home/.config/enroot/.credentials", text);
	return find(NULL, host, "x");
}

static void test_netrc(void)
{
	static const struct {
		const char *what, *text, *host, *found;
	} cases[] = {
		{ "a machine", "# NGC\n\n\tmachine a.net login u  password p\n", "a.net", "u:p" },
		{ "the first of two", "machine a.net login u password p\nmachine a.net login v password q\n", "a.net", "u:p" },
		{ "another machine", "machine a.net login u password p", "b.net", "none" },
		{ "a machine for any port", "machine a.net login u password p", "a.net:5000", "u:p" },
		{ "docker.io by the name of its token server", "machine auth.docker.io login u password p", "docker.io", "u:p" },
		{ "docker.io's token server for nobody else", "machine auth.docker.io login u password p", "a.net", "none" },
		{ "NVIDIA's user, as it stands", "machine nvcr.io login $oauthtoken password p", "nvcr.io", "$oauthtoken:p" },
		{ "no password from a variable", "machine a.net login u password $TOKEN", "a.net", "none" },
		{ "no password from a command", "machine a.net login u password $(touch evaluated)", "a.net", "none" },
		{ "no password from a command in backquotes", "machine a.net login u password `touch evaluated`", "a.net", "none" },
		{ "no user from a variable", "machine a.net login $USER password p", "a.net", "none" },
		{ "the next entry after one that is skipped",
		  "machine a.net login u password $T\nmachine a.net login v password q", "a.net", "v:q" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("in enroot's file it finds %s", cases[i].what) {
			check_str(find_netrc(cases[i].text, cases[i].host), cases[i].found);
			check(access("evaluated", F_OK) < 0);
		}
	static const char *const malformed[] = { "machine a.net login u\n", "machine a.net password secret login u\n",
						 "machine a.net login u password secret more\n" };
	for (size_t i = 0; i < COUNT(malformed); i++)
		test_case ("it refuses a line of another form, without quoting it: number %zu", i + 1) {
			char text[256];
			snprintf(text, sizeof(text), "# one\n%s", malformed[i]);
			check_str(find_netrc(text, "b.net"), "error -22");
			check_has(fault.text,
				".config/enroot/.credentials:2: expected 'machine HOST login USER password PASSWORD'");
			check(strstr(fault.text, "secret") == NULL);
		}
	unlink("home/.config/enroot/.credentials");
}

static void test_helpers(void)
{
	/* Logs what it is asked, and answers for a.net, for Docker's hub and for a token. */
	make_helper("good", "read -r server\necho \"$1 $server\" >>asked\ncase $server in\n"
			    "a.net | https://index.docker.io/v1/) echo '{\"ServerURL\":\"x\",\"Username\":\"h\",\"Secret\":\"s\"}' ;;\n"
			    "t.net) echo '{\"Username\":\"<token>\",\"Secret\":\"tok\"}' ;;\n"
			    "empty.net) echo '{\"Username\":\"\",\"Secret\":\"\"}' ;;\n"
			    "odd.net) echo '{\"Username\":1,\"Secret\":\"secret\"}' ;;\n"
			    "*) echo 'credentials not found in native keychain'; exit 1 ;; esac");
	static const struct {
		const char *what, *text, *host, *found, *asked;
	} cases[] = {
		{ "credHelpers name the host's helper", "{\"credHelpers\": {\"a.net\": \"good\"}}", "a.net", "h:s", "get a.net\n" },
		{ "a helper is asked for the key as it stands",
		  "{\"credHelpers\": {\"https://index.docker.io/v1/\": \"good\"}}", "docker.io", "h:s",
		  "get https://index.docker.io/v1/\n" },
		{ "another host's helper is not asked", "{\"credHelpers\": {\"a.net\": \"good\"}}", "b.net", "none", "(none)" },
		{ "credHelpers go before auths", "{\"auths\": {\"a.net\": " ADA "}, \"credHelpers\": {\"a.net\": \"good\"}}",
		  "a.net", "h:s",
		  "get a.net\n" },
		{ "the user <token> means an identity token", "{\"credHelpers\": {\"t.net\": \"good\"}}", "t.net",
		  "token tok", "get t.net\n" },
		{ "a helper that has none is no error", "{\"credHelpers\": {\"b.net\": \"good\"}}", "b.net", "none",
		  "get b.net\n" },
		{ "an empty answer is none", "{\"credHelpers\": {\"empty.net\": \"good\"}}", "empty.net", "none",
		  "get empty.net\n" },
		{ "credsStore is asked for every host", "{\"credsStore\": \"good\"}", "a.net", "h:s", "get a.net\n" },
		{ "credsStore has docker.io under Docker's name", "{\"credsStore\": \"good\"}", "docker.io", "h:s",
		  "get https://index.docker.io/v1/\n" },
		{ "credsStore goes before the host's entry", "{\"auths\": {\"a.net\": " ADA "}, \"credsStore\": \"good\"}",
		  "a.net", "h:s", "get a.net\n" },
		{ "an entry counts if credsStore has none", "{\"auths\": {\"b.net\": " ADA "}, \"credsStore\": \"good\"}",
		  "b.net", "ada:secret",
		  "get b.net\n" },
		{ "a more specific entry goes before credsStore",
		  "{\"auths\": {\"a.net/x\": " ADA "}, \"credsStore\": \"good\"}", "a.net", "ada:secret",
		  "(none)" },
		{ "a host's helper goes before credsStore",
		  "{\"credHelpers\": {\"a.net\": \"good\"}, \"credsStore\": \"missing\"}", "a.net", "h:s",
		  "get a.net\n" },
		{ "a credsStore that is not installed has nothing", "{\"credsStore\": \"missing\"}", "a.net", "none", "(none)" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("%s", cases[i].what) {
			unlink("asked");
			check_str(find_in(cases[i].text, cases[i].host, "x"), cases[i].found);
			check_str(fault.text, "");
			check_str(content("asked"), cases[i].asked);
		}
	test_case ("the origin is the helper") {
		find_in("{\"credsStore\": \"good\"}", "a.net", "x");
		check_str(origin, "docker-credential-good");
	}
	test_case ("a host's helper that is not installed is an error") {
		check_str(find_in("{\"credHelpers\": {\"a.net\": \"missing\"}}", "a.net", "x"), "error -2");
		check_str(fault.text,
			"'auth.json' keeps the password for 'a.net' elsewhere: cannot run docker-credential-missing: No such file or directory");
		check_has(fault.hint, "install docker-credential-missing");
	}
	test_case ("a credsStore that is not installed is an error for a host that is logged in") {
		check_str(find_in("{\"auths\": {\"a.net\": {}}, \"credsStore\": \"missing\"}", "a.net", "x"), "error -2");
		check_has(fault.text, "cannot run docker-credential-missing");
	}
	test_case ("an answer of another form is refused, without quoting it") {
		check_str(find_in("{\"credsStore\": \"good\"}", "odd.net", "x"), "error -22");
		check_str(fault.text, "the answer of docker-credential-good is not JSON with \"Username\" and \"Secret\"");
	}
	static const char *const names[] = { "", "../evil", "a b", "a;touch evaluated", "$(touch evaluated)" };
	for (size_t i = 0; i < COUNT(names); i++)
		test_case ("'%s' is not taken for the name of a helper", names[i]) {
			char text[256];
			snprintf(text, sizeof(text), "{\"credHelpers\": {\"a.net\": \"%s\"}}", names[i]);
			check_str(find_in(text, "a.net", "x"), "error -22");
			check_has(fault.text, "' is not the name of a credential helper");
			check(access("evaluated", F_OK) < 0);
		}
}

static int run_helper(const char *script, unsigned timeout_ms, char **output)
{
	fault = (struct err)ERR_INIT;
	make_helper("test", script);
	return helper_run("test", "get", "a.net", timeout_ms, output, &fault);
}

static void test_helper_failures(void)
{
	static const struct {
		const char *what, *script;
		int code;
		const char *message;
	} cases[] = {
		{ "that fails is quoted", "echo 'the keychain is locked'; echo more; exit 3", -EIO,
		  "docker-credential-test failed with status 3: the keychain is locked" },
		{ "that fails with an answer is not quoted", "echo '{\"Secret\":\"secret\"}'; exit 1", -EIO,
		  "docker-credential-test failed with status 1" },
		{ "that fails silently", "exit 1", -EIO, "docker-credential-test failed with status 1" },
		{ "that is killed", "kill -9 $$", -EIO, "docker-credential-test was killed by signal 9" },
		{ "that prints without end", "exec yes", -EFBIG, "docker-credential-test printed more than 65536 bytes" },
		{ "that never answers", "exec sleep 100", -ETIMEDOUT, "docker-credential-test did not answer within 1 seconds" },
		{ "that never ends", "exec >&-; exec sleep 100", -ETIMEDOUT,
		  "docker-credential-test did not answer within 1 seconds" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("a helper %s", cases[i].what) {
			char *output = NULL;
			time_t before = time(NULL);
			check_int(run_helper(cases[i].script, 1000, &output), cases[i].code);
			check_str(fault.text, cases[i].message);
			check(output == NULL);
			check(time(NULL) - before < 10);
		}
	test_case ("a helper that may not be executed is an error that says so") {
		char *output = NULL;
		make_helper("test", "exit 0");
		chmod("bin/docker-credential-test", 0644);
		check_int(helper_run("test", "get", "a.net", 1000, &output, &fault), -EACCES);
		check_str(fault.text, "cannot run docker-credential-test: Permission denied");
		unlink("bin/docker-credential-test");
	}
	test_case ("a helper gets the input, and no descriptor of ours; none is left open here") {
		char *output = NULL;
		int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */
		int fd_count = scratch_fd_count();
		check_int(run_helper("cat; echo; echo /proc/self/fd/*", 5000, &output), 0);
		check_has(output, "a.net\n");
		check(output != NULL && strstr(output, "/fd/3 ") == NULL); /* the shell has its script on another one */
		char leaked[32];
		snprintf(leaked, sizeof(leaked), "/fd/%d ", leak);
		check(output != NULL && strstr(output, leaked) == NULL);
		check_int(scratch_fd_count(), fd_count);
		secret_free(output);
		close(leak);
	}
}

/* --- storing --- */

static const char *store(const char *auth_file, const char *host, const char *user, const char *password)
{
	static char text[PATH_MAX];
	struct credentials credentials = { .user = (char *)user, .password = (char *)password };
	char *place = NULL;
	fault = (struct err)ERR_INIT;
	int r = credentials_store(auth_file, host, &credentials, &place, &fault);
	snprintf(text, sizeof(text), "%s", r < 0 ? "error" : place);
	free(place);
	return text;
}

static const char *forget(const char *auth_file, const char *host)
{
	static char text[PATH_MAX];
	char *place = NULL;
	fault = (struct err)ERR_INIT;
	int r = credentials_remove(auth_file, host, &place, &fault);
	snprintf(text, sizeof(text), "%s", r < 0 ? "error" : place != NULL ? place : "nothing");
	free(place);
	return text;
}

static int mode_of(const char *path)
{
	struct stat st;
	return lstat(path, &st) < 0 ? -1 : (int)(st.st_mode & 07777);
}

static void test_store(void)
{
	test_case ("the first one makes the file and its directories, for the user alone") {
		setenv("XDG_CONFIG_HOME", "fresh/config", 1);
		umask(0);
		check_str(store(NULL, "a.net", "ada", "pass:word"), "fresh/config/containers/auth.json");
		umask(022);
		check_int(mode_of("fresh/config/containers/auth.json"), 0600);
		check_int(mode_of("fresh/config/containers"), 0700);
		check_int(mode_of("fresh"), 0700);
		check_str(find(NULL, "a.net", "x"), "ada:pass:word");
		check_str(content("fresh/config/containers/auth.json"),
			  "{\n    \"auths\": {\n        \"a.net\": {\n            \"auth\": \"YWRhOnBhc3M6d29yZA==\"\n        }\n    }\n}");
	}
	test_case ("it is removed again") {
		check_str(forget(NULL, "a.net"), "fresh/config/containers/auth.json");
		check_str(find(NULL, "a.net", "x"), "none");
		check_str(forget(NULL, "a.net"), "nothing");
		unsetenv("XDG_CONFIG_HOME");
	}
	test_case ("REGISTRY_AUTH_FILE names the file, and what is asked for goes before it") {
		setenv("REGISTRY_AUTH_FILE", "deep/er/named.json", 1);
		check_str(store(NULL, "a.net", "u", "p"), "deep/er/named.json");
		check_str(store("asked.json", "a.net", "u", "q"), "asked.json");
		check_str(find(NULL, "a.net", "x"), "u:p");
		check_str(find("asked.json", "a.net", "x"), "u:q");
		unsetenv("REGISTRY_AUTH_FILE");
	}
	test_case ("everything else in the file stays, in its order, and its mode becomes 0600") {
		scratch_file(AUTH,
			"{\"psFormat\": \"x\", \"auths\": {\"b.net\": " BOB ", \"https://a.net/v1/\": " BOB ", \"c.net\": {}}, "
				   "\"proxies\": {\"n\": [1, 2.5, null, true]}}");
		chmod(AUTH, 0644);
		check_str(store(AUTH, "a.net", "ada", "secret"), AUTH);
		check_int(mode_of(AUTH), 0600);
		char plain[1024], *to = plain;
		for (const char *from = content(AUTH); *from != '\0' && to < plain + sizeof(plain) - 1; from++)
			if (*from != ' ' && *from != '\n')
				*to++ = *from;
		*to = '\0';
		check_str(plain,
			"{\"psFormat\":\"x\",\"auths\":{\"b.net\":{\"auth\":\"Ym9iOndvcmQ=\"},\"https://a.net/v1/\":{\"auth\":\"YWRhOnNlY3JldA==\"},"
				 "\"c.net\":{}},\"proxies\":{\"n\":[1,2.5,null,true]}}");
	}
	test_case ("removing takes every spelling of the host, and nothing else") {
		scratch_file(AUTH,
			"{\"auths\": {\"b.net\": " BOB ", \"https://a.net/v1/\": " BOB ", \"a.net\": " ADA ", \"a.net/team\": " TEAM "}}");
		check_str(forget(AUTH, "a.net"), AUTH);
		check_str(find(AUTH, "a.net", NULL), "none");
		check_str(find(AUTH, "a.net", "team"), "team:t");
		check_str(find(AUTH, "b.net", "x"), "bob:word");
	}
	test_case ("removing everything leaves the other settings") {
		scratch_file(AUTH, "{\"auths\": {\"b.net\": " BOB ", \"a.net\": " ADA "}, \"psFormat\": \"x\"}");
		check_str(forget(AUTH, NULL), AUTH);
		check_str(content(AUTH), "{\n    \"auths\": {},\n    \"psFormat\": \"x\"\n}");
		check_str(forget(AUTH, NULL), "nothing");
	}
	test_case ("removing from a file that does not exist makes none") {
		check_str(forget("never.json", "a.net"), "nothing");
		check(access("never.json", F_OK) < 0);
	}
	test_case ("a symlink stays one, and its target is replaced") {
		scratch_file("real/config.json", "{}");
		scratch_link("real/config.json", "link.json");
		check_str(store("link.json", "a.net", "u", "p"), "link.json");
		struct stat st;
		check(lstat("link.json", &st) == 0 && S_ISLNK(st.st_mode));
		check_str(find("real/config.json", "a.net", "x"), "u:p");
	}
	test_case ("a symlink to nothing is refused") {
		scratch_link("nowhere/config.json", "dangling.json");
		check_str(store("dangling.json", "a.net", "u", "p"), "error");
		check_str(fault.text, "'dangling.json' is a symlink to a file that does not exist");
	}
	test_case ("a malformed file is refused and left as it is") {
		scratch_file(AUTH, "{\"auths\":");
		check_str(store(AUTH, "a.net", "u", "p"), "error");
		check_has(fault.text, "auth.json:1:");
		check_str(content(AUTH), "{\"auths\":");
		check_str(forget(AUTH, "a.net"), "error");
	}
	test_case ("a directory that cannot be written to is named, and no file is left beside") {
		check_str(store("/proc/self/auth.json", "a.net", "u", "p"), "error");
		check_has(fault.text, "cannot write '/proc/self/auth.json': ");
		check_str(store("asked.json/auth.json", "a.net", "u", "p"), "error");
		check_has(fault.text, "asked.json");
		check(system("ls *.json.?????? 2>/dev/null | grep -q .") != 0);
	}
	test_case ("a user name with a colon is refused") {
		check_str(store(NULL, "a.net", "a:b", "p"), "error");
		check_str(fault.text, "the user name 'a:b' has a colon");
	}
	test_case ("without HOME and without a file there is no place") {
		char *home = strdup(getenv("HOME"));
		unsetenv("HOME");
		check_str(store(NULL, "a.net", "u", "p"), "error");
		check_str(fault.text, "HOME is not set, and no file is named with --auth-file");
		setenv("HOME", home, 1);
		free(home);
	}
	test_case ("an identity token is stored as one") {
		struct credentials credentials = { .identity_token = (char *)"tok" };
		char *place = NULL;
		check_int(credentials_store("token.json", "a.net", &credentials, &place, &fault), 0);
		free(place);
		check_str(find("token.json", "a.net", "x"), "token tok");
	}
}

static void test_store_helpers(void)
{
	make_helper("keep", "{ printf '%s ' \"$1\"; cat; echo; } >>kept");
	test_case ("the helper of the host keeps it, and the file stays as it is") {
		scratch_file(AUTH, "{\"credHelpers\": {\"a.net\": \"keep\"}}");
		check_str(store(AUTH, "a.net", "u", "p\"w"), "docker-credential-keep");
		check_str(content("kept"), "store {\"ServerURL\":\"a.net\",\"Username\":\"u\",\"Secret\":\"p\\\"w\"}\n");
		check_str(content(AUTH), "{\"credHelpers\": {\"a.net\": \"keep\"}}");
	}
	test_case ("another host's goes to the file") {
		check_str(store(AUTH, "b.net", "u", "p"), AUTH);
	}
	test_case ("credsStore keeps docker.io under Docker's name") {
		unlink("kept");
		scratch_file(AUTH, "{\"credsStore\": \"keep\"}");
		check_str(store(AUTH, "docker.io", "u", "p"), "docker-credential-keep");
		check_has(content("kept"), "\"ServerURL\":\"https://index.docker.io/v1/\"");
	}
	test_case ("removing erases it there, and the entry that stands for it") {
		unlink("kept");
		scratch_file(AUTH, "{\"auths\": {\"a.net\": {}}, \"credsStore\": \"keep\"}");
		check_str(forget(AUTH, "a.net"), AUTH);
		check_str(content("kept"), "erase a.net\n");
		check_str(content(AUTH), "{\n    \"auths\": {},\n    \"credsStore\": \"keep\"\n}");
	}
	test_case ("removing everything erases everything that the file names") {
		unlink("kept");
		scratch_file(AUTH,
			"{\"auths\": {\"a.net\": {}}, \"credsStore\": \"keep\", \"credHelpers\": {\"b.net\": \"keep\"}}");
		check_str(forget(AUTH, NULL), AUTH);
		check_str(content("kept"), "erase b.net\nerase a.net\n");
		check_has(content(AUTH), "\"b.net\": \"keep\"");
	}
	test_case ("a helper that fails to keep it is an error, without the password") {
		make_helper("full", "cat; exit 1");
		scratch_file(AUTH, "{\"credsStore\": \"full\"}");
		check_str(store(AUTH, "a.net", "u", "secret"), "error");
		check_str(fault.text, "docker-credential-full failed with status 1");
	}
	test_case ("a helper with nothing to erase is no error") {
		make_helper("none", "echo 'credentials not found in native keychain'; exit 1");
		scratch_file(AUTH, "{\"credsStore\": \"none\"}");
		check_str(forget(AUTH, "a.net"), "nothing");
	}
}

int main(void)
{
	static const char *const unset[] = { "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG",
		"ENROOT_CONFIG_PATH",
					     "SIMG_DOCKER_USERNAME", "SIMG_DOCKER_PASSWORD", "APPTAINER_DOCKER_USERNAME",
					     "APPTAINER_DOCKER_PASSWORD", "SINGULARITY_DOCKER_USERNAME",
					     "SINGULARITY_DOCKER_PASSWORD" };
	char home[PATH_MAX], path[2 * PATH_MAX];
	scratch_enter();
	for (size_t i = 0; i < COUNT(unset); i++)
		unsetenv(unset[i]);
	snprintf(home, sizeof(home), "%s/home", scratch.path);
	setenv("HOME", home, 1);
	snprintf(path, sizeof(path), "%s/bin:/usr/bin:/bin", scratch.path);
	setenv("PATH", path, 1);
	test_matching();
	test_malformed();
	test_places();
	test_environment();
	test_netrc();
	test_helpers();
	test_helper_failures();
	test_store();
	test_store_helpers();
	return test_end();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/registry/challenge.h"
#include "builder/registry/http_field.h"

#include "tests/tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *field, *realm, *service, *scope, *error; /* of the challenge that is answered */
	size_t count;
	enum challenge_scheme scheme;
} fields[] = {
	{ "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"repository:a/b:pull\"",
	  "https://auth.example/token", "registry.example", "repository:a/b:pull", NULL, 1, CHALLENGE_BEARER },
	{ "bearer REALM=\"https://a/t\" , Service=\"s\"", "https://a/t", "s", NULL, NULL, 1, CHALLENGE_BEARER },
	{ "Bearer realm=\"https://a/t\",scope=\"repository:a:pull,push repository:b:pull\",error=\"insufficient_scope\"", "https://a/t",
	  NULL, "repository:a:pull,push repository:b:pull", "insufficient_scope", 1, CHALLENGE_BEARER },
	{ "Basic realm=\"Registry, \\\"the\\\" one\"", "Registry, \"the\" one", NULL, NULL, NULL, 1, CHALLENGE_BASIC },
	{ "Basic realm=\"x\", Bearer realm=\"https://a/t\",service=\"s\"", "https://a/t", "s", NULL, NULL, 2, CHALLENGE_BEARER },
	{ "Bearer service=\"s\", Basic realm=\"x\"", "x", NULL, NULL, NULL, 2, CHALLENGE_BASIC },
	{ "Negotiate, Basic realm=\"x\"", "x", NULL, NULL, NULL, 1, CHALLENGE_BASIC },
	{ "Negotiate oYGeMIGboAMKAQ==, Bearer realm=\"https://a/t\"", "https://a/t", NULL, NULL, NULL, 1, CHALLENGE_BEARER },
	{ "Negotiate bearer, Basic realm=\"x\"", "x", NULL, NULL, NULL, 1, CHALLENGE_BASIC },
	{ "Digest realm=\"d\", nonce=\"Basic realm=1\", Basic realm=\"x\"", "x", NULL, NULL, NULL, 1, CHALLENGE_BASIC },
	{ "Bearer realm=https://a/t,service=s", "https://a/t", "s", NULL, NULL, 1, CHALLENGE_BEARER },
	{ "Bearer realm = \"https://a/t\"", "https://a/t", NULL, NULL, NULL, 1, CHALLENGE_BEARER },
	{ "Bearer realm=\"https://a/t\",realm=\"https://b/t\"", "https://a/t", NULL, NULL, NULL, 1, CHALLENGE_BEARER },
	{ ",, ,Bearer realm=\"https://a/t\",,", "https://a/t", NULL, NULL, NULL, 1, CHALLENGE_BEARER },
	{ "Bearer realm=\"https://a/t", "https://a/t", NULL, NULL, NULL, 1, CHALLENGE_BEARER },
	{ "Bearer realm=\"\\", "\\", NULL, NULL, NULL, 1, CHALLENGE_BEARER },
	{ "Basic", NULL, NULL, NULL, NULL, 1, CHALLENGE_BASIC },
	{ "Bearer", NULL, NULL, NULL, NULL, 1, CHALLENGE_NONE },
	{ "realm=\"https://a/t\"", NULL, NULL, NULL, NULL, 0, CHALLENGE_NONE },
	{ "Basically realm=\"x\"", NULL, NULL, NULL, NULL, 0, CHALLENGE_NONE },
	{ "", NULL, NULL, NULL, NULL, 0, CHALLENGE_NONE },
	{ "\"=,\x80;", NULL, NULL, NULL, NULL, 0, CHALLENGE_NONE },
};

static void test_challenges(void)
{
	for (size_t i = 0; i < COUNT(fields); i++)
		test_case ("the challenge '%s' is understood", fields[i].field) {
			autochallenges struct challenges challenges = { .count = 0 };
			check_int(challenges_add(&challenges, fields[i].field), 0);
			check_int(challenges.count, fields[i].count);
			const struct challenge *best = challenges_best(&challenges);
			check_int(best != NULL ? best->scheme : CHALLENGE_NONE, fields[i].scheme);
			if (best == NULL)
				break;
			check_str(best->realm, fields[i].realm);
			check_str(best->service, fields[i].service);
			check_str(best->scope, fields[i].scope);
			check_str(best->error, fields[i].error);
		}
	test_case ("several fields add up, and 16 challenges are enough") {
		autochallenges struct challenges challenges = { .count = 0 };
		for (int i = 0; i < 20; i++)
			check_int(challenges_add(&challenges, i == 5 ? "Bearer realm=\"https://a/t\"" : "Basic realm=\"x\""), 0);
		check_int(challenges.count, CHALLENGES_MAX);
		check_int(challenges_best(&challenges)->scheme, CHALLENGE_BEARER);
	}
}

enum { NOW = 784111717 }; /* Sun, 06 Nov 1994 08:48:37 GMT */
static const struct {
	const char *text;
	long seconds;
} waits[] = {
	{ "0", 0 },
	{ "120", 120 },
	{ " 7 ", 7 },
	{ "99999999999999999999", 604800 },
	{ "Sun, 06 Nov 1994 08:49:37 GMT", 60 },
	{ "Sunday, 06-Nov-94 08:49:37 GMT", 60 },
	{ "Sun Nov  6 08:49:37 1994", 60 },
	{ "Sun, 06 Nov 1994 08:48:37 GMT", 0 },
	{ "Sun, 06 Nov 1994 07:49:37 GMT", 0 },
	{ "Thu, 01 Jan 2037 00:00:01 GMT", 604800 },
	{ "soon", -1 },
	{ "-5", -1 },
	{ "", -1 },
};

static const struct {
	const char *text;
	bool good;
	uint64_t first, last, total;
} ranges[] = {
	{ "bytes 100-199/200", true, 100, 199, 200 },
	{ "Bytes 0-0/1 ", true, 0, 0, 1 },
	{ "bytes 5-9/*", true, 5, 9, UINT64_MAX },
	{ "bytes 18446744073709551613-18446744073709551614/*", true, UINT64_MAX - 2, UINT64_MAX - 1, UINT64_MAX },
	{ "bytes 9-5/10", false, 0, 0, 0 },
	{ "bytes 5-10/10", false, 0, 0, 0 },
	{ "bytes */10", false, 0, 0, 0 },
	{ "bytes=5-9/10", false, 0, 0, 0 },
	{ "bytes -5-9/10", false, 0, 0, 0 },
	{ "bytes 5-9/10, 11-12/20", false, 0, 0, 0 },
	{ "bytes 5-99999999999999999999/*", false, 0, 0, 0 },
	{ "items 5-9/10", false, 0, 0, 0 },
	{ "", false, 0, 0, 0 },
};

static const struct {
	const char *text, *warning;
} warnings[] = {
	{ "299 - \"this registry closes in May\"", "this registry closes in May" },
	{ "299 proxy.example \"a \\\"quoted\\\" word\" \"Thu, 01 Jan 1970 00:00:01 GMT\"", "a \"quoted\" word" },
	{ "299 - \"open", "open" },
	{ "110 - \"stale\"", NULL },
	{ "299 -", NULL },
	{ "2999 - \"x\"", NULL },
};

static void test_fields(void)
{
	for (size_t i = 0; i < COUNT(waits); i++)
		test_case ("Retry-After '%s' is %ld seconds", waits[i].text, waits[i].seconds)
			check_int(field_retry_after(waits[i].text, NOW), waits[i].seconds);
	for (size_t i = 0; i < COUNT(ranges); i++)
		test_case ("Content-Range '%s' is %s", ranges[i].text, ranges[i].good ? "understood" : "refused") {
			uint64_t first = 0, last = 0, total = 0;
			check_int(field_content_range(ranges[i].text, &first, &last, &total), ranges[i].good);
			check(first == ranges[i].first && last == ranges[i].last && total == ranges[i].total);
		}
	for (size_t i = 0; i < COUNT(warnings); i++)
		test_case ("of the Warning '%s' the text is shown", warnings[i].text) {
			char *text = field_warning(warnings[i].text);
			check_str(text, warnings[i].warning);
			free(text);
		}
}

static const struct {
	const char *url, *origin;
	bool loopback;
} origins[] = {
	{ "https://Registry.Example/v2/", "https://registry.example", false },
	{ "https://registry.example:443", "https://registry.example", false },
	{ "HTTP://registry.example:80/x", "http://registry.example", false },
	{ "https://registry.example:80/x", "https://registry.example:80", false },
	{ "http://localhost:5000/v2/", "http://localhost:5000", true },
	{ "http://localhost.example/", "http://localhost.example", false },
	{ "https://127.0.0.1?x", "https://127.0.0.1", true },
	{ "http://127.0.0.1.example:5000/", "http://127.0.0.1.example:5000", false },
	{ "http://[::1]:5000/", "http://[::1]:5000", true },
	{ "http://[::1]@evil/", NULL, false },
	{ "https://user@registry.example/", NULL, false },
	{ "https://registry.example\\@evil/", NULL, false },
	{ "https://registry.example%2f@evil/", NULL, false },
	{ "https://registry.example:443@evil/", NULL, false },
	{ "https://registry.example:0/", NULL, false },
	{ "https://registry.example:65536/", NULL, false },
	{ "https://registry.example:/", NULL, false },
	{ "https:///v2/", NULL, false },
	{ "https:/registry.example/", NULL, false },
	{ "https:// registry.example/", NULL, false },
	{ "ftp://registry.example/", NULL, false },
	{ "file:///etc/passwd", NULL, false },
	{ "/v2/", NULL, false },
	{ "", NULL, false },
};

static void test_origins(void)
{
	for (size_t i = 0; i < COUNT(origins); i++)
		test_case ("'%s' %s", origins[i].url, origins[i].origin != NULL ? "has an origin" : "is no place to ask") {
			char origin[ORIGIN_MAX] = "";
			if (!check_int(url_origin(origins[i].url, origin), origins[i].origin != NULL) || origins[i].origin == NULL)
				break;
			check_str(origin, origins[i].origin);
			check_int(origin_is_loopback(origin), origins[i].loopback);
		}
	test_case ("a host's name of 255 bytes is taken, a longer one is refused") {
		char url[300], origin[ORIGIN_MAX];
		snprintf(url, sizeof(url), "https://%0255d:65535/", 1);
		check(url_origin(url, origin));
		check_int(strlen(origin), ORIGIN_MAX - 1);
		snprintf(url, sizeof(url), "https://%0256d/", 1);
		check(!url_origin(url, origin));
	}
}

int main(void)
{
	test_challenges();
	test_fields();
	test_origins();
	return test_end();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * From the rules of registries.conf to the endpoints of a reference: see registries.h. The rule with the longest prefix makes them.
 */
#include "builder/registry/registries.h"

#include "builder/registry/certificates.h"
#include "builder/registry/rules.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define DOCKER_HOST     "docker.io"
#define DOCKER_API_HOST "registry-1.docker.io"

enum { REFERENCE_SUFFIX_MAX = REFERENCE_TEXT_MAX };

/* --- choosing --- */

/* How many bytes of "host[:port]/name[:tag|@digest]" the prefix covers; 0 if it does not match. */
static size_t match_length(const char *text, const char *prefix)
{
	size_t host = rule_host_length(text), length = strlen(prefix);
	const char *start = text;
	if (prefix[0] == '*') {
		prefix++;
		length--;
		if (host <= rule_host_length(prefix))
			return 0;
		start = text + host - rule_host_length(prefix);
	}
	if (strncmp(start, prefix, length) != 0)
		return 0;
	/* A host ends at a slash, so that example.com is not example.com:5000; a repository also where tag or digest begin. */
	char next = start[length];
	bool ends = next == '\0' || next == '/' || (strchr(prefix, '/') != NULL && (next == ':' || next == '@'));
	return ends ? (size_t)(start - text) + length : 0;
}

static const struct rule *choose(const struct rules *rules, const char *text)
{
	const struct rule *best = NULL;
	for (size_t i = 0; i < rules->count; i++)
		if (match_length(text, rules->list[i].prefix) > 0 &&
		    (best == NULL || strlen(rules->list[i].prefix) > strlen(best->prefix)))
			best = &rules->list[i];
	return best;
}

/* --- endpoints --- */

static bool is_loopback(const char *host)
{
	char name[REFERENCE_HOST_MAX];
	struct in_addr address;
	if (strncmp(host, "[::1]", 5) == 0)
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(host, ":"), host);
	if (strcasecmp(name, "localhost") == 0)
		return true;
	return inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

/* Docker's hub has a name for people and others for programs. */
static bool is_docker(const char *host)
{
	return strcmp(host, DOCKER_HOST) == 0 || strcmp(host, "index.docker.io") == 0 || strcmp(host, DOCKER_API_HOST) == 0;
}

/* Fills the endpoint from "host/name", with what follows the name already cut off. */
static int endpoint_fill(struct endpoint *endpoint, const char *place, struct err *err)
{
	size_t length = rule_host_length(place);
	const char *name = place[length] == '/' ? place + length + 1 : "";
	autofree char *host = strndup(place, length);
	if (host == NULL)
		return err_sys(err, ENOMEM, "cannot store '%s'", place);
	bool docker = is_docker(host), official = docker && name[0] != '\0' && strchr(name, '/') == NULL;
	endpoint->host = strdup(docker ? DOCKER_API_HOST : host);
	endpoint->credentials_host = strdup(docker ? DOCKER_HOST : host);
	if (asprintf(&endpoint->name, "%s%s", official ? "library/" : "", name) < 0)
		endpoint->name = NULL;
	if (endpoint->host == NULL || endpoint->credentials_host == NULL || endpoint->name == NULL)
		return err_sys(err, ENOMEM, "cannot store '%s'", place);
	endpoint->insecure |= is_loopback(host);
	return certificates_find(endpoint->credentials_host, &endpoint->ca_files, &endpoint->cert_file, &endpoint->key_file, err);
}

/* Cuts ":tag" or "@digest" off. What is cut has to be what the reference has: nothing here gives another image under its name. */
static int cut_suffix(const struct rule *rule, char *place, const char *suffix, struct err *err)
{
	size_t length = strlen(place), suffix_length = strlen(suffix);
	char *slash = strchr(place, '/');
	if (length <= suffix_length || strcmp(place + length - suffix_length, suffix) != 0)
		return err_set(err, EINVAL, "%s: the location would change the tag or digest '%s' to that of '%s'", rule->origin,
			       suffix + 1, place);
	place[length - suffix_length] = '\0';
	if (suffix[0] != '\0' && (slash == NULL || slash[1] == '\0' || strpbrk(slash, ":@") != NULL))
		return err_set(err, EINVAL, "%s: the location would make the reference '%s', which is none", rule->origin, place);
	return 0;
}

/* Adds the endpoint that location makes of the reference. */
static int endpoint_add(struct endpoints *endpoints, const struct rule *rule, const char *location, const char *text,
			const char *suffix, const struct endpoint *flags, struct err *err)
{
	struct endpoint *endpoint = &endpoints->list[endpoints->count++];
	size_t covered = location != NULL ? match_length(text, rule->prefix) : 0;
	autofree char *place = NULL;
	*endpoint = *flags;
	if (asprintf(&place, "%s%s", location != NULL ? location : "", text + covered) < 0) {
		place = NULL;
		return err_sys(err, ENOMEM, "cannot store '%s'", text);
	}
	int r = cut_suffix(rule, place, suffix, err);
	return r < 0 ? r : endpoint_fill(endpoint, place, err);
}

static int endpoints_make(const struct rule *rule, const char *text, const char *suffix, struct endpoints *endpoints,
			  struct err *err)
{
	int r = 0;
	endpoints->list = calloc(rule->mirror_count + 1, sizeof(*endpoints->list));
	if (endpoints->list == NULL)
		return err_sys(err, ENOMEM, "cannot store endpoints");
	for (size_t i = 0; r == 0 && i < rule->mirror_count; i++) {
		const struct mirror *mirror = &rule->mirrors[i];
		struct endpoint flags = { .mirror = true,
					  .insecure = mirror->insecure,
					  .by_digest_only = rule->by_digest_only || mirror->pull == PULL_DIGEST_ONLY,
					  .by_tag_only = mirror->pull == PULL_TAG_ONLY };
		r = endpoint_add(endpoints, rule, mirror->location, text, suffix, &flags, err);
	}
	struct endpoint flags = { .insecure = rule->insecure };
	return r < 0 ? r : endpoint_add(endpoints, rule, rule->location, text, suffix, &flags, err);
}

/* "host/name" and ":tag" or "@digest"; a digest says all. */
static void reference_text(const struct reference *reference, char text[REFERENCE_TEXT_MAX], char suffix[REFERENCE_SUFFIX_MAX])
{
	suffix[0] = '\0';
	if (digest_is_set(&reference->digest))
		snprintf(suffix, REFERENCE_SUFFIX_MAX, "@%s", reference->digest.text);
	else if (reference->tag[0] != '\0' && reference->name[0] != '\0')
		snprintf(suffix, REFERENCE_SUFFIX_MAX, ":%s", reference->tag);
	snprintf(text, REFERENCE_TEXT_MAX, "%s%s%s%s", reference->host, reference->name[0] != '\0' ? "/" : "", reference->name,
		 suffix);
	rule_lower_host(text);
}

int endpoints_find(const struct reference *reference, struct endpoints *ret_endpoints, struct err *err)
{
	static const struct rule no_rule = { .prefix = (char *)"", .origin = (char *)"registries.conf" };
	char text[REFERENCE_TEXT_MAX], suffix[REFERENCE_SUFFIX_MAX];
	struct endpoints endpoints = { 0 };
	struct rules rules = { 0 };
	reference_text(reference, text, suffix);
	int r = rules_read(&rules, err);
	if (r == 0) {
		const struct rule *rule = choose(&rules, text);
		if (rule != NULL && rule->blocked)
			r = err_set(err, EPERM, "'%s' is blocked: %s", text, rule->origin);
		else
			r = endpoints_make(rule != NULL ? rule : &no_rule, text, suffix, &endpoints, err);
	}
	rules_free(&rules);
	if (r < 0)
		endpoints_free(&endpoints);
	else
		*ret_endpoints = endpoints;
	return r;
}

void endpoints_free(struct endpoints *endpoints)
{
	for (size_t i = 0; i < endpoints->count; i++) {
		struct endpoint *endpoint = &endpoints->list[i];
		free(endpoint->host);
		free(endpoint->name);
		free(endpoint->credentials_host);
		strlist_free(&endpoint->ca_files);
		free(endpoint->cert_file);
		free(endpoint->key_file);
	}
	free(endpoints->list);
	*endpoints = (struct endpoints){ 0 };
}

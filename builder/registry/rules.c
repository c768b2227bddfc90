/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading registries.conf: see rules.h. Everything that is wrong with a value is said where it stands.
 */
#include "builder/registry/rules.h"

#include "builder/registry/places.h"
#include "builder/registry/toml.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <ctype.h>
#include <string.h>

#define SYSTEM_CONF "/etc/containers/registries.conf"

/* The state while a file is read. */
struct reading {
	struct rules rules; /* of this file */
	const char *path;
	unsigned line;
	enum { IN_NOTHING_KNOWN, IN_REGISTRY, IN_MIRROR, IN_VERSION_1 } table;
};

static void rule_free(struct rule *rule)
{
	for (size_t i = 0; i < rule->mirror_count; i++)
		free(rule->mirrors[i].location);
	free(rule->mirrors);
	free(rule->prefix);
	free(rule->location);
	free(rule->origin);
	*rule = (struct rule){ 0 };
}

void rules_free(struct rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		rule_free(&rules->list[i]);
	free(rules->list);
	*rules = (struct rules){ 0 };
}

/* --- places in a registry: host[:port][/path…] --- */

size_t rule_host_length(const char *place)
{
	return strcspn(place, "/");
}

void rule_lower_host(char *place)
{
	for (size_t i = 0, length = rule_host_length(place); i < length; i++)
		place[i] = (char)tolower((unsigned char)place[i]);
}

/* Takes a prefix or a location, without slashes at its end. */
static int place_take(const char *key, const char *text, char **slot, struct err *err)
{
	size_t length = strlen(text);
	while (length > 0 && text[length - 1] == '/')
		length--;
	if (length == 0)
		return err_set(err, EINVAL, "%s: the name of a registry is empty", key);
	if (strstr(text, "://") != NULL) {
		err_set(err, EINVAL, "%s: '%s' is an URL, not the name of a registry", key, text);
		return err_hint(err, "leave '%.*s' out; insecure = true allows http", (int)(strstr(text, "://") - text + 3), text);
	}
	bool wildcard = strcmp(key, "prefix") == 0 && strncmp(text, "*.", 2) == 0 && length > 2;
	for (size_t i = wildcard ? 1 : 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && strchr("._-:/@[]", text[i]) == NULL)
			return err_set(err, EINVAL, "%s: '%s' is not the name of a registry", key, text);
	char *copy = strndup(text, length);
	if (copy == NULL)
		return err_sys(err, ENOMEM, "cannot store a registry");
	rule_lower_host(copy);
	free(*slot);
	*slot = copy;
	return 0;
}

/* --- reading --- */

static int add_rule(struct reading *reading, struct err *err)
{
	struct rules *rules = &reading->rules;
	struct rule *grown = reallocarray(rules->list, rules->count + 1, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "cannot store a registry");
	rules->list = grown;
	struct rule *rule = &rules->list[rules->count++];
	*rule = (struct rule){ 0 };
	if (asprintf(&rule->origin, "%s:%u", reading->path, reading->line) < 0) {
		rule->origin = NULL;
		return err_sys(err, ENOMEM, "cannot store a registry");
	}
	return 0;
}

static struct rule *last_rule(struct reading *reading)
{
	return &reading->rules.list[reading->rules.count - 1];
}

/* A table is left: a mirror needs its location. */
static int end_mirror(struct reading *reading, struct err *err)
{
	if (reading->table != IN_MIRROR)
		return 0;
	const struct rule *rule = last_rule(reading);
	if (rule->mirrors[rule->mirror_count - 1].location == NULL)
		return err_set(err, EINVAL, "the mirror before has no location");
	return 0;
}

static int add_mirror(struct reading *reading, struct err *err)
{
	if (reading->rules.count == 0)
		return err_set(err, EINVAL, "[[registry.mirror]] stands before any [[registry]]");
	struct rule *rule = last_rule(reading);
	struct mirror *grown = reallocarray(rule->mirrors, rule->mirror_count + 1, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "cannot store a mirror");
	rule->mirrors = grown;
	rule->mirrors[rule->mirror_count++] = (struct mirror){ 0 };
	return 0;
}

static int refuse_version_1(struct err *err)
{
	err_set(err, EINVAL, "this is version 1 of registries.conf, which is not supported");
	return err_hint(err, "write [[registry]] tables: containers-registries.conf(5)");
}

static int take_table(void *context, const char *name, bool in_array, struct err *err)
{
	struct reading *reading = context;
	int r = end_mirror(reading, err);
	if (r < 0)
		return r;
	bool registry = strcmp(name, "registry") == 0, mirror = strcmp(name, "registry.mirror") == 0;
	if ((registry || mirror) && !in_array)
		return err_set(err, EINVAL, "[%s] has to be [[%s]]", name, name);
	if (strcmp(name, "registries") == 0 || strncmp(name, "registries.", 11) == 0)
		return refuse_version_1(err);
	reading->table = registry ? IN_REGISTRY : mirror ? IN_MIRROR : IN_NOTHING_KNOWN;
	return registry ? add_rule(reading, err) : mirror ? add_mirror(reading, err) : 0;
}

static int take_text(const char *key, const struct toml_value *value, char **slot, struct err *err)
{
	if (value->type != TOML_STRING)
		return err_set(err, EINVAL, "%s: expected a string", key);
	return place_take(key, value->string, slot, err);
}

static int take_bool(const char *key, const struct toml_value *value, bool *slot, struct err *err)
{
	if (value->type != TOML_BOOLEAN)
		return err_set(err, EINVAL, "%s: expected true or false", key);
	*slot = value->boolean;
	return 0;
}

static int take_pull(const struct toml_value *value, enum pull *slot, struct err *err)
{
	static const char *const words[] = { "", "all", "digest-only", "tag-only" };
	for (int i = PULL_ALL; value->type == TOML_STRING && i <= PULL_TAG_ONLY; i++)
		if (strcmp(value->string, words[i]) == 0) {
			*slot = (enum pull)i;
			return 0;
		}
	return err_set(err, EINVAL, "pull-from-mirror: expected \"all\", \"digest-only\" or \"tag-only\"");
}

static int take_mirror_value(struct mirror *mirror, const char *key, const struct toml_value *value, struct err *err)
{
	if (strcmp(key, "location") == 0)
		return take_text(key, value, &mirror->location, err);
	if (strcmp(key, "insecure") == 0)
		return take_bool(key, value, &mirror->insecure, err);
	if (strcmp(key, "pull-from-mirror") == 0)
		return take_pull(value, &mirror->pull, err);
	return 0;
}

static int take_registry_value(struct rule *rule, const char *key, const struct toml_value *value, struct err *err)
{
	/* An empty prefix or location counts as none: that is how programs write it. */
	bool empty = value->type == TOML_STRING && value->string[0] == '\0';
	if (strcmp(key, "prefix") == 0)
		return empty ? 0 : take_text(key, value, &rule->prefix, err);
	if (strcmp(key, "location") == 0)
		return empty ? 0 : take_text(key, value, &rule->location, err);
	if (strcmp(key, "insecure") == 0)
		return take_bool(key, value, &rule->insecure, err);
	if (strcmp(key, "blocked") == 0)
		return take_bool(key, value, &rule->blocked, err);
	if (strcmp(key, "mirror-by-digest-only") == 0)
		return take_bool(key, value, &rule->by_digest_only, err);
	if (strcmp(key, "pull-from-mirror") == 0)
		return err_set(err, EINVAL, "pull-from-mirror belongs into [[registry.mirror]]");
	if (strcmp(key, "mirror") == 0)
		return err_set(err, EINVAL, "mirrors are written as [[registry.mirror]]");
	return 0;
}

static int take_value(void *context, const char *key, const struct toml_value *value, struct err *err)
{
	struct reading *reading = context;
	struct rule *rule = reading->rules.count > 0 ? last_rule(reading) : NULL;
	switch (reading->table) {
	case IN_REGISTRY: return take_registry_value(rule, key, value, err);
	case IN_MIRROR: return take_mirror_value(&rule->mirrors[rule->mirror_count - 1], key, value, err);
	default: return strncmp(key, "registries.", 11) == 0 ? refuse_version_1(err) : 0;
	}
}

/* What can be said about a [[registry]] only once it is complete. */
static int rule_complete(struct rule *rule, struct err *err)
{
	if (rule->prefix == NULL && rule->location == NULL)
		return err_set(err, EINVAL, "%s: the registry has neither prefix nor location", rule->origin);
	char **missing = rule->prefix == NULL ? &rule->prefix : &rule->location;
	const char *given = rule->prefix == NULL ? rule->location : rule->prefix;
	if (*missing == NULL && given[0] != '*' && (*missing = strdup(given)) == NULL)
		return err_sys(err, ENOMEM, "cannot store a registry");
	for (size_t i = 0; rule->by_digest_only && i < rule->mirror_count; i++)
		if (rule->mirrors[i].pull != PULL_UNSET)
			return err_set(err, EINVAL, "%s: mirror-by-digest-only and pull-from-mirror exclude each other",
				       rule->origin);
	return 0;
}

static int rules_complete(const struct rules *rules, struct err *err)
{
	for (size_t i = 0; i < rules->count; i++) {
		int r = rule_complete(&rules->list[i], err);
		for (size_t other = 0; r == 0 && other < i; other++)
			if (strcmp(rules->list[i].prefix, rules->list[other].prefix) == 0)
				r = err_set(err, EINVAL, "%s: '%s' is described twice, first in %s", rules->list[i].origin,
					    rules->list[i].prefix, rules->list[other].origin);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Moves the rules of a later file over; they replace those with the same prefix. */
static int rules_merge(struct rules *rules, struct rules *more, struct err *err)
{
	struct rule *grown = reallocarray(rules->list, rules->count + more->count + 1, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "cannot store registries");
	rules->list = grown;
	for (size_t i = 0; i < more->count; i++) {
		size_t place = 0;
		while (place < rules->count && strcmp(rules->list[place].prefix, more->list[i].prefix) != 0)
			place++;
		if (place < rules->count)
			rule_free(&rules->list[place]);
		else
			rules->count++;
		rules->list[place] = more->list[i];
		more->list[i] = (struct rule){ 0 };
	}
	return 0;
}

/* 1 if the file exists. */
static int read_file(const char *path, struct rules *rules, struct err *err)
{
	static const struct toml_reader reader = { .table = take_table, .value = take_value };
	struct reading reading = { .path = path };
	autofree char *text = NULL;
	size_t bytes;
	int r = place_read(path, &text, &bytes, err);
	if (r < 0 || text == NULL)
		return r;
	r = toml_read(path, text, bytes, &reader, &reading, &reading.line, err);
	if (r == 0 && (r = end_mirror(&reading, err)) < 0)
		err_prefix(err, "%s", path);
	if (r == 0)
		r = rules_complete(&reading.rules, err);
	if (r == 0)
		r = rules_merge(rules, &reading.rules, err);
	rules_free(&reading.rules);
	return r < 0 ? r : 1;
}

static int is_conf(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);
	return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* The files of FILE.d, by name. */
static int read_directory(const char *file, struct rules *rules, struct err *err)
{
	autofree char *directory = NULL;
	struct dirent **entries = NULL;
	int r = 0;
	if (asprintf(&directory, "%s.d", file) < 0) {
		directory = NULL;
		return err_sys(err, ENOMEM, "cannot read '%s'", file);
	}
	int count = scandir(directory, &entries, is_conf, alphasort);
	if (count < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(err, errno, "cannot read '%s'", directory);
	for (int i = 0; i < count; i++) {
		autofree char *path = NULL;
		if (r >= 0 && asprintf(&path, "%s/%s", directory, entries[i]->d_name) < 0) {
			path = NULL;
			r = err_sys(err, ENOMEM, "cannot read '%s'", directory);
		}
		if (r >= 0)
			r = read_file(path, rules, err);
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int read_named(const char *path, struct rules *rules, struct err *err)
{
	int r = read_file(path, rules, err);
	if (r != 0)
		return r;
	return err_set(err, ENOENT, "there is no '%s', which CONTAINERS_REGISTRIES_CONF names", path);
}

static int read_all(struct rules *rules, struct err *err)
{
	const char *named = place_variable("CONTAINERS_REGISTRIES_CONF");
	if (named != NULL)
		return read_named(named, rules, err);
	autofree char *of_user = NULL;
	int r = place_in_config("containers/registries.conf", &of_user, err);
	if (r == 0 && of_user != NULL)
		r = read_file(of_user, rules, err);
	if (r == 0) {
		r = read_file(SYSTEM_CONF, rules, err);
		if (r >= 0)
			r = read_directory(SYSTEM_CONF, rules, err);
	}
	if (r >= 0 && of_user != NULL)
		r = read_directory(of_user, rules, err);
	return r;
}

int rules_read(struct rules *ret_rules, struct err *err)
{
	struct rules rules = { 0 };
	int r = read_all(&rules, err);
	if (r < 0) {
		rules_free(&rules);
		return r;
	}
	*ret_rules = rules;
	return 0;
}

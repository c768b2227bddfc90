/* SPDX-License-Identifier: Apache-2.0
 *
 * See run_config.h.
 */
#include "builder/run_config.h"

#include "builder/size.h"
#include "lib/err.h"
#include "lib/image_config.h"

#include <errno.h>

static int malformed(const char *source, const char *what, struct err *err)
{
	return err_set(err, EBADMSG, "the image configuration of '%s' is malformed: %s", source, what);
}

static int list_add(struct strlist *list, const json_t *item, const char *key, const char *source, struct err *err)
{
	if (!json_is_string(item))
		return err_set(err, EBADMSG, "the image configuration of '%s' is malformed: %s is no list of strings", source, key);
	if (strlist_add(list, json_string_value(item)) < 0)
		return err_sys(err, ENOMEM, "cannot read the image configuration of '%s'", source);
	return 0;
}

/* A single string stands for a list of one, as Docker reads it. */
static int list_take(const json_t *config, const char *key, const char *source, struct strlist *list, struct err *err)
{
	const json_t *value = json_object_get(config, key);
	if (value == NULL || json_is_null(value))
		return 0;
	if (!json_is_array(value))
		return list_add(list, value, key, source, err);
	int r = 0;
	for (size_t i = 0; i < json_array_size(value) && r == 0; i++)
		r = list_add(list, json_array_get(value, i), key, source, err);
	return r;
}

static int env_take(const json_t *config, const char *source, struct strlist *env, struct err *err)
{
	const json_t *value = json_object_get(config, "Env");
	if (value != NULL && !json_is_null(value) && !json_is_array(value))
		return malformed(source, "Env is no list of strings", err);
	if (json_array_size(value) > IMAGE_ENV_MAX)
		return err_set(err, EFBIG, "the image configuration of '%s' sets %zu variables, a launch takes at most %d", source,
			       json_array_size(value), IMAGE_ENV_MAX);
	return list_take(config, "Env", source, env, err);
}

static int labels_take(const json_t *config, const char *source, json_t *labels, struct err *err)
{
	json_t *value = json_object_get(config, "Labels"), *label;
	const char *key;
	if (value != NULL && !json_is_null(value) && !json_is_object(value))
		return malformed(source, "Labels is no object", err);
	json_object_foreach(value, key, label) {
		if (!json_is_string(label))
			return malformed(source, "a label is no string", err);
		json_object_set(labels, key, label);
	}
	return 0;
}

static int config_take(const json_t *top, const char *source, struct run_config *ret_config, struct err *err)
{
	const json_t *config = json_object_get(top, "config");
	if (!json_is_object(top) || (config != NULL && !json_is_null(config) && !json_is_object(config)))
		return malformed(source, "it is no object with a config object", err);
	const json_t *workdir = json_object_get(config, "WorkingDir");
	if (workdir != NULL && !json_is_null(workdir) && !json_is_string(workdir))
		return malformed(source, "WorkingDir is no string", err);
	int r = list_take(config, "Entrypoint", source, &ret_config->entrypoint, err);
	if (r == 0)
		r = list_take(config, "Cmd", source, &ret_config->command, err);
	if (r == 0)
		r = env_take(config, source, &ret_config->env, err);
	return r < 0 ? r : labels_take(config, source, ret_config->labels, err);
}

int run_config_parse(const char *text, size_t bytes, const char *source, struct run_config *ret_config, struct err *err)
{
	char size[SIZE_TEXT_MAX];
	if (bytes >= IMAGE_CONFIG_BYTES_MAX)
		return err_set(err, EFBIG, "the image configuration of '%s' has %s, a launch reads less than 4 MiB", source,
			       size_format(bytes, size));
	json_error_t error;
	json_t *top = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
	if (top == NULL)
		return malformed(source, error.text, err);
	*ret_config = (struct run_config){ .labels = json_object() };
	int r = config_take(top, source, ret_config, err);
	json_decref(top);
	if (r < 0)
		run_config_free(ret_config);
	return r;
}

void run_config_free(struct run_config *config)
{
	strlist_free(&config->entrypoint);
	strlist_free(&config->command);
	strlist_free(&config->env);
	json_decref(config->labels);
	*config = (struct run_config){ 0 };
}

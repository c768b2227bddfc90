/* SPDX-License-Identifier: Apache-2.0
 *
 * The image's metadata: see metadata.h. Source of the format: OCI image specification, config.md (config.Env, config.WorkingDir).
 */
#include "runtime/metadata.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/image_config.h"
#include "lib/path.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_PATH "/" IMAGE_CONFIG_PATH

static int malformed(struct err *err, const char *what)
{
	err_set(err, EBADMSG, "the image's " CONFIG_PATH " is malformed: %s", what);
	return err_hint(err, "build the image again");
}

static int take_env(const json_t *list, struct metadata *metadata, struct err *err)
{
	if (list == NULL || json_is_null(list))
		return 0;
	if (!json_is_array(list) || json_array_size(list) > IMAGE_ENV_MAX)
		return malformed(err, "Env is no list, or too long");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *item = json_string_value(json_array_get(list, i));
		if (item == NULL)
			return malformed(err, "an item of Env is no string");
		if (image_env_is_valid(item) && strlist_add(&metadata->env, item) < 0)
			return err_sys(err, ENOMEM, "cannot read the image's environment");
	}
	return 0;
}

static int take_workdir(const json_t *value, struct metadata *metadata, struct err *err)
{
	if (value == NULL || json_is_null(value))
		return 0;
	const char *text = json_string_value(value);
	if (text == NULL)
		return malformed(err, "WorkingDir is no string");
	if (text[0] == '\0')
		return 0;
	if (asprintf(&metadata->workdir, "%s%s", text[0] == '/' ? "" : "/", text) >= 0)
		return 0;
	metadata->workdir = NULL;
	return err_sys(err, ENOMEM, "cannot read the image's working directory");
}

static int read_text(int root_fd, char **ret_text, struct err *err)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	int r = path_resolve(root_fd, CONFIG_PATH, &place, err);
	if (r < 0)
		return r;
	if (place.missing[0] != '\0')
		return 0;
	struct stat st;
	if (fstat(place.fd, &st) < 0 || !S_ISREG(st.st_mode))
		return malformed(err, "not a regular file");
	autoclose int fd = fd_reopen(place.fd, O_RDONLY);
	if (fd < 0)
		return err_sys(err, -fd, "cannot open the image's " CONFIG_PATH);
	autofree char *text = calloc(1, IMAGE_CONFIG_BYTES_MAX + 1);
	ssize_t used = 0, n;
	if (text == NULL)
		return err_sys(err, ENOMEM, "cannot read the image's " CONFIG_PATH);
	while (used < IMAGE_CONFIG_BYTES_MAX && (n = read(fd, text + used, (size_t)(IMAGE_CONFIG_BYTES_MAX - used))) != 0) {
		if (n < 0)
			return err_sys(err, errno, "cannot read the image's " CONFIG_PATH);
		used += n;
	}
	if (used >= IMAGE_CONFIG_BYTES_MAX)
		return malformed(err, "larger than 4 MiB");
	*ret_text = steal_ptr(&text);
	return 0;
}

int metadata_read(int root_fd, struct metadata *ret_metadata, struct err *err)
{
	*ret_metadata = (struct metadata){ 0 };
	autofree char *text = NULL;
	int r = read_text(root_fd, &text, err);
	if (r < 0 || text == NULL)
		return r;
	json_error_t json_err;
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &json_err);
	if (json == NULL)
		return malformed(err, json_err.text);
	const json_t *config = json_object_get(json, "config");
	if (!json_is_object(json) || (config != NULL && !json_is_null(config) && !json_is_object(config)))
		r = malformed(err, "it is no object with a config object");
	if (r == 0)
		r = take_env(json_object_get(config, "Env"), ret_metadata, err);
	if (r == 0)
		r = take_workdir(json_object_get(config, "WorkingDir"), ret_metadata, err);
	json_decref(json);
	if (r < 0)
		metadata_free(ret_metadata);
	return r;
}

void metadata_free(struct metadata *metadata)
{
	strlist_free(&metadata->env);
	free(metadata->workdir);
	*metadata = (struct metadata){ 0 };
}

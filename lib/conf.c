/* SPDX-License-Identifier: Apache-2.0
 *
 * simg.conf: see conf.h. File and plugin arguments go through one table.
 */
#include "lib/conf.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { HELPER_TIMEOUT_MAX_S = 3600, LINE_BYTES_MAX = 65536 };
static const char PLUGSTACK[] = "plugstack.conf"; /* the origin of the plugin's arguments */

static int set_string(char **slot, const char *value, struct err *err)
{
	char *copy = strdup(value);
	if (copy == NULL)
		return err_sys(err, ENOMEM, "cannot store a setting");
	free(*slot);
	*slot = copy;
	return 0;
}

static int add_string(struct strlist *list, const char *value, struct err *err)
{
	return strlist_add(list, value) < 0 ? err_sys(err, ENOMEM, "cannot store a setting") : 0;
}

static int bad_value(struct err *err, const char *value, const char *expected)
{
	return err_set(err, EINVAL, "bad value '%s': expected %s", value, expected);
}

static int set_bind(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	struct err inner = ERR_INIT;
	int r = bind_parse_one(value, origin, &conf->binds, &inner);
	if (r < 0) { /* the origin is put before every setting's error, so it must not stand there twice */
		err_set(err, -r, "%s", inner.text + strlen(origin) + 2);
		return inner.hint[0] != '\0' ? err_hint(err, "%s", inner.hint) : r;
	}
	const struct bind *bind = &conf->binds.items[conf->binds.count - 1];
	return bind->source[0] == '/' ? 0 : bad_value(err, value, "an absolute source");
}

static int set_protect(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	(void)origin;
	autofree char *path = NULL;
	int r = path_normalise(value, "path", &path, err);
	return r < 0 ? r : add_string(&conf->protect, path, err);
}

static int set_image_path(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	(void)origin;
	autofree char *copy = strdup(value);
	if (copy == NULL)
		return err_sys(err, ENOMEM, "cannot store a setting");
	strlist_free(&conf->image_path);
	char *rest = copy, *item;
	while ((item = strsep(&rest, ":")) != NULL) {
		autofree char *path = NULL;
		int r = path_normalise(item, "directory", &path, err);
		if (r < 0 || (r = add_string(&conf->image_path, path, err)) < 0)
			return r;
	}
	return 0;
}

static int set_mount_home(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	(void)origin;
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return bad_value(err, value, "yes or no");
	conf->mount_home = strcmp(value, "yes") == 0;
	return 0;
}

static int set_driver(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	(void)origin;
	if (strcmp(value, "kernel") != 0)
		return bad_value(err, value, "kernel (the only driver of this version)");
	conf->driver = CONF_DRIVER_KERNEL;
	return 0;
}

static int set_tmp(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	(void)origin;
	if (strcmp(value, "job") != 0 && strcmp(value, "private") != 0)
		return bad_value(err, value, "job or private");
	conf->tmp = strcmp(value, "job") == 0 ? CONF_TMP_JOB : CONF_TMP_PRIVATE;
	return 0;
}

static int set_tmp_size(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	(void)origin;
	size_t digits = strspn(value, "0123456789");
	const char *unit = value + digits;
	if (digits == 0 || digits > 18 || strlen(unit) > 1 || (*unit != '\0' && strchr("kmgKMG%", *unit) == NULL))
		return bad_value(err, value, "a size such as 512m, 4g or 50%");
	return set_string(&conf->tmp_size, value, err);
}

/* The builder reads it, and the builder does not read plugstack.conf: there it would be ignored in silence. */
static int set_cache_dir(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	if (strcmp(origin, PLUGSTACK) == 0)
		return err_set(err, EINVAL, "only simg.conf can say it: simg build does not read plugstack.conf");
	autofree char *path = NULL;
	int r = path_normalise(value, "directory", &path, err);
	return r < 0 ? r : set_string(&conf->cache_dir, path, err);
}

static int set_helper(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	(void)origin;
	autofree char *path = NULL;
	int r = path_normalise(value, "path", &path, err);
	return r < 0 ? r : set_string(&conf->helper, path, err);
}

static int set_helper_timeout(struct conf *conf, const char *value, const char *origin, struct err *err)
{
	(void)origin;
	char *end;
	errno = 0;
	unsigned long seconds = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 || seconds < 1 || seconds > HELPER_TIMEOUT_MAX_S)
		return bad_value(err, value, "seconds from 1 to 3600");
	conf->helper_timeout_s = (unsigned)seconds;
	return 0;
}

static const struct setting {
	const char *key;
	int (*set)(struct conf *conf, const char *value, const char *origin, struct err *err);
} settings[] = {
	{ "bind", set_bind },
	{ "cache_dir", set_cache_dir },
	{ "helper", set_helper },
	{ "helper_timeout", set_helper_timeout },
	{ "image_path", set_image_path },
	{ "mount_driver", set_driver },
	{ "mount_home", set_mount_home },
	{ "protect", set_protect },
	{ "tmp", set_tmp },
	{ "tmp_size", set_tmp_size },
};
enum { SETTING_COUNT = sizeof(settings) / sizeof(settings[0]) };

/* origin is "FILE:LINE" or PLUGSTACK. */
static int conf_set(struct conf *conf, const char *key, const char *value, const char *origin, struct err *err)
{
	for (int i = 0; i < SETTING_COUNT; i++) {
		if (strcmp(settings[i].key, key) != 0)
			continue;
		int r = value[0] == '\0' ? err_set(err, EINVAL, "no value") : settings[i].set(conf, value, origin, err);
		return r < 0 ? err_prefix(err, "%s: %s", origin, key) : 0;
	}
	err_set(err, EINVAL, "%s: unknown key '%s'", origin, key);
	return err_hint(err, "simg.conf(5) lists the keys");
}

static char *trim(char *text)
{
	text += strspn(text, " \t\r\n");
	char *end = text + strlen(text);
	while (end > text && strchr(" \t\r\n", end[-1]) != NULL)
		*--end = '\0';
	return text;
}

static int conf_line(struct conf *conf, char *line, const char *origin, struct err *err)
{
	char *text = trim(line);
	if (*text == '\0' || *text == '#')
		return 0;
	char *equals = strchr(text, '=');
	if (equals == NULL) {
		err_set(err, EINVAL, "%s: '%s' is not of the form key = value", origin, text);
		return err_hint(err, "simg.conf(5) has examples");
	}
	*equals = '\0';
	return conf_set(conf, trim(text), trim(equals + 1), origin, err);
}

static int check_owner(int fd, const char *path, uid_t owner, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "'%s' is not a regular file", path);
	if (st.st_uid != owner || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		err_set(err, EPERM, "'%s' could be written by others than root (owner %u, mode %03o)", path, (unsigned)st.st_uid,
			(unsigned)st.st_mode & 0777);
		return err_hint(err, "chown root '%s' && chmod 644 '%s'", path, path);
	}
	return 0;
}

static int read_file(struct conf *conf, FILE *file, const char *path, struct err *err)
{
	autofree char *line = NULL;
	size_t size = 0;
	for (unsigned number = 1; getline(&line, &size, file) >= 0; number++) {
		char origin[512];
		snprintf(origin, sizeof(origin), "%s:%u", path, number);
		if (strlen(line) > LINE_BYTES_MAX)
			return err_set(err, E2BIG, "%s: line of more than %d bytes", origin, LINE_BYTES_MAX);
		int r = conf_line(conf, line, origin, err);
		if (r < 0)
			return r;
	}
	return ferror(file) ? err_sys(err, EIO, "cannot read '%s'", path) : 0;
}

static int load_file(struct conf *conf, const char *path, uid_t owner, struct err *err)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	int r = check_owner(fd, path, owner, err);
	if (r < 0)
		return r;
	autofclose FILE *file = fdopen(fd, "r");
	if (file == NULL)
		return err_sys(err, errno, "cannot read '%s'", path);
	steal_fd(&fd);
	return read_file(conf, file, path, err);
}

static int set_defaults(struct conf *conf, struct err *err)
{
	*conf = (struct conf){ .mount_home = true, .driver = CONF_DRIVER_KERNEL, .tmp = CONF_TMP_JOB, .helper_timeout_s = 60 };
	int r = set_string(&conf->helper, SIMG_LIBEXECDIR "/simg-helper", err);
	return r < 0 ? r : set_string(&conf->tmp_size, "50%", err);
}

static int set_args(struct conf *conf, int arg_count, char *const *args, struct err *err)
{
	for (int i = 0; i < arg_count; i++) {
		if (strncmp(args[i], "conf=", 5) == 0)
			continue;
		autofree char *copy = strdup(args[i]);
		int r = copy == NULL ? err_sys(err, ENOMEM, "cannot read arguments") : conf_line(conf, copy, PLUGSTACK, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int conf_load(struct conf *conf, int arg_count, char *const *args, struct err *err)
{
	const char *path = NULL;
	for (int i = 0; i < arg_count; i++)
		if (strncmp(args[i], "conf=", 5) == 0)
			path = args[i] + 5;
	int r = set_defaults(conf, err);
	if (r == 0) {
		struct err load_err = ERR_INIT;
		r = load_file(conf, path != NULL ? path : SIMG_SYSCONFDIR "/simg.conf", 0, &load_err);
		if (r == -ENOENT && path == NULL)
			r = 0;
		else if (r < 0 && err != NULL)
			*err = load_err;
	}
	if (r == 0)
		r = set_args(conf, arg_count, args, err);
	if (r < 0)
		conf_free(conf);
	return r;
}

int conf_load_file(struct conf *conf, const char *path, uid_t owner, struct err *err)
{
	int r = set_defaults(conf, err);
	if (r == 0)
		r = load_file(conf, path, owner, err);
	if (r < 0)
		conf_free(conf);
	return r;
}

void conf_free(struct conf *conf)
{
	bind_list_free(&conf->binds);
	strlist_free(&conf->protect);
	strlist_free(&conf->image_path);
	free(conf->cache_dir);
	free(conf->tmp_size);
	free(conf->helper);
	*conf = (struct conf){ 0 };
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The site's settings: simg.conf ("key = value", one a line, # begins a comment), and the same keys as KEY=VALUE arguments of the
 * plugin's line in plugstack.conf. Arguments win over the file, except that bind and protect add up, and that cache_dir is for the
 * builder, which reads the file alone. Manual: simg.conf(5).
 *
 * The file decides what root mounts, so it must belong to root and nobody else may write it; anything else is an error.
 */
#ifndef SIMG_LIB_CONF_H
#define SIMG_LIB_CONF_H

#include "lib/bind.h"
#include "lib/strlist.h"

#include <stdbool.h>
#include <sys/types.h>

enum conf_driver { CONF_DRIVER_KERNEL };
enum conf_tmp { CONF_TMP_JOB, CONF_TMP_PRIVATE };

struct conf {
	struct bind_list binds;      /* bind */
	struct strlist protect;      /* protect: absolute paths that users may not mount over */
	struct strlist image_path;   /* image_path: absolute directories */
	char *cache_dir;             /* cache_dir: absolute directory of simg build's cache, or NULL: each user's own. Not of the plugin */
	bool mount_home;             /* mount_home, default yes */
	enum conf_driver driver;     /* mount_driver */
	enum conf_tmp tmp;           /* tmp: the job's /tmp, or a fresh tmpfs for each step and node */
	char *tmp_size;              /* tmp_size: limit of that tmpfs and of --container-writable, in tmpfs's spelling: "50%", "4g" */
	char *helper;                /* helper: path of simg-helper */
	unsigned helper_timeout_s;   /* helper_timeout: seconds that a launch may take on a node */
};

/* Reads the file that an argument "conf=FILE" names, else SYSCONFDIR/simg.conf (which may be missing), then the other arguments.
 * On error conf is empty again. Needs no privilege: the file is world-readable. The caller frees with conf_free(). */
int conf_load(struct conf *conf, int arg_count, char *const *args, struct err *err);

/* The same without arguments, from one file that must exist; owner is the user id that the file must belong to (0 but in tests). */
int conf_load_file(struct conf *conf, const char *path, uid_t owner, struct err *err);

void conf_free(struct conf *conf);
#define autoconf __attribute__((cleanup(conf_free)))

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The submit side: see submit.h.
 */
#include "spank/submit.h"

#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/image.h"
#include "lib/image_name.h"
#include "spank/options.h"
#include "spank/report.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The request of the job that this command runs in. Slurm sets SLURM_CONTAINER only where it is not set yet, so an inherited value must
 * be out of the way while it parses; otherwise `srun --container=OTHER` inside a job would not be seen. */
static struct options inherited;

int submit_begin(spank_t spank)
{
	struct err err = ERR_INIT;
	const struct options none = { 0 };
	if (options_register(spank) < 0)
		return -1;
	if (options_import(environ, &inherited, &err) < 0 || options_export(&none, &err) < 0) {
		report_err(NULL, &err);
		return -1;
	}
	return 0;
}

/* What was typed wins; without a container of its own, a command takes over the inherited request and may change parts of it. */
static int merge(struct options *options, struct err *err)
{
	const struct options *own = options_given();
	const char *native = getenv("SLURM_CONTAINER");
	const char *typed = native != NULL ? native : own->container;
	const struct options *base = typed != NULL ? NULL : &inherited;
#define PICK(field) (own->field ? own->field : base != NULL ? base->field : NULL)
	const char *container = typed != NULL ? typed : inherited.container;
	const char *mounts = PICK(mounts), *workdir = PICK(workdir), *env = PICK(env);
#undef PICK
	*options = (struct options){
		.container = container != NULL ? strdup(container) : NULL,
		.mounts = mounts != NULL ? strdup(mounts) : NULL,
		.workdir = workdir != NULL ? strdup(workdir) : NULL,
		.env = env != NULL ? strdup(env) : NULL,
		.home = own->home != HOME_DEFAULT || base == NULL ? own->home : base->home,
		.home_conflict = own->home_conflict,
		.writable = own->writable || (base != NULL && base->writable),
	};
	bool lost = (container != NULL && options->container == NULL) || (mounts != NULL && options->mounts == NULL) ||
		    (workdir != NULL && options->workdir == NULL) || (env != NULL && options->env == NULL);
	return lost ? err_sys(err, ENOMEM, "cannot store the container options") : 0;
}

/* Replaces the name by an absolute path. One that is absolute already may exist only on the nodes; what is here is looked at. */
static int resolve_image(struct options *options, const struct conf *conf, struct err *err)
{
	char cwd[PATH_MAX];
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return err_sys(err, errno, "cannot tell the current directory");
	autofree char *path = NULL;
	int r = image_name_find(options->container, cwd, &conf->image_path, &path, err);
	if (r < 0)
		return r;
	struct image image;
	autoclose int fd = image_name_open(path, &image, err);
	if (fd < 0 && !(fd == -ENOENT && access(path, F_OK) < 0))
		return fd;
	free(options->container);
	options->container = steal_ptr(&path);
	return 0;
}

/* The options are asked for once for each component of a heterogeneous job, but Slurm keeps one environment for all: what a later component
 * exports holds for the first one too, and after a first container it does not tell us any more which one the next component names. Better
 * none than the wrong one. */
static int refuse_components(unsigned component_count, struct err *err)
{
	if (component_count == 1)
		return 0;
	err_set(err, ENOTSUP, "heterogeneous jobs cannot have containers");
	return err_hint(err, "run the components as separate jobs or steps");
}

/* The options of the command that loads us, and what asks whether one is set. In the commands of Slurm, but not in its public headers; weak,
 * because the plugin also loads into programs that have neither. Source: Slurm, src/common/slurm_opt.h */
struct slurm_options;
extern struct slurm_options slurm_command_options __asm__("opt") __attribute__((weak));
extern bool slurm_option_isset(struct slurm_options *options, const char *name) __attribute__((weak));

/* The environment of such a job is that file and nothing else, whatever --export says: the request would not reach the node, and the
 * script would run on the host. */
static int refuse_export_file(struct err *err)
{
	if (&slurm_command_options == NULL || slurm_option_isset == NULL || !slurm_option_isset(&slurm_command_options, "export-file"))
		return 0;
	err_set(err, ENOTSUP, "--export-file keeps the container's options from the job");
	return err_hint(err, "read the file in the script, or start the steps in the script with srun --container");
}

static int finish(struct options *options, int arg_count, char *const *args, struct err *err)
{
	static unsigned component_count;
	static const struct options none;
	component_count++;
	int r = merge(options, err);
	if (r < 0)
		return r;
	if (!options_want_container(options) && options_any(options_given())) {
		err_set(err, EINVAL, "a --container-… option was given without a container");
		return err_hint(err, "name the image with --container=IMAGE");
	}
	if (!options_want_container(options))
		return options_export(&none, err); /* nor do the steps of a job without a container inherit one */
	r = refuse_components(component_count, err);
	if (r == 0)
		r = refuse_export_file(err);
	if (r == 0)
		r = options_check(options, err);
	if (r < 0)
		return r;
	autoconf struct conf conf = { 0 };
	r = conf_load(&conf, arg_count, args, err);
	if (r == 0)
		r = resolve_image(options, &conf, err);
	return r < 0 ? r : options_export(options, err);
}

int submit_finish(int arg_count, char *const *args)
{
	struct err err = ERR_INIT;
	struct options options = { 0 };
	int r = finish(&options, arg_count, args, &err);
	options_free(&options);
	if (r == 0)
		return 0;
	report_err(NULL, &err);
	/* Slurm goes on after the failure of a plugin that plugstack.conf calls optional, and what was inherited is out of the environment by
	 * now: the command would run on the host. Nothing is queued yet. */
	exit(EXIT_FAILURE);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A stage's steps, in the workshop: a root directory is made of what is there already, scripts run in it, and what they changed
 * becomes the step's delta. This process is root of a user namespace.
 */
#include "builder/fakeroot/given.h"
#include "builder/fakeroot/owners.h"
#include "builder/hot.h"
#include "builder/load.h"
#include "builder/options.h"
#include "builder/progress.h"
#include "builder/recipe/agent.h"
#include "builder/recipe/compile_internal.h"
#include "builder/recipe/environment.h"
#include "builder/recipe/files.h"
#include "builder/recipe/results.h"
#include "builder/recipe/section_run.h"
#include "builder/remove.h"
#include "builder/sandbox.h"
#include "builder/target.h"
#include "builder/tree.h"
#include "builder/workdir/record_owners.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int out_of_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "cannot carry out the recipe");
}

/* --- scripts --- */

/* Runs a section in the stage's root, or on the host if root is NULL. */
static int script_run(struct compile *compile, struct stage *stage, struct section_run *run, bool *ret_failed, struct err *err)
{
	autofree char *files = workshop_path(&compile->workshop, GIVEN_NAME);
	int r = files == NULL ? out_of_memory(err) : given_make(compile->workshop.fd, compile->workshop.path, err);
	if (r < 0)
		return r;
	run->recipe = compile->options.name;
	run->stage = stage->recipe;
	run->quiet = compile->options.build->quiet;
	run->progress = compile->options.progress;
	run->files = files;
	run->fakeroot.input_fd = -1;
	if (!compile->recording)
		run->fakeroot.owners = NULL;
	if (!run->on_host) {
		run->fakeroot.view.files = files;
		run->fakeroot.view.binds = &compile->options.build->binds;
	}
	return section_run(run, ret_failed, err);
}

int stage_host_script(struct compile *compile, struct stage *stage, enum recipe_section section, const char *root,
		      struct owners *owners, struct err *err)
{
	autostrlist struct strlist environment = { 0 };
	autofree char *directory = getcwd(NULL, 0);
	bool failed;
	if (directory == NULL || environment_on_host(root, &environment) < 0)
		return out_of_memory(err);
	struct section_run run = {
		.section = section,
		.on_host = true,
		.fakeroot = { .owners = owners, .environment = environment.items, .directory = directory },
	};
	return script_run(compile, stage, &run, &failed, err);
}

/* --- the base --- */

static void print_plain(void *context, const char *data, size_t bytes)
{
	struct compile *compile = context;
	if (compile->options.build->quiet)
		return;
	progress_clear(compile->options.progress);
	fwrite(data, 1, bytes, stderr);
}

static int bootstrap(struct compile *compile, struct stage *stage, struct root *root, struct err *err)
{
	autostrlist struct strlist command = { 0 }, environment = { 0 };
	int status = 0;
	int r = agent_command(stage->recipe, root->path, compile->workshop.path, compile->options.build->architecture, &command, err);
	if (r == 0 && environment_on_host(root->path, &environment) < 0)
		r = out_of_memory(err);
	if (r < 0)
		return err_prefix(err, "%s:%u", compile->options.name, stage->recipe->line);
	struct fakeroot fakeroot = {
		.owners = compile->recording ? root->owners : NULL,
		.argv = command.items,
		.environment = environment.items,
		.directory = "/",
		.input_fd = -1,
		.print = print_plain,
		.context = compile,
	};
	r = fakeroot_run(&fakeroot, &status, err);
	if (r < 0 || status == 0)
		return r;
	err_set(err, ECHILD, "%s:%u: '%s' could not make the base", compile->options.name, stage->recipe->line, command.items[0]);
	return err_hint(err, compile->options.build->quiet ? "without --quiet its output is shown" : "its output is above");
}

/* --- %files and %setup --- */

static int copy_from_stage(struct compile *compile, const struct stage *other, const struct files_list *list, struct root *root,
			   struct err *err)
{
	struct root from = ROOT_INIT;
	struct chain chain;
	autofree char *path = workshop_path(&compile->workshop, "from");
	stage_chain(other, STEP_COUNT, &chain);
	int r = path == NULL ? out_of_memory(err) : root_make(&from, path, &chain, &compile->root_options, err);
	struct walk_source source = { .directory_fd = from.fd, .name = other->recipe->name, .is_stage = true, .owners = from.owners };
	if (r == 0)
		r = files_copy(list, &source, root->fd, root->owners, err);
	root_close(&from);
	remove_tree(compile->workshop.fd, "from");
	return r;
}

static int copy_from_host(struct compile *compile, const struct files_list *list, struct root *root, int directory_fd, struct err *err)
{
	struct walk_source source;
	struct stat own[STAGE_OWN_MAX];
	int r = stage_host_source(compile, &source, own, err);
	if (r < 0)
		return r;
	r = files_copy(list, &source, directory_fd, root->owners, err);
	close(source.directory_fd);
	return r;
}

static int copy_for_app(struct compile *compile, const struct files_list *list, struct root *root, const char *app, struct err *err)
{
	autofree char *path = NULL;
	if (asprintf(&path, "/" RESULTS_APPS "/%s", app) < 0) {
		path = NULL;
		return out_of_memory(err);
	}
	autoclose int fd = root_directory(root, path, err);
	return fd < 0 ? fd : copy_from_host(compile, list, root, fd, err);
}

static int part_copy(struct compile *compile, struct stage *stage, const struct recipe_part *part, struct root *root, struct err *err)
{
	const char *from = recipe_files_from(part);
	const struct recipe_stage *other = from == NULL ? NULL : recipe_stage_find(&compile->recipe, from, stage->recipe);
	struct files_list *list = NULL;
	int r = files_parse(part->text, part->line, compile->options.name, &list, err);
	if (r == 0 && other != NULL)
		r = copy_from_stage(compile, &compile->stages[other - compile->recipe.stages], list, root, err);
	else if (r == 0 && part->app != NULL)
		r = copy_for_app(compile, list, root, part->app, err);
	else if (r == 0)
		r = copy_from_host(compile, list, root, root->fd, err);
	files_free(list);
	return r;
}

/* The parts that copy from stages, or those that copy from the host. An app's files go below its own directory. */
static int parts_copy(struct compile *compile, struct stage *stage, enum recipe_section section, bool from_stages, struct root *root,
		      struct err *err)
{
	const struct recipe_part *part = NULL;
	int r = 0;
	while (r == 0 && (part = compile_part(stage, section, part)) != NULL)
		if ((recipe_files_from(part) != NULL) == from_stages)
			r = part_copy(compile, stage, part, root, err);
	return r;
}

/* A tree that begins empty: directories that others than root write to are not left to those who copy into them. */
static int temporary_make(const struct root *root, struct err *err)
{
	static const char *const paths[] = { "/tmp", "/var/tmp" };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		autoclose int fd = root_directory(root, paths[i], err);
		if (fd < 0)
			return fd;
		char path[FD_PATH_MAX];
		fd_path(fd, path);
		if (chmod(path, 01777) < 0)
			return err_sys(err, errno, "cannot make '%s'", paths[i]);
	}
	return 0;
}

static int files_step(struct compile *compile, struct stage *stage, struct root *root, struct err *err)
{
	int r = stage->recipe->agent == RECIPE_SCRATCH && compile->options.build->mount_points ? temporary_make(root, err) : 0;
	if (r == 0)
		r = parts_copy(compile, stage, RECIPE_FILES, true, root, err);
	if (r == 0 && compile_part(stage, RECIPE_SETUP, NULL) != NULL)
		r = stage_host_script(compile, stage, RECIPE_SETUP, root->path, root->owners, err);
	if (r == 0)
		r = parts_copy(compile, stage, RECIPE_FILES, false, root, err);
	return r < 0 ? r : parts_copy(compile, stage, RECIPE_APPFILES, false, root, err);
}

/* --- %post --- */

/* So that a script can append to the file of variables. What is there already, links included, stays. */
static void environment_directory_make(const struct root *root)
{
	mkdirat(root->fd, ".singularity.d", 0755);
	autoclose int fd = openat(root->fd, ".singularity.d", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		mkdirat(fd, "env", 0755);
}

/* What was there before the step stays, whatever the script has made of it. */
static void directory_tidy(const struct root *root, const struct path_place *place)
{
	autoclose int fd = openat(place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autoclosedir DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	if (directory == NULL)
		return;
	steal_fd(&fd);
	while ((entry = readdir(directory)) != NULL) {
		autofree char *path = NULL;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (asprintf(&path, "%s/%s", place->real + 1, entry->d_name) < 0)
			path = NULL;
		else if (tree_find(root->tree, path) == NULL)
			remove_tree(dirfd(directory), entry->d_name);
	}
}

/* What scripts leave in /tmp, most of them take for gone when the build is over: so it is with other builders, where that is the
 * host's. */
static void temporary_tidy(const struct root *root)
{
	static const char *const paths[] = { "/tmp", "/var/tmp" };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		autoplace struct path_place place = PATH_PLACE_INIT;
		if (path_resolve(root->fd, paths[i], &place, NULL) == 0 && place.missing[0] == '\0' && strcmp(place.real, "/") != 0)
			directory_tidy(root, &place);
	}
}

static int image_script(struct compile *compile, struct stage *stage, struct root *root, enum recipe_section section, const char *app,
			bool test, bool *ret_failed, struct err *err)
{
	autostrlist struct strlist environment = { 0 };
	autofree char *prologue = app != NULL ? results_app_install(app) : NULL;
	if (environment_in_image(&environment) < 0 || (app != NULL && prologue == NULL))
		return out_of_memory(err);
	struct section_run run = {
		.section = section,
		.app = app,
		.prologue = prologue,
		.go_on = test,
		.fakeroot = {
			.view = { .root = root->path, .read_only = test },
			.owners = root->owners,
			.environment = environment.items,
			.directory = "/",
		},
	};
	return script_run(compile, stage, &run, ret_failed, err);
}

static int post_step(struct compile *compile, struct stage *stage, struct root *root, bool *ret_failed, struct err *err)
{
	const struct recipe_part *part = NULL;
	autostrlist struct strlist apps = { 0 };
	int r = 0;
	environment_directory_make(root);
	if (compile_part(stage, RECIPE_POST, NULL) != NULL)
		r = image_script(compile, stage, root, RECIPE_POST, NULL, false, ret_failed, err);
	if (r == 0)
		r = recipe_apps(stage->recipe, &apps, err);
	for (size_t i = 0; i < apps.count && r == 0; i++) {
		part = recipe_next_part(stage->recipe, RECIPE_APPINSTALL, apps.items[i], NULL);
		if (part != NULL)
			r = image_script(compile, stage, root, RECIPE_APPINSTALL, apps.items[i], false, ret_failed, err);
	}
	if (r == 0)
		temporary_tidy(root);
	return r;
}

/* --- all steps --- */

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The tree of a script that failed, beside the workshop, as a sandbox that can be entered and looked at. */
static int root_keep(struct compile *compile, struct root *root, struct err *err)
{
	autofree char *kept = NULL;
	struct err why = ERR_INIT;
	const char *slash = strrchr(compile->workshop.path, '/');
	if (asprintf(&kept, "%.*s/simg-failed.XXXXXX", (int)(slash - compile->workshop.path), compile->workshop.path) < 0)
		return out_of_memory(err);
	if (record_owners_save(root->fd, root->path, compile->uid, compile->gid, root->owners, &why) < 0) {
		log_note("what scripts have asked for that is not on disk is lost: %s", why.text);
	}
	if (mkdtemp(kept) == NULL || rename(root->path, kept) < 0)
		return err_hint(err, "the tree cannot be kept: %s", strerror(errno));
	return err_hint(err, "the tree is kept: look around with 'simg shell --writable %s', and remove it when you are done", kept);
}

static int script_failed(struct compile *compile, struct root *root, struct err *err)
{
	if (compile->options.build->keep_failed)
		return root_keep(compile, root, err);
	return err->hint[0] == '\0' ? err_hint(err, "--keep-failed keeps the tree, to enter and look at") : err->code;
}

static int step_work(struct compile *compile, struct stage *stage, enum step_kind kind, struct root *root, struct err *err)
{
	static const char *const none[] = { NULL };
	bool failed = false;
	double begin = now();
	int r;
	if (kind == STEP_BOOTSTRAP)
		r = bootstrap(compile, stage, root, err);
	else if (kind == STEP_FILES)
		r = files_step(compile, stage, root, err);
	else
		r = post_step(compile, stage, root, &failed, err);
	if (r < 0)
		return failed ? script_failed(compile, root, err) : r;
	compile->seconds[stage - compile->stages][kind] = now() - begin;
	return root_delta(root, stage->steps[kind].path, none, err);
}

int stage_work(struct compile *compile, struct stage *stage, struct err *err)
{
	struct root root = ROOT_INIT;
	struct chain chain;
	int first = stage_missing(stage);
	autofree char *path = workshop_path(&compile->workshop, "root");
	stage_chain(stage, first, &chain);
	int r = path == NULL ? out_of_memory(err) : root_make(&root, path, &chain, &compile->root_options, err);
	for (int kind = first, done = 0; kind < STEP_COUNT && r == 0; kind++) {
		if (!stage->steps[kind].wanted)
			continue;
		if (done++ > 0)
			r = root_next(&root, err);
		if (r == 0)
			r = step_work(compile, stage, (enum step_kind)kind, &root, err);
	}
	root_close(&root);
	remove_tree(compile->workshop.fd, "root");
	return r;
}

/* --- %test --- */

/* The image's files as they are going to be. */
static int test_root_make(struct compile *compile, struct root *root, struct err *err)
{
	struct target *target = NULL;
	struct target_stats stats;
	struct tree *tree = tree_new();
	int r = tree == NULL ? out_of_memory(err) : sandbox_open_work(root->fd, root->path, root->owners, &target, err);
	struct load load = {
		.tree = tree,
		.target = target,
		.progress = compile->options.progress,
		.hot = compile->options.hot,
		.content_max_bytes = UINT64_MAX,
		.time_max = UINT32_MAX,
	};
	if (r == 0)
		r = compile_load(compile, &load, err);
	if (r == 0)
		r = load_mount_points(&load, err);
	if (r == 0)
		r = target_finish(target, tree, TARGET_TIME_NEWEST, &stats, err);
	target_free(target);
	tree_free(tree);
	return r;
}

int stage_test(struct compile *compile, struct err *err)
{
	struct stage *stage = &compile->stages[compile->recipe.stage_count - 1];
	struct root root = { .path = workshop_path(&compile->workshop, "test"), .fd = -1, .owners = owners_new() };
	bool failed = false;
	int r = root.path == NULL || root.owners == NULL ? out_of_memory(err) : 0;
	if (r == 0 && (mkdir(root.path, 0755) < 0 || (root.fd = open(root.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0))
		r = err_sys(err, errno, "cannot make the directory '%s'", root.path);
	if (r == 0)
		r = test_root_make(compile, &root, err);
	if (r == 0)
		r = image_script(compile, stage, &root, RECIPE_TEST, NULL, true, &failed, err);
	if (failed)
		r = script_failed(compile, &root, err);
	root_close(&root);
	remove_tree(compile->workshop.fd, "test");
	return r;
}

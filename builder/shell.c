/* SPDX-License-Identifier: Apache-2.0
 *
 * simg shell: a shell, or any program, as root of a sandbox, for development. What it changes of owners is recorded in the sandbox, so
 * that an image that is built of it has them.
 */
#include "builder/fakeroot/fakeroot.h"
#include "builder/fakeroot/given.h"
#include "builder/fakeroot/owners.h"
#include "builder/recipe/environment.h"
#include "builder/recipe/workshop.h"
#include "builder/verbs.h"
#include "builder/workdir/record_owners.h"
#include "lib/bind.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/strlist.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char HELP[] =
	"usage: simg shell [OPTIONS] DIR [COMMAND ARGUMENT...]\n"
	"\n"
	"Starts a shell as root of the sandbox DIR, or executes COMMAND there. No root\n"
	"is needed. DIR is made by: simg build --sandbox DIR SOURCE\n"
	"\n"
	"  -w, --writable               keep what is changed in DIR, owners included\n"
	"  -B, --bind SRC[:DST[:ro]]    mount SRC of the host there\n"
	"  -c TEXT                      a command line for /bin/sh\n"
	"  -h, --help                   this text\n"
	"\n"
	"Manual: simg-shell(1)\n";

/* The image's environment first. Without a command: a shell whose start-up files are nobody's. */
static const char SCRIPT[] =
	"for _simg in /.singularity.d/env/*.sh; do [ ! -f \"$_simg\" ] || . \"$_simg\"; done; unset _simg\n"
	"[ $# -gt 0 ] || if [ -x /bin/bash ]; then set -- /bin/bash --norc; else set -- /bin/sh; fi\n"
	"exec \"$@\"\n";

struct shell {
	const char *path;          /* as given */
	char *real;
	bool writable;
	struct bind_list binds;
	struct strlist command;    /* all of argv */
	struct workshop workshop;
	struct owners *owners;
	int fd;
	uid_t uid;
	gid_t gid;
};

/* --- the command line --- */

static int usage(struct err *err)
{
	return err_hint(err, "simg shell --help lists the options");
}

static int bind_take(struct shell *shell, const char *value, struct err *err)
{
	size_t first = shell->binds.count;
	int r = bind_parse_list(value, "--bind", &shell->binds, err);
	return r < 0 ? r : bind_list_resolve(&shell->binds, first, err);
}

static int command_begin(struct shell *shell, struct err *err)
{
	static const char *const words[] = { "/bin/sh", "-c", SCRIPT, "sh" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlist_add(&shell->command, words[i]) < 0)
			return err_sys(err, ENOMEM, "cannot start a shell");
	return 0;
}

static int command_add(struct shell *shell, const char *word, struct err *err)
{
	return strlist_add(&shell->command, word) < 0 ? err_sys(err, ENOMEM, "cannot start a shell") : 0;
}

static int text_take(struct shell *shell, const char *text, struct err *err)
{
	int r = command_add(shell, "/bin/sh", err);
	if (r == 0)
		r = command_add(shell, "-c", err);
	return r < 0 ? r : command_add(shell, text, err);
}

/* Returns 1 if the help was asked for. */
static int options_parse(struct shell *shell, int argc, char **argv, struct err *err)
{
	static const struct option options[] = {
		{ "writable", no_argument, NULL, 'w' },
		{ "bind", required_argument, NULL, 'B' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *text = NULL;
	int option, r = command_begin(shell, err);
	optind = opterr = 0;
	while (r == 0 && (option = getopt_long(argc, argv, "+:wB:c:h", options, NULL)) != -1) {
		if (option == 'h')
			return 1;
		if (option == 'w') {
			shell->writable = true;
		} else if (option == 'c') {
			text = optarg;
		} else if (option == 'B') {
			r = bind_take(shell, optarg, err);
		} else {
			err_set(err, EINVAL, option == ':' ? "the option '%s' needs a value" : "there is no option '%s'", argv[optind - 1]);
			return usage(err);
		}
	}
	if (r == 0 && optind >= argc) {
		err_set(err, EINVAL, "simg shell needs the directory of a sandbox");
		return usage(err);
	}
	shell->path = argv[optind];
	/* "simg shell DIR -c TEXT", as with Apptainer, too. */
	if (r == 0 && text == NULL && argc - optind == 3 && strcmp(argv[optind + 1], "-c") == 0) {
		text = argv[optind + 2];
		argc = optind + 1;
	}
	if (r == 0 && text != NULL)
		return text_take(shell, text, err);
	for (int i = optind + 1 + (optind + 1 < argc && strcmp(argv[optind + 1], "--") == 0); i < argc && r == 0; i++)
		r = command_add(shell, argv[i], err);
	return r;
}

/* --- the sandbox --- */

static int directory_open(struct shell *shell, struct err *err)
{
	struct stat st;
	shell->fd = open(shell->path, O_RDONLY | O_CLOEXEC);
	if (shell->fd < 0 || fstat(shell->fd, &st) < 0)
		return err_sys(err, errno, "cannot open the sandbox '%s'", shell->path);
	if (!S_ISDIR(st.st_mode)) {
		err_set(err, ENOTDIR, "'%s' is no directory", shell->path);
		return err_hint(err, "a directory of an image is made by: simg build --sandbox DIR '%s'", shell->path);
	}
	if (st.st_uid != geteuid()) {
		err_set(err, EPERM, "the sandbox '%s' is another user's", shell->path);
		return err_hint(err, "make one of your own: simg build --sandbox DIR '%s'", shell->path);
	}
	shell->real = realpath(shell->path, NULL);
	return shell->real == NULL ? err_sys(err, errno, "cannot find the sandbox '%s'", shell->path) : 0;
}

/* Who writes the record has it alone. */
static int directory_lock(const struct shell *shell, struct err *err)
{
	if (flock(shell->fd, (shell->writable ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return 0;
	return err_set(err, EBUSY, "somebody else is at work in the sandbox '%s'", shell->path);
}

static int owners_take(struct shell *shell, struct err *err)
{
	const char *reason;
	if (!fakeroot_can_record(shell->real, &reason)) {
		log_note("owners and device nodes are neither seen nor recorded: %s", reason);
		return 0;
	}
	shell->owners = owners_new();
	if (shell->owners == NULL)
		return err_sys(err, ENOMEM, "cannot start a shell");
	return record_owners_load(shell->fd, shell->path, shell->uid, shell->gid, shell->owners, err);
}

static int command_run(struct shell *shell, int *ret_status, struct err *err)
{
	autostrlist struct strlist environment = { 0 };
	autofree char *files = workshop_path(&shell->workshop, GIVEN_NAME);
	if (files == NULL || environment_in_image(&environment) < 0 || strlist_add(&environment, "PS1=simg# ") < 0)
		return err_sys(err, ENOMEM, "cannot start a shell");
	const struct fakeroot fakeroot = {
		.view = { .root = shell->real, .read_only = !shell->writable, .binds = &shell->binds, .files = files },
		.owners = shell->owners,
		.argv = shell->command.items,
		.environment = environment.items,
		.directory = "/",
		.input_fd = -1,
	};
	int r = fakeroot_run(&fakeroot, ret_status, err);
	return r == -ENOENT ? err_hint(err, "the sandbox '%s' has no /bin/sh, or not what that needs", shell->path) : r;
}

/* Also after a failure: what was changed until then is on disk. */
static int sandbox_run(struct shell *shell, int *ret_status, struct err *err)
{
	struct err save_err = ERR_INIT;
	int r = fakeroot_enter(err);
	if (r == 0)
		r = given_make(shell->workshop.fd, shell->workshop.path, err);
	if (r == 0)
		r = owners_take(shell, err);
	if (r < 0)
		return r;
	r = command_run(shell, ret_status, err);
	if (shell->writable && shell->owners != NULL &&
	    record_owners_save(shell->fd, shell->path, shell->uid, shell->gid, shell->owners, &save_err) < 0 && r == 0) {
		*err = save_err;
		return err->code;
	}
	return r;
}

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void shell_free(struct shell *shell)
{
	cleanup_close(&shell->fd);
	workshop_close(&shell->workshop);
	owners_free(shell->owners);
	bind_list_free(&shell->binds);
	strlist_free(&shell->command);
	free(shell->real);
}

static int run(int argc, char **argv)
{
	struct shell shell = { .workshop = WORKSHOP_INIT, .fd = -1, .uid = geteuid(), .gid = getegid() };
	struct err err = ERR_INIT;
	int status = 0, result = EXIT_SIMG;
	int r = options_parse(&shell, argc, argv, &err);
	if (r > 0)
		fputs(HELP, stdout);
	if (r != 0) {
		result = r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
	} else {
		r = directory_open(&shell, &err);
		if (r == 0)
			r = directory_lock(&shell, &err);
		if (r == 0)
			r = workshop_open(&shell.workshop, &err);
		if (r == 0)
			r = sandbox_run(&shell, &status, &err);
		if (r == 0)
			result = exit_status(status);
	}
	if (r < 0)
		log_err(&err);
	shell_free(&shell);
	return result;
}

const struct verb verb_shell = { "shell", "work as root of a sandbox", run };

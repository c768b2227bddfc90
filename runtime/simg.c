/* SPDX-License-Identifier: Apache-2.0
 *
 * The program simg: finds the verb and runs it. Every verb parses its own options.
 */
#include "builder/verbs.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/verb.h"
#include "runtime/verbs.h"

#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct verb *const verbs[] = {
	&verb_build,
	&verb_shell,
	&verb_inspect,
	&verb_diff,
	&verb_login,
	&verb_logout,
	&verb_cache,
	&verb_doctor,
};
enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

static void print_help(void)
{
	puts("simg: run Slurm jobs in SquashFS images, and make the images\n"
	     "\n"
	     "usage: simg VERB [OPTIONS] [ARGUMENTS]\n"
	     "\n"
	     "verbs:");
	for (int i = 0; i < VERB_COUNT; i++)
		printf("  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
	puts("\n"
	     "  simg VERB --help   a verb's options\n"
	     "  simg --version     the version\n"
	     "\n"
	     "In a job:  srun --container=app.simg ./solver      (srun --help lists the container options)\n"
	     "Manual:    simg(1), simg-build(1), simg-diff(1), simg-cache(1), simg-login(1),\n"
	     "           simg.conf(5), simg-plugin(8)");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help();
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		print_help();
		return EXIT_SUCCESS;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("simg " PACKAGE_VERSION);
		return EXIT_SUCCESS;
	}
	signal(SIGCHLD, SIG_DFL); /* a parent may have had it ignored: then nobody could wait for a program that a verb runs */
	for (int i = 0; i < VERB_COUNT; i++)
		if (strcmp(argv[1], verbs[i]->name) == 0)
			return verbs[i]->run(argc - 1, argv + 1);
	struct err err = ERR_INIT;
	err_set(&err, EINVAL, "there is no verb '%s'", argv[1]);
	err_hint(&err, "simg --help lists them");
	log_err(&err);
	return EXIT_USAGE;
}

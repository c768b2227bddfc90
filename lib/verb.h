/* SPDX-License-Identifier: Apache-2.0
 *
 * A verb of the program simg: "simg build …" runs verb_build.run with argv[0] = "build". The table of all verbs is in
 * runtime/simg.c; each room defines its own.
 */
#ifndef SIMG_LIB_VERB_H
#define SIMG_LIB_VERB_H

enum {
	EXIT_USAGE = 2,   /* the command line is wrong */
	EXIT_TROUBLE = 3, /* of a verb that says by 1 what it has found: it could not find out */
	EXIT_SIMG = 125,  /* a launch failed before the command ran */
};

struct verb {
	const char *name;
	const char *summary;              /* one line for "simg --help", no full stop */
	int (*run)(int argc, char **argv); /* returns the exit status; prints its own errors through lib/log.h */
};

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Who the user is, inside and outside: the user's entry in the host's user database, and a passwd and a group file for the container,
 * which are the image's with the user and the user's groups added. Runs as the user; asks the host's name services.
 */
#ifndef SIMG_RUNTIME_IDENTITY_H
#define SIMG_RUNTIME_IDENTITY_H

#include <sys/types.h>

struct err;
struct launch_request;

struct identity {
	char *name, *home, *shell; /* never NULL */
};

/* Looks the user up. One whom the database does not know gets the name and home that the job's environment says, else a name made of
 * the number and the home "/". The caller frees with identity_free(). */
int identity_find(const struct launch_request *request, struct identity *ret_identity, struct err *err);
void identity_free(struct identity *identity);

/* The two files as memfds, made from the image's in the root that root_fd is open on. Lines of the image for the same user name or id give
 * way to the host's. */
int identity_make_passwd(int root_fd, const struct launch_request *request, const struct identity *identity, struct err *err);
int identity_make_group(int root_fd, const struct launch_request *request, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The files that programs in a work directory are given (view.h, files): copies of the host's resolver configuration, and settings for
 * programs that would otherwise look for more users than there are.
 */
#ifndef SIMG_BUILDER_FAKEROOT_GIVEN_H
#define SIMG_BUILDER_FAKEROOT_GIVEN_H

struct err;

#define GIVEN_NAME "files"
#define GIVEN_APT_CONFIG "apt.conf" /* for $APT_CONFIG */

/* Makes, or makes anew, GIVEN_NAME in the directory, with resolv.conf, hosts and apt.conf in it. A host without a resolver has no such
 * file, and its programs do without. path is the directory's, for messages. */
int given_make(int directory_fd, const char *path, struct err *err);

#endif

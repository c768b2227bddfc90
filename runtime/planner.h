/* SPDX-License-Identifier: Apache-2.0
 *
 * The planner: the unprivileged half of a launch. It opens everything that the user named, parses everything that the user or the
 * image controls, and decides what is mounted where.
 */
#ifndef SIMG_RUNTIME_PLANNER_H
#define SIMG_RUNTIME_PLANNER_H

#include "lib/image.h"
#include "runtime/plan.h"

struct conf;
struct err;
struct launch_request;

/* Finds, opens and checks the image as the calling user, from the directory request->cwd. Returns a descriptor. The caller frees *ret_path. */
int planner_open_image(const struct launch_request *request, const struct conf *conf, struct image *ret_image, char **ret_path,
		       struct err *err);

/* Makes the plan, with the image's tree open at root_fd. The caller frees with plan_free(). */
int planner_make(const struct launch_request *request, const struct conf *conf, const char *image_path, int root_fd, struct plan *ret_plan,
		 struct err *err);

/* The planner's process, as simg-helper runs it: becomes the user, answers over the socket with the opened image, waits for the
 * mounted tree, answers with the plan, and exits. */
void planner_run(int socket, const struct launch_request *request, const struct conf *conf) __attribute__((noreturn));

/* Root's side of that conversation. The first returns the image's descriptor and what it is, checked as far as root relies on it; the
 * second hands over the tree (fresh: just mounted, so that reading ahead pays) and returns the plan. */
int planner_ask_image(int socket, struct image *ret_image, struct err *err);
int planner_ask_plan(int socket, int root_fd, bool fresh, struct plan *ret_plan, struct err *err);

#endif

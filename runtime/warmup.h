/* SPDX-License-Identifier: Apache-2.0
 *
 * Most of a first launch is the kernel decompressing the loader and libc for the first program (bench/README.md). They can be had
 * ready while the plan is still being made and carried out, on another core.
 */
#ifndef SIMG_RUNTIME_WARMUP_H
#define SIMG_RUNTIME_WARMUP_H

/* Starts a thread of the planner that has the kernel read what every dynamic program of the tree at root_fd needs first. Runs as the
 * user, needs nothing, reports nothing: if it cannot be done, the program reads the files itself. It ends with the process. */
void warmup_start(int root_fd);

#endif

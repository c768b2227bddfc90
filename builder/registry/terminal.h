/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking the user something on the terminal, which is restored whatever happens.
 */
#ifndef SIMG_BUILDER_REGISTRY_TERMINAL_H
#define SIMG_BUILDER_REGISTRY_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

struct err;

/* Prints the prompt on the controlling terminal and reads one line from it, without the newline, into answer, which has bytes.
 * With hidden, what is typed is not shown. A signal that comes meanwhile is delivered after the terminal is as it was; the
 * question is asked again if the process goes on.
 *
 * -ENXIO if there is no terminal, -ECANCELED at its end of file (^D), -EMSGSIZE if the line is too long. Not for several
 * threads at once. */
int terminal_ask(const char *prompt, bool hidden, char *answer, size_t bytes, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A limit on the builder's own memory.
 */
#ifndef SIMG_BUILDER_MEMORY_H
#define SIMG_BUILDER_MEMORY_H

/* Sets the process's limit, unless it has a lower one. Sanitizers are left alone: their shadow would count. */
void memory_limit(void);

/* As it was before: for a program that is to be executed. */
void memory_limit_lift(void);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * How many processors this process may use: what its affinity allows, the Slurm task was given (SLURM_CPUS_PER_TASK), and the
 * cgroup's quota leaves. At least 1.
 */
#ifndef SIMG_BUILDER_CPUS_H
#define SIMG_BUILDER_CPUS_H

unsigned cpus_available(void);

#endif

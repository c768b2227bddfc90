/* SPDX-License-Identifier: Apache-2.0
 *
 * What MPI ranks need of the node to find each other and Slurm at start-up. PMI2 needs nothing (an inherited descriptor); PMIx
 * clients talk to slurmstepd's server through files in two directories.
 *
 * Source: Slurm, src/plugins/mpi/pmix/pmixp_info.c: the server's directory is SPOOL/pmix.JOB.STEP, the clients' one is
 * TMPFS/spmix_appdir_UID_JOB.STEP (with other spellings in other versions, so all of TmpFS is what goes in).
 */
#ifndef SIMG_MPI_WIREUP_H
#define SIMG_MPI_WIREUP_H

#include <stdint.h>

struct strlist;

/* Adds the host's directories that must be visible at the same path inside. spool_dir and tmp_fs may be NULL (not known); a TmpFS below
 * /tmp is there anyway. They need not exist: a step without PMIx has none. -ENOMEM or 0. */
int wireup_paths(const char *spool_dir, const char *tmp_fs, uint32_t job_id, uint32_t step_id, struct strlist *paths);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Directories of MPI start-up: see wireup.h.
 */
#include "mpi/wireup.h"

#include "lib/path.h"
#include "lib/strlist.h"

#include <stddef.h>
#include <string.h>

int wireup_paths(const char *spool_dir, const char *tmp_fs, uint32_t job_id, uint32_t step_id, struct strlist *paths)
{
	int r = 0;
	if (spool_dir != NULL)
		r = strlist_addf(paths, "%s/pmix.%u.%u", spool_dir, job_id, step_id);
	if (r == 0 && tmp_fs != NULL && !path_is_beneath(tmp_fs, "/tmp"))
		r = strlist_add(paths, tmp_fs);
	return r;
}

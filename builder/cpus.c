/* SPDX-License-Identifier: Apache-2.0
 *
 * Processors to use: see cpus.h. Source of the files: Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max), and
 * Documentation/scheduler/sched-bwc.rst for version 1.
 */
#include "builder/cpus.h"

#include "lib/cleanup.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Quota over period, rounded up; "max" or -1 is no quota. */
static unsigned quota_read(const char *path, const char *period_path)
{
	long quota = -1, period = 0;
	autofclose FILE *file = fopen(path, "re");
	autofclose FILE *period_file = period_path != NULL ? fopen(period_path, "re") : NULL;
	if (file == NULL || fscanf(file, "%ld", &quota) != 1)
		return UINT_MAX;
	if (fscanf(period_file != NULL ? period_file : file, "%ld", &period) != 1 || quota <= 0 || period <= 0)
		return UINT_MAX;
	long cpus = (quota + period - 1) / period;
	return cpus < UINT_MAX ? (unsigned)cpus : UINT_MAX;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* A group's quota holds for all below it, so the tightest on the way up to the root counts. */
static unsigned quota_upwards(const char *mount, char *group, bool v2)
{
	unsigned cpus = UINT_MAX;
	for (;;) {
		char path[PATH_MAX + 64], period_path[PATH_MAX + 64];
		snprintf(path, sizeof(path), "%s%s/%s", mount, group, v2 ? "cpu.max" : "cpu.cfs_quota_us");
		snprintf(period_path, sizeof(period_path), "%s%s/cpu.cfs_period_us", mount, group);
		cpus = least(cpus, quota_read(path, v2 ? NULL : period_path));
		char *slash = strrchr(group, '/');
		if (slash == NULL || group[0] == '\0')
			return cpus;
		*slash = '\0';
	}
}

/* Lines of /proc/self/cgroup: "0::/path" of version 2, "4:cpu,cpuacct:/path" of version 1. */
static unsigned quota_cpus(void)
{
	unsigned cpus = UINT_MAX;
	char line[PATH_MAX];
	autofclose FILE *file = fopen("/proc/self/cgroup", "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		char *controllers = strchr(line, ':'), *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
		if (group == NULL)
			continue;
		*group++ = '\0';
		controllers++;
		if (controllers[0] == '\0')
			cpus = least(cpus, quota_upwards("/sys/fs/cgroup", group, true));
		else if (strcmp(controllers, "cpu") == 0 || strncmp(controllers, "cpu,", 4) == 0)
			cpus = least(cpus, quota_upwards("/sys/fs/cgroup/cpu", group, false));
	}
	return cpus;
}

unsigned cpus_available(void)
{
	cpu_set_t set;
	unsigned cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
	const char *slurm = getenv("SLURM_CPUS_PER_TASK");
	long granted = slurm != NULL ? strtol(slurm, NULL, 10) : 0;
	if (granted > 0 && granted < (long)cpus)
		cpus = (unsigned)granted;
	cpus = least(cpus, quota_cpus());
	return cpus > 0 ? cpus : 1;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/cpus.c: what the affinity and Slurm allow. The cgroup's quota is the machine's: it may allow less.
 */
#include "builder/cpus.h"
#include "tests/tap.h"

#include <sched.h>

static void slurm_grants(const char *text)
{
	setenv("SLURM_CPUS_PER_TASK", text, 1);
}

static cpu_set_t allowed(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	return set;
}

/* Leaves only the first processor that is allowed. */
static void affinity_narrow(void)
{
	cpu_set_t set = allowed(), one;
	int cpu = 0;
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	check_int(sched_setaffinity(0, sizeof(one), &one), 0);
}

int main(void)
{
	cpu_set_t before = allowed();
	unsetenv("SLURM_CPUS_PER_TASK");
	unsigned all = cpus_available();

	test_case ("there is at least one processor, and there are not more than the affinity has") {
		check(all >= 1);
		check(all <= (unsigned)CPU_COUNT(&before));
	}

	test_case ("Slurm's grant is kept to, if it is a number, and gives no more than there is") {
		slurm_grants("1");
		check_int(cpus_available(), 1);
		static const char *const others[] = { "1000000", "0", "-3", "", "many" };
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
			slurm_grants(others[i]);
			check_int(cpus_available(), all);
		}
	}

	test_case ("the affinity is kept to, whatever Slurm grants") {
		if (CPU_COUNT(&before) < 2) {
			test_skip("needs two processors");
			break;
		}
		affinity_narrow();
		slurm_grants("2");
		check_int(cpus_available(), 1);
		check_int(sched_setaffinity(0, sizeof(before), &before), 0);
		unsetenv("SLURM_CPUS_PER_TASK");
		check_int(cpus_available(), all);
	}

	return test_end();
}

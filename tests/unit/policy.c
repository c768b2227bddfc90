/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/policy.h"

#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- targets --- */

/* A root as Debian's: the loader is a file that a link in another directory names. */
static void make_root(void)
{
	scratch_file("root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "");
	scratch_link("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "root/usr/lib64/ld-linux-x86-64.so.2");
	scratch_link("usr/lib64", "root/lib64");
	scratch_link("usr/lib", "root/lib");
	scratch_link("nowhere", "root/usr/lib/ld-musl-x86_64.so.1");
}

static const char system_reason[] = "it belongs to the system", loader_reason[] = "it would cover the dynamic loader",
		  site_reason[] = "the site protects it (simg.conf: protect)";

static const struct {
	const char *resolved, *reason; /* NULL: allowed */
} targets[] = {
	{ "/data", NULL },
	{ "/opt/other", NULL },
	{ "/etcetera", NULL },
	{ "/device", NULL },
	{ "/usr/local", NULL },
	{ "/usr/lib/python3", NULL },
	{ "/usr/lib/x86_64-linux-gnu/libm.so.6", NULL },
	{ "/tmp/x", NULL },
	{ "/home/u", NULL },
	{ "/run", NULL },
	{ "/etc", system_reason },
	{ "/etc/passwd", system_reason },
	{ "/etc/new/file", system_reason },
	{ "/proc", system_reason },
	{ "/proc/self", system_reason },
	{ "/sys/fs/cgroup", system_reason },
	{ "/dev", system_reason },
	{ "/dev/shm", system_reason },
	{ "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", loader_reason },
	{ "/usr/lib/x86_64-linux-gnu", loader_reason },
	{ "/usr/lib64/ld-linux-x86-64.so.2", loader_reason },
	{ "/usr/lib64", loader_reason },
	{ "/usr/lib", loader_reason },
	{ "/usr", loader_reason },
	{ "/opt/site", site_reason },
	{ "/opt/site/app", site_reason },
	{ "/opt", site_reason },
};

static void test_targets(const struct policy *policy)
{
	struct plan_mount mount = { .kind = PLAN_BIND, .source = "/src", .rule = "--container-mounts" };
	for (size_t i = 0; i < COUNT(targets); i++) {
		mount.target = targets[i].resolved;
		mount.origin = PLAN_USER;
		test_case ("a user %s mount on %s", targets[i].reason == NULL ? "may" : "may not", mount.target) {
			struct err err = ERR_INIT;
			char message[256] = "";
			check_int(policy_check_target(policy, &mount, mount.target, &err), targets[i].reason == NULL ? 0 : -EPERM);
			if (targets[i].reason != NULL)
				snprintf(message, sizeof(message), "--container-mounts: users may not mount on '%s': %s", mount.target,
					 targets[i].reason);
			check_str(err.text, message);
		}
		test_case ("the system and the site may mount on %s", mount.target) {
			mount.origin = PLAN_SYSTEM;
			check_int(policy_check_target(policy, &mount, mount.target, NULL), 0);
			mount.origin = PLAN_SITE;
			check_int(policy_check_target(policy, &mount, mount.target, NULL), 0);
		}
	}
	for (enum plan_origin origin = PLAN_SYSTEM; origin <= PLAN_USER; origin++)
		test_case ("nobody may mount on the root itself (origin %d)", origin) {
			struct err err = ERR_INIT;
			mount.origin = origin;
			mount.target = "/link";
			check_int(policy_check_target(policy, &mount, "/", &err), -EPERM);
			check_str(err.text, "--container-mounts: nothing can be mounted on '/': that is the image");
		}
	test_case ("a target that leads elsewhere is judged by where it leads, and the message tells both") {
		struct err err = ERR_INIT;
		mount.origin = PLAN_USER;
		mount.target = "/data";
		check_int(policy_check_target(policy, &mount, "/etc/shadow", &err), -EPERM);
		check_str(err.text,
			  "--container-mounts: users may not mount on '/data' (it leads to '/etc/shadow'): it belongs to the system");
	}
	test_case ("an image without loaders has none to protect") {
		struct policy bare;
		struct conf conf = { 0 };
		mkdir("bare", 0755);
		autoclose int root = scratch_open_dir("bare");
		check_int(policy_init(&bare, &conf, root, NULL), 0);
		check_int(bare.loaders.count, 0);
		mount.target = "/usr";
		check_int(policy_check_target(&bare, &mount, "/usr", NULL), 0);
		policy_free(&bare);
	}
}

/* --- plans --- */

static const struct {
	const char *what;
	enum plan_origin origin;
	enum plan_kind kind;
	const char *target;
	const char *source; /* what the descriptor is open on */
	bool allowed;
} mounts[] = {
	{ "the system's bind of /proc", PLAN_SYSTEM, PLAN_BIND, "/proc", "/proc", true },
	{ "the system's bind of /etc/hosts", PLAN_SYSTEM, PLAN_BIND, "/etc/hosts", "/etc/hosts", true },
	{ "the system's bind of a task prolog", PLAN_SYSTEM, PLAN_BIND, "/dev/zero", "/dev/zero", true },
	{ "a system bind of another file", PLAN_SYSTEM, PLAN_BIND, "/etc/hosts", "/etc/passwd", false },
	{ "a system bind of another directory", PLAN_SYSTEM, PLAN_BIND, "/proc", "/", false },
	{ "a system bind on a path that is no system path", PLAN_SYSTEM, PLAN_BIND, "/usr", "/usr", false },
	{ "a system bind below a system path", PLAN_SYSTEM, PLAN_BIND, "/proc/sys", "/proc/sys", false },
	{ "a system bind on a made file", PLAN_SYSTEM, PLAN_BIND, "/etc/passwd", "/etc/passwd", false },
	{ "a system bind of a path that the host lacks", PLAN_SYSTEM, PLAN_BIND, "/nowhere/prolog", "/dev/null", false },
	{ "the passwd file", PLAN_SYSTEM, PLAN_FILE, "/etc/passwd", "/dev/null", true },
	{ "the group file", PLAN_SYSTEM, PLAN_FILE, "/etc/group", "/dev/null", true },
	{ "a made /etc/shadow", PLAN_SYSTEM, PLAN_FILE, "/etc/shadow", "/dev/null", false },
	{ "a made /etc/ld.so.preload", PLAN_SYSTEM, PLAN_FILE, "/etc/ld.so.preload", "/dev/null", false },
	{ "a made /etc/hosts", PLAN_SYSTEM, PLAN_FILE, "/etc/hosts", "/dev/null", false },
	{ "a private /tmp", PLAN_SYSTEM, PLAN_TMPFS, "/tmp", NULL, true },
	{ "a private /var/tmp", PLAN_SYSTEM, PLAN_TMPFS, "/var/tmp", NULL, true },
	{ "a tmpfs on /etc", PLAN_SYSTEM, PLAN_TMPFS, "/etc", NULL, false },
	{ "the site's bind", PLAN_SITE, PLAN_BIND, "/site", "/dev/null", true },
	{ "a site bind elsewhere", PLAN_SITE, PLAN_BIND, "/etc/sudoers", "/dev/null", false },
	{ "a site bind below the site's", PLAN_SITE, PLAN_BIND, "/site/x", "/dev/null", false },
	{ "a site's file", PLAN_SITE, PLAN_FILE, "/site", "/dev/null", false },
	{ "a site's tmpfs", PLAN_SITE, PLAN_TMPFS, "/site", NULL, false },
	{ "a user's bind", PLAN_USER, PLAN_BIND, "/data", "/dev/null", true },
	{ "a user's file", PLAN_USER, PLAN_FILE, "/data", "/dev/null", false },
	{ "a user's tmpfs", PLAN_USER, PLAN_TMPFS, "/data", NULL, false },
};

static void test_plans(const struct policy *policy)
{
	struct launch_request request = { .job_id = 7, .step_id = 0 };
	strlist_add(&request.prologs, "/dev/zero");
	strlist_add(&request.prologs, "/nowhere/prolog");

	for (size_t i = 0; i < COUNT(mounts); i++)
		test_case ("%s is %s", mounts[i].what, mounts[i].allowed ? "allowed" : "refused") {
			struct err err = ERR_INIT;
			autoplan struct plan plan = PLAN_INIT;
			struct plan_mount mount = { .kind = mounts[i].kind, .origin = mounts[i].origin, .fd = -1 };
			char message[200] = "";
			mount.source = mount.rule = "x";
			mount.target = mounts[i].target;
			if (mounts[i].source != NULL)
				mount.fd = open(mounts[i].source, O_PATH | O_CLOEXEC);
			check_int(plan_add_mount(&plan, &mount, NULL), 0);
			check_int(policy_check_plan(policy, &request, &plan, &err), mounts[i].allowed ? 0 : -EPERM);
			if (!mounts[i].allowed)
				snprintf(message, sizeof(message), "the plan wants a mount on '%s' that the policy does not know",
					 mounts[i].target);
			check_str(err.text, message);
		}
	test_case ("one bad mount among good ones is found") {
		struct err err = ERR_INIT;
		autoplan struct plan plan = PLAN_INIT;
		for (int i = 0; i < 5; i++) {
			struct plan_mount mount = { .kind = i == 3 ? PLAN_TMPFS : PLAN_BIND, .origin = PLAN_USER, .fd = -1 };
			mount.source = mount.rule = "x";
			mount.target = i == 3 ? "/bad" : "/good";
			plan_add_mount(&plan, &mount, NULL);
		}
		check_int(policy_check_plan(policy, &request, &plan, &err), -EPERM);
		check_has(err.text, "'/bad'");
	}
	for (int writable = 0; writable < 2; writable++)
		test_case ("a plan that is %s unlike the request is refused", writable ? "writable" : "read-only") {
			struct err err = ERR_INIT;
			struct plan plan = { .writable = writable };
			request.writable = !writable;
			check_int(policy_check_plan(policy, &request, &plan, &err), -EPERM);
			check_str(err.text, "the plan and the request differ about --container-writable");
		}
	strlist_free(&request.prologs);
}

/* --- the system's paths --- */

static bool has(const struct strlist *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], text) == 0)
			return true;
	return false;
}

static void test_system_paths(void)
{
	test_case ("a launch mounts the host's system trees and Slurm's directories of the step") {
		autostrlist struct strlist paths = { 0 };
		struct launch_request request = { .job_id = 7, .step_id = 2 };
		request.spool_dir = (char *)"/spool";
		request.tmp_fs = (char *)"/local/tmp";
		request.batch_script = (char *)"/spool/job00007/slurm_script";
		strlist_add(&request.prologs, "/etc/slurm/prolog");
		check_int(policy_system_paths(&request, &paths, NULL), 0);
		static const char *const expected[] = { "/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/etc/hosts", "/etc/resolv.conf",
							"/etc/localtime", "/etc/slurm/prolog", "/spool/job00007", "/spool/pmix.7.2",
							"/local/tmp" };
		for (size_t i = 0; i < COUNT(expected); i++)
			tap_true(__FILE__, __LINE__, expected[i], has(&paths, expected[i]));
		check_int(paths.count, COUNT(expected));
		strlist_free(&request.prologs);
	}
	test_case ("what Slurm does not tell is not mounted, and a TmpFS below /tmp is there already") {
		autostrlist struct strlist paths = { 0 };
		struct launch_request request = { .tmp_fs = (char *)"/tmp" };
		check_int(policy_system_paths(&request, &paths, NULL), 0);
		check_int(paths.count, 8);
	}
}

int main(void)
{
	struct conf conf = { 0 };
	struct policy policy;
	scratch_enter();
	make_root();
	int root = scratch_open_dir("root");
	strlist_add(&conf.protect, "/opt/site");
	bind_parse_one("/dev/null:/site", "simg.conf:1", &conf.binds, NULL);
	test_case ("the loaders that the image has are found, and the links to them")
		check_int(policy_init(&policy, &conf, root, NULL), 0);
	test_targets(&policy);
	test_plans(&policy);
	test_system_paths();
	policy_free(&policy);
	conf_free(&conf);
	close(root);
	return test_end();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The plugin in slurmstepd and its tasks, driven by the fake Slurm: with helpers that fail in every way there is, and with the real one.
 */
#include "tests/spank/host.h"

#include "lib/cleanup.h"
#include "lib/launch.h"
#include "lib/wire.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char helper_arg[PATH_MAX], real_helper[PATH_MAX], image_env[PATH_MAX], holder_file[PATH_MAX];

/* A program in the helper's place: a shell script with this text. */
static void put_helper(const char *text)
{
	unlink("helper");
	FILE *file = fopen("helper", "w");
	if (file == NULL)
		err(99, "helper");
	fprintf(file, "#!/bin/sh\ncd '%s'\n%s\n", scratch.path, text);
	fclose(file);
	chmod("helper", 0755);
}

static int count_text(const char *text, const char *part)
{
	int count = 0;
	for (; (text = strstr(text, part)) != NULL; text += strlen(part))
		count++;
	return count;
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct scene node_scene(void)
{
	struct scene scene = { .context = S_CTX_REMOTE, .env = { image_env, "SLURM_SIMG_HOME=none" }, .args = { helper_arg } };
	return scene;
}

/* All tasks end with 125, and one of them says why. */
static void expect_failure(const struct scene *scene, const char *message)
{
	struct result result = host_play(scene);
	int count = scene->task_count > 0 ? scene->task_count : 1;
	check_int(result.status, 0);
	for (int i = 0; i < count; i++)
		check_int(result.task_status[i], 125);
	check_str(result.log, message);
	check_str(result.facts, "");
	check_int(count_text(result.log, "\n"), 1);
}

/* --- without a container --- */

static void test_host_steps(void)
{
	static const struct {
		const char *what, *env[3];
	} cases[] = {
		{ "a step without a container", { "PATH=/bin" } },
		{ "a step with an empty name", { "SLURM_CONTAINER=" } },
		{ "a step with none", { "SLURM_CONTAINER=none", "SLURM_SIMG_MOUNTS=nonsense" } },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("%s runs on the host, whatever is wrong with simg here", cases[i].what) {
			struct scene scene = { .context = S_CTX_REMOTE, .args = { "conf=/nowhere", "nonsense" }, .task_count = 2 };
			memcpy(scene.env, cases[i].env, sizeof(cases[i].env));
			struct result result = host_play(&scene);
			check_int(result.status, 0);
			check_int(result.task_status[0], 0);
			check_int(result.task_status[1], 0);
			check_str(result.log, "");
			check_has(result.facts, "task 1: outside");
			check(strstr(result.facts, " set ") == NULL);
		}
	test_case ("options that Slurm does not register make the plugin fail") {
		struct scene scene = node_scene();
		scene.refuse_option = 2;
		check_int(host_play(&scene).status, 1);
	}
}

/* --- what Slurm does not tell --- */

static void test_failing_items(void)
{
	static const struct {
		const char *what;
		uint64_t failing;
		const char *message;
	} cases[] = {
		{ "the environment", HOST_BIT(S_JOB_ENV), "simg: Slurm does not tell the job's environment\n" },
		{ "the user", HOST_BIT(S_JOB_UID), "simg: n1: Slurm does not tell the job's user\n" },
		{ "the group", HOST_BIT(S_JOB_GID), "simg: n1: Slurm does not tell the job's user\n" },
		{ "the job's number", HOST_BIT(S_JOB_ID), "simg: n1: Slurm does not tell the job's number\n" },
		{ "the step's number", HOST_BIT(S_JOB_STEPID), "simg: n1: Slurm does not tell the job's number\n" },
	};
	put_helper("touch ran; exit 1");
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("where Slurm does not tell %s, all tasks end and one says so", cases[i].what) {
			struct scene scene = node_scene();
			scene.failing = cases[i].failing;
			scene.task_count = 3;
			expect_failure(&scene, cases[i].message);
			check(access("ran", F_OK) < 0);
		}
	test_case ("where slurmstepd has no descriptors left, the tasks end") {
		struct scene scene = node_scene();
		scene.no_descriptors = true;
		struct result result = host_play(&scene);
		check_int(result.task_status[0], 125);
		check_str(result.log, "simg: cannot make a socket for the tasks: Too many open files\n"
				      "simg: no container could be set up: slurmstepd is out of memory or descriptors\n");
		check_str(result.facts, "");
	}
}

static void test_requests(void)
{
	static const struct {
		const char *what, *env, *arg, *message;
	} cases[] = {
		{ "a bad bind", "SLURM_SIMG_MOUNTS=/a:b", NULL,
		  "simg: n1: --container-mounts: bind target 'b' is not an absolute path (hint: write SRC:DST, where DST is the absolute path inside "
		  "the container)\n" },
		{ "a bad variable", "SLURM_SIMG_ENV==", NULL,
		  "simg: n1: --container-env: '=' is not NAME or NAME=VALUE (hint: a comma in a value is written '\\,')\n" },
		{ "a bad working directory", "SLURM_SIMG_WORKDIR=w", NULL,
		  "simg: n1: --container-workdir: 'w' is not an absolute path (hint: give the path as it is inside the container)\n" },
		{ "a missing simg.conf", "A=1", "conf=/nowhere", "simg: n1: cannot open '/nowhere': No such file or directory\n" },
		{ "a bad argument", "A=1", "tmp=x", "simg: n1: plugstack.conf: tmp: bad value 'x': expected job or private\n" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("%s is told by one task, and no helper is run", cases[i].what) {
			struct scene scene = node_scene();
			scene.env[2] = cases[i].env;
			scene.args[1] = cases[i].arg;
			scene.task_count = 4;
			expect_failure(&scene, cases[i].message);
			check(access("ran", F_OK) < 0);
		}
}

/* --- helpers --- */

static void test_helper_files(void)
{
	test_case ("a missing helper is told") {
		if (geteuid() != 0)
			test_skip("not root");
		struct scene scene = node_scene();
		scene.args[0] = "helper=/nowhere/simg-helper";
		scene.task_count = 2;
		expect_failure(&scene, "simg: n1: cannot find simg-helper '/nowhere/simg-helper': No such file or directory (hint: install simg on "
				       "this node, or set helper= in simg.conf)\n");
	}
	static char message[PATH_MAX + 128];
	snprintf(message, sizeof(message), "simg: n1: simg-helper '%s/helper' is not a file that only root can change\n", scratch.path);
	test_case ("a helper that others may write is not run") {
		if (geteuid() != 0)
			test_skip("not root");
		struct scene scene = node_scene();
		put_helper("touch ran");
		chmod("helper", 0775);
		expect_failure(&scene, message);
		chmod("helper", 0757);
		expect_failure(&scene, message);
		check(access("ran", F_OK) < 0);
	}
	test_case ("a helper that is somebody else's is not run") {
		if (geteuid() != 0)
			test_skip("not root");
		struct scene scene = node_scene();
		put_helper("touch ran");
		if (geteuid() == 0)
			check_int(chown("helper", HOST_UID, HOST_GID), 0);
		expect_failure(&scene, message);
		check(access("ran", F_OK) < 0);
	}
	test_case ("a helper that is a directory is not run") {
		if (geteuid() != 0)
			test_skip("not root");
		struct scene scene = node_scene();
		unlink("helper");
		mkdir("helper", 0755);
		expect_failure(&scene, message);
		rmdir("helper");
	}
	test_case ("a slurmstepd that is not root is told") {
		if (geteuid() == 0)
			test_skip("root");
		char expected[200];
		struct scene scene = node_scene();
		snprintf(expected, sizeof(expected), "simg: n1: slurmstepd does not run as root (uid %u) (hint: containers need a slurmd that "
			 "runs as root)\n", (unsigned)geteuid());
		expect_failure(&scene, expected);
	}
}

static bool is_running(int pid)
{
	char path[64], state = 'X';
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	if (file != NULL && fscanf(file, "%*d %*s %c", &state) != 1)
		state = 'X';
	if (file != NULL)
		fclose(file);
	return state != 'X' && state != 'Z';
}

/* The file lists this many process ids, of processes that end within a second. */
static void expect_gone(const char *path, int expected_count)
{
	int pid, count = 0;
	FILE *file = fopen(path, "re");
	while (file != NULL && fscanf(file, "%d", &pid) == 1) {
		count++;
		for (int i = 0; i < 100 && is_running(pid); i++)
			usleep(10000);
		check(!is_running(pid));
		if (is_running(pid))
			kill(pid, SIGKILL);
	}
	if (file != NULL)
		fclose(file);
	check_int(count, expected_count);
}

static void test_bad_helpers(void)
{
	static char cannot_execute[PATH_MAX + 64];
	snprintf(cannot_execute, sizeof(cannot_execute), "simg: n1: cannot execute simg-helper '%s/helper'\n", scratch.path);
	const char *not_understood = "simg: n1: simg-helper gave an answer that this plugin does not understand: do their versions differ?\n";
	const struct {
		const char *what, *script, *message;
	} cases[] = {
		{ "exits without an answer", "exit 3", "simg: n1: simg-helper ended without an answer\n" },
		{ "says it went well but sends nothing", "exit 0", "simg: n1: simg-helper ended without an answer\n" },
		{ "is killed", "kill -SEGV $$", "simg: n1: simg-helper was killed by signal 11 (Segmentation fault)\n" },
		{ "answers garbage", "echo garbage >&4", not_understood },
		{ "answers garbage and goes on", "echo $$ >>pids; echo garbage >&4; exec sleep 30", not_understood },
		{ "answers success without a container", "printf '\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000"
							 "\\000\\000\\000\\000\\000\\000\\000\\000' >&4", not_understood },
		{ "cannot be executed", NULL, cannot_execute },
		{ "hangs", "echo $$ >>pids; exec sleep 30",
		  "simg: n1: simg-helper did not finish within 1 s (hint: does a file system hang? helper_timeout in simg.conf sets the limit)\n" },
		{ "closes its socket and goes on", "echo $$ >>pids; exec 4>&-; exec sleep 30", "simg: n1: simg-helper ended without an answer\n" },
		{ "says why it cannot",
		  "printf '\\001\\000\\000\\000\\000\\000\\000\\000\\002\\000\\000\\000\\000\\000\\000\\000no\\001\\000\\000\\000\\000\\000\\000\\000x' >&4",
		  "simg: n1: no (hint: x)\n" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("a helper that %s: all tasks end, one says why, soon", cases[i].what) {
			if (geteuid() != 0)
				test_skip("not root");
			struct scene scene = node_scene();
			double begin = now();
			put_helper(cases[i].script != NULL ? cases[i].script : "");
			if (cases[i].script == NULL)
				chmod("helper", 0644);
			scene.args[1] = "helper_timeout=1";
			scene.task_count = 4;
			expect_failure(&scene, cases[i].message);
			check(now() - begin < 6);
		}
	test_case ("no helper is left behind, although its task was the user's when it ended") {
		if (geteuid() != 0)
			test_skip("not root");
		expect_gone("pids", 3);
	}
}

/* --- the request --- */

/* What a helper was asked, from the copy that it has left in the file "request". */
static bool read_request(struct launch_request *request)
{
	autowire struct wire wire = WIRE_INIT;
	autoclose int fd = open("request", O_RDONLY | O_CLOEXEC);
	char bytes[8192];
	ssize_t count = read(fd, bytes, sizeof(bytes));
	wire_put_bytes(&wire, bytes, count > 0 ? (size_t)count : 0);
	return check_int(launch_request_get(&wire, request), 0);
}

static void test_request_fields(void)
{
	test_case ("the helper is asked with all that Slurm tells") {
		if (geteuid() != 0)
			test_skip("not root");
		static const char *const argv[] = { "/var/spool/slurm/n1/job00077/slurm_script", "arg", NULL };
		struct scene scene = node_scene();
		const char *const env[] = { image_env, "SLURM_SIMG_MOUNTS=/a", "SLURM_SIMG_WORKDIR=/w", "SLURM_SIMG_HOME=mount", "SLURM_SIMG_WRITABLE=1",
					    "HOME=/home/u", "USER=u", "TZ=UTC" };
		memcpy(scene.env, env, sizeof(env));
		scene.cwd = "/usr";
		scene.step_id = SLURM_BATCH_SCRIPT;
		scene.argv = argv;
		scene.args[1] = "tmp=private";
		put_helper("cat <&3 >request; env >environment; ls /proc/self/fd | wc -l >descriptors; exit 1");
		host_play(&scene);
		struct launch_request request;
		if (!read_request(&request))
			break;
		check_int(request.uid, HOST_UID);
		check_int(request.gid, HOST_GID);
		check_int(request.gid_count, 2);
		check(request.gids[0] == HOST_OTHER_GID && request.gids[1] == HOST_GID);
		check_int(request.job_id, 77);
		check_int(request.step_id, SLURM_BATCH_SCRIPT);
		check_str(request.node, "n1");
		check_str(request.spool_dir, "/var/spool/slurm/n1");
		check_str(request.tmp_fs, "/tmp");
		check_str(request.batch_script, argv[0]);
		check_int(request.prologs.count, 1);
		check_str(request.prologs.items[0], "/etc/slurm/task-prolog");
		check_int(request.conf_args.count, 2);
		check_str(request.conf_args.items[1], "tmp=private");
		check_str(request.image, image_env + strlen("SLURM_CONTAINER="));
		check_str(request.cwd, "/usr");
		check_str(request.mounts, "/a");
		check_str(request.workdir, "/w");
		check_str(request.home_dir, "/home/u");
		check_str(request.user_name, "u");
		check_int(request.home, HOME_MOUNT);
		check(request.writable && request.has_tz);
		launch_request_free(&request);
	}
	test_case ("the helper has no environment but the shell's own") {
		if (geteuid() != 0)
			test_skip("not root");
		autoclose int fd = open("environment", O_RDONLY | O_CLOEXEC);
		const char *text = scratch_content(fd);
		check(strstr(text, "SLURM") == NULL && strstr(text, "HOME") == NULL && strstr(text, "LD_") == NULL);
	}
	test_case ("what Slurm need not tell is left out of the request") {
		if (geteuid() != 0)
			test_skip("not root");
		struct scene scene = node_scene();
		scene.step_id = SLURM_BATCH_SCRIPT;
		scene.failing = HOST_BIT(S_JOB_ARGV) | HOST_BIT(S_JOB_SUPPLEMENTARY_GIDS);
		host_play(&scene);
		struct launch_request request;
		if (!read_request(&request))
			break;
		check(request.batch_script == NULL && request.mounts == NULL && request.home_dir == NULL && !request.has_tz);
		check_int(request.gid_count, 1);
		check_int(request.gids[0], HOST_GID);
		launch_request_free(&request);
	}
}

/* --- the real helper --- */

/* Says why a container cannot be made on this machine; NULL if it can. */
static const char *missing(void)
{
	if (geteuid() != 0)
		return "not root";
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWNS) < 0);
	int status = 0;
	waitpid(pid, &status, 0);
	return status == 0 ? NULL : "this root cannot make mount namespaces";
}

static void put_real_helper(const char *before)
{
	static char text[PATH_MAX + 512];
	snprintf(text, sizeof(text), "echo $PPID >>runs\n%s\nexec '%s'", before, real_helper);
	unlink("runs");
	put_helper(text);
}

static int run_count(void)
{
	autoclose int fd = open("runs", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? 0 : count_text(scratch_content(fd), "\n");
}

static void expect_inside(const struct result *result, int task)
{
	char line[128];
	static const char *const facts[] = { "inside", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapInh:\t0000000000000000",
					     "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
					     "Uid:\t54321\t54321\t54321\t54321" };
	check_int(result->task_status[task], 0);
	for (size_t i = 0; i < COUNT(facts); i++) {
		snprintf(line, sizeof(line), "task %d: %s\n", task, facts[i]);
		check_has(result->facts, line);
	}
}

/* Kills the task that has started the helper, once it waits for it as the user. */
static void kill_first_holder(void)
{
	int pid = 0;
	for (int i = 0; i < 500 && pid == 0; i++) {
		usleep(10000);
		FILE *file = fopen(holder_file, "re");
		if (file != NULL && fscanf(file, "%d", &pid) != 1)
			pid = 0;
		if (file != NULL)
			fclose(file);
	}
	usleep(500000);
	if (pid > 0)
		kill(pid, SIGKILL);
}

static void test_containers(void)
{
	const char *why = missing();
	test_case ("a task enters the container, with no capability left and none to gain") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		put_real_helper("");
		scene.cwd = "/";
		struct result result = host_play(&scene);
		check_str(result.log, "");
		expect_inside(&result, 0);
		check_has(result.facts, "task 0: set PATH=/image/bin\n");
		check_has(result.facts, "task 0: unset LD_LIBRARY_PATH\n");
		check_has(result.facts, "task 0: set SIMG_IMAGE=");
		check_has(result.facts, "task 0: cwd /\n");
	}
	test_case ("of many tasks one runs the helper, and all enter") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		put_real_helper("sleep 0.3");
		scene.task_count = 12;
		struct result result = host_play(&scene);
		check_str(result.log, "");
		for (int i = 0; i < 12; i++)
			expect_inside(&result, i);
		check_int(run_count(), 1);
	}
	test_case ("a helper that answers and then hangs holds nobody up, and is not left behind") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		char script[PATH_MAX + 64];
		unlink("pids");
		snprintf(script, sizeof(script), "echo $$ >pids; '%s'; exec sleep 30", real_helper);
		put_helper(script);
		scene.task_count = 4;
		double begin = now();
		struct result result = host_play(&scene);
		for (int i = 0; i < 4; i++)
			expect_inside(&result, i);
		check_str(result.log, "");
		check(now() - begin < 3);
		expect_gone("pids", 1);
	}
	test_case ("when the task that has started the helper is killed, the helper goes with it, and the other tasks end and say so") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		unlink("pids");
		put_helper("echo $$ >pids; echo $PPID >holder; exec sleep 30");
		scene.task_count = 6;
		scene.meanwhile = kill_first_holder;
		double begin = now();
		struct result result = host_play(&scene);
		int killed = 0, ended = 0;
		for (int i = 0; i < 6; i++) {
			killed += result.task_status[i] == 128 + SIGKILL;
			ended += result.task_status[i] == 125;
		}
		check_int(killed, 1);
		check_int(ended, 5);
		check_str(result.log, "simg: n1: the task that made the container was killed\n");
		check(strstr(result.facts, "inside") == NULL && strstr(result.facts, "outside") == NULL);
		check(now() - begin < 6);
		expect_gone("pids", 1);
	}
	test_case ("the user's variables win over the image's, and a name alone keeps the job's value") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		put_real_helper("");
		scene.env[2] = "SLURM_SIMG_ENV=MINE=a\\,b,PATH,LD_LIBRARY_PATH=/mine";
		struct result result = host_play(&scene);
		expect_inside(&result, 0);
		check_has(result.facts, "task 0: set MINE=a,b\n");
		check_has(result.facts, "task 0: set LD_LIBRARY_PATH=/mine\n");
		check(strstr(result.facts, "set PATH=") == NULL);
		check(strstr(result.facts, "unset LD_LIBRARY_PATH") == NULL);
	}
	test_case ("a working directory that is asked for is reached") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		put_real_helper("");
		scene.env[2] = "SLURM_SIMG_WORKDIR=/usr/place";
		struct result result = host_play(&scene);
		expect_inside(&result, 0);
		check_has(result.facts, "task 0: cwd /usr/place\n");
		check_has(result.facts, "task 0: set PWD=/usr/place\n");
	}
	test_case ("a working directory that the container lacks ends the tasks") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		put_real_helper("");
		scene.env[2] = "SLURM_SIMG_WORKDIR=/no/where";
		scene.task_count = 3;
		struct result result = host_play(&scene);
		for (int i = 0; i < 3; i++)
			check_int(result.task_status[i], 125);
		check_str(result.log, "simg: n1: --container-workdir: cannot change to '/no/where' in the container: No such file or directory "
				      "(hint: give a directory of the image, or mount one with --container-mounts)\n");
	}
	test_case ("where the job's directory is not inside, the image's own is taken, and the first task says so") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		char closed[PATH_MAX]; /* to the user */
		scratch_mkdirs("closed/dir/");
		chmod("closed", 0700);
		snprintf(closed, sizeof(closed), "%s/closed/dir", scratch.path);
		put_real_helper("");
		scene.cwd = closed;
		scene.task_count = 3;
		struct result result = host_play(&scene);
		for (int i = 0; i < 3; i++)
			expect_inside(&result, i);
		check_int(count_text(result.facts, ": cwd /usr/place\n"), 3);
		check_has(result.output, "simg: note: '");
		check_has(result.output, "/closed/dir' does not exist in the container, the working directory is '/usr/place'\n");
		check_int(count_text(result.output, "\n"), 1);
		scene.node_id = 1;
		check_str(host_play(&scene).output, "");
		scene.node_id = 0;
		scene.failing = HOST_BIT(S_JOB_NODEID);
		check_str(host_play(&scene).output, "");
		scene.failing = HOST_BIT(S_TASK_ID);
		check_str(host_play(&scene).output, "");
	}
	test_case ("a task whose environment cannot be set ends") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		put_real_helper("");
		scene.refuse_setenv = true;
		struct result result = host_play(&scene);
		check_int(result.task_status[0], 125);
		check_str(result.log, "simg: n1: cannot set PATH in the task's environment\n");
		check(strstr(result.facts, "inside") == NULL);
	}
	test_case ("an image that is not there is told by one task") {
		if (why != NULL)
			test_skip(why);
		struct scene scene = node_scene();
		put_real_helper("");
		scene.env[0] = "SLURM_CONTAINER=/nowhere/app.simg";
		scene.task_count = 4;
		expect_failure(&scene, "simg: n1: cannot open image '/nowhere/app.simg': No such file or directory (hint: is the file system that "
				       "holds it mounted here?)\n");
		check_int(run_count(), 1);
	}
}

int main(void)
{
	const char *build = getenv("SIMG_BUILD_DIR");
	char *top = realpath(build != NULL ? build : ".", NULL);
	scratch_enter();
	snprintf(real_helper, sizeof(real_helper), "%s/runtime/simg-helper", top);
	snprintf(helper_arg, sizeof(helper_arg), "helper=%s/helper", scratch.path);
	snprintf(image_env, sizeof(image_env), "SLURM_CONTAINER=%s/tree", scratch.path);
	snprintf(holder_file, sizeof(holder_file), "%s/holder", scratch.path);
	scratch_file("tree/in-the-image", "");
	scratch_file("tree/usr/place/file", "");
	scratch_file("tree/.simg/config.json", "{\"config\": {\"Env\": [\"PATH=/image/bin\"], \"WorkingDir\": \"/usr/place\"}}");
	test_host_steps();
	test_failing_items();
	test_requests();
	test_helper_files();
	test_bad_helpers();
	test_request_fields();
	test_containers();
	free(top);
	return test_end();
}

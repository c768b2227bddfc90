/* SPDX-License-Identifier: Apache-2.0
 *
 * simg doctor: looks at everything on this node that a launch needs, says what it found, and what to mend. Changes nothing, needs no
 * privilege; what only root can see is said to be unknown rather than wrong.
 */
#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/strlist.h"
#include "runtime/verbs.h"

#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

enum finding { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct doctor {
	char slurm_dir[PATH_MAX];   /* where Slurm's configuration lies */
	struct strlist plugin_args; /* of simg.so in plugstack.conf */
	bool has_plugin_line;
	struct conf conf;
	bool has_conf;
	int failures;
};

static void say(struct doctor *doctor, enum finding finding, const char *what, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static void say(struct doctor *doctor, enum finding finding, const char *what, const char *format, ...)
{
	static const char *const words[] = { "ok  ", "warn", "FAIL" };
	char text[ERR_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_sanitize(text);
	printf("%s  %-14s %s\n", words[finding], what, text);
	if (finding == FINDING_FAIL)
		doctor->failures++;
}

static void advise(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void advise(const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_sanitize(text);
	printf("%22s%s\n", "", text);
}

/* True if a line of the file contains text. -1 if the file can't be read. */
static int file_has(const char *path, const char *text)
{
	autofclose FILE *file = fopen(path, "re");
	autofree char *line = NULL;
	size_t size = 0;
	if (file == NULL)
		return -1;
	while (getline(&line, &size, file) > 0)
		if (strstr(line, text) != NULL)
			return 1;
	return 0;
}

/* --- the kernel --- */

static bool has_module(const char *name)
{
	struct utsname kernel;
	char path[PATH_MAX], file[64];
	uname(&kernel);
	snprintf(file, sizeof(file), "/%s.ko", name);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", kernel.release);
	if (file_has(path, file) == 1)
		return true;
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.builtin", kernel.release);
	return file_has(path, file) == 1;
}

static void check_filesystem(struct doctor *doctor, const char *name, const char *why)
{
	char line[64];
	snprintf(line, sizeof(line), "\t%s\n", name);
	if (file_has("/proc/filesystems", line) == 1)
		say(doctor, FINDING_OK, name, "the kernel has it");
	else if (has_module(name))
		say(doctor, FINDING_OK, name, "the kernel has it as a module, and loads it when it is needed");
	else {
		say(doctor, FINDING_FAIL, name, "the kernel lacks it: %s", why);
		advise("load or install the module '%s' (RHEL: kernel-modules-extra)", name);
	}
}

/* The kernel tells its compressors nowhere but in its build configuration. */
static void check_compressors(struct doctor *doctor)
{
	static const char *const compressors[] = { "ZSTD", "ZLIB", "XZ", "LZ4", "LZO" };
	struct utsname kernel;
	char path[PATH_MAX], have[64] = "", lack[64] = "";
	uname(&kernel);
	snprintf(path, sizeof(path), "/boot/config-%s", kernel.release);
	if (access(path, R_OK) < 0) {
		say(doctor, FINDING_WARN, "compressors", "unknown: there is no '%s'; zstd images need CONFIG_SQUASHFS_ZSTD", path);
		return;
	}
	for (size_t i = 0; i < sizeof(compressors) / sizeof(compressors[0]); i++) {
		char option[64];
		snprintf(option, sizeof(option), "CONFIG_SQUASHFS_%s=y", compressors[i]);
		char *list = file_has(path, option) == 1 ? have : lack;
		snprintf(list + strlen(list), sizeof(have) - strlen(list), " %s", compressors[i]);
	}
	bool has_zstd = strstr(have, "ZSTD") != NULL;
	say(doctor, has_zstd ? FINDING_OK : FINDING_FAIL, "compressors", "SquashFS has%s%s%s", have, lack[0] != '\0' ? ", lacks" : "", lack);
	if (!has_zstd)
		advise("images are zstd by default; build them with --compressor gzip for this kernel");
}

static void check_kernel(struct doctor *doctor)
{
	struct utsname kernel;
	uname(&kernel);
	int major = 0, minor = 0;
	sscanf(kernel.release, "%d.%d", &major, &minor);
	bool old = major < 4 || (major == 4 && minor < 18);
	say(doctor, old ? FINDING_FAIL : FINDING_OK, "kernel", "%s on %s%s", kernel.release, kernel.machine, old ? ", 4.18 is needed" : "");
	check_filesystem(doctor, "squashfs", "images cannot be mounted");
	check_filesystem(doctor, "overlay", "images that lack mount points, and --container-writable, fail");
	check_compressors(doctor);
}

static void check_loop(struct doctor *doctor)
{
	struct stat st;
	if (stat("/dev/loop-control", &st) == 0 && S_ISCHR(st.st_mode)) {
		say(doctor, FINDING_OK, "loop devices", "/dev/loop-control is there");
		return;
	}
	if (has_module("loop")) {
		say(doctor, FINDING_FAIL, "loop devices", "/dev/loop-control is missing, the module is not loaded");
		advise("modprobe loop, and name it in /etc/modules-load.d");
		return;
	}
	say(doctor, FINDING_FAIL, "loop devices", "/dev/loop-control is missing");
	advise("the kernel needs CONFIG_BLK_DEV_LOOP");
}

/* --- plugstack.conf --- */

/* The directory of slurm.conf: named by SLURM_CONF, a distribution's, or the one that slurmd fills from its controller. */
static void find_slurm_dir(struct doctor *doctor)
{
	static const char *const dirs[] = { "/etc/slurm", "/run/slurm/conf", "/etc/slurm-llnl" };
	const char *conf = getenv("SLURM_CONF");
	const char *slash = conf != NULL ? strrchr(conf, '/') : NULL;
	if (slash != NULL)
		snprintf(doctor->slurm_dir, sizeof(doctor->slurm_dir), "%.*s", (int)(slash - conf), conf);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && doctor->slurm_dir[0] == '\0'; i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "%s/slurm.conf", dirs[i]);
		if (access(path, F_OK) == 0)
			snprintf(doctor->slurm_dir, sizeof(doctor->slurm_dir), "%s", dirs[i]);
	}
}

static void read_plugstack(struct doctor *doctor, const char *path, int depth);

static void include_plugstack(struct doctor *doctor, const char *pattern, int depth)
{
	glob_t found;
	if (glob(pattern, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		read_plugstack(doctor, found.gl_pathv[i], depth + 1);
	globfree(&found);
}

/* "required|optional PLUGIN ARGUMENTS…" */
static void take_plugstack_line(struct doctor *doctor, const char *file, const char *kind, const char *plugin, char *arguments)
{
	const char *name = strrchr(plugin, '/');
	if (strcmp(name != NULL ? name + 1 : plugin, "simg.so") != 0)
		return;
	doctor->has_plugin_line = true;
	bool required = strcmp(kind, "required") == 0;
	say(doctor, required ? FINDING_OK : FINDING_WARN, "plugstack.conf", "'%s' has: %s %s", file, kind, plugin);
	if (!required)
		advise("write 'required': with 'optional', a plugin that cannot be loaded lets jobs run on the host");
	if (plugin[0] == '/' && access(plugin, R_OK) < 0)
		say(doctor, FINDING_FAIL, "plugin", "'%s': %s", plugin, strerror(errno));
	for (char *save = NULL, *arg = strtok_r(arguments, " \t", &save); arg != NULL; arg = strtok_r(NULL, " \t", &save))
		strlist_add(&doctor->plugin_args, arg);
}

static void read_plugstack(struct doctor *doctor, const char *path, int depth)
{
	enum { INCLUDE_DEPTH_MAX = 8 };
	autofclose FILE *file = depth < INCLUDE_DEPTH_MAX ? fopen(path, "re") : NULL;
	autofree char *line = NULL;
	size_t size = 0;
	while (file != NULL && getline(&line, &size, file) > 0) {
		char kind[16], plugin[PATH_MAX];
		int rest = 0;
		line[strcspn(line, "#\n")] = '\0';
		if (sscanf(line, "%15s %4095s %n", kind, plugin, &rest) < 2)
			continue;
		if (strcmp(kind, "include") == 0)
			include_plugstack(doctor, plugin, depth);
		else
			take_plugstack_line(doctor, path, kind, plugin, line + rest);
	}
}

static void check_plugstack(struct doctor *doctor)
{
	char path[PATH_MAX + 16];
	find_slurm_dir(doctor);
	if (doctor->slurm_dir[0] == '\0') {
		say(doctor, FINDING_WARN, "plugstack.conf", "no slurm.conf was found here: is this a node of a cluster?");
		return;
	}
	snprintf(path, sizeof(path), "%s/plugstack.conf", doctor->slurm_dir);
	read_plugstack(doctor, path, 0);
	if (doctor->has_plugin_line)
		return;
	say(doctor, FINDING_FAIL, "plugstack.conf", "'%s' does not name simg.so", path);
	advise("put into it, on every node: required %s/simg.so", SIMG_PLUGINDIR);
}

/* --- our files --- */

/* Without --conf, the plugin's own arguments say what it reads. */
static void check_conf(struct doctor *doctor, const char *path)
{
	struct err err = ERR_INIT;
	autostrlist struct strlist args = { 0 };
	if (path != NULL)
		strlist_addf(&args, "conf=%s", path);
	for (size_t i = 0; i < doctor->plugin_args.count; i++) {
		const char *arg = doctor->plugin_args.items[i];
		bool is_conf = strncmp(arg, "conf=", 5) == 0;
		if (is_conf && path != NULL)
			continue;
		if (is_conf)
			path = arg + 5;
		strlist_add(&args, arg);
	}
	doctor->has_conf = conf_load(&doctor->conf, (int)args.count, args.items, &err) == 0;
	if (!doctor->has_conf) {
		say(doctor, FINDING_FAIL, "simg.conf", "%s", err.text);
		if (err.hint[0] != '\0')
			advise("%s", err.hint);
		return;
	}
	const char *shown = path != NULL ? path : SIMG_SYSCONFDIR "/simg.conf";
	bool exists = access(shown, F_OK) == 0;
	say(doctor, FINDING_OK, "simg.conf", "'%s'%s", shown, exists ? "" : " does not exist: defaults");
	for (size_t i = 0; i < doctor->conf.binds.count; i++) {
		const struct bind *bind = &doctor->conf.binds.items[i];
		if (access(bind->source, F_OK) < 0) {
			say(doctor, FINDING_FAIL, "bind", "%s: '%s': %s", bind->origin, bind->source, strerror(errno));
			advise("every job with a container fails on this node until the path exists or the line is removed");
		}
	}
	for (size_t i = 0; i < doctor->conf.image_path.count; i++)
		if (access(doctor->conf.image_path.items[i], R_OK | X_OK) < 0)
			say(doctor, FINDING_WARN, "image_path", "'%s': %s", doctor->conf.image_path.items[i], strerror(errno));
}

static void check_helper(struct doctor *doctor)
{
	struct stat st;
	const char *helper = doctor->has_conf ? doctor->conf.helper : NULL;
	if (helper == NULL)
		return;
	if (stat(helper, &st) < 0) {
		say(doctor, FINDING_FAIL, "simg-helper", "'%s': %s", helper, strerror(errno));
		advise("install simg on this node, or set helper= in simg.conf");
	} else if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		say(doctor, FINDING_FAIL, "simg-helper", "'%s' could be changed by others than root", helper);
		advise("chown root '%s' && chmod 755 '%s'", helper, helper);
	} else {
		say(doctor, FINDING_OK, "simg-helper", "'%s'", helper);
	}
}

/* --- Slurm --- */

/* Runs a command without a shell and returns what it prints, up to 256 KiB; NULL if it can't be run or fails. */
static char *output_of(char *const *argv)
{
	enum { OUTPUT_MAX = 256 << 10 };
	int ends[2], status;
	pid_t pid;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return NULL;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
	int r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	autoclose int from = ends[0];
	if (r != 0)
		return NULL;
	autofree char *text = calloc(1, OUTPUT_MAX + 1);
	ssize_t used = 0, n = 0;
	while (text != NULL && used < OUTPUT_MAX && (n = read(from, text + used, (size_t)(OUTPUT_MAX - used))) > 0)
		used += n;
	cleanup_close(&from);
	from = -1;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? steal_ptr(&text) : NULL;
}

static void check_version(struct doctor *doctor, const char *text)
{
	unsigned major = 0, minor = 0;
	sscanf(text, "%*s %u.%u", &major, &minor);
	const char *built = SIMG_SLURM_VERSION;
	unsigned built_major = 0, built_minor = 0;
	sscanf(built, "%u.%u", &built_major, &built_minor);
	bool same = major == built_major && minor == built_minor;
	say(doctor, same ? FINDING_OK : FINDING_FAIL, "Slurm", "%u.%02u here, the plugin was built for %u.%02u", major, minor, built_major, built_minor);
	if (!same)
		advise("build simg again on a machine that has this Slurm: it refuses plugins of other versions");
}

static void check_oci(struct doctor *doctor)
{
	char path[PATH_MAX + 16];
	if (doctor->slurm_dir[0] == '\0')
		return;
	snprintf(path, sizeof(path), "%s/oci.conf", doctor->slurm_dir);
	if (access(path, F_OK) == 0) {
		say(doctor, FINDING_FAIL, "oci.conf", "'%s' exists: Slurm takes --container for an OCI bundle before simg sees it", path);
		advise("remove it from the nodes where simg is to run containers");
	} else {
		say(doctor, FINDING_OK, "oci.conf", "there is none");
	}
}

static void check_slurm(struct doctor *doctor)
{
	char *const version_argv[] = { (char *)"srun", (char *)"--version", NULL };
	char *const help_argv[] = { (char *)"srun", (char *)"--help", NULL };
	autofree char *version = output_of(version_argv);
	if (SIMG_SLURM_VERSION[0] == '\0') {
		say(doctor, FINDING_WARN, "Slurm", "simg was built without the plugin");
		return;
	}
	if (version == NULL) {
		say(doctor, FINDING_WARN, "Slurm", "srun is not in PATH or does not work: the plugin was not checked");
		return;
	}
	check_version(doctor, version);
	autofree char *help = output_of(help_argv);
	if (help == NULL) {
		say(doctor, FINDING_FAIL, "plugin", "'srun --help' fails");
		advise("run it: it says what is wrong with slurm.conf or plugstack.conf");
	} else if (strstr(help, "--container-mounts") == NULL) {
		say(doctor, FINDING_FAIL, "plugin", "srun does not load simg.so");
		advise("slurmd's log and 'srun -vv hostname' tell why");
	} else {
		say(doctor, FINDING_OK, "plugin", "srun loads it");
	}
}

/* --- the verb --- */

static void print_help(void)
{
	puts("usage: simg doctor [--conf FILE]\n"
	     "\n"
	     "Checks whether this machine can launch containers, and says what to mend: the kernel, loop devices,\n"
	     "simg's configuration and helper, Slurm and the plugin. Changes nothing.\n"
	     "\n"
	     "  --conf FILE   the configuration to check, default: what plugstack.conf names,\n"
	     "                else " SIMG_SYSCONFDIR "/simg.conf\n"
	     "  --help        this text\n"
	     "\n"
	     "Exit status: 0 if nothing fails, 1 if something has to be mended, 2 for a wrong command line.");
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "conf", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *conf = NULL;
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			print_help();
			return EXIT_SUCCESS;
		}
		if (option != 'c')
			return EXIT_USAGE;
		conf = optarg;
	}
	if (optind < argc) {
		struct err err = ERR_INIT;
		err_set(&err, EINVAL, "doctor takes no argument, but got '%s'", argv[optind]);
		log_err(&err);
		return EXIT_USAGE;
	}
	struct doctor doctor = { .failures = 0 };
	printf("simg %s\n", PACKAGE_VERSION);
	check_kernel(&doctor);
	check_loop(&doctor);
	check_slurm(&doctor);
	check_plugstack(&doctor);
	check_oci(&doctor);
	check_conf(&doctor, conf);
	check_helper(&doctor);
	conf_free(&doctor.conf);
	strlist_free(&doctor.plugin_args);
	return doctor.failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct verb verb_doctor = { "doctor", "check whether this machine can launch containers", run };

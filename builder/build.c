/* SPDX-License-Identifier: Apache-2.0
 *
 * simg build: one source to one image. Needs no privilege, and unpacks nothing to disk.
 */
#include "builder/load.h"
#include "builder/output.h"
#include "builder/progress.h"
#include "builder/size.h"
#include "builder/source.h"
#include "builder/target.h"
#include "builder/tree.h"
#include "builder/verbs.h"
#include "builder/writer.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image.h"
#include "lib/log.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
	JOBS_DEFAULT_MAX = 16, /* one reader keeps about eight compressing threads busy */
	JOBS_MAX = 1024,
	BLOCK_BYTES_DEFAULT = 128 * 1024,
};
/* More than a real tree holds, and little enough that its block lists fit in the image. */
#define CONTENT_MAX_BYTES ((uint64_t)4 << 40)
#define MEMORY_MAX_BYTES ((rlim_t)4 << 30)

struct options {
	const char *image, *source;
	struct writer_options writer;
	uint64_t max_bytes;  /* 0: not given */
	uint64_t image_time; /* TARGET_TIME_NEWEST or SOURCE_DATE_EPOCH */
	bool force, quiet, mount_points;
};

static const char HELP[] =
	"usage: simg build [OPTIONS] IMAGE SOURCE\n"
	"\n"
	"Makes the SquashFS image IMAGE of SOURCE: a directory, a tarball (plain, gzip,\n"
	"zstd, xz or bzip2), or - for a tarball on standard input. Needs no root.\n"
	"\n"
	"  -f, --force            replace IMAGE if it exists\n"
	"  -q, --quiet            no progress and no notes\n"
	"  -c, --compressor NAME  zstd (default), gzip, lz4 or xz\n"
	"  -l, --level N          compression level (zstd: 1 to 22, default 3)\n"
	"  -b, --block-size SIZE  a power of two from 4K to 1M (default 128K)\n"
	"  -j, --jobs N           compressing threads (default: the job's processors, at\n"
	"                         most 16)\n"
	"      --max-size SIZE    how much the files may hold; default 4T, and 1000 times\n"
	"                         what a compressed tarball takes\n"
	"      --no-mount-points  do not add /proc, /tmp, /etc/hosts, ... where missing\n"
	"  -h, --help             this text\n"
	"\n"
	"SOURCE_DATE_EPOCH sets the image's own time (default: that of its newest file).\n"
	"Manual: simg-build(1)\n";

static const struct option LONG_OPTIONS[] = {
	{ "force", no_argument, NULL, 'f' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "compressor", required_argument, NULL, 'c' },
	{ "level", required_argument, NULL, 'l' },
	{ "block-size", required_argument, NULL, 'b' },
	{ "jobs", required_argument, NULL, 'j' },
	{ "no-mount-points", no_argument, NULL, 'M' },
	{ "max-size", required_argument, NULL, 'm' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int err_usage(struct err *err)
{
	return err_hint(err, "simg build --help lists the options");
}

static int number_parse(const char *option, const char *text, long min, long max, long *ret_number, struct err *err)
{
	char *end;
	errno = 0;
	long number = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || number < min || number > max) {
		err_set(err, EINVAL, "%s takes a number from %ld to %ld, not '%s'", option, min, max, text);
		return err_usage(err);
	}
	*ret_number = number;
	return 0;
}

static int size_option(const char *option, const char *text, uint64_t *ret_bytes, struct err *err)
{
	if (size_parse(text, ret_bytes) == 0 && *ret_bytes > 0)
		return 0;
	err_set(err, EINVAL, "%s takes a size like 128K, 4M or 50G, not '%s'", option, text);
	return err_usage(err);
}

static int block_size_option(const char *text, uint32_t *ret_bytes, struct err *err)
{
	uint64_t bytes;
	int r = size_option("--block-size", text, &bytes, err);
	if (r < 0)
		return r;
	if (bytes < 4096 || bytes > 1048576 || (bytes & (bytes - 1)) != 0)
		return err_set(err, EINVAL, "--block-size takes a power of two from 4K to 1M, not '%s'", text);
	*ret_bytes = (uint32_t)bytes;
	return 0;
}

static int option_take(struct options *options, int option, const char *value, struct err *err)
{
	long number = 0;
	int r = 0;
	switch (option) {
	case 'f':
		options->force = true;
		break;
	case 'q':
		options->quiet = true;
		break;
	case 'M':
		options->mount_points = false;
		break;
	case 'c':
		options->writer.compressor = value;
		break;
	case 'l':
		r = number_parse("--level", value, 0, 22, &number, err);
		options->writer.level = (int)number;
		break;
	case 'b':
		r = block_size_option(value, &options->writer.block_bytes, err);
		break;
	case 'j':
		r = number_parse("--jobs", value, 1, JOBS_MAX, &number, err);
		options->writer.jobs = (unsigned)number;
		break;
	case 'm':
		r = size_option("--max-size", value, &options->max_bytes, err);
		break;
	}
	return r;
}

/* The processors that this process may use; within a Slurm task, those of the task. */
static unsigned jobs_default(void)
{
	cpu_set_t set;
	int jobs = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	const char *slurm = getenv("SLURM_CPUS_PER_TASK");
	int granted = slurm != NULL ? atoi(slurm) : 0;
	if (granted > 0 && granted < jobs)
		jobs = granted;
	return (unsigned)(jobs < JOBS_DEFAULT_MAX ? jobs : JOBS_DEFAULT_MAX);
}

static int image_time_take(uint64_t *ret_time, struct err *err)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	if (text == NULL || text[0] == '\0')
		return 0;
	char *end;
	errno = 0;
	unsigned long long seconds = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || seconds > UINT32_MAX)
		return err_set(err, EINVAL, "SOURCE_DATE_EPOCH is no time in seconds that SquashFS can hold: '%s'", text);
	*ret_time = seconds;
	return 0;
}

/* Returns 0, 1 if the help was asked for, or a negative errno. */
static int options_parse(int argc, char **argv, struct options *options, struct err *err)
{
	int option;
	*options = (struct options){
		.writer = { .compressor = "zstd", .level = LEVEL_DEFAULT, .block_bytes = BLOCK_BYTES_DEFAULT, .jobs = jobs_default() },
		.image_time = TARGET_TIME_NEWEST,
		.mount_points = true,
	};
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":fqc:l:b:j:h", LONG_OPTIONS, NULL)) != -1) {
		if (option == 'h')
			return 1;
		if (option == '?' || option == ':') {
			err_set(err, EINVAL, option == ':' ? "the option '%s' needs a value" : "there is no option '%s'", argv[optind - 1]);
			return err_usage(err);
		}
		int r = option_take(options, option, optarg, err);
		if (r < 0)
			return r;
	}
	if (argc - optind != 2) {
		err_set(err, EINVAL, argc - optind < 2 ? "simg build needs an image to write and a source" :
							 "simg build takes one image and one source, and there is more: '%s'",
			argc - optind < 2 ? "" : argv[optind + 2]);
		return err_usage(err);
	}
	options->image = argv[optind];
	options->source = argv[optind + 1];
	int r = writer_options_check(&options->writer, err);
	return r < 0 ? r : image_time_take(&options->image_time, err);
}

/* All that a build holds. */
struct build {
	const struct options *options;
	struct progress progress;
	struct output *output;
	struct target *target;
	struct tree *tree;
	struct reader *reader;
	struct load load;
};

static void source_options_fill(struct build *build, int fd, struct source_options *ret_options)
{
	struct stat st;
	*ret_options = (struct source_options){
		.name = strcmp(build->options->source, "-") == 0 ? "standard input" : build->options->source,
		.fd = fd,
		.trusted = build->options->max_bytes != 0,
		.quiet = build->options->quiet,
		.progress = &build->progress,
	};
	if (fstat(output_fd(build->output), &st) == 0) {
		ret_options->output[ret_options->output_count].device = st.st_dev;
		ret_options->output[ret_options->output_count++].inode = st.st_ino;
	}
	if (output_target(build->output, &st)) {
		ret_options->output[ret_options->output_count].device = st.st_dev;
		ret_options->output[ret_options->output_count++].inode = st.st_ino;
	}
}

static int build_load(struct build *build, const struct source *source, int fd, struct err *err)
{
	struct source_options source_options;
	source_options_fill(build, fd, &source_options);
	build->load = (struct load){
		.tree = build->tree,
		.target = build->target,
		.progress = &build->progress,
		.content_max_bytes = build->options->max_bytes != 0 ? build->options->max_bytes : CONTENT_MAX_BYTES,
	};
	int r = source->open(&source_options, &build->reader, err);
	if (r == 0)
		r = load_source(&build->load, source, build->reader, err);
	source->close(build->reader);
	if (r == 0 && build->options->mount_points)
		r = load_mount_points(&build->load, err);
	return r;
}

/* What is written has to pass the check that every launch makes. */
static int image_verify(const struct output *output, struct err *err)
{
	struct image image;
	int r = image_identify(output_fd(output), output_path(output), &image, err);
	return r < 0 ? r : image_check(output_fd(output), output_path(output), &image, err);
}

/* No input may bring the machine down: a few kilobytes of a map of holes can make libarchive ask for gigabytes. A tree of ten
 * million files needs about 3 GiB. */
static void memory_limit(void)
{
#ifndef SIMG_SANITIZED /* the address sanitizer's shadow counts, too */
	struct rlimit limit;
	if (getrlimit(RLIMIT_DATA, &limit) < 0 || limit.rlim_cur <= MEMORY_MAX_BYTES)
		return;
	limit.rlim_cur = MEMORY_MAX_BYTES;
	setrlimit(RLIMIT_DATA, &limit);
#endif
}

/* A tarball made by "docker save" is full of layers, not of files: it would give an image that nobody can use. */
static void archive_note(const struct build *build)
{
	bool oci = tree_find(build->tree, "oci-layout") != NULL;
	bool docker = tree_find(build->tree, "manifest.json") != NULL && tree_find(build->tree, "repositories") != NULL;
	if (oci || docker)
		log_note("'%s' looks like a saved container image; its layers are stored as they are. For its files, use: docker export",
			 build->options->source);
}

static int build_run(struct build *build, const struct source *source, int fd, struct target_stats *ret_stats, struct err *err)
{
	int r = writer_open(build->output, &build->options->writer, &build->target, err);
	if (r < 0)
		return r;
	build->tree = tree_new();
	if (build->tree == NULL)
		return err_sys(err, ENOMEM, "cannot build the image '%s'", build->options->image);
	r = build_load(build, source, fd, err);
	if (r == 0)
		r = target_finish(build->target, build->tree, build->options->image_time, ret_stats, err);
	if (r == 0)
		r = image_verify(build->output, err);
	return r == 0 ? output_commit(build->output, err) : r;
}

static int build_image(const struct options *options, struct err *err)
{
	struct build build = { .options = options };
	struct target_stats stats;
	const struct source *source;
	autoclose int fd = -1;
	int r = source_find(options->source, &source, &fd, err);
	if (r == 0)
		r = output_open(options->image, options->force, &build.output, err);
	if (r < 0)
		return r;
	memory_limit();
	progress_begin(&build.progress, options->quiet);
	r = build_run(&build, source, fd, &stats, err);
	progress_clear(&build.progress);
	if (r == 0 && !options->quiet) {
		load_notes(&build.load);
		archive_note(&build);
	}
	if (r == 0)
		progress_end(&build.progress, options->image, stats.content_bytes, output_bytes(build.output), stats.file_count);
	target_free(build.target);
	tree_free(build.tree);
	output_free(build.output);
	return r;
}

static int run(int argc, char **argv)
{
	struct options options;
	struct err err = ERR_INIT;
	int r = options_parse(argc, argv, &options, &err);
	if (r > 0) {
		fputs(HELP, stdout);
		return EXIT_SUCCESS;
	}
	if (r < 0) {
		log_err(&err);
		return EXIT_USAGE;
	}
	r = build_image(&options, &err);
	if (r < 0)
		log_err(&err);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct verb verb_build = { "build", "make an image of a directory or a tarball", run };

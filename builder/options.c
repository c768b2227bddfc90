/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of simg build: see options.h.
 */
#include "builder/options.h"

#include "builder/cpus.h"
#include "builder/recipe/nearest.h"
#include "builder/recipe/recipe.h"
#include "builder/size.h"
#include "builder/target.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum {
	JOBS_DEFAULT_MAX = 16, /* one reader keeps about eight compressing threads busy */
	JOBS_MAX = 1024,
	BLOCK_BYTES_DEFAULT = 128 * 1024,
};

#define ALL_SECTIONS ((1ul << RECIPE_SECTION_COUNT) - 1)

const char BUILD_HELP[] =
	"usage: simg build [OPTIONS] IMAGE SOURCE   makes the image IMAGE, without root\n"
	"SOURCE: a recipe, directory, image, tarball (-: standard input), docker://NAME,\n"
	"oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE       Manual: simg-build(1)\n"
	"\n"
	"  -f, --force        replace IMAGE     -s, --sandbox  make a directory instead\n"
	"  -q, --quiet        no progress, no notes, no output of scripts\n"
	"  -c, --compressor NAME  zstd (default), gzip, lz4 or xz    -l, --level N\n"
	"  -b, --block-size SIZE  a power of two from 4K to 1M (default 128K)\n"
	"  -j, --jobs N       compressing threads (default: the job's processors)\n"
	"      --hot LIST     store the files in LIST uncompressed, too; --no-hot: none\n"
	"      --arch ARCH    of an image for several: amd64, arm64, ...\n"
	"      --auth-file FILE   credentials for registries (see simg-login(1))\n"
	"      --timestamp T  nothing in the image is younger (SOURCE_DATE_EPOCH)\n"
	"      --max-size SIZE    how much the files may hold (default 4T)\n"
	"      --no-mount-points  do not add /proc, /tmp, /etc/hosts, ... where missing\n"
	"Recipes:\n"
	"      --build-arg NAME=VALUE, --build-arg-file FILE   for {{ NAME }}\n"
	"      --section LIST     only these: post,files,environment,...; all; none\n"
	"  -B, --bind SRC[:DST[:ro]]  is there while %post and %test run\n"
	"      --no-cache     run every step    --no-test  do not run %test\n"
	"      --keep-failed  keep the tree of a script that failed\n";

/* Those without a letter. */
enum { OPTION_ARGUMENT = 256, OPTION_ARGUMENT_FILE, OPTION_SECTION, OPTION_NO_CACHE, OPTION_KEEP_FAILED };

static const struct option LONG_OPTIONS[] = {
	{ "force", no_argument, NULL, 'f' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "sandbox", no_argument, NULL, 's' },
	{ "compressor", required_argument, NULL, 'c' },
	{ "level", required_argument, NULL, 'l' },
	{ "block-size", required_argument, NULL, 'b' },
	{ "jobs", required_argument, NULL, 'j' },
	{ "hot", required_argument, NULL, 'H' },
	{ "no-hot", no_argument, NULL, 'N' },
	{ "no-mount-points", no_argument, NULL, 'M' },
	{ "max-size", required_argument, NULL, 'm' },
	{ "arch", required_argument, NULL, 'a' },
	{ "auth-file", required_argument, NULL, 'A' },
	{ "timestamp", required_argument, NULL, 't' },
	{ "build-arg", required_argument, NULL, OPTION_ARGUMENT },
	{ "build-arg-file", required_argument, NULL, OPTION_ARGUMENT_FILE },
	{ "section", required_argument, NULL, OPTION_SECTION },
	{ "bind", required_argument, NULL, 'B' },
	{ "no-test", no_argument, NULL, 'T' },
	{ "notest", no_argument, NULL, 'T' }, /* as with Apptainer */
	{ "no-cache", no_argument, NULL, OPTION_NO_CACHE },
	{ "keep-failed", no_argument, NULL, OPTION_KEEP_FAILED },
	{ "no-cleanup", no_argument, NULL, OPTION_KEEP_FAILED },
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

static int time_parse(const char *what, const char *text, uint64_t *ret_time, struct err *err)
{
	char *end;
	errno = 0;
	unsigned long long seconds = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || seconds > UINT32_MAX)
		return err_set(err, EINVAL, "%s is no time in seconds that SquashFS can hold: '%s'", what, text);
	*ret_time = seconds;
	return 0;
}

static int section_bit(const char *name, unsigned long *ret_bits, struct err *err)
{
	const char *names[RECIPE_SECTION_COUNT];
	for (int i = 0; i < RECIPE_SECTION_COUNT; i++) {
		names[i] = recipe_section_name((enum recipe_section)i);
		if (strcmp(names[i], name) == 0) {
			*ret_bits = 1ul << i;
			return 0;
		}
	}
	const char *nearest = nearest_name(name, names, RECIPE_SECTION_COUNT);
	err_set(err, EINVAL, "--section: there is no section '%s'", name);
	return nearest != NULL ? err_hint(err, "did you mean '%s'?", nearest) :
				 err_hint(err, "a list like post,files,environment; all; or none");
}

static int sections_take(struct build_options *options, const char *list, struct err *err)
{
	autofree char *text = strdup(list);
	char *rest = text, *name;
	options->sections = 0;
	while (text != NULL && (name = strsep(&rest, ",")) != NULL) {
		unsigned long bits = 0;
		int r = strcmp(name, "none") == 0 ? 0 : section_bit(name, &bits, err);
		if (strcmp(name, "all") == 0) {
			bits = ALL_SECTIONS;
			r = 0;
		}
		if (r < 0)
			return r;
		options->sections |= bits;
	}
	return text == NULL ? err_sys(err, ENOMEM, "cannot read --section") : 0;
}

static int bind_take(struct build_options *options, const char *value, struct err *err)
{
	size_t first = options->binds.count;
	int r = bind_parse_list(value, "--bind", &options->binds, err);
	return r < 0 ? r : bind_list_resolve(&options->binds, first, err);
}

static int recipe_option_take(struct build_options *options, int option, const char *value, struct err *err)
{
	options->recipe_given = true;
	switch (option) {
	case OPTION_ARGUMENT:
		return strlist_add(&options->arguments, value) < 0 ? err_sys(err, ENOMEM, "cannot read --build-arg") : 0;
	case OPTION_ARGUMENT_FILE:
		options->argument_file = value;
		return 0;
	case OPTION_SECTION:
		return sections_take(options, value, err);
	case 'B':
		return bind_take(options, value, err);
	case 'T':
		options->no_test = true;
		return 0;
	case OPTION_NO_CACHE:
		options->no_cache = true;
		return 0;
	default:
		options->keep_failed = true;
		return 0;
	}
}

static int option_take(struct build_options *options, int option, const char *value, struct err *err)
{
	if (option >= OPTION_ARGUMENT || option == 'B' || option == 'T')
		return recipe_option_take(options, option, value, err);
	long number = 0;
	int r = 0;
	options->writer_given |= strchr("clbjHN", option) != NULL;
	switch (option) {
	case 'f':
	case 'F': /* as with Apptainer */
		options->force = true;
		break;
	case 'q':
		options->quiet = true;
		break;
	case 's':
		options->sandbox = true;
		break;
	case 'M':
		options->mount_points = false;
		break;
	case 'H':
		options->hot_list = value;
		break;
	case 'N':
		options->hot_standard = false;
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
	case 'a':
		options->architecture = value;
		break;
	case 'A':
		options->auth_file = value;
		break;
	case 't':
		r = time_parse("--timestamp", value, &options->time, err);
		break;
	case 'm':
		r = size_option("--max-size", value, &options->max_bytes, err);
		break;
	}
	return r;
}

static unsigned jobs_default(void)
{
	unsigned cpus = cpus_available();
	return cpus < JOBS_DEFAULT_MAX ? cpus : JOBS_DEFAULT_MAX;
}

static int epoch_take(struct build_options *options, struct err *err)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	if (options->time != TARGET_TIME_NEWEST || text == NULL || text[0] == '\0')
		return 0;
	return time_parse("SOURCE_DATE_EPOCH", text, &options->time, err);
}

int build_options_parse(int argc, char **argv, struct build_options *options, struct err *err)
{
	int option;
	*options = (struct build_options){
		.writer = { .compressor = "zstd", .level = LEVEL_DEFAULT, .block_bytes = BLOCK_BYTES_DEFAULT,
			    .jobs = jobs_default() },
		.hot_standard = true,
		.time = TARGET_TIME_NEWEST,
		.mount_points = true,
		.sections = ALL_SECTIONS,
	};
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":fFqsc:l:b:j:B:Th", LONG_OPTIONS, NULL)) != -1) {
		if (option == 'h')
			return 1;
		if (option == '?' || option == ':') {
			err_set(err, EINVAL, option == ':' ? "the option '%s' needs a value" : "there is no option '%s'",
				argv[optind - 1]);
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
	options->target = argv[optind];
	options->source = argv[optind + 1];
	if (options->sandbox && options->writer_given) {
		err_set(err, EINVAL, "--sandbox makes no image: it goes without --compressor, --level, --block-size, --jobs, "
				     "--hot and --no-hot");
		return err_usage(err);
	}
	int r = writer_options_check(&options->writer, err);
	return r < 0 ? r : epoch_take(options, err);
}

void build_options_free(struct build_options *options)
{
	strlist_free(&options->arguments);
	bind_list_free(&options->binds);
}

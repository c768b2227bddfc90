/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of simg build: see options.h.
 */
#include "builder/options.h"

#include "builder/cpus.h"
#include "builder/size.h"
#include "builder/target.h"
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

const char BUILD_HELP[] =
	"usage: simg build [OPTIONS] IMAGE SOURCE\n"
	"\n"
	"Makes the SquashFS image IMAGE of SOURCE, without root. SOURCE is a directory,\n"
	"an image, a tarball (-: standard input), docker://[HOST/]NAME[:TAG][@DIGEST],\n"
	"oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG].\n"
	"\n"
	"  -f, --force            replace IMAGE if it exists\n"
	"  -q, --quiet            no progress and no notes\n"
	"  -s, --sandbox          make a directory, not an image\n"
	"  -c, --compressor NAME  zstd (default), gzip, lz4 or xz\n"
	"  -l, --level N          compression level (zstd: 1 to 22, default 3)\n"
	"  -b, --block-size SIZE  a power of two from 4K to 1M (default 128K)\n"
	"  -j, --jobs N           compressing threads (default: the job's processors)\n"
	"      --hot LIST         do not compress the files named in LIST: quicker starts\n"
	"      --no-hot           compress even the loader, libc, shells, Python, ...\n"
	"      --arch ARCH        of an image for several: amd64, arm64, ...\n"
	"      --auth-file FILE   credentials for registries (see simg-login(1))\n"
	"      --timestamp T      seconds since 1970, also as SOURCE_DATE_EPOCH: nothing\n"
	"                         in the image is younger\n"
	"      --max-size SIZE    how much the files may hold (default 4T)\n"
	"      --no-mount-points  do not add /proc, /tmp, /etc/hosts, ... where missing\n"
	"  -h, --help             this text\n"
	"\n"
	"SIMG_CACHE_DIR: where to keep what was fetched. Manual: simg-build(1)\n";

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

static int option_take(struct build_options *options, int option, const char *value, struct err *err)
{
	long number = 0;
	int r = 0;
	options->writer_given |= strchr("clbjHN", option) != NULL;
	switch (option) {
	case 'f':
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
	};
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":fqsc:l:b:j:h", LONG_OPTIONS, NULL)) != -1) {
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

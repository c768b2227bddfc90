/* SPDX-License-Identifier: Apache-2.0
 *
 * simg cache: what the cache holds, whether it is sound, and making room in it.
 */
#include "builder/cache/cache.h"
#include "builder/cache/scan.h"
#include "builder/progress.h"
#include "builder/size.h"
#include "builder/verbs.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	DAY_SECONDS = 24 * 60 * 60,
	DAYS_DEFAULT = 30,
	DAYS_MAX = 36500,
	PARTIAL_DAYS = 1, /* after that, nobody continues a download */
	READ_BYTES = 1 << 20,
	HOLLOW_BYTES_MIN = 1 << 30,
	HOLLOW_RATIO = 1000,
};

struct options {
	bool json, all, dry_run, quiet, max_given;
	uint64_t max_bytes;
	int days; /* -1: not given */
};

static const char HELP[] =
	"usage: simg cache list [--json]\n"
	"       simg cache verify [--quiet]\n"
	"       simg cache prune [--older-than DAYS] [--max-size SIZE] [--all]\n"
	"                        [--dry-run] [--quiet]\n"
	"\n"
	"Looks after the cache, where simg build keeps what it downloads.\n"
	"\n"
	"list    shows what it holds, the most recently used last\n"
	"verify  compares every blob with its digest, and removes damaged ones\n"
	"prune   makes room: removes what was not used for 30 days, and downloads that\n"
	"        nobody continued for a day; never what a builder is using\n"
	"\n"
	"      --json             list as JSON\n"
	"      --older-than DAYS  prune what was not used for so many days\n"
	"      --max-size SIZE    prune, the least recently used first, until at most\n"
	"                         SIZE (like 50G) is left\n"
	"      --all              prune all that is not in use\n"
	"  -n, --dry-run          only say what prune would remove\n"
	"  -q, --quiet            print nothing but errors and damaged blobs\n"
	"  -h, --help             this text\n"
	"\n"
	"The cache is in $SIMG_CACHE_DIR, else in cache_dir of simg.conf, else in\n"
	"$XDG_CACHE_HOME/simg, else in ~/.cache/simg. Manual: simg-cache(1)\n";

/* --- list --- */

static void print_entry(const struct scan_entry *entry)
{
	char size[SIZE_TEXT_MAX], used[32];
	struct tm local;
	if (localtime_r(&entry->used, &local) == NULL || strftime(used, sizeof(used), "%Y-%m-%d %H:%M", &local) == 0)
		snprintf(used, sizeof(used), "%-16s", "no date"); /* the year does not fit */
	printf("%-9s  %10s  %s  %s\n", scan_kind_name(entry->kind), size_format(entry->bytes, size), used, scan_text(entry));
}

/* "14 files, 1.2 GiB" */
static const char *files_format(size_t count, uint64_t bytes, char text[static 64])
{
	char size[SIZE_TEXT_MAX];
	snprintf(text, 64, "%zu file%s, %s", count, count == 1 ? "" : "s", size_format(bytes, size));
	return text;
}

static int list_json(const struct cache *cache, const struct scan *scan, struct err *err)
{
	json_t *top = json_object(), *files = json_array(), *path = json_string(cache_directory(cache));
	json_object_set_new(top, "directory", path != NULL ? path : json_null()); /* NULL: bytes that are no UTF-8 */
	json_object_set_new(top, "bytes", json_integer((json_int_t)scan->bytes));
	json_object_set_new(top, "files", files);
	for (size_t i = 0; i < scan->count; i++) {
		const struct scan_entry *entry = &scan->entries[i];
		json_array_append_new(files,
				      json_pack("{ss ss sI sI}", "kind", scan_kind_name(entry->kind), "name", scan_text(entry),
						"bytes", (json_int_t)entry->bytes, "used", (json_int_t)entry->used));
	}
	int r = json_dumpf(top, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(top);
	return r < 0 ? err_set(err, EIO, "cannot print JSON") : 0;
}

static int list(struct cache *cache, const struct options *options, struct err *err)
{
	autoscan struct scan scan;
	int r = scan_open(cache, &scan, err);
	if (r < 0)
		return r;
	if (options->json)
		return list_json(cache, &scan, err);
	if (scan.count > 0)
		puts("KIND             SIZE  LAST USED         NAME");
	for (size_t i = 0; i < scan.count; i++)
		print_entry(&scan.entries[i]);
	char total[64];
	autofree char *directory = strdup(cache_directory(cache));
	if (directory == NULL)
		return err_sys(err, ENOMEM, "cannot list the cache");
	log_sanitize(directory);
	printf("%s in '%s'\n", files_format(scan.count, scan.bytes, total), directory);
	return 0;
}

/* --- verify --- */

struct verify {
	struct progress progress;
	uint64_t bytes, total_bytes; /* read so far, of */
	char *buffer;
	size_t count, damaged_count;
};

static void verify_progress(struct verify *verify, size_t bytes)
{
	struct progress *progress = &verify->progress;
	struct timespec now;
	verify->bytes += bytes;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!progress->shown || (now.tv_sec == progress->last.tv_sec && progress->drawn))
		return;
	char done[SIZE_TEXT_MAX], total[SIZE_TEXT_MAX];
	progress->last = now;
	progress->drawn = true;
	fprintf(stderr, "\r\033[Kverifying the cache: %s of %s", size_format(verify->bytes, done),
		size_format(verify->total_bytes, total));
}

/* Whether it is all but a hole, on which reading would be wasted: exabytes may be planted. No file system's compression saves that
 * much of what a registry has. */
static bool is_hollow(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && (uint64_t)st.st_size > HOLLOW_BYTES_MIN &&
	       (uint64_t)st.st_blocks * 512 < (uint64_t)st.st_size / HOLLOW_RATIO;
}

/* 1: the digest is right, 0: it is not, or the file cannot be read; else a negative errno. */
static int blob_verify(struct verify *verify, int fd, const struct digest *digest)
{
	struct hash *hash = hash_new(digest);
	struct digest actual;
	ssize_t n;
	if (hash == NULL)
		return -ENOMEM;
	while ((n = read(fd, verify->buffer, READ_BYTES)) > 0 || (n < 0 && errno == EINTR)) {
		hash_add(hash, verify->buffer, n > 0 ? (size_t)n : 0);
		verify_progress(verify, n > 0 ? (size_t)n : 0);
	}
	hash_digest(hash, &actual);
	hash_free(hash);
	return n == 0 && digest_equal(&actual, digest);
}

static void damaged_remove(struct cache *cache, struct verify *verify, const struct scan *scan, const struct scan_entry *entry)
{
	verify->damaged_count++;
	cache_blob_discard(cache, &entry->digest);
	autoclose int fd = scan_entry_open(scan, entry);
	progress_clear(&verify->progress);
	printf("damaged, %s: %s\n", fd >= 0 ? "but of another user, and still there" : "removed", entry->digest.text);
}

static int entry_verify(struct cache *cache, struct verify *verify, const struct scan *scan, const struct scan_entry *entry,
			struct err *err)
{
	autoclose int fd = scan_entry_open(scan, entry);
	if (fd == -ENOENT) /* pruned meanwhile */
		return 0;
	if (fd < 0) {
		progress_clear(&verify->progress);
		log_note("cannot read the blob '%s': %s", entry->digest.text, strerror(-fd));
		return 0;
	}
	int r = is_hollow(fd) ? 0 : blob_verify(verify, fd, &entry->digest);
	if (r < 0)
		return err_sys(err, -r, "cannot verify the blob '%s'", entry->digest.text);
	verify->count++;
	if (r == 0)
		damaged_remove(cache, verify, scan, entry);
	return 0;
}

static int verify_entries(struct cache *cache, struct verify *verify, const struct scan *scan, struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < scan->count; i++)
		if (scan->entries[i].kind == SCAN_BLOB)
			verify->total_bytes += scan->entries[i].bytes;
	for (size_t i = 0; r == 0 && i < scan->count; i++)
		if (scan->entries[i].kind == SCAN_BLOB)
			r = entry_verify(cache, verify, scan, &scan->entries[i], err);
	return r;
}

static int verify(struct cache *cache, const struct options *options, struct err *err)
{
	autoscan struct scan scan;
	autofree char *buffer = malloc(READ_BYTES);
	struct verify verify = { .buffer = buffer };
	int r = scan_open(cache, &scan, err);
	if (r == 0 && buffer == NULL)
		r = err_sys(err, ENOMEM, "cannot verify the cache");
	if (r < 0)
		return r;
	progress_begin(&verify.progress, options->quiet);
	r = verify_entries(cache, &verify, &scan, err);
	progress_clear(&verify.progress);
	if (r < 0)
		return r;
	char size[SIZE_TEXT_MAX];
	if (!options->quiet)
		printf("%zu blob%s verified, %s: %zu damaged\n", verify.count, verify.count == 1 ? "" : "s",
		       size_format(verify.bytes, size), verify.damaged_count);
	return verify.damaged_count > 0 ? EXIT_FAILURE : 0;
}

/* --- prune --- */

struct prune {
	const struct options *options;
	time_t now;
	uint64_t left_bytes; /* in the cache */
	struct pruned {
		size_t count;
		uint64_t bytes;
	} removed, in_use, foreign;
};

static bool is_wanted_away(const struct prune *prune, const struct scan_entry *entry)
{
	const struct options *options = prune->options;
	int days = options->days < 0 && !options->max_given ? DAYS_DEFAULT : options->days;
	time_t idle_days = scan_idle_seconds(prune->now, entry->used) / DAY_SECONDS;
	bool unfinished = entry->kind == SCAN_PARTIAL || entry->kind == SCAN_TEMPORARY;
	return options->all || (unfinished && idle_days >= PARTIAL_DAYS) || (days >= 0 && idle_days >= days) ||
	       (options->max_given && prune->left_bytes > options->max_bytes);
}

static void count(struct pruned *pruned, const struct scan_entry *entry)
{
	pruned->count++;
	pruned->bytes += entry->bytes;
}

static int entry_prune(struct cache *cache, struct prune *prune, const struct scan *scan, const struct scan_entry *entry,
		       struct err *err)
{
	switch (scan_remove(cache, scan, entry, prune->options->dry_run)) {
	case SCAN_REMOVED:
		count(&prune->removed, entry);
		prune->left_bytes -= entry->bytes;
		if (!prune->options->quiet)
			print_entry(entry);
		return 0;
	case SCAN_IN_USE:
		count(&prune->in_use, entry);
		return 0;
	case SCAN_FOREIGN:
		count(&prune->foreign, entry);
		return 0;
	case SCAN_GONE:
		prune->left_bytes -= entry->bytes;
		return 0;
	case SCAN_FAILED:
		break;
	}
	return err_sys(err, errno, "cannot remove %s '%s' from the cache '%s'", scan_kind_name(entry->kind), scan_text(entry),
		       cache_directory(cache));
}

static void prune_report(const struct prune *prune)
{
	char files[64], size[SIZE_TEXT_MAX];
	if (prune->options->quiet)
		return;
	printf("%s: %s; %s left\n", prune->options->dry_run ? "would remove" : "removed",
	       files_format(prune->removed.count, prune->removed.bytes, files), size_format(prune->left_bytes, size));
	if (prune->in_use.count > 0)
		log_note("kept what is in use: %s", files_format(prune->in_use.count, prune->in_use.bytes, files));
	if (prune->foreign.count > 0)
		log_note("kept what only other users or root can remove: %s",
			 files_format(prune->foreign.count, prune->foreign.bytes, files));
}

static int prune(struct cache *cache, const struct options *options, struct err *err)
{
	autoscan struct scan scan;
	int r = scan_open(cache, &scan, err);
	struct prune prune = { .options = options, .now = time(NULL), .left_bytes = scan.bytes };
	for (size_t i = 0; r == 0 && i < scan.count; i++)
		if (is_wanted_away(&prune, &scan.entries[i]))
			r = entry_prune(cache, &prune, &scan, &scan.entries[i], err);
	if (r < 0)
		return r;
	if (!options->dry_run)
		scan_remove_locks(cache, options->all ? 0 : PARTIAL_DAYS * DAY_SECONDS);
	prune_report(&prune);
	return 0;
}

/* --- the command line --- */

static int err_usage(struct err *err)
{
	return err_hint(err, "simg cache --help lists the options");
}

static int days_parse(const char *text, int *ret_days, struct err *err)
{
	char *end;
	errno = 0;
	long days = strtol(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || days > DAYS_MAX) {
		err_set(err, EINVAL, "--older-than takes a number of days from 0 to %d, not '%s'", DAYS_MAX, text);
		return err_usage(err);
	}
	*ret_days = (int)days;
	return 0;
}

static int max_size_parse(const char *text, struct options *options, struct err *err)
{
	options->max_given = true;
	if (size_parse(text, &options->max_bytes) == 0)
		return 0;
	err_set(err, EINVAL, "--max-size takes a size like 500M or 50G, not '%s'", text);
	return err_usage(err);
}

static int option_take(struct options *options, int option, const char *value, struct err *err)
{
	switch (option) {
	case 'j':
		options->json = true;
		break;
	case 'a':
		options->all = true;
		break;
	case 'n':
		options->dry_run = true;
		break;
	case 'q':
		options->quiet = true;
		break;
	case 'o':
		return days_parse(value, &options->days, err);
	case 'm':
		return max_size_parse(value, options, err);
	}
	return 0;
}

#define OPTION_HELP { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 }

static const struct option LIST_OPTIONS[] = { { "json", no_argument, NULL, 'j' }, OPTION_HELP };
static const struct option VERIFY_OPTIONS[] = { { "quiet", no_argument, NULL, 'q' }, OPTION_HELP };
static const struct option PRUNE_OPTIONS[] = {
	{ "older-than", required_argument, NULL, 'o' },
	{ "max-size", required_argument, NULL, 'm' },
	{ "all", no_argument, NULL, 'a' },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "quiet", no_argument, NULL, 'q' },
	OPTION_HELP,
};

static const struct action {
	const char *name, *letters;
	const struct option *options;
	int (*run)(struct cache *cache, const struct options *options, struct err *err);
} ACTIONS[] = {
	{ "list", ":h", LIST_OPTIONS, list },
	{ "verify", ":qh", VERIFY_OPTIONS, verify },
	{ "prune", ":nqh", PRUNE_OPTIONS, prune },
};
enum { ACTION_COUNT = sizeof(ACTIONS) / sizeof(ACTIONS[0]) };

static int action_find(const char *name, const struct action **ret_action, struct err *err)
{
	for (int i = 0; name != NULL && i < ACTION_COUNT; i++)
		if (strcmp(ACTIONS[i].name, name) == 0) {
			*ret_action = &ACTIONS[i];
			return 0;
		}
	if (name == NULL)
		err_set(err, EINVAL, "simg cache is not told what to do: list, verify or prune");
	else
		err_set(err, EINVAL, "simg cache does list, verify and prune, but not '%s'", name);
	return err_usage(err);
}

static int options_check(const struct options *options, struct err *err)
{
	if (!options->all || (!options->max_given && options->days < 0))
		return 0;
	err_set(err, EINVAL, "--all leaves nothing for %s to choose", options->max_given ? "--max-size" : "--older-than");
	return err_usage(err);
}

/* Returns 0, 1 if the help was asked for, or a negative errno. */
static int options_parse(int argc, char **argv, const struct action *action, struct options *options, struct err *err)
{
	int option;
	*options = (struct options){ .days = -1 };
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, action->letters, action->options, NULL)) != -1) {
		if (option == 'h')
			return 1;
		if (option == '?' || option == ':') {
			if (option == ':')
				err_set(err, EINVAL, "the option '%s' needs a value", argv[optind - 1]);
			else
				err_set(err, EINVAL, "simg cache %s has no option '%s'", action->name, argv[optind - 1]);
			return err_usage(err);
		}
		int r = option_take(options, option, optarg, err);
		if (r < 0)
			return r;
	}
	if (optind < argc) {
		err_set(err, EINVAL, "simg cache %s takes no argument, and there is one: '%s'", action->name, argv[optind]);
		return err_usage(err);
	}
	return options_check(options, err);
}

static bool is_help(const char *word)
{
	return word != NULL && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
}

static int action_run(const struct action *action, const struct options *options)
{
	struct cache *cache = NULL;
	struct err err = ERR_INIT;
	int r = cache_open(NULL, &cache, &err);
	if (r == 0)
		r = action->run(cache, options, &err);
	cache_close(cache);
	if (r < 0)
		log_err(&err);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(int argc, char **argv)
{
	struct options options;
	const struct action *action = NULL;
	struct err err = ERR_INIT;
	int r = is_help(argv[1]) ? 1 : action_find(argv[1], &action, &err);
	if (r == 0)
		r = options_parse(argc - 1, argv + 1, action, &options, &err);
	if (r > 0) {
		fputs(HELP, stdout);
		return EXIT_SUCCESS;
	}
	if (r < 0) {
		log_err(&err);
		return EXIT_USAGE;
	}
	return action_run(action, &options);
}

const struct verb verb_cache = { "cache", "show, verify or prune what simg build has downloaded", run };

/* SPDX-License-Identifier: Apache-2.0
 *
 * The clock of the benchmarks: runs commands in turn, round by round, so that a machine that gets slower does so for all of them,
 * and prints how long each took. What to make of the times is up to the caller.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CASES_MAX = 32, GROUPS_MAX = 1024, EXIT_UNUSABLE = 127 };

static const char usage_text[] =
	"usage: pair [-n ROUNDS] [-b COMMAND] -- NAME[@USER] COMMAND [ARGUMENT…] [-- NAME[@USER] COMMAND [ARGUMENT…]]…\n"
	"\n"
	"Runs each command once a round, in the order given, as USER if there is one, with standard output discarded, and\n"
	"prints a line NAME<tab>ROUND<tab>MILLISECONDS for it. A round before the first warms caches up and is not\n"
	"printed. A command that fails ends everything.\n"
	"\n"
	"  -n ROUNDS   how many (21)\n"
	"  -b COMMAND  run by sh before each measured command, not measured\n";

struct user {
	char *name; /* NULL: as we are */
	uid_t uid;
	gid_t gid;
	gid_t groups[GROUPS_MAX];
	int group_count;
};

struct measured {
	char *name;
	char **command;
	struct user user;
};

static void find_user(struct measured *measured)
{
	struct user *user = &measured->user;
	char *at = strchr(measured->name, '@');
	if (at == NULL)
		return;
	*at = '\0';
	user->name = at + 1;
	const struct passwd *entry = getpwnam(user->name);
	if (entry == NULL)
		errx(EXIT_FAILURE, "there is no user '%s'", user->name);
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	user->group_count = GROUPS_MAX;
	if (getgrouplist(user->name, user->gid, user->groups, &user->group_count) < 0)
		errx(EXIT_FAILURE, "user '%s' is in too many groups", user->name);
}

/* Cuts the arguments at each "--", which no command may contain. Returns the number of cases. */
static size_t read_cases(char **words, struct measured *cases)
{
	size_t count = 0;
	while (*words != NULL) {
		if (count == CASES_MAX)
			errx(2, "more than %d commands", CASES_MAX);
		cases[count] = (struct measured){ .name = words[0], .command = words + 1 };
		while (*words != NULL && strcmp(*words, "--") != 0)
			words++;
		if (*words != NULL)
			*words++ = NULL;
		if (cases[count].name == NULL || cases[count].command[0] == NULL)
			errx(2, "a name without a command");
		find_user(&cases[count++]);
	}
	return count;
}

static void become(const struct user *user)
{
	if (user->name == NULL)
		return;
	if (setgroups((size_t)user->group_count, user->groups) < 0 || setgid(user->gid) < 0 || setuid(user->uid) < 0)
		err(EXIT_UNUSABLE, "cannot become '%s'", user->name);
}

static pid_t start(const struct measured *measured)
{
	pid_t pid = fork();
	if (pid < 0)
		err(EXIT_FAILURE, "cannot fork");
	if (pid > 0)
		return pid;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	become(&measured->user);
	execvp(measured->command[0], measured->command);
	err(EXIT_UNUSABLE, "cannot execute '%s'", measured->command[0]);
}

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Runs it once. Returns milliseconds from before the fork until it has ended. */
static double measure(const struct measured *measured)
{
	int status;
	double begin_ms = now_ms();
	pid_t pid = start(measured);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			err(EXIT_FAILURE, "cannot wait for '%s'", measured->name);
	double end_ms = now_ms();
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		errx(EXIT_FAILURE, "'%s' failed with status %d", measured->name,
		     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return end_ms - begin_ms;
}

int main(int argc, char **argv)
{
	static struct measured cases[CASES_MAX];
	const char *before = NULL;
	long rounds = 21;
	int option;
	while ((option = getopt(argc, argv, "+n:b:")) >= 0) {
		if (option == 'n')
			rounds = strtol(optarg, NULL, 10);
		else if (option == 'b')
			before = optarg;
		else
			break;
	}
	size_t count = option < 0 ? read_cases(argv + optind, cases) : 0;
	if (count == 0 || rounds < 1) {
		fputs(usage_text, stderr);
		return 2;
	}
	for (long round = 0; round <= rounds; round++)
		for (size_t i = 0; i < count; i++) {
			if (before != NULL && system(before) != 0)
				errx(EXIT_FAILURE, "'%s' failed", before);
			double ms = measure(&cases[i]);
			if (round > 0)
				printf("%s\t%ld\t%.3f\n", cases[i].name, round, ms);
			fflush(stdout);
		}
	return EXIT_SUCCESS;
}

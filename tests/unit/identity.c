/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/identity.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/launch.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* No machine's user database knows these. */
enum { UNKNOWN_UID = 1234567890, UNKNOWN_GID = 1234567891 };

static int root;

static void test_find(void)
{
	test_case ("a user of the host is found in its database, whatever the job's environment says") {
		struct launch_request request = { .uid = geteuid(), .user_name = (char *)"liar", .home_dir = (char *)"/lie" };
		struct identity identity;
		const struct passwd *entry = getpwuid(geteuid());
		if (entry == NULL)
			test_skip("the current user is in no user database");
		check_int(identity_find(&request, &identity, NULL), 0);
		entry = getpwuid(geteuid());
		check_str(identity.name, entry->pw_name);
		check_str(identity.home, entry->pw_dir);
		check_str(identity.shell, entry->pw_shell[0] != '\0' ? entry->pw_shell : "/bin/sh");
		identity_free(&identity);
		identity_free(&identity);
	}
	static const struct {
		const char *what, *user_name, *home_dir, *name, *home;
	} unknown[] = {
		{ "gets what the job's environment says", "alice", "/home/alice", "alice", "/home/alice" },
		{ "without an environment gets a name made of the number", NULL, NULL, "user1234567890", "/" },
		{ "with an empty environment, too", "", "", "user1234567890", "/" },
		{ "cannot put a colon into the name", "root::0:0", "/h", "user1234567890", "/h" },
		{ "cannot put a newline into the name", "a\nroot::0:0::/:/bin/sh", "/h", "user1234567890", "/h" },
		{ "cannot put a colon into HOME", "alice", "/h:/bin/evil", "alice", "/" },
		{ "cannot put a newline into HOME", "alice", "/h\nx::0:0:::", "alice", "/" },
	};
	for (size_t i = 0; i < COUNT(unknown); i++)
		test_case ("a user whom the host does not know %s", unknown[i].what) {
			struct launch_request request = { .uid = UNKNOWN_UID };
			struct identity identity;
			request.user_name = (char *)unknown[i].user_name;
			request.home_dir = (char *)unknown[i].home_dir;
			check_int(identity_find(&request, &identity, NULL), 0);
			check_str(identity.name, unknown[i].name);
			check_str(identity.home, unknown[i].home);
			check_str(identity.shell, "/bin/sh");
			identity_free(&identity);
		}
}

static const struct {
	const char *what, *image, *expected;
} passwds[] = {
	{ "an image's users stay", "root:x:0:0::/root:/bin/sh\nbin:x:1:1::/:/bin/false\n",
	  "root:x:0:0::/root:/bin/sh\nbin:x:1:1::/:/bin/false\nalice:x:1234567890:1234567891::/home/alice:/bin/zsh\n" },
	{ "a line of the same name gives way", "root:x:0:0::/root:/bin/sh\nalice:x:500:500::/a:/bin/sh\n",
	  "root:x:0:0::/root:/bin/sh\nalice:x:1234567890:1234567891::/home/alice:/bin/zsh\n" },
	{ "a line of the same uid gives way", "ubuntu:x:1234567890:1000::/u:/bin/sh\nroot:x:0:0::/root:/bin/sh\n",
	  "root:x:0:0::/root:/bin/sh\nalice:x:1234567890:1234567891::/home/alice:/bin/zsh\n" },
	{ "a name that only begins the same stays", "alice2:x:5:5::/:/x\nal:x:6:6::/:/x\n",
	  "alice2:x:5:5::/:/x\nal:x:6:6::/:/x\nalice:x:1234567890:1234567891::/home/alice:/bin/zsh\n" },
	{ "a last line without its end gets one", "root:x:0:0::/root:/bin/sh",
	  "root:x:0:0::/root:/bin/sh\nalice:x:1234567890:1234567891::/home/alice:/bin/zsh\n" },
	{ "lines that are no entries stay", "# c\n+::::::\n\nx\n:\n",
	  "# c\n+::::::\n\nx\n:\nalice:x:1234567890:1234567891::/home/alice:/bin/zsh\n" },
	{ "an empty file", "", "alice:x:1234567890:1234567891::/home/alice:/bin/zsh\n" },
	{ "no file", NULL, "alice:x:1234567890:1234567891::/home/alice:/bin/zsh\n" },
};

static void put_database(const char *path, const char *text)
{
	unlink(path);
	if (text != NULL)
		scratch_file(path, text);
}

static void expect_passwd(const char *expected)
{
	static char name[] = "alice", home[] = "/home/alice", shell[] = "/bin/zsh";
	const struct identity alice = { .name = name, .home = home, .shell = shell };
	const struct launch_request request = { .uid = UNKNOWN_UID, .gid = UNKNOWN_GID };
	struct err err = ERR_INIT;
	int before = scratch_fd_count();
	int fd = identity_make_passwd(root, &request, &alice, &err);
	check(fd >= 0);
	check_str(scratch_content(fd), expected);
	check_int(scratch_fd_count(), before + 1);
	close(fd);
}

static void test_passwd(void)
{
	const char *alone = "alice:x:1234567890:1234567891::/home/alice:/bin/zsh\n";
	for (size_t i = 0; i < COUNT(passwds); i++)
		test_case ("passwd: %s", passwds[i].what) {
			put_database("root/etc/passwd", passwds[i].image);
			expect_passwd(passwds[i].expected);
		}
	test_case ("passwd: a link is followed inside the image and cannot lead out of it") {
		put_database("root/etc/passwd", NULL);
		scratch_file("passwd", "outside:x:1:1:::\n");
		scratch_link("../../passwd", "root/etc/passwd");
		expect_passwd(alone);
		scratch_file("root/passwd", "inside:x:1:1:::\n");
		expect_passwd("inside:x:1:1:::\nalice:x:1234567890:1234567891::/home/alice:/bin/zsh\n");
	}
	test_case ("passwd: what is no regular file, or too large, counts as missing") {
		put_database("root/etc/passwd", NULL);
		mkfifo("root/etc/passwd", 0644);
		expect_passwd(alone);
		unlink("root/etc/passwd");
		mkdir("root/etc/passwd", 0755);
		expect_passwd(alone);
		rmdir("root/etc/passwd");
		scratch_file("root/etc/passwd", "x:x:1:1:::\n");
		check_int(truncate("root/etc/passwd", (1 << 20) + 1), 0);
		expect_passwd(alone);
		unlink("root/etc/passwd");
	}
	test_case ("passwd: in an image without /etc there is still the user") {
		mkdir("bare", 0755);
		int saved = root;
		root = scratch_open_dir("bare");
		expect_passwd(alone);
		close(root);
		root = saved;
	}
}

static void expect_group(gid_t *gids, uint32_t count, const char *expected)
{
	const struct launch_request request = { .gid = gids != NULL ? gids[0] : 0, .gids = gids, .gid_count = count };
	struct err err = ERR_INIT;
	int fd = identity_make_group(root, &request, &err);
	check(fd >= 0);
	check_str(scratch_content(fd), expected);
	close(fd);
}

static void test_group(void)
{
	static gid_t gids[] = { UNKNOWN_GID, 5, UNKNOWN_GID + 1, UNKNOWN_GID };
	test_case ("group: the user's groups are added to the image's, each once") {
		put_database("root/etc/group", "root:x:0:\nfive:x:5:a,b");
		expect_group(gids, COUNT(gids), "root:x:0:\nfive:x:5:a,b\ngroup1234567891:x:1234567891:\ngroup1234567892:x:1234567892:\n");
	}
	test_case ("group: no file, and no groups") {
		put_database("root/etc/group", NULL);
		expect_group(gids, 1, "group1234567891:x:1234567891:\n");
		expect_group(NULL, 0, "");
	}
	test_case ("group: a group that the host knows has its name") {
		gid_t gid = getegid();
		const struct group *entry = getgrgid(gid);
		if (entry == NULL)
			test_skip("the current group is in no group database");
		char expected[256];
		snprintf(expected, sizeof(expected), "%s:x:%u:\n", entry->gr_name, (unsigned)gid);
		expect_group(&gid, 1, expected);
	}
	test_case ("group: lines that are no entries stay") {
		put_database("root/etc/group", "x\n:::\ng:x:notanumber:\n");
		expect_group(gids, 1, "x\n:::\ng:x:notanumber:\ngroup1234567891:x:1234567891:\n");
	}
}

int main(void)
{
	scratch_enter();
	scratch_mkdirs("root/etc/");
	root = scratch_open_dir("root");
	test_find();
	test_passwd();
	test_group();
	close(root);
	return test_end();
}

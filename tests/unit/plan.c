/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/plan.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/wire.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct pair {
	int ours, theirs;
};

static struct pair make_pair(void)
{
	int sockets[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		err(99, "socketpair");
	return (struct pair){ sockets[0], sockets[1] };
}

static void free_pair(struct pair *pair)
{
	cleanup_close(&pair->ours);
	cleanup_close(&pair->theirs);
}
#define autopair __attribute__((cleanup(free_pair)))

static int open_null(void)
{
	return open("/dev/null", O_PATH | O_CLOEXEC);
}

static const struct plan_mount sample_mount = {
	.kind = PLAN_BIND, .origin = PLAN_USER, .fd = -1, .source = "/src", .target = "/dst", .read_only = true, .directory = true, .rule = "x",
};

static void add(struct plan *plan, enum plan_kind kind, const char *target)
{
	struct plan_mount mount = sample_mount;
	mount.kind = kind;
	mount.target = target;
	mount.fd = kind == PLAN_TMPFS ? -1 : open_null();
	check_int(plan_add_mount(plan, &mount, NULL), 0);
}

static void test_plans(void)
{
	test_case ("a plan arrives with its mounts, their descriptors, its mount points and its entry") {
		autopair struct pair pair = make_pair();
		autoplan struct plan sent = { .writable = true }, got = PLAN_INIT;
		struct err err = ERR_INIT;
		struct stat null, fd_st;
		add(&sent, PLAN_BIND, "/bind");
		add(&sent, PLAN_FILE, "/file");
		add(&sent, PLAN_TMPFS, "/tmpfs");
		const struct plan_point point = { .anchor = (char *)"/", .missing = (char *)"a/b", .directory = true };
		check_int(plan_add_point(&sent, &point, &err), 0);
		sent.entry.image = strdup("/image");
		strlist_add(&sent.entry.env, "A=1");
		check_int(plan_send(pair.ours, &sent, &err), 0);
		check_int(plan_receive(pair.theirs, &got, &err), 0);
		check_str(err.text, "");
		check(got.writable);
		check_int(got.mount_count, 3);
		check_int(got.mounts[0].kind, PLAN_BIND);
		check_int(got.mounts[0].origin, PLAN_USER);
		check_str(got.mounts[0].source, "/src");
		check_str(got.mounts[0].target, "/bind");
		check_str(got.mounts[0].rule, "x");
		check(got.mounts[0].read_only && got.mounts[0].directory);
		stat("/dev/null", &null);
		check(fstat(got.mounts[1].fd, &fd_st) == 0 && fd_st.st_ino == null.st_ino);
		check_int(got.mounts[2].fd, -1);
		check_int(got.point_count, 1);
		check_str(got.points[0].anchor, "/");
		check_str(got.points[0].missing, "a/b");
		check(got.points[0].directory);
		check_str(got.entry.image, "/image");
		check_str(got.entry.env.items[0], "A=1");
	}
	test_case ("a plan with the most mounts there can be arrives, and one more cannot be added") {
		autopair struct pair pair = make_pair();
		autoplan struct plan sent = PLAN_INIT, got = PLAN_INIT;
		struct err err = ERR_INIT;
		for (int i = 0; i < PLAN_MOUNTS_MAX; i++)
			add(&sent, PLAN_TMPFS, "/t");
		check_int(plan_add_mount(&sent, &sample_mount, &err), -E2BIG);
		check_str(err.text, "more than 2048 mounts");
		sent.entry.image = strdup("/image");
		pid_t pid = fork(); /* the socket holds less than that */
		if (pid == 0)
			_exit(plan_send(pair.ours, &sent, NULL) < 0);
		check_int(plan_receive(pair.theirs, &got, &err), 0);
		waitpid(pid, NULL, 0);
		check_int(got.mount_count, PLAN_MOUNTS_MAX);
	}
	test_case ("a mount that cannot be added loses its descriptor") {
		autoplan struct plan plan = PLAN_INIT;
		struct plan_mount mount = sample_mount;
		plan.mount_count = PLAN_MOUNTS_MAX;
		int before = scratch_fd_count();
		mount.fd = open_null();
		check_int(plan_add_mount(&plan, &mount, NULL), -E2BIG);
		check_int(scratch_fd_count(), before);
		plan.mount_count = 0;
	}
	test_case ("an environment larger than a packet arrives") {
		autopair struct pair pair = make_pair();
		autoplan struct plan sent = PLAN_INIT, got = PLAN_INIT;
		sent.entry.image = strdup("/image");
		for (int i = 0; i < 4000; i++)
			strlist_addf(&sent.entry.env, "NAME%d=%0100d", i, i);
		check_int(plan_send(pair.ours, &sent, NULL), 0);
		check_int(plan_receive(pair.theirs, &got, NULL), 0);
		check_int(got.entry.env.count, 4000);
	}
}

/* --- a planner that lies --- */

struct hostile {
	const char *what;
	uint64_t kind, origin;
	const char *source, *target, *rule;
	int fd_count;
	bool cut, longer;
};

static const struct hostile hostile[] = {
	{ "a kind that is none", 3, 0, "s", "/t", "r", 1 },
	{ "a kind that is none in 64 bits", 1ULL << 32, 0, "s", "/t", "r", 1 },
	{ "an origin that is none", 0, 3, "s", "/t", "r", 1 },
	{ "a huge origin", 0, UINT64_MAX, "s", "/t", "r", 1 },
	{ "no target", 0, 2, "s", NULL, "r", 1 },
	{ "an empty target", 0, 2, "s", "", "r", 1 },
	{ "a relative target", 0, 2, "s", "etc/passwd", "r", 1 },
	{ "a target with '..'", 0, 2, "s", "/a/../etc", "r", 1 },
	{ "a target with a slash at its end", 0, 2, "s", "/etc/", "r", 1 },
	{ "a target with doubled slashes", 0, 2, "s", "//etc", "r", 1 },
	{ "a target with '.'", 0, 2, "s", "/./etc", "r", 1 },
	{ "no source", 0, 2, NULL, "/t", "r", 1 },
	{ "no rule", 0, 2, "s", "/t", NULL, 1 },
	{ "a bind without a descriptor", 0, 2, "s", "/t", "r", 0 },
	{ "a file without a descriptor", 1, 0, "s", "/t", "r", 0 },
	{ "a tmpfs with a descriptor", 2, 0, "s", "/t", "r", 1 },
	{ "less than a mount is", 0, 2, "s", "/t", "r", 1, .cut = true },
	{ "more than a mount is", 0, 2, "s", "/t", "r", 1, .longer = true },
};

static void send_header(int socket, uint64_t mounts, uint64_t points, const char *anchor, const char *missing)
{
	autowire struct wire body = WIRE_INIT, packet = WIRE_INIT;
	struct launch_entry entry = { .image = (char *)"/image" };
	wire_put_u64(&body, mounts);
	wire_put_u64(&body, 0);
	wire_put_u64(&body, points);
	if (points > 0) {
		wire_put_string(&body, anchor);
		wire_put_string(&body, missing);
		wire_put_u64(&body, 1);
	}
	launch_entry_put(&body, &entry);
	wire_put_u64(&packet, 1);
	autoclose int fd = wire_to_memfd(&body);
	check_int(wire_send(socket, &packet, &fd, 1), 0);
}

static void send_hostile(int socket, const struct hostile *mount)
{
	autowire struct wire packet = WIRE_INIT;
	autoclose int fd = open_null();
	const int fds[] = { fd, fd };
	wire_put_u64(&packet, mount->kind);
	wire_put_u64(&packet, mount->origin);
	wire_put_u64(&packet, 0);
	wire_put_u64(&packet, 0);
	wire_put_string(&packet, mount->source);
	wire_put_string(&packet, mount->target);
	if (!mount->cut)
		wire_put_string(&packet, mount->rule);
	if (mount->longer)
		wire_put_u64(&packet, 0);
	check_int(wire_send(socket, &packet, fds, mount->fd_count), 0);
}

static void expect_bad(struct pair *pair, int r, const char *message)
{
	autoplan struct plan got = PLAN_INIT;
	struct err err = ERR_INIT;
	int before = scratch_fd_count();
	check_int(plan_receive(pair->theirs, &got, &err), r);
	check_str(err.text, message);
	check(got.mounts == NULL && got.points == NULL && got.entry.image == NULL);
	check_int(scratch_fd_count(), before);
}

static void test_hostile(void)
{
	for (size_t i = 0; i < COUNT(hostile); i++)
		test_case ("a mount with %s is refused, and its descriptor closed", hostile[i].what) {
			autopair struct pair pair = make_pair();
			send_header(pair.ours, 1, 0, NULL, NULL);
			send_hostile(pair.ours, &hostile[i]);
			expect_bad(&pair, -EBADMSG, "the planner sent a bad plan: mount");
		}
	test_case ("a second descriptor of a mount is closed") {
		autopair struct pair pair = make_pair();
		autoplan struct plan got = PLAN_INIT;
		const struct hostile two = { NULL, PLAN_BIND, PLAN_USER, "s", "/t", "r", 2 };
		send_header(pair.ours, 1, 0, NULL, NULL);
		send_hostile(pair.ours, &two);
		int before = scratch_fd_count();
		check_int(plan_receive(pair.theirs, &got, NULL), 0);
		check_int(scratch_fd_count(), before + 1);
	}

	static const struct {
		const char *what, *anchor, *missing;
	} points[] = {
		{ "no anchor", NULL, "a" },
		{ "a relative anchor", "a", "b" },
		{ "'..' in the anchor", "/a/..", "b" },
		{ "an anchor that is not normalised", "/a/", "b" },
		{ "nothing missing", "/a", NULL },
		{ "an empty name", "/a", "" },
		{ "an absolute name", "/a", "/etc" },
		{ "'..' as its name", "/a", ".." },
		{ "'..' in its name", "/a", "b/../../c" },
	};
	for (size_t i = 0; i < COUNT(points); i++)
		test_case ("a mount point with %s is refused", points[i].what) {
			autopair struct pair pair = make_pair();
			send_header(pair.ours, 0, 1, points[i].anchor, points[i].missing);
			expect_bad(&pair, -EBADMSG, "the planner sent a bad plan: mount point");
		}
	test_case ("a mount point with a name longer than a path is refused") {
		static char name[4097];
		autopair struct pair pair = make_pair();
		memset(name, 'a', sizeof(name) - 1);
		send_header(pair.ours, 0, 1, "/", name);
		expect_bad(&pair, -EBADMSG, "the planner sent a bad plan: mount point");
	}
	static const uint64_t counts[] = { PLAN_MOUNTS_MAX + 1, UINT64_MAX };
	for (size_t i = 0; i < COUNT(counts); i++) {
		test_case ("a plan that says %llu mounts is refused", (unsigned long long)counts[i]) {
			autopair struct pair pair = make_pair();
			send_header(pair.ours, counts[i], 0, NULL, NULL);
			expect_bad(&pair, -EBADMSG, "the planner sent a bad plan: too many mounts");
		}
		test_case ("a plan that says %llu mount points is refused", (unsigned long long)counts[i]) {
			autopair struct pair pair = make_pair();
			send_header(pair.ours, 0, counts[i], "/", "a");
			expect_bad(&pair, -EBADMSG, "the planner sent a bad plan: too many mounts");
		}
	}
	test_case ("a plan whose counted mount points do not follow is refused") {
		autopair struct pair pair = make_pair();
		send_header(pair.ours, 0, 2, "/", "a");
		expect_bad(&pair, -EBADMSG, "the planner sent a bad plan: mount point");
	}
	test_case ("a plan without its header is refused") {
		autopair struct pair pair = make_pair();
		autowire struct wire packet = WIRE_INIT;
		wire_put_u64(&packet, 1);
		wire_send(pair.ours, &packet, NULL, 0);
		expect_bad(&pair, -EBADMSG, "the planner sent a bad plan: header");
	}
	test_case ("a plan whose header cannot be read is refused") {
		autopair struct pair pair = make_pair();
		autowire struct wire packet = WIRE_INIT;
		int fds[2];
		wire_put_u64(&packet, 1);
		check_int(pipe(fds), 0);
		wire_send(pair.ours, &packet, fds, 1);
		close(fds[0]);
		close(fds[1]);
		expect_bad(&pair, -EBADMSG, "the planner sent a bad plan: header");
	}
	test_case ("a plan that ends before its mounts is refused") {
		autopair struct pair pair = make_pair();
		send_header(pair.ours, 2, 0, NULL, NULL);
		const struct hostile one = { NULL, PLAN_BIND, PLAN_USER, "s", "/t", "r", 1 };
		send_hostile(pair.ours, &one);
		cleanup_close(&pair.ours);
		expect_bad(&pair, -ECONNRESET, "cannot receive the plan: Connection reset by peer");
	}
}

/* The header as the planner would send it, cut at every byte. */
static void test_cut_headers(void)
{
	test_case ("a header that is cut at any byte is refused") {
		autowire struct wire body = WIRE_INIT;
		const struct launch_entry entry = { .image = (char *)"/image" };
		wire_put_u64(&body, 0);
		wire_put_u64(&body, 0);
		wire_put_u64(&body, 1);
		wire_put_string(&body, "/");
		wire_put_string(&body, "a");
		wire_put_u64(&body, 1);
		launch_entry_put(&body, &entry);
		for (size_t cut = 0; cut < body.used; cut++) {
			autopair struct pair pair = make_pair();
			autoplan struct plan got = PLAN_INIT;
			struct err err = ERR_INIT;
			struct wire part = body;
			autowire struct wire packet = WIRE_INIT;
			part.used = cut;
			wire_put_u64(&packet, 1);
			autoclose int fd = wire_to_memfd(&part);
			wire_send(pair.ours, &packet, &fd, 1);
			check_int(plan_receive(pair.theirs, &got, &err), -EBADMSG);
			check_has(err.text, "the planner sent a bad plan: ");
		}
	}
}

int main(void)
{
	test_plans();
	test_hostile();
	test_cut_headers();
	return test_end();
}

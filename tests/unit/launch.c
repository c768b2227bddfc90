/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/launch.h"

#include "lib/wire.h"
#include "tests/tap.h"

#include <errno.h>

static gid_t gids[] = { 100, 4294967294u, 5 };

/* Every field has a value of its own. */
static struct launch_request sample_request(void)
{
	struct launch_request request = {
		.uid = 1000,
		.gid = 4294967290u,
		.gids = gids,
		.gid_count = 3,
		.job_id = 77,
		.step_id = 4294967291u,
		.node = (char *)"n1",
		.spool_dir = (char *)"/spool",
		.tmp_fs = (char *)"/tmpfs",
		.batch_script = (char *)"/spool/job77/slurm_script",
		.image = (char *)"app.simg",
		.cwd = (char *)"/home/u",
		.mounts = (char *)"/a:/b,/c",
		.workdir = (char *)"/w",
		.home_dir = (char *)"/home/u",
		.user_name = (char *)"u",
		.home = HOME_NONE,
		.writable = true,
		.has_tz = true,
	};
	strlist_add(&request.prologs, "/etc/prolog");
	strlist_add(&request.conf_args, "conf=/etc/simg.conf");
	strlist_add(&request.conf_args, "tmp=private");
	return request;
}

static void free_sample(struct launch_request *request)
{
	strlist_free(&request->prologs);
	strlist_free(&request->conf_args);
}

static void check_same_request(const struct launch_request *a, const struct launch_request *b)
{
	check_int(a->uid, b->uid);
	check_int(a->gid, b->gid);
	check_int(a->gid_count, b->gid_count);
	for (uint32_t i = 0; i < a->gid_count; i++)
		check_int(a->gids[i], b->gids[i]);
	check_int(a->job_id, b->job_id);
	check_int(a->step_id, b->step_id);
	check_str(a->node, b->node);
	check_str(a->spool_dir, b->spool_dir);
	check_str(a->tmp_fs, b->tmp_fs);
	check_str(a->batch_script, b->batch_script);
	check_int(a->prologs.count, b->prologs.count);
	check_str(a->prologs.items[0], b->prologs.items[0]);
	check_int(a->conf_args.count, b->conf_args.count);
	check_str(a->conf_args.items[1], b->conf_args.items[1]);
	check_str(a->image, b->image);
	check_str(a->cwd, b->cwd);
	check_str(a->mounts, b->mounts);
	check_str(a->workdir, b->workdir);
	check_str(a->home_dir, b->home_dir);
	check_str(a->user_name, b->user_name);
	check_int(a->home, b->home);
	check_int(a->writable, b->writable);
	check_int(a->has_tz, b->has_tz);
}

static void test_request(void)
{
	test_case ("a request arrives with every field") {
		struct launch_request sent = sample_request(), got;
		autowire struct wire wire = WIRE_INIT;
		launch_request_put(&wire, &sent);
		check_int(launch_request_get(&wire, &got), 0);
		check_same_request(&got, &sent);
		launch_request_free(&got);
		check(got.image == NULL);
		launch_request_free(&got);
		free_sample(&sent);
	}
	test_case ("a request with nothing but what must be there arrives") {
		struct launch_request sent = { .node = (char *)"n", .image = (char *)"i", .cwd = (char *)"/" }, got;
		autowire struct wire wire = WIRE_INIT;
		launch_request_put(&wire, &sent);
		check_int(launch_request_get(&wire, &got), 0);
		check(got.mounts == NULL && got.spool_dir == NULL && got.gids == NULL);
		check(!got.writable && !got.has_tz);
		launch_request_free(&got);
	}
	test_case ("a request that is cut at any byte is refused, and can be freed") {
		struct launch_request sent = sample_request(), got;
		autowire struct wire wire = WIRE_INIT;
		launch_request_put(&wire, &sent);
		for (size_t cut = 0; cut < wire.used; cut++) {
			struct wire part = { .data = malloc(cut + (cut == 0)), .used = cut };
			memcpy(part.data, wire.data, cut);
			check_int(launch_request_get(&part, &got), -EBADMSG);
			launch_request_free(&got);
			wire_free(&part);
		}
		free_sample(&sent);
	}
	test_case ("a request with more behind it is refused") {
		struct launch_request sent = sample_request(), got;
		autowire struct wire wire = WIRE_INIT;
		launch_request_put(&wire, &sent);
		wire_put_u64(&wire, 0);
		check_int(launch_request_get(&wire, &got), -EBADMSG);
		launch_request_free(&got);
		free_sample(&sent);
	}
	static const struct {
		const char *what;
		size_t offset;
	} needed[] = {
		{ "node", offsetof(struct launch_request, node) },
		{ "image", offsetof(struct launch_request, image) },
		{ "cwd", offsetof(struct launch_request, cwd) },
	};
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		test_case ("a request without %s is refused", needed[i].what) {
			struct launch_request sent = sample_request(), got;
			autowire struct wire wire = WIRE_INIT;
			*(char **)((char *)&sent + needed[i].offset) = NULL;
			launch_request_put(&wire, &sent);
			check_int(launch_request_get(&wire, &got), -EBADMSG);
			launch_request_free(&got);
			free_sample(&sent);
		}
	test_case ("a request that says too many groups is refused") {
		struct launch_request got;
		autowire struct wire wire = WIRE_INIT;
		wire_put_u64(&wire, 1);
		wire_put_u64(&wire, 1);
		wire_put_u64(&wire, UINT64_MAX / 4 + 1);
		check_int(launch_request_get(&wire, &got), -EBADMSG);
		check_int(got.gid_count, 0);
		launch_request_free(&got);
	}
}

static void test_entry(void)
{
	struct launch_entry sent = { .root_dev = 0xfd00, .root_ino = UINT64_MAX, .image = (char *)"/i", .workdir = (char *)"/w" };
	strlist_add(&sent.env, "A=1");
	strlist_add(&sent.env, "LD_LIBRARY_PATH");
	strlist_add(&sent.notes, "a note");

	test_case ("an entry arrives with every field") {
		struct launch_entry got;
		autowire struct wire wire = WIRE_INIT;
		launch_entry_put(&wire, &sent);
		check_int(launch_entry_get(&wire, &got), 0);
		check(wire_done(&wire));
		check_int(got.root_dev, sent.root_dev);
		check(got.root_ino == sent.root_ino);
		check_str(got.image, "/i");
		check_str(got.workdir, "/w");
		check_int(got.env.count, 2);
		check_str(got.env.items[1], "LD_LIBRARY_PATH");
		check_str(got.notes.items[0], "a note");
		launch_entry_free(&got);
		launch_entry_free(&got);
	}
	test_case ("an entry that is cut at any byte is refused, and can be freed") {
		struct launch_entry got;
		autowire struct wire wire = WIRE_INIT;
		launch_entry_put(&wire, &sent);
		for (size_t cut = 0; cut < wire.used; cut++) {
			struct wire part = { .data = malloc(cut + (cut == 0)), .used = cut };
			memcpy(part.data, wire.data, cut);
			check_int(launch_entry_get(&part, &got), -EBADMSG);
			launch_entry_free(&got);
			wire_free(&part);
		}
	}
	test_case ("an entry without an image is refused") {
		struct launch_entry empty = { 0 }, got;
		autowire struct wire wire = WIRE_INIT;
		launch_entry_put(&wire, &empty);
		check_int(launch_entry_get(&wire, &got), -EBADMSG);
		launch_entry_free(&got);
	}
	strlist_free(&sent.env);
	strlist_free(&sent.notes);
}

static void put_outcome(struct wire *wire, uint64_t code, const char *text, const char *hint)
{
	wire_put_u64(wire, code);
	wire_put_string(wire, text);
	wire_put_string(wire, hint);
}

static void test_outcome(void)
{
	test_case ("success arrives as success") {
		struct err sent = ERR_INIT, got;
		autowire struct wire wire = WIRE_INIT;
		launch_outcome_put(&wire, &sent);
		check_int(launch_outcome_get(&wire, &got), 0);
		check_int(got.code, 0);
		check_str(got.text, "");
	}
	test_case ("an error arrives with code, text and hint") {
		struct err sent = ERR_INIT, got;
		autowire struct wire wire = WIRE_INIT;
		err_set(&sent, EPERM, "no '%s'", "x");
		err_hint(&sent, "ask");
		launch_outcome_put(&wire, &sent);
		check_int(launch_outcome_get(&wire, &got), 0);
		check_int(got.code, -EPERM);
		check_str(got.text, "no 'x'");
		check_str(got.hint, "ask");
	}
	test_case ("text that is longer than an error holds is cut") {
		static char text[5000];
		struct err got;
		autowire struct wire wire = WIRE_INIT;
		memset(text, 'x', sizeof(text) - 1);
		put_outcome(&wire, EPERM, text, text);
		check_int(launch_outcome_get(&wire, &got), 0);
		check_int(strlen(got.text), ERR_TEXT_MAX - 1);
		check_int(strlen(got.hint), ERR_HINT_MAX - 1);
	}
	static const struct {
		const char *what;
		uint64_t code;
		const char *text, *hint;
	} bad[] = {
		{ "without a text", EPERM, NULL, "" },
		{ "without a hint", EPERM, "x", NULL },
		{ "with a code that is no errno", 4096, "x", "" },
		{ "with a code that would turn positive", (uint64_t)-1, "x", "" },
		{ "with a code that would be cut to success", 1ULL << 32, "x", "" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		test_case ("an outcome %s is refused", bad[i].what) {
			struct err got;
			autowire struct wire wire = WIRE_INIT;
			put_outcome(&wire, bad[i].code, bad[i].text, bad[i].hint);
			check_int(launch_outcome_get(&wire, &got), -EBADMSG);
			check_int(got.code, 0);
		}
	test_case ("an outcome that is cut at any byte is refused") {
		struct err sent = ERR_INIT, got;
		autowire struct wire wire = WIRE_INIT;
		err_set(&sent, EPERM, "text");
		err_hint(&sent, "hint");
		launch_outcome_put(&wire, &sent);
		for (size_t cut = 0; cut < wire.used; cut++) {
			struct wire part = { .data = malloc(cut + (cut == 0)), .used = cut };
			memcpy(part.data, wire.data, cut);
			check_int(launch_outcome_get(&part, &got), -EBADMSG);
			wire_free(&part);
		}
	}
}

int main(void)
{
	test_request();
	test_entry();
	test_outcome();
	return test_end();
}

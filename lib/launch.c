/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of a launch: see launch.h. Put and get list the same fields in the same order.
 */
#include "lib/launch.h"

#include "lib/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GIDS_MAX = 65536 };

void launch_request_put(struct wire *wire, const struct launch_request *request)
{
	wire_put_u64(wire, request->uid);
	wire_put_u64(wire, request->gid);
	wire_put_u64(wire, request->gid_count);
	for (uint32_t i = 0; i < request->gid_count; i++)
		wire_put_u64(wire, request->gids[i]);
	wire_put_u64(wire, request->job_id);
	wire_put_u64(wire, request->step_id);
	wire_put_string(wire, request->node);
	wire_put_string(wire, request->spool_dir);
	wire_put_string(wire, request->tmp_fs);
	wire_put_string(wire, request->batch_script);
	wire_put_strlist(wire, &request->prologs);
	wire_put_strlist(wire, &request->conf_args);
	wire_put_string(wire, request->image);
	wire_put_string(wire, request->cwd);
	wire_put_string(wire, request->mounts);
	wire_put_string(wire, request->workdir);
	wire_put_string(wire, request->home_dir);
	wire_put_string(wire, request->user_name);
	wire_put_u64(wire, request->home);
	wire_put_u64(wire, request->writable);
	wire_put_u64(wire, request->has_tz);
}

static void get_gids(struct wire *wire, struct launch_request *request)
{
	uint64_t count = wire_get_u64(wire);
	if (count > GIDS_MAX || (count > 0 && (request->gids = calloc(count, sizeof(gid_t))) == NULL)) {
		wire->bad = true;
		return;
	}
	request->gid_count = (uint32_t)count;
	for (uint32_t i = 0; i < request->gid_count; i++)
		request->gids[i] = (gid_t)wire_get_u64(wire);
}

int launch_request_get(struct wire *wire, struct launch_request *ret_request)
{
	struct launch_request *request = ret_request;
	*request = (struct launch_request){ 0 };
	request->uid = (uid_t)wire_get_u64(wire);
	request->gid = (gid_t)wire_get_u64(wire);
	get_gids(wire, request);
	request->job_id = (uint32_t)wire_get_u64(wire);
	request->step_id = (uint32_t)wire_get_u64(wire);
	request->node = wire_get_string(wire);
	request->spool_dir = wire_get_string(wire);
	request->tmp_fs = wire_get_string(wire);
	request->batch_script = wire_get_string(wire);
	wire_get_strlist(wire, &request->prologs);
	wire_get_strlist(wire, &request->conf_args);
	request->image = wire_get_string(wire);
	request->cwd = wire_get_string(wire);
	request->mounts = wire_get_string(wire);
	request->workdir = wire_get_string(wire);
	request->home_dir = wire_get_string(wire);
	request->user_name = wire_get_string(wire);
	request->home = (enum home_choice)wire_get_u64(wire);
	request->writable = wire_get_u64(wire) != 0;
	request->has_tz = wire_get_u64(wire) != 0;
	bool complete = request->node != NULL && request->image != NULL && request->cwd != NULL;
	return wire_done(wire) && complete ? 0 : -EBADMSG;
}

void launch_request_free(struct launch_request *request)
{
	free(request->gids);
	free(request->node);
	free(request->spool_dir);
	free(request->tmp_fs);
	free(request->batch_script);
	strlist_free(&request->prologs);
	strlist_free(&request->conf_args);
	free(request->image);
	free(request->cwd);
	free(request->mounts);
	free(request->workdir);
	free(request->home_dir);
	free(request->user_name);
	*request = (struct launch_request){ 0 };
}

void launch_entry_put(struct wire *wire, const struct launch_entry *entry)
{
	wire_put_u64(wire, entry->root_dev);
	wire_put_u64(wire, entry->root_ino);
	wire_put_string(wire, entry->image);
	wire_put_string(wire, entry->workdir);
	wire_put_strlist(wire, &entry->env);
	wire_put_strlist(wire, &entry->notes);
}

int launch_entry_get(struct wire *wire, struct launch_entry *ret_entry)
{
	*ret_entry = (struct launch_entry){ 0 };
	ret_entry->root_dev = wire_get_u64(wire);
	ret_entry->root_ino = wire_get_u64(wire);
	ret_entry->image = wire_get_string(wire);
	ret_entry->workdir = wire_get_string(wire);
	wire_get_strlist(wire, &ret_entry->env);
	wire_get_strlist(wire, &ret_entry->notes);
	return wire_ok(wire) && ret_entry->image != NULL ? 0 : -EBADMSG;
}

void launch_entry_free(struct launch_entry *entry)
{
	free(entry->image);
	free(entry->workdir);
	strlist_free(&entry->env);
	strlist_free(&entry->notes);
	*entry = (struct launch_entry){ 0 };
}

void launch_outcome_put(struct wire *wire, const struct err *err)
{
	wire_put_u64(wire, (uint64_t)-err->code);
	wire_put_string(wire, err->text);
	wire_put_string(wire, err->hint);
}

int launch_outcome_get(struct wire *wire, struct err *ret_err)
{
	*ret_err = (struct err)ERR_INIT;
	uint64_t code = wire_get_u64(wire);
	char *text = wire_get_string(wire), *hint = wire_get_string(wire);
	bool good = wire_done(wire) && text != NULL && hint != NULL && code < 4096;
	if (good) {
		ret_err->code = -(int)code;
		strncpy(ret_err->text, text, sizeof(ret_err->text) - 1);
		strncpy(ret_err->hint, hint, sizeof(ret_err->hint) - 1);
	}
	free(text);
	free(hint);
	return good ? 0 : -EBADMSG;
}

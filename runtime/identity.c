/* SPDX-License-Identifier: Apache-2.0
 *
 * Users and groups in a container: see identity.h.
 */
#include "runtime/identity.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/launch.h"
#include "lib/path.h"
#include "lib/wire.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { DATABASE_BYTES_MAX = 1 << 20, ENTRY_BYTES_MAX = 64 << 10 };

void identity_free(struct identity *identity)
{
	free(identity->name);
	free(identity->home);
	free(identity->shell);
	*identity = (struct identity){ 0 };
}

/* A field of passwd can hold neither a colon nor a line's end. */
static bool is_field(const char *text)
{
	return text != NULL && text[0] != '\0' && strpbrk(text, ":\n") == NULL;
}

int identity_find(const struct launch_request *request, struct identity *ret_identity, struct err *err)
{
	autofree char *buffer = malloc(ENTRY_BYTES_MAX);
	struct passwd entry, *found = NULL;
	if (buffer != NULL)
		getpwuid_r(request->uid, &entry, buffer, ENTRY_BYTES_MAX, &found);
	char number[32];
	snprintf(number, sizeof(number), "user%u", (unsigned)request->uid);
	const char *name = found != NULL ? found->pw_name : request->user_name;
	const char *home = found != NULL ? found->pw_dir : request->home_dir;
	const char *shell = found != NULL ? found->pw_shell : NULL;
	struct identity identity = {
		.name = strdup(is_field(name) ? name : number),
		.home = strdup(is_field(home) ? home : "/"),
		.shell = strdup(is_field(shell) ? shell : "/bin/sh"),
	};
	if (identity.name == NULL || identity.home == NULL || identity.shell == NULL) {
		identity_free(&identity);
		return err_sys(err, ENOMEM, "cannot look up user %u", (unsigned)request->uid);
	}
	*ret_identity = identity;
	return 0;
}

/* The image's file as a stream, NULL if it has none that can be read. */
static FILE *open_database(int root_fd, const char *path)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	struct stat st;
	if (path_resolve(root_fd, path, &place, NULL) < 0 || place.missing[0] != '\0')
		return NULL;
	if (fstat(place.fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > DATABASE_BYTES_MAX)
		return NULL;
	int fd = fd_reopen(place.fd, O_RDONLY);
	return fd < 0 ? NULL : fdopen(fd, "r");
}

static FILE *open_memfd(const char *name, int *ret_fd)
{
	autoclose int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	FILE *file = fd < 0 ? NULL : fdopen(dup(fd), "w");
	if (file != NULL)
		*ret_fd = steal_fd(&fd);
	return file;
}

/* The number in field `index` of a colon-separated line, or -1. */
static long long field_number(const char *line, int index)
{
	for (; index > 0; index--) {
		line = strchr(line, ':');
		if (line == NULL)
			return -1;
		line++;
	}
	char *end;
	long long number = strtoll(line, &end, 10);
	return end == line ? -1 : number;
}

static bool has_name(const char *line, const char *name)
{
	size_t length = strlen(name);
	return strncmp(line, name, length) == 0 && line[length] == ':';
}

static void put_line(FILE *out, const char *line)
{
	size_t length = strlen(line);
	fputs(line, out);
	if (length > 0 && line[length - 1] != '\n')
		fputc('\n', out);
}

static int finish(FILE *out, int *fd, const char *path, struct err *err)
{
	bool failed = fflush(out) != 0;
	fclose(out);
	if (!failed && wire_seal(*fd) == 0)
		return steal_fd(fd);
	return err_sys(err, EIO, "cannot write %s for the container", path);
}

int identity_make_passwd(int root_fd, const struct launch_request *request, const struct identity *identity, struct err *err)
{
	autofclose FILE *image = open_database(root_fd, "/etc/passwd");
	autofree char *line = NULL;
	size_t size = 0;
	autoclose int fd = -1;
	FILE *out = open_memfd("passwd", &fd);
	if (out == NULL)
		return err_sys(err, errno, "cannot make /etc/passwd for the container");
	while (image != NULL && getline(&line, &size, image) > 0)
		if (!has_name(line, identity->name) && field_number(line, 2) != (long long)request->uid)
			put_line(out, line);
	fprintf(out, "%s:x:%u:%u::%s:%s\n", identity->name, (unsigned)request->uid, (unsigned)request->gid, identity->home, identity->shell);
	return finish(out, &fd, "/etc/passwd", err);
}

static void mark_gid(const struct launch_request *request, bool *seen, long long gid)
{
	for (uint32_t i = 0; i < request->gid_count; i++)
		if (request->gids[i] == gid)
			seen[i] = true;
}

static void put_group(FILE *out, gid_t gid)
{
	autofree char *buffer = malloc(ENTRY_BYTES_MAX);
	struct group entry, *found = NULL;
	if (buffer != NULL)
		getgrgid_r(gid, &entry, buffer, ENTRY_BYTES_MAX, &found);
	if (found != NULL && is_field(found->gr_name))
		fprintf(out, "%s:x:%u:\n", found->gr_name, (unsigned)gid);
	else
		fprintf(out, "group%u:x:%u:\n", (unsigned)gid, (unsigned)gid);
}

int identity_make_group(int root_fd, const struct launch_request *request, struct err *err)
{
	autofclose FILE *image = open_database(root_fd, "/etc/group");
	autofree char *line = NULL;
	autofree bool *seen = calloc(request->gid_count + 1, sizeof(bool));
	size_t size = 0;
	autoclose int fd = -1;
	FILE *out = seen == NULL ? NULL : open_memfd("group", &fd);
	if (out == NULL)
		return err_sys(err, errno, "cannot make /etc/group for the container");
	while (image != NULL && getline(&line, &size, image) > 0) {
		put_line(out, line);
		mark_gid(request, seen, field_number(line, 2));
	}
	for (uint32_t i = 0; i < request->gid_count; i++)
		if (!seen[i]) {
			put_group(out, request->gids[i]);
			mark_gid(request, seen, request->gids[i]);
		}
	return finish(out, &fd, "/etc/group", err);
}

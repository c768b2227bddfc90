/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages between processes: see wire.h.
 */
#include "lib/wire.h"

#include "lib/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { PACKET_BYTES_MAX = 64 << 10 };
#define STRING_NULL UINT64_MAX

void wire_put_bytes(struct wire *wire, const void *bytes, size_t count)
{
	if (wire->bad || count > WIRE_BYTES_MAX - wire->used) {
		wire->bad = true;
		return;
	}
	uint8_t *data = realloc(wire->data, wire->used + count + 1);
	if (data == NULL) {
		wire->bad = true;
		return;
	}
	memcpy(data + wire->used, bytes, count);
	wire->data = data;
	wire->used += count;
}

void wire_put_u64(struct wire *wire, uint64_t value)
{
	wire_put_bytes(wire, &value, sizeof(value));
}

void wire_put_string(struct wire *wire, const char *text)
{
	wire_put_u64(wire, text != NULL ? strlen(text) : STRING_NULL);
	if (text != NULL)
		wire_put_bytes(wire, text, strlen(text));
}

void wire_put_strlist(struct wire *wire, const struct strlist *list)
{
	wire_put_u64(wire, list->count);
	for (size_t i = 0; i < list->count; i++)
		wire_put_string(wire, list->items[i]);
}

void wire_get_bytes(struct wire *wire, void *bytes, size_t count)
{
	if (wire->bad || count > wire->used - wire->next) {
		wire->bad = true;
		memset(bytes, 0, count);
		return;
	}
	memcpy(bytes, wire->data + wire->next, count);
	wire->next += count;
}

uint64_t wire_get_u64(struct wire *wire)
{
	uint64_t value;
	wire_get_bytes(wire, &value, sizeof(value));
	return value;
}

char *wire_get_string(struct wire *wire)
{
	uint64_t count = wire_get_u64(wire);
	if (wire->bad || count == STRING_NULL)
		return NULL;
	/* A NUL inside would let the two sides see different strings. */
	if (count > wire->used - wire->next || memchr(wire->data + wire->next, '\0', count) != NULL) {
		wire->bad = true;
		return NULL;
	}
	char *text = strndup((const char *)wire->data + wire->next, count);
	wire->bad = text == NULL;
	wire->next += count;
	return text;
}

void wire_get_strlist(struct wire *wire, struct strlist *ret_list)
{
	*ret_list = (struct strlist){ 0 };
	uint64_t count = wire_get_u64(wire);
	for (uint64_t i = 0; i < count && !wire->bad; i++) {
		autofree char *text = wire_get_string(wire);
		if (text == NULL || strlist_add(ret_list, text) < 0)
			wire->bad = true;
	}
}

bool wire_ok(const struct wire *wire)
{
	return !wire->bad;
}

bool wire_done(const struct wire *wire)
{
	return !wire->bad && wire->next == wire->used;
}

enum { ALL_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

bool wire_is_sealed(int fd)
{
	return fcntl(fd, F_GET_SEALS) == ALL_SEALS;
}

int wire_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, ALL_SEALS) < 0 ? -errno : 0;
}

int wire_to_memfd(const struct wire *wire)
{
	if (wire->bad)
		return -EMSGSIZE;
	autoclose int fd = memfd_create("simg", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < wire->used;) {
		ssize_t n = pwrite(fd, wire->data + done, wire->used - done, (off_t)done);
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	int r = wire_seal(fd);
	return r < 0 ? r : steal_fd(&fd);
}

int wire_from_fd(int fd, struct wire *ret_wire)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!wire_is_sealed(fd) || st.st_size < 0 || st.st_size > WIRE_BYTES_MAX)
		return -EBADMSG;
	autowire struct wire wire = WIRE_INIT;
	wire.data = malloc((size_t)st.st_size + 1);
	if (wire.data == NULL)
		return -ENOMEM;
	while (wire.used < (size_t)st.st_size) {
		ssize_t n = pread(fd, wire.data + wire.used, (size_t)st.st_size - wire.used, (off_t)wire.used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		wire.used += (size_t)n;
	}
	*ret_wire = wire;
	wire = (struct wire)WIRE_INIT;
	return 0;
}

int wire_send(int socket, const struct wire *wire, const int *fds, int fd_count)
{
	if (wire->bad || wire->used == 0 || wire->used > PACKET_BYTES_MAX || fd_count > WIRE_FDS_MAX)
		return -EMSGSIZE;
	struct iovec part = { .iov_base = wire->data, .iov_len = wire->used };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
	} control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	if (fd_count > 0) {
		size_t bytes = sizeof(int) * (size_t)fd_count;
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(&control.header), fds, bytes);
	}
	ssize_t n;
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Moves the descriptors of a message out of its control part; -1 for the rest. */
static void take_fds(struct msghdr *message, int *ret_fds)
{
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		ret_fds[i] = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t bytes = c->cmsg_len - CMSG_LEN(0);
		if (bytes > sizeof(int) * WIRE_FDS_MAX)
			bytes = sizeof(int) * WIRE_FDS_MAX;
		memcpy(ret_fds, CMSG_DATA(c), bytes);
	}
}

int wire_receive(int socket, int flags, struct wire *ret_wire, int *ret_fds)
{
	autowire struct wire wire = WIRE_INIT;
	wire.data = malloc(PACKET_BYTES_MAX);
	if (wire.data == NULL)
		return -ENOMEM;
	struct iovec part = { .iov_base = wire.data, .iov_len = PACKET_BYTES_MAX };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
	} control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n;
	do
		n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	take_fds(&message, ret_fds);
	if (n == 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		for (int i = 0; i < WIRE_FDS_MAX; i++)
			cleanup_close(&ret_fds[i]);
		return n == 0 ? -ECONNRESET : -EBADMSG;
	}
	wire.used = (size_t)n;
	*ret_wire = wire;
	wire = (struct wire)WIRE_INIT;
	return 0;
}

void wire_free(struct wire *wire)
{
	free(wire->data);
	*wire = (struct wire)WIRE_INIT;
}

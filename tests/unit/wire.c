/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire.h"

#include "lib/cleanup.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void put_sample(struct wire *wire)
{
	autostrlist struct strlist list = { 0 };
	strlist_add(&list, "one");
	strlist_add(&list, "");
	wire_put_u64(wire, 0x1122334455667788);
	wire_put_string(wire, "text");
	wire_put_string(wire, NULL);
	wire_put_string(wire, "");
	wire_put_strlist(wire, &list);
	wire_put_bytes(wire, "\0\1\2", 3);
}

/* Reads it; whatever the message is, this must neither crash nor return what was not sent. */
static bool get_sample(struct wire *wire)
{
	char bytes[3];
	autostrlist struct strlist list = { 0 };
	uint64_t number = wire_get_u64(wire);
	autofree char *text = wire_get_string(wire);
	autofree char *null = wire_get_string(wire);
	autofree char *empty = wire_get_string(wire);
	wire_get_strlist(wire, &list);
	wire_get_bytes(wire, bytes, 3);
	if (!wire_done(wire))
		return false;
	return number == 0x1122334455667788 && strcmp(text, "text") == 0 && null == NULL && strcmp(empty, "") == 0 && list.count == 2 &&
	       strcmp(list.items[0], "one") == 0 && strcmp(list.items[1], "") == 0 && memcmp(bytes, "\0\1\2", 3) == 0;
}

static void test_messages(void)
{
	test_case ("what is put comes out") {
		autowire struct wire wire = WIRE_INIT;
		put_sample(&wire);
		check(wire_ok(&wire));
		check(get_sample(&wire));
	}
	test_case ("a message that is cut at any byte is bad and nothing worse") {
		autowire struct wire wire = WIRE_INIT;
		put_sample(&wire);
		for (size_t cut = 0; cut < wire.used; cut++) {
			/* An exact copy, so that a sanitizer sees a read behind the end. */
			struct wire part = { .data = malloc(cut + (cut == 0)), .used = cut };
			memcpy(part.data, wire.data, cut);
			check(!get_sample(&part));
			check(!wire_ok(&part));
			wire_free(&part);
		}
	}
	test_case ("a message with any byte changed is read or bad, and nothing worse") {
		autowire struct wire wire = WIRE_INIT;
		put_sample(&wire);
		for (size_t i = 0; i < wire.used; i++)
			for (int bit = 0; bit < 8; bit++) {
				wire.data[i] ^= (uint8_t)(1 << bit);
				wire.next = 0;
				wire.bad = false;
				check(!get_sample(&wire));
				wire.data[i] ^= (uint8_t)(1 << bit);
			}
	}
	test_case ("a message with more than was read is not done") {
		autowire struct wire wire = WIRE_INIT;
		put_sample(&wire);
		wire_put_u64(&wire, 0);
		check(!get_sample(&wire));
		check(wire_ok(&wire));
	}
	test_case ("a string with a NUL inside is bad") {
		autowire struct wire wire = WIRE_INIT;
		wire_put_u64(&wire, 3);
		wire_put_bytes(&wire, "a\0b", 3);
		check(wire_get_string(&wire) == NULL);
		check(!wire_ok(&wire));
	}
	static const uint64_t lengths[] = { 4, UINT64_MAX - 1, INT64_MAX, (uint64_t)UINT32_MAX + 1 };
	for (size_t i = 0; i < COUNT(lengths); i++)
		test_case ("a string that says %llu bytes of 3 is bad", (unsigned long long)lengths[i]) {
			autowire struct wire wire = WIRE_INIT;
			wire_put_u64(&wire, lengths[i]);
			wire_put_bytes(&wire, "abc", 3);
			check(wire_get_string(&wire) == NULL);
			check(!wire_ok(&wire));
		}
	test_case ("a list that says more than it has is bad") {
		autowire struct wire wire = WIRE_INIT;
		autostrlist struct strlist list = { 0 };
		wire_put_u64(&wire, UINT64_MAX);
		wire_put_string(&wire, "a");
		wire_get_strlist(&wire, &list);
		check(!wire_ok(&wire));
	}
	test_case ("a list cannot hold NULL") {
		autowire struct wire wire = WIRE_INIT;
		autostrlist struct strlist list = { 0 };
		wire_put_u64(&wire, 1);
		wire_put_string(&wire, NULL);
		wire_get_strlist(&wire, &list);
		check(!wire_ok(&wire));
	}
	test_case ("after an error every get is empty and every put does nothing") {
		autowire struct wire wire = WIRE_INIT;
		autostrlist struct strlist list = { 0 };
		char bytes[2] = "x";
		check_int(wire_get_u64(&wire), 0);
		check(!wire_ok(&wire));
		wire_put_u64(&wire, 1);
		wire_put_string(&wire, "a");
		check_int(wire.used, 0);
		check(wire_get_string(&wire) == NULL);
		wire_get_strlist(&wire, &list);
		check_int(list.count, 0);
		wire_get_bytes(&wire, bytes, 1);
		check_int(bytes[0], 0);
		check(!wire_done(&wire));
	}
	test_case ("a message can grow to 4 MiB and not further") {
		autowire struct wire wire = WIRE_INIT;
		autofree char *block = calloc(1, WIRE_BYTES_MAX);
		wire_put_bytes(&wire, block, WIRE_BYTES_MAX);
		check(wire_ok(&wire));
		wire_put_bytes(&wire, block, 1);
		check(!wire_ok(&wire));
		check_int(wire_to_memfd(&wire), -EMSGSIZE);
	}
}

static void test_files(void)
{
	test_case ("a message goes through a memfd that nobody can change") {
		autowire struct wire wire = WIRE_INIT, read = WIRE_INIT;
		put_sample(&wire);
		autoclose int fd = wire_to_memfd(&wire);
		check(fd >= 0);
		check_int(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		check_int(pwrite(fd, "x", 1, 0), -1);
		check_int(ftruncate(fd, 1), -1);
		check_int(wire_from_fd(fd, &read), 0);
		check(get_sample(&read));
	}
	test_case ("reading does not move the descriptor's position") {
		autowire struct wire wire = WIRE_INIT;
		put_sample(&wire);
		autoclose int fd = wire_to_memfd(&wire);
		for (int i = 0; i < 3; i++) {
			autowire struct wire read = WIRE_INIT;
			check_int(wire_from_fd(fd, &read), 0);
			check(get_sample(&read));
		}
	}
	test_case ("an empty message goes through a memfd") {
		autowire struct wire wire = WIRE_INIT, read = WIRE_INIT;
		autoclose int fd = wire_to_memfd(&wire);
		check_int(wire_from_fd(fd, &read), 0);
		check(wire_done(&read));
	}
	test_case ("a file of more than 4 MiB is refused") {
		autoclose int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		autowire struct wire read = WIRE_INIT;
		check_int(ftruncate(fd, WIRE_BYTES_MAX + 1), 0);
		check_int(wire_seal(fd), 0);
		check_int(wire_from_fd(fd, &read), -EBADMSG);
	}
	test_case ("a file that could change while it is read, or be slow, is refused") {
		autowire struct wire wire = WIRE_INIT, read = WIRE_INIT;
		put_sample(&wire);
		autoclose int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		check_int(pwrite(fd, wire.data, wire.used, 0), (long long)wire.used);
		check_int(wire_from_fd(fd, &read), -EBADMSG);
		check_int(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
		check_int(wire_from_fd(fd, &read), -EBADMSG);
		check_int(wire_seal(fd), 0);
		check_int(wire_from_fd(fd, &read), 0);
		check(get_sample(&read));
		autoclose int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
		check_int(wire_from_fd(file, &read), -EBADMSG);
	}
	test_case ("what cannot be read is refused") {
		autowire struct wire read = WIRE_INIT;
		check_int(wire_from_fd(-1, &read), -EBADF);
		autoclose int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		check_int(wire_from_fd(dir, &read), -EBADMSG);
	}
}

static void make_sockets(int sockets[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		err(99, "socketpair");
}

static void close_all(int *fds)
{
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		cleanup_close(&fds[i]);
}

static ino_t inode(int fd)
{
	struct stat st = { 0 };
	fstat(fd, &st);
	return st.st_ino;
}

static void test_packets(void)
{
	int sockets[2], fds[WIRE_FDS_MAX], sent[WIRE_FDS_MAX + 1];
	for (int i = 0; i <= WIRE_FDS_MAX; i++)
		sent[i] = memfd_create("test", MFD_CLOEXEC);

	for (int count = 0; count <= WIRE_FDS_MAX; count++)
		test_case ("a packet carries %d descriptors, close-on-exec, in their order", count) {
			autowire struct wire wire = WIRE_INIT, read = WIRE_INIT;
			make_sockets(sockets);
			put_sample(&wire);
			int before = scratch_fd_count();
			check_int(wire_send(sockets[0], &wire, sent, count), 0);
			check_int(wire_receive(sockets[1], 0, &read, fds), 0);
			check(get_sample(&read));
			for (int i = 0; i < count; i++) {
				check_int(inode(fds[i]), inode(sent[i]));
				check_int(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
			}
			for (int i = count; i < WIRE_FDS_MAX; i++)
				check_int(fds[i], -1);
			check_int(scratch_fd_count(), before + count);
			close_all(fds);
			close(sockets[0]);
			close(sockets[1]);
		}
	test_case ("more descriptors than a packet carries are refused") {
		autowire struct wire wire = WIRE_INIT;
		make_sockets(sockets);
		wire_put_u64(&wire, 1);
		check_int(wire_send(sockets[0], &wire, sent, WIRE_FDS_MAX + 1), -EMSGSIZE);
		close(sockets[0]);
		close(sockets[1]);
	}
	test_case ("a packet with more descriptors than we take is bad, and none stays open") {
		autowire struct wire read = WIRE_INIT;
		make_sockets(sockets);
		union {
			struct cmsghdr header;
			char space[CMSG_SPACE(sizeof(sent))];
		} control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(sent)) } };
		struct iovec part = { .iov_base = (char *)"x", .iov_len = 1 };
		struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
		memcpy(CMSG_DATA(&control.header), sent, sizeof(sent));
		check_int(sendmsg(sockets[0], &message, 0), 1);
		int before = scratch_fd_count();
		check_int(wire_receive(sockets[1], 0, &read, fds), -EBADMSG);
		check_int(scratch_fd_count(), before);
		close(sockets[0]);
		close(sockets[1]);
	}
	test_case ("a peek leaves the packet, and hands out new descriptors each time") {
		autowire struct wire wire = WIRE_INIT;
		make_sockets(sockets);
		put_sample(&wire);
		wire_send(sockets[0], &wire, sent, 2);
		int before = scratch_fd_count();
		for (int i = 0; i < 5; i++) {
			autowire struct wire read = WIRE_INIT;
			check_int(wire_receive(sockets[1], MSG_PEEK, &read, fds), 0);
			check(get_sample(&read));
			check_int(inode(fds[0]), inode(sent[0]));
			check_int(inode(fds[1]), inode(sent[1]));
			close_all(fds);
		}
		check_int(scratch_fd_count(), before);
		autowire struct wire read = WIRE_INIT;
		check_int(wire_receive(sockets[1], 0, &read, fds), 0);
		close_all(fds);
		check_int(wire_receive(sockets[1], MSG_DONTWAIT, &read, fds), -EAGAIN);
		close(sockets[0]);
		close(sockets[1]);
	}
	test_case ("a message too large for a packet, or empty, or bad, is not sent") {
		autowire struct wire large = WIRE_INIT, empty = WIRE_INIT;
		autofree char *block = calloc(1, (64 << 10) + 1);
		struct wire bad = { .bad = true };
		make_sockets(sockets);
		wire_put_bytes(&large, block, 64 << 10);
		check_int(wire_send(sockets[0], &large, NULL, 0), 0);
		wire_put_bytes(&large, block, 1);
		check_int(wire_send(sockets[0], &large, NULL, 0), -EMSGSIZE);
		check_int(wire_send(sockets[0], &empty, NULL, 0), -EMSGSIZE);
		check_int(wire_send(sockets[0], &bad, NULL, 0), -EMSGSIZE);
		close(sockets[0]);
		close(sockets[1]);
	}
	test_case ("a packet larger than ours is bad") {
		autowire struct wire read = WIRE_INIT;
		autofree char *block = calloc(1, (64 << 10) + 1);
		make_sockets(sockets);
		check_int(send(sockets[0], block, (64 << 10) + 1, 0), (64 << 10) + 1);
		check_int(wire_receive(sockets[1], 0, &read, fds), -EBADMSG);
		close(sockets[0]);
		close(sockets[1]);
	}
	test_case ("the end of the stream is told, to the reader and to the writer") {
		autowire struct wire wire = WIRE_INIT, read = WIRE_INIT;
		make_sockets(sockets);
		wire_put_u64(&wire, 1);
		close(sockets[0]);
		check_int(wire_receive(sockets[1], 0, &read, fds), -ECONNRESET);
		check_int(wire_send(sockets[1], &wire, NULL, 0), -EPIPE); /* and no SIGPIPE */
		close(sockets[1]);
	}
	for (int i = 0; i <= WIRE_FDS_MAX; i++)
		close(sent[i]);
}

int main(void)
{
	test_messages();
	test_files();
	test_packets();
	return test_end();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages between our own processes: a buffer that numbers, strings and lists are put into and got out of in the same order.
 * Both sides run on one machine and come from one build, so numbers travel as they lie in memory; but a sender may be
 * compromised (the planner is the user's process), so every get is checked and a bad message only ever yields "bad".
 *
 * Errors stick: after the first one every put does nothing, every get returns an empty value, and wire_ok() is false. So a message
 * is written or read as a straight list of calls and judged once at the end.
 */
#ifndef SIMG_LIB_WIRE_H
#define SIMG_LIB_WIRE_H

#include "lib/strlist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_BYTES_MAX = 4 << 20, WIRE_FDS_MAX = 4 };

struct wire {
	uint8_t *data;
	size_t used;  /* bytes of data that are the message */
	size_t next;  /* where the next get reads */
	bool bad;
};
#define WIRE_INIT { .data = NULL }

void wire_put_u64(struct wire *wire, uint64_t value);
void wire_put_string(struct wire *wire, const char *text);  /* NULL travels as NULL */
void wire_put_strlist(struct wire *wire, const struct strlist *list);
void wire_put_bytes(struct wire *wire, const void *bytes, size_t count);

uint64_t wire_get_u64(struct wire *wire);
char *wire_get_string(struct wire *wire);                    /* the caller frees it; NULL if bad or sent as NULL */
void wire_get_strlist(struct wire *wire, struct strlist *ret_list);
void wire_get_bytes(struct wire *wire, void *bytes, size_t count);

/* No error so far. */
bool wire_ok(const struct wire *wire);

/* No error, and everything was read. */
bool wire_done(const struct wire *wire);

/* Writes the message into a new sealed memfd and returns it, or a negative errno. */
int wire_to_memfd(const struct wire *wire);

/* Reads a whole message from a memfd. -EBADMSG if it is too long, or not sealed against changes by whoever sent it. Uses pread: the descriptor may be shared with other processes. */
int wire_from_fd(int fd, struct wire *ret_wire);

/* True if fd is a memfd that nobody can change or shorten any more: reading it can neither block nor give two answers. */
bool wire_is_sealed(int fd);

/* Seals a memfd that was made with MFD_ALLOW_SEALING. 0 or a negative errno. */
int wire_seal(int fd);

/* Sends the message as one packet over a SOCK_SEQPACKET socket, with up to WIRE_FDS_MAX descriptors, which stay the caller's.
 * Messages that must pass this way are small (below 64 KiB). Negative errno on failure. */
int wire_send(int socket, const struct wire *wire, const int *fds, int fd_count);

/* Receives one packet and its descriptors (close-on-exec). flags: 0 or MSG_PEEK. ret_fds has room for WIRE_FDS_MAX and the unused places
 * are set to -1. -ECONNRESET at the end of the stream. */
int wire_receive(int socket, int flags, struct wire *ret_wire, int *ret_fds);

void wire_free(struct wire *wire);
#define autowire __attribute__((cleanup(wire_free)))

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * gzip by one of two libraries: see gunzip.h.
 */
#include "config.h"

#include "builder/gunzip.h"

#include <limits.h>
#include <stdlib.h>

/* Both libraries count in 32 bits. */
static uint32_t count32(size_t bytes)
{
	return bytes < UINT_MAX ? (uint32_t)bytes : UINT_MAX;
}

#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>

struct gunzip {
	struct inflate_state state;
};

struct gunzip *gunzip_new(void)
{
	struct gunzip *gunzip = malloc(sizeof(*gunzip));
	if (gunzip != NULL)
		gunzip_reset(gunzip);
	return gunzip;
}

void gunzip_free(struct gunzip *gunzip)
{
	free(gunzip);
}

void gunzip_reset(struct gunzip *gunzip)
{
	isal_inflate_init(&gunzip->state);
	gunzip->state.crc_flag = ISAL_GZIP;
}

static const char *why(int result)
{
	switch (result) {
	case ISAL_INCORRECT_CHECKSUM:
		return "incorrect checksum";
	case ISAL_INVALID_WRAPPER:
	case ISAL_UNSUPPORTED_METHOD:
		return "not gzip data";
	default:
		return "invalid compressed data";
	}
}

int gunzip_step(struct gunzip *gunzip, const uint8_t **input, size_t *input_bytes, uint8_t **room, size_t *room_bytes,
		const char **ret_why)
{
	struct inflate_state *state = &gunzip->state;
	uint32_t in = count32(*input_bytes), out = count32(*room_bytes);
	state->next_in = (uint8_t *)*input; /* only read */
	state->avail_in = in;
	state->next_out = *room;
	state->avail_out = out;
	int result = isal_inflate(state);
	*input += in - state->avail_in;
	*input_bytes -= in - state->avail_in;
	*room += out - state->avail_out;
	*room_bytes -= out - state->avail_out;
	if (result < 0 || result == ISAL_NEED_DICT) {
		*ret_why = why(result);
		return -1;
	}
	return state->block_state == ISAL_BLOCK_FINISH;
}

#else
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 }; /* the largest window, and a gzip header and trailer */

struct gunzip {
	z_stream state;
};

struct gunzip *gunzip_new(void)
{
	struct gunzip *gunzip = calloc(1, sizeof(*gunzip));
	if (gunzip != NULL && inflateInit2(&gunzip->state, GZIP_WINDOW) != Z_OK) {
		free(gunzip);
		return NULL;
	}
	return gunzip;
}

void gunzip_free(struct gunzip *gunzip)
{
	if (gunzip != NULL)
		inflateEnd(&gunzip->state);
	free(gunzip);
}

void gunzip_reset(struct gunzip *gunzip)
{
	inflateReset(&gunzip->state);
}

int gunzip_step(struct gunzip *gunzip, const uint8_t **input, size_t *input_bytes, uint8_t **room, size_t *room_bytes,
		const char **ret_why)
{
	z_stream *state = &gunzip->state;
	uint32_t in = count32(*input_bytes), out = count32(*room_bytes);
	state->next_in = (uint8_t *)*input; /* only read */
	state->avail_in = in;
	state->next_out = *room;
	state->avail_out = out;
	int result = inflate(state, Z_NO_FLUSH);
	*input += in - state->avail_in;
	*input_bytes -= in - state->avail_in;
	*room += out - state->avail_out;
	*room_bytes -= out - state->avail_out;
	if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
		*ret_why = state->msg != NULL ? state->msg : "not gzip data";
		return -1;
	}
	return result == Z_STREAM_END;
}
#endif

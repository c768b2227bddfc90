/* SPDX-License-Identifier: Apache-2.0
 *
 * Downloads: see download.h. A server that ignores Range sends the blob from its start; what is there already is then passed
 * over and not written again, since a reader may have seen it: the digest is always that of the bytes in the file.
 */
#include "builder/registry/download.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 256 * 1024 };

static int hash_file(struct download *download, uint64_t bytes, struct err *err)
{
	autofree char *data = malloc(COPY_BYTES);
	if (data == NULL)
		return err_sys(err, ENOMEM, "cannot continue a download");
	while (download->position < bytes) {
		ssize_t n = pread(download->fd, data, COPY_BYTES, (off_t)download->position);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(err, n < 0 ? errno : EIO, "cannot read the beginning of the blob '%s'",
				       download->descriptor->digest.text);
		hash_add(download->hash, data, (size_t)n);
		download->position += (uint64_t)n;
	}
	return 0;
}

int download_begin(struct download *download, struct err *err)
{
	struct stat st;
	if (fstat(download->fd, &st) < 0)
		return err_sys(err, errno, "cannot look at the file of the blob '%s'", download->descriptor->digest.text);
	/* Not a beginning of this blob. */
	if ((uint64_t)st.st_size > download->descriptor->bytes) {
		if (ftruncate(download->fd, 0) < 0)
			return err_sys(err, errno, "cannot empty the file of the blob '%s'", download->descriptor->digest.text);
		st.st_size = 0;
	}
	download->position = 0;
	download->hash = hash_new(&download->descriptor->digest);
	if (download->hash == NULL)
		return err_sys(err, ENOMEM, "cannot fetch the blob '%s'", download->descriptor->digest.text);
	int r = hash_file(download, (uint64_t)st.st_size, err);
	if (r == 0 && download->position > 0 && !download->arrived(download->context, download->position))
		return err_set(err, ECANCELED, "stopped");
	return r;
}

void download_end(struct download *download)
{
	hash_free(download->hash);
	download->hash = NULL;
}

/* The server's callbacks get both. */
struct transfer {
	struct download *download;
	struct server_request *request;
	const char *origin; /* of the answer */
	bool wrong_range;   /* it cannot continue a blob where we left off */
};

static int begin_part(struct transfer *transfer, const struct http_response *response, struct err *err)
{
	struct download *download = transfer->download;
	uint64_t first, last, total, bytes = download->descriptor->bytes;
	bool good = response->content_range != NULL && field_content_range(response->content_range, &first, &last, &total) &&
		    !transfer->request->whole && first == download->position && last < bytes &&
		    (total == UINT64_MAX || total == bytes);
	if (good)
		return 0;
	transfer->wrong_range = true;
	return err_set(err, EPROTO, "'%s' sends other bytes of the blob '%s' than it was asked for", origin_host(response->origin),
		       download->descriptor->digest.text);
}

static int on_begin(void *context, const struct http_response *response, struct err *err)
{
	struct transfer *transfer = context;
	struct download *download = transfer->download;
	download->skip = 0;
	transfer->origin = response->origin;
	if (response->status == 206)
		return begin_part(transfer, response, err);
	if (response->content_length >= 0 && (uint64_t)response->content_length != download->descriptor->bytes)
		return err_set(err, EBADMSG, "'%s' has %" PRId64 " bytes of the blob '%s', the manifest says %" PRIu64,
			       origin_host(response->origin), response->content_length, download->descriptor->digest.text,
			       download->descriptor->bytes);
	download->skip = download->position;
	return 0;
}

static int write_all(struct download *download, const char *data, size_t bytes, struct err *err)
{
	for (uint64_t at = download->position; bytes > 0;) {
		ssize_t n = pwrite(download->fd, data, bytes, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot store the blob '%s'", download->descriptor->digest.text);
		data += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int on_data(void *context, const void *data, size_t bytes, struct err *err)
{
	struct transfer *transfer = context;
	struct download *download = transfer->download;
	size_t passed = download->skip < bytes ? (size_t)download->skip : bytes;
	download->skip -= passed;
	data = (const char *)data + passed;
	bytes -= passed;
	if (bytes == 0)
		return 0;
	if (bytes > download->descriptor->bytes - download->position)
		return err_set(err, EBADMSG, "the blob '%s' from '%s' is longer than the %" PRIu64 " bytes that the manifest says",
			       download->descriptor->digest.text, origin_host(transfer->origin), download->descriptor->bytes);
	int r = write_all(download, data, bytes, err);
	if (r < 0)
		return r;
	hash_add(download->hash, data, bytes);
	download->position += bytes;
	transfer->request->position = download->position;
	return download->arrived(download->context, download->position) ? 0 : err_set(err, ECANCELED, "stopped");
}

static bool go_on(void *context)
{
	const struct transfer *transfer = context;
	const struct download *download = transfer->download;
	return download->arrived(download->context, download->position);
}

/* One answer, or several where the server sends parts. Returns 1 if the server has to send it from the start. */
static int fetch_rest(struct transfer *transfer, struct server *server, struct http_response *ret_response, struct err *err)
{
	const struct download *download = transfer->download;
	while (download->position < download->descriptor->bytes) {
		uint64_t before = download->position;
		http_response_free(ret_response);
		int r = server_send(server, transfer->request, ret_response, err);
		bool cannot_continue = transfer->wrong_range || (r < 0 && ret_response->status == 416);
		if (cannot_continue && !transfer->request->whole)
			return 1;
		if (r < 0)
			return r;
		if (download->position == before)
			return err_set(err, EBADMSG, "the blob '%s' from '%s' ends after %" PRIu64 " of %" PRIu64 " bytes",
				       download->descriptor->digest.text, origin_host(ret_response->origin), before,
				       download->descriptor->bytes);
	}
	return 0;
}

int download_from(struct download *download, struct server *server, struct server_request *request,
		  struct http_response *ret_response, struct err *err)
{
	struct transfer transfer = { .download = download, .request = request };
	const struct http_sink sink = { .begin = on_begin, .data = on_data, .context = &transfer };
	*ret_response = (struct http_response){ .failure = HTTP_FORBIDDEN };
	request->method = HTTP_GET;
	request->sink = &sink;
	request->position = download->position;
	request->whole = false;
	request->go_on = go_on;
	request->go_on_context = &transfer;
	int r = fetch_rest(&transfer, server, ret_response, err);
	if (r != 1)
		return r;
	transfer.wrong_range = false;
	request->whole = true;
	return fetch_rest(&transfer, server, ret_response, err);
}

int download_verify(const struct download *download, const char *source, struct err *err)
{
	struct digest digest;
	hash_digest(download->hash, &digest);
	if (digest_equal(&digest, &download->descriptor->digest))
		return 0;
	err_set(err, EBADMSG, "the blob '%s' from '%s' is damaged: its digest is '%s'", download->descriptor->digest.text, source,
		digest.text);
	return err_hint(err, "if that happens again, the image has to be pushed anew");
}

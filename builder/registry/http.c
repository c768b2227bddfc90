/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests by libcurl: see http.h. Redirects are followed here and not by libcurl, so that one place decides who gets a
 * credential, a client certificate, and whether http may follow https.
 */
#include "builder/registry/http.h"

#include "builder/registry/secret.h"
#include "config.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	HANDLES_MAX = 16,              /* that are kept while idle */
	REDIRECTS_MAX = 10,
	STALL_SECONDS = 30,
	STALL_BYTES_PER_SECOND = 100,
	RECEIVE_BYTES = 256 * 1024,
	FIELD_BYTES_MAX = 16 * 1024,
	LIST_MAX = 16,                 /* challenges, warnings */
	ERROR_BODY_BYTES = 16 * 1024,  /* kept of what explains a failure */
	ERROR_BODY_BYTES_MAX = 1 << 20, /* read, so that the connection can be used again */
};

#define PROXY_HINT "look at HTTPS_PROXY and NO_PROXY in the environment"

struct http {
	pthread_mutex_t lock;
	CURL *idle[HANDLES_MAX]; /* each with its open connections */
	int idle_count;
	long stall_seconds;
};

/* One request to one server, for libcurl's callbacks. */
struct exchange {
	CURL *curl;
	const struct http_request *request;
	struct http_response *response;
	struct err *err;
	bool begun;         /* the sink knows */
	bool enough;        /* stopped, since the rest of the body says nothing more */
	int stopped;        /* negative errno of a callback that ended the transfer; err is filled */
	size_t body_room;
	uint64_t body_seen;
	char error_text[CURL_ERROR_SIZE];
};

static const struct {
	const char *name;
	size_t offset;
} fields[] = {
	{ "Content-Type", offsetof(struct http_response, content_type) },
	{ "Content-Range", offsetof(struct http_response, content_range) },
	{ "Docker-Content-Digest", offsetof(struct http_response, content_digest) },
	{ "Retry-After", offsetof(struct http_response, retry_after) },
	{ "RateLimit-Limit", offsetof(struct http_response, rate_limit) },
	{ "RateLimit-Remaining", offsetof(struct http_response, rate_remaining) },
	{ "Docker-RateLimit-Source", offsetof(struct http_response, rate_source) },
};
enum { FIELD_COUNT = sizeof(fields) / sizeof(fields[0]) };

static char **field_slot(struct http_response *response, int field)
{
	return (char **)(void *)((char *)response + fields[field].offset);
}

const char *origin_host(const char *origin)
{
	const char *host = strstr(origin, "://");
	return host != NULL ? host + 3 : origin;
}

int http_proxy_refused(const char *host, int status, struct err *err)
{
	err_set(err, EHOSTUNREACH, "cannot reach '%s': the proxy refuses to lead there (%d)", host, status);
	if (status != 407)
		return err_hint(err, PROXY_HINT);
	return err_hint(err, "it wants a name and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT");
}

static void curl_begin(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static long stall_seconds(void)
{
	const char *text = getenv("SIMG_STALL_SECONDS");
	long seconds = text != NULL ? strtol(text, NULL, 10) : 0;
	return seconds > 0 ? seconds : STALL_SECONDS;
}

struct http *http_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, curl_begin);
	struct http *http = calloc(1, sizeof(*http));
	if (http == NULL)
		return NULL;
	pthread_mutex_init(&http->lock, NULL);
	http->stall_seconds = stall_seconds();
	return http;
}

void http_free(struct http *http)
{
	if (http == NULL)
		return;
	for (int i = 0; i < http->idle_count; i++)
		curl_easy_cleanup(http->idle[i]);
	pthread_mutex_destroy(&http->lock);
	free(http);
}

static CURL *handle_take(struct http *http)
{
	CURL *curl = NULL;
	pthread_mutex_lock(&http->lock);
	if (http->idle_count > 0)
		curl = http->idle[--http->idle_count];
	pthread_mutex_unlock(&http->lock);
	return curl != NULL ? curl : curl_easy_init();
}

static void handle_give(struct http *http, CURL *curl)
{
	curl_easy_reset(curl);
	pthread_mutex_lock(&http->lock);
	if (http->idle_count < HANDLES_MAX) {
		http->idle[http->idle_count++] = curl;
		curl = NULL;
	}
	pthread_mutex_unlock(&http->lock);
	if (curl != NULL)
		curl_easy_cleanup(curl);
}

static void response_clear(struct http_response *response)
{
	for (int i = 0; i < FIELD_COUNT; i++) {
		free(*field_slot(response, i));
		*field_slot(response, i) = NULL;
	}
	strlist_free(&response->challenges);
	strlist_free(&response->warnings);
	if (response->body != NULL)
		explicit_bzero(response->body, response->body_bytes);
	free(response->body);
	response->body = NULL;
	response->body_bytes = 0;
	response->status = 0;
	response->content_length = -1;
}

void http_response_free(struct http_response *response)
{
	response_clear(response);
}

static void list_add(struct strlist *list, const char *value)
{
	if (list->count < LIST_MAX)
		strlist_add(list, value);
}

/* Without memory a field is as good as not there. */
static void field_store(struct http_response *response, const char *name, const char *value)
{
	if (strcasecmp(name, "WWW-Authenticate") == 0)
		list_add(&response->challenges, value);
	else if (strcasecmp(name, "Warning") == 0)
		list_add(&response->warnings, value);
	for (int i = 0; i < FIELD_COUNT; i++)
		if (strcasecmp(name, fields[i].name) == 0 && *field_slot(response, i) == NULL)
			*field_slot(response, i) = strdup(value);
}

/* libcurl: a line of the header, with its end. A new status line begins a new header: what a "100 Continue" said does not count. */
static size_t on_header(char *data, size_t size, size_t count, void *context)
{
	struct exchange *exchange = context;
	size_t bytes = size * count;
	if (bytes >= 5 && memcmp(data, "HTTP/", 5) == 0)
		response_clear(exchange->response);
	if (bytes > FIELD_BYTES_MAX)
		return bytes;
	autofree char *line = strndup(data, bytes);
	char *colon = line != NULL ? strchr(line, ':') : NULL;
	if (colon == NULL)
		return bytes;
	*colon = '\0';
	char *value = colon + 1 + strspn(colon + 1, " \t");
	size_t end = strlen(value);
	while (end > 0 && strchr(" \t\r\n", value[end - 1]) != NULL)
		end--;
	value[end] = '\0';
	field_store(exchange->response, line, value);
	return bytes;
}

static int status_of(const struct exchange *exchange)
{
	long status = 0;
	curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static bool is_success(int status)
{
	return status >= 200 && status < 300;
}

/* Makes room without realloc(), which would leave a copy behind. */
static int body_grow(struct exchange *exchange, size_t bytes)
{
	struct http_response *response = exchange->response;
	if (bytes < exchange->body_room && response->body != NULL)
		return 0;
	size_t room = bytes + bytes / 2 + 1024;
	char *body = malloc(room);
	if (body == NULL)
		return -ENOMEM;
	if (response->body != NULL) {
		memcpy(body, response->body, response->body_bytes);
		explicit_bzero(response->body, response->body_bytes);
		free(response->body);
	}
	response->body = body;
	exchange->body_room = room;
	return 0;
}

static int body_keep(struct exchange *exchange, const void *data, size_t bytes)
{
	struct http_response *response = exchange->response;
	if (body_grow(exchange, response->body_bytes + bytes) < 0)
		return err_sys(exchange->err, ENOMEM, "cannot keep the answer of '%s'", origin_host(response->origin));
	memcpy(response->body + response->body_bytes, data, bytes);
	response->body_bytes += bytes;
	response->body[response->body_bytes] = '\0';
	return 0;
}

/* To memory: all of a success, within its limit; the beginning of what explains a failure. */
static int body_take(struct exchange *exchange, const void *data, size_t bytes)
{
	const struct http_request *request = exchange->request;
	size_t kept = exchange->response->body_bytes;
	if (is_success(status_of(exchange))) {
		if (bytes > request->body_bytes_max - kept)
			return err_set(exchange->err, EMSGSIZE, "'%s' sends more than the %zu bytes that are expected at most",
				       origin_host(exchange->response->origin), request->body_bytes_max);
		return body_keep(exchange, data, bytes);
	}
	exchange->body_seen += bytes;
	exchange->enough = exchange->body_seen > ERROR_BODY_BYTES_MAX;
	if (bytes > ERROR_BODY_BYTES - kept)
		bytes = ERROR_BODY_BYTES - kept;
	return body_keep(exchange, data, bytes);
}

static bool for_sink(const struct exchange *exchange)
{
	int status = status_of(exchange);
	return exchange->request->sink != NULL && (status == 200 || status == 206);
}

static int64_t content_length(CURL *curl)
{
	curl_off_t bytes = -1;
	curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &bytes);
	return bytes;
}

static int sink_begin(struct exchange *exchange)
{
	if (exchange->begun)
		return 0;
	exchange->begun = true;
	exchange->response->status = status_of(exchange);
	exchange->response->content_length = content_length(exchange->curl);
	const struct http_sink *sink = exchange->request->sink;
	return sink->begin(sink->context, exchange->response, exchange->err);
}

/* libcurl: a piece of the body. */
static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct exchange *exchange = context;
	const struct http_sink *sink = exchange->request->sink;
	int r;
	if (!for_sink(exchange))
		r = body_take(exchange, data, size * count);
	else if ((r = sink_begin(exchange)) >= 0)
		r = sink->data(sink->context, data, size * count, exchange->err);
	if (r < 0)
		exchange->stopped = r;
	return r < 0 || exchange->enough ? 0 : size * count;
}

/* libcurl: about once a second. */
static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	const struct exchange *exchange = context;
	return !exchange->request->go_on(exchange->request->go_on_context);
}

/* OpenSSL's store holds the system's certificates at this point; CURLOPT_CAINFO would replace them. */
static CURLcode on_tls(CURL *curl, void *tls, void *context)
{
	(void)curl;
	struct exchange *exchange = context;
	const struct strlist *files = exchange->request->tls->ca_files;
	for (size_t i = 0; i < files->count; i++) {
		if (X509_STORE_load_locations(SSL_CTX_get_cert_store(tls), files->items[i], NULL) == 1)
			continue;
		exchange->stopped = err_set(exchange->err, EINVAL, "'%s' holds no certificates in PEM format", files->items[i]);
		return CURLE_SSL_CACERT_BADFILE;
	}
	return CURLE_OK;
}

/* What a site sets for Go's programs and OpenSSL's, skopeo and podman among them; libcurl leaves it to its own command. */
static void set_authorities(CURL *curl)
{
	const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");
	if (file != NULL && *file != '\0')
		curl_easy_setopt(curl, CURLOPT_CAINFO, file);
	if (dir != NULL && *dir != '\0')
		curl_easy_setopt(curl, CURLOPT_CAPATH, dir);
}

static void set_tls(struct exchange *exchange)
{
	CURL *curl = exchange->curl;
	const struct http_tls *tls = exchange->request->tls;
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, tls->insecure ? 0L : 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, tls->insecure ? 0L : 2L);
	set_authorities(curl);
	if (tls->ca_files != NULL && tls->ca_files->count > 0 && !tls->insecure) {
		curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_tls);
		curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, exchange);
#if LIBCURL_VERSION_NUM >= 0x075700 /* 7.87: the store would be kept for other servers */
		curl_easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
	}
	if (tls->cert_file != NULL && !exchange->response->elsewhere) {
		curl_easy_setopt(curl, CURLOPT_SSLCERT, tls->cert_file);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, tls->key_file != NULL ? tls->key_file : tls->cert_file);
	}
}

static void set_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "simg/" PACKAGE_VERSION);
	curl_easy_setopt(curl, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* no credential to a proxy */
	curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static void set_method(struct exchange *exchange)
{
	CURL *curl = exchange->curl;
	const struct http_request *request = exchange->request;
	char range[32];
	if (request->method == HTTP_HEAD)
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	if (request->method == HTTP_POST) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->form));
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->form);
	}
	if (request->offset > 0) {
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)request->offset);
		curl_easy_setopt(curl, CURLOPT_RANGE, range);
	}
}

static void set_callbacks(struct exchange *exchange, long stall)
{
	CURL *curl = exchange->curl;
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->error_text);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, stall);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, stall);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SECOND);
	if (exchange->request->brief)
		curl_easy_setopt(curl, CURLOPT_TIMEOUT, 2 * stall);
	if (exchange->request->go_on != NULL) {
		curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
		curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
		curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	}
}

static struct curl_slist *slist_add(struct curl_slist *list, const char *name, const char *value)
{
	size_t bytes = strlen(name) + 2 + strlen(value) + 1;
	char *line = malloc(bytes);
	struct curl_slist *longer = NULL;
	if (line != NULL) {
		snprintf(line, bytes, "%s: %s", name, value);
		longer = curl_slist_append(list, line);
	}
	secret_free(line);
	return longer != NULL ? longer : list;
}

static struct curl_slist *header_of(const struct exchange *exchange)
{
	const struct http_request *request = exchange->request;
	struct curl_slist *list = slist_add(NULL, "Accept-Encoding", "identity");
	for (size_t i = 0; request->accept != NULL && request->accept[i] != NULL; i++)
		list = slist_add(list, "Accept", request->accept[i]);
	if (request->authorization != NULL && !exchange->response->elsewhere)
		list = slist_add(list, "Authorization", request->authorization);
	return list;
}

static void slist_wipe(struct curl_slist *list)
{
	for (struct curl_slist *one = list; one != NULL; one = one->next)
		explicit_bzero(one->data, strlen(one->data));
	curl_slist_free_all(list);
}

/* The proxy that libcurl could not connect to, HOST:PORT or HOST: the one that its message names instead of the origin, always
 * without a password. Returns false if it was none. */
static bool proxy_of_error(const struct exchange *exchange, char proxy[static ORIGIN_MAX])
{
	const char *host = origin_host(exchange->response->origin);
	char name[256] = "", via[256];
	unsigned port = 0;
	size_t bytes = strlen(host);
	int found = sscanf(exchange->error_text, "Failed to connect to %255s port %u via %255s", name, &port, via);
	if (found == 3) {
		snprintf(proxy, ORIGIN_MAX, "%s", via);
		return true;
	}
	snprintf(proxy, ORIGIN_MAX, strchr(name, ':') != NULL ? "[%s]:%u" : "%s:%u", name, port);
	return found == 2 && (strncasecmp(proxy, host, bytes) != 0 || (proxy[bytes] != ':' && proxy[bytes] != '\0'));
}

static int fail_proxy_unreachable(struct exchange *exchange, const char *proxy, const char *why)
{
	err_set(exchange->err, EHOSTUNREACH, "cannot reach '%s': no connection to the proxy '%s': %s",
		origin_host(exchange->response->origin), proxy, why);
	return err_hint(exchange->err, PROXY_HINT);
}

static int fail_unreachable(struct exchange *exchange, CURLcode code)
{
	const char *host = origin_host(exchange->response->origin);
	char proxy[ORIGIN_MAX];
	long os_error = 0;
	curl_easy_getinfo(exchange->curl, CURLINFO_OS_ERRNO, &os_error);
	exchange->response->failure = HTTP_UNREACHABLE;
	if (code == CURLE_COULDNT_RESOLVE_PROXY) {
		err_set(exchange->err, EHOSTUNREACH, "cannot reach '%s': the proxy's host is unknown", host);
		return err_hint(exchange->err, PROXY_HINT);
	}
	if (code == CURLE_COULDNT_RESOLVE_HOST) {
		err_set(exchange->err, EHOSTUNREACH, "cannot reach '%s': unknown host", host);
		return err_hint(exchange->err, "is the name right? Where only a proxy leads outside, HTTPS_PROXY has to name it");
	}
	if (code == CURLE_OPERATION_TIMEDOUT)
		return err_set(exchange->err, EHOSTUNREACH, "cannot reach '%s': no answer", host);
	const char *why = os_error != 0 ? strerror((int)os_error) : exchange->error_text;
	if (proxy_of_error(exchange, proxy))
		return fail_proxy_unreachable(exchange, proxy, why);
	return err_set(exchange->err, EHOSTUNREACH, "cannot reach '%s': %s", host, why);
}

/* The status with which a proxy has refused to lead to the server; 0 if none has. */
static int proxy_refusal(const struct exchange *exchange)
{
	long status = 0;
	curl_easy_getinfo(exchange->curl, CURLINFO_HTTP_CONNECTCODE, &status);
	return status != 0 && !is_success((int)status) ? (int)status : 0;
}

static int fail_proxy_refusal(struct exchange *exchange, int status)
{
	exchange->response->failure = status >= 500 ? HTTP_BROKEN : HTTP_UNREACHABLE;
	return http_proxy_refused(origin_host(exchange->response->origin), status, exchange->err);
}

/* OpenSSL's words for an answer that is not TLS. */
static bool says_not_tls(const char *text)
{
	return strstr(text, "wrong version number") != NULL || strstr(text, "packet length too long") != NULL ||
	       strstr(text, "http request") != NULL || strstr(text, "record layer failure") != NULL;
}

static int fail_tls(struct exchange *exchange, CURLcode code)
{
	const char *host = origin_host(exchange->response->origin);
	exchange->response->failure = HTTP_TLS;
	if (code == CURLE_PEER_FAILED_VERIFICATION) {
		err_set(exchange->err, EPROTO, "the certificate of '%s' is not trusted: %s", host, exchange->error_text);
		return err_hint(exchange->err, "put the certificate of its authority into /etc/containers/certs.d/%s/ca.crt, "
					       "or there below ~/.config", host);
	}
	if (code == CURLE_SSL_CERTPROBLEM)
		return err_set(exchange->err, EPROTO, "cannot use the client certificate '%s' for '%s': %s",
			       exchange->request->tls->cert_file != NULL ? exchange->request->tls->cert_file : "", host,
			       exchange->error_text);
	if (says_not_tls(exchange->error_text)) {
		exchange->response->failure = HTTP_NOT_TLS;
		err_set(exchange->err, EPROTO, "'%s' does not speak https", host);
		return err_hint(exchange->err, "if it is meant to speak plain http, say so in registries.conf: insecure = true");
	}
	return err_set(exchange->err, EPROTO, "no encrypted connection to '%s': %s", host, exchange->error_text);
}

static int fail_broken(struct exchange *exchange, CURLcode code)
{
	const char *host = origin_host(exchange->response->origin);
	exchange->response->failure = HTTP_BROKEN;
	return err_set(exchange->err, ECONNRESET, "the connection to '%s' broke: %s", host,
		       exchange->error_text[0] != '\0' ? exchange->error_text : curl_easy_strerror(code));
}

static int fail_timeout(struct exchange *exchange)
{
	curl_off_t microseconds = 0;
	curl_easy_getinfo(exchange->curl, CURLINFO_PRETRANSFER_TIME_T, &microseconds);
	if (microseconds == 0)
		return fail_unreachable(exchange, CURLE_OPERATION_TIMEDOUT);
	exchange->response->failure = HTTP_STALLED;
	return err_set(exchange->err, ETIMEDOUT, "'%s' sends %s", origin_host(exchange->response->origin),
		       exchange->request->brief ? "its answer too slowly, or not at all" : "nothing any more");
}

/* Before TLS stands, a broken connection is reported as TLS's failure; behind it, TLS 1.3's refusal as the connection's. */
static bool is_reset(const char *text)
{
	return strstr(text, "reset by peer") != NULL || strstr(text, "SSL_ERROR_SYSCALL") != NULL;
}

static bool wants_certificate(const char *text)
{
	return strstr(text, "alert certificate required") != NULL || strstr(text, "alert handshake failure") != NULL ||
	       strstr(text, "alert bad certificate") != NULL || strstr(text, "alert unknown ca") != NULL;
}

static int fail_without_certificate(struct exchange *exchange)
{
	const char *host = origin_host(exchange->response->origin);
	exchange->response->failure = HTTP_TLS;
	err_set(exchange->err, EPROTO, "'%s' refuses the encrypted connection: %s", host, exchange->error_text);
	return err_hint(exchange->err, "if it wants a client certificate: /etc/containers/certs.d/%s/client.cert and client.key",
			host);
}

static int fail(struct exchange *exchange, CURLcode code)
{
	exchange->response->failure = HTTP_FORBIDDEN;
	if (exchange->stopped < 0)
		return exchange->stopped;
	int refusal = proxy_refusal(exchange);
	if (refusal != 0)
		return fail_proxy_refusal(exchange, refusal);
	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		return err_set(exchange->err, ECANCELED, "stopped");
	case CURLE_OUT_OF_MEMORY:
		return err_sys(exchange->err, ENOMEM, "cannot ask '%s'", origin_host(exchange->response->origin));
	case CURLE_URL_MALFORMAT:
		return err_set(exchange->err, EPROTO, "an address at '%s' is malformed", origin_host(exchange->response->origin));
	case CURLE_NOT_BUILT_IN:
	case CURLE_UNKNOWN_OPTION:
		return err_set(exchange->err, ENOSYS, "this libcurl cannot do what is needed for '%s': %s",
			       origin_host(exchange->response->origin), exchange->error_text);
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		return fail_unreachable(exchange, code);
	case CURLE_OPERATION_TIMEDOUT:
		return fail_timeout(exchange);
	case CURLE_SSL_CONNECT_ERROR:
		if (is_reset(exchange->error_text))
			return fail_broken(exchange, code);
		return wants_certificate(exchange->error_text) ? fail_without_certificate(exchange) : fail_tls(exchange, code);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return fail_tls(exchange, code);
	default:
		return wants_certificate(exchange->error_text) ? fail_without_certificate(exchange) : fail_broken(exchange, code);
	}
}

static int exchange_end(struct exchange *exchange, CURLcode code)
{
	struct http_response *response = exchange->response;
	response->status = status_of(exchange);
	response->content_length = content_length(exchange->curl);
	if (code == CURLE_WRITE_ERROR && exchange->enough && exchange->stopped == 0)
		code = CURLE_OK;
	if (code == CURLE_OK && response->status == 0)
		code = CURLE_WEIRD_SERVER_REPLY; /* HTTP/0.9, which old versions of libcurl let pass */
	if (code == CURLE_OK && for_sink(exchange))
		exchange->stopped = sink_begin(exchange); /* an empty body */
	if (code != CURLE_OK || exchange->stopped < 0)
		return fail(exchange, code);
	response->failure = HTTP_ANSWERED;
	return 0;
}

/* Asks one server. */
static int exchange_run(struct http *http, struct exchange *exchange, const char *url)
{
	CURL *curl = exchange->curl;
	curl_easy_reset(curl);
	set_protocols(curl);
	set_tls(exchange);
	set_method(exchange);
	set_callbacks(exchange, http->stall_seconds);
	if (origin_is_loopback(exchange->response->origin))
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	struct curl_slist *header = header_of(exchange);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, header);
	CURLcode code = curl_easy_perform(curl);
	int r = exchange_end(exchange, code);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
	slist_wipe(header);
	return r;
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where the answer leads: NULL if nowhere. Checks that we may go there; sets origin and elsewhere of the next answer. */
static int redirect(struct exchange *exchange, char **ret_url)
{
	struct http_response *response = exchange->response;
	char *target = NULL, origin[ORIGIN_MAX];
	*ret_url = NULL;
	curl_easy_getinfo(exchange->curl, CURLINFO_REDIRECT_URL, &target);
	if (!is_redirect(response->status) || exchange->request->method == HTTP_POST || target == NULL)
		return 0;
	response->failure = HTTP_FORBIDDEN;
	if (!url_origin(target, origin))
		return err_set(exchange->err, EPROTO, "'%s' redirects to a place that is no plain http or https address",
			       origin_host(response->origin));
	if (origin_is_https(response->origin) && !origin_is_https(origin) && !exchange->request->tls->insecure)
		return err_set(exchange->err, EPROTO, "'%s' redirects from https to http, to '%s'", origin_host(response->origin),
			       origin_host(origin));
	if ((*ret_url = strdup(target)) == NULL)
		return err_sys(exchange->err, ENOMEM, "cannot ask '%s'", origin_host(origin));
	response->elsewhere = response->elsewhere || strcmp(origin, response->origin) != 0;
	memcpy(response->origin, origin, sizeof(origin));
	return 0;
}

static int follow(struct http *http, struct exchange *exchange)
{
	autofree char *url = strdup(exchange->request->url);
	for (int hops = 0; url != NULL; hops++) {
		char *next = NULL;
		int r = exchange_run(http, exchange, url);
		if (r == 0)
			r = redirect(exchange, &next);
		if (r < 0 || next == NULL)
			return r;
		free(url);
		url = next;
		if (hops == REDIRECTS_MAX) {
			exchange->response->failure = HTTP_FORBIDDEN;
			return err_set(exchange->err, ELOOP, "more than %d redirects, the last one to '%s'", REDIRECTS_MAX,
				       origin_host(exchange->response->origin));
		}
		/* Nothing of the redirect's own answer counts for the next one. */
		response_clear(exchange->response);
		exchange->body_seen = exchange->body_room = 0;
		exchange->enough = false;
	}
	return err_sys(exchange->err, ENOMEM, "cannot ask '%s'", origin_host(exchange->response->origin));
}

int http_send(struct http *http, const struct http_request *request, struct http_response *ret_response, struct err *err)
{
	*ret_response = (struct http_response){ .failure = HTTP_FORBIDDEN, .content_length = -1 };
	if (!url_origin(request->url, ret_response->origin))
		return err_set(err, EINVAL, "an address is not followed: it is not http or https, or has a user's name in it");
	struct exchange exchange = { .curl = handle_take(http), .request = request, .response = ret_response, .err = err };
	if (exchange.curl == NULL)
		return err_sys(err, ENOMEM, "cannot ask '%s'", origin_host(ret_response->origin));
	int r = follow(http, &exchange);
	handle_give(http, exchange.curl);
	return r;
}

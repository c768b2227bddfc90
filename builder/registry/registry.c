/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry's client: see registry.h. Every question goes to the mirrors in their order and to the registry itself at last.
 * A mirror gets one try, and none any more once it has failed in another way than not to have something.
 */
#include "builder/registry/registry.h"

#include "builder/registry/download.h"
#include "builder/registry/notes.h"
#include "builder/registry/refusal.h"
#include "builder/registry/registries.h"
#include "builder/registry/retry.h"
#include "builder/registry/server.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
	const struct endpoint *endpoint;
	struct server *server;
	bool down; /* not asked any more */
};

/* A manifest that came by its tag, so that it need not be asked for again by its digest. */
struct document {
	struct digest digest;
	char *text, *media_type;
	size_t bytes;
};

struct registry {
	struct reference reference;
	char name[REFERENCE_TEXT_MAX]; /* for messages */
	char *auth_file;
	struct notes notes;
	struct http *http;
	struct endpoints endpoints;
	struct place *places;  /* one for each endpoint */
	struct server *plain;  /* for layers that lie somewhere else */
	pthread_mutex_t lock;  /* for what follows, and places[].down */
	struct document by_tag;
};

static const char *const manifest_types[] = {
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	NULL,
};

static int no_memory(const struct registry *registry, struct err *err)
{
	return err_sys(err, ENOMEM, "cannot pull '%s'", registry->name);
}

static int places_make(struct registry *registry, const struct registry_options *options, struct err *err)
{
	const struct server_options server = {
		.http = registry->http,
		.notes = &registry->notes,
		.auth_file = options->auth_file != NULL ? registry->auth_file : NULL,
	};
	registry->places = calloc(registry->endpoints.count, sizeof(*registry->places));
	registry->plain = server_new(NULL, &server);
	if (registry->places == NULL || registry->plain == NULL)
		return no_memory(registry, err);
	for (size_t i = 0; i < registry->endpoints.count; i++) {
		struct place *place = &registry->places[i];
		place->endpoint = &registry->endpoints.list[i];
		place->server = server_new(place->endpoint, &server);
		if (place->server == NULL)
			return no_memory(registry, err);
	}
	return 0;
}

int registry_open(const struct reference *reference, const struct registry_options *options, struct registry **ret_registry,
		  struct err *err)
{
	struct registry *registry = calloc(1, sizeof(*registry));
	if (registry == NULL)
		return err_sys(err, ENOMEM, "cannot pull from '%s'", reference->host);
	registry->reference = *reference;
	reference_format(reference, registry->name);
	notes_begin(&registry->notes, options->progress, options->quiet);
	pthread_mutex_init(&registry->lock, NULL);
	int r = endpoints_find(reference, &registry->endpoints, err);
	if (r >= 0) {
		registry->http = http_new();
		registry->auth_file = strdup(options->auth_file != NULL ? options->auth_file : "");
		r = registry->http != NULL && registry->auth_file != NULL ? places_make(registry, options, err)
									  : no_memory(registry, err);
	}
	if (r < 0) {
		registry_close(registry);
		return r;
	}
	*ret_registry = registry;
	return 0;
}

static void document_free(struct document *document)
{
	free(document->text);
	free(document->media_type);
	*document = (struct document){ .text = NULL };
}

void registry_close(struct registry *registry)
{
	if (registry == NULL)
		return;
	for (size_t i = 0; i < registry->endpoints.count && registry->places != NULL; i++)
		server_free(registry->places[i].server);
	free(registry->places);
	server_free(registry->plain);
	endpoints_free(&registry->endpoints);
	http_free(registry->http);
	notes_end(&registry->notes);
	document_free(&registry->by_tag);
	free(registry->auth_file);
	pthread_mutex_destroy(&registry->lock);
	free(registry);
}

/* One question to one place; what it wants and gets is in context. */
typedef int ask_function(void *context, struct server *server, int tries, struct http_response *response, struct err *err);

static bool may_ask(struct registry *registry, const struct place *place, bool by_tag)
{
	pthread_mutex_lock(&registry->lock);
	bool down = place->down;
	pthread_mutex_unlock(&registry->lock);
	if (down || (by_tag && place->endpoint->by_digest_only))
		return false;
	return !(place->endpoint->by_tag_only && digest_is_set(&registry->reference.digest));
}

static bool next_may_help(int r)
{
	return r != -ECANCELED && r != -ENOMEM && r != -ENOSPC && r != -EDQUOT;
}

static void pass_over(struct registry *registry, struct place *place, int r, const struct err *err)
{
	if (r == -ENOENT)
		return;
	pthread_mutex_lock(&registry->lock);
	bool first = !place->down;
	place->down = true;
	pthread_mutex_unlock(&registry->lock);
	if (first)
		notes_say(&registry->notes, "the mirror '%s' is passed over: %s", place->endpoint->host, err->text);
}

/* Returns the place that had it, for the caller to blame; negative errno if none has. */
static int ask_places(struct registry *registry, bool by_tag, ask_function *ask, void *context, struct err *err)
{
	size_t last = registry->endpoints.count - 1;
	for (size_t i = 0;; i++) {
		struct place *place = &registry->places[i];
		if (i < last && !may_ask(registry, place, by_tag))
			continue;
		autoresponse struct http_response response = { .failure = HTTP_FORBIDDEN };
		int r = ask(context, place->server, i == last ? RETRY_TRIES : 1, &response, err);
		if (r >= 0)
			return (int)i;
		if (i == last || !next_may_help(r))
			return r;
		pass_over(registry, place, r, err);
	}
}

static int failed(const struct registry *registry, int r, struct err *err)
{
	return r == -ECANCELED ? r : err_prefix(err, "cannot pull '%s'", registry->name);
}

static int wrong_digest(const char *what, const struct digest *digest, const struct http_response *response, struct err *err)
{
	return err_set(err, EBADMSG, "the %s '%s' from '%s' has other bytes than its digest says", what, digest->text,
		       origin_host(response->origin));
}

static int digest_compare(const char *what, const struct digest *digest, const struct http_response *response, struct err *err)
{
	struct digest actual;
	struct hash *hash = hash_new(digest);
	if (hash == NULL)
		return err_sys(err, ENOMEM, "cannot check the %s '%s'", what, digest->text);
	hash_add(hash, response->body, response->body_bytes);
	hash_digest(hash, &actual);
	hash_free(hash);
	return digest_equal(&actual, digest) ? 0 : wrong_digest(what, digest, response, err);
}

/* Moves the body to a document. The type loses its parameters. */
static int document_take(struct document *document, struct http_response *response, struct err *err)
{
	document->text = response->body != NULL ? steal_ptr(&response->body) : strdup("");
	document->bytes = response->body_bytes;
	document->media_type = steal_ptr(&response->content_type);
	if (document->media_type != NULL)
		document->media_type[strcspn(document->media_type, "; \t")] = '\0';
	return document->text != NULL ? 0 : err_sys(err, ENOMEM, "cannot keep a manifest");
}

struct resolution {
	const char *tag;
	struct digest digest;
	struct document document; /* if it took a GET */
};

static bool digest_of_field(const struct http_response *response, struct digest *digest)
{
	const char *text = response->content_digest;
	return text != NULL && digest_parse(text, strlen(text), digest, NULL) == 0;
}

static int resolve_by_get(struct resolution *resolution, struct server *server, struct server_request *request,
			  struct http_response *response, struct err *err)
{
	request->method = HTTP_GET;
	http_response_free(response);
	int r = server_send(server, request, response, err);
	if (r < 0)
		return r;
	if (digest_of_field(response, &resolution->digest))
		r = digest_compare("manifest", &resolution->digest, response, err);
	else
		digest_of(response->body, response->body_bytes, &resolution->digest);
	resolution->document.digest = resolution->digest;
	return r < 0 ? r : document_take(&resolution->document, response, err);
}

/* HEAD gets no explanation, and not every registry knows it: then GET tells. A token server has explained itself, and a wrong
 * password that is sent a second time brings a user closer to being locked out. */
static bool get_may_tell(const struct http_response *response)
{
	int status = response->status;
	return response->failure == HTTP_ANSWERED && !response->by_token_server &&
	       (status == 501 || (status >= 400 && status < 500 && status != 401 && status != 429));
}

static int ask_tag(void *context, struct server *server, int tries, struct http_response *response, struct err *err)
{
	struct resolution *resolution = context;
	struct server_request request = {
		.method = HTTP_HEAD,
		.kind = "manifests",
		.name = resolution->tag,
		.what = "image",
		.accept = manifest_types,
		.body_bytes_max = MANIFEST_BYTES_MAX,
		.tries = tries,
	};
	int r = server_send(server, &request, response, err);
	if (r >= 0 && digest_of_field(response, &resolution->digest))
		return 0;
	if (r < 0 && !get_may_tell(response))
		return r;
	return resolve_by_get(resolution, server, &request, response, err);
}

int registry_resolve(struct registry *registry, struct digest *ret_digest, struct err *err)
{
	struct resolution resolution = { .tag = registry->reference.tag };
	if (digest_is_set(&registry->reference.digest)) {
		*ret_digest = registry->reference.digest;
		return 0;
	}
	int r = ask_places(registry, true, ask_tag, &resolution, err);
	if (r < 0) {
		document_free(&resolution.document);
		return failed(registry, r, err);
	}
	pthread_mutex_lock(&registry->lock);
	document_free(&registry->by_tag);
	registry->by_tag = resolution.document;
	pthread_mutex_unlock(&registry->lock);
	*ret_digest = resolution.digest;
	return 0;
}

/* A question for something small by its digest. */
struct small {
	const char *kind, *noun;
	const char *const *accept;
	const struct digest *digest;
	size_t bytes_max;
	struct document document;
};

static int ask_small(void *context, struct server *server, int tries, struct http_response *response, struct err *err)
{
	struct small *small = context;
	char what[DIGEST_TEXT_MAX + 32];
	snprintf(what, sizeof(what), "%s '%s'", small->noun, small->digest->text);
	struct server_request request = {
		.method = HTTP_GET,
		.kind = small->kind,
		.name = small->digest->text,
		.what = what,
		.accept = small->accept,
		.body_bytes_max = small->bytes_max,
		.tries = tries,
	};
	int r = server_send(server, &request, response, err);
	if (r >= 0)
		r = digest_compare(small->noun, small->digest, response, err);
	return r < 0 ? r : document_take(&small->document, response, err);
}

/* What registry_resolve() got already; it is handed out once. */
static bool by_tag_take(struct registry *registry, const struct digest *digest, struct document *document)
{
	pthread_mutex_lock(&registry->lock);
	bool found = registry->by_tag.text != NULL && digest_equal(&registry->by_tag.digest, digest);
	if (found) {
		*document = registry->by_tag;
		registry->by_tag = (struct document){ .text = NULL };
	}
	pthread_mutex_unlock(&registry->lock);
	return found;
}

int registry_manifest(struct registry *registry, const struct digest *digest, char **ret_text, size_t *ret_bytes,
		      char **ret_media_type, struct err *err)
{
	struct small small = {
		.kind = "manifests",
		.noun = "manifest",
		.accept = manifest_types,
		.digest = digest,
		.bytes_max = MANIFEST_BYTES_MAX,
	};
	if (!by_tag_take(registry, digest, &small.document)) {
		int r = ask_places(registry, false, ask_small, &small, err);
		if (r < 0)
			return failed(registry, r, err);
	}
	*ret_text = small.document.text;
	*ret_bytes = small.document.bytes;
	*ret_media_type = small.document.media_type;
	return 0;
}

int registry_blob_read(struct registry *registry, const struct descriptor *descriptor, size_t bytes_max, char **ret_text,
		       size_t *ret_bytes, struct err *err)
{
	if (descriptor->bytes > bytes_max)
		return err_set(err, EMSGSIZE, "cannot pull '%s': the blob '%s' has %" PRIu64 " bytes, more than %zu",
			       registry->name, descriptor->digest.text, descriptor->bytes, bytes_max);
	struct small small = {
		.kind = "blobs",
		.noun = "blob",
		.digest = &descriptor->digest,
		.bytes_max = (size_t)descriptor->bytes,
	};
	int r = ask_places(registry, false, ask_small, &small, err);
	if (r < 0)
		return failed(registry, r, err);
	free(small.document.media_type);
	if (small.document.bytes != descriptor->bytes) {
		free(small.document.text);
		return err_set(err, EBADMSG, "cannot pull '%s': the blob '%s' has %zu bytes, the manifest says %" PRIu64,
			       registry->name, descriptor->digest.text, small.document.bytes, descriptor->bytes);
	}
	*ret_text = small.document.text;
	*ret_bytes = small.document.bytes;
	return 0;
}

static int ask_blob(void *context, struct server *server, int tries, struct http_response *response, struct err *err)
{
	struct download *download = context;
	char what[DIGEST_TEXT_MAX + 32];
	const char *digest = download->descriptor->digest.text;
	snprintf(what, sizeof(what), "blob '%s'", digest);
	struct server_request request = { .kind = "blobs", .name = digest, .what = what, .tries = tries };
	return download_from(download, server, &request, response, err);
}

/* Foreign layers: addresses of the manifest, for which no credential of ours is meant. Only what the registry lacks is
 * looked for there. */
static int ask_urls(struct registry *registry, struct download *download, struct err *err)
{
	const struct strlist *urls = &download->descriptor->urls;
	int r = -ENOENT;
	for (size_t i = 0; i < urls->count && r < 0 && next_may_help(r); i++) {
		autoresponse struct http_response response = { .failure = HTTP_FORBIDDEN };
		struct server_request request = { .url = urls->items[i], .what = "layer", .tries = RETRY_TRIES };
		r = download_from(download, registry->plain, &request, &response, err);
	}
	return r;
}

/* Sets *ret_place to the place that the last bytes came from, NULL for another one. */
static int fetch_rest(struct registry *registry, struct download *download, struct place **ret_place, struct err *err)
{
	*ret_place = NULL;
	int r = ask_places(registry, false, ask_blob, download, err);
	if (r >= 0)
		*ret_place = &registry->places[r];
	else if (next_may_help(r) && download->descriptor->urls.count > 0)
		r = ask_urls(registry, download, err);
	return r < 0 ? r : 0;
}

static bool is_mirror(const struct registry *registry, const struct place *place)
{
	return place != NULL && place != &registry->places[registry->endpoints.count - 1];
}

static int blob_fetch(struct registry *registry, struct download *download, struct err *err)
{
	struct place *place = NULL;
	const char *source = "an earlier download";
	int r = download_begin(download, err);
	if (r == 0 && download->position < download->descriptor->bytes) {
		r = fetch_rest(registry, download, &place, err);
		source = place != NULL ? place->endpoint->host : "its foreign place";
	}
	if (r < 0)
		return r;
	r = download_verify(download, source, err);
	if (r < 0 && is_mirror(registry, place))
		pass_over(registry, place, r, err);
	return r;
}

int registry_blob_fetch(struct registry *registry, const struct descriptor *descriptor, int fd,
			bool (*arrived)(void *context, uint64_t bytes), void *context, struct err *err)
{
	struct download download = { .descriptor = descriptor, .fd = fd, .arrived = arrived, .context = context };
	int r = blob_fetch(registry, &download, err);
	download_end(&download);
	return r < 0 ? failed(registry, r, err) : 0;
}

static int login_check(const struct endpoint *endpoint, struct server_options *options, struct err *err)
{
	struct server *server = server_new(endpoint, options);
	struct server_request request = {
		.what = "interface of a registry",
		.body_bytes_max = MANIFEST_BYTES_MAX,
		.tries = RETRY_TRIES,
	};
	autoresponse struct http_response response = { .failure = HTTP_FORBIDDEN };
	if (server == NULL)
		return err_sys(err, ENOMEM, "cannot log in at '%s'", endpoint->host);
	int r = server_send(server, &request, &response, err);
	server_free(server);
	if (r == -ENOENT)
		return err_hint(err, "is '%s' a registry?", endpoint->host);
	if (r != -EACCES || response.failure != HTTP_ANSWERED)
		return r;
	char words[REFUSAL_TEXT_MAX];
	return err_set(err, EACCES, "'%s' refuses the user name or the password (%d%s)", endpoint->credentials_host,
		       response.status, refusal_text(&response, words));
}

int registry_login_check(const char *host, const struct credentials *credentials, struct err *err)
{
	struct reference reference = { .name = "" };
	struct endpoints endpoints;
	struct notes notes;
	if ((size_t)snprintf(reference.host, sizeof(reference.host), "%s", host) >= sizeof(reference.host))
		return err_set(err, EINVAL, "the name of the registry '%.64s…' is too long", host);
	int r = endpoints_find(&reference, &endpoints, err);
	if (r < 0)
		return r;
	notes_begin(&notes, NULL, false);
	struct server_options options = { .http = http_new(), .notes = &notes, .credentials = credentials };
	r = options.http != NULL ? login_check(&endpoints.list[endpoints.count - 1], &options, err)
				 : err_sys(err, ENOMEM, "cannot log in at '%s'", host);
	http_free(options.http);
	notes_end(&notes);
	endpoints_free(&endpoints);
	return r;
}

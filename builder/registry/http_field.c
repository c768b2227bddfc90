/* SPDX-License-Identifier: Apache-2.0
 *
 * Fields and origins: see http_field.h.
 */
#include "builder/registry/http_field.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 255, SECONDS_MAX = 7 * 24 * 3600 };

long field_retry_after(const char *text, time_t now)
{
	text += strspn(text, " \t");
	if (isdigit((unsigned char)*text)) {
		char *end;
		errno = 0;
		unsigned long seconds = strtoul(text, &end, 10);
		if (end[strspn(end, " \t")] == '\0')
			return errno != 0 || seconds > SECONDS_MAX ? SECONDS_MAX : (long)seconds;
	}
	time_t then = curl_getdate(text, NULL);
	if (then == -1)
		return -1;
	return then <= now ? 0 : then - now > SECONDS_MAX ? SECONDS_MAX : (long)(then - now);
}

/* A decimal number without sign or space. Returns what follows it, or NULL. */
static const char *number(const char *at, uint64_t *ret_value)
{
	if (!isdigit((unsigned char)*at))
		return NULL;
	char *end;
	errno = 0;
	*ret_value = strtoull(at, &end, 10);
	return errno == 0 ? end : NULL;
}

bool field_content_range(const char *text, uint64_t *ret_first, uint64_t *ret_last, uint64_t *ret_total)
{
	uint64_t first, last, total = UINT64_MAX;
	text += strspn(text, " \t");
	if (strncasecmp(text, "bytes", 5) != 0 || text[5] != ' ')
		return false;
	text += 5 + strspn(text + 5, " ");
	if ((text = number(text, &first)) == NULL || *text++ != '-' || (text = number(text, &last)) == NULL || *text++ != '/')
		return false;
	if (*text == '*')
		text++;
	else if ((text = number(text, &total)) == NULL)
		return false;
	if (text[strspn(text, " \t")] != '\0' || last < first || last >= total)
		return false;
	*ret_first = first;
	*ret_last = last;
	*ret_total = total;
	return true;
}

char *field_warning(const char *text)
{
	text += strspn(text, " \t");
	if (strncmp(text, "299 ", 4) != 0 || (text = strchr(text, '"')) == NULL)
		return NULL;
	char *copy = malloc(strlen(text) + 1), *end = copy;
	if (copy == NULL)
		return NULL;
	for (text++; *text != '\0' && *text != '"'; text++) {
		if (*text == '\\' && text[1] != '\0')
			text++;
		*end++ = *text;
	}
	*end = '\0';
	return copy;
}

/* The length of a host's name at the start of text, or of an IPv6 address in its brackets; 0 if neither stands there. */
static size_t host_bytes(const char *text)
{
	if (*text != '[')
		return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
	size_t bytes = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
	return bytes > 1 && text[bytes] == ']' ? bytes + 1 : 0;
}

bool url_origin(const char *url, char ret_origin[static ORIGIN_MAX])
{
	bool https = strncasecmp(url, "https://", 8) == 0;
	if (!https && strncasecmp(url, "http://", 7) != 0)
		return false;
	const char *host = url + (https ? 8 : 7), *end;
	size_t bytes = host_bytes(host);
	uint64_t port = https ? 443 : 80;
	end = host + bytes;
	if (bytes == 0 || bytes > HOST_MAX)
		return false;
	if (*end == ':' && ((end = number(end + 1, &port)) == NULL || port == 0 || port > UINT16_MAX))
		return false;
	if (*end != '\0' && *end != '/' && *end != '?' && *end != '#')
		return false;
	int used = snprintf(ret_origin, ORIGIN_MAX, "%s://%.*s", https ? "https" : "http", (int)bytes, host);
	if (port != (https ? 443 : 80))
		snprintf(ret_origin + used, (size_t)(ORIGIN_MAX - used), ":%u", (unsigned)port);
	for (char *c = ret_origin; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return true;
}

bool origin_is_https(const char *origin)
{
	return strncmp(origin, "https://", 8) == 0;
}

bool origin_is_loopback(const char *origin)
{
	const char *host = strstr(origin, "://");
	if (host == NULL)
		return false;
	host += 3;
	size_t bytes = host_bytes(host);
	if (strncmp(host, "127.", 4) == 0)
		return strspn(host, "0123456789.") == bytes;
	return (bytes == 9 && strncmp(host, "localhost", 9) == 0) || (bytes == 5 && strncmp(host, "[::1]", 5) == 0);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * enroot's credentials: see netrc.h. The lines hold passwords, so no message quotes them.
 */
#include "builder/registry/netrc.h"

#include "builder/registry/places.h"
#include "builder/registry/secret.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <stdio.h>
#include <strings.h>

enum { WORD_COUNT = 6 };

static const char NGC_USER[] = "$oauthtoken"; /* NVIDIA's registry wants just this */

/* Docker's hub has other names for its interface and for where it gives tokens, which is what enroot looks for. */
static const char *const docker_machines[] = { "docker.io", "auth.docker.io", "registry-1.docker.io", "index.docker.io" };

static bool machine_is(const char *machine, const char *host)
{
	if (strcasecmp(machine, host) == 0)
		return true;
	const char *port = strrchr(host, ':');
	if (port != NULL && strlen(machine) == (size_t)(port - host) && strncasecmp(machine, host, (size_t)(port - host)) == 0)
		return true;
	for (size_t i = 0; strcasecmp(host, "docker.io") == 0 && i < sizeof(docker_machines) / sizeof(docker_machines[0]); i++)
		if (strcasecmp(machine, docker_machines[i]) == 0)
			return true;
	return false;
}

/* Cuts the line, in place, into at most WORD_COUNT words and the rest. Returns how many there are. */
static int split(char *line, char *words[WORD_COUNT + 1])
{
	int count = 0;
	char *word, *rest = line;
	while (count <= WORD_COUNT && (word = strtok_r(rest, " \t\r", &rest)) != NULL)
		words[count++] = word;
	return count;
}

static bool needs_shell(const char *text)
{
	return strpbrk(text, "$`\\") != NULL;
}

static int take(const char *path, const char *user, const char *password, struct credentials *ret_credentials, struct err *err)
{
	struct credentials found = { .user = strdup(user), .password = strdup(password), .origin = strdup(path) };
	if (found.user == NULL || found.password == NULL || found.origin == NULL) {
		credentials_free(&found);
		return err_sys(err, ENOMEM, "cannot store credentials");
	}
	*ret_credentials = found;
	return 1;
}

static int take_line(const char *path, unsigned number, char *line, const char *host, struct credentials *ret_credentials,
		     struct err *err)
{
	char *words[WORD_COUNT + 1];
	bool shell = strpbrk(line, "`\\") != NULL || strstr(line, "$(") != NULL;
	int count = split(line, words);
	if (count == 0 || strcmp(words[0], "machine") != 0)
		return 0;
	if (!shell && (count != WORD_COUNT || strcmp(words[2], "login") != 0 || strcmp(words[4], "password") != 0))
		return err_set(err, EINVAL, "%s:%u: expected 'machine HOST login USER password PASSWORD'", path, number);
	if (shell || !machine_is(words[1], host) || needs_shell(words[5]))
		return 0;
	if (needs_shell(words[3]) && strcmp(words[3], NGC_USER) != 0)
		return 0;
	return take(path, words[3], words[5], ret_credentials, err);
}

int netrc_find(const char *path, const char *host, struct credentials *ret_credentials, struct err *err)
{
	char *text = NULL;
	size_t bytes;
	int r = place_read(path, &text, &bytes, err);
	char *rest = text, *line;
	for (unsigned number = 1; r == 0 && (line = strsep(&rest, "\n")) != NULL; number++)
		r = take_line(path, number, line, host, ret_credentials, err);
	if (text != NULL)
		explicit_bzero(text, bytes); /* it is cut in pieces by zeros */
	free(text);
	return r;
}

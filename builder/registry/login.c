/* SPDX-License-Identifier: Apache-2.0
 *
 * simg login and simg logout: credentials of a registry, checked there before they are stored. A password comes from the
 * terminal or from standard input, never from the command line, which every user of the machine can read.
 */
#include "builder/registry/authfile.h"
#include "builder/registry/credentials.h"
#include "builder/registry/registry.h"
#include "builder/registry/secret.h"
#include "builder/registry/terminal.h"
#include "builder/verbs.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"

#include <getopt.h>
#include <stdarg.h>
#include <sys/resource.h>

enum { USER_BYTES_MAX = 512, PASSWORD_BYTES_MAX = 64 * 1024, LINE_BYTES_MAX = 1024 };

static const char LOGIN_HELP[] =
	"usage: simg login [-u USER] [--password-stdin] [--auth-file FILE] HOST\n"
	"\n"
	"Checks a user name and a password with the registry HOST[:PORT], and stores them for\n"
	"simg build and other programs. Asks on the terminal for what is not given.\n"
	"\n"
	"  -u, --username USER   the user\n"
	"      --password-stdin  read the password from standard input\n"
	"      --auth-file FILE  store them there instead of ~/.config/containers/auth.json\n"
	"  -h, --help            this text\n"
	"\n"
	"Manual: simg-login(1)\n";

static const char LOGOUT_HELP[] =
	"usage: simg logout [--auth-file FILE] HOST\n"
	"       simg logout [--auth-file FILE] --all\n"
	"\n"
	"Removes what simg login has stored for the registry HOST[:PORT].\n"
	"\n"
	"      --all             for all registries\n"
	"      --auth-file FILE  remove it there instead of in ~/.config/containers/auth.json\n"
	"  -h, --help            this text\n"
	"\n"
	"Manual: simg-login(1)\n";

struct request {
	const char *verb;
	const char *host, *user, *auth_file; /* NULL: not given */
	bool removes, password_stdin, all, help;
};

/* --- the command line --- */

static const struct option LOGIN_OPTIONS[] = {
	{ "username", required_argument, NULL, 'u' },
	{ "password-stdin", no_argument, NULL, 'S' },
	{ "password", required_argument, NULL, 'P' }, /* only to be refused: it would be taken for short for the one above */
	{ "auth-file", required_argument, NULL, 'A' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const struct option LOGOUT_OPTIONS[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "auth-file", required_argument, NULL, 'A' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int bad_option(const struct request *request, int option, const char *word, struct err *err)
{
	int length = (int)strcspn(word, "="); /* what follows may be a password */
	if (option == ':')
		err_set(err, EINVAL, "the option '%.*s' needs an argument", length, word);
	else
		err_set(err, EINVAL, "there is no option '%.*s'", length, word);
	if (strncmp(word, "-p", 2) == 0 || strncmp(word, "--password", 10) == 0)
		return err_hint(err, "other users can read a command line: pipe the password in, with --password-stdin");
	return err_hint(err, "simg %s --help lists the options", request->verb);
}

/* A registry's name as it stands in references. */
static int check_host(const char *host, struct err *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:[]";
	const char *scheme = strstr(host, "://");
	const char *name = scheme != NULL ? scheme + 3 : host;
	size_t length = strspn(name, allowed);
	if (host[0] != '\0' && strspn(host, allowed) == strlen(host) && strlen(host) < REFERENCE_HOST_MAX)
		return 0;
	err_set(err, EINVAL, "'%s' is not the name of a registry, HOST or HOST:PORT", host);
	return length > 0 && (scheme != NULL || name[length] == '/') ? err_hint(err, "say '%.*s'", (int)length, name) : -EINVAL;
}

static int take_arguments(struct request *request, int count, char **arguments, struct err *err)
{
	if (request->all && count == 0)
		return 0;
	if (count != 1 || request->all) {
		err_set(err, EINVAL, "simg %s needs one registry%s", request->verb, request->removes ? ", or --all" : "");
		return err_hint(err, "simg %s --help lists the options", request->verb);
	}
	request->host = arguments[0];
	if (request->password_stdin && request->user == NULL)
		return err_set(err, EINVAL, "--password-stdin needs the user's name: -u USER");
	return check_host(request->host, err);
}

static int parse(struct request *request, int argc, char **argv, const char *letters, const struct option *options, struct err *err)
{
	int option;
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		const char *word = argv[optind - 1];
		char letter[3] = { '-', (char)optopt, '\0' };
		switch (option) {
		case 'u': request->user = optarg; break;
		case 'S': request->password_stdin = true; break;
		case 'A': request->auth_file = optarg; break;
		case 'a': request->all = true; break;
		case 'P': return bad_option(request, '?', "--password", err);
		case 'h': request->help = true; return 0;
		default: return bad_option(request, option, strncmp(word, "--", 2) == 0 ? word : letter, err);
		}
	}
	return take_arguments(request, argc - optind, argv + optind, err);
}

/* --- login --- */

static int read_password(char *password, struct err *err)
{
	size_t bytes = 0;
	ssize_t n;
	while (bytes < PASSWORD_BYTES_MAX - 1 && (n = read(STDIN_FILENO, password + bytes, PASSWORD_BYTES_MAX - 1 - bytes)) != 0) {
		if (n < 0 && errno != EINTR)
			return err_sys(err, errno, "cannot read the password from standard input");
		bytes += n > 0 ? (size_t)n : 0;
	}
	password[bytes] = '\0';
	if (bytes == PASSWORD_BYTES_MAX - 1)
		return err_set(err, E2BIG, "the password on standard input has more than %d bytes", PASSWORD_BYTES_MAX - 2);
	if (strlen(password) != bytes)
		return err_set(err, EINVAL, "the password on standard input has a zero byte");
	while (bytes > 0 && (password[bytes - 1] == '\n' || password[bytes - 1] == '\r'))
		password[--bytes] = '\0';
	return 0;
}

static int ask(const char *what, const char *host, bool hidden, char *answer, size_t bytes, struct err *err)
{
	char prompt[LINE_BYTES_MAX];
	snprintf(prompt, sizeof(prompt), "%s for %s: ", what, host);
	int r = terminal_ask(prompt, hidden, answer, bytes, err);
	return r == -ENXIO ? err_hint(err, "give -u USER, and the password on standard input with --password-stdin") : r;
}

/* user has USER_BYTES_MAX, password PASSWORD_BYTES_MAX bytes. */
static int gather(const struct request *request, char *user, char *password, struct err *err)
{
	int r = 0;
	if (request->user == NULL)
		r = ask("user name", request->host, false, user, USER_BYTES_MAX, err);
	else if (snprintf(user, USER_BYTES_MAX, "%s", request->user) >= USER_BYTES_MAX)
		r = err_set(err, E2BIG, "the user name has more than %d bytes", USER_BYTES_MAX - 1);
	if (r == 0 && (user[0] == '\0' || strchr(user, ':') != NULL))
		r = err_set(err, EINVAL, "'%s' is not a user name: %s", user, user[0] == '\0' ? "it is empty" : "it has a colon");
	if (r == 0)
		r = request->password_stdin ? read_password(password, err) :
					      ask("password", request->host, true, password, PASSWORD_BYTES_MAX, err);
	if (r == 0 && password[0] == '\0')
		r = err_set(err, EINVAL, "the password is empty");
	return r;
}

/* Where a build would take credentials from now; NULL if it has none, or if that cannot be told. */
static char *origin_now(const struct request *request)
{
	struct credentials found = { 0 };
	autofree char *host = authfile_normalise(request->host);
	bool has_file = request->auth_file != NULL && access(request->auth_file, F_OK) == 0;
	if (host == NULL || credentials_find(has_file ? request->auth_file : NULL, host, NULL, &found, NULL) < 0)
		return NULL;
	char *origin = steal_ptr(&found.origin);
	credentials_free(&found);
	return origin;
}

static int say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int say(const char *format, ...)
{
	char line[LINE_BYTES_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_sanitize(line);
	return puts(line) < 0 || fflush(stdout) != 0 ? -EIO : 0;
}

static int login(const struct request *request, struct err *err)
{
	autofree char *place = NULL;
	char user[USER_BYTES_MAX] = "";
	autosecret char *password = calloc(1, PASSWORD_BYTES_MAX);
	struct credentials credentials = { .user = user, .password = password };
	if (password == NULL)
		return err_sys(err, ENOMEM, "cannot log in");
	int r = gather(request, user, password, err);
	if (r == 0)
		r = registry_login_check(request->host, &credentials, err);
	if (r == 0)
		r = credentials_store(request->auth_file, request->host, &credentials, &place, err);
	if (r < 0)
		return r;
	say("logged in to '%s' as '%s': stored in '%s'", request->host, user, place);
	autofree char *origin = origin_now(request);
	if (origin != NULL && strcmp(origin, place) != 0)
		log_note("credentials for '%s' from '%s' are used before these", request->host, origin);
	return 0;
}

/* --- logout --- */

static int logout(const struct request *request, struct err *err)
{
	autofree char *place = NULL;
	int r = credentials_remove(request->auth_file, request->host, &place, err);
	if (r < 0)
		return r;
	const char *host = request->host;
	if (place == NULL)
		say("nothing was stored%s%s%s", host != NULL ? " for '" : "", host != NULL ? host : "", host != NULL ? "'" : "");
	else if (host == NULL)
		say("logged out of all registries: removed from '%s'", place);
	else
		say("logged out of '%s': removed from '%s'", host, place);
	autofree char *origin = host != NULL ? origin_now(request) : NULL;
	if (origin != NULL)
		log_note("credentials for '%s' remain in '%s'", host, origin);
	return 0;
}

/* --- the verbs --- */

static int finish(int r, int status, const struct err *err)
{
	if (r == 0)
		return EXIT_SUCCESS;
	log_err(err);
	return status;
}

/* A crash leaves no file with the password in it. */
static void forbid_core(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){ .rlim_cur = 0, .rlim_max = 0 });
}

static int run_login(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct request request = { .verb = "login" };
	int r = parse(&request, argc, argv, ":u:h", LOGIN_OPTIONS, &err);
	if (r < 0)
		return finish(r, EXIT_USAGE, &err);
	if (request.help) {
		fputs(LOGIN_HELP, stdout);
		return EXIT_SUCCESS;
	}
	forbid_core();
	return finish(login(&request, &err), EXIT_FAILURE, &err);
}

static int run_logout(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct request request = { .verb = "logout", .removes = true };
	int r = parse(&request, argc, argv, ":h", LOGOUT_OPTIONS, &err);
	if (r < 0)
		return finish(r, EXIT_USAGE, &err);
	if (request.help) {
		fputs(LOGOUT_HELP, stdout);
		return EXIT_SUCCESS;
	}
	return finish(logout(&request, &err), EXIT_FAILURE, &err);
}

const struct verb verb_login = { "login", "check and store a password for a registry", run_login };
const struct verb verb_logout = { "logout", "forget a stored password", run_logout };

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg login and simg logout, as far as no registry is needed: command lines, questions on a terminal, what logout changes. The
# one registry that is asked is a port of this machine that nobody listens on.
. "$(dirname "$0")/../lib.sh"

unset XDG_CONFIG_HOME XDG_RUNTIME_DIR REGISTRY_AUTH_FILE DOCKER_CONFIG ENROOT_CONFIG_PATH CONTAINERS_REGISTRIES_CONF
unset "${!SIMG_DOCKER_@}" "${!APPTAINER_DOCKER_@}" "${!SINGULARITY_DOCKER_@}"
export http_proxy='' https_proxy='' no_proxy='*'
secret=correct-horse-battery
nobody=127.0.0.1:1 # tcpmux, which no system serves

at_home() { export HOME=$PWD; mkdir -p .config/containers; : >.config/containers/registries.conf; }
stored() { cat >.config/containers/auth.json; }
no_secret_anywhere() {
	local found
	found=$(grep -rlF -e "$secret" -e "$(printf %s "ada:$secret" | base64)" . || :)
	[ -z "$found" ] || fail "the password is in: $found"
}

# --- the command line ---

# refuse SENTENCE MESSAGE HINT VERB ARGUMENT…
refuse() (
	t "$1"
	at_home
	local message=$2 hint=$3
	shift 3
	run simg "$@"
	expect_status 2
	expect_stdout ""
	expect_stderr "simg: error: $message${hint:+
simg: hint: $hint}"
)

list_login='simg login --help lists the options' list_logout='simg logout --help lists the options'
stdin_hint='other users can read a command line: pipe the password in, with --password-stdin'
refuse "login needs a registry" "simg login needs one registry" "$list_login" login -u ada
refuse "login needs just one registry" "simg login needs one registry" "$list_login" login a.net b.net
refuse "login has no password option" "there is no option '-p'" "$stdin_hint" login -u ada -p "$secret" a.net
refuse "login has no password option joined to its value" "there is no option '-p'" "$stdin_hint" login -u ada "-p$secret" a.net
refuse "login has no long password option" "there is no option '--password'" "$stdin_hint" login -u ada "--password=$secret" a.net
refuse "login has no long password option with its value behind it" "there is no option '--password'" "$stdin_hint" \
	login -u ada --password "$secret" a.net
refuse "login has no other options" "there is no option '--tls-verify'" "$list_login" login --tls-verify a.net
refuse "an option without its argument" "the option '-u' needs an argument" "$list_login" login -u
refuse "a long option without its argument" "the option '--auth-file' needs an argument" "$list_login" login --auth-file
refuse "a password without a user" "--password-stdin needs the user's name: -u USER" "" login --password-stdin a.net
no_name='is not the name of a registry, HOST or HOST:PORT'
refuse "an URL is not a registry" "'https://a.net/v2/' $no_name" "say 'a.net'" login https://a.net/v2/
refuse "a repository is not a registry" "'a.net/team' $no_name" "say 'a.net'" login a.net/team
refuse "nothing is not a registry" "'' $no_name" "" login ''
refuse "two words are not a registry" "'a b' $no_name" "" login 'a b'
refuse "logout needs a registry" "simg logout needs one registry, or --all" "$list_logout" logout
refuse "logout takes a registry or --all" "simg logout needs one registry, or --all" "$list_logout" logout --all a.net
refuse "logout has no other options" "there is no option '-u'" "$list_logout" logout -u ada a.net
refuse "logout of an URL" "'https://a.net' $no_name" "say 'a.net'" logout https://a.net

for verb in login logout; do
	(
		t "simg $verb --help explains it"
		run simg "$verb" --help
		expect_status 0
		expect_stdout_has "usage: simg $verb" "--auth-file FILE" "Manual: simg-login(1)"
		expect_stderr ""
	)
done

# --- login ---

(
	t "credentials that the registry did not confirm are not stored"
	at_home
	run simg login -u ada --password-stdin "$nobody" <<<"$secret"
	expect_status 1
	expect_stdout ""
	expect_stderr_has "simg: error: " "$nobody"
	expect_stderr_lacks "$secret"
	[ ! -e .config/containers/auth.json ] || fail "a file was written"
	no_secret_anywhere
)

(
	t "an empty password is refused before the registry is asked"
	at_home
	run simg login -u ada --password-stdin "$nobody"
	expect_status 1
	expect_stderr "simg: error: the password is empty"
)

(
	t "a password with a zero byte, or of more than 64 KiB, is refused"
	at_home
	printf 'a\0b' >zero
	run simg login -u ada --password-stdin "$nobody" <zero
	expect_status 1
	expect_stderr "simg: error: the password on standard input has a zero byte"
	head -c 70000 /dev/zero | tr '\0' x >long
	run simg login -u ada --password-stdin "$nobody" <long
	expect_status 1
	expect_stderr "simg: error: the password on standard input has more than 65534 bytes"
)

(
	t "a user name that is empty or has a colon is refused"
	at_home
	run simg login -u '' --password-stdin "$nobody" <<<"$secret"
	expect_status 1
	expect_stderr "simg: error: '' is not a user name: it is empty"
	run simg login -u a:b --password-stdin "$nobody" <<<"$secret"
	expect_status 1
	expect_stderr "simg: error: 'a:b' is not a user name: it has a colon"
)

(
	t "without a terminal, login says how to do without"
	at_home
	run setsid --wait simg login "$nobody"
	expect_status 1
	expect_stderr "simg: error: there is no terminal to ask on
simg: hint: give -u USER, and the password on standard input with --password-stdin"
)

(
	t "a crash of login would leave no file with the password"
	at_home
	[ "$(ulimit -H -c)" != 0 ] || skip "no crash leaves a file here"
	ulimit -c "$(ulimit -H -c)"
	mkfifo password
	exec 9<>password
	simg login -u ada --password-stdin $nobody <password 9>&- &
	pid=$!
	cleanup kill -9 $pid
	no_core() { grep -q '^Max core file size  *0  *0 ' /proc/$pid/limits; }
	eventually no_core
)

# On a terminal of its own; what it shows is in $stdout. type waits for a prompt before it types.
on_terminal() {
	: >shown
	run timeout 20 script -qefc "$1" shown
	# shellcheck disable=SC2154
	tr -d '\r' <shown | sed '/^Script /d' >"$stdout"
}
type_after() { eventually grep -qsF "$1" shown; printf %b "$2"; }

(
	t "on a terminal, login asks for both and does not show the password"
	need script
	at_home
	mkfifo typed
	{ type_after 'user name for' 'ada\n'; type_after 'password for' "$secret\\n"; } >typed &
	on_terminal "simg login $nobody" <typed
	expect_status 1
	expect_stdout_has "user name for $nobody: ada" "password for $nobody: " "simg: error: "
	expect_stdout_lacks "$secret"
	no_secret_anywhere
)

(
	t "interrupted at the password, login dies by the signal and leaves the terminal as it was"
	need script
	at_home
	mkfifo typed
	{ type_after 'password for' '\003'; sleep 1; } >typed &
	on_terminal "trap : INT; stty -a >before; simg login -u ada $nobody; echo status \$?; stty -a >after" <typed
	expect_stdout_has "status 130"
	cmp before after
	grep -q ' echo ' after
)

(
	t "end of file instead of a password is an error"
	need script
	at_home
	mkfifo typed
	{ type_after 'password for' '\004'; sleep 1; } >typed &
	on_terminal "simg login -u ada $nobody" <typed
	expect_status 1
	expect_stdout_has "simg: error: the question was not answered"
)

# --- logout ---

(
	t "a credential helper is waited for where SIGCHLD is ignored"
	at_home
	mkdir bin
	printf '#!/bin/sh\ncat >%s/erased\n' "$PWD" >bin/docker-credential-mock
	chmod +x bin/docker-credential-mock
	stored <<<'{"credHelpers": {"a.net": "mock"}}'
	PATH=$PWD/bin:$PATH run env --ignore-signal=CHLD simg logout a.net
	expect_status 0
	expect_stdout_has "removed from 'docker-credential-mock'"
	expect_equal "$(cat erased)" a.net
)

(
	t "logout removes one registry and names the file"
	at_home
	stored <<<'{"auths": {"a.net": {"auth": "YWRhOnNlY3JldA=="}, "b.net": {"auth": "Ym9iOndvcmQ="}}, "psFormat": "x"}'
	chmod 644 .config/containers/auth.json
	run simg logout a.net
	expect_status 0
	expect_stdout "logged out of 'a.net': removed from '$HOME/.config/containers/auth.json'"
	expect_stderr ""
	expect_equal "$(tr -d ' \n' <.config/containers/auth.json)" '{"auths":{"b.net":{"auth":"Ym9iOndvcmQ="}},"psFormat":"x"}'
	expect_equal "$(stat -c %a .config/containers/auth.json)" 600
	expect_equal "$(ls .config/containers)" "$(printf 'auth.json\nregistries.conf')"
)

(
	t "logout --all removes all of them"
	at_home
	stored <<<'{"auths": {"a.net": {"auth": "YWRhOnNlY3JldA=="}, "b.net": {"auth": "Ym9iOndvcmQ="}}}'
	run simg logout --all
	expect_status 0
	expect_stdout "logged out of all registries: removed from '$HOME/.config/containers/auth.json'"
	expect_equal "$(tr -d ' \n' <.config/containers/auth.json)" '{"auths":{}}'
)

(
	t "logout where nothing is stored says so, and makes no file"
	at_home
	run simg logout a.net
	expect_status 0
	expect_stdout "nothing was stored for 'a.net'"
	run simg logout --all
	expect_status 0
	expect_stdout "nothing was stored"
	[ ! -e .config/containers/auth.json ] || fail "a file was written"
)

(
	t "logout tells which credentials remain elsewhere"
	at_home
	mkdir .docker
	echo '{"auths": {"https://index.docker.io/v1/": {"auth": "YWRhOnNlY3JldA=="}}}' >.docker/config.json
	run simg logout docker.io
	expect_status 0
	expect_stdout "nothing was stored for 'docker.io'"
	expect_stderr "simg: note: credentials for 'docker.io' remain in '$HOME/.docker/config.json'"
	expect_equal "$(cat .docker/config.json)" '{"auths": {"https://index.docker.io/v1/": {"auth": "YWRhOnNlY3JldA=="}}}'
)

(
	t "logout works on the file of --auth-file, or of REGISTRY_AUTH_FILE"
	at_home
	echo '{"auths": {"a.net": {"auth": "YWRhOnNlY3JldA=="}}}' | tee one.json >two.json
	run simg logout --auth-file one.json a.net
	expect_status 0
	expect_stdout "logged out of 'a.net': removed from 'one.json'"
	run env REGISTRY_AUTH_FILE=two.json simg logout a.net
	expect_status 0
	expect_stdout "logged out of 'a.net': removed from 'two.json'"
)

(
	t "a malformed file is named with the place of the fault, and kept"
	at_home
	printf '{\n "auths": %s}' "$secret" | stored
	run simg logout a.net
	expect_status 1
	expect_stderr_has "simg: error: $HOME/.config/containers/auth.json:2:" "no valid JSON"
	expect_stderr_lacks "$secret"
	expect_equal "$(cat .config/containers/auth.json)" "$(printf '{\n "auths": %s}' "$secret")"
)

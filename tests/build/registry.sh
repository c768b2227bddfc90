# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the tests of docker:// sources share: a scripted registry (tests/registry_server.py) for a case, images to pull from it
# (tests/layout.py), and what is expected of a build. At the top of a file:
#
#	make_app                     the image team/app:1 with the layers $app_layers and the configuration $app_config
#	layout COMMAND NAME …        tests/layout.py COMMAND, NAME is a repository
# In a case:
#	registry WORD…               starts a server with these settings and rules; $at is its host:port, $requests its log, and
#	                             $store_at $token_at $plain_at $proxy_at are its other listeners
#	knows_password [HOST [PASSWORD]]  the file of a user who has logged in, by default at $at
#	asked FILTER                 how many requests a jq filter selects
#	expect_asked N FILTER
#	builds [SOURCE [OPTION…]]    simg build makes x.simg of it, by default of docker://$at/team/app:1
#	refuses [SOURCE [OPTION…]]   simg build refuses it: status 1, one line of error, nothing left behind
#	expect_app                   x.simg is team/app:1, and no secret is in it, in the cache or in the output
#
# Each case has a home and a cache of its own, short waits between tries, and nothing of the machine's configuration.

images=$file_dir/images registry_errors=()
export CONTAINERS_REGISTRIES_CONF=$file_dir/registries.conf SIMG_RETRY_WAIT_MS=10 SIMG_STALL_SECONDS=1
: >"$CONTAINERS_REGISTRIES_CONF"
unset XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_CACHE_HOME DOCKER_CONFIG REGISTRY_AUTH_FILE SIMG_DOCKER_USERNAME SIMG_DOCKER_PASSWORD \
	http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR

# Every secret of these tests has this word in it, also the server's tokens and signed URLs.
user_name=tester
password='my S3cret:pass"word\x'

layout() {
	local command=$1 name=$2
	shift 2
	"$top/tests/layout.py" "$command" "$images/$name" "$@"
}

make_app() {
	app_digest=$(layout image team/app 1 <<-'END'
		config '{"config": {"Env": ["COLOUR=red"], "Cmd": ["/bin/hello"]}}'
		layer gzip
		dir bin
		file bin/hello "hello\n" mode=0755
		file gone "not in the image\n"
		random data 20000
		layer zstd
		whiteout gone
		symlink link data
		random more 10000
	END
	)
	app_data=$(random_file data 20000) app_more=$(random_file more 10000)
	app_config=$(layout cat team/app 1 | jq -r .config.digest)
	app_layers=$(layout cat team/app 1 | jq -r '.layers[].digest')
	chmod -R a+rX "$images"
}

# The lines of x.simg's listing that the image itself brings.
app_listing='drwxr-xr-x 0/0 28 bin
-rwxr-xr-x 0/0 6 bin/hello
-rw-r--r-- 0/0 20000 data
lrwxrwxrwx 0/0 4 link -> data
-rw-r--r-- 0/0 10000 more'

registry() {
	local state
	state=$(mktemp -d "$case_dir/registry.XXXXXX")
	[ -n "${HOME_of_case-}" ] || own_home
	"$top/tests/registry_server.py" "$images" "$state" "$@" 3>&- 2>"$state/errors" &
	registry_pid=$! registry_errors+=("$state/errors")
	cleanup end_registry $registry_pid
	until [ -e "$state/ports" ]; do
		kill -0 $registry_pid || { cat "$state/errors"; fail "the scripted registry did not start"; }
		sleep 0.02
	done
	# shellcheck disable=SC1091
	. "$state/ports"
	at=127.0.0.1:$registry_port store_at=127.0.0.2:$store_port token_at=127.0.0.1:$token_port
	plain_at=127.0.0.1:$plain_port proxy_at=127.0.0.1:$proxy_port
	requests=$state/requests
}

end_registry() {
	kill "$1" 2>/dev/null || :
	wait "$1" || :
}

own_home() {
	HOME_of_case=$case_dir/home
	export HOME=$HOME_of_case SIMG_CACHE_DIR=$case_dir/cache
	mkdir -p "$HOME"
}

# knows_password [HOST [PASSWORD]]: as if the user had logged in.
knows_password() {
	local file=$HOME/.config/containers/auth.json secret
	secret=$(printf '%s:%s' "$user_name" "${2-$password}" | base64 -w0)
	mkdir -p "${file%/*}"
	[ -e "$file" ] || echo '{}' >"$file"
	jq --arg host "${1-$at}" --arg auth "$secret" '.auths[$host].auth = $auth' "$file" >"$file.new"
	mv "$file.new" "$file"
}

asked() { jq -c "select($1)" "$requests" | wc -l; }

expect_asked() {
	local count
	count=$(asked "$2")
	[ "$count" = "$1" ] || { jq -c . "$requests"; fail "$count requests, not $1, are: $2"; }
}

build_from() {
	local source=${1-docker://$at/team/app:1}
	shift $(($# < 1 ? $# : 1))
	run timeout 60 simg build "$@" -f x.simg "$source"
	expect_no_error_of_registry
}

builds() {
	build_from "$@"
	expect_status 0
	[ -s x.simg ] || fail "there is no x.simg"
	expect_no_secret
}

refuses() {
	rm -f x.simg
	build_from "$@"
	expect_status 1
	expect_stdout ""
	expect_equal "$(grep -c '^simg: error: ' "$stderr")" 1
	expect_equal "$(find . -maxdepth 1 -name '*.simg*')" ""
	expect_no_secret
}

expect_app() {
	expect_equal "$(listing x.simg | grep -vE '\.simg|singularity')" "$app_listing"
	expect_equal "$(content x.simg bin/hello)" hello
	expect_equal "$(content x.simg data | sha256sum)" "$app_data"
	expect_equal "$(content x.simg more | sha256sum)" "$app_more"
}

random_file() { /usr/bin/python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(sys.argv[1]).randbytes(int(sys.argv[2])))' "$1" "$2" | sha256sum; }

expect_no_error_of_registry() {
	[ ${#registry_errors[@]} = 0 ] || [ -z "$(cat "${registry_errors[@]}")" ] || { cat "${registry_errors[@]}"; fail "the scripted registry went wrong"; }
}

# Neither the password, as it is and as it travels, nor a token or a signature. What the image holds is compressed: it is unpacked for this.
expect_no_secret() {
	rm -rf unpacked
	[ ! -e x.simg ] || unsquashfs -quiet -no-progress -no-xattrs -d unpacked x.simg >/dev/null
	! grep -rFl -e S3cret -e TokenSecret -e SignatureSecret -e "$(printf '%s:%s' "$user_name" "$password" | base64 -w0)" \
		"$stdout" "$stderr" $(find . -maxdepth 1 -name cache -o -name unpacked) || fail "a secret is in these files"
}

# tls/: an authority of the case's own, a server's certificate by it, and a client's.
tls_files() {
	local names="IP:127.0.0.1,IP:127.0.0.2,DNS:localhost,DNS:registry.test,DNS:mirror.test,DNS:registry-1.docker.io"
	mkdir tls
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls/ca.key -out tls/ca.crt -days 2 -subj "/CN=Test CA" 2>/dev/null
	tls_certificate server "subjectAltName=$names"
	tls_certificate client "extendedKeyUsage=clientAuth"
}

# tls_certificate NAME EXTENSION [DAYS]
tls_certificate() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "tls/$1.key" -out "tls/$1.csr" -subj "/CN=$1" 2>/dev/null
	openssl x509 -req -in "tls/$1.csr" -CA tls/ca.crt -CAkey tls/ca.key -CAcreateserial -days "${3-2}" -out "tls/$1.crt" \
		-extfile <(echo "$2") 2>/dev/null
}

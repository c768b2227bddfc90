#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The ways to a registry: with TLS and its certificates, through a proxy, over a mirror, or not at all.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
. "$(dirname "$0")/registry.sh"
need /usr/bin/python3 zstd jq unsquashfs openssl
make_app
layout image library/debian latest <<<"layer gzip
	file name debian" >/dev/null
account=$user_name:$password

# Certificates for a registry as containers-certs.d(5) has them; mirrors, hosts and the like in registries.conf.
certs_of() { mkdir -p "$HOME/.config/containers/certs.d/$1" && echo "$HOME/.config/containers/certs.d/$1"; }
registries_conf() {
	export CONTAINERS_REGISTRIES_CONF=$PWD/registries.conf
	cat >"$CONTAINERS_REGISTRIES_CONF"
}

# A registry with TLS that is reached as registry.test, through the proxy: no loopback address, for which certificates count less.
registry_test() {
	[ -e tls ] || tls_files
	registry tls="$PWD/tls" "$@"
	export HTTPS_PROXY=http://$proxy_at
}

# --- TLS ---

(
	t "a certificate by an unknown authority is refused, with the place for the authority's own"
	registry_test
	refuses docker://registry.test/team/app:1
	expect_stderr_has "registry.test" "certs.d/registry.test"
	expect_asked 0 '.at == "registry"'
)

(
	t "an authority in certs.d is believed, for its registry alone"
	registry_test
	cp tls/ca.crt "$(certs_of registry.test)/ca.crt"
	builds docker://registry.test/team/app:1
	expect_app
	rm -rf cache
	refuses docker://registry.test:5000/team/app:1
	refuses docker://mirror.test/team/app:1
)

(
	t "an authority that the whole system believes is believed"
	registry_test
	export SSL_CERT_FILE=$PWD/tls/ca.crt
	builds docker://registry.test/team/app:1
	expect_app
)

(
	t "a certificate for another host, or of yesterday, is refused"
	tls_files
	tls_certificate server "subjectAltName=DNS:another.test"
	registry_test
	cp tls/ca.crt "$(certs_of registry.test)/ca.crt"
	refuses docker://registry.test/team/app:1
	expect_stderr_has "registry.test"
	tls_certificate server "subjectAltName=DNS:registry.test" -1
	registry_test
	refuses docker://registry.test/team/app:1
	expect_stderr_has "expired"
)

(
	t "a registry that wants the client's certificate gets that of certs.d"
	tls_files
	registry_test client-ca="$PWD/tls/ca.crt"
	certs=$(certs_of registry.test)
	cp tls/ca.crt "$certs/ca.crt"
	refuses docker://registry.test/team/app:1
	cp tls/client.crt "$certs/client.cert"
	cp tls/client.key "$certs/client.key"
	builds docker://registry.test/team/app:1
	expect_app
)

(
	t "insecure = true in registries.conf takes any certificate, and a registry without TLS"
	registry_test
	registries_conf <<-'END'
		[[registry]]
		location = "registry.test"
		insecure = true
	END
	builds docker://registry.test/team/app:1
	expect_app
	rm -rf cache
	registry
	export HTTP_PROXY=http://$proxy_at HTTPS_PROXY=http://$proxy_at http_proxy=http://$proxy_at
	builds docker://registry.test/team/app:1
	expect_app
)

(
	t "a registry without TLS is refused if nothing says that it may be"
	registry
	export HTTP_PROXY=http://$proxy_at HTTPS_PROXY=http://$proxy_at http_proxy=http://$proxy_at
	refuses docker://registry.test/team/app:1
	expect_stderr_has "registry.test" "insecure"
	expect_asked 0 '.at == "registry"'
)

(
	t "a registry without TLS that fails is not told to speak https"
	registry 'ping hangup'
	refuses
	expect_stderr_has "the connection to '$at' broke"
	! grep -q -e https -e insecure "$stderr" || fail "it is told of https"
)

(
	t "a redirect from https to http is not followed"
	registry_test 'blob redirect {plain}{path}'
	cp tls/ca.crt "$(certs_of registry.test)/ca.crt"
	refuses docker://registry.test/team/app:1
	expect_asked 0 '.at == "plain"'
)

(
	t "a token is not asked for without TLS"
	registry_test auth=bearer user="$account" realm=http://127.0.0.1:1/token
	cp tls/ca.crt "$(certs_of registry.test)/ca.crt"
	knows_password registry.test
	refuses docker://registry.test/team/app:1
	expect_stderr_has "registry.test"
	rm "$requests"
	registry auth=bearer user="$account" # any server, to look whether the password came
	token_service=$at token_requests=$requests
	registry_test auth=bearer user="$account" realm="http://$token_service/token"
	refuses docker://registry.test/team/app:1
	requests=$token_requests
	expect_asked 0 .
)

# --- proxies ---

(
	t "docker.io is asked at its real address and under library/"
	registry_test auth=bearer user="$account"
	cp tls/ca.crt "$(certs_of docker.io)/ca.crt"
	cp tls/ca.crt "$(certs_of registry-1.docker.io)/ca.crt"
	knows_password https://index.docker.io/v1/
	export NO_PROXY=127.0.0.1
	SSL_CERT_FILE=$PWD/tls/ca.crt builds docker://debian
	expect_equal "$(content x.simg name)" debian
	expect_asked 0 '.at == "proxy" and .path != "registry-1.docker.io:443"'
	[ "$(asked '.at == "proxy"')" -ge 1 ] || fail "the proxy was not asked"
	expect_asked 1 '.method == "GET" and (.path | startswith("/v2/library/debian/manifests/"))'
	expect_asked 1 '.path == "/token" and .authorization == "Basic tester"'
)

(
	t "a proxy that wants a password gets it, and it is nowhere to be seen"
	registry_test proxy-user=me:S3cret
	cp tls/ca.crt "$(certs_of registry.test)/ca.crt"
	refuses docker://registry.test/team/app:1
	expect_stderr_has "the proxy refuses to lead there (407)" "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
	expect_asked 1 '.at == "proxy" and .status == 407'
	export HTTPS_PROXY=http://me:S3cret@$proxy_at
	builds docker://registry.test/team/app:1
	expect_app
	kill "$registry_pid"
	rm -rf cache
	refuses docker://registry.test/team/app:1
)

(
	t "a proxy that is away is blamed itself, without its password"
	registry
	HTTPS_PROXY=http://me:S3cret@127.0.0.1:1 refuses docker://registry.test/team/app:1
	expect_stderr_has "cannot reach 'registry.test': no connection to the proxy '127.0.0.1:1': Connection refused" "HTTPS_PROXY and NO_PROXY"
	HTTPS_PROXY=http://127.0.0.1:1 NO_PROXY=127.0.0.3 refuses docker://127.0.0.3:1/team/app:1
	! grep -q -i proxy "$stderr" || fail "a proxy is blamed that was not asked"
)

(
	t "a proxy is not asked where NO_PROXY says so"
	registry
	export HTTP_PROXY=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1 http_proxy=http://127.0.0.1:1 NO_PROXY=localhost,127.0.0.0/8,127.0.0.1
	builds
	expect_app
)

# --- registries.conf ---

# A mirror of registry.test at $mirror, with its own log.
mirror() {
	registry "$@"
	mirror=$at mirror_requests=$requests
}

# mirrored [LINE]: other.test is the registry at $at, with that mirror, about which LINE says more.
mirrored() {
	registries_conf <<-END
		[[registry]]
		prefix = "other.test"
		location = "$at"
		[[registry.mirror]]
		location = "$mirror"
		${1-}
	END
}

(
	t "a mirror is asked first, and the registry not at all"
	mirror
	registry
	mirrored
	builds docker://other.test/team/app:1
	expect_app
	expect_asked 0 .
)

(
	t "a prefix is replaced, for the registry as for its mirror"
	mirror 'layer status 404'
	registry
	registries_conf <<-END
		[[registry]]
		prefix = "other.test/our/old"
		location = "$at/team"
		[[registry.mirror]]
		location = "$mirror/team"
	END
	builds docker://other.test/our/old/app:1
	expect_app
	[ "$(asked .)" -ge 2 ] || fail "the registry was not asked"
)

(
	t "a mirror that lacks the image, is broken or away is passed over"
	registry
	origin=$at
	for conduct in 'any status 404' 'any status 500' 'any status 403' 'any hangup' 'any header X: y'; do
		rm -rf cache
		mirror "$conduct"
		[ "$conduct" != 'any header X: y' ] || kill "$registry_pid"
		at=$origin
		mirrored
		builds docker://other.test/team/app:1
		expect_app
	done
)

(
	t "a mirror that breaks in the middle is left for the registry, layer by layer"
	mirror 'layer status 404'
	registry
	mirrored
	builds docker://other.test/team/app:1
	expect_app
)

(
	t "a mirror that serves wrong bytes is left for the registry"
	mirror 'layer flip 9'
	registry
	mirrored
	builds docker://other.test/team/app:1
	expect_app
)

(
	t "a mirror is not blamed for what an earlier download left"
	mirror
	registry
	mirrored
	first_layer=${app_layers%%$'\n'*}
	mkdir -p cache/partial
	head -c "$(layout cat team/app "$first_layer" | wc -c)" /dev/zero >"cache/partial/$(tr : - <<<"$first_layer")"
	builds docker://other.test/team/app:1
	expect_app
	expect_stderr ""
	expect_asked 0 .
)

(
	t "a mirror gets no password of the registry that it mirrors"
	mirror auth=basic user="$account"
	registry auth=basic user="$account"
	mirrored
	knows_password other.test
	knows_password "$at"
	builds docker://other.test/team/app:1
	expect_app
	requests=$mirror_requests
	expect_asked 0 '.authorization'
)

(
	t "a mirror gets its own password"
	mirror auth=basic user="$account"
	registry
	mirrored
	knows_password "$mirror"
	builds docker://other.test/team/app:1
	expect_app
	expect_asked 0 .
)

(
	t "a mirror for digests is asked for the blobs, and not for the tag"
	mirror
	registry
	mirrored 'pull-from-mirror = "digest-only"'
	builds docker://other.test/team/app:1
	expect_app
	requests=$mirror_requests
	expect_asked 0 '.path == "/v2/team/app/manifests/1"'
)

(
	t "a blocked registry is not asked, and the file that blocks it is named"
	registry
	registries_conf <<-END
		[[registry]]
		location = "$at"
		blocked = true
	END
	refuses
	expect_stderr_has "$at" "registries.conf" "block"
	expect_asked 0 .
)

(
	t "a registries.conf that is none is named with the line"
	registry
	registries_conf <<<'[[registry]
location = 7'
	refuses
	expect_stderr_has "registries.conf"
	expect_asked 0 .
)

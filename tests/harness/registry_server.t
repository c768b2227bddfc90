#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The tools that the tests of registries stand on: the scripted registry does what its manual says, and skopeo and umoci can
# read what tests/layout.py makes.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/build/registry.sh"
need /usr/bin/python3 zstd jq curl
make_app
manifest_types="Accept: application/vnd.oci.image.manifest.v1+json"

get() { run curl -sS -i -H "$manifest_types" --max-time 20 "$@"; }

(
	t "umoci unpacks an image of the generator, with whiteouts and links"
	need umoci
	layout image other 1 <<-'END' >digest
		docker
		layer gzip
		file a/b/file text
		file gone text
		dir full
		file full/old text
		layer plain
		whiteout gone
		opaque full
		file full/new "two\nlines" mode=0600
		hardlink full/link full/new
		symlink a/link b
		layer gzip-members
		random data 5000
	END
	layout index other all linux/amd64=1 linux/arm64=1
	layout cat other 1 | jq -c '.mediaType = "application/vnd.oci.image.manifest.v1+json"
		| (.layers[], .config) |= (.mediaType |= (sub("vnd.docker.container.image"; "vnd.oci.image.config")
		| sub("vnd.docker.image.rootfs.diff.tar"; "vnd.oci.image.layer.v1.tar") | sub("tar.gzip"; "tar+gzip")))' | layout put other 2
	run umoci unpack --image "$images/other:2" --rootless bundle
	expect_status 0
	expect_equal "$(cd bundle/rootfs && find . -type f -o -type l | sort | tr '\n' ' ')" \
		"./a/b/file ./a/link ./data ./full/link ./full/new "
	expect_equal "$(cat bundle/rootfs/full/link)" "two
lines"
)

(
	t "skopeo copies an image from the scripted registry, with a token and redirects"
	need skopeo
	registry auth=bearer user="$user_name:$password" realm=other 'blob redirect {store}'
	run skopeo copy -q --src-tls-verify=false --src-creds "$user_name:$password" "docker://$at/team/app:1" oci:out:1
	expect_status 0
	expect_equal "$(find out/blobs -type f -printf '%f\n' | sort)" \
		"$(printf '%s\n' "$app_digest" "$app_config" $app_layers | cut -d: -f2 | sort)"
	expect_asked 1 '.at == "token" and .authorization == "Basic tester"'
	expect_asked 0 '.at == "store" and .authorization != null'
)

(
	t "a blob comes whole, in parts, chunked, until the connection closes, or cut"
	registry 'layer 1 header X-Test: {date+0}' 'layer 3 chunked' 'layer 4 until-close' 'layer 5 cut 100' 'layer 6 shift 10' \
		'layer 7 status 503 Retry-After:7'
	set -- $app_layers
	layout cat team/app "$1" >blob
	url=http://$at/v2/team/app/blobs/$1
	for part in 0 1000; do
		run curl -sS -D head -H "Range: bytes=$part-" "$url"
		cmp "$stdout" <(tail -c +$((part + 1)) blob)
		grep -q "^Content-Range: bytes $part-$(($(wc -c <blob) - 1))/$(wc -c <blob)" head
	done
	run curl -sS "$url"
	cmp "$stdout" blob
	run curl -sS "$url"
	cmp "$stdout" blob
	run curl -sS "$url"
	expect_status 18
	expect_equal "$(wc -c <"$stdout")" 100
	run curl -sS -D head -H "Range: bytes=50-" "$url"
	grep -q "^Content-Range: bytes 60-" head
	get "$url"
	expect_stdout_has "503" "Retry-After: 7"
	expect_equal "$(jq -r .range "$requests" | head -n 2 | tr '\n' ' ')" "bytes=0- bytes=1000- "
)

(
	t "tokens end, and a request without one is asked in the form that the test wants"
	registry auth=bearer token-uses=1 challenge=several-headers token-bytes=100
	get "http://$at/v2/"
	expect_stdout_has "401" "Negotiate" 'Bearer realm="http://'
	token=$(curl -sS "http://$at/token?scope=repository:team/app:pull" | jq -r .token)
	get -H "Authorization: Bearer $token" "http://$at/v2/team/app/manifests/1"
	expect_stdout_has "200 OK" "$app_config"
	get -H "Authorization: Bearer $token" "http://$at/v2/team/app/manifests/1"
	expect_stdout_has "401" "invalid_token"
	expect_asked 2 '.authorization == "Bearer 1"'
)

(
	t "a signed URL needs no Authorization, allows none, and ends"
	registry signed-uses=1 'layer redirect {store}'
	set -- $app_layers
	url=$(curl -sS -o /dev/null -w '%{redirect_url}' "http://$at/v2/team/app/blobs/$1")
	get -H "Authorization: Basic eDp5" "$url"
	expect_stdout_has "400" "Only one auth mechanism"
	get -o /dev/null -w '%{http_code}' "$url"
	expect_stdout 200
	get "$url"
	expect_stdout_has "403"
)

(
	t "a proxy leads to the registry by any name, also through TLS"
	need openssl
	tls_files
	registry tls="$PWD/tls" proxy-user=me:proxy
	get --proxy "http://me:proxy@$proxy_at" --cacert tls/ca.crt "https://registry-1.docker.io/v2/"
	expect_stdout_has "200 OK" "{}"
	expect_asked 1 '.at == "proxy" and .path == "registry-1.docker.io:443"'
	get --proxy "http://me:proxy@$proxy_at" "http://registry.test/v2/"
	expect_asked 2 '.at == "proxy"'
	get --proxy "http://$proxy_at" --cacert tls/ca.crt "https://registry.test/v2/"
	expect_stderr_has "407"
)

(
	t "the scripted registry ends with the process that started it"
	mkdir state
	bash -c '"$0" "$1" state & while [ ! -e state/ports ]; do sleep 0.05; done; echo $! >pid' "$top/tests/registry_server.py" "$images" 3>&-
	gone() { ! kill -0 "$(cat pid)" 2>/dev/null; }
	eventually gone
)

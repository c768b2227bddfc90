#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg build from a registry: what goes over the wire, and what the client does when that goes wrong.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
. "$(dirname "$0")/registry.sh"
need /usr/bin/python3 zstd jq unsquashfs
make_app
set -- $app_layers
first_layer=$1 first_bytes=$(layout cat team/app "$1" | wc -c)

# An image of one layer, whose requests have an order.
layout image one 1 <<<"layer gzip
	random data 20000" >/dev/null
expect_one() { expect_equal "$(content x.simg data | sha256sum)" "$app_data"; }

# The parts that were asked of the first layer, in order; "-" is all of it.
parts_of_first() { jq -r "select(.path | endswith(\"$first_layer\")) | .range // \"-\"" "$requests" | tr '\n' ' '; }

# --- what is asked for ---

(
	t "an image is built from a registry, and each of its parts is asked for once"
	registry
	builds
	expect_app
	expect_asked 1 '.method == "GET" and (.path | contains("/manifests/"))'
	for digest in $app_config $app_layers; do expect_asked 1 ".path | endswith(\"$digest\")"; done
	expect_asked 0 '.status >= 400'
)

(
	t "the client says who it is and what it understands, and asks for no encoding"
	registry
	builds
	expect_asked 0 '.agent | startswith("simg/") | not'
	for type in oci.image.manifest.v1 oci.image.index.v1 docker.distribution.manifest.v2 docker.distribution.manifest.list.v2; do
		expect_asked 0 "(.path | contains(\"/manifests/\")) and (.accept | contains(\"application/vnd.$type+json\") | not)"
	done
	expect_asked 0 '(.encoding // "identity") != "identity"'
)

(
	t "a digest names what is built, with and without a tag, and a tag beside it is not asked for"
	registry
	for reference in "team/app@$app_digest" "team/app:no-such-tag@$app_digest"; do
		rm -rf cache
		builds "docker://$at/$reference"
		expect_app
	done
	expect_asked 0 '.path | contains("no-such-tag")'
)

(
	t "a second build takes everything from the cache, and asks only whether the tag is still the same"
	registry
	builds
	: >"$requests"
	builds
	expect_app
	expect_asked 1 '.method == "HEAD" and .path == "/v2/team/app/manifests/1"'
	expect_asked 0 '(.path | contains("/blobs/")) or (.method == "GET" and (.path | contains("/manifests/")))'
)

(
	t "a tag that moves is noticed"
	layout image moving 1 <<<"layer gzip
		file version one" >/dev/null
	registry
	builds "docker://$at/moving:1"
	expect_equal "$(content x.simg version)" one
	layout image moving 1 <<<"layer gzip
		file version two" >/dev/null
	builds "docker://$at/moving:1"
	expect_equal "$(content x.simg version)" two
)

(
	t "a layer that occurs twice is fetched once"
	layout image twice 1 <<-'END' >/dev/null
		layer gzip
		file a text
		random data 20000
		layer gzip
		whiteout a
		repeat 1
	END
	registry "layer drip 600" # so slow that one waits for the other
	builds "docker://$at/twice:1"
	expect_equal "$(content x.simg a)" text
	expect_stderr_lacks "another build"
	expect_asked 1 ".path | endswith(\"$(layout cat twice 1 | jq -r '.layers[0].digest')\")"
)

# --- redirects ---

for code in 301 302 303 307 308; do
	(
		t "blobs are fetched from where a $code leads, without a credential of the registry"
		registry auth=basic user="$user_name:$password" "blob redirect $code {store}"
		knows_password
		builds
		expect_app
		expect_asked 3 '.at == "store" and .status == 200'
		expect_asked 0 '.at == "store" and .authorization'
		expect_asked 0 '.at == "store" and .host != "'"$store_at"'"'
	)
done

(
	t "a redirect without a host stays at the registry"
	registry 'layer 1 redirect /v2/team/app/blobs/'"$first_layer"
	builds
	expect_app
)

(
	t "a signed URL that has expired is not used again: the registry is asked for a new one"
	registry signed-uses=1 'blob redirect {store}' 'store 2-3 cut 5000'
	builds
	expect_app
	expect_asked 0 '.at == "store" and .status == 403'
)

(
	t "a signed URL that is refused at once is asked for again"
	registry 'blob redirect {store}' 'store 1 status 403'
	builds
	expect_app
)

(
	t "a storage that refuses every signed URL is named"
	registry 'blob redirect {store}' 'store status 403'
	refuses
	expect_stderr_has "$store_at" "403"
)

(
	t "a redirect that leads to itself, or ever further, ends"
	for url in '{path}' '{path}?again={count}'; do
		registry "blob redirect $url"
		refuses
		expect_stderr_has "redirect"
		[ "$(asked '.path | contains("/blobs/")')" -lt 100 ] || fail "it was followed $(asked .) times"
	done
)

for url in file:///etc/passwd ftp://127.0.0.1/blob gopher://127.0.0.1/blob; do
	(
		t "a redirect to ${url%%:*}: is refused"
		registry "layer redirect $url"
		refuses
	)
done

(
	t "a redirect that leads nowhere is refused"
	registry "blob status 307"
	refuses
	expect_stderr_has "$at" "307"
)

# --- what breaks off is continued ---

(
	t "a connection that is cut is continued where it ended"
	registry 'layer 1-3 cut 5000'
	builds
	expect_app
	cut=$(asked '.range')
	[ "$cut" -ge 1 ] || fail "no part was asked for"
)

(
	t "a layer that is cut again and again comes in parts"
	registry 'layer 1-3 cut 5000'
	builds "docker://$at/one:1"
	expect_equal "$(jq -r 'select(.path | contains("/blobs/")) | .range // empty' "$requests" | tr '\n' ' ')" \
		"bytes=5000- bytes=10000- bytes=15000- "
	expect_one
)

(
	t "a connection is cut before the first byte, before the headers, and with the last byte missing"
	registry 'blob 1 hangup' 'manifest 1 hangup' 'resolve 1 hangup' 'config 1 cut 0' "layer 1 cut $((first_bytes - 1))" 'layer 2 cut 0'
	builds
	expect_app
)

(
	t "a manifest and a configuration that are cut are asked for again"
	registry 'manifest 1-2 cut 100' 'config 1-2 cut 10'
	builds
	expect_app
)

(
	t "a registry that always breaks off is given up"
	registry 'layer cut 0'
	refuses
	expect_stderr_has "$at"
	[ "$(asked '.path | contains("/blobs/")')" -le 40 ] || fail "it was asked $(asked .) times"
)

for code in 500 502 503 504; do
	(
		t "a registry that answers $code a few times is asked again"
		registry "any 1-3 status $code"
		builds
		expect_app
	)
done

(
	t "a registry that answers 503 for ever is given up, with what it says"
	registry 'manifest status 503' 'resolve status 503' error-text="we are tired"
	refuses
	expect_stderr_has "$at" "503"
	[ "$(asked .)" -le 12 ] || fail "it was asked $(asked .) times"
)

(
	t "nothing that the registry refuses for good is asked for twice"
	for code in 400 403 404 405; do
		registry "layer status $code" error-text="because of the test"
		refuses
		expect_stderr_has "$at" "because of the test"
		expect_equal "$(jq -r 'select(.path | contains("/blobs/")) | .path' "$requests" | sort | uniq -d)" ""
	done
)

(
	t "no server at all is said to be none"
	registry
	kill "$registry_pid"
	wait "$registry_pid" || :
	refuses
	expect_stderr_has "$at"
)

# --- rate limits ---

(
	t "429 is waited for as long as the registry says"
	registry 'manifest 1 status 429 Retry-After:1' 'layer 1 status 429 Retry-After:1'
	started=$(date +%s%N)
	builds
	expect_app
	[ $((($(date +%s%N) - started) / 1000000)) -ge 1900 ] || fail "it did not wait"
)

(
	t "429 with a date is waited for until then, and without either for a moment"
	registry 'manifest 1 status 429 Retry-After:{date+2}' 'layer 1 status 429'
	started=$(date +%s%N)
	builds
	expect_app
	[ $((($(date +%s%N) - started) / 1000000)) -ge 900 ] || fail "it did not wait"
)

(
	t "a Retry-After of nonsense, of the past or of weeks does not hold a build up"
	for value in soon -5 0 99999999999999999999 1209600 'Thu,01Jan1970'; do
		registry "manifest 1 status 429 Retry-After:$value"
		rm -rf cache x.simg
		run timeout 20 simg build x.simg "docker://$at/team/app:1"
		[ "$status" -le 1 ] || fail "with $value the status is $status"
	done
)

(
	t "429 for ever is given up, with the limit that the registry tells"
	registry 'any status 429 RateLimit-Limit:100;w=21600 RateLimit-Remaining:0;w=21600 Docker-RateLimit-Source:192.0.2.7'
	refuses
	expect_stderr_has "$at" "429"
	[ "$(asked .)" -le 12 ] || fail "it was asked $(asked .) times"
)

# --- slow and stuck ---

(
	t "a slow connection is no reason to give up"
	registry 'layer drip 1000'
	builds
	expect_app
)

(
	t "a connection on which nothing comes any more is given up, and the rest asked for"
	registry "layer 1 stall 50"
	builds "docker://$at/one:1"
	expect_one
	expect_asked 1 '.range == "bytes=50-"'
)

(
	t "a registry that always falls silent is given up"
	registry 'layer stall 0'
	refuses
	expect_stderr_has "$at"
)

# --- parts ---

(
	t "a server that ignores Range sends the whole again, and that is understood"
	registry 'layer 1-2 cut 5000' 'layer 3- whole'
	builds
	expect_app
)

(
	t "a part that is not the one that was asked for is not taken"
	registry 'layer 1-2 cut 5000' 'layer 3-4 shift 100'
	builds
	expect_app
)

(
	t "a part with wrong bytes is noticed, and the layer is fetched anew"
	registry 'layer 1-2 cut 5000' 'layer 3- lie 100'
	builds
	expect_app
)

(
	t "an image that lacks a layer has to be pushed again"
	registry 'layer status 404'
	refuses
	expect_stderr_has "has no such blob" "simg: hint: the image is incomplete there: it has to be pushed again"
)

# Writes a download that was interrupted into the cache.
interrupted() {
	mkdir -p cache/partial
	cat >"cache/partial/$(tr : - <<<"$first_layer")"
}

(
	t "an interrupted download is continued"
	registry
	layout cat team/app "$first_layer" | head -c 12345 | interrupted
	builds
	expect_app
	expect_equal "$(parts_of_first)" "bytes=12345- "
)

(
	t "an interrupted download that is damaged is begun anew by itself"
	registry
	head -c 12345 /dev/zero | interrupted
	builds
	expect_app
)

(
	t "an interrupted download that is complete, or too long, is of no harm"
	for bytes in "$first_bytes" $((first_bytes + 10)); do
		registry
		rm -rf cache
		{ layout cat team/app "$first_layer"; echo "more than enough"; } | head -c "$bytes" | interrupted
		builds
		expect_app
	done
)

(
	t "a registry that has no part of a blob left to give (416) is asked for all of it"
	registry 'layer 1 cut 5000' 'layer 2 status 416'
	builds "docker://$at/one:1"
	expect_one
)

# --- lengths, digests ---

(
	t "a blob comes without a length: chunked, or until the connection ends"
	for framing in chunked until-close; do
		registry "any $framing"
		rm -rf cache
		builds
		expect_app
	done
)

(
	t "a blob without a length that is cut is noticed and continued"
	registry 'layer 1-2 until-close' 'layer 3 chunked' 'layer 1-3 cut 5000'
	builds
	expect_app
)

for part in layer config; do
	for damage in 'flip 5' 'shorten 1' 'lengthen 1'; do
		(
			t "a $part that is not what the digest says is refused: $damage"
			registry "$part $damage"
			refuses
			expect_stderr_has "$at"
			expect_equal "$(jq -r .path "$requests" | grep blobs | sort | uniq -c | awk '$1 > 2')" ""
			find cache -path '*/blobs/*' -type f | while read -r file; do
				expect_equal "$(sha256sum <"$file" | cut -d' ' -f1)" "${file##*/}"
			done
		)
	done
done

(
	t "a manifest that is not what the digest says is refused"
	for damage in 'flip 5' 'shorten 1' 'lengthen 1'; do
		registry "manifest $damage"
		refuses "docker://$at/team/app@$app_digest"
		expect_stderr_has "$app_digest"
		registry "manifest $damage"
		refuses
	done
)

# --- heads ---

(
	t "a registry without HEAD is asked with GET"
	for code in 405 404 400; do
		registry "resolve status $code"
		rm -rf cache
		builds
		expect_app
	done
)

(
	t "a HEAD without a digest is completed with GET"
	registry 'resolve header Docker-Content-Digest:' 'manifest header Docker-Content-Digest:'
	builds
	expect_app
)

(
	t "a digest in a header that is none, or another one, makes no image"
	for digest in sha256:1234 md5:d41d8cd98f00b204e9800998ecf8427e "sha256:$(printf '%064d' 0)" ../../../../etc/passwd; do
		registry "any header Docker-Content-Digest:$digest"
		rm -rf cache x.simg
		build_from
		if [ "$status" = 0 ]; then expect_app; else expect_status 1; fi
		[ "$digest" != "sha256:$(printf '%064d' 0)" ] || expect_status 1
	done
)

# --- words of the registry ---

(
	t "a warning of the registry is shown once, and not with --quiet"
	registry 'any header Warning: 299 - "this tag goes away in May"'
	builds
	expect_equal "$(grep -c "this tag goes away in May" "$stderr")" 1
	rm -rf cache
	builds "docker://$at/team/app:1" --quiet
	expect_stderr ""
)

(
	t "what the registry says cannot command the terminal"
	registry 'manifest status 403' 'resolve status 403' error-text='\x1b[31mred\x07\nsimg: error: forged' 
	build_from
	expect_status 1
	! grep -q $'[\e\a]' "$stderr" || fail "control characters came through"
	expect_equal "$(grep -c '^simg: error: ' "$stderr")" 1
)

(
	t "headers without end are no use to anybody"
	registry "any header X-Long: $(head -c 60000 /dev/zero | tr '\0' x)" "any header X-Too-Long: $(head -c 120000 /dev/zero | tr '\0' x)" \
		"any header X-Much-Too-Long: $(head -c 130000 /dev/zero | tr '\0' x)"
	refuses
	expect_stderr_has "$at"
)

# --- several at once, and sudden ends ---

(
	t "ten builds at once on one cache fetch each part once"
	registry 'layer drip 2000'
	for i in $(seq 10); do
		timeout 60 simg build -q "$i.simg" "docker://$at/team/app:1" 2>"err.$i" &
		pids[i]=$!
	done
	for i in $(seq 10); do wait "${pids[i]}" || fail "build $i: $(cat "err.$i")"; done
	for i in $(seq 2 10); do cmp 1.simg "$i.simg"; done
	mv 1.simg x.simg
	expect_app
	# The configuration is so small that nobody waits for another one's.
	for digest in $app_layers; do expect_asked 1 ".path | endswith(\"$digest\")"; done
)

(
	t "a layer that fails ends a build that waits for another one's download"
	layout image lower 1 <<-'END' >/dev/null
		layer gzip
		random data 20000
	END
	layout image both 1 <<-'END' >/dev/null
		layer gzip
		random data 20000
		layer gzip
		file a text
	END
	first_layer=$(layout cat lower 1 | jq -r '.layers[0].digest')
	registry "layer drip 100"
	mkdir other
	simg build -q other/slow.simg "docker://$at/lower:1" 2>err &
	pid=$!
	partial=cache/partial/$(tr : - <<<"$first_layer")
	begun() { [ -s "$partial" ]; }
	eventually begun
	registry "layer status 404"
	begin=$SECONDS
	refuses "docker://$at/both:1"
	expect_stderr_has "$(layout cat both 1 | jq -r '.layers[1].digest')"
	[ $((SECONDS - begin)) -lt 8 ] || fail "it waited for $((SECONDS - begin)) seconds"
	kill -0 $pid || fail "the other build was not that slow"
	kill $pid
	wait $pid || :
)

(
	t "a build that is killed during a download leaves nothing but what the next one continues"
	registry 'layer 1-2 drip 1000'
	simg build -q x.simg "docker://$at/team/app:1" &
	pid=$!
	partial=cache/partial/$(tr : - <<<"$first_layer")
	begun() { [ "$(stat -c %s "$partial" 2>/dev/null || echo 0)" -ge 3000 ]; }
	eventually begun
	kill -9 $pid
	wait $pid || :
	[ ! -e x.simg ] || fail "there is an image"
	: >"$requests"
	builds
	expect_app
	expect_asked 1 "(.path | endswith(\"$first_layer\")) and (.range | test(\"^bytes=[1-9]\"))"
	expect_equal "$(find cache/partial -type f)" ""
)

(
	t "^C ends a download at once, with nothing left at the target"
	registry 'layer stall 3000'
	SIMG_STALL_SECONDS=60 simg build -q x.simg "docker://$at/team/app:1" 2>err &
	pid=$!
	begun() { [ "$(asked '.path | contains("/blobs/")')" -ge 3 ]; }
	eventually begun
	kill -TERM $pid
	code=0
	wait $pid || code=$?
	[ $code -ne 0 ] || fail "it ended well"
	expect_equal "$(find . -maxdepth 1 -name '*x.simg*')" ""
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What a registry's documents may say: which manifests become images, which are refused, and how the refusal reads.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
. "$(dirname "$0")/registry.sh"
need /usr/bin/python3 zstd jq unsquashfs
make_app

# --- what is taken ---

(
	t "Docker's manifests are taken, with layers of gzip, zstd and none"
	layout image docker 1 <<-'END' >/dev/null
		docker
		layer gzip
		file a gzip
		layer zstd
		file b zstd
		layer plain
		file c plain
	END
	registry
	builds "docker://$at/docker:1"
	expect_equal "$(content x.simg a) $(content x.simg b) $(content x.simg c)" "gzip zstd plain"
)

(
	t "OCI layers come as gzip of several members, zstd of several frames, and plain"
	layout image oci 1 <<-'END' >/dev/null
		layer gzip-members
		random a 30000
		layer zstd-frames
		random b 30000
		layer plain
		random c 30000
	END
	registry
	builds "docker://$at/oci:1"
	for name in a b c; do expect_equal "$(content x.simg $name | sha256sum)" "$(random_file $name 30000)"; done
)

(
	t "what a layer is packed with is seen in its bytes, whatever its media type says"
	layout image odd 1 <<-'END' >/dev/null
		layer zstd
		file a text
		layer plain
		file b text
	END
	layout cat odd 1 | jq -c '.layers[].mediaType = "application/vnd.oci.image.layer.v1.tar+gzip"' | layout put odd 2 >/dev/null
	registry
	builds "docker://$at/odd:2"
	expect_equal "$(content x.simg a)$(content x.simg b)" texttext
)

# Three images in an index, as builders push them: with an attestation for each.
make_index() {
	local arch
	for arch in amd64 arm64 riscv64; do
		layout image many "$arch" <<<"platform linux/$arch
			layer gzip
			file arch $arch" >/dev/null
	done
	layout put many attestation <<<'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "size": 2},
		"layers": []}' >/dev/null
	layout index many all unknown/unknown=attestation linux/riscv64=riscv64 linux/amd64=amd64 linux/arm64/v8=arm64 linux/amd64=riscv64 >/dev/null
}

(
	t "the image of the machine's architecture is taken from an index, or that of --arch"
	make_index
	registry
	case $(uname -m) in x86_64) here=amd64 ;; aarch64) here=arm64 ;; *) skip "the test has no image for $(uname -m)" ;; esac
	builds "docker://$at/many:all"
	expect_equal "$(content x.simg arch)" $here
	for arch in amd64 x86_64 arm64 aarch64 arm64/v8 linux/arm64 riscv64; do
		builds "docker://$at/many:all" --arch $arch
		expect_equal "$(content x.simg arch)" "$(sed 's/x86_64/amd64/; s/aarch64/arm64/; s,/v8,,; s,linux/,,' <<<$arch)"
	done
)

(
	t "an architecture that an index lacks is refused with those it has"
	make_index
	registry
	refuses "docker://$at/many:all" --arch s390x
	expect_stderr_has "s390x" "amd64" "arm64" "riscv64"
	expect_stderr_lacks "unknown/unknown"
)

(
	t "an index in an index is followed, ten of them are not"
	make_index
	layout index many nested -=all >/dev/null
	layout index many nest-1 -=nested >/dev/null
	registry
	builds "docker://$at/many:nested" --arch amd64
	expect_equal "$(content x.simg arch)" amd64
	for i in $(seq 9); do layout index many nest-$((i + 1)) -=nest-$i >/dev/null; done
	refuses "docker://$at/many:nest-10"
	expect_stderr_has "index"
)

(
	t "a list of Docker's is an index"
	layout image list amd64 <<<"docker
		layer gzip
		file arch amd64" >/dev/null
	layout index list all windows/amd64=amd64 linux/amd64=amd64 >/dev/null
	registry
	builds "docker://$at/list:all" --arch amd64
	expect_equal "$(content x.simg arch)" amd64
)

(
	t "an image for another architecture is built with a note if it is the only one, and refused if another was asked for"
	layout image other 1 <<<"platform linux/s390x
		layer gzip
		file a text" >/dev/null
	registry
	builds "docker://$at/other:1"
	expect_stderr_has "s390x"
	refuses "docker://$at/other:1" --arch arm64
	expect_stderr_has "s390x" "arm64"
)

(
	t "a document without a media type of its own is what the registry calls it, or what it looks like"
	layout cat team/app 1 | jq -c 'del(.mediaType)' | layout put team/app bare application/vnd.oci.image.manifest.v1+json >/dev/null
	registry
	builds "docker://$at/team/app:bare"
	expect_app
	for type in text/plain application/json 'application/vnd.oci.image.manifest.v1+json; charset=utf-8' ''; do
		rm -rf cache
		registry "manifest header Content-Type:$type" "resolve header Content-Type:$type"
		builds "docker://$at/team/app:bare"
		expect_app
	done
)

(
	t "content that is in the descriptor is not fetched, if it is right"
	data=$(layout cat team/app "$app_config" | base64 -w0)
	layout cat team/app 1 | jq -c --arg data "$data" '.config.data = $data' | layout put team/app data >/dev/null
	registry
	builds "docker://$at/team/app:data"
	expect_app
	expect_asked 0 ".path | endswith(\"$app_config\")"
)

(
	t "a layer that lies elsewhere is fetched from its address, without a credential"
	layout image foreign 1 <<<"layer gzip
		file a text" >/dev/null
	digest=$(layout cat foreign 1 | jq -r '.layers[0].digest')
	mkdir -p "$images/elsewhere/blobs/sha256"
	mv "$images/foreign/blobs/sha256/${digest#sha256:}" "$images/elsewhere/blobs/sha256/"
	registry
	elsewhere=$at
	url=http://$elsewhere/v2/elsewhere/blobs/$digest
	layout cat foreign 1 | jq -c --arg url "$url" '.layers[0].urls = ["http://127.0.0.1:1/gone", $url]
		| .layers[0].mediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"' | layout put foreign 2 >/dev/null
	elsewhere_requests=$requests
	registry auth=basic user="$user_name:$password"
	knows_password
	builds "docker://$at/foreign:2"
	expect_equal "$(content x.simg a)" text
	requests=$elsewhere_requests
	expect_asked 1 ".path | endswith(\"$digest\")"
	expect_asked 0 '.authorization'
)

(
	t "an image without a layer is an empty one"
	layout image none 1 </dev/null >/dev/null
	registry
	builds "docker://$at/none:1"
)

# --- what is refused ---

# refused_document SENTENCE JQ-FILTER TEXT…: team/app:1's manifest, changed by the filter.
refused_document() (
	t "refused: $1"
	filter=$2
	shift 2
	layout cat team/app 1 | jq -c "$filter" | layout put team/app bad application/vnd.oci.image.manifest.v1+json >/dev/null
	registry
	refuses "docker://$at/team/app:bad"
	expect_stderr_has "$@"
)

# refused_text SENTENCE TEXT, with the document on standard input
refused_text() (
	t "refused: $1"
	shift
	layout put team/app bad application/vnd.oci.image.manifest.v1+json <"$file_dir/document" >/dev/null
	registry
	refuses "docker://$at/team/app:bad"
	expect_stderr_has "$@"
)
document() { cat >"$file_dir/document"; }

refused_document "both manifests and layers (CVE-2021-41190)" '.manifests = []' "ambiguous"
refused_document "a manifest that calls itself an index" '.mediaType = "application/vnd.oci.image.index.v1+json"' "index"
refused_document "a helm chart" '.config.mediaType = "application/vnd.cncf.helm.config.v1+json"
	| .layers = [.layers[0] | .mediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"]' "helm"
refused_document "an ORAS artifact" '.artifactType = "application/vnd.example.data" | .config.mediaType = "application/vnd.oci.empty.v1+json"
	| .layers[].mediaType = "application/x-data"' "not of a container image"
refused_document "a layer that is no tar" '.layers[1].mediaType = "application/vnd.example.layer"' "application/vnd.example.layer"
refused_document "an encrypted layer" '.layers[0].mediaType += "+encrypted"' "encrypted"
refused_document "schema version 3" '.schemaVersion = 3' "schema"
refused_document "no configuration" 'del(.config)' "config"
refused_document "layers that are no list" '.layers = {}' "layers"
refused_document "a layer without a digest" 'del(.layers[0].digest)' "digest"
refused_document "a digest that is a path" '.layers[0].digest = "sha256:../../../../../../etc/passwd"' "digest"
refused_document "a digest of another algorithm" '.layers[0].digest = "md5:d41d8cd98f00b204e9800998ecf8427e"' "md5"
refused_document "a digest in capitals" '.layers[0].digest |= "sha256:" + (split(":")[1] | ascii_upcase)' "digest"
refused_document "a negative size" '.layers[0].size = -1' "size"
refused_document "a size that is too small" '.layers[0].size -= 1' "sha256:"
refused_document "a size that is too large" '.layers[0].size += 1' "sha256:"
refused_document "a configuration of another size" '.config.size += 1' "$app_config"
refused_document "a configuration of 20 MB" '.config.size = 20971520' "config"
refused_document "embedded content that is not what the digest says" '.config.data = (.config.size * "x" | @base64)' "$app_config"
refused_document "fewer layers than the configuration has" '.layers |= .[:1]' "layers"
refused_document "more layers than the configuration has" '.layers += .layers' "layers"
refused_document "5000 layers" '.layers = [range(5000) as $i | .layers[0]]' "layers"
refused_document "a layer that is not there" '.layers[0].digest = "sha256:" + ("0" * 64)' "sha256:0000"

echo '{"schemaVersion": 1, "name": "a", "tag": "1", "architecture": "amd64", "fsLayers": [], "history": [], "signatures": []}' | document
refused_text "schema 1" "schema"
echo 'this is no JSON' | document
refused_text "no JSON" "JSON"
{ layout cat team/app 1; echo '{}'; } | document
refused_text "two documents in one" "JSON"
layout cat team/app 1 | head -c 200 | document
refused_text "half a document" "JSON"
head -c 1000000 /dev/zero | tr '\0' '[' | document
refused_text "a million brackets" "values"
printf '{"a":%.0s' $(seq 5000) | document
refused_text "5000 nested objects" "JSON"
{ layout cat team/app 1; head -c 4200000 /dev/zero | tr '\0' ' '; } | document
refused_text "a manifest of more than 4 MiB" "4"
: | document
refused_text "an empty document" "JSON"

(
	t "refused: a document by the media type of something else"
	registry 'manifest header Content-Type:application/vnd.docker.distribution.manifest.v1+prettyjws'
	layout cat team/app 1 | jq -c 'del(.mediaType)' | layout put team/app bare application/vnd.oci.image.manifest.v1+json >/dev/null
	refuses "docker://$at/team/app:bare"
)

(
	t "refused: a manifest without end"
	layout cat team/app 1 >"$images/long"
	head -c 20000000 /dev/zero | tr '\0' ' ' >>"$images/long"
	registry "manifest body $images/long" 'manifest chunked' 'resolve status 405'
	refuses
)

# refused_config SENTENCE JQ-FILTER TEXT…: the configuration, changed by the filter.
refused_config() (
	t "refused: $1"
	filter=$2
	shift 2
	layout cat team/app "$app_config" | jq -c "$filter" >config.json
	digest=$(layout blob team/app <config.json)
	layout cat team/app 1 | jq -c --arg digest "$digest" --argjson size "$(wc -c <config.json)" '.config.digest = $digest | .config.size = $size' |
		layout put team/app bad >/dev/null
	registry
	refuses "docker://$at/team/app:bad"
	expect_stderr_has "$@"
)

refused_config "a layer that unpacks to something else than its diff_id" '.rootfs.diff_ids[1] = "sha256:" + ("0" * 64)' "sha256:0000"
refused_config "diff_ids of two layers the other way round" '.rootfs.diff_ids |= reverse' "sha256:"
refused_config "a configuration without diff_ids" 'del(.rootfs)' "rootfs"
refused_config "a configuration that is no object" '[]' "config"
refused_config "an image of Windows" '.os = "windows"' "windows"

(
	t "an image that is not there is refused, by tag, by name and by digest"
	registry
	refuses "docker://$at/team/app:no-such-tag"
	expect_stderr_has "no-such-tag"
	refuses "docker://$at/no/such/name:1"
	expect_stderr_has "no/such/name"
	refuses "docker://$at/team/app@sha256:$(printf '%064d' 7)"
	expect_stderr_has "0007"
)

(
	t "what is no name of an image is refused before anything is asked"
	registry
	for name in "$at" "$at/" "$at/Team/app:1" "$at/team/app:" "$at/team/app:1:2" "$at/team//app" "$at/../app" "$at/team/app@sha256:12" \
		"http://$at/team/app:1" "$at/team/app:1?x=y"; do
		run simg build x.simg "docker://$name"
		[ "$status" != 0 ] || fail "'$name' was taken"
		expect_stderr_has "simg: error: "
	done
	expect_asked 0 .
)

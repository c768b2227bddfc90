#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg build and simg login against the registry that most others are made of: Debian's docker-registry, filled by skopeo.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
. "$(dirname "$0")/registry.sh"
need docker-registry skopeo umoci /usr/bin/python3 zstd jq unsquashfs

# docker_registry [htpasswd]: starts one on a port of its own; $at is its host:port, $data its storage.
docker_registry() {
	own_home
	data=$case_dir/data
	mkdir -p "$data"
	cat >registry.yml <<-END
		version: 0.1
		storage:
		  filesystem:
		    rootdirectory: $data
		  delete:
		    enabled: true
		http:
		  addr: 127.0.0.1:0
	END
	if [ -n "${1-}" ]; then
		# The password of registry.sh, by bcrypt.
		echo "$user_name:"'$2y$04$9O4HAqrnn1c2uZVqEVR9tu5Zcll3PnW8Q1fNTky1uNnVg3HPkj2P.' >htpasswd
		printf 'auth:\n  htpasswd:\n    realm: the registry\n    path: %s\n' "$PWD/htpasswd" >>registry.yml
	fi
	docker-registry serve registry.yml >registry.log 2>&1 3>&- &
	registry_pid=$!
	cleanup wait $registry_pid
	cleanup kill $registry_pid
	listens() { at=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' registry.log) && [ -n "$at" ]; }
	eventually listens
}

# push LAYOUT:TAG NAME:TAG [OPTION…]
push() {
	local from=$1 to=$2
	shift 2
	skopeo copy -q --dest-tls-verify=false --dest-creds "$user_name:$password" "$@" "oci:$images/$from" "docker://$at/$to"
}

expect_umoci_tree() {
	umoci unpack --rootless --image "$1" bundle >/dev/null
	unsquashfs -quiet -no-progress -no-xattrs -d tree x.simg >/dev/null
	rm -r tree/.singularity.d tree/.simg
	find tree -maxdepth 1 -lname '.singularity.d/*' -delete
	(cd bundle/rootfs && find . ! -type d -printf '%p %m %l %s\n' | sort) >want
	(cd tree && find . ! -type d -printf '%p %m %l %s\n' | sort) >have
	diff want <(grep -vE '^\./etc/(group|hosts|localtime|passwd|resolv\.conf) ' have)
	(cd bundle/rootfs && find . -type f -exec sha256sum {} + | sort) >want
	(cd tree && find . -type f ! -path './etc/*' -exec sha256sum {} + | sort) >have
	diff want have
}

layout image real 1 <<'END' >/dev/null
config '{"config": {"Env": ["A=b"], "Labels": {"a": "b"}}, "history": []}'
layer gzip
dir usr
dir usr/bin
file usr/bin/tool "#!/bin/sh\n" mode=0755
random usr/lib/data 200000
file old/gone text
symlink bin usr/bin
layer plain
whiteout old/gone
random usr/lib/data 300000
hardlink usr/lib/again usr/lib/data
layer gzip
opaque old
file old/new text
END
chmod -R a+rX "$images"

(
	t "an image that skopeo pushed is built, and its tree is what umoci unpacks"
	docker_registry
	push real:1 team/real:1
	builds "docker://$at/team/real:1"
	expect_umoci_tree "$images/real:1"
)

(
	t "the same as Docker's manifest, as zstd, and by digest"
	docker_registry
	push real:1 team/docker:1 --format v2s2
	builds "docker://$at/team/docker:1"
	expect_umoci_tree "$images/real:1"
	mv x.simg first.simg
	rm -rf cache bundle tree
	digest=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$at/team/docker:1")
	builds "docker://$at/team/docker@$digest"
	expect_umoci_tree "$images/real:1"
	rm -rf cache bundle tree
	push real:1 team/zstd:1 --dest-compress-format zstd --dest-compress
	builds "docker://$at/team/zstd:1"
	expect_umoci_tree "$images/real:1"
)

(
	t "a password is asked for, and simg login and logout give and take it"
	docker_registry htpasswd
	push real:1 team/real:1
	refuses "docker://$at/team/real:1"
	expect_stderr_has "$at" "simg login $at"
	run simg login "$at" -u "$user_name" --password-stdin <<<"a wrong S3cret"
	expect_status 1
	expect_no_secret
	run simg login "$at" -u "$user_name" --password-stdin <<<"$password"
	expect_status 0
	expect_no_secret
	builds "docker://$at/team/real:1"
	expect_umoci_tree "$images/real:1"
	run skopeo inspect --tls-verify=false --authfile "$HOME/.config/containers/auth.json" "docker://$at/team/real:1"
	expect_status 0
	run simg logout "$at"
	expect_status 0
	rm -rf cache
	refuses "docker://$at/team/real:1"
)

(
	t "what skopeo logged in to, simg is logged in to"
	docker_registry htpasswd
	push real:1 team/real:1
	skopeo login --tls-verify=false --authfile auth.json -u "$user_name" --password-stdin "$at" <<<"$password"
	builds "docker://$at/team/real:1" --auth-file auth.json
)

(
	t "a blob that rots in the registry's storage is refused"
	docker_registry
	push real:1 team/real:1
	digest=$(skopeo inspect --raw --tls-verify=false "docker://$at/team/real:1" | jq -r '.layers[1].digest')
	printf x | dd of="$(find "$data" -path "*/${digest#sha256:}/data")" bs=1 seek=1000 conv=notrunc status=none
	refuses "docker://$at/team/real:1"
	expect_stderr_has "$digest"
)

(
	t "what is not there is refused, with the registry's words"
	docker_registry
	push real:1 team/real:1
	refuses "docker://$at/team/real:2"
	expect_stderr_has "$at/team/real:2"
	refuses "docker://$at/team/unreal:1"
	expect_stderr_has "$at/team/unreal:1"
)

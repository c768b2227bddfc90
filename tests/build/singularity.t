#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# An image of a container runs by the layout of Singularity: its actions, executed in its tree as Singularity would, do what the OCI
# configuration says.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../launch/tiny.sh"
need_root
need unsquashfs jq tar chroot sha256sum

tiny_tree "$file_dir/tree"
mkdir "$file_dir/tree/opt/bin"
cat >"$file_dir/tree/opt/bin/solver" <<'END'
#!/bin/sh
printf '%s\n' "$0" "$@" "QUOTED=$QUOTED" "LANG=$LANG"
END
chmod 0755 "$file_dir/tree/opt/bin/solver"
tar -C "$file_dir/tree" --owner=0 --group=0 --numeric-owner -cf "$file_dir/layer.tar" .

# blob FILE: puts it into the layout and prints its descriptor's members.
blob() {
	local sum
	sum=$(sha256sum "$1" | cut -d ' ' -f 1)
	cp "$1" "layout/blobs/sha256/$sum"
	printf '"digest": "sha256:%s", "size": %d' "$sum" "$(stat -c %s "$1")"
}

# container CONFIG: the tree of an image that was built of one layer and this object "config".
container() {
	mkdir -p layout/blobs/sha256
	jq -n --argjson config "$1" --arg id "sha256:$(sha256sum "$file_dir/layer.tar" | cut -d ' ' -f 1)" \
		'{architecture: "amd64", os: "linux", config: $config, rootfs: {type: "layers", diff_ids: [$id]}}' >config.json
	printf '{"schemaVersion": 2, "mediaType": "%s", "config": {"mediaType": "%s", %s}, "layers": [{"mediaType": "%s", %s}]}' \
		application/vnd.oci.image.manifest.v1+json application/vnd.oci.image.config.v1+json "$(blob config.json)" \
		application/vnd.oci.image.layer.v1.tar "$(blob "$file_dir/layer.tar")" >manifest.json
	printf '{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", %s}]}' "$(blob manifest.json)" \
		>layout/index.json
	echo '{"imageLayoutVersion": "1.0.0"}' >layout/oci-layout
	run simg build app.simg oci:layout
	expect_status 0
	unsquashfs -q -n -d tree app.simg >/dev/null
}

# inside ACTION [ARGUMENT…]: in namespaces of its own, since starting an instance sends its first process a signal.
inside() {
	local action=$1
	shift
	run env -i PATH=/usr/bin "${inside_env[@]}" unshare --mount --pid --fork "$(type -P chroot)" tree "/.singularity.d/actions/$action" "$@"
}
inside_env=(NOTHING=)

solver='{"Entrypoint": ["solver", "it'\''s $HOME"], "Cmd": ["--input", "a b"], "Env": ["PATH=/opt/bin:/usr/bin:/bin", "QUOTED=\"$(id)\" it'\''s", "LANG=C"], "WorkingDir": "/opt"}'

(
	t "run executes entrypoint and command in the image's environment"
	container "$solver"
	inside run
	expect_status 0
	expect_stdout "$(printf '%s\n' /opt/bin/solver "it's \$HOME" --input 'a b' "QUOTED=\"\$(id)\" it's" LANG=C)"
	inside run '$x' ''
	expect_stdout "$(printf '%s\n' /opt/bin/solver "it's \$HOME" '$x' '' "QUOTED=\"\$(id)\" it's" LANG=C)"
	run env PATH=/opt/bin:/usr/bin:/usr/sbin chroot tree /singularity only
	expect_stdout_has "it's \$HOME" only
)

(
	t "exec and shell have the environment, and what the caller has set"
	container "$solver"
	inside_env=(LANG=de_DE LD_LIBRARY_PATH=/opt/lib SING_USER_DEFINED_PREPEND_PATH=/first SINGULARITY_SHELL=)
	inside exec sh -c 'echo "$PATH $QUOTED $LANG $LD_LIBRARY_PATH"'
	expect_stdout "/first:/opt/bin:/usr/bin:/bin \"\$(id)\" it's de_DE /opt/lib:/.singularity.d/libs"
	inside_env=(NOTHING=)
	inside shell -c 'echo "$SHELL $LANG $LD_LIBRARY_PATH"'
	expect_stdout "/bin/bash C /.singularity.d/libs"
	inside_env=(SINGULARITY_SHELL=/bin/sh)
	inside shell -c 'echo "$SHELL $0"'
	expect_stdout "/bin/sh /bin/sh"
)

(
	t "test and start have nothing to do, and do what the image brings along"
	container "$solver"
	inside test
	expect_status 0
	expect_stderr "this image has no test"
	inside start
	expect_status 0
	expect_stdout ""
	printf '#!/bin/sh\necho tested "$@"\n' >tree/.singularity.d/test
	printf '#!/bin/sh\necho started "$@"\n' >tree/.singularity.d/startscript
	chmod 0755 tree/.singularity.d/test
	inside test a b
	expect_stdout "tested a b"
	inside start a b
	expect_stdout "started a b"
)

(
	t "without a command, run starts a shell and says so"
	container '{}'
	run sh -c 'echo "echo from the shell" | chroot tree /.singularity.d/actions/run'
	expect_status 0
	expect_stdout "from the shell"
	expect_stderr "this image names no command: starting a shell"
	inside run echo by name
	expect_stdout "by name"
)

(
	t "inspect shows the configuration, the labels and where the image comes from"
	container '{"User": "7", "Labels": {"version": "8"}, "Cmd": ["solver"]}'
	run simg inspect app.simg
	expect_status 0
	expect_stdout_has "command     solver" "user        7" "platform    linux/amd64" "version = 8" "runscript   /.singularity.d/runscript"
	digest=sha256:$(sha256sum <manifest.json | cut -d ' ' -f 1)
	expect_stdout_has "source      oci, $digest"
	expect_stdout_matches '^layers      sha256:[0-9a-f]{64}, '
	unsquashfs -cat app.simg .simg/config.json | cmp - config.json
	expect_equal "$(unsquashfs -cat app.simg .simg/build.json | jq -c '[.source.kind, .source.name]')" '["oci",null]'
	expect_equal "$(unsquashfs -cat app.simg .singularity.d/Singularity)" "$(printf 'Bootstrap: oci\nFrom: %s' "$digest")"
)

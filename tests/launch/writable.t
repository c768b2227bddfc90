#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --container-writable: a throw-away layer over the image.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need_cluster

# An image with places that the user may write.
new_tree "$file_dir/tree"
mkdir -m 1777 "$file_dir/tree/scratch"
echo original >"$file_dir/tree/scratch/file"
chown -R "$user:" "$file_dir/tree/scratch"
mkdir "$file_dir/tree/roots"
(cd "$file_dir" && pack tree app.simg)
app=$file_dir/app.simg

writing() { user_runs srun --container="$app" --container-writable "$@"; }

(
	t "files can be made, changed and removed"
	writing sh -c 'cd /scratch && echo new >new && cat new file && echo changed >file && cat file && rm file && ls; mkdir -p a/b && ls -d a/b; stat -f -c %T /'
	expect_status 0
	expect_stdout $'new\noriginal\nchanged\nnew\na/b\noverlayfs'
	expect_stderr ""
)
(
	t "the image is unchanged, and the next step sees nothing of it"
	before=$(sha256sum <"$app")
	user_runs salloc -Q --nodelist=n1 sh -c "srun --container='$app' --container-writable sh -c 'echo changed >/scratch/file; touch /scratch/new'; srun --container='$app' --container-writable ls /scratch; srun --container='$app' cat /scratch/file"
	expect_stdout $'file\noriginal'
	expect_equal "$(sha256sum <"$app")" "$before"
)
(
	t "a root directory is as safe as an image"
	user_runs srun --container="$file_dir/tree" --container-writable sh -c 'echo changed >/scratch/file; cat /scratch/file; rm /scratch/file; touch /scratch/new; ls /scratch'
	expect_status 0
	expect_stdout $'changed\nnew'
	expect_equal "$(ls "$file_dir/tree/scratch") $(cat "$file_dir/tree/scratch/file")" "file original"
)
(
	t "the tasks of a step on one node share the layer, and nodes do not"
	writing -N2 -n4 --ntasks-per-node=2 sh -c "touch /scratch/\$SLURM_PROCID; sleep 2; echo \$SLURM_PROCID \$(ls /scratch)"
	expect_status 0
	expect_equal "$(sort "$stdout")" $'0 0 1 file\n1 0 1 file\n2 2 3 file\n3 2 3 file'
)
(
	t "two steps at once on one node have a layer each"
	user_runs salloc -Q -n2 --nodelist=n1 sh -c "for i in 1 2; do srun -n1 --exact --container='$app' --container-writable sh -c \"touch /scratch/\$i; sleep 2; ls /scratch\" & done; wait"
	expect_equal "$(sort "$stdout" | tr '\n' ' ')" "1 2 file file "
)
(
	t "without the option the image is read-only"
	user_runs srun --container="$app" touch /scratch/new
	expect_stderr_has "Read-only file system"
)
(
	t "the image's permissions hold"
	writing sh -c 'touch /roots/new; echo x >/etc/debian_version'
	expect_equal "$(grep -ci 'Permission denied' "$stderr")" 2
)
(
	t "mounts, home and /tmp are as without the option, and keep what is written"
	mkdir data
	chown "$user:" data
	writing --container-mounts="$PWD/data:/mnt/deep/data" sh -c 'echo kept >/mnt/deep/data/file; id -un; ls -d ~; stat -c %a /tmp; ls /mnt'
	expect_status 0
	expect_stdout "$user"$'\n'"/home/$user"$'\n1777\ndeep'
	expect_equal "$(cat data/file)" kept
)
(
	t "an image's program that was changed in the layer runs"
	writing sh -c "printf '#!/bin/sh\necho mine\n' >/scratch/program; chmod 0755 /scratch/program; /scratch/program"
	expect_stdout mine
)
(
	t "set-user-id bits that are set in the layer have no force"
	writing sh -c "cp /usr/bin/id /scratch/id; chmod 4755 /scratch/id; /scratch/id -u; awk '\$5 == \"/\" { print \$6 }' /proc/self/mountinfo"
	expect_stdout "$(id -u "$user")"$'\nrw,nosuid,nodev,relatime'
)

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The environment of a task: the job's, with what the image sets and what --container-env says.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"
need_cluster
app=$(image minbase)

# An image that says something about its environment.
new_tree "$file_dir/tree"
mkdir "$file_dir/tree/.simg"
cat >"$file_dir/tree/.simg/config.json" <<'END'
{ "config": {
	"Env": ["PATH=/opt/app/bin:/usr/bin:/bin", "LD_LIBRARY_PATH=/opt/app/lib", "APP_HOME=/opt/app", "EMPTY=", "TEXT=two\nlines, a = \"quoted\" ümlaut"],
	"WorkingDir": "/opt" } }
END
install -D -m 0755 /dev/stdin "$file_dir/tree/opt/app/bin/app-command" <<'END'
#!/bin/sh
echo "this is the app"
END
(cd "$file_dir" && pack tree app.simg)
app_with_env=$file_dir/app.simg

# The value that a task sees: printed between brackets, or "unset".
# shellcheck disable=SC2016
show='for name; do eval "test -n \"\${$name+x}\" && printf \"%s=[%s]\n\" $name \"\$$name\" || echo $name unset"; done'

inside() { user_runs srun --container="$app" "$@"; }

(
	t "the job's variables are in the environment"
	user_runs ONE=1 TWO="a b" srun --container="$app" sh -c "$show" sh ONE TWO HOME USER
	expect_stdout $'ONE=[1]\nTWO=[a b]\nHOME=[/home/'"$user"$']\nUSER=['"$user]"
)
(
	t "Slurm's variables are as without a container"
	user_runs srun -n2 sh -c "env | grep ^SLURM_ | cut -d= -f1"
	sort "$stdout" | grep -v '^SLURM_CONTAINER$' >outside
	inside -n2 sh -c "env | grep ^SLURM_ | cut -d= -f1"
	sort "$stdout" | grep -v '^SLURM_CONTAINER$' >within
	run diff outside within
	expect_stdout ""
)
(
	t "without a word of the image, PATH is the usual one and LD_LIBRARY_PATH is not set"
	user_runs LD_LIBRARY_PATH=/host/lib srun --container="$app" sh -c "$show" sh PATH LD_LIBRARY_PATH
	expect_stdout $'PATH=[/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin]\nLD_LIBRARY_PATH unset'
)
(
	t "what the image sets comes from the image, also over the job's"
	user_runs LD_LIBRARY_PATH=/host/lib APP_HOME=/host EMPTY=full TEXT=host srun --container="$app_with_env" sh -c "$show" sh PATH LD_LIBRARY_PATH APP_HOME EMPTY TEXT
	expect_status 0
	expect_stdout $'PATH=[/opt/app/bin:/usr/bin:/bin]\nLD_LIBRARY_PATH=[/opt/app/lib]\nAPP_HOME=[/opt/app]\nEMPTY=[]\nTEXT=[two\nlines, a = "quoted" ümlaut]'
)
(
	t "a root directory's metadata counts as an image's"
	user_runs srun --container="$file_dir/tree" sh -c "$show" sh APP_HOME
	expect_stdout "APP_HOME=[/opt/app]"
)
(
	t "the command is found along the image's PATH"
	user_runs srun --container="$app_with_env" app-command
	expect_stdout "this is the app"
)
(
	t "--container-env=NAME keeps the job's value"
	# shellcheck disable=SC2016
	user_runs APP_HOME=/host LD_LIBRARY_PATH=/host/lib srun --container="$app_with_env" --container-env=APP_HOME,LD_LIBRARY_PATH,PATH \
		/bin/sh -c "$show"'; echo "$PATH"' sh APP_HOME LD_LIBRARY_PATH TEXT
	expect_status 0
	expect_stdout $'APP_HOME=[/host]\nLD_LIBRARY_PATH=[/host/lib]\nTEXT=[two\nlines, a = "quoted" ümlaut]\n'"$PATH"
)
(
	t "--container-env=NAME of a variable that the job lacks keeps it unset"
	user_runs srun --container="$app_with_env" --container-env=APP_HOME sh -c "$show" sh APP_HOME
	expect_stdout "APP_HOME unset"
)
(
	t "--container-env=NAME=VALUE sets it, over image and job"
	user_runs APP_HOME=/host srun --container="$app_with_env" --container-env=APP_HOME=/mine,NEW=new,EMPTY=x,PATH=/bin sh -c "$show" sh APP_HOME NEW EMPTY PATH
	expect_stdout $'APP_HOME=[/mine]\nNEW=[new]\nEMPTY=[x]\nPATH=[/bin]'
)
(
	t "--container-env can be repeated, and NAME= sets an empty value"
	inside --container-env=ONE=1 --container-env=TWO=,THREE=3 sh -c "$show" sh ONE TWO THREE
	expect_stdout $'ONE=[1]\nTWO=[]\nTHREE=[3]'
)
(
	t "a value may have equal signs, and commas and backslashes behind a backslash"
	inside --container-env='ONE=a=b=c,TWO=a\,b\\c,THREE=$(id) "x"' sh -c "$show" sh ONE TWO THREE
	expect_stdout $'ONE=[a=b=c]\nTWO=[a,b\\c]\nTHREE=[$(id) "x"]'
)
(
	t "values of many lines survive, from the job and in --container-env"
	text=$'first\n\n  second = "x"\nSIMG_FAKE=1\n'
	user_runs TEXT="$text" srun --container="$app" --container-env="MINE=$text" sh -c "$show" sh TEXT MINE SIMG_FAKE
	expect_stdout "TEXT=[$text]"$'\n'"MINE=[$text]"$'\nSIMG_FAKE unset'
)
(
	t "values of many lines survive with --export=NAME=VALUE"
	user_runs srun --export=ALL,TEXT=$'first\nsecond' --container="$app" sh -c "$show" sh TEXT
	expect_stdout $'TEXT=[first\nsecond]'
)
(
	t "values of many lines reach batch jobs and their steps"
	user_runs TEXT=$'first\nsecond' sbatch -W -o out --container="$app" --container-env=$'MINE=third\nfourth' --wrap "printenv TEXT MINE"
	expect_status 0
	expect_equal "$(cat out)" $'first\nsecond\nthird\nfourth'
	user_runs TEXT=$'first\nsecond' sbatch -W -o out --wrap "srun --container='$app' printenv TEXT"
	expect_equal "$(cat out)" $'first\nsecond'
)
(
	t "a large environment survives"
	large=$(head -c 100000 /dev/zero | tr '\0' x)
	user_runs LARGE="$large" srun --container="$app" sh -c 'printf %s "$LARGE" | sha256sum'
	expect_stdout "$(printf %s "$large" | sha256sum)"
)
(
	t "with --export=NONE the job's variables stay out, and the image's and --container-env's are there"
	user_runs HOSTS=1 srun --export=NONE --container="$app_with_env" --container-env=MINE=1 sh -c "$show" sh HOSTS APP_HOME MINE PATH
	expect_status 0
	expect_stdout $'HOSTS unset\nAPP_HOME=[/opt/app]\nMINE=[1]\nPATH=[/opt/app/bin:/usr/bin:/bin]'
)
(
	t "with --export=NAME those named are there, and only those"
	user_runs ONE=1 TWO=2 srun --export=ONE --container="$app_with_env" --container-env=MINE=1 sh -c "$show" sh ONE TWO APP_HOME MINE
	expect_stdout $'ONE=[1]\nTWO unset\nAPP_HOME=[/opt/app]\nMINE=[1]'
)
(
	t "SIMG_IMAGE and SIMG_VERSION say what the task runs in"
	inside printenv SIMG_IMAGE SIMG_VERSION
	expect_status 0
	expect_equal "$(head -n 1 "$stdout")" "$app"
	expect_stdout_matches '^[0-9]+\.[0-9]+'
)
(
	t "a step without a container has no variable of ours"
	user_runs srun env
	expect_stdout_lacks SIMG_IMAGE SIMG_VERSION SLURM_CONTAINER SLURM_SIMG_
)
(
	t "every task of both nodes has the same"
	user_runs srun -N2 -n4 --container="$app_with_env" --container-env=MINE=1 printenv APP_HOME MINE SIMG_IMAGE
	expect_equal "$(sort "$stdout" | uniq -c | tr -s ' \n' ' ')" " 4 /opt/app 4 $app_with_env 4 1 "
)

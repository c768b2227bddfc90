#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Images that were made of recipes, in jobs.
. "$(dirname "$0")/../lib.sh"
need_cluster
base=$(image minbase)

(
	t "the runscript of a recipe's image runs in a step, with the recipe's environment"
	cat >app.def <<-END
		Bootstrap: localimage
		From: $base
		%post
		    echo made >/opt/made && chown 12:34 /opt/made
		%environment
		    export GREETING=hello
		%runscript
		    echo "\$GREETING \$(cat /opt/made) \$(stat -c %u:%g /opt/made) \$*"
	END
	user_runs simg build app.simg app.def
	expect_status 0
	user_runs srun --container=app.simg /.singularity.d/actions/run there
	expect_status 0
	expect_stdout "hello made 12:34 there"
)

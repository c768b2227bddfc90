#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# MPI programs of an image over two nodes, with nothing configured: MPICH by PMI2, Open MPI by PMIx.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/common.sh"

# The nodes share one machine, but not the place where the ranks of a node find each other's memory: the names that Open MPI gives its
# segments there are unique on a node only.
install -m 0755 /dev/stdin "$file_dir/node" <<'END'
#!/bin/sh
mount -t tmpfs tmpfs /dev/shm && exec "$@"
END
need_cluster --wrap "unshare --mount $file_dir/node"
app=$(image mpi)

has_mpi() { srun --mpi=list 2>&1 | grep -qw "$1" || skip "this Slurm has no --mpi=$1"; }

# Four ranks that found each other, two on each node, and a right answer: every iteration exchanges messages and adds up over all ranks.
expect_solved() {
	expect_status 0
	expect_equal "$(cat "$stdout")" "$(printf 'rank %s of 4 on %s\n' 0 n1 1 n1 2 n2 3 n2)"$'\n32 unknowns solved in 16 iterations, correct'
}

(
	t "MPICH: four ranks on two nodes exchange messages by --mpi=pmi2"
	has_mpi pmi2
	user_runs srun -N2 -n4 --ntasks-per-node=2 --mpi=pmi2 --container="$app" solver
	expect_solved
	expect_stderr ""
)
(
	t "Open MPI: four ranks on two nodes exchange messages by --mpi=pmix"
	has_mpi pmix
	user_runs srun -N2 -n4 --ntasks-per-node=2 --mpi=pmix --container="$app" solver.openmpi
	expect_solved
)
(
	t "MPI programs run in a batch job's steps, and several after each other"
	has_mpi pmi2
	has_mpi pmix
	cat >job <<END
#!/bin/sh
srun --ntasks-per-node=2 --mpi=pmi2 --container=$app solver
srun --ntasks-per-node=2 --mpi=pmix --container=$app solver.openmpi
srun --ntasks-per-node=2 --mpi=pmi2 --container=$app solver
END
	batch_runs -N2 -n4 --ntasks-per-node=2 job
	expect_status 0
	expect_equal "$(grep -c 'correct$' "$stdout")" 3
	expect_equal "$(grep -c '^rank [0-3] of 4 on n[12]$' "$stdout")" 12
)
(
	t "MPI works with a writable layer, without the home, and with a working directory of the image"
	has_mpi pmi2
	has_mpi pmix
	user_runs srun -N2 -n4 --ntasks-per-node=2 --mpi=pmi2 --container="$app" --container-writable --no-container-mount-home --container-workdir=/ solver
	expect_solved
	user_runs srun -N2 -n4 --ntasks-per-node=2 --mpi=pmix --container="$app" --container-writable --no-container-mount-home \
		--container-workdir=/ solver.openmpi
	expect_solved
)
(
	t "a PMIx step leaves nothing in the nodes' directories"
	has_mpi pmix
	user_runs srun -N2 -n2 --mpi=pmix --container="$app" solver.openmpi
	expect_status 0
	eventually sh -c "! find ${SLURM_CONF%/*}/tmp ${SLURM_CONF%/*}/spool -name '*pmix*' | grep -q ."
)
(
	t "ranks of one node share memory"
	has_mpi pmix
	user_runs OMPI_MCA_pml=ob1 OMPI_MCA_btl=vader,self srun -N1 -n4 --mpi=pmix --container="$app" solver.openmpi
	expect_status 0
	expect_stdout_has "rank 3 of 4" correct
)
(
	t "a rank that aborts ends the program"
	has_mpi pmi2
	# shellcheck disable=SC2016
	user_runs srun -N2 -n4 --ntasks-per-node=2 --mpi=pmi2 -K --container="$app" sh -c 'test $SLURM_PROCID != 3 || exit 9; exec solver'
	expect_stderr_has "task 3: Exited with exit code 9" "Terminated"
)

/* SPDX-License-Identifier: Apache-2.0
 *
 * The MPI program that the tests and the demo run: it solves the Poisson equation -u'' = 1, u(0) = u(1) = 0 by conjugate
 * gradients. Each rank owns a piece of the line, so every iteration sends values to both neighbours and adds up over all
 * ranks. The discrete solution is known, x(1-x)/2, and a wrong answer is a failure: messages that went astray show.
 *
 * Output: one line a rank ("rank 2 of 4 on n2"), then what was solved. One line is enough to see ranks that did not find
 * each other: each of them is "rank 0 of 1".
 */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { POINTS_MIN = 32, LINE_MAX = 128 };

struct line {
	int rank, size;
	int first, count;     /* this rank's points, of points in all */
	int points;
};

static double sum_over_ranks(double value)
{
	double sum;
	MPI_Allreduce(&value, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
	return sum;
}

static double dot(const struct line *line, const double *a, const double *b)
{
	double sum = 0;
	for (int i = 1; i <= line->count; i++)
		sum += a[i] * b[i];
	return sum_over_ranks(sum);
}

/* Fills v[0] and v[count + 1] with the neighbours' border values; beyond the ends of the line they stay 0. */
static void exchange_borders(const struct line *line, double *v)
{
	int left = line->rank > 0 ? line->rank - 1 : MPI_PROC_NULL;
	int right = line->rank + 1 < line->size ? line->rank + 1 : MPI_PROC_NULL;

	MPI_Sendrecv(&v[1], 1, MPI_DOUBLE, left, 0, &v[line->count + 1], 1, MPI_DOUBLE, right, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	MPI_Sendrecv(&v[line->count], 1, MPI_DOUBLE, right, 1, &v[0], 1, MPI_DOUBLE, left, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static double *new_vector(const struct line *line)
{
	double *v = calloc(line->count + 2, sizeof(*v));
	if (v == NULL)
		MPI_Abort(MPI_COMM_WORLD, 1);
	return v;
}

/* Conjugate gradients for the matrix (-1 2 -1) / h². Returns the iterations taken; u is the solution. */
static int solve(const struct line *line, double *u)
{
	double h = 1.0 / (line->points + 1), *residual = new_vector(line), *direction = new_vector(line), *image = new_vector(line);
	int iterations = 0;

	for (int i = 1; i <= line->count; i++)
		residual[i] = direction[i] = 1;
	double norm = dot(line, residual, residual);
	while (norm > 1e-20 && iterations < 2 * line->points) {
		exchange_borders(line, direction);
		for (int i = 1; i <= line->count; i++)
			image[i] = (2 * direction[i] - direction[i - 1] - direction[i + 1]) / (h * h);
		double step = norm / dot(line, direction, image);
		for (int i = 1; i <= line->count; i++) {
			u[i] += step * direction[i];
			residual[i] -= step * image[i];
		}
		double previous = norm;
		norm = dot(line, residual, residual);
		for (int i = 1; i <= line->count; i++)
			direction[i] = residual[i] + norm / previous * direction[i];
		iterations++;
	}
	free(residual);
	free(direction);
	free(image);
	return iterations;
}

static double largest_error(const struct line *line, const double *u)
{
	double mine = 0, all;
	for (int i = 1; i <= line->count; i++) {
		double x = (double)(line->first + i) / (line->points + 1);
		mine = fmax(mine, fabs(u[i] - x * (1 - x) / 2));
	}
	MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
	return all;
}

/* Rank 0 prints for all, so that the lines come in order and whole. */
static void print_ranks(const struct line *line)
{
	char mine[LINE_MAX], node[MPI_MAX_PROCESSOR_NAME], *all = NULL;
	int length;

	MPI_Get_processor_name(node, &length);
	const char *slurm_node = getenv("SLURMD_NODENAME"); /* several nodes may play on one host */
	snprintf(mine, sizeof(mine), "rank %d of %d on %s", line->rank, line->size, slurm_node != NULL ? slurm_node : node);
	if (line->rank == 0)
		all = calloc(line->size, LINE_MAX);
	MPI_Gather(mine, LINE_MAX, MPI_CHAR, all, LINE_MAX, MPI_CHAR, 0, MPI_COMM_WORLD);
	for (int rank = 0; all != NULL && rank < line->size; rank++)
		puts(all + (size_t)rank * LINE_MAX);
	free(all);
}

int main(int argc, char **argv)
{
	struct line line = { .points = POINTS_MIN };

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &line.rank);
	MPI_Comm_size(MPI_COMM_WORLD, &line.size);
	if (line.points < line.size)
		line.points = line.size;
	line.first = (int)((long)line.points * line.rank / line.size);
	line.count = (int)((long)line.points * (line.rank + 1) / line.size) - line.first;

	double *u = new_vector(&line);
	int iterations = solve(&line, u);
	double error = largest_error(&line, u);
	print_ranks(&line);
	if (line.rank == 0)
		printf("%d unknowns solved in %d iterations, %s\n", line.points, iterations, error < 1e-9 ? "correct" : "WRONG");
	free(u);
	MPI_Finalize();
	return error < 1e-9 ? 0 : 1;
}

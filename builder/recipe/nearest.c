/* SPDX-License-Identifier: Apache-2.0
 *
 * See nearest.h.
 */
#include "builder/recipe/nearest.h"

#include <ctype.h>
#include <string.h>

enum { LENGTH_MAX = 31 };

static int smaller(int a, int b)
{
	return a < b ? a : b;
}

static int same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* How many letters to insert, leave out, change or swap with their neighbour. Neither word is longer than LENGTH_MAX. */
static int distance(const char *a, const char *b)
{
	int rows[LENGTH_MAX + 1][LENGTH_MAX + 1];
	int a_length = (int)strlen(a), b_length = (int)strlen(b);
	for (int j = 0; j <= b_length; j++)
		rows[0][j] = j;
	for (int i = 1; i <= a_length; i++) {
		rows[i][0] = i;
		for (int j = 1; j <= b_length; j++) {
			int best = smaller(rows[i - 1][j], rows[i][j - 1]) + 1;
			best = smaller(best, rows[i - 1][j - 1] + !same_letter(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
				best = smaller(best, rows[i - 2][j - 2] + 1);
			rows[i][j] = best;
		}
	}
	return rows[a_length][b_length];
}

const char *nearest_name(const char *word, const char *const *names, size_t count)
{
	size_t length = strlen(word);
	const char *nearest = NULL;
	if (length < 2 || length > LENGTH_MAX)
		return NULL;
	int best = length < 6 ? 1 : (int)(length / 3);
	for (size_t i = 0; i < count; i++) {
		int found = strlen(names[i]) > LENGTH_MAX ? LENGTH_MAX : distance(word, names[i]);
		if (found > best || (nearest != NULL && found == best))
			continue;
		best = found;
		nearest = names[i];
	}
	return nearest;
}

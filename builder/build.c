#include "builder/verbs.h"
static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return EXIT_USAGE;
}
const struct verb verb_build = { "build", "", run };

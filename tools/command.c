/* Which of a group of commands is meant; see command.h. */
#include "tools/command.h"

#include <stdio.h>
#include <string.h>

#include "proto/rc.h"

static void usage(const struct command_group *group, FILE *out)
{
	int width = 0;

	for (size_t i = 0; i < group->n; i++) {
		int len = (int)strlen(group->commands[i].name);
		width = len > width ? len : width;
	}
	fprintf(out, "usage: %s %s\n\n", group->name, group->usage);
	for (size_t i = 0; i < group->n; i++)
		fprintf(out, "  %-*s  %s\n", width, group->commands[i].name, group->commands[i].help);
	if (group->example != NULL)
		fprintf(out, "\nexample:\n  %s\n", group->example);
	fprintf(out, "\n'%s COMMAND --help' shows options and an example.\n", group->name);
}

int command_run(const struct command_group *group, int argc, char **argv)
{
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(group, stdout);
		return 0;
	}
	for (size_t i = 0; argc >= 2 && i < group->n; i++) {
		if (strcmp(group->commands[i].name, argv[1]) == 0)
			return group->commands[i].run(argc - 1, argv + 1);
	}
	if (argc >= 2)
		fprintf(stderr, "%s: there is no command '%s'\n\n", group->name, argv[1]);
	usage(group, stderr);
	return rc_exit_code(RC_USAGE);
}

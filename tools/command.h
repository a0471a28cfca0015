/* A subcommand of throughcare. `main` is a table of these: name, function, one line of help. */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include <stddef.h>

/* argv[0] is the command's own name; the result is the exit status (proto/rc.h). Every command answers --help with
 * usage, options and an example, on standard output, and exits 0. */
typedef int (*command_fn)(int argc, char **argv);

struct command {
	const char *name;
	command_fn run;
	const char *help;
};
/* A command that is nothing but commands of its own. */
struct command_group {
	const char *name;    /* "throughcare audit" */
	const char *usage;   /* what follows it */
	const char *example; /* one or more lines, no newline at the end; NULL = none */
	const struct command *commands;
	size_t n;
};
#define COMMANDS(array) .commands = (array), .n = sizeof(array) / sizeof((array)[0])

/* Run the command that argv[1] names, or print the group's help: on standard output where it was asked for, on standard
 * error, with the status of a mistake, where there is no such command. */
int command_run(const struct command_group *group, int argc, char **argv);

int cmd_keys(int argc, char **argv);
int cmd_study(int argc, char **argv);
int cmd_encode(int argc, char **argv);
int cmd_push(int argc, char **argv);
int cmd_query(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_admin(int argc, char **argv);
int cmd_synth(int argc, char **argv);
int cmd_lab(int argc, char **argv);

#endif

/* throughcare: the tools of custodians, analysts, auditors and operators in one binary. */
#include <stdio.h>
#include <string.h>

#include "proto/rc.h"
#include "tools/command.h"

static const struct {
	const char *name;
	command_fn run;
	const char *help;
} commands[] = {
	{"keys", cmd_keys, "make a study's keys and certificates"},
	{"study", cmd_study, "check a study file and plan its releases"},
	{"encode", cmd_encode, "turn a CSV of a register into a batch of encoded records"},
	{"push", cmd_push, "send batches to the linkage unit"},
	{"query", cmd_query, "print a published table"},
	{"audit", cmd_audit, "verify and read the audit log"},
	{"admin", cmd_admin, "state of the daemon; publish a release"},
	{"synth", cmd_synth, "make synthetic registers with known truth"},
	{"lab", cmd_lab, "measure linkage on labelled data"},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void usage(FILE *out)
{
	fprintf(out, "usage: throughcare COMMAND [OPTION]...\n\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n'throughcare COMMAND --help' shows options and an example.\n");
}

int main(int argc, char **argv)
{
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		printf("throughcare %s\n", TC_VERSION);
		return 0;
	}
	if (argc < 2) {
		usage(stderr);
		return rc_exit_code(RC_USAGE);
	}
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, argv[1]) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "throughcare: there is no command '%s'\n\n", argv[1]);
	usage(stderr);
	return rc_exit_code(RC_USAGE);
}

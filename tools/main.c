/* throughcare: the tools of custodians, analysts, auditors and operators in one binary. */
#include <stdio.h>
#include <string.h>

#include "proto/rc.h"
#include "tools/command.h"

static const struct command commands[] = {
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
int main(int argc, char **argv)
{
	static char help[] = "--help";
	static const struct command_group group = {
		.name = "throughcare",
		.usage = "COMMAND [OPTION]...",
		COMMANDS(commands),
	};

	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		printf("throughcare %s\n", TC_VERSION);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "help") == 0)
		argv[1] = help;
	return command_run(&group, argc, argv);
}

/* throughcare lab: which measurement, and what they share. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/command.h"
#include "tools/lab/lab.h"

static const struct command commands[] = {
	{"link", lab_link, "quality and speed of linkage on labelled registers"},
	{"encode", lab_encode, "what each hardening costs in links, and what an attacker still reads"},
	{"coverage", lab_coverage, "how often the intervals of corrected rates cover the truth"},
	{"kernel", lab_kernel, "comparison rate of every kernel on this machine"},
};
double lab_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

enum rc lab_print(json_t *json)
{
	int failed;

	if (json == NULL)
		return RC_NOMEM;
	failed = json_dumpf(json, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	failed |= putchar('\n') == EOF;
	failed |= fflush(stdout);
	json_decref(json);
	return failed != 0 ? RC_IO : RC_OK;
}

int cmd_lab(int argc, char **argv)
{
	static const struct command_group group = {
		.name = "throughcare lab",
		.usage = "MEASUREMENT [OPTION]...",
		.example = "throughcare lab link --study study.yaml --secret main.secret --truth truth.csv \\\n"
			   "      prison.csv treatment.csv",
		COMMANDS(commands),
	};

	return command_run(&group, argc, argv);
}

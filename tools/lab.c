/* throughcare lab: which measurement, and what they share. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/command.h"
#include "tools/lab/lab.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} measurements[] = {
	{"link", lab_link, "quality and speed of linkage on labelled registers"},
	{"encode", lab_encode, "what each hardening costs in links, and what an attacker still reads"},
	{"coverage", lab_coverage, "how often the intervals of corrected rates cover the truth"},
	{"kernel", lab_kernel, "comparison rate of every kernel on this machine"},
};
enum { N_MEASUREMENTS = sizeof measurements / sizeof measurements[0] };

static void usage(FILE *out)
{
	fprintf(out, "usage: throughcare lab MEASUREMENT [OPTION]...\n\n");
	for (size_t i = 0; i < N_MEASUREMENTS; i++)
		fprintf(out, "  %-8s %s\n", measurements[i].name, measurements[i].help);
	fprintf(out, "\nexample: throughcare lab link --study study.yaml --secret main.secret --truth truth.csv \\\n"
		     "             prison.csv treatment.csv\n"
		     "\n'throughcare lab MEASUREMENT --help' shows its options.\n");
}

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
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; argc >= 2 && i < N_MEASUREMENTS; i++) {
		if (strcmp(measurements[i].name, argv[1]) == 0)
			return measurements[i].run(argc - 1, argv + 1);
	}
	if (argc >= 2)
		fprintf(stderr, "throughcare lab: there is no measurement of that name\n\n");
	usage(stderr);
	return rc_exit_code(RC_USAGE);
}

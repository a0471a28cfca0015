/* The parts of `throughcare study`. */
#ifndef TOOLS_STUDY_TOOL_H
#define TOOLS_STUDY_TOOL_H

#include "proto/rc.h"
#include "proto/study.h"

/* Read and parse a study file. Errors: NOTFOUND and the like of the file, those of study_parse. */
enum rc study_tool_load(const char *path, struct study **ret, struct diag *diag) MUST_CHECK;
/* Print what went wrong in `throughcare study COMMAND` and return the exit status. */
int study_tool_report(const char *command, enum rc rc, const struct diag *diag);
int cmd_study_plan(int argc, char **argv);

#endif

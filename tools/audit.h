/* The commands of throughcare audit, and what they share. */
#ifndef TOOLS_AUDIT_H
#define TOOLS_AUDIT_H

#include <stdio.h>

#include "proto/entry.h"
#include "proto/rc.h"

int audit_verify(int argc, char **argv);
int audit_proof(int argc, char **argv);
int audit_show(int argc, char **argv);
int audit_follow(int argc, char **argv);
int audit_report(int argc, char **argv);
int audit_witness(int argc, char **argv);

int audit_fail(enum rc rc, const struct diag *diag);
/* Read and check a receipt file. Errors: PROTOCOL (it is not proved by this key), NOTFOUND, … */
enum rc audit_read_receipt(const char *path, const struct tlog_vkey *vkey, struct receipt *ret,
			   struct tlog_checkpoint *ret_checkpoint, struct diag *diag) MUST_CHECK;
/* Print text of a log safely: control characters, of which a terminal would obey some, become '?'. */
void audit_put_text(FILE *out, const char *text, size_t len);

#endif

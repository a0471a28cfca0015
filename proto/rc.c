#include "proto/rc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
	const char *name, *text;
	int http, exit_code;
} table[RC_COUNT] = {
#define RC_ROW(code, http, exit_code, name, text) [code] = {name, text, http, exit_code},
	RC_TABLE(RC_ROW)
#undef RC_ROW
};

static enum rc known(enum rc rc)
{
	return (unsigned)rc < RC_COUNT ? rc : RC_INTERNAL;
}

const char *rc_name(enum rc rc)
{
	return table[known(rc)].name;
}

const char *rc_text(enum rc rc)
{
	return table[known(rc)].text;
}

int rc_http_status(enum rc rc)
{
	return table[known(rc)].http;
}

int rc_exit_code(enum rc rc)
{
	return table[known(rc)].exit_code;
}

bool rc_errno_passes(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == EINTR || err == EIO;
}

enum rc diag_set(struct diag *diag, enum rc rc, const char *format, ...)
{
	if (diag != NULL) {
		va_list args;
		va_start(args, format);
		vsnprintf(diag->text, sizeof diag->text, format, args);
		va_end(args);
	}
	return rc;
}

/* The daemon's state, for people. */
#ifndef TOOLS_ADMIN_SHOW_H
#define TOOLS_ADMIN_SHOW_H

#include <jansson.h>

/* Print what GET /v1/status answered to standard output. */
void admin_show(const json_t *status);

#endif

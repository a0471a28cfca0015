/* Files beside the signer's state: what must not be rolled back with the store, and is not lost with it. */
#ifndef DAEMON_CORE_BESIDE_SIGNER_H
#define DAEMON_CORE_BESIDE_SIGNER_H

#include <stddef.h>

#include "daemon/base/conf.h"
#include "proto/rc.h"

enum { BESIDE_SIGNER_CAP = CONF_PATH_CAP + 16 };

/* Path of the signer's state, a point, and `name`. */
void beside_signer_path(const struct conf *conf, const char *name, char ret_path[BESIDE_SIGNER_CAP]);
/* Put this in its place, durably and at once. Errors: IO, NOSPACE. */
enum rc beside_signer_write(const struct conf *conf, const char *name, const void *data, size_t len) MUST_CHECK;

#endif

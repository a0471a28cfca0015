/* Writing that lasts: the two steps every file of ours that may not be lost is made of. */
#ifndef KEYS_DURABLE_H
#define KEYS_DURABLE_H

#include <stddef.h>

#include "proto/rc.h"

/* Write all of `data`, over short writes and signals. Errors: NOSPACE, IO (errno says why). */
enum rc durable_write(int fd, const void *data, size_t len) MUST_CHECK;

/* Sync the folder that `path` is in: a new name is durable only when its folder is. Errors: INVALID (the path is too
 * long), IO (errno says why). */
enum rc durable_sync_folder(const char *path) MUST_CHECK;

#endif

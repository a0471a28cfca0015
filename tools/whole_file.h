/* Reading a whole file into memory, with a bound, and writing public files (certificates, reports). */
#ifndef TOOLS_WHOLE_FILE_H
#define TOOLS_WHOLE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "proto/bytes.h"
#include "proto/rc.h"

/* Append the file's bytes to `out`. "-" is standard input. Errors: NOTFOUND, IO, TOO_LARGE (over `max`), NOMEM. */
enum rc whole_file_read(const char *path, size_t max, struct buffer *out, struct diag *diag) MUST_CHECK;
/* Create a public file (0644 under the umask), never overwriting. Errors: CONFLICT, IO, NOSPACE. */
enum rc whole_file_create(const char *path, const void *data, size_t len, struct diag *diag) MUST_CHECK;
/* Replace a file atomically: temporary file beside it, fsync, rename. Errors: IO, NOSPACE. */
enum rc whole_file_replace(const char *path, const void *data, size_t len, mode_t mode, struct diag *diag) MUST_CHECK;

#endif

/* A file that appears whole or not at all: written in the same folder without a name, or under another where the file
 * system has no such files, and renamed at the end. */
#ifndef TOOLS_OUTPUT_FILE_H
#define TOOLS_OUTPUT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

struct output_file;
/* What stands at `path` may be replaced: nothing, or a regular file; not a device, a pipe, a folder or a symbolic link,
 * which the rename would put a file in place of. Errors: INVALID (diag names the file and the reason). */
enum rc output_file_check(const char *path, struct diag *diag) MUST_CHECK;
/* Create with mode 0600. Errors: as output_file_check(), IO, NOMEM (diag names the file and the reason). */
enum rc output_file_open(const char *path, struct output_file **ret, struct diag *diag) MUST_CHECK;
enum rc output_file_write(struct output_file *file, const void *data, size_t len, struct diag *diag) MUST_CHECK;
uint64_t output_file_size(const struct output_file *file);
/* Make durable and rename to its name, over an older file. Errors: IO, NOSPACE; then nothing is left of the new one. */
enum rc output_file_commit(struct output_file *file, struct diag *diag) MUST_CHECK;
/* Frees; removes what was not committed. NULL is a no-op. */
void output_file_close(struct output_file *file);

#endif

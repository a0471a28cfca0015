/* Whole files in one call. What is written is durable before the call returns, and a failure leaves no part of it. */
#include "tools/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keys/durable.h"

enum rc whole_file_read(const char *path, size_t max, struct buffer *out, struct diag *diag)
{
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *f = is_stdin ? stdin : fopen(path, "rbe");
	char part[1 << 14];
	size_t n, total = 0;
	enum rc rc = RC_OK;

	if (f == NULL)
		return diag_set(diag, errno == ENOENT ? RC_NOTFOUND : RC_IO, "%s: %s", path, strerror(errno));
	while (rc == RC_OK && (n = fread(part, 1, sizeof part, f)) > 0) {
		total += n;
		if (total > max)
			rc = diag_set(diag, RC_TOO_LARGE, "%s: is larger than %zu bytes", path, max);
		else
			buffer_append(out, part, n);
	}
	if (rc == RC_OK && ferror(f))
		rc = diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
	if (rc == RC_OK && out->failed)
		rc = diag_set(diag, RC_NOMEM, "%s: no memory to read it", path);
	if (!is_stdin)
		fclose(f);
	return rc;
}

/* Open, write, sync, close; the file is removed when any of it fails. */
static enum rc write_new(const char *path, int flags, mode_t mode, const void *data, size_t len, struct diag *diag)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode);
	if (fd < 0 && errno == EEXIST)
		return diag_set(diag, RC_CONFLICT, "%s: is there already and is not overwritten", path);
	if (fd < 0)
		return diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
	enum rc rc = durable_write(fd, data, len);
	if (rc == RC_OK && fsync(fd) != 0)
		rc = RC_IO;
	if (close(fd) != 0 && rc == RC_OK)
		rc = RC_IO;
	if (rc != RC_OK) {
		unlink(path);
		return diag_set(diag, rc, "%s: %s", path, rc_text(rc));
	}
	return RC_OK;
}

enum rc whole_file_create(const char *path, const void *data, size_t len, struct diag *diag)
{
	enum rc rc = write_new(path, O_EXCL, 0644, data, len, diag);

	if (rc == RC_OK && (rc = durable_sync_folder(path)) != RC_OK)
		diag_set(diag, rc, "%s: %s", path, rc_text(rc));
	return rc;
}

enum rc whole_file_replace(const char *path, const void *data, size_t len, mode_t mode, struct diag *diag)
{
	char temporary[PATH_MAX];

	if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
		return diag_set(diag, RC_INVALID, "%s: the path is too long", path);
	enum rc rc = write_new(temporary, O_TRUNC, mode, data, len, diag);
	if (rc != RC_OK)
		return rc;
	if (rename(temporary, path) != 0) {
		unlink(temporary);
		return diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
	}
	rc = durable_sync_folder(path);
	return rc == RC_OK ? RC_OK : diag_set(diag, rc, "%s: %s", path, rc_text(rc));
}

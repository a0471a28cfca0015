#include "tools/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct output_file {
	char *path, *temporary;
	int fd;
	uint64_t size;
	bool committed;
};

static enum rc io_error(const struct output_file *file, const char *what, struct diag *diag)
{
	int error = errno;
	return diag_set(diag, error == ENOSPC || error == EDQUOT ? RC_NOSPACE : RC_IO, "%s: %s: %s", file->path, what,
			strerror(error));
}

enum rc output_file_check(const char *path, struct diag *diag)
{
	struct stat info;
	if (lstat(path, &info) != 0 || S_ISREG(info.st_mode))
		return RC_OK; /* what cannot be looked at cannot be created either, which then says why */
	if (S_ISLNK(info.st_mode))
		return diag_set(diag, RC_INVALID, "%s: is a symbolic link; name the file itself", path);
	return diag_set(diag, RC_INVALID, "%s: is %s, not a file that may be replaced", path,
			S_ISDIR(info.st_mode)    ? "a folder"
			: S_ISFIFO(info.st_mode) ? "a named pipe"
						 : "a device or socket");
}

enum rc output_file_open(const char *path, struct output_file **ret, struct diag *diag)
{
	enum rc checked = output_file_check(path, diag);
	if (checked != RC_OK)
		return checked;
	struct output_file *file = calloc(1, sizeof *file);
	if (file == NULL)
		return diag_set(diag, RC_NOMEM, "out of memory");
	file->fd = -1;
	file->path = strdup(path);
	if (file->path == NULL || asprintf(&file->temporary, "%s.new-XXXXXX", path) < 0) {
		file->temporary = NULL;
		output_file_close(file);
		return diag_set(diag, RC_NOMEM, "out of memory");
	}
	file->fd = mkostemp(file->temporary, O_CLOEXEC);
	if (file->fd < 0) {
		enum rc rc = io_error(file, "cannot be created", diag);
		free(file->temporary);
		file->temporary = NULL;
		output_file_close(file);
		return rc;
	}
	*ret = file;
	return RC_OK;
}

enum rc output_file_write(struct output_file *file, const void *data, size_t len, struct diag *diag)
{
	const uint8_t *at = data;
	while (len > 0) {
		ssize_t n = write(file->fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_error(file, "writing failed", diag);
		at += n;
		len -= (size_t)n;
		file->size += (uint64_t)n;
	}
	return RC_OK;
}

uint64_t output_file_size(const struct output_file *file)
{
	return file->size;
}

static void sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy != NULL ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		/* Some file systems cannot; the rename stands all the same. */
		(void)fsync(fd);
		close(fd);
	}
	free(copy);
}

enum rc output_file_commit(struct output_file *file, struct diag *diag)
{
	if (fsync(file->fd) != 0)
		return io_error(file, "writing failed", diag);
	int fd = file->fd;
	file->fd = -1;
	if (close(fd) != 0)
		return io_error(file, "writing failed", diag);
	if (rename(file->temporary, file->path) != 0)
		return io_error(file, "cannot be put in place", diag);
	file->committed = true;
	sync_folder(file->path);
	return RC_OK;
}

void output_file_close(struct output_file *file)
{
	if (file == NULL)
		return;
	if (file->fd >= 0)
		close(file->fd);
	if (file->temporary != NULL && !file->committed)
		unlink(file->temporary);
	free(file->temporary);
	free(file->path);
	free(file);
}

#include "tools/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct output_file {
	char *path, *temporary;
	int fd;
	uint64_t size;
	bool named; /* there is a file `temporary` */
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

static int open_folder(const char *path, int flags)
{
	char *copy = strdup(path);
	int fd = copy != NULL ? open(dirname(copy), flags | O_CLOEXEC, 0600) : -1;
	free(copy);
	return fd;
}

/* Not every file system has files without a name: there it has another one from the first, which stays if the program
 * is killed. */
static enum rc create(struct output_file *file, struct diag *diag)
{
	struct stat info;
	if (asprintf(&file->temporary, "%s.new-XXXXXX", file->path) < 0) {
		file->temporary = NULL;
		return diag_set(diag, RC_NOMEM, "out of memory");
	}
	/* Where it could not be given its name in the end, that is told at once, below. */
	if (access("/proc/self/fd", X_OK) == 0 && lstat(file->temporary, &info) != 0 && errno == ENOENT)
		file->fd = open_folder(file->path, O_TMPFILE | O_WRONLY);
	if (file->fd >= 0)
		return RC_OK;
	file->fd = mkostemp(file->temporary, O_CLOEXEC);
	file->named = file->fd >= 0;
	return file->named ? RC_OK : io_error(file, "cannot be created", diag);
}

/* A link cannot take the place of an older file, so it has another name for a moment. */
static enum rc give_name(struct output_file *file, struct diag *diag)
{
	enum { TRIES = 100 };
	char unnamed[32], *end = file->temporary + strlen(file->temporary) - strlen("XXXXXX");
	snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", file->fd);
	for (int i = 0; i < TRIES && !file->named; i++) {
		unsigned number;
		if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
			break;
		snprintf(end, sizeof "XXXXXX", "%06x", number & 0xffffff);
		file->named = linkat(AT_FDCWD, unnamed, AT_FDCWD, file->temporary, AT_SYMLINK_FOLLOW) == 0;
		if (!file->named && errno != EEXIST)
			break;
	}
	return file->named ? RC_OK : io_error(file, "cannot be put in place", diag);
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
	enum rc rc = file->path != NULL ? create(file, diag) : diag_set(diag, RC_NOMEM, "out of memory");
	if (rc != RC_OK) {
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
	int fd = open_folder(path, O_RDONLY | O_DIRECTORY);
	if (fd >= 0) {
		/* Some file systems cannot; the rename stands all the same. */
		(void)fsync(fd);
		close(fd);
	}
}

enum rc output_file_commit(struct output_file *file, struct diag *diag)
{
	if (fsync(file->fd) != 0)
		return io_error(file, "writing failed", diag);
	enum rc rc = file->named ? RC_OK : give_name(file, diag);
	if (rc != RC_OK)
		return rc;
	int fd = file->fd;
	file->fd = -1;
	if (close(fd) != 0)
		return io_error(file, "writing failed", diag);
	if (rename(file->temporary, file->path) != 0)
		return io_error(file, "cannot be put in place", diag);
	file->named = false;
	sync_folder(file->path);
	return RC_OK;
}

void output_file_close(struct output_file *file)
{
	if (file == NULL)
		return;
	if (file->fd >= 0)
		close(file->fd);
	if (file->named)
		unlink(file->temporary);
	free(file->temporary);
	free(file->path);
	free(file);
}

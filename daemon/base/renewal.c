/* Files that may be replaced: see renewal.h. A file is known by what stat() says of it, so that looking costs no read;
 * what is written while it is read has another time afterwards, and is read again. */
#include "daemon/base/renewal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/monotonic.h"

static const char *const file_names[RENEWAL_FILE_COUNT] = {
#define RENEWAL_FILE_NAME(constant, name) [constant] = name,
	RENEWAL_FILES(RENEWAL_FILE_NAME)
#undef RENEWAL_FILE_NAME
};
static const char *const fault_names[RENEWAL_FAULT_COUNT] = {
#define RENEWAL_FAULT_NAME(constant, name) [constant] = name,
	RENEWAL_FAULTS(RENEWAL_FAULT_NAME)
#undef RENEWAL_FAULT_NAME
};

const char *renewal_file_name(enum renewal_file file)
{
	return file_names[file];
}

const char *renewal_fault_name(enum renewal_fault fault)
{
	return fault_names[fault];
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool watched_has_changed(const struct watched_file *file)
{
	struct stat st;

	if (file->path[0] == '\0' || stat(file->path, &st) != 0)
		return false;
	return !is_same_file(&st, &file->seen) || (file->try_again_ms != 0 && monotonic_ms() >= file->try_again_ms);
}

void watched_note(struct watched_file *file)
{
	struct stat st;

	if (stat(file->path, &st) == 0)
		file->seen = st;
}

enum rc watched_read(struct watched_file *file, struct buffer *out, struct diag *diag)
{
	struct stat st;
	uint8_t piece[16384];
	size_t before = out->len;
	ssize_t n;

	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		int err = errno;
		watched_note(file);
		return diag_set(diag, rc_errno_passes(err) ? RC_IO : RC_INVALID, "%s: %s", file->path, strerror(err));
	}
	enum rc rc = RC_OK;
	if (fstat(fd, &st) != 0) {
		rc = diag_set(diag, RC_IO, "%s: %s", file->path, strerror(errno));
		goto out;
	}
	file->seen = st;
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)file->max_bytes) {
		rc = diag_set(diag, RC_INVALID, "%s: expected a regular file of at most %zu bytes", file->path,
			      file->max_bytes);
		goto out;
	}
	while ((n = read(fd, piece, sizeof piece)) > 0 && out->len - before <= file->max_bytes)
		buffer_append(out, piece, (size_t)n);
	if (n < 0 || out->failed || out->len - before > file->max_bytes)
		rc = diag_set(diag, RC_IO, "%s: cannot be read", file->path);
out:
	close(fd);
	return rc;
}

void watched_result(struct watched_file *file, enum rc rc)
{
	enum { LATER_MS = 2000 };

	file->try_again_ms = rc == RC_OK || rc == RC_INVALID ? 0 : monotonic_ms() + LATER_MS;
}

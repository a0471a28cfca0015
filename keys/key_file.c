/* Reading and writing key files. A key that others could have read is not a key: the mode is checked on the opened
 * file, not on the path, and nothing is ever overwritten, since the old key may be the only way to old data. */
#include "keys/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keys/durable.h"

enum { KEY_LINE_CAP = 128 };

/* A file that systemd hands to the service: it belongs to root, whom a user namespace shows as somebody else, and an
 * access list, which shows as the group's bits, lets the service's user read it. The folder is the service's alone. */
static bool is_credential(const char *path, const struct stat *st)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	struct stat of_folder;

	if (folder == NULL || folder[0] != '/')
		return false;
	size_t len = strlen(folder);
	return strncmp(path, folder, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL &&
	       (st->st_mode & 0337) == 0 && lstat(folder, &of_folder) == 0 && S_ISDIR(of_folder.st_mode) &&
	       (of_folder.st_mode & 0027) == 0;
}

/* Is the opened file fit to hold a key? */
static enum rc check_file(const char *path, int fd, struct diag *diag)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return diag_set(diag, RC_KEY, "%s: is not a regular file", path);
	if (is_credential(path, &st))
		return RC_OK;
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return diag_set(diag, RC_KEY, "%s: belongs to another user", path);
	if ((st.st_mode & 077) != 0)
		return diag_set(diag, RC_KEY, "%s: has mode %04o, group or others may use it; expected 0600", path,
				(unsigned)(st.st_mode & 07777));
	return RC_OK;
}

/* Open a file that may hold a key. O_NONBLOCK: a FIFO in its place is an error, not a daemon that hangs. */
static enum rc open_private(const char *path, int *ret_fd, struct diag *diag)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return diag_set(diag, rc_errno_passes(errno) ? RC_IO : RC_KEY, "%s: %s", path, strerror(errno));
	enum rc rc = check_file(path, fd, diag);
	if (rc != RC_OK)
		close(fd);
	else
		*ret_fd = fd;
	return rc;
}

enum rc private_file_read(const char *path, size_t max, struct buffer *out, struct diag *diag)
{
	uint8_t part[4096];
	size_t total = 0;
	ssize_t n = 0;
	int fd = -1;

	enum rc rc = open_private(path, &fd, diag);
	if (rc != RC_OK)
		return rc;
	while (rc == RC_OK && (n = read(fd, part, sizeof part)) != 0) {
		if (n < 0) {
			rc = errno == EINTR ? RC_OK : diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
			continue;
		}
		total += (size_t)n;
		if (total > max)
			rc = diag_set(diag, RC_TOO_LARGE, "%s: is larger than %zu bytes", path, max);
		else
			buffer_append(out, part, (size_t)n);
	}
	if (rc == RC_OK && out->failed)
		rc = diag_set(diag, RC_NOMEM, "%s: no memory to read it", path);
	explicit_bzero(part, sizeof part);
	close(fd);
	return rc;
}

static enum rc parse_line(const char *path, const char *kind, const char *line, size_t len, uint8_t bytes[32],
			  struct diag *diag)
{
	char prefix[64];
	int prefix_len = snprintf(prefix, sizeof prefix, "throughcare-%s-v1:", kind);

	if (len > 0 && line[len - 1] == '\n')
		len--;
	if (len != (size_t)prefix_len + 64 || memcmp(line, prefix, (size_t)prefix_len) != 0 ||
	    hex_decode(line + prefix_len, 64, bytes, 32) != RC_OK)
		return diag_set(diag, RC_KEY, "%s: expected one line '%s' and 64 hex digits", path, prefix);
	return RC_OK;
}

enum rc key_file_read(const char *path, const char *kind, struct secret_key **ret, struct diag *diag)
{
	struct buffer line;
	uint8_t bytes[32];

	buffer_init(&line);
	enum rc rc = private_file_read(path, KEY_LINE_CAP, &line, diag);
	if (rc == RC_TOO_LARGE)
		rc = diag_set(diag, RC_KEY, "%s: is not a key file", path);
	if (rc == RC_OK)
		rc = parse_line(path, kind, (const char *)line.data, line.len, bytes, diag);
	if (rc == RC_OK && (rc = secret_key_new(bytes, ret)) != RC_OK)
		diag_set(diag, rc, "%s: no memory for a key", path);
	explicit_bzero(bytes, sizeof bytes);
	buffer_wipe(&line);
	return rc;
}

enum rc private_file_write(const char *path, const void *data, size_t len, struct diag *diag)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST)
		return diag_set(diag, RC_CONFLICT, "%s: is there already and is not overwritten", path);
	if (fd < 0)
		return diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
	enum rc rc = fchmod(fd, 0600) == 0 ? RC_OK : RC_IO;
	if (rc == RC_OK)
		rc = durable_write(fd, data, len);
	if (rc == RC_OK && fsync(fd) != 0)
		rc = RC_IO;
	if (close(fd) != 0 && rc == RC_OK)
		rc = RC_IO;
	if (rc == RC_OK)
		rc = durable_sync_folder(path);
	if (rc != RC_OK) {
		unlink(path); /* ours alone: O_EXCL made it */
		return diag_set(diag, rc, "%s: %s", path, rc_text(rc));
	}
	return RC_OK;
}

enum rc key_file_write(const char *path, const char *kind, const uint8_t bytes[32], struct diag *diag)
{
	char hex[65], line[KEY_LINE_CAP];

	hex_encode(bytes, 32, hex);
	int len = snprintf(line, sizeof line, "throughcare-%s-v1:%s\n", kind, hex);
	enum rc rc = private_file_write(path, line, (size_t)len, diag);
	explicit_bzero(hex, sizeof hex);
	explicit_bzero(line, sizeof line);
	return rc;
}

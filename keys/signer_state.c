/* One line: "throughcare-signer-state-v1 SIZE ROOT MAC". Written to a temporary file, synced, renamed, and the folder
 * synced: after a crash there is either the old state or the new, never a mixture, and never a signature that is newer
 * than both. A temporary file left by a crash is overwritten by the next. */
#include "keys/signer_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keys/key_file.h"

enum { STATE_LINE_CAP = 256 };

static const char state_magic[] = "throughcare-signer-state-v1";

enum rc signer_state_init(struct signer_state *state, const char *path, const char *origin, const uint8_t seed[32],
			  struct diag *diag)
{
	char for_dir[PATH_MAX], for_base[PATH_MAX], lock[sizeof state->name + 8];

	*state = (struct signer_state){.folder_fd = -1, .lock_fd = -1};
	if (tlog_name_check(origin) != RC_OK)
		return diag_set(diag, RC_INVALID, "the log's origin is not a name without spaces and plus signs");
	snprintf(state->origin, sizeof state->origin, "%s", origin);
	if (strlen(path) >= PATH_MAX)
		return diag_set(diag, RC_INVALID, "the path of the signer's state file is too long");
	strcpy(for_dir, path);
	strcpy(for_base, path);
	const char *name = basename(for_base);
	if (strlen(name) + 8 >= sizeof state->name || strcmp(name, ".") == 0 || strcmp(name, "/") == 0)
		return diag_set(diag, RC_INVALID, "%s: is not the name of a file", path);
	strcpy(state->name, name);
	enum rc rc = hkdf_label(seed, 32, (const uint8_t *)origin, strlen(origin), "throughcare signer state v1",
				state->mac_key, sizeof state->mac_key);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s: %s", path, rc_text(rc));
	state->folder_fd = open(dirname(for_dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state->folder_fd < 0)
		return diag_set(diag, RC_IO, "%s: its folder: %s", path, strerror(errno));
	snprintf(lock, sizeof lock, "%s.lock", state->name);
	state->lock_fd = openat(state->folder_fd, lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (state->lock_fd < 0)
		return diag_set(diag, RC_IO, "%s.lock: %s", path, strerror(errno));
	if (flock(state->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return diag_set(diag, RC_CONFLICT, "%s: another process signs with this key", path);
	return RC_OK;
}

void signer_state_deinit(struct signer_state *state)
{
	if (state->lock_fd >= 0)
		close(state->lock_fd);
	if (state->folder_fd >= 0)
		close(state->folder_fd);
	explicit_bzero(state, sizeof *state);
	state->lock_fd = state->folder_fd = -1;
}

/* The line without its MAC, then the MAC over it and the origin: a state of another log does not fit. */
static enum rc format_line(const struct signer_state *state, uint64_t size, const struct tlog_hash *root,
			   char line[STATE_LINE_CAP])
{
	char hex[65], bound[STATE_LINE_CAP + TLOG_ORIGIN_CAP + 1];
	uint8_t mac[32];

	hex_encode(root->b, TLOG_HASH_LEN, hex);
	int n = snprintf(line, STATE_LINE_CAP, "%s %" PRIu64 " %s", state_magic, size, hex);
	int bound_len = snprintf(bound, sizeof bound, "%s\n%s", line, state->origin);
	enum rc rc = hmac_sha256(state->mac_key, sizeof state->mac_key, bound, (size_t)bound_len, mac);
	if (rc != RC_OK)
		return rc;
	hex_encode(mac, sizeof mac, hex);
	snprintf(line + n, STATE_LINE_CAP - (size_t)n, " %s\n", hex);
	return RC_OK;
}

static enum rc read_file(const struct signer_state *state, char line[STATE_LINE_CAP])
{
	int fd = openat(state->folder_fd, state->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_IO;
	ssize_t n = read(fd, line, STATE_LINE_CAP - 1);
	close(fd);
	if (n < 0)
		return RC_IO;
	line[n] = '\0';
	return strlen(line) == (size_t)n ? RC_OK : RC_DAMAGED;
}

/* Take the fields apart, then write the line again and compare: one state has one text, and the MAC is part of it. */
enum rc signer_state_load(struct signer_state *state)
{
	char line[STATE_LINE_CAP], again[STATE_LINE_CAP], hex[65];
	struct tlog_hash root;
	uint64_t size = 0;

	enum rc rc = read_file(state, line);
	if (rc != RC_OK)
		return rc;
	const char *at = line + strlen(state_magic);
	if (strncmp(line, state_magic, strlen(state_magic)) != 0 ||
	    sscanf(at, " %20" SCNu64 " %64s", &size, hex) != 2 ||
	    hex_decode(hex, strlen(hex), root.b, TLOG_HASH_LEN) != RC_OK)
		return RC_DAMAGED;
	rc = format_line(state, size, &root, again);
	if (rc != RC_OK)
		return rc;
	if (strlen(line) != strlen(again) || !bytes_equal_const_time(line, again, strlen(again)))
		return RC_DAMAGED;
	state->size = size;
	state->root = root;
	return RC_OK;
}

static enum rc write_temporary(const struct signer_state *state, const char *name, const char *line)
{
	enum rc rc = RC_OK;
	int fd = openat(state->folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return errno == ENOSPC ? RC_NOSPACE : RC_IO;
	size_t len = strlen(line);
	ssize_t n = write(fd, line, len);
	if (n != (ssize_t)len)
		rc = n < 0 && errno != ENOSPC ? RC_IO : RC_NOSPACE;
	if (rc == RC_OK && fsync(fd) != 0)
		rc = RC_IO;
	if (close(fd) != 0 && rc == RC_OK)
		rc = RC_IO;
	return rc;
}

enum rc signer_state_save(struct signer_state *state, uint64_t size, const struct tlog_hash *root, bool exclusive)
{
	char line[STATE_LINE_CAP], temporary[sizeof state->name + 8];

	enum rc rc = format_line(state, size, root, line);
	if (rc != RC_OK)
		return rc;
	snprintf(temporary, sizeof temporary, "%s.new", state->name);
	rc = write_temporary(state, temporary, line);
	if (rc == RC_OK && exclusive && linkat(state->folder_fd, temporary, state->folder_fd, state->name, 0) != 0)
		rc = errno == EEXIST ? RC_CONFLICT : RC_IO;
	if (rc == RC_OK && !exclusive && renameat(state->folder_fd, temporary, state->folder_fd, state->name) != 0)
		rc = RC_IO;
	if (exclusive || rc != RC_OK)
		unlinkat(state->folder_fd, temporary, 0);
	if (rc == RC_OK && fsync(state->folder_fd) != 0)
		rc = RC_IO;
	if (rc != RC_OK)
		return rc;
	state->size = size;
	state->root = *root;
	return RC_OK;
}

/* One line: "throughcare-signer-state-v1 SIZE ROOT MAC". While a rotation of the log key lasts, a second one for the
 * new key: "throughcare-signer-next-v1 SIZE ROOT HANDOVER OLD-PUBLIC OLD-SIGNATURE MAC", so that either key opens it.
 * Written to a temporary file, synced, renamed, and the folder synced: after a crash there is either the old state or
 * the new, never a mixture, and never a signature that is newer than both. A temporary file left by a crash is
 * overwritten by the next.
 *
 * A text that is as long as the one that is there, and fits a disk's sector, is written over it and synced, which is
 * one sync of data instead of two with a rename between them. A sector is written whole or not at all (LMDB rests its
 * root on the same); where a disk breaks that, the MAC does not fit and the signer refuses: it never goes on from an
 * older state. A write that stops half-way is followed by a new file in its place. Before the first of these writes the
 * folder is synced: who was killed between rename and sync may have left a name that a power cut would take back. */
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

#include "keys/durable.h"
#include "keys/key_file.h"

enum {
	STATE_LINE_CAP = 1024, /* of the whole file */
	SECTOR_BYTES = 512,
};

static const char state_magic[] = "throughcare-signer-state-v1", next_magic[] = "throughcare-signer-next-v1";

enum rc signer_state_mac_key(const char *origin, const uint8_t seed[32], uint8_t ret[32])
{
	return hkdf_label(seed, 32, (const uint8_t *)origin, strlen(origin), "throughcare signer state v1", ret, 32);
}

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
	enum rc rc = signer_state_mac_key(origin, seed, state->mac_key);
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

/* Put the MAC over the line and the origin behind it: a state of another log does not fit. */
static enum rc add_mac(const struct signer_state *state, const uint8_t mac_key[32], char line[STATE_LINE_CAP])
{
	char hex[65], bound[STATE_LINE_CAP + TLOG_ORIGIN_CAP + 1];
	uint8_t mac[32];

	size_t len = strlen(line);
	int bound_len = snprintf(bound, sizeof bound, "%s\n%s", line, state->origin);
	enum rc rc = hmac_sha256(mac_key, 32, bound, (size_t)bound_len, mac);
	if (rc != RC_OK)
		return rc;
	hex_encode(mac, sizeof mac, hex);
	snprintf(line + len, STATE_LINE_CAP - len, " %s\n", hex);
	return RC_OK;
}

static enum rc format_line(const struct signer_state *state, uint64_t size, const struct tlog_hash *root,
			   char line[STATE_LINE_CAP])
{
	char hex[65];

	hex_encode(root->b, TLOG_HASH_LEN, hex);
	snprintf(line, STATE_LINE_CAP, "%s %" PRIu64 " %s", state_magic, size, hex);
	return add_mac(state, state->mac_key, line);
}

/* The line for the new key, under `mac_key`: the new one's. */
static enum rc format_next(const struct signer_state *state, uint64_t size, const struct tlog_hash *root,
			   const struct signer_next *next, const uint8_t mac_key[32], char line[STATE_LINE_CAP])
{
	char hex[65], handover[2 * SIGNER_HANDOVER_LEN + 1], public_key[65], signature[129];

	hex_encode(root->b, TLOG_HASH_LEN, hex);
	hex_encode(next->handover, sizeof next->handover, handover);
	hex_encode(next->old_public, sizeof next->old_public, public_key);
	hex_encode(next->old_signature, sizeof next->old_signature, signature);
	snprintf(line, STATE_LINE_CAP, "%s %" PRIu64 " %s %s %s %s", next_magic, size, hex, handover, public_key,
		 signature);
	return add_mac(state, mac_key, line);
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

static bool same_text(const char *a, size_t len, const char *b)
{
	return strlen(b) == len && bytes_equal_const_time(a, b, len);
}

/* Take the fields apart, then write the line again and compare: one state has one text, and the MAC is part of it. */
static enum rc load_line(struct signer_state *state, const char *line, size_t len)
{
	char again[STATE_LINE_CAP], hex[65];
	struct tlog_hash root;
	uint64_t size = 0;

	const char *at = line + strlen(state_magic);
	if (strncmp(line, state_magic, strlen(state_magic)) != 0 ||
	    sscanf(at, " %20" SCNu64 " %64s", &size, hex) != 2 ||
	    hex_decode(hex, strlen(hex), root.b, TLOG_HASH_LEN) != RC_OK)
		return RC_DAMAGED;
	enum rc rc = format_line(state, size, &root, again);
	if (rc != RC_OK)
		return rc;
	if (!same_text(line, len, again))
		return RC_DAMAGED;
	state->size = size;
	state->root = root;
	return RC_OK;
}

/* `by_next`: the MAC is ours to check. Otherwise size and root must be those of the line before, which has ours. */
static enum rc load_next(struct signer_state *state, const char *line, size_t len, bool by_next)
{
	char again[STATE_LINE_CAP], hex[65], handover[2 * SIGNER_HANDOVER_LEN + 1], public_key[65], signature[129];
	struct signer_next next;
	struct tlog_hash root;
	uint64_t size = 0;

	_Static_assert(SIGNER_HANDOVER_LEN == 63, "the width of the field below");
	if (strncmp(line, next_magic, strlen(next_magic)) != 0 ||
	    sscanf(line + strlen(next_magic), " %20" SCNu64 " %64s %126s %64s %128s", &size, hex, handover, public_key,
		   signature) != 5 ||
	    hex_decode(hex, strlen(hex), root.b, TLOG_HASH_LEN) != RC_OK ||
	    hex_decode(handover, strlen(handover), next.handover, sizeof next.handover) != RC_OK ||
	    hex_decode(public_key, strlen(public_key), next.old_public, sizeof next.old_public) != RC_OK ||
	    hex_decode(signature, strlen(signature), next.old_signature, sizeof next.old_signature) != RC_OK)
		return RC_DAMAGED;
	if (by_next) {
		enum rc rc = format_next(state, size, &root, &next, state->mac_key, again);
		if (rc != RC_OK)
			return rc;
		if (!same_text(line, len, again))
			return RC_DAMAGED;
		state->size = size;
		state->root = root;
	} else if (size != state->size || memcmp(root.b, state->root.b, TLOG_HASH_LEN) != 0) {
		return RC_DAMAGED;
	}
	memset(next.mac_key, 0, sizeof next.mac_key);
	state->next = next;
	state->by_next = by_next;
	state->has_next = !by_next;
	return RC_OK;
}

enum rc signer_state_load(struct signer_state *state)
{
	char text[STATE_LINE_CAP];

	enum rc rc = read_file(state, text);
	if (rc != RC_OK)
		return rc;
	const char *end = strchr(text, '\n');
	if (end == NULL)
		return RC_DAMAGED;
	const char *next = end + 1;
	rc = load_line(state, text, (size_t)(next - text));
	if (rc == RC_OK)
		return *next == '\0' ? RC_OK : load_next(state, next, strlen(next), false);
	if (rc == RC_DAMAGED && *next != '\0')
		return load_next(state, next, strlen(next), true);
	return rc;
}

static enum rc write_temporary(const struct signer_state *state, const char *name, const char *line)
{
	enum rc rc;
	int fd = openat(state->folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return errno == ENOSPC ? RC_NOSPACE : RC_IO;
	rc = durable_write(fd, line, strlen(line));
	if (rc == RC_OK && fsync(fd) != 0)
		rc = RC_IO;
	if (close(fd) != 0 && rc == RC_OK)
		rc = RC_IO;
	return rc;
}

static enum rc sync_folder(struct signer_state *state)
{
	state->name_is_durable = fsync(state->folder_fd) == 0;
	return state->name_is_durable ? RC_OK : RC_IO;
}

/* Over the file that is there, if it is ours alone and the text takes the same bytes of one sector; *ret_done is false
 * where it is not, or where the text was not written whole: a new file is wanted then. */
static enum rc write_in_place(struct signer_state *state, const char *text, bool *ret_done)
{
	enum rc rc = RC_OK;
	size_t len = strlen(text);
	struct stat st;

	*ret_done = false;
	int fd = len > SECTOR_BYTES
			 ? -1
			 : openat(state->folder_fd, state->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return RC_OK;
	bool fits = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_size == (off_t)len;
	if (fits && !state->name_is_durable)
		rc = sync_folder(state);
	if (fits && rc == RC_OK && durable_write(fd, text, len) == RC_OK) {
		*ret_done = true;
		rc = fdatasync(fd) == 0 ? RC_OK : RC_IO;
	}
	if (close(fd) != 0 && rc == RC_OK && *ret_done)
		rc = RC_IO;
	return rc;
}

/* A new file in the place of the one that is there. */
static enum rc write_anew(struct signer_state *state, const char *text, bool exclusive)
{
	char temporary[sizeof state->name + 8];

	snprintf(temporary, sizeof temporary, "%s.new", state->name);
	enum rc rc = write_temporary(state, temporary, text);
	if (rc == RC_OK && exclusive && linkat(state->folder_fd, temporary, state->folder_fd, state->name, 0) != 0)
		rc = errno == EEXIST ? RC_CONFLICT : RC_IO;
	if (rc == RC_OK && !exclusive && renameat(state->folder_fd, temporary, state->folder_fd, state->name) != 0)
		rc = RC_IO;
	if (exclusive || rc != RC_OK)
		unlinkat(state->folder_fd, temporary, 0);
	state->name_is_durable = false;
	return rc == RC_OK ? sync_folder(state) : rc;
}

enum rc signer_state_save(struct signer_state *state, uint64_t size, const struct tlog_hash *root, bool exclusive)
{
	char text[2 * STATE_LINE_CAP], next[STATE_LINE_CAP];
	bool done = false;

	enum rc rc = format_line(state, size, root, text);
	if (rc == RC_OK && state->has_next)
		rc = format_next(state, size, root, &state->next, state->next.mac_key, next);
	if (rc != RC_OK)
		return rc;
	if (state->has_next)
		strcat(text, next);
	if (!exclusive)
		rc = write_in_place(state, text, &done);
	if (rc == RC_OK && !done)
		rc = write_anew(state, text, exclusive);
	if (rc != RC_OK)
		return rc;
	state->size = size;
	state->root = *root;
	return RC_OK;
}

/* Slot files; slots.h has the format and why they exist.
 *
 * Invariant: a secret is readable only from the slot it was written to, in the file and store it was written for; what
 * destroy() returned RC_OK for cannot be read again. */
#include "daemon/store/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keys/durable.h"
#include "keys/key_file.h"
#include "proto/bytes.h"

enum {
	SLOTS_FORMAT = 2,
	STATE_FREE = 0,
	STATE_USED = 1,
	STATE_DESTROYED = 2,
	SEALED_LEN = SLOT_SECRET_LEN + SEAL_OVERHEAD,
	SEALED_AT = SLOT_LEN - SEALED_LEN,
	WRITE_BATCH = 256,
	AD_LEN = SLOTS_MAGIC_LEN + STORE_ID_LEN + 8,
};
_Static_assert(SEALED_AT >= 1, "a slot holds its state and a sealed secret");

struct slots {
	int fd;
	uint8_t identity[SLOTS_MAGIC_LEN + STORE_ID_LEN]; /* bound into every slot */
	uint64_t max_slots, n_slots;
	const struct seal *seal;
	pthread_mutex_t lock; /* guards n_slots */
	/* A slot is wrapped again in place: whoever reads it, reads and opens either what it was or what it is, and what
	 * is destroyed meanwhile is not written back. */
	pthread_rwlock_t rewrap;
};

static enum rc errno_rc(void)
{
	return errno == ENOSPC || errno == EDQUOT ? RC_NOSPACE : RC_IO;
}

static enum rc write_all(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return errno_rc();
		data += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return RC_OK;
}

static enum rc read_all(int fd, uint8_t *data, size_t len, uint64_t offset)
{
	while (len > 0) {
		ssize_t n = pread(fd, data, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return RC_IO;
		if (n == 0)
			return RC_DAMAGED;
		data += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return RC_OK;
}

static void head_bytes(const struct slots *slots, uint8_t head[SLOT_LEN])
{
	struct writer w;
	memset(head, 0, SLOT_LEN);
	writer_init(&w, head, SLOT_LEN);
	write_bytes(&w, slots->identity, SLOTS_MAGIC_LEN);
	write_u32(&w, SLOTS_FORMAT);
	write_u32(&w, SLOT_LEN);
	write_bytes(&w, slots->identity + SLOTS_MAGIC_LEN, STORE_ID_LEN);
}

static enum rc make_head(struct slots *slots, const char *path)
{
	uint8_t head[SLOT_LEN];
	head_bytes(slots, head);
	enum rc rc = write_all(slots->fd, head, sizeof head, 0);
	if (rc == RC_OK && fsync(slots->fd) != 0)
		rc = errno_rc();
	return rc == RC_OK ? durable_sync_folder(path) : rc;
}

static enum rc check_head(struct slots *slots, const char *path, uint64_t size, struct diag *diag)
{
	uint8_t head[SLOT_LEN], want[SLOT_LEN];
	/* A file that grew by part of a slot was cut by a crash before its transaction: the rest is not referred to. */
	if (size < SLOT_LEN || size / SLOT_LEN - 1 > slots->max_slots)
		return diag_set(diag, RC_DAMAGED, "%s: its size is not that of a slot file", path);
	enum rc rc = read_all(slots->fd, head, sizeof head, 0);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s: its head cannot be read", path);
	head_bytes(slots, want);
	if (memcmp(head, want, SLOTS_MAGIC_LEN) != 0)
		return diag_set(diag, RC_DAMAGED, "%s: not a slot file of this kind", path);
	if (memcmp(head, want, SLOTS_MAGIC_LEN + 8) != 0)
		return diag_set(diag, RC_CONFIG, "%s: written in another format than %d", path, SLOTS_FORMAT);
	if (memcmp(head, want, SLOT_LEN) != 0)
		return diag_set(diag, RC_CONFLICT, "%s: belongs to another store", path);
	slots->n_slots = size / SLOT_LEN - 1;
	return RC_OK;
}

enum rc slots_open(const char *path, const char *magic, const uint8_t store_id[STORE_ID_LEN], uint64_t max_slots,
		   const struct seal *seal, bool create, struct slots **ret, struct diag *diag)
{
	struct stat st;
	struct slots *slots = calloc(1, sizeof *slots);
	if (slots == NULL)
		return RC_NOMEM;
	pthread_mutex_init(&slots->lock, NULL);
	pthread_rwlock_init(&slots->rewrap, NULL);
	memcpy(slots->identity, magic, SLOTS_MAGIC_LEN);
	memcpy(slots->identity + SLOTS_MAGIC_LEN, store_id, STORE_ID_LEN);
	slots->max_slots = max_slots;
	slots->seal = seal;
	enum rc rc = RC_OK;
	slots->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (slots->fd < 0 || fstat(slots->fd, &st) != 0) {
		rc = errno == ENOENT ? RC_NOTFOUND : errno_rc();
		diag_set(diag, rc, "%s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		rc = diag_set(diag, RC_DAMAGED, "%s: not a regular file", path);
	} else if (st.st_size <= SLOT_LEN && create) {
		/* New, or left by a creation that was cut short: it holds no key yet. */
		rc = make_head(slots, path);
		if (rc != RC_OK)
			diag_set(diag, rc, "%s: %s", path, strerror(errno));
	} else {
		rc = check_head(slots, path, (uint64_t)st.st_size, diag);
	}
	if (rc != RC_OK) {
		slots_close(slots);
		return rc;
	}
	*ret = slots;
	return RC_OK;
}

void slots_close(struct slots *slots)
{
	if (slots == NULL)
		return;
	if (slots->fd >= 0)
		close(slots->fd);
	pthread_mutex_destroy(&slots->lock);
	pthread_rwlock_destroy(&slots->rewrap);
	free(slots);
}

uint64_t slots_count(const struct slots *slots)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&slots->lock;
	pthread_mutex_lock(lock);
	uint64_t n = slots->n_slots;
	pthread_mutex_unlock(lock);
	return n;
}

static uint64_t slot_offset(uint64_t slot)
{
	return (slot + 1) * SLOT_LEN;
}

static void slot_ad(const struct slots *slots, uint64_t slot, uint8_t ad[AD_LEN])
{
	struct writer w;
	writer_init(&w, ad, AD_LEN);
	write_bytes(&w, slots->identity, sizeof slots->identity);
	write_u64(&w, slot);
}

static enum rc wrap(const struct slots *slots, uint64_t slot, const uint8_t secret[SLOT_SECRET_LEN],
		    uint8_t out[SLOT_LEN])
{
	uint8_t ad[AD_LEN];
	slot_ad(slots, slot, ad);
	memset(out, 0, SLOT_LEN);
	out[0] = STATE_USED;
	return seal_value(slots->seal, "slot", ad, sizeof ad, secret, SLOT_SECRET_LEN, out + SEALED_AT);
}

enum rc slots_write_raw(struct slots *slots, uint64_t first, const uint8_t *raw, size_t n)
{
	if (first >= slots->max_slots || n > slots->max_slots - first)
		return RC_TOO_LARGE;
	pthread_rwlock_wrlock(&slots->rewrap);
	enum rc rc = write_all(slots->fd, raw, n * SLOT_LEN, slot_offset(first));
	pthread_rwlock_unlock(&slots->rewrap);
	if (rc != RC_OK)
		return rc;
	pthread_mutex_lock(&slots->lock);
	if (first + n > slots->n_slots)
		slots->n_slots = first + n;
	pthread_mutex_unlock(&slots->lock);
	return RC_OK;
}

enum rc slots_read_raw(struct slots *slots, uint64_t first, size_t n, uint8_t *out)
{
	if (first > slots_count(slots) || n > slots_count(slots) - first)
		return RC_DAMAGED;
	return read_all(slots->fd, out, n * SLOT_LEN, slot_offset(first));
}

enum rc slots_write(struct slots *slots, uint64_t first, const uint8_t (*secrets)[SLOT_SECRET_LEN], size_t n)
{
	uint8_t block[WRITE_BATCH * SLOT_LEN];
	if (first >= slots->max_slots || n > slots->max_slots - first)
		return RC_TOO_LARGE;
	for (size_t done = 0; done < n;) {
		size_t take = n - done < WRITE_BATCH ? n - done : WRITE_BATCH;
		for (size_t i = 0; i < take; i++) {
			enum rc rc = wrap(slots, first + done + i, secrets[done + i], block + i * SLOT_LEN);
			if (rc != RC_OK)
				return rc;
		}
		enum rc rc = slots_write_raw(slots, first + done, block, take);
		if (rc != RC_OK)
			return rc;
		done += take;
	}
	return RC_OK;
}

enum rc slots_sync(struct slots *slots)
{
	return fdatasync(slots->fd) == 0 ? RC_OK : errno_rc();
}

static enum rc read_slot(struct slots *slots, uint64_t slot, uint8_t raw[SLOT_LEN])
{
	if (slot >= slots_count(slots))
		return RC_NOTFOUND;
	return read_all(slots->fd, raw, SLOT_LEN, slot_offset(slot));
}

static enum rc unwrap(struct slots *slots, uint64_t slot, const uint8_t raw[SLOT_LEN], uint8_t ret[SLOT_SECRET_LEN])
{
	uint8_t ad[AD_LEN], secret[SLOT_SECRET_LEN];
	if (raw[0] == STATE_FREE || raw[0] == STATE_DESTROYED)
		return RC_NOTFOUND;
	if (raw[0] != STATE_USED)
		return RC_DAMAGED;
	slot_ad(slots, slot, ad);
	enum rc rc = unseal_value(slots->seal, "slot", ad, sizeof ad, raw + SEALED_AT, SEALED_LEN, secret);
	if (rc == RC_OK)
		memcpy(ret, secret, SLOT_SECRET_LEN);
	explicit_bzero(secret, sizeof secret);
	return rc;
}

enum rc slots_read(struct slots *slots, uint64_t slot, uint8_t ret[SLOT_SECRET_LEN])
{
	uint8_t raw[SLOT_LEN];
	pthread_rwlock_rdlock(&slots->rewrap);
	enum rc rc = read_slot(slots, slot, raw);
	if (rc == RC_OK)
		rc = unwrap(slots, slot, raw, ret);
	pthread_rwlock_unlock(&slots->rewrap);
	return rc;
}

static enum rc rewrap_one(struct slots *slots, uint64_t slot)
{
	uint8_t raw[SLOT_LEN], secret[SLOT_SECRET_LEN];
	enum rc rc = read_slot(slots, slot, raw);
	if (rc != RC_OK || raw[0] != STATE_USED ||
	    seal_message_number(raw + SEALED_AT, SEALED_LEN) == seal_key_number(slots->seal))
		return rc;
	rc = unwrap(slots, slot, raw, secret);
	/* A slot that a crash left half-made belongs to no chunk; a damaged one is found by whoever reads it. */
	if (rc == RC_DAMAGED)
		return RC_OK;
	if (rc == RC_OK)
		rc = wrap(slots, slot, secret, raw);
	explicit_bzero(secret, sizeof secret);
	return rc == RC_OK ? write_all(slots->fd, raw, sizeof raw, slot_offset(slot)) : rc;
}

enum rc slots_rewrap(struct slots *slots, uint64_t first, uint64_t n)
{
	uint64_t end = slots_count(slots);
	enum rc rc = RC_OK;
	if (first < end && end - first > n)
		end = first + n;
	pthread_rwlock_wrlock(&slots->rewrap);
	for (uint64_t slot = first; slot < end && rc == RC_OK; slot++)
		rc = rewrap_one(slots, slot);
	pthread_rwlock_unlock(&slots->rewrap);
	return rc == RC_OK ? slots_sync(slots) : rc;
}

enum rc slots_was_destroyed(struct slots *slots, uint64_t slot)
{
	uint8_t raw[SLOT_LEN];
	enum rc rc = read_slot(slots, slot, raw);
	if (rc != RC_OK)
		return rc;
	return raw[0] == STATE_DESTROYED ? RC_OK : RC_NOTFOUND;
}

enum rc slots_destroy(struct slots *slots, uint64_t slot)
{
	uint8_t raw[SLOT_LEN];
	if (slot >= slots_count(slots))
		return RC_OK;
	enum rc rc = random_bytes(raw, sizeof raw);
	if (rc != RC_OK)
		return rc;
	/* Never a state that reads as used, even if the power goes between the two writes. */
	raw[0] = STATE_DESTROYED;
	pthread_rwlock_wrlock(&slots->rewrap);
	rc = write_all(slots->fd, raw, sizeof raw, slot_offset(slot));
	pthread_rwlock_unlock(&slots->rewrap);
	if (rc == RC_OK)
		rc = slots_sync(slots);
	if (rc != RC_OK)
		return rc;
	memset(raw, 0, sizeof raw);
	raw[0] = STATE_DESTROYED;
	rc = write_all(slots->fd, raw, sizeof raw, slot_offset(slot));
	return rc == RC_OK ? slots_sync(slots) : rc;
}

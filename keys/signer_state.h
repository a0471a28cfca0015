/* The file in which the log's signer remembers what it signed last. Internal to keys/. */
#ifndef KEYS_SIGNER_STATE_H
#define KEYS_SIGNER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "keys/seal.h"
#include "proto/rc.h"
#include "proto/tlog.h"

enum { SIGNER_HANDOVER_LEN = SEAL_HANDOVER_LEN };

/* Folder and names of the file; kept open, so that a later chroot or rename of the path changes nothing. */
struct signer_state {
	int folder_fd, lock_fd;
	bool name_is_durable; /* of the file: the folder was synced since it got it */
	char name[256];
	char origin[TLOG_ORIGIN_CAP];
	uint8_t mac_key[32];
	uint64_t size;
	struct tlog_hash root;
	/* While a rotation of the log key lasts: the statement of the old key, the new key sealed under the old, and the
	 * MAC key of the new one. */
	struct signer_next {
		uint8_t mac_key[32];
		uint8_t handover[SIGNER_HANDOVER_LEN];
		uint8_t old_public[32], old_signature[64];
	} next;
	bool has_next;
	bool by_next; /* the state was opened with the new key: the old one is gone with the next save */
};

/* Open folder and lock; derives the MAC key from the log key. Errors: IO, CONFLICT (locked), INVALID, CRYPTO. */
enum rc signer_state_init(struct signer_state *state, const char *path, const char *origin, const uint8_t seed[32],
			  struct diag *diag) MUST_CHECK;
void signer_state_deinit(struct signer_state *state);

/* Also finds a rotation that was begun: has_next when this is the old key (next.mac_key is then the caller's to set
 * before the next save), by_next when it is the new one. Errors: NOTFOUND, DAMAGED, IO. */
enum rc signer_state_load(struct signer_state *state) MUST_CHECK;
/* The MAC key of another log key for the same origin. */
enum rc signer_state_mac_key(const char *origin, const uint8_t seed[32], uint8_t ret[32]) MUST_CHECK;
/* Make (size, root) durable, then take it over; a failure leaves the old one, or where the disk failed (IO) one of the
 * two, whole. With `exclusive`, an existing file is
 * CONFLICT. Errors: IO, NOSPACE, CRYPTO. */
enum rc signer_state_save(struct signer_state *state, uint64_t size, const struct tlog_hash *root,
			  bool exclusive) MUST_CHECK;

#endif

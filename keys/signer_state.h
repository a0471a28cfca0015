/* The file in which the log's signer remembers what it signed last. Internal to keys/. */
#ifndef KEYS_SIGNER_STATE_H
#define KEYS_SIGNER_STATE_H

#include <stdint.h>

#include "proto/rc.h"
#include "proto/tlog.h"

/* Folder and names of the file; kept open, so that a later chroot or rename of the path changes nothing. */
struct signer_state {
	int folder_fd, lock_fd;
	char name[256];
	char origin[TLOG_ORIGIN_CAP];
	uint8_t mac_key[32];
	uint64_t size;
	struct tlog_hash root;
};

/* Open folder and lock; derives the MAC key from the log key. Errors: IO, CONFLICT (locked), INVALID, CRYPTO. */
enum rc signer_state_init(struct signer_state *state, const char *path, const char *origin, const uint8_t seed[32],
			  struct diag *diag) MUST_CHECK;
void signer_state_deinit(struct signer_state *state);

/* Errors: NOTFOUND, DAMAGED, IO. */
enum rc signer_state_load(struct signer_state *state) MUST_CHECK;
/* Make (size, root) durable, then take it over; a failure leaves the old one. With `exclusive`, an existing file is
 * CONFLICT. Errors: IO, NOSPACE, CRYPTO. */
enum rc signer_state_save(struct signer_state *state, uint64_t size, const struct tlog_hash *root,
			  bool exclusive) MUST_CHECK;

#endif

/* What store_open.c and store.c share. Private to daemon/store. */
#ifndef DAEMON_STORE_INTERNAL_H
#define DAEMON_STORE_INTERNAL_H

#include "daemon/store/engine.h"
#include "daemon/store/slots.h"
#include "daemon/store/store.h"

enum { STORE_FORMAT = 1 };

struct store {
	struct engine *engine;
	const struct seal *seal;
	struct slots *salts, *secrets;
	int lock_fd;
	uint8_t id[STORE_ID_LEN];
	uint64_t next_slot;               /* written by the one writer only */
};

/* Where the transaction notes how far the slot file is used. */
void store_slots_key(struct store_key *key);

#endif

/* Reading a whole store: every value and every chunk is opened, and what does not open is named. */
#ifndef DAEMON_STORE_CHECK_H
#define DAEMON_STORE_CHECK_H

#include <stdatomic.h>
#include <stdint.h>

#include "daemon/store/store.h"
#include "proto/rc.h"

/* What was lost. `key` is borrowed for the call. */
struct store_fault {
	enum store_class class;
	const uint8_t *key;
	size_t key_len;
	enum rc rc;
};
typedef void (*store_fault_fn)(void *ctx, const struct store_fault *fault);

struct store_tally {
	uint64_t n_values, n_chunks, n_faults;
};

/* Visit everything; *ret_tally is set in any case, to what was read until the end. *stop (may be NULL) ends it with
 * STOPPING. A damaged page can make the engine end the process: run it in a child where that matters.
 * Errors: DAMAGED (something does not open, or the engine's pages do not hang together), IO, NOMEM, STOPPING. */
enum rc store_check(struct store *store, store_fault_fn on_fault, void *ctx, const atomic_bool *stop,
                    struct store_tally *ret_tally) MUST_CHECK;

/* Are there as many receipts and tombstones as were put? For a store that was opened to inspect it; otherwise opening
 * has compared them. Errors: DAMAGED, with the reason in diag. */
enum rc store_check_counts(struct store *store, struct diag *diag) MUST_CHECK;

/* "log entry 17", "batch 3, chunk 2", "receipt", …: what a key stands for, without a name that somebody sent. */
enum { STORE_PLACE_CAP = 96 };
void store_place(const uint8_t *key, size_t key_len, char out[STORE_PLACE_CAP]);

#endif

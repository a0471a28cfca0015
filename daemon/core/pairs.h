/* Candidate pairs in the store: slices in the order they were found. Derived data: a slice says which rows it covers, so
 * that comparing goes on where it stopped; with other comparison settings all are thrown away and made again. */
#ifndef DAEMON_CORE_PAIRS_H
#define DAEMON_CORE_PAIRS_H

#include <stdint.h>

#include "daemon/core/write_queue.h"
#include "daemon/link/link.h"
#include "daemon/store/store.h"
#include "proto/study.h"

struct pairs_position {
	uint64_t next_slice;
	uint32_t compared;                /* rows 0 … compared-1 are compared with all rows before them */
	uint64_t n_pairs;                 /* stored */
};

/* How many candidate pairs a domain of so many rows may have: n nearly equal records make n²/2 of them, which no memory
 * holds. A million, and per_record (max_pairs_per_record of the configuration) a row. */
uint64_t pairs_max(uint32_t n_rows, uint32_t per_record);

/* Which rows there are: a withdrawal takes some away, and the numbers of those behind them change. A slice is of one
 * version of the rows; read the version before the rows. */
enum rc pairs_rows_version(struct txn *txn, const struct study_domain *domain, uint64_t *ret) MUST_CHECK;
/* In the transaction that changes the rows. */
enum rc pairs_rows_changed(struct txn *txn, const struct study_domain *domain) MUST_CHECK;

/* Where comparing of this domain stands. Slices made under other settings, or of another version of the rows, are
 * removed first. Waits for the writer. Errors: DAMAGED, or the store's. */
enum rc pairs_open(struct store *store, struct write_queue *writes, const struct study_domain *domain,
                   uint64_t rows_version, struct pairs_position *ret) MUST_CHECK;
/* Throw all slices of this domain away. */
enum rc pairs_drop(struct write_queue *writes, const struct study_domain *domain, uint64_t rows_version,
                   struct pairs_position *ret) MUST_CHECK;
/* Store the pairs of rows [position->compared, end), ascending (b, a), in slices of bounded size, each durable before
 * the next; position moves with every slice. Errors: NOSPACE (less than `leave` would be left), IO, STOPPING. */
enum rc pairs_store(struct write_queue *writes, const struct store_reserve *leave, const struct study_domain *domain,
                    struct pairs_position *position, uint32_t end, const struct link_pair *pairs, size_t n) MUST_CHECK;
/* All pairs of rows below `end`. The caller frees with free(). Errors: DAMAGED (a gap), NOMEM. */
enum rc pairs_load(struct store *store, const struct study_domain *domain, uint32_t end, struct link_pair **ret,
                   size_t *ret_n) MUST_CHECK;

#endif

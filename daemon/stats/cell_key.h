/* The cell-key method of statistics offices (Thompson, Broadfoot, Elazar 2013; Marley, Leaver 2011): noise from a table
 * of transition probabilities, drawn by a key that the contributors of a cell add up to. So the same contributors get
 * the same noise in whatever table they stand. Offered so that figures compare with those of offices; it is not
 * differentially private (docs/methods.md, "Disclosure control: cell-key").
 *
 * Record key: the first 16 bytes of PRF("rk1\0" || person id), big-endian. Cell key: the sum of the record keys
 * mod 2^128; u = the first 4 bytes of PRF("ck1\0" || sum || be32 n), big-endian. The noise is the first value of row
 * min(n, 8) of the p-table whose bound is above u; an empty cell stays 0. The p-table (D = 5, variance 3, counts of 1
 * and 2 are never published) is kept as integers. Golden vectors: tests/data/vectors/cell_key.json. */
#ifndef DAEMON_STATS_CELL_KEY_H
#define DAEMON_STATS_CELL_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/stats/stats.h"

typedef unsigned __int128 cell_key_sum;

/* Errors: the PRF's; INVALID for an id longer than 64 bytes. */
enum rc cell_key_of_record(stats_prf prf, void *prf_ctx, const void *id, size_t len, cell_key_sum *ret) MUST_CHECK;
/* `n` contributors whose record keys add up to `sum`. Errors: the PRF's. */
enum rc cell_key_noise(stats_prf prf, void *prf_ctx, cell_key_sum sum, uint32_t n, int64_t *ret) MUST_CHECK;

#endif

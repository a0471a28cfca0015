/* Common margins of noisy tables made to agree, by least squares, with integers at the end. Post-processing: it reads
 * noised values and public numbers alone, so it changes nothing of what the noise guarantees. */
#ifndef DAEMON_STATS_CONSISTENT_H
#define DAEMON_STATS_CONSISTENT_H

#include <stdint.h>

#include "proto/lattice.h"
#include "proto/rc.h"

/* Adjust the noisy counts of one period in place. `values[i]` are those of the lattice's table number i, [row][cell],
 * rows in the table's own order, `n_cells` a row. Afterwards any two tables, summed to dimensions that both have, say
 * the same. The same bytes everywhere: no floating point, and no dependence on the order of the tables but that of the
 * study. A lattice of one table is left as it is. Errors: NOMEM. */
enum rc consistent_adjust(const struct lattice *lattice, int64_t *const *values, unsigned n_cells) MUST_CHECK;

#endif

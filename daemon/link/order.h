/* Stable sorting of many things by a 32-bit key, in time proportional to their number. */
#ifndef DAEMON_LINK_ORDER_H
#define DAEMON_LINK_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

struct order_item {
	uint32_t key, at;
};

/* A permutation of 0 … n-1 under construction: sort by the least important key first. */
struct order {
	uint32_t *at;
	struct order_item *from, *to; /* while it is sorted */
	size_t n;
};

/* The identity. Errors: NOMEM (n >= 2^32 included). */
enum rc order_init(struct order *order, size_t n) MUST_CHECK;
void order_deinit(struct order *order);
/* Stable, ascending by keys[at[i]]. */
void order_by(struct order *order, const uint32_t *keys);

#endif

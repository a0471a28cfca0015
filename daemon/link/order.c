/* Radix sort from the least significant digit (Knuth, TAOCP 3, 5.2.5): a release sorts millions of candidate pairs
 * several times over, by small integers. A digit that all keys share costs one pass of reading. */
#include "daemon/link/order.h"

#include <stdlib.h>
#include <string.h>

enum { DIGIT_BITS = 11, N_DIGITS = 3, RADIX = 1 << DIGIT_BITS };

enum rc order_init(struct order *order, size_t n)
{
	*order = (struct order){.n = n};
	if (n > UINT32_MAX)
		return RC_NOMEM;
	order->at = malloc((n > 0 ? n : 1) * sizeof *order->at);
	order->from = malloc((n > 0 ? n : 1) * sizeof *order->from);
	order->to = malloc((n > 0 ? n : 1) * sizeof *order->to);
	if (order->at == NULL || order->from == NULL || order->to == NULL) {
		order_deinit(order);
		return RC_NOMEM;
	}
	for (size_t i = 0; i < n; i++)
		order->at[i] = (uint32_t)i;
	return RC_OK;
}

void order_deinit(struct order *order)
{
	free(order->at);
	free(order->from);
	free(order->to);
	*order = (struct order){0};
}

static void distribute(struct order *order, unsigned shift, size_t *start)
{
	struct order_item *swap = order->from;
	size_t sum = 0;

	for (size_t d = 0; d < RADIX; d++) {
		size_t n = start[d];

		start[d] = sum;
		sum += n;
	}
	for (size_t i = 0; i < order->n; i++)
		order->to[start[order->from[i].key >> shift & (RADIX - 1)]++] = order->from[i];
	order->from = order->to;
	order->to = swap;
}

void order_by(struct order *order, const uint32_t *keys)
{
	size_t counts[N_DIGITS][RADIX];

	if (order->n < 2)
		return;
	memset(counts, 0, sizeof counts);
	/* Keys are looked up once and travel with their places. */
	for (size_t i = 0; i < order->n; i++) {
		uint32_t key = keys[order->at[i]];

		order->from[i] = (struct order_item){key, order->at[i]};
		for (unsigned d = 0; d < N_DIGITS; d++)
			counts[d][key >> (d * DIGIT_BITS) & (RADIX - 1)]++;
	}
	for (unsigned d = 0; d < N_DIGITS; d++) {
		if (counts[d][keys[0] >> (d * DIGIT_BITS) & (RADIX - 1)] != order->n)
			distribute(order, d * DIGIT_BITS, counts[d]);
	}
	for (size_t i = 0; i < order->n; i++)
		order->at[i] = order->from[i].at;
}

/* Rates: see rates.h. The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it will
 * be full again. Each request moves that time on by 1/rate; one that would move it more than a minute ahead is refused.
 */
#include "daemon/front/rates.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { N_CHAINS = 1024, MAX_BUCKETS = 64 * 1024 };
static const int64_t minute_us = 60 * 1000 * 1000;

struct bucket {
	LIST_ENTRY(bucket) link;
	uint8_t fingerprint[32];
	int64_t full_at_us;
};
LIST_HEAD(chain, bucket);

struct rates {
	struct chain chains[N_CHAINS];
	size_t n;
};

enum rc rates_new(struct rates **ret)
{
	struct rates *rates = calloc(1, sizeof *rates);

	if (rates == NULL)
		return RC_NOMEM;
	*ret = rates;
	return RC_OK;
}

static void forget(struct rates *rates, struct bucket *bucket)
{
	LIST_REMOVE(bucket, link);
	free(bucket);
	rates->n--;
}

void rates_free(struct rates *rates)
{
	if (rates == NULL)
		return;
	for (size_t i = 0; i < N_CHAINS; i++) {
		while (!LIST_EMPTY(&rates->chains[i]))
			forget(rates, LIST_FIRST(&rates->chains[i]));
	}
	free(rates);
}

/* Those that are full say nothing that a new one would not. */
static void sweep(struct rates *rates, int64_t now_us)
{
	for (size_t i = 0; i < N_CHAINS; i++) {
		struct bucket *next;
		for (struct bucket *b = LIST_FIRST(&rates->chains[i]); b != NULL; b = next) {
			next = LIST_NEXT(b, link);
			if (b->full_at_us <= now_us)
				forget(rates, b);
		}
	}
}

/* Fingerprints are hashes: any bits of them spread evenly. */
static struct bucket *find(struct rates *rates, const uint8_t fingerprint[32], int64_t now_us)
{
	struct chain *chain = &rates->chains[(fingerprint[0] | fingerprint[1] << 8) % N_CHAINS];
	struct bucket *b;

	LIST_FOREACH(b, chain, link)
	{
		if (memcmp(b->fingerprint, fingerprint, sizeof b->fingerprint) == 0)
			return b;
	}
	if (rates->n >= MAX_BUCKETS)
		sweep(rates, now_us);
	b = rates->n >= MAX_BUCKETS ? NULL : calloc(1, sizeof *b);
	if (b == NULL)
		return NULL;
	memcpy(b->fingerprint, fingerprint, sizeof b->fingerprint);
	LIST_INSERT_HEAD(chain, b, link);
	rates->n++;
	return b;
}

enum rc rates_take(struct rates *rates, const uint8_t fingerprint[32], uint32_t per_minute, int64_t now_ms,
		   unsigned *ret_wait_s)
{
	int64_t now_us = now_ms * 1000, step_us = minute_us / per_minute;
	struct bucket *b = find(rates, fingerprint, now_us);

	if (b == NULL)
		return RC_NOMEM;
	int64_t from = b->full_at_us > now_us ? b->full_at_us : now_us;
	int64_t wait_us = from + step_us - (now_us + minute_us);
	if (wait_us > 0) {
		*ret_wait_s = (unsigned)((wait_us + 999999) / 1000000);
		return RC_RATE;
	}
	b->full_at_us = from + step_us;
	return RC_OK;
}

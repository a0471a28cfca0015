/* Rates with 95 % intervals that hold sampling and noise: a Fieller–Wilson score interval, in integers. */
#ifndef DAEMON_STATS_INTERVAL_H
#define DAEMON_STATS_INTERVAL_H

#include <stdbool.h>
#include <stdint.h>

enum {
	RATE_SCALE = 10000,          /* rates are in 1/10,000: 4350 = 43.5 % */
	INTERVAL_Z2_MICRO = 3841459, /* z², z = 1.959964, in millionths */
};

struct rate {
	bool available;            /* false: the noisy denominator is not positive */
	uint32_t value, low, high; /* low is rounded down, high up */
};

/* Rate a / (a + b) of noisy counts that are sums of k_a and k_b cells with noise variance σ² each (thousandths; 0 gives
 * Wilson's interval). The limits are those p with
 *   ((1−p)a − pb)² ≤ z² { (a+b) p(1−p) + σ² [k_a (1−p)² + k_b p²] },  z = 1.959964,
 * within [0, 1]; where these p are no interval (the noise drowns the count), 0 … 1. Wilson 1927, Fieller 1954. */
struct rate rate_interval(int64_t a, int64_t b, uint64_t k_a, uint64_t k_b, uint64_t sigma2_milli);

/* The smallest r with r² ≥ v. */
uint64_t integer_root_up(unsigned __int128 v);

#endif

/* Hidden populations from capture histories of two or three lists, with 95 % intervals that hold sampling and noise. In
 * integers. Both estimators are maximum-likelihood estimates of a log-linear model (Fienberg 1972): two lists that are
 * independent (Chapman's correction, 1951), three lists that may depend on each other in pairs. */
#ifndef DAEMON_STATS_POPULATION_H
#define DAEMON_STATS_POPULATION_H

#include <stdbool.h>
#include <stdint.h>

enum { POPULATION_MAX_COUNT = 10000000, POPULATION_MAX = 1000000000 };

struct population {
	bool available;  /* false: a count that the estimate divides by is not above zero, or one is too large */
	bool is_bounded; /* false: `high` means nothing; the data allow any number */
	int64_t value, low, high;
};

/* `counts` by history − 1: first list only, second only, both. Each is a sum of `k` cells with noise variance σ²
 * (thousandths). Limits: those N with (n1·n2 − N·m)² ≤ z² { n1·n2·(N−n1)(N−n2)/(N−1) + kσ² [(n1+n2−N)² + n1² + n2²] },
 * m in both, n1 and n2 on each: the score interval of the hypergeometric count, with noise. */
struct population population_two(const int64_t counts[3], uint64_t k, uint64_t sigma2_milli);

/* `counts` by history − 1 (bit l = list l). Unseen: x̂ = n111·n100·n010·n001 / (n110·n101·n011), no interaction of all
 * three. Limits: those x = r·x̂ with (1 − r)² ≤ z² (v + r²w), v and w the relative variances (n + kσ²)/n² of numerator
 * and denominator added up (delta method, Fieller 1954), widened by the noise of the persons seen. */
struct population population_three(const int64_t counts[7], uint64_t k, uint64_t sigma2_milli);

#endif

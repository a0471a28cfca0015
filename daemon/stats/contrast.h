/* Two rates compared: risk difference and risk ratio with 95 % limits by MOVER, from the limits of the rates (Zou,
 * Donner 2008; Donner, Zou 2012), and directly standardised rates. In integers. */
#ifndef DAEMON_STATS_CONTRAST_H
#define DAEMON_STATS_CONTRAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/stats/interval.h"

enum { RATIO_SCALE = 1000, RATIO_MAX = 1000000 }; /* ratios are in thousandths, up to 1000 */

struct contrast {
	bool available;           /* false: one of the rates is not */
	int32_t value, low, high; /* arm − against, in 1/10,000; low rounded down, high up */
	bool has_ratio;           /* false: the rate of `against` is 0 */
	bool ratio_is_bounded;    /* false: `ratio_high` means nothing, that rate may be 0 */
	uint32_t ratio, ratio_low, ratio_high;
};

/* Difference: d ∓ √[(p₁ − l₁)² + (u₂ − p₂)²] and its mirror. Ratio: those r for which 0 lies within the MOVER limits of
 * p₁ − r·p₂, which is Donner and Zou's closed form. The rates must be independent. */
struct contrast contrast_of(const struct rate *arm, const struct rate *against);

/* A difference in the same measure, divided by a share that was estimated independently of it: value and limits of `c`
 * are replaced (MOVER for a ratio, whose numerator may be negative), the ratio stands, since both rates have the same
 * divisor. `share` must not be 0. */
void contrast_divide(struct contrast *c, const struct rate *share);

/* Σ wᵢpᵢ / Σ wᵢ with limits ∓ √Σ [wᵢ(pᵢ − lᵢ)]² / Σ wᵢ; weights not below 0, fixed. Not available when a rate with a
 * weight is not, or all weights are 0. */
struct rate rate_standardised(const struct rate *rates, const int64_t *weights, size_t n);

#endif

/* Rates corrected for linkage errors, and the noisy counts of links that they rest on.
 *
 * Misclassification of a person (Rothman, Greenland, Lash 2008, ch. 19): corrected = (crude − FPR) / (TPR − FPR). TPR
 * is the share of links found. FPR is taken as 0 for the value, since the partner of a wrong link seldom starts
 * treatment in the days after this release; the lower limit counts every false link as a wrong start. */
#ifndef DAEMON_STATS_CORRECTION_H
#define DAEMON_STATS_CORRECTION_H

#include <jansson.h>
#include <stdint.h>

#include "daemon/stats/interval.h"
#include "daemon/stats/stats.h"

/* The recall that a model expects of itself has been found up to so much too high on labelled data, in 1/10,000. */
enum { CORRECTION_OPTIMISM = 1500, CORRECTION_LEAST = 5000 };

struct link_counts {
	int64_t n_true, n_false, n_missed; /* noisy */
	uint32_t sigma2_milli;
};

/* TPR as the counts have it, `low` less the optimism; and the share of the links that are false. */
struct rate correction_recall(const struct link_counts *links);
struct rate correction_false_share(const struct link_counts *links);
/* Not available (withheld) where the crude rate is not, or the lower limit of TPR less the upper limit of the false
 * share is below one half. Value and limits are clipped to 0 … 1. */
struct rate correction_rate(const struct rate *crude, const struct link_counts *links);

/* {"sigma2_milli", "true", "false", "missed"} with noise, for a release body. Errors: NOMEM, NOT_ALLOWED, the PRF's. */
enum rc correction_counts_json(const struct study *study, const struct stats_params *params, json_t **ret) MUST_CHECK;

#endif

/* Rates corrected for linkage errors, and the noisy counts of links that they rest on.
 *
 * Misclassification of a person (Rothman, Greenland, Lash 2008, ch. 19), arm by arm: corrected = (crude − FPR) / (TPR −
 * FPR). TPR is the share of links found. FPR is taken as 0 for the value, since the partner of a wrong link seldom
 * starts treatment in the days after this release. The lower limit takes every such partner to start treatment before
 * follow-up ends, on a day that has nothing to do with the release. */
#ifndef DAEMON_STATS_CORRECTION_H
#define DAEMON_STATS_CORRECTION_H

#include <jansson.h>
#include <stdint.h>

#include "daemon/stats/contrast.h"
#include "daemon/stats/interval.h"
#include "daemon/stats/stats.h"

enum { CORRECTION_LEAST = 5000 }; /* of TPR − FPR, in 1/10,000 */

struct link_counts {
	int64_t n_true, n_false, n_missed, n_doubt; /* noisy */
	uint32_t n_cells;                           /* counts that were summed in each */
	uint32_t sigma2_milli;
};

/* TPR: value, and limits from the doubt about the missed links, their sampling error, and the noise. */
struct rate correction_recall(const struct link_counts *links);
/* The share of the links that are false. */
struct rate correction_false_share(const struct link_counts *links);
/* Not available (withheld) where the crude rate is not, or the lower limit of TPR less the upper one of the wrong
 * starts is below one half. Value and limits are clipped to 0 … 1. `days`: of the rate; `follow_up`: of the measure. */
struct rate correction_rate(const struct rate *crude, const struct link_counts *links, uint32_t days,
			    uint32_t follow_up);
/* Two crude rates, of people of which no two are the same, compared after correction. With one count of links for both
 * TPR is one and the same number: it divides the difference, and the ratio is that of the crude rates (with what wrong
 * starts may do to each). With a count each, MOVER on the two corrected rates, their errors taken as independent
 * (docs/methods.md says why this is not too narrow although missed links of arms are estimated together). Not
 * available where one of the corrected rates is not. */
struct contrast correction_contrast(const struct rate *arm, const struct link_counts *arm_links,
				    const struct rate *against, const struct link_counts *against_links,
				    bool is_one_count, uint32_t days, uint32_t follow_up);

/* {"sigma2_milli", "by", "arms": [{"code", "true", "false", "missed", "doubt"}]} with noise, for a release body;
 * without arms the four counts themselves. Errors: NOMEM, NOT_ALLOWED, the PRF's. */
enum rc correction_counts_json(const struct study *study, const struct stats_params *params, json_t **ret) MUST_CHECK;

#endif

/* The limits go by MOVER for a ratio (contrast.h), TPR and the crude rate being independent estimates. */
#include "daemon/stats/correction.h"

#include <string.h>

#include "daemon/stats/contrast.h"
#include "daemon/stats/noise.h"
#include "proto/json.h"

struct rate correction_recall(const struct link_counts *links)
{
	struct rate r = rate_interval(links->n_true, links->n_missed, 1, 1, links->sigma2_milli);

	r.low = r.low > CORRECTION_OPTIMISM ? r.low - CORRECTION_OPTIMISM : 0;
	return r;
}

struct rate correction_false_share(const struct link_counts *links)
{
	return rate_interval(links->n_false, links->n_true, 1, 1, links->sigma2_milli);
}

static uint32_t clip(uint64_t rate)
{
	return rate > RATE_SCALE ? RATE_SCALE : (uint32_t)rate;
}

struct rate correction_rate(const struct rate *crude, const struct link_counts *links)
{
	enum { STEP = RATE_SCALE / RATIO_SCALE };
	struct rate tpr = correction_recall(links), wrong = correction_false_share(links),
		    r = {false, 0, 0, RATE_SCALE};

	if (!crude->available || !tpr.available || !wrong.available || tpr.low < wrong.high + CORRECTION_LEAST)
		return r;
	struct contrast c = contrast_of(crude, &tpr);
	r.available = true;
	r.value = clip(((uint64_t)crude->value * RATE_SCALE + tpr.value / 2) / tpr.value);
	r.low = clip((uint64_t)c.ratio_low * STEP * (RATE_SCALE - wrong.high) / RATE_SCALE);
	r.high = c.ratio_is_bounded ? clip((uint64_t)c.ratio_high * STEP) : RATE_SCALE;
	if (r.low > r.value)
		r.low = r.value;
	if (r.high < r.value)
		r.high = r.value;
	return r;
}

static enum rc noisy_count(const struct study *study, const struct stats_params *params, const char *name,
			   uint64_t count, int64_t *ret)
{
	uint8_t seed[NOISE_SEED_LEN] = {0};
	struct noise_stream stream;
	struct buffer text;
	int64_t noise = 0;
	json_t *identity = json_pack("{s:s, s:I, s:s}", "links", name, "sigma2_milli",
				     (json_int_t)study->disclosure.linkage_sigma2_milli, "study", study->name);

	if (identity == NULL)
		return RC_NOMEM;
	buffer_init(&text);
	enum rc rc = json_canonical(identity, &text);
	if (rc == RC_OK && study->disclosure.method != DISCLOSURE_NONE)
		rc = params->prf(params->prf_ctx, text.data, text.len, seed);
	if (rc == RC_OK && study->disclosure.method != DISCLOSURE_NONE) {
		noise_init(&stream, seed);
		rc = noise_gaussian(&stream, study->disclosure.linkage_sigma2_milli, &noise);
		noise_deinit(&stream);
	}
	if (rc == RC_OK)
		*ret = (int64_t)(count < INT32_MAX ? count : INT32_MAX) + noise;
	explicit_bzero(seed, sizeof seed);
	buffer_deinit(&text);
	json_decref(identity);
	return rc;
}

enum rc correction_counts_json(const struct study *study, const struct stats_params *params, json_t **ret)
{
	bool none = study->disclosure.method == DISCLOSURE_NONE;
	int64_t n_true = 0, n_false = 0, n_missed = 0;
	enum rc rc = none && !study->synthetic ? RC_NOT_ALLOWED : RC_OK;

	if (rc == RC_OK)
		rc = noisy_count(study, params, "true", params->linkage.n_true, &n_true);
	if (rc == RC_OK)
		rc = noisy_count(study, params, "false", params->linkage.n_false, &n_false);
	if (rc == RC_OK)
		rc = noisy_count(study, params, "missed", params->linkage.n_missed, &n_missed);
	if (rc != RC_OK)
		return rc;
	json_t *json = json_pack("{s:I, s:I, s:I, s:I}", "sigma2_milli",
				 (json_int_t)(none ? 0 : study->disclosure.linkage_sigma2_milli), "true",
				 (json_int_t)n_true, "false", (json_int_t)n_false, "missed", (json_int_t)n_missed);
	if (json == NULL)
		return RC_NOMEM;
	*ret = json;
	return RC_OK;
}

/* The limits go by MOVER for a ratio (contrast.h), TPR and the crude rate being independent estimates. */
#include "daemon/stats/correction.h"

#include <string.h>

#include "daemon/stats/noise.h"
#include "proto/json.h"

typedef unsigned __int128 u128;

static uint32_t share(int64_t part, int64_t of)
{
	return (uint32_t)((part * RATE_SCALE + of / 2) / of);
}

/* Found t, missed m ± √(doubt² + z² (m (t + m) / t + kσ² (1 + m²/t²))): the second term is binomial, given t, the third
 * the noise of both counts. */
struct rate correction_recall(const struct link_counts *links)
{
	struct rate r = {false, 0, 0, RATE_SCALE};
	int64_t t = links->n_true, m = links->n_missed > 0 ? links->n_missed : 0;
	int64_t doubt = links->n_doubt > 0 ? links->n_doubt : 0;

	if (t <= 0 || t > (INT64_C(1) << 31) || m > 4 * t || doubt > 4 * t)
		return r;
	u128 found = (u128)t, missed = (u128)m, noise = (u128)links->sigma2_milli * links->n_cells;
	u128 binomial = (missed + 1) * (found + missed) * 1000000 / found;
	u128 variance = binomial + noise * 1000 + noise * missed * missed / found * 1000 / found;
	u128 square = (u128)doubt * (u128)doubt * 1000000 + variance * INTERVAL_Z2_MICRO / 1000000;
	int64_t error = (int64_t)(integer_root_up(square) / 1000 + 1);

	r.available = true;
	r.value = share(t, t + m);
	r.low = (uint32_t)(t * RATE_SCALE / (t + m + error));
	r.high = m > error ? share(t, t + m - error) : RATE_SCALE;
	return r;
}

struct rate correction_false_share(const struct link_counts *links)
{
	return rate_interval(links->n_false, links->n_true, links->n_cells, links->n_cells, links->sigma2_milli);
}

static uint32_t clip(uint64_t rate)
{
	return rate > RATE_SCALE ? RATE_SCALE : (uint32_t)rate;
}

/* The lower limit with this share of wrong starts, an error that is independent of the others. */
static uint32_t less_wrong(uint32_t value, uint32_t low, uint32_t wrong)
{
	uint64_t below = value - low, by_wrong = (uint64_t)value * wrong / RATE_SCALE;
	uint64_t distance = integer_root_up((u128)(below * below + by_wrong * by_wrong));

	return distance < value ? (uint32_t)(value - distance) : 0;
}

/* TPR, and the share of starts that may be wrong: days 0 … days of 0 … follow_up. False: too poorly known. */
static bool error_rates(const struct link_counts *links, uint32_t days, uint32_t follow_up, struct rate *ret_tpr,
			uint32_t *ret_early)
{
	struct rate tpr = correction_recall(links), wrong = correction_false_share(links);
	uint32_t early =
		days < follow_up ? (uint32_t)((uint64_t)wrong.high * (days + 1) / (follow_up + 1) + 1) : wrong.high;

	if (!tpr.available || !wrong.available || tpr.low < early + CORRECTION_LEAST)
		return false;
	*ret_tpr = tpr;
	*ret_early = early;
	return true;
}

struct rate correction_rate(const struct rate *crude, const struct link_counts *links, uint32_t days,
			    uint32_t follow_up)
{
	enum { STEP = RATE_SCALE / RATIO_SCALE };
	struct rate tpr, r = {false, 0, 0, RATE_SCALE};
	uint32_t early;

	if (!crude->available || !error_rates(links, days, follow_up, &tpr, &early))
		return r;
	struct contrast c = contrast_of(crude, &tpr);
	r.available = true;
	r.value = clip(((uint64_t)crude->value * RATE_SCALE + tpr.value / 2) / tpr.value);
	r.low = clip((uint64_t)c.ratio_low * STEP);
	r.low = r.low < r.value ? less_wrong(r.value, r.low, early) : r.value;
	r.high = c.ratio_is_bounded ? clip((uint64_t)c.ratio_high * STEP) : RATE_SCALE;
	if (r.high < r.value)
		r.high = r.value;
	return r;
}

static struct rate with_wrong(const struct rate *crude, uint32_t early)
{
	struct rate r = *crude;

	r.low = less_wrong(r.value, r.low, early);
	return r;
}

struct contrast correction_contrast(const struct rate *arm, const struct link_counts *arm_links,
				    const struct rate *against, const struct link_counts *against_links,
				    bool is_one_count, uint32_t days, uint32_t follow_up)
{
	struct contrast none = {0};
	struct rate tpr;
	uint32_t early;

	if (!is_one_count) {
		struct rate one = correction_rate(arm, arm_links, days, follow_up),
			    other = correction_rate(against, against_links, days, follow_up);

		return contrast_of(&one, &other);
	}
	if (!arm->available || !against->available || !error_rates(arm_links, days, follow_up, &tpr, &early))
		return none;
	struct rate one = with_wrong(arm, early), other = with_wrong(against, early);
	struct contrast c = contrast_of(&one, &other);
	contrast_divide(&c, &tpr);
	return c;
}

/* One count; `code` NULL where there are no arms. */
static enum rc noisy_count(const struct study *study, const struct stats_params *params, const char *name,
			   const char *code, uint64_t count, json_t *ret)
{
	uint8_t seed[NOISE_SEED_LEN] = {0};
	struct noise_stream stream;
	struct buffer text;
	int64_t noise = 0, n = (int64_t)(count < INT32_MAX ? count : INT32_MAX);
	json_t *identity = json_pack("{s:s, s:s*, s:I, s:s}", "links", name, "code", code, "sigma2_milli",
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
	if (rc == RC_OK && json_object_set_new(ret, name, json_integer(n + noise)) != 0)
		rc = RC_NOMEM;
	explicit_bzero(seed, sizeof seed);
	buffer_deinit(&text);
	json_decref(identity);
	return rc;
}

static enum rc noisy_arm(const struct study *study, const struct stats_params *params, const char *code, unsigned arm,
			 json_t *ret)
{
	enum rc rc = noisy_count(study, params, "true", code, params->linkage.arms[arm].n_true, ret);

	if (rc == RC_OK)
		rc = noisy_count(study, params, "false", code, params->linkage.arms[arm].n_false, ret);
	if (rc == RC_OK)
		rc = noisy_count(study, params, "missed", code, params->linkage.arms[arm].n_missed, ret);
	if (rc == RC_OK)
		rc = noisy_count(study, params, "doubt", code, params->linkage.arms[arm].n_doubt, ret);
	return rc;
}

static enum rc noisy_arms(const struct study *study, const struct stats_params *params, json_t *ret)
{
	const struct study_dimension *dimension = &study->dimensions[study->disclosure.linkage_by - 1];
	json_t *arms = json_array();
	enum rc rc = arms == NULL || json_object_set_new(ret, "arms", arms) != 0 ||
				     json_object_set_new(ret, "by", json_string(dimension->name)) != 0
			     ? RC_NOMEM
			     : RC_OK;

	for (unsigned i = 0; rc == RC_OK && i <= dimension->n_codes; i++) {
		json_t *arm = json_pack("{s:s}", "code", dimension->codes[i]);
		if (arm == NULL || json_array_append_new(arms, arm) != 0)
			return RC_NOMEM;
		rc = noisy_arm(study, params, dimension->codes[i], i, arm);
	}
	return rc;
}

enum rc correction_counts_json(const struct study *study, const struct stats_params *params, json_t **ret)
{
	bool none = study->disclosure.method == DISCLOSURE_NONE;

	if (none && !study->synthetic)
		return RC_NOT_ALLOWED;
	json_t *json =
		json_pack("{s:I}", "sigma2_milli", (json_int_t)(none ? 0 : study->disclosure.linkage_sigma2_milli));
	if (json == NULL)
		return RC_NOMEM;
	enum rc rc = study->disclosure.linkage_by > 0 ? noisy_arms(study, params, json)
						      : noisy_arm(study, params, NULL, 0, json);
	if (rc == RC_OK)
		*ret = json;
	else
		json_decref(json);
	return rc;
}

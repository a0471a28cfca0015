/* How many matches there are in all, those that chance hides and those below the floor included.
 *
 * Of the n pairs in a band of weights the null says that c are chance, so n − c are matches, with the noise of two
 * counts. High up that is all one needs. Far down matches are a few among thousands, and the noise is larger than they
 * are. What is known of those few is how often each comparison errs, and so how often several errors come together in
 * one match. With e matches expected in a band and v the variance of n − c, the band counts by its part k = e / (e +
 * v), and what is left, 1 − k, is expectation: EM for a Poisson count over a background, and for truncated data
 * (Dempster, Laird and Rubin 1977, section 4.2). Levels are counted in the same way, pairs less what pairs within the
 * sources show.
 *
 * Two things keep what the bands do not see from being learnt from chance: a value is missing among matches as often as
 * the records' own gaps make it (what is missing says nothing, as in model.c), and errors that come together make light
 * matches more frequent than independent ones do, by one factor a band, which is that of the bands that are seen. */
#include "daemon/link/recall.h"

#include <stdlib.h>
#include <string.h>

enum {
	ROUNDS = 40, /* at most */
	FIRST_ROUNDS = 4,
	MIDDLE_BAND = RECALL_BANDS / 2,
};

static const double least_variance = 0.25; /* there may be chance of which the null happens to hold none */
static const double least_share = 0.05;    /* above the floor, that is believed */
static const double most_lean = 0.3;       /* factor from a band to the next, less one */
static const double lean_prior = 100;      /* matches a band apart that hold it at none */
static const double slow = 0.7;            /* of the way, in each round: the shares of levels move as well */

/* ---- counts ---- */

enum rc recall_tally_new(struct recall_tally **ret)
{
	struct recall_tally *tally = calloc(1, sizeof *tally);

	if (tally == NULL)
		return RC_NOMEM;
	*ret = tally;
	return RC_OK;
}

/* Term frequency of a pair's identical values, in halves of a log2 unit. */
static unsigned bin_of(const struct run *run, unsigned c, const struct run_pair *pair)
{
	double factor = run->value[c][pair->a] == run->value[c][pair->b] ? run_value_factor(run, c, pair->a) : 0;
	int32_t weight = factor > 0 ? fixed_log2_ratio((uint64_t)(factor * WEIGHT_ONE), WEIGHT_ONE) : 0;
	int32_t half = WEIGHT_ONE / 2;

	return (unsigned)((weight + half / 2 + RECALL_BINS / 2 * half) / half);
}

void recall_tally_add(struct recall_tally *tally, const struct run *run, const struct run_pair *pair, double count)
{
	unsigned band = recall_band_of(pair->weight);

	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		unsigned level = pair->pattern.level[c];

		tally->level[c][band][level] += count;
		if (recall_level_is_full(&run->domain->comparisons[c], level))
			tally->bin[c][band][bin_of(run, c, pair)] += count;
	}
}

/* ---- shares of levels ---- */

/* Persons of a source by which filters of a comparison they lack. */
static void count_gaps(const struct run *run, uint16_t slot, unsigned c, double counts[N_COMPARED_MASKS])
{
	double n = 0;

	memset(counts, 0, N_COMPARED_MASKS * sizeof *counts);
	for (uint32_t i = run->first_of_slot[slot]; i < run->first_of_slot[slot + 1]; i++) {
		if (run->certain[i] != i || run->is_crowded[i])
			continue;
		counts[run_missing_mask(run, c, i)] += 1;
		n += 1;
	}
	for (unsigned mask = 0; n > 0 && mask < N_COMPARED_MASKS; mask++)
		counts[mask] /= n;
}

static void find_gaps(struct recall *r)
{
	for (unsigned c = 0; c < r->run->domain->n_comparisons; c++) {
		double a[N_COMPARED_MASKS], b[N_COMPARED_MASKS];

		count_gaps(r->run, r->segment->slot_a, c, a);
		count_gaps(r->run, r->segment->slot_b, c, b);
		memset(r->gaps[c], 0, sizeof r->gaps[c]);
		for (unsigned i = 0; i < N_COMPARED_MASKS; i++) {
			for (unsigned j = 0; j < N_COMPARED_MASKS; j++)
				r->gaps[c][i | j] += a[i] * b[j];
		}
	}
}

/* Counts become shares, each set of missing filters as frequent as its records make it. */
static void settle(const struct recall *r, unsigned c, double *counts, double *ret)
{
	const struct study_comparison *comparison = &r->run->domain->comparisons[c];
	double of_mask[N_COMPARED_MASKS] = {0}, sum = 0;

	for (unsigned level = 0; level <= comparison->n_levels; level++) {
		counts[level] = counts[level] > 0 ? counts[level] : 0;
		of_mask[run_level_mask(comparison, level)] += counts[level];
	}
	for (unsigned level = 0; level <= comparison->n_levels; level++) {
		unsigned mask = run_level_mask(comparison, level);

		ret[level] = of_mask[mask] > 0 ? counts[level] / of_mask[mask] * r->gaps[c][mask] : 0;
		sum += ret[level];
	}
	for (unsigned level = 0; level <= comparison->n_levels; level++)
		ret[level] = sum > 0 ? ret[level] / sum : level == 0;
}

static void settle_bins(double counts[RECALL_BINS], double ret[RECALL_BINS])
{
	double sum = 0;

	for (unsigned bin = 0; bin < RECALL_BINS; bin++)
		sum += counts[bin] > 0 ? counts[bin] : 0;
	for (unsigned bin = 0; bin < RECALL_BINS; bin++)
		ret[bin] = sum > 0 ? (counts[bin] > 0 ? counts[bin] / sum : 0) : bin == RECALL_BINS / 2;
}

static void begin(struct recall *r)
{
	for (unsigned c = 0; c < r->run->domain->n_comparisons; c++) {
		double counts[STUDY_MAX_LEVELS + 1] = {0}, bins[RECALL_BINS] = {0};

		for (size_t i = 0; i < r->n; i++) {
			const struct run_pair *pair = &r->run->pairs[r->edges[i].pair];

			if (!r->edges[i].is_link)
				continue;
			counts[pair->pattern.level[c]] += 1;
			if (recall_level_is_full(&r->run->domain->comparisons[c], pair->pattern.level[c]))
				bins[bin_of(r->run, c, pair)] += 1;
		}
		settle(r, c, counts, r->levels.share[c]);
		settle_bins(bins, r->levels.bin[c]);
	}
}

/* ---- rounds ---- */

struct round {
	double tilt[RECALL_BANDS];  /* by how much a band has more matches than independent errors make */
	double above[RECALL_BANDS]; /* share of the matches in the band and above the floor */
	double expected[RECALL_BANDS], known[RECALL_BANDS]; /* matches; k */
	double below;                                       /* share below the floor */
};

static void find_tilt(double lean, const double all[RECALL_BANDS], double tilt[RECALL_BANDS])
{
	double sum = 0;

	tilt[MIDDLE_BAND] = 1;
	for (unsigned band = MIDDLE_BAND; band > 0; band--)
		tilt[band - 1] = tilt[band] * (1 + lean);
	for (unsigned band = MIDDLE_BAND + 1; band < RECALL_BANDS; band++)
		tilt[band] = tilt[band - 1] / (1 + lean);
	for (unsigned band = 0; band < RECALL_BANDS; band++)
		sum += all[band] * tilt[band];
	for (unsigned band = 0; band < RECALL_BANDS; band++)
		tilt[band] /= sum;
}

static void expect_bands(struct recall *r, int32_t floor, double matches, double lean, struct round *ret)
{
	struct recall_joint *s = &r->joint;
	double all[RECALL_BANDS] = {0}, seen = 0;

	recall_joint_add_up(s, &r->levels, STUDY_MAX_COMPARISONS);
	const double *above = recall_joint_above(s, floor), *total = s->cells;
	memset(ret->above, 0, sizeof ret->above);
	for (size_t k = 0; k < s->n_match; k++) {
		unsigned bands[2];

		recall_halves_bands(s->match + (int32_t)k, bands);
		for (unsigned i = 0; i < 2; i++) {
			all[bands[i]] += total[k] / 2;
			ret->above[bands[i]] += above != NULL ? above[k] / 2 : 0;
		}
	}
	find_tilt(lean, all, ret->tilt);
	for (unsigned band = 0; band < RECALL_BANDS; band++) {
		double variance = r->chance[band] + r->variance[band] + least_variance;

		ret->above[band] *= ret->tilt[band];
		seen += ret->above[band];
		ret->expected[band] = matches * ret->above[band];
		ret->known[band] = ret->expected[band] / (ret->expected[band] + variance);
	}
	ret->below = seen < 1 ? 1 - seen : 0;
}

/* One step of Newton's for the factor from a band to the next, by the bands that are seen. */
static double lean_on(const struct recall *r, const struct round *round, double lean)
{
	double found = 0, expected = 0, middle = 0, score = 0, square = 0;

	for (unsigned band = 0; band < RECALL_BANDS; band++) {
		found += round->known[band] * (r->in_band[band] - r->chance[band]);
		expected += round->known[band] * round->expected[band];
		middle += round->known[band] * round->expected[band] * band;
	}
	if (found <= 0 || expected <= 0)
		return lean;
	middle /= expected;
	for (unsigned band = 0; band < RECALL_BANDS; band++) {
		double as_expected = found / expected * round->expected[band], distance = middle - band;
		double more = r->in_band[band] - r->chance[band] - as_expected;

		score += round->known[band] * more * distance;
		square += round->known[band] * as_expected * distance * distance;
	}
	lean += slow * ((1 + lean) * score - lean_prior * lean) / (square + lean_prior);
	return lean > most_lean ? most_lean : lean < -most_lean ? -most_lean : lean;
}

/* Matches of a step that no band shows: above the floor with 1 − k, below it all. */
static double unseen_of(const struct recall *r, const struct recall_step *step, const double *above,
			const double unseen[RECALL_BANDS], const double hidden[RECALL_BANDS])
{
	const struct recall_joint *s = &r->joint;
	double sum = 0;

	for (size_t k = 0; k < s->n_match; k++) {
		unsigned bands[2];
		double high = above != NULL ? above[k] : 0, low = s->cells[k] - high;

		recall_halves_bands(s->match + step->match + (int32_t)k, bands);
		sum += high * (unseen[bands[0]] + unseen[bands[1]]) / 2 +
		       low * (hidden[bands[0]] + hidden[bands[1]]) / 2;
	}
	return sum;
}

static void learn_comparison(struct recall *r, int32_t floor, double matches, const struct round *round, unsigned c,
			     double counts[STUDY_MAX_LEVELS + 1], double bins[RECALL_BINS])
{
	double unseen[RECALL_BANDS], hidden[RECALL_BANDS];

	for (unsigned band = 0; band < RECALL_BANDS; band++) {
		hidden[band] = matches * round->tilt[band];
		unseen[band] = hidden[band] * (1 - round->known[band]);
		for (unsigned level = 0; level <= r->run->domain->comparisons[c].n_levels; level++)
			counts[level] += round->known[band] * r->tally->level[c][band][level];
		for (unsigned bin = 0; bin < RECALL_BINS; bin++)
			bins[bin] += round->known[band] * r->tally->bin[c][band][bin];
	}
	recall_joint_add_up(&r->joint, &r->levels, c);
	for (size_t i = 0; i < r->joint.n_steps[c]; i++) {
		const struct recall_step *step = &r->joint.steps[c][i];
		double share = recall_step_share(step, &r->levels, c), more;

		if (share <= 0)
			continue;
		more = share *
		       unseen_of(r, step, recall_joint_above(&r->joint, floor - step->reference), unseen, hidden);
		counts[step->level] += more;
		if (step->bin != RECALL_NO_BIN)
			bins[step->bin] += more;
	}
}

static void learn(struct recall *r, int32_t floor, double matches, const struct round *round)
{
	struct recall_levels *next = &r->next_levels;

	for (unsigned c = 0; c < r->run->domain->n_comparisons; c++) {
		double counts[STUDY_MAX_LEVELS + 1] = {0}, bins[RECALL_BINS] = {0};

		learn_comparison(r, floor, matches, round, c, counts, bins);
		settle(r, c, counts, next->share[c]);
		settle_bins(bins, next->bin[c]);
	}
	r->levels = *next;
}

static void conclude(const struct recall *r, const struct round *round, double matches, struct recall_count *ret)
{
	struct recall_count count = {.matches = matches, .below = round->below * matches, .by_model = 0};

	for (unsigned band = 0; band < RECALL_BANDS; band++) {
		double variance = r->chance[band] + r->variance[band];

		count.by_model += (1 - round->known[band]) * round->expected[band];
		count.variance += round->known[band] * round->known[band] * variance;
	}
	*ret = count;
}

enum rc recall_count_matches(struct recall *r, double n_links, struct recall_count *ret)
{
	int32_t floor = recall_reference_halves(r->run->domain->floor);
	double matches = n_links, lean = 0, before;
	struct round round = {0};

	find_gaps(r);
	begin(r);
	for (unsigned i = 0; i < ROUNDS; i++) {
		double above = 0;

		if (run_is_stopped(r->run))
			return RC_STOPPING;
		expect_bands(r, floor, matches, lean, &round);
		learn(r, floor, matches, &round);
		lean = lean_on(r, &round, lean);
		for (unsigned band = 0; band < RECALL_BANDS; band++)
			above += round.known[band] * (r->in_band[band] - r->chance[band]) +
				 (1 - round.known[band]) * round.expected[band];
		before = matches;
		matches = above / (1 - round.below > least_share ? 1 - round.below : least_share);
		if (matches < 1)
			matches = 1;
		if (i >= FIRST_ROUNDS && matches - before < 3e-4 * matches && before - matches < 3e-4 * matches)
			break;
	}
	conclude(r, &round, matches, ret);
	return RC_OK;
}

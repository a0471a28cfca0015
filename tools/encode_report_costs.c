/* What the findings of the report cost in links: each by itself, the rest of the record being as in other records. */
#include <math.h>
#include <stdlib.h>

#include "tools/encode_report.h"

#define FEW_NAMES_SHARE 0.10 /* of one name or place in a field */
#define FEW_DATES_SHARE 0.01
#define LEAST_FILL 0.02
#define MOST_FILL 0.50

bool encode_report_is_habit(const struct report_field *f)
{
	return f->odd[ODD_FIRST_OF_JANUARY] * 365 > 3 * f->present;
}

static bool is_common(const struct encode_report *r, uint16_t feature, size_t i)
{
	const struct report_field *f = &r->fields[feature];
	double limit = encode_report_is_date(r, feature) ? FEW_DATES_SHARE : FEW_NAMES_SHARE;

	return f->counts[i] >= 2 && (double)f->counts[i] > limit * (double)f->present;
}

unsigned encode_report_common(const struct encode_report *r, uint16_t feature, double *ret_share)
{
	const struct report_field *f = &r->fields[feature];
	unsigned n = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < REPORT_COUNTERS; i++) {
		if (!is_common(r, feature, i))
			continue;
		n++;
		sum += f->counts[i];
	}
	*ret_share = f->present > 0 ? (double)sum / (double)f->present : 0;
	return n;
}

enum report_fill encode_report_fill(const struct encode_report *r, uint8_t filter)
{
	const struct study_filter *of = &r->study->domains[r->domain].filters[filter];
	const struct report_filter *f = &r->filters[filter];
	double mean = f->n > 0 ? (double)f->bits / (double)f->n / of->bits : 0;

	if (f->n < r->study->disclosure.threshold || of->balanced)
		return FILL_FINE;
	/* The xor of t bits of which each is set with probability p is set with (1 - (1 - 2p)^t) / 2. Near one half,
	 * where all that are not nearly empty come to be, nothing can be told of p. */
	if (of->diffusion > 0)
		return 1 - 2 * mean > pow(1 - 2 * LEAST_FILL, of->diffusion) ? FILL_LOW : FILL_FINE;
	return mean > MOST_FILL ? FILL_HIGH : mean < LEAST_FILL ? FILL_LOW : FILL_FINE;
}

/* ---- costs ---- */

/* Not below 0: what is missing can at worst look better than what may differ. */
static double gain(double n, double from, double to)
{
	return to > from ? n * (to - from) : 0;
}

static double cost_of(const struct costs_model *m, double n, const struct costs_flaw *flaw)
{
	return gain(n, costs_chance(m, flaw), costs_chance(m, &COSTS_NO_FLAW));
}

/* Every set of missing fields, and that set without each of its fields. */
static void cost_missing(const struct encode_report *r, const struct costs_model *m, struct report_costs *costs)
{
	for (size_t i = 0; i < r->n_patterns; i++) {
		const struct costs_pattern *p = &r->patterns[i];
		struct costs_flaw flaw = COSTS_NO_FLAW;
		flaw.missing = p->missing;
		double chance = costs_chance(m, &flaw);
		costs->missing_all += cost_of(m, (double)p->n, &flaw);
		if (!costs_can_link(m, &flaw))
			costs->hopeless += p->n;
		for (unsigned f = 0; f < SCHEMA_MAX_FEATURES; f++) {
			if ((p->missing >> f & 1) == 0 || r->fields[f].column < 0)
				continue;
			flaw.missing = p->missing & ~((uint64_t)1 << f);
			costs->missing[f] += gain((double)p->n, chance, costs_chance(m, &flaw));
		}
	}
}

static void cost_values(const struct encode_report *r, const struct costs_model *m, uint16_t f,
			struct report_costs *costs)
{
	const struct report_field *field = &r->fields[f];
	struct costs_flaw wrong = COSTS_NO_FLAW, vague = COSTS_NO_FLAW, shared = COSTS_NO_FLAW;

	wrong.wrong = vague.vague = (uint64_t)1 << f;
	shared.shared = f;
	for (int o = 0; o < N_ODDITIES; o++) {
		if (o != ODD_FIRST_OF_JANUARY && field->odd[o] > 0)
			costs->odd[f][o] = cost_of(m, (double)field->odd[o], &wrong);
	}
	/* Of these, one in 365 was born then. */
	if (encode_report_is_habit(field))
		costs->odd[f][ODD_FIRST_OF_JANUARY] =
			cost_of(m, (double)field->odd[ODD_FIRST_OF_JANUARY] - (double)field->present / 365, &vague);
	for (size_t i = 0; i < REPORT_COUNTERS; i++) {
		if (!is_common(r, f, i))
			continue;
		shared.share = (double)field->counts[i] / (double)field->present;
		costs->common[f] += cost_of(m, (double)field->counts[i], &shared);
	}
}

static void cost_fill(const struct encode_report *r, const struct costs_model *m, struct report_costs *costs)
{
	const struct study_domain *d = &r->study->domains[r->domain];

	for (uint8_t i = 0; i < d->n_filters; i++) {
		struct costs_flaw flaw = COSTS_NO_FLAW;
		if (encode_report_fill(r, i) == FILL_FINE)
			continue;
		for (unsigned k = 0; k < d->filters[i].n_features; k++)
			flaw.blunt |= (uint64_t)1 << d->filters[i].features[k];
		costs->fill[i] = cost_of(m, (double)r->filters[i].n, &flaw);
	}
}

static double sum_of(const struct encode_report *r, const struct report_costs *c)
{
	double sum = c->refused + c->missing_all + c->twins;

	for (unsigned f = 0; f < SCHEMA_MAX_FEATURES; f++) {
		sum += c->common[f];
		for (int o = 0; o < N_ODDITIES; o++)
			sum += c->odd[f][o];
	}
	for (unsigned i = 0; i < r->study->domains[r->domain].n_filters; i++)
		sum += c->fill[i];
	return sum;
}

enum rc encode_report_cost(const struct encode_report *r, uint64_t refused, struct report_costs *ret)
{
	const struct study_domain *d = &r->study->domains[r->domain];
	struct costs_model *m = NULL;
	uint64_t used = 0, dates = 0;
	size_t n = r->records < COSTS_SAMPLE ? (size_t)r->records : COSTS_SAMPLE;

	for (uint16_t f = 0; f < d->schema->n_features; f++) {
		used |= (uint64_t)(r->fields[f].column >= 0) << f;
		dates |= (uint64_t)encode_report_is_date(r, f) << f;
	}
	enum rc rc = costs_new(d, used, dates, r->sample, n, r->records, &m);
	if (rc != RC_OK)
		return rc;
	double chance = costs_chance(m, &COSTS_NO_FLAW);
	*ret = (struct report_costs){
		.needed = costs_needed(m),
		.at_best = chance * (double)(r->records + refused),
		.refused = chance * (double)refused,
		/* A person elsewhere links to one of them. */
		.twins = chance * (double)encode_report_twins(r) / 2,
	};
	cost_missing(r, m, ret);
	for (uint16_t f = 0; f < d->schema->n_features; f++) {
		if (r->fields[f].column >= 0)
			cost_values(r, m, f, ret);
	}
	cost_fill(r, m, ret);
	ret->as_is = ret->at_best - sum_of(r, ret);
	ret->as_is = ret->as_is > 0 ? ret->as_is : 0;
	costs_free(m);
	return RC_OK;
}

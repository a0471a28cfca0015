#include "tools/encode/costs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	N_DRAWS = 8192,
	LEAST_VALUES = 100, /* of a field in the sample, to say what agreement in it is worth */
};

enum state { SAME, ALIKE, DIFFERENT };

/* How fields of true pairs are, in hundredths: alike is a Dice coefficient of bigrams from .6 on. Rounded from febrl4,
 * census_cis and rl10000 (two registers made to differ as registers do). */
enum kind { KIND_TEXT, KIND_DATE, KIND_RESIDENCE, N_KINDS };
static const struct {
	unsigned same, alike;
} kinds[N_KINDS] = {
	[KIND_TEXT] = {70, 20},
	[KIND_DATE] = {90, 6},
	[KIND_RESIDENCE] = {75, 15},
};

struct field {
	uint16_t feature;
	enum kind kind;
	double agrees; /* log2 m/u */
};

struct costs_model {
	const struct study_domain *domain;
	struct field fields[SCHEMA_MAX_FEATURES];
	unsigned n_fields;
	uint64_t silent;  /* features that next to nobody has */
	double residence; /* what place and postcode say together, at most */
	double needed;
};

/* ---- u ---- */

struct pick {
	uint64_t value, person;
};

static int compare_picks(const void *x, const void *y)
{
	const struct pick *a = x, *b = y;

	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	return a->person != b->person ? (a->person < b->person ? -1 : 1) : 0;
}

/* Ordered pairs of equal value; of those, pairs of the same person. Sorted. */
static void count_pairs(const struct pick *picks, size_t n, double *ret_equal, double *ret_own)
{
	double equal = 0, own = 0;

	for (size_t i = 0, j; i < n; i = j) {
		for (j = i; j < n && picks[j].value == picks[i].value; j++)
			;
		equal += (double)(j - i) * (double)(j - i);
		for (size_t k = i, l; k < j; k = l) {
			for (l = k; l < j && picks[l].person == picks[k].person; l++)
				;
			own += picks[k].person == 0 ? (double)(l - k) : (double)(l - k) * (double)(l - k);
		}
	}
	*ret_equal = equal;
	*ret_own = own;
}

/* How often two persons of the sample agree in all of `features`, never 0; 1 where too few have them. */
static double chance_of_agreement(const struct costs_sample *sample, size_t n_sample, uint64_t features,
				  struct pick *picks)
{
	double equal, own, all, same_person;
	size_t n = 0;

	for (size_t i = 0; i < n_sample; i++) {
		uint64_t value = 0;
		bool there = true;
		for (unsigned f = 0; f < SCHEMA_MAX_FEATURES; f++) {
			if ((features >> f & 1) == 0)
				continue;
			there = there && sample[i].values[f] != 0;
			value = (value ^ sample[i].values[f]) * 0x9E3779B97F4A7C15u;
		}
		if (there)
			picks[n++] = (struct pick){value, sample[i].person};
	}
	if (n < LEAST_VALUES)
		return 1;
	qsort(picks, n, sizeof *picks, compare_picks);
	count_pairs(picks, n, &equal, &own);
	for (size_t i = 0; i < n; i++)
		picks[i].value = 0;
	qsort(picks, n, sizeof *picks, compare_picks);
	count_pairs(picks, n, &all, &same_person);
	return (equal - own + 1) / (all - same_person + 2);
}

/* ---- the model ---- */

static enum kind kind_of(const struct study_domain *domain, unsigned feature, uint64_t dates)
{
	bool residence = domain->roles[feature] == ROLE_PLACE || domain->roles[feature] == ROLE_POSTCODE;

	if ((dates >> feature & 1) != 0)
		return KIND_DATE;
	/* Without roles: filters that are compared as one say one thing twice, and that is where somebody lives. */
	for (unsigned c = 0; c < domain->n_comparisons && !residence; c++) {
		const struct study_comparison *cmp = &domain->comparisons[c];
		for (unsigned i = 0; i < cmp->n_filters && cmp->n_filters > 1; i++) {
			const struct study_filter *f = &domain->filters[cmp->filters[i]];
			residence = residence || (f->n_features == 1 && f->features[0] == feature);
		}
	}
	return residence ? KIND_RESIDENCE : KIND_TEXT;
}

static double weight_of_agreement(enum kind kind, double u)
{
	double weight = log2(kinds[kind].same / 100.0 / u);

	return weight > 0 ? weight : 0;
}

static double weight_of_difference(enum kind kind)
{
	return log2((100.0 - kinds[kind].same - kinds[kind].alike) / 100.0);
}

enum rc costs_new(const struct study_domain *domain, uint64_t used, uint64_t dates, const struct costs_sample *sample,
		  size_t n_sample, uint64_t n_records, struct costs_model **ret)
{
	struct costs_model *m = calloc(1, sizeof *m);
	struct pick *picks = calloc(n_sample + 1, sizeof *picks);
	uint64_t residence = 0;

	if (m == NULL || picks == NULL) {
		free(m);
		free(picks);
		return RC_NOMEM;
	}
	m->domain = domain;
	m->needed = (n_records > 1 ? log2((double)n_records) : 0) + 1;
	for (unsigned f = 0; f < domain->schema->n_features; f++) {
		if ((used >> f & 1) == 0)
			continue;
		enum kind kind = kind_of(domain, f, dates);
		double u = chance_of_agreement(sample, n_sample, (uint64_t)1 << f, picks);
		if (u == 1) {
			m->silent |= (uint64_t)1 << f;
			continue;
		}
		residence |= (uint64_t)(kind == KIND_RESIDENCE) << f;
		m->fields[m->n_fields++] = (struct field){(uint16_t)f, kind, weight_of_agreement(kind, u)};
	}
	m->residence = weight_of_agreement(KIND_RESIDENCE, chance_of_agreement(sample, n_sample, residence, picks));
	explicit_bzero(picks, (n_sample + 1) * sizeof *picks);
	free(picks);
	*ret = m;
	return RC_OK;
}

void costs_free(struct costs_model *m)
{
	free(m);
}

double costs_needed(const struct costs_model *m)
{
	return m->needed;
}

/* ---- a pair ---- */

/* What a missing field says: nothing, or, where its whole part of a filter is missing and another part is there, the
 * same as one that differs. */
static bool looks_different(const struct study_domain *domain, unsigned feature, uint64_t missing)
{
	for (unsigned i = 0; i < domain->n_filters; i++) {
		const struct study_filter *f = &domain->filters[i];
		uint32_t own = 0, there = 0;
		for (unsigned k = 0; k < f->n_features; k++) {
			own |= (uint32_t)(f->features[k] == feature) << f->part[k];
			there |= (uint32_t)((missing >> f->features[k] & 1) == 0) << f->part[k];
		}
		if (own != 0 && there != 0 && (own & there) == 0)
			return true;
	}
	return false;
}

static enum state state_of(const struct costs_flaw *flaw, unsigned feature, enum state drawn)
{
	if ((flaw->wrong >> feature & 1) != 0)
		return DIFFERENT;
	if (drawn == SAME && (flaw->vague >> feature & 1) != 0)
		drawn = ALIKE;
	return drawn == ALIKE && (flaw->blunt >> feature & 1) != 0 ? DIFFERENT : drawn;
}

static double field_weight(const struct costs_model *m, const struct field *field, const struct costs_flaw *flaw,
			   enum state drawn)
{
	unsigned f = field->feature;
	double agrees = field->agrees;

	if ((flaw->missing >> f & 1) != 0)
		return looks_different(m->domain, f, flaw->missing | m->silent) ? weight_of_difference(field->kind) : 0;
	if ((int)f == flaw->shared && flaw->share > 0 && -log2(flaw->share) < agrees)
		agrees = -log2(flaw->share);
	switch (state_of(flaw, f, drawn)) {
	case SAME:
		return agrees;
	case ALIKE:
		return agrees / 2;
	default:
		return weight_of_difference(field->kind);
	}
}

/* The same draw for the same number, whatever the flaw: so that differences are not chance. */
static enum state draw(uint64_t number, enum kind kind)
{
	uint64_t z = (number + 1) * 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	unsigned percent = (unsigned)((z ^ z >> 31) % 100);
	return percent < kinds[kind].same ? SAME : percent < kinds[kind].same + kinds[kind].alike ? ALIKE : DIFFERENT;
}

/* Whether drawn pair i links. Its weights are in a table, one a state: they do not depend on the draw. */
static bool pair_links(const struct costs_model *m, const double (*weights)[3], uint64_t i)
{
	double sum = 0, residence = 0;
	uint64_t first = i * (SCHEMA_MAX_FEATURES + 1);

	for (unsigned f = 0; f < m->n_fields; f++) {
		const struct field *field = &m->fields[f];
		if (field->kind == KIND_RESIDENCE)
			residence += weights[f][draw(first, KIND_RESIDENCE)];
		else
			sum += weights[f][draw(first + 1 + f, field->kind)];
	}
	return sum + (residence < m->residence ? residence : m->residence) >= m->needed;
}

static void fill_weights(const struct costs_model *m, const struct costs_flaw *flaw, double (*weights)[3])
{
	for (unsigned f = 0; f < m->n_fields; f++) {
		for (int state = SAME; state <= DIFFERENT; state++)
			weights[f][state] = field_weight(m, &m->fields[f], flaw, (enum state)state);
	}
}

double costs_chance(const struct costs_model *m, const struct costs_flaw *flaw)
{
	double weights[SCHEMA_MAX_FEATURES][3];
	unsigned n = 0;

	fill_weights(m, flaw, weights);
	for (uint64_t i = 0; i < N_DRAWS; i++)
		n += pair_links(m, (const double(*)[3])weights, i);
	return (double)n / N_DRAWS;
}

bool costs_can_link(const struct costs_model *m, const struct costs_flaw *flaw)
{
	double sum = 0, residence = 0;

	for (unsigned f = 0; f < m->n_fields; f++) {
		double weight = field_weight(m, &m->fields[f], flaw, SAME);
		if (m->fields[f].kind == KIND_RESIDENCE)
			residence += weight;
		else
			sum += weight;
	}
	return sum + (residence < m->residence ? residence : m->residence) >= m->needed;
}

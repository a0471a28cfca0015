/* Choosing and adding rows. A sum is given only when every row in it is shown: taking a hidden row for zero would
 * bias the rates. */
#include "daemon/stats/answer.h"

#include <stdlib.h>
#include <string.h>

/* ---- which table, which dimensions ---- */

static int find_dimension(const struct body_table *table, const char *name)
{
	for (unsigned i = 0; i < table->n_by; i++) {
		if (strcmp(table->by[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

/* Mask of the asked dimensions. */
static enum rc asked_dimensions(const struct body_table *table, const struct stats_query *query, unsigned *ret_mask,
				struct diag *diag)
{
	unsigned mask = query->by_given ? 0 : (1U << table->n_by) - 1;

	for (int i = 0; query->by_given && i < query->n_by; i++) {
		int at = find_dimension(table, query->by[i]);
		if (at < 0)
			return diag_set(diag, RC_USAGE, "by: table %s has no dimension %s in this release", table->name,
					query->by[i]);
		mask |= 1U << at;
	}
	*ret_mask = mask;
	return RC_OK;
}

static bool fits_exactly(const struct body_table *other, const struct body_table *table, unsigned mask)
{
	if (strcmp(other->measure, table->measure) != 0 || other->period_kind != table->period_kind ||
	    other->shape.kind != table->shape.kind || other->shape.n_bands != table->shape.n_bands ||
	    memcmp(other->shape.bands, table->shape.bands, sizeof table->shape.bands) != 0 ||
	    other->n_outcomes != table->n_outcomes || !json_equal(other->eligible, table->eligible) ||
	    other->n_by != (unsigned)__builtin_popcount(mask))
		return false;
	for (unsigned i = 0; i < other->n_by; i++) {
		int at = find_dimension(table, other->by[i].name);
		if (at < 0 || (mask >> at & 1U) == 0)
			return false;
	}
	return true;
}

/* A declared table with just the asked dimensions has less noise and no holes: prefer it to a sum. */
static enum rc choose_table(struct answer *a, unsigned *mask)
{
	if (*mask == (1U << a->table.n_by) - 1)
		return RC_OK;
	for (size_t i = 0; i < json_array_size(a->head.tables); i++) {
		struct body_table other;
		enum rc rc = body_read_table(json_array_get(a->head.tables, i), &other);
		if (rc != RC_OK)
			return rc;
		if (fits_exactly(&other, &a->table, *mask)) {
			a->table = other;
			*mask = (1U << other.n_by) - 1;
			return RC_OK;
		}
	}
	return RC_OK;
}

/* ---- rows ---- */

static enum rc read_periods(struct answer *a, const struct stats_query *query, struct diag *diag)
{
	size_t n = json_array_size(a->table.periods);

	a->periods = calloc(n ? n : 1, sizeof *a->periods);
	if (a->periods == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct body_period *p = &a->periods[a->n_periods];
		enum rc rc = body_read_period(&a->table, i, p);
		if (rc != RC_OK)
			return rc;
		if (query->period[0] == '\0' || strcmp(query->period, p->period) == 0)
			a->n_periods++;
	}
	if (n == 0)
		return diag_set(diag, RC_NOTFOUND,
				"table %s has no published period in release %lld: none is closed yet", a->table.name,
				(long long)a->head.release);
	if (a->n_periods == 0)
		return diag_set(
			diag, RC_NOTFOUND,
			"period %s of table %s is not published in release %lld: it is not closed, or before the "
			"first published one",
			query->period, a->table.name, (long long)a->head.release);
	return RC_OK;
}

/* Row of the answer that row `at` of the table is summed into. */
static unsigned target_row(const struct answer *a, unsigned mask, unsigned at)
{
	unsigned row = 0, factor = 1;

	for (unsigned i = a->table.n_by; i-- > 0;) {
		unsigned code = at % a->table.by[i].n_codes;
		at /= a->table.by[i].n_codes;
		if ((mask >> i & 1U) != 0) {
			row += code * factor;
			factor *= a->table.by[i].n_codes;
		}
	}
	return row;
}

static void add_row(struct answer_row *to, const int64_t *cells, unsigned n_outcomes, uint32_t n_summed)
{
	for (unsigned c = 0; c < n_outcomes; c++)
		to->cells[c] += cells[c];
	to->n_summed += n_summed;
}

static enum rc read_rows(struct answer *a, unsigned mask)
{
	for (size_t p = 0; p < a->n_periods; p++) {
		struct answer_row *rows = &a->rows[p * a->n_rows];
		for (unsigned r = 0; r < a->n_rows; r++) {
			rows[r].shown = true;
			rows[r].n_periods = 1;
			rows[r].variance_milli = (uint64_t)a->periods[p].variance_milli[mask];
		}
		for (unsigned at = 0; at < a->table.n_rows; at++) {
			struct body_row row;
			enum rc rc = body_read_row(&a->table, &a->periods[p], at, &row);
			if (rc != RC_OK)
				return rc;
			struct answer_row *to = &rows[target_row(a, mask, at)];
			to->shown &= row.shown;
			add_row(to, row.cells, a->table.n_outcomes, 1);
		}
		for (unsigned r = 0; r < a->n_rows; r++) {
			if (!rows[r].shown)
				memset(rows[r].cells, 0, sizeof rows[r].cells);
		}
	}
	return RC_OK;
}

static void pool_periods(struct answer *a)
{
	for (size_t i = 0; i < a->n_periods * a->n_rows; i++) {
		struct answer_row *pooled = &a->pooled[i % a->n_rows];
		if (!a->rows[i].shown || !a->periods[i / a->n_rows].is_final)
			continue;
		add_row(pooled, a->rows[i].cells, a->table.n_outcomes, a->rows[i].n_summed);
		pooled->n_periods++;
		pooled->variance_milli += a->rows[i].variance_milli;
	}
	for (unsigned r = 0; r < a->n_rows; r++)
		a->pooled[r].shown = a->pooled[r].n_periods > 1 && a->table.shape.kind != MEASURE_POPULATION;
}

static enum rc choose_comparison(struct answer *a, const struct stats_query *query, struct diag *diag)
{
	a->compare_at = -1;
	if (query->compare[0] == '\0')
		return RC_OK;
	if (a->table.shape.kind == MEASURE_POPULATION)
		return diag_set(diag, RC_USAGE, "compare: a population has no rates to compare");
	for (unsigned i = 0; i < a->n_by; i++) {
		if (strcmp(a->by[i].name, query->compare) == 0)
			a->compare_at = (int)i;
	}
	if (a->compare_at < 0)
		return diag_set(diag, RC_USAGE, "compare: %s is no dimension of this answer", query->compare);
	if (a->n_rows > ANSWER_MAX_COMPARED_ROWS)
		return diag_set(diag, RC_USAGE, "compare: %u rows a period are too many: ask for fewer dimensions",
				a->n_rows);
	const struct body_dimension *d = &a->by[a->compare_at];
	while (a->against < d->n_codes && strcmp(d->codes[a->against], query->against) != 0)
		a->against++;
	if (a->against == d->n_codes)
		return diag_set(diag, RC_USAGE, "compare: the dimension %s has no code %s", query->compare,
				query->against);
	return RC_OK;
}

static enum rc fill(struct answer *a, const json_t *body, const struct stats_query *query, struct diag *diag)
{
	const json_t *table = body_find_table(body, query->table);
	unsigned mask = 0;
	enum rc rc = body_read_head(body, &a->head);

	if (rc == RC_OK && table == NULL)
		return diag_set(diag, RC_NOTFOUND, "release %lld has no table %s", (long long)a->head.release,
				query->table);
	if (rc == RC_OK)
		rc = body_read_table(table, &a->table);
	if (rc != RC_OK)
		return rc;
	a->asked_table = a->table.name;
	rc = asked_dimensions(&a->table, query, &mask, diag);
	if (rc == RC_OK)
		rc = choose_table(a, &mask);
	if (rc == RC_OK)
		rc = read_periods(a, query, diag);
	if (rc != RC_OK)
		return rc;
	a->n_rows = 1;
	for (unsigned i = 0; i < a->table.n_by; i++) {
		if ((mask >> i & 1U) != 0) {
			a->by[a->n_by++] = a->table.by[i];
			a->n_rows *= a->table.by[i].n_codes;
		}
	}
	rc = choose_comparison(a, query, diag);
	if (rc != RC_OK)
		return rc;
	/* Bounded by the body: every period was checked to hold all rows of the table. */
	a->rows = calloc(a->n_periods ? a->n_periods * a->n_rows : 1, sizeof *a->rows);
	a->pooled = calloc(a->n_periods ? a->n_rows : 1, sizeof *a->pooled);
	if (a->rows == NULL || a->pooled == NULL)
		return RC_NOMEM;
	rc = read_rows(a, mask);
	if (rc == RC_OK && a->n_periods > 0)
		pool_periods(a);
	return rc;
}

enum rc answer_init(struct answer *answer, const json_t *body, const struct stats_query *query, struct diag *diag)
{
	struct answer a = {0};
	struct diag why = {""};
	enum rc rc = fill(&a, body, query, &why);

	if (rc != RC_OK) {
		answer_deinit(&a);
		if (diag != NULL)
			*diag = why;
		return rc == RC_DAMAGED ? diag_set(diag, rc, "the stored release is damaged") : rc;
	}
	*answer = a;
	return RC_OK;
}

void answer_deinit(struct answer *answer)
{
	free(answer->periods);
	free(answer->rows);
	free(answer->pooled);
	memset(answer, 0, sizeof *answer);
}

/* ---- figures of a row ---- */

void answer_row_codes(const struct answer *answer, unsigned row, unsigned ret[STUDY_MAX_BY])
{
	for (unsigned i = answer->n_by; i-- > 0;) {
		ret[i] = row % answer->by[i].n_codes;
		row /= answer->by[i].n_codes;
	}
}

int64_t answer_sum(const struct answer *answer, const struct answer_row *row, uint32_t mask)
{
	int64_t n = 0;

	for (unsigned c = 0; c < answer->table.n_outcomes; c++) {
		if ((mask >> c & 1) != 0)
			n += row->cells[c];
	}
	return n;
}

int64_t answer_total(const struct answer *answer, const struct answer_row *row)
{
	return answer_sum(answer, row, UINT32_MAX);
}

int64_t answer_observable(const struct answer *answer, const struct answer_row *row)
{
	return answer_sum(answer, row, outcome_denominator(&answer->table.shape));
}

static struct rate rate_of(const struct answer *answer, const struct answer_row *row,
			   const struct outcome_statistic *statistic, uint64_t variance_milli)
{
	uint32_t rest = outcome_denominator(&answer->table.shape) & ~statistic->mask;

	return rate_interval(answer_sum(answer, row, statistic->mask), answer_sum(answer, row, rest),
			     (unsigned)__builtin_popcount(statistic->mask), (unsigned)__builtin_popcount(rest),
			     variance_milli);
}

struct rate answer_rate(const struct answer *answer, const struct answer_row *row,
			const struct outcome_statistic *statistic)
{
	return rate_of(answer, row, statistic, row->variance_milli);
}

struct population answer_population(const struct answer *answer, const struct answer_row *row)
{
	/* Histories stand as the estimators want them: two lists give first, second, both. */
	return answer->table.shape.n_lists == 2 ? population_two(row->cells, 1, row->variance_milli)
						: population_three(row->cells, 1, row->variance_milli);
}

bool answer_is_corrected(const struct answer *answer)
{
	return answer->head.has_links && answer->table.shape.kind == MEASURE_CONTINUITY;
}

/* Dimension of the answer whose codes have counts of links of their own, or -1. */
static int arms_at(const struct answer *answer)
{
	for (unsigned i = 0; answer->head.links_by != NULL && i < answer->n_by; i++) {
		if (strcmp(answer->by[i].name, answer->head.links_by) == 0)
			return (int)i;
	}
	return -1;
}

bool answer_links(const struct answer *answer, const unsigned codes[STUDY_MAX_BY], struct link_counts *ret)
{
	int at = arms_at(answer);

	*ret = answer->head.links;
	return answer->head.has_links && (at < 0 || body_find_arm(&answer->head, answer->by[at].codes[codes[at]], ret));
}

static uint32_t follow_up(const struct answer *answer)
{
	return answer->table.shape.bands[answer->table.shape.n_bands - 1];
}

struct rate answer_corrected(const struct answer *answer, const unsigned codes[STUDY_MAX_BY], const struct rate *crude,
			     uint32_t days)
{
	struct rate withheld = {false, 0, 0, RATE_SCALE};
	struct link_counts links;

	return answer_links(answer, codes, &links) ? correction_rate(crude, &links, days, follow_up(answer)) : withheld;
}

static bool counts_the_same(const struct body_table *other, const struct body_table *table)
{
	return strcmp(other->name, table->name) != 0 && strcmp(other->measure, table->measure) == 0 &&
	       other->period_kind == table->period_kind && json_equal(other->eligible, table->eligible);
}

bool answer_is_drawn_apart(const struct answer *answer, struct answer_apart *ret)
{
	for (size_t t = 0; t < json_array_size(answer->head.tables); t++) {
		struct body_table other;
		if (body_read_table(json_array_get(answer->head.tables, t), &other) != RC_OK ||
		    !counts_the_same(&other, &answer->table))
			continue;
		for (size_t i = 0; i < json_array_size(other.periods); i++) {
			const json_t *block = json_array_get(other.periods, i);
			const char *period = json_string_value(json_object_get(block, "period"));
			int64_t released_in = json_integer_value(json_object_get(block, "released_in"));
			for (size_t p = 0; period != NULL && p < answer->n_periods; p++) {
				if (strcmp(period, answer->periods[p].period) != 0 ||
				    released_in == answer->periods[p].released_in)
					continue;
				*ret = (struct answer_apart){other.name, answer->periods[p].period, released_in};
				return true;
			}
		}
	}
	return false;
}

/* ---- comparisons ---- */

/* Number of rows from one code of the compared dimension to the next. */
static unsigned compare_stride(const struct answer *answer)
{
	unsigned stride = 1;

	for (unsigned i = answer->n_by; i-- > (unsigned)answer->compare_at + 1;)
		stride *= answer->by[i].n_codes;
	return stride;
}

static unsigned with_code(const struct answer *answer, unsigned row, unsigned code)
{
	unsigned stride = compare_stride(answer), n_codes = answer->by[answer->compare_at].n_codes;

	return row - row / stride % n_codes * stride + code * stride;
}

/* Two rows of an adjusted table share noise. Least squares makes no linear combination of them worse than the table's
 * own noise, which is independent between rows, made it: that is what the limits of a comparison are taken from. */
static struct rate shown_rate(const struct answer *answer, const struct answer_row *row,
			      const struct outcome_statistic *statistic)
{
	if (!row->shown)
		return (struct rate){false, 0, 0, RATE_SCALE};
	return rate_of(answer, row, statistic, (uint64_t)answer->table.sigma2_milli * row->n_summed);
}

struct contrast answer_contrast(const struct answer *answer, const struct answer_row *rows, unsigned row,
				const struct outcome_statistic *statistic)
{
	struct rate arm = shown_rate(answer, &rows[row], statistic);
	struct rate other = shown_rate(answer, &rows[with_code(answer, row, answer->against)], statistic);

	return contrast_of(&arm, &other);
}

/* The standardised rate of one code. Strata in which every row is hidden have no weight; where only this code's is,
 * there is no rate. */
static struct rate standardised_rate(const struct answer *answer, const struct answer_row *rows, unsigned code,
				     const struct outcome_statistic *statistic)
{
	struct rate none = {false, 0, 0, RATE_SCALE}, r = none;
	unsigned n_codes = answer->by[answer->compare_at].n_codes, n_strata = answer->n_rows / n_codes, n = 0;
	struct rate *rates = calloc(n_strata, sizeof *rates);
	int64_t *weights = calloc(n_strata, sizeof *weights);

	if (rates == NULL || weights == NULL)
		goto out;
	for (unsigned row = 0; row < answer->n_rows; row++) {
		if (with_code(answer, row, 0) != row)
			continue;
		rates[n] = shown_rate(answer, &rows[with_code(answer, row, code)], statistic);
		for (unsigned c = 0; c < n_codes; c++) {
			const struct answer_row *part = &rows[with_code(answer, row, c)];
			weights[n] += part->shown ? answer_observable(answer, part) : 0;
		}
		n++;
	}
	r = rate_standardised(rates, weights, n);
out:
	free(rates);
	free(weights);
	return r;
}

struct contrast answer_standardised(const struct answer *answer, const struct answer_row *rows, unsigned code,
				    const struct outcome_statistic *statistic, struct rate *ret_rate)
{
	struct rate other = standardised_rate(answer, rows, answer->against, statistic);

	*ret_rate = standardised_rate(answer, rows, code, statistic);
	return contrast_of(ret_rate, &other);
}

struct contrast answer_contrast_corrected(const struct answer *answer, const struct answer_row *rows, unsigned row,
					  const struct outcome_statistic *statistic, struct rate *ret_rate)
{
	unsigned codes[STUDY_MAX_BY], other_codes[STUDY_MAX_BY], other = with_code(answer, row, answer->against);
	struct rate arm = shown_rate(answer, &rows[row], statistic),
		    against = shown_rate(answer, &rows[other], statistic);
	struct link_counts links, other_links;

	answer_row_codes(answer, row, codes);
	answer_row_codes(answer, other, other_codes);
	*ret_rate = (struct rate){false, 0, 0, RATE_SCALE};
	if (rows[row].shown) {
		struct rate crude = answer_rate(answer, &rows[row], statistic);
		*ret_rate = answer_corrected(answer, codes, &crude, statistic->days);
	}
	if (!answer_links(answer, codes, &links) || !answer_links(answer, other_codes, &other_links))
		return (struct contrast){0};
	return correction_contrast(&arm, &links, &against, &other_links, arms_at(answer) != answer->compare_at,
				   statistic->days, follow_up(answer));
}

struct contrast answer_standardised_corrected(const struct answer *answer, const struct answer_row *rows, unsigned code,
					      const struct outcome_statistic *statistic, struct rate *ret_rate)
{
	unsigned codes[STUDY_MAX_BY] = {0}, other_codes[STUDY_MAX_BY] = {0};
	struct link_counts links, other_links;
	int arms = arms_at(answer);

	*ret_rate = (struct rate){false, 0, 0, RATE_SCALE};
	codes[answer->compare_at] = code;
	other_codes[answer->compare_at] = answer->against;
	if ((arms >= 0 && arms != answer->compare_at) || !answer_links(answer, codes, &links) ||
	    !answer_links(answer, other_codes, &other_links))
		return (struct contrast){0};
	struct rate arm = standardised_rate(answer, rows, code, statistic),
		    against = standardised_rate(answer, rows, answer->against, statistic);
	*ret_rate = correction_rate(&arm, &links, statistic->days, follow_up(answer));
	return correction_contrast(&arm, &links, &against, &other_links, arms != answer->compare_at, statistic->days,
				   follow_up(answer));
}

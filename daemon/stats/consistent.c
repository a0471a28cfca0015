/* How it is done. For each set of dimensions that a table has, or part of it, the effects of all tables are averaged
 * with the weights of proto/lattice.h, in fixed point, and kept as running sums over the codes of each dimension
 * (`margin.sums`). A table's running sums are put together from them: an effect adds up to nothing over each of its own
 * dimensions, so at the last code of a dimension only the effects without it are left.
 *
 * Integers: a table's running sums are rounded, each on its own, and differences of neighbours give the cells. The
 * running sums of a margin are those of the table at the last codes of the other dimensions, the very same numbers, so
 * they are rounded alike, and every integer table sums up to the integer table of its margin. A cell of k dimensions is
 * off by 2^k roundings, each at most one half; nothing piles up in one place.
 *
 * Magnitudes: counts are below 2^31, tables have at most 10,000 rows of at most three dimensions, so that running sums
 * of effects, times the product of the codes, stay below 2^75, and with 30 bits of fraction below 2^105. */
#include "daemon/stats/consistent.h"

#include <stdlib.h>
#include <string.h>

typedef __int128 i128;

enum { MAX_MARGINS = STUDY_MAX_TABLES << STUDY_MAX_BY };

/* The effect of one set of dimensions, its codes in the order of the dimensions, the last varying fastest. */
struct margin {
	lattice_set set;
	uint32_t n_rows;
	i128 *sums; /* owned */
};

struct work {
	const struct lattice *lattice;
	struct margin *margins; /* owned */
	unsigned n_margins;
	uint32_t max_rows;
	i128 *scratch; /* owned, max_rows */
};

static const struct study_table *table_of(const struct work *w, unsigned at)
{
	return &w->lattice->study->tables[w->lattice->tables[at]];
}

static uint32_t n_codes_of(const struct work *w, unsigned dimension)
{
	return w->lattice->study->dimensions[dimension].n_codes + 1U;
}

static i128 floor_div(i128 a, i128 b)
{
	return a / b - (a % b != 0 && a < 0 ? 1 : 0);
}

/* ---- arrays over codes ---- */

/* What to do with the `n` numbers that stand `stride` apart. */
typedef void (*line_step)(i128 *line, uint32_t n, uint32_t stride);

static void take_effect(i128 *line, uint32_t n, uint32_t stride)
{
	i128 sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += line[(size_t)i * stride];
	for (uint32_t i = 0; i < n; i++)
		line[(size_t)i * stride] = line[(size_t)i * stride] * n - sum;
}

static void take_running_sum(i128 *line, uint32_t n, uint32_t stride)
{
	for (uint32_t i = 1; i < n; i++)
		line[(size_t)i * stride] += line[(size_t)(i - 1) * stride];
}

static void take_differences(i128 *line, uint32_t n, uint32_t stride)
{
	for (uint32_t i = n; i-- > 1;)
		line[(size_t)i * stride] -= line[(size_t)(i - 1) * stride];
}

/* Along one dimension of an array of `n_rows`, in which a code is `stride` apart from the next. */
static void each_line(i128 *array, uint32_t n_rows, uint32_t n_codes, uint32_t stride, line_step step)
{
	for (uint32_t at = 0; at < n_rows; at += n_codes * stride) {
		for (uint32_t i = 0; i < stride; i++)
			step(&array[at + i], n_codes, stride);
	}
}

static void each_line_of_margin(const struct work *w, const struct margin *m, i128 *array, line_step step)
{
	uint32_t stride = 1;

	for (unsigned d = w->lattice->study->n_dimensions; d-- > 0;) {
		if ((m->set >> d & 1) == 0)
			continue;
		each_line(array, m->n_rows, n_codes_of(w, d), stride, step);
		stride *= n_codes_of(w, d);
	}
}

/* How far apart the codes of each dimension of a table are in a margin; 0 where the margin has not the dimension. */
static void strides_in(const struct work *w, const struct study_table *table, lattice_set set,
		       uint32_t ret[STUDY_MAX_BY])
{
	uint32_t stride = 1;

	memset(ret, 0, STUDY_MAX_BY * sizeof *ret);
	for (unsigned d = w->lattice->study->n_dimensions; d-- > 0;) {
		if ((set >> d & 1) == 0)
			continue;
		for (unsigned i = 0; i < table->n_by; i++) {
			if (table->by[i] == d)
				ret[i] = stride;
		}
		stride *= n_codes_of(w, d);
	}
}

static void codes_of_row(const struct work *w, const struct study_table *table, uint32_t row,
			 uint32_t ret[STUDY_MAX_BY])
{
	for (unsigned i = table->n_by; i-- > 0;) {
		uint32_t n = n_codes_of(w, table->by[i]);
		ret[i] = row % n;
		row /= n;
	}
}

static uint32_t place_in(const uint32_t strides[STUDY_MAX_BY], const uint32_t codes[STUDY_MAX_BY], unsigned n_by)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < n_by; i++)
		at += strides[i] * codes[i];
	return at;
}

/* ---- the effects ---- */

/* The table's part in a margin's effect. */
static void add_table(const struct work *w, const struct margin *m, unsigned at, const int64_t *values,
		      unsigned n_cells)
{
	const struct study_table *table = table_of(w, at);
	uint32_t strides[STUDY_MAX_BY], codes[STUDY_MAX_BY];
	uint32_t n_rows = lattice_n_rows(w->lattice->study, lattice_table_set(table));
	i128 share = lattice_share(w->lattice, at, m->set);

	if (share == 0)
		return;
	memset(w->scratch, 0, m->n_rows * sizeof *w->scratch);
	strides_in(w, table, m->set, strides);
	for (uint32_t row = 0; row < n_rows; row++) {
		codes_of_row(w, table, row, codes);
		w->scratch[place_in(strides, codes, table->n_by)] += values[(size_t)row * n_cells];
	}
	each_line_of_margin(w, m, w->scratch, take_effect);
	each_line_of_margin(w, m, w->scratch, take_running_sum);
	for (uint32_t row = 0; row < m->n_rows; row++)
		m->sums[row] += share * w->scratch[row];
}

/* The averaged effect of one outcome cell; an effect times the number of its rows is an integer. */
static void fill_margin(const struct work *w, const struct margin *m, int64_t *const *values, unsigned cell,
			unsigned n_cells)
{
	memset(m->sums, 0, m->n_rows * sizeof *m->sums);
	for (unsigned i = 0; i < w->lattice->n_tables; i++)
		add_table(w, m, i, values[i] + cell, n_cells);
	for (uint32_t row = 0; row < m->n_rows; row++)
		m->sums[row] = floor_div(m->sums[row], m->n_rows);
}

/* ---- the tables ---- */

/* Add an effect to the running sums of a table: it spreads evenly over the codes of the dimensions that it has not. */
static void add_margin(const struct work *w, const struct margin *m, const struct study_table *table, uint32_t n_rows)
{
	uint32_t strides[STUDY_MAX_BY], codes[STUDY_MAX_BY];

	strides_in(w, table, m->set, strides);
	for (uint32_t row = 0; row < n_rows; row++) {
		uint32_t part = 1, whole = 1;
		codes_of_row(w, table, row, codes);
		for (unsigned i = 0; i < table->n_by; i++) {
			if ((m->set >> table->by[i] & 1) == 0) {
				part *= codes[i] + 1;
				whole *= n_codes_of(w, table->by[i]);
			}
		}
		w->scratch[row] += floor_div(m->sums[place_in(strides, codes, table->n_by)] * part, whole);
	}
}

static void rebuild_table(const struct work *w, unsigned at, int64_t *values, unsigned n_cells)
{
	const i128 half = (i128)1 << (LATTICE_SHARE_BITS - 1), one = half * 2;
	const struct study_table *table = table_of(w, at);
	lattice_set set = lattice_table_set(table);
	uint32_t n_rows = lattice_n_rows(w->lattice->study, set), stride = 1;

	memset(w->scratch, 0, n_rows * sizeof *w->scratch);
	for (unsigned i = 0; i < w->n_margins; i++) {
		if ((w->margins[i].set & ~set) == 0)
			add_margin(w, &w->margins[i], table, n_rows);
	}
	for (uint32_t row = 0; row < n_rows; row++)
		w->scratch[row] = floor_div(w->scratch[row] + half, one);
	for (unsigned i = table->n_by; i-- > 0;) {
		each_line(w->scratch, n_rows, n_codes_of(w, table->by[i]), stride, take_differences);
		stride *= n_codes_of(w, table->by[i]);
	}
	for (uint32_t row = 0; row < n_rows; row++)
		values[(size_t)row * n_cells] = (int64_t)w->scratch[row];
}

/* ---- all of it ---- */

static enum rc add_set(struct work *w, lattice_set set)
{
	struct margin *m = &w->margins[w->n_margins];

	for (unsigned i = 0; i < w->n_margins; i++) {
		if (w->margins[i].set == set)
			return RC_OK;
	}
	m->set = set;
	m->n_rows = lattice_n_rows(w->lattice->study, set);
	m->sums = calloc(m->n_rows, sizeof *m->sums);
	if (m->sums == NULL)
		return RC_NOMEM;
	if (m->n_rows > w->max_rows)
		w->max_rows = m->n_rows;
	w->n_margins++;
	return RC_OK;
}

static enum rc work_init(struct work *w, const struct lattice *lattice)
{
	enum rc rc = RC_OK;

	*w = (struct work){.lattice = lattice, .margins = calloc(MAX_MARGINS, sizeof *w->margins)};
	if (w->margins == NULL)
		return RC_NOMEM;
	for (unsigned i = 0; i < lattice->n_tables; i++) {
		lattice_set set = lattice_table_set(table_of(w, i)), part = set;
		while (rc == RC_OK) {
			rc = add_set(w, part);
			if (part == 0)
				break;
			part = (part - 1) & set;
		}
	}
	if (rc == RC_OK)
		w->scratch = calloc(w->max_rows, sizeof *w->scratch);
	return rc == RC_OK && w->scratch == NULL ? RC_NOMEM : rc;
}

static void work_deinit(struct work *w)
{
	for (unsigned i = 0; i < w->n_margins; i++)
		free(w->margins[i].sums);
	free(w->margins);
	free(w->scratch);
}

enum rc consistent_adjust(const struct lattice *lattice, int64_t *const *values, unsigned n_cells)
{
	struct work w;

	if (lattice->n_tables < 2)
		return RC_OK;
	enum rc rc = work_init(&w, lattice);
	for (unsigned cell = 0; rc == RC_OK && cell < n_cells; cell++) {
		for (unsigned i = 0; i < w.n_margins; i++)
			fill_margin(&w, &w.margins[i], values, cell, n_cells);
		for (unsigned i = 0; i < lattice->n_tables; i++)
			rebuild_table(&w, i, values[i] + cell, n_cells);
	}
	work_deinit(&w);
	return rc;
}

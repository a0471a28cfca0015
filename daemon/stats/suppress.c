/* Which rows are shown. Only noisy values are read, so that with noise that is differentially private it costs nothing;
 * with cell-key it is the primary and complementary suppression that such tables are published with. */
#include "daemon/stats/tables.h"
#include "proto/lattice.h"

static bool *shown_at(struct table_cells *cells, uint32_t period, unsigned row)
{
	return &cells->shown[(size_t)period * cells->n_rows + row];
}

/* Does a table of the study publish this one summed over one dimension? */
static bool margin_is_published(const struct study *study, const struct study_table *table, unsigned by)
{
	lattice_set margin = lattice_table_set(table) & ~(UINT32_C(1) << table->by[by]);

	for (unsigned t = 0; t < study->n_tables; t++) {
		const struct study_table *other = &study->tables[t];
		if (other->measure == table->measure && other->period == table->period &&
		    lattice_table_set(other) == margin)
			return true;
	}
	return false;
}

/* One line of rows: `n`, `stride` apart, from `row`. Where one alone is hidden, the smallest of the others that is not
 * empty is hidden too; of equal ones the first. */
static bool hide_second(struct table_cells *cells, uint32_t period, unsigned row, unsigned n, unsigned stride)
{
	unsigned n_hidden = 0, least = UINT32_MAX;
	int64_t least_total = 0;

	for (unsigned i = 0; i < n; i++) {
		int64_t total = table_row_total(cells, period, row + i * stride);
		if (!*shown_at(cells, period, row + i * stride)) {
			n_hidden++;
		} else if (total > 0 && (least == UINT32_MAX || total < least_total)) {
			least = row + i * stride;
			least_total = total;
		}
	}
	if (n_hidden != 1 || least == UINT32_MAX)
		return false;
	*shown_at(cells, period, least) = false;
	return true;
}

static bool suppress_along(struct table_cells *cells, uint32_t period, unsigned by)
{
	const struct study *study = cells->study;
	unsigned n = study->dimensions[cells->table->by[by]].n_codes + 1U, stride = 1;
	bool changed = false;

	for (unsigned i = cells->table->n_by; i-- > by + 1U;)
		stride *= study->dimensions[cells->table->by[i]].n_codes + 1U;
	for (unsigned row = 0; row < cells->n_rows; row++) {
		if (row / stride % n == 0)
			changed |= hide_second(cells, period, row, n, stride);
	}
	return changed;
}

/* Until nothing changes: what is hidden along one dimension may leave one alone along another. */
static void suppress_complement(const struct study *study, struct table_cells *cells, uint32_t period)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (unsigned i = 0; i < cells->table->n_by; i++) {
			if (margin_is_published(study, cells->table, i))
				changed |= suppress_along(cells, period, i);
		}
	}
}

void table_cells_decide(const struct study *study, struct table_cells *cells)
{
	bool is_cell_key = study->disclosure.method == DISCLOSURE_CELL_KEY;

	for (unsigned t = 0; t < study->n_tables; t++) {
		int64_t threshold = lattice_threshold(study, &study->tables[t]);
		uint32_t n_periods = table_plan_n_periods(&cells[t].plan);
		for (uint32_t p = 0; p < n_periods; p++) {
			for (unsigned row = 0; row < cells[t].n_rows; row++) {
				int64_t total = table_row_total(&cells[t], p, row);
				*shown_at(&cells[t], p, row) = total >= threshold || (is_cell_key && total == 0);
			}
			if (is_cell_key)
				suppress_complement(study, &cells[t], p);
		}
	}
}

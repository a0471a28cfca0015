/* Periods, counting, and what is written of one table. Invariant: once tables_init has returned, `values` are
 * noisy, and all that follows is post-processing, which costs nothing. */
#include "daemon/stats/tables.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/stats/cell_key.h"
#include "daemon/stats/consistent.h"
#include "daemon/stats/tally.h"
#include "proto/day.h"
#include "proto/json.h"
#include "proto/lattice.h"

enum { DEFAULT_REACH_YEARS = 10 };

int32_t table_closing_day(const struct study *study, const struct study_table *table, int32_t period)
{
	int64_t follow_up = measure_follow_up_days(study, &study->measures[table->measure]);
	int64_t day = table->period == PERIOD_ALL ? DAY_MAX + 1 : period_last_day(table->period, period) + follow_up;

	return day > DAY_MAX ? DAY_MAX + 1 : (int32_t)day;
}

static bool is_closed(const struct study *study, const struct study_table *table, int32_t period, int32_t as_of)
{
	return table_closing_day(study, table, period) <= as_of;
}

struct table_plan table_plan(const struct study *study, const struct study_table *table, int32_t as_of,
			     bool has_published, int32_t last_published)
{
	int year, month, day_of_month;
	int32_t current = period_of_day(table->period, as_of), first, open = current;

	day_to_civil(as_of, &year, &month, &day_of_month);
	int reach = study->retention_years != 0 ? study->retention_years : DEFAULT_REACH_YEARS;
	first = period_of_day(table->period, day_from_civil(year - reach < 1671 ? 1671 : year - reach, month, 1));
	if (table->period == PERIOD_ALL)
		return (struct table_plan){.n_provisional = study->disclosure.provisional ? 1 : 0};
	if (has_published && last_published >= first)
		first = last_published + 1;
	while (open >= first && !is_closed(study, table, open, as_of))
		open--;
	open++; /* the first period that is not closed; `first` or later unless time ran backwards */
	struct table_plan plan = {.first = first};
	if (open > first)
		plan.n_final = (uint32_t)(open - first);
	if (study->disclosure.provisional && current >= first + (int32_t)plan.n_final)
		plan.n_provisional = (uint32_t)(current - first) + 1 - plan.n_final;
	return plan;
}

uint32_t table_plan_n_periods(const struct table_plan *plan)
{
	return plan->n_revised + plan->n_final + plan->n_provisional;
}

int32_t table_plan_index(const struct table_plan *plan, uint32_t slot)
{
	return slot < plan->n_revised ? plan->first_revised + (int32_t)slot
				      : plan->first + (int32_t)(slot - plan->n_revised);
}

bool table_plan_find(const struct table_plan *plan, int32_t index, uint32_t *ret_slot)
{
	int64_t revised = (int64_t)index - plan->first_revised, at = (int64_t)index - plan->first;

	if (revised >= 0 && revised < plan->n_revised)
		*ret_slot = (uint32_t)revised;
	else if (at >= 0 && at < (int64_t)plan->n_final + plan->n_provisional)
		*ret_slot = plan->n_revised + (uint32_t)at;
	else
		return false;
	return true;
}

unsigned table_n_rows(const struct study *study, const struct study_table *table)
{
	unsigned n = 1;

	for (int i = 0; i < table->n_by; i++)
		n *= study->dimensions[table->by[i]].n_codes + 1U;
	return n;
}

unsigned table_n_cells(const struct study *study, const struct study_table *table)
{
	struct outcome_shape shape = outcome_shape_of(&study->measures[table->measure]);

	return outcome_count(&shape);
}

uint32_t table_sigma2_milli(const struct study *study, const struct study_table *table)
{
	return study->disclosure.method == DISCLOSURE_NONE ? 0 : table->sigma2_milli;
}

void table_row_codes(const struct study *study, const struct study_table *table, unsigned row,
		     unsigned ret[STUDY_MAX_BY])
{
	for (int i = table->n_by; i-- > 0;) {
		unsigned radix = study->dimensions[table->by[i]].n_codes + 1U;
		ret[i] = row % radix;
		row /= radix;
	}
}

static enum rc cells_allocate(struct table_cells *cells)
{
	uint64_t n_periods = table_plan_n_periods(&cells->plan);
	size_t n_values = table_cells_n_values(cells);

	if (n_values > STATS_MAX_CELLS)
		return RC_TOO_LARGE;
	cells->values = calloc(n_values ? n_values : 1, sizeof *cells->values);
	cells->adjusted_with = calloc(n_periods ? n_periods : 1, sizeof *cells->adjusted_with);
	cells->shown = calloc(n_periods ? n_periods * cells->n_rows : 1, sizeof *cells->shown);
	for (uint64_t p = 0; cells->adjusted_with != NULL && p < n_periods; p++)
		cells->adjusted_with[p] = UINT32_C(1) << (cells->table - cells->study->tables);
	return cells->values == NULL || cells->adjusted_with == NULL || cells->shown == NULL ? RC_NOMEM : RC_OK;
}

static enum rc count_and_perturb(struct table_cells *cells, const struct study *study, const struct stats_parts *parts,
				 const struct stats_params *params)
{
	struct tally tally;
	enum rc rc = tally_init(&tally, study, cells);

	if (rc == RC_OK)
		rc = tally_count(&tally, parts, params);
	for (int t = 0; rc == RC_OK && t < study->n_tables; t++) {
		memcpy(cells[t].values, tally.values[t], table_cells_n_values(&cells[t]) * sizeof *cells[t].values);
		rc = table_cells_perturb(&cells[t], params, tally.keys[t]);
	}
	tally_deinit(&tally);
	return rc;
}

enum rc tables_init(struct table_cells *cells, const struct study *study, const struct table_plan *plans,
		    const struct stats_parts *parts, const struct stats_params *params)
{
	enum rc rc = RC_OK;

	memset(cells, 0, study->n_tables * sizeof *cells);
	for (int t = 0; rc == RC_OK && t < study->n_tables; t++) {
		const struct study_table *table = &study->tables[t];
		cells[t] = (struct table_cells){.study = study,
						.table = table,
						.plan = plans[t],
						.n_rows = table_n_rows(study, table),
						.n_cells = table_n_cells(study, table)};
		rc = cells_allocate(&cells[t]);
	}
	if (rc == RC_OK)
		rc = count_and_perturb(cells, study, parts, params);
	for (int t = 0; rc != RC_OK && t < study->n_tables; t++)
		table_cells_deinit(&cells[t]);
	return rc;
}

size_t table_cells_n_values(const struct table_cells *cells)
{
	return (size_t)table_plan_n_periods(&cells->plan) * cells->n_rows * cells->n_cells;
}

void table_cells_deinit(struct table_cells *cells)
{
	if (cells->values != NULL)
		explicit_bzero(cells->values, table_cells_n_values(cells) * sizeof *cells->values);
	free(cells->values);
	free(cells->adjusted_with);
	free(cells->shown);
	cells->values = NULL;
	cells->adjusted_with = NULL;
	cells->shown = NULL;
}

/* ---- common margins ---- */

static struct lattice lattice_of_mask(const struct study *study, uint32_t tables)
{
	struct lattice lattice = {.study = study};

	for (uint8_t t = 0; t < study->n_tables; t++) {
		if ((tables >> t & 1) != 0)
			lattice.tables[lattice.n_tables++] = t;
	}
	return lattice;
}

/* One period, in all tables that have it. */
static enum rc adjust_period(const struct study *study, struct table_cells *cells, uint32_t tables, int32_t index)
{
	struct lattice lattice = lattice_of_mask(study, tables);
	int64_t *values[STUDY_MAX_TABLES];
	uint32_t slot = 0;

	for (unsigned i = 0; i < lattice.n_tables; i++) {
		struct table_cells *c = &cells[lattice.tables[i]];
		if (table_plan_find(&c->plan, index, &slot))
			c->adjusted_with[slot] = tables;
		values[i] = &c->values[(size_t)slot * c->n_rows * c->n_cells];
	}
	return consistent_adjust(&lattice, values, cells[lattice.tables[0]].n_cells);
}

enum rc table_cells_adjust(const struct study *study, struct table_cells *cells)
{
	enum rc rc = RC_OK;

	for (unsigned t = 0; t < study->n_tables; t++) {
		uint32_t n_periods = table_plan_n_periods(&cells[t].plan), slot;
		for (uint32_t p = 0; p < n_periods && rc == RC_OK; p++) {
			int32_t index = table_plan_index(&cells[t].plan, p);
			uint32_t tables = 0;
			for (unsigned u = 0; u < study->n_tables; u++) {
				if (lattice_same_events(study, &study->tables[t], &study->tables[u]) &&
				    table_plan_find(&cells[u].plan, index, &slot))
					tables |= UINT32_C(1) << u;
			}
			/* Once, with the first table that has the period. */
			if (tables != 0 && (unsigned)__builtin_ctz(tables) == t && (tables & (tables - 1)) != 0)
				rc = adjust_period(study, cells, tables, index);
		}
	}
	return rc;
}

/* ---- what noisy values decide ---- */

static const int64_t *row_values(const struct table_cells *cells, uint32_t period, unsigned row)
{
	return &cells->values[((size_t)period * cells->n_rows + row) * cells->n_cells];
}

int64_t table_row_total(const struct table_cells *cells, uint32_t period, unsigned row)
{
	const int64_t *values = row_values(cells, period, row);
	int64_t n = 0;

	for (unsigned c = 0; c < cells->n_cells; c++)
		n += values[c];
	return n;
}

bool table_row_is_shown(const struct table_cells *cells, uint32_t period, unsigned row)
{
	return cells->shown[(size_t)period * cells->n_rows + row];
}

/* Is a noisy sum of `n_rows` rows at least `tenths`/10 standard deviations above an empty one? */
static bool stands_out(const struct table_cells *cells, int64_t n, unsigned n_rows, uint64_t tenths)
{
	uint64_t variance_milli = (uint64_t)n_rows * cells->n_cells * table_sigma2_milli(cells->study, cells->table);

	return n > 0 && (unsigned __int128)((uint64_t)n * (uint64_t)n) * 100000 >=
				(unsigned __int128)variance_milli * tenths * tenths;
}

/* 2 = the period or one of its rows cannot be mere noise, 1 = the period may be more than noise, 0 = nothing to see. Of
 * 36 empty periods of 12 rows, one is taken for full in fewer than 1 of 100 releases. */
static int period_strength(const struct table_cells *cells, uint32_t period)
{
	int64_t total = 0;

	for (unsigned row = 0; row < cells->n_rows; row++) {
		int64_t n = table_row_total(cells, period, row);
		if (stands_out(cells, n, 1, 45))
			return 2;
		total += n;
	}
	if (stands_out(cells, total, cells->n_rows, 40))
		return 2;
	return stands_out(cells, total, cells->n_rows, 25) ? 1 : 0;
}

uint32_t table_skip_empty(const struct table_cells *cells)
{
	uint32_t skip = 0;

	for (; skip + 1 < cells->plan.n_final; skip++) {
		int strength = period_strength(cells, skip);
		if (strength == 2 || (strength == 1 && period_strength(cells, skip + 1) > 0))
			break;
	}
	return skip;
}

static json_t *row_json(const struct table_cells *cells, uint32_t period, unsigned row)
{
	unsigned codes[STUDY_MAX_BY];
	json_t *code_list = json_array(), *cell_list;
	bool ok = true;

	table_row_codes(cells->study, cells->table, row, codes);
	for (int i = 0; i < cells->table->n_by; i++)
		ok &= json_array_append_new(code_list, json_integer(codes[i])) == 0;
	if (!ok) {
		json_decref(code_list);
		return NULL;
	}
	if (!table_row_is_shown(cells, period, row))
		return json_pack("{s:o, s:b}", "codes", code_list, "shown", 0);
	cell_list = json_array();
	for (unsigned c = 0; c < cells->n_cells; c++)
		ok &= json_array_append_new(cell_list, json_integer(row_values(cells, period, row)[c])) == 0;
	if (!ok) {
		json_decref(code_list);
		json_decref(cell_list);
		return NULL;
	}
	return json_pack("{s:o, s:b, s:I, s:o}", "codes", code_list, "shown", 1, "n",
			 (json_int_t)table_row_total(cells, period, row), "cells", cell_list);
}

/* The noise of one cell, in the table as it is and summed to some of its dimensions: at bit mask m, to those by[i] with
 * bit i in m. */
static json_t *variance_json(const struct table_cells *cells, uint32_t period)
{
	struct lattice lattice = lattice_of_mask(cells->study, cells->adjusted_with[period]);
	json_t *list = json_array();
	bool ok = true;

	for (unsigned mask = 0; mask < 1U << cells->table->n_by; mask++) {
		lattice_set set = 0;
		for (unsigned i = 0; i < cells->table->n_by; i++)
			set |= (mask >> i & 1U) << cells->table->by[i];
		ok &= json_array_append_new(list, json_integer((json_int_t)lattice_variance_milli(&lattice, set))) == 0;
	}
	if (ok)
		return list;
	json_decref(list);
	return NULL;
}

/* When a closed period will be counted once more, and whether it was. A period that is first published after that day
 * is as complete as it gets. */
static bool add_revision(const struct table_cells *cells, uint32_t period, int32_t as_of, int64_t revised_from,
			 json_t *block)
{
	const struct study *study = cells->study;
	int32_t index = table_plan_index(&cells->plan, period);
	int64_t due = (int64_t)table_closing_day(study, cells->table, index) + study->disclosure.revision_after_days;
	char text[DAY_TEXT_LEN];

	if (revised_from > 0)
		return json_object_set_new(block, "revised_from", json_integer(revised_from)) == 0;
	if (period >= cells->plan.n_revised + cells->plan.n_final || study->disclosure.revision_after_days == 0 ||
	    due <= as_of || due > DAY_MAX)
		return true;
	day_format((int32_t)due, text);
	return json_object_set_new(block, "revision_due", json_string(text)) == 0;
}

enum rc table_block_json(const struct table_cells *cells, uint32_t period, const struct stats_params *params,
			 int64_t revised_from, json_t **ret)
{
	char period_text[PERIOD_TEXT_LEN];
	json_t *rows = json_array();

	for (unsigned row = 0; row < cells->n_rows; row++) {
		if (json_array_append_new(rows, row_json(cells, period, row)) != 0) {
			json_decref(rows);
			return RC_NOMEM;
		}
	}
	period_format(cells->table->period, table_plan_index(&cells->plan, period), period_text);
	json_t *block =
		json_pack("{s:s, s:s, s:I, s:o, s:o}", "period", period_text, "state",
			  period < cells->plan.n_revised + cells->plan.n_final ? "final" : "provisional", "released_in",
			  (json_int_t)params->release, "variance_milli", variance_json(cells, period), "rows", rows);
	if (block == NULL || !add_revision(cells, period, params->as_of, revised_from, block)) {
		json_decref(block);
		return RC_NOMEM;
	}
	*ret = block;
	return RC_OK;
}

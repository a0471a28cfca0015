/* libs: tc_stats tc_proto glpk */
/* labels: quick once */
/* Linear programming over all margins (Dinur and Nissim 2003; Cohen and Nissim 2020, who did it to a real system). The
 * attacker knows everybody's strata, and the outcomes of the target's row but the target's own; of all other rows the
 * outcomes are unknown. The programme finds the cells of the finest table, none of them negative, rows adding up to
 * what is known, whose margins are nearest to all tables at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <glpk.h>

#include "tests/attack/world.h"

enum {
	N_ROWS = 12, /* 4 codes of intervention × 3 of sex */
	N_SEX = 3,
	N_CELLS = 9,
	NONE = 7, /* the outcome */
	TARGET_ROW = 1 * N_SEX + 1,
	N_UNKNOWN = N_ROWS * N_CELLS,
	N_TRIALS = 300,
	MAX_ENTRIES = 20000,
};

struct programme {
	glp_prob *lp;
	int n_entries, rows[MAX_ENTRIES + 1], columns[MAX_ENTRIES + 1];
	double values[MAX_ENTRIES + 1];
};

static int unknown(unsigned row, unsigned cell)
{
	return 1 + (int)(row * N_CELLS + cell);
}

static void put(struct programme *p, int row, int column, double value)
{
	assert_true(p->n_entries < MAX_ENTRIES);
	p->n_entries++;
	p->rows[p->n_entries] = row;
	p->columns[p->n_entries] = column;
	p->values[p->n_entries] = value;
}

/* One published count: the cells of the finest rows in `mask` add up to it, but for an error that costs `weight`. */
static void put_count(struct programme *p, uint32_t mask, unsigned cell, int64_t count, double weight)
{
	int row = glp_add_rows(p->lp, 1), error = glp_add_cols(p->lp, 2);

	glp_set_row_bnds(p->lp, row, GLP_FX, (double)count, (double)count);
	for (unsigned r = 0; r < N_ROWS; r++) {
		if (mask >> r & 1)
			put(p, row, unknown(r, cell), 1);
	}
	for (int side = 0; side < 2; side++) {
		glp_set_col_bnds(p->lp, error + side, GLP_LO, 0, 0);
		glp_set_obj_coef(p->lp, error + side, weight);
		put(p, row, error + side, side == 0 ? 1 : -1);
	}
}

static uint32_t rows_of(unsigned table, unsigned row)
{
	uint32_t mask = 0;

	for (unsigned r = 0; r < N_ROWS; r++) {
		if (table == F_BY_QUARTER || (table == F_BY_INTERVENTION && r / N_SEX == row) ||
		    (table == F_BY_BOTH && r == row))
			mask |= UINT32_C(1) << r;
	}
	return mask;
}

/* How many of the target's row have the outcome "none", as the programme has it. */
static double solve(const struct world *w, const struct view *seen, const int64_t totals[N_ROWS])
{
	static const unsigned n_rows[] = {1, 4, N_ROWS};
	struct programme *p = calloc(1, sizeof *p);
	glp_smcp options;

	assert_non_null(p);
	p->lp = glp_create_prob();
	glp_add_cols(p->lp, N_UNKNOWN);
	for (int i = 1; i <= N_UNKNOWN; i++)
		glp_set_col_bnds(p->lp, i, GLP_LO, 0, 0);
	for (unsigned r = 0; r < N_ROWS; r++) {
		int row = glp_add_rows(p->lp, 1);
		glp_set_row_bnds(p->lp, row, GLP_FX, (double)totals[r], (double)totals[r]);
		for (unsigned c = 0; c < N_CELLS; c++)
			put(p, row, unknown(r, c), 1);
	}
	for (unsigned t = 0; t < 3; t++) {
		for (unsigned r = 0; r < n_rows[t]; r++) {
			for (unsigned c = 0; c < N_CELLS && seen->shown[t][0][r]; c++)
				put_count(p, rows_of(t, r), c, seen->cell[t][0][r][c],
					  1 / sqrt(w->study->tables[t].sigma2_milli));
		}
	}
	glp_load_matrix(p->lp, p->n_entries, p->rows, p->columns, p->values);
	glp_init_smcp(&options);
	options.msg_lev = GLP_MSG_OFF;
	assert_int_equal(glp_simplex(p->lp, &options), 0);
	assert_int_equal(glp_get_status(p->lp), GLP_OPT);
	double found = glp_get_col_prim(p->lp, unknown(TARGET_ROW, NONE));
	glp_delete_prob(p->lp);
	free(p);
	return found;
}

/* Everybody outside of the target's row may or may not go on with treatment, anew in each trial. */
static void draw_outcomes(struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n_events; i++) {
		if (w->events[i].event == F_RELEASE || (w->events[i].codes[0] == 1 && w->events[i].codes[1] == 1))
			w->events[n++] = w->events[i];
	}
	w->n_events = n;
	for (size_t i = 0; i < n; i++) {
		const struct stats_event *e = &w->events[i];
		bool is_known = e->codes[0] == 1 && e->codes[1] == 1;
		if (!is_known && e->event == F_RELEASE && fixture_random(&w->random) % 2 == 0)
			world_event(w->events, &w->n_events, e->person, F_START,
				    e->day + (int32_t)(fixture_random(&w->random) % 60), e->codes[0], e->codes[1]);
	}
}

static struct score attack(uint32_t sigma2_milli, double *ret_rho)
{
	struct world w;
	struct view expect[2], seen;
	struct score score = {0};
	int64_t totals[N_ROWS] = {0};
	char secret[64];

	world_init(&w, 300);
	for (unsigned t = 0; t < w.study->n_tables; t++)
		w.study->tables[t].sigma2_milli = sigma2_milli;
	/* The target's row is known, so it is the outcome alone that differs. */
	for (int which = 0; which < 2; which++) {
		w.n_timeline[which] = 0;
		world_release(w.timeline[which], &w.n_timeline[which], WORLD_TARGET, "2024-02-10", which == 0 ? 5 : -1,
			      1, 1);
	}
	world_publish_past(&w, "2024-07-28");
	world_expect(&w, 2, "2024-08-31", expect);
	for (unsigned r = 0; r < N_ROWS; r++) {
		for (unsigned c = 0; c < N_CELLS; c++)
			totals[r] += expect[0].cell[F_BY_BOTH][0][r][c];
	}
	assert_true(totals[TARGET_ROW] > 15);
	for (unsigned i = 0; i < N_TRIALS; i++) {
		int truth = world_choose(&w);
		draw_outcomes(&w);
		snprintf(secret, sizeof secret, "reconstruction %u", i);
		world_see(&w, truth, secret, 2, "2024-08-31", &seen);
		double found = solve(&w, &seen, totals);
		score_guess(&w, &score,
			    2 * found - (double)expect[0].cell[F_BY_BOTH][0][TARGET_ROW][NONE] -
				    (double)expect[1].cell[F_BY_BOTH][0][TARGET_ROW][NONE],
			    truth);
	}
	*ret_rho = seen.rho;
	world_deinit(&w);
	return score;
}

static void test_linear_programming(void **state)
{
	double rho, rho_loud;

	(void)state;
	struct score score = attack(10000, &rho);
	assert_false(score_exceeds("linear programming over all margins", &score, rho));
	/* The same attack where hardly any noise is on the counts, against the charge of the real one. */
	score = attack(100, &rho_loud);
	assert_true(score_exceeds("control: a tenth of sigma", &score, rho));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear_programming)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

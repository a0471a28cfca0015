/* libs: tc_stats tc_proto */
/* labels: quick once */
/* Attacks on releases by somebody who knows everything but one person's timeline: averaging, differencing, probing,
 * suppression patterns, collusion, timing. None may be right more often than the release's own charge allows; and a
 * release that is broken on purpose must be found out by the same attacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "daemon/stats/cell_key.h"
#include "tests/attack/world.h"

#define PAST "2024-07-28" /* the day before the first quarter is closed: 90 days and 30 of reporting lag */
#define NOW "2024-08-31"

enum { NONE = 5 + 2 }; /* the outcome, after five bands, died and reimprisoned */

/* A world in which release 2 brings the first quarter of 2024. */
static void closed_world(struct world *w)
{
	world_init(w, 300);
	world_publish_past(w, PAST);
}

static const char *secret_of(char to[64], const char *attack, unsigned trial)
{
	snprintf(to, 64, "%s %u", attack, trial);
	return to;
}

/* ---- one release ---- */

/* The outcome "none" over all people, from each of the tables: as many answers to one question. */
static double averaging_evidence(const struct world *w, const struct view *seen, const struct view expect[2])
{
	double sum = 0;

	for (unsigned t = 0; t < w->study->n_tables; t++) {
		int64_t total[3] = {0};
		for (unsigned r = 0; r < WORLD_MAX_ROWS && seen->shown[t][0][r]; r++) {
			total[0] += expect[0].cell[t][0][r][NONE];
			total[1] += expect[1].cell[t][0][r][NONE];
			total[2] += seen->cell[t][0][r][NONE];
		}
		sum += (double)((2 * total[2] - total[0] - total[1]) * (total[1] - total[0]));
	}
	return sum;
}

/* Which rows are shown, and nothing else: the target's row stands at the threshold. */
static double suppression_evidence(const struct world *w, const struct view *seen, const struct view expect[2])
{
	double sum = 0;

	for (unsigned t = 0; t < w->study->n_tables; t++) {
		for (unsigned r = 0; r < WORLD_MAX_ROWS; r++) {
			int64_t total[2] = {0};
			for (unsigned c = 0; c < OUTCOMES_MAX; c++) {
				total[0] += expect[0].cell[t][0][r][c];
				total[1] += expect[1].cell[t][0][r][c];
			}
			sum += (double)(seen->shown[t][0][r] ? total[1] - total[0] : total[0] - total[1]);
		}
	}
	return sum;
}

typedef double (*evidence_of)(const struct world *w, const struct view *seen, const struct view expect[2]);

/* `publisher` is what the daemon runs, the world's own study unless it is broken. */
static struct score attack_release(struct world *w, const struct study *publisher, const char *name,
				   evidence_of evidence, double *ret_rho)
{
	struct view expect[2], seen;
	struct score score = {0};
	char secret[64];

	world_expect(w, 2, NOW, expect);
	for (unsigned i = 0; i < WORLD_TRIALS; i++) {
		int truth = world_choose(w);
		json_t *body = world_publish(w, publisher, truth, secret_of(secret, name, i), 2, NOW, w->previous);
		world_view(w, body, &seen);
		json_decref(body);
		score_guess(w, &score, evidence(w, &seen, expect), truth);
		*ret_rho = seen.rho;
	}
	return score;
}

static void test_averaging(void **state)
{
	struct world w;
	double rho;

	(void)state;
	closed_world(&w);
	struct score score = attack_release(&w, w.study, "averaging over tables", averaging_evidence, &rho);
	assert_false(score_exceeds("averaging over tables", &score, rho));
	world_deinit(&w);
}

/* Asking again gives the same bytes, in every later release too. */
static void test_averaging_over_time(void **state)
{
	static const char *const later[] = {"2024-11-30", "2025-02-28", "2025-05-31"};
	struct world w;

	(void)state;
	closed_world(&w);
	json_t *body = world_publish(&w, w.study, 1, "release 2", 2, NOW, w.previous);
	struct view first, again;
	world_view(&w, body, &first);
	for (unsigned i = 0; i < 3; i++) {
		char secret[64];
		json_t *next = world_publish(&w, w.study, 1, secret_of(secret, "later", i), 3 + i, later[i], body);
		world_view(&w, next, &again);
		assert_memory_equal(first.cell, again.cell, sizeof first.cell);
		assert_memory_equal(first.shown, again.shown, sizeof first.shown);
		json_decref(body);
		body = next;
	}
	json_decref(body);
	world_deinit(&w);
}

static void test_differencing(void **state)
{
	struct world w;
	double rho;

	(void)state;
	closed_world(&w);
	struct score score = attack_release(&w, w.study, "differencing by one person", world_all_evidence, &rho);
	assert_false(score_exceeds("differencing by one person", &score, rho));
	assert_true(score.n_right > WORLD_TRIALS * 55 / 100); /* the attack works as far as it can */
	world_deinit(&w);
}

/* The threshold stands at the total of the target's row in the two worlds. */
static void test_suppression_patterns(void **state)
{
	struct world w;
	struct view expect[2];
	double rho;

	(void)state;
	closed_world(&w);
	world_expect(&w, 2, NOW, expect);
	uint32_t total = 0;
	for (unsigned c = 0; c < OUTCOMES_MAX; c++)
		total += (uint32_t)expect[0].cell[F_BY_INTERVENTION][0][1][c];
	assert_true(total > 30);
	w.study->disclosure.threshold = total;
	struct score score = attack_release(&w, w.study, "suppression patterns", suppression_evidence, &rho);
	assert_false(score_exceeds("suppression patterns", &score, rho));
	world_deinit(&w);
}

/* Three analysts with a table each put their answers together. */
static void test_collusion(void **state)
{
	struct world w;
	struct view expect[2], seen;
	struct score alone[3] = {{0}}, together = {0};
	char secret[64];

	(void)state;
	closed_world(&w);
	world_expect(&w, 2, NOW, expect);
	for (unsigned i = 0; i < WORLD_TRIALS; i++) {
		int truth = world_choose(&w);
		world_see(&w, truth, secret_of(secret, "collusion", i), 2, NOW, &seen);
		for (unsigned t = 0; t < 3; t++)
			score_guess(&w, &alone[t], world_evidence(&w, &seen, expect, t), truth);
		score_guess(&w, &together, world_all_evidence(&w, &seen, expect), truth);
	}
	for (unsigned t = 0; t < 3; t++)
		assert_false(score_exceeds("collusion, one of three analysts", &alone[t], seen.rho));
	assert_false(score_exceeds("collusion, all three", &together, seen.rho));
	world_deinit(&w);
}

/* ---- counts of links ---- */

/* The same world with counts of links by intervention, in which the target's own missed link stands: the case that
 * moves them most. `sigma2_milli` is what the release says. */
static void linked_world(struct world *w, uint32_t sigma2_milli)
{
	closed_world(w);
	w->study->disclosure.linkage_sigma2_milli = sigma2_milli;
	w->study->disclosure.linkage_by = 1;
	for (int which = 0; which < 2; which++) {
		for (unsigned arm = 1; arm <= 3; arm++) {
			w->linkage[which].arms[arm].n_true = 90;
			w->linkage[which].arms[arm].n_missed = 10;
			w->linkage[which].arms[arm].n_doubt = 4;
		}
		w->linkage[which].arms[1 + which].n_missed++;
		w->linkage[which].arms[1 + which].n_doubt++;
	}
	world_publish_past(w, PAST);
}

/* All tables and the counts of links of one release, the latter alone as well. A control publishes the counts with an
 * eighth of the σ that is charged. */
static void test_collusion_with_link_counts(void **state)
{
	enum { SIGMA2_MILLI = 10000 };
	struct score links = {0}, all = {0}, control = {0};
	struct view expect[2], seen;
	struct world w;
	char secret[64];

	(void)state;
	linked_world(&w, SIGMA2_MILLI);
	world_expect(&w, 2, NOW, expect);
	struct study *broken = malloc(sizeof *broken);
	assert_non_null(broken);
	*broken = *w.study;
	broken->disclosure.linkage_sigma2_milli /= 64;
	for (unsigned i = 0; i < WORLD_TRIALS; i++) {
		int truth = world_choose(&w);
		json_t *body =
			world_publish(&w, broken, truth, secret_of(secret, "broken links", i), 2, NOW, w.previous);
		world_view(&w, body, &seen);
		json_decref(body);
		score_guess(&w, &control, world_links_evidence(&w, &seen, expect), truth);
		world_see(&w, truth, secret_of(secret, "links", i), 2, NOW, &seen);
		score_guess(&w, &links, world_links_evidence(&w, &seen, expect), truth);
		score_guess(&w, &all, world_all_evidence(&w, &seen, expect), truth);
	}
	assert_int_equal((int)(seen.rho * 1000 + 0.5), 500); /* three tables at 1/10 and the counts at 2/10 */
	assert_false(score_exceeds("collusion, counts of links alone", &links, 2000.0 / SIGMA2_MILLI));
	assert_false(score_exceeds("collusion, all tables and counts of links", &all, seen.rho));
	assert_true(all.n_right > WORLD_TRIALS * 55 / 100);
	assert_true(score_exceeds("control: an eighth of sigma in counts of links", &control, seen.rho));
	free(broken);
	world_deinit(&w);
}

/* ---- several releases ---- */

/* Open periods are published again and again, each time at full cost. A custodian adds a release of the target to a row
 * of its own, with 40 made-up people for company, and reads off whether treatment goes on: the crafted record links to
 * the target's other records. The row is published twice. */
static struct score probe(struct world *w, const char *name, bool same_secret, double *ret_rho)
{
	struct view expect[2], seen;
	struct score score = {0};
	char secret[64];
	static const char *const days[] = {"2024-07-10", "2024-07-20"};

	*ret_rho = 0;
	for (unsigned i = 0; i < WORLD_TRIALS; i++) {
		int truth = world_choose(w);
		double evidence = 0, rho = 0;
		for (unsigned r = 0; r < 2; r++) {
			snprintf(secret, sizeof secret, "%s %u %u", name, i, same_secret ? 0 : r);
			if (i == 0)
				world_expect(w, 2 + r, days[r], &expect[0]);
			world_see(w, truth, secret, 2 + r, days[r], &seen);
			evidence += world_all_evidence(w, &seen, expect);
			rho += seen.rho;
		}
		score_guess(w, &score, evidence, truth);
		*ret_rho = rho;
	}
	return score;
}

static void probing_world(struct world *w)
{
	world_init(w, 300);
	w->study->disclosure.provisional = true;
	for (uint32_t person = 1000; person < 1040; person++)
		world_release(w->events, &w->n_events, person, "2024-02-12", -1, 3, 2);
	for (int which = 0; which < 2; which++) {
		w->n_timeline[which] = 0;
		world_release(w->timeline[which], &w->n_timeline[which], WORLD_TARGET, "2024-02-12",
			      which == 0 ? 3 : -1, 3, 2);
	}
	world_publish_past(w, "2023-12-31");
}

static void test_probing(void **state)
{
	struct world w;
	double rho;

	(void)state;
	probing_world(&w);
	struct score score = probe(&w, "probing with a crafted record", false, &rho);
	assert_false(score_exceeds("probing with a crafted record, two releases", &score, rho));
	world_deinit(&w);
}

/* ---- timing ---- */

static uint64_t answer_nanoseconds(const json_t *body)
{
	struct stats_query query = {.table = "continuity_by_both"};
	struct timespec start, end;
	struct buffer out;
	struct diag diag = {0};

	buffer_init(&out);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	assert_int_equal(stats_render_jsonstat(body, &query, &out, &diag), RC_OK);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	buffer_deinit(&out);
	return (uint64_t)(end.tv_sec - start.tv_sec) * 1000000000 + (uint64_t)(end.tv_nsec - start.tv_nsec);
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint64_t median(uint64_t *values, size_t n)
{
	qsort(values, n, sizeof *values, compare_u64);
	return values[n / 2];
}

/* The attacker times both worlds at home, and guesses by what is nearer to the median of the one or the other. `leak`
 * nanoseconds are added in world 1: what a renderer would do that looks at true counts. */
static struct score attack_timing(struct world *w, uint64_t leak, double *ret_rho)
{
	enum { TRAINED = 200, TRIALS = 400 };
	uint64_t trained[2][TRAINED], middle[2] = {0};
	struct score score = {0};
	char secret[64];
	struct view seen;

	for (unsigned i = 0; i < 2 * TRAINED + TRIALS; i++) {
		int truth = i < 2 * TRAINED ? (int)(i % 2) : world_choose(w);
		json_t *body = world_publish(w, w->study, truth, secret_of(secret, "timing", i), 2, NOW, w->previous);
		uint64_t took = answer_nanoseconds(body) + (truth == 1 ? leak : 0);
		world_view(w, body, &seen);
		*ret_rho = seen.rho;
		json_decref(body);
		if (i < 2 * TRAINED) {
			trained[i % 2][i / 2] = took;
			continue;
		}
		if (i == 2 * TRAINED) {
			middle[0] = median(trained[0], TRAINED);
			middle[1] = median(trained[1], TRAINED);
		}
		double nearer = fabs((double)took - (double)middle[0]) - fabs((double)took - (double)middle[1]);
		score_guess(w, &score, nearer, truth);
	}
	return score;
}

static void test_timing(void **state)
{
	struct world w;
	double rho;

	(void)state;
	closed_world(&w);
	struct score score = attack_timing(&w, 0, &rho);
	assert_false(score_exceeds("timing of answers", &score, rho));
	score = attack_timing(&w, 20000000, &rho);
	assert_true(score_exceeds("control: an answer that waits for a true count", &score, rho));
	world_deinit(&w);
}

/* ---- broken controls ---- */

/* Noise of half the standard deviation that the charge is for. */
static void test_half_sigma_is_found_out(void **state)
{
	struct world w;
	double rho, rho_broken;

	(void)state;
	closed_world(&w);
	struct study *broken = malloc(sizeof *broken);
	assert_non_null(broken);
	*broken = *w.study;
	for (unsigned t = 0; t < broken->n_tables; t++)
		broken->tables[t].sigma2_milli /= 4;
	attack_release(&w, w.study, "charge", averaging_evidence, &rho);
	struct score score = attack_release(&w, broken, "half of sigma", world_all_evidence, &rho_broken);
	assert_true(score_exceeds("control: half of sigma", &score, rho));
	assert_false(score_exceeds("the same at what it costs in truth", &score, rho_broken));
	free(broken);
	world_deinit(&w);
}

/* Two releases under one secret, the target's late records in the second alone: the difference has no noise. */
static struct score attack_late_record(struct world *w, bool same_secret, double *ret_rho)
{
	static const char day[] = "2024-07-20";
	struct view expect[2], before, after;
	struct score score = {0};
	char secret[64];
	struct stats_event timeline[2][WORLD_MAX_TIMELINE];
	size_t n_timeline[2];

	memcpy(timeline, w->timeline, sizeof timeline);
	memcpy(n_timeline, w->n_timeline, sizeof n_timeline);
	world_expect(w, 2, day, expect);
	for (unsigned i = 0; i < WORLD_TRIALS; i++) {
		int truth = world_choose(w);
		w->n_timeline[truth] = 0;
		world_see(w, truth, secret_of(secret, "late", i), 2, day, &before);
		memcpy(w->n_timeline, n_timeline, sizeof n_timeline);
		world_see(w, truth, secret_of(secret, same_secret ? "late" : "fresh", i), 3, day, &after);
		*ret_rho = before.rho + after.rho;
		double evidence = 0;
		for (unsigned t = 0; t < w->study->n_tables; t++) {
			for (unsigned r = 0; r < WORLD_MAX_ROWS; r++) {
				for (unsigned c = 0; c < OUTCOMES_MAX && before.shown[t][0][r] && after.shown[t][0][r];
				     c++)
					evidence += (double)((after.cell[t][0][r][c] - before.cell[t][0][r][c]) *
							     (expect[1].cell[t][0][r][c] - expect[0].cell[t][0][r][c]));
			}
		}
		score_guess(w, &score, evidence, truth);
	}
	return score;
}

static void test_reused_secret_is_found_out(void **state)
{
	struct world w;
	double rho;

	(void)state;
	probing_world(&w);
	struct score score = attack_late_record(&w, false, &rho);
	assert_false(score_exceeds("differencing two releases", &score, rho));
	score = attack_late_record(&w, true, &rho);
	assert_true(score_exceeds("control: one secret for two releases", &score, rho));
	world_deinit(&w);
}

/* A person with four index events in four periods, all of them another outcome in world 1. */
static void test_understated_cap_is_found_out(void **state)
{
	static const char *const days[] = {"2024-02-10", "2024-05-10", "2024-08-10", "2024-11-10"};
	static const char *const quarters[] = {"2024-Q1", "2024-Q2", "2024-Q3", "2024-Q4"};
	struct world w;
	double rho;

	(void)state;
	world_init(&w, 500);
	w.n_timeline[0] = w.n_timeline[1] = 0;
	w.n_periods = 4;
	w.study->retention_years = 2;
	for (unsigned i = 0; i < 4; i++) {
		w.periods[i] = quarters[i];
		world_release(w.timeline[0], &w.n_timeline[0], WORLD_TARGET, days[i], 3, 1, 1);
		world_release(w.timeline[1], &w.n_timeline[1], WORLD_TARGET, days[i], -1, 2, 1);
	}
	for (uint32_t person = 0; person < 400; person++)
		world_release(w.events, &w.n_events, 2000 + person, days[2 + person % 2], -1, 1 + person / 2 % 2, 1);
	world_publish_past(&w, PAST);
	struct view expect[2], seen;
	struct score score = {0};
	char secret[64];
	world_expect(&w, 2, "2025-08-31", expect);
	for (unsigned i = 0; i < WORLD_TRIALS; i++) {
		int truth = world_choose(&w);
		world_see(&w, truth, secret_of(secret, "cap", i), 2, "2025-08-31", &seen);
		score_guess(&w, &score, world_all_evidence(&w, &seen, expect), truth);
	}
	rho = seen.rho;
	assert_false(score_exceeds("a person with four index events, at the cap of four", &score,
				   rho * w.study->disclosure.max_index_events));
	assert_true(score_exceeds("control: the same, stated for a cap of one", &score, rho));
	world_deinit(&w);
}

/* ---- what cell-key does not stop ---- */

/* Two cells of different tables that hold the same people have the same noise: where the target is the one by whom
 * they differ, equal counts say that the target is elsewhere. */
static void test_cell_key_does_not_stop_it(void **state)
{
	struct world w;
	struct view expect[2], seen;
	struct score score = {0};
	char secret[64];

	(void)state;
	world_init(&w, 300);
	/* Everybody with substitution treatment is a man, but for the target in world 1. */
	for (size_t i = 0; i < w.n_events; i++) {
		if (w.events[i].codes[0] == 1)
			w.events[i].codes[1] = 1;
	}
	w.n_timeline[0] = w.n_timeline[1] = 0;
	world_release(w.timeline[0], &w.n_timeline[0], WORLD_TARGET, "2024-02-10", -1, 1, 1);
	world_release(w.timeline[1], &w.n_timeline[1], WORLD_TARGET, "2024-02-10", -1, 1, 2);
	world_publish_past(&w, PAST);
	world_expect(&w, 2, NOW, expect);
	double rho = 0;
	for (unsigned t = 0; t < w.study->n_tables; t++)
		rho += 1000.0 / w.study->tables[t].sigma2_milli;
	w.study->disclosure.method = DISCLOSURE_CELL_KEY;
	for (unsigned i = 0; i < WORLD_TRIALS; i++) {
		enum { OST = 1, OST_MEN = 4 };
		int truth = world_choose(&w);
		world_see(&w, truth, secret_of(secret, "cell-key", i), 2, NOW, &seen);
		bool equal = seen.cell[F_BY_INTERVENTION][0][OST][NONE] == seen.cell[F_BY_BOTH][0][OST_MEN][NONE];
		score_guess(&w, &score, equal ? -1 : 1, truth);
	}
	assert_true(score_exceeds("cell-key: equal noise for equal people", &score, rho));
	world_deinit(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_averaging),
		cmocka_unit_test(test_averaging_over_time),
		cmocka_unit_test(test_differencing),
		cmocka_unit_test(test_suppression_patterns),
		cmocka_unit_test(test_collusion),
		cmocka_unit_test(test_collusion_with_link_counts),
		cmocka_unit_test(test_probing),
		cmocka_unit_test(test_timing),
		cmocka_unit_test(test_half_sigma_is_found_out),
		cmocka_unit_test(test_reused_secret_is_found_out),
		cmocka_unit_test(test_understated_cap_is_found_out),
		cmocka_unit_test(test_cell_key_does_not_stop_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* throughcare study plan: what the releases of a study cost in privacy, what the noise does to each table, how much of
 * it will be shown, and which variances serve a given budget best. A function of the study and of expected volumes; no
 * record is read, so it may be run and published before anything is agreed.
 *
 * Figures are floating point: nothing here decides what a release holds. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lattice.h"
#include "proto/outcomes.h"
#include "tools/command.h"
#include "tools/options.h"
#include "tools/study_tool.h"
#include "tools/study_volumes.h"

enum { SEARCH_ROUNDS = 80 };

static const double Z = 1.959964;

/* What a table is worth. Rates are taken at 50 %, where their error is largest. */
struct table_figures {
	unsigned rows, outcomes;
	double sd_drawn, sd_count; /* of one cell: as drawn, and once margins agree */
	double rho;
	double threshold;
	double typical_n;                     /* index events in the median row that is expected to have any */
	double sampling_points, noise_points; /* half-widths of the 95 % interval of a rate in it */
	double shown;                         /* share of such rows that reach the threshold */
};

struct plan {
	struct study *study;
	struct study_volumes volumes;
	struct table_figures tables[STUDY_MAX_TABLES];
	uint64_t n_releases;
	double best_rho; /* 0 = not asked for */
	double best_sigma2[STUDY_MAX_TABLES], best_points[STUDY_MAX_TABLES];
};

/* ---- figures ---- */

/* ε of ρ-zero-concentrated differential privacy at δ = 10⁻⁶ (Bun and Steinke 2016, proposition 1.3). */
static double epsilon(double rho)
{
	const double ln_inverse_delta = 13.815510557964274;

	return rho + 2 * sqrt(rho * ln_inverse_delta);
}

static int compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static double variance_of(const struct study *study, unsigned table)
{
	struct lattice lattice;

	if (study->disclosure.method == DISCLOSURE_NONE)
		return 0;
	lattice_of_table(study, table, &lattice);
	return (double)lattice_variance_nano(&lattice, lattice_table_set(&study->tables[table])) / 1e9;
}

/* Outcomes that the denominator of a rate has; 0 where the measure has no rates. */
static unsigned rate_cells(const struct study_measure *measure)
{
	struct outcome_shape shape = outcome_shape_of(measure);

	return shape.kind == MEASURE_POPULATION ? 0 : (unsigned)__builtin_popcount(outcome_denominator(&shape));
}

/* Half-width of a 95 % interval at 50 %, in percentage points: that of n·Fieller–Wilson, noise alone. */
static double noise_points(double variance, unsigned cells, double n)
{
	return n > 0 ? fmin(Z * sqrt(variance * cells) / 2 / n * 100, 50) : 50;
}

/* Expected index events of the rows that have any, ascending; `n` rows are returned. The caller frees. */
static double *filled_rows(const struct plan *plan, const struct study_table *table, unsigned *ret_n)
{
	unsigned rows = lattice_n_rows(plan->study, lattice_table_set(table)), n = 0;
	double *list = calloc(rows, sizeof *list);

	for (unsigned row = 0; list != NULL && row < rows; row++) {
		double events = study_volumes_of_row(&plan->volumes, plan->study, table, row);
		if (events > 0)
			list[n++] = events;
	}
	if (list != NULL)
		qsort(list, n, sizeof *list, compare_doubles);
	*ret_n = n;
	return list;
}

static enum rc fill_table(struct plan *plan, unsigned at)
{
	const struct study *study = plan->study;
	const struct study_table *table = &study->tables[at];
	const struct study_measure *measure = &study->measures[table->measure];
	struct outcome_shape shape = outcome_shape_of(measure);
	struct table_figures *f = &plan->tables[at];
	double variance = variance_of(study, at), shown = 0;
	unsigned n = 0;
	double *rows = filled_rows(plan, table, &n);

	if (rows == NULL)
		return RC_NOMEM;
	f->rows = lattice_n_rows(study, lattice_table_set(table));
	f->outcomes = outcome_count(&shape);
	f->sd_drawn = study->disclosure.method == DISCLOSURE_NONE ? 0 : sqrt(table->sigma2_milli / 1000.0);
	f->sd_count = sqrt(variance);
	f->rho = study->disclosure.method == DISCLOSURE_NONE ? 0 : (double)study_table_rho_micro(study, table) / 1e6;
	f->threshold = (double)lattice_threshold(study, table);
	f->typical_n = n > 0 ? rows[n / 2] : 0;
	f->sampling_points = f->typical_n > 0 ? fmin(Z / 2 / sqrt(f->typical_n) * 100, 50) : 50;
	f->noise_points = noise_points(variance, rate_cells(measure), f->typical_n);
	/* The number of index events varies as a Poisson number does. */
	for (unsigned i = 0; i < n; i++)
		shown += erfc((f->threshold - 0.5 - rows[i]) / sqrt(2 * (rows[i] + f->outcomes * variance))) / 2;
	f->shown = n > 0 ? shown / n : 0;
	free(rows);
	return RC_OK;
}

/* ---- the best variances ---- */

/* Σ over tables of the squared noise of a rate in a typical row: every table counts the same. */
static double badness(const struct plan *plan, struct study *study)
{
	double sum = 0;

	for (unsigned t = 0; t < study->n_tables; t++) {
		const struct study_measure *m = &study->measures[study->tables[t].measure];
		double n = plan->tables[t].typical_n > 0 ? plan->tables[t].typical_n : 1;
		unsigned cells = rate_cells(m) > 0 ? rate_cells(m) : plan->tables[t].outcomes;
		sum += variance_of(study, t) * cells / (n * n);
	}
	return sum;
}

static void set_variance(struct study_table *table, double precision)
{
	double milli = ceil(1000 / precision);

	table->sigma2_milli = milli < 1 ? 1 : milli > 1e9 ? 1000000000U : (uint32_t)milli;
}

static void scale_to(double *precision, unsigned n, double rho)
{
	double sum = 0;

	for (unsigned t = 0; t < n; t++)
		sum += precision[t];
	for (unsigned t = 0; t < n; t++)
		precision[t] *= rho / sum;
}

/* Scale to Σ 1/σ² = ρ; no table gets less than a thousandth of it. */
static void normalise(double *precision, unsigned n, double rho)
{
	scale_to(precision, n, rho);
	for (unsigned t = 0; t < n; t++)
		precision[t] = fmax(precision[t], rho / 1000);
	scale_to(precision, n, rho);
}

/* The optimum has the same gain in every table for a little more of the budget; steps go by the root of the gain.
 * Without common margins it is 1/σ² ∝ √weight after one step. */
static enum rc find_best(struct plan *plan)
{
	struct study *copy = malloc(sizeof *copy);
	unsigned n = plan->study->n_tables;
	double precision[STUDY_MAX_TABLES], gain[STUDY_MAX_TABLES];
	double rho = plan->best_rho - (double)study_linkage_rho_micro(plan->study) / 1e6;

	if (copy == NULL)
		return RC_NOMEM;
	memcpy(copy, plan->study, sizeof *copy);
	for (unsigned t = 0; t < n; t++)
		precision[t] = 1;
	normalise(precision, n, rho);
	for (unsigned round = 0; round < SEARCH_ROUNDS; round++) {
		for (unsigned t = 0; t < n; t++)
			set_variance(&copy->tables[t], precision[t]);
		for (unsigned t = 0; t < n; t++) {
			double before, after;
			set_variance(&copy->tables[t], precision[t] * 0.95);
			before = badness(plan, copy);
			set_variance(&copy->tables[t], precision[t] * 1.05);
			after = badness(plan, copy);
			set_variance(&copy->tables[t], precision[t]);
			gain[t] = fmax(before - after, 0) / precision[t];
		}
		for (unsigned t = 0; t < n; t++)
			precision[t] *= sqrt(gain[t]);
		normalise(precision, n, rho);
	}
	for (unsigned t = 0; t < n; t++)
		set_variance(&copy->tables[t], precision[t]);
	for (unsigned t = 0; t < n; t++) {
		plan->best_sigma2[t] = copy->tables[t].sigma2_milli / 1000.0;
		plan->best_points[t] =
			noise_points(variance_of(copy, t), rate_cells(&copy->measures[copy->tables[t].measure]),
				     plan->tables[t].typical_n);
	}
	free(copy);
	return RC_OK;
}

/* ---- text ---- */

static void print_tables(const struct plan *plan)
{
	const struct study *study = plan->study;

	printf("Tables: the noise of one count (sd: as drawn; once common margins agree), and what a table costs\n");
	printf("  %-36s %6s %9s %8s %8s %9s\n", "", "rows", "sigma2", "drawn", "count", "rho");
	for (unsigned i = 0; i < study->n_tables; i++) {
		const struct table_figures *f = &plan->tables[i];
		printf("  %-36s %6u %9g %8.2f %8.2f %9.4f\n", study->tables[i].name, f->rows,
		       study->disclosure.method == DISCLOSURE_NONE ? 0 : study->tables[i].sigma2_milli / 1000.0,
		       f->sd_drawn, f->sd_count, f->rho);
	}
	if (study->disclosure.linkage_sigma2_milli > 0)
		printf("  %-36s %6s %9g %8.2f %8s %9.4f\n", "counts of links, for corrected rates", "",
		       study->disclosure.linkage_sigma2_milli / 1000.0,
		       sqrt(study->disclosure.linkage_sigma2_milli / 1000.0), "",
		       (double)study_linkage_rho_micro(study) / 1e6);
}

static void print_expected(const struct plan *plan)
{
	const struct study *study = plan->study;

	if (!plan->volumes.given) {
		printf("\nWith --volume or --volumes this also says the error of the rates and how much will be "
		       "shown.\n");
		return;
	}
	printf("\nAt the volumes given: a typical row a period, 95 %% of a rate of 50 %% in it lies within\n"
	       "+- so many percentage points (sampling; noise), and the share of rows that is shown\n");
	printf("  %-36s %9s %9s %9s %9s %8s\n", "", "events", "sampling", "noise", "threshold", "shown");
	for (unsigned i = 0; i < study->n_tables; i++) {
		const struct table_figures *f = &plan->tables[i];
		printf("  %-36s %9.1f ", study->tables[i].name, f->typical_n);
		if (rate_cells(&study->measures[study->tables[i].measure]) > 0)
			printf("%9.1f %9.1f", f->sampling_points, f->noise_points);
		else
			printf("%9s %9s", "-", "-");
		printf(" %9.0f %6.0f %%\n", f->threshold, f->shown * 100);
	}
}

static void print_cost(const char *what, double rho)
{
	printf("  %-48s rho %8.4f   epsilon %7.2f\n", what, rho, epsilon(rho));
}

/* Of one closed period. */
static double n_publications(const struct study_disclosure *d)
{
	return d->revision_after_days > 0 ? 2 : 1;
}

static void print_costs(const struct plan *plan)
{
	const struct study_disclosure *d = &plan->study->disclosure;
	uint64_t rho_micro = study_release_rho_micro(plan->study), total = rho_micro * plan->n_releases;
	double rho = (double)rho_micro / 1e6;
	char text[64];

	printf("\nCost (delta 1e-6)\n");
	print_cost("an index event of a person, one release", rho);
	snprintf(text, sizeof text, "an index event, %llu releases", (unsigned long long)plan->n_releases);
	if (plan->n_releases != 1)
		print_cost(text, (double)total / 1e6);
	if (d->revision_after_days > 0)
		print_cost("an index event, published and once revised", n_publications(d) * rho);
	print_cost("an index event, the study's limit", (double)d->rho_limit_micro / 1e6);
	snprintf(text, sizeof text, "a person at the cap of %u, each %s", (unsigned)d->max_index_events,
		 d->revision_after_days > 0 ? "in two releases" : "in one release");
	print_cost(text, n_publications(d) * rho * d->max_index_events);
	printf("\n");
	if (d->method == DISCLOSURE_NONE)
		printf("disclosure.method is none: no noise is added, and these figures do not hold.\n");
	else if (rho_micro == 0)
		printf("disclosure.method is cell-key: no rho bounds it, and none is charged.\n");
	else
		printf("The limit allows %llu release%s.\n", (unsigned long long)(d->rho_limit_micro / rho_micro),
		       d->rho_limit_micro / rho_micro == 1 ? "" : "s");
	if (d->interval_days > 0)
		printf("They are at least %u days apart.\n", (unsigned)d->interval_days);
	if (d->method != DISCLOSURE_NONE && total > d->rho_limit_micro)
		printf("%llu releases are more than the limit allows: raise sigma2, drop tables, or raise rho_limit.\n",
		       (unsigned long long)plan->n_releases);
}

static void print_best(const struct plan *plan)
{
	const struct study *study = plan->study;

	if (plan->best_rho == 0)
		return;
	printf("\nBest sigma2 for rho %g a release (epsilon %.2f): least squared noise of the rates of all tables\n",
	       plan->best_rho, epsilon(plan->best_rho));
	printf("  %-36s %9s %9s %12s %12s\n", "", "sigma2", "best", "noise now", "noise then");
	for (unsigned i = 0; i < study->n_tables; i++) {
		printf("  %-36s %9g %9.3f ", study->tables[i].name, study->tables[i].sigma2_milli / 1000.0,
		       plan->best_sigma2[i]);
		if (rate_cells(&study->measures[study->tables[i].measure]) > 0 && plan->volumes.given)
			printf("%12.1f %12.1f\n", plan->tables[i].noise_points, plan->best_points[i]);
		else
			printf("%12s %12s\n", "-", "-");
	}
}

/* ---- JSON ---- */

static json_t *table_json(const struct plan *plan, unsigned at)
{
	const struct study *study = plan->study;
	const struct table_figures *f = &plan->tables[at];
	bool has_rates = rate_cells(&study->measures[study->tables[at].measure]) > 0;
	json_t *json =
		json_pack("{s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "name", study->tables[at].name, "rows",
			  (int)f->rows, "outcomes", (int)f->outcomes, "sigma2", study->tables[at].sigma2_milli / 1000.0,
			  "sd_drawn", f->sd_drawn, "sd_count", f->sd_count, "rho", f->rho, "threshold", f->threshold);

	if (plan->volumes.given) {
		json_object_set_new(json, "typical_events", json_real(f->typical_n));
		json_object_set_new(json, "shown_percent", json_real(f->shown * 100));
	}
	if (plan->volumes.given && has_rates) {
		json_object_set_new(json, "sampling_points", json_real(f->sampling_points));
		json_object_set_new(json, "noise_points", json_real(f->noise_points));
	}
	if (plan->best_rho > 0)
		json_object_set_new(json, "best_sigma2", json_real(plan->best_sigma2[at]));
	if (plan->best_rho > 0 && plan->volumes.given && has_rates)
		json_object_set_new(json, "best_noise_points", json_real(plan->best_points[at]));
	return json;
}

static json_t *cost_json(double rho)
{
	return json_pack("{s:f, s:f}", "rho", rho, "epsilon", epsilon(rho));
}

static enum rc print_json(const struct plan *plan)
{
	const struct study_disclosure *d = &plan->study->disclosure;
	double rho = (double)study_release_rho_micro(plan->study) / 1e6;
	json_t *tables = json_array();

	for (unsigned i = 0; i < plan->study->n_tables; i++)
		json_array_append_new(tables, table_json(plan, i));
	json_t *json =
		json_pack("{s:s, s:b, s:s, s:f, s:I, s:{s:o, s:o, s:o, s:o}, s:o}", "study", plan->study->name,
			  "synthetic", (int)plan->study->synthetic, "method", study_disclosure_method_name(d->method),
			  "delta", 1e-6, "releases", (json_int_t)plan->n_releases, "cost", "index_event_release",
			  cost_json(rho), "index_event_releases", cost_json(rho * (double)plan->n_releases),
			  "index_event_limit", cost_json((double)d->rho_limit_micro / 1e6), "person_at_cap",
			  cost_json(n_publications(d) * rho * d->max_index_events), "tables", tables);
	char *text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	json_decref(json);
	if (text == NULL)
		return RC_NOMEM;
	puts(text);
	free(text);
	return RC_OK;
}

/* ---- the command ---- */

static enum rc read_rho(const char *text, double *ret, struct diag *diag)
{
	char *end = NULL;
	double value = strtod(text, &end);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || !(value >= 0.001 && value <= 1000))
		return diag_set(diag, RC_USAGE, "--rho: expected a number from 0.001 to 1000");
	*ret = value;
	return RC_OK;
}

static enum rc make_plan(struct plan *plan, const char *rho, struct diag *diag)
{
	enum rc rc = RC_OK;

	for (unsigned i = 0; rc == RC_OK && i < plan->study->n_tables; i++)
		rc = fill_table(plan, i);
	if (rc != RC_OK || rho == NULL)
		return rc;
	if (plan->study->disclosure.method != DISCLOSURE_KEYED_NOISE)
		return diag_set(diag, RC_USAGE, "--rho: only the method keyed-noise has variances to choose");
	rc = read_rho(rho, &plan->best_rho, diag);
	if (rc == RC_OK && plan->best_rho <= (double)study_linkage_rho_micro(plan->study) / 1e6)
		return diag_set(diag, RC_USAGE, "--rho: the counts of links alone cost more");
	return rc == RC_OK ? find_best(plan) : rc;
}

static enum rc print_plan(const struct plan *plan, bool json)
{
	if (json)
		return print_json(plan);
	print_tables(plan);
	print_expected(plan);
	print_costs(plan);
	print_best(plan);
	return RC_OK;
}

int cmd_study_plan(int argc, char **argv)
{
	uint64_t n_releases = 1, volume = 0;
	const char *volumes = NULL, *rho = NULL;
	bool json = false, help = false;
	const struct option_row rows[] = {
		{"releases", 0, OPTION_NUMBER, &n_releases, .min = 1, .max = 10000, .argument = "N",
		 .help = "how many releases are meant (1)"},
		{"volume", 0, OPTION_NUMBER, &volume, .min = 1, .max = 999999999, .argument = "N",
		 .help = "index events a year that each measure expects, even over all codes"},
		{"volumes", 0, OPTION_TEXT, &volumes, .argument = "FILE",
		 .help = "CSV with what is expected: measure,dimension,code,per_year"},
		{"rho", 0, OPTION_TEXT, &rho, .argument = "R",
		 .help = "print the variances that serve this rho a release best"},
		{"json", 0, OPTION_FLAG, &json, .help = "print JSON"},
	};
	const struct option_table table = {
		.command = "throughcare study plan",
		.usage = "[OPTION]... STUDY.yaml",
		.about = "Print what the releases of a study cost in privacy, the error that the noise brings to each\n"
			 "table, how much of it will be shown, and which variances serve a given cost best.",
		.example = "throughcare study plan deploy/study-two-registers.yaml --volume 4000 --rho 0.5",
		OPTION_ROWS(rows),
		.min_operands = 1,
		.max_operands = 1,
	};
	struct plan *plan = calloc(1, sizeof *plan);
	struct diag diag = {""};
	int first = 0;

	enum rc rc = plan == NULL ? RC_NOMEM : options_parse(&table, argc, argv, &first, &help);
	if (rc != RC_OK || help) {
		free(plan);
		return rc_exit_code(rc);
	}
	plan->n_releases = n_releases;
	rc = study_tool_load(argv[first], &plan->study, &diag);
	if (rc == RC_OK)
		study_volumes_init(&plan->volumes, plan->study, volume);
	if (rc == RC_OK && volumes != NULL)
		rc = study_volumes_read(&plan->volumes, plan->study, volumes, &diag);
	if (rc == RC_OK)
		rc = make_plan(plan, rho, &diag);
	if (rc == RC_OK)
		rc = print_plan(plan, json);
	study_free(plan->study);
	free(plan);
	return rc == RC_OK ? 0 : study_tool_report("plan", rc, &diag);
}

/* What many repetitions say of the intervals of corrected rates, and of their differences and ratios. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "tools/lab/coverage.h"
#include "tools/lab/lab.h"

static int compare_doubles(const void *x, const void *y)
{
	const double *p = x, *q = y;

	return *p < *q ? -1 : *p > *q;
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof *values, compare_doubles);
	return n > 0 ? values[n / 2] : 0;
}

static double distance(double x, double y)
{
	return x > y ? x - y : y - x;
}

static json_t *report_arm(const struct coverage_results *c, unsigned arm)
{
	size_t n = 0, covered = 0, covers_chance = 0, nearer = 0;
	double truth = 0, crude = 0, value = 0, found = 0, expected = 0, doubt = 0, squared_error = 0;
	double *widths = calloc(c->n_repetitions, sizeof *widths), *known = calloc(c->n_repetitions, sizeof *known);
	json_t *json = NULL;

	if (widths == NULL || known == NULL)
		goto out;
	for (uint64_t r = 0; r < c->n_repetitions; r++)
		truth += c->figures[r * c->n_arms + arm].truth / (double)c->n_repetitions;
	for (uint64_t r = 0; r < c->n_repetitions; r++) {
		const struct coverage_figure *f = &c->figures[r * c->n_arms + arm];

		if (!f->has_corrected)
			continue;
		covered += f->low <= f->truth && f->truth <= f->high;
		covers_chance += f->low <= truth && truth <= f->high;
		nearer += distance(f->value, f->truth) < distance(f->crude, f->truth);
		crude += f->crude;
		value += f->value;
		found += f->found;
		expected += f->expected;
		doubt += f->doubt;
		squared_error += (f->expected - f->found) * (f->expected - f->found);
		widths[n] = f->high - f->low;
		known[n++] = f->known_width;
	}
	double w = median(widths, n), k = median(known, n), all = n > 0 ? (double)n : 1;
	json = json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:f}", "arm",
			 c->arms[arm], "published", (json_int_t)n, "withheld", (json_int_t)(c->n_repetitions - n),
			 "links_found_percent", found / all, "links_expected_percent", expected / all,
			 "links_doubt_points", doubt / all, "links_error_points", sqrt(squared_error / all),
			 "true_percent", truth, "crude_percent", crude / all, "corrected_percent", value / all,
			 "covered", (json_int_t)covered, "covered_chance", (json_int_t)covers_chance, "nearer",
			 (json_int_t)nearer, "median_width", w, "median_width_known_links", k, "width_ratio",
			 k > 0 ? w / k : 0.0);
out:
	free(widths);
	free(known);
	return json;
}

/* How far the shares of links that are expected to be found are wrong together in two arms: the correlation. */
static double correlation(const struct coverage_results *c, unsigned x, unsigned y)
{
	double n = (double)c->n_repetitions, sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;

	for (uint64_t r = 0; r < c->n_repetitions; r++) {
		const struct coverage_figure *f = c->figures + r * c->n_arms;
		double a = f[x].expected - f[x].found, b = f[y].expected - f[y].found;

		sx += a;
		sy += b;
		sxx += a * a;
		syy += b * b;
		sxy += a * b;
	}
	double variance = (sxx - sx * sx / n) * (syy - sy * sy / n);
	return variance > 0 ? (sxy - sx * sy / n) / sqrt(variance) : 0;
}

/* Difference and ratio of an arm against the last one. */
static json_t *report_contrast(const struct coverage_results *c, unsigned arm)
{
	size_t n = 0, covered = 0, ratio_covered = 0, nearer = 0;
	double truth = 0, crude = 0, value = 0;
	double *widths = calloc(c->n_repetitions, sizeof *widths), *known = calloc(c->n_repetitions, sizeof *known);
	json_t *json = NULL;

	if (widths == NULL || known == NULL)
		goto out;
	for (uint64_t r = 0; r < c->n_repetitions; r++) {
		const struct coverage_figure *f = &c->figures[r * c->n_arms + arm];

		truth += f->true_difference / (double)c->n_repetitions;
		if (!f->has_contrast)
			continue;
		covered += f->low_difference <= f->true_difference && f->true_difference <= f->high_difference;
		ratio_covered += f->low_ratio <= f->true_ratio && f->true_ratio <= f->high_ratio;
		nearer +=
			distance(f->difference, f->true_difference) < distance(f->crude_difference, f->true_difference);
		crude += f->crude_difference;
		value += f->difference;
		widths[n] = f->high_difference - f->low_difference;
		known[n++] = f->known_difference_width;
	}
	double w = median(widths, n), k = median(known, n), all = n > 0 ? (double)n : 1;
	json = json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:f}", "arm", c->arms[arm], "against",
			 c->arms[c->n_arms - 1], "published", (json_int_t)n, "true_points", truth, "crude_points",
			 crude / all, "corrected_points", value / all, "difference_covered", (json_int_t)covered,
			 "ratio_covered", (json_int_t)ratio_covered, "nearer", (json_int_t)nearer, "median_width", w,
			 "width_ratio", k > 0 ? w / k : 0.0, "correlation_of_errors",
			 correlation(c, arm, c->n_arms - 1));
out:
	free(widths);
	free(known);
	return json;
}

enum rc coverage_report(const struct coverage_results *c)
{
	json_t *arms = json_array(), *contrasts = json_array();

	/* Nobody is of unknown intervention. */
	for (unsigned arm = 0; arm < c->n_arms; arm++) {
		if (arm != 1)
			json_array_append_new(arms, report_arm(c, arm));
		if (arm > 1 && arm + 1 < c->n_arms)
			json_array_append_new(contrasts, report_contrast(c, arm));
	}
	json_t *json = json_pack("{s:I, s:I, s:I, s:s, s:o, s:o}", "repetitions", (json_int_t)c->n_repetitions,
				 "persons", (json_int_t)c->n_persons, "days", (json_int_t)COVERAGE_DAYS, "table",
				 c->table, "arms", arms, "comparisons", contrasts);
	return lab_print(json);
}

/* throughcare lab coverage: do the intervals of published, corrected rates cover the truth? Synthetic registers are
 * made, linked and published again and again, each time by the functions of the daemon, with fixed seeds for people,
 * errors and noise; the same release with the true links known stands beside. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/stats/stats.h"
#include "keys/key_file.h"
#include "proto/json.h"
#include "tools/lab/coverage.h"
#include "tools/lab/lab.h"
#include "tools/options.h"
#include "tools/synth.h"

enum { MAX_REPETITIONS = 100000 };

struct coverage {
	struct lab_input input;
	struct synth_options synth;
	int32_t as_of;
	struct coverage_results results;
	char path[4][256]; /* of prison.csv, treatment.csv, truth.csv, expected.json */
};

/* Noise of a repetition: the secret is its seed. */
static enum rc repetition_prf(void *ctx, const void *identity, size_t len, uint8_t out[32])
{
	const uint64_t *seed = ctx;
	uint8_t key[8];
	struct writer w;

	writer_init(&w, key, sizeof key);
	write_u64(&w, *seed);
	return hmac_sha256(key, sizeof key, identity, len, out);
}

/* ---- one release ---- */

static enum rc publish(const struct coverage *c, const struct study *study, const struct lab_registers *registers,
		       const struct stats_linkage *linkage, uint64_t *seed, json_t **ret)
{
	struct stats_params params = {.release = 1, .as_of = c->as_of, .prf = repetition_prf, .prf_ctx = seed};

	if (linkage != NULL)
		params.linkage = *linkage;
	return stats_release(study, registers->events, link_pool_n_rows(registers->pool), &params, ret);
}

/* An answer by arms, compared with the last of them, or of everybody. */
static enum rc ask(const struct coverage *c, const json_t *body, bool by_arms, json_t **ret_answer, struct diag *diag)
{
	struct stats_query query = {.by_given = !by_arms};
	struct buffer text;

	snprintf(query.table, sizeof query.table, "%s", c->results.table);
	if (by_arms) {
		snprintf(query.compare, sizeof query.compare, "%s", c->results.dimension);
		snprintf(query.against, sizeof query.against, "%s", c->results.arms[c->results.n_arms - 1]);
	}
	buffer_init(&text);
	enum rc rc = stats_render_jsonstat(body, &query, &text, diag);
	if (rc == RC_OK)
		*ret_answer = json_loadb((const char *)text.data, text.len, 0, NULL);
	buffer_deinit(&text);
	return rc == RC_OK && *ret_answer == NULL ? RC_NOMEM : rc;
}

/* The rate of an arm, NULL when it is not shown. */
static const json_t *rate_of(const struct coverage *c, const json_t *rows, unsigned arm)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i), *by = json_object_get(row, "by");
		const json_t *rates = json_object_get(row, "within");
		const char *code = json_string_value(json_object_iter_value(json_object_iter((json_t *)by)));

		if (arm > 0 && (code == NULL || strcmp(code, c->results.arms[arm]) != 0))
			continue;
		for (size_t k = 0; k < json_array_size(rates); k++) {
			const json_t *rate = json_array_get(rates, k);
			if (json_integer_value(json_object_get(rate, "days")) == COVERAGE_DAYS)
				return rate;
		}
	}
	return NULL;
}

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

enum which { PUBLISHED, KNOWN, EXACT };

static void take_rate(const json_t *rate, enum which which, struct coverage_figure *figure)
{
	const json_t *corrected = json_object_get(rate, "corrected");

	if (which == EXACT) {
		figure->truth = number(rate, "percent");
	} else if (which == KNOWN) {
		figure->known_width = number(rate, "high") - number(rate, "low");
	} else {
		figure->crude = number(rate, "percent");
		figure->has_corrected = json_is_object(corrected);
		figure->value = number(corrected, "percent");
		figure->low = number(corrected, "low");
		figure->high = number(corrected, "high");
	}
}

static void take_contrast(const json_t *rate, enum which which, struct coverage_figure *figure)
{
	const json_t *crude = json_object_get(rate, "difference"), *corrected = json_object_get(rate, "corrected"),
		     *difference = json_object_get(corrected, "difference"),
		     *ratio = json_object_get(corrected, "ratio");

	if (which == EXACT) {
		figure->true_difference = number(crude, "points");
		figure->true_ratio = number(json_object_get(rate, "ratio"), "value");
	} else if (which == KNOWN) {
		figure->known_difference_width = number(crude, "high") - number(crude, "low");
	} else {
		figure->has_contrast = json_is_object(difference) && json_is_object(ratio);
		figure->crude_difference = number(crude, "points");
		figure->difference = number(difference, "points");
		figure->low_difference = number(difference, "low");
		figure->high_difference = number(difference, "high");
		figure->low_ratio = number(ratio, "low");
		figure->high_ratio = json_is_null(json_object_get(ratio, "high")) ? INFINITY : number(ratio, "high");
	}
}

static enum rc read_release(const struct coverage *c, const json_t *body, enum which which,
			    struct coverage_figure *figures, struct diag *diag)
{
	enum rc rc = RC_OK;

	for (unsigned by_arms = 0; by_arms <= 1 && rc == RC_OK; by_arms++) {
		json_t *answer = NULL;

		rc = ask(c, body, by_arms != 0, &answer, diag);
		const json_t *extension = json_object_get(answer, "extension"),
			     *comparison = json_object_get(extension, "comparison");
		for (unsigned arm = by_arms; rc == RC_OK && arm < (by_arms != 0 ? c->results.n_arms : 1); arm++) {
			take_rate(rate_of(c, json_object_get(extension, "pooled"), arm), which, &figures[arm]);
			take_contrast(rate_of(c, json_object_get(comparison, "pooled"), arm), which, &figures[arm]);
		}
		json_decref(answer);
	}
	return rc;
}

/* ---- one repetition ---- */

/* Arm of a row: 1 + code of a release, 0 for other events, as in the daemon's release. */
static uint8_t arm_of(const struct study *study, const struct stats_event *event)
{
	return study->events[event->event].role == EVENT_RELEASE
		       ? (uint8_t)(event->codes[study->disclosure.linkage_by - 1] + 1)
		       : 0;
}

static enum rc link_rows(const struct lab_registers *registers, struct stats_linkage *ret, uint32_t *person)
{
	uint32_t n = link_pool_n_rows(registers->pool);
	uint8_t *group = calloc((size_t)n + 1, sizeof *group);
	struct link_run_options options = {.end = n, .group = group};
	struct link_pair *pairs = NULL;
	struct link_result *result = NULL;
	size_t n_pairs = 0;

	if (group == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < n; i++)
		group[i] = arm_of(registers->study, &registers->events[i]);
	enum rc rc = link_compare(registers->pool, 0, n, NULL, &pairs, &n_pairs);
	if (rc == RC_OK)
		rc = link_run(registers->pool, pairs, n_pairs, &options, &result);
	if (rc == RC_OK)
		memcpy(person, result->person, n * sizeof *person);
	for (size_t i = 0; rc == RC_OK && i < result->n_groups; i++) {
		const struct link_group *g = &result->groups[i];

		ret->arms[g->group - 1].n_true += g->n_true;
		ret->arms[g->group - 1].n_false += g->n_false;
		ret->arms[g->group - 1].n_missed += g->n_missed;
		ret->arms[g->group - 1].n_doubt += g->n_doubt;
	}
	free(pairs);
	free(group);
	link_result_free(result);
	return rc;
}

struct owned {
	uint64_t entity;
	uint32_t row;
};

static int compare_owned(const void *x, const void *y)
{
	const struct owned *p = x, *q = y;

	return p->entity < q->entity ? -1 : p->entity > q->entity;
}

/* Number the true persons, and count which share of the true pairs of a release and a treatment row were linked. */
static enum rc number_truth(const struct coverage *c, const struct lab_registers *registers, const uint64_t *entity,
			    const uint32_t *person, uint32_t *ret_truth, struct coverage_figure *figures)
{
	uint32_t n = link_pool_n_rows(registers->pool), number = 0;
	struct owned *owned = malloc(((size_t)n + 1) * sizeof *owned);
	uint64_t pairs[COVERAGE_MAX_ARMS] = {0}, found[COVERAGE_MAX_ARMS] = {0};

	if (owned == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < n; i++)
		owned[i] = (struct owned){entity[i], i};
	qsort(owned, n, sizeof *owned, compare_owned);
	for (uint32_t i = 0, j; i < n; i = j, number++) {
		for (j = i; j < n && owned[j].entity == owned[i].entity; j++)
			ret_truth[owned[j].row] = number;
		for (uint32_t a = i; a < j; a++) {
			uint8_t arm = arm_of(registers->study, &registers->events[owned[a].row]);

			for (uint32_t b = i; arm > 0 && b < j; b++) {
				bool is_found = person[owned[a].row] == person[owned[b].row];

				if (registers->events[owned[b].row].source == registers->events[owned[a].row].source)
					continue;
				pairs[0]++;
				pairs[arm]++;
				found[0] += is_found;
				found[arm] += is_found;
			}
		}
	}
	for (unsigned arm = 0; arm < c->results.n_arms; arm++)
		figures[arm].found = pairs[arm] > 0 ? 100.0 * (double)found[arm] / (double)pairs[arm] : 0;
	free(owned);
	return RC_OK;
}

static void expect_found(const struct coverage *c, const struct stats_linkage *linkage, struct coverage_figure *figures)
{
	double found[COVERAGE_MAX_ARMS] = {0}, missed[COVERAGE_MAX_ARMS] = {0}, doubt[COVERAGE_MAX_ARMS] = {0};

	for (unsigned arm = 1; arm < c->results.n_arms; arm++) {
		found[arm] = (double)linkage->arms[arm - 1].n_true;
		missed[arm] = (double)linkage->arms[arm - 1].n_missed;
		doubt[arm] = (double)linkage->arms[arm - 1].n_doubt;
		found[0] += found[arm];
		missed[0] += missed[arm];
		doubt[0] = hypot(doubt[0], doubt[arm]);
	}
	for (unsigned arm = 0; arm < c->results.n_arms; arm++) {
		double all = found[arm] + missed[arm];

		figures[arm].expected = all > 0 ? 100 * found[arm] / all : 0;
		figures[arm].doubt = all > 0 ? 100 * found[arm] * doubt[arm] / (all * all) : 0;
	}
}

static void set_persons(struct lab_registers *registers, const uint32_t *person)
{
	for (uint32_t i = 0; i < link_pool_n_rows(registers->pool); i++)
		registers->events[i].person = person[i];
}

/* Publish with the links found, with the true ones, and the truth itself. */
static enum rc publish_all(const struct coverage *c, struct lab_registers *registers, const uint32_t *person,
			   const uint32_t *truth, const struct stats_linkage *linkage, uint64_t seed,
			   struct coverage_figure *figures, struct diag *diag)
{
	struct study *exact = malloc(sizeof *exact);
	enum rc rc = exact == NULL ? RC_NOMEM : RC_OK;

	if (rc != RC_OK)
		return rc;
	*exact = *registers->study;
	exact->disclosure.method = DISCLOSURE_NONE;
	exact->disclosure.linkage_sigma2_milli = 0;
	exact->disclosure.threshold = 0;
	for (int i = 0; i < exact->n_tables; i++)
		exact->tables[i].sigma2_milli = 0;
	for (enum which which = PUBLISHED; which <= EXACT && rc == RC_OK; which++) {
		json_t *body = NULL;

		set_persons(registers, which == PUBLISHED ? person : truth);
		rc = publish(c, which == EXACT ? exact : registers->study, registers,
			     which == PUBLISHED ? linkage : NULL, &seed, &body);
		if (rc == RC_OK)
			rc = read_release(c, body, which, figures, diag);
		json_decref(body);
	}
	free(exact);
	return rc;
}

static enum rc name_arms(struct coverage *c, const struct study *study, struct diag *diag)
{
	if (study->disclosure.linkage_by == 0 || study->disclosure.method != DISCLOSURE_KEYED_NOISE ||
	    !study->synthetic)
		return diag_set(diag, RC_INVALID,
				"%s: this needs a synthetic study with keyed noise and disclosure.linkage_by",
				c->input.study);
	const struct study_dimension *dimension = &study->dimensions[study->disclosure.linkage_by - 1];
	c->results.n_arms = dimension->n_codes + 2u;
	snprintf(c->results.dimension, sizeof c->results.dimension, "%s", dimension->name);
	snprintf(c->results.arms[0], sizeof c->results.arms[0], "all");
	for (unsigned i = 0; i <= dimension->n_codes; i++)
		snprintf(c->results.arms[i + 1], sizeof c->results.arms[0], "%s", dimension->codes[i]);
	c->results.figures = calloc(c->results.n_repetitions * c->results.n_arms, sizeof *c->results.figures);
	return c->results.figures == NULL ? RC_NOMEM : RC_OK;
}

static enum rc repeat(struct coverage *c, uint64_t repetition, struct diag *diag)
{
	struct lab_registers registers;
	struct stats_linkage linkage = {0};
	struct synth_written written;
	uint32_t *person = NULL, *truth = NULL;
	uint64_t *entity = NULL;
	struct coverage_figure *figures;
	enum rc rc;

	c->synth.seed += repetition > 0;
	rc = synth_write(&c->synth, &written, diag);
	if (rc != RC_OK)
		return rc;
	rc = lab_study_load(&c->input, &registers, diag);
	registers.with_events = true;
	if (rc == RC_OK && c->results.figures == NULL)
		rc = name_arms(c, registers.study, diag);
	if (rc == RC_OK)
		rc = lab_registers_encode(&c->input, &registers, diag);
	if (rc != RC_OK)
		goto out;
	size_t n = link_pool_n_rows(registers.pool) + (size_t)1;
	person = malloc(n * sizeof *person);
	truth = malloc(n * sizeof *truth);
	entity = malloc(n * sizeof *entity);
	figures = c->results.figures + repetition * c->results.n_arms;
	rc = person == NULL || truth == NULL || entity == NULL ? RC_NOMEM : RC_OK;
	if (rc == RC_OK)
		rc = link_rows(&registers, &linkage, person);
	if (rc == RC_OK)
		rc = lab_truth_entities(c->path[2], &registers, entity, diag);
	if (rc == RC_OK)
		rc = number_truth(c, &registers, entity, person, truth, figures);
	if (rc == RC_OK)
		expect_found(c, &linkage, figures);
	if (rc == RC_OK)
		rc = publish_all(c, &registers, person, truth, &linkage, c->synth.seed, figures, diag);
out:
	free(person);
	free(truth);
	free(entity);
	lab_registers_deinit(&registers);
	return rc;
}

static enum rc run_all(struct coverage *c, struct diag *diag)
{
	static const char *const names[] = {"prison.csv", "treatment.csv", "truth.csv", "expected.json"};
	char folder[128];
	const char *tmp = getenv("TMPDIR");
	enum rc rc = RC_OK;

	snprintf(folder, sizeof folder, "%s/throughcare-coverage-XXXXXX",
		 tmp != NULL && strlen(tmp) < 64 ? tmp : "/tmp");
	if (mkdtemp(folder) == NULL)
		return diag_set(diag, RC_IO, "%s: no folder can be made there", folder);
	for (int i = 0; i < 4; i++)
		snprintf(c->path[i], sizeof c->path[i], "%s/%s", folder, names[i]);
	c->synth.folder = folder;
	c->input.csv[0] = c->path[0];
	c->input.csv[1] = c->path[1];
	c->results.n_persons = c->synth.persons;
	for (uint64_t r = 0; r < c->results.n_repetitions && rc == RC_OK; r++)
		rc = repeat(c, r, diag);
	for (int i = 0; i < 4; i++)
		unlink(c->path[i]);
	rmdir(folder);
	if (rc == RC_OK)
		rc = coverage_report(&c->results);
	free(c->results.figures);
	return rc;
}

int lab_coverage(int argc, char **argv)
{
	struct coverage c = {.results.table = "continuity_by_intervention",
			     .synth = {.seed = 1, .movers = 12, .plan = {3, 75}}};
	struct option_list typos_by = {0};
	uint64_t typos = 8;
	const char *as_of = "2025-06-30";
	struct diag diag = {""};
	bool help = false;
	int operands = 0;
	const struct option_row rows[] = {
		{"study", 0, OPTION_TEXT, &c.input.study, .argument = "FILE", .required = true,
		 .help = "a synthetic study with keyed noise, linkage_sigma2 and linkage_by"},
		{"secret", 0, OPTION_TEXT, &c.input.secret, .argument = "FILE", .required = true,
		 .help = "a linkage secret"},
		{"table", 0, OPTION_TEXT, &c.results.table, .argument = "NAME",
		 .help = "a continuity table by that dimension (default continuity_by_intervention)"},
		{"repetitions", 0, OPTION_NUMBER, &c.results.n_repetitions, 1, MAX_REPETITIONS, .argument = "N",
		 .required = true, .help = "how often"},
		{"persons", 0, OPTION_NUMBER, &c.synth.persons, 1, 1000000, .argument = "N", .required = true,
		 .help = "how many people each time"},
		{"seed", 0, OPTION_NUMBER, &c.synth.seed, 0, UINT32_MAX, .argument = "S",
		 .help = "of the first repetition, for people, errors and noise; each has its own (default 1)"},
		{"typos", 0, OPTION_NUMBER, &typos, 0, 100, .argument = "PCT",
		 .help = "chance of an error in a field, as of `throughcare synth` (default 8)"},
		{"typos-by", 0, OPTION_LIST, &typos_by, .argument = "ARM=PCT",
		 .help = "… of people first released with that intervention"},
		{"as-of", 0, OPTION_TEXT, &as_of, .argument = "DAY", .help = "of the releases (default 2025-06-30)"},
	};
	const struct option_table table = {
		.command = "throughcare lab coverage",
		.usage = "[OPTION]...",
		.about = "Make synthetic registers again and again, link and publish them, and compare the corrected "
			 "rate\n"
			 "of treatment within 21 days with the truth, for everybody and each arm. Prints JSON: how "
			 "often\n"
			 "the 95 % interval covers the true rate of the people (covered) and the mean of all "
			 "repetitions\n"
			 "(covered_chance), how often the corrected rate is nearer to the truth than the crude one, "
			 "and\n"
			 "the median width beside that of the crude interval of one who knows the true links. The same "
			 "for\n"
			 "difference and ratio of each arm against the last, and how far errors of two arms go "
			 "together.",
		.example = "throughcare lab coverage --study study.yaml --secret main.secret --persons 1500 \\\n"
			   "    --repetitions 20 --typos 25 --typos-by ost=50",
		OPTION_ROWS(rows),
	};
	enum rc rc = options_parse(&table, argc, argv, &operands, &help);

	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	c.input.options = (struct link_options){LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, 2};
	rc = synth_read_typos_by(&typos_by, typos, &c.synth, &diag);
	if (rc == RC_OK && day_parse(as_of, &c.as_of) != RC_OK)
		rc = diag_set(&diag, RC_USAGE, "--as-of: expected a day such as 2025-06-30");
	if (rc == RC_OK)
		rc = run_all(&c, &diag);
	if (rc != RC_OK)
		fprintf(stderr, "throughcare lab coverage: %s\n", diag.text[0] != '\0' ? diag.text : rc_text(rc));
	return rc_exit_code(rc);
}

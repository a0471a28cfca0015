/* throughcare lab encode: the frontier between what a hardening costs in links and what an attacker still reads. The
 * study's own filters first, then every construction that was tried in making the profiles. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/study_construct.h"
#include "tools/lab/lab.h"
#include "tools/options.h"

static const struct trial {
	const char *name;
	struct study_construction how;
} trials[] = {
	{"a filter a field (quality)", {JOIN_NOTHING, 512, 0, INCOMPLETE_KEEP}},
	{"a filter a field, t = 5", {JOIN_NOTHING, 512, 5, INCOMPLETE_KEEP}},
	{"names; date; residence", {JOIN_NAMES, 1024, 0, INCOMPLETE_KEEP}},
	{"names; birth", {JOIN_NAMES_AND_BIRTH, 1024, 0, INCOMPLETE_KEEP}},
	{"names; birth, padded", {JOIN_NAMES_AND_BIRTH, 1024, 0, INCOMPLETE_PAD}},
	{"names; birth, t = 2, padded (balanced)", {JOIN_NAMES_AND_BIRTH, 1024, 2, INCOMPLETE_PAD}},
	{"names; birth, t = 2, kept", {JOIN_NAMES_AND_BIRTH, 1024, 2, INCOMPLETE_KEEP}},
	{"names; birth, t = 2, rejected", {JOIN_NAMES_AND_BIRTH, 1024, 2, INCOMPLETE_REJECT}},
	{"names; birth, t = 5, padded", {JOIN_NAMES_AND_BIRTH, 1024, 5, INCOMPLETE_PAD}},
	{"names; birth, 2048 bits, t = 5, padded (hardened)", {JOIN_NAMES_AND_BIRTH, 2048, 5, INCOMPLETE_PAD}},
	{"names; birth, 2048 bits, t = 5, kept", {JOIN_NAMES_AND_BIRTH, 2048, 5, INCOMPLETE_KEEP}},
	{"one filter, 2048 bits, t = 3, padded", {JOIN_ALL, 2048, 3, INCOMPLETE_PAD}},
};
enum { N_TRIALS = sizeof trials / sizeof trials[0] };

struct lab_encode {
	struct lab_input input;
	struct lab_registers registers;
	struct lab_clear clear;
	const char *truth;
	uint64_t *entity; /* of each row */
};

/* ---- links ---- */

struct found {
	uint64_t true_pairs, right_pairs; /* of all, or of those who moved */
};

static int feature_of_role(const struct study_domain *domain, enum study_role role)
{
	for (int i = 0; i < (int)domain->schema->n_features; i++) {
		if (domain->roles[i] == (uint8_t)role)
			return i;
	}
	return -1;
}

static bool has_moved(const struct lab_encode *lab, uint32_t a, uint32_t b)
{
	static const enum study_role roles[] = {ROLE_PLACE, ROLE_POSTCODE};

	for (int i = 0; i < 2; i++) {
		int f = feature_of_role(&lab->registers.study->domains[lab->registers.domain], roles[i]);
		if (f < 0)
			return false;
		uint64_t x = lab->clear.values[f][a], y = lab->clear.values[f][b];
		if (x == 0 || y == 0 || x == y)
			return false;
	}
	return true;
}

struct row_entity {
	uint64_t entity;
	uint32_t row;
};

static int compare_rows(const void *x, const void *y)
{
	const struct row_entity *a = x, *b = y;

	if (a->entity != b->entity)
		return a->entity < b->entity ? -1 : 1;
	return a->row < b->row ? -1 : a->row > b->row;
}

/* True pairs across registers whose place and postcode both differ, and those of them that were linked. */
static enum rc count_movers(const struct lab_encode *lab, const uint32_t *person, struct found *ret)
{
	uint32_t n_prison = lab->registers.n_rows[0], n = n_prison + lab->registers.n_rows[1];
	struct row_entity *rows = calloc((size_t)n + 1, sizeof *rows);

	if (rows == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < n; i++)
		rows[i] = (struct row_entity){lab->entity[i], i};
	qsort(rows, n, sizeof *rows, compare_rows);
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t j = i + 1; j < n && rows[j].entity == rows[i].entity; j++) {
			uint32_t a = rows[i].row, b = rows[j].row;
			if ((a < n_prison) == (b < n_prison) || !has_moved(lab, a, b))
				continue;
			ret->true_pairs++;
			ret->right_pairs += person[a] == person[b];
		}
	}
	free(rows);
	return RC_OK;
}

static json_t *ratio(uint64_t part, uint64_t of)
{
	return of > 0 ? json_real((double)part / (double)of) : json_null();
}

static enum rc measure_links(const struct lab_encode *lab, json_t *json, struct diag *diag)
{
	struct link_pool *pool = lab->registers.pool;
	struct link_run_options run = {.end = link_pool_n_rows(pool)};
	struct link_pair *pairs = NULL;
	struct link_result *result = NULL;
	struct lab_score score = {0};
	struct found movers = {0};
	size_t n_pairs = 0;
	enum rc rc = link_compare(pool, 0, run.end, NULL, &pairs, &n_pairs);

	if (rc == RC_OK)
		rc = link_run(pool, pairs, n_pairs, &run, &result);
	if (rc == RC_OK)
		rc = lab_truth_score(lab->truth, &lab->registers, result->person, &score, diag);
	if (rc == RC_OK)
		rc = count_movers(lab, result->person, &movers);
	if (rc == RC_OK) {
		int failed = json_object_set_new(json, "f1",
						 ratio(2 * score.right_pairs, score.true_pairs + score.linked_pairs));
		failed |= json_object_set_new(json, "precision", ratio(score.right_pairs, score.linked_pairs));
		failed |= json_object_set_new(json, "recall", ratio(score.right_pairs, score.true_pairs));
		failed |= json_object_set_new(json, "movers", json_integer((json_int_t)movers.true_pairs));
		failed |= json_object_set_new(json, "movers_recall", ratio(movers.right_pairs, movers.true_pairs));
		failed |= json_object_set_new(json, "candidates", json_integer((json_int_t)n_pairs));
		rc = failed != 0 ? RC_NOMEM : RC_OK;
	}
	free(pairs);
	link_result_free(result);
	return rc;
}

/* ---- one construction ---- */

static enum rc measure_attack(const struct lab_encode *lab, json_t *json)
{
	static const struct {
		enum study_role role;
		const char *name;
	} targets[] = {{ROLE_GIVEN, "given"},
		       {ROLE_SURNAME, "surname"},
		       {ROLE_DATE, "date"},
		       {ROLE_PLACE, "place"},
		       {ROLE_POSTCODE, "postcode"}};
	const struct study_domain *domain = &lab->registers.study->domains[lab->registers.domain];
	json_t *named = json_object(), *rest = json_object();
	enum rc rc = named != NULL && rest != NULL ? RC_OK : RC_NOMEM;

	for (size_t i = 0; rc == RC_OK && i < sizeof targets / sizeof targets[0]; i++) {
		int feature = feature_of_role(domain, targets[i].role);
		unsigned n = 0, n_rest = 0;
		if (feature < 0)
			continue;
		rc = lab_align(&lab->registers, &lab->clear, (unsigned)feature, &n, &n_rest);
		if (rc == RC_OK && (json_object_set_new(named, targets[i].name, json_integer(n)) != 0 ||
				    json_object_set_new(rest, targets[i].name, json_integer(n_rest)) != 0))
			rc = RC_NOMEM;
	}
	int failed = json_object_set_new(json, "named_of_100", named);
	failed |= json_object_set_new(json, "named_of_100_incomplete", rest);
	if (failed != 0 && rc == RC_OK)
		rc = RC_NOMEM;
	return rc;
}

static enum rc read_truth(struct lab_encode *lab, struct diag *diag)
{
	enum rc rc = lab_clear_load(&lab->input, &lab->registers, &lab->clear, diag);

	if (rc != RC_OK)
		return rc;
	lab->entity = calloc((size_t)link_pool_n_rows(lab->registers.pool) + 1, sizeof *lab->entity);
	return lab->entity == NULL ? RC_NOMEM : lab_truth_entities(lab->truth, &lab->registers, lab->entity, diag);
}

static enum rc measure(struct lab_encode *lab, const char *name, bool links, bool attack, json_t *list,
		       struct diag *diag)
{
	const struct study_domain *domain = &lab->registers.study->domains[lab->registers.domain];
	json_t *json = json_pack("{s:s, s:I}", "construction", name, "bytes", (json_int_t)study_record_bytes(domain));
	enum rc rc = json != NULL && json_array_append_new(list, json) == 0 ? RC_OK : RC_NOMEM;
	double start = lab_seconds();

	if (rc == RC_OK)
		rc = lab_registers_encode(&lab->input, &lab->registers, diag);
	if (rc == RC_OK && lab->entity == NULL)
		rc = read_truth(lab, diag);
	if (rc == RC_OK && links)
		rc = measure_links(lab, json, diag);
	if (rc == RC_OK && attack)
		rc = measure_attack(lab, json);
	if (rc == RC_OK && json_object_set_new(json, "seconds", json_real(lab_seconds() - start)) != 0)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		fprintf(stderr, "%s: %.0f s\n", name, lab_seconds() - start);
	return rc;
}

static enum rc measure_all(struct lab_encode *lab, const char *only, bool links, bool attack, struct diag *diag)
{
	json_t *list = json_array();
	enum rc rc = lab_study_load(&lab->input, &lab->registers, diag);

	if (rc == RC_OK && (only == NULL || strstr("the study", only) != NULL))
		rc = measure(lab, "the study's own", links, attack, list, diag);
	for (size_t i = 0; rc == RC_OK && i < N_TRIALS; i++) {
		if (only != NULL && strstr(trials[i].name, only) == NULL)
			continue;
		rc = study_construct(&lab->registers.study->domains[lab->registers.domain], &trials[i].how, diag);
		if (rc == RC_OK)
			rc = measure(lab, trials[i].name, links, attack, list, diag);
	}
	if (rc == RC_OK)
		rc = lab_print(json_pack("{s:s, s:O}", "study", lab->registers.study->name, "constructions", list));
	json_decref(list);
	lab_clear_deinit(&lab->clear);
	free(lab->entity);
	lab_registers_deinit(&lab->registers);
	return rc;
}

int lab_encode(int argc, char **argv)
{
	uint64_t n_threads = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	struct lab_encode lab = {.truth = NULL};
	const char *only = NULL, *what = "all";
	struct diag diag = {""};
	bool help = false;
	int operands = 0;
	const struct option_row rows[] = {
		{"study", 0, OPTION_TEXT, &lab.input.study, .argument = "FILE", .required = true,
		 .help = "the study; it must have roles"},
		{"secret", 0, OPTION_TEXT, &lab.input.secret, .argument = "FILE", .required = true,
		 .help = "a linkage secret"},
		{"truth", 0, OPTION_TEXT, &lab.truth, .argument = "FILE", .required = true,
		 .help = "columns file (name of the source), record_id, entity"},
		{"only", 0, OPTION_TEXT, &only, .argument = "TEXT", .help = "constructions whose name has this in it"},
		{"measure", 0, OPTION_TEXT, &what, .argument = "WHAT", .help = "links, attack or all"},
		{"threads", 0, OPTION_NUMBER, &n_threads, 1, 1024, .argument = "N", .help = "number of threads"},
	};
	const struct option_table table = {
		.command = "throughcare lab encode",
		.usage = "[OPTION]... PRISON.csv TREATMENT.csv",
		.about = "What every way to harden filters costs in links, and what an attacker still reads. Prints "
			 "JSON, for each\n"
			 "construction: f1, precision, recall of linkage without labels; movers, true pairs whose "
			 "place and postcode\n"
			 "differ, and their recall; named_of_100, how many of the 100 commonest values of a field "
			 "are named by one who\n"
			 "knows how often each stands in either register, and the same among records whose filter "
			 "lost its other\n"
			 "parts. For labelled test data only.",
		.example = "throughcare lab encode --study tests/data/study-hardened.yaml --secret main.secret \\\n"
			   "    --truth truth.csv prison.csv treatment.csv",
		OPTION_ROWS(rows),
		.min_operands = LAB_SIDES,
		.max_operands = LAB_SIDES,
	};
	enum rc rc = options_parse(&table, argc, argv, &operands, &help);

	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	bool links = strcmp(what, "attack") != 0, attack = strcmp(what, "links") != 0;
	if (links && attack && strcmp(what, "all") != 0)
		rc = diag_set(&diag, RC_USAGE, "--measure: expected links, attack or all");
	lab.input.options = (struct link_options){.n_threads = (unsigned)n_threads, .memory = LINK_MEMORY_TRY_LOCK};
	for (int side = 0; side < LAB_SIDES; side++)
		lab.input.csv[side] = argv[operands + side];
	if (rc == RC_OK)
		rc = measure_all(&lab, only, links, attack, &diag);
	if (rc != RC_OK)
		fprintf(stderr, "throughcare lab encode: %s\n", diag.text[0] != '\0' ? diag.text : rc_text(rc));
	return rc_exit_code(rc);
}

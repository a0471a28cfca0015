/* throughcare lab link: quality and speed of linkage on labelled registers, through the very functions of the daemon.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tools/lab/lab.h"
#include "tools/options.h"

struct lab_times {
	double encode, compare, link;
};

static double processor_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of one stage: by the clock, and of all threads. */
struct stage {
	double start, processor_start;
};

static struct stage begin(void)
{
	return (struct stage){lab_seconds(), processor_seconds()};
}

static void end(const struct stage *stage, double *ret_seconds, double *ret_processor)
{
	*ret_seconds = lab_seconds() - stage->start;
	*ret_processor = processor_seconds() - stage->processor_start;
}

static json_t *times_json(const struct lab_times *times)
{
	return json_pack("{s:f, s:f, s:f}", "encode", times->encode, "compare", times->compare, "link", times->link);
}

static const char *outcome_name(enum link_outcome outcome)
{
	switch (outcome) {
	case LINK_DONE:
		return "done";
	case LINK_NOTHING_TO_LINK:
		return "nothing-to-link";
	case LINK_NOT_IDENTIFIABLE:
		return "not-identifiable";
	}
	return "unknown";
}

static double share(uint64_t part, uint64_t of)
{
	return of > 0 ? (double)part / (double)of : 0;
}

/* All pairs of rows over the seconds of comparing. */
static double pairs_per_second(const struct lab_registers *registers, const struct lab_times *times)
{
	double n = link_pool_n_rows(registers->pool);

	return times->compare > 0 ? n * (n - 1) / 2 / times->compare : 0;
}

static json_t *dependences(const struct lab_registers *registers, const struct link_result *result)
{
	const struct study_comparison *comparisons = registers->study->domains[registers->domain].comparisons;
	json_t *list = json_array();

	for (size_t i = 0; list != NULL && i < result->n_dependences; i++) {
		const struct link_dependence *d = &result->dependences[i];

		if (json_array_append_new(list, json_pack("{s:[s, s], s:f, s:b}", "comparisons", comparisons[d->a].name,
							  comparisons[d->b].name, "excess_bits", d->excess / 65536.0,
							  "merged", d->is_merged)) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_int_t peak_memory(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) == 0 ? (json_int_t)usage.ru_maxrss * 1024 : 0;
}

static json_t *report(const struct lab_registers *registers, const struct lab_input *input, size_t n_pairs,
		      const struct link_result *result, const struct lab_score *score, const struct lab_times *times,
		      const struct lab_times *processor)
{
	double precision = share(score->right_pairs, score->linked_pairs);
	double recall = share(score->right_pairs, score->true_pairs);
	const struct link_quality none = {0}, *quality = result->n_quality > 0 ? &result->quality[0] : &none;
	json_t *json;

	json = json_pack("{s:s, s:s, s:s, s:i, s:[I, I], s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "study",
			 registers->study->name, "outcome", outcome_name(result->outcome), "kernel",
			 link_kernel_name(input->options.kernel), "threads", (int)input->options.n_threads, "records",
			 (json_int_t)registers->n_rows[0], (json_int_t)registers->n_rows[1], "candidates",
			 (json_int_t)n_pairs, "pairs", (json_int_t)score->true_pairs, "links",
			 (json_int_t)score->linked_pairs, "person_links", (json_int_t)result->n_links, "precision",
			 precision, "recall", recall, "f1",
			 precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0.0);
	if (json == NULL)
		return NULL;
	if (json_object_set_new(json, "expected_precision", json_real(quality->expected_precision / 1e6)) != 0 ||
	    json_object_set_new(json, "expected_recall", json_real(quality->expected_recall / 1e6)) != 0 ||
	    json_object_set_new(json, "threshold",
				result->outcome == LINK_DONE ? json_real(quality->threshold / 65536.0) : json_null()) !=
		    0 ||
	    json_object_set_new(json, "expected_recall_interval",
				json_pack("[f, f]", quality->recall_low / 1e6, quality->recall_high / 1e6)) != 0 ||
	    json_object_set_new(json, "dependent_comparisons", dependences(registers, result)) != 0 ||
	    json_object_set_new(json, "true_pairs_below_floor", json_integer((json_int_t)score->below_floor)) != 0 ||
	    json_object_set_new(json, "crowded", json_integer(result->n_crowded)) != 0 ||
	    json_object_set_new(json, "pairs_per_second", json_real(pairs_per_second(registers, times))) != 0 ||
	    json_object_set_new(json, "peak_memory_bytes", json_integer(peak_memory())) != 0 ||
	    json_object_set_new(json, "null_is_conditional", json_boolean(quality->null_is_conditional)) != 0 ||
	    json_object_set_new(json, "persons", json_integer(result->n_persons)) != 0 ||
	    json_object_set_new(json, "statement", json_string(result->statement)) != 0 ||
	    json_object_set_new(json, "seconds", times_json(times)) != 0 ||
	    json_object_set_new(json, "processor_seconds", times_json(processor)) != 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static enum rc link_registers(const struct lab_input *input, const char *truth, struct diag *diag)
{
	json_t *json, *search = NULL;
	struct lab_registers registers;
	struct link_pair *pairs = NULL;
	size_t n_pairs = 0;
	struct link_result *result = NULL;
	struct link_run_options run = {0};
	struct lab_score score = {0};
	struct lab_times times, processor;
	struct stage stage = begin();
	enum rc rc = lab_registers_load(input, &registers, diag);

	end(&stage, &times.encode, &processor.encode);
	if (rc == RC_OK) {
		stage = begin();
		run.end = link_pool_n_rows(registers.pool);
		rc = link_compare(registers.pool, 0, run.end, NULL, &pairs, &n_pairs);
		end(&stage, &times.compare, &processor.compare);
	}
	if (rc == RC_OK) {
		stage = begin();
		rc = link_run(registers.pool, pairs, n_pairs, &run, &result);
		end(&stage, &times.link, &processor.link);
	}
	if (rc == RC_OK)
		rc = lab_truth_score(truth, &registers, result->person, &score, diag);
	if (rc == RC_OK)
		rc = lab_plan(registers.pool, &search);
	if (rc == RC_OK) {
		json = report(&registers, input, n_pairs, result, &score, &times, &processor);
		if (json != NULL && json_object_set(json, "plan", search) != 0)
			rc = RC_NOMEM;
		rc = rc == RC_OK ? lab_print(json) : rc;
	}
	json_decref(search);
	free(pairs);
	link_result_free(result);
	lab_registers_deinit(&registers);
	return rc;
}

int lab_link(int argc, char **argv)
{
	const char *truth = NULL, *kernel = "auto";
	uint64_t n_threads = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	struct lab_input input = {0};
	struct diag diag = {""};
	bool help = false;
	int operands = 0;
	const struct option_row rows[] = {
		{"study", 0, OPTION_TEXT, &input.study, .argument = "FILE", .required = true, .help = "the study"},
		{"secret", 0, OPTION_TEXT, &input.secret, .argument = "FILE", .required = true,
		 .help = "a linkage secret"},
		{"truth", 0, OPTION_TEXT, &truth, .argument = "FILE", .required = true,
		 .help = "columns file (name of the source), record_id, entity"},
		{"kernel", 0, OPTION_TEXT, &kernel, .argument = "NAME", .help = "auto, scalar, avx2 or avx512"},
		{"threads", 0, OPTION_NUMBER, &n_threads, 1, 1024, .argument = "N", .help = "number of threads"},
	};
	const struct option_table table = {
		.command = "throughcare lab link",
		.usage = "[OPTION]... PRISON.csv TREATMENT.csv",
		.about = "Encode two labelled registers, link them as the linkage unit does, and compare with the "
			 "truth. Prints JSON:\n"
			 "pairs (true pairs of rows), links (pairs of rows in one person), precision, recall, f1; "
			 "what the linkage\n"
			 "itself expects of precision and recall, without labels; true pairs below the candidate "
			 "floor; records\n"
			 "left unlinked because nobody could tell them apart or they say too little (crowded); "
			 "pairs compared a second;\n"
			 "comparisons that are not independent, which belong in one (merge_dependent makes one of "
			 "them);\npeak memory; seconds a stage, by the clock and of the processor. For labelled test "
			 "data only.",
		.example = "throughcare lab link --study tests/data/study-labelled.yaml --secret main.secret \\\n"
			   "    --truth truth.csv prison.csv treatment.csv",
		OPTION_ROWS(rows),
		.min_operands = LAB_SIDES,
		.max_operands = LAB_SIDES,
	};
	enum rc rc = options_parse(&table, argc, argv, &operands, &help);

	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	if (!link_kernel_parse(kernel, &input.options.kernel))
		rc = diag_set(&diag, RC_USAGE, "--kernel: expected auto, scalar, avx2 or avx512");
	else if (!link_kernel_is_available(input.options.kernel))
		rc = diag_set(&diag, RC_INVALID, "--kernel: this processor does not have %s",
			      link_kernel_name(input.options.kernel));
	input.options.n_threads = (unsigned)n_threads;
	input.options.memory = LINK_MEMORY_TRY_LOCK;
	for (int side = 0; side < LAB_SIDES; side++)
		input.csv[side] = argv[operands + side];
	if (rc == RC_OK)
		rc = link_registers(&input, truth, &diag);
	if (rc != RC_OK)
		fprintf(stderr, "throughcare lab link: %s\n", diag.text[0] != '\0' ? diag.text : rc_text(rc));
	return rc_exit_code(rc);
}

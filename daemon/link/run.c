/* A run of the linkage: records at the cut → certain persons → model → persons within sources → thresholds → persons.
 */
#include "daemon/link/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void run_deinit(struct run *run)
{
	free(run->row);
	free(run->rank);
	free(run->slot);
	free(run->lead);
	free(run->missing);
	free(run->is_numbered);
	free(run->copy_of);
	free(run->certain);
	free(run->person);
	free(run->is_crowded);
	run_forget_values(run);
	run_forget_edges(run);
	free(run->sampled);
	free(run->pairs);
	free(run->segments);
}

void link_result_free(struct link_result *result)
{
	if (result == NULL)
		return;
	free(result->person);
	free(result->links);
	free(result->quality);
	free(result->groups);
	free(result);
}

/* Number the persons by their smallest record key. */
static enum rc number_persons(struct run *run)
{
	struct link_result *result = run->result;
	uint32_t end = run->options->end;
	uint32_t *number = malloc((run->n > 0 ? run->n : 1) * sizeof *number);

	result->person = malloc((end > 0 ? end : 1) * sizeof *result->person);
	if (number == NULL || result->person == NULL) {
		free(number);
		return RC_NOMEM;
	}
	for (uint32_t row = 0; row < end; row++)
		result->person[row] = UINT32_MAX;
	for (uint32_t i = 0; i < run->n; i++) {
		uint32_t root = run_root(run->person, i);

		if (root == i)
			number[i] = result->n_persons++;
		result->person[run->row[i]] = number[root];
	}
	result->n_rows = end;
	free(number);
	return RC_OK;
}

static bool has_cross_pairs(const struct run *run)
{
	for (size_t s = 0; s < run->n_segments; s++) {
		if (run->segments[s].slot_a != run->segments[s].slot_b && run->segments[s].end > run->segments[s].first)
			return true;
	}
	return false;
}

static void conclude(struct run *run, enum link_outcome outcome, const char *statement)
{
	run->result->outcome = outcome;
	snprintf(run->result->statement, sizeof run->result->statement, "%s", statement);
}

static enum rc fit(struct run *run)
{
	bool joined = false, merged = run->domain->merge_dependent;
	enum rc rc = model_fit(run);

	while (rc == RC_OK && merged) {
		rc = run_merge_dependent(run, &merged);
		if (rc == RC_OK && merged)
			rc = model_fit(run);
	}
	if (rc != RC_OK)
		return rc;
	model_weigh(run);
	rc = run_find_edges(run);
	if (rc == RC_OK)
		rc = run_join_within(run, &joined);
	if (rc != RC_OK || !joined)
		return rc;
	rc = run_cut_segments(run);
	if (rc == RC_OK)
		rc = model_fit(run);
	if (rc != RC_OK)
		return rc;
	model_weigh(run);
	return run_find_edges(run);
}

static void describe_model(struct run *run)
{
	struct link_result *result = run->result;

	result->n_comparisons = run->domain->n_comparisons;
	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		result->comparisons[c].n_levels = run->domain->comparisons[c].n_levels;
		memcpy(result->comparisons[c].weight, run->model.weight[c], sizeof run->model.weight[c]);
	}
}

static void begin(const struct run *run, enum link_step step)
{
	if (run->options->on_step != NULL)
		run->options->on_step(run->options->on_step_ctx, step);
}

static enum rc link_sources(struct run *run)
{
	struct null_estimate *estimates = calloc(run->n_segments + 1, sizeof *estimates);
	struct recall_estimate *recalls = calloc(run->n_segments + 1, sizeof *recalls);
	bool any = false;

	begin(run, LINK_STEP_MODEL);
	enum rc rc = estimates == NULL || recalls == NULL ? RC_NOMEM : fit(run);
	begin(run, LINK_STEP_QUALITY);
	for (size_t s = 0; s < run->n_segments && rc == RC_OK; s++) {
		estimates[s].threshold = INT32_MAX;
		if (run->segments[s].slot_a == run->segments[s].slot_b)
			continue;
		rc = run_choose_threshold(run, &run->segments[s], &estimates[s]);
		if (rc == RC_OK)
			rc = run_estimate_recall(run, &run->segments[s], &estimates[s], &recalls[s]);
		any = any || (rc == RC_OK && estimates[s].threshold != INT32_MAX);
	}
	if (rc == RC_OK) {
		begin(run, LINK_STEP_PERSONS);
		run_report_dependences(run);
		describe_model(run);
		rc = run_form_persons(run, estimates, recalls);
	}
	if (rc == RC_OK && any)
		conclude(run, LINK_DONE, "persons were linked across sources");
	else if (rc == RC_OK)
		conclude(run, LINK_NOT_IDENTIFIABLE,
			 "no persons were linked across sources: the pairs that agree best are no more than chance "
			 "explains");
	free(estimates);
	free(recalls);
	return rc;
}

static enum rc run_all(struct run *run, const struct link_pair *pairs, size_t n_pairs)
{
	begin(run, LINK_STEP_RECORDS);
	enum rc rc = run_rank_records(run);
	if (rc == RC_OK)
		rc = run_find_certain_persons(run);
	if (rc == RC_OK)
		rc = run_find_values(run);
	if (rc == RC_OK)
		rc = run_take_pairs(run, pairs, n_pairs);
	if (rc == RC_OK)
		rc = run_cut_segments(run);
	if (rc != RC_OK)
		return rc;
	if (run->n == 0)
		conclude(run, LINK_NOTHING_TO_LINK, "there are no records to link");
	else if (run->n_slots == 1)
		conclude(run, LINK_NOTHING_TO_LINK,
			 "there are records of one source only: nothing to link across sources");
	else if (!has_cross_pairs(run))
		conclude(run, LINK_NOT_IDENTIFIABLE,
			 "no persons were linked across sources: no pair of records agrees enough to be a candidate");
	else
		rc = link_sources(run);
	return rc == RC_OK ? number_persons(run) : rc;
}

enum rc link_run(const struct link_pool *pool, const struct link_pair *pairs, size_t n_pairs,
		 const struct link_run_options *options, struct link_result **ret)
{
	struct run *run;
	enum rc rc;

	if (options->end > link_pool_n_rows(pool))
		return RC_INVALID;
	run = calloc(1, sizeof *run);
	if (run == NULL)
		return RC_NOMEM;
	run->pool = pool;
	run->domain = pool->domain;
	run->options = options;
	run->result = calloc(1, sizeof *run->result);
	rc = run->result == NULL ? RC_NOMEM : run_all(run, pairs, n_pairs);
	if (rc == RC_OK)
		*ret = run->result;
	else
		link_result_free(run->result);
	run_deinit(run);
	free(run);
	return rc;
}

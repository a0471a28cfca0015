/* From pairs of rows to candidate pairs of records at the cut.
 *
 * A pair of leads (same.h) stands for all records with their content. Of each content, a certain person takes part with
 * its first record by key, so that neither the order of arrival nor ten identical records of one person matter. Two
 * persons with the same content are a pair too. Where more than CROWD_PERSONS persons of a source have the same
 * content, nobody can tell which of them a record of another source means: such a crowd takes part in nothing, and
 * candidates stay proportional to the records however many copies are sent. */
#include "daemon/link/run.h"

#include <stdlib.h>

#include "daemon/link/order.h"

enum { CROWD_PERSONS = 8 };

/* Records that stand for their certain persons, by lead: at[first[lead]] … at[first[lead + 1] - 1], ascending. None for
 * a crowd. */
struct crowds {
	uint32_t *first, *at;
};

static void crowds_deinit(struct crowds *crowds)
{
	free(crowds->first);
	free(crowds->at);
}

/* Ranks by lead, then certain person, then rank. Those without a lead come last. */
static enum rc sort_by_content(const struct run *run, struct order *order)
{
	enum rc rc = order_init(order, run->n);

	if (rc == RC_OK) {
		order_by(order, run->certain);
		order_by(order, run->lead);
	}
	return rc;
}

static enum rc crowds_init(struct run *run, struct crowds *crowds)
{
	struct order order = {0};
	uint32_t end = run->options->end, next_lead = 0;
	uint32_t n = 0;
	enum rc rc = sort_by_content(run, &order);

	crowds->first = malloc(((size_t)end + 1) * sizeof *crowds->first);
	crowds->at = malloc((run->n > 0 ? run->n : 1) * sizeof *crowds->at);
	run->is_crowded = calloc(run->n > 0 ? run->n : 1, sizeof *run->is_crowded);
	if (crowds->first == NULL || crowds->at == NULL || run->is_crowded == NULL)
		rc = RC_NOMEM;
	for (uint32_t i = 0, j; rc == RC_OK && i < run->n; i = j) {
		uint32_t lead = run->lead[order.at[i]], before = n;

		for (; lead != SAME_NO_LEAD && next_lead <= lead; next_lead++)
			crowds->first[next_lead] = n;
		for (j = i; j < run->n && run->lead[order.at[j]] == lead; j++) {
			if (lead != SAME_NO_LEAD &&
			    (j == i || run->certain[order.at[j]] != run->certain[order.at[j - 1]]))
				crowds->at[n++] = order.at[j];
		}
		if (lead == SAME_NO_LEAD || n - before > CROWD_PERSONS) {
			run->result->n_crowded += j - i;
			for (uint32_t k = i; k < j; k++)
				run->is_crowded[order.at[k]] = true;
			n = before;
		}
	}
	for (; rc == RC_OK && next_lead <= end; next_lead++)
		crowds->first[next_lead] = n;
	order_deinit(&order);
	return rc;
}

static bool pair_is_valid(const struct run *run, const struct link_pair *pair)
{
	if (pair->a >= run->options->end || pair->b >= run->options->end || pair->a == pair->b ||
	    pool_meta_of(run->pool, pair->a)->lead != pair->a || pool_meta_of(run->pool, pair->b)->lead != pair->b)
		return false;
	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		if (pair->pattern.level[c] > run->domain->comparisons[c].n_levels)
			return false;
	}
	return true;
}

static uint32_t crowd_size(const struct crowds *crowds, uint32_t lead)
{
	return crowds->first[lead + 1] - crowds->first[lead];
}

static void add_pair(struct run *run, uint32_t a, uint32_t b, const struct link_pattern *pattern)
{
	run->pairs[run->n_pairs++] = (struct run_pair){.a = a < b ? a : b, .b = a < b ? b : a, .pattern = *pattern};
}

/* Every two persons with the same content. */
static void add_within(struct run *run, const struct crowds *crowds, uint32_t lead)
{
	struct link_pattern pattern = link_pattern_of(run->pool, lead, lead);

	for (uint32_t i = crowds->first[lead]; i < crowds->first[lead + 1]; i++) {
		for (uint32_t j = i + 1; j < crowds->first[lead + 1]; j++)
			add_pair(run, crowds->at[i], crowds->at[j], &pattern);
	}
}

static void add_across(struct run *run, const struct crowds *crowds, const struct link_pair *pair)
{
	for (uint32_t i = crowds->first[pair->a]; i < crowds->first[pair->a + 1]; i++) {
		for (uint32_t j = crowds->first[pair->b]; j < crowds->first[pair->b + 1]; j++)
			add_pair(run, crowds->at[i], crowds->at[j], &pair->pattern);
	}
}

static enum rc count_pairs(const struct run *run, const struct crowds *crowds, const struct link_pair *pairs,
			   size_t n_pairs, size_t *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < n_pairs; i++) {
		if (!pair_is_valid(run, &pairs[i]))
			return RC_INVALID;
		n += (size_t)crowd_size(crowds, pairs[i].a) * crowd_size(crowds, pairs[i].b);
	}
	for (uint32_t lead = 0; lead < run->options->end; lead++) {
		size_t size = crowd_size(crowds, lead);

		n += size > 1 ? size * (size - 1) / 2 : 0;
	}
	*ret = n;
	if (run->options->max_pairs != 0 && n > run->options->max_pairs)
		return RC_TOO_LARGE;
	return n > UINT32_MAX ? RC_NOMEM : RC_OK;
}

enum rc run_take_pairs(struct run *run, const struct link_pair *pairs, size_t n_pairs)
{
	struct crowds crowds = {0};
	size_t n = 0;
	enum rc rc = crowds_init(run, &crowds);

	if (rc == RC_OK)
		rc = count_pairs(run, &crowds, pairs, n_pairs, &n);
	if (rc == RC_OK) {
		run->pairs = malloc((n > 0 ? n : 1) * sizeof *run->pairs);
		rc = run->pairs == NULL ? RC_NOMEM : RC_OK;
	}
	for (size_t i = 0; rc == RC_OK && i < n_pairs; i++)
		add_across(run, &crowds, &pairs[i]);
	for (uint32_t lead = 0; rc == RC_OK && lead < run->options->end; lead++) {
		if (crowd_size(&crowds, lead) > 1 && same_weight(run->pool, lead) >= run->domain->floor)
			add_within(run, &crowds, lead);
	}
	crowds_deinit(&crowds);
	return rc;
}

/* The plan of a comparison, for people: what of each comparison is searched how. */
#include <stdlib.h>

#include "daemon/link/join.h"
#include "tools/lab/lab.h"

static json_t *describe(const struct join_plan *plan, const struct index *index, unsigned c)
{
	const struct study_comparison *comparison = &plan->domain->comparisons[c];
	bool is_one = comparison->n_filters == 1, lists = !is_one || plan->digit[c] <= comparison->n_cuts[0] + 1;
	const char *structure = plan->nearly_unique[c] ? "bit-sliced filters" : "similar values";
	json_t *json = json_pack("{s:s, s:I, s:s}", "comparison", comparison->name, "values",
				 (json_int_t)index->values[c].n, "structure", lists ? structure : "looked up only");

	if (json != NULL && is_one && lists &&
	    json_object_set_new(json, "from_dice", json_real(comparison->cuts[0][plan->digit[c] - 2] / 1000.0)) != 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

enum rc lab_plan(struct link_pool *pool, json_t **ret)
{
	struct index *index;
	struct join_plan *plan;
	json_t *all = json_array();
	enum rc rc = index_new(pool, 0, link_pool_n_rows(pool), true, NULL, &index);

	if (rc != RC_OK) {
		json_decref(all);
		return rc;
	}
	plan = malloc(sizeof *plan);
	if (plan == NULL)
		rc = RC_NOMEM;
	else
		join_plan_make(index, index, plan);
	for (unsigned c = 0; c < index->n_comparisons && rc == RC_OK; c++)
		rc = json_array_append_new(all, describe(plan, index, c)) == 0 ? RC_OK : RC_NOMEM;
	free(plan);
	index_free(index);
	if (rc == RC_OK)
		*ret = all;
	else
		json_decref(all);
	return rc;
}

/* The plan of a comparison, for people: what of each compared filter is searched how. */
#include <stdlib.h>

#include "daemon/link/join.h"
#include "tools/lab/lab.h"

static json_t *describe(const struct join_plan *plan, const struct index *index, unsigned a)
{
	const struct pool_axis *axis = &index->pool->axes[a];
	const struct study_comparison *comparison = &plan->domain->comparisons[axis->comparison];
	bool lists = plan->axes[a].digit <= comparison->n_cuts[axis->place] + 1;
	const char *structure = plan->axes[a].nearly_unique ? "bit-sliced filters" : "similar values";
	json_t *json =
		json_pack("{s:s, s:s, s:I, s:s}", "comparison", comparison->name, "filter",
			  plan->domain->filters[axis->filter].name, "values", (json_int_t)index->dictionaries[a].n,
			  "structure", lists ? structure : "looked up only");

	if (json != NULL && lists &&
	    json_object_set_new(json, "from_dice",
				json_real(comparison->cuts[axis->place][plan->axes[a].digit - 2] / 1000.0)) != 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

enum rc lab_plan(struct link_pool *pool, json_t **ret)
{
	struct index *index = NULL, *asking = NULL;
	struct join_plan *plan = NULL;
	json_t *all = json_array();
	struct index_range searched = {0, link_pool_n_rows(pool), true, pool->options.n_threads};
	struct index_range asks = {0, link_pool_n_rows(pool), false, pool->options.n_threads};
	enum rc rc = index_new(pool, &searched, NULL, &index);

	if (rc == RC_OK)
		rc = index_new(pool, &asks, NULL, &asking);
	if (rc == RC_OK) {
		plan = malloc(sizeof *plan);
		rc = plan == NULL ? RC_NOMEM : join_plan_make(asking, index, plan);
	}
	for (unsigned a = 0; rc == RC_OK && a < index->n_axes; a++)
		rc = json_array_append_new(all, describe(plan, index, a)) == 0 ? RC_OK : RC_NOMEM;
	free(plan);
	index_free(index);
	index_free(asking);
	if (rc == RC_OK)
		*ret = all;
	else
		json_decref(all);
	return rc;
}

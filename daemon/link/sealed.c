/* A row asks the segments of rows before it. Where values are nearly unique, what a row asks costs as much as the
 * segment is long, and rows of a segment that come after the row cost as much as those before it; so a first load of
 * such rows is sealed in several segments, and rows ask half of them on average. A segment is not merged before all its
 * rows have asked, which would undo that. Where values repeat, rows share what they ask, and one segment is best. */
#include "daemon/link/sealed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/base/workq.h"
#include "daemon/link/index.h"

struct sealed {
	struct link_pool *pool;
	struct workq *merger; /* one thread; NULL before the first merge */
	atomic_bool stop;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t merged;
	/* Of rows 0 … in order. Changed under the lock, and by its user alone while there is one. */
	struct index *segments[SEALED_MAX_SEGMENTS];
	unsigned n;
	bool is_used;
	bool is_merging;
	uint32_t compared;   /* rows before this one have asked */
	uint32_t first, end; /* rows being merged */
	struct index *done;  /* what they became, while the segments are in use */
	unsigned failed_at;  /* so many segments when a merge failed: it is not tried again before there are more */
	uint64_t n_failed;
	enum rc failure; /* the last one's */
};

/* ---- merging ---- */

/* Put what was merged in the place of its parts. Under the lock, without a user. Returns the parts, to be freed
 * without it: wiping them takes its time. */
static struct index *adopt(struct sealed *sealed)
{
	struct index *parts = NULL;
	unsigned at = 0, after, n_parts;

	if (sealed->done == NULL)
		return NULL;
	while (sealed->segments[at]->first < sealed->done->first)
		at++;
	for (after = at; after < sealed->n && sealed->segments[after]->end <= sealed->done->end; after++) {
		sealed->segments[after]->next = parts;
		parts = sealed->segments[after];
	}
	n_parts = after - at;
	sealed->segments[at] = sealed->done;
	memmove(&sealed->segments[at + 1], &sealed->segments[after], (sealed->n - after) * sizeof sealed->segments[0]);
	sealed->n -= n_parts - 1;
	sealed->done = NULL;
	sealed->failed_at = 0;
	return parts;
}

static void free_parts(struct index *parts)
{
	while (parts != NULL) {
		struct index *next = parts->next;

		index_free(parts);
		parts = next;
	}
}

/* Segments *ret_first … *ret_end-1: the last that have asked, of which none is longer than those after it together. */
static void find_mergeable(const struct sealed *sealed, unsigned *ret_first, unsigned *ret_end)
{
	uint32_t most = SEALED_MAX_SEALS * sealed->pool->seal_rows, n_rows = 0;
	unsigned at = sealed->n;

	while (at > 0 && sealed->segments[at - 1]->end > sealed->compared)
		at--;
	*ret_end = at;
	while (at > 0) {
		uint32_t more = index_n_rows(sealed->segments[at - 1]);

		if (at < *ret_end && (more > n_rows || n_rows + more > most))
			break;
		n_rows += more;
		at--;
	}
	*ret_first = at;
}

static void merge(void *item);

/* Under the lock. */
static void note_failure(struct sealed *sealed, enum rc rc)
{
	sealed->n_failed++;
	sealed->failure = rc;
}

/* Under the lock. */
static void begin_merge(struct sealed *sealed)
{
	unsigned first, end;

	find_mergeable(sealed, &first, &end);
	if (sealed->is_merging || sealed->done != NULL || atomic_load(&sealed->stop) || first + 2 > end ||
	    sealed->n <= sealed->failed_at)
		return;
	if (sealed->merger == NULL && workq_new(1, 1, &sealed->merger) != RC_OK) {
		note_failure(sealed, RC_NOMEM);
		return;
	}
	sealed->first = sealed->segments[first]->first;
	sealed->end = sealed->segments[end - 1]->end;
	sealed->is_merging = workq_push(sealed->merger, merge, sealed) == RC_OK;
}

static void merge(void *item)
{
	struct sealed *sealed = item;
	struct index *index = NULL, *parts = NULL;
	/* Rows that are sealed do not change: they are read without the lock. */
	struct index_range range = {.first = sealed->first, .end = sealed->end, .is_searchable = true, .n_threads = 1};
	enum rc rc;

	/* Only this thread; where it is not allowed, merging takes its turn like the rest. */
	(void)setpriority(PRIO_PROCESS, 0, PRIO_MAX - 1);
	rc = index_new(sealed->pool, &range, &sealed->stop, &index);
	pthread_mutex_lock(&sealed->lock);
	sealed->is_merging = false;
	sealed->done = index;
	if (rc != RC_OK)
		sealed->failed_at = sealed->n;
	if (rc != RC_OK && rc != RC_STOPPING)
		note_failure(sealed, rc);
	if (!sealed->is_used)
		parts = adopt(sealed);
	begin_merge(sealed);
	pthread_cond_broadcast(&sealed->merged);
	pthread_mutex_unlock(&sealed->lock);
	free_parts(parts);
}

/* ---- sealing ---- */

static uint32_t sealed_rows(const struct sealed *sealed)
{
	return sealed->n > 0 ? sealed->segments[sealed->n - 1]->end : 0;
}

/* So many rows at a time. What values are like shows in the first segment. */
static uint32_t longest(const struct sealed *sealed)
{
	const struct index *last = sealed->n > 0 ? sealed->segments[sealed->n - 1] : NULL;
	bool apart = last == NULL;

	for (unsigned axis = 0; last != NULL && axis < last->n_axes; axis++)
		apart = apart || index_is_nearly_unique(last, axis);
	return (apart ? SEALED_APART_SEALS : SEALED_MAX_SEALS) * sealed->pool->seal_rows;
}

/* All rows there are, those that are asked for later too: a first load then is not indexed a step at a time. */
static enum rc seal(struct sealed *sealed, const atomic_bool *cancel)
{
	struct link_pool *pool = sealed->pool;
	uint32_t left;
	enum rc rc = RC_OK;

	while (rc == RC_OK && (left = link_pool_n_rows(pool) - sealed_rows(sealed)) >= pool->seal_rows) {
		uint32_t most = longest(sealed),
			 n_rows = (left < most ? left : most) / pool->seal_rows * pool->seal_rows;
		struct index_range range = {.first = sealed_rows(sealed),
					    .end = sealed_rows(sealed) + n_rows,
					    .is_searchable = true,
					    .n_threads = pool->options.n_threads};
		struct index *index = NULL;

		if (sealed->n == SEALED_MAX_SEGMENTS)
			return RC_NOMEM;
		rc = index_new(pool, &range, cancel, &index);
		if (rc != RC_OK)
			break;
		pthread_mutex_lock(&sealed->lock);
		sealed->segments[sealed->n++] = index;
		begin_merge(sealed);
		pthread_mutex_unlock(&sealed->lock);
	}
	return rc;
}

enum rc sealed_use(struct sealed *sealed, uint32_t compared, const atomic_bool *cancel, struct index *const **ret,
		   unsigned *ret_n)
{
	enum rc rc;

	pthread_mutex_lock(&sealed->lock);
	sealed->is_used = true;
	sealed->compared = compared;
	pthread_mutex_unlock(&sealed->lock);
	rc = seal(sealed, cancel);
	if (rc != RC_OK) {
		sealed_release(sealed, compared);
		return rc;
	}
	*ret = sealed->segments;
	*ret_n = sealed->n;
	return RC_OK;
}

void sealed_release(struct sealed *sealed, uint32_t compared)
{
	struct index *parts;

	pthread_mutex_lock(&sealed->lock);
	sealed->is_used = false;
	sealed->compared = compared;
	parts = adopt(sealed);
	begin_merge(sealed);
	pthread_mutex_unlock(&sealed->lock);
	free_parts(parts);
}

uint64_t sealed_failures(struct sealed *sealed, enum rc *ret_last)
{
	pthread_mutex_lock(&sealed->lock);
	uint64_t n = sealed->n_failed;
	if (n > 0)
		*ret_last = sealed->failure;
	pthread_mutex_unlock(&sealed->lock);
	return n;
}

void sealed_settle(struct sealed *sealed)
{
	pthread_mutex_lock(&sealed->lock);
	while (sealed->is_merging)
		pthread_cond_wait(&sealed->merged, &sealed->lock);
	pthread_mutex_unlock(&sealed->lock);
}

/* ---- life ---- */

enum rc sealed_new(struct link_pool *pool, struct sealed **ret)
{
	struct sealed *sealed = calloc(1, sizeof *sealed);

	if (sealed == NULL)
		return RC_NOMEM;
	sealed->pool = pool;
	pthread_mutex_init(&sealed->lock, NULL);
	pthread_cond_init(&sealed->merged, NULL);
	*ret = sealed;
	return RC_OK;
}

void sealed_free(struct sealed *sealed)
{
	if (sealed == NULL)
		return;
	atomic_store(&sealed->stop, true);
	workq_free(sealed->merger);
	index_free(sealed->done);
	for (unsigned i = 0; i < sealed->n; i++)
		index_free(sealed->segments[i]);
	pthread_cond_destroy(&sealed->merged);
	pthread_mutex_destroy(&sealed->lock);
	free(sealed);
}

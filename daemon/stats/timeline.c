/* Sorting of events: a radix sort by (person, day), which is all but a few of the order, then a comparison sort of each
 * run of one person's day. Stable passes over 64-bit keys keep ten million events within seconds. */
#include "daemon/stats/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

struct item {
	uint64_t key; /* person, day − DAY_MIN */
	size_t at;    /* in the caller's events */
};

static enum rc fill_items(const struct study *study, const struct stats_event *events, size_t n_events, int32_t as_of,
			  struct item *items, size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < n_events; i++) {
		const struct stats_event *e = &events[i];
		if (e->event >= study->n_events || e->source >= study->n_sources || e->day < DAY_MIN ||
		    e->day > DAY_MAX)
			return RC_INVALID;
		if (e->day <= as_of)
			items[n++] = (struct item){(uint64_t)e->person << 32 | (uint32_t)(e->day - DAY_MIN), i};
	}
	*ret_n = n;
	return RC_OK;
}

/* One stable counting pass over byte `shift / 8`; false when all keys agree there and nothing had to move. */
static bool radix_pass(const struct item *from, struct item *to, size_t n, unsigned shift)
{
	size_t count[257] = {0};

	for (size_t i = 0; i < n; i++)
		count[(from[i].key >> shift & 0xff) + 1]++;
	for (int b = 0; b < 256; b++) {
		if (count[b + 1] == n)
			return false;
		count[b + 1] += count[b];
	}
	for (size_t i = 0; i < n; i++)
		to[count[from[i].key >> shift & 0xff]++] = from[i];
	return true;
}

static int compare_numbers(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

/* Events of one person and day. */
static int compare_same_day(const void *va, const void *vb, void *ctx)
{
	const struct stats_event *a = va, *b = vb;
	const struct study *study = ctx;
	int c = compare_numbers(study->events[a->event].role, study->events[b->event].role);

	if (c == 0)
		c = compare_numbers(a->source, b->source);
	if (c == 0)
		c = memcmp(a->record_id, b->record_id, sizeof a->record_id);
	if (c == 0)
		c = compare_numbers(a->event, b->event);
	return c != 0 ? c : memcmp(a->codes, b->codes, sizeof a->codes);
}

static void sort_days(struct stats_event *events, size_t n, const struct study *study)
{
	for (size_t start = 0, end; start < n; start = end) {
		end = start + 1;
		while (end < n && events[end].person == events[start].person && events[end].day == events[start].day)
			end++;
		if (end - start > 1)
			qsort_r(&events[start], end - start, sizeof *events, compare_same_day, (void *)study);
	}
}

enum rc timeline_init(struct timeline *timeline, const struct study *study, const struct stats_event *events,
		      size_t n_events, int32_t as_of)
{
	struct item *items = calloc(n_events ? n_events : 1, sizeof *items);
	struct item *other = calloc(n_events ? n_events : 1, sizeof *other);
	struct stats_event *sorted = NULL;
	enum rc rc = RC_NOMEM;
	size_t n = 0;

	if (items == NULL || other == NULL)
		goto out;
	rc = fill_items(study, events, n_events, as_of, items, &n);
	if (rc != RC_OK)
		goto out;
	for (unsigned shift = 0; shift < 64; shift += 8) {
		if (n > 0 && radix_pass(items, other, n, shift)) {
			struct item *swap = items;
			items = other;
			other = swap;
		}
	}
	sorted = calloc(n ? n : 1, sizeof *sorted);
	if (sorted == NULL) {
		rc = RC_NOMEM;
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = events[items[i].at];
	sort_days(sorted, n, study);
	*timeline = (struct timeline){sorted, n};
out:
	wipe_free(items, n_events * sizeof *items);
	wipe_free(other, n_events * sizeof *other);
	return rc;
}

void timeline_deinit(struct timeline *timeline)
{
	wipe_free(timeline->events, timeline->n_events * sizeof *timeline->events);
	*timeline = (struct timeline){NULL, 0};
}

size_t timeline_person_len(const struct timeline *timeline, size_t start)
{
	size_t end = start;

	while (end < timeline->n_events && timeline->events[end].person == timeline->events[start].person)
		end++;
	return end - start;
}

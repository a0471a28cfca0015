/* Frequency alignment (Kuzu et al. 2011; Niedermeyer et al. 2014; Christen et al. 2017): the commonest filter is the
 * commonest surname.
 *
 * The attacker holds the filters of both registers and knows, of every value of a feature, exactly how often it stands
 * in each of them. He groups filters that he takes for the same value, and gives each of the 100 commonest values, the
 * commonest first, the group that is nearest to it in both counts. A value is named when most records of that group do
 * have it. Where all values of a field are filters of their own, a group is one filter; where fields are joined, no two
 * filters are equal, so he may also cluster: the first filters as leaders, each further one to the most similar leader
 * above a cut. Every cut is tried and the best result counts, which is more than an attacker can know.
 *
 * A filter of several parts that has lost all but one is again a filter of a field, and shows as such by its few bits.
 * So the same is done among those records alone, the attacker knowing how often each value stands among them.
 *
 * To bound the time, clusters are made of the first records of each register; he then knows the counts among these. */
#include <stdlib.h>
#include <string.h>

#include "daemon/link/pool.h"
#include "tools/lab/lab.h"

enum { CLUSTERED = 4000 }; /* records a register */

struct item {
	uint32_t row, group;
	uint64_t value; /* in clear text */
	uint8_t side;
};

struct tally {
	uint64_t key;
	uint32_t counts[LAB_SIDES], total;
	uint64_t majority; /* of a group: the value of more than half of its records, or 0 */
	bool taken;
};

/* ---- tallies ---- */

static int compare_values(const void *x, const void *y)
{
	const struct item *a = x, *b = y;

	return a->value != b->value ? (a->value < b->value ? -1 : 1) : 0;
}

static int compare_groups(const void *x, const void *y)
{
	const struct item *a = x, *b = y;

	return a->group != b->group ? (a->group < b->group ? -1 : 1) : compare_values(x, y);
}

static int compare_tallies(const void *x, const void *y)
{
	const struct tally *a = x, *b = y;

	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	return a->key != b->key ? (a->key < b->key ? -1 : 1) : 0;
}

/* Tally a run of items that belong together and are sorted by value. */
static struct tally tally_run(const struct item *items, size_t n, uint64_t key)
{
	struct tally t = {.key = key};

	for (size_t i = 0, j; i < n; i = j) {
		for (j = i; j < n && items[j].value == items[i].value; j++)
			t.counts[items[j].side]++;
		if (2 * (j - i) > n)
			t.majority = items[i].value;
	}
	t.total = t.counts[0] + t.counts[1];
	return t;
}

/* Sorts the items. Returns the number of tallies, the largest first. */
static size_t tally_all(struct item *items, size_t n, bool by_group, struct tally *tallies)
{
	size_t n_tallies = 0;

	qsort(items, n, sizeof *items, by_group ? compare_groups : compare_values);
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i; j < n && (by_group ? items[j].group == items[i].group : items[j].value == items[i].value);)
			j++;
		/* The attacker does not look for what is missing. */
		if (by_group || items[i].value != 0)
			tallies[n_tallies++] = tally_run(items + i, j - i, by_group ? items[i].group : items[i].value);
	}
	qsort(tallies, n_tallies, sizeof *tallies, compare_tallies);
	return n_tallies;
}

static uint32_t distance(const struct tally *a, const struct tally *b)
{
	uint32_t d = 0;

	for (int side = 0; side < LAB_SIDES; side++)
		d += a->counts[side] > b->counts[side] ? a->counts[side] - b->counts[side]
						       : b->counts[side] - a->counts[side];
	return d;
}

static enum rc count_named(struct item *items, size_t n, unsigned *ret)
{
	struct tally *values = calloc(n + 1, sizeof *values), *groups = calloc(n + 1, sizeof *groups);
	unsigned named = 0;

	if (values == NULL || groups == NULL) {
		free(values);
		free(groups);
		return RC_NOMEM;
	}
	size_t n_values = tally_all(items, n, false, values), n_groups = tally_all(items, n, true, groups);
	for (size_t v = 0; v < n_values && v < LAB_COMMONEST; v++) {
		struct tally *best = NULL;
		for (size_t g = 0; g < n_groups; g++) {
			if (!groups[g].taken &&
			    (best == NULL || distance(&values[v], &groups[g]) < distance(&values[v], best)))
				best = &groups[g];
		}
		if (best == NULL)
			break;
		best->taken = true;
		named += best->majority == values[v].key;
	}
	free(values);
	free(groups);
	*ret = named;
	return RC_OK;
}

/* ---- groups ---- */

static int compare_filters(const void *x, const void *y, void *ctx)
{
	const struct item *a = x, *b = y;
	const struct lab_registers *r = ((const void *const *)ctx)[0];
	unsigned f = *(const unsigned *)((const void *const *)ctx)[1];

	return memcmp(pool_filter(r->pool, a->row, f), pool_filter(r->pool, b->row, f),
		      study_filter_bytes(r->pool->domain, (int)f));
}

static void group_identical(const struct lab_registers *r, unsigned filter, struct item *items, size_t n)
{
	const void *ctx[] = {r, &filter};

	qsort_r(items, n, sizeof *items, compare_filters, (void *)ctx);
	for (size_t i = 0; i < n; i++)
		items[i].group = i == 0                                                        ? 0
				 : compare_filters(&items[i], &items[i - 1], (void *)ctx) == 0 ? items[i - 1].group
											       : items[i - 1].group + 1;
}

static unsigned popcount_and(const uint64_t *a, const uint64_t *b, size_t n_words)
{
	unsigned n = 0;

	for (size_t i = 0; i < n_words; i++)
		n += (unsigned)__builtin_popcountll(a[i] & b[i]);
	return n;
}

/* In thousandths: the Dice coefficient, of what the bits were before diffusion. */
static unsigned similarity(const struct lab_registers *r, unsigned f, uint32_t x, uint32_t y)
{
	static const uint16_t every[STUDY_MAX_CUTS] = {50,  100, 150, 200, 250, 300, 350, 400, 450, 500,
						       550, 600, 650, 700, 750, 800, 850, 900, 950, 1000};
	const struct link_pool *pool = r->pool;
	unsigned a = pool_block_of(pool, x)->popcounts[f][x % POOL_BLOCK_ROWS];
	unsigned b = pool_block_of(pool, y)->popcounts[f][y % POOL_BLOCK_ROWS];
	unsigned both = popcount_and((const uint64_t *)(const void *)pool_filter(pool, x, f),
				     (const uint64_t *)(const void *)pool_filter(pool, y, f),
				     pool->n_lines[f] * KERNEL_LINE / sizeof(uint64_t));

	return 50 * (level_digit(&pool->inverse[f], every, 20, a, b, both) - 1);
}

static void group_similar(const struct lab_registers *r, unsigned filter, unsigned cut, struct item *items, size_t n,
			  uint32_t *leaders)
{
	uint32_t n_leaders = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned best = 0;
		for (uint32_t l = 0; l < n_leaders; l++) {
			unsigned s = similarity(r, filter, items[i].row, leaders[l]);
			if (s >= cut && s > best) {
				best = s;
				items[i].group = l;
			}
		}
		if (best == 0) {
			leaders[n_leaders] = items[i].row;
			items[i].group = n_leaders++;
		}
	}
}

/* ---- the attack ---- */

static int filter_of_feature(const struct study_domain *domain, unsigned feature)
{
	for (int f = 0; f < domain->n_filters; f++) {
		for (unsigned i = 0; i < domain->filters[f].n_features; i++) {
			if (domain->filters[f].features[i] == feature)
				return f;
		}
	}
	return -1;
}

/* Whether the filter of a record holds one part alone. */
static bool is_incomplete(const struct lab_registers *r, const struct lab_clear *clear, unsigned filter, uint32_t row)
{
	const struct study_filter *f = &r->study->domains[r->domain].filters[filter];
	uint32_t present = 0;

	for (unsigned i = 0; i < f->n_features; i++)
		present |= (uint32_t)(clear->values[f->features[i]][row] != 0) << f->part[i];
	return study_filter_n_parts(f) > 1 && __builtin_popcount(present) == 1;
}

/* Records whose filter is there, at most `most` of each register; or those alone that lost all parts but one. */
static size_t take_items(const struct lab_registers *r, const struct lab_clear *clear, unsigned feature,
			 unsigned filter, uint32_t most, bool incomplete, struct item *items)
{
	size_t n = 0;
	uint32_t taken[LAB_SIDES] = {0};

	for (uint32_t row = 0; row < r->n_rows[0] + r->n_rows[1]; row++) {
		uint8_t side = row >= r->n_rows[0];
		if (pool_is_missing(r->pool, row, filter) || taken[side] == most ||
		    (incomplete && !is_incomplete(r, clear, filter, row)))
			continue;
		taken[side]++;
		items[n++] = (struct item){.row = row, .value = clear->values[feature][row], .side = side};
	}
	return n;
}

enum rc lab_align(const struct lab_registers *r, const struct lab_clear *clear, unsigned feature, unsigned *ret_named,
		  unsigned *ret_rest)
{
	static const unsigned cuts[] = {450, 550, 650, 750};
	const struct study_domain *domain = &r->study->domains[r->domain];
	int filter = filter_of_feature(domain, feature);
	size_t n_rows = (size_t)r->n_rows[0] + r->n_rows[1];
	struct item *items = calloc(n_rows + 1, sizeof *items);
	uint32_t *leaders = calloc(n_rows + 1, sizeof *leaders);
	unsigned named = 0, best = 0;
	enum rc rc = RC_OK;

	if (items == NULL || leaders == NULL || filter < 0) {
		rc = filter < 0 ? RC_INVALID : RC_NOMEM;
		goto out;
	}
	size_t n = take_items(r, clear, feature, (unsigned)filter, UINT32_MAX, false, items);
	group_identical(r, (unsigned)filter, items, n);
	rc = count_named(items, n, &best);
	for (size_t i = 0; rc == RC_OK && domain->filters[filter].n_features > 1 && i < sizeof cuts / sizeof *cuts;
	     i++) {
		n = take_items(r, clear, feature, (unsigned)filter, CLUSTERED, false, items);
		group_similar(r, (unsigned)filter, cuts[i], items, n, leaders);
		rc = count_named(items, n, &named);
		best = named > best ? named : best;
	}
	if (rc == RC_OK) {
		n = take_items(r, clear, feature, (unsigned)filter, UINT32_MAX, true, items);
		group_identical(r, (unsigned)filter, items, n);
		rc = count_named(items, n, ret_rest);
	}
	if (rc == RC_OK)
		*ret_named = best;
out:
	free(items);
	free(leaders);
	return rc;
}

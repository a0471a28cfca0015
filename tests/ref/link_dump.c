/* libs: tc_link */
/* A small random register and what the linkage makes of it, as JSON: tests/ref/test_link_ref.py gives the same register
 * to the Python reference. Everything follows from one seed. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "tests/unit/link_fixture.h"

enum { MAX_ROWS = 400 };

/* What varies from seed to seed; every combination of the first five bits of the seed occurs. */
struct scenario {
	bool numbered, doubles, third_source, composite, deaths, dirty;
	uint32_t n_shared, n_own, n_values;
	unsigned error_in, missing_in;
};

static struct scenario draw(uint64_t seed, struct random *r)
{
	return (struct scenario){
		.numbered = seed & 1,
		.doubles = seed & 2,
		.third_source = seed & 4,
		.composite = seed & 8,
		.deaths = seed & 16,
		.dirty = seed % 3 == 0, /* every value of a third of the persons is damaged */
		.n_shared = random_below(r, 40) + (random_below(r, 6) == 0 ? 0 : 20),
		.n_own = 5 + random_below(r, 40),
		.n_values = 15 + random_below(r, 60),
		.error_in = 3 + random_below(r, 8),
		.missing_in = 6 + random_below(r, 30),
	};
}

struct register_row {
	struct fixture_row r;
	bool excluded;
	int32_t last_day, death_day;
};

struct world {
	struct study_domain domain;
	struct register_row rows[MAX_ROWS];
	uint32_t n, n_ids;
};

static struct register_row *add(struct world *w, const struct scenario *s, uint16_t source, uint32_t who,
				struct random *r)
{
	struct register_row *row = &w->rows[w->n++];

	assert(w->n <= MAX_ROWS);
	fixture_person(&w->domain, &row->r, source, w->n_ids++, who, s->n_values,
		       s->dirty && who % 3 == 1 ? 1 : s->error_in, s->missing_in);
	if (s->numbered && source == 0) {
		uint32_t number = who + 1;

		memcpy(row->r.row.person_id, &number, sizeof number);
	}
	row->r.row.revision = 1;
	row->excluded = random_below(r, 40) == 0;
	row->last_day = (int32_t)random_below(r, 1000);
	row->death_day = s->deaths && random_below(r, 10) == 0 ? (int32_t)random_below(r, 1500) : INT32_MAX;
	return row;
}

/* The same record once more, with other content: a correction, which alone counts. */
static void correct(struct world *w, const struct scenario *s, uint16_t source, uint32_t who, struct random *r)
{
	uint32_t first = w->n;

	add(w, s, source, who + 1, r);
	add(w, s, source, who, r)->r.row.revision = 2;
	memcpy(w->rows[first + 1].r.row.record_id, w->rows[first].r.row.record_id, RECORD_ID_LEN);
}

static void copy(struct world *w, const struct scenario *s, uint16_t source, uint32_t who, struct random *r)
{
	struct register_row *row = add(w, s, source, who, r);
	const struct register_row *from = row - 1;

	memcpy(row->r.bytes, from->r.bytes, sizeof row->r.bytes);
	memcpy(row->r.row.missing, from->r.row.missing, sizeof row->r.row.missing);
}

static void fill(struct world *w, const struct scenario *s, struct random *r)
{
	unsigned n_sources = s->third_source ? 3 : 2;

	for (uint16_t source = 0; source < n_sources; source++) {
		for (uint32_t i = 0; i < s->n_shared + s->n_own; i++) {
			uint32_t who = i < s->n_shared ? i : 1000u * (source + 1u) + i;

			add(w, s, source, who, r);
			if (s->doubles && source != 1 && random_below(r, 3) == 0)
				add(w, s, source, who, r);
			if (random_below(r, 25) == 0)
				copy(w, s, source, who, r);
			if (random_below(r, 25) == 0)
				correct(w, s, source, who + 5000, r);
		}
	}
}

/* ---- JSON ---- */

static void print_hex(const uint8_t *bytes, size_t n)
{
	putchar('"');
	for (size_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
	putchar('"');
}

static void print_domain(const struct study_domain *domain)
{
	printf("{\"floor\": %d, \"comparisons\": [", (int)domain->floor);
	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		const struct study_comparison *comparison = &domain->comparisons[c];
		const struct study_filter *first = &domain->filters[comparison->filters[0]];

		printf("%s{\"composite\": %s, \"filters\": [", c > 0 ? ", " : "",
		       comparison->n_filters == 1 && study_filter_n_parts(first) > 1 ? "true" : "false");
		for (unsigned i = 0; i < comparison->n_filters; i++)
			printf("%s%u", i > 0 ? ", " : "", comparison->filters[i]);
		printf("], \"cuts\": [");
		for (unsigned i = 0; i < comparison->n_filters; i++) {
			printf("%s[", i > 0 ? ", " : "");
			for (unsigned k = 0; k < comparison->n_cuts[i]; k++)
				printf("%s%u", k > 0 ? ", " : "", comparison->cuts[i][k]);
			printf("]");
		}
		printf("], \"weights\": [");
		for (unsigned level = 0; level <= comparison->n_levels; level++)
			printf("%s%d", level > 0 ? ", " : "", comparison->reference_weight[level]);
		printf("]}");
	}
	printf("]}");
}

static void print_rows(const struct world *w)
{
	printf("[");
	for (uint32_t i = 0; i < w->n; i++) {
		const struct register_row *row = &w->rows[i];

		printf("%s\n{\"source\": %u, \"revision\": %" PRIu64 ", \"excluded\": %s, \"last_day\": %d, "
		       "\"death_day\": %d, \"id\": ",
		       i > 0 ? "," : "", row->r.row.source, row->r.row.revision, row->excluded ? "true" : "false",
		       row->last_day, row->death_day);
		print_hex(row->r.row.record_id, RECORD_ID_LEN);
		printf(", \"number\": ");
		print_hex(row->r.row.person_id, PERSON_ID_LEN);
		printf(", \"filters\": [");
		for (unsigned f = 0; f < w->domain.n_filters; f++) {
			if (f > 0)
				printf(", ");
			print_hex(row->r.bytes[f], w->domain.filters[f].bits / 8);
		}
		printf("]}");
	}
	printf("]");
}

static void print_result(const struct link_result *result)
{
	printf("{\"outcome\": %d, \"crowded\": %" PRIu32 ", \"person\": [", (int)result->outcome, result->n_crowded);
	for (uint32_t i = 0; i < result->n_rows; i++)
		printf("%s%" PRId64, i > 0 ? ", " : "",
		       result->person[i] == UINT32_MAX ? INT64_C(-1) : (int64_t)result->person[i]);
	printf("], \"links\": [");
	for (size_t i = 0; i < result->n_links; i++)
		printf("%s[%" PRIu32 ", %" PRIu32 ", %d]", i > 0 ? ", " : "", result->links[i].a, result->links[i].b,
		       (int)result->links[i].weight);
	printf("], \"weights\": [");
	for (unsigned c = 0; c < result->n_comparisons; c++) {
		printf("%s[", c > 0 ? ", " : "");
		for (unsigned level = 0; level <= result->comparisons[c].n_levels; level++)
			printf("%s%d", level > 0 ? ", " : "", (int)result->comparisons[c].weight[level]);
		printf("]");
	}
	printf("], \"quality\": [");
	for (size_t i = 0; i < result->n_quality; i++) {
		const struct link_quality *q = &result->quality[i];

		printf("%s{\"a\": %u, \"b\": %u, \"threshold\": %d, \"precision\": %" PRIu32 ", \"conditional\": %s}",
		       i > 0 ? ", " : "", q->source_a, q->source_b, (int)q->threshold, q->expected_precision,
		       q->null_is_conditional ? "true" : "false");
	}
	printf("]}");
}

/* ---- */

static enum rc link_world(const struct world *w, struct link_result **ret)
{
	struct link_options options = {LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, 1};
	bool excluded[MAX_ROWS];
	int32_t last_day[MAX_ROWS], death_day[MAX_ROWS];
	struct link_run_options run = {.end = w->n, .excluded = excluded, .last_day = last_day, .death_day = death_day};
	struct link_pool *pool;
	struct link_pair *pairs = NULL;
	size_t n_pairs = 0;
	enum rc rc = link_pool_new(&w->domain, &options, &pool);

	if (rc != RC_OK)
		return rc;
	for (uint32_t i = 0; i < w->n && rc == RC_OK; i++) {
		uint32_t number;

		rc = link_pool_add(pool, &w->rows[i].r.row, &number);
		excluded[i] = w->rows[i].excluded;
		last_day[i] = w->rows[i].last_day;
		death_day[i] = w->rows[i].death_day;
	}
	if (rc == RC_OK)
		rc = link_compare(pool, 0, w->n, NULL, &pairs, &n_pairs);
	if (rc == RC_OK)
		rc = link_run(pool, pairs, n_pairs, &run, ret);
	free(pairs);
	link_pool_free(pool);
	return rc;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
	struct random r = {seed};
	struct scenario s = draw(seed, &r);
	struct world *w = calloc(1, sizeof *w);
	struct link_result *result = NULL;
	enum rc rc;

	if (w == NULL || argc != 2)
		return 2;
	fixture_domain(&w->domain, NULL);
	w->domain.floor = (int32_t)random_below(&r, 8) * 256 - 3 * 256;
	for (unsigned f = 0; s.composite && f < 2; f++) {
		w->domain.filters[f].n_features = 2;
		w->domain.filters[f].part[1] = 1;
	}
	fill(w, &s, &r);
	rc = link_world(w, &result);
	if (rc == RC_OK) {
		printf("{\"domain\": ");
		print_domain(&w->domain);
		printf(", \"rows\": ");
		print_rows(w);
		printf(", \"result\": ");
		print_result(result);
		printf("}\n");
	}
	link_result_free(result);
	free(w);
	return rc == RC_OK ? 0 : 1;
}

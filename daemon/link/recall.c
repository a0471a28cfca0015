/* How many matches there are in all, of those found and those missed, between two sources and by group of persons.
 *
 * EM of model.c lets the candidates of a person compete, and learns m from pairs above the floor. That is right for
 * links and no count of matches: a person who is twice in a source splits one match, at little overlap chance is taken
 * for matches by the thousand, and what is below the floor teaches nothing. Matches of all are counted band by band of
 * weights (recall_bands.c). A group of persons has too few matches for that (recall_part.c): there the answer depends
 * on whether m is taken from the links (first round) or from everything that resembles them (last round): the first
 * leans to agreement, the last to chance. The estimate is the middle, and the two are its limits, unless groups can be
 * tied to each other; and where sources hold doubles, the groups together have no more matches than there are of all
 * (docs/methods.md). */
#include "daemon/link/recall.h"

#include <stdlib.h>
#include <string.h>

enum {
	TIED_ROUNDS = 60, /* at most, until the matches of a group stand still */
};

static const double most_moved = 0.1;    /* share of a group's matches by which it may be moved, if it is tied */
static const double least_doubt = 0.005; /* there may be that share more matches, even where the rounds agree */

static enum rc make_room(struct recall *r)
{
	size_t n = recall_n_sums(r->run);

	r->sums = calloc(n, sizeof *r->sums);
	r->spare = calloc(n, sizeof *r->spare);
	r->group = calloc(r->run->n > 0 ? r->run->n : 1, sizeof *r->group);
	return r->sums == NULL || r->spare == NULL || r->group == NULL ? RC_NOMEM : RC_OK;
}

/* Take the edges of a group; false when it has no pairs. */
static bool take_part(struct recall *r, unsigned group, double n_all)
{
	const struct run *run = r->run;
	const struct run_segment *segment = r->segment;
	double n_a = 0, n_b = 0;

	for (uint32_t i = 0; i < run->n; i++) {
		if (run->person[i] != i || r->group[i] != group)
			continue;
		n_a += run->slot[i] == segment->slot_a;
		n_b += run->slot[i] == segment->slot_b;
	}
	r->n_pairs = n_a * run->n_persons[segment->slot_b] + n_b * (run->n_persons[segment->slot_a] - n_a);
	r->share_of_chance = r->n_pairs / n_all;
	r->n_part = 0;
	r->start = 0;
	for (size_t i = 0; i < r->n; i++) {
		if (r->edges[i].group != group)
			continue;
		r->part[r->n_part++] = r->edges[i];
		r->start += r->edges[i].probability;
	}
	return r->n_pairs > 0 && r->start > 0;
}

static double hypotenuse(double a, double b)
{
	return square_root(a * a + b * b);
}

/* Of the matches that are no links those of somebody who has a sure link already: most likely a further number of one
 * person. */
static double further_numbers(const struct recall *r)
{
	double parts = 0;

	for (size_t i = 0; i < r->n_part; i++) {
		if (!r->part[i].is_link)
			parts += (1 - r->part[i].worth) * r->odds[i] / (1 + r->odds[i]);
	}
	return parts;
}

/* All rounds of a group, and how many matches there are after them: the middle of what the first and the last round
 * say; if it is tied, the last. */
static enum rc count_part(struct recall *r, struct recall_estimate *ret)
{
	double first, last, limited, error = 0;
	struct recall_estimate e = {0};
	enum rc rc = recall_count_part(r, 1, true, &limited, &limited);

	if (rc == RC_OK)
		rc = recall_count_part(r, r->is_tied ? TIED_ROUNDS : RECALL_ROUNDS, false, &first, &last);
	if (rc != RC_OK)
		return rc;
	for (unsigned band = 0; band < RECALL_BANDS; band++)
		error += r->is_lowered[band] ? r->variance[band] * r->share_of_chance * r->share_of_chance +
						       r->chance[band] * r->share_of_chance
					     : 0;
	e.n_matches = r->is_tied ? last : (first + last) / 2;
	e.least = 2 / (1 / first + 1 / limited);
	e.most = last > first ? last : first;
	if (r->is_tied) {
		double doubt = hypotenuse((last - first) / 2, 2 * square_root(error)), parts = further_numbers(r);

		doubt = hypotenuse(doubt, last - r->untied[r->part_group]);

		e.n_matches = last > parts ? last - parts : 0;
		e.least = e.n_matches > doubt ? e.n_matches - doubt : 0;
		e.most = e.n_matches + doubt;
	}
	*ret = e;
	return RC_OK;
}

/* `false_share`: of the doubt about the links of all, how much is false. */
static enum rc estimate_part(struct recall *r, double false_share, struct recall_estimate *ret)
{
	double n_links = 0, doubt = 0;
	struct recall_estimate e;
	enum rc rc = count_part(r, &e);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < r->n_part; i++) {
		n_links += r->part[i].is_link;
		doubt += r->part[i].is_link ? 1 - r->part[i].probability : 0;
	}
	e.n_false = doubt * false_share < n_links ? doubt * false_share : n_links;
	e.n_true = n_links - e.n_false > r->first_links ? n_links - e.n_false : r->first_links;
	if (r->is_tied)
		e.n_true = r->links;
	e.least = e.least < e.n_matches ? e.least : e.n_matches;
	e.n_matches = e.n_matches > e.n_true ? e.n_matches : e.n_true;
	e.least = e.least > e.n_true ? e.least : e.n_true;
	e.most = e.most > e.n_matches ? e.most : e.n_matches;
	e.most = e.most > (1 + least_doubt) * e.n_matches ? e.most : (1 + least_doubt) * e.n_matches;
	*ret = e;
	return RC_OK;
}

static uint64_t rounded(double x)
{
	return x > 0 ? (uint64_t)(x + 0.5) : 0;
}

struct group_estimate {
	unsigned group;
	struct recall_estimate of;
	double further; /* numbers of persons who were found, among what is missed; where sources hold doubles */
};

static void add_group(const struct recall *r, const struct group_estimate *g)
{
	struct link_result *result = r->run->result;
	const struct recall_estimate *e = &g->of;

	result->groups[result->n_groups++] = (struct link_group){
		.source_a = r->run->source_of_slot[r->segment->slot_a],
		.source_b = r->run->source_of_slot[r->segment->slot_b],
		.group = (uint8_t)g->group,
		.n_true = rounded(e->n_true),
		.n_false = rounded(e->n_false),
		.n_missed = rounded(e->n_matches - e->n_true - g->further),
		.n_doubt = rounded(hypotenuse((e->most - e->least) / 2, g->further)),
	};
}

/* What the levels of all groups' matches are together, each group by itself so far: one model of all would know little
 * of the errors of a group that has far more of them. */
static enum rc pool_groups(struct recall *r, double n_all)
{
	double first = 0, last = 0;
	enum rc rc = RC_OK;

	memset(r->pooled, 0, sizeof r->pooled);
	for (unsigned g = 1; rc == RC_OK && g <= r->n_groups; g++) {
		if (!take_part(r, g, n_all))
			continue;
		rc = recall_count_part(r, RECALL_ROUNDS, false, &first, &last);
		for (unsigned c = 0; c < r->run->domain->n_comparisons; c++) {
			for (unsigned level = 0; level <= r->run->domain->comparisons[c].n_levels; level++)
				r->pooled[c][level] += last * r->share[c][level];
		}
		r->untied[g] = (first + last) / 2;
	}
	return rc;
}

/* A group that is moved far has errors of its own kinds, and stands alone. */
static bool agrees_with_untied(const struct recall *r, const struct recall_estimate *tied)
{
	double untied = r->untied[r->part_group], by = tied->n_matches - untied;

	return by <= most_moved * untied && -by <= most_moved * untied;
}

/* Where a source holds doubles the null does too, and does not keep a group from taking chance in. Groups that together
 * miss more than all do by their limits have: what they miss is cut to what all miss, in the same proportion, and their
 * doubt is that about all. */
static void limit_groups(const struct recall_estimate *whole, struct group_estimate *groups, size_t n)
{
	double found = 0, missed = 0, share, doubt;

	for (size_t i = 0; i < n; i++) {
		found += groups[i].of.n_true;
		missed += groups[i].of.n_matches - groups[i].of.n_true;
	}
	if (missed <= 0 || found + missed <= whole->most)
		return;
	share = whole->n_matches > found ? (whole->n_matches - found) / missed : 0;
	doubt = (whole->most - whole->n_matches) / missed;
	for (size_t i = 0; i < n; i++) {
		struct recall_estimate *e = &groups[i].of;
		double own = e->n_matches - e->n_true;

		e->n_matches = e->n_true + own * share;
		e->most = e->n_matches + own * doubt;
		e->least = e->n_matches - own * doubt;
		groups[i].further *= share;
	}
}

static enum rc estimate_groups(struct recall *r, double false_share, const struct recall_estimate *whole)
{
	const struct run *run = r->run;
	struct group_estimate groups[LINK_MAX_GROUPS];
	double n_all = (double)run->n_persons[r->segment->slot_a] * run->n_persons[r->segment->slot_b];
	size_t n = 0;
	enum rc rc = RC_OK;

	if (run->result->groups == NULL)
		run->result->groups = calloc(run->n_segments * LINK_MAX_GROUPS, sizeof *run->result->groups);
	if (run->result->groups == NULL)
		return RC_NOMEM;
	/* Where a source holds doubles the null does too, and nothing keeps many rounds from taking chance in. */
	bool is_tied = r->n_groups > 1 && !r->has_doubles;
	if (is_tied)
		rc = pool_groups(r, n_all);
	for (unsigned g = 1; rc == RC_OK && g <= r->n_groups; g++) {
		struct group_estimate *estimate = &groups[n];

		if (!take_part(r, g, n_all))
			continue;
		r->part_group = g;
		r->is_tied = is_tied;
		rc = estimate_part(r, false_share, &estimate->of);
		if (rc == RC_OK && r->is_tied && !agrees_with_untied(r, &estimate->of)) {
			r->is_tied = false;
			rc = estimate_part(r, false_share, &estimate->of);
		}
		estimate->group = g;
		estimate->further = r->has_doubles ? further_numbers(r) : 0;
		n++;
	}
	if (rc != RC_OK)
		return rc;
	if (r->has_doubles)
		limit_groups(whole, groups, n);
	for (size_t i = 0; i < n; i++)
		add_group(r, &groups[i]);
	return RC_OK;
}

/* Of all persons of both sources. What only the expectation says may be twice as much, or half. Where a source holds
 * doubles, half of what is left beside the links may be resemblance that the null took for doubles. */
static enum rc estimate_whole(struct recall *r, const struct null_estimate *null, struct recall_estimate *ret)
{
	struct recall_count count;
	double n_true = null->n_links - null->n_false, r2, doubt;
	enum rc rc = recall_count_matches(r, n_true, &count);

	if (rc != RC_OK)
		return rc;
	doubt = count.by_model + count.below;
	struct recall_estimate e = {
		.n_true = n_true,
		.n_false = null->n_false,
		.n_matches = count.matches > n_true ? count.matches : n_true,
	};
	e.most = e.n_matches + (doubt > least_doubt * e.n_matches ? doubt : least_doubt * e.n_matches);
	e.least = e.n_matches - doubt / 2 > n_true ? e.n_matches - doubt / 2 : n_true;
	if (r->has_doubles)
		e.least = (e.least + n_true) / 2;
	r2 = n_true / e.n_matches;
	e.error = square_root(r2 * (1 - r2) * e.n_matches + 1 + r2 * r2 * count.variance) / e.n_matches;
	*ret = e;
	return RC_OK;
}

static enum rc estimate(struct recall *r, const struct null_estimate *null, struct recall_estimate *ret)
{
	double doubt = 0, false_share;
	struct recall_estimate whole = {0};
	enum rc rc = RC_OK;

	if (null->threshold == INT32_MAX)
		return RC_OK;
	for (size_t i = 0; i < r->n; i++)
		doubt += r->edges[i].is_link ? 1 - r->edges[i].probability : 0;
	false_share = doubt > 0 ? null->n_false / doubt : 0;
	rc = estimate_whole(r, null, &whole);
	if (rc == RC_OK && r->n_groups > 0)
		rc = estimate_groups(r, false_share, &whole);
	if (rc == RC_OK)
		*ret = whole;
	return rc;
}

enum rc run_estimate_recall(const struct run *run, const struct run_segment *segment, const struct null_estimate *null,
			    struct recall_estimate *ret)
{
	struct recall *r = calloc(1, sizeof *r);
	enum rc rc = r == NULL ? RC_NOMEM : RC_OK;

	if (rc != RC_OK)
		return rc;
	r->run = run;
	r->segment = segment;
	r->n_pairs = (double)run->n_persons[segment->slot_a] * run->n_persons[segment->slot_b];
	rc = make_room(r);
	if (rc == RC_OK)
		rc = recall_tally_new(&r->tally);
	if (rc == RC_OK)
		rc = recall_joint_init(&r->joint, run);
	if (rc == RC_OK)
		rc = recall_find_edges(r, null->threshold);
	if (rc == RC_OK)
		rc = estimate(r, null, ret);
	free(r->edges);
	free(r->part);
	free(r->odds);
	free(r->blocks);
	free(r->group);
	free(r->sums);
	free(r->spare);
	free(r->tally);
	recall_joint_deinit(&r->joint);
	free(r);
	return rc;
}

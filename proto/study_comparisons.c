/* Comparisons of a domain: which filters are compared together, into which levels, and the reference weights that
 * decide what is kept as a candidate pair. */
#include <stdio.h>
#include <string.h>

#include "proto/study_internal.h"

/* Cuts found to lose nothing on seventeen labelled sets; three levels lose up to 13 points of F1. */
static const uint16_t text_cuts[] = {300, 400, 500, 600, 700, 850, 1000};
static const uint16_t date_cuts[] = {300, 400, 500, 600, 650, 700, 750, 800, 900, 1000};

/* A composite filter says in one coefficient what several fields say apart: with ten levels it loses half a point. */
enum { COMPOSITE_CUTS = 27 };

/* ---- reference weights ---- */

struct point {
	uint16_t dice_milli;
	int16_t weight; /* 1/256 log2 units */
};

/* Weight of a level by where it begins, linear between the points. For names and places non-matches lie below .4, for
 * dates (digits and their positions) below .65, so a date says less at the same Dice coefficient and more when
 * identical. */
static const struct point text_points[] = {
	{0, -4 * 256}, {300, -3 * 256}, {400, -384},    {500, 128},
	{600, 640},    {700, 5 * 256},  {850, 7 * 256}, {1000, 8 * 256},
};
static const struct point date_points[] = {
	{0, -5 * 256}, {500, -4 * 256}, {600, -640}, {700, 0}, {800, 3 * 256}, {900, 6 * 256}, {1000, 10 * 256},
};

enum { JOINT_MIN = -4 * 256, JOINT_MAX = 10 * 256 };

int16_t study_default_weight(bool is_date, uint16_t from_milli)
{
	const struct point *p = is_date ? date_points : text_points;
	size_t n = is_date ? sizeof date_points / sizeof *p : sizeof text_points / sizeof *p;

	for (size_t i = 1; i < n; i++) {
		if (from_milli > p[i].dice_milli)
			continue;
		int rise = p[i].weight - p[i - 1].weight, run = p[i].dice_milli - p[i - 1].dice_milli;
		return (int16_t)(p[i - 1].weight + rise * (from_milli - p[i - 1].dice_milli) / run);
	}
	return p[n - 1].weight;
}

/* Digit 0 is missing and says nothing; digit 1 lies below the first cut. */
static int digit_weight(const struct study_domain *domain, const struct study_comparison *c, unsigned which,
			unsigned digit)
{
	bool is_date = study_filter_is_date(domain, c->filters[which]);

	if (digit == 0)
		return 0;
	return study_default_weight(is_date, digit == 1 ? 0 : c->cuts[which][digit - 2]);
}

/* Fields compared as one depend on each other: the sum counts the same fact twice, so it is capped at both ends. */
static void default_weights(const struct study_domain *domain, struct study_comparison *c)
{
	for (unsigned level = 1; level <= c->n_levels; level++) {
		unsigned rest = level;
		int sum = 0;
		for (unsigned i = 0; i < c->n_filters; i++) {
			sum += digit_weight(domain, c, i, rest % (c->n_cuts[i] + 2u));
			rest /= c->n_cuts[i] + 2u;
		}
		if (c->n_filters > 1)
			sum = sum < JOINT_MIN ? JOINT_MIN : sum > JOINT_MAX ? JOINT_MAX : sum;
		c->reference_weight[level] = (int16_t)sum;
	}
}

/* A list of n_levels weights, for the levels 1 … n_levels. */
static enum rc read_weights(const struct study_reader *r, const struct yaml_node *node, struct study_comparison *c)
{
	enum rc rc = read_sequence(r, node, c->n_levels, c->n_levels);
	unsigned level = 1;

	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		int64_t milli = 0;
		rc = read_decimal(r, item, 3, -30000, 30000, &milli);
		c->reference_weight[level++] = (int16_t)(milli * 256 / 1000);
	}
	return rc;
}

/* ---- levels ---- */

static enum rc read_cuts(const struct study_reader *r, const struct yaml_node *node, uint16_t cuts[STUDY_MAX_CUTS],
			 uint8_t *ret_n)
{
	enum rc rc = read_sequence(r, node, 1, STUDY_MAX_CUTS);
	int64_t last = 0;
	uint8_t n = 0;

	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		int64_t cut = 0;
		rc = read_decimal(r, item, 3, 1, 1000, &cut);
		if (rc == RC_OK && cut <= last)
			rc = READ_ERROR(r, item, "cuts of the Dice coefficient must ascend");
		cuts[n++] = (uint16_t)cut;
		last = cut;
	}
	*ret_n = n;
	return rc;
}

static void default_cuts(const struct study_domain *domain, struct study_comparison *c, unsigned which)
{
	bool is_date = study_filter_is_date(domain, c->filters[which]);

	if (domain->profile != PROFILE_NONE && study_filter_n_parts(&domain->filters[c->filters[which]]) > 1) {
		c->n_cuts[which] = COMPOSITE_CUTS;
		for (unsigned i = 0; i < COMPOSITE_CUTS; i++)
			c->cuts[which][i] = (uint16_t)(200 + 800 * i / (COMPOSITE_CUTS - 1));
		return;
	}
	c->n_cuts[which] = is_date ? sizeof date_cuts / sizeof *date_cuts : sizeof text_cuts / sizeof *text_cuts;
	memcpy(c->cuts[which], is_date ? date_cuts : text_cuts, c->n_cuts[which] * sizeof *date_cuts);
}

/* The default cuts are of the Dice coefficient, which a balanced filter does not show. */
static enum rc need_no_levels(const struct study_reader *r, const struct yaml_node *node,
			      const struct study_filter *filter)
{
	return filter->balanced
		       ? READ_ERROR(r, node, "the filter %s is balanced, so its levels must be written", filter->name)
		       : RC_OK;
}

/* `levels` is one list for every filter, or a mapping from filter to list. */
static enum rc read_levels(const struct study_reader *r, const struct yaml_node *comparison,
			   const struct study_domain *domain, struct study_comparison *c)
{
	const struct yaml_node *node = yaml_get(comparison, "levels");
	const char *names[STUDY_MAX_COMPARED + 1] = {NULL};

	for (unsigned i = 0; i < c->n_filters; i++) {
		default_cuts(domain, c, i);
		names[i] = domain->filters[c->filters[i]].name;
	}
	bool is_mapping = node != NULL && node->kind == YAML_MAPPING;
	enum rc rc = is_mapping ? read_keys(r, node, names) : RC_OK;
	for (unsigned i = 0; rc == RC_OK && i < c->n_filters; i++) {
		const struct yaml_node *list = is_mapping ? yaml_get(node, names[i]) : node;
		if (list != NULL)
			rc = read_cuts(r, list, c->cuts[i], &c->n_cuts[i]);
		else
			rc = need_no_levels(r, node != NULL ? node : comparison, &domain->filters[c->filters[i]]);
	}
	return rc;
}

static enum rc count_levels(const struct study_reader *r, const struct yaml_node *node, struct study_comparison *c)
{
	unsigned n = 1;

	for (unsigned i = 0; i < c->n_filters; i++)
		n *= c->n_cuts[i] + 2u; /* at most 65^4 */
	if (n - 1 > STUDY_MAX_LEVELS)
		return READ_ERROR(
			r, node,
			"%u levels; at most %d are allowed: compare fewer filters as one, or give fewer levels", n - 1,
			STUDY_MAX_LEVELS);
	c->n_levels = (uint8_t)(n - 1);
	return RC_OK;
}

/* ---- comparisons ---- */

static enum rc read_compared(const struct study_reader *r, const struct yaml_node *node,
			     const struct study_domain *domain, struct study_comparison *c, uint32_t *used)
{
	enum rc rc = read_sequence(r, node, 1, STUDY_MAX_COMPARED);

	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		char name[STUDY_NAME_CAP];
		rc = read_name(r, item, name);
		if (rc != RC_OK)
			return rc;
		int filter = study_find_filter(domain, name);
		if (filter < 0)
			return READ_ERROR(r, item, "there is no filter of this name");
		if ((*used >> filter & 1) != 0)
			return READ_ERROR(r, item, "this filter is compared twice");
		*used |= 1u << filter;
		c->filters[c->n_filters++] = (uint8_t)filter;
	}
	return rc;
}

static enum rc read_comparison(const struct study_reader *r, const struct yaml_node *node, struct study_domain *domain,
			       uint32_t *used)
{
	static const char *const keys[] = {"filters", "levels", "reference_weights", NULL};
	struct study_comparison *c = &domain->comparisons[domain->n_comparisons];
	const struct yaml_node *filters, *weights = yaml_get(node, "reference_weights");

	enum rc rc = read_key_name(r, node, c->name);
	if (rc == RC_OK)
		rc = read_keys(r, node, keys);
	if (rc == RC_OK)
		rc = read_required(r, node, "filters", &filters);
	if (rc == RC_OK)
		rc = read_compared(r, filters, domain, c, used);
	if (rc == RC_OK)
		rc = read_levels(r, node, domain, c);
	if (rc == RC_OK)
		rc = count_levels(r, node, c);
	if (rc != RC_OK)
		return rc;
	domain->n_comparisons++;
	default_weights(domain, c);
	return weights == NULL ? RC_OK : read_weights(r, weights, c);
}

static bool is_residence(const struct study_domain *domain, unsigned filter)
{
	const struct study_filter *f = &domain->filters[filter];
	bool residence = f->n_features > 0;

	for (unsigned i = 0; i < f->n_features; i++) {
		uint8_t role = domain->roles[f->features[i]];
		residence = residence && (role == ROLE_PLACE || role == ROLE_POSTCODE);
	}
	return residence;
}

/* Place and postcode say the same thing twice: as two comparisons they break the estimation. */
void study_default_comparisons(struct study_domain *domain)
{
	struct study_comparison *residence = NULL;

	domain->n_comparisons = 0;
	for (unsigned i = 0; i < domain->n_filters; i++) {
		bool joins = is_residence(domain, i) && residence != NULL && residence->n_filters < 2;
		struct study_comparison *c = joins ? residence : &domain->comparisons[domain->n_comparisons++];
		if (!joins) {
			*c = (struct study_comparison){.n_levels = 0};
			snprintf(c->name, sizeof c->name, "%s", domain->filters[i].name);
		}
		if (is_residence(domain, i))
			residence = c;
		c->filters[c->n_filters] = (uint8_t)i;
		default_cuts(domain, c, c->n_filters++);
		unsigned n = 1;
		for (unsigned k = 0; k < c->n_filters; k++)
			n *= c->n_cuts[k] + 2u;
		c->n_levels = (uint8_t)(n - 1); /* two filters of one field each: at most 80 */
		default_weights(domain, c);
	}
}

enum rc study_read_comparisons(const struct study_reader *r, const struct yaml_node *node,
			       const struct yaml_node *linkage, struct study_domain *domain)
{
	uint32_t used = 0;

	if (node == NULL && domain->n_filters > STUDY_MAX_COMPARISONS)
		return READ_ERROR(r, NULL, "linkage: more than %d filters; give comparisons that join some",
				  STUDY_MAX_COMPARISONS);
	for (unsigned i = 0; node == NULL && i < domain->n_filters; i++) {
		enum rc rc = need_no_levels(r, linkage, &domain->filters[i]);
		if (rc != RC_OK)
			return rc;
	}
	if (node == NULL) {
		study_default_comparisons(domain);
		return RC_OK;
	}
	enum rc rc = read_mapping(r, node, STUDY_MAX_COMPARISONS);
	for (const struct yaml_node *child = node->first; rc == RC_OK && child != NULL; child = child->next)
		rc = read_comparison(r, child, domain, &used);
	return rc;
}

/* Filters that a study does not write itself: by its profile and by the roles of its features.
 *
 * The profiles are where the frontier of docs/threat-model.md was cut: attack success against F1, every construction
 * that was tried. What hides values is that names, and date and residence, share a filter; diffusion keeps bits from
 * being mined one by one, and from t = 5 on defeats published graph matching; the length pays for it with links. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/study_construct.h"
#include "proto/study_internal.h"

static const struct study_construction constructions[] = {
	[PROFILE_BALANCED] = {JOIN_NAMES_AND_BIRTH, 1024, 2, INCOMPLETE_PAD},
	[PROFILE_HARDENED] = {JOIN_NAMES_AND_BIRTH, 2048, 5, INCOMPLETE_PAD},
};

/* The filter that a role goes into. Filters of a domain stand in the order of their names. */
static const char *filter_of_role(enum study_join join, enum study_role role)
{
	bool is_name = role == ROLE_GIVEN || role == ROLE_MIDDLE || role == ROLE_SURNAME;

	if (join == JOIN_ALL)
		return "person";
	if (is_name)
		return "names";
	if (join == JOIN_NAMES_AND_BIRTH)
		return "birth";
	return role == ROLE_DATE ? "date" : "residence";
}

enum rc study_read_roles(const struct study_reader *r, const struct yaml_node *roles, struct study_domain *domain)
{
	if (roles == NULL)
		return RC_OK;
	enum rc rc = read_mapping(r, roles, SCHEMA_MAX_FEATURES);
	for (const struct yaml_node *child = roles->first; rc == RC_OK && child != NULL; child = child->next) {
		int feature = child->key != NULL ? schema_find(domain->schema, child->key) : -1, role = ROLE_NONE;
		if (feature < 0)
			return READ_ERROR(r, child, "the schema has no feature of this name");
		rc = read_word(r, child, study_roles, &role);
		domain->roles[feature] = (uint8_t)role;
	}
	return rc;
}

static bool is_date(const struct study_domain *domain, unsigned feature)
{
	return domain->schema->features[feature].format == FORMAT_DATE || domain->roles[feature] == ROLE_DATE;
}

static unsigned part_of(const struct study_domain *domain, unsigned feature, unsigned own)
{
	static const uint8_t parts[] = {
		[ROLE_GIVEN] = 0, [ROLE_MIDDLE] = 0,  [ROLE_SURNAME] = 1, [ROLE_DATE] = STUDY_PART_DATE,
		[ROLE_PLACE] = 3, [ROLE_POSTCODE] = 3};
	if (domain->roles[feature] != ROLE_NONE)
		return parts[domain->roles[feature]];
	return is_date(domain, feature) ? STUDY_PART_DATE : 4 + own;
}

void study_number_parts(const struct study_domain *domain, struct study_filter *filter)
{
	for (unsigned i = 0; i < filter->n_features; i++)
		filter->part[i] = (uint8_t)part_of(domain, filter->features[i], i);
}

unsigned study_filter_n_parts(const struct study_filter *filter)
{
	uint32_t seen = 0;

	for (unsigned i = 0; i < filter->n_features; i++)
		seen |= 1u << filter->part[i];
	return (unsigned)__builtin_popcount(seen);
}

/* A column's name as a filter's name: lower case, everything else an underscore, a number where it is taken. */
static void name_filter(const struct study_domain *domain, const char *identifier, char out[STUDY_NAME_CAP])
{
	char base[STUDY_NAME_CAP - 4];
	size_t n = 0;

	if (!((*identifier | 0x20) >= 'a' && (*identifier | 0x20) <= 'z'))
		n = (size_t)snprintf(base, sizeof base, "f_");
	for (; *identifier != 0 && n < sizeof base - 1; identifier++) {
		char c = *identifier >= 'A' && *identifier <= 'Z' ? (char)(*identifier | 0x20) : *identifier;
		bool keep = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
		base[n++] = keep ? c : '_';
	}
	base[n] = 0;
	snprintf(out, STUDY_NAME_CAP, "%s", base);
	for (unsigned i = 2; study_find_filter(domain, out) >= 0 && i < 100; i++)
		snprintf(out, STUDY_NAME_CAP, "%s%u", base, i);
}

/* One a feature with a profile, else clkhash's own CLK. */
static enum rc field_filters(const struct study_reader *r, const struct yaml_node *node, struct study_domain *domain)
{
	const struct schema *schema = domain->schema;

	for (unsigned i = 0; i < schema->n_features; i++) {
		if (schema->features[i].ignored)
			continue;
		bool opens = domain->n_filters == 0 || domain->profile != PROFILE_NONE;
		struct study_filter *f = &domain->filters[domain->n_filters - (opens ? 0 : 1)];
		if (opens && domain->n_filters == STUDY_MAX_FILTERS)
			return READ_ERROR(r, node, "the schema has more than %d features; give filters that join some",
					  STUDY_MAX_FILTERS);
		if (f->n_features == STUDY_MAX_FILTER_FEATURES)
			return READ_ERROR(r, node, "the schema has more than %d features for one filter",
					  STUDY_MAX_FILTER_FEATURES);
		f->features[f->n_features++] = (uint16_t)i;
		if (!opens)
			continue;
		name_filter(domain, domain->profile == PROFILE_NONE ? "clk" : schema->features[i].identifier, f->name);
		f->bits = STUDY_DEFAULT_FILTER_BITS;
		f->sorted_digits = domain->profile != PROFILE_NONE && is_date(domain, i);
		domain->n_filters++;
	}
	if (domain->n_filters == 0)
		return READ_ERROR(r, node, "the schema ignores all of its features");
	if (domain->profile == PROFILE_NONE) {
		if (schema->l > STUDY_MAX_FILTER_BITS || schema->l < STUDY_MIN_FILTER_BITS || schema->l % 8 != 0)
			return READ_ERROR(r, node, "clkConfig.l is %u; a filter has %d to %d bits, a multiple of 8",
					  (unsigned)schema->l, STUDY_MIN_FILTER_BITS, STUDY_MAX_FILTER_BITS);
		domain->filters[0].bits = (uint16_t)schema->l;
	}
	return RC_OK;
}

static struct study_filter *filter_named(struct study_domain *domain, const char *name,
					 const struct study_construction *c)
{
	int at = study_find_filter(domain, name);

	if (at >= 0)
		return &domain->filters[at];
	struct study_filter *f = &domain->filters[domain->n_filters++];
	*f = (struct study_filter){.bits = c->bits, .diffusion = c->diffusion, .incomplete = c->incomplete};
	snprintf(f->name, sizeof f->name, "%s", name);
	return f;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct study_filter *)a)->name, ((const struct study_filter *)b)->name);
}

/* Returns what is wrong, or NULL. */
static const char *construct(struct study_domain *domain, const struct study_construction *c)
{
	const struct schema *schema = domain->schema;
	char name[STUDY_NAME_CAP];

	domain->n_filters = 0;
	for (unsigned i = 0; i < schema->n_features; i++) {
		enum study_role role = (enum study_role)domain->roles[i];
		if (schema->features[i].ignored)
			continue;
		if (role == ROLE_NONE)
			return "needs roles for every feature (given, middle, surname, date, place, postcode)";
		if (c->join == JOIN_NOTHING)
			name_filter(domain, schema->features[i].identifier, name);
		else
			snprintf(name, sizeof name, "%s", filter_of_role(c->join, role));
		if (study_find_filter(domain, name) < 0 && domain->n_filters == STUDY_MAX_FILTERS)
			return "would have too many filters";
		struct study_filter *f = filter_named(domain, name, c);
		if (f->n_features == STUDY_MAX_FILTER_FEATURES)
			return "would have too many features in one filter";
		f->features[f->n_features++] = (uint16_t)i;
		f->sorted_digits = f->sorted_digits || is_date(domain, i);
	}
	qsort(domain->filters, domain->n_filters, sizeof *domain->filters, compare_names);
	for (unsigned i = 0; i < domain->n_filters; i++)
		study_number_parts(domain, &domain->filters[i]);
	return NULL;
}

enum rc study_construct(struct study_domain *domain, const struct study_construction *construction, struct diag *diag)
{
	const char *wrong = construct(domain, construction);

	if (wrong == NULL && domain->n_filters > STUDY_MAX_COMPARISONS)
		wrong = "would have too many comparisons";
	if (wrong != NULL)
		return diag_set(diag, RC_INVALID, "a construction of filters %s", wrong);
	domain->profile = PROFILE_HARDENED;
	study_default_comparisons(domain);
	return RC_OK;
}

static bool joins_what_it_should(const struct study_domain *domain)
{
	for (unsigned i = 0; i < domain->n_filters; i++) {
		if (study_filter_n_parts(&domain->filters[i]) < 2)
			return false;
	}
	return domain->n_filters == 2;
}

enum rc study_default_filters(const struct study_reader *r, const struct yaml_node *node, struct study_domain *domain)
{
	if (domain->profile != PROFILE_BALANCED && domain->profile != PROFILE_HARDENED)
		return field_filters(r, node, domain);
	const char *wrong = construct(domain, &constructions[domain->profile]);
	if (wrong != NULL)
		return READ_ERROR(r, node, "the profile %s %s", study_profile_name(domain->profile), wrong);
	if (!joins_what_it_should(domain))
		return READ_ERROR(
			r, node,
			"the profile %s joins given name with surname, and date with place or postcode: roles "
			"must give both of each, or write filters",
			study_profile_name(domain->profile));
	return RC_OK;
}

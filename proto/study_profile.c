/* Filters that a study does not write itself: by its profile and by the roles of its features.
 *
 * The profiles are where the frontier of docs/threat-model.md was cut: attack success against F1, every construction
 * that was tried. What hides values is that names, and date and residence, share a filter; diffusion keeps bits from
 * being mined one by one, and from t = 5 on defeats published graph matching; the length pays for it with links. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/study_internal.h"

static const struct construction {
	uint16_t bits, diffusion;
} constructions[] = {[PROFILE_BALANCED] = {1024, 2}, [PROFILE_HARDENED] = {2048, 5}};

/* In which of the two filters of a profile a role goes: names; birth and residence. */
static const char *const composite_names[] = {"birth", "names"};

static bool is_name(enum study_role role)
{
	return role == ROLE_GIVEN || role == ROLE_MIDDLE || role == ROLE_SURNAME;
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

/* The composite filters of `balanced` and `hardened`, in the order of their names. */
static enum rc composite_filters(const struct study_reader *r, const struct yaml_node *node,
				 struct study_domain *domain)
{
	const struct construction *c = &constructions[domain->profile];
	const struct schema *schema = domain->schema;

	for (int names = 0; names < 2; names++) {
		struct study_filter *f = &domain->filters[domain->n_filters++];
		for (unsigned i = 0; i < schema->n_features; i++) {
			if (schema->features[i].ignored || domain->roles[i] == ROLE_NONE ||
			    is_name((enum study_role)domain->roles[i]) != (names == 1))
				continue;
			if (f->n_features == STUDY_MAX_FILTER_FEATURES)
				return READ_ERROR(r, node, "more than %d features for one filter",
						  STUDY_MAX_FILTER_FEATURES);
			f->features[f->n_features++] = (uint16_t)i;
			f->sorted_digits = f->sorted_digits || is_date(domain, i);
		}
		snprintf(f->name, sizeof f->name, "%s", composite_names[names]);
		f->bits = c->bits;
		f->diffusion = c->diffusion;
		f->incomplete = INCOMPLETE_PAD;
		study_number_parts(domain, f);
		if (study_filter_n_parts(f) < 2)
			return READ_ERROR(r, node,
					  "the profile %s joins given name with surname, and date with place or "
					  "postcode: roles must give both of each, or write filters",
					  study_profile_name(domain->profile));
	}
	return RC_OK;
}

enum rc study_default_filters(const struct study_reader *r, const struct yaml_node *node, struct study_domain *domain)
{
	if (domain->profile != PROFILE_BALANCED && domain->profile != PROFILE_HARDENED)
		return field_filters(r, node, domain);
	for (unsigned i = 0; i < domain->schema->n_features; i++) {
		const struct schema_feature *feature = &domain->schema->features[i];
		if (!feature->ignored && domain->roles[i] == ROLE_NONE)
			return READ_ERROR(r, node,
					  "the profile %s needs roles for every feature; %s has none (given, middle, "
					  "surname, date, place, postcode)",
					  study_profile_name(domain->profile), feature->identifier);
	}
	return composite_filters(r, node, domain);
}

/* The linkage part of a study: domains, schema, filters, normalisation. Every domain is resolved on its own from what
 * it overrides and what stands above, so that the rest of the program never asks where a value came from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/study_internal.h"

/* The two mappings that may hold a key: the domain's own (NULL in a study without `domains`) and linkage. */
struct scope {
	const struct yaml_node *own, *base;
};

static const struct yaml_node *scope_get(const struct scope *scope, const char *key)
{
	const struct yaml_node *node = yaml_get(scope->own, key);

	return node != NULL ? node : yaml_get(scope->base, key);
}

static const struct yaml_node *scope_node(const struct scope *scope)
{
	return scope->own != NULL ? scope->own : scope->base;
}

static enum rc read_profile(const struct study_reader *r, const struct scope *scope, struct study_domain *domain)
{
	const struct yaml_node *node = scope_get(scope, "profile");
	int profile = PROFILE_NONE;

	enum rc rc = read_word(r, node, study_profiles, &profile);
	domain->profile = (enum study_profile)profile;
	return rc;
}

/* ---- schema ---- */

/* The schema's errors start with a path in it; find its line. */
static enum rc schema_error(const struct study_reader *r, const struct yaml_node *node, enum rc rc, const char *text)
{
	char path[160];
	const char *colon = strstr(text, ": ");

	if (rc == RC_NOMEM)
		return rc;
	if (node->kind != YAML_MAPPING || colon == NULL || (size_t)(colon - text) >= sizeof path)
		return READ_ERROR(r, node, "%s", text);
	snprintf(path, sizeof path, "%.*s", (int)(colon - text), text);
	const struct yaml_node *at = yaml_follow(node, path);
	char whole[160], reached[160];
	yaml_path(at, reached, sizeof reached);
	yaml_path(node, whole, sizeof whole);
	/* The last part of the path may be missing from the file: then the error stands at its parent, and says which.
	 */
	if (strlen(reached) >= strlen(whole) + 1 + strlen(path))
		return READ_ERROR(r, at, "%s", colon + 2);
	const char *last = strrchr(path, '.');
	return READ_ERROR(r, at, "%s: %s", last != NULL ? last + 1 : path, colon + 2);
}

static enum rc read_schema(const struct study_reader *r, const struct scope *scope, struct study_domain *domain)
{
	const struct yaml_node *node = scope_get(scope, "schema");
	struct diag diag = {""};
	json_t *json = NULL;
	enum rc rc;

	if (node == NULL)
		return READ_ERROR(r, scope_node(scope), "the key schema is missing");
	if (node->kind == YAML_SCALAR) {
		rc = schema_parse(node->text, node->text_len, &domain->schema, &diag);
	} else {
		rc = yaml_to_json(node, &json);
		if (rc == RC_INVALID)
			return READ_ERROR(r, node, "a number in it is too large");
		if (rc == RC_OK)
			rc = schema_from_json(json, &domain->schema, &diag);
		json_decref(json);
	}
	return rc == RC_OK ? RC_OK : schema_error(r, node, rc, diag.text);
}

/* ---- filters ---- */

bool study_feature_is_date(const struct study_domain *domain, unsigned feature)
{
	if (domain->schema->features[feature].format == FORMAT_DATE || domain->roles[feature] == ROLE_DATE)
		return true;
	for (unsigned f = 0; f < domain->n_filters; f++) {
		const struct study_filter *filter = &domain->filters[f];
		if (filter->sorted_digits && filter->n_features == 1 && filter->features[0] == feature)
			return true;
	}
	return false;
}

bool study_filter_is_date(const struct study_domain *domain, int filter)
{
	const struct study_filter *f = &domain->filters[filter];
	bool is_date = f->sorted_digits;

	for (unsigned i = 0; i < f->n_features; i++)
		is_date = is_date || domain->schema->features[f->features[i]].format == FORMAT_DATE;
	return is_date;
}

static enum rc read_filter_features(const struct study_reader *r, const struct yaml_node *node,
				    struct study_domain *domain, struct study_filter *f)
{
	enum rc rc = read_sequence(r, node, 1, STUDY_MAX_FILTER_FEATURES);

	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		char identifier[256];
		rc = read_text(r, item, identifier, sizeof identifier);
		if (rc != RC_OK)
			return rc;
		int feature = schema_find(domain->schema, identifier);
		if (feature < 0)
			return READ_ERROR(r, item, "the schema has no feature of this name");
		if (domain->schema->features[feature].ignored)
			return READ_ERROR(r, item, "the schema ignores this feature");
		/* Overlapping filters rebuild what composing hides (docs/threat-model.md). */
		for (const struct study_filter *other = domain->filters; other <= f; other++) {
			for (unsigned i = 0; i < other->n_features; i++) {
				if (other->features[i] == feature)
					return READ_ERROR(r, item, "this feature is already in the filter %s",
							  other->name);
			}
		}
		f->features[f->n_features++] = (uint16_t)feature;
	}
	return rc;
}

static enum rc check_filter_bits(const struct study_reader *r, const struct yaml_node *node,
				 const struct study_domain *domain, const struct study_filter *f)
{
	bool has_blake = false;
	unsigned hashed = f->balanced ? f->bits / 2u : f->bits;

	if (f->bits % 8 != 0)
		return READ_ERROR(r, node, "%u is not a multiple of 8", (unsigned)f->bits);
	for (unsigned i = 0; i < f->n_features; i++)
		has_blake = has_blake || domain->schema->features[f->features[i]].hash == HASH_BLAKE;
	if (has_blake && (f->bits & (f->bits - 1)) != 0)
		return READ_ERROR(r, node, "%u is not a power of two, which blakeHash needs", (unsigned)f->bits);
	if (hashed < STUDY_MIN_FILTER_BITS || hashed % 8 != 0)
		return READ_ERROR(r, node, "half of %u, which balancing leaves, is below %d or not a multiple of 8",
				  (unsigned)f->bits, STUDY_MIN_FILTER_BITS);
	if (f->diffusion > hashed)
		return READ_ERROR(r, node, "%u bits are fewer than the inputs of diffusion", hashed);
	if ((uint64_t)hashed << domain->schema->xor_folds > STUDY_MAX_HASH_BITS)
		return READ_ERROR(r, node, "%u doubled by xor_folds is above %d bits", (unsigned)f->bits,
				  STUDY_MAX_HASH_BITS);
	return RC_OK;
}

struct hardness {
	int64_t diffusion;
	bool balanced;
	int incomplete;
};

/* What `node`, a filter or `hardening`, says; the rest stays. */
static enum rc read_hardness(const struct study_reader *r, const struct yaml_node *node, struct hardness *hardness)
{
	const struct yaml_node *diffusion = yaml_get(node, "diffusion");

	enum rc rc = read_integer(r, diffusion, 0, STUDY_MAX_DIFFUSION, &hardness->diffusion);
	if (rc == RC_OK && diffusion != NULL && hardness->diffusion == 1)
		rc = READ_ERROR(r, diffusion, "1 input a bit hides nothing; 0 is none");
	if (rc == RC_OK)
		rc = read_bool(r, yaml_get(node, "balanced"), &hardness->balanced);
	if (rc == RC_OK)
		rc = read_word(r, yaml_get(node, "incomplete"), study_incompletes, &hardness->incomplete);
	return rc;
}

/* The features are known. */
static void harden_filter(const struct study_domain *domain, const struct hardness *hardness, struct study_filter *f)
{
	f->diffusion = (uint16_t)hardness->diffusion;
	f->balanced = hardness->balanced;
	study_number_parts(domain, f);
	f->incomplete = study_filter_n_parts(f) > 1 ? (enum study_incomplete)hardness->incomplete : INCOMPLETE_KEEP;
}

/* `hardening` is what holds for filters that say nothing else, or NULL. */
static enum rc read_filter(const struct study_reader *r, const struct yaml_node *node,
			   const struct yaml_node *hardening, struct study_domain *domain)
{
	static const char *const keys[] = {"features",   "bits", "sorted_digits", "diffusion", "balanced",
					   "incomplete", NULL};
	struct study_filter *f = &domain->filters[domain->n_filters];
	const struct yaml_node *features, *bits_node = yaml_get(node, "bits");
	struct hardness hardness = {.incomplete = domain->profile == PROFILE_NONE ? INCOMPLETE_KEEP : INCOMPLETE_PAD};
	int64_t bits = STUDY_DEFAULT_FILTER_BITS;

	enum rc rc = read_key_name(r, node, f->name);
	if (rc == RC_OK)
		rc = read_keys(r, node, keys);
	if (rc == RC_OK)
		rc = read_required(r, node, "features", &features);
	if (rc == RC_OK)
		rc = read_filter_features(r, features, domain, f);
	if (rc == RC_OK)
		rc = read_integer(r, bits_node, STUDY_MIN_FILTER_BITS, STUDY_MAX_FILTER_BITS, &bits);
	if (rc == RC_OK)
		rc = read_bool(r, yaml_get(node, "sorted_digits"), &f->sorted_digits);
	if (rc == RC_OK)
		rc = read_hardness(r, hardening, &hardness);
	if (rc == RC_OK)
		rc = read_hardness(r, node, &hardness);
	if (rc != RC_OK)
		return rc;
	f->bits = (uint16_t)bits;
	harden_filter(domain, &hardness, f);
	domain->n_filters++;
	return check_filter_bits(r, bits_node != NULL ? bits_node : node, domain, f);
}

static int compare_filters(const void *a, const void *b)
{
	return strcmp(((const struct study_filter *)a)->name, ((const struct study_filter *)b)->name);
}

/* Those of the profile, or clkhash's own; `hardening` stands above what the profile says. */
static enum rc default_filters(const struct study_reader *r, const struct scope *scope,
			       const struct yaml_node *hardening, struct study_domain *domain)
{
	enum rc rc = study_default_filters(r, scope_node(scope), domain);

	for (unsigned i = 0; rc == RC_OK && i < domain->n_filters; i++) {
		struct study_filter *f = &domain->filters[i];
		struct hardness hardness = {f->diffusion, f->balanced, (int)f->incomplete};
		rc = check_filter_bits(r, scope_node(scope), domain, f);
		if (rc == RC_OK)
			rc = read_hardness(r, hardening, &hardness);
		harden_filter(domain, &hardness, f);
		if (rc == RC_OK && hardening != NULL)
			rc = check_filter_bits(r, hardening, domain, f);
	}
	/* The order of written ones, so that leaving the defaults out or in makes no difference. */
	qsort(domain->filters, domain->n_filters, sizeof *domain->filters, compare_filters);
	return rc;
}

static enum rc read_filters(const struct study_reader *r, const struct scope *scope, struct study_domain *domain)
{
	static const char *const keys[] = {"diffusion", "balanced", "incomplete", NULL};
	const struct yaml_node *node = scope_get(scope, "filters"), *hardening = scope_get(scope, "hardening");

	enum rc rc = hardening != NULL ? read_keys(r, hardening, keys) : RC_OK;
	if (rc != RC_OK)
		return rc;
	if (node == NULL)
		return default_filters(r, scope, hardening, domain);
	rc = read_mapping(r, node, STUDY_MAX_FILTERS);
	for (const struct yaml_node *child = node->first; rc == RC_OK && child != NULL; child = child->next)
		rc = read_filter(r, child, hardening, domain);
	return rc;
}

/* ---- key check, floor, language ---- */

/* Each domain has a secret of its own, so its key check stands in the domain, where `keys init` can pin it. */
static enum rc read_key_check(const struct study_reader *r, const struct scope *scope, struct study_domain *domain)
{
	const struct yaml_node *node = yaml_get(scope_node(scope), "key_check"),
			       *base = yaml_get(scope->base, "key_check");

	if (scope->own != NULL && base != NULL)
		return READ_ERROR(r, base, "each domain has its own secret: write key_check in every domain instead");
	if (node == NULL)
		return READ_ERROR(r, scope_node(scope),
				  "the key key_check is missing; write `key_check: unset` until "
				  "`throughcare keys init` pins it");
	domain->key_check_offset = node->offset;
	domain->key_check_length = node->length;
	if (node->kind == YAML_SCALAR && strcmp(node->text, "unset") == 0)
		return RC_OK;
	if (node->kind != YAML_SCALAR ||
	    hex_decode(node->text, node->text_len, domain->key_check, sizeof domain->key_check) != RC_OK)
		return READ_ERROR(r, node, "%zu hexadecimal digits or the word unset are needed here",
				  2 * sizeof domain->key_check);
	domain->has_key_check = true;
	return RC_OK;
}

static enum rc read_floor(const struct study_reader *r, const struct scope *scope, struct study_domain *domain)
{
	int64_t floor_milli = 1000 * STUDY_DEFAULT_FLOOR;

	enum rc rc = read_decimal(r, scope_get(scope, "floor"), 3, -30000, 60000, &floor_milli);
	if (rc == RC_OK)
		domain->floor = (int32_t)(floor_milli * 256 / 1000);
	return rc;
}

/* The shape of a BCP 47 tag: letters and digits in parts of 2 to 8. */
static enum rc read_language(const struct study_reader *r, const struct scope *scope, struct study_domain *domain)
{
	const struct yaml_node *node = yaml_get(scope_node(scope), "language");
	size_t part = 0;
	bool bad = false;

	enum rc rc = read_text(r, node, domain->language, sizeof domain->language);
	if (rc != RC_OK || node == NULL)
		return rc;
	for (const char *s = domain->language; *s != 0; s++) {
		bool letter = (*s | 0x20) >= 'a' && (*s | 0x20) <= 'z', digit = *s >= '0' && *s <= '9';
		bad = bad || (*s == '-' ? part < 2 : !letter && !digit);
		part = *s == '-' ? 0 : part + 1;
		bad = bad || part > 8;
	}
	return bad || part < 2 ? READ_ERROR(r, node, "a BCP 47 language tag is needed here, e.g. nl or fr-BE") : RC_OK;
}

static enum rc read_domain(const struct study_reader *r, const struct scope *scope, struct study_domain *domain)
{
	enum rc rc = read_language(r, scope, domain);

	if (rc == RC_OK)
		rc = read_profile(r, scope, domain);
	if (rc == RC_OK)
		rc = study_read_normalise(r, scope_get(scope, "normalise"), domain);
	if (rc == RC_OK)
		rc = read_key_check(r, scope, domain);
	if (rc == RC_OK)
		rc = read_floor(r, scope, domain);
	if (rc == RC_OK)
		rc = read_bool(r, scope_get(scope, "merge_dependent"), &domain->merge_dependent);
	if (rc == RC_OK)
		rc = read_schema(r, scope, domain);
	if (rc == RC_OK)
		rc = study_read_roles(r, scope_get(scope, "roles"), domain);
	if (rc == RC_OK)
		rc = read_filters(r, scope, domain);
	if (rc == RC_OK)
		rc = study_read_comparisons(r, scope_get(scope, "comparisons"), scope_node(scope), domain);
	return rc;
}

enum rc study_read_linkage(const struct study_reader *r, const struct yaml_node *linkage, struct study *study)
{
	static const char *const keys[] = {"profile",     "key_check", "floor",   "normalise", "schema",    "filters",
					   "comparisons", "language",  "domains", "roles",     "hardening", "merge_dependent",
					   NULL};
	const struct yaml_node *domains = yaml_get(linkage, "domains");

	enum rc rc = read_keys(r, linkage, keys);
	if (rc != RC_OK)
		return rc;
	if (domains == NULL) {
		const struct scope scope = {NULL, linkage};
		snprintf(study->domains[0].name, STUDY_NAME_CAP, "main");
		study->n_domains = 1;
		return read_domain(r, &scope, &study->domains[0]);
	}
	if (yaml_get(linkage, "language") != NULL)
		return READ_ERROR(r, yaml_get(linkage, "language"), "each domain has its own: write it there");
	rc = read_mapping(r, domains, STUDY_MAX_DOMAINS);
	for (const struct yaml_node *child = domains->first; rc == RC_OK && child != NULL; child = child->next) {
		const struct scope scope = {child, linkage};
		struct study_domain *domain = &study->domains[study->n_domains++];
		rc = read_keys(r, child, keys);
		if (rc == RC_OK && yaml_get(child, "domains") != NULL)
			rc = READ_ERROR(r, child, "a domain has no domains of its own");
		if (rc == RC_OK)
			rc = read_key_name(r, child, domain->name);
		if (rc == RC_OK)
			rc = read_domain(r, &scope, domain);
	}
	return rc;
}

/* The resolved study as canonical JSON, and the digests over it. Resolved: defaults spelled out, names instead of
 * numbers, fixed point instead of decimals. So two files that mean the same have the same digest, and any change of
 * meaning changes it. jansson steals what is packed, and returns NULL all the way up when memory fails. */
#include <string.h>

#include "proto/json.h"
#include "proto/study_internal.h"

/* A part that could not be made, or added, makes the whole NULL, and no digest: one of less would be another study's.
 */
static void append(json_t **array, json_t *value)
{
	if (json_array_append_new(*array, value) != 0) {
		json_decref(*array);
		*array = NULL;
	}
}

static void set(json_t **object, const char *key, json_t *value)
{
	if (json_object_set_new(*object, key, value) != 0) {
		json_decref(*object);
		*object = NULL;
	}
}

static json_t *hex_or_null(const uint8_t *data, size_t len)
{
	char text[2 * SCHEMA_MAX_KEY_BYTES + 1];

	if (data == NULL || len > SCHEMA_MAX_KEY_BYTES)
		return json_null();
	hex_encode(data, len, text);
	return json_string(text);
}

/* Long text (a salt may be as long as the file) goes in by its SHA-256. */
static json_t *digest_or_null(const uint8_t *data, size_t len)
{
	uint8_t digest[32];

	if (data == NULL)
		return json_null();
	sha256(data, len, digest);
	return hex_or_null(digest, sizeof digest);
}

static json_t *text_or_null(const char *text)
{
	return text != NULL ? json_string(text) : json_null();
}

static json_t *bound_or_null(bool has, int64_t value)
{
	return has ? json_integer(value) : json_null();
}

static json_t *format_json(const struct schema_feature *f)
{
	static const char *const formats[] = {"string", "string", "integer", "date", "enum"};
	static const char *const encodings[] = {"utf-8", "utf-16", "utf-32", "ascii"};
	static const char *const cases[] = {"mixed", "upper", "lower"};
	json_t *values = json_array();

	for (size_t i = 0; values != NULL && i < f->n_values; i++)
		append(&values, json_string(f->values[i]));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:o, s:o, s:o}", "type", formats[f->format], "encoding",
			 encodings[f->encoding], "case", cases[f->letter_case], "pattern", text_or_null(f->pattern),
			 "format", text_or_null(f->date_format), "minLength", (json_int_t)f->min_length, "maxLength",
			 (json_int_t)f->max_length, "minimum", bound_or_null(f->has_minimum, f->minimum), "maximum",
			 bound_or_null(f->has_maximum, f->maximum), "values", values);
}

static json_t *feature_json(const struct schema_feature *f)
{
	static const char *const comparisons[] = {"ngram", "exact", "numeric"};
	json_t *hashing;

	if (f->ignored)
		return json_pack("{s:s, s:b}", "identifier", f->identifier, "ignored", 1);
	hashing = json_pack("{s:s, s:i, s:b, s:I, s:i, s:i, s:s, s:i, s:s, s:b, s:o, s:o}", "comparison",
			    comparisons[f->comparison], "n", (int)f->n, "positional", (int)f->positional, "distance",
			    (json_int_t)f->distance_interval, "resolution", (int)f->resolution, "precision",
			    (int)f->fractional_precision, "strategy",
			    f->bits_per_feature ? "bitsPerFeature" : "bitsPerToken", "k", (int)f->k, "hash",
			    f->hash == HASH_BLAKE ? "blakeHash" : "doubleHash", "prevent_singularity",
			    (int)f->prevent_singularity, "sentinel", text_or_null(f->sentinel), "replaceWith",
			    text_or_null(f->replace_with));
	return json_pack("{s:s, s:o, s:o}", "identifier", f->identifier, "format", format_json(f), "hashing", hashing);
}

static json_t *schema_json(const struct schema *schema)
{
	json_t *features = json_array();

	for (unsigned i = 0; features != NULL && i < schema->n_features; i++) {
		if (json_array_append_new(features, feature_json(&schema->features[i])) != 0) {
			json_decref(features);
			features = NULL;
		}
	}
	return json_pack("{s:i, s:i, s:s, s:i, s:o, s:o, s:o}", "l", (int)schema->l, "xor_folds",
			 (int)schema->xor_folds, "hash", schema->kdf_sha512 ? "SHA512" : "SHA256", "keySize",
			 (int)schema->key_size, "salt", digest_or_null(schema->kdf_salt, schema->kdf_salt_len), "info",
			 digest_or_null(schema->kdf_info, schema->kdf_info_len), "features", features);
}

/* What is younger than the first studies goes in only where it differs from what they meant. */
static json_t *filter_json(const struct study_filter *f)
{
	json_t *features = json_array(), *parts = json_array(), *filter;

	for (unsigned j = 0; features != NULL && j < f->n_features; j++)
		append(&features, json_integer(f->features[j]));
	filter = json_pack("{s:s, s:o, s:i, s:i, s:b}", "name", f->name, "features", features, "bits", (int)f->bits,
			   "diffusion", (int)f->diffusion, "sorted_digits", (int)f->sorted_digits);
	for (unsigned j = 0; parts != NULL && j < f->n_features; j++)
		append(&parts, json_integer(f->part[j]));
	bool failed = f->balanced && json_object_set_new(filter, "balanced", json_true()) != 0;
	if (f->incomplete == INCOMPLETE_KEEP) {
		json_decref(parts);
	} else {
		failed |= json_object_set_new(filter, "parts", parts) != 0;
		failed |= json_object_set_new(filter, "incomplete",
					      json_string(study_incomplete_name(f->incomplete))) != 0;
	}
	if (!failed)
		return filter;
	json_decref(filter);
	return NULL;
}

static json_t *filters_json(const struct study_domain *domain)
{
	json_t *filters = json_array();

	for (unsigned i = 0; filters != NULL && i < domain->n_filters; i++) {
		const struct study_filter *f = &domain->filters[i];
		if (json_array_append_new(filters, filter_json(f)) != 0) {
			json_decref(filters);
			filters = NULL;
		}
	}
	return filters;
}

static json_t *dimension_json(const struct study *study, const struct study_dimension *d)
{
	static const char *const derivations[] = {"none", "age_band", "source"};
	json_t *codes = json_array(), *bands = json_array(), *of = json_array();

	for (unsigned i = 1; i <= d->n_codes; i++)
		append(&codes, json_string(d->codes[i]));
	for (unsigned i = 0; d->derivation == DERIVED_AGE_BAND && i < d->n_codes; i++)
		append(&bands, json_integer(d->band_starts[i]));
	for (unsigned i = 0; d->derivation == DERIVED_SOURCE && i < study->n_sources; i++)
		append(&of, json_integer(d->source_code[i]));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "name", d->name, "column", d->column, "derived",
			 derivations[d->derivation], "codes", codes, "bands", bands, "of", of);
}

static json_t *dimensions_json(const struct study *study)
{
	json_t *dimensions = json_array();

	for (unsigned i = 0; i < study->n_dimensions; i++)
		append(&dimensions, dimension_json(study, &study->dimensions[i]));
	return dimensions;
}

static json_t *event_names_json(const struct study *study)
{
	json_t *names = json_array();

	for (unsigned i = 0; i < study->n_events; i++)
		append(&names, json_string(study->events[i].name));
	return names;
}

/* The rules for dates change text that the study calls a date, which roles may say. */
static json_t *text_dates_json(const struct study_domain *domain)
{
	json_t *features = json_array();
	bool acts = domain->normalise.sentinel_dates || domain->normalise.date_forms;

	for (unsigned i = 0; acts && i < domain->schema->n_features; i++) {
		const struct schema_feature *f = &domain->schema->features[i];
		if (!f->ignored && f->format == FORMAT_STRING && study_feature_is_date(domain, i))
			append(&features, json_integer(i));
	}
	return features;
}

/* What decides the bytes of a batch: filters, and what the numbers in it that stand for events and codes mean. */
static json_t *encoding_json(const struct study *study, const struct study_domain *domain)
{
	json_t *text_dates = text_dates_json(domain);
	json_t *json = json_pack(
		"{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "domain", domain->name, "schema", schema_json(domain->schema),
		"filters", filters_json(domain), "normalise", study_normalise_json(&domain->normalise), "key_check",
		domain->has_key_check ? hex_or_null(domain->key_check, sizeof domain->key_check) : json_null(),
		"events", event_names_json(study), "dimensions", dimensions_json(study));
	bool failed = json == NULL || text_dates == NULL;

	if (!failed && json_array_size(text_dates) > 0)
		failed = json_object_set(json, "text_dates", text_dates) != 0;
	json_decref(text_dates);
	if (!failed)
		return json;
	json_decref(json);
	return NULL;
}

static json_t *comparison_json(const struct study_domain *domain, const struct study_comparison *c)
{
	json_t *filters = json_array(), *weights = json_array();

	for (unsigned i = 0; i < c->n_filters; i++) {
		json_t *cuts = json_array();
		for (unsigned j = 0; j < c->n_cuts[i]; j++)
			append(&cuts, json_integer(c->cuts[i][j]));
		append(&filters, json_pack("{s:s, s:o}", "filter", domain->filters[c->filters[i]].name, "cuts", cuts));
	}
	for (unsigned i = 0; i <= c->n_levels; i++)
		append(&weights, json_integer(c->reference_weight[i]));
	return json_pack("{s:s, s:o, s:o}", "name", c->name, "filters", filters, "weights", weights);
}

static json_t *domain_json(const struct study *study, const struct study_domain *domain)
{
	json_t *comparisons = json_array(), *json;

	for (unsigned i = 0; i < domain->n_comparisons; i++)
		append(&comparisons, comparison_json(domain, &domain->comparisons[i]));
	json = json_pack("{s:s, s:s, s:s, s:o, s:i, s:o}", "name", domain->name, "language", domain->language,
			 "profile", study_profile_name(domain->profile), "encoding", encoding_json(study, domain),
			 "floor", (int)domain->floor, "comparisons", comparisons);
	/* Left out where it is not used: the studies of before keep their digests. */
	if (json != NULL && domain->merge_dependent && json_object_set_new(json, "merge_dependent", json_true()) != 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *sent_json(const struct study *study)
{
	json_t *sources = json_array(), *events = json_array();

	for (unsigned i = 0; i < study->n_sources; i++) {
		const struct study_source *s = &study->sources[i];
		append(&sources,
		       json_pack("{s:s, s:s, s:s, s:i}", "name", s->name, "kind", study_source_kinds[s->kind], "domain",
				 study->domains[s->domain].name, "lag", (int)s->reporting_lag_days));
	}
	for (unsigned i = 0; i < study->n_events; i++) {
		const struct study_event *e = &study->events[i];
		append(&events, json_pack("{s:s, s:s, s:i}", "name", e->name, "role", study_event_roles[e->role],
					  "kinds", (int)e->kinds));
	}
	return json_pack("{s:o, s:o, s:o}", "sources", sources, "events", events, "dimensions", dimensions_json(study));
}

static json_t *rule_json(const struct study *study, const struct study_rule *rule)
{
	const struct study_dimension *d = &study->dimensions[rule->dimension];
	json_t *codes = json_array();

	for (unsigned c = 0; c <= d->n_codes; c++) {
		if (rule->codes[c])
			append(&codes, json_string(d->codes[c]));
	}
	return json_pack("{s:s, s:o}", "dimension", d->name, "codes", codes);
}

static json_t *captures_json(const struct study *study, const struct study_measure *m)
{
	json_t *captures = json_object();

	for (unsigned i = 0; i < m->n_captures; i++) {
		json_t *events = json_array();
		for (unsigned e = 0; e < study->n_events; e++) {
			if ((m->captures[i].events >> e & 1) != 0)
				append(&events, json_string(study->events[e].name));
		}
		set(&captures, m->captures[i].name, events);
	}
	return captures;
}

/* What only some measures say stands there only where it is said, so that a new key leaves older digests alone. */
static json_t *measure_json(const struct study *study, const struct study_measure *m)
{
	json_t *bands = json_array(), *eligible = json_array();

	for (unsigned i = 0; i < m->n_bands; i++)
		append(&bands, json_integer(m->band_ends[i]));
	for (unsigned i = 0; i < m->n_eligible; i++)
		append(&eligible, rule_json(study, &m->eligible[i]));
	json_t *measure =
		json_pack("{s:s, s:s, s:o}", "name", m->name, "kind", study_measure_kinds[m->kind], "bands", bands);
	if (m->n_eligible > 0)
		set(&measure, "eligible", json_incref(eligible));
	if (m->by_cause)
		set(&measure, "drug_related", rule_json(study, &m->drug_related));
	if (m->kind == MEASURE_RETENTION)
		set(&measure, "start_within", json_integer(m->start_within));
	if (m->kind == MEASURE_POPULATION)
		set(&measure, "captures", captures_json(study, m));
	json_decref(eligible);
	return measure;
}

static json_t *published_json(const struct study *study)
{
	json_t *measures = json_array(), *tables = json_array();

	for (unsigned i = 0; i < study->n_measures; i++)
		append(&measures, measure_json(study, &study->measures[i]));
	for (unsigned i = 0; i < study->n_tables; i++) {
		const struct study_table *t = &study->tables[i];
		json_t *by = json_array();
		for (unsigned j = 0; j < t->n_by; j++)
			append(&by, json_string(study->dimensions[t->by[j]].name));
		append(&tables, json_pack("{s:s, s:s, s:s, s:o, s:I}", "name", t->name, "measure",
					  study->measures[t->measure].name, "period", study_periods[t->period], "by",
					  by, "sigma2_milli", (json_int_t)t->sigma2_milli));
	}
	return json_pack("{s:o, s:o}", "measures", measures, "tables", tables);
}

static json_t *disclosure_json(const struct study *study)
{
	const struct study_disclosure *d = &study->disclosure;
	json_t *disclosure = json_pack(
		"{s:s, s:I, s:I, s:i, s:I, s:I, s:i, s:b}", "method", study_disclosure_methods[d->method], "threshold",
		(json_int_t)d->threshold, "rho_limit_micro", (json_int_t)d->rho_limit_micro, "max_index_events",
		(int)d->max_index_events, "interval_days", (json_int_t)d->interval_days, "min_new_records",
		(json_int_t)d->min_new_records, "min_sources", (int)d->min_sources, "provisional", (int)d->provisional);

	if (d->linkage_sigma2_milli > 0)
		set(&disclosure, "linkage_sigma2_milli", json_integer(d->linkage_sigma2_milli));
	if (d->linkage_by > 0)
		set(&disclosure, "linkage_by", json_string(study->dimensions[d->linkage_by - 1].name));
	if (d->revision_after_days > 0)
		set(&disclosure, "revision_after_days", json_integer(d->revision_after_days));
	if (d->n_release_dates > 0) {
		json_t *dates = json_array();
		for (unsigned i = 0; i < d->n_release_dates; i++)
			append(&dates, json_integer(d->release_dates[i]));
		set(&disclosure, "release_dates", dates);
	}
	return disclosure;
}

static enum rc take_digest(const char *label, json_t *value, uint8_t out[32])
{
	if (value == NULL)
		return RC_NOMEM;
	enum rc rc = json_digest(label, value, out);
	json_decref(value);
	return rc;
}

enum rc study_fill_digests(struct study *study)
{
	json_t *domains = json_array();

	for (unsigned i = 0; i < study->n_domains; i++) {
		struct study_domain *domain = &study->domains[i];
		enum rc rc = take_digest("throughcare encoding v1", encoding_json(study, domain), domain->encoding_id);
		if (rc != RC_OK) {
			json_decref(domains);
			return rc;
		}
		append(&domains, domain_json(study, domain));
	}
	json_t *whole = json_pack("{s:i, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:i}", "version", 1, "name", study->name,
				  "title", study->title, "synthetic", (int)study->synthetic, "domains", domains, "sent",
				  sent_json(study), "published", published_json(study), "disclosure",
				  disclosure_json(study), "retention_years", (int)study->retention_years);
	if (study->witnesses.needed > 0)
		set(&whole, "witnesses", witness_rule_json(&study->witnesses));
	return take_digest("throughcare study v1", whole, study->digest);
}

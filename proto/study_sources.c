/* What is sent: sources, events, dimensions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/study_internal.h"

/* ---- sources ---- */

static enum rc read_source(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	static const char *const keys[] = {"kind", "domain", "reporting_lag_days", NULL};
	struct study_source *source = &study->sources[study->n_sources++];
	const struct yaml_node *kind_node, *domain_node = yaml_get(node, "domain");
	int kind = 0, domain = 0;
	int64_t lag = 0;

	enum rc rc = read_key_name(r, node, source->name);
	if (rc == RC_OK)
		rc = read_keys(r, node, keys);
	if (rc == RC_OK)
		rc = read_required(r, node, "kind", &kind_node);
	if (rc == RC_OK)
		rc = read_word(r, kind_node, study_source_kinds, &kind);
	if (rc == RC_OK)
		rc = read_integer(r, yaml_get(node, "reporting_lag_days"), 0, 3650, &lag);
	if (rc != RC_OK)
		return rc;
	if (domain_node != NULL) {
		char name[STUDY_NAME_CAP];
		rc = read_name(r, domain_node, name);
		if (rc != RC_OK)
			return rc;
		domain = study_find_domain(study, name);
		if (domain < 0)
			return READ_ERROR(r, domain_node, "there is no domain of this name in linkage.domains");
	} else if (study->n_domains > 1) {
		return READ_ERROR(r, node, "the key domain is missing; the study has several");
	}
	source->kind = (enum study_source_kind)kind;
	source->domain = (uint8_t)domain;
	source->reporting_lag_days = (uint16_t)lag;
	return RC_OK;
}

enum rc study_read_sources(const struct study_reader *r, const struct yaml_node *sources, struct study *study)
{
	enum rc rc = read_mapping(r, sources, STUDY_MAX_SOURCES);
	uint32_t used = 0;

	for (const struct yaml_node *child = sources->first; rc == RC_OK && child != NULL; child = child->next) {
		rc = read_source(r, child, study);
		if (rc == RC_OK)
			used |= 1u << study->sources[study->n_sources - 1].domain;
	}
	for (unsigned i = 0; rc == RC_OK && i < study->n_domains; i++) {
		if ((used >> i & 1) == 0)
			rc = READ_ERROR(r, sources, "no source belongs to the domain %s", study->domains[i].name);
	}
	return rc;
}

/* ---- events ---- */

static enum rc read_event(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	static const char *const keys[] = {"role", "from", NULL};
	struct study_event *event = &study->events[study->n_events++];
	const struct yaml_node *role_node, *from;
	int role = 0;

	enum rc rc = read_key_name(r, node, event->name);
	if (rc == RC_OK)
		rc = read_keys(r, node, keys);
	if (rc == RC_OK)
		rc = read_required(r, node, "role", &role_node);
	if (rc == RC_OK)
		rc = read_word(r, role_node, study_event_roles, &role);
	if (rc == RC_OK)
		rc = read_required(r, node, "from", &from);
	if (rc == RC_OK)
		rc = read_sequence(r, from, 1, 32);
	if (rc != RC_OK)
		return rc;
	event->role = (enum study_event_role)role;
	for (const struct yaml_node *item = from->first; rc == RC_OK && item != NULL; item = item->next) {
		int kind = 0;
		rc = read_word(r, item, study_source_kinds, &kind);
		if (rc == RC_OK && (event->kinds >> kind & 1) != 0)
			rc = READ_ERROR(r, item, "stands twice");
		event->kinds |= 1u << kind;
	}
	return rc;
}

enum rc study_read_events(const struct study_reader *r, const struct yaml_node *events, struct study *study)
{
	enum rc rc = read_mapping(r, events, STUDY_MAX_EVENTS);

	for (const struct yaml_node *child = events->first; rc == RC_OK && child != NULL; child = child->next)
		rc = read_event(r, child, study);
	return rc;
}

/* ---- dimensions ---- */

/* Codes stand in CSV files, addresses and tables, so only characters that need no quoting anywhere. */
static enum rc read_code(const struct study_reader *r, const struct yaml_node *node, char out[STUDY_NAME_CAP])
{
	enum rc rc = read_text(r, node, out, STUDY_NAME_CAP);

	if (rc != RC_OK)
		return rc;
	bool first_is_letter = (*out | 0x20) >= 'a' && (*out | 0x20) <= 'z';
	if ((!first_is_letter && !(*out >= '0' && *out <= '9')) ||
	    strspn(out, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-") != strlen(out))
		return READ_ERROR(r, node, "a code is a letter or digit, then letters, digits, and _ . + -");
	return RC_OK;
}

static enum rc read_codes(const struct study_reader *r, const struct yaml_node *node, struct study_dimension *d)
{
	enum rc rc = read_sequence(r, node, 1, STUDY_MAX_CODES);

	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		char code[STUDY_NAME_CAP];
		rc = read_code(r, item, code);
		if (rc != RC_OK)
			return rc;
		if (strcmp(code, d->codes[0]) == 0)
			return READ_ERROR(r, item, "every dimension has the code unknown already");
		if (study_find_code(d, code) >= 0)
			return READ_ERROR(r, item, "this code stands twice");
		memcpy(d->codes[++d->n_codes], code, sizeof code);
	}
	return rc;
}

static enum rc read_bands(const struct study_reader *r, const struct yaml_node *node, struct study_dimension *d)
{
	enum rc rc = read_sequence(r, node, 1, STUDY_MAX_CODES);
	int64_t last = -1;

	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		int64_t start = 0;
		rc = read_integer(r, item, 0, 120, &start);
		if (rc == RC_OK && start <= last)
			rc = READ_ERROR(r, item, "the first ages of bands must ascend");
		d->band_starts[d->n_codes++] = (uint16_t)start;
		last = start;
	}
	for (unsigned i = 0; i < d->n_codes; i++) {
		unsigned from = d->band_starts[i];
		if (i + 1 == d->n_codes)
			snprintf(d->codes[i + 1], STUDY_NAME_CAP, "%u+", from);
		else if (d->band_starts[i + 1] == from + 1)
			snprintf(d->codes[i + 1], STUDY_NAME_CAP, "%u", from);
		else
			snprintf(d->codes[i + 1], STUDY_NAME_CAP, "%u-%u", from, d->band_starts[i + 1] - 1u);
	}
	return rc;
}

/* source → code, for every source of the study. */
static enum rc read_of(const struct study_reader *r, const struct yaml_node *node, const struct study *study,
		       struct study_dimension *d)
{
	enum rc rc = read_mapping(r, node, STUDY_MAX_SOURCES);

	for (const struct yaml_node *child = node->first; rc == RC_OK && child != NULL; child = child->next) {
		char code[STUDY_NAME_CAP];
		int source = study_find_source(study, child->key);
		if (source < 0)
			return READ_ERROR(r, child, "there is no source of this name");
		rc = read_text(r, child, code, sizeof code);
		if (rc != RC_OK)
			return rc;
		int found = study_find_code(d, code);
		if (found < 1)
			return READ_ERROR(r, child, "this dimension has no code of this name");
		d->source_code[source] = (uint8_t)found;
	}
	for (unsigned i = 0; rc == RC_OK && i < study->n_sources; i++) {
		if (d->source_code[i] == 0)
			rc = READ_ERROR(r, node, "the source %s has no code", study->sources[i].name);
	}
	return rc;
}

/* Which keys a dimension has depends on what it is derived from. */
static enum rc check_dimension_keys(const struct study_reader *r, const struct yaml_node *node,
				    enum study_derivation from)
{
	static const char *const plain[] = {"column", "codes", "derived", NULL};
	static const char *const age[] = {"derived", "column", "bands", NULL};
	static const char *const source[] = {"derived", "codes", "of", NULL};
	const char *const *keys = from == DERIVED_AGE_BAND ? age : from == DERIVED_SOURCE ? source : plain;
	const struct yaml_node *unused;

	enum rc rc = read_keys(r, node, keys);
	for (; rc == RC_OK && *keys != NULL; keys++) {
		if (strcmp(*keys, "derived") != 0)
			rc = read_required(r, node, *keys, &unused);
	}
	return rc;
}

static enum rc read_dimension(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	static const char *const derivations[] = {"none", "age_band", "source", NULL};
	struct study_dimension *d = &study->dimensions[study->n_dimensions++];
	int derivation = DERIVED_NOT;

	enum rc rc = read_key_name(r, node, d->name);
	if (rc == RC_OK)
		rc = read_mapping(r, node, YAML_MAX_KEYS);
	if (rc == RC_OK)
		rc = read_word(r, yaml_get(node, "derived"), derivations, &derivation);
	if (rc != RC_OK)
		return rc;
	snprintf(d->codes[0], STUDY_NAME_CAP, "unknown");
	d->derivation = (enum study_derivation)derivation;
	rc = check_dimension_keys(r, node, d->derivation);
	if (rc == RC_OK)
		rc = read_text(r, yaml_get(node, "column"), d->column, sizeof d->column);
	if (rc != RC_OK)
		return rc;
	if (d->derivation == DERIVED_AGE_BAND)
		return read_bands(r, yaml_get(node, "bands"), d);
	rc = read_codes(r, yaml_get(node, "codes"), d);
	if (rc == RC_OK && d->derivation == DERIVED_SOURCE)
		rc = read_of(r, yaml_get(node, "of"), study, d);
	return rc;
}

enum rc study_read_dimensions(const struct study_reader *r, const struct yaml_node *dimensions, struct study *study)
{
	enum rc rc = read_mapping(r, dimensions, STUDY_MAX_DIMENSIONS);

	for (const struct yaml_node *child = dimensions->first; rc == RC_OK && child != NULL; child = child->next)
		rc = read_dimension(r, child, study);
	return rc;
}

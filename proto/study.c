/* The study: reading the whole, looking up its parts. The parts are read in study_linkage.c, study_sources.c and
 * study_tables.c; the digests are made in study_digest.c. */
#include "proto/study.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/study_internal.h"

const char *const study_source_kinds[] = {"prison", "treatment", "death", "other", NULL};
const char *const study_event_roles[] = {"other",         "reception", "release", "treatment_start",
					 "treatment_end", "death",     NULL};
const char *const study_profiles[] = {"none", "quality", "balanced", "hardened", NULL};
const char *const study_roles[] = {"none", "given", "middle", "surname", "date", "place", "postcode", NULL};
const char *const study_incompletes[] = {"keep", "pad", "reject", NULL};
const char *const study_periods[] = {"quarter", "year", "all", NULL};
const char *const study_measure_kinds[] = {"continuity", "return", "mortality", "retention", "population", NULL};
const char *const study_disclosure_methods[] = {"keyed-noise", "none", "cell-key", NULL};

static enum rc read_head(const struct study_reader *r, const struct yaml_node *root, struct study *study)
{
	static const char *const keys[] = {"study",      "name",      "title",      "synthetic", "linkage",
					   "sources",    "events",    "dimensions", "measures",  "tables",
					   "disclosure", "retention", "witnesses",  NULL};
	const struct yaml_node *node;
	int64_t version = 0;

	enum rc rc = read_keys(r, root, keys);
	if (rc == RC_OK)
		rc = read_required(r, root, "study", &node);
	if (rc == RC_OK)
		rc = read_integer(r, node, 1, 1, &version);
	if (rc == RC_OK)
		rc = read_required(r, root, "name", &node);
	if (rc == RC_OK)
		rc = read_name(r, node, study->name);
	if (rc == RC_OK)
		rc = read_required(r, root, "title", &node);
	if (rc == RC_OK)
		rc = read_text(r, node, study->title, sizeof study->title);
	if (rc == RC_OK)
		rc = read_bool(r, yaml_get(root, "synthetic"), &study->synthetic);
	return rc;
}

static enum rc read_retention(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	static const char *const keys[] = {"years", NULL};
	int64_t years = 0;

	if (node == NULL)
		return RC_OK;
	enum rc rc = read_keys(r, node, keys);
	if (rc == RC_OK)
		rc = read_required(r, node, "years", &node);
	if (rc == RC_OK)
		rc = read_integer(r, node, 1, 100, &years);
	study->retention_years = (uint16_t)years;
	return rc;
}

static enum rc read_witnesses(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	static const char *const keys[] = {"needed", "keys", NULL};
	const struct yaml_node *needed = NULL, *list = NULL;
	int64_t n = 0;

	if (node == NULL)
		return RC_OK;
	enum rc rc = read_keys(r, node, keys);
	if (rc == RC_OK)
		rc = read_required(r, node, "keys", &list);
	if (rc == RC_OK)
		rc = read_required(r, node, "needed", &needed);
	if (rc == RC_OK)
		rc = read_sequence(r, list, 1, WITNESS_MAX);
	if (rc == RC_OK)
		rc = read_integer(r, needed, 1, list->n_children, &n);
	for (const struct yaml_node *item = rc == RC_OK ? list->first : NULL; rc == RC_OK && item != NULL; item = item->next) {
		char vkey[TLOG_VKEY_CAP];
		rc = read_text(r, item, vkey, sizeof vkey);
		if (rc == RC_OK && witness_rule_add(&study->witnesses, vkey) != RC_OK)
			rc = READ_ERROR(r, item,
					"the public key of a witness is needed here, NAME+HASH+BASE64, each name once "
					"(throughcare keys witness)");
	}
	study->witnesses.needed = (uint8_t)n;
	return rc;
}

/* Order matters: sources name domains, dimensions name sources, tables name dimensions and measures. */
static enum rc read_parts(const struct study_reader *r, const struct yaml_node *root, struct study *study)
{
	static const struct {
		const char *key;
		enum rc (*read)(const struct study_reader *r, const struct yaml_node *node, struct study *study);
	} parts[] = {
		{"linkage", study_read_linkage},       {"sources", study_read_sources},   {"events", study_read_events},
		{"dimensions", study_read_dimensions}, {"measures", study_read_measures}, {"tables", study_read_tables},
		{"disclosure", study_read_disclosure},
	};

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		const struct yaml_node *node;
		enum rc rc = read_required(r, root, parts[i].key, &node);
		if (rc == RC_OK)
			rc = parts[i].read(r, node, study);
		if (rc != RC_OK)
			return rc;
	}
	enum rc rc = study_check_nested(r, root, study);
	if (rc == RC_OK)
		rc = read_witnesses(r, yaml_get(root, "witnesses"), study);
	return rc == RC_OK ? read_retention(r, yaml_get(root, "retention"), study) : rc;
}

enum rc study_parse(const char *name, const char *yaml, size_t len, struct study **ret_study, struct diag *diag)
{
	struct yaml_tree *tree = NULL;
	struct study *study = NULL;

	enum rc rc = yaml_tree_parse(name, yaml, len, &tree, diag);
	if (rc != RC_OK)
		return rc;
	const struct study_reader reader = {tree, diag};
	study = calloc(1, sizeof *study);
	rc = study == NULL ? RC_NOMEM : read_head(&reader, yaml_tree_root(tree), study);
	if (rc == RC_OK)
		rc = read_parts(&reader, yaml_tree_root(tree), study);
	if (rc == RC_OK)
		rc = study_fill_digests(study);
	if (rc == RC_NOMEM)
		diag_set(diag, rc, "%s: %s", name, rc_text(rc));
	yaml_tree_free(tree);
	if (rc != RC_OK) {
		study_free(study);
		return rc;
	}
	*ret_study = study;
	return RC_OK;
}

void study_free(struct study *study)
{
	if (study == NULL)
		return;
	for (unsigned i = 0; i < study->n_domains; i++)
		schema_free(study->domains[i].schema);
	free(study);
}

/* ---- lookups ---- */

#define FIND(array, n, wanted)                                                                                         \
	do {                                                                                                           \
		for (unsigned i_ = 0; i_ < (n); i_++) {                                                                \
			if (strcmp((array)[i_].name, (wanted)) == 0)                                                   \
				return (int)i_;                                                                        \
		}                                                                                                      \
		return -1;                                                                                             \
	} while (0)

int study_find_domain(const struct study *study, const char *name)
{
	FIND(study->domains, study->n_domains, name);
}

int study_find_source(const struct study *study, const char *name)
{
	FIND(study->sources, study->n_sources, name);
}

int study_find_event(const struct study *study, const char *name)
{
	FIND(study->events, study->n_events, name);
}

int study_find_dimension(const struct study *study, const char *name)
{
	FIND(study->dimensions, study->n_dimensions, name);
}

int study_find_measure(const struct study *study, const char *name)
{
	FIND(study->measures, study->n_measures, name);
}

int study_find_table(const struct study *study, const char *name)
{
	FIND(study->tables, study->n_tables, name);
}

int study_find_filter(const struct study_domain *domain, const char *name)
{
	FIND(domain->filters, domain->n_filters, name);
}

int study_find_code(const struct study_dimension *dimension, const char *code)
{
	for (unsigned i = 0; i <= dimension->n_codes; i++) {
		if (strcmp(dimension->codes[i], code) == 0)
			return (int)i;
	}
	return -1;
}

uint8_t study_age_code(const struct study_dimension *dimension, int age)
{
	uint8_t code = 0;

	while (code < dimension->n_codes && age >= dimension->band_starts[code])
		code++;
	return code;
}

bool study_source_may_send(const struct study *study, int source, int event)
{
	if (source < 0 || source >= study->n_sources || event < 0 || event >= study->n_events)
		return false;
	return (study->events[event].kinds >> study->sources[source].kind & 1) != 0;
}

size_t study_filter_bytes(const struct study_domain *domain, int filter)
{
	return domain->filters[filter].bits / 8u;
}

size_t study_record_bytes(const struct study_domain *domain)
{
	size_t bytes = 0;

	for (int i = 0; i < domain->n_filters; i++)
		bytes += study_filter_bytes(domain, i);
	return bytes;
}

const char *study_incomplete_name(enum study_incomplete incomplete)
{
	return study_incompletes[incomplete];
}

const char *study_profile_name(enum study_profile profile)
{
	return study_profiles[profile];
}

const char *study_disclosure_method_name(enum study_disclosure_method method)
{
	return study_disclosure_methods[method];
}

const char *study_source_kind_name(enum study_source_kind kind)
{
	return study_source_kinds[kind];
}

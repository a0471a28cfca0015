/* What is measured: the kinds of measure, their bands, who is eligible. */
#include <stdio.h>
#include <string.h>

#include "proto/study_internal.h"

/* Which of the optional keys a kind has, what its bands are where the study does not say, and the events it needs. */
struct kind_rules {
	const char *const *keys;
	uint16_t bands[STUDY_MAX_BANDS];
	uint8_t n_bands;
	enum study_event_role needs[3]; /* EVENT_OTHER = no more */
};

static const char *const banded_keys[] = {"kind", "bands", "eligible", NULL};
static const char *const mortality_keys[] = {"kind", "bands", "eligible", "drug_related", NULL};
static const char *const retention_keys[] = {"kind", "bands", "eligible", "start_within", NULL};
static const char *const population_keys[] = {"kind", "eligible", "captures", NULL};

static const struct kind_rules kinds[] = {
	[MEASURE_CONTINUITY] = {banded_keys, {7, 14, 21, 28, 90}, 5, {EVENT_RELEASE, EVENT_TREATMENT_START}},
	[MEASURE_RETURN] = {banded_keys, {30, 90, 365}, 3, {EVENT_RELEASE, EVENT_RECEPTION}},
	[MEASURE_MORTALITY] = {mortality_keys, {14, 28, 365}, 3, {EVENT_RELEASE, EVENT_DEATH}},
	[MEASURE_RETENTION] = {retention_keys,
			       {29, 89, 179},
			       3,
			       {EVENT_RELEASE, EVENT_TREATMENT_START, EVENT_TREATMENT_END}},
	[MEASURE_POPULATION] = {population_keys, {0}, 0, {EVENT_OTHER}},
};

static bool has_role(const struct study *study, enum study_event_role role)
{
	for (int e = 0; e < study->n_events; e++) {
		for (int s = 0; s < study->n_sources; s++) {
			if (study->events[e].role == role && study_source_may_send(study, s, e))
				return true;
		}
	}
	return false;
}

static enum rc check_roles(const struct study_reader *r, const struct yaml_node *node, const struct study *study,
			   enum study_measure_kind kind)
{
	for (int i = 0; i < 3 && kinds[kind].needs[i] != EVENT_OTHER; i++) {
		if (!has_role(study, kinds[kind].needs[i]))
			return READ_ERROR(r, node, "%s needs an event with the role %s that a source may send",
					  study_measure_kinds[kind], study_event_roles[kinds[kind].needs[i]]);
	}
	return RC_OK;
}

static enum rc read_bands(const struct study_reader *r, const struct yaml_node *bands, struct study_measure *m)
{
	int64_t last = -1;

	if (bands == NULL) {
		m->n_bands = kinds[m->kind].n_bands;
		memcpy(m->band_ends, kinds[m->kind].bands, sizeof m->band_ends);
		return RC_OK;
	}
	enum rc rc = read_sequence(r, bands, 1, STUDY_MAX_BANDS);
	for (const struct yaml_node *item = bands->first; rc == RC_OK && item != NULL; item = item->next) {
		int64_t end = 0;
		rc = read_integer(r, item, 0, 365, &end);
		if (rc == RC_OK && end <= last)
			rc = READ_ERROR(r, item, "the last days of bands must ascend");
		m->band_ends[m->n_bands++] = (uint16_t)end;
		last = end;
	}
	return rc;
}

/* dimension: [code, …] */
static enum rc read_rule(const struct study_reader *r, const struct yaml_node *node, const struct study *study,
			 struct study_rule *rule)
{
	int dimension = study_find_dimension(study, node->key);

	if (dimension < 0)
		return READ_ERROR(r, node, "there is no dimension of this name");
	rule->dimension = (uint8_t)dimension;
	enum rc rc = read_sequence(r, node, 1, STUDY_MAX_CODES + 1);
	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		char code[STUDY_NAME_CAP];
		rc = read_text(r, item, code, sizeof code);
		if (rc != RC_OK)
			return rc;
		int found = study_find_code(&study->dimensions[dimension], code);
		if (found < 0)
			return READ_ERROR(r, item, "this dimension has no code of this name");
		if (rule->codes[found])
			return READ_ERROR(r, item, "this code stands twice");
		rule->codes[found] = true;
	}
	return rc;
}

static enum rc read_eligible(const struct study_reader *r, const struct yaml_node *node, const struct study *study,
			     struct study_measure *m)
{
	if (node == NULL)
		return RC_OK;
	enum rc rc = read_mapping(r, node, STUDY_MAX_RULES);
	for (const struct yaml_node *child = node->first; rc == RC_OK && child != NULL; child = child->next)
		rc = read_rule(r, child, study, &m->eligible[m->n_eligible++]);
	return rc;
}

static enum rc read_drug_related(const struct study_reader *r, const struct yaml_node *node, const struct study *study,
				 struct study_measure *m)
{
	if (node == NULL)
		return RC_OK;
	enum rc rc = read_mapping(r, node, 1);
	if (rc == RC_OK)
		rc = read_rule(r, node->first, study, &m->drug_related);
	m->by_cause = true;
	return rc;
}

/* name: [event, …], one a list */
static enum rc read_capture(const struct study_reader *r, const struct yaml_node *node, const struct study *study,
			    struct study_capture *capture)
{
	enum rc rc = read_key_name(r, node, capture->name);

	if (rc == RC_OK)
		rc = read_sequence(r, node, 1, STUDY_MAX_EVENTS);
	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		char name[STUDY_NAME_CAP];
		rc = read_name(r, item, name);
		if (rc != RC_OK)
			return rc;
		int event = study_find_event(study, name);
		if (event < 0)
			return READ_ERROR(r, item, "there is no event of this name");
		capture->events |= UINT32_C(1) << event;
	}
	return rc;
}

static enum rc read_captures(const struct study_reader *r, const struct yaml_node *node, const struct study *study,
			     struct study_measure *m)
{
	uint32_t seen = 0;
	enum rc rc = read_mapping(r, node, STUDY_MAX_CAPTURES);

	for (const struct yaml_node *child = node->first; rc == RC_OK && child != NULL; child = child->next) {
		struct study_capture *capture = &m->captures[m->n_captures++];
		rc = read_capture(r, child, study, capture);
		if (rc == RC_OK && (capture->events & seen) != 0)
			rc = READ_ERROR(r, child, "an event stands in two lists: they would not be independent");
		seen |= capture->events;
	}
	if (rc == RC_OK && m->n_captures < 2)
		rc = READ_ERROR(r, node, "two or three lists are needed");
	return rc;
}

static enum rc read_measure(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	struct study_measure *m = &study->measures[study->n_measures++];
	const struct yaml_node *kind_node, *captures;
	int64_t start_within = 90;
	int kind = 0;

	enum rc rc = read_key_name(r, node, m->name);
	if (rc == RC_OK)
		rc = read_mapping(r, node, YAML_MAX_KEYS);
	if (rc == RC_OK)
		rc = read_required(r, node, "kind", &kind_node);
	if (rc == RC_OK)
		rc = read_word(r, kind_node, study_measure_kinds, &kind);
	if (rc != RC_OK)
		return rc;
	m->kind = (enum study_measure_kind)kind;
	rc = read_keys(r, node, kinds[kind].keys);
	if (rc == RC_OK)
		rc = read_bands(r, yaml_get(node, "bands"), m);
	if (rc == RC_OK)
		rc = read_eligible(r, yaml_get(node, "eligible"), study, m);
	if (rc == RC_OK)
		rc = read_drug_related(r, yaml_get(node, "drug_related"), study, m);
	if (rc == RC_OK)
		rc = read_integer(r, yaml_get(node, "start_within"), 0, 365, &start_within);
	if (kind == MEASURE_RETENTION)
		m->start_within = (uint16_t)start_within;
	if (rc == RC_OK && kind == MEASURE_POPULATION)
		rc = read_required(r, node, "captures", &captures);
	if (rc == RC_OK && kind == MEASURE_POPULATION)
		rc = read_captures(r, captures, study, m);
	return rc == RC_OK ? check_roles(r, node, study, m->kind) : rc;
}

enum rc study_read_measures(const struct study_reader *r, const struct yaml_node *measures, struct study *study)
{
	enum rc rc = read_mapping(r, measures, STUDY_MAX_MEASURES);

	for (const struct yaml_node *child = measures->first; rc == RC_OK && child != NULL; child = child->next)
		rc = read_measure(r, child, study);
	return rc;
}

bool study_rule_holds(const struct study_rule *rule, const uint8_t codes[STUDY_MAX_DIMENSIONS])
{
	uint8_t code = codes[rule->dimension];

	return code <= STUDY_MAX_CODES && rule->codes[code];
}

const char *study_measure_kind_name(enum study_measure_kind kind)
{
	return study_measure_kinds[kind];
}

/* The rules of linkage.normalise: one table gives name, default and place in the struct to parser and digest. */
#include <stddef.h>
#include <string.h>

#include "proto/study_internal.h"

static const struct {
	const char *name;
	size_t offset;
	bool by_default; /* with a profile */
	bool first;      /* stands in the digest whether on or off */
} rules[] = {
	{"trim", offsetof(struct study_normalise, trim), true, true},
	{"lower", offsetof(struct study_normalise, lower), true, true},
	{"strip_marks", offsetof(struct study_normalise, strip_marks), true, true},
	{"drop_punctuation", offsetof(struct study_normalise, drop_punctuation), true, true},
	{"sentinel_dates", offsetof(struct study_normalise, sentinel_dates), true, true},
	{"latin", offsetof(struct study_normalise, latin), true, false},
	{"date_forms", offsetof(struct study_normalise, date_forms), true, false},
	{"sex_codes", offsetof(struct study_normalise, sex_codes), true, false},
	{"particles", offsetof(struct study_normalise, particles), false, false},
	{"split_hyphens", offsetof(struct study_normalise, split_hyphens), false, false},
	{"sort_names", offsetof(struct study_normalise, sort_names), false, false},
};
enum { N_RULES = sizeof rules / sizeof rules[0] };

static bool *rule_flag(struct study_normalise *n, size_t rule)
{
	return (bool *)((char *)n + rules[rule].offset);
}

enum rc study_read_normalise(const struct study_reader *r, const struct yaml_node *node, struct study_domain *domain)
{
	struct study_normalise *n = &domain->normalise;
	const char *names[N_RULES + 1] = {NULL};

	*n = (struct study_normalise){0};
	memcpy(n->language, domain->language, sizeof n->language - 1);
	for (size_t i = 0; i < N_RULES; i++) {
		names[i] = rules[i].name;
		if (node == NULL)
			*rule_flag(n, i) = rules[i].by_default && domain->profile != PROFILE_NONE;
	}
	if (node == NULL)
		return RC_OK;
	if (node->kind == YAML_SCALAR) {
		if (strcmp(node->text, "none") == 0)
			return RC_OK;
		return READ_ERROR(r, node, "a list of rules or the word none is needed here");
	}
	enum rc rc = read_sequence(r, node, 0, N_RULES);
	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		int rule = 0;
		rc = read_word(r, item, names, &rule);
		if (rc == RC_OK && *rule_flag(n, (size_t)rule))
			rc = READ_ERROR(r, item, "stands twice");
		*rule_flag(n, (size_t)rule) = true;
	}
	return rc;
}

json_t *study_normalise_json(const struct study_normalise *normalise)
{
	struct study_normalise n = *normalise;
	json_t *json = json_object();
	bool failed = json == NULL;

	for (size_t i = 0; i < N_RULES; i++) {
		if (rules[i].first || *rule_flag(&n, i))
			failed |= json_object_set_new(json, rules[i].name, json_boolean(*rule_flag(&n, i))) != 0;
	}
	/* What some codes for sex mean depends on the language; nothing else does. */
	if (n.sex_codes)
		failed |= json_object_set_new(json, "sex_codes", json_string(n.language)) != 0;
	if (!failed)
		return json;
	json_decref(json);
	return NULL;
}

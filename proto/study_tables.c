/* What is published: tables, and at what cost. */
#include <stdio.h>
#include <string.h>

#include "proto/study_internal.h"

enum { MAX_ROWS = 10000 }; /* combinations of codes of one table */

/* ---- tables ---- */

static enum rc read_by(const struct study_reader *r, const struct yaml_node *node, const struct study *study,
		       struct study_table *table)
{
	enum rc rc = read_sequence(r, node, 0, STUDY_MAX_BY);
	unsigned rows = 1;

	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		char name[STUDY_NAME_CAP];
		rc = read_name(r, item, name);
		if (rc != RC_OK)
			return rc;
		int dimension = study_find_dimension(study, name);
		if (dimension < 0)
			return READ_ERROR(r, item, "there is no dimension of this name");
		for (unsigned i = 0; i < table->n_by; i++) {
			if (table->by[i] == dimension)
				return READ_ERROR(r, item, "stands twice");
		}
		table->by[table->n_by++] = (uint8_t)dimension;
		rows *= study->dimensions[dimension].n_codes + 1u;
	}
	if (rc == RC_OK && rows > MAX_ROWS)
		rc = READ_ERROR(r, node, "%u rows a period; at most %d are allowed", rows, MAX_ROWS);
	return rc;
}

/* sigma2 is checked against the method when disclosure is read. */
static enum rc read_table(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	static const char *const keys[] = {"measure", "period", "by", "sigma2", NULL};
	struct study_table *table = &study->tables[study->n_tables++];
	const struct yaml_node *measure_node, *period_node;
	char measure[STUDY_NAME_CAP];
	int period = 0;
	int64_t sigma2 = 0;

	enum rc rc = read_key_name(r, node, table->name);
	if (rc == RC_OK)
		rc = read_keys(r, node, keys);
	if (rc == RC_OK)
		rc = read_required(r, node, "measure", &measure_node);
	if (rc == RC_OK)
		rc = read_name(r, measure_node, measure);
	if (rc == RC_OK)
		rc = read_required(r, node, "period", &period_node);
	if (rc == RC_OK)
		rc = read_word(r, period_node, study_periods, &period);
	if (rc == RC_OK)
		rc = read_decimal(r, yaml_get(node, "sigma2"), 3, 0, 1000000000, &sigma2);
	if (rc == RC_OK && yaml_get(node, "by") != NULL)
		rc = read_by(r, yaml_get(node, "by"), study, table);
	if (rc != RC_OK)
		return rc;
	int found = study_find_measure(study, measure);
	if (found < 0)
		return READ_ERROR(r, measure_node, "there is no measure of this name");
	table->measure = (uint8_t)found;
	table->period = (enum period_kind)period;
	table->sigma2_milli = (uint32_t)sigma2;
	return RC_OK;
}

enum rc study_read_tables(const struct study_reader *r, const struct yaml_node *tables, struct study *study)
{
	enum rc rc = read_mapping(r, tables, STUDY_MAX_TABLES);

	for (const struct yaml_node *child = tables->first; rc == RC_OK && child != NULL; child = child->next)
		rc = read_table(r, child, study);
	return rc;
}

/* ---- disclosure ---- */

/* 1/σ² in millionths is 10⁹ / (1000 σ²), rounded up so that the ledger never undercounts. */
static uint64_t rho_micro(uint64_t sigma2_milli)
{
	return sigma2_milli == 0 ? 0 : (1000000000u + sigma2_milli - 1) / sigma2_milli;
}

uint64_t study_table_rho_micro(const struct study *study, const struct study_table *table)
{
	return study->disclosure.method == DISCLOSURE_CELL_KEY ? 0 : rho_micro(table->sigma2_milli);
}

uint64_t study_linkage_rho_micro(const struct study *study)
{
	/* A person who changes arms moves four counts by one (docs/methods.md). */
	return 2 * rho_micro(study->disclosure.linkage_sigma2_milli);
}

uint64_t study_release_rho_micro(const struct study *study)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < study->n_tables; i++)
		sum += study_table_rho_micro(study, &study->tables[i]);
	return sum + study_linkage_rho_micro(study);
}

/* Keyed noise needs a variance in every table; cell-key has its own. */
static enum rc check_sigma2(const struct study_reader *r, struct study *study)
{
	const struct yaml_node *tables = yaml_get(yaml_tree_root(r->tree), "tables");

	for (unsigned i = 0; i < study->n_tables; i++) {
		const struct yaml_node *table = yaml_get(tables, study->tables[i].name),
				       *sigma2 = yaml_get(table, "sigma2");
		if (study->disclosure.method == DISCLOSURE_CELL_KEY) {
			if (sigma2 != NULL)
				return READ_ERROR(r, sigma2, "the method cell-key has noise of its own; leave it out");
			study->tables[i].sigma2_milli = STUDY_CELL_KEY_SIGMA2_MILLI;
		} else if (study->tables[i].sigma2_milli == 0) {
			return READ_ERROR(r, sigma2 != NULL ? sigma2 : table,
					  "a sigma2 above 0 is needed: the method adds noise");
		}
	}
	return RC_OK;
}

static enum rc check_noise(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	if (study->disclosure.method == DISCLOSURE_NONE)
		return study->synthetic ? RC_OK
					: READ_ERROR(r, yaml_get(node, "method"),
						     "none is allowed only where the study says synthetic: true");
	enum rc rc = check_sigma2(r, study);
	uint64_t rho = study_release_rho_micro(study), limit = study->disclosure.rho_limit_micro;

	if (rc != RC_OK || rho == 0)
		return rc;
	if (yaml_get(node, "rho_limit") == NULL)
		return READ_ERROR(r, node, "the key rho_limit is missing");
	if (rho > limit)
		return READ_ERROR(r, yaml_get(node, "rho_limit"),
				  "one release costs rho %llu.%06llu, more than this limit allows",
				  (unsigned long long)(rho / 1000000), (unsigned long long)(rho % 1000000));
	return RC_OK;
}

static enum rc read_release_dates(const struct study_reader *r, const struct yaml_node *node,
				  struct study_disclosure *d)
{
	enum rc rc = node == NULL ? RC_OK : read_sequence(r, node, 1, STUDY_MAX_RELEASE_DATES);

	for (const struct yaml_node *item = node != NULL ? node->first : NULL; rc == RC_OK && item != NULL;
	     item = item->next) {
		char text[DAY_TEXT_LEN];
		int32_t day = 0;
		rc = read_text(r, item, text, sizeof text);
		if (rc == RC_OK && day_parse(text, &day) != RC_OK)
			return READ_ERROR(r, item, "a date such as 2026-03-31 is needed here");
		if (rc == RC_OK && d->n_release_dates > 0 && day <= d->release_dates[d->n_release_dates - 1])
			return READ_ERROR(r, item, "release dates must ascend");
		d->release_dates[d->n_release_dates++] = day;
	}
	return rc;
}

/* When there will be releases, and what becomes of a period that was published. */
static enum rc read_policy(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	int64_t revision = 0;
	enum rc rc = read_integer(r, yaml_get(node, "revision_after_days"), 1, 3650, &revision);

	study->disclosure.revision_after_days = (uint16_t)revision;
	return rc == RC_OK ? read_release_dates(r, yaml_get(node, "release_dates"), &study->disclosure) : rc;
}

static enum rc read_linkage_by(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	const struct yaml_node *by = yaml_get(node, "linkage_by");
	char name[STUDY_NAME_CAP];

	if (by == NULL)
		return RC_OK;
	if (study->disclosure.linkage_sigma2_milli == 0)
		return READ_ERROR(r, by, "needs linkage_sigma2, the variance of the counts");
	enum rc rc = read_name(r, by, name);
	if (rc != RC_OK)
		return rc;
	int dimension = study_find_dimension(study, name);
	if (dimension < 0)
		return READ_ERROR(r, by, "there is no dimension of this name");
	study->disclosure.linkage_by = (uint8_t)(dimension + 1);
	return RC_OK;
}

static enum rc read_limits(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	struct study_disclosure *d = &study->disclosure;
	int64_t linkage_sigma2 = 0, threshold = 10, rho = 0, events = 4, interval = 28, records = 1,
		sources = study->n_sources < 2 ? 1 : 2;

	enum rc rc = read_integer(r, yaml_get(node, "threshold"), 0, 1000, &threshold);
	if (rc == RC_OK)
		rc = read_decimal(r, yaml_get(node, "rho_limit"), 6, 1, 1000000000, &rho);
	if (rc == RC_OK)
		rc = read_integer(r, yaml_get(node, "max_index_events"), 1, 1000, &events);
	if (rc == RC_OK)
		rc = read_integer(r, yaml_get(node, "interval_days"), 0, 3650, &interval);
	if (rc == RC_OK)
		rc = read_integer(r, yaml_get(node, "min_new_records"), 0, 1000000000, &records);
	if (rc == RC_OK)
		rc = read_integer(r, yaml_get(node, "min_sources"), 0, study->n_sources, &sources);
	if (rc == RC_OK)
		rc = read_bool(r, yaml_get(node, "provisional"), &d->provisional);
	if (rc == RC_OK)
		rc = read_decimal(r, yaml_get(node, "linkage_sigma2"), 3, 1, 1000000000, &linkage_sigma2);
	d->linkage_sigma2_milli = (uint32_t)linkage_sigma2;
	if (rc == RC_OK)
		rc = read_linkage_by(r, node, study);
	d->threshold = (uint32_t)threshold;
	d->rho_limit_micro = (uint64_t)rho;
	d->max_index_events = (uint16_t)events;
	d->interval_days = (uint32_t)interval;
	d->min_new_records = (uint32_t)records;
	d->min_sources = (uint16_t)sources;
	return rc;
}

enum rc study_read_disclosure(const struct study_reader *r, const struct yaml_node *node, struct study *study)
{
	static const char *const keys[] = {"method",
					   "threshold",
					   "rho_limit",
					   "max_index_events",
					   "interval_days",
					   "min_new_records",
					   "min_sources",
					   "provisional",
					   "linkage_by",
					   "linkage_sigma2",
					   "revision_after_days",
					   "release_dates",
					   NULL};
	int method = DISCLOSURE_KEYED_NOISE;

	enum rc rc = read_keys(r, node, keys);
	if (rc == RC_OK)
		rc = read_word(r, yaml_get(node, "method"), study_disclosure_methods, &method);
	study->disclosure.method = (enum study_disclosure_method)method;
	if (rc == RC_OK)
		rc = read_limits(r, node, study);
	if (rc == RC_OK)
		rc = read_policy(r, node, study);
	return rc == RC_OK ? check_noise(r, node, study) : rc;
}

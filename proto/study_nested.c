/* Tables that do not cut across each other. Two partitions of the same thing that overlap without being nested (ages
 * 18–24, 25–34 beside 18–20, 21–34) give, by subtraction, cells that no table declares and no row total guards. So what
 * is published of one kind is nested: of any two partitions one only joins what the other tells apart. */
#include <string.h>

#include "proto/lattice.h"
#include "proto/study_internal.h"

/* Is every number of the shorter list in the longer one? Both ascend. */
static bool lists_are_nested(const uint16_t *a, unsigned n_a, const uint16_t *b, unsigned n_b)
{
	const uint16_t *few = n_a <= n_b ? a : b, *many = n_a <= n_b ? b : a;
	unsigned n_few = n_a <= n_b ? n_a : n_b, n_many = n_a <= n_b ? n_b : n_a, j = 0;

	for (unsigned i = 0; i < n_few; i++) {
		while (j < n_many && many[j] < few[i])
			j++;
		if (j == n_many || many[j] != few[i])
			return false;
	}
	return true;
}

static bool is_published(const struct study *study, unsigned measure)
{
	for (unsigned t = 0; t < study->n_tables; t++) {
		if (study->tables[t].measure == measure)
			return true;
	}
	return false;
}

static bool is_dimension_published(const struct study *study, unsigned dimension)
{
	for (unsigned t = 0; t < study->n_tables; t++) {
		if ((lattice_table_set(&study->tables[t]) >> dimension & 1) != 0)
			return true;
	}
	return false;
}

static enum rc check_measures(const struct study_reader *r, const struct yaml_node *root, const struct study *study)
{
	for (unsigned i = 0; i < study->n_measures; i++) {
		for (unsigned j = 0; j < i; j++) {
			const struct study_measure *a = &study->measures[i], *b = &study->measures[j];
			if (a->kind == b->kind && is_published(study, i) && is_published(study, j) &&
			    !lists_are_nested(a->band_ends, a->n_bands, b->band_ends, b->n_bands))
				return READ_ERROR(r, yaml_get(yaml_get(root, "measures"), a->name),
						  "its bands overlap those of %s; one must only join bands of the "
						  "other",
						  b->name);
		}
	}
	return RC_OK;
}

static enum rc check_ages(const struct study_reader *r, const struct yaml_node *root, const struct study *study)
{
	for (unsigned i = 0; i < study->n_dimensions; i++) {
		for (unsigned j = 0; j < i; j++) {
			const struct study_dimension *a = &study->dimensions[i], *b = &study->dimensions[j];
			if (a->derivation == DERIVED_AGE_BAND && b->derivation == DERIVED_AGE_BAND &&
			    strcmp(a->column, b->column) == 0 && is_dimension_published(study, i) &&
			    is_dimension_published(study, j) &&
			    !lists_are_nested(a->band_starts, a->n_codes, b->band_starts, b->n_codes))
				return READ_ERROR(r, yaml_get(yaml_get(root, "dimensions"), a->name),
						  "its bands overlap those of %s; one must only join bands of the "
						  "other",
						  b->name);
		}
	}
	return RC_OK;
}

/* The same cells twice would be charged twice. */
static enum rc check_tables(const struct study_reader *r, const struct yaml_node *root, const struct study *study)
{
	for (unsigned i = 0; i < study->n_tables; i++) {
		for (unsigned j = 0; j < i; j++) {
			const struct study_table *a = &study->tables[i], *b = &study->tables[j];
			if (a->measure == b->measure && a->period == b->period &&
			    lattice_table_set(a) == lattice_table_set(b))
				return READ_ERROR(r, yaml_get(yaml_get(root, "tables"), a->name),
						  "has the very cells of table %s", b->name);
		}
	}
	return RC_OK;
}

enum rc study_check_nested(const struct study_reader *r, const struct yaml_node *root, const struct study *study)
{
	enum rc rc = check_tables(r, root, study);

	if (rc == RC_OK)
		rc = check_measures(r, root, study);
	return rc == RC_OK ? check_ages(r, root, study) : rc;
}

/* Who is who: truth.csv against the persons that the linkage formed. Counted are pairs of rows, one of each register.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/link/pool.h"
#include "tools/encode/record.h"
#include "tools/encode/register.h"
#include "tools/lab/lab.h"

struct known {
	uint16_t source;
	uint8_t record_id[RECORD_ID_LEN];
	uint8_t entity[RECORD_ID_LEN]; /* hidden like a record number: only equality matters */
};

static int compare_known(const void *x, const void *y)
{
	const struct known *p = x, *q = y;

	if (p->source != q->source)
		return p->source < q->source ? -1 : 1;
	return memcmp(p->record_id, q->record_id, RECORD_ID_LEN);
}

struct truth {
	struct known *known;
	size_t n, cap;
};

static enum rc add_known(struct truth *truth, const struct lab_registers *registers, const struct encode_value *file,
			 const struct encode_value *record, const struct encode_value *entity)
{
	int side = -1;
	struct known *k;
	enum rc rc;

	for (int i = 0; i < LAB_SIDES; i++) {
		const char *name = registers->study->sources[registers->source[i]].name;

		if (file->len == strlen(name) && memcmp(file->bytes, name, file->len) == 0)
			side = i;
	}
	if (side < 0)
		return RC_INVALID;
	if (truth->n == truth->cap) {
		size_t cap = truth->cap * 2 + 1024;
		struct known *grown = realloc(truth->known, cap * sizeof *grown);

		if (grown == NULL)
			return RC_NOMEM;
		truth->known = grown;
		truth->cap = cap;
	}
	k = &truth->known[truth->n];
	k->source = (uint16_t)registers->source[side];
	rc = record_hide_id(lab_record_key, RECORD_LABEL, record->bytes, record->len, k->record_id);
	if (rc == RC_OK)
		rc = record_hide_id(lab_record_key, PERSON_LABEL, entity->bytes, entity->len, k->entity);
	if (rc == RC_OK)
		truth->n++;
	return rc;
}

static enum rc read_rows(const char *path, const struct lab_csv *csv, const struct lab_registers *registers,
			 struct truth *truth, struct diag *diag)
{
	static const char *const names[3] = {"file", "record_id", "entity"};
	int column[3];
	struct register_row row;
	struct diag inner = {""};
	bool more = true;
	enum rc rc = RC_OK;

	for (int i = 0; i < 3; i++) {
		column[i] = register_column(csv->file, names[i], 0);
		if (column[i] < 0)
			return diag_set(diag, RC_INVALID,
					"%s: there is no column '%s'; expected file, record_id, entity", path,
					names[i]);
	}
	while (rc == RC_OK) {
		rc = register_next(csv->file, &row, &more, &inner);
		if (rc != RC_OK)
			return diag_set(diag, rc, "%s: %s", path, inner.text);
		if (!more)
			break;
		if (row.problem != NULL)
			return diag_set(diag, RC_INVALID, "%s: row %llu: %s", path, (unsigned long long)row.number,
					row.problem);
		rc = add_known(truth, registers, &row.fields[column[0]], &row.fields[column[1]],
			       &row.fields[column[2]]);
		if (rc == RC_INVALID)
			return diag_set(
				diag, rc,
				"%s: row %llu, column file: expected the name of the prison or treatment source", path,
				(unsigned long long)row.number);
	}
	return rc;
}

/* A row of the pool, to be sorted by what is counted. */
struct counted {
	uint8_t entity[RECORD_ID_LEN];
	uint32_t person, row;
	uint8_t side;
};

static int compare_entities(const void *x, const void *y)
{
	return memcmp(((const struct counted *)x)->entity, ((const struct counted *)y)->entity, RECORD_ID_LEN);
}

static int compare_persons(const void *x, const void *y)
{
	const struct counted *p = x, *q = y;

	return p->person < q->person ? -1 : p->person > q->person;
}

static int compare_both(const void *x, const void *y)
{
	int order = compare_persons(x, y);

	return order != 0 ? order : compare_entities(x, y);
}

/* Σ over groups of equal elements of (rows of one side) · (rows of the other). */
static uint64_t count_pairs(struct counted *rows, size_t n, int (*compare)(const void *, const void *))
{
	uint64_t pairs = 0;

	qsort(rows, n, sizeof *rows, compare);
	for (size_t i = 0, j; i < n; i = j) {
		uint64_t sides[LAB_SIDES] = {0};

		for (j = i; j < n && compare(&rows[i], &rows[j]) == 0; j++)
			sides[rows[j].side]++;
		pairs += sides[0] * sides[1];
	}
	return pairs;
}

static bool is_below_floor(const struct lab_registers *registers, uint32_t a, uint32_t b)
{
	const struct study_domain *domain = &registers->study->domains[registers->domain];
	struct link_pattern pattern = link_pattern_of(registers->pool, a, b);
	int32_t weight = 0;

	for (unsigned c = 0; c < domain->n_comparisons; c++)
		weight += domain->comparisons[c].reference_weight[pattern.level[c]];
	return weight < domain->floor;
}

/* True pairs that the candidate floor loses. `rows` are sorted by entity. */
static uint64_t count_below_floor(const struct lab_registers *registers, const struct counted *rows, size_t n)
{
	uint64_t below = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = i + 1; j < n && compare_entities(&rows[i], &rows[j]) == 0; j++)
			below += rows[i].side != rows[j].side && is_below_floor(registers, rows[i].row, rows[j].row);
	}
	return below;
}

/* Entity and side of every row of the pool. */
static enum rc find_rows(const char *path, struct truth *truth, const struct lab_registers *registers,
			 struct counted **ret, struct diag *diag)
{
	uint32_t n = link_pool_n_rows(registers->pool);
	struct counted *rows = malloc((n > 0 ? n : 1) * sizeof *rows);

	if (rows == NULL)
		return RC_NOMEM;
	qsort(truth->known, truth->n, sizeof *truth->known, compare_known);
	for (uint32_t i = 0; i < n; i++) {
		const struct pool_meta *meta = pool_meta_of(registers->pool, i);
		struct known key = {.source = meta->source};
		const struct known *found;

		memcpy(key.record_id, meta->record_id, RECORD_ID_LEN);
		found = bsearch(&key, truth->known, truth->n, sizeof key, compare_known);
		if (found == NULL) {
			free(rows);
			return diag_set(diag, RC_INVALID, "%s: record %u of the registers has no row", path, i + 1);
		}
		memcpy(rows[i].entity, found->entity, RECORD_ID_LEN);
		rows[i].row = i;
		rows[i].side = meta->source == registers->source[1];
	}
	*ret = rows;
	return RC_OK;
}

static enum rc load_rows(const char *path, const struct lab_registers *registers, struct counted **ret,
			 struct diag *diag)
{
	struct truth truth = {0};
	struct lab_csv csv;
	enum rc rc = lab_csv_open(path, &csv, diag);

	if (rc != RC_OK)
		return rc;
	rc = read_rows(path, &csv, registers, &truth, diag);
	if (rc == RC_OK)
		rc = find_rows(path, &truth, registers, ret, diag);
	lab_csv_close(&csv);
	free(truth.known);
	return rc;
}

enum rc lab_truth_score(const char *path, const struct lab_registers *registers, const uint32_t *person,
			struct lab_score *ret, struct diag *diag)
{
	uint32_t n = link_pool_n_rows(registers->pool);
	struct counted *rows = NULL;
	enum rc rc = load_rows(path, registers, &rows, diag);

	if (rc != RC_OK)
		return rc;
	for (uint32_t i = 0; i < n; i++)
		rows[i].person = person[i];
	ret->true_pairs = count_pairs(rows, n, compare_entities);
	ret->below_floor = count_below_floor(registers, rows, n);
	ret->linked_pairs = count_pairs(rows, n, compare_persons);
	ret->right_pairs = count_pairs(rows, n, compare_both);
	free(rows);
	return RC_OK;
}

enum rc lab_truth_entities(const char *path, const struct lab_registers *registers, uint64_t *ret, struct diag *diag)
{
	struct counted *rows = NULL;
	enum rc rc = load_rows(path, registers, &rows, diag);

	for (uint32_t i = 0; rc == RC_OK && i < link_pool_n_rows(registers->pool); i++)
		memcpy(&ret[i], rows[i].entity, sizeof ret[i]);
	free(rows);
	return rc;
}

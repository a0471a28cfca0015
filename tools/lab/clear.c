/* The registers in clear text, as numbers: what the attacks are scored by, and who has moved. */
#include <stdlib.h>
#include <string.h>

#include "tools/encode/record.h"
#include "tools/encode/register.h"
#include "tools/lab/lab.h"

static enum rc hide_value(const struct encode_value *value, uint64_t *ret)
{
	uint8_t hidden[RECORD_ID_LEN];
	enum rc rc = RC_OK;

	*ret = 0;
	if (value->len == 0)
		return RC_OK;
	rc = record_hide_id(lab_record_key, "value", value->bytes, value->len, hidden);
	memcpy(ret, hidden, sizeof *ret);
	return rc;
}

static enum rc read_side(const char *path, const struct lab_registers *r, uint32_t first, uint32_t n_rows,
			 struct lab_clear *clear, struct diag *diag)
{
	const struct schema *schema = r->study->domains[r->domain].schema;
	struct register_row row;
	struct lab_csv csv;
	struct diag inner = {""};
	bool more = true;
	enum rc rc = lab_csv_open(path, &csv, diag);

	if (rc != RC_OK)
		return rc;
	for (uint32_t i = 0; i < n_rows && rc == RC_OK; i++) {
		rc = register_next(csv.file, &row, &more, &inner);
		if (rc == RC_OK && !more)
			rc = RC_INVALID;
		for (unsigned f = 0; rc == RC_OK && f < schema->n_features; f++) {
			int column = register_column(csv.file, schema->features[f].identifier, 0);
			if (column >= 0 && (size_t)column < row.n_fields)
				rc = hide_value(&row.fields[column], &clear->values[f][first + i]);
		}
	}
	lab_csv_close(&csv);
	return rc == RC_OK ? rc : diag_set(diag, rc, "%s: it changed while it was read", path);
}

enum rc lab_clear_load(const struct lab_input *input, const struct lab_registers *registers, struct lab_clear *ret,
		       struct diag *diag)
{
	const struct schema *schema = registers->study->domains[registers->domain].schema;
	size_t n = (size_t)registers->n_rows[0] + registers->n_rows[1];
	enum rc rc;

	memset(ret, 0, sizeof *ret);
	for (unsigned f = 0; f < schema->n_features; f++) {
		ret->values[f] = calloc(n + 1, sizeof *ret->values[f]);
		if (ret->values[f] == NULL)
			return RC_NOMEM;
	}
	rc = read_side(input->csv[0], registers, 0, registers->n_rows[0], ret, diag);
	if (rc == RC_OK)
		rc = read_side(input->csv[1], registers, registers->n_rows[0], registers->n_rows[1], ret, diag);
	return rc;
}

void lab_clear_deinit(struct lab_clear *clear)
{
	for (unsigned f = 0; f < LAB_FIELDS; f++)
		free(clear->values[f]);
}

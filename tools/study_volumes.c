#include "tools/study_volumes.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "tools/whole_file.h"

enum { MAX_BYTES = 1 << 20, N_FIELDS = 4, DEFAULT_PER_YEAR = 1000, DEFAULT_YEARS = 10 };

void study_volumes_init(struct study_volumes *volumes, const struct study *study, uint64_t per_year)
{
	memset(volumes, 0, sizeof *volumes);
	volumes->given = per_year > 0;
	for (unsigned m = 0; m < study->n_measures; m++) {
		volumes->per_year[m] = per_year > 0 ? (double)per_year : DEFAULT_PER_YEAR;
		for (unsigned d = 0; d < study->n_dimensions; d++) {
			unsigned n = study->dimensions[d].n_codes;
			for (unsigned c = 1; c <= n; c++)
				volumes->share[m][d][c] = 1.0 / n;
		}
	}
}

/* ---- the file ---- */

struct reading {
	const struct study *study;
	const char *path;
	struct diag *diag;
	unsigned line;
	bool has_total[STUDY_MAX_MEASURES], has_codes[STUDY_MAX_MEASURES][STUDY_MAX_DIMENSIONS];
	struct study_volumes *volumes;
};

#define LINE_ERROR(r, ...) diag_set((r)->diag, RC_INVALID, "%s:%u: " __VA_ARGS__)

static enum rc read_number(const struct reading *r, const char *text, double *ret)
{
	char *end = NULL;
	double value = strtod(text, &end);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || !(value >= 0 && value < 1e9))
		return LINE_ERROR(r, "per_year: expected a number from 0 to 999999999", r->path, r->line);
	*ret = value;
	return RC_OK;
}

static enum rc read_code(struct reading *r, int measure, char *const fields[N_FIELDS], double value)
{
	int dimension = study_find_dimension(r->study, fields[1]);

	if (dimension < 0)
		return LINE_ERROR(r, "the study has no dimension of this name", r->path, r->line);
	int code = study_find_code(&r->study->dimensions[dimension], fields[2]);
	if (code < 0)
		return LINE_ERROR(r, "the dimension has no code of this name", r->path, r->line);
	double *shares = r->volumes->share[measure][dimension];
	if (!r->has_codes[measure][dimension])
		memset(shares, 0, sizeof r->volumes->share[measure][dimension]);
	r->has_codes[measure][dimension] = true;
	shares[code] = value;
	return RC_OK;
}

static enum rc read_line(struct reading *r, char *line)
{
	char *fields[N_FIELDS];
	double value = 0;

	for (unsigned i = 0; i < N_FIELDS; i++) {
		fields[i] = line;
		line = strchr(line, ',');
		if ((line == NULL) != (i == N_FIELDS - 1))
			return LINE_ERROR(r, "expected four fields: measure,dimension,code,per_year", r->path, r->line);
		if (line != NULL)
			*line++ = '\0';
	}
	if (r->line == 1)
		return strcmp(fields[0], "measure") == 0 && strcmp(fields[1], "dimension") == 0 &&
				       strcmp(fields[2], "code") == 0 && strcmp(fields[3], "per_year") == 0
			       ? RC_OK
			       : LINE_ERROR(r, "expected the header measure,dimension,code,per_year", r->path, r->line);
	int measure = study_find_measure(r->study, fields[0]);
	if (measure < 0)
		return LINE_ERROR(r, "the study has no measure of this name", r->path, r->line);
	enum rc rc = read_number(r, fields[3], &value);
	if (rc != RC_OK)
		return rc;
	if (fields[1][0] != '\0')
		return read_code(r, measure, fields, value);
	if (fields[2][0] != '\0')
		return LINE_ERROR(r, "a code without a dimension", r->path, r->line);
	r->volumes->per_year[measure] = value;
	r->has_total[measure] = true;
	return RC_OK;
}

/* Numbers of codes become shares; a measure without a total has that of the first dimension that was given. */
static void finish(struct reading *r)
{
	for (unsigned m = 0; m < r->study->n_measures; m++) {
		for (unsigned d = 0; d < r->study->n_dimensions; d++) {
			double sum = 0, *shares = r->volumes->share[m][d];
			if (!r->has_codes[m][d])
				continue;
			for (unsigned c = 0; c <= r->study->dimensions[d].n_codes; c++)
				sum += shares[c];
			for (unsigned c = 0; c <= r->study->dimensions[d].n_codes; c++)
				shares[c] = sum > 0 ? shares[c] / sum : 0;
			if (!r->has_total[m])
				r->volumes->per_year[m] = sum;
			r->has_total[m] = true;
		}
	}
	r->volumes->given = true;
}

enum rc study_volumes_read(struct study_volumes *volumes, const struct study *study, const char *path,
			   struct diag *diag)
{
	struct reading r = {.study = study, .path = path, .diag = diag, .volumes = volumes};
	struct buffer text;

	buffer_init(&text);
	enum rc rc = whole_file_read(path, MAX_BYTES, &text, diag);
	if (rc == RC_OK && memchr(text.data, '\0', text.len) != NULL)
		rc = diag_set(diag, RC_INVALID, "%s: not a text file", path);
	if (rc == RC_OK)
		buffer_append(&text, "", 1);
	if (rc == RC_OK && text.failed)
		rc = RC_NOMEM;
	char *at = (char *)text.data;
	while (rc == RC_OK && *at != '\0') {
		char *end = at + strcspn(at, "\n"), *next = *end == '\0' ? end : end + 1;
		*end = '\0';
		if (end > at && end[-1] == '\r')
			end[-1] = '\0';
		r.line++;
		if (*at != '\0')
			rc = read_line(&r, at);
		at = next;
	}
	if (rc == RC_OK)
		finish(&r);
	buffer_deinit(&text);
	return rc;
}

/* ---- rows ---- */

double study_volumes_of_row(const struct study_volumes *volumes, const struct study *study,
			    const struct study_table *table, unsigned row)
{
	double n = volumes->per_year[table->measure];

	if (table->period == PERIOD_QUARTER)
		n /= 4;
	if (table->period == PERIOD_ALL)
		n *= study->retention_years != 0 ? study->retention_years : DEFAULT_YEARS;
	for (unsigned i = table->n_by; i-- > 0;) {
		unsigned n_codes = study->dimensions[table->by[i]].n_codes + 1U;
		n *= volumes->share[table->measure][table->by[i]][row % n_codes];
		row /= n_codes;
	}
	return n;
}

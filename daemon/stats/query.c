/* Parsing of a query string, and the one text that the log keeps of a query. Whatever the client wrote, what comes out
 * holds only names, period texts and numbers that passed their syntax. */
#include <stdlib.h>
#include <string.h>

#include "daemon/stats/stats.h"
#include "proto/bytes.h"
#include "proto/day.h"

enum { QUERY_MAX_BYTES = 1024, VALUE_CAP = 256 };

static bool is_name(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len < STUDY_NAME_CAP && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len &&
	       s[0] >= 'a' && s[0] <= 'z';
}

/* Decode %XX (form-encoded '+' is a space, which no value may hold). False for a bad escape, NUL or too long a text. */
static bool decode(const char *from, size_t len, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)from[i];
		if (c == '%') {
			if (len - i < 3 || hex_digit(from[i + 1]) < 0 || hex_digit(from[i + 2]) < 0)
				return false;
			c = hex_digit(from[i + 1]) << 4 | hex_digit(from[i + 2]);
			i += 2;
		}
		if (c <= ' ' || c >= 0x7f || n + 1 >= cap)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return true;
}

struct parse {
	const struct study *study;
	int table; /* -1 = not in the study */
	struct stats_query query;
	uint32_t release;
	unsigned seen; /* bit a key */
	struct diag *diag;
};

static enum rc take_release(struct parse *p, const char *value)
{
	size_t len = strlen(value);

	if (len == 0 || len > 9 || strspn(value, "0123456789") != len || value[0] == '0')
		return diag_set(p->diag, RC_USAGE, "release: expected a number from 1");
	p->release = (uint32_t)strtoul(value, NULL, 10);
	return RC_OK;
}

static enum rc take_period(struct parse *p, const char *value)
{
	enum period_kind kind;
	int32_t index;

	if (period_parse(value, &kind, &index) != RC_OK)
		return diag_set(p->diag, RC_USAGE, "period: expected a period such as 2024-Q1 or 2024");
	period_format(kind, index, p->query.period);
	return RC_OK;
}

/* Of the current study only: an older release may have had another table of this name. */
static enum rc check_period(const struct parse *p)
{
	enum period_kind kind, wanted = p->study->tables[p->table].period;
	int32_t index;

	if (p->query.period[0] == '\0' || p->release != 0 ||
	    (period_parse(p->query.period, &kind, &index) == RC_OK && kind == wanted))
		return RC_OK;
	return diag_set(p->diag, RC_USAGE, "period: expected a period of table %s, such as %s", p->query.table,
			wanted == PERIOD_ALL    ? "all"
			: wanted == PERIOD_YEAR ? "2024"
						: "2024-Q1");
}

static enum rc take_dimension(struct parse *p, const char *name)
{
	struct stats_query *q = &p->query;

	if (!is_name(name))
		return diag_set(p->diag, RC_USAGE, "by: expected names of dimensions with commas between them");
	if (q->n_by >= STUDY_MAX_BY)
		return diag_set(p->diag, RC_USAGE, "by: at most %d dimensions", STUDY_MAX_BY);
	for (int i = 0; i < q->n_by; i++) {
		if (strcmp(q->by[i], name) == 0)
			return diag_set(p->diag, RC_USAGE, "by: %s is named twice", name);
	}
	strcpy(q->by[q->n_by++], name);
	return RC_OK;
}

static enum rc take_by(struct parse *p, char *value)
{
	enum rc rc = RC_OK;

	p->query.by_given = true;
	while (value[0] != '\0' && rc == RC_OK) {
		char *comma = strchr(value, ',');
		if (comma != NULL)
			*comma = '\0';
		rc = take_dimension(p, value);
		if (comma != NULL && comma[1] == '\0')
			return diag_set(p->diag, RC_USAGE, "by: nothing stands after the last comma");
		value = comma != NULL ? comma + 1 : value + strlen(value);
	}
	return rc;
}

static bool is_code(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len < STUDY_NAME_CAP &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-") == len;
}

static enum rc take_compare(struct parse *p, char *value)
{
	char *colon = strchr(value, ':');

	if (colon == NULL)
		return diag_set(p->diag, RC_USAGE, "compare: expected DIMENSION:CODE");
	*colon = '\0';
	if (!is_name(value) || !is_code(colon + 1))
		return diag_set(p->diag, RC_USAGE, "compare: expected the name of a dimension, a colon and a code");
	strcpy(p->query.compare, value);
	strcpy(p->query.against, colon + 1);
	return RC_OK;
}

static enum rc take_pair(struct parse *p, const char *text, size_t len)
{
	static const char *const keys[] = {"release", "period", "by", "compare"};
	const char *equals = memchr(text, '=', len);
	char value[VALUE_CAP];
	unsigned key = 0;

	if (equals == NULL || !decode(equals + 1, len - (size_t)(equals + 1 - text), value, sizeof value))
		return diag_set(p->diag, RC_USAGE,
				"the query is not understood: expected KEY=VALUE with & between them");
	while (key < 4 &&
	       (strlen(keys[key]) != (size_t)(equals - text) || memcmp(keys[key], text, (size_t)(equals - text)) != 0))
		key++;
	if (key == 4)
		return diag_set(p->diag, RC_USAGE, "unknown key in the query: expected release, period, by or compare");
	if ((p->seen >> key & 1U) != 0)
		return diag_set(p->diag, RC_USAGE, "%s is given twice", keys[key]);
	p->seen |= 1U << key;
	return key == 0   ? take_release(p, value)
	       : key == 1 ? take_period(p, value)
	       : key == 2 ? take_by(p, value)
			  : take_compare(p, value);
}

static enum rc refuse_dimension(struct parse *p, const struct study_table *table, const char *name)
{
	char list[STUDY_MAX_BY * (STUDY_NAME_CAP + 2)] = "";

	for (int t = 0; t < table->n_by; t++) {
		strcat(list, t > 0 ? ", " : "");
		strcat(list, p->study->dimensions[table->by[t]].name);
	}
	return diag_set(p->diag, RC_USAGE, "by: table %s has no dimension %s; it has %s", p->query.table, name,
			table->n_by > 0 ? list : "none");
}

/* Dimensions in the table's order; all of them is the same as none given. */
static enum rc order_dimensions(struct parse *p)
{
	const struct study_table *table = &p->study->tables[p->table];
	struct stats_query ordered = p->query;
	uint8_t n = 0;

	for (int t = 0; t < table->n_by; t++) {
		const char *name = p->study->dimensions[table->by[t]].name;
		for (int i = 0; i < p->query.n_by; i++) {
			if (strcmp(p->query.by[i], name) == 0)
				memcpy(ordered.by[n++], p->query.by[i], STUDY_NAME_CAP);
		}
	}
	if (n == p->query.n_by) {
		p->query = ordered;
		if (n == table->n_by) {
			p->query.by_given = false;
			p->query.n_by = 0;
			memset(p->query.by, 0, sizeof p->query.by);
		}
		return RC_OK;
	}
	for (int i = 0; i < p->query.n_by; i++) {
		int t = 0;
		while (t < table->n_by && strcmp(p->query.by[i], p->study->dimensions[table->by[t]].name) != 0)
			t++;
		if (t == table->n_by && p->release == 0)
			return refuse_dimension(p, table, p->query.by[i]);
	}
	return RC_OK;
}

static enum rc check_table(struct parse *p, const char *table)
{
	if (!is_name(table))
		return diag_set(p->diag, RC_NOTFOUND, "there is no table of this name");
	strcpy(p->query.table, table);
	p->table = -1;
	for (int i = 0; i < p->study->n_tables; i++) {
		if (strcmp(p->study->tables[i].name, table) == 0)
			p->table = i;
	}
	return RC_OK;
}

enum rc stats_query_parse(const struct study *study, const char *table, const char *query_string,
			  struct stats_query *ret, uint32_t *ret_release, struct diag *diag)
{
	struct parse p = {.study = study, .diag = diag};
	const char *at = query_string != NULL ? query_string : "";
	enum rc rc = check_table(&p, table);

	if (rc == RC_OK && strlen(at) > QUERY_MAX_BYTES)
		return diag_set(diag, RC_USAGE, "the query is longer than %d bytes", QUERY_MAX_BYTES);
	while (rc == RC_OK && *at != '\0') {
		size_t len = strcspn(at, "&");
		rc = take_pair(&p, at, len);
		at += len;
		if (rc == RC_OK && *at == '&' && *++at == '\0')
			return diag_set(diag, RC_USAGE, "the query ends with &");
	}
	if (rc == RC_OK && p.table < 0 && p.release == 0)
		return diag_set(diag, RC_NOTFOUND, "the study declares no table %s; GET /v1/tables lists them",
				p.query.table);
	if (rc == RC_OK && p.table >= 0)
		rc = check_period(&p);
	if (rc == RC_OK && p.table >= 0 && p.query.by_given)
		rc = order_dimensions(&p);
	if (rc != RC_OK)
		return rc;
	*ret = p.query;
	*ret_release = p.release;
	return RC_OK;
}

enum rc stats_query_canonical(const struct stats_query *query, uint32_t release, struct buffer *out)
{
	buffer_printf(out, "%s?release=%lu", query->table, (unsigned long)release);
	if (query->period[0] != '\0')
		buffer_printf(out, "&period=%s", query->period);
	if (query->by_given)
		buffer_printf(out, "&by=");
	for (int i = 0; query->by_given && i < query->n_by; i++)
		buffer_printf(out, "%s%s", i == 0 ? "" : ",", query->by[i]);
	if (query->compare[0] != '\0')
		buffer_printf(out, "&compare=%s:%s", query->compare, query->against);
	return out->failed ? RC_NOMEM : RC_OK;
}

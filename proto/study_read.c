/* Typed reading of YAML nodes for the study: every failure says line, path and what was expected. */
#include "proto/study_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *kind_name(enum yaml_kind kind)
{
	return kind == YAML_SCALAR ? "a single value" : kind == YAML_SEQUENCE ? "a list" : "a mapping";
}

static enum rc need_kind(const struct study_reader *r, const struct yaml_node *node, enum yaml_kind kind)
{
	if (node->kind == kind)
		return RC_OK;
	if (node->kind == YAML_SCALAR && node->text_len == 0)
		return READ_ERROR(r, node, "is empty; %s is needed here", kind_name(kind));
	return READ_ERROR(r, node, "%s is needed here, not %s", kind_name(kind), kind_name(node->kind));
}

/* Damerau–Levenshtein distance (adjacent swaps count one), of words cut at 40 bytes. */
static int edits(const char *a, const char *b)
{
	enum { CAP = 40 };
	int d[CAP + 1][CAP + 1];
	int n = (int)strnlen(a, CAP), m = (int)strnlen(b, CAP);

	for (int i = 0; i <= n; i++) {
		for (int j = 0; j <= m; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = i + j;
				continue;
			}
			int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[n][m];
}

const char *nearest_word(const char *word, const char *const *candidates)
{
	const char *best = NULL;
	int limit = (int)strlen(word) / 3 + 1, least = limit + 1;

	for (; *candidates != NULL; candidates++) {
		int distance = edits(word, *candidates);
		if (distance < least) {
			least = distance;
			best = *candidates;
		}
	}
	return best;
}

static void list_words(const char *const *words, char *out, size_t cap)
{
	size_t at = 0;

	out[0] = 0;
	for (; *words != NULL && at < cap; words++) {
		int n = snprintf(out + at, cap - at, "%s%s", at > 0 ? ", " : "", *words);
		at += n > 0 ? (size_t)n : 0;
	}
}

enum rc read_keys(const struct study_reader *r, const struct yaml_node *node, const char *const *keys)
{
	enum rc rc = need_kind(r, node, YAML_MAPPING);

	if (rc != RC_OK)
		return rc;
	for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
		const char *const *key = keys;
		while (*key != NULL && strcmp(*key, child->key) != 0)
			key++;
		if (*key != NULL)
			continue;
		const char *near = nearest_word(child->key, keys);
		if (near != NULL)
			return READ_ERROR(r, child, "unknown key; did you mean %s?", near);
		char known[200];
		list_words(keys, known, sizeof known);
		return READ_ERROR(r, child, "unknown key; known here: %s", known);
	}
	return RC_OK;
}

enum rc read_mapping(const struct study_reader *r, const struct yaml_node *node, size_t max)
{
	enum rc rc = need_kind(r, node, YAML_MAPPING);

	if (rc == RC_OK && node->n_children == 0)
		rc = READ_ERROR(r, node, "is empty; at least one entry is needed");
	if (rc == RC_OK && node->n_children > max)
		rc = READ_ERROR(r, node, "%u entries; at most %zu are allowed", (unsigned)node->n_children, max);
	return rc;
}

enum rc read_sequence(const struct study_reader *r, const struct yaml_node *node, size_t min, size_t max)
{
	enum rc rc = need_kind(r, node, YAML_SEQUENCE);

	if (rc == RC_OK && node->n_children < min)
		rc = READ_ERROR(r, node, "%u items; at least %zu are needed", (unsigned)node->n_children, min);
	if (rc == RC_OK && node->n_children > max)
		rc = READ_ERROR(r, node, "%u items; at most %zu are allowed", (unsigned)node->n_children, max);
	return rc;
}

enum rc read_required(const struct study_reader *r, const struct yaml_node *node, const char *key,
		      const struct yaml_node **ret)
{
	const struct yaml_node *child = yaml_get(node, key);

	if (child == NULL)
		return READ_ERROR(r, node, "the key %s is missing", key);
	*ret = child;
	return RC_OK;
}

static void print_decimal(int64_t value, int places, char out[32])
{
	int64_t unit = 1;

	for (int i = 0; i < places; i++)
		unit *= 10;
	int64_t whole = value / unit, rest = llabs(value % unit);
	int n = snprintf(out, 32, "%s%lld", value < 0 && whole == 0 ? "-" : "", (long long)whole);
	if (rest == 0)
		return;
	n += snprintf(out + n, (size_t)(32 - n), ".%0*lld", places, (long long)rest);
	while (out[n - 1] == '0')
		out[--n] = 0;
}

/* Digits of `text` as an integer of 10^-places. False when it is no such decimal or beyond ±10^15. */
static bool parse_decimal(const char *text, int places, int64_t *ret)
{
	const int64_t limit = 1000000000000000;
	bool negative = *text == '-', any = false;
	int64_t value = 0;
	int after = -1;

	for (text += negative; *text != 0; text++) {
		if (*text == '.' && after < 0 && any) {
			after = 0;
			continue;
		}
		if (*text < '0' || *text > '9' || value > limit)
			return false;
		if (after >= 0 && ++after > places)
			return false;
		value = value * 10 + (*text - '0');
		any = true;
	}
	if (!any || after == 0)
		return false;
	for (after = after < 0 ? 0 : after; after < places; after++) {
		if (value > limit)
			return false;
		value *= 10;
	}
	*ret = negative ? -value : value;
	return true;
}

enum rc read_decimal(const struct study_reader *r, const struct yaml_node *node, int places, int64_t min, int64_t max,
		     int64_t *value)
{
	char bound[32], shown[32];
	int64_t v;

	if (node == NULL)
		return RC_OK;
	enum rc rc = need_kind(r, node, YAML_SCALAR);
	if (rc != RC_OK)
		return rc;
	if (!parse_decimal(node->text, places, &v))
		return places == 0
			       ? READ_ERROR(r, node, "a whole number is needed here")
			       : READ_ERROR(r, node, "a number with at most %d decimal places is needed here", places);
	print_decimal(v, places, shown);
	if (v < min) {
		print_decimal(min, places, bound);
		return READ_ERROR(r, node, "%s is below %s", shown, bound);
	}
	if (v > max) {
		print_decimal(max, places, bound);
		return READ_ERROR(r, node, "%s is above %s", shown, bound);
	}
	*value = v;
	return RC_OK;
}

enum rc read_integer(const struct study_reader *r, const struct yaml_node *node, int64_t min, int64_t max,
		     int64_t *value)
{
	return read_decimal(r, node, 0, min, max, value);
}

enum rc read_bool(const struct study_reader *r, const struct yaml_node *node, bool *value)
{
	if (node == NULL)
		return RC_OK;
	enum rc rc = need_kind(r, node, YAML_SCALAR);
	if (rc != RC_OK)
		return rc;
	if (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0)
		return READ_ERROR(r, node, "true or false is needed here");
	*value = node->text[0] == 't';
	return RC_OK;
}

enum rc read_word(const struct study_reader *r, const struct yaml_node *node, const char *const *words, int *value)
{
	char known[200];

	if (node == NULL)
		return RC_OK;
	enum rc rc = need_kind(r, node, YAML_SCALAR);
	if (rc != RC_OK)
		return rc;
	for (int i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], node->text) == 0) {
			*value = i;
			return RC_OK;
		}
	}
	list_words(words, known, sizeof known);
	return READ_ERROR(r, node, "one of these is needed here: %s", known);
}

enum rc read_text(const struct study_reader *r, const struct yaml_node *node, char *out, size_t cap)
{
	if (node == NULL)
		return RC_OK;
	enum rc rc = need_kind(r, node, YAML_SCALAR);
	if (rc != RC_OK)
		return rc;
	if (node->text_len == 0)
		return READ_ERROR(r, node, "is empty");
	if (node->text_len >= cap)
		return READ_ERROR(r, node, "%zu bytes; at most %zu are allowed", node->text_len, cap - 1);
	for (size_t i = 0; i < node->text_len; i++) {
		if ((unsigned char)node->text[i] < 0x20 || node->text[i] == 0x7f)
			return READ_ERROR(r, node, "control characters and line ends are not allowed here");
	}
	memcpy(out, node->text, node->text_len + 1);
	return RC_OK;
}

bool name_is_valid(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len >= STUDY_NAME_CAP || text[0] < 'a' || text[0] > 'z')
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static enum rc copy_name(const struct study_reader *r, const struct yaml_node *node, const char *text,
			 char out[STUDY_NAME_CAP])
{
	if (!name_is_valid(text))
		return READ_ERROR(r, node,
				  "a name is needed here: a lower-case letter, then letters, digits, _ or -, "
				  "at most %d in all",
				  STUDY_NAME_CAP - 1);
	memcpy(out, text, strlen(text) + 1);
	return RC_OK;
}

enum rc read_name(const struct study_reader *r, const struct yaml_node *node, char out[STUDY_NAME_CAP])
{
	enum rc rc = need_kind(r, node, YAML_SCALAR);

	return rc == RC_OK ? copy_name(r, node, node->text, out) : rc;
}

enum rc read_key_name(const struct study_reader *r, const struct yaml_node *node, char out[STUDY_NAME_CAP])
{
	return copy_name(r, node, node->key, out);
}

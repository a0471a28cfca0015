/* Canonical JSON and the strict parser. One value has one text, so that digests of it mean the value. */
#include "proto/json.h"

#include <stdlib.h>
#include <string.h>

enum { JSON_MAX_DEPTH = 32 };

static enum rc put_value(const json_t *value, int depth, struct buffer *out);

/* Shortest escapes (RFC 8785 section 3.2.2.2); jansson has already checked that the text is UTF-8. */
static void put_string(const char *s, size_t len, struct buffer *out)
{
	size_t plain = 0; /* first byte of the run that is copied as it is */

	buffer_append(out, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		const char *short_form = c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\b' ? "\\b" : c == '\f' ? "\\f" :
			c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : NULL;
		if (short_form == NULL && c >= 0x20)
			continue;
		buffer_append(out, s + plain, i - plain);
		plain = i + 1;
		if (short_form != NULL)
			buffer_append(out, short_form, 2);
		else
			buffer_printf(out, "\\u%04x", c);
	}
	buffer_append(out, s + plain, len - plain);
	buffer_append(out, "\"", 1);
}

/* Byte order of UTF-8 is code-point order. */
static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum rc put_object(const json_t *object, int depth, struct buffer *out)
{
	size_t n = json_object_size(object), i = 0;
	const char **keys = calloc(n ? n : 1, sizeof *keys);
	enum rc rc = RC_OK;

	if (keys == NULL)
		return RC_NOMEM;
	for (void *it = json_object_iter((json_t *)object); it != NULL && i < n;
	     it = json_object_iter_next((json_t *)object, it))
		keys[i++] = json_object_iter_key(it);
	qsort(keys, n, sizeof *keys, compare_keys);
	buffer_append(out, "{", 1);
	for (i = 0; i < n && rc == RC_OK; i++) {
		if (i > 0)
			buffer_append(out, ",", 1);
		put_string(keys[i], strlen(keys[i]), out);
		buffer_append(out, ":", 1);
		rc = put_value(json_object_get(object, keys[i]), depth + 1, out);
	}
	buffer_append(out, "}", 1);
	free(keys);
	return rc;
}

static enum rc put_array(const json_t *array, int depth, struct buffer *out)
{
	enum rc rc = RC_OK;

	buffer_append(out, "[", 1);
	for (size_t i = 0; i < json_array_size(array) && rc == RC_OK; i++) {
		if (i > 0)
			buffer_append(out, ",", 1);
		rc = put_value(json_array_get(array, i), depth + 1, out);
	}
	buffer_append(out, "]", 1);
	return rc;
}

static enum rc put_value(const json_t *value, int depth, struct buffer *out)
{
	if (depth > JSON_MAX_DEPTH)
		return RC_INVALID;
	if (value == NULL)
		return RC_INVALID;
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return put_object(value, depth, out);
	case JSON_ARRAY:
		return put_array(value, depth, out);
	case JSON_STRING:
		put_string(json_string_value(value), json_string_length(value), out);
		return RC_OK;
	case JSON_INTEGER:
		buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return RC_OK;
	case JSON_TRUE:
		buffer_append(out, "true", 4);
		return RC_OK;
	case JSON_FALSE:
		buffer_append(out, "false", 5);
		return RC_OK;
	case JSON_NULL:
		buffer_append(out, "null", 4);
		return RC_OK;
	case JSON_REAL:
		break;
	}
	return RC_INVALID;
}

json_t *json_copy_object(const json_t *object)
{
	json_t *copy = json_object();
	if (copy != NULL && json_object_update(copy, (json_t *)object) != 0) {
		json_decref(copy);
		copy = NULL;
	}
	return copy;
}

enum rc json_canonical(const json_t *value, struct buffer *out)
{
	size_t start = out->len;
	enum rc rc = put_value(value, 0, out);

	if (rc == RC_OK && out->failed)
		rc = RC_NOMEM;
	if (rc != RC_OK)
		out->len = start;
	return rc;
}

enum rc json_digest(const char *label, const json_t *value, uint8_t out[32])
{
	struct buffer text;

	buffer_init(&text);
	enum rc rc = json_canonical(value, &text);
	if (rc == RC_OK)
		sha256_labelled(label, text.data, text.len, out);
	buffer_deinit(&text);
	return rc;
}

/* Nesting depth by one pass over the text, before the parser recurses. Brackets in strings do not count. */
static bool is_too_deep(const char *text, size_t len)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_MAX_DEPTH)
				return true;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return false;
}

enum rc json_parse_strict(const char *text, size_t len, json_t **ret, struct diag *diag)
{
	json_error_t error;

	if (is_too_deep(text, len))
		return diag_set(diag, RC_MALFORMED, "JSON is nested deeper than %d", JSON_MAX_DEPTH);
	json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (value == NULL) {
		/* It sets no error where it could not allocate, but for a token, which it then calls an invalid one. */
		enum json_error_code code = json_error_code(&error);
		if (code == json_error_unknown || code == json_error_out_of_memory)
			return diag_set(diag, RC_NOMEM, "%s", rc_text(RC_NOMEM));
		/* jansson's own text quotes the input ("near '…'"), which may be a person's data: position only. */
		return diag_set(diag, RC_MALFORMED, "line %d, column %d: not valid JSON", error.line, error.column);
	}
	*ret = value;
	return RC_OK;
}

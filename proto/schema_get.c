/* Typed reading of a schema's JSON: every failure begins with the path of the key. */
#include "proto/schema_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum rc schema_fail(const struct schema_place *at, const char *key, const char *format, ...)
{
	char message[300];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	return diag_set(at->diag, RC_INVALID, "%s%s%s%s%s", at->path, at->path[0] != 0 && key[0] != 0 ? "." : "", key,
			at->path[0] != 0 || key[0] != 0 ? ": " : "", message);
}

enum rc schema_get_integer(const struct schema_place *at, const json_t *object, const char *key, int64_t min,
			   int64_t max, uint32_t *value)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return RC_OK;
	if (!json_is_integer(v))
		return schema_fail(at, key, "a whole number is needed here");
	if (json_integer_value(v) < min)
		return schema_fail(at, key, "%lld is below %lld", (long long)json_integer_value(v), (long long)min);
	if (json_integer_value(v) > max)
		return schema_fail(at, key, "%lld is above %lld", (long long)json_integer_value(v), (long long)max);
	*value = (uint32_t)json_integer_value(v);
	return RC_OK;
}

enum rc schema_need_integer(const struct schema_place *at, const json_t *object, const char *key, int64_t min,
			    int64_t max, uint32_t *value)
{
	if (json_object_get(object, key) == NULL)
		return schema_fail(at, key, "is missing");
	return schema_get_integer(at, object, key, min, max, value);
}

enum rc schema_get_bound(const struct schema_place *at, const json_t *object, const char *key, bool *ret_has,
			 int64_t *value)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return RC_OK;
	if (json_is_integer(v)) {
		*value = json_integer_value(v);
	} else if (json_is_real(v) && json_real_value(v) >= -9007199254740992.0 &&
		   json_real_value(v) <= 9007199254740992.0 &&
		   json_real_value(v) == (double)(int64_t)json_real_value(v)) {
		*value = (int64_t)json_real_value(v);
	} else {
		return schema_fail(at, key, "a whole number is needed here");
	}
	*ret_has = true;
	return RC_OK;
}

enum rc schema_get_bool(const struct schema_place *at, const json_t *object, const char *key, bool *value)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return RC_OK;
	if (!json_is_boolean(v))
		return schema_fail(at, key, "true or false is needed here");
	*value = json_is_true(v);
	return RC_OK;
}

enum rc schema_get_text(const struct schema_place *at, const json_t *object, const char *key, char **value)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return RC_OK;
	if (!json_is_string(v))
		return schema_fail(at, key, "text is needed here");
	*value = strdup(json_string_value(v));
	return *value == NULL ? RC_NOMEM : RC_OK;
}

enum rc schema_check_description(const struct schema_place *at, const json_t *object)
{
	const json_t *v = json_object_get(object, "description");

	return v == NULL || json_is_string(v) ? RC_OK : schema_fail(at, "description", "text is needed here");
}

enum rc schema_get_word(const struct schema_place *at, const json_t *object, const char *key, const char *const *words,
			int *value)
{
	const json_t *v = json_object_get(object, key);
	char known[160] = "";

	if (v == NULL)
		return RC_OK;
	for (int i = 0; words[i] != NULL; i++) {
		if (json_is_string(v) && strcmp(json_string_value(v), words[i]) == 0) {
			*value = i;
			return RC_OK;
		}
		size_t used = strlen(known);
		snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", words[i]);
	}
	return schema_fail(at, key, "one of these is needed here: %s", known);
}

enum rc schema_need_object(const struct schema_place *at, const json_t *object, const char *key, const json_t **ret)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return schema_fail(at, key, "is missing");
	if (!json_is_object(v))
		return schema_fail(at, key, "an object is needed here");
	*ret = v;
	return RC_OK;
}

enum rc schema_only_keys(const struct schema_place *at, const json_t *object, const char *const *keys)
{
	for (void *it = json_object_iter((json_t *)object); it != NULL;
	     it = json_object_iter_next((json_t *)object, it)) {
		const char *const *key = keys;
		while (*key != NULL && strcmp(*key, json_object_iter_key(it)) != 0)
			key++;
		if (*key == NULL)
			return schema_fail(at, json_object_iter_key(it), "this key is not allowed here");
	}
	return RC_OK;
}

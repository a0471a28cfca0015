/* Linkage schema version 2 in the terms of version 3, as clkhash converts it before it reads it. Only what has moved is
 * touched; everything is checked afterwards as version 3. */
#include <string.h>

#include "proto/schema_internal.h"

/* Move a value to another key (of the same object or another). */
static int move(json_t *from, const char *old_key, json_t *to, const char *new_key)
{
	json_t *value = json_object_get(from, old_key);

	if (value == NULL)
		return 0;
	if (json_object_set(to, new_key, value) != 0)
		return -1;
	return json_object_del(from, old_key);
}

static int convert_hashing(json_t *hashing)
{
	json_t *strategy = json_object_get(hashing, "strategy"), *comparison = json_pack("{s:s}", "type", "ngram");

	if (comparison == NULL || move(hashing, "ngram", comparison, "n") != 0 ||
	    move(hashing, "positional", comparison, "positional") != 0 ||
	    json_object_set(hashing, "comparison", comparison) != 0) {
		json_decref(comparison);
		return -1;
	}
	json_decref(comparison);
	if (!json_is_object(strategy))
		return 0;
	return move(strategy, "k", strategy, "bitsPerToken") != 0 ||
			       move(strategy, "numBits", strategy, "bitsPerFeature") != 0
		       ? -1
		       : 0;
}

json_t *schema_convert_v2(const json_t *root)
{
	json_t *copy = json_deep_copy(root);
	json_t *features = json_object_get(copy, "features");

	if (copy == NULL || json_object_set_new(copy, "version", json_integer(3)) != 0) {
		json_decref(copy);
		return NULL;
	}
	for (size_t i = 0; i < json_array_size(features); i++) {
		json_t *hashing = json_object_get(json_array_get(features, i), "hashing");
		if (json_is_object(hashing) && convert_hashing(hashing) != 0) {
			json_decref(copy);
			return NULL;
		}
	}
	return copy;
}

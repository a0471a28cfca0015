/* Is a text the canonical form of what it says? Judged the long way, by parsing it and writing it anew. */
#ifndef TESTS_CANONICAL_H
#define TESTS_CANONICAL_H

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/json.h"

static inline bool is_canonical(const char *text, size_t len)
{
	struct buffer out;
	json_t *value = NULL;

	buffer_init(&out);
	bool ok = json_parse_strict(text, len, &value, NULL) == RC_OK && json_canonical(value, &out) == RC_OK &&
		  out.len == len && memcmp(out.data, text, len) == 0;
	json_decref(value);
	buffer_deinit(&out);
	return ok;
}

#endif

/* Canonical JSON (json.h) looked at where it stands: nothing is built, so that a million entries of a log are checked
 * in a fraction of the time that a parser takes. */
#ifndef PROTO_JSON_SCAN_H
#define PROTO_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* A piece of a text that was scanned; borrows it. */
struct json_span {
	const char *at;
	size_t len;
};

/* A member of the outermost object: its key without quotes and as it is escaped, its value as it stands. */
typedef void (*json_scan_member)(void *ctx, struct json_span key, struct json_span value);

/* Is this the canonical form of some object or array: would json_parse_strict() take it and json_canonical() give it
 * back byte for byte? Visits the members of an object in order (NULL = nobody wants them); when it is not, some may
 * have been visited already. */
bool json_scan(const char *text, size_t len, json_scan_member visit, void *ctx);

/* The text of a value that is a string, with a NUL behind it; false when it is another, or longer than cap - 1. */
bool json_span_string(struct json_span value, char *out, size_t cap);
bool json_span_is(struct json_span span, const char *text);

#endif

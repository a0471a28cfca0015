/* What the target and the fields of a request mean: pure functions over one NUL-terminated value each. Each takes one
 * reading and refuses the rest. */
#ifndef DAEMON_FRONT_HTTP_FIELDS_H
#define DAEMON_FRONT_HTTP_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/pipe.h"
#include "proto/rc.h"

enum { HTTP_PATH_CAP = 512, HTTP_HOST_CAP = 256 };

/* Split and decode a request target. Origin form only ("/path?query"). The path is percent-decoded once; the result has
 * no empty, "." or ".." segment, no control, non-ASCII, '%' or '\' byte, and no '/' that was encoded. The query stays
 * encoded, its escapes checked. Errors: MALFORMED, HEADERS (too long). */
enum rc http_parse_target(const char *target, char ret_path[HTTP_PATH_CAP], char ret_query[PIPE_QUERY_CAP]) MUST_CHECK;

/* host [":" port], letters, digits, . - _ and bracketed IPv6; not empty. Errors: MALFORMED. */
enum rc http_check_host(const char *value) MUST_CHECK;
/* 1 to 18 digits. Errors: MALFORMED. */
enum rc http_parse_length(const char *value, int64_t *ret) MUST_CHECK;
/* Does a comma-separated list hold this token (any case)? */
bool http_list_has(const char *value, const char *token);

/* The first media range of Accept that we can answer with: text/csv, text/plain, else JSON. */
enum pipe_accept http_parse_accept(const char *value);
/* Errors: MEDIA_TYPE (none that we take, or parameters other than charset=utf-8). */
enum rc http_parse_content_type(const char *value, enum pipe_content *ret) MUST_CHECK;
/* Errors: MEDIA_TYPE. One coding only. */
enum rc http_parse_content_encoding(const char *value, enum content_encoding *ret) MUST_CHECK;
/* Is Origin "https://" and the very Host of this request? */
bool http_origin_is_own(const char *origin, const char *host);

#endif

/* Pieces of text that `throughcare query` prints: what a server sent never reaches a terminal as it is. */
#ifndef TOOLS_QUERY_TEXT_H
#define TOOLS_QUERY_TEXT_H

#include <jansson.h>
#include <stddef.h>

#include "proto/bytes.h"

enum { QUERY_CELL_CAP = 64 };

/* Copy for a cell: control characters and what is not ASCII become '?', and what is longer than `max` ends with "..".
 */
void query_clean(const char *from, char out[QUERY_CELL_CAP], size_t max);
/* Append without control characters; NULL is "". */
void query_append_clean(struct buffer *out, const char *text);
/* Append as lines of at most QUERY_WIDTH columns, broken at spaces. */
void query_put_wrapped(struct buffer *out, const char *text);
/* A member that is text, else "". */
const char *query_text(const json_t *object, const char *key);

#endif

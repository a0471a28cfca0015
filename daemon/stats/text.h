/* Pieces of text that renderers write: JSON strings, CSV fields, percentages from integers. */
#ifndef DAEMON_STATS_TEXT_H
#define DAEMON_STATS_TEXT_H

#include <stdint.h>

#include "proto/bytes.h"

/* A JSON string with its quotes. `s` is UTF-8. */
void text_json(struct buffer *out, const char *s);
/* RFC 4180: quoted when it holds a comma, quote or line break, or could be taken for a formula by a spreadsheet. */
void text_csv(struct buffer *out, const char *s);
/* 4350 (1/10,000) → "43.50". */
void text_percent(struct buffer *out, uint32_t rate);
void text_signed_percent(struct buffer *out, int32_t rate);
/* 10000 → "10.000". */
void text_milli(struct buffer *out, int64_t milli);

#endif

/* Rules of a study that change text before tokens are made, so that the same person written two ways gives the same
 * tokens. All off changes nothing, which is clkhash's own behaviour. */
#ifndef TOOLS_ENCODE_NORMALISE_H
#define TOOLS_ENCODE_NORMALISE_H

#include <stdbool.h>

#include "proto/rc.h"
#include "proto/study.h"
#include "tools/encode/date.h"
#include "tools/encode/text.h"

/* Remove white space at both ends, and make every run of it inside one space. */
void normalise_trim(struct text *text);
/* Apply the text rules in the order: Latin letters, marks, case, particles, hyphens, punctuation, trim, order of parts.
 * With Latin letters, case or marks the result is composed (Unicode NFC), so that é as one code point and as two are
 * one. `scratch` is used and left undefined. Errors: NOMEM.
 */
enum rc normalise_text(const struct study_normalise *rules, struct text *text, struct text *scratch) MUST_CHECK;
/* Whether a date is one that registers write for "not known": 1900-01-01 and its like. */
bool normalise_is_sentinel_date(const struct date *date);
/* Whether the text holds zeros and separators alone: 00-00-0000. */
bool normalise_is_zero_date(const struct text *text);

#endif

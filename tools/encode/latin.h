/* Cyrillic and Greek to Latin letters.
 *
 * Cyrillic: ICAO Doc 9303 part 3, section 6 B, in its general column, as passports have it. Greek: ISO 843:1997 type 2
 * (ELOT 743), whose pairs of letters are read as one sound. Letters that neither knows stay as they are. */
#ifndef TOOLS_ENCODE_LATIN_H
#define TOOLS_ENCODE_LATIN_H

#include "proto/rc.h"
#include "tools/encode/text.h"

/* `in` is canonically decomposed (NFD); marks on the letters that are replaced go with them. Errors: NOMEM. */
enum rc latin_from_cyrillic_and_greek(const struct text *in, struct text *out) MUST_CHECK;

#endif

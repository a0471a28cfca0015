/* Regular expressions of a schema's `pattern`, in the part of Python's syntax that schemas use, matched against the
 * whole value. Own, because clkhash matches code points with Python's classes (\d, \w, \s over Unicode), which POSIX
 * expressions cannot say without a locale, and because a set of states cannot be made to take exponential time.
 *
 * Known: literals, escapes, . [ ] ( ) (?: ) (?P<name> ) | * + ? {n} {n,} {n,m} and their lazy forms, ^ $ \A \Z \b \B,
 * \d \D \w \W \s \S, \n \r \t \f \v \a \0 \xHH \uHHHH \UHHHHHHHH. Refused: back references, look-around, flags. */
#ifndef TOOLS_ENCODE_REGEX_H
#define TOOLS_ENCODE_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

struct regex;
/* Compile a UTF-8 pattern. On INVALID, *ret_why borrows a constant text. Errors: INVALID, TOO_LARGE, NOMEM. */
enum rc regex_compile(const char *pattern, struct regex **ret, const char **ret_why) MUST_CHECK;
void regex_free(struct regex *regex);
/* Whether the whole text matches. Time is O(program × length); the scratch is in the regex, so one thread at a time.
 * Errors: NOMEM. */
enum rc regex_match(struct regex *regex, const uint32_t *cp, size_t len, bool *ret_match) MUST_CHECK;

#endif

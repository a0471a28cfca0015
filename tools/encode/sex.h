/* Codes for sex in registers: ISO/IEC 5218, and letters and words of European languages. */
#ifndef TOOLS_ENCODE_SEX_H
#define TOOLS_ENCODE_SEX_H

#include <stddef.h>

/* "male", "female", "" (the code says that it is not known), or NULL when it is no code for sex. `language` is a BCP 47
 * tag or ""; it decides letters that mean one thing here and another there: M is mujer in Spanish, V is vrouw in Dutch
 * and varón in Spanish. */
const char *sex_from_code(const char *language, const char *code, size_t len);

#endif

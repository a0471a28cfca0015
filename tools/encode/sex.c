#include "tools/encode/sex.h"

#include <stdbool.h>
#include <string.h>

struct code {
	const char *language; /* "" = any */
	const char *code, *sex;
};

/* The first that fits; those of one language come before those of any. */
static const struct code codes[] = {
	{"es", "m", "female"},
	{"es", "h", "male"},
	{"es", "v", "male"},
	{"nl", "v", "female"},
	{"fr", "h", "male"},
	{"de", "w", "female"},
	{"it", "d", "female"},
	{"it", "u", "male"},
	{"pt", "h", "male"},
	{"pl", "k", "female"},
	{"sv", "k", "female"},
	{"da", "k", "female"},
	{"nb", "k", "female"},
	{"", "m", "male"},
	{"", "f", "female"},
	{"", "1", "male"},
	{"", "2", "female"},
	{"", "0", ""},
	{"", "9", ""},
	{"", "u", ""},
	{"", "x", ""},
	{"", "?", ""},
	{"", "male", "male"},
	{"", "female", "female"},
	{"", "man", "male"},
	{"", "vrouw", "female"},
	{"", "mann", "male"},
	{"", "frau", "female"},
	{"", "homme", "male"},
	{"", "femme", "female"},
	{"", "hombre", "male"},
	{"", "mujer", "female"},
	{"", "uomo", "male"},
	{"", "donna", "female"},
	{"", "homem", "male"},
	{"", "mulher", "female"},
	{"", "masculin", "male"},
	{"", "feminin", "female"},
	{"", "f\xC3\xA9minin", "female"},
	{"", "mannlich", "male"},
	{"", "m\xC3\xA4nnlich", "male"},
	{"", "maennlich", "male"},
	{"", "weiblich", "female"},
	{"", "mannelijk", "male"},
	{"", "vrouwelijk", "female"},
	{"", "maschio", "male"},
	{"", "femmina", "female"},
	{"", "maschile", "male"},
	{"", "femminile", "female"},
	{"", "masculino", "male"},
	{"", "femenino", "female"},
	{"", "feminino", "female"},
	{"", "varon", "male"},
	{"", "var\xC3\xB3n", "male"},
	{"", "unknown", ""},
	{"", "inconnu", ""},
	{"", "onbekend", ""},
	{"", "unbekannt", ""},
	{"", "sconosciuto", ""},
	{"", "desconocido", ""},
};

const char *sex_from_code(const char *language, const char *code, size_t len)
{
	char lower[16];
	if (len == 0 || len >= sizeof lower)
		return NULL;
	for (size_t i = 0; i < len; i++)
		lower[i] = (char)(code[i] >= 'A' && code[i] <= 'Z' ? code[i] + 32 : code[i]);
	lower[len] = '\0';
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		bool fits = codes[i].language[0] == '\0' || strncmp(language, codes[i].language, 2) == 0;
		if (fits && strcmp(codes[i].code, lower) == 0)
			return codes[i].sex;
	}
	return NULL;
}

#include "tools/encode/latin.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include <utf8proc.h>

/* U+0430 … U+045F, then what lies beyond. The soft sign is not written. й, ё, ї, ѓ, ќ and ў are reached as letter and
 * mark, and are what the letter is. */
static const char *const cyrillic[] = {
	"a", "b", "v", "g", "d",  "e",  "zh", "z",  "i",  "i",    "k",  "l", "m", "n", "o",  "p",
	"r", "s", "t", "u", "f",  "kh", "ts", "ch", "sh", "shch", "ie", "y", "",  "e", "iu", "ia",
	"e", "e", "d", "g", "ie", "dz", "i",  "i",  "j",  "lj",   "nj", "c", "k", "i", "u",  "dz",
};

static const struct {
	uint32_t from;
	const char *to;
} more_cyrillic[] = {{0x0463, "ie"}, {0x046B, "u"}, {0x0473, "f"}, {0x0475, "y"},
		     {0x0491, "g"},  {0x0493, "g"}, {0x04BB, "c"}};

/* U+03B1 … U+03C9; the final sigma is U+03C2. */
static const char *const greek[] = {"a", "v", "g", "d", "e", "z", "i", "th", "i", "k",  "l",  "m", "n",
				    "x", "o", "p", "r", "s", "s", "t", "y",  "f", "ch", "ps", "o"};

enum {
	ALPHA = 0x3B1,
	GAMMA = 0x3B3,
	EPSILON = 0x3B5,
	ETA = 0x3B7,
	KAPPA = 0x3BA,
	MU = 0x3BC,
	XI = 0x3BE,
	OMICRON = 0x3BF,
	PI = 0x3C0,
	UPSILON = 0x3C5,
	CHI = 0x3C7,
	OMEGA = 0x3C9,
	DIAERESIS = 0x308
};

/* The letter without case, and the common form of variants such as the final sigma and the micro sign. */
static uint32_t lower(uint32_t cp)
{
	utf8proc_int32_t folded[4];
	int boundary = 0;
	if (cp < 0x80)
		return cp;
	utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, folded, 4, UTF8PROC_CASEFOLD, &boundary);
	return n == 1 ? (uint32_t)folded[0] : cp;
}

static bool is_upper(uint32_t cp)
{
	return (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp) != cp;
}

static bool is_mark(uint32_t cp)
{
	return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_MN;
}

static bool is_greek(uint32_t lowered)
{
	return lowered >= ALPHA && lowered <= OMEGA;
}

static const char *cyrillic_letter(uint32_t lowered)
{
	if (lowered >= 0x430 && lowered <= 0x45F)
		return cyrillic[lowered - 0x430];
	for (size_t i = 0; i < sizeof more_cyrillic / sizeof more_cyrillic[0]; i++) {
		if (more_cyrillic[i].from == lowered)
			return more_cyrillic[i].to;
	}
	return NULL;
}

/* The next letter from `at` on, over marks; 0 at the end of the word. */
static uint32_t letter_after(const struct text *in, size_t at)
{
	while (at < in->len && is_mark(in->cp[at]))
		at++;
	return at < in->len ? lower(in->cp[at]) : 0;
}

/* The letter before `at`, over marks; 0 at the beginning. */
static uint32_t letter_before(const struct text *in, size_t at)
{
	while (at > 0 && is_mark(in->cp[at - 1]))
		at--;
	return at > 0 ? lower(in->cp[at - 1]) : 0;
}

/* αυ, ευ and ηυ end in v before vowels and voiced consonants, else in f. */
static bool ends_in_f(uint32_t next)
{
	static const uint32_t unvoiced[] = {0x3B8, KAPPA, XI, PI, 0x3C3, 0x3C2, 0x3C4, 0x3C6, CHI, 0x3C8};
	for (size_t i = 0; i < sizeof unvoiced / sizeof unvoiced[0]; i++) {
		if (unvoiced[i] == next)
			return true;
	}
	return !is_greek(next);
}

/* Letter `at` of Greek; *ret_used is 2 where two letters are one sound. */
static const char *greek_letters(const struct text *in, size_t at, size_t *ret_used)
{
	uint32_t c = lower(in->cp[at]), next = at + 1 < in->len ? lower(in->cp[at + 1]) : 0;
	bool diaeresis =
		at + 2 < in->len && (in->cp[at + 2] == DIAERESIS ||
				     (at + 3 < in->len && is_mark(in->cp[at + 2]) && in->cp[at + 3] == DIAERESIS));
	*ret_used = 2;
	if (next == UPSILON && !diaeresis) {
		bool f = ends_in_f(letter_after(in, at + 2));
		if (c == ALPHA)
			return f ? "af" : "av";
		if (c == EPSILON)
			return f ? "ef" : "ev";
		if (c == ETA)
			return f ? "if" : "iv";
		if (c == OMICRON)
			return "ou";
	}
	if (c == GAMMA && next == GAMMA)
		return "ng";
	if (c == GAMMA && next == XI)
		return "nx";
	if (c == GAMMA && next == CHI)
		return "nch";
	if (c == MU && next == PI) {
		return !is_greek(letter_before(in, at)) || !is_greek(letter_after(in, at + 2)) ? "b" : "mp";
	}
	*ret_used = 1;
	return greek[c - ALPHA];
}

static enum rc push(struct text *out, const char *letters, bool upper)
{
	enum rc rc = RC_OK;
	for (const char *s = letters; *s != '\0' && rc == RC_OK; s++)
		rc = text_push(out, (uint32_t)(upper ? toupper((unsigned char)*s) : *s));
	return rc;
}

enum rc latin_from_cyrillic_and_greek(const struct text *in, struct text *out)
{
	out->len = 0;
	for (size_t i = 0; i < in->len;) {
		uint32_t c = lower(in->cp[i]);
		size_t used = 1;
		const char *letters = is_greek(c) ? greek_letters(in, i, &used) : cyrillic_letter(c);
		enum rc rc = letters != NULL ? push(out, letters, is_upper(in->cp[i])) : text_push(out, in->cp[i]);
		if (rc != RC_OK)
			return rc;
		i += used;
		while (letters != NULL && i < in->len && is_mark(in->cp[i]))
			i++;
	}
	return RC_OK;
}

#include "tools/encode/normalise.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "tools/encode/latin.h"
#include "tools/encode/names.h"

/* Letters that have no decomposition but are written without their stroke or ligature in other registers. */
static const struct {
	uint32_t from;
	const char *to;
} letters[] = {
	{0x00DF, "ss"}, {0x1E9E, "SS"}, {0x00E6, "ae"}, {0x00C6, "AE"}, {0x0153, "oe"}, {0x0152, "OE"}, {0x00F8, "o"},
	{0x00D8, "O"},  {0x0142, "l"},  {0x0141, "L"},  {0x0111, "d"},  {0x0110, "D"},  {0x00F0, "d"},  {0x00D0, "D"},
	{0x00FE, "th"}, {0x00DE, "TH"}, {0x0131, "i"},  {0x0127, "h"},  {0x0126, "H"},  {0x0167, "t"},  {0x0166, "T"},
	{0x014B, "n"},  {0x014A, "N"},  {0x0138, "k"},  {0x0259, "e"},  {0x018F, "E"},  {0x0133, "ij"}, {0x0132, "IJ"},
	{0x0149, "n"},  {0x0140, "l"},  {0x013F, "L"},
};

/* Apostrophes, hyphens and full stops in the forms that keyboards and word processors give them. */
static const uint32_t punctuation[] = {
	'\'',   '-',    '.',    '`',    0x00B4, 0x00AD, 0x00B7, 0x02B9, 0x02BB, 0x02BC, 0x02BD,
	0x02C8, 0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2018, 0x2019, 0x201A, 0x201B,
	0x2024, 0x2027, 0x2032, 0x2212, 0xFE58, 0xFE63, 0xFF07, 0xFF0D, 0xFF0E,
};

void normalise_trim(struct text *text)
{
	size_t n = 0;
	bool gap = false;
	for (size_t i = 0; i < text->len; i++) {
		if (text_is_space(text->cp[i])) {
			gap = n > 0;
			continue;
		}
		if (gap)
			text->cp[n++] = ' ';
		gap = false;
		text->cp[n++] = text->cp[i];
	}
	text->len = n;
}

static bool is_ascii(const struct text *text)
{
	for (size_t i = 0; i < text->len; i++) {
		if (text->cp[i] >= 0x80)
			return false;
	}
	return true;
}

static bool is_mark(uint32_t cp)
{
	utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)cp);
	return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME;
}

/* Decompose (and fold case) into `out`, code point by code point, then put marks into canonical order. */
static enum rc decompose(const struct text *in, bool fold, struct text *out)
{
	utf8proc_option_t flags = fold ? UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD : UTF8PROC_DECOMPOSE;
	out->len = 0;
	for (size_t i = 0; i < in->len; i++) {
		utf8proc_int32_t part[32];
		int boundary = 0;
		utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)in->cp[i], part, 32, flags, &boundary);
		for (utf8proc_ssize_t j = 0; j < n && n <= 32; j++) {
			enum rc rc = text_push(out, (uint32_t)part[j]);
			if (rc != RC_OK)
				return rc;
		}
	}
	for (size_t i = 1; i < out->len; i++) {
		utf8proc_propval_t class = utf8proc_get_property((utf8proc_int32_t)out->cp[i])->combining_class;
		for (size_t j = i; class != 0 && j > 0; j--) {
			uint32_t before = out->cp[j - 1];
			if (utf8proc_get_property((utf8proc_int32_t)before)->combining_class <= class)
				break;
			out->cp[j - 1] = out->cp[j];
			out->cp[j] = before;
		}
	}
	return RC_OK;
}

static enum rc strip_marks(const struct text *in, struct text *out)
{
	out->len = 0;
	for (size_t i = 0; i < in->len; i++) {
		const char *to = NULL;
		if (is_mark(in->cp[i]))
			continue;
		for (size_t j = 0; j < sizeof letters / sizeof letters[0] && in->cp[i] >= 0x80; j++) {
			if (letters[j].from == in->cp[i])
				to = letters[j].to;
		}
		enum rc rc = to == NULL ? text_push(out, in->cp[i]) : RC_OK;
		for (; to != NULL && *to != '\0' && rc == RC_OK; to++)
			rc = text_push(out, (unsigned char)*to);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static void drop_punctuation(struct text *text)
{
	size_t n = 0;
	for (size_t i = 0; i < text->len; i++) {
		bool drop = false;
		for (size_t j = 0; j < sizeof punctuation / sizeof punctuation[0] && !drop; j++)
			drop = text->cp[i] == punctuation[j];
		if (!drop)
			text->cp[n++] = text->cp[i];
	}
	text->len = n;
}

static void lower_ascii(struct text *text)
{
	for (size_t i = 0; i < text->len; i++) {
		if (text->cp[i] >= 'A' && text->cp[i] <= 'Z')
			text->cp[i] += 32;
	}
}

static enum rc fold_unicode(const struct study_normalise *rules, struct text *text, struct text *scratch)
{
	/* Canonical order is restored by swaps, so a hostile run of marks would cost its square. */
	if (text->len > 1 << 16)
		return RC_TOO_LARGE;
	enum rc rc = decompose(text, false, scratch);
	if (rc == RC_OK && rules->latin) {
		rc = latin_from_cyrillic_and_greek(scratch, text);
		if (rc == RC_OK)
			rc = text_set(scratch, text->cp, text->len);
	}
	if (rc == RC_OK)
		rc = rules->strip_marks ? strip_marks(scratch, text) : text_set(text, scratch->cp, scratch->len);
	if (rc == RC_OK && rules->lower) {
		rc = decompose(text, true, scratch);
		if (rc == RC_OK)
			rc = text_set(text, scratch->cp, scratch->len);
	}
	if (rc != RC_OK)
		return rc;
	utf8proc_ssize_t n = utf8proc_normalize_utf32((utf8proc_int32_t *)text->cp, (utf8proc_ssize_t)text->len,
						      UTF8PROC_COMPOSE | UTF8PROC_STABLE);
	if (n < 0)
		return RC_NOMEM;
	text->len = (size_t)n;
	return RC_OK;
}

enum rc normalise_text(const struct study_normalise *rules, struct text *text, struct text *scratch)
{
	enum rc rc = RC_OK;
	if (rules->lower || rules->strip_marks || rules->latin) {
		if (!is_ascii(text))
			rc = fold_unicode(rules, text, scratch);
		else if (rules->lower)
			lower_ascii(text);
	}
	if (rc != RC_OK)
		return rc;
	if (rules->particles)
		names_drop_particles(text);
	if (rules->split_hyphens)
		names_split_hyphens(text);
	if (rules->drop_punctuation)
		drop_punctuation(text);
	if (rules->trim)
		normalise_trim(text);
	return rules->sort_names ? names_sort(text, scratch) : RC_OK;
}

bool normalise_is_sentinel_date(const struct date *d)
{
	static const struct date sentinels[] = {
		{1, 1, 1},    {1111, 11, 11}, {1753, 1, 1},   {1800, 1, 1},   {1899, 12, 30}, {1899, 12, 31},
		{1900, 1, 1}, {1901, 1, 1},   {2099, 12, 31}, {2999, 12, 31}, {9999, 9, 9},   {9999, 12, 31},
	};
	for (size_t i = 0; i < sizeof sentinels / sizeof sentinels[0]; i++) {
		if (sentinels[i].year == d->year && sentinels[i].month == d->month && sentinels[i].day == d->day)
			return true;
	}
	return d->year == 0 || d->month == 0 || d->day == 0;
}

bool normalise_is_zero_date(const struct text *text)
{
	size_t zeros = 0;
	for (size_t i = 0; i < text->len; i++) {
		uint32_t c = text->cp[i];
		if (c == '0')
			zeros++;
		else if (c != '-' && c != '/' && c != '.' && c != ' ')
			return false;
	}
	return zeros > 0;
}

#include "tools/encode/names.h"

#include <string.h>

/* Dutch, German, French, Spanish, Portuguese, Italian, Scandinavian, Arabic. In the order of strcmp() within each. */
static const char *const particles[] = {
	"'s",  "'t",  "aan",   "de",     "den",    "der",   "des",   "het",  "in",    "op",    "te",    "ten",  "ter",
	"tot", "van", "vande", "vanden", "vander", "ver",   "am",    "auf",  "dem",   "im",    "vom",   "von",  "zu",
	"zum", "zur", "d",     "du",     "la",     "le",    "les",   "l",    "del",   "el",    "las",   "los",  "y",
	"da",  "das", "do",    "dos",    "dal",    "dalla", "degli", "dei",  "della", "delle", "dello", "dell", "di",
	"lo",  "af",  "av",    "abu",    "al",     "ben",   "bin",   "bint", "ibn",   "ould",
};

static bool is_hyphen(uint32_t c)
{
	return c == '-' || c == 0xAD || (c >= 0x2010 && c <= 0x2015) || c == 0x2212 || c == 0xFE58 || c == 0xFE63 ||
	       c == 0xFF0D;
}

static bool is_apostrophe(uint32_t c)
{
	return c == '\'' || c == '`' || c == 0xB4 || c == 0x2BC || c == 0x2018 || c == 0x2019 || c == 0x2032 ||
	       c == 0xFF07;
}

static bool is_particle(const uint32_t *cp, size_t len)
{
	char part[16];
	if (len == 0 || len >= sizeof part)
		return false;
	for (size_t i = 0; i < len; i++) {
		uint32_t c = is_apostrophe(cp[i]) ? '\'' : cp[i];
		if (c >= 0x80)
			return false;
		part[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	part[len] = '\0';
	for (size_t i = 0; i < sizeof particles / sizeof particles[0]; i++) {
		if (strcmp(particles[i], part) == 0)
			return true;
	}
	return false;
}

/* Length of the part at `at`: up to a space or hyphen, or up to an apostrophe that is not its first letter. */
static size_t part_length(const struct text *text, size_t at)
{
	size_t n = 0;
	while (at + n < text->len && !text_is_space(text->cp[at + n]) && !is_hyphen(text->cp[at + n]) &&
	       !(n > 0 && is_apostrophe(text->cp[at + n])))
		n++;
	return n;
}

void names_drop_particles(struct text *text)
{
	size_t kept = 0;
	for (int pass = 0; pass < 2; pass++) {
		size_t to = 0;
		for (size_t at = 0; at < text->len;) {
			size_t n = part_length(text, at);
			size_t end = at + n + (at + n < text->len); /* with what parts it from the next */
			if (n == 0 || !is_particle(text->cp + at, n)) {
				kept += n;
				for (; pass == 1 && at < end; at++)
					text->cp[to++] = text->cp[at];
			}
			at = end;
		}
		if (kept == 0)
			return;
		if (pass == 1)
			text->len = to;
	}
	while (text->len > 0 && (text_is_space(text->cp[text->len - 1]) || is_hyphen(text->cp[text->len - 1])))
		text->len--;
}

void names_split_hyphens(struct text *text)
{
	for (size_t i = 0; i < text->len; i++) {
		if (is_hyphen(text->cp[i]))
			text->cp[i] = ' ';
	}
}

static int compare_parts(const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b)
{
	for (size_t i = 0; i < n_a && i < n_b; i++) {
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	}
	return (n_a > n_b) - (n_a < n_b);
}

enum rc names_sort(struct text *text, struct text *scratch)
{
	enum { MAX_PARTS = 16 };
	struct {
		size_t at, len;
	} parts[MAX_PARTS];
	size_t n = 0;
	for (size_t at = 0; at < text->len;) {
		size_t len = 0;
		while (at + len < text->len && !text_is_space(text->cp[at + len]))
			len++;
		if (len > 0 && n == MAX_PARTS)
			return RC_OK; /* no name has so many: left as it is */
		size_t i = n;
		for (; len > 0 && i > 0 &&
		       compare_parts(text->cp + parts[i - 1].at, parts[i - 1].len, text->cp + at, len) > 0;
		     i--)
			parts[i] = parts[i - 1];
		if (len > 0) {
			parts[i].at = at;
			parts[i].len = len;
			n++;
		}
		at += len + 1;
	}
	scratch->len = 0;
	for (size_t i = 0; i < n; i++) {
		enum rc rc = i > 0 ? text_push(scratch, ' ') : RC_OK;
		for (size_t j = 0; j < parts[i].len && rc == RC_OK; j++)
			rc = text_push(scratch, text->cp[parts[i].at + j]);
		if (rc != RC_OK)
			return rc;
	}
	return text_set(text, scratch->cp, scratch->len);
}

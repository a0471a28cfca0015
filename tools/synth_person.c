/* Invented people, and what registers make of their names and dates. */
#include "tools/synth.h"

#include <stdio.h>
#include <string.h>

#include "proto/day.h"
#include "tools/encode/text.h"

const char *const synth_drugs[4] = {"opioids", "cocaine", "cannabis", "other"};
const char *const synth_interventions[4] = {"ost", "psychosocial", "naltrexone", "none"};

static void copy(char *out, const char *in)
{
	snprintf(out, SYNTH_FIELD_CAP, "%s", in);
}

/* The first language is the majority's, the others are minorities. */
static uint32_t draw_language(struct synth_random *random)
{
	uint32_t r = synth_below(random, 100);
	return r < 40 ? 0 : 1 + (r - 40) / 15;
}

static const char *draw_given(struct synth_random *random, const struct synth_names *names, bool woman)
{
	return woman ? names->women[synth_zipf(random, names->n_women)] : names->men[synth_zipf(random, names->n_men)];
}

/* How many there are beyond the lists. */
enum { RARE_GIVEN = 30000, RARE_SURNAMES = 150000, RARE_PLACES = 10000 };

/* No random number is drawn when nothing is rare, so that registers without are as they always were. */
static bool is_rare(struct synth_random *random, uint32_t rare)
{
	return rare > 0 && synth_below(random, 100) < rare;
}

/* A village has a postcode or two of its own. */
static void draw_village(struct synth_random *random, struct synth_identity *identity)
{
	uint32_t code = 0;

	synth_rare_word(random, SYNTH_RARE_PLACE, RARE_PLACES, identity->place);
	for (const char *c = identity->place; *c != '\0'; c++)
		code = code * 31 + (unsigned char)*c;
	snprintf(identity->postcode, SYNTH_FIELD_CAP, "%05u",
		 10000 + 20000 * identity->region + (code + synth_below(random, 2)) % 20000);
}

static void draw_address(struct synth_random *random, uint32_t rare, struct synth_identity *identity)
{
	if (is_rare(random, rare)) {
		draw_village(random, identity);
		return;
	}
	uint32_t place = synth_zipf(random, synth_n_places());
	/* Large places have more postcodes. */
	uint32_t quarter = synth_below(random, place < 3 ? 40 : place < 8 ? 15 : 4);
	copy(identity->place, synth_place(identity->region, place));
	snprintf(identity->postcode, SYNTH_FIELD_CAP, "%05u", synth_postcode(identity->region, place, quarter));
}

static int32_t draw_birth(struct synth_random *random)
{
	/* Two draws, so that ages bunch around 38, between 18 and 62 in 2024. */
	int32_t years = 18 + (int32_t)(synth_below(random, 23) + synth_below(random, 23));
	return day_from_civil(2024 - years, 1, 1) - 1 - (int32_t)synth_below(random, 365);
}

static void draw_one_given(struct synth_random *random, const struct synth_names *names, uint32_t rare, bool woman,
			   char *ret)
{
	if (is_rare(random, rare))
		synth_rare_word(random, SYNTH_RARE_GIVEN, RARE_GIVEN, ret);
	else
		copy(ret, draw_given(random, names, woman));
}

static void draw_surname(struct synth_random *random, const struct synth_names *names, uint32_t rare, char *ret)
{
	if (is_rare(random, rare)) {
		synth_rare_word(random, SYNTH_RARE_SURNAME, RARE_SURNAMES, ret);
		return;
	}
	const char *surname = names->surnames[synth_zipf(random, names->n_surnames)];
	if (synth_below(random, 100) < 6)
		snprintf(ret, SYNTH_FIELD_CAP, "%s-%s", surname,
			 names->surnames[synth_zipf(random, names->n_surnames)]);
	else
		copy(ret, surname);
}

void synth_person_make(struct synth_random *random, uint32_t rare, struct synth_person *ret)
{
	const struct synth_names *names = synth_names(draw_language(random));
	struct synth_identity *identity = &ret->identity;
	*ret = (struct synth_person){.woman = synth_below(random, 100) < 12};
	draw_one_given(random, names, rare, ret->woman, identity->given);
	if (synth_below(random, 100) < 30)
		draw_one_given(random, names, rare, ret->woman, identity->middle);
	draw_surname(random, names, rare, identity->surname);
	day_format(draw_birth(random), identity->birth);
	identity->region = synth_below(random, SYNTH_REGIONS);
	draw_address(random, rare, identity);
	uint32_t r = synth_below(random, 100);
	ret->drug = r < 55 ? 0 : r < 75 ? 1 : r < 90 ? 2 : 3;
}

void synth_identity_move(struct synth_random *random, uint32_t rare, struct synth_identity *identity)
{
	if (synth_below(random, 3) == 0)
		identity->region = synth_below(random, SYNTH_REGIONS);
	draw_address(random, rare, identity);
}

/* ---- errors ---- */

static void store(char *field, const struct text *text)
{
	size_t n = 0;
	for (size_t i = 0; i < text->len && n + 5 < SYNTH_FIELD_CAP; i++)
		n += text_encode_utf8(text->cp[i], (uint8_t *)field + n);
	field[n] = '\0';
}

/* A letter next to it on the keyboard, where it is a plain one. */
static uint32_t neighbour(struct synth_random *random, uint32_t c)
{
	static const char *const rows[] = {"qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890"};
	for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
		const char *at = c > 0 && c < 0x80 ? strchr(rows[r], (int)c) : NULL;
		if (at == NULL)
			continue;
		bool left = synth_below(random, 2) == 0;
		if (at == rows[r])
			left = false;
		if (at[1] == '\0')
			left = true;
		return (unsigned char)at[left ? -1 : 1];
	}
	return (unsigned char)"aeinrst"[synth_below(random, 7)];
}

/* One slip of the fingers: another key, one too many, one too few, two swapped. */
static void misspell(struct synth_random *random, char *field)
{
	struct text t;
	text_init(&t);
	if (text_decode(&t, field, strlen(field)) != RC_OK || t.len < 2 || text_reserve(&t, t.len + 1) != RC_OK) {
		text_deinit(&t);
		return;
	}
	uint32_t i = synth_below(random, (uint32_t)t.len - 1), kind = synth_below(random, 4);
	/* Never the first letter: people look at that. */
	i += t.len > 2 && i == 0;
	if (kind == 0) {
		t.cp[i] = neighbour(random, t.cp[i]);
	} else if (kind == 1) {
		memmove(t.cp + i + 1, t.cp + i, (t.len - i) * sizeof *t.cp);
		t.len++;
	} else if (kind == 2) {
		memmove(t.cp + i, t.cp + i + 1, (t.len - i - 1) * sizeof *t.cp);
		t.len--;
	} else if (i + 1 < t.len) {
		uint32_t c = t.cp[i];
		t.cp[i] = t.cp[i + 1];
		t.cp[i + 1] = c;
	}
	store(field, &t);
	text_deinit(&t);
}

static void upper_case(char *field)
{
	for (char *c = field; *c != '\0'; c++) {
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 32);
	}
}

/* Keep one part of a double surname. */
static void halve_surname(struct synth_random *random, char *surname)
{
	char *hyphen = strchr(surname, '-');
	if (hyphen == NULL)
		return;
	if (synth_below(random, 2) == 0)
		*hyphen = '\0';
	else
		memmove(surname, hyphen + 1, strlen(hyphen));
}

/* A wrong date of birth that is still a date: day and month swapped, one digit read wrong, or the first of January. */
static void mistake_date(struct synth_random *random, char *birth)
{
	int32_t day;
	int y, m, d;
	if (day_parse(birth, &day) != RC_OK)
		return;
	day_to_civil(day, &y, &m, &d);
	uint32_t kind = synth_below(random, 10);
	if (kind < 3 && d <= 12) {
		int swap = d;
		d = m;
		m = swap;
	} else if (kind < 5) {
		y += synth_below(random, 2) == 0 ? 1 : -1;
	} else if (kind < 7) {
		y += synth_below(random, 2) == 0 ? 10 : -10;
	} else if (kind < 9) {
		d = 1 + (int)synth_below(random, 28);
	} else {
		d = m = 1;
	}
	if (y > 2006 || !day_is_valid_civil(y, m, d))
		return;
	day_format(day_from_civil(y, m, d), birth);
}

void synth_identity_copy(struct synth_random *random, const struct synth_identity *truth, uint32_t typos,
			 struct synth_identity *ret)
{
	uint32_t rate = typos * 10;
	*ret = *truth;
	if (synth_chance(random, rate))
		misspell(random, ret->given);
	if (synth_chance(random, rate))
		misspell(random, ret->surname);
	if (synth_chance(random, rate))
		misspell(random, ret->place);
	if (synth_chance(random, rate))
		misspell(random, ret->postcode);
	if (synth_chance(random, rate / 2))
		mistake_date(random, ret->birth);
	if (synth_chance(random, 500))
		ret->middle[0] = '\0';
	if (synth_chance(random, 8 * rate))
		halve_surname(random, ret->surname);
	if (synth_chance(random, rate / 8)) {
		char swap[SYNTH_FIELD_CAP];
		copy(swap, ret->given);
		copy(ret->given, ret->surname);
		copy(ret->surname, swap);
	}
	/* Gaps. */
	char *const fields[] = {ret->given, ret->surname, ret->birth, ret->place, ret->postcode};
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		if (synth_chance(random, i < 2 ? rate / 16 : rate / 4))
			fields[i][0] = '\0';
	}
	if (synth_chance(random, 100)) {
		upper_case(ret->given);
		upper_case(ret->surname);
	}
}

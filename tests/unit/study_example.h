/* A small study with a value of each kind, and what one edit makes of it. Shared by the tests of studies. */
#ifndef TESTS_UNIT_STUDY_EXAMPLE_H
#define TESTS_UNIT_STUDY_EXAMPLE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/bytes.h"
#include "proto/study.h"

/* Line numbers in test_study_refused.c count from here. */
static const char base[] =
	/*  1 */
	"study: 1\n"
	/*  2 */ "name: example\n"
	/*  3 */ "title: An example\n"
	/*  4 */ "synthetic: true\n"
	/*  5 */ "linkage:\n"
	/*  6 */ "  profile: quality\n"
	/*  7 */ "  key_check: unset\n"
	/*  8 */ "  floor: 2.5\n"
	/*  9 */ "  language: nl\n"
	/* 10 */ "  normalise: [trim, lower]\n"
	/* 11 */ "  schema:\n"
	/* 12 */ "    {\"version\": 3,\n"
	/* 13 */ "     \"clkConfig\": {\"l\": 512, \"kdf\": {\"type\": \"HKDF\"}},\n"
	/* 14 */ "     \"features\": [\n"
	/* 15 */ "       {\"identifier\": \"id\", \"ignored\": true},\n"
	/* 16 */ "       {\"identifier\": \"name\", \"format\": {\"type\": \"string\"},\n"
	/* 17 */ "        \"hashing\": {\"comparison\": {\"type\": \"ngram\", \"n\": 2},\n"
	/* 18 */ "                    \"strategy\": {\"bitsPerToken\": 10}}},\n"
	/* 19 */ "       {\"identifier\": \"born\", \"format\": {\"type\": \"date\", \"format\": \"%Y-%m-%d\"},\n"
	/* 20 */ "        \"hashing\": {\"comparison\": {\"type\": \"ngram\", \"n\": 1, \"positional\": true},\n"
	/* 21 */ "                    \"strategy\": {\"bitsPerToken\": 10}}},\n"
	/* 22 */ "       {\"identifier\": \"place\", \"format\": {\"type\": \"string\"},\n"
	/* 23 */ "        \"hashing\": {\"comparison\": {\"type\": \"ngram\", \"n\": 2},\n"
	/* 24 */ "                    \"strategy\": {\"bitsPerToken\": 10}}}]}\n"
	/* 25 */ "  filters:\n"
	/* 26 */ "    who: {features: [name], bits: 512}\n"
	/* 27 */ "    when: {features: [born], bits: 256, sorted_digits: true}\n"
	/* 28 */ "    where: {features: [place]}\n"
	/* 29 */ "  comparisons:\n"
	/* 30 */ "    who: {filters: [who], levels: [0.5, 0.75, 1]}\n"
	/* 31 */ "    rest: {filters: [when, where], levels: {where: [0.6, 1]}}\n"
	/* 32 */ "sources:\n"
	/* 33 */ "  prison: {kind: prison, reporting_lag_days: 30}\n"
	/* 34 */ "  clinic: {kind: treatment}\n"
	/* 35 */ "events:\n"
	/* 36 */ "  release: {role: release, from: [prison]}\n"
	/* 37 */ "  start: {role: treatment_start, from: [treatment]}\n"
	/* 38 */ "  death: {role: death, from: [prison, treatment, death]}\n"
	/* 39 */ "dimensions:\n"
	/* 40 */ "  sex: {column: sex, codes: [male, female]}\n"
	/* 41 */ "  age: {derived: age_band, column: born, bands: [18, 25, 26, 40]}\n"
	/* 42 */ "  country: {derived: source, codes: [nl, be], of: {prison: nl, clinic: be}}\n"
	/* 43 */ "measures:\n"
	/* 44 */ "  continuity: {kind: continuity, bands: [7, 21, 90]}\n"
	/* 45 */ "tables:\n"
	/* 46 */ "  all: {measure: continuity, period: quarter, sigma2: 10}\n"
	/* 47 */ "  by_sex: {measure: continuity, period: year, by: [sex, age], sigma2: 3}\n"
	/* 48 */ "disclosure:\n"
	/* 49 */ "  method: keyed-noise\n"
	/* 50 */ "  threshold: 12\n"
	/* 51 */ "  rho_limit: 2.25\n"
	/* 52 */ "  max_index_events: 3\n"
	/* 53 */ "  interval_days: 28\n"
	/* 54 */ "  min_new_records: 100\n"
	/* 55 */ "  min_sources: 2\n"
	/* 56 */ "  provisional: false\n"
	/* 57 */ "retention: {years: 10}\n";

/* base with the first `from` replaced; the caller frees. */
static inline char *edited(const char *from, const char *to)
{
	const char *at = strstr(base, from);
	char *text = malloc(sizeof base + strlen(to));

	if (at == NULL)
		fail_msg("\"%s\" is not in the example", from);
	assert_non_null(text);
	sprintf(text, "%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
	return text;
}

static inline struct study *parse(const char *text)
{
	struct study *study = NULL;
	struct diag diag = {""};

	if (study_parse("study.yaml", text, strlen(text), &study, &diag) != RC_OK)
		fail_msg("%s", diag.text);
	return study;
}

static inline struct study *parse_edited(const char *from, const char *to)
{
	char *text = edited(from, to);
	struct study *study = parse(text);

	free(text);
	return study;
}

#endif

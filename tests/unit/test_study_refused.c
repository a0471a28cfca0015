/* libs: tc_proto */
/* What a study is refused for, and in which words; hostile bytes in its place. */
#include "tests/unit/study_example.h"

/* ---- broken studies ---- */

static const struct {
	const char *from, *to, *message;
} broken[] = {
	/* the top */
	{"study: 1\n", "study: 2\n", "study.yaml:1: study: 2 is above 1"},
	{"study: 1\n", "\n", "study.yaml:2: the key study is missing"},
	{"study: 1\n", "study: 1\nwitnesses: {needed: 1}\n", "witnesses: the key keys is missing"},
	{"study: 1\n", "study: 1\nwitnesses: {}\n", "witnesses: the key keys is missing"},
	{"name: example", "name: Example", "study.yaml:2: name: a name is needed here"},
	{"name: example", "name:", "study.yaml:2: name: a name is needed here"},
	{"name: example", "name: [a]", "study.yaml:2: name: a single value is needed here, not a list"},
	{"title: An example", "title: ''", "study.yaml:3: title: is empty"},
	{"title: An example", "title: \"a\\tb\"", "study.yaml:3: title: control characters"},
	{"synthetic: true", "synthetic: yes", "study.yaml:4: synthetic: true or false"},
	{"synthetic: true", "synthetik: true", "study.yaml:4: synthetik: unknown key; did you mean synthetic?"},
	{"synthetic: true", "colour: blue", "study.yaml:4: colour: unknown key; known here: study, name,"},
	{"synthetic: true", "name: again", "study.yaml:4: name: this key stands twice; the first is in line 2"},
	{"retention: {years: 10}", "retention: {years: 0}", "study.yaml:57: retention.years: 0 is below 1"},
	/* YAML itself */
	{"name: example", "name: *alias", "study.yaml:2: anchors"},
	{"name: example", "name: &anchor x", "study.yaml:2: anchors"},
	{"name: example", "name: !!str x", "study.yaml:2: tags"},
	{"name: example", "name: \"a\\0b\"", "study.yaml:2: a value holds a NUL"},
	{"name: example", "name: [a", "study.yaml:3: not valid YAML: "},
	{"name: example", "name: \xff", "study.yaml:2: not valid YAML: "},
	{"name: example", "? [a]\n: b", "study.yaml:2: a key must be plain text"},
	{"retention:", "---\nretention:", "study.yaml:57: a second document"},
	{"study: 1\n", "%YAML 1.1\n---\nstudy: 1\n", "study.yaml:1: directives"},
	/* linkage */
	{"  profile: quality", "  profil: quality", "study.yaml:6: linkage.profil: unknown key; did you mean profile?"},
	{"  filters:", "  filtrs:", "study.yaml:25: linkage.filtrs: unknown key; did you mean filters?"},
	{"profile: quality", "profile: best",
	 "study.yaml:6: linkage.profile: one of these is needed here: none, quality"},
	{"  filters:\n    who: {features: [name], bits: 512}\n",
	 "  roles: {nmae: given}\n  filters:\n    who: {features: [name], bits: 512}\n",
	 "study.yaml:25: linkage.roles.nmae: the schema has no feature"},
	{"  filters:\n    who: {features: [name], bits: 512}\n",
	 "  roles: {name: first}\n  filters:\n    who: {features: [name], bits: 512}\n",
	 "study.yaml:25: linkage.roles.name: one of these is needed here: none, given"},
	{"  key_check: unset\n", "\n", "study.yaml:5: linkage: the key key_check is missing"},
	{"key_check: unset", "key_check: abc",
	 "study.yaml:7: linkage.key_check: 32 hexadecimal digits or the word unset"},
	{"floor: 2.5", "floor: high", "study.yaml:8: linkage.floor: a number with at most 3 decimal places"},
	{"floor: 2.5", "floor: 61", "study.yaml:8: linkage.floor: 61 is above 60"},
	{"floor: 2.5", "floor: -30.5", "study.yaml:8: linkage.floor: -30.5 is below -30"},
	{"floor: 2.5", "floor: 2.5001", "study.yaml:8: linkage.floor: a number with at most 3"},
	{"floor: 2.5", "floor: 99999999999999999999", "study.yaml:8: linkage.floor: a number with"},
	{"language: nl", "language: n", "study.yaml:9: linkage.language: a BCP 47 language tag"},
	{"[trim, lower]", "[trim, lowr]",
	 "study.yaml:10: linkage.normalise[1]: one of these is needed here: trim, lower"},
	{"[trim, lower]", "[trim, trim]", "study.yaml:10: linkage.normalise[1]: stands twice"},
	{"[trim, lower]", "all", "study.yaml:10: linkage.normalise: a list of rules or the word none"},
	/* schema */
	{"\"version\": 3", "\"version\": 4", "study.yaml:12: linkage.schema.version: linkage schema version 3"},
	{"\"l\": 512", "\"l\": 0", "study.yaml:13: linkage.schema.clkConfig.l: 0 is below 1"},
	{"\"l\": 512", "\"l\": 123456789012345678901234567890",
	 "study.yaml:11: linkage.schema: a number in it is too large"},
	{"\"n\": 2", "\"n\": 0", "study.yaml:17: linkage.schema.features[1].hashing.comparison.n: 0 is below 1"},
	{"{\"bitsPerToken\": 10}}},\n       {\"identifier\": \"born\"", "{}}},\n       {\"identifier\": \"born\"",
	 "study.yaml:18: linkage.schema.features[1].hashing.strategy: exactly one of"},
	{"\"identifier\": \"place\", ", "", "study.yaml:22: linkage.schema.features[3]: identifier: is missing"},
	{"{\"type\": \"HKDF\"}", "{\"type\": \"HKDF\", \"hash\": \"MD5\"}",
	 "study.yaml:13: linkage.schema.clkConfig.kdf.hash: one of"},
	{"\"ignored\": true", "\"ignored\": true, \"ignored\": true",
	 "study.yaml:15: linkage.schema.features[0].ignored: this key"},
	{"  schema:\n    {\"version\"", "  schema: |\n    {{\"version\"", "study.yaml:11: linkage.schema: line 1"},
	/* filters */
	{"features: [name]", "features: [nmae]",
	 "study.yaml:26: linkage.filters.who.features[0]: the schema has no feature"},
	{"features: [name]", "features: [id]",
	 "study.yaml:26: linkage.filters.who.features[0]: the schema ignores this"},
	{"features: [name]", "features: []", "study.yaml:26: linkage.filters.who.features: 0 items; at least 1"},
	{"features: [name]", "features: [name, name]",
	 "study.yaml:26: linkage.filters.who.features[1]: this feature is already"},
	{"features: [place]", "features: [name]",
	 "linkage.filters.who.features[0]: this feature is already in the filter where"},
	{"bits: 512", "bits: 0", "study.yaml:26: linkage.filters.who.bits: 0 is below 64"},
	{"bits: 512", "bits: 8192", "study.yaml:26: linkage.filters.who.bits: 8192 is above 4096"},
	{"bits: 512", "bits: 100", "study.yaml:26: linkage.filters.who.bits: 100 is not a multiple of 8"},
	{"bits: 512", "bits: 520", "study.yaml:26: linkage.filters.who.bits: 520 is not a power of two"},
	{"{\"l\": 512,", "{\"l\": 512, \"xor_folds\": 8,",
	 "study.yaml:28: linkage.filters.where: 512 doubled by xor_folds"},
	{"bits: 512", "diffusion: 1", "study.yaml:26: linkage.filters.who.diffusion: 1 input a bit hides nothing"},
	{"bits: 512", "diffusion: 65", "study.yaml:26: linkage.filters.who.diffusion: 65 is above 64"},
	{"bits: 512", "balanced: yes", "study.yaml:26: linkage.filters.who.balanced: true or false"},
	{"levels: [0.5, 0.75, 1]", "levels: {who: 1}", "study.yaml:30: linkage.comparisons.who.levels.who: "},
	{"  filters:\n", "  filters:\n    x: {features: [id]}\n",
	 "study.yaml:26: linkage.filters.x.features[0]: the schema ignores"},
	/* hardening */
	{"  floor: 2.5\n", "  hardening: {difusion: 2}\n",
	 "study.yaml:8: linkage.hardening.difusion: unknown key; did you mean diffusion?"},
	{"  floor: 2.5\n", "  hardning: {diffusion: 2}\n",
	 "study.yaml:8: linkage.hardning: unknown key; did you mean hardening?"},
	{"  floor: 2.5\n", "  hardening: 2\n", "study.yaml:8: linkage.hardening: a mapping"},
	{"  floor: 2.5\n", "  hardening: {bits: 512}\n",
	 "study.yaml:8: linkage.hardening.bits: unknown key; known here: diffusion, balanced, incomplete"},
	{"  floor: 2.5\n", "  hardening: {diffusion: 65}\n",
	 "study.yaml:8: linkage.hardening.diffusion: 65 is above 64"},
	{"  floor: 2.5\n", "  hardening: {diffusion: 1}\n",
	 "study.yaml:8: linkage.hardening.diffusion: 1 input a bit hides nothing"},
	{"  floor: 2.5\n", "  hardening: {diffusion: -1}\n",
	 "study.yaml:8: linkage.hardening.diffusion: -1 is below 0"},
	{"  floor: 2.5\n", "  hardening: {balanced: 1}\n", "study.yaml:8: linkage.hardening.balanced: true or false"},
	{"  floor: 2.5\n", "  hardening: {incomplete: drop}\n",
	 "study.yaml:8: linkage.hardening.incomplete: one of these is needed here: keep, pad, reject"},
	{"  floor: 2.5\n", "  hardening: {balanced: true}\n",
	 "study.yaml:31: linkage.comparisons.rest.levels: the filter when is balanced, so its levels must be written"},
	{"bits: 512", "bits: 64, balanced: true", "study.yaml:26: linkage.filters.who.bits: half of 64"},
	{"bits: 512", "incomplete: drop", "study.yaml:26: linkage.filters.who.incomplete: one of these"},
	{"bits: 512", "bit: 512", "study.yaml:26: linkage.filters.who.bit: unknown key; did you mean bits?"},
	{"    who: {features", "    Who: {features", "study.yaml:26: linkage.filters.Who: a name is needed here"},
	{"bits: 512", "bits: 512, sorted_digits: 1", "study.yaml:26: linkage.filters.who.sorted_digits: true or false"},
	/* comparisons */
	{"filters: [who]", "filters: [whom]", "study.yaml:30: linkage.comparisons.who.filters[0]: there is no filter"},
	{"filters: [when, where], levels: {where: [0.6, 1]}", "filters: [when, who]",
	 "study.yaml:30: linkage.comparisons.who.filters[0]: this filter is compared twice"},
	{"[0.5, 0.75, 1]", "[0.5, 0.5, 1]",
	 "study.yaml:30: linkage.comparisons.who.levels[1]: cuts of the Dice coefficient must"},
	{"[0.5, 0.75, 1]", "[0, 0.5, 1]", "study.yaml:30: linkage.comparisons.who.levels[0]: 0 is below 0.001"},
	{"[0.5, 0.75, 1]", "[0.5, 1.1]", "study.yaml:30: linkage.comparisons.who.levels[1]: 1.1 is above 1"},
	{"{where: [0.6, 1]}", "{were: [0.6, 1]}",
	 "study.yaml:31: linkage.comparisons.rest.levels.were: unknown key; did you mean where?"},
	{"filters: [when, where], levels: {where: [0.6, 1]}", "filters: [when, where, who]",
	 "study.yaml:31: linkage.comparisons.rest: 971 levels; at most 240"},
	{"levels: {where: [0.6, 1]}",
	 "levels: [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75]",
	 "study.yaml:31: linkage.comparisons.rest: 288 levels; at most 240"},
	{"levels: [0.5, 0.75, 1]", "levels: [0.5, 0.75, 1], reference_weights: [1, 2, 3]",
	 "study.yaml:30: linkage.comparisons.who.reference_weights: 3 items; at least 4"},
	/* sources */
	{"{kind: treatment}", "{kind: clinic}",
	 "study.yaml:34: sources.clinic.kind: one of these is needed here: prison, treatment"},
	{"{kind: treatment}", "{}", "study.yaml:34: sources.clinic: the key kind is missing"},
	{"{kind: treatment}", "{kind: treatment, domain: nl}",
	 "study.yaml:34: sources.clinic.domain: there is no domain"},
	{"reporting_lag_days: 30", "reporting_lag_days: -1",
	 "study.yaml:33: sources.prison.reporting_lag_days: -1 is below 0"},
	{"reporting_lag_days: 30", "reporting_lag: 30",
	 "study.yaml:33: sources.prison.reporting_lag: unknown key; did you mean reporting_lag_days?"},
	/* events */
	{"role: release, from: [prison]", "role: release, from: [prisons]",
	 "study.yaml:36: events.release.from[0]: one of these is needed here: prison"},
	{"role: release, from: [prison]", "role: leave, from: [prison]",
	 "study.yaml:36: events.release.role: one of these"},
	{"role: release, from: [prison]", "role: release", "study.yaml:36: events.release: the key from is missing"},
	{"from: [prison, treatment, death]", "from: [prison, prison]",
	 "study.yaml:38: events.death.from[1]: stands twice"},
	{"role: release, from: [prison]", "role: release, from: [death]",
	 "study.yaml:44: measures.continuity: continuity needs an event with the role release"},
	{"role: treatment_start", "role: treatment_end",
	 "study.yaml:44: measures.continuity: continuity needs an event with the role "
	 "treatment_start"},
	/* dimensions */
	{"codes: [male, female]", "codes: [male, male]",
	 "study.yaml:40: dimensions.sex.codes[1]: this code stands twice"},
	{"codes: [male, female]", "codes: [male, unknown]",
	 "study.yaml:40: dimensions.sex.codes[1]: every dimension has the code"},
	{"codes: [male, female]", "codes: [ma le]", "study.yaml:40: dimensions.sex.codes[0]: a code is"},
	{"codes: [male, female]", "code: [male]",
	 "study.yaml:40: dimensions.sex.code: unknown key; did you mean codes?"},
	{"{column: sex, ", "{", "study.yaml:40: dimensions.sex: the key column is missing"},
	{"[18, 25, 26, 40]", "[18, 25, 25, 40]",
	 "study.yaml:41: dimensions.age.bands[2]: the first ages of bands must ascend"},
	{"[18, 25, 26, 40]", "[18, 250]", "study.yaml:41: dimensions.age.bands[1]: 250 is above 120"},
	{"derived: age_band", "derived: age", "study.yaml:41: dimensions.age.derived: one of these"},
	{"{prison: nl, clinic: be}", "{prison: nl}",
	 "study.yaml:42: dimensions.country.of: the source clinic has no code"},
	{"{prison: nl, clinic: be}", "{prison: nl, clinic: fr}",
	 "study.yaml:42: dimensions.country.of.clinic: this dimension has no"},
	{"{prison: nl, clinic: be}", "{prison: nl, ward: be}",
	 "study.yaml:42: dimensions.country.of.ward: there is no source"},
	/* measures and tables */
	{"bands: [7, 21, 90]", "bands: [7, 7, 90]",
	 "study.yaml:44: measures.continuity.bands[1]: the last days of bands must ascend"},
	{"bands: [7, 21, 90]", "bands: [7, 366]", "study.yaml:44: measures.continuity.bands[1]: 366 is above 365"},
	{"bands: [7, 21, 90]", "bands: []", "study.yaml:44: measures.continuity.bands: 0 items; at least 1"},
	{"bands: [7, 21, 90]", "bands: [1,2,3,4,5,6,7,8,9]",
	 "study.yaml:44: measures.continuity.bands: 9 items; at most 8"},
	{"kind: continuity,", "kind: continuty,", "study.yaml:44: measures.continuity.kind: one of these"},
	{"kind: continuity,", "kind: return,", "measures.continuity: return needs an event with the role reception"},
	{"kind: continuity,", "kind: retention,", "retention needs an event with the role treatment_end"},
	{"kind: continuity,", "kind: population,", "measures.continuity.bands: unknown key"},
	{"kind: continuity,", "kind: continuity, drug_related: {sex: [male]},", "drug_related: unknown key"},
	{"kind: continuity,", "kind: mortality, start_within: 9,", "start_within: unknown key"},
	{"kind: continuity,", "kind: mortality, drug_related: {cause: [x]},",
	 "measures.continuity.drug_related.cause: there is no dimension"},
	{"kind: continuity,", "kind: mortality, drug_related: {sex: [male], age: ['18-24']},",
	 "drug_related: 2 entries; at most 1"},
	{"kind: continuity,", "kind: continuity, eligible: {need: [yes]},",
	 "measures.continuity.eligible.need: there is no dimension"},
	{"kind: continuity,", "kind: continuity, eligible: {sex: [other]},",
	 "measures.continuity.eligible.sex[0]: this dimension has no code"},
	{"kind: continuity,", "kind: continuity, eligible: {sex: [male, male]},",
	 "measures.continuity.eligible.sex[1]: this code stands twice"},
	{"kind: continuity,", "kind: continuity, eligible: {sex: []},", "eligible.sex: 0 items; at least 1"},
	{"{kind: continuity, bands: [7, 21, 90]}", "{kind: population}", "continuity: the key captures is missing"},
	{"{kind: continuity, bands: [7, 21, 90]}", "{kind: population, captures: {a: [release]}}",
	 "captures: two or three lists"},
	{"{kind: continuity, bands: [7, 21, 90]}", "{kind: population, captures: {a: [release], b: [rlease]}}",
	 "captures.b[0]: there is no event"},
	{"{kind: continuity, bands: [7, 21, 90]}", "{kind: population, captures: {a: [start], b: [start]}}",
	 "captures.b: an event stands in two lists"},
	{"{measure: continuity, period: quarter", "{measure: continuty, period: quarter",
	 "study.yaml:46: tables.all.measure: there is no measure"},
	{"period: quarter", "period: month",
	 "study.yaml:46: tables.all.period: one of these is needed here: quarter, year, all"},
	{"by: [sex, age]", "by: [sex, region]", "study.yaml:47: tables.by_sex.by[1]: there is no dimension"},
	{"by: [sex, age]", "by: [sex, sex]", "study.yaml:47: tables.by_sex.by[1]: stands twice"},
	{"by: [sex, age]", "by: [sex, age, country, sex]", "study.yaml:47: tables.by_sex.by: 4 items; at most 3"},
	{"provisional: false", "provisional: false\n  linkage_sigma2: 0",
	 "disclosure.linkage_sigma2: 0 is below 0.001"},
	{"provisional: false", "provisional: false\n  linkage_by: sex",
	 "disclosure.linkage_by: needs linkage_sigma2, the variance of the counts"},
	{"provisional: false", "provisional: false\n  linkage_sigma2: 9\n  linkage_by: shoe",
	 "disclosure.linkage_by: there is no dimension of this name"},
	{"provisional: false", "provisional: false\n  release_dates: [2026-03-31, 2026-03-31]",
	 "disclosure.release_dates[1]: release dates must ascend"},
	{"provisional: false", "provisional: false\n  release_dates: [2026-02-30]",
	 "disclosure.release_dates[0]: a date such as 2026-03-31"},
	{"provisional: false", "provisional: false\n  release_dates: []", "disclosure.release_dates: 0 items"},
	{"provisional: false", "provisional: false\n  revision_after_days: 0",
	 "disclosure.revision_after_days: 0 is below 1"},
	{"provisional: false", "provisional: false\n  linkage_sigma2: 0.2",
	 "disclosure.rho_limit: one release costs rho 10.433334"},
	{"sigma2: 10}", "sigma2: 0}", "study.yaml:46: tables.all.sigma2: a sigma2 above 0 is needed"},
	{", sigma2: 10}", "}", "study.yaml:46: tables.all: a sigma2 above 0 is needed"},
	{"sigma2: 10}", "sigma2: -1}", "study.yaml:46: tables.all.sigma2: -1 is below 0"},
	{"tables:\n  all:", "tables:\n  by_sex:",
	 "study.yaml:47: tables.by_sex: this key stands twice; the first is in line 46"},
	/* what does not nest */
	{"period: year, by: [sex, age]", "period: quarter, by: []",
	 "study.yaml:47: tables.by_sex: has the very cells of table all"},
	{"{kind: continuity, bands: [7, 21, 90]}\ntables:\n  all: {measure: continuity,",
	 "{kind: continuity, bands: [7, 21, 90]}\n  other: {kind: continuity, bands: [7, 14, 90]}\n"
	 "tables:\n  all: {measure: other,",
	 "study.yaml:45: measures.other: its bands overlap those of continuity"},
	{"  age: {derived: age_band, column: born, bands: [18, 25, 26, 40]}\n"
	 "  country: {derived: source, codes: [nl, be], of: {prison: nl, clinic: be}}\n"
	 "measures:\n  continuity: {kind: continuity, bands: [7, 21, 90]}\ntables:\n",
	 "  age: {derived: age_band, column: born, bands: [18, 25, 26, 40]}\n"
	 "  young: {derived: age_band, column: born, bands: [18, 21]}\n"
	 "measures:\n  continuity: {kind: continuity, bands: [7, 21, 90]}\ntables:\n"
	 "  by_young: {measure: continuity, period: year, by: [young], sigma2: 3}\n",
	 "dimensions.young: its bands overlap those of age"},
	/* disclosure */
	{"method: keyed-noise", "method: none-at-all",
	 "study.yaml:49: disclosure.method: one of these is needed here: keyed-noise, none, cell-key"},
	{"method: keyed-noise", "method: cell-key", "study.yaml:46: tables.all.sigma2: the method cell-key has noise"},
	{"rho_limit: 2.25", "rho_limit: 0.4",
	 "study.yaml:51: disclosure.rho_limit: one release costs rho 0.433334, more than this"},
	{"  rho_limit: 2.25\n", "", "study.yaml:48: disclosure: the key rho_limit is missing"},
	{"max_index_events: 3", "max_index_events: 0", "study.yaml:52: disclosure.max_index_events: 0 is below 1"},
	{"min_sources: 2", "min_sources: 3", "study.yaml:55: disclosure.min_sources: 3 is above 2"},
	{"interval_days: 28", "interval_day: 28",
	 "study.yaml:53: disclosure.interval_day: unknown key; did you mean interval_days?"},
};

static void broken_studies(void **state)
{
	size_t n_failed = 0;

	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
		char *text = edited(broken[i].from, broken[i].to);
		struct study *study = NULL;
		struct diag diag = {""};
		enum rc rc = study_parse("study.yaml", text, strlen(text), &study, &diag);
		if (rc != RC_INVALID || strstr(diag.text, broken[i].message) == NULL) {
			print_error("%s => %s\n  says: %s\n  expected: %s\n", broken[i].from, broken[i].to, diag.text,
				    broken[i].message);
			n_failed++;
		}
		if (rc != RC_OK)
			assert_null(study);
		study_free(study);
		free(text);
	}
	assert_int_equal(n_failed, 0);
}

/* Needs no variance and no limit, and charges nothing; counts of links still do. */
static void cell_key_has_its_own_noise(void **state)
{
	struct study *s = parse_edited("  all: {measure: continuity, period: quarter, sigma2: 10}\n"
				       "  by_sex: {measure: continuity, period: year, by: [sex, age], sigma2: 3}\n"
				       "disclosure:\n  method: keyed-noise\n  threshold: 12\n  rho_limit: 2.25\n",
				       "  all: {measure: continuity, period: quarter}\n"
				       "  by_sex: {measure: continuity, period: year, by: [sex, age]}\n"
				       "disclosure:\n  method: cell-key\n  threshold: 12\n");

	(void)state;
	assert_int_equal(s->disclosure.method, DISCLOSURE_CELL_KEY);
	assert_int_equal(s->tables[0].sigma2_milli, STUDY_CELL_KEY_SIGMA2_MILLI);
	assert_int_equal(study_release_rho_micro(s), 0);
	s->disclosure.linkage_sigma2_milli = 20000;
	assert_int_equal(study_release_rho_micro(s), 100000);
	study_free(s);
}

/* True counts are for test data only. */
static void no_noise_needs_synthetic(void **state)
{
	char *text = edited("method: keyed-noise", "method: none");
	struct study *study = parse(text);
	struct diag diag = {""};

	assert_int_equal(study->disclosure.method, DISCLOSURE_NONE);
	study_free(study);
	study = NULL;
	free(text);
	text = edited("synthetic: true\n", "");
	memcpy(strstr(text, "keyed-noise"), "none       ", 11);
	assert_int_equal(study_parse("study.yaml", text, strlen(text), &study, &diag), RC_INVALID);
	assert_non_null(strstr(diag.text, "study.yaml:48: disclosure.method: none is allowed only where"));
	free(text);
}

/* ---- hostile input ---- */

static enum rc parse_bytes(const char *text, size_t len, char message[512])
{
	struct study *study = NULL;
	struct diag diag = {""};
	enum rc rc = study_parse("study.yaml", text, len, &study, &diag);

	study_free(study);
	memcpy(message, diag.text, sizeof diag.text);
	return rc;
}

static void hostile_yaml(void **state)
{
	size_t len = (1 << 20) - 1;
	char *text = malloc(len + 2), message[512];

	assert_non_null(text);
	memset(text, '[', len);
	assert_int_equal(parse_bytes(text, len, message), RC_INVALID);
	assert_non_null(strstr(message, "nested too deeply"));
	memset(text, 'a', len + 2);
	assert_int_equal(parse_bytes(text, len + 2, message), RC_TOO_LARGE);
	for (size_t i = 0; i + 1 < len; i += 2)
		memcpy(text + i, "- ", 2);
	assert_int_not_equal(parse_bytes(text, 4000, message), RC_OK);
	text[0] = '[';
	for (size_t i = 1; i + 1 < len; i += 2)
		memcpy(text + i, "1,", 2);
	assert_int_equal(parse_bytes(text, len, message), RC_TOO_LARGE);
	assert_non_null(strstr(message, "more than"));
	size_t at = 0;
	for (unsigned i = 0; at + 16 < len; i++)
		at += (size_t)sprintf(text + at, "key%u: 1\n", i);
	assert_int_equal(parse_bytes(text, at, message), RC_INVALID);
	assert_non_null(strstr(message, "too many keys"));
	assert_int_equal(parse_bytes("", 0, message), RC_INVALID);
	assert_non_null(strstr(message, "the file is empty"));
	assert_int_equal(parse_bytes(NULL, 0, message), RC_INVALID); /* as a file of no bytes is read */
	assert_non_null(strstr(message, "the file is empty"));
	assert_int_equal(parse_bytes("- a\n", 4, message), RC_INVALID);
	assert_int_equal(parse_bytes("word", 4, message), RC_INVALID);
	free(text);
}

/* No prefix of a study is a study until the last table is whole, and none leaks. */
static void truncated(void **state)
{
	char message[512];
	size_t whole = sizeof base - 1 -
		       strlen("  threshold: 12\n  rho_limit: 2.25\n  max_index_events: 3\n  interval_days: 28\n"
			      "  min_new_records: 100\n  min_sources: 2\n  provisional: false\n"
			      "retention: {years: 10}\n");

	for (size_t len = 0; len < whole; len += 3)
		assert_int_not_equal(parse_bytes(base, len, message), RC_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broken_studies),
		cmocka_unit_test(cell_key_has_its_own_noise),
		cmocka_unit_test(no_noise_needs_synthetic),
		cmocka_unit_test(hostile_yaml),
		cmocka_unit_test(truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* throughcare study: what a study file says, whether it is right, and what its releases cost. Needs no daemon and no
 * key, so that custodians and data protection officers can run it before anything is agreed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/study.h"
#include "tools/command.h"
#include "tools/encode/format.h"
#include "tools/options.h"
#include "tools/study_tool.h"
#include "tools/whole_file.h"

int study_tool_report(const char *command, enum rc rc, const struct diag *diag)
{
	fprintf(stderr, "throughcare study %s: %s\n", command, diag->text[0] != '\0' ? diag->text : rc_text(rc));
	return rc_exit_code(rc);
}

enum rc study_tool_load(const char *path, struct study **ret, struct diag *diag)
{
	struct buffer text;

	buffer_init(&text);
	enum rc rc = whole_file_read(path, STUDY_MAX_BYTES, &text, diag);
	if (rc == RC_OK)
		rc = study_parse(path, (const char *)text.data, text.len, ret, diag);
	buffer_deinit(&text);
	return rc;
}

/* Patterns and date formats are compiled by the encoder only; a study that it would refuse is not right. */
static enum rc check_formats(const char *path, const struct study *study, struct diag *diag)
{
	for (unsigned d = 0; d < study->n_domains; d++) {
		const struct schema *schema = study->domains[d].schema;
		const struct format_rules rules = {.normalise = study->domains[d].normalise, .empty_is_missing = true};
		for (unsigned i = 0; i < schema->n_features; i++) {
			struct format *format = NULL;
			char rule[RULE_TEXT_CAP] = "";
			if (schema->features[i].ignored)
				continue;
			enum rc rc = format_new(&schema->features[i], &rules, &format, rule);
			if (rc != RC_OK)
				return diag_set(diag, rc, "%s: domain %s: schema.features[%u]: %s", path,
						study->domains[d].name, i, rule[0] != '\0' ? rule : rc_text(rc));
			format_free(format);
		}
	}
	return RC_OK;
}

/* ---- study check ---- */

static void print_domain(const struct study_domain *domain)
{
	char id[65];

	hex_encode(domain->encoding_id, sizeof domain->encoding_id, id);
	printf("\ndomain %s%s%s\n", domain->name, domain->language[0] != '\0' ? ", language " : "", domain->language);
	printf("  encoding     %s\n", id);
	printf("  key check    %s\n", domain->has_key_check ? "pinned" : "unset");
	printf("  record       %u filters, %zu bytes; profile %s; candidate floor %g\n", (unsigned)domain->n_filters,
	       study_record_bytes(domain), study_profile_name(domain->profile), domain->floor / 256.0);
	for (unsigned i = 0; i < domain->n_comparisons; i++) {
		const struct study_comparison *c = &domain->comparisons[i];
		printf("  comparison   %s: ", c->name);
		for (unsigned j = 0; j < c->n_filters; j++)
			printf("%s%s (%u bits)", j > 0 ? " x " : "", domain->filters[c->filters[j]].name,
			       (unsigned)domain->filters[c->filters[j]].bits);
		printf(", %u levels\n", (unsigned)c->n_levels);
	}
	if (domain->merge_dependent)
		printf("  comparisons that turn out to depend on each other are made one\n");
}

static void print_by(const struct study *study, const struct study_table *table)
{
	static const char *const periods[] = {"quarter", "year", "whole time"};
	unsigned rows = 1;

	printf("  %-38s %s by %s", table->name, study->measures[table->measure].name, periods[table->period]);
	for (unsigned i = 0; i < table->n_by; i++) {
		const struct study_dimension *d = &study->dimensions[table->by[i]];
		rows *= d->n_codes + 1u;
		printf(", %s", d->name);
	}
	printf(": %u row%s a period, sigma2 %g\n", rows, rows == 1 ? "" : "s", table->sigma2_milli / 1000.0);
}

/* The rules for dates act on dates alone: on text only where the study says that it is one. */
static void warn_dates(const struct study_domain *domain)
{
	const struct study_normalise *n = &domain->normalise;

	for (unsigned i = 0; i < domain->schema->n_features; i++) {
		if (!domain->schema->features[i].ignored && study_feature_is_date(domain, i))
			return;
	}
	if (n->sentinel_dates || n->date_forms)
		printf("warning: domain %s: normalise has %s%s%s, and no feature is a date: give one the format or the "
		       "role date\n",
		       domain->name, n->sentinel_dates ? "sentinel_dates" : "",
		       n->sentinel_dates && n->date_forms ? " and " : "", n->date_forms ? "date_forms" : "");
}

/* Without profile and filters a study gives clkhash's own bits; who writes roles may have meant something else. */
static void warn_roles(const struct study_domain *domain)
{
	bool roles = false;

	for (unsigned i = 0; i < domain->schema->n_features; i++)
		roles = roles || domain->roles[i] != ROLE_NONE;
	if (roles && domain->profile == PROFILE_NONE && domain->n_filters == 1 &&
	    strcmp(domain->filters[0].name, "clk") == 0)
		printf("warning: domain %s: there are roles and no profile, so all features go into one filter, as "
		       "clkhash has it; `profile: balanced` makes filters from roles\n",
		       domain->name);
}

static void warn_domain(const struct study_domain *domain)
{
	uint32_t compared = 0;
	uint64_t filtered = 0;

	if (!domain->has_key_check)
		printf("warning: domain %s: key_check is unset; nothing can be encoded or sent before `throughcare "
		       "keys init` pins it\n",
		       domain->name);
	if (domain->schema->has_xorFolds)
		printf("warning: domain %s: clkConfig.xorFolds has no effect, as in clkhash; it reads xor_folds\n",
		       domain->name);
	warn_dates(domain);
	warn_roles(domain);
	for (unsigned i = 0; i < domain->n_comparisons; i++) {
		for (unsigned j = 0; j < domain->comparisons[i].n_filters; j++)
			compared |= 1u << domain->comparisons[i].filters[j];
	}
	for (unsigned i = 0; i < domain->n_filters; i++) {
		if ((compared >> i & 1) == 0)
			printf("warning: domain %s: the filter %s is sent and never compared\n", domain->name,
			       domain->filters[i].name);
		for (unsigned j = 0; j < domain->filters[i].n_features; j++)
			filtered |= UINT64_C(1) << domain->filters[i].features[j];
	}
	for (unsigned i = 0; i < domain->schema->n_features; i++) {
		const struct schema_feature *f = &domain->schema->features[i];
		if (!f->ignored && (filtered >> i & 1) == 0)
			printf("warning: domain %s: the feature %s is in no filter\n", domain->name, f->identifier);
		if (schema_find(domain->schema, f->identifier) != (int)i)
			printf("warning: domain %s: the schema has %s twice\n", domain->name, f->identifier);
	}
}

static bool some_source_sends(const struct study *study, enum study_event_role role)
{
	for (int e = 0; e < study->n_events; e++) {
		for (int s = 0; s < study->n_sources; s++) {
			if (study->events[e].role == role && study_source_may_send(study, s, e))
				return true;
		}
	}
	return false;
}

static void warn(const struct study *study)
{
	const struct study_disclosure *d = &study->disclosure;

	for (unsigned i = 0; i < study->n_domains; i++)
		warn_domain(&study->domains[i]);
	if (!some_source_sends(study, EVENT_DEATH))
		printf("warning: no source sends an event with the role death; deaths count as 'none'\n");
	if (!some_source_sends(study, EVENT_RECEPTION))
		printf("warning: no source sends an event with the role reception; re-imprisonments count as 'none'\n");
	if (d->method == DISCLOSURE_NONE)
		printf("warning: disclosure.method is none: true counts are published, marked synthetic\n");
	if (d->method == DISCLOSURE_CELL_KEY)
		printf("warning: disclosure.method is cell-key: not differentially private, and no rho bounds it%s\n",
		       d->provisional ? "; with provisional its noise can be averaged away" : "");
	if (d->provisional)
		printf("warning: disclosure.provisional: every release pays again for the periods that are still "
		       "open\n");
	if (d->min_sources < 2)
		printf("warning: disclosure.min_sources is below 2: a custodian alone can bring about a release and "
		       "watch its own records in it\n");
}

static void print_disclosure(const struct study_disclosure *d)
{
	char first[DAY_TEXT_LEN], last[DAY_TEXT_LEN];

	printf("\ndisclosure\n");
	printf("  method       %s; rows below %u hidden; limit rho %g\n", study_disclosure_method_name(d->method),
	       (unsigned)d->threshold, (double)d->rho_limit_micro / 1e6);
	if (d->n_release_dates > 0) {
		day_format(d->release_dates[0], first);
		day_format(d->release_dates[d->n_release_dates - 1], last);
		printf("  releases     %u announced, %s to %s\n", (unsigned)d->n_release_dates, first, last);
	} else {
		printf("  releases     no days announced; at least %u days apart\n", (unsigned)d->interval_days);
	}
	if (d->revision_after_days > 0)
		printf("  revision     once, %u days after a period closed, at full cost\n",
		       (unsigned)d->revision_after_days);
	else
		printf("  revision     never\n");
}

static void print_study(const char *path, const struct study *study)
{
	char digest[65];

	hex_encode(study->digest, sizeof study->digest, digest);
	printf("%s: a valid study%s\n\n", path, study->synthetic ? ", synthetic" : "");
	printf("name           %s\ntitle          %s\ndigest         %s\n", study->name, study->title, digest);
	for (unsigned i = 0; i < study->n_domains; i++)
		print_domain(&study->domains[i]);
	printf("\nsources\n");
	for (unsigned i = 0; i < study->n_sources; i++) {
		const struct study_source *s = &study->sources[i];
		printf("  %-24s %s, domain %s, complete after %u days\n", s->name, study_source_kind_name(s->kind),
		       study->domains[s->domain].name, (unsigned)s->reporting_lag_days);
	}
	printf("\ntables\n");
	for (unsigned i = 0; i < study->n_tables; i++)
		print_by(study, &study->tables[i]);
	print_disclosure(&study->disclosure);
	printf("\n");
}

static int cmd_study_check(int argc, char **argv)
{
	static const struct option_table table = {
		.command = "throughcare study check",
		.usage = "STUDY.yaml",
		.about = "Check a study file and print what it says: digests, key checks, filters, comparisons, "
			 "tables.\n"
			 "Errors name line and field and end with a status above 0; warnings do not.",
		.example = "throughcare study check deploy/study-two-registers.yaml",
		.min_operands = 1,
		.max_operands = 1,
	};
	struct study *study = NULL;
	struct diag diag = {""};
	bool help = false;
	int first = 0;

	enum rc rc = options_parse(&table, argc, argv, &first, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	rc = study_tool_load(argv[first], &study, &diag);
	if (rc == RC_OK)
		rc = check_formats(argv[first], study, &diag);
	if (rc == RC_OK) {
		print_study(argv[first], study);
		warn(study);
	}
	study_free(study);
	return rc == RC_OK ? 0 : study_tool_report("check", rc, &diag);
}

/* ---- study ---- */

static const struct command commands[] = {
	{"check", cmd_study_check, "check a study file and print what it says"},
	{"plan", cmd_study_plan, "print what its releases cost in privacy and precision"},
};

int cmd_study(int argc, char **argv)
{
	static const struct command_group group = {
		.name = "throughcare study",
		.usage = "COMMAND STUDY.yaml [OPTION]...",
		.example = "throughcare study check deploy/study-two-registers.yaml",
		COMMANDS(commands),
	};

	return command_run(&group, argc, argv);
}

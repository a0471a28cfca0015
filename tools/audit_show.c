/* throughcare audit show, follow: the entries of a log, readable. They are fetched and verified in whole first, and
 * what comes later against what was verified; what is printed was signed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/json.h"
#include "tools/audit.h"
#include "tools/audit_source.h"
#include "tools/options.h"

struct show {
	struct https_options https;
	const char *vkey_path, *kind, *client, *since, *until;
	uint64_t from, every_s; /* 0 = once */
	bool json;
	FILE *out; /* in memory, until the root is verified */
};

static bool is_wanted(const struct show *s, uint64_t index, enum entry_kind kind, const json_t *fields)
{
	const char *client = json_string_value(json_object_get(json_object_get(fields, "who"), "client"));
	const char *time = json_string_value(json_object_get(fields, "t"));

	if (index < s->from || (s->kind != NULL && strcmp(s->kind, entry_kind_name(kind)) != 0))
		return false;
	if (s->client != NULL && (client == NULL || strcmp(s->client, client) != 0))
		return false;
	/* Days compare as text: a time begins with its day. */
	if (s->since != NULL && strncmp(time, s->since, strlen(s->since)) < 0)
		return false;
	return s->until == NULL || strncmp(time, s->until, strlen(s->until)) <= 0;
}

/* Index, time, kind, who, and what is particular to the kind as canonical JSON. */
static enum rc print_entry(const struct show *s, uint64_t index, enum entry_kind kind, json_t *fields)
{
	const json_t *who = json_object_get(fields, "who");
	const char *client = json_string_value(json_object_get(who, "client"));
	const char *role = json_string_value(json_object_get(who, "role"));
	struct buffer rest;

	fprintf(s->out, "%8" PRIu64 "  %s  %-15s  ", index, json_string_value(json_object_get(fields, "t")),
		entry_kind_name(kind));
	if (client != NULL)
		fprintf(s->out, "%s (%s)  ", client, role);
	static const char *const common[] = {"v", "t", "kind", "who"};
	for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
		json_object_del(fields, common[i]);
	buffer_init(&rest);
	enum rc rc = json_canonical(fields, &rest);
	if (rc == RC_OK && json_object_size(fields) > 0)
		audit_put_text(s->out, (const char *)rest.data, rest.len);
	fputc('\n', s->out);
	buffer_deinit(&rest);
	return rc;
}

static enum rc visit(void *ctx, uint64_t index, const uint8_t *entry, size_t len, struct diag *diag)
{
	struct show *s = ctx;
	struct diag why = {""};
	json_t *fields = NULL;
	enum entry_kind kind;
	int64_t time;

	enum rc rc = entry_parse((const char *)entry, len, &kind, &time, &fields, &why);
	if (rc != RC_OK)
		return diag_set(diag, RC_PROTOCOL, "entry %" PRIu64 ": %s", index, why.text);
	if (is_wanted(s, index, kind, fields)) {
		if (s->json) {
			audit_put_text(s->out, (const char *)entry, len);
			fputc('\n', s->out);
		} else {
			rc = print_entry(s, index, kind, fields);
		}
	}
	json_decref(fields);
	return rc;
}

/* Walk over what is new, and print it once its root is verified. */
static enum rc show_new(struct show *s, struct audit_source *source, struct diag *diag)
{
	char *text = NULL;
	size_t len = 0;

	s->out = open_memstream(&text, &len);
	if (s->out == NULL)
		return RC_NOMEM;
	enum rc rc = audit_source_walk(source, NULL, 0, visit, s, diag);
	if (fclose(s->out) != 0 && rc == RC_OK)
		rc = RC_NOMEM;
	if (rc == RC_OK && (fwrite(text, 1, len, stdout) != len || fflush(stdout) != 0))
		rc = diag_set(diag, RC_IO, "writing to standard output failed");
	free(text);
	return rc;
}

/* A line that is down for a while is no reason to stop watching. */
static bool may_pass(enum rc rc)
{
	return rc == RC_NETWORK || rc == RC_TIMEOUT || rc == RC_BUSY || rc == RC_STOPPING || rc == RC_RATE;
}

static enum rc follow(struct show *s, struct audit_source *source, struct diag *diag)
{
	for (;;) {
		sleep((unsigned)s->every_s);
		diag->text[0] = '\0';
		enum rc rc = audit_source_refresh(source, diag);
		if (rc == RC_OK)
			rc = show_new(s, source, diag);
		if (rc != RC_OK && !may_pass(rc))
			return rc;
		if (rc != RC_OK)
			fprintf(stderr, "throughcare audit: %s; trying on\n", diag->text[0] ? diag->text : rc_text(rc));
	}
}

static enum rc run(struct show *s, struct diag *diag)
{
	struct audit_source source = {.with_tiles = false};
	struct https *https = NULL;
	struct tlog_vkey vkey;

	enum rc rc = audit_read_vkey(s->vkey_path, &vkey, diag);
	if (rc == RC_OK)
		rc = https_open(&s->https, &https, diag);
	if (rc == RC_OK)
		rc = audit_source_open(https, &vkey, &source, diag);
	if (rc == RC_OK)
		rc = show_new(s, &source, diag);
	if (rc == RC_OK && s->every_s > 0)
		rc = follow(s, &source, diag);
	audit_source_deinit(&source);
	https_close(https);
	return rc;
}

static int show(bool following, int argc, char **argv)
{
	struct show s = {.every_s = following ? 5 : 0};
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(s.https),
		{"vkey", 'v', OPTION_TEXT, &s.vkey_path, .argument = "FILE", .required = true,
		 .env = "THROUGHCARE_VKEY", .help = "the log's public key"},
		{"kind", 0, OPTION_TEXT, &s.kind, .argument = "KIND",
		 .help = "only entries of this kind: batch, release, query, …"},
		{"client", 0, OPTION_TEXT, &s.client, .argument = "NAME", .help = "only what this client caused"},
		{"since", 0, OPTION_TEXT, &s.since, .argument = "DATE", .help = "only from this day on, YYYY-MM-DD"},
		{"until", 0, OPTION_TEXT, &s.until, .argument = "DATE", .help = "only up to this day, included"},
		{"from", 0, OPTION_NUMBER, &s.from, .min = 0, .max = INT64_MAX, .argument = "INDEX",
		 .help = "only from this entry on"},
		{"json", 0, OPTION_FLAG, &s.json, .help = "print entries as they stand in the log, one a line"},
		{"every", 0, OPTION_NUMBER, &s.every_s, .min = 1, .max = 86400, .argument = "SECONDS",
		 .help = "how often to look for new entries (5)"},
	};
	const struct option_table table = {
		.command = following ? "throughcare audit follow" : "throughcare audit show",
		.usage = "--vkey FILE [OPTION]...",
		.about =
			following
				? "Print the entries of the audit log, and go on printing those that come, until it is "
				  "stopped or the log\n"
				  "is found forked. Each is verified against a checkpoint that extends the one before."
				: "Print the entries of the audit log. The log is verified against its checkpoint "
				  "first.",
		.example = "throughcare audit show --url https://localhost:8443 --cert auditor/client.crt --key "
			   "auditor/client.key \\\n"
			   "  --ca ca/ca.crt --vkey log.vkey --kind query --since 2026-01-01",
		.rows = rows,
		.n_rows = sizeof rows / sizeof rows[0] - !following};
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	if (s.kind != NULL && entry_kind_find(s.kind) < 0)
		rc = diag_set(&diag, RC_USAGE, "--kind: '%.40s' is no kind of entry", s.kind);
	if (rc == RC_OK)
		rc = run(&s, &diag);
	return rc == RC_OK ? 0 : audit_fail(rc, &diag);
}

int audit_show(int argc, char **argv)
{
	return show(false, argc, argv);
}

int audit_follow(int argc, char **argv)
{
	return show(true, argc, argv);
}

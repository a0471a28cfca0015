/* throughcare audit verify: everything that an auditor can check from the log and its public key, and a readable report
 * of it. Nothing is reported before all of it held. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/study.h"
#include "tools/audit.h"
#include "tools/audit/replay.h"
#include "tools/audit_body.h"
#include "tools/audit_source.h"
#include "tools/options.h"
#include "tools/whole_file.h"


struct verify {
	struct https_options https;
	const char *vkey_path, *state_path, *study_path;
	struct option_list receipt_paths, witness_paths;
	uint64_t witnesses_needed; /* 0 = all that were given */
	bool tiles;

	struct study *study;
	struct audit_source source;
	struct replay replay;
	/* One expectation for the state, one for what witnesses saw, and one for each receipt. */
	struct audit_expectation expected[2 + OPTION_LIST_MAX];
	size_t n_expected;
	struct receipt receipts[OPTION_LIST_MAX];
	size_t n_receipts;
	struct audit_keys keys; /* the pinned one and those that follow it */
	bool has_state;
	uint64_t seen_size;
	struct tlog_checkpoint cosigned;
	size_t n_cosigned;
	int64_t cosigned_at; /* the oldest of the cosignatures */
};

/* ---- what was seen before ------------------------------------------------------------------------------------ */

static void expect(struct verify *v, const struct tlog_checkpoint *c, const char *what)
{
	v->expected[v->n_expected++] = (struct audit_expectation){.size = c->size, .root = c->root, .what = what};
}

/* The state is the last checkpoint that verified: it can be shown to others as it is. */
static enum rc load_state(struct verify *v, struct diag *diag)
{
	struct tlog_checkpoint c;

	if (v->state_path == NULL)
		return RC_OK;
	enum rc rc = audit_read_state(v->state_path, &v->keys, &c, diag);
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_OK : rc;
	v->has_state = true;
	v->seen_size = c.size;
	expect(v, &c, v->state_path);
	return RC_OK;
}

static enum rc load_receipts(struct verify *v, struct diag *diag)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < v->receipt_paths.n; i++) {
		struct tlog_checkpoint c;
		rc = RC_PROTOCOL;
		for (size_t k = v->keys.n; k > 0 && rc == RC_PROTOCOL; k--)
			rc = audit_read_receipt(v->receipt_paths.item[i], &v->keys.key[k - 1], &v->receipts[i], &c,
						diag);
		if (rc == RC_OK) {
			v->n_receipts++;
			expect(v, &c, v->receipt_paths.item[i]);
		}
	}
	return rc;
}

static enum rc load_study(struct verify *v, struct diag *diag)
{
	struct buffer text;

	if (v->study_path == NULL)
		return RC_OK;
	buffer_init(&text);
	enum rc rc = whole_file_read(v->study_path, STUDY_MAX_BYTES, &text, diag);
	if (rc == RC_OK)
		rc = study_parse(v->study_path, (const char *)text.data, text.len, &v->study, diag);
	buffer_deinit(&text);
	return rc;
}

/* The newest checkpoint that witnesses have cosigned: enough of them, and the log extends it. */
static enum rc load_cosigned(struct verify *v, struct https *https, const struct tlog_vkey *vkey, struct diag *diag)
{
	struct audit_source cosigned;
	struct tlog_cosignature by;
	struct tlog_vkey witness;
	uint64_t needed = v->witnesses_needed > 0 ? v->witnesses_needed : v->witness_paths.n;

	if (v->witness_paths.n == 0)
		return RC_OK;
	enum rc rc = audit_source_open_at(https, "/audit/cosigned", vkey, &cosigned, diag);
	if (rc == RC_NOTFOUND)
		return diag_set(diag, RC_PROTOCOL, "no checkpoint of the log is cosigned by a witness");
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; rc == RC_OK && i < v->witness_paths.n; i++) {
		rc = audit_read_witness(v->witness_paths.item[i], &witness, diag);
		if (rc != RC_OK)
			break;
		rc = tlog_cosignature_verify((const char *)cosigned.note.data, cosigned.note.len, &witness, &by);
		if (rc == RC_OK) {
			v->n_cosigned++;
			v->cosigned_at = v->n_cosigned == 1 || by.time < v->cosigned_at ? by.time : v->cosigned_at;
		} else if (rc == RC_NOTFOUND) {
			rc = RC_OK;
		} else {
			rc = diag_set(diag, RC_PROTOCOL, "the cosignature of %s does not verify", witness.name);
		}
	}
	if (rc == RC_OK && v->n_cosigned < needed)
		rc = diag_set(diag, RC_PROTOCOL,
			      "the newest cosigned checkpoint is cosigned by %zu of these witnesses, %" PRIu64
			      " are needed",
			      v->n_cosigned, needed);
	v->cosigned = cosigned.checkpoint;
	audit_source_deinit(&cosigned);
	if (rc == RC_OK)
		expect(v, &v->cosigned, "the cosigned checkpoint");
	return rc;
}

/* ---- the log ------------------------------------------------------------------------------------------------- */

static enum rc visit(void *ctx, uint64_t index, const uint8_t *entry, size_t len, struct diag *diag)
{
	struct verify *v = ctx;

	for (size_t i = 0; i < v->n_receipts; i++) {
		const struct receipt *r = &v->receipts[i];
		if (r->index == index && (strlen(r->entry) != len || memcmp(r->entry, entry, len) != 0))
			return diag_set(diag, RC_FORK, "entry %" PRIu64 " is not the one that %s proves", index,
					v->receipt_paths.item[i]);
	}
	return replay_entry(&v->replay, entry, len, diag);
}

/* The log names the key that signs it; a key that it does not name would be somebody else's. */
static enum rc check_log_key(const struct verify *v, struct diag *diag)
{
	char vkey[TLOG_VKEY_CAP];
	enum rc rc = tlog_vkey_format(v->source.vkey.name, v->source.vkey.public_key, vkey, sizeof vkey);

	if (rc == RC_OK && v->replay.log_key[0] != '\0' && strcmp(vkey, v->replay.log_key) != 0)
		rc = diag_set(diag, RC_PROTOCOL,
			      "the log is signed by another key than the one that it names as its own");
	return rc;
}

static enum rc check_bodies(struct verify *v, struct diag *diag)
{
	struct buffer body;
	enum rc rc = RC_OK;

	buffer_init(&body);
	for (size_t i = 0; rc == RC_OK && i < v->replay.n_releases; i++) {
		const struct replay_release *r = &v->replay.releases[i];
		if (replay_is_readable(&v->replay, r))
			rc = audit_body_get(&v->source, r, &body, diag);
	}
	buffer_deinit(&body);
	return rc;
}

/* ---- report -------------------------------------------------------------------------------------------------- */

static const char *time_text(int64_t time, char out[ENTRY_TIME_CAP])
{
	if (entry_time_format(time, out) != RC_OK)
		strcpy(out, "?");
	return out;
}

static void report_entries(const struct verify *v)
{
	const struct replay *r = &v->replay;

	printf("\nentries\n");
	for (int k = 0; k < ENTRY_KIND_COUNT; k++) {
		if (r->n_of_kind[k] > 0)
			printf("  %-16s %10" PRIu64 "\n", entry_kind_name((enum entry_kind)k), r->n_of_kind[k]);
	}
	if (r->n_sources > 0)
		printf("\nsubmitted         batches    records     erased\n");
	for (size_t i = 0; i < r->n_sources; i++) {
		printf("  ");
		audit_put_text(stdout, r->sources[i].name, strlen(r->sources[i].name));
		printf("%*s %7" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n",
		       (int)(14 - (int)strnlen(r->sources[i].name, 14)), "", r->sources[i].n_batches,
		       r->sources[i].n_records, r->sources[i].n_withdrawn);
	}
}

static void report_restores(const struct verify *v)
{
	char when[ENTRY_TIME_CAP];

	for (size_t i = 0; i < v->replay.n_restores; i++) {
		const struct replay_restore *r = &v->replay.restores[i];
		printf("\nrestored from a backup %s (entry %" PRIu64 "): %" PRIu64 " signed entries and %" PRIu64
		       " releases were lost\n",
		       time_text(r->at, when), r->index, r->signed_entries - r->entries, r->n_lost_releases);
	}
}

static void report_releases(const struct verify *v)
{
	const struct replay *r = &v->replay;
	char when[ENTRY_TIME_CAP], hex[17];

	if (r->n_releases > 0)
		printf("\nreleases\n");
	for (size_t i = 0; i < r->n_releases; i++) {
		const struct replay_release *x = &r->releases[i];
		if (x->lost) {
			printf("  %" PRIu64 "  lost by the restore of entry %" PRIu64 "; in all %" PRIu64 ".%06" PRIu64
			       " charged\n",
			       x->number, x->started_index, x->rho_total_micro / 1000000, x->rho_total_micro % 1000000);
			continue;
		}
		hex_encode(x->digest, 8, hex);
		printf("  %" PRIu64 "  as of %s, from %" PRIu64 " batches with %" PRIu64 " records; rho %" PRIu64
		       ".%06" PRIu64 ", in all %" PRIu64 ".%06" PRIu64 " of %" PRIu64 ".%06" PRIu64 "\n",
		       x->number, x->as_of, x->cut_batches, x->cut_records, x->rho_micro / 1000000,
		       x->rho_micro % 1000000, x->rho_total_micro / 1000000, x->rho_total_micro % 1000000,
		       x->rho_limit_micro / 1000000, x->rho_limit_micro % 1000000);
		if (replay_is_readable(&v->replay, x))
			printf("     published %s as entry %" PRIu64 ", body %s… matches its digest%s\n",
			       time_text(x->released_at, when), x->released_index, hex,
			       x->witnessed ? ", witnessed" : "");
		else if (x->released)
			printf("     published %s as entry %" PRIu64 ", waits for %u witnesses; its body is not served\n",
			       time_text(x->released_at, when), x->released_index, replay_witnesses_needed(&v->replay, x));
		else
			printf("     started %s, not yet published\n", time_text(x->started_at, when));
	}
}

static void report(const struct verify *v)
{
	const struct tlog_checkpoint *c = &v->source.checkpoint;
	char root[65], first[ENTRY_TIME_CAP], last[ENTRY_TIME_CAP];
	size_t n_released = 0;

	hex_encode(c->root.b, sizeof c->root.b, root);
	printf("log %s\n  checkpoint of %" PRIu64 " entries, root %s, signed by its key\n", c->origin, c->size, root);
	if (v->replay.n_log_keys > 1)
		printf("  its key was rotated: %zu have signed it, each named by the one before; the present one is\n"
		       "  %s\n",
		       v->replay.n_log_keys, v->replay.log_key);
	if (c->size > 0)
		printf("  from %s to %s\n", time_text(v->replay.first_time, first),
		       time_text(v->replay.last_time, last));
	if (v->has_state)
		printf("  extends the %" PRIu64 " entries seen before by %" PRIu64 "\n", v->seen_size,
		       c->size - v->seen_size);
	if (v->n_cosigned > 0)
		printf("  %zu witness%s cosigned %" PRIu64 " entries by %s\n", v->n_cosigned,
		       v->n_cosigned == 1 ? "" : "es", v->cosigned.size, time_text(v->cosigned_at, first));
	report_entries(v);
	report_restores(v);
	report_releases(v);
	if (v->n_receipts > 0)
		printf("\nreceipts: %zu, each in this log\n", v->n_receipts);
	if (v->study != NULL)
		printf("\nrules of study '%s' checked: limit, interval, new records, sources, witnesses\n", v->study->name);
	for (size_t i = 0; i < v->replay.n_releases; i++)
		n_released += v->replay.releases[i].released && !v->replay.releases[i].lost;
	printf("\naudit log verified: %" PRIu64 " entries, %zu release%s\n", c->size, n_released,
	       n_released == 1 ? "" : "s");
}

/* ---- command ------------------------------------------------------------------------------------------------- */

static enum rc save_state(const struct verify *v, struct diag *diag)
{
	if (v->state_path == NULL)
		return RC_OK;
	return whole_file_replace(v->state_path, v->source.note.data, v->source.note.len, 0644, diag);
}

/* A fork that the log itself tells of is still one; but the auditor should know where to ask. */
static void tell_of_restore(const struct verify *v)
{
	if (v->replay.n_restores == 0)
		return;
	const struct replay_restore *r = &v->replay.restores[v->replay.n_restores - 1];
	fprintf(stderr,
		"throughcare audit verify: by its entry %" PRIu64 " this log was restored from a backup, and its entries from "
		"%" PRIu64 " to %" PRIu64 " were lost; what was seen of them cannot be in it any more. Ask the operator; "
		"keep the state file as evidence, and begin a new one\n",
		r->index, r->entries, r->signed_entries);
}

static enum rc run(struct verify *v, struct diag *diag)
{
	struct https *https = NULL;
	struct tlog_vkey vkey;

	enum rc rc = audit_read_vkey(v->vkey_path, &vkey, diag);
	if (rc == RC_OK)
		rc = load_study(v, diag);
	if (rc == RC_OK)
		rc = https_open(&v->https, &https, diag);
	if (rc == RC_OK)
		rc = audit_follow_keys(https, &vkey, &v->keys, diag);
	if (rc == RC_OK)
		rc = load_state(v, diag);
	if (rc == RC_OK)
		rc = load_receipts(v, diag);
	if (rc == RC_OK)
		rc = load_cosigned(v, https, &vkey, diag); /* before the checkpoint, which is then the newer one */
	if (rc == RC_OK)
		rc = audit_source_open(https, &vkey, &v->source, diag);
	if (rc != RC_OK)
		goto out;
	v->source.with_tiles = v->tiles;
	replay_init(&v->replay, v->study);
	rc = audit_source_walk(&v->source, v->expected, v->n_expected, visit, v, diag);
	if (rc == RC_FORK)
		tell_of_restore(v);
	if (rc == RC_OK)
		rc = replay_end(&v->replay, diag);
	if (rc == RC_OK)
		rc = check_log_key(v, diag);
	if (rc == RC_OK)
		rc = check_bodies(v, diag);
	if (rc == RC_OK)
		rc = save_state(v, diag);
	if (rc == RC_OK)
		report(v);
out:
	https_close(https);
	return rc;
}

int audit_verify(int argc, char **argv)
{
	struct verify *v = calloc(1, sizeof *v);
	if (v == NULL)
		return rc_exit_code(RC_NOMEM);
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(v->https),
		{"vkey", 'v', OPTION_TEXT, &v->vkey_path, .argument = "FILE", .required = true,
		 .env = "THROUGHCARE_VKEY",
		 .help = "the log's public key; get it from somebody else than the linkage unit"},
		{"state", 's', OPTION_TEXT, &v->state_path, .argument = "FILE",
		 .help = "keep the last verified checkpoint there; the log must extend it next time"},
		{"receipt", 'r', OPTION_LIST, &v->receipt_paths, .argument = "FILE",
		 .help = "a custodian's receipt, to be found in this log; may be given again"},
		{"witness", 'w', OPTION_LIST, &v->witness_paths, .argument = "FILE",
		 .help = "public key of a witness that must have cosigned the log; may be given again"},
		{"witnesses", 0, OPTION_NUMBER, &v->witnesses_needed, .min = 1, .max = OPTION_LIST_MAX, .argument = "N",
		 .help = "so many of them are enough; left out: all"},
		{"study", 0, OPTION_TEXT, &v->study_path, .argument = "FILE",
		 .help = "also check the rules of this study: interval, new records, sources"},
		{"tiles", 0, OPTION_FLAG, &v->tiles, .help = "also compare the hash tiles with the entries"},
	};
	const struct option_table table = {
		.command = "throughcare audit verify",
		.usage = "--vkey FILE [OPTION]...",
		.about = "Check the whole audit log: the checkpoint's signature, every entry against its root, that it "
			 "extends what\n"
			 "was seen before, the rules that the linkage unit promised to keep, every release against its "
			 "digest. Ends\n"
			 "with 0 when all of it holds, with 76 when something does not.",
		.example = "throughcare audit verify --url https://localhost:8443 --cert auditor/client.crt \\\n"
			   "  --key auditor/client.key --ca ca/ca.crt --vkey log.vkey --state auditor.state",
		OPTION_ROWS(rows)};
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help) {
		free(v);
		return rc_exit_code(rc);
	}
	rc = run(v, &diag);
	if (rc == RC_FORK || rc == RC_PROTOCOL)
		fprintf(stderr, "AUDIT FAILED\n");
	audit_source_deinit(&v->source);
	audit_keys_deinit(&v->keys);
	replay_deinit(&v->replay);
	for (size_t i = 0; i < v->n_receipts; i++)
		receipt_deinit(&v->receipts[i]);
	study_free(v->study);
	free(v);
	return rc == RC_OK ? 0 : audit_fail(rc, &diag);
}

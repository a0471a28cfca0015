/* Checking receipts against the log as it is now; see push_verify.h.
 *
 * Three things together leave a log no room to forget or to show different people different entries: each receipt's
 * entry is included under a checkpoint that is fetched now; every checkpoint that is in hand (those of the receipts,
 * those that came with the proofs, the one seen last) is a beginning of the present one; and the present one is kept
 * for the next time. A submitter may not read the log's entries, and needs none of them for this. */
#include "tools/push_verify.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/entry.h"
#include "tools/audit.h"
#include "tools/audit_source.h"
#include "tools/whole_file.h"

enum { PATH_CAP = 4096, MAX_ANSWER = 1 << 20 };

/* A checkpoint that somebody signed, and where it stands. */
struct claim {
	struct tlog_checkpoint checkpoint;
	char *what; /* owned */
};

struct verify {
	const struct push_verify *job;
	struct https *https;
	struct audit_keys keys;
	struct claim *claims;
	size_t n_claims, cap;
	uint64_t n_receipts, n_records;
	bool has_seen;
	uint64_t seen;
	struct diag *diag;
};

static enum rc add_claim(struct verify *v, const struct tlog_checkpoint *checkpoint, const char *what)
{
	if (v->n_claims == v->cap) {
		size_t cap = v->cap == 0 ? 64 : 2 * v->cap;
		struct claim *grown = reallocarray(v->claims, cap, sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		v->claims = grown;
		v->cap = cap;
	}
	char *copy = strdup(what);
	if (copy == NULL)
		return RC_NOMEM;
	v->claims[v->n_claims++] = (struct claim){*checkpoint, copy};
	return RC_OK;
}

/* ---- receipts ---- */

static enum rc get(struct verify *v, const char *path, struct https_response *ret)
{
	const struct https_request request = {
		.method = "GET", .path = path, .accept = "text/plain", .max_response = MAX_ANSWER};

	return https_send_patiently(v->https, &request, &v->job->patience, true, ret, v->diag);
}

/* The proof as it is given out now. */
static enum rc check_proof(struct verify *v, const char *path, const struct receipt *receipt)
{
	struct tlog_hash leaf = tlog_leaf_hash(receipt->entry, strlen(receipt->entry));
	struct tlog_checkpoint checkpoint;
	struct https_response response;
	char route[64];
	uint64_t index = 0;

	snprintf(route, sizeof route, "/audit/proof/%" PRIu64, receipt->index);
	enum rc rc = get(v, route, &response);
	if (rc != RC_OK)
		return rc;
	if (response.status == 404)
		rc = diag_set(v->diag, RC_FORK, "%s: entry %" PRIu64 " is not in the log any more", path,
			      receipt->index);
	else
		rc = RC_DIGEST;
	for (size_t i = v->keys.n; i > 0 && rc == RC_DIGEST; i--)
		rc = tlog_proof_verify((const char *)response.body.data, response.body.len, &v->keys.key[i - 1], &leaf,
				       &index, &checkpoint);
	https_response_deinit(&response);
	if (rc == RC_FORK || rc == RC_NOMEM)
		return rc;
	if (rc != RC_OK || index != receipt->index)
		return diag_set(v->diag, RC_FORK,
				"%s: the log does not prove that entry %" PRIu64 " is the one of this receipt", path,
				receipt->index);
	return add_claim(v, &checkpoint, path);
}

static enum rc check_receipt(struct verify *v, const char *path)
{
	struct tlog_checkpoint checkpoint;
	struct receipt receipt;
	enum rc rc = RC_PROTOCOL;

	for (size_t i = v->keys.n; i > 0 && rc == RC_PROTOCOL; i--)
		rc = audit_read_receipt(path, &v->keys.key[i - 1], &receipt, &checkpoint, v->diag);
	if (rc != RC_OK)
		return rc;
	rc = add_claim(v, &checkpoint, path);
	if (rc == RC_OK)
		rc = check_proof(v, path, &receipt);
	v->n_receipts++;
	v->n_records += receipt.n_records;
	receipt_deinit(&receipt);
	return rc;
}

static int is_receipt(const struct dirent *entry)
{
	static const char suffix[] = ".receipt";
	size_t len = strlen(entry->d_name);

	return len > sizeof suffix - 1 && strcmp(entry->d_name + len - (sizeof suffix - 1), suffix) == 0;
}

static enum rc check_receipts(struct verify *v)
{
	struct dirent **entries;
	enum rc rc = RC_OK;

	int n = scandir(v->job->receipts, &entries, is_receipt, alphasort);
	if (n < 0)
		return diag_set(v->diag, RC_NOTFOUND, "%s: %s", v->job->receipts, strerror(errno));
	if (n == 0)
		rc = diag_set(v->diag, RC_NOTFOUND, "%s: there are no receipts", v->job->receipts);
	for (int i = 0; i < n; i++) {
		char path[PATH_CAP];
		if (rc == RC_OK &&
		    (size_t)snprintf(path, sizeof path, "%s/%s", v->job->receipts, entries[i]->d_name) >= sizeof path)
			rc = diag_set(v->diag, RC_USAGE, "--receipts: the path is too long");
		if (rc == RC_OK)
			rc = check_receipt(v, path);
		free(entries[i]);
	}
	free(entries);
	return rc;
}

/* ---- one log ---- */

static int compare_claims(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->checkpoint.size != y->checkpoint.size)
		return x->checkpoint.size < y->checkpoint.size ? -1 : 1;
	return strcmp(x->what, y->what);
}

static enum rc fork_at(struct verify *v, const struct claim *claim, const char *how)
{
	return diag_set(v->diag, RC_FORK, "%s: the log %s the %" PRIu64 " entries that were signed there", claim->what,
			how, claim->checkpoint.size);
}

static enum rc check_claim(struct verify *v, const struct claim *claim, const struct tlog_checkpoint *now)
{
	const struct tlog_checkpoint *old = &claim->checkpoint;
	struct https_response response;
	struct tlog_proof proof;
	char route[96];

	if (old->size > now->size)
		return fork_at(v, claim, "is shorter than");
	if (old->size == now->size)
		return memcmp(old->root.b, now->root.b, sizeof now->root.b) == 0
			       ? RC_OK
			       : fork_at(v, claim, "has other entries than");
	snprintf(route, sizeof route, "/audit/consistency/%" PRIu64 "-%" PRIu64, old->size, now->size);
	enum rc rc = get(v, route, &response);
	if (rc != RC_OK)
		return rc;
	rc = response.status == 404 ? RC_FORK
				    : tlog_hashes_parse((const char *)response.body.data, response.body.len, &proof);
	https_response_deinit(&response);
	if (rc == RC_OK)
		rc = tlog_check_consistency(&proof, old->size, &old->root, now->size, &now->root);
	return rc == RC_OK ? RC_OK : fork_at(v, claim, "does not prove that it goes on from");
}

/* Every checkpoint in hand is a beginning of the present one. Of several of one size one is proved, the others equal
 * it. */
static enum rc check_claims(struct verify *v, const struct tlog_checkpoint *now)
{
	enum rc rc = RC_OK;

	qsort(v->claims, v->n_claims, sizeof *v->claims, compare_claims);
	for (size_t i = 0; i < v->n_claims && rc == RC_OK; i++) {
		const struct claim *before = i == 0 ? NULL : &v->claims[i - 1];
		if (before == NULL || before->checkpoint.size != v->claims[i].checkpoint.size)
			rc = check_claim(v, &v->claims[i], now);
		else if (memcmp(before->checkpoint.root.b, v->claims[i].checkpoint.root.b, TLOG_HASH_LEN) != 0)
			rc = fork_at(v, &v->claims[i], "has other entries than");
	}
	return rc;
}

static enum rc load_seen(struct verify *v, const char *path)
{
	struct tlog_checkpoint seen;

	enum rc rc = audit_read_state(path, &v->keys, &seen, v->diag);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	v->has_seen = true;
	v->seen = seen.size;
	return add_claim(v, &seen, path);
}

static enum rc run(struct verify *v)
{
	struct audit_source source;
	struct tlog_vkey pinned;
	char path[PATH_CAP];

	if ((size_t)snprintf(path, sizeof path, "%s/log.checkpoint", v->job->receipts) >= sizeof path)
		return diag_set(v->diag, RC_USAGE, "--receipts: the path is too long");
	enum rc rc = audit_read_vkey(v->job->log_key, &pinned, v->diag);
	if (rc == RC_OK)
		rc = https_open(&v->job->https_options, &v->https, v->diag);
	if (rc == RC_OK)
		rc = audit_follow_keys(v->https, &pinned, &v->keys, v->diag);
	if (rc == RC_OK)
		rc = load_seen(v, path);
	if (rc == RC_OK)
		rc = check_receipts(v);
	if (rc == RC_OK)
		rc = audit_source_open(v->https, &pinned, &source, v->diag); /* after the proofs: it holds theirs */
	if (rc != RC_OK)
		return rc;
	rc = check_claims(v, &source.checkpoint);
	if (rc == RC_OK)
		rc = whole_file_replace(path, source.note.data, source.note.len, 0644, v->diag);
	if (rc == RC_OK) {
		printf("%" PRIu64 " %s of %" PRIu64 " records verified: each is in the log %s of %" PRIu64 " entries",
		       v->n_receipts, v->n_receipts == 1 ? "receipt" : "receipts", v->n_records,
		       source.checkpoint.origin, source.checkpoint.size);
		if (v->has_seen)
			printf(", which extends the %" PRIu64 " seen before", v->seen);
		printf("\n");
	}
	audit_source_deinit(&source);
	return rc;
}

enum rc push_verify_run(const struct push_verify *job, struct diag *diag)
{
	struct verify v = {.job = job, .diag = diag};

	enum rc rc = run(&v);
	if (rc == RC_FORK || rc == RC_PROTOCOL)
		fprintf(stderr, "RECEIPTS DO NOT VERIFY\n");
	https_close(v.https);
	audit_keys_deinit(&v.keys);
	for (size_t i = 0; i < v.n_claims; i++)
		free(v.claims[i].what);
	free(v.claims);
	return rc;
}

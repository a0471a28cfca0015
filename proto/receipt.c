/* Receipts: what a submitter keeps as evidence that its batch stands in the log. A receipt carries the entry and its
 * proof, so that it can be checked years later with the log's public key and nothing else. */
#include <stdlib.h>
#include <string.h>

#include "proto/entry.h"
#include "proto/json.h"
#include "proto/tlog.h"

enum { RECEIPT_VERSION = 1, RECEIPT_MAX_LEN = 1 << 19 };

enum rc receipt_format(const struct receipt *receipt, struct buffer *out)
{
	char batch[65];

	if (receipt->n_records > INT64_MAX || receipt->index > INT64_MAX || receipt->entry == NULL ||
	    receipt->proof == NULL)
		return RC_INVALID;
	hex_encode(receipt->batch_id, sizeof receipt->batch_id, batch);
	json_t *object = json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:i}", "batch", batch, "source", receipt->source,
				   "records", (json_int_t)receipt->n_records, "index", (json_int_t)receipt->index,
				   "entry", receipt->entry, "proof", receipt->proof, "v", RECEIPT_VERSION);
	if (object == NULL)
		return RC_INVALID; /* text that is not UTF-8 */
	enum rc rc = json_canonical(object, out);
	json_decref(object);
	return rc;
}

/* The members, borrowed from the object. */
struct members {
	const json_t *batch, *source, *records, *index, *entry, *proof, *version;
};

static bool is_count(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool is_text(const json_t *value, size_t max_len)
{
	return json_is_string(value) && json_string_length(value) <= max_len &&
	       strlen(json_string_value(value)) == json_string_length(value);
}

static enum rc check_members(const json_t *object, struct members *m, struct receipt *ret, struct diag *diag)
{
	m->batch = json_object_get(object, "batch");
	m->source = json_object_get(object, "source");
	m->records = json_object_get(object, "records");
	m->index = json_object_get(object, "index");
	m->entry = json_object_get(object, "entry");
	m->proof = json_object_get(object, "proof");
	m->version = json_object_get(object, "v");
	if (!json_is_object(object) || json_object_size(object) != 7)
		return diag_set(diag, RC_INVALID, "a receipt: expected batch, entry, index, proof, records, source, v");
	if (!json_is_integer(m->version) || json_integer_value(m->version) != RECEIPT_VERSION)
		return diag_set(diag, RC_INVALID, "receipt: v: expected %d", RECEIPT_VERSION);
	if (!json_is_string(m->batch) || hex_decode(json_string_value(m->batch), json_string_length(m->batch),
						    ret->batch_id, sizeof ret->batch_id) != RC_OK)
		return diag_set(diag, RC_INVALID, "receipt: batch: expected 64 hex digits");
	if (!is_text(m->source, sizeof ret->source - 1))
		return diag_set(diag, RC_INVALID, "receipt: source: expected a source's name");
	if (!is_count(m->records) || !is_count(m->index))
		return diag_set(diag, RC_INVALID, "receipt: records, index: expected whole numbers from 0 up");
	if (!is_text(m->entry, TLOG_MAX_ENTRY) || !is_text(m->proof, 2 * TLOG_MAX_NOTE))
		return diag_set(diag, RC_INVALID, "receipt: entry, proof: expected text");
	return RC_OK;
}

enum rc receipt_parse(const char *text, size_t len, struct receipt *ret, struct diag *diag)
{
	struct receipt receipt = {.index = 0};
	struct members m;
	json_t *object = NULL;

	if (len > RECEIPT_MAX_LEN)
		return diag_set(diag, RC_TOO_LARGE, "a receipt is longer than %d bytes", RECEIPT_MAX_LEN);
	enum rc rc = json_parse_strict(text, len, &object, diag);
	if (rc != RC_OK)
		return rc;
	rc = check_members(object, &m, &receipt, diag);
	if (rc == RC_OK) {
		memcpy(receipt.source, json_string_value(m.source), json_string_length(m.source));
		receipt.n_records = (uint64_t)json_integer_value(m.records);
		receipt.index = (uint64_t)json_integer_value(m.index);
		receipt.entry = strdup(json_string_value(m.entry));
		receipt.proof = strdup(json_string_value(m.proof));
		if (receipt.entry == NULL || receipt.proof == NULL) {
			receipt_deinit(&receipt);
			rc = RC_NOMEM;
		}
	}
	json_decref(object);
	if (rc == RC_OK)
		*ret = receipt;
	return rc;
}

void receipt_deinit(struct receipt *receipt)
{
	free(receipt->entry);
	free(receipt->proof);
	receipt->entry = receipt->proof = NULL;
}

/* The receipt's own words must be those of the entry that is proved. */
static enum rc check_entry(const struct receipt *receipt, struct diag *diag)
{
	enum entry_kind kind;
	json_t *fields = NULL;
	int64_t time;
	char batch[65];

	enum rc rc = entry_parse(receipt->entry, strlen(receipt->entry), &kind, &time, &fields, diag);
	if (rc != RC_OK)
		return rc;
	const char *entry_batch = json_string_value(json_object_get(fields, "batch"));
	const char *source = json_string_value(json_object_get(fields, "source"));
	const json_t *records = json_object_get(fields, "records");
	hex_encode(receipt->batch_id, sizeof receipt->batch_id, batch);
	if (kind != ENTRY_BATCH || entry_batch == NULL || strcmp(entry_batch, batch) != 0 || source == NULL ||
	    strcmp(source, receipt->source) != 0 || !json_is_integer(records) ||
	    (uint64_t)json_integer_value(records) != receipt->n_records)
		rc = diag_set(diag, RC_INVALID, "the receipt says something else than its log entry");
	json_decref(fields);
	return rc;
}

enum rc receipt_verify(const struct receipt *receipt, const struct tlog_vkey *vkey, struct tlog_checkpoint *ret,
		       struct diag *diag)
{
	struct tlog_checkpoint checkpoint;
	uint64_t index = 0;

	enum rc rc = check_entry(receipt, diag);
	if (rc != RC_OK)
		return rc;
	struct tlog_hash leaf = tlog_leaf_hash(receipt->entry, strlen(receipt->entry));
	rc = tlog_proof_verify(receipt->proof, strlen(receipt->proof), vkey, &leaf, &index, &checkpoint);
	if (rc != RC_OK)
		return diag_set(diag, rc,
				rc == RC_DIGEST ? "the receipt's proof or its signature is wrong"
						: "the receipt's proof does not have the expected form");
	if (index != receipt->index)
		return diag_set(diag, RC_INVALID, "the receipt's index is not that of its proof");
	*ret = checkpoint;
	return RC_OK;
}

/* The log, read-only: checkpoint, tiles, proofs, release bodies by digest. Nothing unsigned is shown. */
#include <jansson.h>
#include <string.h>

#include "daemon/core/handlers.h"
#include "daemon/core/publish.h"

static void answer(struct request *request, enum rc rc, enum pipe_media media, bool immutable, struct buffer *out)
{
	if (rc == RC_OK && out->failed)
		rc = RC_NOMEM;
	if (rc == RC_OK) {
		struct pipe_reply reply = {.http_status = 200, .media = media, .immutable = immutable};
		request_reply(request, &reply, out->data, out->len);
	} else {
		request_problem(request, rc, NULL);
	}
	buffer_deinit(out);
}

void checkpoint_run(struct request *request, const uint8_t *body, size_t len)
{
	struct buffer out;
	buffer_init(&out);
	enum rc rc = audit_log_checkpoint(request_core(request)->log, &out);
	answer(request, rc, MEDIA_TEXT, false, &out);
}

void tile_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct buffer out;
	struct txn *txn = NULL;
	bool full = false;
	buffer_init(&out);
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = audit_log_tile(core->log, txn, request_head(request)->argument, &out, &full);
	txn_abort(txn);
	/* Part of a tile is as lasting as a whole one: its width is in its path. */
	answer(request, rc == RC_MALFORMED || rc == RC_INVALID ? RC_NOTFOUND : rc, MEDIA_OCTETS, true, &out);
}

/* "0", "17", … without leading zeros. */
static enum rc parse_index(const char *text, uint64_t *ret)
{
	uint64_t v = 0;
	size_t n = strlen(text);
	if (n == 0 || n > 18 || (n > 1 && text[0] == '0'))
		return RC_NOTFOUND;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return RC_NOTFOUND;
		v = 10 * v + (uint64_t)(text[i] - '0');
	}
	*ret = v;
	return RC_OK;
}

/* "OLD-NEW". Hashes of subtrees say nothing of the entries below them to who does not know these already. */
void consistency_run(struct request *request, const uint8_t *body, size_t len)
{
	char sizes[ROUTE_ARGUMENT_CAP], *dash;
	uint64_t old_size = 0, new_size = 0;
	struct buffer out;
	buffer_init(&out);
	strcpy(sizes, request_head(request)->argument);
	enum rc rc = (dash = strchr(sizes, '-')) == NULL ? RC_NOTFOUND : RC_OK;
	if (rc == RC_OK) {
		*dash = '\0';
		rc = parse_index(sizes, &old_size);
	}
	if (rc == RC_OK)
		rc = parse_index(dash + 1, &new_size);
	if (rc == RC_OK)
		rc = audit_log_consistency(request_core(request)->log, old_size, new_size, &out);
	answer(request, rc, MEDIA_TEXT, true, &out);
}

/* A submitter gets proofs of its own batches and withdrawals only; to it all else is as if it were not there. */
static enum rc check_own(struct core *core, const char *source, uint64_t index)
{
	struct buffer entry;
	struct txn *txn = NULL;
	json_t *fields = NULL;
	enum entry_kind kind;
	int64_t t;
	buffer_init(&entry);
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = audit_log_entry(txn, index, &entry);
	txn_abort(txn);
	if (rc == RC_OK)
		rc = entry_parse((const char *)entry.data, entry.len, &kind, &t, &fields, NULL);
	if (rc == RC_OK) {
		const char *of = json_string_value(json_object_get(fields, "source"));
		if ((kind != ENTRY_BATCH && kind != ENTRY_WITHDRAWAL) || of == NULL || strcmp(of, source) != 0)
			rc = RC_NOTFOUND;
	}
	json_decref(fields);
	buffer_deinit(&entry);
	return rc;
}

void proof_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	const struct identity *who = &request_head(request)->who;
	struct buffer out;
	uint64_t index = 0;
	buffer_init(&out);
	enum rc rc = parse_index(request_head(request)->argument, &index);
	if (rc == RC_OK && index >= audit_log_signed_size(core->log))
		rc = RC_NOTFOUND;
	if (rc == RC_OK && (who->roles & ROLE_AUDITOR) == 0)
		rc = check_own(core, who->source, index);
	if (rc == RC_OK)
		rc = audit_log_proof(core->log, index, &out);
	answer(request, rc, MEDIA_TEXT, false, &out);
}

static enum rc published_body(struct core *core, const char *hex, struct buffer *out, struct diag *diag)
{
	struct store_key key;
	struct buffer value;
	struct txn *txn = NULL;
	struct reader r;
	uint8_t digest[32];
	uint32_t number = 0;
	if (hex_decode(hex, strlen(hex), digest, sizeof digest) != RC_OK)
		return RC_NOTFOUND;
	buffer_init(&value);
	release_digest_key(&key, digest);
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = store_get(txn, &key, &value);
	if (rc == RC_OK) {
		reader_init(&r, value.data, value.len);
		number = read_u32(&r);
		rc = reader_end(&r) == RC_OK ? RC_OK : RC_DAMAGED;
	}
	if (rc == RC_OK) {
		pthread_mutex_lock(&core->lock);
		rc = history_check_readable(&core->history, number, diag);
		pthread_mutex_unlock(&core->lock);
	}
	release_key(&key, number);
	if (rc == RC_OK)
		rc = store_get(txn, &key, out);
	txn_abort(txn);
	buffer_deinit(&value);
	return rc;
}

void release_body_run(struct request *request, const uint8_t *body, size_t len)
{
	struct buffer out;
	buffer_init(&out);
	struct diag diag = {""};
	enum rc rc = published_body(request_core(request), request_head(request)->argument, &out, &diag);
	if (rc == RC_TOO_EARLY)
		request_problem(request, rc, diag.text);
	answer(request, rc, MEDIA_JSON, true, &out);
}

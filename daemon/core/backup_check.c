/* What a backup says of itself, and whether a store is what its backup said. */
#include <inttypes.h>
#include <string.h>

#include "daemon/core/backups.h"
#include "daemon/store/check.h"

void backup_facts_encode(const struct backup_facts *facts, uint8_t out[BACKUP_FACTS_LEN])
{
	struct writer w;
	writer_init(&w, out, BACKUP_FACTS_LEN);
	write_u64(&w, (uint64_t)facts->made_at);
	write_u64(&w, facts->log_size);
	write_bytes(&w, facts->log_root.b, TLOG_HASH_LEN);
}

enum rc backup_facts_decode(const void *data, size_t len, struct backup_facts *ret)
{
	struct reader r;
	struct backup_facts facts;
	reader_init(&r, data, len);
	facts.made_at = (int64_t)read_u64(&r);
	facts.log_size = read_u64(&r);
	read_copy(&r, facts.log_root.b, TLOG_HASH_LEN);
	if (reader_end(&r) != RC_OK)
		return RC_MALFORMED;
	*ret = facts;
	return RC_OK;
}

/* The first thing that does not open, in words. */
static void first_fault(void *ctx, const struct store_fault *fault)
{
	struct diag *diag = ctx;
	char place[STORE_PLACE_CAP];
	if (diag->text[0] != '\0')
		return;
	store_place(fault->key, fault->key_len, place);
	diag_set(diag, fault->rc, "%s cannot be read", place);
}

enum rc backup_check(const char *directory, uint64_t map_bytes, struct seal *seal,
		     const struct backup_facts *facts, const atomic_bool *stop, struct diag *diag)
{
	struct store_options options = {.directory = directory, .map_bytes = map_bytes};
	struct store *store = NULL;
	struct store_tally tally;
	struct tlog_hash root;
	uint64_t size = 0;
	enum rc rc = store_open(&options, seal, &store, diag);
	if (rc == RC_OK)
		rc = store_check(store, first_fault, diag, stop, &tally);
	if (rc == RC_OK)
		rc = audit_log_look(store, NULL, NULL, &size, &root, diag);
	if (rc == RC_OK && (size != facts->log_size || memcmp(root.b, facts->log_root.b, TLOG_HASH_LEN) != 0))
		rc = diag_set(diag, RC_DAMAGED,
			      "the log in the backup has %" PRIu64 " entries or another root, not the %" PRIu64
			      " that were signed",
			      size, facts->log_size);
	store_close(store);
	return rc;
}

/* Slices of candidate pairs; pairs.h says what for.
 *
 * Invariant: slices of a domain cover rows 0 … n without gap or overlap, in order; each holds every pair (a, b) of its
 * rows b whose reference weight reaches the floor. */
#include "daemon/core/pairs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

enum {
	SLICE_PAIRS = 16384, /* about 20 ms of writing */
	SLICE_HEAD_LEN = 4 + 4 + 8 + 1 + 4,
	DROP_BATCH = 256,
};

static void slice_key(struct store_key *key, const struct study_domain *domain, uint64_t slice)
{
	store_key_init(key, STORE_PATTERN);
	store_key_string(key, domain->name);
	store_key_u64(key, slice);
}

static void domain_prefix(struct store_key *key, const struct study_domain *domain)
{
	store_key_init(key, STORE_PATTERN);
	store_key_string(key, domain->name);
}

static void settings_key(struct store_key *key, const struct study_domain *domain)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "pairs");
	store_key_string(key, domain->name);
}

uint64_t pairs_max(uint32_t n_rows, uint32_t per_record)
{
	enum { ALWAYS = 1 << 20 };
	return ALWAYS + (uint64_t)n_rows * per_record;
}

/* ---- rows ---- */

static void rows_key(struct store_key *key, const struct study_domain *domain)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "rows");
	store_key_string(key, domain->name);
}

enum rc pairs_rows_version(struct txn *txn, const struct study_domain *domain, uint64_t *ret)
{
	struct store_key key;
	struct buffer value;
	struct reader r;
	uint64_t version = 0;
	buffer_init(&value);
	rows_key(&key, domain);
	enum rc rc = store_get(txn, &key, &value);
	if (rc == RC_OK) {
		reader_init(&r, value.data, value.len);
		version = read_u64(&r);
		rc = reader_end(&r) == RC_OK ? RC_OK : RC_DAMAGED;
	} else if (rc == RC_NOTFOUND) {
		rc = RC_OK; /* never changed */
	}
	buffer_deinit(&value);
	if (rc == RC_OK)
		*ret = version;
	return rc;
}

enum rc pairs_rows_changed(struct txn *txn, const struct study_domain *domain)
{
	struct store_key key;
	struct writer w;
	uint8_t value[8];
	uint64_t version;
	enum rc rc = pairs_rows_version(txn, domain, &version);
	if (rc != RC_OK)
		return rc;
	rows_key(&key, domain);
	writer_init(&w, value, sizeof value);
	write_u64(&w, version + 1);
	return store_put(txn, &key, value, sizeof value);
}

/* Digest of all that decides which pairs are kept, of which rows, and what their patterns mean. */
static enum rc settings_digest(const struct study_domain *domain, uint64_t rows_version, uint8_t ret[32])
{
	struct buffer b;
	buffer_init(&b);
	buffer_append(&b, domain->encoding_id, sizeof domain->encoding_id);
	buffer_printf(&b, "rows %" PRIu64 "\nfloor %d\n", rows_version, domain->floor);
	for (int c = 0; c < domain->n_comparisons; c++) {
		const struct study_comparison *cmp = &domain->comparisons[c];
		for (int f = 0; f < cmp->n_filters; f++) {
			buffer_printf(&b, "filter %d", cmp->filters[f]);
			for (int i = 0; i < cmp->n_cuts[f]; i++)
				buffer_printf(&b, " %d", cmp->cuts[f][i]);
		}
		buffer_printf(&b, "\nweights");
		for (int l = 0; l <= cmp->n_levels; l++)
			buffer_printf(&b, " %d", cmp->reference_weight[l]);
		buffer_printf(&b, "\n");
	}
	enum rc rc = b.failed ? RC_NOMEM : RC_OK;
	if (rc == RC_OK)
		sha256_labelled("throughcare candidate pairs v3", b.data, b.len, ret);
	buffer_deinit(&b);
	return rc;
}

/* ---- one slice ---- */

struct slice {
	uint32_t from, to, n;
	uint64_t total;       /* pairs in this slice and all before it */
	const uint8_t *pairs; /* borrowed: be32 a, be32 b, a byte a comparison */
	size_t pair_len;
};

static enum rc slice_decode(const struct study_domain *domain, const uint8_t *value, size_t len, struct slice *ret)
{
	struct reader r;
	struct slice s;
	reader_init(&r, value, len);
	s.from = read_u32(&r);
	s.to = read_u32(&r);
	s.total = read_u64(&r);
	uint8_t n_comparisons = read_u8(&r);
	s.n = read_u32(&r);
	s.pair_len = 8 + (size_t)domain->n_comparisons;
	if (r.failed || s.to < s.from || n_comparisons != domain->n_comparisons || reader_left(&r) != s.n * s.pair_len)
		return RC_DAMAGED;
	s.pairs = read_bytes(&r, s.n * s.pair_len);
	*ret = s;
	return RC_OK;
}

static enum rc slice_encode(const struct study_domain *domain, const struct pairs_position *position, uint32_t to,
			    const struct link_pair *pairs, size_t n, struct buffer *out)
{
	uint8_t head[SLICE_HEAD_LEN], one[8];
	struct writer w;
	writer_init(&w, head, sizeof head);
	write_u32(&w, position->compared);
	write_u32(&w, to);
	write_u64(&w, position->n_pairs + n);
	write_u8(&w, domain->n_comparisons);
	write_u32(&w, (uint32_t)n);
	buffer_append(out, head, sizeof head);
	for (size_t i = 0; i < n; i++) {
		writer_init(&w, one, sizeof one);
		write_u32(&w, pairs[i].a);
		write_u32(&w, pairs[i].b);
		buffer_append(out, one, sizeof one);
		buffer_append(out, pairs[i].pattern.level, domain->n_comparisons);
	}
	return out->failed ? RC_NOMEM : RC_OK;
}

struct put_job {
	struct write_job job;
	struct store_key key;
	struct buffer value;
};

static enum rc put_apply(struct write_job *job, struct txn *txn)
{
	struct put_job *put = (struct put_job *)job;
	return store_put(txn, &put->key, put->value.data, put->value.len);
}

static enum rc put_slice(struct write_queue *writes, const struct store_reserve *leave,
			 const struct study_domain *domain, struct pairs_position *position, uint32_t to,
			 const struct link_pair *pairs, size_t n)
{
	struct put_job put = {.job = {.apply = put_apply, .bulk = true, .leave = leave}};
	buffer_init(&put.value);
	slice_key(&put.key, domain, position->next_slice);
	enum rc rc = slice_encode(domain, position, to, pairs, n, &put.value);
	put.job.bytes = put.value.len;
	if (rc == RC_OK)
		rc = write_queue_call(writes, &put.job);
	buffer_wipe(&put.value);
	if (rc == RC_OK) {
		position->next_slice++;
		position->n_pairs += n;
		position->compared = to;
	}
	return rc;
}

enum rc pairs_store(struct write_queue *writes, const struct store_reserve *leave, const struct study_domain *domain,
		    struct pairs_position *position, uint32_t end, const struct link_pair *pairs, size_t n)
{
	enum rc rc = RC_OK;
	for (size_t at = 0; rc == RC_OK && (at < n || position->compared < end);) {
		size_t take = n - at < SLICE_PAIRS ? n - at : SLICE_PAIRS;
		/* Cut between rows: a row's pairs stand in one slice. */
		while (at + take < n && pairs[at + take].b == pairs[at + take - 1].b)
			take++;
		uint32_t to = at + take < n ? pairs[at + take].b : end;
		rc = put_slice(writes, leave, domain, position, to, pairs + at, take);
		at += take;
	}
	return rc;
}

/* ---- opening ---- */

struct drop_job {
	struct write_job job;
	const struct study_domain *domain;
	uint8_t digest[32];
	struct store_key keys[DROP_BATCH];
	size_t n;
};

static enum rc note_key(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct drop_job *drop = ctx;
	if (drop->n == DROP_BATCH)
		return RC_BUSY;
	memcpy(drop->keys[drop->n].bytes, key, key_len);
	drop->keys[drop->n++].len = key_len;
	return RC_OK;
}

/* Remove some slices; with the last of them, note the settings that hold from now on. */
static enum rc drop_apply(struct write_job *job, struct txn *txn)
{
	struct drop_job *drop = (struct drop_job *)job;
	struct store_key prefix, settings;
	drop->n = 0;
	domain_prefix(&prefix, drop->domain);
	enum rc rc = store_scan_keys(txn, &prefix, note_key, drop);
	if (rc != RC_OK && rc != RC_BUSY)
		return rc;
	bool last = rc == RC_OK;
	rc = RC_OK;
	for (size_t i = 0; i < drop->n && rc == RC_OK; i++)
		rc = store_delete(txn, &drop->keys[i]);
	settings_key(&settings, drop->domain);
	if (rc == RC_OK && last)
		rc = store_put(txn, &settings, drop->digest, sizeof drop->digest);
	return rc;
}

static enum rc drop_all(struct write_queue *writes, const struct study_domain *domain, const uint8_t digest[32])
{
	struct drop_job *drop = calloc(1, sizeof *drop);
	if (drop == NULL)
		return RC_NOMEM;
	drop->job = (struct write_job){.apply = drop_apply, .bulk = true};
	drop->domain = domain;
	memcpy(drop->digest, digest, sizeof drop->digest);
	enum rc rc;
	do {
		rc = write_queue_call(writes, &drop->job);
	} while (rc == RC_OK && drop->n == DROP_BATCH);
	free(drop);
	return rc;
}

static enum rc last_position(struct txn *txn, const struct study_domain *domain, struct pairs_position *ret)
{
	struct store_key prefix, last;
	struct buffer value;
	struct slice slice;
	struct reader r;
	domain_prefix(&prefix, domain);
	*ret = (struct pairs_position){0, 0, 0};
	enum rc rc = store_last(txn, &prefix, &last);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	buffer_init(&value);
	rc = store_get(txn, &last, &value);
	if (rc == RC_OK)
		rc = slice_decode(domain, value.data, value.len, &slice);
	reader_init(&r, last.bytes + prefix.len, last.len - prefix.len);
	uint64_t number = read_u64(&r);
	if (rc == RC_OK && reader_end(&r) != RC_OK)
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		*ret = (struct pairs_position){number + 1, slice.to, slice.total};
	buffer_wipe(&value);
	return rc;
}

enum rc pairs_drop(struct write_queue *writes, const struct study_domain *domain, uint64_t rows_version,
		   struct pairs_position *ret)
{
	uint8_t digest[32];
	enum rc rc = settings_digest(domain, rows_version, digest);
	if (rc == RC_OK)
		rc = drop_all(writes, domain, digest);
	if (rc == RC_OK)
		*ret = (struct pairs_position){0, 0, 0};
	return rc;
}

enum rc pairs_open(struct store *store, struct write_queue *writes, const struct study_domain *domain,
		   uint64_t rows_version, struct pairs_position *ret)
{
	uint8_t digest[32];
	struct buffer stored;
	struct store_key settings;
	struct txn *txn = NULL;
	buffer_init(&stored);
	settings_key(&settings, domain);
	enum rc rc = settings_digest(domain, rows_version, digest);
	if (rc == RC_OK)
		rc = txn_begin_read(store, &txn);
	if (rc == RC_OK) {
		rc = store_get(txn, &settings, &stored);
		bool same =
			rc == RC_OK && stored.len == sizeof digest && memcmp(stored.data, digest, sizeof digest) == 0;
		if (rc == RC_OK || rc == RC_NOTFOUND)
			rc = same ? last_position(txn, domain, ret) : RC_NOTFOUND;
		txn_abort(txn);
	}
	if (rc == RC_NOTFOUND || rc == RC_DAMAGED) {
		/* Derived data: what is of other settings, or damaged, is made again. */
		rc = pairs_drop(writes, domain, rows_version, ret);
	}
	buffer_deinit(&stored);
	return rc;
}

/* ---- loading ---- */

struct loading {
	const struct study_domain *domain;
	uint32_t end, next_row;
	struct link_pair *pairs;
	size_t n, cap;
};

static enum rc load_slice(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct loading *l = ctx;
	struct slice slice;
	struct reader r;
	enum rc rc = slice_decode(l->domain, value, len, &slice);
	if (rc != RC_OK || slice.from != l->next_row)
		return RC_DAMAGED;
	l->next_row = slice.to;
	if (l->n + slice.n > l->cap) {
		size_t cap = 2 * l->cap > l->n + slice.n ? 2 * l->cap : l->n + slice.n + SLICE_PAIRS;
		struct link_pair *grown = realloc(l->pairs, cap * sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		l->pairs = grown;
		l->cap = cap;
	}
	reader_init(&r, slice.pairs, slice.n * slice.pair_len);
	for (uint32_t i = 0; i < slice.n; i++) {
		struct link_pair *pair = &l->pairs[l->n];
		memset(pair, 0, sizeof *pair);
		pair->a = read_u32(&r);
		pair->b = read_u32(&r);
		read_copy(&r, pair->pattern.level, l->domain->n_comparisons);
		if (pair->a >= pair->b || pair->b < slice.from || pair->b >= slice.to)
			return RC_DAMAGED;
		if (pair->b < l->end)
			l->n++;
	}
	return RC_OK;
}

enum rc pairs_load(struct store *store, const struct study_domain *domain, uint32_t end, struct link_pair **ret,
		   size_t *ret_n)
{
	struct loading l = {.domain = domain, .end = end};
	struct store_key prefix;
	struct txn *txn = NULL;
	domain_prefix(&prefix, domain);
	enum rc rc = txn_begin_read(store, &txn);
	if (rc == RC_OK)
		rc = store_scan(txn, &prefix, load_slice, &l);
	txn_abort(txn);
	if (rc == RC_OK && l.next_row < end)
		rc = RC_DAMAGED;
	if (rc != RC_OK) {
		free(l.pairs);
		return rc;
	}
	*ret = l.pairs;
	*ret_n = l.n;
	return RC_OK;
}

/* A thread's part of the encoder. A record's values become their bits before folding first, feature by feature, each
 * from the table of values seen before where it is there, else through format, tokens and hashes; then each filter
 * joins its features' bits, and is padded, folded and hardened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "tools/encode/cache.h"
#include "tools/encode/encoder_internal.h"
#include "tools/encode/tokens.h"
#include "tools/encode/value_cache.h"

enum {
	/* Of all workers together, so that memory does not grow with threads: of many, none is short of time. */
	VALUE_CACHE_BYTES = 24 << 20,
	TOKEN_CACHE_BYTES = 16 << 20,
};

/* What a feature of the current record gave. */
struct feature_state {
	struct format *format;
	struct value_cache *values;
	const struct value_entry *entry; /* of the current record */
	struct formatted formatted;
	struct tokens tokens, digits; /* clkhash's; and the sorted digits of a date */
};

struct encoder_worker {
	const struct encoder *encoder;
	struct bloom_hasher *hasher;
	struct feature_state features[SCHEMA_MAX_FEATURES];
	struct cache *caches[STUDY_MAX_FILTERS][SCHEMA_MAX_FEATURES];
	uint32_t *positions; /* ENCODER_MAX_K */
	uint64_t *wide;      /* a filter before folding */
	uint8_t *narrow;     /* before hardening */
	unsigned n_groups;   /* with something to encode, of all filters of the record */
	size_t wide_cap, narrow_cap;
	uint32_t hashes[SCHEMA_MAX_FEATURES]; /* of the values of this record … */
	bool expected;                        /* … or of the next */
};

void encoder_worker_free(struct encoder_worker *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < SCHEMA_MAX_FEATURES; i++) {
		format_free(w->features[i].format);
		value_cache_free(w->features[i].values);
		text_deinit(&w->features[i].formatted.text);
		tokens_deinit(&w->features[i].tokens);
		tokens_deinit(&w->features[i].digits);
		for (size_t f = 0; f < STUDY_MAX_FILTERS; f++)
			cache_free(w->caches[f][i]);
	}
	if (w->wide != NULL)
		explicit_bzero(w->wide, w->wide_cap);
	if (w->narrow != NULL)
		explicit_bzero(w->narrow, w->narrow_cap);
	if (w->positions != NULL)
		explicit_bzero(w->positions, ENCODER_MAX_K * sizeof *w->positions);
	free(w->wide);
	free(w->narrow);
	free(w->positions);
	bloom_hasher_free(w->hasher);
	free(w);
}

static enum rc worker_init(struct encoder_worker *w, const struct encoder *e, struct diag *diag)
{
	char rule[RULE_TEXT_CAP] = "";
	enum rc rc = bloom_hasher_new(&w->hasher);
	if (rc != RC_OK)
		return diag_set(diag, rc, "BLAKE2b is not to be had from the OpenSSL library");
	for (uint16_t i = 0; i < e->schema->n_features; i++) {
		if (!e->used[i])
			continue;
		struct format_rules rules = e->rules;
		rules.is_date = e->is_date[i];
		rc = format_new(&e->schema->features[i], &rules, &w->features[i].format, rule);
		if (rc != RC_OK)
			return diag_set(diag, rc, "feature %s: %s", e->schema->features[i].identifier, rule);
		rc = value_cache_new(e->n_words[i], VALUE_CACHE_BYTES / e->n_workers / e->n_used,
				     &w->features[i].values);
		if (rc != RC_OK)
			return diag_set(diag, rc, "out of memory");
	}
	for (uint32_t f = 0; f < e->n_filters; f++) {
		size_t wide = encoder_hash_words(&e->filters[f]) * sizeof *w->wide;
		w->wide_cap = wide > w->wide_cap ? wide : w->wide_cap;
		for (uint16_t i = 0; i < e->filters[f].n_parts && rc == RC_OK; i++)
			rc = cache_new(TOKEN_CACHE_BYTES / e->n_workers / e->n_parts, &w->caches[f][i]);
		if (rc != RC_OK)
			return diag_set(diag, rc, "out of memory");
	}
	w->narrow_cap = w->wide_cap;
	w->wide = malloc(w->wide_cap + sizeof *w->wide);
	w->narrow = malloc(w->narrow_cap + 1);
	w->positions = reallocarray(NULL, ENCODER_MAX_K, sizeof *w->positions);
	if (w->wide == NULL || w->narrow == NULL || w->positions == NULL)
		return diag_set(diag, RC_NOMEM, "out of memory");
	return RC_OK;
}

enum rc encoder_worker_new(const struct encoder *encoder, struct encoder_worker **ret, struct diag *diag)
{
	struct encoder_worker *w = calloc(1, sizeof *w);
	if (w == NULL)
		return diag_set(diag, RC_NOMEM, "out of memory");
	w->encoder = encoder;
	enum rc rc = worker_init(w, encoder, diag);
	if (rc != RC_OK) {
		encoder_worker_free(w);
		return rc;
	}
	*ret = w;
	return RC_OK;
}

static bool is_eight_digits(const struct text *text)
{
	bool digits = text->len == 8;
	for (size_t i = 0; i < text->len && digits; i++)
		digits = text->cp[i] >= '0' && text->cp[i] <= '9';
	return digits;
}

static enum rc prepare_feature(struct encoder_worker *w, uint16_t i, const struct encode_value *value, char *rule)
{
	const struct schema_feature *f = &w->encoder->schema->features[i];
	struct feature_state *s = &w->features[i];
	const char *why = "";
	tokens_reset(&s->tokens);
	tokens_reset(&s->digits);
	enum rc rc = format_value(s->format, value->bytes, value->len, &s->formatted, rule);
	if (rc != RC_OK)
		return rc;
	rc = tokens_make(f, &s->formatted.text, &s->tokens, &why);
	if (rc == RC_OK && w->encoder->sorted[i] && is_eight_digits(&s->formatted.text))
		rc = tokens_sorted_digits(f, &s->formatted.text, &s->digits, &why);
	if (rc == RC_INVALID || rc == RC_TOO_LARGE) {
		snprintf(rule, RULE_TEXT_CAP, "expected %s", why);
		return RC_INVALID;
	}
	return rc;
}

static enum rc hash_token(struct encoder_worker *w, uint32_t filter, uint16_t part, struct token token, uint32_t k,
			  uint8_t *bits)
{
	struct cache *cache = w->caches[filter][part];
	const uint32_t *known = cache_get(cache, token.bytes, token.len, k);
	if (known == NULL) {
		enum rc rc = bloom_positions(w->hasher, &w->encoder->filters[filter].parts[part].key, token.bytes,
					     token.len, k, w->positions);
		if (rc != RC_OK)
			return rc;
		cache_put(cache, token.bytes, token.len, k, w->positions);
		known = w->positions;
	}
	bloom_set(bits, known, k);
	return RC_OK;
}

static enum rc hash_part(struct encoder_worker *w, uint32_t filter, uint16_t part, struct value_entry *entry)
{
	const struct encoder_filter *f = &w->encoder->filters[filter];
	const struct encoder_part *p = &f->parts[part];
	const struct schema_feature *schema = &w->encoder->schema->features[p->feature];
	const struct feature_state *s = &w->features[p->feature];
	size_t n_digits = f->sorted_digits ? s->digits.n : 0, n = s->tokens.n + n_digits;
	uint8_t *bits = (uint8_t *)(entry->bits + p->at);
	memset(bits, 0, encoder_hash_words(f) * sizeof *entry->bits);
	for (size_t i = 0; i < n; i++) {
		struct token token =
			i < s->tokens.n ? tokens_at(&s->tokens, i) : tokens_at(&s->digits, i - s->tokens.n);
		enum rc rc = hash_token(w, filter, part, token, tokens_bits(schema, i, n), bits);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

/* The date of a feature, if it is one or is text of eight digits YYYYMMDD that name a real day: a date of birth that
 * the study sends as text, since its register has days that do not exist. */
static bool read_date(const struct formatted *f, struct date *ret)
{
	if (f->is_date)
		*ret = f->date;
	return f->is_date || (is_eight_digits(&f->text) && date_parse("%Y%m%d", &f->text, ret) == RC_OK);
}

/* Make the entry of a value that is not known. */
static enum rc fill_entry(struct encoder_worker *w, uint16_t feature, const struct encode_value *value,
			  struct value_entry *entry, char *rule)
{
	const struct encoder *e = w->encoder;
	struct feature_state *s = &w->features[feature];
	enum rc rc = prepare_feature(w, feature, value, rule);
	for (uint32_t f = 0; f < e->n_filters && rc == RC_OK; f++) {
		for (uint16_t part = 0; part < e->filters[f].n_parts && rc == RC_OK; part++) {
			if (e->filters[f].parts[part].feature != feature)
				continue;
			rc = hash_part(w, f, part, entry);
			if (rc != RC_OK)
				snprintf(rule, RULE_TEXT_CAP, "expected a value that can be hashed: %s", rc_text(rc));
		}
	}
	if (rc != RC_OK)
		return rc;
	entry->missing = s->formatted.text.len == 0;
	entry->is_date = read_date(&s->formatted, &entry->date);
	return RC_OK;
}

static enum rc find_entry(struct encoder_worker *w, uint16_t feature, uint32_t hash, const struct encode_value *value,
			  char *rule)
{
	struct feature_state *s = &w->features[feature];
	bool known;
	struct value_entry *entry = value_cache_find(s->values, hash, value->bytes, value->len, &known);
	if (!known) {
		enum rc rc = fill_entry(w, feature, value, entry, rule);
		if (rc != RC_OK)
			return rc;
		value_cache_keep(entry, hash, value->bytes, value->len);
	}
	s->entry = entry;
	return RC_OK;
}

/* Groups of a filter that have something to encode, one bit each. */
static uint32_t groups_present(const struct encoder_worker *w, const struct encoder_filter *f)
{
	uint32_t present = 0;
	for (uint16_t part = 0; part < f->n_parts; part++)
		present |= (uint32_t)!w->features[f->parts[part].feature].entry->missing << f->parts[part].group;
	return present;
}

/* What the record says, in all filters together. */
static enum rc digest_record(const struct encoder_worker *w, uint8_t ret[32])
{
	const struct encoder *e = w->encoder;
	struct sha256_ctx *sha = sha256_new();
	if (sha == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < e->n_filters; i++) {
		const struct encoder_filter *f = &e->filters[i];
		for (uint16_t part = 0; part < f->n_parts; part++) {
			const struct value_entry *entry = w->features[f->parts[part].feature].entry;
			sha256_update(sha, entry->bits + f->parts[part].at, ((size_t)f->hash_bits + 7) / 8);
		}
	}
	sha256_final(sha, ret);
	sha256_free(sha);
	return RC_OK;
}

/* Keyed tokens of this very record in place of a group that is missing, under its first feature's key and strategy. */
static enum rc pad_filter(struct encoder_worker *w, const struct encoder_filter *f, uint32_t present)
{
	uint8_t record[32], token[HARDENING_PAD_LEN];
	enum rc rc = digest_record(w, record);
	for (uint16_t part = 0; part < f->n_parts && rc == RC_OK; part++) {
		const struct encoder_part *p = &f->parts[part];
		bool missing = (present >> p->group & 1) == 0;
		present |= 1u << p->group;
		for (uint8_t i = 0; missing && i < HARDENING_PAD_TOKENS && rc == RC_OK; i++) {
			uint32_t k = tokens_bits(&w->encoder->schema->features[p->feature], i, HARDENING_PAD_TOKENS);
			rc = hardening_pad_token(f->hardening, record, p->group, i, token);
			if (rc == RC_OK)
				rc = bloom_positions(w->hasher, &p->key, token, sizeof token, k, w->positions);
			if (rc == RC_OK)
				bloom_set((uint8_t *)w->wide, w->positions, k);
		}
	}
	explicit_bzero(record, sizeof record);
	explicit_bzero(token, sizeof token);
	return rc;
}

/* Join the parts of a filter, and harden it. */
static enum rc join_filter(struct encoder_worker *w, const struct encoder_filter *f, uint8_t *out, bool *ret_missing)
{
	size_t n_words = encoder_hash_words(f);
	const struct value_entry *first = w->features[f->parts[0].feature].entry;
	/* One field as it is: nothing to join, fold or harden. One that is missing has no bits. */
	if (f->n_parts == 1 && f->hardening == NULL && w->encoder->folds == 0) {
		memcpy(out, first->bits + f->parts[0].at, ((size_t)f->n_bits + 7) / 8);
		*ret_missing = first->missing;
		return RC_OK;
	}
	uint32_t present = groups_present(w, f);
	enum hardening_act act = hardening_act(f->hardening, present, w->n_groups);
	enum rc rc = RC_OK;
	*ret_missing = act == ACT_MISSING;
	if (act == ACT_MISSING) {
		memset(out, 0, ((size_t)f->out_bits + 7) / 8);
		return RC_OK;
	}
	memset(w->wide, 0, n_words * sizeof *w->wide);
	for (uint16_t part = 0; part < f->n_parts; part++) {
		const uint64_t *bits = w->features[f->parts[part].feature].entry->bits + f->parts[part].at;
		for (size_t i = 0; i < n_words; i++)
			w->wide[i] |= bits[i];
	}
	if (act == ACT_PAD)
		rc = pad_filter(w, f, present);
	if (f->hardening == NULL) {
		bloom_fold((const uint8_t *)w->wide, f->n_bits, w->encoder->folds, out);
	} else {
		bloom_fold((const uint8_t *)w->wide, f->n_bits, w->encoder->folds, w->narrow);
		hardening_apply(f->hardening, w->narrow, (uint8_t *)w->wide, out);
	}
	return rc;
}

void encoder_expect(struct encoder_worker *w, const struct encode_value *values)
{
	const struct encoder *e = w->encoder;
	for (uint16_t i = 0; i < e->schema->n_features; i++) {
		if (e->used[i])
			w->hashes[i] = value_cache_hash(w->features[i].values, values[i].bytes, values[i].len);
	}
	w->expected = true;
}

enum rc encoder_encode_to(struct encoder_worker *w, const struct encode_value *values, uint8_t *const *outs,
			  bool *missing, struct encode_error *error)
{
	const struct encoder *e = w->encoder;
	error->rule[0] = '\0';
	if (!w->expected)
		encoder_expect(w, values);
	w->expected = false;
	for (uint16_t i = 0; i < e->schema->n_features; i++) {
		if (!e->used[i])
			continue;
		enum rc rc = find_entry(w, i, w->hashes[i], &values[i], error->rule);
		if (rc != RC_OK) {
			error->feature = i;
			return rc;
		}
	}
	w->n_groups = 0;
	for (uint32_t f = 0; f < e->n_filters && e->hardened; f++)
		w->n_groups += (unsigned)__builtin_popcount(groups_present(w, &e->filters[f]));
	for (uint32_t f = 0; f < e->n_filters; f++) {
		enum rc rc = join_filter(w, &e->filters[f], outs[f], &missing[f]);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc encoder_encode(struct encoder_worker *w, const struct encode_value *values, uint8_t *out, bool *missing,
		       struct encode_error *error)
{
	uint8_t *outs[STUDY_MAX_FILTERS];
	for (uint32_t f = 0; f < w->encoder->n_filters; f++) {
		outs[f] = out;
		out += encoder_filter_bytes(w->encoder, f);
	}
	return encoder_encode_to(w, values, outs, missing, error);
}

bool encoder_feature_missing(const struct encoder_worker *w, uint16_t feature)
{
	return encoder_uses(w->encoder, feature) && w->features[feature].entry->missing;
}

bool encoder_feature_date(const struct encoder_worker *w, uint16_t feature, struct date *ret)
{
	if (!encoder_uses(w->encoder, feature) || !w->features[feature].entry->is_date)
		return false;
	*ret = w->features[feature].entry->date;
	return true;
}

#include "tools/encode/encoder.h"

#include <stdlib.h>
#include <string.h>

#include "tools/encode/derive.h"
#include "tools/encode/encoder_internal.h"
#include "tools/encode/tokens.h"

enum { MAX_HASH_BITS = 1 << 22 }; /* of a filter before folding */

void encoder_free(struct encoder *encoder)
{
	if (encoder == NULL)
		return;
	if (encoder->keys != NULL)
		explicit_bzero(encoder->keys, encoder->keys_len);
	free(encoder->keys);
	for (uint32_t i = 0; i < encoder->n_filters; i++)
		hardening_free(encoder->filters[i].hardening);
	explicit_bzero(encoder, sizeof *encoder);
	free(encoder);
}

/* What clkhash finds out only when it hashes the first record. */
static enum rc check_part(const struct encoder *e, const struct encoder_filter *filter, uint16_t feature,
			  struct diag *diag)
{
	const struct schema_feature *f = &e->schema->features[feature];
	int64_t distance;
	const char *what = NULL;
	if (f->hash == HASH_BLAKE && (filter->hash_bits & (filter->hash_bits - 1)) != 0)
		what = "blakeHash needs a filter length that is a power of two";
	else if (f->hash == HASH_BLAKE && e->schema->key_size > 64)
		what = "blakeHash takes keys of at most 64 bytes (kdf.keySize)";
	else if (f->hash == HASH_BLAKE && f->prevent_singularity)
		what = "prevent_singularity goes with doubleHash only";
	else if (f->k == 0 || f->k > ENCODER_MAX_K)
		what = "the strategy's bits must lie between 1 and 65536";
	else if (f->comparison == COMPARE_NUMERIC && tokens_numeric_distance(f, &distance) != RC_OK)
		what = "fractional_precision is too small for thresholdDistance";
	if (what == NULL)
		return RC_OK;
	return diag_set(diag, RC_INVALID, "feature %s: %s", f->identifier, what);
}

static enum rc add_part(struct encoder *e, struct encoder_filter *filter, uint16_t feature, struct diag *diag)
{
	const struct schema_feature *f = &e->schema->features[feature];
	size_t key_size = e->schema->key_size;
	enum rc rc = check_part(e, filter, feature, diag);
	if (rc != RC_OK)
		return rc;
	const uint8_t *key0 = e->keys + 2 * feature * key_size;
	filter->parts[filter->n_parts++] = (struct encoder_part){
		.feature = feature,
		.at = e->n_words[feature],
		.key = {f->hash, f->prevent_singularity, filter->hash_bits, key0, key0 + key_size, key_size},
	};
	e->n_words[feature] += encoder_hash_words(filter);
	e->n_used += !e->used[feature];
	e->n_parts++;
	e->used[feature] = true;
	e->sorted[feature] |= filter->sorted_digits;
	return RC_OK;
}

static enum rc add_filter(struct encoder *e, const char *name, uint32_t n_bits, struct encoder_filter **ret,
			  struct diag *diag)
{
	if (n_bits == 0 || e->folds > 16 || n_bits > (uint32_t)MAX_HASH_BITS >> e->folds)
		return diag_set(diag, RC_INVALID, "filter %s: its length before folding is above %d bits", name,
				(int)MAX_HASH_BITS);
	struct encoder_filter *f = &e->filters[e->n_filters++];
	f->name = name;
	f->out_bits = f->n_bits = n_bits;
	f->hash_bits = n_bits << e->folds;
	*ret = f;
	return RC_OK;
}

static enum rc encoder_base(const struct schema *schema, const uint8_t *secret, size_t len, struct encoder **ret,
			    struct diag *diag)
{
	struct encoder *e = calloc(1, sizeof *e);
	if (e == NULL)
		return diag_set(diag, RC_NOMEM, "out of memory");
	e->schema = schema;
	e->n_workers = 1;
	e->folds = schema->xor_folds;
	if (schema->n_features == 0) {
		encoder_free(e);
		return diag_set(diag, RC_INVALID, "the schema has no features");
	}
	enum rc rc = derive_feature_keys(schema, secret, len, &e->keys, &e->keys_len);
	if (rc != RC_OK) {
		encoder_free(e);
		if (len == 0)
			return diag_set(diag, rc, "the secret is empty");
		return diag_set(diag, rc,
				rc == RC_INVALID
					? "clkConfig.kdf: keys of all features together are longer than HKDF can give"
					: "deriving the feature keys failed");
	}
	*ret = e;
	return RC_OK;
}

enum rc encoder_new_clk(const struct schema *schema, const uint8_t *secret, size_t secret_len, bool validate,
			struct encoder **ret, struct diag *diag)
{
	struct encoder *e;
	struct encoder_filter *f = NULL;
	enum rc rc = encoder_base(schema, secret, secret_len, &e, diag);
	if (rc != RC_OK)
		return rc;
	e->rules.no_validation = !validate;
	rc = add_filter(e, "clk", schema->l, &f, diag);
	for (uint16_t i = 0; i < schema->n_features && rc == RC_OK; i++) {
		if (!schema->features[i].ignored)
			rc = add_part(e, f, i, diag);
	}
	if (rc != RC_OK) {
		encoder_free(e);
		return rc;
	}
	*ret = e;
	return RC_OK;
}

static enum rc add_study_filter(struct encoder *e, const struct study_filter *from, const uint8_t *secret, size_t len,
				struct diag *diag)
{
	struct encoder_filter *f = NULL;
	enum rc rc = add_filter(e, from->name, from->balanced ? from->bits / 2u : from->bits, &f, diag);
	if (rc != RC_OK)
		return rc;
	f->out_bits = from->bits;
	f->sorted_digits = from->sorted_digits;
	for (uint16_t i = 0; i < from->n_features && rc == RC_OK; i++) {
		if (e->schema->features[from->features[i]].ignored)
			continue;
		rc = add_part(e, f, from->features[i], diag);
		if (rc == RC_OK)
			f->parts[f->n_parts - 1].group = from->part[i];
	}
	if (rc != RC_OK)
		return rc;
	rc = hardening_new(from, secret, len, &f->hardening);
	e->hardened |= f->hardening != NULL;
	return rc == RC_OK ? rc : diag_set(diag, rc, "filter %s: its hardening could not be derived", from->name);
}

enum rc encoder_new_domain(const struct study_domain *domain, const uint8_t *secret, size_t secret_len,
			   struct encoder **ret, struct diag *diag)
{
	struct encoder *e;
	enum rc rc = encoder_base(domain->schema, secret, secret_len, &e, diag);
	if (rc != RC_OK)
		return rc;
	e->rules.normalise = domain->normalise;
	e->rules.empty_is_missing = true;
	for (uint16_t i = 0; i < domain->schema->n_features; i++)
		e->is_date[i] = study_feature_is_date(domain, i);
	for (uint8_t i = 0; i < domain->n_filters && rc == RC_OK; i++)
		rc = add_study_filter(e, &domain->filters[i], secret, secret_len, diag);
	if (rc != RC_OK) {
		encoder_free(e);
		return rc;
	}
	*ret = e;
	return RC_OK;
}

const struct schema *encoder_schema(const struct encoder *encoder)
{
	return encoder->schema;
}

uint32_t encoder_n_filters(const struct encoder *encoder)
{
	return encoder->n_filters;
}

size_t encoder_filter_bytes(const struct encoder *encoder, uint32_t filter)
{
	return ((size_t)encoder->filters[filter].out_bits + 7) / 8;
}

size_t encoder_record_bytes(const struct encoder *encoder)
{
	size_t n = 0;
	for (uint32_t i = 0; i < encoder->n_filters; i++)
		n += encoder_filter_bytes(encoder, i);
	return n;
}

void encoder_set_workers(struct encoder *encoder, uint32_t n)
{
	encoder->n_workers = n > 0 ? n : 1;
}

bool encoder_uses(const struct encoder *encoder, uint16_t feature)
{
	return feature < SCHEMA_MAX_FEATURES && encoder->used[feature];
}

/* The encoder: one record's values in, its Bloom filters out.
 *
 * With one filter over all features it makes, bit for bit, the CLK that clkhash 0.18 makes from the same schema and
 * secret. A study's filters take the features' clkhash keys into lengths of their own. An `encoder` is constant and may
 * be shared; each thread has an `encoder_worker` with the scratch and the cache. */
#ifndef TOOLS_ENCODE_ENCODER_H
#define TOOLS_ENCODE_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/schema.h"
#include "proto/study.h"
#include "tools/encode/format.h"

struct encoder;

/* clkhash's own CLKs: one filter of schema->l bits over all features that are not ignored. Borrows schema. `secret` is
 * copied into derived keys only. Errors: INVALID (diag says which feature and rule), CRYPTO, NOMEM. */
enum rc encoder_new_clk(const struct schema *schema, const uint8_t *secret, size_t secret_len, bool validate,
			struct encoder **ret, struct diag *diag) MUST_CHECK;
/* The filters of a study's domain (borrowed), an empty field being missing. */
enum rc encoder_new_domain(const struct study_domain *domain, const uint8_t *secret, size_t secret_len,
			   struct encoder **ret, struct diag *diag) MUST_CHECK;
void encoder_free(struct encoder *encoder); /* wipes */

const struct schema *encoder_schema(const struct encoder *encoder);
uint32_t encoder_n_filters(const struct encoder *encoder);
size_t encoder_filter_bytes(const struct encoder *encoder, uint32_t filter);
size_t encoder_record_bytes(const struct encoder *encoder); /* of all filters side by side */
/* Whether a feature goes into any filter; the columns of others are not read. */
bool encoder_uses(const struct encoder *encoder, uint16_t feature);

/* How many workers there will be: they share what memory their caches may take. Default 1. */
void encoder_set_workers(struct encoder *encoder, uint32_t n);

struct encoder_worker;
enum rc encoder_worker_new(const struct encoder *encoder, struct encoder_worker **ret, struct diag *diag) MUST_CHECK;
void encoder_worker_free(struct encoder_worker *worker); /* wipes */

struct encode_value {
	const char *bytes; /* UTF-8, borrowed; not NUL-terminated */
	size_t len;
};

/* What was wrong with a record: a feature and a rule, never the value. */
struct encode_error {
	uint16_t feature;
	char rule[RULE_TEXT_CAP];
};

/* Encode one record. `values` has one element a feature of the schema. `out` gets encoder_record_bytes(); `missing`,
 * one flag a filter: nothing to encode, filter all zero. Errors: INVALID (*error set), CRYPTO, NOMEM. */
enum rc encoder_encode(struct encoder_worker *worker, const struct encode_value *values, uint8_t *out, bool *missing,
		       struct encode_error *error) MUST_CHECK;
/* Begin to load what these values became, while there is something else to do: the next encoding must be of them. */
void encoder_expect(struct encoder_worker *worker, const struct encode_value *values);
/* The same as encoder_encode(), each filter where `outs` says. */
enum rc encoder_encode_to(struct encoder_worker *worker, const struct encode_value *values, uint8_t *const *outs,
			  bool *missing, struct encode_error *error) MUST_CHECK;

/* After encoder_encode(): whether a feature had nothing to encode; and its date, if it is one or is text of
 * eight digits YYYYMMDD that name a real day. */
bool encoder_feature_missing(const struct encoder_worker *worker, uint16_t feature);
bool encoder_feature_date(const struct encoder_worker *worker, uint16_t feature, struct date *ret);

#endif

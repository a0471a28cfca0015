#include "tools/encode/harden.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "tools/encode/derive.h"

struct hardening {
	uint32_t n_bits, out_bits;
	/* Diffusion: output bit j is the XOR of input bits inputs[j · t + k], k = 0 … t − 1. NULL = none. */
	uint16_t *inputs;
	uint32_t t;
	uint16_t *order; /* of balancing; NULL = none */
	enum study_incomplete incomplete;
	uint8_t pad_key[DERIVE_PAD_KEY_LEN];
};

void hardening_free(struct hardening *h)
{
	if (h == NULL)
		return;
	wipe_free(h->inputs, (size_t)h->n_bits * h->t * sizeof *h->inputs);
	wipe_free(h->order, (size_t)h->out_bits * sizeof *h->order);
	wipe_free(h, sizeof *h);
}

static enum rc add_diffusion(struct hardening *h, const struct study_filter *filter, const uint8_t *secret, size_t len)
{
	uint16_t *inputs = NULL;
	enum rc rc = derive_diffusion(secret, len, filter->name, h->n_bits, filter->diffusion, &inputs);

	if (rc != RC_OK)
		return rc;
	h->inputs = inputs;
	h->t = filter->diffusion;
	return RC_OK;
}

enum rc hardening_new(const struct study_filter *filter, const uint8_t *secret, size_t len, struct hardening **ret)
{
	struct hardening *h;
	enum rc rc = RC_OK;

	if (filter->diffusion == 0 && !filter->balanced && filter->incomplete == INCOMPLETE_KEEP)
		return RC_OK;
	h = calloc(1, sizeof *h);
	if (h == NULL)
		return RC_NOMEM;
	h->out_bits = filter->bits;
	h->n_bits = filter->balanced ? filter->bits / 2u : filter->bits;
	h->incomplete = filter->incomplete;
	if (filter->diffusion > 0)
		rc = add_diffusion(h, filter, secret, len);
	if (rc == RC_OK && filter->balanced)
		rc = derive_balance(secret, len, filter->name, h->out_bits, &h->order);
	if (rc == RC_OK && filter->incomplete == INCOMPLETE_PAD)
		rc = derive_pad_key(secret, len, filter->name, h->pad_key);
	if (rc != RC_OK) {
		hardening_free(h);
		return rc;
	}
	*ret = h;
	return RC_OK;
}

enum hardening_act hardening_act(const struct hardening *h, uint32_t present, unsigned n_groups)
{
	if (present == 0)
		return ACT_MISSING;
	if (h == NULL || h->incomplete == INCOMPLETE_KEEP || (present & (present - 1)) != 0 ||
	    present == 1u << STUDY_PART_DATE)
		return ACT_ENCODE;
	return h->incomplete == INCOMPLETE_PAD && n_groups > 1 ? ACT_PAD : ACT_MISSING;
}

static bool bit_at(const uint8_t *bits, uint32_t i)
{
	return (bits[i >> 3] >> (7 - (i & 7)) & 1) != 0;
}

/* The next eight output bits; `from` has a byte for every input bit. */
static inline uint8_t gather(const uint8_t *from, const uint16_t *inputs, uint32_t t)
{
	unsigned byte = 0;

	for (uint32_t b = 0; b < 8; b++) {
		unsigned bit = 0;
		for (uint32_t k = 0; k < t; k++)
			bit ^= from[inputs[b * t + k]];
		byte = byte << 1 | bit;
	}
	return (uint8_t)byte;
}

/* Output bit j is the XOR of t keyed input bits (Armknecht, Heng and Schnell 2023). Bits are spread to bytes and
 * gathered without a branch: most filters are a quarter full, so that a test of each bit would be guessed wrong too
 * often. */
static void diffuse(const struct hardening *h, const uint8_t *in, uint8_t *out)
{
	static const uint8_t select[8] = {0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01};
	uint8_t from[STUDY_MAX_FILTER_BITS];
	uint64_t mask, word;

	memcpy(&mask, select, sizeof mask);
	for (uint32_t i = 0; i < h->n_bits / 8; i++) {
		word = in[i] * 0x0101010101010101u & mask;
		word = (word + 0x7F7F7F7F7F7F7F7Fu) >> 7 & 0x0101010101010101u;
		memcpy(from + 8 * (size_t)i, &word, sizeof word);
	}
	/* The usual t as a constant, so that the compiler unrolls it. */
	if (h->t == 2) {
		for (uint32_t i = 0; i < h->n_bits / 8; i++)
			out[i] = gather(from, h->inputs + 16 * (size_t)i, 2);
	} else {
		for (uint32_t i = 0; i < h->n_bits / 8; i++)
			out[i] = gather(from, h->inputs + 8 * (size_t)i * h->t, h->t);
	}
	explicit_bzero(from, h->n_bits);
}

/* The filter, then its complement, in keyed order: as many ones as zeros in every filter (Schnell and Borgs 2016). */
static void balance(const struct hardening *h, const uint8_t *in, uint8_t *out)
{
	memset(out, 0, ((size_t)h->out_bits + 7) / 8);
	for (uint32_t i = 0; i < h->n_bits; i++) {
		uint16_t to = h->order[bit_at(in, i) ? i : h->n_bits + i];
		out[to >> 3] |= (uint8_t)(0x80 >> (to & 7));
	}
}

void hardening_apply(const struct hardening *h, uint8_t *in, uint8_t *scratch, uint8_t *out)
{
	if (h->inputs != NULL) {
		diffuse(h, in, h->order != NULL ? scratch : out);
		in = scratch;
	}
	if (h->order != NULL)
		balance(h, in, out);
	else if (h->inputs == NULL)
		memcpy(out, in, ((size_t)h->n_bits + 7) / 8);
}

enum rc hardening_pad_token(const struct hardening *h, const uint8_t record[32], uint8_t group, uint8_t i,
			    uint8_t ret[HARDENING_PAD_LEN])
{
	uint8_t data[34];

	memcpy(data, record, 32);
	data[32] = group;
	data[33] = i;
	enum rc rc = derive_pad_mac(h->pad_key, data, sizeof data, ret);
	explicit_bzero(data, sizeof data);
	return rc;
}

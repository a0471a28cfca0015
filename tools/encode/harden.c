#include "tools/encode/harden.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/encode/derive.h"

struct hardening {
	uint32_t n_bits, out_bits;
	/* Diffusion, turned around: input bit i goes into the output bits targets[starts[i]] … targets[starts[i + 1]].
	 * So a filter costs what its set bits cost, and most bits are not set. NULL = none. */
	uint32_t *starts;
	uint16_t *targets;
	uint32_t n_targets;
	uint16_t *order; /* of balancing; NULL = none */
	enum study_incomplete incomplete;
	uint8_t pad_key[DERIVE_PAD_KEY_LEN];
};

static void wipe_free(void *memory, size_t len)
{
	if (memory != NULL)
		explicit_bzero(memory, len);
	free(memory);
}

void hardening_free(struct hardening *h)
{
	if (h == NULL)
		return;
	wipe_free(h->starts, ((size_t)h->n_bits + 1) * sizeof *h->starts);
	wipe_free(h->targets, (size_t)h->n_targets * sizeof *h->targets);
	wipe_free(h->order, (size_t)h->out_bits * sizeof *h->order);
	wipe_free(h, sizeof *h);
}

/* inputs[j · t …] of every output bit j, as targets of every input bit. */
static enum rc turn_around(struct hardening *h, const uint16_t *inputs, uint32_t t)
{
	uint32_t n = h->n_bits, total = n * t;

	h->starts = calloc((size_t)n + 1, sizeof *h->starts);
	h->targets = reallocarray(NULL, total, sizeof *h->targets);
	h->n_targets = h->targets != NULL ? total : 0;
	if (h->starts == NULL || h->targets == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < total; i++)
		h->starts[inputs[i]]++;
	for (uint32_t i = 1; i <= n; i++)
		h->starts[i] += h->starts[i - 1];
	/* Each start now is its own end; filling from the back brings it down to where it begins. */
	for (uint32_t i = total; i-- > 0;)
		h->targets[--h->starts[inputs[i]]] = (uint16_t)(i / t);
	return RC_OK;
}

static enum rc add_diffusion(struct hardening *h, const struct study_filter *filter, const uint8_t *secret, size_t len)
{
	uint16_t *inputs = NULL;
	enum rc rc = derive_diffusion(secret, len, filter->name, h->n_bits, filter->diffusion, &inputs);

	if (rc == RC_OK)
		rc = turn_around(h, inputs, filter->diffusion);
	wipe_free(inputs, (size_t)h->n_bits * filter->diffusion * sizeof *inputs);
	return rc;
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

/* Output bit j is the XOR of t keyed input bits (Armknecht, Heng and Schnell 2023). */
static void diffuse(const struct hardening *h, const uint8_t *in, uint8_t *out)
{
	memset(out, 0, ((size_t)h->n_bits + 7) / 8);
	for (uint32_t i = 0; i < h->n_bits; i++) {
		if (!bit_at(in, i))
			continue;
		for (uint32_t k = h->starts[i]; k < h->starts[i + 1]; k++)
			out[h->targets[k] >> 3] ^= (uint8_t)(0x80 >> (h->targets[k] & 7));
	}
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
	if (h->starts != NULL) {
		diffuse(h, in, h->order != NULL ? scratch : out);
		in = scratch;
	}
	if (h->order != NULL)
		balance(h, in, out);
	else if (h->starts == NULL)
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

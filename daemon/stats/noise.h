/* Exact discrete Laplace and discrete Gaussian noise: Canonne, Kamath, Steinke, "The Discrete Gaussian for
 * Differential Privacy" (NeurIPS 2020), algorithms 1 to 3. Integers only: a sampler in floating point has a
 * distribution that nobody proved anything about (Mironov 2012).
 *
 * The stream of bits is deterministic: block c = SHA-256(seed || be32(c)), most significant bit first. Every fraction
 * is reduced before a trial, so that the bits a sample takes, and hence every later sample, are fixed by the seed. */
#ifndef DAEMON_STATS_NOISE_H
#define DAEMON_STATS_NOISE_H

#include <stdint.h>

#include "proto/rc.h"

enum {
	NOISE_SEED_LEN = 32,
	NOISE_MAX_SIGMA2_MILLI = 1000000000, /* σ² of a million */
	NOISE_MAX_SCALE = 1000000,           /* of the Laplace distribution */
	NOISE_MAX_BLOCKS = 1 << 16,          /* a stream; never met, so that no sample can run for ever */
};

struct noise_stream {
	uint8_t seed[NOISE_SEED_LEN];
	uint8_t block[32];
	uint32_t next_block;
	uint16_t bits_used; /* of `block` */
};

void noise_init(struct noise_stream *stream, const uint8_t seed[NOISE_SEED_LEN]);
void noise_deinit(struct noise_stream *stream); /* wipes it */

/* Draw from P(v) ∝ exp(−|v| / scale). 1 ≤ scale ≤ NOISE_MAX_SCALE. Errors: INVALID, CRYPTO (stream used up). */
enum rc noise_laplace(struct noise_stream *stream, uint32_t scale, int64_t *ret) MUST_CHECK;
/* Draw from P(v) ∝ exp(−v² / 2σ²), σ² in thousandths; 0 gives 0. Errors: INVALID, CRYPTO (stream used up). */
enum rc noise_gaussian(struct noise_stream *stream, uint32_t sigma2_milli, int64_t *ret) MUST_CHECK;

#endif

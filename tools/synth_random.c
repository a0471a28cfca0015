#include "tools/synth.h"

static uint64_t split_mix(uint64_t *x)
{
	uint64_t z = (*x += 0x9E3779B97F4A7C15u);
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

void synth_random_init(struct synth_random *random, uint64_t seed, uint64_t stream)
{
	uint64_t x = seed, y = stream;
	uint64_t mixed = split_mix(&x) ^ (split_mix(&y) << 1 | 1);
	for (int i = 0; i < 4; i++)
		random->s[i] = split_mix(&mixed);
}

static uint64_t rotate(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

uint64_t synth_random_next(struct synth_random *random)
{
	uint64_t *s = random->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

/* Lemire 2019: multiply and reject. */
uint32_t synth_below(struct synth_random *random, uint32_t n)
{
	uint64_t m;
	uint32_t threshold = (uint32_t)(-n) % n;
	do
		m = (synth_random_next(random) >> 32) * n;
	while ((uint32_t)m < threshold);
	return (uint32_t)(m >> 32);
}

bool synth_chance(struct synth_random *random, uint32_t per_mille)
{
	return synth_below(random, 1000) < per_mille;
}

uint32_t synth_zipf(struct synth_random *random, uint32_t n)
{
	uint32_t total = 0, i = 0;
	for (uint32_t j = 0; j < n; j++)
		total += 1000000 / (j + 3);
	uint32_t r = synth_below(random, total);
	while (i + 1 < n && r >= 1000000 / (i + 3)) {
		r -= 1000000 / (i + 3);
		i++;
	}
	return i;
}

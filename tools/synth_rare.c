/* Rare names, for registers of a million people: a list of sixty surnames a language would make chance agreement ten
 * times as common as it is among so many. A word is composed from its number, so it is the same in every run. */
#include "tools/synth.h"

/* An index below n, small ones far more often: the cube of a uniform number. */
static uint32_t skewed(struct synth_random *random, uint32_t n)
{
	uint64_t u = synth_random_next(random) >> 32, square = u * u >> 32;

	return (uint32_t)((square * u >> 32) * n >> 32);
}

void synth_rare_word(struct synth_random *random, enum synth_rare kind, uint32_t n, char *ret)
{
	static const char first[] = "nrlstmdkbvgjhpfcwz", second[] = "aeioaeiuaeoy", ends[] = "nrslmt";
	struct synth_random word;
	size_t len = 0;

	synth_random_init(&word, (uint64_t)kind + 1, skewed(random, n));
	for (uint32_t syllables = 2 + skewed(&word, 3); syllables > 0; syllables--) {
		ret[len++] = first[synth_below(&word, sizeof first - 1)];
		ret[len++] = second[synth_below(&word, sizeof second - 1)];
		if (synth_below(&word, 3) == 0)
			ret[len++] = ends[synth_below(&word, sizeof ends - 1)];
	}
	ret[0] = (char)(ret[0] - 'a' + 'A');
	ret[len] = '\0';
}

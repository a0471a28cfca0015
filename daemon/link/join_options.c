/* Which values to read: the least reading such that no pair is lost. */
#include "daemon/link/join.h"

static bool comes_before(const struct join_option *x, const struct join_option *y)
{
	return x->cost != y->cost ? x->cost < y->cost : x->below < y->below;
}

void join_options_prune(struct join_options *options)
{
	unsigned n = 0;

	for (unsigned i = 1; i < options->n; i++) {
		struct join_option moving = options->option[i];
		unsigned at = i;

		for (; at > 0 && comes_before(&moving, &options->option[at - 1]); at--)
			options->option[at] = options->option[at - 1];
		options->option[at] = moving;
	}
	for (unsigned i = 0; i < options->n; i++) {
		if (n == 0 || options->option[i].below < options->option[n - 1].below)
			options->option[n++] = options->option[i];
	}
	options->n = n;
	options->chosen = 0;
}

/* The step that leaves most below the floor for what it costs; NULL = there is none. */
static struct join_options *find_step(struct join_options *options, unsigned n, int32_t needed, unsigned *ret_option)
{
	struct join_options *best = NULL;
	double best_worth = 0;

	for (unsigned c = 0; c < n; c++) {
		const struct join_option *now = &options[c].option[options[c].chosen];

		for (unsigned k = options[c].chosen + 1; k < options[c].n; k++) {
			const struct join_option *next = &options[c].option[k];
			int32_t gain = now->below - next->below;
			double worth = (double)(gain < needed ? gain : needed) / (double)(next->cost - now->cost + 1);

			if (worth > best_worth) {
				best_worth = worth;
				best = &options[c];
				*ret_option = k;
			}
		}
	}
	return best;
}

/* Steps that were taken early may be more than is needed in the end. */
static void take_back(struct join_options *options, unsigned n, int32_t spare)
{
	for (unsigned c = 0; c < n; c++) {
		struct join_options *o = &options[c];
		unsigned k = 0;

		while (o->option[k].below - o->option[o->chosen].below > spare)
			k++;
		spare -= o->option[k].below - o->option[o->chosen].below;
		o->chosen = k;
	}
}

bool join_options_choose(struct join_options *options, unsigned n, int32_t floor)
{
	int32_t sum = 0;

	for (unsigned c = 0; c < n; c++)
		sum += options[c].option[options[c].chosen].below;
	while (sum >= floor) {
		unsigned k = 0;
		struct join_options *step = find_step(options, n, sum - floor + 1, &k);

		if (step == NULL)
			return false;
		sum -= step->option[step->chosen].below - step->option[k].below;
		step->chosen = k;
	}
	take_back(options, n, floor - 1 - sum);
	return true;
}

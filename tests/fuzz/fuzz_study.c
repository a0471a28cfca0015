/* libs: tc_proto */
/* The study parser: hostile YAML. What it accepts must stand by its own bounds and parse to the same digest again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/study.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct study *study, size_t size)
{
	for (unsigned i = 0; i < study->n_domains; i++) {
		const struct study_domain *d = &study->domains[i];
		if (d->n_filters == 0 || d->n_filters > STUDY_MAX_FILTERS || d->n_comparisons == 0)
			abort();
		if (d->key_check_offset + d->key_check_length > size)
			abort();
		for (unsigned j = 0; j < d->n_comparisons; j++) {
			unsigned levels = 1;
			for (unsigned k = 0; k < d->comparisons[j].n_filters; k++)
				levels *= d->comparisons[j].n_cuts[k] + 2u;
			if (levels - 1 != d->comparisons[j].n_levels || levels - 1 > STUDY_MAX_LEVELS)
				abort();
		}
	}
	if (study->disclosure.method != DISCLOSURE_NONE &&
	    study_release_rho_micro(study) > study->disclosure.rho_limit_micro)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct study *first = NULL, *second = NULL;
	struct diag diag = {""};

	if (study_parse("study.yaml", (const char *)data, size, &first, &diag) != RC_OK) {
		if (first != NULL || diag.text[0] == '\0')
			abort();
		return 0;
	}
	check(first, size);
	if (study_parse("study.yaml", (const char *)data, size, &second, NULL) != RC_OK ||
	    memcmp(first->digest, second->digest, sizeof first->digest) != 0)
		abort();
	study_free(first);
	study_free(second);
	return 0;
}

/* libs: tc_proto */
/* The linkage schema reader: hostile JSON. What it accepts must stand by its own bounds. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct schema *schema = NULL;
	struct diag diag = {""};

	if (schema_parse((const char *)data, size, &schema, &diag) != RC_OK) {
		if (schema != NULL || diag.text[0] == '\0')
			abort();
		return 0;
	}
	if (schema->n_features == 0 || (uint64_t)schema->l << schema->xor_folds > SCHEMA_MAX_L)
		abort();
	for (unsigned i = 0; i < schema->n_features; i++) {
		const struct schema_feature *f = &schema->features[i];
		if (f->identifier == NULL || (!f->ignored && (f->k == 0 || f->k > SCHEMA_MAX_K)))
			abort();
		if (!f->ignored && f->comparison == COMPARE_NUMERIC && f->distance_interval < 1)
			abort();
	}
	schema_free(schema);
	return 0;
}

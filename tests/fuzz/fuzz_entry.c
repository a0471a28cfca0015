/* libs: tc_proto */
/* Log entries as an auditor reads them: hostile JSON within the bound of a leaf. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum entry_kind kind = ENTRY_KIND_COUNT;
	json_t *fields = NULL;
	struct diag diag;
	int64_t time = -1;

	if (entry_parse((const char *)data, size, &kind, &time, &fields, &diag) == RC_OK) {
		if (kind >= ENTRY_KIND_COUNT || time < 0 || !json_is_object(fields))
			abort();
		json_decref(fields);
	} else if (fields != NULL) {
		abort();
	}
	return 0;
}

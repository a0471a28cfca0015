/* libs: tc_proto */
/* Log entries as an auditor reads them: hostile JSON within the bound of a leaf. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/entry.h"
#include "proto/json_scan.h"
#include "tests/canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare_skimmed(const char *text, size_t len, enum rc rc, enum entry_kind kind, int64_t time)
{
	enum entry_kind skimmed = ENTRY_KIND_COUNT;
	int64_t at = -1;

	if ((entry_skim(text, len, &skimmed, &at) == RC_OK) != (rc == RC_OK))
		abort();
	if (rc == RC_OK && (skimmed != kind || at != time))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum entry_kind kind = ENTRY_KIND_COUNT;
	json_t *fields = NULL;
	struct diag diag;
	int64_t time = -1;

	/* What looks at canonical text where it stands must judge as what parses it and writes it anew. */
	if (json_scan((const char *)data, size, NULL, NULL) != is_canonical((const char *)data, size))
		abort();
	enum rc rc = entry_parse((const char *)data, size, &kind, &time, &fields, &diag);
	compare_skimmed((const char *)data, size, rc, kind, time);
	if (rc == RC_OK) {
		if (kind >= ENTRY_KIND_COUNT || time < 0 || !json_is_object(fields))
			abort();
		json_decref(fields);
	} else if (fields != NULL) {
		abort();
	}
	return 0;
}

/* libs: tc_proto */
/* Receipts that a custodian kept, or somebody handed over: parsing, printing and verifying. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char golden[] = "audit.example/pprl-1+20a0e173+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
	struct receipt receipt, again;
	struct tlog_checkpoint checkpoint;
	struct tlog_vkey vkey;
	struct buffer text;
	struct diag diag;

	if (tlog_vkey_parse(golden, &vkey) != RC_OK)
		abort();
	if (receipt_parse((const char *)data, size, &receipt, &diag) != RC_OK)
		return 0;
	(void)!receipt_verify(&receipt, &vkey, &checkpoint, &diag);
	buffer_init(&text);
	if (receipt_format(&receipt, &text) != RC_OK ||
	    receipt_parse((const char *)text.data, text.len, &again, &diag) != RC_OK || again.index != receipt.index)
		abort();
	receipt_deinit(&again);
	receipt_deinit(&receipt);
	buffer_deinit(&text);
	return 0;
}

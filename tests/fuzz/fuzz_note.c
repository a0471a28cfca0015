/* libs: tc_proto */
/* Signed notes and verifier keys from anybody: parsing never reads outside the text, and what verifies also parses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/tlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char golden[] = "audit.example/pprl-1+20a0e173+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
	struct tlog_checkpoint verified, parsed;
	struct tlog_vkey vkey, other;

	if (tlog_vkey_parse(golden, &vkey) != RC_OK)
		abort();
	enum rc rc = tlog_checkpoint_parse((const char *)data, size, &parsed);
	if (tlog_checkpoint_verify((const char *)data, size, &vkey, &verified) == RC_OK &&
	    (rc != RC_OK || verified.size != parsed.size))
		abort();
	if (rc == RC_OK) {
		/* What was understood prints back to the very text. */
		struct buffer body;
		buffer_init(&body);
		tlog_checkpoint_body(&parsed, &body);
		if (body.len > size || memcmp(body.data, data, body.len) != 0)
			abort();
		buffer_deinit(&body);
	}
	char *text = malloc(size + 1);
	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (tlog_vkey_parse(text, &other) == RC_OK && tlog_name_check(other.name) != RC_OK)
		abort();
	free(text);
	return 0;
}

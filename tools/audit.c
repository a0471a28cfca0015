/* throughcare audit: a table of its own commands, and the offline check of a receipt. */
#include "tools/audit.h"

#include <inttypes.h>
#include <string.h>

#include "tools/audit_source.h"
#include "tools/command.h"
#include "tools/options.h"
#include "tools/whole_file.h"

enum { MAX_RECEIPT = 1 << 19 };

static const struct command commands[] = {
	{"verify", audit_verify, "check the whole log: signature, root, rules, releases, receipts"},
	{"proof", audit_proof, "check a receipt without asking the linkage unit"},
	{"show", audit_show, "print the log's entries"},
	{"follow", audit_follow, "print the log's entries, and those that come"},
	{"report", audit_report, "write a year of the log as a page to read"},
	{"witness", audit_witness, "cosign the log's checkpoint when it extends the last one"},
};
int cmd_audit(int argc, char **argv)
{
	static const struct command_group group = {
		.name = "throughcare audit",
		.usage = "COMMAND [OPTION]...",
		.example = "throughcare audit verify --url https://localhost:8443 --cert auditor/client.crt \\\n"
			   "      --key auditor/client.key --ca ca/ca.crt --vkey log.vkey --state auditor.state",
		COMMANDS(commands),
	};

	return command_run(&group, argc, argv);
}

int audit_fail(enum rc rc, const struct diag *diag)
{
	return https_fail("throughcare audit", rc, diag);
}

void audit_put_text(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		/* C0, DEL, and C1 in its UTF-8 form: c2 80 … c2 9f. */
		bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0);
		if (c == 0xc2 && control)
			i++;
		fputc(control ? '?' : text[i], out);
	}
}

enum rc audit_read_receipt(const char *path, const struct tlog_vkey *vkey, struct receipt *ret,
			   struct tlog_checkpoint *ret_checkpoint, struct diag *diag)
{
	struct receipt receipt;
	struct diag why = {""};
	struct buffer text;

	buffer_init(&text);
	enum rc rc = whole_file_read(path, MAX_RECEIPT, &text, diag);
	if (rc != RC_OK) {
		buffer_deinit(&text);
		return rc;
	}
	rc = receipt_parse((const char *)text.data, text.len, &receipt, &why);
	buffer_deinit(&text);
	if (rc == RC_OK && (rc = receipt_verify(&receipt, vkey, ret_checkpoint, &why)) != RC_OK)
		receipt_deinit(&receipt);
	if (rc != RC_OK)
		return diag_set(diag, RC_PROTOCOL, "%s: %s", path, why.text[0] ? why.text : rc_text(rc));
	*ret = receipt;
	return RC_OK;
}

int audit_proof(int argc, char **argv)
{
	const char *vkey_path = NULL;
	const struct option_row rows[] = {
		{"vkey", 'v', OPTION_TEXT, &vkey_path, .argument = "FILE", .required = true, .env = "THROUGHCARE_VKEY",
		 .help = "the log's public key"},
	};
	const struct option_table table = {.command = "throughcare audit proof",
					   .usage = "RECEIPT... --vkey FILE",
					   .about = "Check receipts offline: the log that this key belongs to holds "
						    "the batch, at the index and in the tree that\n"
						    "the receipt names.",
					   .example = "throughcare audit proof receipts/*.receipt --vkey log.vkey",
					   OPTION_ROWS(rows),
					   .min_operands = 1,
					   .max_operands = SIZE_MAX};
	struct tlog_checkpoint checkpoint;
	struct diag diag = {""};
	struct tlog_vkey vkey;
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	rc = audit_read_vkey(vkey_path, &vkey, &diag);
	for (; rc == RC_OK && at < argc; at++) {
		struct receipt receipt;
		char batch[17];
		rc = audit_read_receipt(argv[at], &vkey, &receipt, &checkpoint, &diag);
		if (rc != RC_OK)
			break;
		hex_encode(receipt.batch_id, 8, batch);
		printf("%s: batch %s… of %s, %" PRIu64 " records, is entry %" PRIu64 " of %" PRIu64 " in log %s\n",
		       argv[at], batch, receipt.source, receipt.n_records, receipt.index, checkpoint.size,
		       checkpoint.origin);
		receipt_deinit(&receipt);
	}
	return rc == RC_OK ? 0 : audit_fail(rc, &diag);
}

/* throughcare keys linkage | record | seal | log | signer-state: single key files. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "keys/key_file.h"
#include "keys/linkage_secret.h"
#include "keys/log_key.h"
#include "keys/token.h"
#include "proto/study.h"
#include "tools/keys.h"
#include "tools/options.h"
#include "tools/whole_file.h"

enum rc keys_make_file(const char *path, const char *kind, struct diag *diag)
{
	uint8_t bytes[32];

	enum rc rc = random_bytes(bytes, sizeof bytes);
	if (rc == RC_OK)
		rc = key_file_write(path, kind, bytes, diag);
	explicit_bzero(bytes, sizeof bytes);
	return rc;
}

enum rc keys_make_linkage(const char *path, const char *domain, uint8_t ret_check[16], struct diag *diag)
{
	uint8_t secret[LINKAGE_SECRET_LEN], check[LINKAGE_KEY_CHECK_LEN];

	/* A random secret fails the check for weak ones less than once in 10^9: then draw again. */
	enum rc rc = RC_CRYPTO;
	for (int i = 0; i < 3 && rc != RC_OK; i++) {
		rc = random_bytes(secret, sizeof secret);
		if (rc == RC_OK)
			rc = linkage_secret_check(secret, sizeof secret, diag);
	}
	if (rc == RC_OK)
		rc = linkage_key_check(secret, sizeof secret, domain, check);
	if (rc == RC_OK)
		rc = key_file_write(path, "linkage", secret, diag);
	explicit_bzero(secret, sizeof secret);
	if (rc == RC_OK)
		memcpy(ret_check, check, sizeof check);
	return rc;
}

typedef enum rc (*vkey_format)(const char *name, const uint8_t public_key[32], char *out, size_t cap);

static enum rc format_public(const char *path, const char *kind, const char *name, vkey_format format, char *ret_vkey,
			     size_t cap, struct diag *diag)
{
	struct secret_key *key = NULL;
	uint8_t public_key[32];

	enum rc rc = key_file_read(path, kind, &key, diag);
	if (rc != RC_OK)
		return rc;
	rc = log_key_public(secret_key_bytes(key), public_key);
	secret_key_free(key);
	if (rc == RC_OK)
		rc = format(name, public_key, ret_vkey, cap);
	return rc == RC_OK ? RC_OK
			   : diag_set(diag, rc, "'%.100s': expected a name without spaces and plus signs", name);
}

static enum rc format_vkey(const char *path, const char *origin, char *ret_vkey, size_t cap, struct diag *diag)
{
	return format_public(path, "log", origin, tlog_vkey_format, ret_vkey, cap, diag);
}

enum rc keys_make_log(const char *path, const char *origin, char *ret_vkey, size_t vkey_cap, struct diag *diag)
{
	if (tlog_name_check(origin) != RC_OK)
		return diag_set(diag, RC_INVALID,
				"'%.100s' is not an origin: expected a name without spaces and plus signs", origin);
	enum rc rc = keys_make_file(path, "log", diag);
	if (rc == RC_OK)
		rc = log_signer_create(path, "", origin, NULL, 0, diag);
	return rc == RC_OK ? format_vkey(path, origin, ret_vkey, vkey_cap, diag) : rc;
}

enum rc keys_read_study(const char *path, struct buffer *text, struct study **ret, struct diag *diag)
{
	enum rc rc = whole_file_read(path, STUDY_MAX_BYTES, text, diag);

	return rc == RC_OK ? study_parse(path, (const char *)text->data, text->len, ret, diag) : rc;
}

/* ---- linkage ------------------------------------------------------------------------------------------------- */

/* The domain that is meant: named, or the study's only one. */
struct domain_choice {
	char name[STUDY_NAME_CAP];
	bool is_pinned;
	uint8_t key_check[LINKAGE_KEY_CHECK_LEN];
};

static enum rc choose_domain(const char *study_path, const char *domain, struct domain_choice *ret, struct diag *diag)
{
	struct buffer text;
	struct study *study = NULL;

	buffer_init(&text);
	enum rc rc = keys_read_study(study_path, &text, &study, diag);
	buffer_deinit(&text);
	if (rc != RC_OK)
		return rc;
	int i = domain ? study_find_domain(study, domain) : study->n_domains == 1 ? 0 : -1;
	if (i >= 0) {
		const struct study_domain *d = &study->domains[i];
		memcpy(ret->name, d->name, sizeof ret->name);
		memcpy(ret->key_check, d->key_check, sizeof ret->key_check);
		ret->is_pinned = d->has_key_check;
	} else if (domain == NULL)
		rc = diag_set(diag, RC_USAGE, "the study has %d encoding domains; say which with --domain",
			      study->n_domains);
	else
		rc = diag_set(diag, RC_NOTFOUND, "the study has no encoding domain '%.64s'", domain);
	study_free(study);
	return rc;
}

static enum rc show_check(const char *path, const char *domain, uint8_t ret[LINKAGE_KEY_CHECK_LEN], struct diag *diag)
{
	struct secret_key *key = NULL;

	enum rc rc = key_file_read(path, "linkage", &key, diag);
	if (rc != RC_OK)
		return rc;
	rc = linkage_secret_check(secret_key_bytes(key), LINKAGE_SECRET_LEN, diag);
	if (rc == RC_OK)
		rc = linkage_key_check(secret_key_bytes(key), LINKAGE_SECRET_LEN, domain, ret);
	secret_key_free(key);
	return rc;
}

int keys_linkage(int argc, char **argv)
{
	const char *study = NULL, *domain = NULL;
	const char *split = NULL;
	struct option_list join = {.n = 0};
	bool show = false, check_share = false, help = false;
	const struct option_row rows[] = {
		{"study", 's', OPTION_TEXT, &study, .argument = "FILE", .required = true,
		 .help = "the study that the secret is for"},
		{"domain", 'd', OPTION_TEXT, &domain, .argument = "NAME",
		 .help = "encoding domain; needed where the study has several"},
		{"show", 0, OPTION_FLAG, &show, .help = "make nothing; print the key check of the secret in FILE"},
		{"split", 0, OPTION_TEXT, &split, .argument = "K/N",
		 .help = "split the secret in FILE into FILE.share-1 … N, any K of which give it back"},
		{"join", 0, OPTION_LIST, &join, .argument = "SHARE",
		 .help = "make FILE from shares; given once for each"},
		{"check-share", 0, OPTION_FLAG, &check_share, .help = "FILE is a share: is it typed right?"},
	};
	const struct option_table table = {.command = "throughcare keys linkage",
					   .usage = "FILE --study FILE [--domain NAME] [--show | --split K/N | --join "
						    "SHARE... | --check-share]",
					   .about = "Make the linkage secret of an encoding domain and print its key "
						    "check, which is then pinned in the\n"
						    "study (linkage.key_check). The file is for the domain's "
						    "custodians only, never for the linkage unit.",
					   .example = "throughcare keys linkage main.secret --study study.yaml",
					   OPTION_ROWS(rows),
					   .min_operands = 1,
					   .max_operands = 1};
	struct diag diag = {""};
	struct domain_choice d = {.name = ""};
	char hex[2 * LINKAGE_KEY_CHECK_LEN + 1];
	uint8_t check[LINKAGE_KEY_CHECK_LEN];
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	if (show + check_share + (split != NULL) + (join.n > 0) > 1)
		rc = diag_set(&diag, RC_USAGE, "--show, --split, --join and --check-share exclude each other");
	if (rc == RC_OK)
		rc = choose_domain(study, domain, &d, &diag);
	if (rc == RC_OK && (check_share || split != NULL)) {
		rc = check_share ? keys_check_share(argv[at], &diag)
				 : keys_split_linkage(argv[at], d.name, split, &diag);
		return rc == RC_OK ? 0 : keys_fail(rc, &diag);
	}
	if (rc == RC_OK && join.n > 0)
		rc = keys_join_linkage(argv[at], d.name, d.is_pinned ? d.key_check : NULL, join.item, join.n, check,
				       &diag);
	else if (rc == RC_OK)
		rc = show ? show_check(argv[at], d.name, check, &diag)
			  : keys_make_linkage(argv[at], d.name, check, &diag);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	hex_encode(check, sizeof check, hex);
	printf("key_check: %s\n", hex);
	return 0;
}

/* ---- record, seal -------------------------------------------------------------------------------------------- */

static int make_one(const struct option_table *table, const char *kind, int argc, char **argv)
{
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	rc = keys_make_file(argv[at], kind, &diag);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	printf("%s key in %s\n", kind, argv[at]);
	return 0;
}

int keys_record(int argc, char **argv)
{
	static const struct option_table table = {
		.command = "throughcare keys record",
		.usage = "FILE",
		.about = "Make the key under which a custodian's own record and person numbers are hidden before they "
			 "are sent.\n"
			 "Keep it: the same record gets the same hidden number only under the same key.",
		.example = "throughcare keys record record.key",
		.min_operands = 1,
		.max_operands = 1};

	return make_one(&table, "record", argc, argv);
}

int keys_seal(int argc, char **argv)
{
	const char *token = NULL;
	const struct option_row rows[] = {
		{"token", 0, OPTION_TEXT, &token, .argument = "URI",
		 .help = "wrap it under this AES key of a PKCS#11 token (RFC 7512, with module-path and "
			 "pin-source=file:PATH)"},
	};
	const struct option_table table = {
		.command = "throughcare keys seal",
		.usage = "FILE [--token URI]",
		.about = "Make a sealing key. Without it nobody, you included, can read the daemon's store: keep a "
			 "copy apart\n"
			 "from the store and its backups. With --token FILE opens in that token alone: the copy is "
			 "the token's.",
		.example = "throughcare keys seal seal.key\n"
			   "throughcare keys seal seal.key --token \\\n"
			   "  'pkcs11:token=unit;object=seal?module-path=/usr/lib/softhsm/libsofthsm2.so"
			   "&pin-source=file:/etc/throughcare/pin'",
		OPTION_ROWS(rows),
		.min_operands = 1,
		.max_operands = 1};
	struct diag diag = {""};
	uint8_t key[32];
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	rc = random_bytes(key, sizeof key);
	if (rc == RC_OK)
		rc = seal_key_write(argv[at], token, key, &diag);
	explicit_bzero(key, sizeof key);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	printf("seal key in %s\n", argv[at]);
	return 0;
}

/* ---- log, signer-state --------------------------------------------------------------------------------------- */

int keys_log(int argc, char **argv)
{
	const char *origin = NULL, *vkey_path = NULL;
	bool show = false, help = false;
	const struct option_row rows[] = {
		{"origin", 'O', OPTION_TEXT, &origin, .argument = "NAME", .required = true,
		 .help = "the log's name, such as linkage.example.org/log; it can never be changed"},
		{"vkey", 0, OPTION_TEXT, &vkey_path, .argument = "FILE", .help = "write the public key there too"},
		{"show", 0, OPTION_FLAG, &show, .help = "make nothing; print the public key of the key in FILE"},
	};
	const struct option_table table = {
		.command = "throughcare keys log",
		.usage = "FILE --origin NAME [--vkey FILE] [--show]",
		.about = "Make the key that signs the audit log and, beside it, FILE.state, in which the signer "
			 "remembers what it\n"
			 "signed last. Print the public key (C2SP signed-note verifier key), which everybody may have.",
		.example = "throughcare keys log log.key --origin linkage.example.org/log --vkey log.vkey",
		OPTION_ROWS(rows),
		.min_operands = 1,
		.max_operands = 1};
	char vkey[TLOG_VKEY_CAP + 1];
	struct diag diag = {""};
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	rc = show ? format_vkey(argv[at], origin, vkey, TLOG_VKEY_CAP, &diag)
		  : keys_make_log(argv[at], origin, vkey, TLOG_VKEY_CAP, &diag);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	strcat(vkey, "\n");
	if (vkey_path != NULL) {
		rc = whole_file_create(vkey_path, vkey, strlen(vkey), &diag);
		if (rc != RC_OK)
			return keys_fail(rc, &diag);
	}
	fputs(vkey, stdout);
	return 0;
}

int keys_witness(int argc, char **argv)
{
	const char *name = NULL, *vkey_path = NULL;
	const struct option_row rows[] = {
		{"name", 0, OPTION_TEXT, &name, .argument = "NAME", .required = true,
		 .help = "the witness's name, such as witness.example.org/w1"},
		{"vkey", 0, OPTION_TEXT, &vkey_path, .argument = "FILE", .help = "write the public key there too"},
	};
	const struct option_table table = {
		.command = "throughcare keys witness",
		.usage = "FILE --name NAME [--vkey FILE]",
		.about = "Make the key with which a witness cosigns the log. Print the public key, for the daemon's "
			 "file of witnesses\n"
			 "and for auditors.",
		.example = "throughcare keys witness w1.key --name witness.example.org/w1 --vkey w1.vkey",
		OPTION_ROWS(rows),
		.min_operands = 1,
		.max_operands = 1};
	char vkey[TLOG_VKEY_CAP + 1];
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	if (tlog_name_check(name) != RC_OK)
		rc = diag_set(&diag, RC_INVALID, "--name: expected a name without spaces and plus signs");
	if (rc == RC_OK)
		rc = keys_make_file(argv[at], "witness", &diag);
	if (rc == RC_OK)
		rc = format_public(argv[at], "witness", name, tlog_witness_format, vkey, TLOG_VKEY_CAP, &diag);
	if (rc == RC_OK)
		strcat(vkey, "\n");
	if (rc == RC_OK && vkey_path != NULL)
		rc = whole_file_create(vkey_path, vkey, strlen(vkey), &diag);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	fputs(vkey, stdout);
	return 0;
}

int keys_signer_state(int argc, char **argv)
{
	const char *key = NULL, *origin = NULL, *state = "", *checkpoint = NULL;
	bool empty = false, help = false;
	const struct option_row rows[] = {
		{"key", 'k', OPTION_TEXT, &key, .argument = "FILE", .required = true, .help = "the log key"},
		{"origin", 'O', OPTION_TEXT, &origin, .argument = "NAME", .required = true, .help = "the log's name"},
		{"state", 's', OPTION_TEXT, &state, .argument = "FILE",
		 .help = "where the daemon's signer_state is; left out: beside the key"},
		{"checkpoint", 'c', OPTION_TEXT, &checkpoint, .argument = "FILE",
		 .help = "the newest checkpoint that anybody holds, an auditor's for instance"},
		{"empty", 0, OPTION_FLAG, &empty, .help = "nothing was ever signed with this key"},
	};
	const struct option_table table = {.command = "throughcare keys signer-state",
					   .usage = "--key FILE --origin NAME (--checkpoint FILE | --empty)",
					   .about = "Make the log signer's state file anew after it was lost. The "
						    "daemon will then sign only what extends the\n"
						    "given checkpoint. An older one than the last that was signed "
						    "would let the log be forked: ask everybody who\n"
						    "may hold a newer one first.",
					   .example = "throughcare keys signer-state --key log.key --origin "
						      "linkage.example.org/log --checkpoint auditor.state",
					   OPTION_ROWS(rows)};
	struct buffer note;
	struct diag diag = {""};
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	buffer_init(&note);
	if ((checkpoint != NULL) == empty)
		rc = diag_set(&diag, RC_USAGE, "expected either --checkpoint FILE or --empty");
	else if (checkpoint != NULL)
		rc = whole_file_read(checkpoint, TLOG_MAX_NOTE, &note, &diag);
	if (rc == RC_OK)
		rc = log_signer_create(key, state, origin, empty ? NULL : (const char *)note.data, note.len, &diag);
	buffer_deinit(&note);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	printf("signer state made for log '%s'\n", origin);
	return 0;
}

/* throughcare keys rotate: a new key to follow one that is in use, and the handover with which a running daemon takes it
 * up. The handover is the new key sealed under the old: whoever carries it about learns nothing from it. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keys/key_file.h"
#include "keys/log_key.h"
#include "keys/seal.h"
#include "keys/token.h"
#include "proto/bytes.h"
#include "tools/keys.h"
#include "tools/options.h"

/* A kind of key that can be rotated. */
struct rotation_kind {
	const char *kind, *prefix, *what;
	const char *token; /* a sealing key's; NULL = none */
};
static const struct rotation_kind seal_kind = {"seal", SEAL_HANDOVER_PREFIX, "sealing key", NULL};
static const struct rotation_kind log_kind = {"log", LOG_HANDOVER_PREFIX, "log key", NULL};

/* Two keys have one number once in 65,535 draws. */
static enum rc draw_key(const struct secret_key *old, uint8_t key[32], uint8_t handover[SEAL_HANDOVER_LEN])
{
	struct seal *seal = NULL;

	enum rc rc = seal_new(secret_key_bytes(old), &seal);
	if (rc != RC_OK)
		return rc;
	rc = RC_CONFLICT;
	for (int i = 0; i < 16 && rc == RC_CONFLICT; i++) {
		rc = random_bytes(key, 32);
		if (rc == RC_OK)
			rc = seal_hand_over(seal, key, handover);
	}
	seal_close(seal);
	return rc;
}

static enum rc write_handover(const char *path, const char *prefix, const uint8_t handover[SEAL_HANDOVER_LEN],
			      struct diag *diag)
{
	char hex[2 * SEAL_HANDOVER_LEN + 1];
	struct buffer line;

	buffer_init(&line);
	hex_encode(handover, SEAL_HANDOVER_LEN, hex);
	buffer_printf(&line, "%s%s\n", prefix, hex);
	enum rc rc = line.failed ? RC_NOMEM : private_file_write(path, line.data, line.len, diag);
	buffer_wipe(&line);
	return rc;
}

static enum rc rotate(const struct rotation_kind *kind, const char *old_path, const char *new_path, struct diag *diag)
{
	struct secret_key *old = NULL;
	uint8_t key[32], handover[SEAL_HANDOVER_LEN];
	char handover_path[PATH_MAX];

	if (snprintf(handover_path, sizeof handover_path, "%s.handover", new_path) >= (int)sizeof handover_path)
		return diag_set(diag, RC_INVALID, "%s: the path is too long", new_path);
	enum rc rc = kind->token != NULL ? seal_key_read(old_path, kind->token, true, &old, diag)
					 : key_file_read(old_path, kind->kind, &old, diag);
	if (rc == RC_OK && (rc = draw_key(old, key, handover)) != RC_OK)
		diag_set(diag, rc, "%s: %s", new_path, rc_text(rc));
	if (rc == RC_OK)
		rc = kind->token != NULL ? seal_key_write(new_path, kind->token, key, diag)
					 : key_file_write(new_path, kind->kind, key, diag);
	if (rc == RC_OK) {
		rc = write_handover(handover_path, kind->prefix, handover, diag);
		if (rc != RC_OK)
			(void)unlink(new_path); /* made a moment ago, and used nowhere */
	}
	explicit_bzero(key, sizeof key);
	secret_key_free(old);
	return rc;
}

int keys_rotate(int argc, char **argv)
{
	const char *seal = NULL, *log = NULL, *output = NULL, *token = NULL;
	const struct option_row rows[] = {
		{"seal", 0, OPTION_TEXT, &seal, .argument = "FILE", .help = "the sealing key that is in use"},
		{"log", 0, OPTION_TEXT, &log, .argument = "FILE", .help = "the log key that is in use"},
		{"token", 0, OPTION_TEXT, &token, .argument = "URI",
		 .help = "the new sealing key is wrapped under this key of a PKCS#11 token, as the old one may be"},
		{"output", 'o', OPTION_TEXT, &output, .argument = "FILE", .required = true,
		 .help = "writes the new key here and, beside it, FILE.handover"},
	};
	const struct option_table table = {
		.command = "throughcare keys rotate",
		.usage = "(--seal FILE [--token URI] | --log FILE) -o FILE",
		.about = "Make the sealing key or the log key that is to follow one in use, and the handover with "
			 "which a running\n"
			 "daemon takes it up. The handover is the new key sealed under the old one: 'throughcare admin "
			 "rotate' sends it.",
		.example = "throughcare keys rotate --seal seal.key -o seal-2.key\n"
			   "throughcare admin rotate seal-2.key.handover --url https://linkage.example:8443 \\\n"
			   "  --cert operator/client.crt --key operator/client.key --ca ca/ca.crt\n"
			   "mv seal-2.key seal.key",
		OPTION_ROWS(rows)};
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	struct rotation_kind kind = seal != NULL ? seal_kind : log_kind;
	kind.token = token;
	if (log != NULL && token != NULL)
		rc = diag_set(&diag, RC_USAGE, "--token: only for a sealing key");
	else if ((seal == NULL) == (log == NULL))
		rc = diag_set(&diag, RC_USAGE, "expected either --seal FILE or --log FILE");
	else
		rc = rotate(&kind, seal != NULL ? seal : log, output, &diag);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	printf("new %s in %s; send %s.handover with 'throughcare admin rotate', then put the new key in the "
	       "place of the old\n",
	       kind.what, output, output);
	return 0;
}

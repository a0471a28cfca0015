/* throughcare keys rotate: a new key to follow one that is in use, and the handover with which a running daemon takes it
 * up. The handover is the new key sealed under the old: whoever carries it about learns nothing from it. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keys/key_file.h"
#include "keys/seal.h"
#include "proto/bytes.h"
#include "tools/keys.h"
#include "tools/options.h"

/* Two keys have one number once in 65,535 draws. */
static enum rc draw_key(const struct seal *seal, uint8_t key[32], uint8_t handover[SEAL_HANDOVER_LEN])
{
	enum rc rc = RC_CONFLICT;

	for (int i = 0; i < 16 && rc == RC_CONFLICT; i++) {
		rc = random_bytes(key, 32);
		if (rc == RC_OK)
			rc = seal_hand_over(seal, key, handover);
	}
	return rc;
}

static enum rc write_handover(const char *path, const uint8_t handover[SEAL_HANDOVER_LEN], struct diag *diag)
{
	char hex[2 * SEAL_HANDOVER_LEN + 1];
	struct buffer line;

	buffer_init(&line);
	hex_encode(handover, SEAL_HANDOVER_LEN, hex);
	buffer_printf(&line, SEAL_HANDOVER_PREFIX "%s\n", hex);
	enum rc rc = line.failed ? RC_NOMEM : private_file_write(path, line.data, line.len, diag);
	buffer_wipe(&line);
	return rc;
}

static enum rc rotate_seal(const char *old_path, const char *new_path, struct diag *diag)
{
	struct seal *seal = NULL;
	uint8_t key[32], handover[SEAL_HANDOVER_LEN];
	char handover_path[PATH_MAX];

	if (snprintf(handover_path, sizeof handover_path, "%s.handover", new_path) >= (int)sizeof handover_path)
		return diag_set(diag, RC_INVALID, "%s: the path is too long", new_path);
	enum rc rc = seal_open_file(old_path, &seal, diag);
	if (rc == RC_OK && (rc = draw_key(seal, key, handover)) != RC_OK)
		diag_set(diag, rc, "%s: %s", new_path, rc_text(rc));
	if (rc == RC_OK)
		rc = key_file_write(new_path, "seal", key, diag);
	if (rc == RC_OK) {
		rc = write_handover(handover_path, handover, diag);
		if (rc != RC_OK)
			(void)unlink(new_path); /* made a moment ago, and used nowhere */
	}
	explicit_bzero(key, sizeof key);
	seal_close(seal);
	return rc;
}

int keys_rotate(int argc, char **argv)
{
	const char *seal = NULL, *output = NULL;
	const struct option_row rows[] = {
		{"seal", 0, OPTION_TEXT, &seal, .argument = "FILE", .required = true,
		 .help = "the sealing key that is in use"},
		{"output", 'o', OPTION_TEXT, &output, .argument = "FILE", .required = true,
		 .help = "writes the new key here and, beside it, FILE.handover"},
	};
	const struct option_table table = {
		.command = "throughcare keys rotate",
		.usage = "--seal FILE -o FILE",
		.about = "Make the sealing key that is to follow one in use, and the handover with which a running "
			 "daemon takes it up.\n"
			 "The handover is the new key sealed under the old one: 'throughcare admin rotate' sends it.",
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
	rc = rotate_seal(seal, output, &diag);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	printf("new sealing key in %s; send %s.handover with 'throughcare admin rotate', then put the new key in the "
	       "place of the old\n",
	       output, output);
	return 0;
}

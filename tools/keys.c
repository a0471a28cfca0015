/* throughcare keys: a table of its own commands. */
#include "tools/keys.h"

#include <stdio.h>
#include <string.h>

#include "proto/rc.h"
#include "tools/command.h"

static const struct command commands[] = {
	{"init", keys_init, "make a whole development key set"},
	{"ca", keys_ca, "make a certificate authority"},
	{"cert", keys_cert, "issue a certificate to a client or a server"},
	{"request", keys_request, "make a client's key and a request for its certificate"},
	{"expiry", keys_expiry, "show when certificates and revocation lists run out"},
	{"revoke", keys_revoke, "enter certificates into the revocation list"},
	{"linkage", keys_linkage, "make the linkage secret of a domain, print its key check"},
	{"record", keys_record, "make the key that hides a custodian's record numbers"},
	{"seal", keys_seal, "make a sealing key"},
	{"rotate", keys_rotate, "make the key that follows one in use"},
	{"log", keys_log, "make a log key, its signer state and its public key"},
	{"witness", keys_witness, "make the key of a witness of the log and its public key"},
	{"signer-state", keys_signer_state, "make a lost signer state anew from a checkpoint"},
};
int cmd_keys(int argc, char **argv)
{
	static const struct command_group group = {
		.name = "throughcare keys",
		.usage = "COMMAND [OPTION]...",
		.example = "throughcare keys init keys --study deploy/study-two-registers.yaml",
		COMMANDS(commands),
	};

	return command_run(&group, argc, argv);
}

int keys_fail(enum rc rc, const struct diag *diag)
{
	fprintf(stderr, "throughcare keys: %s\n", diag->text[0] != '\0' ? diag->text : rc_text(rc));
	return rc_exit_code(rc);
}

/* The server's certificate and its private key, and the process that reads them.
 *
 * The front may open no file, the core may never have the server's key, and the key may belong to root, whom both have
 * stopped to be. So a third process does nothing but read these two files: it is forked by the front before it drops
 * its privileges, keeps the right to read and no other, reaches the folders of the two files alone, has no socket but
 * the one to the front, and holds a key only while it hands it over. It says nothing to the core. It ends with the
 * front.
 *
 * It looks at the files again and again, and hands them over when they have changed and then stood still for a moment,
 * so that a pair that is replaced one file after the other is not read in between. */
#ifndef DAEMON_FRONT_PAIR_READER_H
#define DAEMON_FRONT_PAIR_READER_H

#include "daemon/base/conf.h"
#include "proto/bytes.h"
#include "proto/rc.h"

struct server_pair {
	struct buffer certificate; /* PEM: the server's, then those between it and its authority */
	struct buffer key;         /* PEM, without pass phrase */
};
void server_pair_init(struct server_pair *pair);
/* Wipes the key. */
void server_pair_deinit(struct server_pair *pair);

/* Read both files in this process. Errors: CONFIG (the certificate cannot be read), KEY (the key cannot be, or others
 * could read it), IO, NOMEM. */
enum rc server_pair_read(const struct conf *conf, struct server_pair *ret, struct diag *diag) MUST_CHECK;

/* Start the reader; *ret_fd, which the caller closes, becomes readable when it has something to say. `conf` is borrowed
 * for as long as that process runs. Call it before threads. Errors: IO, NOMEM. */
enum rc pair_reader_start(const struct conf *conf, int *ret_fd, struct diag *diag) MUST_CHECK;
/* Ask it for the pair as it stands now. Errors: IO (it has ended). */
enum rc pair_reader_ask(int fd) MUST_CHECK;
/* What it says next; waits for it. *ret is to be initialised, and filled on RC_OK. Errors: STOPPING (it has ended),
 * MALFORMED, and those of server_pair_read() with its diag. */
enum rc pair_reader_take(int fd, struct server_pair *ret, struct diag *diag) MUST_CHECK;

#endif

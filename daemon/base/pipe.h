/* The pipe between front and core: a stream socket pair with typed, length-checked messages.
 *
 * What can cross towards the front is fixed by the message types below: receipts, released tables, log tiles and
 * proofs, the public study, status. There is no message that carries a record, and both sides treat every byte of the
 * other as hostile: an unknown type, a bad length or a field out of range ends the process that receives it.
 *
 * Message: u8 type, u8 zero, u16 zero, u32 payload length (≤ PIPE_MAX_PAYLOAD), u64 request id; then the payload.
 * All integers big-endian (proto/bytes.h).
 *
 * Life of the pipe. The core opens its store, then sends PIPE_CREDIT with id 0 and 0 bytes: "I am open". Only then does
 * the front listen, and answers PIPE_FRONT_READY. For each request the front sends PIPE_REQUEST with a new id
 * (ascending from 1, never used again), and where the route has a body PIPE_BODY … PIPE_BODY_END. It may send
 * PIPE_INITIAL_CREDIT body bytes at once, further ones only as the core grants them with PIPE_CREDIT as it uses bytes
 * up. The core answers PIPE_REPLY, PIPE_REPLY_BODY adding up to reply.length exactly, PIPE_REPLY_END; it may do so
 * before the body has ended (the front then sends no more of it). After PIPE_CANCEL the core may drop its answer or
 * still send it. On SIGTERM the core sends PIPE_STOP and goes on answering until the front, drained, closes its end. The
 * files that may change while the daemon runs, the clients' authorities, the revocation list and the access file, are read by
 * the core, which sends
 * them whole with pipe_put_file; what a new revocation list adds the front tells with PIPE_LISTED, and with PIPE_TRUSTED, at
 * its start and once for each PIPE_AUTHORITIES that it takes, before any request of whom they let in, which authorities are in
 * force. The server's own
 * certificate and key never cross: the front has them from its reader (daemon/front/pair_reader.h), and tells the core
 * with PIPE_RENEWED which certificate is in use, or that a file was refused. The end of the pipe ends the other process. */
#ifndef DAEMON_BASE_PIPE_H
#define DAEMON_BASE_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/renewal.h"
#include "proto/batch.h"
#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/route.h"

enum {
	PIPE_HEADER_LEN = 16,
	PIPE_MAX_PAYLOAD = 64 * 1024,
	PIPE_MAX_REPLY = 256 << 20, /* body of one answer */
	PIPE_MAX_CREDIT = 64 << 20, /* of one PIPE_CREDIT */
	PIPE_MAX_FILE = 8 << 20,    /* a whole revocation list, or access file */
	PIPE_MAX_LISTED = 1024,     /* certificates of one PIPE_LISTED */
	PIPE_SERIAL_CAP = 32,       /* RFC 5280 allows 20 bytes */
	PIPE_MAX_AUTHORITIES = 16,  /* of clients, in force at a time */
};

enum pipe_type {
	/* front → core */
	PIPE_FRONT_READY = 1, /* struct pipe_ready: listening, with the port */
	PIPE_REQUEST,         /* struct pipe_request */
	PIPE_BODY,            /* raw body bytes, as received (still content-encoded) */
	PIPE_BODY_END,        /* empty */
	PIPE_CANCEL,          /* empty: the client has gone, no answer is wanted */
	PIPE_REFUSED,         /* struct pipe_refused: the front refused somebody; for the log */
	PIPE_COUNTS,          /* struct pipe_counts: what the front counted since its start; for the operator */
	PIPE_LISTED,          /* struct pipe_listed: certificates that a revocation list in use names; for the log */
	PIPE_RENEWED,         /* struct pipe_renewed: what became of a file that may be replaced; for the log */
	PIPE_TRUSTED,         /* struct pipe_trusted: the clients' authorities in force; for the log */
	/* core → front */
	PIPE_REPLY = 32, /* struct pipe_reply: head of the answer */
	PIPE_REPLY_BODY, /* raw bytes of the answer */
	PIPE_REPLY_END,  /* empty */
	PIPE_CREDIT,     /* u32: so many more body bytes may be sent for this request; id 0, 0 bytes: open */
	PIPE_STOP,       /* empty: stop accepting, drain, end */
	PIPE_REVOKED,    /* a new revocation list (PEM), in pieces: u8 last, bytes */
	PIPE_ACCESS,     /* a new access file (YAML), in pieces */
	PIPE_READ_PAIR,  /* empty: read the server's certificate and key again */
	PIPE_AUTHORITIES, /* other authorities of the clients (PEM), in pieces */
	PIPE_LIST_AGAIN, /* empty: send PIPE_LISTED of everything on the list in use */
};

enum pipe_accept { ACCEPT_JSON, ACCEPT_CSV, ACCEPT_TEXT };
enum pipe_content { CONTENT_NONE, CONTENT_JSON, CONTENT_PROTOBUF };

enum { PIPE_QUERY_CAP = 1024, PIPE_INITIAL_CREDIT = 256 * 1024 };

struct pipe_request {
	enum request_type type;
	struct identity who;
	char argument[ROUTE_ARGUMENT_CAP]; /* what {} matched */
	char query[PIPE_QUERY_CAP];        /* after '?', still percent-encoded */
	enum pipe_accept accept;
	enum pipe_content content;
	enum content_encoding encoding;
	int64_t content_length; /* -1 = not said (chunked) */
};

enum pipe_media { /* media type of an answer: a closed list, so that the front makes no text of its own */
		  MEDIA_JSON,
		  MEDIA_PROBLEM,
		  MEDIA_CSV,
		  MEDIA_YAML,
		  MEDIA_TEXT,
		  MEDIA_OCTETS,
		  MEDIA_METRICS,
};

struct pipe_reply {
	uint16_t http_status;
	enum pipe_media media;
	uint32_t retry_after_s; /* 0 = no such header */
	bool immutable;         /* may be cached for ever (full tiles, releases by digest) */
	uint64_t length;        /* of the body that follows */
};

struct pipe_refused {
	enum rc reason;
	struct identity who;  /* client "" where the certificate said nothing usable */
	uint8_t request_type; /* REQUEST_TYPE_COUNT = none */
	uint32_t n_before;    /* refusals since the last report that came too fast to be reported one by one */
};

struct pipe_listed {
	uint8_t authority[32]; /* SHA-256 of its certificate */
	size_t n;
	struct pipe_serial {
		uint8_t len; /* 1 … PIPE_SERIAL_CAP */
		uint8_t bytes[PIPE_SERIAL_CAP];
	} serials[PIPE_MAX_LISTED];
};

struct pipe_trusted {
	size_t n;
	uint8_t authorities[PIPE_MAX_AUTHORITIES][32]; /* SHA-256 of their certificates, ascending */
};

struct pipe_renewed {
	enum renewal_file file;
	enum renewal_fault fault;
	uint8_t digest[32]; /* SHA-256 of the server's certificate in use; of the file that was refused, zero = not known */
};

struct pipe_ready {
	uint16_t port;
};

struct pipe_counts {
	uint64_t accepted, requests, refused, tls_failures, timeouts, overloads; /* since the start */
	uint32_t n_connections;                                                  /* open now */
	uint64_t expires_at; /* seconds since 1970: the first of certificate, authorities and revocation list */
};

/* Encode a message into `out` (appended). Errors: TOO_LARGE, NOMEM. */
enum rc pipe_put_request(struct buffer *out, uint64_t id, const struct pipe_request *request) MUST_CHECK;
enum rc pipe_put_reply(struct buffer *out, uint64_t id, const struct pipe_reply *reply) MUST_CHECK;
enum rc pipe_put_refused(struct buffer *out, const struct pipe_refused *refused) MUST_CHECK;
enum rc pipe_put_ready(struct buffer *out, const struct pipe_ready *ready) MUST_CHECK;
enum rc pipe_put_counts(struct buffer *out, const struct pipe_counts *counts) MUST_CHECK;
enum rc pipe_put_credit(struct buffer *out, uint64_t id, uint32_t bytes) MUST_CHECK;
/* Types with a raw payload: BODY, REPLY_BODY (1 … PIPE_MAX_PAYLOAD bytes); or an empty one. */
enum rc pipe_put_raw(struct buffer *out, enum pipe_type type, uint64_t id, const void *data, size_t len) MUST_CHECK;
enum rc pipe_put_listed(struct buffer *out, const struct pipe_listed *listed) MUST_CHECK;
enum rc pipe_put_renewed(struct buffer *out, const struct pipe_renewed *renewed) MUST_CHECK;
enum rc pipe_put_trusted(struct buffer *out, const struct pipe_trusted *trusted) MUST_CHECK;
/* A whole file, cut into pieces of PIPE_AUTHORITIES, PIPE_REVOKED or PIPE_ACCESS. Errors: also TOO_LARGE where it is empty. */
enum rc pipe_put_file(struct buffer *out, enum pipe_type type, const void *data, size_t len) MUST_CHECK;

/* One decoded message; `data` borrows the receive buffer. */
struct pipe_message {
	enum pipe_type type;
	uint64_t id;
	const uint8_t *data;
	size_t len;
};
enum pipe_side { PIPE_FRONT, PIPE_CORE };

/* Take the first whole message off `data`: RC_OK and *ret_used > 0, or RC_OK and *ret_used = 0 when more bytes are
 * needed. Types that this side may not receive are MALFORMED. */
enum rc pipe_next(enum pipe_side receiver, const uint8_t *data, size_t len, struct pipe_message *ret,
		  size_t *ret_used) MUST_CHECK;
enum rc pipe_get_request(const struct pipe_message *m, struct pipe_request *ret) MUST_CHECK;
enum rc pipe_get_reply(const struct pipe_message *m, struct pipe_reply *ret) MUST_CHECK;
enum rc pipe_get_refused(const struct pipe_message *m, struct pipe_refused *ret) MUST_CHECK;
enum rc pipe_get_ready(const struct pipe_message *m, struct pipe_ready *ret) MUST_CHECK;
enum rc pipe_get_counts(const struct pipe_message *m, struct pipe_counts *ret) MUST_CHECK;
enum rc pipe_get_credit(const struct pipe_message *m, uint32_t *ret) MUST_CHECK;
enum rc pipe_get_listed(const struct pipe_message *m, struct pipe_listed *ret) MUST_CHECK;
enum rc pipe_get_renewed(const struct pipe_message *m, struct pipe_renewed *ret) MUST_CHECK;
enum rc pipe_get_trusted(const struct pipe_message *m, struct pipe_trusted *ret) MUST_CHECK;
/* A piece of a file; *ret_piece borrows the message. */
enum rc pipe_get_file(const struct pipe_message *m, bool *ret_last, const uint8_t **ret_piece,
		      size_t *ret_len) MUST_CHECK;

#endif

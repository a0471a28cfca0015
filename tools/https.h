/* The one HTTPS client of the tools: TLS 1.3 with a client certificate, the server always verified against one CA file,
 * bounded answers, and errors that a person can act on. */
#ifndef TOOLS_HTTPS_H
#define TOOLS_HTTPS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "tools/options.h"

/* Where and as whom; filled by HTTPS_OPTION_ROWS. All borrowed. */
struct https_options {
	const char *url, *cert, *key, *ca, *proxy;
};

/* Rows for a command's option table. */
#define HTTPS_OPTION_ROWS(o)                                                                                           \
	{.name = "url", .letter = 'u', .kind = OPTION_TEXT, .value = &(o).url, .argument = "URL",                      \
	 .env = "THROUGHCARE_URL", .required = true, .help = "address of the linkage unit, https://HOST:PORT"},        \
	{.name = "cert", .kind = OPTION_TEXT, .value = &(o).cert, .argument = "FILE", .env = "THROUGHCARE_CERT",       \
	 .required = true, .help = "client certificate"},                                                              \
	{.name = "key", .kind = OPTION_TEXT, .value = &(o).key, .argument = "FILE", .env = "THROUGHCARE_KEY",          \
	 .required = true, .help = "its private key"},                                                                 \
	{.name = "ca", .kind = OPTION_TEXT, .value = &(o).ca, .argument = "FILE", .env = "THROUGHCARE_CA",             \
	 .required = true, .help = "certificate authority of the server"},                                             \
	{.name = "proxy", .kind = OPTION_TEXT, .value = &(o).proxy, .argument = "URL",                                 \
	 .help = "go through this proxy (CONNECT); none otherwise"}

struct https;
/* Check the files and make a client; connections are kept open between requests. Errors: USAGE (the URL is not https),
 * KEY (a file cannot be read, or others may read the private key), NOMEM. */
enum rc https_open(const struct https_options *options, struct https **ret, struct diag *diag) MUST_CHECK;
void https_close(struct https *h);

struct https_request {
	const char *method;                    /* "GET" or "POST" */
	const char *path;                      /* begins with '/', already percent-encoded */
	const char *accept;                    /* NULL = application/json */
	const char *content_type, *content_encoding;   /* NULL = none */
	const uint8_t *body;                   /* borrowed; POST only */
	size_t body_len;
	size_t max_response;                   /* bytes; 0 = HTTPS_MAX_RESPONSE */
	void (*on_progress)(void *ctx, uint64_t sent_bytes);   /* or NULL */
	void *ctx;
};

enum { HTTPS_MAX_RESPONSE = 16 << 20 };

struct https_response {
	int status;
	char content_type[64];                 /* without parameters, lower case */
	uint64_t retry_after_s;                /* 0 = not said */
	struct buffer body;
};

/* Send and wait for the whole answer. RC_OK = there is an answer, of whatever status; free it with
 * https_response_deinit. Errors, with reason in diag: NETWORK and TIMEOUT (may be tried again), UNAUTHENTIC (the server
 * refused the certificate), PROTOCOL (its certificate is not trusted, or it does not speak TLS 1.3 or HTTP), KEY,
 * TOO_LARGE (the answer). */
enum rc https_send(struct https *h, const struct https_request *request, struct https_response *ret,
                   struct diag *diag) MUST_CHECK;
void https_response_deinit(struct https_response *response);

/* RC_OK for 2xx. Else the result code that problem+json names, or one that fits the status, and diag
 * "422 wrong-secret: the records …: header: …". Control characters of the server's text are taken out. */
enum rc https_check(const struct https_response *response, struct diag *diag) MUST_CHECK;

/* GET `path`, check, parse as JSON. *ret is a new reference. */
enum rc https_get_json(struct https *h, const char *path, json_t **ret, struct diag *diag) MUST_CHECK;
/* The URL that was given, without a slash at the end. */
const char *https_url(const struct https *h);

/* Print "throughcare push: WHAT" or the code's own text where diag is empty, to standard error; returns the exit code. */
int https_fail(const char *command, enum rc rc, const struct diag *diag);

#endif

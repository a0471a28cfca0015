/* libs: tc_front tc_proto PkgConfig::EVENT OpenSSL::SSL OpenSSL::Crypto */
/* wraps: malloc calloc realloc reallocarray aligned_alloc strdup strndup sha256 sha256_new sha256_copy */
/* wraps: sha256_labelled event_new event_add bufferevent_openssl_socket_new bufferevent_write evbuffer_expand */
/* wraps: SSL_new SSL_CTX_new SSL_CTX_use_cert_and_key SSL_CTX_add_client_CA SSL_CTX_set_num_tickets */
/* wraps: X509_digest X509_get_ext_d2i X509_STORE_new X509_STORE_add_cert X509_STORE_add_crl X509_STORE_set_flags */
/* wraps: X509_CRL_dup X509_CRL_METHOD_new BIO_new_mem_buf BIO_new_file OPENSSL_sk_new_null OPENSSL_sk_push */
/* wraps: CRYPTO_zalloc */
/* Each call of the front for memory, an event or a TLS object fails once, and once with all after it: opening says so
 * and leaves nothing behind; a connection in which it happens is answered whole or ends, takes nothing with it, and the
 * next one is served. What cannot be told to the core ends the front. */
#define FAIL_MEMORY
#include "tests/unit/fail_nth.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/front/connection.h"
#include "daemon/front/core_link.h"
#include "daemon/front/server.h"
#include "daemon/front/session.h"
#include "tests/unit/cert_fixture.h"

FAIL_WRAP(void *, event_new, (void *base, int fd, short what, void *fn, void *ctx), (base, fd, what, fn, ctx), NULL)
FAIL_WRAP(int, event_add, (void *event, const void *tv), (event, tv), -1)
FAIL_WRAP(void *, bufferevent_openssl_socket_new, (void *base, int fd, void *ssl, int state, int options),
	  (base, fd, ssl, state, options), NULL)
FAIL_WRAP(int, bufferevent_write, (void *bev, const void *data, size_t len), (bev, data, len), -1)
FAIL_WRAP(int, evbuffer_expand, (void *buffer, size_t len), (buffer, len), -1)
FAIL_WRAP(void *, SSL_new, (void *ctx), (ctx), NULL)
FAIL_WRAP(void *, SSL_CTX_new, (const void *method), (method), NULL)
FAIL_WRAP(int, SSL_CTX_use_cert_and_key, (void *ctx, void *cert, void *key, void *chain, int override),
	  (ctx, cert, key, chain, override), 0)
FAIL_WRAP(int, SSL_CTX_add_client_CA, (void *ctx, void *cert), (ctx, cert), 0)
FAIL_WRAP(int, SSL_CTX_set_num_tickets, (void *ctx, size_t n), (ctx, n), 0)
FAIL_WRAP(int, X509_digest, (const void *cert, const void *type, void *out, unsigned *len), (cert, type, out, len), 0)
FAIL_WRAP(void *, X509_get_ext_d2i, (const void *cert, int nid, int *critical, int *at), (cert, nid, critical, at),
	  (*critical = -2, NULL))
FAIL_WRAP(void *, X509_STORE_new, (void), (), NULL)
FAIL_WRAP(int, X509_STORE_add_cert, (void *store, void *cert), (store, cert), 0)
FAIL_WRAP(int, X509_STORE_add_crl, (void *store, void *list), (store, list), 0)
FAIL_WRAP(int, X509_STORE_set_flags, (void *store, unsigned long flags), (store, flags), 0)
FAIL_WRAP(void *, X509_CRL_dup, (const void *list), (list), NULL)
FAIL_WRAP(void *, X509_CRL_METHOD_new, (void *a, void *b, void *c, void *d), (a, b, c, d), NULL)
FAIL_WRAP(void *, BIO_new_mem_buf, (const void *data, int len), (data, len), NULL)
FAIL_WRAP(void *, BIO_new_file, (const char *path, const char *mode), (path, mode), NULL)
FAIL_WRAP(void *, OPENSSL_sk_new_null, (void), (), NULL)
FAIL_WRAP(int, OPENSSL_sk_push, (void *stack, const void *item), (stack, item), 0)
FAIL_WRAP(void *, CRYPTO_zalloc, (size_t len, const char *file, int line), (len, file, line), NULL)

enum { REPLY_BYTES = 40000, PATIENCE_S = 60 };

static const char ask[] = "POST /v1/batches HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n"
			  "Content-Length: 5\r\nConnection: close\r\n\r\nhello";

struct fixture {
	char folder[64];
	struct conf conf;
	struct server_pair pair;
	struct buffer list; /* PEM */
	SSL_CTX *client;
};

/* ---- keys ---- */

static void take_pem(BIO *bio, struct buffer *out)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);
	buffer_append(out, text, (size_t)len);
	BIO_free(bio);
}

static void write_file(const char *path, const struct buffer *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text->data, text->len), (ssize_t)text->len);
	close(fd);
}

static void make_keys(struct fixture *f)
{
	struct authority ca = make_authority("authority");
	EVP_PKEY *server = EVP_EC_gen("P-256"), *client = EVP_EC_gen("P-256");
	X509 *server_cert = make_cert("localhost", "authority", 2, server, ca.key),
	     *client_cert = make_cert_for("client", "authority", 3, client, ca.key,
					  "URI:urn:throughcare:client:prison-1,URI:urn:throughcare:role:submitter,"
					  "URI:urn:throughcare:source:prison");
	X509_CRL *list = make_list_of(&ca, 4, 1);
	struct buffer authority;
	BIO *bio;

	buffer_init(&authority);
	assert_int_equal(PEM_write_bio_X509(bio = BIO_new(BIO_s_mem()), ca.cert), 1);
	take_pem(bio, &authority);
	write_file(f->conf.tls_client_ca, &authority);
	buffer_deinit(&authority);
	assert_int_equal(PEM_write_bio_X509_CRL(bio = BIO_new(BIO_s_mem()), list), 1);
	take_pem(bio, &f->list);
	write_file(f->conf.tls_revocation_list, &f->list);
	assert_int_equal(PEM_write_bio_X509(bio = BIO_new(BIO_s_mem()), server_cert), 1);
	take_pem(bio, &f->pair.certificate);
	assert_int_equal(PEM_write_bio_PrivateKey(bio = BIO_new(BIO_s_mem()), server, NULL, NULL, 0, NULL, NULL), 1);
	take_pem(bio, &f->pair.key);
	f->client = SSL_CTX_new(TLS_client_method());
	assert_int_equal(SSL_CTX_use_certificate(f->client, client_cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(f->client, client), 1);
	X509_CRL_free(list);
	X509_free(server_cert);
	X509_free(client_cert);
	EVP_PKEY_free(server);
	EVP_PKEY_free(client);
	free_authority(&ca);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	snprintf(f->folder, sizeof f->folder, "/tmp/tc-fail-front-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	server_pair_init(&f->pair);
	buffer_init(&f->list);
	f->conf = (struct conf){
		.header_timeout_s = 600,
		.idle_timeout_s = 600,
		.max_connections = 10,
		.max_connections_per_client = 5,
		.max_body_bytes = 1000,
		.max_inflight_bytes = 1000000,
		.min_body_bytes_per_s = 1,
	};
	snprintf(f->conf.tls_client_ca, sizeof f->conf.tls_client_ca, "%s/ca.crt", f->folder);
	snprintf(f->conf.tls_revocation_list, sizeof f->conf.tls_revocation_list, "%s/revoked.crl", f->folder);
	make_keys(f);
	log_init("test", LOG_ERROR);
	signal(SIGPIPE, SIG_IGN);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	unlink(f->conf.tls_client_ca);
	unlink(f->conf.tls_revocation_list);
	rmdir(f->folder);
	server_pair_deinit(&f->pair);
	buffer_deinit(&f->list);
	SSL_CTX_free(f->client);
	free(f);
	return 0;
}

/* ---- opening, and what is renewed ---- */

struct opening {
	struct fixture *f;
	struct tls *tls; /* set by the run, or by a setup that does not fail */
};

static enum rc open_run(void *ctx)
{
	struct opening *o = ctx;
	return tls_open(&o->f->conf, &o->f->pair, &o->tls, NULL);
}

static bool open_check(void *ctx, enum rc rc)
{
	struct opening *o = ctx;
	bool fits = (rc == RC_OK) == (o->tls != NULL);
	tls_close(o->tls);
	o->tls = NULL;
	return fits;
}

static void test_opening(void **state)
{
	struct opening o = {.f = *state};
	fail_each(&(struct fail_case){.name = "opening", .run = open_run, .check = open_check, .ctx = &o});
}

static void renew_setup(void *ctx)
{
	struct opening *o = ctx;
	assert_int_equal(open_run(o), RC_OK);
}

static void renew_teardown(void *ctx)
{
	struct opening *o = ctx;
	tls_close(o->tls);
	o->tls = NULL;
}

static enum rc list_run(void *ctx)
{
	struct opening *o = ctx;
	enum renewal_fault fault;
	return tls_set_revoked(o->tls, o->f->list.data, o->f->list.len, &fault, NULL);
}

static enum rc pair_run(void *ctx)
{
	struct opening *o = ctx;
	enum renewal_fault fault;
	return tls_renew_pair(o->tls, &o->f->pair, &fault, NULL);
}

/* Whatever became of it, there is a certificate, and a session can be made. */
static bool renew_check(void *ctx, enum rc rc)
{
	struct opening *o = ctx;
	struct tls_turned_away turned_away;
	uint8_t digest[32];
	SSL *ssl = tls_session_new(o->tls, &turned_away);
	bool fits = ssl != NULL && tls_expires_at(o->tls) > time(NULL);
	tls_server_certificate(o->tls, digest);
	SSL_free(ssl);
	return fits;
}

static void test_renewals(void **state)
{
	struct opening o = {.f = *state};
	struct fail_case c = {
		.name = "a revocation list",
		.setup = renew_setup,
		.teardown = renew_teardown,
		.run = list_run,
		.check = renew_check,
		.ctx = &o,
	};
	fail_each(&c);
	c.name = "certificate and key";
	c.run = pair_run;
	fail_each(&c);
}

/* ---- an exchange ---- */

struct exchange_run {
	struct fixture *f;
	struct server server;
	int core_fd, front_fd, client_fd;
	SSL *ssl;
	struct buffer from_front, answer;
	bool has_asked, client_ended, is_clean;
};

static void rig_open(struct exchange_run *x)
{
	int fds[2];
	struct server *s = &x->server;

	memset(s, 0, sizeof *s);
	s->conf = &x->f->conf;
	s->exit_status = -1;
	TAILQ_INIT(&s->connections);
	buffer_init(&s->scratch);
	s->base = event_base_new();
	assert_int_equal(tls_open(s->conf, &x->f->pair, &s->tls, NULL), RC_OK);
	assert_int_equal(rates_new(&s->rates), RC_OK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	x->core_fd = fds[0];
	x->front_fd = fds[1];
	assert_int_equal(core_link_open(s, x->front_fd, &s->core), RC_OK);
	buffer_init(&x->from_front);
	buffer_init(&x->answer);
	x->has_asked = x->client_ended = false;
}

static void rig_close(struct exchange_run *x)
{
	struct server *s = &x->server;

	connections_free_all(s);
	x->is_clean = s->n_connections == 0 && s->inflight_bytes == 0 && s->reply_bytes == 0;
	core_link_close(s->core);
	tls_close(s->tls);
	rates_free(s->rates);
	event_base_free(s->base);
	buffer_deinit(&s->scratch);
	buffer_deinit(&x->from_front);
	close(x->core_fd);
	close(x->front_fd);
}

static void end_client(struct exchange_run *x)
{
	SSL_free(x->ssl);
	close(x->client_fd);
	x->client_ended = true;
}

/* Shake hands, ask, read to the end. */
static void step_client(struct exchange_run *x)
{
	char bytes[16384];
	int n = 1;

	if (!x->has_asked && (n = SSL_connect(x->ssl)) == 1) {
		n = SSL_write(x->ssl, ask, sizeof ask - 1);
		x->has_asked = true;
	}
	while (n > 0 && (n = SSL_read(x->ssl, bytes, sizeof bytes)) > 0)
		buffer_append(&x->answer, bytes, (size_t)n);
	int error = SSL_get_error(x->ssl, n);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		end_client(x);
}

static void reply(struct exchange_run *x, uint64_t id)
{
	static uint8_t body[REPLY_BYTES];
	struct buffer out;

	buffer_init(&out);
	assert_int_equal(pipe_put_reply(&out, id, &(struct pipe_reply){.http_status = 201, .length = sizeof body}),
			 RC_OK);
	for (size_t at = 0; at < sizeof body; at += sizeof body / 4)
		assert_int_equal(pipe_put_raw(&out, PIPE_REPLY_BODY, id, body + at, sizeof body / 4), RC_OK);
	assert_int_equal(pipe_put_raw(&out, PIPE_REPLY_END, id, NULL, 0), RC_OK);
	assert_int_equal(write(x->core_fd, out.data, out.len), (ssize_t)out.len);
	buffer_deinit(&out);
}

static void step_core(struct exchange_run *x)
{
	uint8_t bytes[4096];
	struct pipe_message m;
	size_t used = 1;
	ssize_t n;

	while ((n = recv(x->core_fd, bytes, sizeof bytes, 0)) > 0)
		buffer_append(&x->from_front, bytes, (size_t)n);
	while (used > 0) {
		assert_int_equal(pipe_next(PIPE_CORE, x->from_front.data, x->from_front.len, &m, &used), RC_OK);
		if (used > 0 && m.type == PIPE_BODY_END)
			reply(x, m.id);
		buffer_drop(&x->from_front, used);
	}
}

/* OK when the client has had its answer; IO when its connection ended without, or the front did; TIMEOUT: neither. */
static enum rc exchange_run(void *ctx)
{
	struct exchange_run *x = ctx;
	struct server *s = &x->server;
	int fds[2];

	fail_spared++;
	rig_open(x);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	x->client_fd = fds[1];
	x->ssl = SSL_new(x->f->client);
	assert_int_equal(SSL_set_fd(x->ssl, x->client_fd), 1);
	SSL_set_connect_state(x->ssl);
	time_t until = time(NULL) + PATIENCE_S;
	fail_spared--;
	connection_accept(s, fds[0]);
	while ((!x->client_ended || s->n_connections > 0) && s->exit_status == -1 && time(NULL) < until) {
		event_base_loop(s->base, EVLOOP_NONBLOCK);
		fail_spared++;
		if (!x->client_ended)
			step_client(x);
		step_core(x);
		fail_spared--;
	}
	fail_spared++;
	bool in_time = time(NULL) < until;
	if (!x->client_ended)
		end_client(x);
	rig_close(x);
	static const char created[] = "HTTP/1.1 201 ";
	bool is_created = x->answer.len > REPLY_BYTES && memcmp(x->answer.data, created, sizeof created - 1) == 0;
	buffer_deinit(&x->answer);
	fail_spared--;
	return !in_time ? RC_TIMEOUT : is_created ? RC_OK : RC_IO;
}

static bool exchange_check(void *ctx, enum rc rc)
{
	struct exchange_run *x = ctx;
	return x->is_clean && rc != RC_TIMEOUT;
}

static void test_exchange(void **state)
{
	struct exchange_run x = {.f = *state};
	fail_each(&(struct fail_case){.name = "an exchange", .run = exchange_run, .check = exchange_check, .ctx = &x});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opening),
		cmocka_unit_test(test_renewals),
		cmocka_unit_test(test_exchange),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

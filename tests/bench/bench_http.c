/* libs: tc_proto OpenSSL::SSL */
/* A client for tests/bench/serve.py: as many requests as fit into some seconds, over mutual TLS 1.3, on kept
 * connections or with a new connection for each. The same client asks every server, so that only servers differ.
 *
 * usage: bench_http PORT CA CERT KEY PATH[|PATH]... CONNECTIONS SECONDS keep|handshake
 * prints: "ready" once all connections that are kept are open; then, when a line has come on standard input,
 * REQUESTS SECONDS P50_MS P99_MS MAX_MS. Each connection asks for the paths in turn; the last three are of the times
 * from a request (with `handshake`, from the connection) to the end of its answer. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 512, MAX_PATHS = 64, ANSWER_CAP = 1 << 20, BUCKET_US = 10, N_BUCKETS = 1000000 };

static char requests[MAX_PATHS][1024];
static unsigned n_paths;
static atomic_uint times[N_BUCKETS]; /* how many answers took so many BUCKET_US; the last: that or longer */
static pthread_barrier_t connected, begun;
static double until; /* set between the two */

struct job {
	SSL_CTX *tls;
	uint16_t port;
	unsigned first; /* path */
	bool keep;
	unsigned long n_requests;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "bench_http: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static SSL *connect_to(const struct job *job)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(job->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	SSL *ssl = SSL_new(job->tls);
	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
		fail("handshake");
	return ssl;
}

static void hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

/* One answer with a Content-Length; the status must be 200. */
static void read_answer(SSL *ssl, char *buffer)
{
	size_t have = 0, want = 0;

	for (;;) {
		int n = SSL_read(ssl, buffer + have, (int)(ANSWER_CAP - 1 - have));
		if (n <= 0)
			fail("the answer ended early");
		have += (size_t)n;
		buffer[have] = '\0';
		char *end = strstr(buffer, "\r\n\r\n");
		if (want == 0 && end != NULL) {
			char *length = strcasestr(buffer, "\r\ncontent-length:");
			if (strncmp(buffer, "HTTP/1.1 200", 12) != 0 || length == NULL)
				fail(buffer);
			want = (size_t)(end + 4 - buffer) + strtoul(length + 17, NULL, 10);
		}
		if (want > 0 && have >= want)
			return;
	}
}

static void *run(void *arg)
{
	struct job *job = arg;
	char *buffer = malloc(ANSWER_CAP);
	SSL *ssl = NULL;
	unsigned path = job->first;

	if (buffer == NULL)
		fail("memory");
	if (job->keep)
		ssl = connect_to(job);
	pthread_barrier_wait(&connected);
	pthread_barrier_wait(&begun);
	for (double began; (began = now()) < until; path++) {
		const char *request = requests[path % n_paths];
		if (ssl == NULL)
			ssl = connect_to(job);
		if (SSL_write(ssl, request, (int)strlen(request)) <= 0)
			fail("write");
		read_answer(ssl, buffer);
		size_t bucket = (size_t)((now() - began) * 1e6 / BUCKET_US);
		atomic_fetch_add(&times[bucket < N_BUCKETS ? bucket : N_BUCKETS - 1], 1);
		job->n_requests++;
		if (!job->keep) {
			hang_up(ssl);
			ssl = NULL;
		}
	}
	if (ssl != NULL)
		hang_up(ssl);
	free(buffer);
	return NULL;
}

static void take_paths(char *paths)
{
	for (char *path = strtok(paths, "|"); path != NULL; path = strtok(NULL, "|")) {
		if (n_paths == MAX_PATHS ||
		    (size_t)snprintf(requests[n_paths], sizeof requests[0],
				     "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path) >= sizeof requests[0])
			fail("paths");
		n_paths++;
	}
	if (n_paths == 0)
		fail("no path");
}

/* The least time, in milliseconds, within which `n` answers came. */
static double time_of(unsigned long n)
{
	unsigned long sum = 0;
	size_t i = 0;

	while (i < N_BUCKETS - 1 && (sum += times[i]) < n)
		i++;
	return (double)(i + 1) * BUCKET_US / 1e3;
}

static SSL_CTX *new_tls(const char *ca, const char *cert, const char *key)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_load_verify_locations(tls, ca, NULL) != 1 || SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
		fail("keys");
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	return tls;
}

int main(int argc, char **argv)
{
	struct job jobs[MAX_CONNECTIONS] = {{0}};
	pthread_t threads[MAX_CONNECTIONS];
	unsigned long n_requests = 0;

	if (argc != 9)
		fail("usage: bench_http PORT CA CERT KEY PATH[|PATH]... CONNECTIONS SECONDS keep|handshake");
	SSL_CTX *tls = new_tls(argv[2], argv[3], argv[4]);
	unsigned n = (unsigned)strtoul(argv[6], NULL, 10);
	if (n == 0 || n > MAX_CONNECTIONS)
		fail("1 to 512 connections");
	take_paths(argv[5]);
	pthread_barrier_init(&connected, NULL, n + 1);
	pthread_barrier_init(&begun, NULL, n + 1);
	for (unsigned i = 0; i < n; i++) {
		jobs[i] = (struct job){.tls = tls,
				       .port = (uint16_t)strtoul(argv[1], NULL, 10),
				       .first = i,
				       .keep = strcmp(argv[8], "keep") == 0};
		if (pthread_create(&threads[i], NULL, run, &jobs[i]) != 0)
			fail("thread");
	}
	pthread_barrier_wait(&connected);
	puts("ready");
	fflush(stdout);
	(void)getchar();
	double start = now();
	until = start + strtod(argv[7], NULL);
	pthread_barrier_wait(&begun);
	for (unsigned i = 0; i < n; i++) {
		pthread_join(threads[i], NULL);
		n_requests += jobs[i].n_requests;
	}
	printf("%lu %.3f %.2f %.2f %.2f\n", n_requests, now() - start, time_of((n_requests + 1) / 2),
	       time_of(n_requests - n_requests / 100), time_of(n_requests));
	SSL_CTX_free(tls);
	return 0;
}

/* A core without a network: keys, study, configuration and store in a folder of its own; requests are handed over as
 * the main loop would and their answers awaited. Shared by the tests of daemon/core. */
#ifndef TESTS_UNIT_CORE_FIXTURE_H
#define TESTS_UNIT_CORE_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/core/core.h"
#include "daemon/core/linker.h"
#include "daemon/core/request.h"
#include "daemon/core/state.h"
#include "keys/key_file.h"
#include "keys/log_key.h"
#include "proto/batch.h"
#include "proto/json.h"

enum { CF_PRISON, CF_TREATMENT };
#define CF_ORIGIN "example.org/test"

struct cf {
	char folder[64];
	struct conf conf;
	struct core *core;
	struct study *study;
	struct diag diag;
	bool alike; /* persons of batches made from now on are nearly equal, no two of them quite */
};

static inline void cf_path(const struct cf *f, const char *name, char out[CONF_PATH_CAP])
{
	snprintf(out, CONF_PATH_CAP, "%s/%s", f->folder, name);
}

/* deploy/study-two-registers.yaml with a key check, and with `from` replaced by `to` (NULL = nothing). */
static inline void cf_write_study(struct cf *f, const char *from, const char *to)
{
	static char text[STUDY_MAX_BYTES];
	FILE *in = fopen(TC_SOURCE_DIR "/deploy/study-two-registers.yaml", "r");
	FILE *out = fopen(f->conf.study, "w");
	char line[4096];
	bool found = from == NULL;
	if (in == NULL || out == NULL)
		abort();
	while (fgets(line, sizeof line, in) != NULL) {
		char *at = strstr(line, "key_check: unset");
		if (at != NULL)
			snprintf(at, sizeof line - (size_t)(at - line),
				 "key_check: 00112233445566778899aabbccddeeff\n");
		at = from != NULL ? strstr(line, from) : NULL;
		found = found || at != NULL;
		if (at != NULL)
			snprintf(at, sizeof line - (size_t)(at - line), "%s\n", to);
		fputs(line, out);
	}
	fclose(in);
	fclose(out);
	if (!found) { /* the study has changed, and the test with it */
		fprintf(stderr, "the study does not have '%s'\n", from);
		abort();
	}
	study_free(f->study);
	f->study = NULL;
	int fd = open(f->conf.study, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	if (study_parse("study.yaml", text, (size_t)n, &f->study, &f->diag) != RC_OK) {
		fprintf(stderr, "%s\n", f->diag.text);
		abort();
	}
}

static inline void cf_init(struct cf *f)
{
	static const uint8_t seal[32] = {1}, log[32] = {2}, release[32] = {3};
	char path[CONF_PATH_CAP];
	memset(f, 0, sizeof *f);
	snprintf(f->folder, sizeof f->folder, "/tmp/test_core.XXXXXX");
	if (mkdtemp(f->folder) == NULL)
		abort();
	cf_path(f, "study.yaml", f->conf.study);
	cf_path(f, "store", f->conf.store_directory);
	cf_path(f, "seal.key", f->conf.seal_key);
	cf_path(f, "log.key", f->conf.log_key);
	cf_path(f, "release.key", path);
	strcpy(f->conf.log_origin, CF_ORIGIN);
	strcpy(f->conf.link_kernel, "auto");
	f->conf.store_map_bytes = 256 << 20;
	f->conf.worker_threads = 2;
	f->conf.max_pairs_per_record = 256;
	f->conf.compare_step_pairs = UINT64_C(1) << 37;
	cf_write_study(f, NULL, NULL);
	if (key_file_write(f->conf.seal_key, "seal", seal, NULL) != RC_OK ||
	    key_file_write(f->conf.log_key, "log", log, NULL) != RC_OK ||
	    key_file_write(path, "release", release, NULL) != RC_OK ||
	    log_signer_create(f->conf.log_key, "", CF_ORIGIN, NULL, 0, NULL) != RC_OK)
		abort();
}

static inline enum rc cf_open(struct cf *f)
{
	f->diag.text[0] = '\0';
	return core_open(&f->conf, &f->core, &f->diag);
}

static inline void cf_must_open(struct cf *f)
{
	if (cf_open(f) != RC_OK) {
		fprintf(stderr, "%s\n", f->diag.text);
		abort();
	}
}

static inline void cf_close(struct cf *f)
{
	core_close(f->core);
	f->core = NULL;
}

static inline void cf_remove(const char *folder)
{
	char path[512];
	DIR *d = opendir(folder);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= sizeof path)
			continue;
		if (e->d_type == DT_DIR)
			cf_remove(path);
		else
			unlink(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(folder);
}

static inline void cf_deinit(struct cf *f)
{
	cf_close(f);
	study_free(f->study);
	cf_remove(f->folder);
}

/* For cmocka: a core that is open is the state of a test. */
static inline int cf_setup(void **state)
{
	struct cf *f = malloc(sizeof *f);
	cf_init(f);
	cf_must_open(f);
	*state = f;
	return 0;
}

static inline int cf_teardown(void **state)
{
	struct cf *f = *state;
	cf_deinit(f);
	free(f);
	return 0;
}

/* ---- requests ---- */

struct cf_answer {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned n_replies;
	uint64_t credit;
	struct pipe_reply reply;
	struct buffer body;
};

static inline void cf_on_reply(void *ctx, uint64_t id, const struct pipe_reply *reply, const void *body, size_t len)
{
	struct cf_answer *a = ctx;
	pthread_mutex_lock(&a->lock);
	a->reply = *reply;
	buffer_append(&a->body, body, len);
	buffer_append(&a->body, "", 1);
	a->body.len--;
	a->n_replies++;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
}

static inline void cf_on_credit(void *ctx, uint64_t id, uint32_t bytes)
{
	struct cf_answer *a = ctx;
	pthread_mutex_lock(&a->lock);
	a->credit += bytes;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
}

static inline void cf_answer_init(struct cf_answer *a)
{
	memset(a, 0, sizeof *a);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->wake, NULL);
	a->credit = PIPE_INITIAL_CREDIT;
}

static inline void cf_answer_deinit(struct cf_answer *a)
{
	buffer_deinit(&a->body);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
}

static inline struct identity cf_who(unsigned roles, const char *source)
{
	struct identity who = {.roles = roles};
	snprintf(who.client, sizeof who.client, "%s", source[0] != '\0' ? source : "somebody");
	snprintf(who.source, sizeof who.source, "%s", source);
	memset(who.fingerprint, 0x5f, sizeof who.fingerprint);
	return who;
}

/* Hand over a request with its body in pieces, as credit comes, and wait for the answer. */
static inline void cf_send(struct cf *f, const struct pipe_request *head, const void *body, size_t len,
			   struct cf_answer *a)
{
	struct request_port port = {cf_on_reply, cf_on_credit, a};
	struct request *request = NULL;
	size_t at = 0;
	if (request_new(f->core, 1, head, &port, &request) != RC_OK)
		abort();
	bool has_body = route_get(head->type)->has_body;
	pthread_mutex_lock(&a->lock);
	while (a->n_replies == 0) {
		size_t n = len - at < 5000 ? len - at : 5000;
		if (n > a->credit)
			n = (size_t)a->credit;
		if (has_body && (n > 0 || at == len)) {
			a->credit -= n;
			pthread_mutex_unlock(&a->lock);
			if (n > 0 && request_feed(request, (const uint8_t *)body + at, n) != RC_OK)
				abort();
			at += n;
			if (at == len) {
				request_end(request);
				has_body = false;
			}
			pthread_mutex_lock(&a->lock);
		} else {
			pthread_cond_wait(&a->wake, &a->lock);
		}
	}
	pthread_mutex_unlock(&a->lock);
	request_unref(request);
}

static inline int cf_post_batch(struct cf *f, const char *source, enum pipe_content content, const void *body,
				size_t len, struct cf_answer *a)
{
	struct pipe_request head = {.type = REQUEST_BATCH_PUT, .content = content, .content_length = (int64_t)len};
	head.who = cf_who(ROLE_SUBMITTER, source);
	cf_answer_init(a);
	cf_send(f, &head, body, len, a);
	return a->reply.http_status;
}

static inline int cf_get(struct cf *f, enum request_type type, unsigned role, const char *source, const char *argument,
			 const char *query, struct cf_answer *a)
{
	struct pipe_request head = {.type = type};
	head.who = cf_who(role, source);
	snprintf(head.argument, sizeof head.argument, "%s", argument);
	snprintf(head.query, sizeof head.query, "%s", query);
	cf_answer_init(a);
	cf_send(f, &head, NULL, 0, a);
	return a->reply.http_status;
}

static inline int cf_publish(struct cf *f, const char *body, struct cf_answer *a)
{
	struct pipe_request head = {.type = REQUEST_PUBLISH, .content = CONTENT_JSON};
	head.who = cf_who(ROLE_OPERATOR, "");
	cf_answer_init(a);
	cf_send(f, &head, body, strlen(body), a);
	return a->reply.http_status;
}

static inline const char *cf_text(const struct cf_answer *a)
{
	return a->body.len == 0 ? "" : (const char *)a->body.data;
}

/* Wait until the linker says so; a limit ends a hang, it measures nothing. */
static inline enum linker_state cf_wait_release(struct cf *f, uint32_t number)
{
	struct linker_status status;
	for (int i = 0; i < 30000; i++) {
		linker_status(f->core->linker, &status);
		if (status.release == number &&
		    (status.release_state == LINKER_DONE || status.release_state == LINKER_FAILED))
			break;
		nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
	}
	return status.release == number ? status.release_state : LINKER_IDLE;
}

static inline void cf_wait_compared(struct cf *f)
{
	struct linker_status status;
	for (int i = 0; i < 30000; i++) {
		linker_status(f->core->linker, &status);
		if (status.n_rows_pending == 0)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
	}
}

/* ---- batches ---- */

static inline uint64_t cf_mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

/* Filters that belong to person n, the same whatever the source: about 60 bits of 512. */
static inline void cf_fill_filter(uint8_t *filter, size_t len, uint64_t person, int f)
{
	memset(filter, 0, len);
	for (uint64_t i = 0; i < 60; i++) {
		uint64_t bit = cf_mix(person * 1000 + (uint64_t)f * 100 + i) % (8 * len);
		filter[bit >> 3] |= (uint8_t)(0x80 >> (bit & 7));
	}
}

/* Records of persons first … first+n-1, one event each, as one batch. */
static inline void cf_batch(const struct cf *f, int source, uint64_t first, uint32_t n, struct buffer *out,
			    uint8_t id[BATCH_ID_LEN])
{
	const struct study_domain *d = &f->study->domains[0];
	struct batch_header header = {.first_row = 1};
	struct batch_writer *w = NULL;
	struct batch_chunk *c = NULL;
	strcpy(header.source, f->study->sources[source].name);
	memcpy(header.encoding_id, d->encoding_id, sizeof header.encoding_id);
	memcpy(header.key_check, d->key_check, sizeof header.key_check);
	strcpy(header.software, "test 1");
	if (batch_writer_new(f->study, &header, out, &w) != RC_OK)
		abort();
	for (uint32_t done = 0; done < n;) {
		if (batch_chunk_new(f->study, 0, 100, &c) != RC_OK)
			abort();
		for (; c->n_records < 100 && done < n; done++) {
			uint32_t i = c->n_records++;
			uint64_t person = first + done;
			for (int b = 0; b < 8; b++)
				c->record_ids[i][b] = (uint8_t)(person >> (56 - 8 * b));
			c->record_ids[i][15] = (uint8_t)(source + 1);
			memcpy(c->person_ids[i], c->record_ids[i], PERSON_ID_LEN);
			for (int k = 0; k < d->n_filters; k++)
				cf_fill_filter(c->filters[k] + i * study_filter_bytes(d, k), study_filter_bytes(d, k),
					       f->alike ? 0 : person, k);
			if (f->alike) {
				c->filters[0][i * study_filter_bytes(d, 0) + person / 8 % 64] ^= (uint8_t)(1 << person % 8);
				c->filters[1][i * study_filter_bytes(d, 1) + person / 512 % 64] ^= 1;
			}
			c->events[i] = (uint8_t)study_find_event(f->study,
								 source == CF_PRISON ? "release" : "treatment_start");
			c->days[i] = 19730 + (int32_t)(person % 80) + (source == CF_PRISON ? 0 : 5);
		}
		if (batch_writer_chunk(w, c) != RC_OK)
			abort();
		batch_chunk_free(c);
	}
	if (batch_writer_end(w, id) != RC_OK)
		abort();
	batch_writer_free(w);
}

/* Push one batch and expect 201. */
static inline void cf_push(struct cf *f, int source, uint64_t first, uint32_t n)
{
	struct buffer batch;
	struct cf_answer a;
	uint8_t id[BATCH_ID_LEN];
	buffer_init(&batch);
	cf_batch(f, source, first, n, &batch, id);
	if (cf_post_batch(f, f->study->sources[source].name, CONTENT_PROTOBUF, batch.data, batch.len, &a) != 201) {
		fprintf(stderr, "%s\n", cf_text(&a));
		abort();
	}
	cf_answer_deinit(&a);
	buffer_deinit(&batch);
}

/* ---- the log ---- */

/* The entries of one kind, as an array; a new reference. */
static inline json_t *cf_entries(struct cf *f, const char *kind)
{
	json_t *out = json_array();
	struct txn *txn = NULL;
	struct buffer text;
	if (txn_begin_read(f->core->store, &txn) != RC_OK)
		abort();
	buffer_init(&text);
	for (uint64_t i = 0; i < audit_log_signed_size(f->core->log); i++) {
		json_t *entry = NULL;
		buffer_reset(&text);
		if (audit_log_entry(txn, i, &text) != RC_OK ||
		    json_parse_strict((const char *)text.data, text.len, &entry, NULL) != RC_OK)
			abort();
		if (strcmp(json_string_value(json_object_get(entry, "kind")), kind) == 0)
			json_array_append(out, entry);
		json_decref(entry);
	}
	buffer_deinit(&text);
	txn_abort(txn);
	return out;
}

static inline size_t cf_count_entries(struct cf *f, const char *kind)
{
	json_t *entries = cf_entries(f, kind);
	size_t n = json_array_size(entries);
	json_decref(entries);
	return n;
}

#endif

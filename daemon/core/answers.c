/* Published releases in memory; answers.h has the rules.
 *
 * Invariant: what is in a list has one reference of the list's own, whoever uses it holds another, and only the count
 * is ever changed. One lock guards lists and counts; nothing is parsed, rendered, hashed or freed under it. A second
 * one lets one thread at a time read a body, so that a new release is parsed once and not by every worker that is asked
 * for it. */
#include "daemon/core/answers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "daemon/core/publish.h"
#include "proto/json.h"

enum { N_BUCKETS = 256 };

struct answer_body {
	TAILQ_ENTRY(answer_body) link;
	unsigned refs;
	struct release_name release;
	size_t bytes; /* of the text */
	json_t *json;
};

struct answer_text {
	TAILQ_ENTRY(answer_text) link;
	LIST_ENTRY(answer_text) in_bucket;
	unsigned refs, bucket;
	struct release_name release;
	enum pipe_accept accept;
	size_t bytes;
	char digest[65];
	struct buffer body;
	char query[];
};

TAILQ_HEAD(body_list, answer_body);
TAILQ_HEAD(text_list, answer_text);
LIST_HEAD(text_bucket, answer_text);

struct answers {
	pthread_mutex_t reading;

	pthread_mutex_t lock;    /* guards what follows, and every refs */
	struct body_list bodies; /* used most recently first, as the next */
	struct text_list texts;
	struct text_bucket buckets[N_BUCKETS];
	struct answers_counts counts;
};

static bool is_same(const struct release_name *a, const struct release_name *b)
{
	return a->number == b->number && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

enum rc answers_new(struct answers **ret)
{
	struct answers *answers = calloc(1, sizeof *answers);

	if (answers == NULL)
		return RC_NOMEM;
	pthread_mutex_init(&answers->reading, NULL);
	pthread_mutex_init(&answers->lock, NULL);
	TAILQ_INIT(&answers->bodies);
	TAILQ_INIT(&answers->texts);
	*ret = answers;
	return RC_OK;
}

/* ---- bodies ---- */

const json_t *answer_body_json(const struct answer_body *body)
{
	return body != NULL ? body->json : NULL;
}

static void free_body(struct answer_body *body)
{
	if (body == NULL)
		return;
	json_decref(body->json);
	free(body);
}

static void body_take_out(struct answers *answers, struct answer_body *body)
{
	TAILQ_REMOVE(&answers->bodies, body, link);
	answers->counts.n_bodies--;
	answers->counts.body_bytes -= body->bytes;
}

static struct answer_body *find_body(struct answers *answers, const struct release_name *release)
{
	struct answer_body *body;

	pthread_mutex_lock(&answers->lock);
	TAILQ_FOREACH(body, &answers->bodies, link)
	{
		if (is_same(&body->release, release)) {
			TAILQ_REMOVE(&answers->bodies, body, link);
			TAILQ_INSERT_HEAD(&answers->bodies, body, link);
			body->refs++;
			break;
		}
	}
	pthread_mutex_unlock(&answers->lock);
	return body;
}

/* The release's text, if it is the one that the log names. */
static enum rc read_text(struct store *store, const struct release_name *release, struct buffer *out)
{
	struct store_key key;
	struct txn *txn = NULL;
	uint8_t digest[32];

	release_key(&key, release->number);
	enum rc rc = txn_begin_read(store, &txn);
	if (rc == RC_OK)
		rc = store_get(txn, &key, out);
	txn_abort(txn);
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
	sha256(out->data, out->len, digest);
	return memcmp(digest, release->digest, sizeof digest) == 0 ? RC_OK : RC_DAMAGED;
}

static enum rc add_log_index(json_t *body, uint64_t index)
{
	json_t *facts = json_object_get(body, "facts");

	if (facts == NULL) {
		facts = json_object();
		if (json_object_set_new(body, "facts", facts) != 0)
			return RC_NOMEM;
	}
	return json_object_set_new(facts, "log_index", json_integer((json_int_t)index)) == 0 ? RC_OK : RC_NOMEM;
}

static enum rc read_body(struct store *store, const struct release_name *release, struct answer_body **ret)
{
	struct buffer text;
	struct answer_body *body = calloc(1, sizeof *body);

	if (body == NULL)
		return RC_NOMEM;
	buffer_init(&text);
	enum rc rc = read_text(store, release, &text);
	if (rc == RC_OK)
		rc = json_parse_strict((const char *)text.data, text.len, &body->json, NULL);
	if (rc == RC_OK)
		rc = add_log_index(body->json, release->log_index);
	body->release = *release;
	body->bytes = text.len;
	body->refs = 1;
	buffer_deinit(&text);
	if (rc != RC_OK) {
		free_body(body);
		return rc == RC_NOMEM || rc == RC_IO ? rc : RC_DAMAGED;
	}
	*ret = body;
	return RC_OK;
}

/* Put it in front and give it the list's reference; what it has pushed out goes to `out`. */
static void keep_body(struct answers *answers, struct answer_body *body, struct body_list *out)
{
	struct answer_body *last;

	TAILQ_INIT(out);
	pthread_mutex_lock(&answers->lock);
	answers->counts.n_parsed++;
	if (body->bytes <= ANSWERS_MAX_BODY_BYTES) {
		while (answers->counts.n_bodies >= ANSWERS_MAX_BODIES ||
		       answers->counts.body_bytes > ANSWERS_MAX_BODY_BYTES - body->bytes) {
			last = TAILQ_LAST(&answers->bodies, body_list);
			body_take_out(answers, last);
			if (--last->refs == 0)
				TAILQ_INSERT_TAIL(out, last, link);
		}
		TAILQ_INSERT_HEAD(&answers->bodies, body, link);
		answers->counts.n_bodies++;
		answers->counts.body_bytes += body->bytes;
		body->refs++;
	}
	pthread_mutex_unlock(&answers->lock);
}

static void free_bodies(struct body_list *list)
{
	for (struct answer_body *body; (body = TAILQ_FIRST(list)) != NULL;) {
		TAILQ_REMOVE(list, body, link);
		free_body(body);
	}
}

enum rc answers_body(struct answers *answers, struct store *store, const struct release_name *release,
		     struct answer_body **ret)
{
	struct answer_body *body = find_body(answers, release);
	struct body_list pushed_out;
	enum rc rc = RC_OK;

	if (body == NULL) {
		pthread_mutex_lock(&answers->reading);
		body = find_body(answers, release);
		if (body == NULL) {
			rc = read_body(store, release, &body);
			if (rc == RC_OK) {
				keep_body(answers, body, &pushed_out);
				free_bodies(&pushed_out);
			}
		}
		pthread_mutex_unlock(&answers->reading);
	}
	if (rc == RC_OK)
		*ret = body;
	return rc;
}

void answers_drop_body(struct answers *answers, struct answer_body *body)
{
	if (body == NULL)
		return;
	pthread_mutex_lock(&answers->lock);
	bool last = --body->refs == 0;
	pthread_mutex_unlock(&answers->lock);
	if (last)
		free_body(body);
}

/* ---- rendered answers ---- */

const struct buffer *answer_text_body(const struct answer_text *text)
{
	return &text->body;
}

const char *answer_text_digest(const struct answer_text *text)
{
	return text->digest;
}

static void free_text(struct answer_text *text)
{
	buffer_deinit(&text->body);
	free(text);
}

/* FNV-1a. Whoever asks so that all go into one bucket makes that bucket slow, by ANSWERS_MAX comparisons at most. */
static unsigned bucket_of(const struct release_name *release, enum pipe_accept accept, const char *query)
{
	uint32_t h = UINT32_C(2166136261) ^ release->number ^ (uint32_t)accept << 30;

	for (const char *at = query; *at != '\0'; at++)
		h = (h ^ (uint8_t)*at) * UINT32_C(16777619);
	return h % N_BUCKETS;
}

static struct answer_text *search(struct answers *answers, unsigned bucket, const struct release_name *release,
				  enum pipe_accept accept, const char *query)
{
	struct answer_text *text;

	LIST_FOREACH(text, &answers->buckets[bucket], in_bucket)
	{
		if (text->accept == accept && is_same(&text->release, release) && strcmp(text->query, query) == 0)
			break;
	}
	return text;
}

struct answer_text *answers_find(struct answers *answers, const struct release_name *release, enum pipe_accept accept,
				 const char *query)
{
	unsigned bucket = bucket_of(release, accept, query);

	pthread_mutex_lock(&answers->lock);
	struct answer_text *text = search(answers, bucket, release, accept, query);
	if (text != NULL) {
		TAILQ_REMOVE(&answers->texts, text, link);
		TAILQ_INSERT_HEAD(&answers->texts, text, link);
		text->refs++;
		answers->counts.n_found++;
	}
	pthread_mutex_unlock(&answers->lock);
	return text;
}

static struct answer_text *new_text(const struct release_name *release, enum pipe_accept accept, const char *query,
				    const struct buffer *body)
{
	size_t len = strlen(query) + 1;
	struct answer_text *text = calloc(1, sizeof *text + len);
	uint8_t digest[32];

	if (text == NULL)
		return NULL;
	sha256(body->data, body->len, digest);
	hex_encode(digest, sizeof digest, text->digest);
	text->release = *release;
	text->accept = accept;
	text->bucket = bucket_of(release, accept, query);
	text->bytes = sizeof *text + len + body->cap;
	text->refs = 1;
	memcpy(text->query, query, len);
	return text;
}

static void text_take_out(struct answers *answers, struct answer_text *text)
{
	TAILQ_REMOVE(&answers->texts, text, link);
	LIST_REMOVE(text, in_bucket);
	answers->counts.n_texts--;
	answers->counts.text_bytes -= text->bytes;
}

/* As keep_body(). Two workers may have rendered the same: the first stays. */
static void keep_text(struct answers *answers, struct answer_text *text, struct text_list *out)
{
	struct answer_text *last;

	TAILQ_INIT(out);
	pthread_mutex_lock(&answers->lock);
	answers->counts.n_added++;
	if (text->bytes <= ANSWERS_MAX_BYTES &&
	    search(answers, text->bucket, &text->release, text->accept, text->query) == NULL) {
		while (answers->counts.n_texts >= ANSWERS_MAX ||
		       answers->counts.text_bytes > ANSWERS_MAX_BYTES - text->bytes) {
			last = TAILQ_LAST(&answers->texts, text_list);
			text_take_out(answers, last);
			if (--last->refs == 0)
				TAILQ_INSERT_TAIL(out, last, link);
		}
		TAILQ_INSERT_HEAD(&answers->texts, text, link);
		LIST_INSERT_HEAD(&answers->buckets[text->bucket], text, in_bucket);
		answers->counts.n_texts++;
		answers->counts.text_bytes += text->bytes;
		text->refs++;
	}
	pthread_mutex_unlock(&answers->lock);
}

static void free_texts(struct text_list *list)
{
	for (struct answer_text *text; (text = TAILQ_FIRST(list)) != NULL;) {
		TAILQ_REMOVE(list, text, link);
		free_text(text);
	}
}

enum rc answers_add(struct answers *answers, const struct release_name *release, enum pipe_accept accept,
		    const char *query, struct buffer *body, struct answer_text **ret)
{
	struct answer_text *text = new_text(release, accept, query, body);
	struct text_list pushed_out;

	if (text == NULL)
		return RC_NOMEM;
	text->body = *body;
	buffer_init(body);
	keep_text(answers, text, &pushed_out);
	free_texts(&pushed_out);
	*ret = text;
	return RC_OK;
}

void answers_drop(struct answers *answers, struct answer_text *text)
{
	if (text == NULL)
		return;
	pthread_mutex_lock(&answers->lock);
	bool last = --text->refs == 0;
	pthread_mutex_unlock(&answers->lock);
	if (last)
		free_text(text);
}

/* ---- the end ---- */

void answers_count(struct answers *answers, struct answers_counts *ret)
{
	pthread_mutex_lock(&answers->lock);
	*ret = answers->counts;
	pthread_mutex_unlock(&answers->lock);
}

void answers_free(struct answers *answers)
{
	if (answers == NULL)
		return;
	free_bodies(&answers->bodies);
	free_texts(&answers->texts);
	pthread_mutex_destroy(&answers->lock);
	pthread_mutex_destroy(&answers->reading);
	free(answers);
}

/* Starting a release: the rules of the study are checked and its start is logged in one transaction on the writer's
 * thread, where no batch can come in between.
 *
 * Invariant: the charge to the ledger, the cut and the commitment to the secret are durable and signed before anything
 * is computed. One release at a time; a failed one is taken up again at its own cut and number, never replaced. */
#include "daemon/core/publish.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/core/ledger_mark.h"
#include "daemon/core/linker.h"
#include "daemon/stats/stats.h"
#include "proto/day.h"
#include "proto/json.h"

enum { SECONDS_A_DAY = 86400 };

struct start_job {
	struct write_job job; /* first: cast back from it */
	struct core *core;
	struct request *request; /* NULL = by schedule */
	struct entry_who who;
	bool has_as_of;
	int32_t as_of;
	bool resumed;
	struct release_info info;
	char detail[256];
};

void release_key(struct store_key *key, uint32_t number)
{
	store_key_init(key, STORE_RELEASE);
	store_key_u32(key, number);
}

void release_digest_key(struct store_key *key, const uint8_t digest[32])
{
	store_key_init(key, STORE_DIGEST);
	store_key_bytes(key, digest, 32);
}

void ledger_key(struct store_key *key)
{
	store_key_init(key, STORE_LEDGER);
	store_key_string(key, "rho");
}

void release_commitment(const uint8_t secret[32], uint32_t number, const uint8_t cut_digest[32], uint8_t ret[32])
{
	uint8_t text[32 + 4 + 32];
	struct writer w;
	writer_init(&w, text, sizeof text);
	write_bytes(&w, secret, 32);
	write_u32(&w, number);
	write_bytes(&w, cut_digest, 32);
	sha256_labelled("throughcare release secret v1", text, sizeof text, ret);
	explicit_bzero(text, sizeof text);
}

enum rc release_body_load(struct txn *txn, uint32_t number, json_t **ret)
{
	struct store_key key;
	struct buffer text;
	buffer_init(&text);
	release_key(&key, number);
	enum rc rc = store_get(txn, &key, &text);
	if (rc == RC_OK && json_parse_strict((const char *)text.data, text.len, ret, NULL) != RC_OK)
		rc = RC_DAMAGED;
	buffer_deinit(&text);
	return rc;
}

/* ---- the rules ---- */

static enum rc refuse(struct start_job *start, enum rc rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum rc refuse(struct start_job *start, enum rc rc, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(start->detail, sizeof start->detail, format, args);
	va_end(args);
	return rc;
}

static enum rc check_unfinished(struct start_job *start, const struct release_info *last)
{
	struct linker_status status;
	linker_status(start->core->linker, &status);
	if (status.release != last->number || status.release_state != LINKER_FAILED)
		return refuse(start, RC_CONFLICT, "release %" PRIu32 " is running", last->number);
	if (start->has_as_of && start->as_of != last->as_of)
		return refuse(start, RC_CONFLICT,
			      "release %" PRIu32 " has failed and is taken up again as of its own date", last->number);
	start->resumed = true;
	start->info = *last;
	return RC_OK;
}

static enum rc check_interval(struct start_job *start, const struct release_info *last, int64_t now)
{
	const struct study_disclosure *rules = &start->core->study->disclosure;
	char day[DAY_TEXT_LEN];
	if (last == NULL)
		return RC_OK;
	int64_t next = last->started_at + (int64_t)rules->interval_days * SECONDS_A_DAY;
	if (now < next) {
		day_format((int32_t)((next + SECONDS_A_DAY - 1) / SECONDS_A_DAY), day);
		return refuse(start, RC_TOO_EARLY, "the study allows the next release on %s", day);
	}
	if (start->as_of < last->as_of) {
		day_format(last->as_of, day);
		return refuse(start, RC_CONFLICT, "as_of is before %s, that of the last release", day);
	}
	return RC_OK;
}

/* Each announced date allows one release, on that day or later. */
static enum rc check_dates(struct start_job *start, const struct release_info *last, int64_t now)
{
	const struct study_disclosure *rules = &start->core->study->disclosure;
	int64_t today = now / SECONDS_A_DAY, before = last == NULL ? INT64_MIN : last->started_at / SECONDS_A_DAY;
	unsigned i = 0;
	char day[DAY_TEXT_LEN];
	if (rules->n_release_dates == 0)
		return RC_OK;
	while (i < rules->n_release_dates && rules->release_dates[i] <= before)
		i++;
	if (i == rules->n_release_dates)
		return refuse(start, RC_TOO_EARLY, "the study announces no further release date");
	if (today >= rules->release_dates[i])
		return RC_OK;
	day_format(rules->release_dates[i], day);
	return refuse(start, RC_TOO_EARLY, "the study announces the next release for %s", day);
}

/* A release carries the periods of those before it: it must not be readable sooner than they are. */
static enum rc check_waiting(struct start_job *start)
{
	struct core *core = start->core;
	unsigned number = 0, needed = 0;
	int64_t now = audit_log_now(core->log);
	pthread_mutex_lock(&core->lock);
	const struct release_info *waiting = history_not_to_carry(&core->history, now);
	if (waiting != NULL) {
		number = waiting->number;
		needed = history_witnesses_needed(&core->history, waiting);
	}
	pthread_mutex_unlock(&core->lock);
	if (number == 0)
		return RC_OK;
	return refuse(start, RC_TOO_EARLY,
		      "release %u waits until %u witnesses have cosigned the log; the next one would carry its "
		      "figures, and the study now asks for only %u%s",
		      number, needed, core->study->witnesses.needed,
		      core->study->witnesses.needed < needed ? "" : ", or for others");
}

static enum rc check_cut(struct start_job *start, struct txn *txn, const struct release_info *last)
{
	const struct study_disclosure *rules = &start->core->study->disclosure;
	struct batch_cut cut;
	enum rc rc = batches_cut(txn, last == NULL ? 0 : last->cut_batches, &cut);
	if (rc != RC_OK)
		return rc;
	/* Volumes as they were submitted: public facts, not figures of linkage. */
	if (cut.new_records < rules->min_new_records)
		return refuse(start, RC_TOO_EARLY, "%" PRIu64 " records are new, the study asks for %" PRIu32,
			      cut.new_records, rules->min_new_records);
	if (cut.new_sources < rules->min_sources)
		return refuse(start, RC_TOO_EARLY, "new records come from %" PRIu32 " sources, the study asks for %d",
			      cut.new_sources, rules->min_sources);
	start->info.cut_batches = cut.n_batches;
	start->info.cut_records = cut.n_records;
	memcpy(start->info.cut_digest, cut.digest, sizeof start->info.cut_digest);
	return RC_OK;
}

static enum rc check_budget(struct start_job *start, struct txn *txn, uint64_t spent)
{
	const struct study *study = start->core->study;
	json_t *previous = NULL;
	enum rc rc = RC_OK;
	pthread_mutex_lock(&start->core->lock);
	uint32_t readable = history_readable_before(&start->core->history, start->info.number);
	pthread_mutex_unlock(&start->core->lock);
	if (readable != 0)
		rc = release_body_load(txn, readable, &previous);
	if (rc == RC_OK)
		rc = stats_release_charge(study, start->as_of, previous, &start->info.rho_micro);
	json_decref(previous);
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
	uint64_t limit = study->disclosure.rho_limit_micro;
	if (start->info.rho_micro > limit || spent > limit - start->info.rho_micro)
		return refuse(start, RC_BUDGET,
			      "the release would cost %" PRIu64 " millionths of rho; %" PRIu64 " of %" PRIu64
			      " are spent",
			      start->info.rho_micro, spent, limit);
	return RC_OK;
}

/* ---- what is written ---- */

static enum rc draw_secret(struct start_job *start)
{
	struct core *core = start->core;
	uint8_t secret[32], number[4];
	struct writer w;
	enum rc rc;
	if (core->test_secret != NULL) {
		writer_init(&w, number, sizeof number);
		write_u32(&w, start->info.number);
		rc = hmac_sha256(secret_key_bytes(core->test_secret), 32, number, sizeof number, secret);
	} else {
		rc = random_bytes(secret, sizeof secret);
	}
	if (rc == RC_OK)
		rc = store_secret_put(core->store, start->info.number, secret);
	if (rc == RC_OK)
		release_commitment(secret, start->info.number, start->info.cut_digest, start->info.commitment);
	explicit_bzero(secret, sizeof secret);
	return rc;
}

static json_t *started_fields(const struct start_job *start, uint64_t rho_total)
{
	const struct release_info *info = &start->info;
	const struct study *study = start->core->study;
	char as_of[DAY_TEXT_LEN], digest[65], commitment[65], study_digest[65];
	day_format(info->as_of, as_of);
	hex_encode(info->cut_digest, 32, digest);
	hex_encode(info->commitment, 32, commitment);
	hex_encode(study->digest, 32, study_digest);
	return json_pack("{s:I, s:s, s:{s:I, s:I, s:s}, s:s, s:I, s:I, s:I, s:s}", "number", (json_int_t)info->number,
			 "as_of", as_of, "cut", "batches", (json_int_t)info->cut_batches, "records",
			 (json_int_t)info->cut_records, "digest", digest, "commitment", commitment, "rho_micro",
			 (json_int_t)info->rho_micro, "rho_total_micro", (json_int_t)rho_total, "rho_limit_micro",
			 (json_int_t)study->disclosure.rho_limit_micro, "study_digest", study_digest);
}

enum rc ledger_write(struct txn *txn, uint32_t n_releases, uint64_t rho_total_micro)
{
	struct store_key key;
	struct writer w;
	uint8_t ledger[12];
	ledger_key(&key);
	writer_init(&w, ledger, sizeof ledger);
	write_u64(&w, rho_total_micro);
	write_u32(&w, n_releases);
	return store_put(txn, &key, ledger, sizeof ledger);
}

static enum rc write_start(struct start_job *start, struct txn *txn, uint64_t rho_total)
{
	const struct ledger_mark mark = {start->info.number, rho_total};
	json_t *fields = started_fields(start, rho_total);
	if (fields == NULL)
		return RC_NOMEM;
	/* The mark first: a charge that is durable nowhere else is better than one that a loss refunds. */
	enum rc rc = ledger_mark_raise(start->core->conf, &mark);
	if (rc == RC_OK)
		rc = audit_log_append_at(start->core->log, txn, start->info.started_at, ENTRY_RELEASE_STARTED,
					 &start->who, fields, &start->info.started_index);
	json_decref(fields);
	return rc == RC_OK ? ledger_write(txn, start->info.number, rho_total) : rc;
}

/* How many releases the ledger has been charged for, as this transaction sees it. */
static enum rc charged_releases(struct txn *txn, uint32_t *ret)
{
	struct store_key key;
	struct buffer value;
	struct reader r;
	ledger_key(&key);
	buffer_init(&value);
	enum rc rc = store_get(txn, &key, &value);
	uint32_t n = 0;
	if (rc == RC_OK) {
		reader_init(&r, value.data, value.len);
		read_u64(&r);
		n = read_u32(&r);
		rc = reader_end(&r) == RC_OK ? RC_OK : RC_DAMAGED;
	} else if (rc == RC_NOTFOUND) {
		rc = RC_OK;
	}
	buffer_deinit(&value);
	if (rc == RC_OK)
		*ret = n;
	return rc;
}

static enum rc start_apply(struct write_job *job, struct txn *txn)
{
	struct start_job *start = (struct start_job *)job;
	struct core *core = start->core;
	struct release_info last = {0};
	uint32_t n_charged = 0;
	pthread_mutex_lock(&core->lock);
	const struct release_info *there = history_last(&core->history);
	bool has_last = there != NULL;
	if (has_last)
		last = *there;
	uint64_t spent = core->history.rho_total_micro;
	pthread_mutex_unlock(&core->lock);

	/* One that was started in this same transaction is in the ledger and not yet in the history. */
	enum rc rc = charged_releases(txn, &n_charged);
	if (rc != RC_OK)
		return rc;
	if (n_charged != last.number)
		return refuse(start, RC_CONFLICT, "release %" PRIu32 " is running", n_charged);
	if (has_last && !last.released)
		return check_unfinished(start, &last);
	int64_t now = audit_log_now(core->log);
	int32_t today = (int32_t)(now / SECONDS_A_DAY);
	if (!start->has_as_of)
		start->as_of = has_last && last.as_of > today ? last.as_of : today;
	if (start->as_of > today)
		return refuse(start, RC_INVALID, "as_of lies in the future");
	start->info = (struct release_info){.number = last.number + 1, .started_at = now, .as_of = start->as_of};
	memcpy(start->info.study_digest, core->study->digest, sizeof start->info.study_digest);
	rc = check_waiting(start);
	if (rc == RC_OK)
		rc = check_interval(start, has_last ? &last : NULL, now);
	if (rc == RC_OK)
		rc = check_dates(start, has_last ? &last : NULL, now);
	if (rc == RC_OK)
		rc = check_cut(start, txn, has_last ? &last : NULL);
	if (rc == RC_OK)
		rc = check_budget(start, txn, spent);
	if (rc == RC_OK)
		rc = draw_secret(start);
	return rc == RC_OK ? write_start(start, txn, spent + start->info.rho_micro) : rc;
}

static void answer_started(const struct start_job *start)
{
	if (start->request != NULL)
		request_reply_json(start->request, 202,
				   json_pack("{s:I, s:s}", "release", (json_int_t)start->info.number, "state",
					     start->resumed ? "resumed" : "started"));
}

static void start_done(struct write_job *job, enum rc rc)
{
	struct start_job *start = (struct start_job *)job;
	struct core *core = start->core;
	if (rc == RC_OK && !start->resumed) {
		pthread_mutex_lock(&core->lock);
		rc = history_add_release(&core->history, &start->info);
		pthread_mutex_unlock(&core->lock);
	}
	if (rc == RC_OK) {
		log_info("release %" PRIu32 ": %s", start->info.number, start->resumed ? "taken up again" : "started");
		if (start->resumed)
			linker_retry(core->linker);
		else
			linker_wake(core->linker);
		answer_started(start);
	} else if (start->request != NULL) {
		request_problem(start->request, rc, start->detail);
	} else {
		log_info("no release by schedule: %s", start->detail[0] != '\0' ? start->detail : rc_text(rc));
	}
	request_unref(start->request);
	free(start);
}

/* ---- who asks ---- */

static enum rc push_start(struct core *core, struct request *request, bool has_as_of, int32_t as_of)
{
	struct start_job *start = calloc(1, sizeof *start);
	if (start == NULL)
		return RC_NOMEM;
	start->job = (struct write_job){.apply = start_apply, .done = start_done};
	start->core = core;
	start->request = request;
	start->has_as_of = has_as_of;
	start->as_of = as_of;
	if (request != NULL) {
		start->who = entry_who_of(&request_head(request)->who, ROLE_OPERATOR);
		request_ref(request);
	}
	enum rc rc = write_queue_push(core->writes, &start->job);
	if (rc != RC_OK) {
		request_unref(request);
		free(start);
	}
	return rc;
}

static enum rc parse_body(const uint8_t *body, size_t len, bool *ret_has_as_of, int32_t *ret_as_of, struct diag *diag)
{
	json_t *root = NULL;
	const char *key;
	json_t *value;
	enum rc rc = json_parse_strict((const char *)body, len, &root, diag);
	if (rc != RC_OK)
		return rc;
	if (!json_is_object(root))
		rc = diag_set(diag, RC_INVALID, "expected {} or {\"as_of\": \"YYYY-MM-DD\"}");
	json_object_foreach(root, key, value)
	{
		if (strcmp(key, "as_of") != 0 || !json_is_string(value) ||
		    strlen(json_string_value(value)) != json_string_length(value) ||
		    day_parse(json_string_value(value), ret_as_of) != RC_OK) {
			rc = diag_set(diag, RC_INVALID, "expected {} or {\"as_of\": \"YYYY-MM-DD\"}");
			break;
		}
		*ret_has_as_of = true;
	}
	json_decref(root);
	return rc;
}

void publish_run(struct request *request, const uint8_t *body, size_t len)
{
	struct diag diag = {""};
	bool has_as_of = false;
	int32_t as_of = 0;
	enum rc rc = request_expect_json(request_head(request), &diag);
	if (rc == RC_OK)
		rc = parse_body(body, len, &has_as_of, &as_of, &diag);
	if (rc == RC_OK)
		rc = push_start(request_core(request), request, has_as_of, as_of);
	if (rc != RC_OK)
		request_problem(request, rc, diag.text);
}

void publish_by_schedule(struct core *core)
{
	enum rc rc = push_start(core, NULL, false, 0);
	if (rc != RC_OK)
		log_info("no release by schedule: %s", rc_text(rc));
}

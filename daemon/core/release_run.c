/* The run of one release; release_run.h says what, docs/protocol.md what the body holds.
 *
 * Invariant: the body is a function of the records at the cut, the study, the keys, the number and the as-of date. Rows
 * are numbered by arrival, so nothing here may let that number into the body: link_run numbers persons by record key,
 * stats sorts events by their content, and "facts" counts records, never batches or places in the log. */
#include "daemon/core/release_run.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/core/pairs.h"
#include "daemon/core/publish.h"
#include "daemon/stats/stats.h"
#include "proto/bytes.h"
#include "proto/json.h"

struct release_work {
	struct core *core;
	const struct release_info *info;
	uint64_t withdrawals;
	const atomic_bool *cancel;
	const struct release_watch *watch;
	struct release_parts parts; /* events of all current records, by person */
	struct stats_linkage linkage;
	uint8_t secret[32];
	struct buffer body;
	uint8_t digest[32];
	uint64_t entry_index; /* of the `release` entry */
};

static void begin(const struct release_work *work, unsigned step)
{
	work->watch->on_step(work->watch->ctx, step);
}

static void begin_link_step(void *ctx, enum link_step step)
{
	begin(ctx, step);
}

/* ---- linking ---- */

/* What linkage wants to know of the events of rows. */
struct row_facts {
	size_t n; /* rows, and one */
	int32_t *last_day, *death_day;
	uint8_t *group; /* which arm of the study a row is in, from 1: the code of a release; 0 for other events */
};

static void row_facts_deinit(struct row_facts *facts)
{
	wipe_free(facts->last_day, facts->n * sizeof *facts->last_day);
	wipe_free(facts->death_day, facts->n * sizeof *facts->death_day);
	wipe_free(facts->group, facts->n * sizeof *facts->group);
}

static enum rc row_facts_init(struct row_facts *facts, const struct study *study, const struct event_rows *rows)
{
	uint32_t n = event_rows_n(rows);
	size_t cap = (size_t)n + 1;
	int by = study->disclosure.linkage_by - 1;
	*facts = (struct row_facts){.n = cap,
				    .last_day = malloc(cap * sizeof *facts->last_day),
				    .death_day = malloc(cap * sizeof *facts->death_day),
				    .group = calloc(cap, sizeof *facts->group)};
	if (facts->last_day == NULL || facts->death_day == NULL || facts->group == NULL) {
		row_facts_deinit(facts);
		return RC_NOMEM;
	}
	for (uint32_t r = 0; r < n; r++) {
		struct event_row row = event_rows_at(rows, r);
		enum study_event_role role = study->events[row.event].role;
		facts->last_day[r] = row.day;
		facts->death_day[r] = role == EVENT_DEATH ? row.day : INT32_MAX;
		if (role == EVENT_RELEASE)
			facts->group[r] = (uint8_t)(by < 0 ? 1 : row.codes[by] + 1);
	}
	return RC_OK;
}

/* Links between prisons and treatment services, as the model expects them to be; stats adds noise before any leaves. */
static void add_linkage(struct release_work *work, const struct link_result *result)
{
	const struct study *study = work->core->study;
	for (size_t i = 0; i < result->n_groups; i++) {
		const struct link_group *g = &result->groups[i];
		enum study_source_kind a = study->sources[g->source_a].kind, b = study->sources[g->source_b].kind;
		if (!(a == SOURCE_PRISON && b == SOURCE_TREATMENT) && !(a == SOURCE_TREATMENT && b == SOURCE_PRISON))
			continue;
		work->linkage.arms[g->group - 1].n_true += g->n_true;
		work->linkage.arms[g->group - 1].n_false += g->n_false;
		work->linkage.arms[g->group - 1].n_missed += g->n_missed;
		work->linkage.arms[g->group - 1].n_doubt += g->n_doubt;
	}
}

static enum rc link_rows(struct release_work *work, const struct study_domain *domain, const struct release_rows *rows,
			 struct link_result **ret)
{
	const struct core *core = work->core;
	uint32_t n_rows = event_rows_n(rows->events);
	struct row_facts facts;
	struct link_pair *pairs = NULL;
	size_t n_pairs = 0;
	enum rc rc = row_facts_init(&facts, core->study, rows->events);
	if (rc != RC_OK)
		return rc;
	struct link_run_options options = {
		.end = n_rows,
		.last_day = facts.last_day,
		.death_day = facts.death_day,
		.group = core->study->disclosure.linkage_sigma2_milli > 0 ? facts.group : NULL,
		.cancel = work->cancel,
		.on_step = begin_link_step,
		.on_step_ctx = work,
		.max_pairs = pairs_max(n_rows, core->conf->max_pairs_per_record),
	};
	rc = pairs_load(core->store, domain, n_rows, &pairs, &n_pairs);
	if (rc == RC_OK)
		rc = link_run(rows->pool, pairs, n_pairs, &options, ret);
	free(pairs);
	row_facts_deinit(&facts);
	return rc;
}

static enum rc link_domain(struct release_work *work, int d, const struct release_rows *rows)
{
	const struct study_domain *domain = &work->core->study->domains[d];
	struct link_result *result = NULL;
	if (rows->pool == NULL)
		return RC_OK;
	if (event_rows_n(rows->events) != link_pool_n_rows(rows->pool))
		return RC_INTERNAL;
	enum rc rc = link_rows(work, domain, rows, &result);
	if (rc != RC_OK)
		return rc;
	/* No figures: whether there was anything to link is all that is said. */
	if (result->outcome == LINK_NOT_IDENTIFIABLE)
		log_warning("release %u: domain %s: matches cannot be told from chance; persons are as their "
			    "sources number them",
			    work->info->number, domain->name);
	add_linkage(work, result);
	rc = release_parts_add(&work->parts, rows, result);
	link_result_free(result);
	return rc;
}

/* ---- the secret ---- */

static enum rc load_secret(struct release_work *work)
{
	const struct release_info *info = work->info;
	uint8_t commitment[32];
	enum rc rc = store_secret_get(work->core->store, info->number, work->secret);
	if (rc == RC_NOTFOUND)
		return RC_KEY;
	if (rc != RC_OK)
		return rc;
	release_commitment(work->secret, info->number, info->cut_digest, commitment);
	return bytes_equal_const_time(commitment, info->commitment, sizeof commitment) ? RC_OK : RC_KEY;
}

static enum rc cell_prf(void *ctx, const void *identity, size_t len, uint8_t out[32])
{
	const struct release_work *work = ctx;
	return hmac_sha256(work->secret, sizeof work->secret, identity, len, out);
}

/* ---- the body ---- */

static enum rc load_previous(struct release_work *work, json_t **ret)
{
	struct txn *txn = NULL;
	pthread_mutex_lock(&work->core->lock);
	uint32_t previous = history_readable_before(&work->core->history, work->info->number);
	pthread_mutex_unlock(&work->core->lock);
	if (previous == 0)
		return RC_OK;
	enum rc rc = txn_begin_read(work->core->store, &txn);
	if (rc == RC_OK)
		rc = release_body_load(txn, previous, ret);
	txn_abort(txn);
	return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
}

static enum rc make_body(struct release_work *work)
{
	json_t *previous = NULL, *body = NULL;
	json_t *facts = json_pack("{s:I, s:{s:s, s:i}}", "records", (json_int_t)work->parts.n_events, "versions",
				  "throughcare", TC_VERSION, "body", 1);
	if (facts == NULL)
		return RC_NOMEM;
	pthread_mutex_lock(&work->core->lock);
	uint64_t rho_total = work->core->history.rho_total_micro;
	pthread_mutex_unlock(&work->core->lock);
	struct stats_params params = {
		.release = work->info->number,
		.as_of = work->info->as_of,
		.prf = cell_prf,
		.prf_ctx = work,
		.rho_spent_micro = rho_total - work->info->rho_micro,
		.secret_injected = work->core->test_secret != NULL,
		.facts = facts,
		.linkage = work->linkage,
	};
	struct stats_parts parts = {
		.n = work->parts.n_parts,
		.size = release_parts_size,
		.read = release_parts_read,
		.ctx = &work->parts,
		.n_threads = work->core->n_threads,
		.cancel = work->cancel,
	};
	enum rc rc = load_previous(work, &previous);
	params.previous = previous;
	if (rc == RC_OK)
		rc = stats_release_parts(work->core->study, &parts, &params, &body);
	if (rc == RC_OK)
		rc = json_canonical(body, &work->body);
	if (rc == RC_OK && work->body.failed)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		sha256(work->body.data, work->body.len, work->digest);
	json_decref(body);
	json_decref(previous);
	json_decref(facts);
	return rc;
}

/* ---- making it public ---- */

struct finish_job {
	struct write_job job;
	struct release_work *work;
};

/* What was compared and how, of each domain: nothing that is not in the study. How many records there were, the release's
 * `release_started` says. */
static json_t *linkage_json(const struct study *study)
{
	json_t *list = json_array();
	int failed = list == NULL;
	char encoding_id[65];
	for (int d = 0; d < study->n_domains && !failed; d++) {
		const struct study_domain *domain = &study->domains[d];
		hex_encode(domain->encoding_id, sizeof domain->encoding_id, encoding_id);
		failed |= json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:i}", "domain", domain->name, "encoding_id", encoding_id,
					"profile", study_profile_name(domain->profile), "floor", domain->floor));
	}
	if (!failed)
		return list;
	json_decref(list);
	return NULL;
}

/* The rules by which cells were changed and left out. What was committed to at the start is opened by nobody any more. */
static json_t *rules_json(const struct core *core)
{
	const struct study_disclosure *rules = &core->study->disclosure;
	return json_pack("{s:s, s:I, s:I, s:s}", "method", study_disclosure_method_name(rules->method), "threshold",
			 (json_int_t)rules->threshold, "max_index_events", (json_int_t)rules->max_index_events,
			 "secret", core->test_secret != NULL ? "injected" : "destroyed");
}

static enum rc finish_apply(struct write_job *job, struct txn *txn)
{
	struct release_work *work = ((struct finish_job *)job)->work;
	struct store_key key;
	char digest[65];
	uint8_t number[4];
	struct writer w;
	/* On the thread that withdraws: no record that was withdrawn before this entry is in the body. */
	if (atomic_load(&work->core->withdrawals) != work->withdrawals)
		return RC_BUSY;
	hex_encode(work->digest, sizeof work->digest, digest);
	release_key(&key, work->info->number);
	enum rc rc = store_put(txn, &key, work->body.data, work->body.len);
	release_digest_key(&key, work->digest);
	writer_init(&w, number, sizeof number);
	write_u32(&w, work->info->number);
	if (rc == RC_OK)
		rc = store_put(txn, &key, number, sizeof number);
	json_t *fields = json_pack("{s:I, s:s, s:I, s:s, s:o, s:o}", "number", (json_int_t)work->info->number, "digest",
				   digest, "started_index", (json_int_t)work->info->started_index, "version", TC_VERSION,
				   "linkage", linkage_json(work->core->study), "disclosure", rules_json(work->core));
	if (rc == RC_OK)
		rc = fields == NULL ? RC_NOMEM
				    : audit_log_append(work->core->log, txn, ENTRY_RELEASE, NULL, fields, &work->entry_index);
	json_decref(fields);
	return rc;
}

/* Only now, with the entry durable and signed, can it be read, or does it wait for witnesses who sign that entry too. */
static void finish_done(struct write_job *job, enum rc rc)
{
	struct release_work *work = ((struct finish_job *)job)->work;
	if (rc != RC_OK)
		return;
	pthread_mutex_lock(&work->core->lock);
	struct release_info *info = &work->core->history.releases[work->info->number - 1];
	memcpy(info->digest, work->digest, sizeof info->digest);
	info->released_index = work->entry_index;
	info->witness_rule = work->core->history.witnesses.in_force;
	info->released = true;
	pthread_mutex_unlock(&work->core->lock);
}

static void work_deinit(struct release_work *work)
{
	release_parts_deinit(&work->parts);
	buffer_deinit(&work->body);
	explicit_bzero(work, sizeof *work);
	free(work);
}

enum rc release_run(struct core *core, const struct release_info *info, const struct release_rows *rows,
		    uint64_t withdrawals, const atomic_bool *cancel, const struct release_watch *watch)
{
	struct release_work *work = calloc(1, sizeof *work);
	if (work == NULL)
		return RC_NOMEM;
	work->core = core;
	work->info = info;
	work->withdrawals = withdrawals;
	work->cancel = cancel;
	work->watch = watch;
	release_parts_init(&work->parts, core->study->n_dimensions);
	buffer_init(&work->body);
	enum rc rc = load_secret(work);
	for (int d = 0; d < core->study->n_domains && rc == RC_OK; d++)
		rc = link_domain(work, d, &rows[d]);
	if (rc == RC_OK) {
		begin(work, RELEASE_COUNTING);
		rc = make_body(work);
	}
	if (rc == RC_OK) {
		begin(work, RELEASE_PUBLISHING);
		struct finish_job finish = {.job = {.apply = finish_apply, .done = finish_done}, .work = work};
		finish.job.bytes = work->body.len;
		rc = write_queue_call(core->writes, &finish.job);
	}
	if (rc == RC_OK && store_secret_destroy(core->store, info->number) != RC_OK)
		log_error("release %u: its secret could not be destroyed; that is tried again at the next start",
			  info->number);
	work_deinit(work);
	return rc;
}

/* What the operator sees: state and volumes as they were submitted. Nothing here comes from linkage: no pairs, no
 * links, no persons; what is pending is counted in rows that were received. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "daemon/core/backups.h"
#include "daemon/core/handlers.h"
#include "daemon/core/linker.h"
#include "daemon/core/release_progress.h"
#include "daemon/core/retention.h"
#include "daemon/core/watch.h"
#include "proto/json.h"

/* One consistent look. */
struct state {
	uint64_t n_batches, n_records, rho_total_micro, map_free, disk_free, log_size;
	struct source_volume volumes[STUDY_MAX_SOURCES];
	uint32_t n_releases; /* published */
	uint32_t n_waiting;  /* of them, for witnesses */
	int64_t uptime_s;
	struct linker_status linker;
	struct pipe_counts front;
	struct write_times commits;
	struct backups_status backup;
	struct retention_status retention;
	int64_t last_backup_at, last_release_at; /* 0 = never */
	bool keys_locked;
};

/* Candidate pairs take room, a dozen bytes each: to the byte, free room would count them. */
static uint64_t coarse(uint64_t free_bytes)
{
	enum { STEP = 16 << 20 };
	return free_bytes - free_bytes % STEP;
}

static enum rc look(struct core *core, struct state *ret)
{
	struct timespec now;
	memset(ret, 0, sizeof *ret);
	clock_gettime(CLOCK_MONOTONIC, &now);
	ret->uptime_s = now.tv_sec - core->started_at;
	pthread_mutex_lock(&core->lock);
	ret->n_batches = core->n_batches;
	ret->n_records = core->n_records;
	memcpy(ret->volumes, core->volumes, sizeof ret->volumes);
	ret->rho_total_micro = core->history.rho_total_micro;
	ret->front = core->front;
	ret->last_backup_at = core->history.last_backup_at;
	const struct release_info *last = history_last_released(&core->history);
	ret->n_releases = last == NULL ? 0 : last->number;
	ret->last_release_at = last == NULL ? 0 : last->started_at;
	ret->n_waiting = history_n_waiting(&core->history);
	pthread_mutex_unlock(&core->lock);
	linker_status(core->linker, &ret->linker);
	backups_status(core->backups, &ret->backup);
	retention_status(core->retention, &ret->retention);
	write_queue_times(core->writes, &ret->commits);
	ret->log_size = audit_log_signed_size(core->log);
	ret->keys_locked = log_signer_is_locked(core->signer) && seal_is_locked(core->seal);
	enum rc rc = store_space(core->store, &ret->map_free, &ret->disk_free);
	ret->map_free = coarse(ret->map_free);
	ret->disk_free = coarse(ret->disk_free);
	return rc;
}

static json_t *sources_json(const struct core *core, const struct state *state)
{
	json_t *sources = json_array();
	for (int s = 0; s < core->study->n_sources; s++)
		json_array_append_new(sources, json_pack("{s:s, s:I, s:I}", "name", core->study->sources[s].name,
							 "batches", (json_int_t)state->volumes[s].n_batches, "records",
							 (json_int_t)state->volumes[s].n_records));
	return sources;
}

static json_t *time_json(int64_t when)
{
	char text[ENTRY_TIME_CAP];
	return when > 0 && entry_time_format(when, text) == RC_OK ? json_string(text) : json_null();
}

static json_t *release_json(const struct state *s)
{
	const struct linker_status *linker = &s->linker;
	json_t *error =
		linker->release_state == LINKER_FAILED ? json_string(rc_name(linker->release_error)) : json_null();
	json_t *release = json_pack("{s:I, s:s, s:o, s:o}", "number", (json_int_t)linker->release, "state",
				    linker_state_name(linker->release_state), "error", error, "last",
				    time_json(s->last_release_at));
	if (linker->release_state != LINKER_LINKING || release == NULL)
		return release;
	json_t *progress =
		json_pack("{s:s, s:i, s:i, s:I}", "doing", release_step_name(linker->release_step), "step",
			  (int)linker->release_step + 1, "of_steps", (int)RELEASE_N_STEPS, "running_s",
			  (json_int_t)linker->release_s);
	if (json_object_set_new(release, "progress", progress) == 0)
		return release;
	json_decref(release);
	return NULL;
}

static json_t *backup_json(const struct state *s)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "state", backup_state_name(s->backup.state), "name",
			 s->backup.name[0] != '\0' ? json_string(s->backup.name) : json_null(), "error",
			 s->backup.state == BACKUP_FAILED ? json_string(rc_name(s->backup.error)) : json_null(), "why",
			 s->backup.state == BACKUP_FAILED ? json_string(s->backup.why.text) : json_null(), "last",
			 time_json(s->last_backup_at));
}

static json_t *retention_json(const struct state *s)
{
	char before[DAY_TEXT_LEN];
	bool any = s->retention.before >= DAY_MIN;
	if (any)
		day_format(s->retention.before, before);
	return json_pack("{s:s, s:o, s:o, s:I}", "state", retention_state_name(s->retention.state), "before",
			 any ? json_string(before) : json_null(), "error",
			 s->retention.state == RETENTION_FAILED ? json_string(rc_name(s->retention.error))
								: json_null(),
			 "looks", (json_int_t)s->retention.looks);
}

static json_t *comparing_json(const struct linker_status *linker)
{
	json_t *error = linker->compare_error == RC_OK ? json_null() : json_string(rc_name(linker->compare_error));
	json_t *seconds =
		linker->seconds_left == UINT64_MAX ? json_null() : json_integer((json_int_t)linker->seconds_left);
	return json_pack("{s:I, s:I, s:I, s:o, s:o}", "pending_records", (json_int_t)linker->n_rows_pending,
			 "comparisons_done", (json_int_t)linker->n_pairs_compared, "comparisons_left",
			 (json_int_t)linker->n_pairs_left, "seconds_left", seconds, "error", error);
}

/* What somebody must look at; docs/operations.md has each. */
static json_t *attention_json(const struct core *core, const struct state *s)
{
	const struct watch_figures figures = {s->map_free, s->disk_free, s->rho_total_micro, s->front.expires_at};
	char text[WATCH_TEXT_CAP];
	json_t *list = json_array();
	unsigned near = watch_near(core, &figures);
	for (enum watch_limit limit = 0; limit < WATCH_N; limit++) {
		if ((near >> limit & 1) == 0)
			continue;
		watch_text(limit, &figures, text);
		json_array_append_new(list, json_string(text));
	}
	if (s->linker.compare_error != RC_OK)
		json_array_append_new(
			list, json_sprintf("comparing records stands still: %s", rc_text(s->linker.compare_error)));
	if (s->linker.release_state == LINKER_FAILED)
		json_array_append_new(list, json_sprintf("release %u failed: %s", (unsigned)s->linker.release,
							 rc_text(s->linker.release_error)));
	if (s->backup.state == BACKUP_FAILED)
		json_array_append_new(list, json_string("the last backup failed"));
	if (s->retention.state == RETENTION_WAITS || s->retention.state == RETENTION_FAILED)
		json_array_append_new(list, json_string("records that are over are not erased"));
	return list;
}

static json_t *status_json(const struct core *core, const struct state *s)
{
	char digest[65];
	hex_encode(core->study->digest, 32, digest);
	json_t *study = json_pack("{s:s, s:s, s:b}", "name", core->study->name, "digest", digest, "synthetic",
				  core->study->synthetic);
	json_t *comparing = comparing_json(&s->linker);
	json_t *ledger = json_pack("{s:I, s:I}", "rho_total_micro", (json_int_t)s->rho_total_micro, "rho_limit_micro",
				   (json_int_t)core->study->disclosure.rho_limit_micro);
	json_t *memory = json_pack("{s:b, s:b, s:s}", "records_locked", s->linker.memory_locked, "keys_locked",
				   s->keys_locked, "asked_for", core->conf->memory_lock_required ? "require" : "try");
	char number[8];
	snprintf(number, sizeof number, "%04x", seal_key_number(core->seal));
	json_t *sealing = json_pack("{s:s, s:b}", "key", number, "rotating", store_is_rotating(core->store));
	json_t *room =
		json_pack("{s:I, s:I}", "map_bytes", (json_int_t)s->map_free, "disk_bytes", (json_int_t)s->disk_free);
	json_t *status = json_pack("{s:s, s:s, s:I}", "version", TC_VERSION, "kernel", s->linker.kernel, "uptime_s",
				   (json_int_t)s->uptime_s);
	json_t *writing = json_pack("{s:I, s:I, s:I}", "waiting", (json_int_t)write_queue_depth(core->writes),
				    "mean_us", (json_int_t)(s->commits.n == 0 ? 0 : s->commits.total_us / s->commits.n),
				    "slowest_us", (json_int_t)s->commits.slowest_us);
	int failed = status == NULL;
	failed |= json_object_set_new(status, "attention", attention_json(core, s));
	failed |= json_object_set_new(status, "writing", writing);
	failed |= json_object_set_new(status, "expires", time_json((int64_t)s->front.expires_at));
	failed |= json_object_set_new(status, "study", study);
	failed |= json_object_set_new(status, "sources", sources_json(core, s));
	failed |= json_object_set_new(status, "batches", json_integer((json_int_t)s->n_batches));
	failed |= json_object_set_new(status, "records", json_integer((json_int_t)s->n_records));
	failed |= json_object_set_new(status, "comparing", comparing);
	failed |= json_object_set_new(status, "release", release_json(s));
	failed |= json_object_set_new(status, "releases", json_integer(s->n_releases));
	failed |= json_object_set_new(status, "releases_waiting", json_integer(s->n_waiting));
	failed |= json_object_set_new(status, "ledger", ledger);
	failed |= json_object_set_new(status, "memory", memory);
	failed |= json_object_set_new(status, "sealing", sealing);
	failed |= json_object_set_new(status, "free", room);
	failed |= json_object_set_new(status, "backup", backup_json(s));
	failed |= json_object_set_new(status, "retention", retention_json(s));
	failed |= json_object_set_new(status, "log", json_pack("{s:I}", "entries", (json_int_t)s->log_size));
	if (failed) {
		json_decref(status);
		return NULL;
	}
	return status;
}

void status_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct state state;
	enum rc rc = look(core, &state);
	if (rc == RC_OK)
		request_reply_json(request, 200, status_json(core, &state));
	else
		request_problem(request, rc, NULL);
}

static void metric(struct buffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
	buffer_printf(out, "# HELP throughcare_%s %s\n# TYPE throughcare_%s %s\nthroughcare_%s %" PRIu64 "\n", name,
		      help, name, type, name, value);
}

static void source_metrics(struct buffer *out, const struct core *core, const struct state *s)
{
	buffer_printf(out, "# HELP throughcare_source_records_total Records received from a source.\n"
			   "# TYPE throughcare_source_records_total counter\n");
	for (int i = 0; i < core->study->n_sources; i++)
		buffer_printf(out, "throughcare_source_records_total{source=\"%s\"} %" PRIu64 "\n",
			      core->study->sources[i].name, s->volumes[i].n_records);
}

static void front_metrics(struct buffer *out, const struct pipe_counts *front)
{
	metric(out, "connections", "gauge", "Connections open.", front->n_connections);
	metric(out, "connections_total", "counter", "Connections accepted.", front->accepted);
	metric(out, "http_requests_total", "counter", "Requests that the front read.", front->requests);
	metric(out, "http_refused_total", "counter", "Requests that the front refused by itself.", front->refused);
	metric(out, "tls_failures_total", "counter", "Handshakes that failed.", front->tls_failures);
	metric(out, "timeouts_total", "counter", "Connections ended for their slowness.", front->timeouts);
	metric(out, "overloads_total", "counter", "Requests and connections turned away for want of room.",
	       front->overloads);
	metric(out, "expiry_timestamp_seconds", "gauge",
	       "When the first of certificate, authority and revocation list runs out.", front->expires_at);
}

static void commit_metrics(struct buffer *out, const struct write_times *commits)
{
	metric(out, "commits_total", "counter", "Durable, signed commits of batches and entries.", commits->n);
	metric(out, "commit_microseconds_total", "counter", "Time they took together.", commits->total_us);
	metric(out, "commit_slowest_microseconds", "gauge", "The slowest of them.", commits->slowest_us);
}

void metrics_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct state s;
	struct buffer out;
	buffer_init(&out);
	enum rc rc = look(core, &s);
	if (rc != RC_OK) {
		request_problem(request, rc, NULL);
		return;
	}
	metric(&out, "uptime_seconds", "gauge", "Since the start.", (uint64_t)s.uptime_s);
	metric(&out, "batches_total", "counter", "Batches received.", s.n_batches);
	metric(&out, "records_total", "counter", "Records received.", s.n_records);
	source_metrics(&out, core, &s);
	metric(&out, "records_pending", "gauge", "Records not yet compared.", s.linker.n_rows_pending);
	metric(&out, "comparisons_done", "gauge", "Comparisons of records made, each record with each.",
	       s.linker.n_pairs_compared);
	metric(&out, "comparisons_left", "gauge", "Comparisons of records to be made.", s.linker.n_pairs_left);
	metric(&out, "compare_failed", "gauge", "1 when comparing stands still.", s.linker.compare_error != RC_OK);
	metric(&out, "releases_total", "counter", "Releases published.", s.n_releases);
	metric(&out, "release_timestamp_seconds", "gauge", "When the last published release was started; 0 = never.",
	       (uint64_t)s.last_release_at);
	metric(&out, "release_failed", "gauge", "1 when the last release failed.",
	       s.linker.release_state == LINKER_FAILED);
	metric(&out, "rho_spent_millionths", "counter", "Privacy budget spent.", s.rho_total_micro);
	metric(&out, "rho_limit_millionths", "gauge", "Privacy budget of the study.",
	       core->study->disclosure.rho_limit_micro);
	metric(&out, "log_entries_total", "counter", "Signed entries of the audit log.", s.log_size);
	metric(&out, "store_map_free_bytes", "gauge", "Room left in the store's map, in steps of 16 MiB.", s.map_free);
	metric(&out, "store_disk_free_bytes", "gauge", "Room left on the store's disk, in steps of 16 MiB.",
	       s.disk_free);
	metric(&out, "memory_locked", "gauge", "1 when records and keys are in locked memory.",
	       s.linker.memory_locked && s.keys_locked);
	metric(&out, "requests_in_progress", "gauge", "Requests being worked on.", atomic_load(&core->n_requests));
	metric(&out, "requests_total", "counter", "Requests answered.", atomic_load(&core->n_answered));
	metric(&out, "problems_total", "counter", "Requests answered with a problem.", atomic_load(&core->n_problems));
	metric(&out, "write_queue_depth", "gauge", "Jobs waiting for the writer.", write_queue_depth(core->writes));
	metric(&out, "rho_left_millionths", "gauge", "Privacy budget left.",
	       core->study->disclosure.rho_limit_micro > s.rho_total_micro
		       ? core->study->disclosure.rho_limit_micro - s.rho_total_micro
		       : 0);
	metric(&out, "backup_timestamp_seconds", "gauge", "When the last backup was made and checked; 0 = never.",
	       (uint64_t)s.last_backup_at);
	metric(&out, "backup_failed", "gauge", "1 when the last backup since the start failed.",
	       s.backup.state == BACKUP_FAILED);
	metric(&out, "retention_waits", "gauge", "1 while records that are over are not erased: see the status.",
	       s.retention.state == RETENTION_WAITS || s.retention.state == RETENTION_FAILED);
	commit_metrics(&out, &s.commits);
	front_metrics(&out, &s.front);
	request_reply_text(request, 200, MEDIA_METRICS, &out);
	buffer_deinit(&out);
}

void health_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct pipe_reply reply = {.http_status = 200, .media = MEDIA_TEXT};
	if (atomic_load(&core->must_stop) || atomic_load(&core->stopping))
		request_problem(request, RC_STOPPING, NULL);
	else
		request_reply(request, &reply, "ok\n", 3);
}

bool health_quick(struct request *request)
{
	health_run(request, NULL, 0);
	return true;
}

void study_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct pipe_reply reply = {.http_status = 200, .media = MEDIA_YAML};
	request_reply(request, &reply, core->study_text, core->study_text_len);
}

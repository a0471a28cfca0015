/* Opening and closing the core: study, keys, store, log, threads, in that order and back.
 *
 * Invariant: when core_open returns RC_OK the store was found whole and is the one that was signed: the log's entries
 * open and chain to the signer's state, the ledger and the batches are what the entries add up to, and every published
 * release is there. Anything else is refused with a plain reason, never repaired in silence. */
#include "daemon/core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/confine.h"
#include "daemon/base/log.h"
#include "daemon/base/pipe.h"
#include "daemon/core/answers.h"
#include "daemon/core/backups.h"
#include "daemon/core/linker.h"
#include "daemon/core/reload.h"
#include "daemon/core/retention.h"
#include "daemon/core/rotation.h"
#include "daemon/core/start.h"
#include "daemon/core/state.h"
#include "daemon/core/withdrawn_again.h"
#include "daemon/core/witnesses.h"
#include "proto/day.h"

/* ---- files ---- */

static enum rc read_study(const char *path, char **ret_text, size_t *ret_len, struct diag *diag)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return diag_set(diag, RC_CONFIG, "study: %s: %s", path, strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > STUDY_MAX_BYTES) {
		close(fd);
		return diag_set(diag, RC_CONFIG, "study: %s: expected a regular file of at most %d bytes", path,
				STUDY_MAX_BYTES);
	}
	char *text = malloc((size_t)st.st_size + 1);
	ssize_t n = text == NULL ? -1 : read(fd, text, (size_t)st.st_size);
	close(fd);
	if (n != st.st_size) {
		free(text);
		return diag_set(diag, RC_CONFIG, "study: %s: cannot be read", path);
	}
	text[n] = '\0';
	*ret_text = text;
	*ret_len = (size_t)n;
	return RC_OK;
}

static enum rc load_study(struct core *core, struct diag *diag)
{
	enum rc rc = read_study(core->conf->study, &core->study_text, &core->study_text_len, diag);
	if (rc == RC_OK)
		rc = study_parse(core->conf->study, core->study_text, core->study_text_len, &core->study, diag);
	for (int d = 0; rc == RC_OK && d < core->study->n_domains; d++) {
		if (!core->study->domains[d].has_key_check)
			rc = diag_set(diag, RC_CONFIG,
				      "study: %s: domain %s has no key_check; pin it with `throughcare keys init`",
				      core->conf->study, core->study->domains[d].name);
	}
	return rc == RC_INVALID ? RC_CONFIG : rc;
}

static enum rc load_keys(struct core *core, struct diag *diag)
{
	const struct conf *conf = core->conf;
	enum rc rc = seal_open_file(conf->seal_key, conf->seal_key_token, &core->seal, diag);
	if (rc == RC_OK)
		rc = log_signer_open(conf->log_key, conf->signer_state, conf->log_origin, &core->signer, diag);
	if (rc == RC_OK)
		rc = witnesses_load(core, diag);
	if (rc == RC_OK && conf->memory_lock_required &&
	    !(seal_is_locked(core->seal) && log_signer_is_locked(core->signer)))
		rc = diag_set(diag, RC_CONFIG,
			      "memory_lock: require, but memory cannot be locked: raise the limit on locked "
			      "memory (LimitMEMLOCK=infinity) or say try");
	if (rc != RC_OK || conf->test_release_secret[0] == '\0')
		return rc;
	if (!core->study->synthetic)
		return diag_set(diag, RC_CONFIG,
				"test_release_secret: only with a study that says synthetic: true; with it "
				"anybody who knows the secret can take the noise off");
	log_warning("releases are made with an injected secret: for tests only");
	return key_file_read(conf->test_release_secret, "release", &core->test_secret, diag);
}

/* ---- opening ---- */

static void on_write_fault(void *ctx, enum rc rc)
{
	struct core *core = ctx;
	log_error("cannot go on writing: %s; stopping so that nothing more is acknowledged", rc_text(rc));
	atomic_store(&core->fault, (int)rc);
	atomic_store(&core->must_stop, true);
	if (core->on_fault != NULL)
		core->on_fault(core->fault_ctx);
}

static enum rc open_store(struct core *core, bool create, struct diag *diag)
{
	struct store_options options = {
		.directory = core->conf->store_directory,
		.map_bytes = core->conf->store_map_bytes,
		.create = create,
	};
	enum rc rc = store_open(&options, core->seal, &core->store, diag);
	if (rc == RC_OK && store_migrated_from(core->store) != 0)
		log_info("the store was brought up from format %u", store_migrated_from(core->store));
	return rc;
}

/* Privileges go between the keys, which may be root's alone, and the store, which belongs to the user of the service:
 * also when nothing is served, since looking makes lock files. `serving`: make what is not there. */
static enum rc open_data(struct core *core, bool serving, struct diag *diag)
{
	enum rc rc = load_study(core, diag);
	if (rc == RC_OK)
		rc = load_keys(core, diag);
	if (rc == RC_OK)
		rc = reload_check_access(core, diag);
	if (rc == RC_OK)
		rc = confine_process(core->conf->user, diag);
	if (rc == RC_OK)
		rc = open_store(core, serving, diag);
	if (rc == RC_OK)
		rc = audit_log_open(core->store, core->signer, history_replay_text, &core->history, &core->log, diag);
	if (rc == RC_OK)
		witnesses_add_awaited(core);
	if (rc == RC_OK)
		rc = start_check(core, diag);
	return rc;
}

/* Everything is open and nothing runs yet: keep the store, the signer's state, the backups, and the files that reload.h
 * tells of, which are opened by name again and again, and what the C library reads to count processors. */
static enum rc confine(const struct conf *conf, struct diag *diag)
{
	const char *const renewed[] = {conf->tls_client_ca, conf->tls_revocation_list, conf->access_file};
	enum { N_RENEWED = sizeof renewed / sizeof renewed[0] };
	char signer[CONF_PATH_CAP], names[N_RENEWED][CONF_PATH_CAP];
	struct confine_folder folders[4 + N_RENEWED] = {{conf->store_directory, true}, {signer, true}};
	size_t n = 2;
	bool files = false, calls = false;
	if (strcmp(conf->confinement, "on") != 0)
		return RC_OK;
	confine_folder_of(conf->signer_state[0] != '\0' ? conf->signer_state : conf->log_key, signer);
	for (size_t i = 0; i < N_RENEWED; i++) {
		if (renewed[i][0] == '\0')
			continue;
		confine_folder_of(renewed[i], names[i]);
		folders[n++] = (struct confine_folder){names[i], false};
	}
	if (conf->backup_directory[0] != '\0')
		folders[n++] = (struct confine_folder){conf->backup_directory, true};
	if (access("/sys/devices/system/cpu", R_OK) == 0)
		folders[n++] = (struct confine_folder){"/sys/devices/system/cpu", false};
	enum rc rc = confine_files(folders, n, &files, diag);
	if (rc == RC_OK)
		rc = confine_system_calls(CONFINE_CORE, &calls, diag);
	if (rc == RC_OK)
		log_info("confined: files %s, system calls %s", files ? "of its own" : "as the user's",
			 calls ? "few" : "any");
	return rc;
}

static struct core *core_new(const struct conf *conf)
{
	struct timespec now;
	struct core *core = calloc(1, sizeof *core);
	if (core == NULL)
		return NULL;
	core->conf = conf;
	pthread_mutex_init(&core->lock, NULL);
	history_init(&core->history);
	int32_t confirmed;
	if (day_parse(conf->clock_confirmed, &confirmed) == RC_OK)
		core->history.clock_known = ((int64_t)confirmed + 1) * 86400;
	clock_gettime(CLOCK_MONOTONIC, &now);
	core->started_at = now.tv_sec;
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	core->n_threads = conf->worker_threads != 0 ? conf->worker_threads : n > 0 ? (unsigned)n : 1;
	return core;
}

enum rc core_open(const struct conf *conf, struct core **ret, struct diag *diag)
{
	struct core *core = core_new(conf);
	if (core == NULL)
		return RC_NOMEM;
	enum rc rc = open_data(core, true, diag);
	if (rc == RC_OK)
		rc = backups_prepare(conf, diag);
	if (rc == RC_OK)
		rc = confine(conf, diag);
	if (rc == RC_OK)
		rc = write_queue_new(core->store, core->log, on_write_fault, core, &core->writes);
	/* The linker before the first entry: what it refuses (a kernel that is not there) leaves no `start` behind. */
	if (rc == RC_OK)
		rc = linker_new(core, &core->linker, diag);
	if (rc == RC_OK)
		rc = backups_new(core, &core->backups);
	if (rc == RC_OK)
		rc = answers_new(&core->answers);
	if (rc == RC_OK)
		rc = start_log(core, diag);
	if (rc == RC_OK)
		rc = withdrawn_again(core, diag);
	if (rc == RC_OK)
		linker_begin(core->linker);
	if (rc == RC_OK)
		rc = workq_new(core->n_threads, CORE_WORK_CAPACITY, &core->workers);
	if (rc == RC_OK)
		rc = rotator_new(core, &core->rotator);
	if (rc == RC_OK)
		rc = retention_new(core, &core->retention);
	if (rc != RC_OK) {
		if (diag != NULL && diag->text[0] == '\0')
			diag_set(diag, rc, "%s", rc_text(rc));
		core_close(core);
		return rc;
	}
	*ret = core;
	return RC_OK;
}

void core_drain(struct core *core)
{
	atomic_store(&core->stopping, true);
	backups_stop(core->backups);
	workq_free(core->workers);
	core->workers = NULL;
	linker_stop(core->linker);
	rotator_free(core->rotator);
	core->rotator = NULL;
	retention_free(core->retention);
	core->retention = NULL;
}

void core_close(struct core *core)
{
	if (core == NULL)
		return;
	core_drain(core);
	backups_free(core->backups);
	write_queue_free(core->writes);
	linker_free(core->linker);
	answers_free(core->answers);
	audit_log_free(core->log);
	store_close(core->store);
	secret_key_free(core->test_secret);
	log_signer_close(core->signer);
	free(core->witnesses);
	seal_close(core->seal);
	study_free(core->study);
	free(core->study_text);
	history_deinit(&core->history);
	pthread_mutex_destroy(&core->lock);
	free(core);
}

enum rc core_check(const struct conf *conf, struct diag *diag)
{
	struct stat st;
	struct diag scratch;
	struct core *core = core_new(conf);
	if (core == NULL)
		return RC_NOMEM;
	if (diag == NULL)
		diag = &scratch;
	diag->text[0] = '\0';
	enum rc rc;
	if (stat(conf->store_directory, &st) != 0 && errno == ENOENT) {
		/* A first start will make it. */
		rc = load_study(core, diag);
		if (rc == RC_OK)
			rc = load_keys(core, diag);
		if (rc == RC_OK)
			rc = reload_check_access(core, diag);
	} else {
		rc = open_data(core, false, diag);
	}
	core_close(core);
	return rc;
}

struct store_reserve core_reserve(const struct core *core)
{
	enum { MIN_MAP_FREE = 2 << 20 };
	return (struct store_reserve){.map_bytes = MIN_MAP_FREE, .disk_bytes = core->conf->store_min_free_bytes};
}

struct store_reserve core_entry_reserve(const struct core *core)
{
	struct store_reserve reserve = core_reserve(core);
	return (struct store_reserve){.map_bytes = reserve.map_bytes / 2, .disk_bytes = reserve.disk_bytes / 2};
}

/* ---- entries ---- */

void core_batch_committed(struct core *core, const struct batch_record *record)
{
	int source = study_find_source(core->study, record->source);
	pthread_mutex_lock(&core->lock);
	core->n_batches++;
	core->n_records += record->n_records;
	if (source >= 0) {
		core->volumes[source].n_batches++;
		core->volumes[source].n_records += record->n_records;
	}
	pthread_mutex_unlock(&core->lock);
	linker_wake(core->linker);
}

struct entry_who entry_who_of(const struct identity *identity, enum role role)
{
	struct entry_who who = {.client = ""};
	memcpy(who.client, identity->client, sizeof who.client);
	memcpy(who.fingerprint, identity->fingerprint, sizeof who.fingerprint);
	const char *name = role_name(role);
	snprintf(who.role, sizeof who.role, "%s", name != NULL ? name : "");
	return who;
}

struct entry_job {
	struct write_job job;
	struct core *core;
	enum entry_kind kind;
	struct entry_who who;
	bool has_who;
	json_t *fields;
	int64_t time;
	struct store_reserve leave;
	int64_t n_before; /* of a refusal: others before it that were left out */
};

static enum rc entry_apply(struct write_job *job, struct txn *txn)
{
	struct entry_job *e = (struct entry_job *)job;
	e->time = audit_log_now(e->core->log);
	return audit_log_append_at(e->core->log, txn, e->time, e->kind, e->has_who ? &e->who : NULL, e->fields, NULL);
}

enum rc core_log_entry(struct core *core, enum entry_kind kind, const struct entry_who *who, json_t *fields)
{
	return core_log_entry_time(core, kind, who, fields, &(int64_t){0});
}

enum rc core_log_entry_time(struct core *core, enum entry_kind kind, const struct entry_who *who, json_t *fields,
			    int64_t *ret_time)
{
	struct entry_job e = {.job = {.apply = entry_apply}, .core = core, .kind = kind, .fields = fields};
	if (who != NULL) {
		e.who = *who;
		e.has_who = true;
	}
	enum rc rc = write_queue_call(core->writes, &e.job);
	if (rc == RC_OK)
		*ret_time = e.time;
	return rc;
}

struct entries_job {
	struct write_job job;
	struct core *core;
	const struct entry_draft *drafts;
	size_t n;
};

static enum rc entries_apply(struct write_job *job, struct txn *txn)
{
	struct entries_job *e = (struct entries_job *)job;
	enum rc rc = RC_OK;
	for (size_t i = 0; i < e->n && rc == RC_OK; i++)
		rc = audit_log_append(e->core->log, txn, e->drafts[i].kind, NULL, e->drafts[i].fields, NULL);
	return rc;
}

enum rc core_log_entries(struct core *core, const struct entry_draft *drafts, size_t n,
			 const struct store_reserve *leave)
{
	struct entries_job e = {.job = {.apply = entries_apply, .bytes = n * CORE_ENTRY_BYTES, .leave = leave},
				.core = core,
				.drafts = drafts,
				.n = n};
	return write_queue_call(core->writes, &e.job);
}

/* Of a refusal: what could not be logged is counted with those that are left out. */
static void refused_done(struct write_job *job, enum rc rc)
{
	struct entry_job *e = (struct entry_job *)job;
	if (rc != RC_OK) {
		pthread_mutex_lock(&e->core->lock);
		e->core->refused_dropped += 1 + (unsigned)e->n_before;
		pthread_mutex_unlock(&e->core->lock);
	}
	json_decref(e->fields);
	free(e);
}

/* How many refusals before this one were left out, `n_before` of them by the front; -1 = leave this one out too. */
static int64_t refused_allowance(struct core *core, uint32_t n_before)
{
	enum { REFUSED_A_MINUTE = 60, WINDOW_S = 60 };
	int64_t now = audit_log_now(core->log), dropped = -1;
	pthread_mutex_lock(&core->lock);
	core->refused_dropped += n_before;
	if (now - core->refused_window >= WINDOW_S) {
		core->refused_window = now;
		core->refused_in_window = 0;
	}
	if (core->refused_in_window < REFUSED_A_MINUTE) {
		core->refused_in_window++;
		dropped = core->refused_dropped;
		core->refused_dropped = 0;
	} else {
		core->refused_dropped++;
	}
	pthread_mutex_unlock(&core->lock);
	return dropped;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

void core_log_refused(struct core *core, const struct pipe_refused *refused)
{
	int64_t dropped = refused_allowance(core, refused->n_before);
	struct entry_job *e = dropped < 0 ? NULL : calloc(1, sizeof *e);
	if (e == NULL)
		return;
	const char *route = refused->request_type < REQUEST_TYPE_COUNT
				    ? route_get((enum request_type)refused->request_type)->path
				    : "none";
	e->leave = core_entry_reserve(core);
	e->job = (struct write_job){
		.apply = entry_apply, .done = refused_done, .bytes = CORE_ENTRY_BYTES, .leave = &e->leave};
	e->core = core;
	e->kind = ENTRY_REFUSED;
	e->n_before = dropped;
	e->fields = json_pack("{s:s, s:s}", "route", route, "reason", rc_name(refused->reason));
	bool ok = e->fields != NULL;
	if (dropped > 0)
		ok = ok && json_object_set_new(e->fields, "not_logged_before", json_integer(dropped)) == 0;
	if (refused->who.client[0] != '\0' && refused->who.roles != 0) {
		/* Of several roles the first: which one it meant to use is not known. */
		unsigned roles = refused->who.roles;
		e->who = entry_who_of(&refused->who, (enum role)(roles & -roles));
		e->has_who = true;
	} else if (!is_zero(refused->who.fingerprint, sizeof refused->who.fingerprint)) {
		char fingerprint[65];
		hex_encode(refused->who.fingerprint, sizeof refused->who.fingerprint, fingerprint);
		ok = ok && json_object_set_new(e->fields, "fp", json_string(fingerprint)) == 0;
	}
	if (!ok || write_queue_push(core->writes, &e->job) != RC_OK)
		refused_done(&e->job, RC_NOMEM);
}

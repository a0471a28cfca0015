/* Backups of a running unit; backups.h has the order. */
#include <dirent.h>
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

#include "daemon/base/log.h"
#include "daemon/base/thread.h"
#include "daemon/core/backups.h"
#include "daemon/core/handlers.h"
#include "daemon/store/backup.h"
#include "keys/durable.h"
#include "proto/json.h"

#define SCRATCH_NAME "restored-for-checking"
#define SUFFIX ".backup"
#define NEW_SUFFIX ".new" /* until it is whole, checked and logged */

struct backups {
	struct core *core;
	pthread_t thread;
	bool has_thread;
	struct entry_who who; /* who asked for the one that runs */
	atomic_bool stop;

	pthread_mutex_t lock; /* guards status, closed */
	struct backups_status status;
	bool closed;
};

/* One run. */
struct run {
	struct backups *backups;
	struct core *core;
	struct store_snapshot *snapshot;
	uint16_t key_number; /* of the sealing key at that moment */
	struct backup_facts facts;
	struct backup_written written;
	char path[CONF_PATH_CAP + BACKUP_NAME_CAP + 8], scratch[CONF_PATH_CAP + 32];
	struct diag diag;
};

const char *backup_state_name(enum backup_state state)
{
	static const char *const names[] = {"none", "running", "done", "failed"};
	return names[state];
}

/* ---- the moment ---- */

struct moment_job {
	struct write_job job; /* first: cast back from it */
	struct run *run;
};

static enum rc moment_apply(struct write_job *job, struct txn *txn)
{
	struct run *run = ((struct moment_job *)job)->run;
	struct core *core = run->core;
	pthread_mutex_lock(&core->lock);
	const struct release_info *last = history_last(&core->history);
	uint32_t unfinished = last != NULL && !last->released ? last->number : 0;
	pthread_mutex_unlock(&core->lock);
	if (unfinished != 0)
		return diag_set(&run->diag, RC_CONFLICT,
				"release %" PRIu32 " is not finished; its secret is in no backup: wait for it",
				unfinished);
	if (store_is_rotating(core->store))
		return diag_set(&run->diag, RC_CONFLICT, "the sealing key is being rotated; wait until that is done");
	run->key_number = seal_key_number(core->seal);
	store_snapshot_free(run->snapshot); /* of an earlier try */
	run->snapshot = NULL;
	run->facts.made_at = audit_log_now(core->log);
	enum rc rc = audit_log_signed(core->log, &run->facts.log_size, &run->facts.log_root);
	return rc == RC_OK ? store_snapshot_new(core->store, &run->snapshot) : rc;
}

/* ---- writing and checking ---- */

static void make_scratch_path(const struct conf *conf, char out[CONF_PATH_CAP + 32])
{
	snprintf(out, CONF_PATH_CAP + 32, "%s/%s", conf->backup_directory, SCRATCH_NAME);
}

/* Restore what was written, look at all of it, and remove it again. */
static enum rc verify(struct run *run, int fd)
{
	struct buffer facts;
	/* Address space for a store of that size, whatever its pages leave empty. */
	const uint64_t least = 64 << 20, page = 4096;
	uint64_t map_bytes = (3 * run->written.bytes + least) / page * page;
	struct store_options options = {.directory = run->scratch, .map_bytes = map_bytes};
	buffer_init(&facts);
	enum rc rc = store_remove(run->scratch);
	if (rc == RC_OK)
		rc = store_backup_restore(fd, &options, run->core->seal, &run->backups->stop, &facts, &run->diag);
	buffer_deinit(&facts);
	if (rc == RC_OK)
		rc = backup_check(run->scratch, map_bytes, run->core->seal, &run->facts, &run->backups->stop,
				  &run->diag);
	if (store_remove(run->scratch) != RC_OK && rc == RC_OK)
		rc = RC_IO;
	return rc;
}

static enum rc write_file(struct run *run, const char *path)
{
	uint8_t facts[BACKUP_FACTS_LEN];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return diag_set(&run->diag, errno == ENOSPC ? RC_NOSPACE : RC_IO, "%s: %s", path, strerror(errno));
	backup_facts_encode(&run->facts, facts);
	enum rc rc = store_backup_write(run->snapshot, facts, sizeof facts, fd, &run->backups->stop, &run->written);
	if (rc == RC_OK)
		rc = verify(run, fd);
	if (close(fd) != 0 && rc == RC_OK)
		rc = RC_IO;
	/* Of two keys neither opens it alone. */
	if (seal_key_number(run->core->seal) != run->key_number)
		rc = diag_set(&run->diag, RC_CONFLICT, "the sealing key was rotated meanwhile; make another one");
	return rc;
}

static enum rc log_backup(struct run *run)
{
	char id[2 * BACKUP_ID_LEN + 1], root[65], digest[65];
	hex_encode(run->written.id, BACKUP_ID_LEN, id);
	hex_encode(run->facts.log_root.b, TLOG_HASH_LEN, root);
	hex_encode(run->written.digest, 32, digest);
	json_t *fields = json_pack("{s:s, s:I, s:s, s:s}", "backup", id, "entries", (json_int_t)run->facts.log_size,
				   "root", root, "digest", digest);
	int64_t time = 0;
	enum rc rc = fields == NULL ? RC_NOMEM
				    : core_log_entry_time(run->core, ENTRY_BACKUP, &run->backups->who, fields, &time);
	json_decref(fields);
	if (rc == RC_OK) {
		pthread_mutex_lock(&run->core->lock);
		run->core->history.last_backup_at = time;
		pthread_mutex_unlock(&run->core->lock);
	}
	return rc;
}

/* ---- keeping the newest ---- */

static size_t digits(const char *text)
{
	return strspn(text, "0123456789");
}

/* Is this a name that make_name() gives, with `suffix` for its end? */
static bool is_own_name(const char *name, const char *suffix)
{
	size_t n;
	if (digits(name) != 8 || name[8] != 'T' || digits(name + 9) != 6 || strncmp(name + 15, "Z-", 2) != 0)
		return false;
	n = digits(name + 17);
	return n > 0 && strcmp(name + 17 + n, suffix) == 0;
}

static int is_backup(const struct dirent *entry)
{
	return is_own_name(entry->d_name, SUFFIX);
}

static int is_leftover(const struct dirent *entry)
{
	return is_own_name(entry->d_name, SUFFIX NEW_SUFFIX);
}

/* Remove the first of those that `filter` takes, but for the last `keep` and for `written`. Names begin with the time
 * and the size of the log, so that they sort by these. What cannot be removed is told, and is no fault of the new
 * one. */
static void remove_first(const char *folder, int (*filter)(const struct dirent *), unsigned keep, const char *written)
{
	char path[CONF_PATH_CAP + 256 + 2];
	struct dirent **names = NULL;
	int n = scandir(folder, &names, filter, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
		if (i < n - (int)keep && strcmp(names[i]->d_name, written) != 0 && unlink(path) != 0)
			log_warning("an old backup cannot be removed: %s", strerror(errno));
		free(names[i]);
	}
	free(names);
}

/* ---- the run ---- */

static enum rc run_backup(struct run *run)
{
	char temporary[sizeof run->path + 8];
	struct moment_job moment = {.job = {.apply = moment_apply}, .run = run};
	snprintf(temporary, sizeof temporary, "%s" NEW_SUFFIX, run->path);
	make_scratch_path(run->core->conf, run->scratch);
	enum rc rc = write_queue_call(run->core->writes, &moment.job);
	if (rc == RC_OK)
		rc = write_file(run, temporary);
	if (rc == RC_OK)
		rc = log_backup(run);
	if (rc == RC_OK && rename(temporary, run->path) != 0)
		rc = RC_IO;
	if (rc == RC_OK)
		rc = durable_sync_folder(run->path);
	if (rc == RC_OK)
		remove_first(run->core->conf->backup_directory, is_backup, run->core->conf->backup_keep,
			     run->backups->status.name);
	else
		unlink(temporary);
	store_snapshot_free(run->snapshot);
	return rc;
}

static void *backup_thread(void *ctx)
{
	struct backups *backups = ctx;
	struct run run = {.backups = backups, .core = backups->core};
	snprintf(run.path, sizeof run.path, "%s/%s", backups->core->conf->backup_directory, backups->status.name);
	enum rc rc = run_backup(&run);
	const char *why = run.diag.text[0] != '\0' ? run.diag.text : rc_text(rc);
	if (rc == RC_OK)
		log_info("backup: done, checked by restoring it, %" PRIu64 " log entries", run.facts.log_size);
	else
		log_error("backup: failed: %s", why);
	pthread_mutex_lock(&backups->lock);
	backups->status.state = rc == RC_OK ? BACKUP_DONE : BACKUP_FAILED;
	backups->status.error = rc;
	if (rc != RC_OK)
		diag_set(&backups->status.why, rc, "%s", why);
	pthread_mutex_unlock(&backups->lock);
	return NULL;
}

enum rc backups_prepare(const struct conf *conf, struct diag *diag)
{
	char scratch[CONF_PATH_CAP + 32];
	if (conf->backup_directory[0] == '\0')
		return RC_OK;
	make_scratch_path(conf, scratch);
	if ((mkdir(conf->backup_directory, 0700) != 0 && errno != EEXIST) ||
	    (mkdir(scratch, 0700) != 0 && errno != EEXIST))
		return diag_set(diag, RC_CONFIG, "backup_directory: %s: %s", conf->backup_directory, strerror(errno));
	remove_first(conf->backup_directory, is_leftover, 0, ""); /* of a run that was killed */
	return RC_OK;
}

enum rc backups_new(struct core *core, struct backups **ret)
{
	struct backups *backups = calloc(1, sizeof *backups);
	if (backups == NULL)
		return RC_NOMEM;
	backups->core = core;
	pthread_mutex_init(&backups->lock, NULL);
	*ret = backups;
	return RC_OK;
}

void backups_stop(struct backups *backups)
{
	if (backups == NULL)
		return;
	pthread_mutex_lock(&backups->lock);
	backups->closed = true;
	bool has_thread = backups->has_thread;
	backups->has_thread = false;
	pthread_mutex_unlock(&backups->lock);
	atomic_store(&backups->stop, true);
	if (has_thread)
		pthread_join(backups->thread, NULL);
}

void backups_free(struct backups *backups)
{
	if (backups == NULL)
		return;
	backups_stop(backups);
	pthread_mutex_destroy(&backups->lock);
	free(backups);
}

void backups_status(struct backups *backups, struct backups_status *ret)
{
	pthread_mutex_lock(&backups->lock);
	*ret = backups->status;
	pthread_mutex_unlock(&backups->lock);
}

/* ---- the request ---- */

/* The zeros let names of one second sort by the size of the log too, as `ls` and remove_first() do. */
static void make_name(struct core *core, char out[BACKUP_NAME_CAP])
{
	time_t now = (time_t)audit_log_now(core->log);
	struct tm tm;
	char when[32];
	gmtime_r(&now, &tm);
	strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm);
	snprintf(out, BACKUP_NAME_CAP, "%s-%010" PRIu64 SUFFIX, when, audit_log_signed_size(core->log));
}

static enum rc start(struct backups *backups, const struct entry_who *who, char name[BACKUP_NAME_CAP],
		     struct diag *diag)
{
	enum rc rc = RC_OK;
	make_name(backups->core, name);
	pthread_mutex_lock(&backups->lock);
	if (backups->closed) {
		rc = RC_STOPPING;
	} else if (backups->status.state == BACKUP_RUNNING) {
		rc = diag_set(diag, RC_CONFLICT, "a backup is being made");
	} else {
		if (backups->has_thread)
			pthread_join(backups->thread, NULL); /* it has ended, but for its last lines */
		backups->has_thread = false;
		backups->status = (struct backups_status){.state = BACKUP_RUNNING};
		memcpy(backups->status.name, name, BACKUP_NAME_CAP);
		backups->who = *who;
		if (thread_start(&backups->thread, backup_thread, backups) == 0)
			backups->has_thread = true;
		else
			rc = RC_NOMEM;
		if (rc != RC_OK)
			backups->status = (struct backups_status){.state = BACKUP_FAILED, .error = rc};
	}
	pthread_mutex_unlock(&backups->lock);
	return rc;
}

void backup_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	const struct pipe_request *head = request_head(request);
	struct entry_who who = entry_who_of(&head->who, ROLE_OPERATOR);
	struct diag diag = {""};
	char name[BACKUP_NAME_CAP];
	enum rc rc = request_expect_empty(head, body, len, &diag);
	if (rc == RC_OK && core->conf->backup_directory[0] == '\0')
		rc = diag_set(&diag, RC_CONFLICT, "the daemon's configuration has no backup_directory");
	if (rc == RC_OK)
		rc = start(core->backups, &who, name, &diag);
	if (rc != RC_OK) {
		request_problem(request, rc, diag.text);
		return;
	}
	request_reply_json(request, 202, json_pack("{s:s, s:s}", "backup", name, "state", "started"));
}

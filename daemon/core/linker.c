/* The linker's thread; linker.h says what it does and why it alone owns the pools.
 *
 * Invariant: a withdrawal changes which row a number stands for, so everything derived is thrown away and made again;
 * a release that was being made meanwhile is not published but made again. Pools hold the rows of batches 0 … loaded-1
 * in order of commit; while a release is unfinished, loaded never passes its cut. Pairs in the store cover a prefix of
 * each pool's rows. */
#include "daemon/core/linker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/log.h"
#include "daemon/base/monotonic.h"
#include "daemon/base/thread.h"
#include "daemon/core/pairs.h"
#include "daemon/core/release_run.h"
#include "daemon/core/rows.h"
#include "daemon/link/link.h"

enum {
	MIN_COMPARE_ROWS = 256,
	MAX_COMPARE_PAIRS = 1 << 23, /* found at a time: 160 MB */
	LOAD_BATCHES = 64,           /* at a time, so that pairs are stored as rows come */
	RETRY_S = 10,
};

struct linker {
	struct core *core;
	pthread_t thread;
	bool joined; /* of the thread that stops it */
	atomic_bool cancel;
	enum link_kernel kernel;
	struct link_options options;

	/* The thread's own. */
	struct release_rows rows[STUDY_MAX_DOMAINS];
	struct pairs_position positions[STUDY_MAX_DOMAINS];
	bool opened[STUDY_MAX_DOMAINS];
	uint64_t n_merges_failed[STUDY_MAX_DOMAINS]; /* that were told of */
	uint64_t loaded;                             /* batches in the pools */
	uint64_t withdrawals; /* as the pools know them: rows of another count are not to be used */
	uint64_t rows_version[STUDY_MAX_DOMAINS];
	bool knows_rows;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool may_work, look;
	uint64_t compared_sequence;
	uint64_t n_loaded[STUDY_MAX_DOMAINS], n_compared[STUDY_MAX_DOMAINS]; /* rows */
	uint64_t paced_pairs, paced_ms;                                      /* since the start */
	enum linker_state release_state;
	uint32_t release;
	enum rc release_error, compare_error;
	struct release_progress progress; /* while it is linking */
	bool memory_locked;
};

const char *linker_state_name(enum linker_state state)
{
	static const char *const names[] = {"idle", "comparing", "linking", "done", "failed"};
	return names[state];
}

/* ---- loading ---- */

static void close_domain(struct linker *linker, int domain)
{
	struct release_rows *rows = &linker->rows[domain];
	link_pool_free(rows->pool);
	event_rows_free(rows->events);
	*rows = (struct release_rows){NULL, NULL};
	linker->opened[domain] = false;
	linker->n_merges_failed[domain] = 0;
}

static enum rc open_domain(struct linker *linker, int domain)
{
	if (linker->opened[domain])
		return RC_OK;
	const struct study *study = linker->core->study;
	const struct study_domain *d = &study->domains[domain];
	struct release_rows *rows = &linker->rows[domain];
	enum rc rc = link_pool_new(d, &linker->options, &rows->pool);
	if (rc == RC_OK)
		rc = event_rows_new(study->n_dimensions, linker->options.memory, &rows->events);
	if (rc == RC_OK)
		rc = pairs_open(linker->core->store, linker->core->writes, d, linker->rows_version[domain],
				&linker->positions[domain]);
	if (rc == RC_OK) {
		link_pool_limit_pairs(rows->pool, MAX_COMPARE_PAIRS);
		linker->opened[domain] = true;
		if (linker->positions[domain].compared > 0)
			log_info("domain %s: %u records are compared already", d->name,
				 linker->positions[domain].compared);
	} else {
		close_domain(linker, domain);
	}
	return rc;
}

/* Two versions of a record with one revision are told apart by what they say, never by which came first. */
static uint64_t content_tie(const struct study *study, const struct batch_chunk *chunk, uint32_t i)
{
	uint8_t content[1 + 4 + STUDY_MAX_DIMENSIONS], digest[32];
	struct writer w;
	struct reader r;
	writer_init(&w, content, sizeof content);
	write_u8(&w, chunk->events[i]);
	write_u32(&w, (uint32_t)chunk->days[i]);
	for (int d = 0; d < study->n_dimensions; d++)
		write_u8(&w, chunk->codes[d][i]);
	sha256_labelled("throughcare record tie v1", content, writer_len(&w), digest);
	reader_init(&r, digest, sizeof digest);
	return read_u64(&r);
}

static enum rc add_rows(void *ctx, int source, int domain, const struct batch_chunk *chunk)
{
	struct linker *linker = ctx;
	const struct study_domain *d = &linker->core->study->domains[domain];
	enum rc rc = open_domain(linker, domain);
	for (uint32_t i = 0; i < chunk->n_records && rc == RC_OK; i++) {
		struct link_row row = {.source = (uint16_t)source, .revision = chunk->revisions[i]};
		uint32_t number;
		row.tie = content_tie(linker->core->study, chunk, i);
		memcpy(row.record_id, chunk->record_ids[i], sizeof row.record_id);
		memcpy(row.person_id, chunk->person_ids[i], sizeof row.person_id);
		for (int f = 0; f < d->n_filters; f++) {
			row.filters[f] = chunk->filters[f] + i * study_filter_bytes(d, f);
			row.missing[f] = chunk->missing[f][i] != 0;
		}
		rc = link_pool_add(linker->rows[domain].pool, &row, &number);
		if (rc == RC_OK)
			rc = event_rows_add(linker->rows[domain].events, chunk, i);
	}
	return rc;
}

/* A load that failed half-way leaves rows behind: the pools are made anew. */
static void forget_rows(struct linker *linker)
{
	for (int d = 0; d < STUDY_MAX_DOMAINS; d++)
		close_domain(linker, d);
	linker->loaded = 0;
}

static enum rc load_to(struct linker *linker, uint64_t to)
{
	enum rc rc = rows_each(linker->core, linker->loaded, to, &linker->cancel, add_rows, linker);
	if (rc == RC_OK)
		linker->loaded = to;
	else
		forget_rows(linker);
	return rc;
}

/* ---- comparing ---- */

static bool rows_have_changed(struct linker *linker)
{
	return atomic_load(&linker->core->withdrawals) != linker->withdrawals;
}

static void note_progress(struct linker *linker)
{
	uint64_t loaded[STUDY_MAX_DOMAINS] = {0}, compared[STUDY_MAX_DOMAINS] = {0};
	bool locked = true, all = true;
	for (int d = 0; d < STUDY_MAX_DOMAINS; d++) {
		if (linker->rows[d].pool == NULL)
			continue;
		loaded[d] = link_pool_n_rows(linker->rows[d].pool);
		compared[d] = linker->positions[d].compared;
		locked = locked && link_pool_memory_is_locked(linker->rows[d].pool) &&
			 event_rows_are_locked(linker->rows[d].events);
		all = all && compared[d] >= loaded[d];
	}
	pthread_mutex_lock(&linker->lock);
	memcpy(linker->n_loaded, loaded, sizeof loaded);
	memcpy(linker->n_compared, compared, sizeof compared);
	linker->memory_locked = locked;
	if (all)
		linker->compared_sequence = linker->loaded;
	pthread_mutex_unlock(&linker->lock);
}

/* Pairs of so many rows. */
static uint64_t n_pairs_of(uint64_t n_rows)
{
	return n_rows * (n_rows - (n_rows > 0)) / 2;
}

static void note_pace(struct linker *linker, uint64_t from, uint64_t to, int64_t since_ms)
{
	pthread_mutex_lock(&linker->lock);
	linker->paced_pairs += n_pairs_of(to) - n_pairs_of(from);
	linker->paced_ms += (uint64_t)(monotonic_ms() - since_ms);
	pthread_mutex_unlock(&linker->lock);
}

/* Keep what was found, unless the domain then had more pairs than its rows allow. */
static enum rc store_pairs(struct linker *linker, int domain, uint32_t end, const struct link_pair *pairs, size_t n)
{
	struct core *core = linker->core;
	struct pairs_position *position = &linker->positions[domain];
	const struct study_domain *d = &core->study->domains[domain];
	const struct store_reserve leave = core_reserve(core);
	if (position->n_pairs + n >
	    pairs_max(link_pool_n_rows(linker->rows[domain].pool), core->conf->max_pairs_per_record)) {
		log_error("domain %s: too many records are nearly equal; comparing stands still (max_pairs_per_record)",
			  d->name);
		return RC_TOO_LARGE;
	}
	return pairs_store(core->writes, &leave, d, position, end, pairs, n);
}

/* It finds the same, and takes longer. */
static void tell_failed_merges(struct linker *linker, int domain)
{
	enum rc last = RC_OK;
	uint64_t n = link_pool_merge_failures(linker->rows[domain].pool, &last);
	if (n > linker->n_merges_failed[domain])
		log_warning("domain %s: merging indexes of compared records failed, so comparing takes longer: %s",
			    linker->core->study->domains[domain].name, rc_text(last));
	linker->n_merges_failed[domain] = n;
}

static enum rc compare_domain(struct linker *linker, int domain)
{
	struct link_pool *pool = linker->rows[domain].pool;
	struct pairs_position *position = &linker->positions[domain];
	enum rc rc = RC_OK;
	uint32_t n_rows = link_pool_n_rows(pool);
	if (n_rows == 0)
		return RC_OK;
	uint64_t step = linker->core->conf->compare_step_pairs / n_rows;
	step = step < MIN_COMPARE_ROWS ? MIN_COMPARE_ROWS : step;
	while (rc == RC_OK && position->compared < n_rows && !rows_have_changed(linker)) {
		struct link_pair *pairs = NULL;
		size_t n = 0;
		uint32_t left = n_rows - position->compared;
		uint32_t rows = left < step ? left : (uint32_t)step, before = position->compared;
		int64_t since = monotonic_ms();
		rc = link_compare(pool, position->compared, position->compared + rows, &linker->cancel, &pairs, &n);
		if (rc == RC_OK) {
			rc = store_pairs(linker, domain, position->compared + rows, pairs, n);
		} else if (rc == RC_TOO_LARGE && rows > 1) {
			step = rows / 2;
			rc = RC_OK;
		}
		free(pairs);
		tell_failed_merges(linker, domain);
		note_pace(linker, before, position->compared, since);
		note_progress(linker);
	}
	return rc;
}

static enum rc compare_all(struct linker *linker)
{
	enum rc rc = RC_OK;
	for (int d = 0; d < linker->core->study->n_domains && rc == RC_OK; d++) {
		if (linker->rows[d].pool != NULL)
			rc = compare_domain(linker, d);
	}
	note_progress(linker);
	return rc;
}

/* ---- releases ---- */

static void set_release(struct linker *linker, uint32_t number, enum linker_state state, enum rc error)
{
	pthread_mutex_lock(&linker->lock);
	linker->release = number;
	linker->release_state = state;
	linker->release_error = error;
	pthread_mutex_unlock(&linker->lock);
}

/* What there is to load, and for which release if one is unfinished. Both of one moment: a batch that was committed
 * after a release was started must never be taken for one from before its cut. */
struct goal {
	bool publishing;
	struct release_info info;
	uint64_t batches;
};

static struct goal look_for_goal(struct core *core)
{
	struct goal goal = {.publishing = false};
	pthread_mutex_lock(&core->lock);
	const struct release_info *last = history_last(&core->history);
	goal.batches = core->n_batches;
	if (last != NULL && !last->released) {
		goal.publishing = true;
		goal.info = *last;
		goal.batches = last->cut_batches;
	}
	pthread_mutex_unlock(&core->lock);
	return goal;
}

/* Pairs that do not open are made again; they are derived. */
static enum rc remake_pairs(struct linker *linker)
{
	enum rc rc = RC_OK;
	log_error("stored candidate pairs are damaged; comparing all records again");
	for (int d = 0; d < linker->core->study->n_domains && rc == RC_OK; d++) {
		if (linker->rows[d].pool != NULL)
			rc = pairs_drop(linker->core->writes, &linker->core->study->domains[d], linker->rows_version[d],
					&linker->positions[d]);
	}
	return rc == RC_OK ? compare_all(linker) : rc;
}

static void begin_step(void *ctx, unsigned step)
{
	struct linker *linker = ctx;
	pthread_mutex_lock(&linker->lock);
	release_progress_step(&linker->progress, step);
	pthread_mutex_unlock(&linker->lock);
}

static void begin_linking(struct linker *linker, uint32_t number)
{
	log_info("release %u: linking", number);
	pthread_mutex_lock(&linker->lock);
	release_progress_begin(&linker->progress);
	pthread_mutex_unlock(&linker->lock);
	set_release(linker, number, LINKER_LINKING, RC_OK);
}

static void log_steps(struct linker *linker, uint32_t number)
{
	pthread_mutex_lock(&linker->lock);
	struct release_progress progress = linker->progress;
	pthread_mutex_unlock(&linker->lock);
	release_progress_log(&progress, number);
}

static void run_release(struct linker *linker, const struct release_info *info)
{
	const struct release_watch watch = {begin_step, linker};
	begin_linking(linker, info->number);
	enum rc rc = release_run(linker->core, info, linker->rows, linker->withdrawals, &linker->cancel, &watch);
	if (rc == RC_DAMAGED && !rows_have_changed(linker)) {
		rc = remake_pairs(linker);
		if (rc == RC_OK)
			rc = release_run(linker->core, info, linker->rows, linker->withdrawals, &linker->cancel,
					 &watch);
	}
	if (rc != RC_OK && rows_have_changed(linker)) {
		log_info("release %u: records were withdrawn meanwhile; linking again", info->number);
		return;
	}
	if (rc == RC_STOPPING) {
		/* The next start takes it up again. */
		set_release(linker, info->number, LINKER_IDLE, RC_OK);
		return;
	}
	log_steps(linker, info->number);
	if (rc == RC_OK)
		log_info("release %u: published", info->number);
	else
		log_error("release %u: failed: %s", info->number, rc_text(rc));
	set_release(linker, info->number, rc == RC_OK ? LINKER_DONE : LINKER_FAILED, rc);
}

/* ---- the thread ---- */

static bool release_has_failed(struct linker *linker, uint32_t number)
{
	pthread_mutex_lock(&linker->lock);
	bool failed = linker->release == number && linker->release_state == LINKER_FAILED;
	pthread_mutex_unlock(&linker->lock);
	return failed;
}

static enum rc load_and_compare(struct linker *linker, uint64_t limit)
{
	enum rc rc = RC_OK;
	/* Compare what is there even when nothing new came: a stop may have cut it short. */
	do {
		uint64_t left = limit - linker->loaded;
		if (left > 0)
			rc = load_to(linker, linker->loaded + (left < LOAD_BATCHES ? left : LOAD_BATCHES));
		if (rc == RC_OK)
			rc = compare_all(linker);
	} while (rc == RC_OK && linker->loaded < limit && !atomic_load(&linker->cancel) && !rows_have_changed(linker));
	if (rc == RC_OK && atomic_load(&linker->cancel))
		rc = RC_STOPPING;
	/* What went wrong, if anything, did so because chunks were replaced: the next look is at the new ones. */
	if (rc != RC_STOPPING && rows_have_changed(linker))
		return RC_BUSY;
	pthread_mutex_lock(&linker->lock);
	linker->compare_error = rc == RC_STOPPING ? RC_OK : rc;
	pthread_mutex_unlock(&linker->lock);
	if (rc != RC_OK && rc != RC_STOPPING)
		log_error("comparing records failed: %s", rc_text(rc));
	return rc;
}

/* Before any row is read: which version of them it will be. When they changed, what is of the old ones goes. */
static enum rc look_at_rows(struct linker *linker)
{
	const struct study *study = linker->core->study;
	struct txn *txn = NULL;
	uint64_t withdrawals = atomic_load(&linker->core->withdrawals);
	if (linker->knows_rows && withdrawals == linker->withdrawals)
		return RC_OK;
	forget_rows(linker);
	note_progress(linker);
	enum rc rc = txn_begin_read(linker->core->store, &txn);
	for (int d = 0; d < study->n_domains && rc == RC_OK; d++)
		rc = pairs_rows_version(txn, &study->domains[d], &linker->rows_version[d]);
	txn_abort(txn);
	linker->withdrawals = withdrawals;
	linker->knows_rows = rc == RC_OK;
	return rc;
}

/* All there is to do now. */
static enum rc work(struct linker *linker)
{
	enum rc rc = look_at_rows(linker);
	if (rc != RC_OK)
		return rc;
	struct goal goal = look_for_goal(linker->core);
	if (goal.publishing && release_has_failed(linker, goal.info.number))
		return RC_OK;
	if (goal.publishing)
		set_release(linker, goal.info.number, LINKER_COMPARING, RC_OK);
	rc = load_and_compare(linker, goal.batches);
	if (!goal.publishing)
		return rc;
	if (rc == RC_OK)
		run_release(linker, &goal.info);
	else if (rc != RC_STOPPING && rc != RC_BUSY)
		set_release(linker, goal.info.number, LINKER_FAILED, rc);
	return rc;
}

static bool has_more(struct linker *linker)
{
	struct goal goal = look_for_goal(linker->core);
	return !goal.publishing && linker->loaded < goal.batches;
}

static void *linker_thread(void *arg)
{
	struct linker *linker = arg;
	enum rc rc = RC_OK;
	pthread_mutex_lock(&linker->lock);
	while (!atomic_load(&linker->cancel)) {
		if (!linker->may_work) {
			pthread_cond_wait(&linker->wake, &linker->lock);
			continue;
		}
		if (!linker->look) {
			struct timespec until = monotonic_after(RETRY_S);
			pthread_cond_timedwait(&linker->wake, &linker->lock, &until);
			/* After a failure it is tried again by itself, e.g. once there is room. */
			if (!linker->look && rc == RC_OK)
				continue;
		}
		linker->look = false;
		pthread_mutex_unlock(&linker->lock);
		rc = work(linker);
		bool more = rows_have_changed(linker) || (rc == RC_OK && has_more(linker));
		pthread_mutex_lock(&linker->lock);
		linker->look = linker->look || more;
	}
	pthread_mutex_unlock(&linker->lock);
	return NULL;
}

static enum link_kernel best_kernel(void)
{
	static const enum link_kernel from_best[] = {LINK_KERNEL_AVX512, LINK_KERNEL_AVX2};
	for (size_t i = 0; i < sizeof from_best / sizeof from_best[0]; i++) {
		if (link_kernel_is_available(from_best[i]))
			return from_best[i];
	}
	return LINK_KERNEL_SCALAR;
}

enum rc linker_new(struct core *core, struct linker **ret, struct diag *diag)
{
	struct linker *linker = calloc(1, sizeof *linker);
	if (linker == NULL)
		return RC_NOMEM;
	linker->core = core;
	linker->options.n_threads = core->n_threads;
	linker->options.memory = core->conf->memory_lock_required ? LINK_MEMORY_MUST_LOCK : LINK_MEMORY_TRY_LOCK;
	linker->memory_locked = true;
	linker->look = true;
	const struct release_info *last = history_last_released(&core->history);
	if (last != NULL) {
		linker->release = last->number;
		linker->release_state = LINKER_DONE;
	}
	if (!link_kernel_parse(core->conf->link_kernel, &linker->options.kernel) ||
	    !link_kernel_is_available(linker->options.kernel)) {
		free(linker);
		return diag_set(diag, RC_CONFIG, "link_kernel: %s is not there on this processor",
				core->conf->link_kernel);
	}
	/* Decided here, so that status can say which it is. */
	if (linker->options.kernel == LINK_KERNEL_AUTO)
		linker->options.kernel = best_kernel();
	pthread_mutex_init(&linker->lock, NULL);
	monotonic_cond_init(&linker->wake);
	if (thread_start(&linker->thread, linker_thread, linker) != 0) {
		pthread_cond_destroy(&linker->wake);
		pthread_mutex_destroy(&linker->lock);
		free(linker);
		return RC_NOMEM;
	}
	*ret = linker;
	return RC_OK;
}

void linker_begin(struct linker *linker)
{
	pthread_mutex_lock(&linker->lock);
	linker->may_work = true;
	pthread_cond_signal(&linker->wake);
	pthread_mutex_unlock(&linker->lock);
}

void linker_stop(struct linker *linker)
{
	if (linker == NULL || linker->joined)
		return;
	atomic_store(&linker->cancel, true);
	linker_wake(linker);
	pthread_join(linker->thread, NULL);
	linker->joined = true;
	forget_rows(linker);
}

void linker_free(struct linker *linker)
{
	if (linker == NULL)
		return;
	linker_stop(linker);
	pthread_cond_destroy(&linker->wake);
	pthread_mutex_destroy(&linker->lock);
	free(linker);
}

void linker_wake(struct linker *linker)
{
	pthread_mutex_lock(&linker->lock);
	linker->look = true;
	pthread_cond_signal(&linker->wake);
	pthread_mutex_unlock(&linker->lock);
}

void linker_retry(struct linker *linker)
{
	pthread_mutex_lock(&linker->lock);
	linker->release_state = LINKER_COMPARING;
	linker->release_error = RC_OK;
	pthread_mutex_unlock(&linker->lock);
	linker_wake(linker);
}

/* What is compared and what is left, with `committed` records in all: those that are not loaded yet are taken to go to
 * domains as those did that are. */
static void describe_progress(const struct linker *linker, uint64_t committed, struct linker_status *ret)
{
	uint64_t loaded = 0, done = 0;
	for (int d = 0; d < STUDY_MAX_DOMAINS; d++) {
		loaded += linker->n_loaded[d];
		/* After a start pairs are there before the rows are. */
		done += linker->n_compared[d] < linker->n_loaded[d] ? linker->n_compared[d] : linker->n_loaded[d];
	}
	ret->n_rows_pending = committed > done ? committed - done : 0;
	for (int d = 0; d < STUDY_MAX_DOMAINS; d++) {
		uint64_t n = linker->n_loaded[d];
		if (committed > loaded)
			n = loaded > 0 ? n * committed / loaded : d == 0 ? committed : 0;
		n = n > linker->n_compared[d] ? n : linker->n_compared[d];
		ret->n_pairs_compared += n_pairs_of(linker->n_compared[d]);
		ret->n_pairs_left += n_pairs_of(n) - n_pairs_of(linker->n_compared[d]);
	}
	ret->seconds_left = UINT64_MAX;
	if (ret->n_pairs_left == 0)
		ret->seconds_left = 0;
	else if (linker->paced_pairs > 0)
		ret->seconds_left = (uint64_t)((double)ret->n_pairs_left * (double)linker->paced_ms /
					       ((double)linker->paced_pairs * 1000.0));
}

void linker_status(struct linker *linker, struct linker_status *ret)
{
	pthread_mutex_lock(&linker->core->lock);
	uint64_t committed = linker->core->n_records - linker->core->history.n_withdrawn;
	pthread_mutex_unlock(&linker->core->lock);
	pthread_mutex_lock(&linker->lock);
	*ret = (struct linker_status){
		.release_state = linker->release_state,
		.release = linker->release,
		.release_error = linker->release_error,
		.compare_error = linker->compare_error,
		.memory_locked = linker->memory_locked,
		.kernel = link_kernel_name(linker->options.kernel),
	};
	if (linker->release_state == LINKER_LINKING) {
		ret->release_step = linker->progress.step;
		ret->release_s = release_progress_seconds(&linker->progress);
	}
	describe_progress(linker, committed, ret);
	pthread_mutex_unlock(&linker->lock);
}

bool linker_has_compared(struct linker *linker, uint64_t sequence)
{
	pthread_mutex_lock(&linker->lock);
	bool compared = sequence < linker->compared_sequence;
	pthread_mutex_unlock(&linker->lock);
	return compared;
}

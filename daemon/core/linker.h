/* The linker: one background thread that owns the encoded records in memory.
 *
 * It loads committed batches in order of commit, compares new rows with all, stores candidate pairs in slices, and runs
 * releases. Since it alone touches the pools, and never loads beyond the cut of a release that is running, a release
 * sees exactly the records at its cut. What it stores is derived: pairs may be thrown away and are made again. */
#ifndef DAEMON_CORE_LINKER_H
#define DAEMON_CORE_LINKER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/state.h"
#include "proto/rc.h"

struct linker;

enum linker_state { LINKER_IDLE, LINKER_COMPARING, LINKER_LINKING, LINKER_DONE, LINKER_FAILED };
const char *linker_state_name(enum linker_state state);

/* Start the thread, which waits for linker_begin(). Errors: NOMEM, CONFIG (kernel). */
enum rc linker_new(struct core *core, struct linker **ret, struct diag *diag) MUST_CHECK;
/* The log says that the daemon has started, and the rows are what they are to be: go to work. Takes up a release that a
 * crash or a stop left unfinished. */
void linker_begin(struct linker *linker);
/* Stop at the next pause of comparing (within 50 ms), join, wipe the records. What follows still answers, since the
 * writer may have jobs left that call it. NULL is a no-op. */
void linker_stop(struct linker *linker);
/* Stop, and free. After the writer has ended. */
void linker_free(struct linker *linker);

/* A batch was committed, or a release was started: look again. */
void linker_wake(struct linker *linker);
/* Try a failed release again. */
void linker_retry(struct linker *linker);

struct linker_status {
	enum linker_state release_state;
	uint32_t release;                 /* number that the state is about, 0 = none yet */
	enum rc release_error, compare_error;
	unsigned release_step;            /* while it is linking: release_step_name says what that is, … */
	int64_t release_s;                /* … and so long it has been */
	uint64_t n_rows_pending;          /* committed records that are not compared yet */
	uint64_t n_pairs_compared;        /* of records, within and across sources */
	uint64_t n_pairs_left;            /* about, where a study has several domains and not all is loaded */
	uint64_t seconds_left;            /* at the pace since the start; UINT64_MAX = not known yet */
	bool memory_locked;
	const char *kernel;
};
void linker_status(struct linker *linker, struct linker_status *ret);
bool linker_has_compared(struct linker *linker, uint64_t sequence);

#endif

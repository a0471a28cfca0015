#include "tools/encode/idset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FIRST_CAP = 1024,
	BLOCK_WORDS = 8,     /* of a run's filter: one cache line */
	BLOCK_ELEMENTS = 64, /* 8 bits an element */
	N_PROBES = 5,
	WINDOW = 4096, /* digests read at a time: three deviations around where one is expected in a full run */
};

/* What went into the temporary file at once, ascending. */
struct run {
	off_t at;
	size_t n, n_blocks;
	uint64_t *filter;
};

struct idset {
	uint64_t *slots; /* 0 = free; the digest 0 is kept in `zero` */
	size_t n, cap, max_cap;
	bool zero;
	struct run *runs;
	size_t n_runs;
	int fd; /* -1 = nothing was written yet */
	off_t end;
	uint64_t *window;
};

enum rc idset_new(size_t max_cap, struct idset **ret)
{
	struct idset *set = calloc(1, sizeof *set);
	if (set == NULL)
		return RC_NOMEM;
	set->fd = -1;
	set->cap = FIRST_CAP;
	set->max_cap = max_cap;
	set->slots = calloc(set->cap, sizeof *set->slots);
	if (set->slots == NULL) {
		free(set);
		return RC_NOMEM;
	}
	*ret = set;
	return RC_OK;
}

void idset_free(struct idset *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->n_runs; i++)
		free(set->runs[i].filter);
	if (set->fd >= 0)
		close(set->fd);
	free(set->runs);
	free(set->window);
	free(set->slots);
	free(set);
}

/* The ids are digests already, so their low bits are as good as a hash. */
static bool put(uint64_t *slots, size_t cap, uint64_t id)
{
	size_t i = (size_t)id & (cap - 1);
	while (slots[i] != 0 && slots[i] != id)
		i = (i + 1) & (cap - 1);
	bool new = slots[i] == 0;
	slots[i] = id;
	return new;
}

static bool has(const uint64_t *slots, size_t cap, uint64_t id)
{
	size_t i = (size_t)id & (cap - 1);
	while (slots[i] != 0 && slots[i] != id)
		i = (i + 1) & (cap - 1);
	return slots[i] != 0;
}

static enum rc grow(struct idset *set)
{
	uint64_t *slots = calloc(set->cap * 2, sizeof *slots);
	if (slots == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < set->cap; i++) {
		if (set->slots[i] != 0)
			put(slots, set->cap * 2, set->slots[i]);
	}
	free(set->slots);
	set->slots = slots;
	set->cap *= 2;
	return RC_OK;
}

/* ---- the filter of a run ---- */

static uint64_t *filter_block(const struct run *run, uint64_t id)
{
	return run->filter + (size_t)((unsigned __int128)id * run->n_blocks >> 64) * BLOCK_WORDS;
}

static void filter_add(struct run *run, uint64_t id)
{
	uint64_t *block = filter_block(run, id), bits = id * 0x9E3779B97F4A7C15u;
	for (unsigned i = 0; i < N_PROBES; i++, bits >>= 9)
		block[bits >> 6 & 7] |= 1ull << (bits & 63);
}

static bool filter_may_have(const struct run *run, uint64_t id)
{
	const uint64_t *block = filter_block(run, id);
	uint64_t bits = id * 0x9E3779B97F4A7C15u, all = 1;
	for (unsigned i = 0; i < N_PROBES; i++, bits >>= 9)
		all &= block[bits >> 6 & 7] >> (bits & 63);
	return (all & 1) != 0;
}

/* ---- the temporary file ---- */

enum { FOLDER_CAP = 4096, NAME_CAP = 32 };

const char *idset_folder(void)
{
	const char *folder = getenv("TMPDIR");
	return folder == NULL || folder[0] == '\0' || strlen(folder) > FOLDER_CAP - NAME_CAP ? "/tmp" : folder;
}

static enum rc file_error(void)
{
	return errno == ENOSPC || errno == EDQUOT ? RC_NOSPACE : RC_IO;
}

static enum rc open_file(struct idset *set)
{
	const char *folder = idset_folder();
	char path[FOLDER_CAP];
	set->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (set->fd >= 0)
		return RC_OK;
	/* Not every file system knows O_TMPFILE. */
	strcpy(path, folder);
	strcat(path, "/throughcare-XXXXXX");
	set->fd = mkostemp(path, O_CLOEXEC);
	if (set->fd < 0)
		return file_error();
	unlink(path);
	return RC_OK;
}

static enum rc write_all(int fd, const void *data, size_t len, off_t at)
{
	const uint8_t *bytes = data;
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return file_error();
		bytes += n;
		at += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Move all slots into a new run. */
static enum rc spill(struct idset *set)
{
	struct run run = {.at = set->end, .n = set->n, .n_blocks = set->n / BLOCK_ELEMENTS + 1};
	struct run *runs = reallocarray(set->runs, set->n_runs + 1, sizeof *runs);
	if (runs == NULL)
		return RC_NOMEM;
	set->runs = runs;
	enum rc rc = set->fd < 0 ? open_file(set) : RC_OK;
	if (rc != RC_OK)
		return rc;
	if (set->window == NULL)
		set->window = reallocarray(NULL, WINDOW, sizeof *set->window);
	run.filter = aligned_alloc(64, run.n_blocks * BLOCK_WORDS * sizeof *run.filter);
	if (run.filter == NULL || set->window == NULL) {
		free(run.filter);
		return RC_NOMEM;
	}
	memset(run.filter, 0, run.n_blocks * BLOCK_WORDS * sizeof *run.filter);
	size_t n = 0;
	for (size_t i = 0; i < set->cap; i++) {
		if (set->slots[i] != 0)
			set->slots[n++] = set->slots[i];
	}
	for (size_t i = 0; i < n; i++)
		filter_add(&run, set->slots[i]);
	qsort(set->slots, n, sizeof *set->slots, compare_ids);
	rc = write_all(set->fd, set->slots, n * sizeof *set->slots, set->end);
	if (rc != RC_OK) {
		free(run.filter);
		return rc;
	}
	set->end += (off_t)(n * sizeof *set->slots);
	set->runs[set->n_runs++] = run;
	memset(set->slots, 0, set->cap * sizeof *set->slots);
	set->n = 0;
	return RC_OK;
}

/* Read `n` digests of a run from `from` on into the window. */
static enum rc read_window(struct idset *set, const struct run *run, size_t from, size_t n)
{
	uint8_t *bytes = (uint8_t *)set->window;
	size_t len = n * sizeof *set->window;
	off_t at = run->at + (off_t)(from * sizeof *set->window);
	while (len > 0) {
		ssize_t got = pread(set->fd, bytes, len, at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return RC_IO;
		bytes += got;
		at += got;
		len -= (size_t)got;
	}
	return RC_OK;
}

/* Digests are uniform, so where one would stand is known to within a window; where chance had it otherwise, the windows
 * beside it are read too. */
static enum rc run_has(struct idset *set, const struct run *run, uint64_t id, bool *ret)
{
	size_t guess = (size_t)((unsigned __int128)id * run->n >> 64), low = 0, high = run->n;
	size_t from = guess > WINDOW / 2 ? guess - WINDOW / 2 : 0;
	*ret = false;
	while (low < high) {
		size_t n = high - from < WINDOW ? high - from : WINDOW;
		enum rc rc = read_window(set, run, from, n);
		if (rc != RC_OK)
			return rc;
		if (id < set->window[0]) {
			high = from;
			from = high - low > WINDOW ? high - WINDOW : low;
		} else if (id > set->window[n - 1]) {
			low = from = from + n;
		} else {
			*ret = bsearch(&id, set->window, n, sizeof id, compare_ids) != NULL;
			return RC_OK;
		}
	}
	return RC_OK;
}

void idset_prefetch(const struct idset *set, uint64_t id)
{
	__builtin_prefetch(&set->slots[(size_t)id & (set->cap - 1)]);
}

enum rc idset_add(struct idset *set, uint64_t id, bool *ret_new)
{
	enum rc rc = RC_OK;
	if (id == 0) {
		*ret_new = !set->zero;
		set->zero = true;
		return RC_OK;
	}
	if (set->n >= set->cap / 8 * 7)
		rc = set->cap < set->max_cap ? grow(set) : spill(set);
	bool old = rc == RC_OK && has(set->slots, set->cap, id);
	for (size_t i = 0; i < set->n_runs && rc == RC_OK && !old; i++) {
		if (filter_may_have(&set->runs[i], id))
			rc = run_has(set, &set->runs[i], id, &old);
	}
	if (rc != RC_OK)
		return rc;
	if (!old)
		set->n += put(set->slots, set->cap, id);
	*ret_new = !old;
	return RC_OK;
}

/* throughcare encode: no output may be written over an input, a key or another output. */
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/encode_job.h"
#include "tools/output_file.h"

struct place {
	const char *option, *path; /* path NULL = not given */
	bool exists;
	dev_t dev;
	ino_t ino;
	char *full; /* of what does not exist yet, where its folder does; else NULL */
};

/* The full name that a new file would have: folders may be reached by several ways. */
static char *full_name(const char *path)
{
	char *copy = strdup(path), *folder = copy != NULL ? realpath(dirname(copy), NULL) : NULL;
	const char *slash = strrchr(path, '/');
	char *full = NULL;
	if (folder != NULL && asprintf(&full, "%s/%s", folder, slash != NULL ? slash + 1 : path) < 0)
		full = NULL;
	free(folder);
	free(copy);
	return full;
}

static void find(struct place *p)
{
	struct stat info;
	if (p->path == NULL)
		return;
	p->exists = (strcmp(p->path, "-") == 0 && strcmp(p->option, "the register") == 0 ? fstat(STDIN_FILENO, &info)
											 : stat(p->path, &info)) == 0;
	if (p->exists) {
		p->dev = info.st_dev;
		p->ino = info.st_ino;
	} else {
		p->full = full_name(p->path);
	}
}

static bool is_same(const struct place *a, const struct place *b)
{
	if (a->path == NULL || b->path == NULL)
		return false;
	if (a->exists && b->exists)
		return a->dev == b->dev && a->ino == b->ino;
	if (a->exists || b->exists)
		return false;
	return strcmp(a->path, b->path) == 0 || (a->full != NULL && b->full != NULL && strcmp(a->full, b->full) == 0);
}

enum rc encode_paths_record_key(const struct encode_job *job, char **ret, struct diag *diag)
{
	const char *slash = job->secret != NULL ? strrchr(job->secret, '/') : NULL;
	int len = slash != NULL ? (int)(slash - job->secret) + 1 : 0;
	char *own = NULL, *beside = NULL;
	struct stat info;
	*ret = NULL;
	if (job->secret == NULL || job->source == NULL || strchr(job->source, '/') != NULL)
		return RC_OK;
	enum rc rc = asprintf(&own, "%.*s../%s/record.key", len, job->secret, job->source) < 0 ||
				     asprintf(&beside, "%.*srecord.key", len, job->secret) < 0
			     ? RC_NOMEM
			     : RC_OK;
	bool has_own = rc == RC_OK && lstat(own, &info) == 0, has_beside = rc == RC_OK && lstat(beside, &info) == 0;
	/* Under another key than last time every record would be a new one. */
	if (has_own && has_beside)
		rc = diag_set(diag, RC_USAGE, "--record-key is needed: there are both %s and %s", own, beside);
	if (rc == RC_OK && (has_own || has_beside)) {
		*ret = has_own ? own : beside;
		free(has_own ? beside : own);
		return RC_OK;
	}
	free(own);
	free(beside);
	return rc;
}

enum rc encode_paths_check(const struct encode_job *job, struct diag *diag)
{
	enum { N_OUTPUTS = 4 };
	bool shown = job->report != NULL && strcmp(job->report, "-") == 0;
	struct place places[] = {
		{.option = "--output", .path = job->output},
		{.option = "--clks", .path = job->clks},
		{.option = "--reject", .path = job->reject},
		{.option = "--report", .path = shown ? NULL : job->report},
		/* What is read. */
		{.option = "the register", .path = job->input},
		{.option = "--study", .path = job->study},
		{.option = "--secret", .path = job->secret},
		{.option = "--record-key", .path = job->record_key},
		{.option = "--schema", .path = job->schema},
		{.option = "--from-clks", .path = job->from_clks},
	};
	size_t n = sizeof places / sizeof places[0];
	struct diag inner = {""};
	enum rc rc = RC_OK;
	for (size_t i = 0; i < n; i++)
		find(&places[i]);
	for (size_t i = 0; i < N_OUTPUTS && rc == RC_OK; i++) {
		if (places[i].path != NULL && strcmp(places[i].path, "-") == 0)
			rc = diag_set(diag, RC_USAGE, "%s has to be a file, and - is none", places[i].option);
		for (size_t j = i + 1; j < n && rc == RC_OK; j++) {
			if (is_same(&places[i], &places[j]))
				rc = diag_set(diag, RC_USAGE, "%s and %s are the same file, %s; nothing was written",
					      places[i].option, places[j].option, places[i].path);
		}
		if (rc == RC_OK && places[i].path != NULL && output_file_check(places[i].path, &inner) != RC_OK)
			rc = diag_set(diag, RC_USAGE, "%s %s", places[i].option, inner.text);
	}
	for (size_t i = 0; i < n; i++)
		free(places[i].full);
	/* Given without a name, it takes the word that follows for one, and that may be a register. */
	size_t len = job->report != NULL ? strlen(job->report) : 0;
	if (rc == RC_OK && len >= 4 && strcasecmp(job->report + len - 4, ".csv") == 0)
		rc = diag_set(diag, RC_USAGE, "--report: a report is text or HTML; its name must not end in .csv");
	return rc;
}

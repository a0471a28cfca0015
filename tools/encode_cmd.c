/* throughcare encode: options, and what its two jobs share. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/encode_job.h"
#include "tools/options.h"

enum { REFUSALS_BYTES = 64 << 10 };

static ssize_t read_input(void *ctx, void *buffer, size_t cap)
{
	struct encode_input *in = ctx;
	ssize_t n;
	do
		n = read(in->fd, buffer, cap);
	while (n < 0 && errno == EINTR);
	in->bytes += n > 0 ? (uint64_t)n : 0;
	return n;
}

enum rc encode_input_open(const struct encode_job *job, struct encode_input *in, struct diag *diag)
{
	struct register_source source = {read_input, in};
	struct diag inner = {""};
	struct stat info;
	bool is_stdin = strcmp(job->input, "-") == 0;
	*in = (struct encode_input){.name = is_stdin ? "standard input" : job->input};
	in->fd = is_stdin ? STDIN_FILENO : open(job->input, O_RDONLY | O_CLOEXEC);
	if (in->fd < 0)
		return diag_set(diag, RC_IO, "%s: %s", in->name, strerror(errno));
	bool known = fstat(in->fd, &info) == 0;
	if (known && S_ISDIR(info.st_mode))
		return diag_set(diag, RC_IO, "%s: is a folder; name the file in it", in->name);
	/* A pipe has no length, and no bar. */
	if (known && S_ISREG(info.st_mode))
		progress_init(&in->progress, in->name, (uint64_t)info.st_size);
	enum rc rc = register_open(&source, &in->file, &inner);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s: %s", in->name, inner.text);
	if (job->reject != NULL)
		rc = output_file_open(job->reject, &in->reject, diag);
	if (rc == RC_OK && in->reject != NULL)
		buffer_printf(&in->refusals, "row,line,column,reason\n");
	return rc;
}

enum rc encode_input_next(struct encode_input *in, struct register_row *row, bool *ret_more, struct diag *diag)
{
	struct diag inner = {""};
	enum rc rc = register_next(in->file, row, ret_more, &inner);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s: %s", in->name, inner.text);
	if (*ret_more && ++in->rows % 512 == 0)
		progress_set(&in->progress, in->bytes);
	return RC_OK;
}

static enum rc flush_refusals(struct encode_input *in, struct diag *diag)
{
	if (in->refusals.failed)
		return diag_set(diag, RC_NOMEM, "out of memory");
	enum rc rc = output_file_write(in->reject, in->refusals.data, in->refusals.len, diag);
	buffer_reset(&in->refusals);
	return rc;
}

enum rc encode_input_refuse(struct encode_input *in, const struct register_row *row, const char *column,
			    const char *rule, struct diag *diag)
{
	if (in->reject == NULL)
		return diag_set(diag, RC_INVALID, "%s: row %llu (line %llu)%s%s: %s", in->name,
				(unsigned long long)row->number, (unsigned long long)row->line,
				column[0] != '\0' ? ", column " : "", column, rule);
	in->rejected++;
	/* Column names and rules come from study and schema; quoted, since rules list codes with commas. */
	buffer_printf(&in->refusals, "%llu,%llu,\"%s\",\"%s\"\n", (unsigned long long)row->number,
		      (unsigned long long)row->line, column, rule);
	return in->refusals.len < REFUSALS_BYTES ? RC_OK : flush_refusals(in, diag);
}

enum rc encode_input_close(struct encode_input *in, struct diag *diag)
{
	enum rc rc = RC_OK;
	progress_clear(&in->progress);
	register_close(in->file);
	if (in->fd > STDIN_FILENO)
		close(in->fd);
	if (in->reject != NULL && in->complete) {
		rc = flush_refusals(in, diag);
		if (rc == RC_OK)
			rc = output_file_commit(in->reject, diag);
	}
	output_file_close(in->reject);
	buffer_deinit(&in->refusals);
	return rc;
}

static enum rc check_options(const struct encode_job *job, struct diag *diag)
{
	bool clks = job->schema != NULL || job->clks != NULL;
	if (clks && (job->study != NULL || job->source != NULL || job->output != NULL || job->record_key != NULL ||
		     job->report != NULL))
		return diag_set(diag, RC_USAGE,
				"--schema with --clks makes clkhash's CLKs and takes no study, source, "
				"record key, output or report");
	if (clks && job->batch_records != UINT32_MAX)
		return diag_set(diag, RC_USAGE, "--batch-records is about batches, and --clks makes none");
	if (clks && (job->schema == NULL || job->clks == NULL))
		return diag_set(diag, RC_USAGE, "--schema and --clks go together");
	if (!clks && (job->study == NULL || job->source == NULL || job->output == NULL))
		return diag_set(diag, RC_USAGE, "--study, --source and --output are needed (or --schema and --clks)");
	if (clks && job->from_clks != NULL)
		return diag_set(diag, RC_USAGE, "--from-clks makes a batch, --clks makes CLKs");
	if (job->from_clks != NULL && job->report != NULL)
		return diag_set(diag, RC_USAGE, "--report looks at values, which --from-clks does not have");
	if (job->from_clks == NULL && job->secret == NULL)
		return diag_set(diag, RC_USAGE, "--secret is needed");
	if (!clks && job->record_key == NULL && job->secret == NULL)
		return diag_set(diag, RC_USAGE,
				"--record-key is needed: the custodian's own key that hides record numbers");
	if (!clks && job->record_key == NULL)
		return diag_set(diag, RC_USAGE,
				"--record-key is needed: the custodian's own key that hides record numbers; there is "
				"no ../%s/record.key from the secret, where 'throughcare keys init' puts it, nor one "
				"beside it",
				job->source);
	return RC_OK;
}

int cmd_encode(int argc, char **argv)
{
	struct encode_job job = {.batch_records = UINT32_MAX};
	const struct option_row rows[] = {
		{"study", 0, OPTION_TEXT, &job.study, .argument = "FILE",
		 .help = "the study, with its key check pinned"},
		{"secret", 0, OPTION_TEXT, &job.secret, .argument = "FILE",
		 .help = "the linkage secret that the custodians share"},
		{"from-clks", 0, OPTION_TEXT, &job.from_clks, .argument = "CLKS.json",
		 .help = "take filters that clkhash made, the nth for the nth row; IN.csv then has the other columns. "
			 "--secret may be left out"},
		{"source", 0, OPTION_TEXT, &job.source, .argument = "NAME",
		 .help = "this register's name in the study"},
		{"record-key", 0, OPTION_TEXT, &job.record_key, .argument = "FILE",
		 .help = "the custodian's own key, which hides record and person numbers (../SOURCE/record.key "
			 "from the secret, or record.key beside it)"},
		{"output", 'o', OPTION_TEXT, &job.output, .argument = "OUT.batch", .help = "the batch file to write"},
		{"batch-records", 0, OPTION_NUMBER, &job.batch_records, 1, UINT32_MAX, .argument = "N",
		 .help = "at most so many records a batch (and never more than 64 MiB)"},
		{"threads", 0, OPTION_NUMBER, &job.threads, 1, 16, .argument = "N",
		 .help = "encode with so many threads (one a processor); the batches are the same"},
		{"reject", 0, OPTION_TEXT, &job.reject, .argument = "FILE",
		 .help = "set bad rows aside (row, line, column, reason; no values) and go on; else the first one ends "
			 "it"},
		{"report", 0, OPTION_TEXT, &job.report, .argument = "[FILE]", .bare = "-",
		 .help = "say what the data cost in links: HTML where FILE ends in .html, else text; - or nothing is "
			 "standard output. Counts only"},
		{"schema", 0, OPTION_TEXT, &job.schema, .argument = "FILE",
		 .help = "a clkhash linkage schema, with --clks"},
		{"clks", 0, OPTION_TEXT, &job.clks, .argument = "OUT.json",
		 .help = "write clkhash's own CLKs; the secret file's bytes are taken as they are"},
	};
	const struct option_table table = {
		.command = "throughcare encode",
		.usage = "[OPTION]... IN.csv",
		.about = "Turn a register into batches of encoded records. Identifiers stay here: what is written "
			 "holds Bloom\n"
			 "filters, day dates, strata, and record numbers under a key of your own. IN.csv may be - for "
			 "standard\n"
			 "input. It is UTF-8 with commas and a header line; docs/protocol.md names the columns. "
			 "Messages name row,\n"
			 "line, column and rule (row 1 is the first after the header) and never show a value.",
		.example = "throughcare encode --study study.yaml --secret main.secret --source prison --record-key "
			   "record.key \\\n"
			   "    -o prison.batch prison.csv\n"
			   "throughcare encode --schema schema.json --secret secret.txt --clks clks.json people.csv\n"
			   "throughcare encode --study study.yaml --source prison --record-key record.key --from-clks "
			   "clks.json \\\n"
			   "    -o prison.batch events.csv",
		OPTION_ROWS(rows),
		.min_operands = 1,
		.max_operands = 1,
	};
	struct diag diag = {""};
	bool help = false;
	int operands = 0;
	enum rc rc = options_parse(&table, argc, argv, &operands, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	job.input = argv[operands];
	char *found = NULL;
	if (job.record_key == NULL && job.clks == NULL && job.schema == NULL)
		rc = encode_paths_record_key(&job, &found, &diag);
	if (found != NULL)
		job.record_key = found;
	job.found_key = found != NULL;
	if (rc == RC_OK)
		rc = check_options(&job, &diag);
	if (rc == RC_OK)
		rc = encode_paths_check(&job, &diag);
	if (rc == RC_OK)
		rc = job.clks != NULL ? encode_clks(&job, &diag) : encode_study(&job, &diag);
	/* The summary, and the report where it goes there. */
	if (rc == RC_OK && (fflush(stdout) != 0 || ferror(stdout) != 0))
		rc = diag_set(&diag, RC_IO, "standard output: writing failed; the files were written");
	if (rc != RC_OK)
		fprintf(stderr, "throughcare encode: %s\n", diag.text[0] != '\0' ? diag.text : rc_text(rc));
	if (rc == RC_USAGE)
		fprintf(stderr, "'throughcare encode --help' shows options and an example.\n");
	free(found);
	return rc_exit_code(rc);
}

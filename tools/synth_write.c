/* Writing prison.csv, treatment.csv, truth.csv and expected.json of invented people. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/bytes.h"
#include "proto/day.h"
#include "tools/output_file.h"
#include "tools/synth.h"

enum { N_BANDS = 5, N_QUARTERS = 4, PRISON = 0, TREATMENT = 1 };
static const int32_t band_ends[N_BANDS] = {7, 14, 21, 28, 90};
static const char *const file_names[2] = {"prison", "treatment"};
static const char header[] =
	"record_id,given_name,middle_name,surname,date_of_birth,sex,place,postcode,event,event_date,"
	"region,drug,intervention,person_id\n";

/* A line of a register, before it gets its place and record number. */
struct line {
	int32_t day;
	uint32_t person;
	uint64_t order; /* breaks ties of the day, at random */
	size_t at, len; /* the rest of the line, from given_name on, in `text` */
};

struct counts {
	uint64_t releases, within[N_BANDS];
};

struct synth_run {
	const struct synth_options *options;
	struct line *lines[2];
	size_t n[2], cap[2];
	struct buffer text;
	struct counts quarters[N_QUARTERS][4]; /* by intervention */
	uint64_t persons_seen, true_pairs;
};

static enum rc add_line(struct synth_run *run, int file, const struct line *line)
{
	if (run->n[file] == run->cap[file]) {
		size_t cap = run->cap[file] ? run->cap[file] * 2 : 1024;
		struct line *lines = reallocarray(run->lines[file], cap, sizeof *lines);
		if (lines == NULL)
			return RC_NOMEM;
		run->lines[file] = lines;
		run->cap[file] = cap;
	}
	run->lines[file][run->n[file]++] = *line;
	return RC_OK;
}

static enum rc write_event(struct synth_run *run, struct synth_random *random, uint32_t person,
			   const struct synth_person *truth, const struct synth_identity *known, uint32_t number,
			   const struct synth_event *event)
{
	int file = event->in_prison_register ? PRISON : TREATMENT;
	char date[DAY_TEXT_LEN];
	struct line line = {
		.day = event->day, .person = person, .order = synth_random_next(random), .at = run->text.len};
	day_format(event->day, date);
	buffer_printf(&run->text, "%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%c%07u\n", known->given, known->middle,
		      known->surname, known->birth, truth->woman ? "female" : "male", known->place, known->postcode,
		      synth_event_names[event->kind], date, synth_regions[known->region], synth_drugs[truth->drug],
		      event->kind == SYNTH_RELEASE ? synth_interventions[event->intervention] : "",
		      file == PRISON ? 'G' : 'K', number);
	line.len = run->text.len - line.at;
	return run->text.failed ? RC_NOMEM : add_line(run, file, &line);
}

/* A person's first release of a quarter is what the tables count. */
static void count_spells(struct synth_run *run, const struct synth_life *life)
{
	int32_t first_quarter = period_of_day(PERIOD_QUARTER, day_from_civil(2024, 1, 1)), last = -1;
	for (uint32_t i = 0; i < life->n_spells; i++) {
		const struct synth_spell *spell = &life->spells[i];
		int32_t quarter = period_of_day(PERIOD_QUARTER, spell->release) - first_quarter;
		if (quarter == last)
			continue;
		last = quarter;
		struct counts *c = &run->quarters[quarter][spell->intervention];
		c->releases++;
		for (int b = 0; b < N_BANDS; b++)
			c->within[b] += spell->treated_after >= 0 && spell->treated_after <= band_ends[b];
	}
}

static enum rc make_person(struct synth_run *run, uint32_t number)
{
	struct synth_random random;
	struct synth_person person;
	struct synth_life life;
	struct synth_identity known[2];
	uint64_t n[2] = {0, 0};
	uint32_t own_number[2] = {number + 1, number + 1};
	enum rc rc = RC_OK;
	synth_random_init(&random, run->options->seed, number);
	synth_person_make(&random, (uint32_t)run->options->rare, &person);
	synth_life_make(&random, &run->options->plan, &person, &life);
	uint32_t typos = (uint32_t)(life.n_spells > 0 ? run->options->typos_by[life.spells[0].intervention]
						      : run->options->typos);
	struct synth_identity outside = person.identity;
	if (synth_below(&random, 100) < run->options->movers)
		synth_identity_move(&random, (uint32_t)run->options->rare, &outside);
	/* A register writes a person down once and copies that; now and then it asks anew. */
	synth_identity_copy(&random, &person.identity, typos, &known[PRISON]);
	synth_identity_copy(&random, &outside, typos, &known[TREATMENT]);
	for (uint32_t i = 0; i < life.n_events && rc == RC_OK; i++) {
		int file = life.events[i].in_prison_register ? PRISON : TREATMENT;
		if (synth_below(&random, 100) < 10) {
			synth_identity_copy(&random, file == PRISON ? &person.identity : &outside, typos, &known[file]);
			/* … and does not find the person it has, so that one has two numbers. */
			if (synth_below(&random, 100) < 15)
				own_number[file] += (uint32_t)run->options->persons;
		}
		rc = write_event(run, &random, number, &person, &known[file], own_number[file], &life.events[i]);
		n[file]++;
	}
	count_spells(run, &life);
	run->true_pairs += n[0] * n[1];
	run->persons_seen += n[0] + n[1] > 0;
	return rc;
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	if (x->day != y->day)
		return x->day < y->day ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static enum rc open_output(const struct synth_run *run, const char *name, struct output_file **ret, struct diag *diag)
{
	char path[4096];
	if ((size_t)snprintf(path, sizeof path, "%s/%s", run->options->folder, name) >= sizeof path)
		return diag_set(diag, RC_USAGE, "the folder's name is too long");
	return output_file_open(path, ret, diag);
}

/* One register in the order of its events, and its part of the truth. */
static enum rc write_register(struct synth_run *run, int file, struct output_file *truth, struct diag *diag)
{
	struct output_file *out = NULL;
	char name[32], id[24], line[80];
	snprintf(name, sizeof name, "%s.csv", file_names[file]);
	enum rc rc = open_output(run, name, &out, diag);
	if (rc == RC_OK)
		rc = output_file_write(out, header, sizeof header - 1, diag);
	if (run->n[file] > 0)
		qsort(run->lines[file], run->n[file], sizeof *run->lines[file], compare_lines);
	struct buffer piece;
	buffer_init(&piece);
	for (size_t i = 0; i < run->n[file] && rc == RC_OK; i++) {
		const struct line *l = &run->lines[file][i];
		int n = snprintf(id, sizeof id, "%c%07zu", file == PRISON ? 'P' : 'T', i + 1);
		buffer_append(&piece, id, (size_t)n);
		buffer_append(&piece, ",", 1);
		buffer_append(&piece, run->text.data + l->at, l->len);
		n = snprintf(line, sizeof line, "%s,%s,%u\n", file_names[file], id, l->person + 1);
		rc = output_file_write(truth, line, (size_t)n, diag);
		if (rc == RC_OK && (piece.len > 1 << 16 || i + 1 == run->n[file])) {
			rc = piece.failed ? RC_NOMEM : output_file_write(out, piece.data, piece.len, diag);
			buffer_reset(&piece);
		}
	}
	buffer_deinit(&piece);
	if (rc == RC_OK)
		rc = output_file_commit(out, diag);
	output_file_close(out);
	return rc;
}

static void print_counts(struct buffer *b, const char *indent, const struct counts *c)
{
	buffer_printf(b, "{\n%s \"releases\": %llu", indent, (unsigned long long)c->releases);
	for (int i = 0; i < N_BANDS; i++)
		buffer_printf(b, ",\n%s \"within_%d\": %llu", indent, (int)band_ends[i],
			      (unsigned long long)c->within[i]);
	buffer_printf(b, "\n%s}", indent);
}

static void add_counts(struct counts *sum, const struct counts *c)
{
	sum->releases += c->releases;
	for (int i = 0; i < N_BANDS; i++)
		sum->within[i] += c->within[i];
}

static void print_expected(const struct synth_run *run, struct buffer *b)
{
	struct counts all = {0};
	buffer_printf(b, "{\n \"prison_rows\": %zu,\n \"treatment_rows\": %zu,\n \"true_cross_pairs\": %llu,\n",
		      run->n[PRISON], run->n[TREATMENT], (unsigned long long)run->true_pairs);
	buffer_printf(b, " \"persons\": %llu,\n \"expected\": {\n", (unsigned long long)run->persons_seen);
	for (int q = 0; q < N_QUARTERS; q++) {
		struct counts sum = {0};
		for (int i = 0; i < 4; i++)
			add_counts(&sum, &run->quarters[q][i]);
		add_counts(&all, &sum);
		buffer_printf(b, "  \"2024-Q%d\": ", q + 1);
		print_counts(b, "  ", &sum);
		buffer_printf(b, ",\n");
	}
	buffer_printf(b, "  \"all\": ");
	print_counts(b, "  ", &all);
	buffer_printf(b, "\n },\n \"by_intervention\": {\n");
	for (int q = 0; q <= N_QUARTERS; q++) {
		if (q < N_QUARTERS)
			buffer_printf(b, "  \"2024-Q%d\": {\n", q + 1);
		else
			buffer_printf(b, "  \"all\": {\n");
		for (int i = 0; i < 4; i++) {
			struct counts sum = {0};
			for (int p = 0; p < N_QUARTERS; p++) {
				if (q == N_QUARTERS || q == p)
					add_counts(&sum, &run->quarters[p][i]);
			}
			buffer_printf(b, "   \"%s\": ", synth_interventions[i]);
			print_counts(b, "   ", &sum);
			buffer_printf(b, i < 3 ? ",\n" : "\n");
		}
		buffer_printf(b, q < N_QUARTERS ? "  },\n" : "  }\n");
	}
	buffer_printf(b, " }\n}\n");
}

static enum rc write_all(struct synth_run *run, struct diag *diag)
{
	struct output_file *truth = NULL, *expected = NULL;
	struct buffer json;
	buffer_init(&json);
	enum rc rc = open_output(run, "truth.csv", &truth, diag);
	if (rc == RC_OK)
		rc = output_file_write(truth, "file,record_id,entity\n", 22, diag);
	for (int file = 0; file < 2 && rc == RC_OK; file++)
		rc = write_register(run, file, truth, diag);
	if (rc == RC_OK)
		rc = output_file_commit(truth, diag);
	if (rc == RC_OK)
		rc = open_output(run, "expected.json", &expected, diag);
	if (rc == RC_OK) {
		print_expected(run, &json);
		rc = json.failed ? RC_NOMEM : output_file_write(expected, json.data, json.len, diag);
	}
	if (rc == RC_OK)
		rc = output_file_commit(expected, diag);
	output_file_close(truth);
	output_file_close(expected);
	buffer_deinit(&json);
	return rc;
}

enum rc synth_write(const struct synth_options *options, struct synth_written *ret, struct diag *diag)
{
	struct synth_run run = {.options = options};
	enum rc rc = RC_OK;

	if (mkdir(options->folder, 0777) != 0 && errno != EEXIST)
		return diag_set(diag, RC_IO, "%s: %s", options->folder, strerror(errno));
	buffer_init(&run.text);
	for (uint32_t i = 0; i < options->persons && rc == RC_OK; i++)
		rc = make_person(&run, i);
	if (rc == RC_OK)
		rc = write_all(&run, diag);
	if (rc == RC_OK)
		*ret = (struct synth_written){run.persons_seen, run.n[PRISON], run.n[TREATMENT]};
	buffer_deinit(&run.text);
	free(run.lines[0]);
	free(run.lines[1]);
	return rc;
}

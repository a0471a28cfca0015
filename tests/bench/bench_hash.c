/* libs: tc_encode tc_keys tc_proto */
/* What the bare hash calls of a register cost: every token of every record through the keyed hash, nothing else. Values
 * are formatted and cut into tokens outside the clock. Prints records a second and calls a record.
 *
 *     bench_hash STUDY.yaml REGISTER.csv N-RECORDS */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "proto/study.h"
#include "tools/encode/bloom.h"
#include "tools/encode/derive.h"
#include "tools/encode/format.h"
#include "tools/encode/register.h"
#include "tools/encode/tokens.h"

static ssize_t read_fd(void *ctx, void *buffer, size_t cap)
{
	return read(*(int *)ctx, buffer, cap);
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(enum rc rc, const char *what)
{
	if (rc == RC_OK)
		return;
	fprintf(stderr, "bench_hash: %s: %s\n", what, rc_text(rc));
	exit(1);
}

struct bench {
	struct study *study;
	const struct schema *schema;
	struct format *formats[SCHEMA_MAX_FEATURES];
	struct register_file *file;
	int columns[SCHEMA_MAX_FEATURES];
	struct bloom_hasher *hasher;
	uint8_t *keys;
	struct formatted value;
	struct tokens tokens;
	uint32_t positions[1 << 16];
	double seconds;
	unsigned long long records, calls;
};

static void open_all(struct bench *b, const char *study, const char *csv)
{
	static const uint8_t secret[32] = {1, 2, 3};
	static int fd;
	static char yaml[STUDY_MAX_BYTES];
	struct register_source source = {read_fd, &fd};
	struct diag diag = {""};
	size_t keys_len;
	char rule[RULE_TEXT_CAP];

	fd = open(study, O_RDONLY);
	ssize_t len = fd >= 0 ? read(fd, yaml, sizeof yaml) : -1;
	check(len > 0 ? RC_OK : RC_IO, study);
	close(fd);
	check(study_parse(study, yaml, (size_t)len, &b->study, &diag), diag.text);
	b->schema = b->study->domains[0].schema;
	fd = open(csv, O_RDONLY);
	check(fd >= 0 ? RC_OK : RC_IO, csv);
	check(register_open(&source, &b->file, &diag), diag.text);
	check(bloom_hasher_new(&b->hasher), "BLAKE2b");
	check(derive_feature_keys(b->schema, secret, sizeof secret, &b->keys, &keys_len), "keys");
	const struct format_rules rules = {.normalise = b->study->domains[0].normalise, .empty_is_missing = true};
	for (uint16_t i = 0; i < b->schema->n_features; i++) {
		check(format_new(&b->schema->features[i], &rules, &b->formats[i], rule), rule);
		b->columns[i] = register_column(b->file, b->schema->features[i].identifier, 0);
		check(b->columns[i] >= 0 ? RC_OK : RC_NOTFOUND, b->schema->features[i].identifier);
	}
	text_init(&b->value.text);
	tokens_init(&b->tokens);
}

static void hash_field(struct bench *b, uint16_t i, const struct encode_value *field)
{
	const struct schema_feature *f = &b->schema->features[i];
	const uint8_t *key = b->keys + 2 * i * b->schema->key_size;
	struct bloom_key bloom = {f->hash, f->prevent_singularity,    512,
				  key,     key + b->schema->key_size, b->schema->key_size};
	char rule[RULE_TEXT_CAP];
	const char *why = "";

	tokens_reset(&b->tokens);
	check(format_value(b->formats[i], field->bytes, field->len, &b->value, rule), rule);
	check(tokens_make(f, &b->value.text, &b->tokens, &why), why);
	/* The sorted digits of a date count too; dates with a bad day stand as text of eight digits. */
	if (strstr(f->identifier, "date") != NULL && b->value.text.len == 8)
		check(tokens_sorted_digits(f, &b->value.text, &b->tokens, &why), why);
	double start = cpu_seconds();
	for (size_t t = 0; t < b->tokens.n; t++) {
		struct token token = tokens_at(&b->tokens, t);
		check(bloom_positions(b->hasher, &bloom, token.bytes, token.len, tokens_bits(f, t, b->tokens.n),
				      b->positions),
		      "hashing");
	}
	b->seconds += cpu_seconds() - start;
	b->calls += b->tokens.n;
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct register_row row;
	struct diag diag = {""};
	bool more = true;

	if (argc != 4) {
		fprintf(stderr, "usage: bench_hash STUDY.yaml REGISTER.csv N-RECORDS\n");
		return 64;
	}
	open_all(&b, argv[1], argv[2]);
	for (unsigned long long n = strtoull(argv[3], NULL, 10); b.records < n; b.records++) {
		check(register_next(b.file, &row, &more, &diag), diag.text);
		if (!more)
			break;
		for (uint16_t i = 0; i < b.schema->n_features; i++)
			hash_field(&b, i, &row.fields[b.columns[i]]);
	}
	printf("{\"records_per_s\": %.0f, \"calls_per_record\": %.1f}\n", (double)b.records / b.seconds,
	       (double)b.calls / (double)b.records);
	return 0;
}

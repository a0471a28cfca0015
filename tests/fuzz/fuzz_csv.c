/* libs: tc_encode tc_proto */
/* A register of hostile bytes through the CSV reader and the encoder. The first byte is the size of the pieces in which
 * the rest is read. Whatever comes out has the header's number of fields, or a problem; and encoding it either works or
 * names a rule. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/encode/encoder.h"
#include "tools/encode/register.h"
#include "tools/encode/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema_text[] =
	"{\"version\": 3, \"clkConfig\": {\"l\": 512, \"xor_folds\": 1, \"kdf\": {\"type\": \"HKDF\"}}, \"features\": ["
	"{\"identifier\": \"s\", \"format\": {\"type\": \"string\", \"case\": \"lower\", \"encoding\": \"utf-16\"}, "
	"\"hashing\": "
	"{\"comparison\": {\"type\": \"ngram\", \"n\": 2}, \"strategy\": {\"bitsPerFeature\": 30}}},"
	"{\"identifier\": \"p\", \"format\": {\"type\": \"string\", \"pattern\": \"(\\\\w|[0-9-]+)*x?\"}, \"hashing\": "
	"{\"comparison\": {\"type\": \"exact\"}, \"strategy\": {\"bitsPerToken\": 40}}},"
	"{\"identifier\": \"d\", \"format\": {\"type\": \"date\", \"format\": \"%d %b %Y\"}, \"hashing\": "
	"{\"comparison\": {\"type\": \"ngram\", \"n\": 1, \"positional\": true}, \"strategy\": {\"bitsPerToken\": 5}}},"
	"{\"identifier\": \"n\", \"format\": {\"type\": \"integer\"}, \"hashing\": {\"comparison\": {\"type\": "
	"\"numeric\", "
	"\"thresholdDistance\": 2.5, \"resolution\": 3, \"fractional_precision\": 1}, \"strategy\": {\"bitsPerToken\": "
	"5}, "
	"\"hash\": {\"type\": \"doubleHash\"}}},"
	"{\"identifier\": \"f\", \"format\": {\"type\": \"string\"}, \"hashing\": {\"comparison\": {\"type\": "
	"\"numeric\", "
	"\"thresholdDistance\": 1, \"resolution\": 1}, \"strategy\": {\"bitsPerToken\": 5}}}]}";

enum { N_FEATURES = 5 };

static struct encoder *encoders[2]; /* clkhash's own; and a study's with every rule of normalisation */
static struct encoder_worker *workers[2];

static void set_up(void)
{
	struct schema *schema = NULL;
	struct diag diag;
	static struct study_domain domain = {
		.name = "main",
		.normalise = {.trim = true,
			      .lower = true,
			      .strip_marks = true,
			      .drop_punctuation = true,
			      .sentinel_dates = true,
			      .latin = true,
			      .date_forms = true,
			      .sex_codes = true,
			      .particles = true,
			      .split_hyphens = true,
			      .sort_names = true,
			      .language = "nl"},
		.n_filters = 1,
		.filters = {{.name = "all",
			     .features = {0, 1, 2, 3, 4},
			     .n_features = 5,
			     .bits = 256,
			     .sorted_digits = true}},
	};
	if (schema_parse(schema_text, sizeof schema_text - 1, &schema, &diag) != RC_OK)
		abort();
	domain.schema = schema;
	if (encoder_new_clk(schema, (const uint8_t *)"k", 1, true, &encoders[0], &diag) != RC_OK ||
	    encoder_new_domain(&domain, (const uint8_t *)"k", 1, &encoders[1], &diag) != RC_OK)
		abort();
	for (int i = 0; i < 2; i++) {
		if (encoder_worker_new(encoders[i], &workers[i], &diag) != RC_OK)
			abort();
	}
}

struct input {
	const uint8_t *at;
	size_t left, piece;
};

static ssize_t read_piece(void *ctx, void *buffer, size_t cap)
{
	struct input *in = ctx;
	size_t n = in->left < cap ? in->left : cap;
	n = n < in->piece ? n : in->piece;
	memcpy(buffer, in->at, n);
	in->at += n;
	in->left -= n;
	return (ssize_t)n;
}

static void encode_row(const struct register_row *row)
{
	struct encode_value values[N_FEATURES];
	uint8_t out[2][64];
	bool missing[1];
	for (size_t i = 0; i < N_FEATURES; i++)
		values[i] = i < row->n_fields ? row->fields[i] : (struct encode_value){"", 0};
	for (int i = 0; i < 2; i++) {
		struct encode_error error;
		enum rc rc = encoder_encode(workers[i], values, out[i], missing, &error);
		if (rc != RC_OK && (rc != RC_INVALID || error.feature >= N_FEATURES || error.rule[0] == '\0'))
			abort();
		if (rc != RC_OK && !text_is_utf8(error.rule, strlen(error.rule)))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct register_file *file = NULL;
	struct register_row row;
	struct diag diag = {""};
	bool more = true;
	uint64_t last = 0, last_line = 1;
	if (encoders[0] == NULL)
		set_up();
	if (size == 0)
		return 0;
	struct input input = {data + 1, size - 1, (size_t)data[0] + 1};
	struct register_source source = {read_piece, &input};
	if (register_open(&source, &file, &diag) != RC_OK) {
		if (file != NULL || diag.text[0] == '\0')
			abort();
		return 0;
	}
	while (register_next(file, &row, &more, &diag) == RC_OK && more) {
		if (row.number <= last || row.line <= last_line ||
		    (row.problem == NULL && row.n_fields != register_n_columns(file)))
			abort();
		last = row.number;
		last_line = row.line;
		encode_row(&row);
	}
	register_close(file);
	return 0;
}

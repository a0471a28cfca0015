/* throughcare push: send batch files, so that it can be interrupted and repeated at any point.
 *
 * A batch is named by its content, so asking which ones are known is all the state that resuming needs; and a batch
 * that comes twice is stored once. A batch counts as sent only when its receipt is in hand, checked, and (with
 * --receipts) durable on disk. What may pass by itself (network, 429, 503) is tried again; everything else stops at
 * once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/batch.h"
#include "proto/entry.h"
#include "proto/tlog.h"
#include "tools/command.h"
#include "tools/https.h"
#include "tools/options.h"
#include "tools/patience.h"
#include "tools/progress.h"
#include "tools/push_verify.h"
#include "tools/withdraw.h"

enum { RECEIPT_MAX_BYTES = 256 << 10 };

struct push_file {
	const char *path;
	const uint8_t *data; /* mapped */
	size_t len;
};

/* One batch of a file. */
struct push_item {
	size_t file;           /* index */
	unsigned number;       /* in its file, from 1 */
	uint64_t first_record; /* in its file, from 1 */
	uint64_t n_records;
	size_t offset, len;
	uint8_t id[BATCH_ID_LEN];
	char hex[2 * BATCH_ID_LEN + 1];
};

struct push {
	struct https_options https_options;
	const char *receipts, *log_key;
	bool gzip;
	struct patience patience;
	struct tlog_vkey vkey;
	struct https *https;
	struct push_file *files;
	size_t n_files;
	struct push_item *items;
	size_t n_items, items_cap;
	struct progress progress;
	uint64_t bytes_before; /* of the batches that are done, for the bar */
	uint64_t n_sent, n_known, n_verified, n_records, sent_bytes;
	struct diag diag;
};

/* ---- files ---- */

static enum rc map_file(struct push *p, struct push_file *file)
{
	struct stat st;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0) {
		enum rc rc = diag_set(&p->diag, RC_IO, "%s: %s", file->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		close(fd);
		return diag_set(&p->diag, RC_INVALID,
				"%s: expected a file of batches, as 'throughcare encode' writes it", file->path);
	}
	void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return diag_set(&p->diag, RC_IO, "%s: %s", file->path, strerror(errno));
	file->data = at;
	file->len = (size_t)st.st_size;
	return RC_OK;
}

static enum rc add_item(struct push *p, const struct push_item *item)
{
	if (p->n_items == p->items_cap) {
		size_t cap = p->items_cap ? 2 * p->items_cap : 64;
		struct push_item *items = realloc(p->items, cap * sizeof *items);
		if (items == NULL)
			return RC_NOMEM;
		p->items = items;
		p->items_cap = cap;
	}
	p->items[p->n_items++] = *item;
	return RC_OK;
}

/* Find the batches of a file. Every file is looked through before anything is sent. */
static enum rc plan_file(struct push *p, size_t index)
{
	struct push_file *file = &p->files[index];
	struct push_item item = {.file = index, .number = 1, .first_record = 1};

	enum rc rc = map_file(p, file);
	while (rc == RC_OK && item.offset < file->len) {
		rc = batch_length(file->data + item.offset, file->len - item.offset, &item.len, item.id,
				  &item.n_records);
		if (rc != RC_OK)
			return diag_set(&p->diag, rc, "%s: batch %u (byte %zu): %s%s", file->path, item.number,
					item.offset, rc_text(rc),
					rc == RC_TRUNCATED ? "; was 'throughcare encode' interrupted?" : "");
		hex_encode(item.id, sizeof item.id, item.hex);
		rc = add_item(p, &item);
		item.offset += item.len;
		item.first_record += item.n_records;
		item.number++;
	}
	return rc;
}

static const uint8_t *item_data(const struct push *p, const struct push_item *item)
{
	return p->files[item->file].data + item->offset;
}

/* Put file, batch and records in front of the message. */
static enum rc blame(struct push *p, const struct push_item *item, enum rc rc)
{
	struct diag why = p->diag;

	return diag_set(&p->diag, rc, "%s: batch %u (records %llu–%llu): %s", p->files[item->file].path, item->number,
			(unsigned long long)item->first_record,
			(unsigned long long)(item->first_record + item->n_records - 1),
			why.text[0] != '\0' ? why.text : rc_text(rc));
}

/* ---- receipts ---- */

static void receipt_path(const struct push *p, const struct push_item *item, const char *suffix, char *out, size_t cap)
{
	snprintf(out, cap, "%s/%s.receipt%s", p->receipts, item->hex, suffix);
}

static bool has_receipt(const struct push *p, const struct push_item *item)
{
	char path[4096];

	if (p->receipts == NULL)
		return p->log_key == NULL; /* not wanted, or wanted for its proof */
	receipt_path(p, item, "", path, sizeof path);
	return access(path, F_OK) == 0;
}

static enum rc check_receipt(struct push *p, const struct push_item *item, const struct buffer *body)
{
	struct receipt receipt;
	struct tlog_checkpoint checkpoint;

	enum rc rc = receipt_parse((const char *)body->data, body->len, &receipt, &p->diag);
	if (rc != RC_OK)
		return diag_set(&p->diag, RC_PROTOCOL, "the answer is not a receipt");
	if (memcmp(receipt.batch_id, item->id, sizeof receipt.batch_id) != 0 || receipt.n_records != item->n_records)
		rc = diag_set(&p->diag, RC_PROTOCOL, "the receipt is one for another batch");
	else if (p->log_key != NULL && receipt_verify(&receipt, &p->vkey, &checkpoint, &p->diag) != RC_OK)
		rc = diag_set(&p->diag, RC_PROTOCOL, "the receipt does not verify against the log's public key");
	else
		p->n_verified += p->log_key != NULL;
	receipt_deinit(&receipt);
	return rc;
}

static enum rc write_all(int fd, const struct buffer *body)
{
	size_t at = 0;
	while (at < body->len) {
		ssize_t n = write(fd, body->data + at, body->len - at);
		if (n < 0 && errno != EINTR)
			return RC_IO;
		at += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) == 0 ? RC_OK : RC_IO;
}

/* Write beside, sync, rename: a receipt is there whole or not at all. */
static enum rc save_receipt(struct push *p, const struct push_item *item, const struct buffer *body)
{
	char path[4096], temporary[4096];

	if (p->receipts == NULL)
		return RC_OK;
	receipt_path(p, item, "", path, sizeof path);
	receipt_path(p, item, ".part", temporary, sizeof temporary);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	enum rc rc = fd >= 0 ? write_all(fd, body) : RC_IO;
	if (rc == RC_OK && rename(temporary, path) != 0)
		rc = RC_IO;
	if (rc != RC_OK)
		diag_set(&p->diag, rc, "the batch is stored, but its receipt cannot be written: %s: %s", path,
			 strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

/* ---- sending ---- */

static void on_progress(void *ctx, uint64_t sent)
{
	struct push *p = ctx;
	progress_set(&p->progress, p->bytes_before + sent);
}

static enum rc ask_known(struct push *p, const struct push_item *item, bool *ret_known)
{
	char path[32 + sizeof item->hex];
	struct https_response response;

	snprintf(path, sizeof path, "/v1/batches/%s", item->hex);
	const struct https_request request = {.method = "GET", .path = path};
	enum rc rc = https_send_patiently(p->https, &request, &p->patience, true, &response, &p->diag);
	if (rc != RC_OK)
		return rc;
	*ret_known = response.status != 404;
	https_response_deinit(&response);
	return RC_OK;
}

static enum rc post_batch(struct push *p, const struct push_item *item, bool *ret_was_known)
{
	struct https_request request = {
		.method = "POST",
		.path = "/v1/batches",
		.content_type = "application/x-protobuf",
		.body = item_data(p, item),
		.body_len = item->len,
		.max_response = RECEIPT_MAX_BYTES,
		.ctx = p,
	};
	struct https_response response;
	struct buffer packed;
	enum rc rc = RC_OK;

	buffer_init(&packed);
	if (p->gzip) {
		rc = gzip_compress(request.body, request.body_len, &packed);
		request.body = packed.data;
		request.body_len = packed.len;
		request.content_encoding = "gzip";
	} else {
		request.on_progress = on_progress;
	}
	if (rc == RC_OK)
		rc = https_send_patiently(p->https, &request, &p->patience, false, &response, &p->diag);
	if (rc == RC_OK) {
		rc = check_receipt(p, item, &response.body);
		if (rc == RC_OK)
			rc = save_receipt(p, item, &response.body);
		*ret_was_known = response.status == 200;
		p->sent_bytes += request.body_len;
		https_response_deinit(&response);
	}
	buffer_deinit(&packed);
	return rc;
}

/* Ask first; send what is not known, or what is known but has no receipt here yet (the same bytes come back). */
static enum rc push_item(struct push *p, const struct push_item *item)
{
	bool known = false;

	enum rc rc = ask_known(p, item, &known);
	bool was_known = known;
	if (rc == RC_OK && !(known && has_receipt(p, item)))
		rc = post_batch(p, item, &was_known);
	else
		p->progress.skipped += item->len;
	if (rc != RC_OK)
		return blame(p, item, rc);
	p->n_known += was_known;
	p->n_sent += !was_known;
	p->n_records += item->n_records;
	p->bytes_before += item->len;
	progress_set(&p->progress, p->bytes_before);
	return RC_OK;
}

/* ---- the command ---- */

static enum rc read_log_key(struct push *p)
{
	char text[TLOG_VKEY_CAP];
	FILE *f = fopen(p->log_key, "re");
	size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;

	if (f == NULL)
		return diag_set(&p->diag, RC_KEY, "%s: %s", p->log_key, strerror(errno));
	fclose(f);
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (tlog_vkey_parse(text, &p->vkey) != RC_OK)
		return diag_set(&p->diag, RC_KEY, "%s: expected the log's public key, NAME+HASH+BASE64", p->log_key);
	return RC_OK;
}

static enum rc prepare(struct push *p, char **paths)
{
	uint64_t total = 0;

	if (p->log_key != NULL) {
		enum rc rc = read_log_key(p);
		if (rc != RC_OK)
			return rc;
	}
	if (p->receipts != NULL && strlen(p->receipts) > 3072)
		return diag_set(&p->diag, RC_USAGE, "--receipts: the path is too long");
	if (p->receipts != NULL && mkdir(p->receipts, 0755) != 0 && errno != EEXIST)
		return diag_set(&p->diag, RC_IO, "%s: %s", p->receipts, strerror(errno));
	p->files = calloc(p->n_files, sizeof *p->files);
	if (p->files == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < p->n_files; i++) {
		p->files[i].path = paths[i];
		enum rc rc = plan_file(p, i);
		if (rc != RC_OK)
			return rc;
	}
	for (size_t i = 0; i < p->n_items; i++)
		total += p->items[i].len;
	progress_init(&p->progress, p->n_files == 1 ? p->files[0].path : "push", total);
	return https_open(&p->https_options, &p->https, &p->diag);
}

static void clean_up(struct push *p)
{
	https_close(p->https);
	for (size_t i = 0; p->files != NULL && i < p->n_files; i++) {
		if (p->files[i].data != NULL)
			munmap((void *)p->files[i].data, p->files[i].len);
	}
	free(p->files);
	free(p->items);
}

static void print_summary(const struct push *p)
{
	char records[COUNT_TEXT_CAP], bytes[BYTES_TEXT_CAP];
	int64_t ms = monotonic_ms() - p->progress.start_us / 1000;

	printf("%zu %s, %s records: %llu sent (%s in %lld.%lld s), %llu already known", p->n_items,
	       p->n_items == 1 ? "batch" : "batches", count_text(p->n_records, records), (unsigned long long)p->n_sent,
	       bytes_text(p->sent_bytes, bytes), (long long)(ms / 1000), (long long)(ms % 1000 / 100),
	       (unsigned long long)p->n_known);
	if (p->receipts != NULL)
		printf("; receipts in %s", p->receipts);
	if (p->log_key != NULL)
		printf("; %llu %s verified", (unsigned long long)p->n_verified,
		       p->n_verified == 1 ? "receipt" : "receipts");
	printf("\n");
}

int cmd_push(int argc, char **argv)
{
	struct push p = {.patience = {.command = "throughcare push", .tries = 8, .progress = &p.progress}};
	struct withdraw_job withdraw = {.ids_path = NULL};
	bool verify = false;
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(p.https_options),
		{.name = "receipts",
		 .letter = 'r',
		 .kind = OPTION_TEXT,
		 .value = &p.receipts,
		 .argument = "DIR",
		 .help = "keep the signed receipt of each batch there, as ID.receipt"},
		{.name = "log-key",
		 .kind = OPTION_TEXT,
		 .value = &p.log_key,
		 .argument = "FILE",
		 .help = "the log's public key: verify that each receipt proves inclusion"},
		{.name = "gzip", .letter = 'z', .kind = OPTION_FLAG, .value = &p.gzip, .help = "compress what is sent"},
		{.name = "tries",
		 .kind = OPTION_NUMBER,
		 .value = &p.patience.tries,
		 .min = 1,
		 .max = 1000,
		 .argument = "N",
		 .help = "how often a request is tried while the network or daemon is busy (8)"},
		{.name = "verify",
		 .kind = OPTION_FLAG,
		 .value = &verify,
		 .help = "instead: check the kept receipts against the log as it is now, and that against the last time"},
		{.name = "withdraw",
		 .kind = OPTION_TEXT,
		 .value = &withdraw.ids_path,
		 .argument = "FILE",
		 .help = "instead: erase the records with these numbers, one a line as in the register"},
		{.name = "record-key",
		 .kind = OPTION_TEXT,
		 .value = &withdraw.record_key_path,
		 .argument = "FILE",
		 .help = "with --withdraw: the custodian's own key that hides record numbers"},
	};
	const struct option_table table = {
		.command = "throughcare push",
		.usage = "[OPTION]... OUT.batch... | --verify | --withdraw FILE --record-key FILE",
		.about = "Send batches of encoded records to the linkage unit. It asks first which batches are there\n"
			 "already, so that an interrupted push is continued by running it again. With --withdraw, have "
			 "records\n"
			 "erased there for good; they cannot be pushed again. With --verify, ask whether every batch with a "
			 "kept\n"
			 "receipt is still in the log (needs --receipts and --log-key).",
		.example = "throughcare push --url https://linkage.example:8443 --cert prison/client.crt \\\n"
			   "  --key prison/client.key --ca ca/ca.crt --receipts prison/receipts prison.batch",
		OPTION_ROWS(rows),
		.min_operands = 0,
		.max_operands = SIZE_MAX,
	};
	int first;
	bool help;

	enum rc rc = options_parse(&table, argc, argv, &first, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	if (withdraw.ids_path != NULL || withdraw.record_key_path != NULL) {
		withdraw.https_options = p.https_options;
		withdraw.patience = (struct patience){.command = table.command, .tries = p.patience.tries};
		rc = first < argc ? diag_set(&p.diag, RC_USAGE, "--withdraw takes no batches")
				  : withdraw_run(&withdraw, &p.diag);
		return rc == RC_OK ? 0 : https_fail(table.command, rc, &p.diag);
	}
	if (verify) {
		const struct push_verify job = {p.https_options, {table.command, p.patience.tries, NULL}, p.receipts,
						p.log_key};
		rc = first < argc || p.receipts == NULL || p.log_key == NULL
			     ? diag_set(&p.diag, RC_USAGE, "--verify takes --receipts and --log-key, and no batches")
			     : push_verify_run(&job, &p.diag);
		return rc == RC_OK ? 0 : https_fail(table.command, rc, &p.diag);
	}
	if (first == argc) {
		diag_set(&p.diag, RC_USAGE, "expected at least one file of batches (try --help)");
		return https_fail(table.command, RC_USAGE, &p.diag);
	}
	p.n_files = (size_t)(argc - first);
	rc = prepare(&p, argv + first);
	for (size_t i = 0; i < p.n_items && rc == RC_OK; i++)
		rc = push_item(&p, &p.items[i]);
	progress_clear(&p.progress);
	int status = 0;
	if (rc == RC_OK)
		print_summary(&p);
	else
		status = https_fail(table.command, rc, &p.diag);
	if (rc != RC_OK && p.n_sent + p.n_known > 0)
		fprintf(stderr, "%llu of %zu batches are stored; run the same command again to send the others\n",
			(unsigned long long)(p.n_sent + p.n_known), p.n_items);
	clean_up(&p);
	return status;
}

/* throughcare keys expiry: when certificates and revocation lists run out, the first of them first. For a timer: the exit
 * status says whether one runs out soon. */
#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/day.h"
#include "tools/keys.h"
#include "tools/options.h"
#include "tools/whole_file.h"

enum { MAX_PEM = 16 << 20, SECONDS_A_DAY = 86400, DEFAULT_DAYS = 30, MAX_DEPTH = 16 };

struct expiry {
	char *path; /* owned */
	const char *what;
	int64_t at; /* Unix time */
};

/* nftw gives its visitor no context. */
static struct list {
	struct expiry *items;
	size_t n, cap;
	enum rc rc;
	struct diag diag;
} list;

static enum rc add(const char *path, const char *what, const ASN1_TIME *time)
{
	int days = 0, seconds = 0;
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);

	if (epoch == NULL || time == NULL || ASN1_TIME_diff(&days, &seconds, epoch, time) != 1) {
		ASN1_TIME_free(epoch);
		return diag_set(&list.diag, RC_KEY, "%s: has no readable end", path);
	}
	ASN1_TIME_free(epoch);
	if (list.n == list.cap) {
		size_t cap = list.cap == 0 ? 16 : 2 * list.cap;
		struct expiry *grown = reallocarray(list.items, cap, sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		list.items = grown;
		list.cap = cap;
	}
	char *copy = strdup(path);
	if (copy == NULL)
		return RC_NOMEM;
	list.items[list.n++] = (struct expiry){copy, what, (int64_t)days * SECONDS_A_DAY + seconds};
	return RC_OK;
}

/* Every certificate and list in a PEM file: a server's holds its chain. */
static enum rc read_file(const char *path)
{
	struct buffer text;
	enum rc rc = RC_OK;
	size_t before = list.n;

	buffer_init(&text);
	rc = whole_file_read(path, MAX_PEM, &text, &list.diag);
	BIO *bio = rc == RC_OK ? BIO_new_mem_buf(text.data, (int)text.len) : NULL;
	STACK_OF(X509_INFO) *found = bio != NULL ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
	for (int i = 0; rc == RC_OK && i < sk_X509_INFO_num(found); i++) {
		const X509_INFO *info = sk_X509_INFO_value(found, i);
		if (info->x509 != NULL)
			rc = add(path, X509_check_ca(info->x509) > 0 ? "authority" : "certificate",
				 X509_get0_notAfter(info->x509));
		if (rc == RC_OK && info->crl != NULL)
			rc = add(path, "revocation list", X509_CRL_get0_nextUpdate(info->crl));
	}
	if (rc == RC_OK && list.n == before)
		rc = diag_set(&list.diag, RC_KEY, "%s: holds no PEM certificate and no revocation list", path);
	sk_X509_INFO_pop_free(found, X509_INFO_free);
	BIO_free(bio);
	buffer_deinit(&text);
	return rc;
}

static bool ends_with(const char *path, const char *end)
{
	size_t len = strlen(path), n = strlen(end);
	return len > n && strcmp(path + len - n, end) == 0;
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type == FTW_F && (ends_with(path, ".crt") || ends_with(path, ".crl")))
		list.rc = read_file(path);
	return list.rc != RC_OK;
}

static enum rc look(const char *path)
{
	struct stat st;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (nftw(path, visit, MAX_DEPTH, FTW_PHYS) != 0 && list.rc == RC_OK)
			return diag_set(&list.diag, RC_IO, "%s: cannot be read", path);
		return list.rc;
	}
	return read_file(path);
}

static int by_time(const void *a, const void *b)
{
	const struct expiry *x = a, *y = b;
	return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : strcmp(x->path, y->path);
}

/* How many run out within the limit. */
static size_t show(int64_t now, uint64_t days)
{
	size_t n_soon = 0;
	qsort(list.items, list.n, sizeof *list.items, by_time);
	for (size_t i = 0; i < list.n; i++) {
		const struct expiry *e = &list.items[i];
		char day[DAY_TEXT_LEN];
		int64_t left = e->at - now;
		bool soon = left < (int64_t)days * SECONDS_A_DAY;
		int64_t last_day = e->at / SECONDS_A_DAY;
		day_format((int32_t)(last_day > DAY_MAX ? DAY_MAX : last_day), day);
		printf("%s  %6lld days  %-15s %s%s\n", day, (long long)(left / SECONDS_A_DAY), e->what, e->path,
		       left < 0 ? "   HAS RUN OUT" : soon ? "   RUNS OUT SOON" : "");
		n_soon += soon;
	}
	return n_soon;
}

int keys_expiry(int argc, char **argv)
{
	uint64_t days = DEFAULT_DAYS;
	const struct option_row rows[] = {
		{"days", 0, OPTION_NUMBER, &days, .min = 0, .max = KEYS_MAX_DAYS, .argument = "N",
		 .help = "what ends within so many days is said to run out soon (30)"},
	};
	const struct option_table table = {
		.command = "throughcare keys expiry",
		.usage = "FILE|DIR... [--days N]",
		.about = "Show when certificates, authorities and revocation lists (PEM; in a folder, *.crt and *.crl) "
			 "run out, the first\n"
			 "first. The exit status is 78 when one has run out or does soon, for a timer to tell of it. "
			 "The daemon warns of\n"
			 "its own, too.",
		.example = "throughcare keys expiry keys --days 60",
		OPTION_ROWS(rows),
		.min_operands = 1,
		.max_operands = SIZE_MAX};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	for (; rc == RC_OK && at < argc; at++)
		rc = look(argv[at]);
	size_t n_soon = rc == RC_OK ? show((int64_t)time(NULL), days) : 0;
	for (size_t i = 0; i < list.n; i++)
		free(list.items[i].path);
	free(list.items);
	if (rc != RC_OK)
		return keys_fail(rc, &list.diag);
	return n_soon > 0 ? rc_exit_code(RC_KEY) : 0;
}

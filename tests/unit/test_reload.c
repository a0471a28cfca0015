/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* labels: quick threads */
/* Files that are read again: what the log could not take is tried again although the file stays as it is, and a file
 * that cannot be used is told of once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "daemon/core/reload.h"
#include "tests/unit/core_fixture.h"

static int n_sent, n_authorities, n_list_again;

static void on_send(void *ctx, enum pipe_type type, const void *data, size_t len)
{
	assert_true((type == PIPE_LIST_AGAIN) == (len == 0));
	n_sent += type == PIPE_ACCESS;
	n_authorities += type == PIPE_AUTHORITIES;
	n_list_again += type == PIPE_LIST_AGAIN;
}

static void write_access(const struct cf *f, size_t len)
{
	FILE *out = fopen(f->conf.access_file, "w");
	fputs("{}\n", out);
	for (size_t i = 0; i < len; i++)
		fputc('#', out);
	fclose(out);
}

struct gate {
	struct write_job job;
	pthread_mutex_t lock;
	atomic_bool entered;
};

static enum rc gate_apply(struct write_job *job, struct txn *txn)
{
	struct gate *gate = (struct gate *)job;
	atomic_store(&gate->entered, true);
	pthread_mutex_lock(&gate->lock);
	pthread_mutex_unlock(&gate->lock);
	return RC_OK;
}

static enum rc no_apply(struct write_job *job, struct txn *txn)
{
	return RC_OK;
}

static void no_done(struct write_job *job, enum rc rc)
{
}

/* A log that takes nothing: the writer is held up and its queue is full. */
static struct gate gate = {.job = {.apply = gate_apply, .done = no_done}, .lock = PTHREAD_MUTEX_INITIALIZER};

static void hold_log(struct cf *f)
{
	enum { N = 2000 };
	static struct write_job jobs[N];
	enum rc rc = RC_OK;
	atomic_store(&gate.entered, false);
	pthread_mutex_lock(&gate.lock);
	assert_int_equal(write_queue_push(f->core->writes, &gate.job), RC_OK);
	while (!atomic_load(&gate.entered))
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	for (int n = 0; n < N && rc == RC_OK; n++) {
		jobs[n] = (struct write_job){.apply = no_apply, .done = no_done};
		rc = write_queue_push(f->core->writes, &jobs[n]);
	}
	assert_int_equal(rc, RC_BUSY);
}

static void run_until(struct reload *reload, const bool *waits, const int *n)
{
	for (int i = 0; i < 30000 && (waits != NULL ? *waits : *n == 0); i++) { /* a limit ends a hang, it measures nothing */
		reload_run(reload, false);
		nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
	}
}

static void test_busy_log_is_tried_again(void **state)
{
	struct reload *reload = NULL;
	struct cf f;
	cf_init(&f);
	cf_path(&f, "access.yaml", f.conf.access_file);
	write_access(&f, 0);
	cf_must_open(&f);
	assert_int_equal(reload_new(f.core, on_send, NULL, &reload), RC_OK);
	n_sent = 0;
	hold_log(&f);
	reload_run(reload, false);
	assert_int_equal(n_sent, 0);
	pthread_mutex_unlock(&gate.lock);
	run_until(reload, NULL, &n_sent);
	assert_int_equal(n_sent, 1);
	assert_int_equal(cf_count_entries(&f, "access"), 1);
	reload_run(reload, false);
	assert_int_equal(n_sent, 1);
	reload_free(reload);
	cf_deinit(&f);
}

static int get_study(struct cf *f)
{
	struct cf_answer a;
	int status = cf_get(f, REQUEST_STUDY, ROLE_AUDITOR, "", "", "", &a);
	cf_answer_deinit(&a);
	return status;
}

/* Nobody is answered who may have been let in by authorities that the log does not have. */
static void test_requests_wait_for_authorities_in_the_log(void **state)
{
	const struct pipe_trusted first = {.n = 1}, second = {.n = 2, .authorities = {[1] = {1}}};
	struct reload *reload = NULL;
	struct cf f;
	cf_init(&f);
	cf_path(&f, "ca.crt", f.conf.tls_client_ca);
	fclose(fopen(f.conf.tls_client_ca, "w"));
	assert_int_equal(truncate(f.conf.tls_client_ca, 1), 0);
	cf_must_open(&f);
	assert_int_equal(reload_new(f.core, on_send, NULL, &reload), RC_OK);
	n_authorities = 0;
	assert_int_equal(reload_trusted(reload, &first), RC_OK);
	assert_int_equal(cf_count_entries(&f, "authorities"), 1);
	assert_int_equal(get_study(&f), 200);
	assert_int_equal(reload_trusted(reload, &second), RC_PROTOCOL); /* nobody sent the front any */
	reload_run(reload, false);
	assert_int_equal(n_authorities, 1);
	hold_log(&f);
	assert_int_equal(reload_trusted(reload, &second), RC_OK);
	assert_int_equal(get_study(&f), 503);
	pthread_mutex_unlock(&gate.lock);
	run_until(reload, &f.core->renewals.trusted_waits, NULL);
	assert_int_equal(cf_count_entries(&f, "authorities"), 2);
	assert_int_equal(get_study(&f), 200);
	/* What the front had no memory for is sent again; what it refused is not, and is logged. */
	const struct pipe_renewed later = {.file = RENEWAL_AUTHORITIES, .fault = RENEWAL_LATER};
	n_authorities = 0;
	reload_renewed(reload, &later);
	run_until(reload, NULL, &n_authorities);
	assert_int_equal(cf_count_entries(&f, "renewal_refused"), 0);
	const struct pipe_renewed refused = {.file = RENEWAL_AUTHORITIES, .fault = RENEWAL_MALFORMED};
	reload_renewed(reload, &refused);
	assert_int_equal(cf_count_entries(&f, "renewal_refused"), 1);
	assert_int_equal(reload_trusted(reload, &first), RC_PROTOCOL); /* the one that was due has been refused */
	reload_free(reload);
	cf_deinit(&f);
}

/* What the front says happened does not take the last room, and is logged when there is some again. */
static void test_what_the_front_tells_leaves_room(void **state)
{
	static struct pipe_listed listed = {.n = 1, .serials = {{.len = 1, .bytes = {5}}}};
	const struct pipe_renewed pair = {.file = RENEWAL_PAIR, .digest = {7}};
	const struct pipe_renewed refused = {.file = RENEWAL_PAIR, .fault = RENEWAL_MISMATCHED, .digest = {8}};
	struct reload *reload = NULL;
	struct cf f;
	cf_init(&f);
	cf_must_open(&f);
	assert_int_equal(reload_new(f.core, on_send, NULL, &reload), RC_OK);
	n_list_again = 0;
	f.conf.store_min_free_bytes = UINT64_MAX / 2;
	size_t n_keys = cf_count_entries(&f, "keys");
	reload_listed(reload, &listed);
	reload_renewed(reload, &pair);
	reload_renewed(reload, &refused);
	assert_int_equal(cf_count_entries(&f, "certificate"), 0);
	assert_int_equal(cf_count_entries(&f, "renewal_refused"), 0);
	f.conf.store_min_free_bytes = 0;
	run_until(reload, NULL, &n_list_again);
	reload_listed(reload, &listed);
	run_until(reload, &f.core->renewals.certificate_waits, NULL);
	assert_int_equal(cf_count_entries(&f, "certificate"), 1);
	assert_int_equal(cf_count_entries(&f, "keys"), n_keys + 1);
	reload_free(reload);
	cf_deinit(&f);
}

static int count_lines(FILE *log)
{
	int n = 0, c;
	rewind(log);
	while ((c = fgetc(log)) != EOF)
		n += c == '\n';
	return n;
}

static void test_unusable_file_is_told_of_once(void **state)
{
	struct reload *reload = NULL;
	struct cf f;
	cf_init(&f);
	cf_path(&f, "access.yaml", f.conf.access_file);
	write_access(&f, 0);
	cf_must_open(&f);
	assert_int_equal(reload_new(f.core, on_send, NULL, &reload), RC_OK);
	n_sent = 0;
	reload_run(reload, false);
	assert_int_equal(n_sent, 1);
	write_access(&f, 4 << 20); /* too large */
	FILE *log = tmpfile();
	int was = dup(STDERR_FILENO);
	dup2(fileno(log), STDERR_FILENO);
	for (int i = 0; i < 10; i++)
		reload_run(reload, false);
	dup2(was, STDERR_FILENO);
	close(was);
	assert_int_equal(count_lines(log), 1);
	fclose(log);
	assert_int_equal(n_sent, 1);
	write_access(&f, 1);
	reload_run(reload, false);
	assert_int_equal(n_sent, 2);
	reload_free(reload);
	cf_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_busy_log_is_tried_again),
		cmocka_unit_test(test_requests_wait_for_authorities_in_the_log),
		cmocka_unit_test(test_what_the_front_tells_leaves_room),
		cmocka_unit_test(test_unusable_file_is_told_of_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

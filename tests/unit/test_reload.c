/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* labels: quick threads */
/* Files that are read again: what the log could not take is tried again although the file stays as it is, and a file
 * that cannot be used is told of once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/core/reload.h"
#include "tests/unit/core_fixture.h"

static int n_sent;

static void on_send(void *ctx, enum pipe_type type, const void *data, size_t len)
{
	assert_int_equal(type, PIPE_ACCESS);
	n_sent++;
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

static void test_busy_log_is_tried_again(void **state)
{
	enum { N = 2000 };
	static struct write_job jobs[N];
	static struct gate gate = {.job = {.apply = gate_apply, .done = no_done}, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct reload *reload = NULL;
	struct cf f;
	int n = 0;
	cf_init(&f);
	cf_path(&f, "access.yaml", f.conf.access_file);
	write_access(&f, 0);
	assert_int_equal(cf_open(&f), RC_OK);
	assert_int_equal(reload_new(f.core, on_send, NULL, &reload), RC_OK);
	n_sent = 0;
	pthread_mutex_lock(&gate.lock);
	assert_int_equal(write_queue_push(f.core->writes, &gate.job), RC_OK);
	while (!atomic_load(&gate.entered))
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	enum rc rc = RC_OK;
	for (; n < N && rc == RC_OK; n++) {
		jobs[n] = (struct write_job){.apply = no_apply, .done = no_done};
		rc = write_queue_push(f.core->writes, &jobs[n]);
	}
	assert_int_equal(rc, RC_BUSY);
	reload_run(reload, false);
	assert_int_equal(n_sent, 0);
	pthread_mutex_unlock(&gate.lock);
	for (int i = 0; i < 30000 && n_sent == 0; i++) { /* a limit ends a hang, it measures nothing */
		reload_run(reload, false);
		nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
	}
	assert_int_equal(n_sent, 1);
	assert_int_equal(cf_count_entries(&f, "access"), 1);
	reload_run(reload, false);
	assert_int_equal(n_sent, 1);
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
	assert_int_equal(cf_open(&f), RC_OK);
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
		cmocka_unit_test(test_unusable_file_is_told_of_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

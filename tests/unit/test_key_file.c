/* libs: tc_keys tc_proto */
/* Key files that are unsafe or not key files are refused with a reason and without their bytes; key memory stays out of
 * children and core dumps; HKDF and HMAC against RFC 5869 and RFC 4231. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "keys/key_file.h"
#include "proto/bytes.h"

static char folder[] = "/tmp/tc-key-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[4][256];
	static int turn;
	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
	return path[turn];
}

static int setup(void **state)
{
	return mkdtemp(folder) == NULL;
}

static int teardown(void **state)
{
	char command[300];
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	return system(command);
}

static void put_file(const char *path, const char *text, mode_t mode)
{
	unlink(path);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static const char line[] = "throughcare-seal-v1:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

static void test_write_and_read(void **state)
{
	const char *path = in_folder("seal.key");
	uint8_t bytes[32];
	struct secret_key *key = NULL;
	struct diag diag = {""};
	struct stat st;

	assert_int_equal(random_bytes(bytes, sizeof bytes), RC_OK);
	umask(0);
	assert_int_equal(key_file_write(path, "seal", bytes, &diag), RC_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, sizeof line); /* with the newline for the NUL */
	assert_int_equal(key_file_read(path, "seal", &key, &diag), RC_OK);
	assert_memory_equal(secret_key_bytes(key), bytes, 32);
	secret_key_free(key);

	/* Never overwritten, and never taken for a key of another kind. */
	uint8_t other[32] = {1};
	assert_int_equal(key_file_write(path, "seal", other, &diag), RC_CONFLICT);
	key = NULL;
	assert_int_equal(key_file_read(path, "log", &key, &diag), RC_KEY);
	assert_null(key);
	assert_int_equal(key_file_read(path, "seal", &key, &diag), RC_OK);
	assert_memory_equal(secret_key_bytes(key), bytes, 32);
	secret_key_free(key);
}

static void test_modes(void **state)
{
	static const mode_t bad[] = {0640, 0604, 0660, 0606, 0620, 0602, 0666, 0777, 0610, 0601};
	const char *path = in_folder("mode.key");
	struct secret_key *key = NULL;
	struct diag diag;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		put_file(path, line, bad[i]);
		diag.text[0] = '\0';
		assert_int_equal(key_file_read(path, "seal", &key, &diag), RC_KEY);
		assert_null(key);
		assert_non_null(strstr(diag.text, "mode"));
		assert_null(strstr(diag.text, "00112233"));
	}
	put_file(path, line, 0600);
	assert_int_equal(key_file_read(path, "seal", &key, &diag), RC_OK);
	secret_key_free(key);
	put_file(path, line, 0400);
	key = NULL;
	assert_int_equal(key_file_read(path, "seal", &key, &diag), RC_OK);
	secret_key_free(key);
}

static void test_not_a_regular_file(void **state)
{
	struct secret_key *key = NULL;
	struct diag diag;

	assert_int_equal(key_file_read(in_folder("absent"), "seal", &key, &diag), RC_KEY);
	assert_non_null(strstr(diag.text, "absent"));
	assert_int_equal(mkdir(in_folder("folder"), 0700), 0);
	assert_int_equal(key_file_read(in_folder("folder"), "seal", &key, &diag), RC_KEY);
	/* A FIFO without a writer would block for ever. */
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	alarm(120);
	assert_int_equal(key_file_read(in_folder("fifo"), "seal", &key, &diag), RC_KEY);
	alarm(0);
	assert_int_equal(key_file_read("/dev/zero", "seal", &key, &diag), RC_KEY);
	/* A link is followed to its file, whose mode counts; writing through one is refused. */
	put_file(in_folder("target"), line, 0644);
	assert_int_equal(symlink(in_folder("target"), in_folder("link")), 0);
	assert_int_equal(key_file_read(in_folder("link"), "seal", &key, &diag), RC_KEY);
	assert_int_equal(chmod(in_folder("target"), 0600), 0);
	assert_int_equal(key_file_read(in_folder("link"), "seal", &key, &diag), RC_OK);
	secret_key_free(key);
	assert_int_equal(symlink(in_folder("nowhere"), in_folder("dangling")), 0);
	assert_int_equal(private_file_write(in_folder("dangling"), "x", 1, &diag), RC_CONFLICT);
	assert_int_not_equal(access(in_folder("nowhere"), F_OK), 0);
}

static void test_contents(void **state)
{
	const char *path = in_folder("content.key");
	char text[256];
	struct secret_key *key = NULL;
	struct diag diag;

	for (size_t n = 0; n < strlen(line); n++) {
		snprintf(text, sizeof text, "%.*s", (int)n, line);
		put_file(path, text, 0600);
		assert_int_equal(key_file_read(path, "seal", &key, &diag), RC_KEY);
	}
	static const char *const suffixes[] = {"0", "\n\n", " ", "\r\n", "\nthroughcare-seal-v1:"};
	for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
		snprintf(text, sizeof text, "%s%s", line, suffixes[i]);
		put_file(path, text, 0600);
		assert_int_equal(key_file_read(path, "seal", &key, &diag), RC_KEY);
		assert_null(strstr(diag.text, "0011"));
	}
	snprintf(text, sizeof text, "%s\n", line);
	text[40] = 'g';
	put_file(path, text, 0600);
	assert_int_equal(key_file_read(path, "seal", &key, &diag), RC_KEY);
	assert_null(key);
}

static void test_write_failures(void **state)
{
	struct diag diag;
	uint8_t bytes[32] = {0};

	assert_int_equal(key_file_write(in_folder("no/such/folder"), "seal", bytes, &diag), RC_IO);
	assert_int_equal(private_file_write("/dev/full", "x", 1, &diag), RC_CONFLICT);
}

/* A key is not in a forked child, and lies between two pages that fault. */
static void test_secret_memory(void **state)
{
	uint8_t bytes[32];
	struct secret_key *key = NULL;
	int status;

	memset(bytes, 0xa5, sizeof bytes);
	assert_int_equal(secret_key_new(bytes, &key), RC_OK);
	const volatile uint8_t *at = secret_key_bytes(key);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const volatile uint8_t *const touch[] = {at, at - 1, at + page};
	for (int i = 0; i < 3; i++) {
		pid_t child = fork();
		if (child == 0) {
			signal(SIGSEGV, SIG_DFL);
			signal(SIGABRT, SIG_DFL);
			int null = open("/dev/null", O_WRONLY);
			dup2(null, 2);
			_exit(*touch[i] == 0x77 ? 77 : 0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		/* A signal, or a sanitizer's own exit; never a value read. */
		assert_true(WIFSIGNALED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 77));
	}
	assert_int_equal(*at, 0xa5);
	(void)secret_key_is_locked(key);
	secret_key_free(key);
	secret_key_free(NULL);
	bool locked;
	assert_null(secret_memory_new(page + 1, &locked));
}

static void test_rfc_vectors(void **state)
{
	uint8_t ikm[22], salt[13], okm[32], want[32];

	/* RFC 5869 test case 1; its info is ten bytes f0 … f9, which is text without a NUL. */
	memset(ikm, 0x0b, sizeof ikm);
	for (uint8_t i = 0; i < 13; i++)
		salt[i] = i;
	assert_int_equal(hkdf_label(ikm, 22, salt, 13, "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9", okm, 32), RC_OK);
	assert_int_equal(hex_decode("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf", 64, want, 32),
			 RC_OK);
	assert_memory_equal(okm, want, 32);
	/* Test case 3: no salt, no info. */
	assert_int_equal(hkdf_label(ikm, 22, NULL, 0, "", okm, 32), RC_OK);
	assert_int_equal(hex_decode("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d", 64, want, 32),
			 RC_OK);
	assert_memory_equal(okm, want, 32);
	/* RFC 4231 test case 2. */
	assert_int_equal(hmac_sha256((const uint8_t *)"Jefe", 4, "what do ya want for nothing?", 28, okm), RC_OK);
	assert_int_equal(hex_decode("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", 64, want, 32),
			 RC_OK);
	assert_memory_equal(okm, want, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_and_read),     cmocka_unit_test(test_modes),
		cmocka_unit_test(test_not_a_regular_file), cmocka_unit_test(test_contents),
		cmocka_unit_test(test_write_failures),     cmocka_unit_test(test_secret_memory),
		cmocka_unit_test(test_rfc_vectors),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

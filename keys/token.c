/* A key in a PKCS#11 token, through p11-kit: it parses the URI and loads the module.
 *
 * Invariant: the session and the PIN are gone when a function returns, whatever became of it. Messages name the step
 * that failed and the token's own code for it, never a PIN or a byte of a key. A key is unwrapped in a process of its own:
 * a module is foreign code that keeps PINs and (in software) keys in memory, may start threads, and cannot be trusted to
 * leave when it is unloaded; the daemon has nothing of it but the sealing key. */
#include "keys/token_internal.h"

#ifdef TC_HAVE_PKCS11

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIN_CAP = 256 };

static const char aad[] = "throughcare sealing key v1";

struct token {
	P11KitUri *uri;
	CK_FUNCTION_LIST *module;
	bool initialized;
	CK_SESSION_HANDLE session;
	bool has_session;
	CK_OBJECT_HANDLE key;
};

static enum rc step(CK_RV rv, const char *what, struct diag *diag)
{
	if (rv == CKR_OK)
		return RC_OK;
	return diag_set(diag, RC_KEY, "the token: %s: %s", what, p11_kit_strerror(rv));
}

static enum rc parse_uri(struct token *t, const char *text, struct diag *diag)
{
	t->uri = p11_kit_uri_new();
	if (t->uri == NULL)
		return RC_NOMEM;
	if (p11_kit_uri_parse(text, P11_KIT_URI_FOR_OBJECT_ON_TOKEN_AND_MODULE, t->uri) != P11_KIT_URI_OK ||
	    p11_kit_uri_any_unrecognized(t->uri))
		return diag_set(diag, RC_CONFIG, "the token's key is not named by a PKCS#11 URI (RFC 7512)");
	if (p11_kit_uri_get_module_path(t->uri) == NULL)
		return diag_set(diag, RC_CONFIG, "the token's URI has no module-path");
	if (p11_kit_uri_get_pin_value(t->uri) != NULL)
		return diag_set(diag, RC_CONFIG,
				"the token's URI holds a PIN: put it into a private file, pin-source=file:PATH");
	return RC_OK;
}

/* The one token that fits the URI. */
static enum rc find_slot(struct token *t, CK_SLOT_ID *ret, struct diag *diag)
{
	enum { MAX_SLOTS = 64 };
	CK_SLOT_ID slots[MAX_SLOTS];
	CK_ULONG n = MAX_SLOTS;
	size_t n_fit = 0;

	enum rc rc = step(t->module->C_GetSlotList(CK_TRUE, slots, &n), "its slots cannot be listed", diag);
	for (CK_ULONG i = 0; rc == RC_OK && i < n; i++) {
		CK_TOKEN_INFO info;
		if (t->module->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
		    p11_kit_uri_match_token_info(t->uri, &info) != 1)
			continue;
		n_fit++;
		*ret = slots[i];
	}
	if (rc == RC_OK && n_fit != 1)
		rc = diag_set(diag, RC_KEY, "%s token fits the URI", n_fit == 0 ? "no" : "more than one");
	return rc;
}

static enum rc open_session(struct token *t, struct diag *diag)
{
	t->module = p11_kit_module_load(p11_kit_uri_get_module_path(t->uri), P11_KIT_MODULE_CRITICAL);
	if (t->module == NULL)
		return diag_set(diag, RC_KEY, "%s: the PKCS#11 module cannot be loaded",
				p11_kit_uri_get_module_path(t->uri));
	enum rc rc = step(p11_kit_module_initialize(t->module), "the module cannot be initialized", diag);
	if (rc != RC_OK)
		return rc;
	t->initialized = true;
	CK_SLOT_ID slot = 0;
	rc = find_slot(t, &slot, diag);
	if (rc == RC_OK)
		rc = step(t->module->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &t->session), "no session", diag);
	t->has_session = rc == RC_OK;
	return rc;
}

static enum rc log_in(struct token *t, struct diag *diag)
{
	static const char file[] = "file:";
	const char *source = p11_kit_uri_get_pin_source(t->uri);
	struct buffer pin;

	if (source == NULL)
		return RC_OK;
	if (strncmp(source, file, sizeof file - 1) != 0)
		return diag_set(diag, RC_CONFIG, "the token's URI: pin-source must be file:PATH");
	buffer_init(&pin);
	enum rc rc = private_file_read(source + sizeof file - 1, PIN_CAP, &pin, diag);
	if (rc == RC_OK) {
		CK_ULONG len = pin.len;
		while (len > 0 && (pin.data[len - 1] == '\n' || pin.data[len - 1] == '\r'))
			len--;
		CK_RV rv = t->module->C_Login(t->session, CKU_USER, pin.data, len);
		rc = step(rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv, "cannot log in", diag);
	}
	buffer_wipe(&pin);
	return rc;
}

/* Exactly one secret key must fit: with two, which of them it is would be chance. */
static enum rc find_key(struct token *t, struct diag *diag)
{
	enum { MAX_ATTRIBUTES = 16 };
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_ATTRIBUTE template[MAX_ATTRIBUTES + 1];
	CK_ULONG n = 0, n_found = 0;
	CK_OBJECT_HANDLE found[2];
	CK_ATTRIBUTE_PTR attributes = p11_kit_uri_get_attributes(t->uri, &n);

	if (n > MAX_ATTRIBUTES)
		return diag_set(diag, RC_CONFIG, "the token's URI names too much");
	size_t used = 0;
	for (CK_ULONG i = 0; i < n; i++) {
		if (attributes[i].type != CKA_CLASS)
			template[used++] = attributes[i];
	}
	template[used++] = (CK_ATTRIBUTE){CKA_CLASS, &class, sizeof class};
	enum rc rc = step(t->module->C_FindObjectsInit(t->session, template, used), "cannot look for the key", diag);
	if (rc != RC_OK)
		return rc;
	rc = step(t->module->C_FindObjects(t->session, found, 2, &n_found), "cannot look for the key", diag);
	(void)t->module->C_FindObjectsFinal(t->session);
	if (rc == RC_OK && n_found != 1)
		rc = diag_set(diag, RC_KEY, "the token: %s secret key fits the URI",
			      n_found == 0 ? "no" : "more than one");
	if (rc == RC_OK)
		t->key = found[0];
	return rc;
}

static void token_close(struct token *t)
{
	if (t->has_session) {
		(void)t->module->C_Logout(t->session);
		(void)t->module->C_CloseSession(t->session);
	}
	if (t->initialized)
		(void)p11_kit_module_finalize(t->module);
	if (t->module != NULL)
		p11_kit_module_release(t->module);
	p11_kit_uri_free(t->uri);
}

static enum rc token_open(struct token *t, const char *uri, struct diag *diag)
{
	enum rc rc = parse_uri(t, uri, diag);
	if (rc == RC_OK)
		rc = open_session(t, diag);
	if (rc == RC_OK)
		rc = log_in(t, diag);
	if (rc == RC_OK)
		rc = find_key(t, diag);
	return rc;
}

static CK_GCM_PARAMS gcm_params(uint8_t *nonce)
{
	return (CK_GCM_PARAMS){
		.iv_ptr = nonce,
		.iv_len = TOKEN_NONCE_LEN,
		.iv_bits = 8 * TOKEN_NONCE_LEN,
		.aad_ptr = (CK_BYTE_PTR)(uintptr_t)aad,
		.aad_len = sizeof aad - 1,
		.tag_bits = 8 * TOKEN_TAG_LEN,
	};
}

enum rc token_wrap(const char *uri, const uint8_t key[32], uint8_t ret[TOKEN_WRAPPED_LEN], struct diag *diag)
{
	struct token t = {.uri = NULL};
	uint8_t plain[32], out[TOKEN_WRAPPED_LEN];
	CK_ULONG len = TOKEN_WRAPPED_LEN - TOKEN_NONCE_LEN;

	enum rc rc = random_bytes(out, TOKEN_NONCE_LEN);
	if (rc == RC_OK)
		rc = token_open(&t, uri, diag);
	CK_GCM_PARAMS params = gcm_params(out);
	CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
	memcpy(plain, key, sizeof plain);
	if (rc == RC_OK)
		rc = step(t.module->C_EncryptInit(t.session, &mechanism, t.key), "its key does not encrypt (AES-GCM)",
			  diag);
	if (rc == RC_OK)
		rc = step(t.module->C_Encrypt(t.session, plain, sizeof plain, out + TOKEN_NONCE_LEN, &len),
			  "its key does not encrypt (AES-GCM)", diag);
	if (rc == RC_OK && len != TOKEN_WRAPPED_LEN - TOKEN_NONCE_LEN)
		rc = diag_set(diag, RC_KEY, "the token: what it encrypted has another length");
	explicit_bzero(plain, sizeof plain);
	token_close(&t);
	if (rc == RC_OK)
		memcpy(ret, out, sizeof out);
	return rc;
}

static enum rc unwrap(const char *uri, const uint8_t wrapped[TOKEN_WRAPPED_LEN], uint8_t ret[32], struct diag *diag)
{
	struct token t = {.uri = NULL};
	/* Some modules ask for room for the tag too. */
	uint8_t in[TOKEN_WRAPPED_LEN], plain[TOKEN_WRAPPED_LEN];
	CK_ULONG len = sizeof plain;

	memcpy(in, wrapped, sizeof in);
	enum rc rc = token_open(&t, uri, diag);
	CK_GCM_PARAMS params = gcm_params(in);
	CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
	if (rc == RC_OK)
		rc = step(t.module->C_DecryptInit(t.session, &mechanism, t.key), "its key does not decrypt (AES-GCM)",
			  diag);
	if (rc == RC_OK)
		rc = step(t.module->C_Decrypt(t.session, in + TOKEN_NONCE_LEN, sizeof in - TOKEN_NONCE_LEN, plain,
					      &len),
			  "the sealing key was not wrapped under its key, or was changed", diag);
	if (rc == RC_OK && len != 32)
		rc = diag_set(diag, RC_KEY, "the token: what it decrypted is no sealing key");
	if (rc == RC_OK)
		memcpy(ret, plain, 32);
	explicit_bzero(plain, sizeof plain);
	token_close(&t);
	return rc;
}

/* What the child tells: at most PIPE_BUF, so written at once. */
struct answer {
	enum rc rc;
	uint8_t key[32];
	char text[512];
};
_Static_assert(sizeof(struct answer) <= PIPE_BUF, "one write");

static _Noreturn void be_child(int fd, const char *uri, const uint8_t wrapped[TOKEN_WRAPPED_LEN])
{
	struct diag diag = {""};
	struct answer answer = {.rc = RC_INTERNAL};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	answer.rc = unwrap(uri, wrapped, answer.key, &diag);
	snprintf(answer.text, sizeof answer.text, "%s", diag.text);
	ssize_t n = write(fd, &answer, sizeof answer);
	explicit_bzero(&answer, sizeof answer);
	_exit(n == sizeof answer ? 0 : 1);
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Read what the child wrote, until it is whole, the child has gone, or `timeout_ms` are over. Returns how much it was;
 * *ret_late: the time was over. */
static size_t read_answer(int fd, unsigned timeout_ms, struct answer *answer, bool *ret_late)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left, end = now_ms() + timeout_ms;
	size_t len = 0;
	while (len < sizeof *answer) {
		left = end - now_ms();
		int ready = poll(&p, 1, left > 0 ? (int)left : 0);
		if (ready < 0 && errno == EINTR)
			continue;
		*ret_late = ready == 0;
		ssize_t n = ready <= 0 ? 0 : read(fd, (uint8_t *)answer + len, sizeof *answer - len);
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		if (n > 0)
			len += (size_t)n;
	}
	return len;
}

static enum rc take_answer(int fd, unsigned timeout_ms, struct secret_key **ret, struct diag *diag)
{
	struct answer answer;
	bool late = false;
	enum rc rc = RC_KEY;
	size_t len = read_answer(fd, timeout_ms, &answer, &late);
	if (late) {
		diag_set(diag, rc,
			 "the token has not answered in %u s: is it there, and the service that stands for it?",
			 timeout_ms / 1000);
	} else if (len != sizeof answer) {
		diag_set(diag, rc, "the token's module ended the process that called it");
	} else if (answer.rc != RC_OK) {
		answer.text[sizeof answer.text - 1] = '\0';
		rc = diag_set(diag, answer.rc, "%s", answer.text);
	} else {
		rc = secret_key_new(answer.key, ret);
	}
	explicit_bzero(&answer, sizeof answer);
	return rc;
}

enum rc token_unwrap(const char *uri, const uint8_t wrapped[TOKEN_WRAPPED_LEN], unsigned timeout_ms,
		     struct secret_key **ret, struct diag *diag)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return diag_set(diag, RC_IO, "the token: no pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0)
		be_child(fds[1], uri, wrapped);
	close(fds[1]);
	enum rc rc = pid < 0 ? diag_set(diag, RC_NOMEM, "the token: no process to call it from")
			     : take_answer(fds[0], timeout_ms, ret, diag);
	close(fds[0]);
	if (pid > 0)
		kill(pid, SIGKILL); /* it has told all it knows, or never will */
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return rc;
}

#else

static enum rc refuse(struct diag *diag)
{
	return diag_set(diag, RC_CONFIG, "this build has no PKCS#11: p11-kit was not there when it was made");
}

enum rc token_wrap(const char *uri, const uint8_t key[32], uint8_t ret[TOKEN_WRAPPED_LEN], struct diag *diag)
{
	return refuse(diag);
}

enum rc token_unwrap(const char *uri, const uint8_t wrapped[TOKEN_WRAPPED_LEN], unsigned timeout_ms,
		     struct secret_key **ret, struct diag *diag)
{
	return refuse(diag);
}

#endif

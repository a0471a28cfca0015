/* Inside the schema reader: typed reading of JSON with errors that begin with the path; one feature; version 2. */
#ifndef PROTO_SCHEMA_INTERNAL_H
#define PROTO_SCHEMA_INTERNAL_H

#include "proto/schema.h"

/* Where we are: the path of the object being read, for errors. */
struct schema_place {
	struct diag *diag;
	const char *path; /* "" = the whole schema */
};

/* "PATH.KEY: message"; `key` may be "". Returns INVALID. */
enum rc schema_fail(const struct schema_place *at, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A key that is not there leaves the default that the output holds. */
enum rc schema_get_integer(const struct schema_place *at, const json_t *object, const char *key, int64_t min,
			   int64_t max, uint32_t *value) MUST_CHECK;
enum rc schema_need_integer(const struct schema_place *at, const json_t *object, const char *key, int64_t min,
			    int64_t max, uint32_t *value) MUST_CHECK;
/* Bounds of values and lengths: clkhash compares with them and also takes 5.0. */
enum rc schema_get_bound(const struct schema_place *at, const json_t *object, const char *key, bool *ret_has,
			 int64_t *value) MUST_CHECK;
enum rc schema_get_bool(const struct schema_place *at, const json_t *object, const char *key, bool *value) MUST_CHECK;
/* Copies. */
enum rc schema_get_text(const struct schema_place *at, const json_t *object, const char *key, char **value) MUST_CHECK;
/* One of the NULL-terminated words; *value is its index. */
enum rc schema_get_word(const struct schema_place *at, const json_t *object, const char *key, const char *const *words,
			int *value) MUST_CHECK;
enum rc schema_need_object(const struct schema_place *at, const json_t *object, const char *key,
			   const json_t **ret) MUST_CHECK;
/* The object has only the NULL-terminated keys. */
enum rc schema_only_keys(const struct schema_place *at, const json_t *object, const char *const *keys) MUST_CHECK;
/* `description`, where given, is text. */
enum rc schema_check_description(const struct schema_place *at, const json_t *object) MUST_CHECK;

/* Read one feature. What it holds afterwards, also on failure, is freed by schema_feature_deinit(). */
enum rc schema_read_feature(struct schema_feature *f, const json_t *feature, const struct schema_place *at) MUST_CHECK;
void schema_feature_deinit(struct schema_feature *f);
/* What an ignored feature says of its format was checked, and is not kept. */
void schema_feature_forget(struct schema_feature *f);

/* A copy of a version 2 schema in the terms of version 3; NULL when memory fails. */
json_t *schema_convert_v2(const json_t *root);

#endif

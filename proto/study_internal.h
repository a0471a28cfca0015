/* Inside the study parser: typed reading of nodes with errors that name line, path and what was expected. Shared by
 * proto/study*.c and proto/access.c, and by nothing else. */
#ifndef PROTO_STUDY_INTERNAL_H
#define PROTO_STUDY_INTERNAL_H

#include <jansson.h>

#include "proto/study.h"
#include "proto/yaml_tree.h"

/* Where errors go. Every function below fills `diag` before it fails. */
struct study_reader {
	const struct yaml_tree *tree;
	struct diag *diag;
};

#define READ_ERROR(reader, node, ...) yaml_error((reader)->tree, node, (reader)->diag, __VA_ARGS__)

/* The node must be a mapping that has only the NULL-terminated `keys`; an unknown key gets the nearest one as advice.
 */
enum rc read_keys(const struct study_reader *r, const struct yaml_node *node, const char *const *keys) MUST_CHECK;
/* A mapping (any keys), with at least one and at most `max` children. */
enum rc read_mapping(const struct study_reader *r, const struct yaml_node *node, size_t max) MUST_CHECK;
/* A sequence with at least `min` and at most `max` items. */
enum rc read_sequence(const struct study_reader *r, const struct yaml_node *node, size_t min, size_t max) MUST_CHECK;
/* The value of a key that must be there. */
enum rc read_required(const struct study_reader *r, const struct yaml_node *node, const char *key,
		      const struct yaml_node **ret) MUST_CHECK;

/* Scalars. For optional ones pass yaml_get(): with node NULL the output keeps the default it holds. */
enum rc read_integer(const struct study_reader *r, const struct yaml_node *node, int64_t min, int64_t max,
		     int64_t *value) MUST_CHECK;
/* A decimal with at most `places` digits after the point, as an integer of 10^-places; min and max in the same unit. */
enum rc read_decimal(const struct study_reader *r, const struct yaml_node *node, int places, int64_t min, int64_t max,
		     int64_t *value) MUST_CHECK;
enum rc read_bool(const struct study_reader *r, const struct yaml_node *node, bool *value) MUST_CHECK;
/* One of the NULL-terminated `words`; *value is its index. */
enum rc read_word(const struct study_reader *r, const struct yaml_node *node, const char *const *words,
		  int *value) MUST_CHECK;
/* Text without control characters, shorter than `cap`, not empty. */
enum rc read_text(const struct study_reader *r, const struct yaml_node *node, char *out, size_t cap) MUST_CHECK;
/* A name as study.h defines it: from a scalar's value, or from the node's own key. */
enum rc read_name(const struct study_reader *r, const struct yaml_node *node, char out[STUDY_NAME_CAP]) MUST_CHECK;
enum rc read_key_name(const struct study_reader *r, const struct yaml_node *node, char out[STUDY_NAME_CAP]) MUST_CHECK;
bool name_is_valid(const char *text);

/* The candidate nearest to `word` by edits, or NULL when none is near enough to be what was meant. */
const char *nearest_word(const char *word, const char *const *candidates);

/* The parts of a study; each reads its keys of the top mapping (checked to be there by study_parse). */
enum rc study_read_linkage(const struct study_reader *r, const struct yaml_node *linkage,
			   struct study *study) MUST_CHECK;
/* roles, and the filters of a study that does not write any; `node` is what errors point at. */
enum rc study_read_roles(const struct study_reader *r, const struct yaml_node *roles,
			 struct study_domain *domain) MUST_CHECK;
enum rc study_default_filters(const struct study_reader *r, const struct yaml_node *node,
			      struct study_domain *domain) MUST_CHECK;
/* Number the parts of a filter whose features are known. */
void study_number_parts(const struct study_domain *domain, struct study_filter *filter);
/* `node` NULL: the defaults of the domain's profile. The domain's language is read already. */
enum rc study_read_normalise(const struct study_reader *r, const struct yaml_node *node,
			     struct study_domain *domain) MUST_CHECK;
/* The rules as they stand in the encoding digest: further rules only where they are on. */
json_t *study_normalise_json(const struct study_normalise *normalise);
/* `linkage` is what errors point at where `node` is NULL. */
enum rc study_read_comparisons(const struct study_reader *r, const struct yaml_node *node,
			       const struct yaml_node *linkage, struct study_domain *domain) MUST_CHECK;
enum rc study_read_sources(const struct study_reader *r, const struct yaml_node *sources,
			   struct study *study) MUST_CHECK;
enum rc study_read_events(const struct study_reader *r, const struct yaml_node *events, struct study *study) MUST_CHECK;
enum rc study_read_dimensions(const struct study_reader *r, const struct yaml_node *dimensions,
			      struct study *study) MUST_CHECK;
enum rc study_read_measures(const struct study_reader *r, const struct yaml_node *measures,
			    struct study *study) MUST_CHECK;
enum rc study_read_tables(const struct study_reader *r, const struct yaml_node *tables, struct study *study) MUST_CHECK;
enum rc study_read_disclosure(const struct study_reader *r, const struct yaml_node *disclosure,
			      struct study *study) MUST_CHECK;
/* Once all parts are read: published partitions of one thing are nested, and no table stands twice. */
enum rc study_check_nested(const struct study_reader *r, const struct yaml_node *root,
			   const struct study *study) MUST_CHECK;

/* A comparison for every filter; filters of residence alone are compared as one. At most STUDY_MAX_COMPARISONS filters.
 */
void study_default_comparisons(struct study_domain *domain);
/* Default weight of a digit (1 … n_cuts+1) whose Dice coefficients start at `from_milli`, in 1/256 log2 units. */
int16_t study_default_weight(bool is_date, uint16_t from_milli);

/* Fill encoding_id of every domain, then the digest. */
enum rc study_fill_digests(struct study *study) MUST_CHECK;

extern const char *const study_source_kinds[]; /* in the order of enum study_source_kind, NULL-terminated */
extern const char *const study_event_roles[];
extern const char *const study_profiles[];
extern const char *const study_roles[];
extern const char *const study_incompletes[];
extern const char *const study_periods[];
extern const char *const study_measure_kinds[];
extern const char *const study_disclosure_methods[];

#endif

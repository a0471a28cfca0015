/* Inside the schema reader. */
#ifndef PROTO_SCHEMA_INTERNAL_H
#define PROTO_SCHEMA_INTERNAL_H

#include "proto/schema.h"

/* A copy of a version 2 schema in the terms of version 3; NULL when memory fails. */
json_t *schema_convert_v2(const json_t *root);

#endif

/* libs: tc_store tc_keys tc_proto */
/* labels: full */
/* A bit of every seventh byte: see test_damage.c. */
#define STEP 7
#include "tests/unit/test_damage.c"

/* Names that registers write in parts: particles, double surnames, hyphens. All work on code points in place. */
#ifndef TOOLS_ENCODE_NAMES_H
#define TOOLS_ENCODE_NAMES_H

#include "tools/encode/text.h"

/* Remove particles (van der, de la, von, al-, d', …) wherever they stand as a part of their own; a name of particles
 * alone stays. Letters are compared without case. */
void names_drop_particles(struct text *text);
/* Hyphens and their look-alikes become spaces. */
void names_split_hyphens(struct text *text);
/* Parts between spaces in the order of their code points, with one space between them: Meyer Schmidt and Schmidt Meyer
 * are one. `scratch` is used and left undefined. Errors: NOMEM. */
enum rc names_sort(struct text *text, struct text *scratch) MUST_CHECK;

#endif

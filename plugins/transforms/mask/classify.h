/* SPDX-License-Identifier: Apache-2.0 */
/* What a column's name says about its values. */
#ifndef MASK_CLASSIFY_H
#define MASK_CLASSIFY_H
#include <stddef.h>

enum mask_class { MASK_CLEAR = 0, MASK_PII, MASK_PHI };

/* The class that a name of len bytes suggests; health data wins where both fit. The name is split
 * into words at anything that is no letter, at digits and at changes of case ("homeAddress2": home,
 * address); a pattern fits when its words follow each other, the last one perhaps in the plural, or
 * when one word contains them all ("useremail"). Any thread. */
enum mask_class mask_classify(const char *name, size_t len);
const char *mask_class_name(enum mask_class c); /* "pii", "phi", "" */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON texts in place (RFC 8259): a value is a span of the text it stands in. */
#ifndef MR_EXPR_JSON_H
#define MR_EXPR_JSON_H
#include "expr/internal.h"

#define MR_JSON_DEPTH 512

/* One value with nothing but blanks around it, at most MR_JSON_DEPTH levels deep. */
bool mr_json_valid(struct mr_span s);

enum mr_json_found {
  MR_JSON_BAD, /* not JSON as far as it was read */
  MR_JSON_NONE,
  MR_JSON_FOUND
};
/* The member of an object (the last of that name). */
enum mr_json_found mr_json_member(struct mr_span s, struct mr_span key, struct mr_span *ret);
/* The element of an array, from 0; negative: from the end. */
enum mr_json_found mr_json_element(struct mr_span s, int64_t index, struct mr_span *ret);
/* Elements of an array, -1: not JSON, -2: no array. */
int64_t mr_json_length(struct mr_span s);
/* The first character of the value: { [ " t f n or a number's; 0: nothing there. */
char mr_json_first(struct mr_span s);
/* The text of a string value (with its quotes), escapes resolved, into `to` (s.n bytes are
 * enough). The length, or -1: an escape that is no character of a text (\u0000, half a surrogate
 * pair). */
int64_t mr_json_unescape(struct mr_span s, char *to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of masking, and the rules that name them. */
#ifndef MASK_METHOD_H
#define MASK_METHOD_H
#include "millrace/plugin.h"

enum mask_kind {
  MASK_NONE = 0, /* nothing decided */
  MASK_KEEP,
  MASK_HASH,
  MASK_TOKENIZE,
  MASK_REDACT,
  MASK_PARTIAL,
  MASK_NULL,
  MASK_TRUNCATE,
  MASK_DROP, /* the column goes: system columns only */
};
enum mask_unit { MASK_YEAR, MASK_MONTH, MASK_DAY, MASK_HOUR };

#define MASK_REDACTED "[redacted]"
#define MASK_PARTIAL_MAX 64 /* characters that partial may show on one side */

struct mask_method {
  enum mask_kind kind;
  const char *text; /* hash, tokenize: the domain; redact: the text; lent, not terminated; NULL: the
                       default */
  size_t text_len;
  int first, last; /* partial: characters shown */
  enum mask_unit unit;
};

/* Reads "hash", "hash(domain)", "tokenize", "tokenize(domain)", "redact", "redact(text)",
 * "partial(n)", "partial(a,b)", "null", "truncate(year|month|day|hour)" or "keep". ret points into
 * text. MR_BADCONF without err->option. Any thread. */
int mask_method_parse(const char *text, struct mask_method *ret, struct mr_error *err);
const char *mask_kind_name(enum mask_kind k);

/* The rule that fits a path ("user.email"), or NULL: an exact name first, then the first name with
 * `*` (any run of characters) that fits; such a name fits system columns only when it begins with
 * `_`. ret_index: its place in the list. */
const char *mask_rule_find(const struct mr_list *rules, const char *path, size_t *ret_index);
/* Reads every rule. MR_BADCONF with err->option = "rules.NAME". */
int mask_rules_check(const struct mr_list *rules, struct mr_error *err);

#endif

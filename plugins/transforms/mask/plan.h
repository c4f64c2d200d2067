/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to each column of one schema. */
#ifndef MASK_PLAN_H
#define MASK_PLAN_H
#include "classify.h"
#include "method.h"
#include "millrace/build.h"

struct mask_conf {
  const char *key, *key_id;
  int32_t classify; /* index into auto, off */
  struct mr_list rules;
};
enum { MASK_AUTO = 0, MASK_OFF = 1 };

enum mask_why { MASK_BY_NOTHING = 0, MASK_BY_RULE, MASK_BY_NAME, MASK_BY_LABEL, MASK_BY_SYSTEM };

/* One column or nested field. A node without masked fields below it is left as it is (touched =
 * false). */
struct mask_node {
  char *path;   /* "user.email"; the items of a list have the list's path */
  char *domain; /* hash, tokenize: the prefix that separates columns, domain_len bytes */
  size_t domain_len;
  struct mask_method method; /* MASK_NONE: this value stays, its children are looked at */
  enum mask_class class;
  enum mask_why why;
  bool touched;
  int64_t n;
  struct mask_node *child;
};
struct mask_plan {
  struct mask_node root; /* the rows: a child for each column of the input */
  struct ArrowSchema in, out;
};

/* Decides for every column of in. first: a rule that names no column is an error (later schemas may
 * lose columns). MR_BADCONF with err->option. *ret is the caller's, to be freed with
 * mask_plan_done, and is untouched on failure. */
int mask_plan_init(struct mask_plan *ret, const struct mask_conf *conf,
                   const struct ArrowSchema *in, bool first, struct mr_error *err);
void mask_plan_done(struct mask_plan *plan); /* takes a zeroed one */
/* A line for each column: "email: hash (pii, by name)\n". */
int mask_plan_explain(const struct mask_plan *plan, mr_put_fn *put, void *out);

#endif

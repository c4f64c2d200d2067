/* SPDX-License-Identifier: Apache-2.0 */
/* What parse.c (operators) and primary.c (values, calls, CASE) share. */
#ifndef MR_EXPR_PARSE_H
#define MR_EXPR_PARSE_H
#include "expr/lexer.h"
#include <stdio.h>

struct mr_parser {
  struct mr_lexer lexer;
  struct mr_token now, next;
  int depth;
};
struct mr_node_list { /* grows in the arena */
  struct mr_node **v;
  int n, cap;
};

/* All give MR_OK, MR_BADCONF with the place, or MR_FATAL without memory. */
int mr_parse_expr(struct mr_parser *p, struct mr_node **ret);
/* What may stand beside a comparison, BETWEEN or IN. */
int mr_parse_operand(struct mr_parser *p, struct mr_node **ret);
int mr_parse_unary(struct mr_parser *p, struct mr_node **ret);
/* Moves to the next token. */
int mr_parse_step(struct mr_parser *p);
bool mr_parse_word(const struct mr_token *t, const char *word);
bool mr_parse_op(const struct mr_token *t, const char *op);
/* Steps over the operator or word, or fails. */
int mr_parse_expect(struct mr_parser *p, const char *op);
int mr_parse_expect_word(struct mr_parser *p, const char *word);
/* "expected WANTED, not `what is there`" */
int mr_parse_unexpected(struct mr_parser *p, const char *wanted);
int mr_parse_memory(struct mr_parser *p);
/* A call node; arg is copied. */
int mr_parse_call(struct mr_parser *p, const struct mr_token *at, const char *name,
                  struct mr_node *const *arg, int n, struct mr_node **ret);
int mr_parse_call2(struct mr_parser *p, const struct mr_token *at, const char *name,
                   struct mr_node *a, struct mr_node *b, struct mr_node **ret);
int mr_parse_push(struct mr_parser *p, struct mr_node_list *l, struct mr_node *n);
/* One level deeper; p->depth-- on the way out, also after a failure. */
int mr_parse_enter(struct mr_parser *p);
/* A LET of a, references to it, and its body. */
int mr_parse_let(struct mr_parser *p, const struct mr_token *at, struct mr_node *a,
                 struct mr_node **ret);
int mr_parse_ref(struct mr_parser *p, const struct mr_token *at, struct mr_node *let,
                 struct mr_node **ret);
int mr_parse_body(struct mr_parser *p, struct mr_node *let, struct mr_node *body);

#endif

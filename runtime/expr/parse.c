/* SPDX-License-Identifier: Apache-2.0 */
/* Recursive descent, one function for each level of PostgreSQL's precedence table (manual, section
 * 4.1.6), loosest first: OR; AND; NOT; IS; comparison; BETWEEN IN LIKE; other operators; + -; * /
 * %; AT TIME ZONE; unary sign; :: and field access. */
#include "expr/parse.h"
#include <strings.h>

static int parse_not(struct mr_parser *p, struct mr_node **ret);

struct mr_node *mr_node_new(struct mr_arena *a, enum mr_node_kind kind, int line, int col)
{
  struct mr_node *n = mr_arena_zero(a, sizeof *n);
  if (!n)
    return NULL;
  n->kind = kind;
  n->line = line;
  n->col = col;
  n->depth = 1;
  return n;
}

int mr_parse_memory(struct mr_parser *p)
{
  return mr_fail(p->lexer.err, MR_FATAL, "out of memory");
}

int mr_parse_step(struct mr_parser *p)
{
  p->now = p->next;
  return mr_lexer_next(&p->lexer, &p->next);
}

bool mr_parse_word(const struct mr_token *t, const char *word)
{
  return t->kind == MR_T_WORD && !strcasecmp(t->text, word);
}

bool mr_parse_op(const struct mr_token *t, const char *op)
{
  return t->kind == MR_T_OP && !strcmp(t->text, op);
}

int mr_parse_unexpected(struct mr_parser *p, const char *wanted)
{
  const struct mr_token *t = &p->now;
  if (t->kind == MR_T_END)
    return mr_lexer_fail(p->lexer.err, t->line, t->col, "expected %s, the expression ends here",
                         wanted);
  return mr_lexer_fail(p->lexer.err, t->line, t->col, "expected %s, not `%.40s`", wanted, t->text);
}

int mr_parse_expect(struct mr_parser *p, const char *op)
{
  char wanted[16];
  if (mr_parse_op(&p->now, op))
    return mr_parse_step(p);
  snprintf(wanted, sizeof wanted, "`%s`", op);
  return mr_parse_unexpected(p, wanted);
}

int mr_parse_expect_word(struct mr_parser *p, const char *word)
{
  if (mr_parse_word(&p->now, word))
    return mr_parse_step(p);
  return mr_parse_unexpected(p, word);
}

int mr_parse_call(struct mr_parser *p, const struct mr_token *at, const char *name,
                  struct mr_node *const *arg, int n, struct mr_node **ret)
{
  struct mr_node *c = mr_node_new(p->lexer.arena, MR_N_CALL, at->line, at->col);
  if (!c || !(c->arg = mr_arena_alloc(p->lexer.arena, (n ? n : 1) * (int64_t)sizeof *arg)))
    return mr_parse_memory(p);
  c->name = name;
  c->n_arg = n;
  for (int i = 0; i < n; i++) {
    c->arg[i] = arg[i];
    if (arg[i]->depth >= c->depth)
      c->depth = arg[i]->depth + 1;
  }
  if (c->depth > MR_MAX_DEPTH)
    return mr_lexer_fail(p->lexer.err, at->line, at->col, "nested deeper than %d levels",
                         MR_MAX_DEPTH);
  *ret = c;
  return MR_OK;
}

int mr_parse_call2(struct mr_parser *p, const struct mr_token *at, const char *name,
                   struct mr_node *a, struct mr_node *b, struct mr_node **ret)
{
  struct mr_node *arg[] = {a, b};
  return mr_parse_call(p, at, name, arg, 2, ret);
}

int mr_parse_push(struct mr_parser *p, struct mr_node_list *l, struct mr_node *n)
{
  if (l->n == l->cap) {
    int cap = l->cap ? l->cap * 2 : 8;
    struct mr_node **v = mr_arena_alloc(p->lexer.arena, cap * (int64_t)sizeof *v);
    if (!v)
      return mr_parse_memory(p);
    if (l->n)
      memcpy(v, l->v, (size_t)l->n * sizeof *v);
    l->v = v;
    l->cap = cap;
  }
  l->v[l->n++] = n;
  return MR_OK;
}

int mr_parse_enter(struct mr_parser *p)
{
  if (++p->depth <= MR_MAX_DEPTH)
    return MR_OK;
  return mr_lexer_fail(p->lexer.err, p->now.line, p->now.col, "nested deeper than %d levels",
                       MR_MAX_DEPTH);
}

/* A LET of a and a body that the caller makes from REF nodes. */
int mr_parse_let(struct mr_parser *p, const struct mr_token *at, struct mr_node *a,
                 struct mr_node **ret)
{
  struct mr_node *arg[] = {a, a};
  int st = mr_parse_call(p, at, "let", arg, 2, ret);
  if (st < 0)
    return st;
  (*ret)->kind = MR_N_LET;
  (*ret)->arg[1] = NULL;
  return MR_OK;
}

int mr_parse_ref(struct mr_parser *p, const struct mr_token *at, struct mr_node *let,
                 struct mr_node **ret)
{
  *ret = mr_node_new(p->lexer.arena, MR_N_REF, at->line, at->col);
  if (!*ret)
    return mr_parse_memory(p);
  (*ret)->let = let;
  (*ret)->name = "let";
  return MR_OK;
}

int mr_parse_body(struct mr_parser *p, struct mr_node *let, struct mr_node *body)
{
  let->arg[1] = body;
  if (body->depth >= let->depth)
    let->depth = body->depth + 1;
  if (let->depth <= MR_MAX_DEPTH)
    return MR_OK;
  return mr_lexer_fail(p->lexer.err, let->line, let->col, "nested deeper than %d levels",
                       MR_MAX_DEPTH);
}

/* a OP a OP a becomes one node with all of them. */
static int parse_chain(struct mr_parser *p, const char *word, const char *name,
                       int (*below)(struct mr_parser *, struct mr_node **), struct mr_node **ret)
{
  struct mr_node_list l = {0};
  struct mr_token at = p->now;
  int st = below(p, ret);
  if (st < 0 || !mr_parse_word(&p->now, word))
    return st;
  at = p->now;
  st = mr_parse_push(p, &l, *ret);
  while (st >= 0 && mr_parse_word(&p->now, word)) {
    struct mr_node *n = NULL;
    if ((st = mr_parse_step(p)) >= 0 && (st = below(p, &n)) >= 0)
      st = mr_parse_push(p, &l, n);
  }
  return st < 0 ? st : mr_parse_call(p, &at, name, l.v, l.n, ret);
}

static int parse_and(struct mr_parser *p, struct mr_node **ret)
{
  return parse_chain(p, "and", "and", parse_not, ret);
}

int mr_parse_expr(struct mr_parser *p, struct mr_node **ret)
{
  int st = mr_parse_enter(p);
  if (st >= 0)
    st = parse_chain(p, "or", "or", parse_and, ret);
  p->depth--;
  return st;
}

static int negate(struct mr_parser *p, const struct mr_token *at, bool not, struct mr_node **n)
{
  return not ? mr_parse_call(p, at, "not", n, 1, n) : MR_OK;
}

/* BETWEEN b AND c, after its operand a. */
static int parse_between(struct mr_parser *p, const struct mr_token *at, struct mr_node *a,
                         struct mr_node **ret)
{
  struct mr_node *let = NULL, *r1, *r2, *lo, *hi, *body;
  int st;
  if ((st = mr_parse_let(p, at, a, &let)) < 0 || (st = mr_parse_ref(p, at, let, &r1)) < 0 ||
      (st = mr_parse_ref(p, at, let, &r2)) < 0 || (st = mr_parse_operand(p, &lo)) < 0 ||
      (st = mr_parse_expect_word(p, "and")) < 0 || (st = mr_parse_operand(p, &hi)) < 0 ||
      (st = mr_parse_call2(p, at, ">=", r1, lo, &lo)) < 0 ||
      (st = mr_parse_call2(p, at, "<=", r2, hi, &hi)) < 0 ||
      (st = mr_parse_call2(p, at, "and", lo, hi, &body)) < 0)
    return st;
  *ret = let;
  return mr_parse_body(p, let, body);
}

/* IN (b, c, ...), after its operand: call "in" with the operand first. */
static int parse_in(struct mr_parser *p, const struct mr_token *at, struct mr_node *a,
                    struct mr_node **ret)
{
  struct mr_node_list l = {0};
  struct mr_node *n;
  int st = mr_parse_push(p, &l, a);
  if (st < 0 || (st = mr_parse_expect(p, "(")) < 0)
    return st;
  do {
    if ((l.n > 1 && (st = mr_parse_step(p)) < 0) || (st = mr_parse_expr(p, &n)) < 0 ||
        (st = mr_parse_push(p, &l, n)) < 0)
      return st;
  } while (mr_parse_op(&p->now, ","));
  if ((st = mr_parse_expect(p, ")")) < 0)
    return st;
  return mr_parse_call(p, at, "in", l.v, l.n, ret);
}

static int parse_like(struct mr_parser *p, const struct mr_token *at, const char *name,
                      struct mr_node *a, struct mr_node **ret)
{
  struct mr_node *arg[3] = {a, NULL, NULL};
  int n = 2, st = mr_parse_operand(p, &arg[1]);
  if (st >= 0 && mr_parse_word(&p->now, "escape")) {
    n = 3;
    if ((st = mr_parse_step(p)) >= 0)
      st = mr_parse_operand(p, &arg[2]);
  }
  return st < 0 ? st : mr_parse_call(p, at, name, arg, n, ret);
}

static bool is_range_word(const struct mr_token *t)
{
  return mr_parse_word(t, "between") || mr_parse_word(t, "in") || mr_parse_word(t, "like") ||
         mr_parse_word(t, "ilike");
}

/* [NOT] BETWEEN, IN, LIKE, ILIKE */
static int parse_range(struct mr_parser *p, struct mr_node **ret)
{
  int st = mr_parse_operand(p, ret);
  while (st >= 0) {
    bool not = mr_parse_word(&p->now, "not") && is_range_word(&p->next);
    struct mr_token at = p->now;
    if (not &&(st = mr_parse_step(p)) < 0)
      break;
    struct mr_token word = p->now;
    if (!is_range_word(&word))
      break;
    if ((st = mr_parse_step(p)) < 0)
      break;
    if (mr_parse_word(&word, "between"))
      st = parse_between(p, &at, *ret, ret);
    else if (mr_parse_word(&word, "in"))
      st = parse_in(p, &at, *ret, ret);
    else
      st = parse_like(p, &at, mr_parse_word(&word, "like") ? "like" : "ilike", *ret, ret);
    if (st >= 0)
      st = negate(p, &at, not, ret);
  }
  return st;
}

/* The one name of a comparison operator, or NULL. */
static const char *comparison_of(const struct mr_token *t)
{
  static const char *const same[][2] = {{"=", "="}, {"==", "="}, {"<>", "<>"}, {"!=", "<>"},
                                        {"<", "<"}, {">", ">"},  {"<=", "<="}, {">=", ">="}};
  for (size_t i = 0; i < MR_COUNT(same); i++)
    if (mr_parse_op(t, same[i][0]))
      return same[i][1];
  return NULL;
}

static int parse_comparison(struct mr_parser *p, struct mr_node **ret)
{
  int st = parse_range(p, ret);
  const char *name = comparison_of(&p->now);
  if (st < 0 || !name)
    return st;
  struct mr_token at = p->now;
  struct mr_node *b = NULL;
  if ((st = mr_parse_step(p)) < 0 || (st = parse_range(p, &b)) < 0)
    return st;
  if (comparison_of(&p->now))
    return mr_lexer_fail(p->lexer.err, p->now.line, p->now.col,
                         "comparisons do not chain: join them with AND");
  return mr_parse_call2(p, &at, name, *ret, b, ret);
}

/* What follows IS [NOT]. */
static int parse_is_what(struct mr_parser *p, const struct mr_token *at, struct mr_node **ret)
{
  static const char *const tests[][2] = {
      {"null", "is null"}, {"true", "is true"}, {"false", "is false"}, {"unknown", "is null"}};
  int st;
  for (size_t i = 0; i < MR_COUNT(tests); i++)
    if (mr_parse_word(&p->now, tests[i][0]))
      return (st = mr_parse_step(p)) < 0 ? st : mr_parse_call(p, at, tests[i][1], ret, 1, ret);
  if (!mr_parse_word(&p->now, "distinct"))
    return mr_parse_unexpected(p, "NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM");
  struct mr_node *b = NULL;
  if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_expect_word(p, "from")) < 0 ||
      (st = parse_comparison(p, &b)) < 0)
    return st;
  return mr_parse_call2(p, at, "is distinct", *ret, b, ret);
}

static int parse_is(struct mr_parser *p, struct mr_node **ret)
{
  int st = parse_comparison(p, ret);
  while (st >= 0 && mr_parse_word(&p->now, "is")) {
    struct mr_token at = p->now;
    if ((st = mr_parse_step(p)) < 0)
      return st;
    bool not = mr_parse_word(&p->now, "not");
    if (not &&(st = mr_parse_step(p)) < 0)
      return st;
    if ((st = parse_is_what(p, &at, ret)) >= 0)
      st = negate(p, &at, not, ret);
  }
  return st;
}

static int parse_not(struct mr_parser *p, struct mr_node **ret)
{
  if (!mr_parse_word(&p->now, "not"))
    return parse_is(p, ret);
  struct mr_token at = p->now;
  int st = mr_parse_enter(p);
  if (st >= 0 && (st = mr_parse_step(p)) >= 0 && (st = parse_not(p, ret)) >= 0)
    st = mr_parse_call(p, &at, "not", ret, 1, ret);
  p->depth--;
  return st;
}

/* a OP b OP c, to the left, for the operators of one level. */
static int parse_left(struct mr_parser *p, const char *const *ops,
                      int (*below)(struct mr_parser *, struct mr_node **), struct mr_node **ret)
{
  int st = below(p, ret);
  while (st >= 0 && p->now.kind == MR_T_OP) {
    struct mr_token at = p->now;
    struct mr_node *b = NULL;
    const char *const *o = ops;
    while (*o && strcmp(*o, at.text))
      o++;
    if (!*o)
      break;
    if ((st = mr_parse_step(p)) < 0 || (st = below(p, &b)) < 0)
      break;
    st = mr_parse_call2(p, &at, *o, *ret, b, ret);
  }
  return st;
}

static int parse_at(struct mr_parser *p, struct mr_node **ret)
{
  int st = mr_parse_unary(p, ret);
  while (st >= 0 && mr_parse_word(&p->now, "at") && mr_parse_word(&p->next, "time")) {
    struct mr_token at = p->now;
    struct mr_node *zone = NULL;
    if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_step(p)) < 0 ||
        (st = mr_parse_expect_word(p, "zone")) < 0 || (st = mr_parse_unary(p, &zone)) < 0)
      break;
    st = mr_parse_call2(p, &at, "at time zone", *ret, zone, ret);
  }
  return st;
}

static int parse_product(struct mr_parser *p, struct mr_node **ret)
{
  static const char *const ops[] = {"*", "/", "%", NULL};
  return parse_left(p, ops, parse_at, ret);
}

static int parse_sum(struct mr_parser *p, struct mr_node **ret)
{
  static const char *const ops[] = {"+", "-", NULL};
  return parse_left(p, ops, parse_product, ret);
}

int mr_parse_operand(struct mr_parser *p, struct mr_node **ret)
{
  static const char *const ops[] = {"||", "->", "->>", "~", "~*", "!~", "!~*", NULL};
  return parse_left(p, ops, parse_sum, ret);
}

int mr_parse(struct mr_arena *a, const char *text, struct mr_node **ret, struct mr_error *err)
{
  struct mr_parser p = {.lexer = {text, text, 1, 1, a, err}};
  int st;
  if (strlen(text) > MR_MAX_TEXT)
    return mr_lexer_fail(err, 1, 1, "an expression is at most %d bytes", MR_MAX_TEXT);
  if (!mr_utf8_valid(text, strlen(text)))
    return mr_lexer_fail(err, 1, 1, "the expression is not valid UTF-8");
  if ((st = mr_parse_step(&p)) < 0 || (st = mr_parse_step(&p)) < 0)
    return st;
  if (p.now.kind == MR_T_END)
    return mr_lexer_fail(err, 1, 1, "an empty expression");
  if ((st = mr_parse_expr(&p, ret)) < 0)
    return st;
  if (p.now.kind == MR_T_END)
    return MR_OK;
  if (mr_parse_op(&p.now, "^"))
    return mr_lexer_fail(err, p.now.line, p.now.col, "there is no operator ^: write POWER(a, b)");
  return mr_parse_unexpected(&p, "an operator or the end");
}

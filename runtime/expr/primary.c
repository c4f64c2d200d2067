/* SPDX-License-Identifier: Apache-2.0 */
/* Values, names, calls with their special forms, CASE, casts, the unary sign. */
#include "expr/parse.h"
#include <errno.h>
#include <strings.h>

/* Words that are no column names unless "quoted". Every other word may name a column. */
static const char *const reserved[] = {"and",  "or",   "not",  "in",    "between", "like", "ilike",
                                       "is",   "null", "true", "false", "case",    "when", "then",
                                       "else", "end",  "from", "for",   "as"};

static bool is_reserved(const struct mr_token *t)
{
  for (size_t i = 0; i < MR_COUNT(reserved); i++)
    if (mr_parse_word(t, reserved[i]))
      return true;
  return false;
}

static int constant(struct mr_parser *p, const struct mr_token *t, int kind, struct mr_node **ret)
{
  *ret = mr_node_new(p->lexer.arena, MR_N_CONST, t->line, t->col);
  if (!*ret)
    return mr_parse_memory(p);
  (*ret)->type = mr_xtype_of_kind(kind);
  (*ret)->name = "constant";
  return MR_OK;
}

static const char *lower(struct mr_parser *p, const char *s)
{
  char *d = mr_arena_strndup(p->lexer.arena, s, (int64_t)strlen(s));
  for (char *c = d; c && *c; c++)
    if (*c >= 'A' && *c <= 'Z')
      *c = (char)(*c + 32);
  return d;
}

/* ---- numbers */

static int float_value(struct mr_parser *p, const struct mr_token *t, struct mr_node *n)
{
  errno = 0;
  n->value.f = strtod(t->text, NULL);
  n->type = mr_xtype_of_kind(MR_K_FLOAT64);
  if (n->value.f > 1.7976931348623157e308)
    return mr_lexer_fail(p->lexer.err, t->line, t->col, "a number beyond float64");
  return MR_OK;
}

/* Digits with an optional point: int64, uint64 or decimal by size, exactly. */
static int exact_value(struct mr_parser *p, const struct mr_token *t, struct mr_node *n)
{
  mr_u128 v = 0;
  int digits = 0, scale = 0;
  bool point = false;
  for (const char *c = t->text; *c; c++) {
    if (*c == '.') {
      point = true;
      continue;
    }
    v = v * 10 + (mr_u128)(*c - '0');
    digits += v != 0;
    scale += point;
    if (digits > 38 || scale > 38)
      return mr_lexer_fail(p->lexer.err, t->line, t->col, "a number of more than 38 digits");
  }
  if (!point && v <= INT64_MAX) {
    n->value.i = (int64_t)v;
  } else if (!point && v <= UINT64_MAX) {
    n->type = mr_xtype_of_kind(MR_K_UINT64);
    n->value.u = (uint64_t)v;
  } else {
    n->type = mr_xtype_decimal(digits > scale ? digits : scale ? scale : 1, scale);
    n->value.d = (mr_i128)v;
  }
  return MR_OK;
}

static int parse_number(struct mr_parser *p, struct mr_node **ret)
{
  struct mr_token t = p->now;
  int st = constant(p, &t, MR_K_INT64, ret);
  if (st < 0)
    return st;
  (*ret)->literal = true;
  st = strpbrk(t.text, "eE") ? float_value(p, &t, *ret) : exact_value(p, &t, *ret);
  return st < 0 ? st : mr_parse_step(p);
}

static void negate_constant(struct mr_node *n)
{
  switch (n->type.kind) {
  case MR_K_INT64: n->value.i = -n->value.i; break;
  case MR_K_FLOAT64: n->value.f = -n->value.f; break;
  case MR_K_DECIMAL: n->value.d = -n->value.d; break;
  default: /* a whole number above INT64_MAX */
    if (n->value.u == (uint64_t)INT64_MAX + 1) {
      n->type = mr_xtype_of_kind(MR_K_INT64);
      n->value.i = INT64_MIN;
    } else {
      n->value.d = -(mr_i128)n->value.u;
      n->type = mr_xtype_decimal(20, 0);
    }
  }
}

/* ---- texts, typed literals */

static int parse_text(struct mr_parser *p, struct mr_node **ret)
{
  int st = constant(p, &p->now, MR_K_TEXT, ret);
  if (st < 0)
    return st;
  (*ret)->literal = true;
  (*ret)->value.s = (struct mr_span){p->now.text, p->now.n};
  return mr_parse_step(p);
}

static bool is_unit(const struct mr_token *t)
{
  static const char *const units[] = {
      "year",    "month",   "week",        "day",          "hour",        "minute",
      "second",  "years",   "months",      "weeks",        "days",        "hours",
      "minutes", "seconds", "millisecond", "milliseconds", "microsecond", "microseconds"};
  for (size_t i = 0; i < MR_COUNT(units); i++)
    if (mr_parse_word(t, units[i]))
      return true;
  return false;
}

/* INTERVAL '2' DAY: the unit goes into the text. */
static int join_unit(struct mr_parser *p, struct mr_node *text)
{
  if (!is_unit(&p->now))
    return MR_OK;
  int64_t n = text->value.s.n + 1 + p->now.n;
  char *d = mr_arena_alloc(p->lexer.arena, n + 1);
  if (!d)
    return mr_parse_memory(p);
  snprintf(d, (size_t)n + 1, "%s %s", text->value.s.p, p->now.text);
  text->value.s = (struct mr_span){d, n};
  return mr_parse_step(p);
}

static bool is_typed_literal(const struct mr_parser *p)
{
  static const char *const words[] = {"date", "timestamp", "timestamptz", "datetime",
                                      "time", "interval",  "uuid",        "json"};
  for (size_t i = 0; i < MR_COUNT(words); i++)
    if (mr_parse_word(&p->now, words[i]))
      return p->next.kind == MR_T_TEXT || (i == 5 && p->next.kind == MR_T_NUMBER);
  return false;
}

/* DATE '2026-01-28': call "literal" of the text. */
static int parse_typed(struct mr_parser *p, struct mr_node **ret)
{
  struct mr_token at = p->now;
  struct mr_node *text = NULL;
  int st;
  if ((st = mr_parse_step(p)) < 0 || (st = parse_text(p, &text)) < 0)
    return st;
  if (mr_parse_word(&at, "interval") && (st = join_unit(p, text)) < 0)
    return st;
  if ((st = mr_parse_call(p, &at, "literal", &text, 1, ret)) < 0)
    return st;
  (*ret)->type_text = lower(p, at.text);
  return (*ret)->type_text ? MR_OK : mr_parse_memory(p);
}

/* ---- types of CAST and :: */

static bool is_nested_type(const struct mr_token *t)
{
  return mr_parse_word(t, "list") || mr_parse_word(t, "map") || mr_parse_word(t, "struct");
}

/* What is between the brackets of a type, the brackets too, appended to buf (n bytes, up to size).
 */
static int parse_type_args(struct mr_parser *p, char *buf, size_t n, size_t size)
{
  int depth = 0, st = MR_OK;
  do {
    bool word = p->now.kind == MR_T_WORD;
    depth += mr_parse_op(&p->now, "(") || mr_parse_op(&p->now, "<");
    depth -= mr_parse_op(&p->now, ")") || mr_parse_op(&p->now, ">");
    if (p->now.kind == MR_T_END)
      return mr_parse_unexpected(p, "the end of the type");
    n += (size_t)snprintf(buf + n, size - n, "%s", p->now.text);
    if (n + 2 >= size)
      return mr_parse_unexpected(p, "a shorter type");
    if ((st = mr_parse_step(p)) < 0)
      return st;
    if (word && p->now.kind == MR_T_WORD)
      buf[n++] = ' ';
    buf[n] = 0;
  } while (depth);
  return MR_OK;
}

/* A type's text, for mr_type_parse. */
static int parse_type(struct mr_parser *p, const char **ret)
{
  char buf[256];
  struct mr_token t = p->now;
  int st;
  if (t.kind != MR_T_WORD)
    return mr_parse_unexpected(p, "a type");
  snprintf(buf, sizeof buf, "%.128s", t.text);
  if ((st = mr_parse_step(p)) < 0)
    return st;
  if (mr_parse_word(&t, "double") && mr_parse_word(&p->now, "precision"))
    st = mr_parse_step(p);
  if (mr_parse_op(&p->now, "(") || (is_nested_type(&t) && mr_parse_op(&p->now, "<")))
    st = parse_type_args(p, buf, strlen(buf), sizeof buf);
  if (st < 0)
    return st;
  *ret = mr_arena_strndup(p->lexer.arena, buf, (int64_t)strlen(buf));
  return *ret ? MR_OK : mr_parse_memory(p);
}

/* ---- calls */

static int parse_args(struct mr_parser *p, struct mr_node_list *l)
{
  struct mr_node *n = NULL;
  int st;
  if (mr_parse_op(&p->now, ")"))
    return mr_parse_step(p);
  for (;;) {
    if ((st = mr_parse_expr(p, &n)) < 0 || (st = mr_parse_push(p, l, n)) < 0)
      return st;
    if (!mr_parse_op(&p->now, ","))
      return mr_parse_expect(p, ")");
    if ((st = mr_parse_step(p)) < 0)
      return st;
  }
}

/* The rest of CAST( and TRY_CAST(: x AS type) */
static int parse_cast(struct mr_parser *p, const struct mr_token *at, const char *name,
                      struct mr_node **ret)
{
  struct mr_node *x = NULL;
  const char *type;
  int st;
  if ((st = mr_parse_expr(p, &x)) < 0 || (st = mr_parse_expect_word(p, "as")) < 0 ||
      (st = parse_type(p, &type)) < 0 || (st = mr_parse_expect(p, ")")) < 0 ||
      (st = mr_parse_call(p, at, name, &x, 1, ret)) < 0)
    return st;
  (*ret)->type_text = type;
  return MR_OK;
}

/* The rest of EXTRACT(: field FROM x) */
static int parse_extract(struct mr_parser *p, const struct mr_token *at, struct mr_node **ret)
{
  struct mr_node *field = NULL, *x = NULL;
  int st;
  if (p->now.kind != MR_T_WORD && p->now.kind != MR_T_TEXT)
    return mr_parse_unexpected(p, "a field (YEAR, DAY, EPOCH, ...)");
  if ((st = parse_text(p, &field)) < 0 || (st = mr_parse_expect_word(p, "from")) < 0 ||
      (st = mr_parse_expr(p, &x)) < 0 || (st = mr_parse_expect(p, ")")) < 0)
    return st;
  return mr_parse_call2(p, at, "extract", field, x, ret);
}

/* The rest of SUBSTRING( whose first argument is parsed: FROM a [FOR b]) or FOR b) */
static int parse_substring(struct mr_parser *p, const struct mr_token *at, struct mr_node *x,
                           struct mr_node **ret)
{
  struct mr_node *arg[3] = {x, NULL, NULL};
  int n = 2, st = MR_OK;
  if (mr_parse_word(&p->now, "from")) {
    if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_expr(p, &arg[1])) < 0)
      return st;
  } else {
    if ((st = constant(p, at, MR_K_INT64, &arg[1])) < 0)
      return st;
    arg[1]->value.i = 1;
    arg[1]->literal = true;
  }
  if (mr_parse_word(&p->now, "for")) {
    n = 3;
    if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_expr(p, &arg[2])) < 0)
      return st;
  }
  if ((st = mr_parse_expect(p, ")")) < 0)
    return st;
  return mr_parse_call(p, at, "substring", arg, n, ret);
}

/* The rest of TRIM(: [BOTH | LEADING | TRAILING] [characters] FROM x), or a plain argument list. */
static int parse_trim(struct mr_parser *p, const struct mr_token *at, struct mr_node **ret)
{
  static const char *const sides[][2] = {
      {"both", "btrim"}, {"leading", "ltrim"}, {"trailing", "rtrim"}};
  const char *name = "btrim";
  struct mr_node_list l = {0};
  struct mr_node *arg[2] = {NULL, NULL};
  int st;
  for (size_t i = 0; i < MR_COUNT(sides); i++) {
    if (!mr_parse_word(&p->now, sides[i][0]) || p->next.kind == MR_T_OP)
      continue;
    name = sides[i][1];
    if ((st = mr_parse_step(p)) < 0)
      return st;
    break;
  }
  if (!mr_parse_word(&p->now, "from")) {
    if ((st = mr_parse_expr(p, &arg[1])) < 0)
      return st;
    if (!mr_parse_word(&p->now, "from")) {
      if ((st = mr_parse_push(p, &l, arg[1])) < 0)
        return st;
      if (mr_parse_op(&p->now, ","))
        st = mr_parse_step(p);
      if (st < 0 || (st = parse_args(p, &l)) < 0)
        return st;
      return mr_parse_call(p, at, name, l.v, l.n, ret);
    }
  }
  if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_expr(p, &arg[0])) < 0 ||
      (st = mr_parse_expect(p, ")")) < 0)
    return st;
  return mr_parse_call(p, at, name, arg, arg[1] ? 2 : 1, ret);
}

/* The rest of POSITION(: part IN text): call strpos(text, part). */
static int parse_position(struct mr_parser *p, const struct mr_token *at, struct mr_node **ret)
{
  struct mr_node *part = NULL, *text = NULL;
  int st;
  if ((st = mr_parse_operand(p, &part)) < 0 || (st = mr_parse_expect_word(p, "in")) < 0 ||
      (st = mr_parse_operand(p, &text)) < 0 || (st = mr_parse_expect(p, ")")) < 0)
    return st;
  return mr_parse_call2(p, at, "strpos", text, part, ret);
}

static int parse_plain_call(struct mr_parser *p, const struct mr_token *at, const char *name,
                            struct mr_node **ret)
{
  struct mr_node_list l = {0};
  int st;
  if (mr_parse_op(&p->now, "*"))
    return mr_lexer_fail(p->lexer.err, p->now.line, p->now.col, "`*` is no argument here");
  if ((st = parse_args(p, &l)) < 0)
    return st;
  if (l.n > MR_MAX_ARGS)
    return mr_lexer_fail(p->lexer.err, at->line, at->col, "more than %d arguments", MR_MAX_ARGS);
  return mr_parse_call(p, at, name, l.v, l.n, ret);
}

/* SUBSTRING in its two forms. */
static int parse_substring_any(struct mr_parser *p, const struct mr_token *at, struct mr_node **ret)
{
  struct mr_node_list l = {0};
  struct mr_node *x = NULL;
  int st = mr_parse_expr(p, &x);
  if (st < 0)
    return st;
  if (mr_parse_word(&p->now, "from") || mr_parse_word(&p->now, "for"))
    return parse_substring(p, at, x, ret);
  if ((st = mr_parse_push(p, &l, x)) < 0)
    return st;
  if (mr_parse_op(&p->now, ",") && (st = mr_parse_step(p)) < 0)
    return st;
  if ((st = parse_args(p, &l)) < 0)
    return st;
  return mr_parse_call(p, at, "substring", l.v, l.n, ret);
}

static int parse_function(struct mr_parser *p, struct mr_node **ret)
{
  struct mr_token at = p->now;
  const char *name = lower(p, at.text);
  int st;
  if (!name)
    return mr_parse_memory(p);
  if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_step(p)) < 0)
    return st;
  if (!strcmp(name, "cast") || !strcmp(name, "try_cast"))
    return parse_cast(p, &at, name, ret);
  if (!strcmp(name, "extract"))
    return parse_extract(p, &at, ret);
  if (!strcmp(name, "trim"))
    return parse_trim(p, &at, ret);
  if (!strcmp(name, "position"))
    return parse_position(p, &at, ret);
  if (!strcmp(name, "substring") || !strcmp(name, "substr"))
    return parse_substring_any(p, &at, ret);
  return parse_plain_call(p, &at, name, ret);
}

/* ---- CASE */

/* WHEN ... THEN ... pairs and ELSE; let is the operand of CASE x WHEN, or NULL. */
static int parse_branches(struct mr_parser *p, struct mr_node *let, struct mr_node_list *l)
{
  struct mr_node *when = NULL, *then = NULL, *ref = NULL;
  int st;
  while (mr_parse_word(&p->now, "when")) {
    struct mr_token at = p->now;
    if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_expr(p, &when)) < 0)
      return st;
    if (let && ((st = mr_parse_ref(p, &at, let, &ref)) < 0 ||
                (st = mr_parse_call2(p, &at, "=", ref, when, &when)) < 0))
      return st;
    if ((st = mr_parse_expect_word(p, "then")) < 0 || (st = mr_parse_expr(p, &then)) < 0 ||
        (st = mr_parse_push(p, l, when)) < 0 || (st = mr_parse_push(p, l, then)) < 0)
      return st;
  }
  if (!l->n)
    return mr_parse_unexpected(p, "WHEN");
  if (!mr_parse_word(&p->now, "else"))
    return MR_OK;
  if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_expr(p, &then)) < 0)
    return st;
  return mr_parse_push(p, l, then);
}

static int parse_case(struct mr_parser *p, struct mr_node **ret)
{
  struct mr_node_list l = {0};
  struct mr_token at = p->now;
  struct mr_node *let = NULL, *x = NULL;
  int st = mr_parse_step(p);
  if (st < 0)
    return st;
  if (!mr_parse_word(&p->now, "when") &&
      ((st = mr_parse_expr(p, &x)) < 0 || (st = mr_parse_let(p, &at, x, &let)) < 0))
    return st;
  if ((st = parse_branches(p, let, &l)) < 0)
    return st;
  if (!mr_parse_word(&p->now, "end"))
    return mr_parse_unexpected(p, "WHEN, ELSE or END");
  if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_call(p, &at, "case", l.v, l.n, &x)) < 0)
    return st;
  *ret = let ? let : x;
  return let ? mr_parse_body(p, let, x) : MR_OK;
}

/* ---- primary values */

static int parse_name(struct mr_parser *p, struct mr_node **ret)
{
  *ret = mr_node_new(p->lexer.arena, MR_N_COLUMN, p->now.line, p->now.col);
  if (!*ret)
    return mr_parse_memory(p);
  (*ret)->name = p->now.text;
  (*ret)->quoted = p->now.kind == MR_T_QUOTED;
  (*ret)->varies = true;
  return mr_parse_step(p);
}

static int parse_keyword(struct mr_parser *p, struct mr_node **ret)
{
  bool null = mr_parse_word(&p->now, "null"), yes = mr_parse_word(&p->now, "true");
  if (mr_parse_word(&p->now, "case"))
    return parse_case(p, ret);
  if (!null && !yes && !mr_parse_word(&p->now, "false"))
    return mr_parse_unexpected(p, "a value");
  int st = constant(p, &p->now, null ? MR_K_NULL : MR_K_BOOL, ret);
  if (st < 0)
    return st;
  (*ret)->null = (*ret)->literal = null;
  (*ret)->value.b = yes;
  return mr_parse_step(p);
}

/* CURRENT_TIMESTAMP, CURRENT_DATE: calls without parentheses */
static int parse_current(struct mr_parser *p, struct mr_node **ret)
{
  struct mr_token at = p->now;
  const char *name = lower(p, at.text);
  int st = mr_parse_step(p);
  if (!name)
    return mr_parse_memory(p);
  return st < 0 ? st : mr_parse_call(p, &at, name, NULL, 0, ret);
}

static int parse_primary(struct mr_parser *p, struct mr_node **ret)
{
  int st;
  switch (p->now.kind) {
  case MR_T_NUMBER: return parse_number(p, ret);
  case MR_T_TEXT: return parse_text(p, ret);
  case MR_T_QUOTED: return parse_name(p, ret);
  case MR_T_WORD:
    if (is_typed_literal(p))
      return parse_typed(p, ret);
    if (mr_parse_op(&p->next, "(") && !is_reserved(&p->now))
      return parse_function(p, ret);
    if (mr_parse_word(&p->now, "current_timestamp") || mr_parse_word(&p->now, "current_date"))
      return parse_current(p, ret);
    return is_reserved(&p->now) ? parse_keyword(p, ret) : parse_name(p, ret);
  default: break;
  }
  if (!mr_parse_op(&p->now, "("))
    return mr_parse_unexpected(p, "a value");
  if ((st = mr_parse_step(p)) < 0 || (st = mr_parse_expr(p, ret)) < 0)
    return st;
  return mr_parse_expect(p, ")");
}

/* .field of a struct: call "." with the field's name as a text. */
static int parse_field(struct mr_parser *p, struct mr_node **ret)
{
  struct mr_token at = p->now;
  struct mr_node *field = NULL;
  int st = mr_parse_step(p);
  if (st < 0)
    return st;
  if (p->now.kind != MR_T_WORD && p->now.kind != MR_T_QUOTED)
    return mr_parse_unexpected(p, "a field's name");
  bool exact = p->now.kind == MR_T_QUOTED;
  if ((st = parse_text(p, &field)) < 0)
    return st;
  field->quoted = exact;
  return mr_parse_call2(p, &at, ".", *ret, field, ret);
}

static int parse_postfix(struct mr_parser *p, struct mr_node **ret)
{
  int st = parse_primary(p, ret);
  while (st >= 0) {
    struct mr_token at = p->now;
    const char *type;
    if (mr_parse_op(&at, ".")) {
      st = parse_field(p, ret);
    } else if (mr_parse_op(&at, "::")) {
      if ((st = mr_parse_step(p)) < 0 || (st = parse_type(p, &type)) < 0 ||
          (st = mr_parse_call(p, &at, "cast", ret, 1, ret)) < 0)
        break;
      (*ret)->type_text = type;
    } else {
      break;
    }
  }
  return st;
}

int mr_parse_unary(struct mr_parser *p, struct mr_node **ret)
{
  bool minus = mr_parse_op(&p->now, "-");
  if (!minus && !mr_parse_op(&p->now, "+"))
    return parse_postfix(p, ret);
  struct mr_token at = p->now;
  bool number = p->next.kind == MR_T_NUMBER;
  int st = mr_parse_enter(p);
  if (st < 0 || (st = mr_parse_step(p)) < 0 || (st = mr_parse_unary(p, ret)) < 0) {
    p->depth--;
    return st;
  }
  p->depth--;
  if (minus && number && (*ret)->kind == MR_N_CONST && (*ret)->literal)
    negate_constant(*ret);
  else
    st = mr_parse_call(p, &at, minus ? "neg" : "pos", ret, 1, ret);
  return st;
}

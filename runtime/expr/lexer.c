/* SPDX-License-Identifier: Apache-2.0 */
#include "expr/lexer.h"
#include <stdio.h>

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

static bool is_word_start(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
  return is_word_start(c) || is_digit(c) || c == '$';
}

int mr_lexer_fail(struct mr_error *err, int line, int col, const char *fmt, ...)
{
  char msg[sizeof err->msg - 32];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  return mr_fail(err, MR_BADCONF, "%d:%d: %s", line, col, msg);
}

/* Columns are counted on from the token before, so that a long line costs no more than its length.
 */
static int column_of(struct mr_lexer *l)
{
  for (; l->counted < l->at; l->counted++)
    l->col += (*l->counted & 0xC0) != 0x80;
  return l->col;
}

static void newline(struct mr_lexer *l)
{
  l->line++;
  l->counted = l->at + 1;
  l->col = 1;
}

/* White space and comments. */
static int skip(struct mr_lexer *l)
{
  for (;; l->at++) {
    if (*l->at == '\n') {
      newline(l);
    } else if (l->at[0] == '-' && l->at[1] == '-') {
      while (l->at[1] && l->at[1] != '\n')
        l->at++;
    } else if (*l->at != ' ' && *l->at != '\t' && *l->at != '\r') {
      return MR_OK;
    }
  }
}

static int no_memory(struct mr_lexer *l)
{
  return mr_fail(l->err, MR_FATAL, "out of memory");
}

static int copy(struct mr_lexer *l, const char *from, struct mr_token *t)
{
  t->n = l->at - from;
  t->text = mr_arena_strndup(l->arena, from, t->n);
  return t->text ? MR_OK : no_memory(l);
}

/* 'text' or "name"; a doubled quote stands for one. */
static int quoted(struct mr_lexer *l, struct mr_token *t)
{
  char q = *l->at++;
  const char *from = l->at;
  while (*l->at && (*l->at != q || l->at[1] == q)) {
    if (*l->at == q)
      l->at++;
    else if (*l->at == '\n')
      newline(l);
    l->at++;
  }
  if (!*l->at)
    return mr_lexer_fail(l->err, t->line, t->col, "the quote %c is never closed", q);
  char *d = mr_arena_alloc(l->arena, l->at - from + 1);
  if (!d)
    return no_memory(l);
  t->text = d;
  for (const char *p = from; p < l->at; p++) {
    *d++ = *p;
    if (*p == q)
      p++;
  }
  *d = 0;
  t->n = d - t->text;
  l->at++;
  t->kind = q == '"' ? MR_T_QUOTED : MR_T_TEXT;
  if (q == '"' && !t->n)
    return mr_lexer_fail(l->err, t->line, t->col, "an empty name");
  return MR_OK;
}

static int number(struct mr_lexer *l, struct mr_token *t)
{
  const char *from = l->at;
  t->kind = MR_T_NUMBER;
  while (is_digit(*l->at))
    l->at++;
  if (*l->at == '.')
    l->at++;
  while (is_digit(*l->at))
    l->at++;
  if (*l->at == 'e' || *l->at == 'E') {
    const char *e = l->at + 1;
    if (*e == '+' || *e == '-')
      e++;
    if (!is_digit(*e))
      return mr_lexer_fail(l->err, t->line, t->col, "a number with an empty exponent");
    while (is_digit(*e))
      e++;
    l->at = e;
  }
  if (is_word(*l->at))
    return mr_lexer_fail(l->err, t->line, t->col, "a number that runs into a word: `%.*s`",
                         (int)(l->at - from) + 1, from);
  return copy(l, from, t);
}

static int op(struct mr_lexer *l, struct mr_token *t)
{
  static const char *const known[] = {"->>", "::", "->", "<>", "!=", "<=", ">=", "==", "||", "!~*",
                                      "!~",  "~*", "(",  ")",  ",",  "+",  "-",  "*",  "/",  "%",
                                      "=",   "<",  ">",  ".",  "~",  "[",  "]",  "^",  ":"};
  const char *from = l->at;
  t->kind = MR_T_OP;
  for (size_t i = 0; i < MR_COUNT(known); i++) {
    size_t n = strlen(known[i]);
    if (strncmp(from, known[i], n))
      continue;
    l->at += n;
    t->text = known[i];
    t->n = (int64_t)n;
    return MR_OK;
  }
  int n = 1;
  while ((from[n] & 0xC0) == 0x80)
    n++;
  return mr_lexer_fail(l->err, t->line, t->col, "unexpected character `%.*s`", n, from);
}

int mr_lexer_next(struct mr_lexer *l, struct mr_token *ret)
{
  int st = skip(l);
  if (st < 0)
    return st;
  *ret = (struct mr_token){MR_T_END, "", 0, l->line, column_of(l)};
  const char *from = l->at;
  char c = *from;
  if (!c)
    return MR_OK;
  if (c == '\'' || c == '"')
    return quoted(l, ret);
  if (is_digit(c) || (c == '.' && is_digit(from[1])))
    return number(l, ret);
  if (!is_word_start(c))
    return op(l, ret);
  while (is_word(*l->at))
    l->at++;
  ret->kind = MR_T_WORD;
  return copy(l, from, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of the expression language. */
#ifndef MR_EXPR_LEXER_H
#define MR_EXPR_LEXER_H
#include "expr/internal.h"

enum mr_token_kind {
  MR_T_END,
  MR_T_WORD,   /* a bare name or keyword; text as written */
  MR_T_QUOTED, /* "name" */
  MR_T_NUMBER, /* digits, with a point or an exponent */
  MR_T_TEXT,   /* 'text' */
  MR_T_OP,     /* an operator or a punctuation mark */
};
struct mr_token {
  enum mr_token_kind kind;
  const char *text; /* NUL-terminated, in the arena; quotes and their doubling removed */
  int64_t n;        /* bytes */
  int line, col;    /* from 1, in characters */
};
struct mr_lexer {
  const char *at, *counted; /* counted: col is the column of this place */
  int line, col;
  struct mr_arena *arena;
  struct mr_error *err;
};

/* Reads the next token. MR_BADCONF: a character or quote that begins nothing. */
int mr_lexer_next(struct mr_lexer *l, struct mr_token *ret);
/* MR_BADCONF with "line:col: " in front. */
int mr_lexer_fail(struct mr_error *err, int line, int col, const char *fmt, ...) MR_PRINTF(4, 5);

#endif

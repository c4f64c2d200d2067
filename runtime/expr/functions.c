/* SPDX-License-Identifier: Apache-2.0 */
/* Finds a function by name, or the one that was probably meant. */
#include "expr/internal.h"

static const struct mr_function *const tables[] = {
    mr_arith_functions, mr_logic_functions,  mr_compare_functions, mr_cast_functions,
    mr_math_functions,  mr_text_functions,   mr_pattern_functions, mr_time_functions,
    mr_json_functions,  mr_header_functions, mr_part_functions,    mr_format_functions};

const struct mr_function *mr_function_find(const char *name)
{
  for (size_t t = 0; t < MR_COUNT(tables); t++)
    for (const struct mr_function *f = tables[t]; f->name; f++)
      if (!strcmp(f->name, name))
        return f;
  return NULL;
}

static char fold(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

int mr_edit_distance(const char *a, const char *b)
{
  enum { MAX = 64 };
  int row[MAX + 1], n = (int)strlen(b);
  if (n > MAX || strlen(a) > MAX)
    return MAX;
  for (int j = 0; j <= n; j++)
    row[j] = j;
  for (int i = 1; a[i - 1]; i++) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= n; j++) {
      int change = diagonal + (fold(a[i - 1]) != fold(b[j - 1]));
      diagonal = row[j];
      int step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      row[j] = change < step ? change : step;
    }
  }
  return row[n];
}

const char *mr_function_suggest(const char *name)
{
  const char *best = NULL;
  int least = 3;
  for (size_t t = 0; t < MR_COUNT(tables); t++)
    for (const struct mr_function *f = tables[t]; f->name; f++) {
      int d = f->usage ? mr_edit_distance(name, f->name) : 64;
      if (d >= least || d * 2 > (int)strlen(name))
        continue;
      least = d;
      best = f->name;
    }
  return best;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/spec.h"
#include <string.h>

#define SHOWN 1000 /* problems of one file */

static void problem_free(void *p)
{
  struct mr_problem *problem = p;
  g_free(problem->path);
  g_free(problem->message);
  g_free(problem);
}

GPtrArray *mr_problems_new(void)
{
  return g_ptr_array_new_with_free_func(problem_free);
}

void mr_problem_add(GPtrArray *problems, struct mr_mark_at at, const char *path, const char *fmt,
                    ...)
{
  struct mr_problem *problem = g_new0(struct mr_problem, 1);
  va_list ap;
  va_start(ap, fmt);
  problem->message = g_strdup_vprintf(fmt, ap);
  va_end(ap);
  problem->line = at.line;
  problem->column = at.column;
  problem->path = g_strdup(path && path[0] ? path : "/");
  g_ptr_array_add(problems, problem);
}

static int by_place(const void *a, const void *b)
{
  const struct mr_problem *x = *(struct mr_problem *const *)a, *y = *(struct mr_problem *const *)b;
  if (x->line != y->line)
    return x->line < y->line ? -1 : 1;
  if (x->column != y->column)
    return x->column < y->column ? -1 : 1;
  return strcmp(x->message, y->message);
}

char *mr_problems_text(const char *file, GPtrArray *problems)
{
  GString *out = g_string_new(NULL);
  g_ptr_array_sort(problems, by_place);
  for (guint i = 0; i < problems->len && i < SHOWN; i++) {
    const struct mr_problem *p = g_ptr_array_index(problems, i);
    g_string_append(out, file);
    if (p->line)
      g_string_append_printf(out, ":%d:%d", p->line, p->column);
    g_string_append_printf(out, ": %s: %s\n", p->path, p->message);
  }
  if (problems->len > SHOWN)
    g_string_append_printf(out, "%s: /: and %u more problems\n", file, problems->len - SHOWN);
  return g_string_free(out, FALSE);
}

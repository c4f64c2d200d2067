/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/suggest.h"
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#define LONGEST 64 /* characters of a name that are compared */

static int least(int a, int b, int c)
{
  int m = a < b ? a : b;
  return m < c ? m : c;
}

int mr_suggest_distance(const char *a, const char *b, int limit)
{
  int n = (int)strlen(a), m = (int)strlen(b);
  int row[3][LONGEST + 1];
  if (n > LONGEST || m > LONGEST || ABS(n - m) > limit)
    return limit + 1;
  for (int j = 0; j <= m; j++)
    row[0][j] = j;
  for (int i = 1; i <= n; i++) {
    int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
    now[0] = i;
    for (int j = 1; j <= m; j++) {
      char x = g_ascii_tolower(a[i - 1]), y = g_ascii_tolower(b[j - 1]);
      now[j] = least(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
      bool swapped =
          i > 1 && j > 1 && x == g_ascii_tolower(b[j - 2]) && y == g_ascii_tolower(a[i - 2]);
      if (swapped && before[j - 2] + 1 < now[j])
        now[j] = before[j - 2] + 1;
    }
  }
  int d = row[n % 3][m];
  return d > limit ? limit + 1 : d;
}

const char *mr_suggest(const char *wrong, const char *const *names, size_t n)
{
  size_t len = strlen(wrong);
  int limit = len < 3 ? 1 : len < 6 ? 2 : 3;
  int best = limit + 1;
  const char *found = NULL;
  for (size_t i = 0; i < n; i++) {
    int d = mr_suggest_distance(wrong, names[i], limit);
    if (d >= best || (size_t)d >= strlen(names[i]))
      continue;
    best = d;
    found = names[i];
  }
  return found;
}

char *mr_suggest_text(const char *wrong, const char *const *names, size_t n)
{
  const char *found = mr_suggest(wrong, names, n);
  return found ? g_strdup_printf(" (did you mean `%s`?)", found) : g_strdup("");
}

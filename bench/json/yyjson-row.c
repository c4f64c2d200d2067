/* SPDX-License-Identifier: Apache-2.0 */
#include "bench-json.h"
#include <yyjson.h>

static bool put(struct mr_column *c, yyjson_val *v)
{
  if (yyjson_is_null(v))
    return mr_column_null(c);
  switch (c->kind) {
  case MR_K_INT64:
    if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
      return false;
    push_int(c, yyjson_get_sint(v));
    return true;
  case MR_K_FLOAT64:
    if (!yyjson_is_num(v))
      return false;
    push_real(c, yyjson_get_num(v));
    return true;
  case MR_K_BOOL:
    if (!yyjson_is_bool(v))
      return false;
    push_bool(c, yyjson_get_bool(v));
    return true;
  default: return yyjson_is_str(v) && push_text(c, yyjson_get_str(v), yyjson_get_len(v));
  }
}

static char pool[1 << 20];

bool yyjson_row(struct table *t, const char *data, size_t len)
{
  yyjson_alc alc;
  yyjson_alc_pool_init(&alc, pool, sizeof pool);
  yyjson_doc *doc = yyjson_read_opts((char *)data, len, 0, &alc, NULL);
  yyjson_val *root = yyjson_doc_get_root(doc), *key;
  if (!yyjson_is_obj(root))
    return false;
  int64_t row = t->col[0].length, last = -1;
  yyjson_obj_iter it = yyjson_obj_iter_with(root);
  while ((key = yyjson_obj_iter_next(&it))) {
    int64_t i = table_find(t, last, yyjson_get_str(key), yyjson_get_len(key));
    if (i < 0)
      continue;
    last = i;
    if (t->col[i].length != row)
      mr_column_truncate(&t->col[i], row);
    if (!put(&t->col[i], yyjson_obj_iter_get_val(key)))
      return false;
  }
  for (int64_t i = 0; i < t->n; i++)
    if (t->col[i].length == row && !mr_column_null(&t->col[i]))
      return false;
  return true;
}

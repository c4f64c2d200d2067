/* SPDX-License-Identifier: Apache-2.0 */
/* Inference: columns come from the shape of the messages. When a message does not fit, the columns
 * are widened, and the messages whose rows were not given away yet are read again, so that one
 * batch has one schema and no value is converted. */
#include "data/types.h"
#include "format/json.h"

struct mr_json_kept {
  uint8_t *data; /* length (8 bytes) and bytes of each message */
  int64_t len, cap;
};

bool mr_json_infer_init(struct mr_json *d)
{
  d->shape = mr_json_shape_new(d->conf.columns);
  d->kept = calloc(1, sizeof *d->kept);
  d->new_keys = true;
  return d->shape && d->kept;
}

void mr_json_infer_finish(struct mr_json *d)
{
  mr_json_shape_free(d->shape);
  if (d->kept)
    free(d->kept->data);
  free(d->kept);
}

bool mr_json_keep(struct mr_json *d, const void *data, size_t len)
{
  struct mr_json_kept *k = d->kept;
  int64_t n = (int64_t)len;
  if (!mr_buf_reserve(&k->data, &k->cap, k->len, k->len + n + 8))
    return false;
  memcpy(k->data + k->len, &n, 8);
  memcpy(k->data + k->len + 8, data, len);
  k->len += n + 8;
  return true;
}

/* With `unknown: ignore` and `dead_letter` the first batch says which keys there are. */
void mr_json_keep_none(struct mr_json *d)
{
  if (!d->shape)
    return;
  if (d->kept->len && d->conf.unknown != MR_UNKNOWN_ADD)
    d->new_keys = false;
  d->kept->len = 0;
}

static int64_t no_memory(struct mr_json *d)
{
  mr_json_no_memory(d, d->start);
  return -1;
}

/* Builders for the shape as it is now, empty. *ret_changed: the columns are others than before.
 * false: no memory. */
static bool new_columns(struct mr_json *d, bool *ret_changed)
{
  struct ArrowSchema s;
  if (!mr_json_shape_schema(d->shape, &d->schema, &s))
    return false;
  *ret_changed = !mr_schema_equal(&s, &d->schema, NULL);
  if (!*ret_changed) {
    mr_schema_release(&s);
    return true;
  }
  mr_json_plan_free(d);
  mr_schema_release(&d->schema);
  mr_schema_move(&s, &d->schema);
  d->schema_new = d->known = d->schema.n_children > 0;
  return mr_json_plan(d);
}

/* Reads the kept messages; returns the one that does not fit, or NULL. */
static const uint8_t *read_again(struct mr_json *d)
{
  const uint8_t *p = d->kept->data, *end = p + d->kept->len;
  for (int64_t n; p < end; p += n + 8) {
    memcpy(&n, p, 8);
    if (mr_json_message(d, p + 8, (size_t)n) < 0)
      return p;
  }
  return NULL;
}

/* Until all kept messages fit: each turn widens, and there are not many widenings. */
static bool read_all_again(struct mr_json *d)
{
  const uint8_t *p;
  bool changed;
  int64_t n;
  while ((p = read_again(d))) {
    memcpy(&n, p, 8);
    if (mr_json_shape_merge(d->shape, d->new_keys, &d->in, p + 8, (size_t)n) < 0 ||
        !new_columns(d, &changed) || !changed)
      return false;
  }
  return true;
}

/* The message again, now that its shape is known. */
static int64_t read_last(struct mr_json *d, const void *data, size_t len)
{
  int64_t before = d->rows.length, rows = mr_json_message(d, data, len);
  if (rows < 0 || mr_json_keep(d, data, len))
    return rows;
  mr_json_rollback_rows(d, before);
  return no_memory(d);
}

int mr_json_widen(struct mr_json *d, const void *data, size_t len)
{
  bool changed = false;
  int64_t rows = -1;
  int st = mr_json_shape_merge(d->shape, d->new_keys, &d->in, data, len);
  struct mr_json_in why = d->in;
  if (st == MR_FATAL || !new_columns(d, &changed))
    return (int)no_memory(d);
  d->pass_new = true;
  if (changed && !read_all_again(d))
    rows = no_memory(d);
  else if (st >= 0)
    rows = read_last(d, data, len);
  else
    d->in = why;
  d->pass_new = false;
  d->start = data;
  return (int)rows;
}

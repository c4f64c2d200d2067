/* SPDX-License-Identifier: Apache-2.0 */
/* After rows were refused: each batch answers for itself, in stretches with a savepoint each, until
 * every bad row is found.
 *
 * The whole batch is tried first: most have nothing wrong. Then in pieces, so that the rows around
 * a bad one are not sent too often: with k bad rows among n about n + k * PIECE / 2 rows go out. A
 * server that does not say which row it was is asked by halves. */
#include "postgres.h"

#define PIECE 256 /* rows */

struct search {
  const struct mr_batch *b;
  struct pg_rows rows;
  bool has_delete, has_range;
};

static int64_t count_live(const struct pg_sink *s, int64_t from, int64_t to, int64_t *ret_last)
{
  int64_t n = 0;
  for (int64_t i = from; i < to; i++)
    if (!mr_bit_get(s->dead, i)) {
      *ret_last = i;
      n++;
    }
  return n;
}

/* One stretch of rows [from, to); on MR_REJECT without unit_lost nothing of it is left. */
static int try_rows(struct pg_sink *s, const struct search *f, int64_t from, int64_t to,
                    struct mr_error *err)
{
  int status = pg_unit_open(s, err);
  s->has_delete = f->has_delete;
  s->has_range = f->has_range;
  if (status >= 0)
    status = pg_send_rows(s, f->b, &f->rows, from, to, err);
  return status < 0 ? pg_stretch_drop(s, status, true, err) : pg_stretch_end(s, true, err);
}

static int search(struct pg_sink *s, const struct search *f, int64_t from, int64_t to,
                  struct mr_error *err)
{
  int64_t last = 0, live;
  while ((live = count_live(s, from, to, &last)) > 0) {
    struct mr_error why = {.size = sizeof why, .row = -1};
    int status = try_rows(s, f, from, to, &why);
    if (status >= 0)
      return MR_OK;
    if (status != MR_REJECT || why.unit_lost) {
      *err = why;
      return status;
    }
    s->isolated = true;
    if (why.row < from || why.row >= to)
      why.row = live == 1 ? last : -1;
    if (why.row < 0) {
      int64_t middle = from + (to - from) / 2;
      status = search(s, f, from, middle, err);
      return status < 0 ? status : search(s, f, middle, to, err);
    }
    status = pg_bad_row(s, why.row, why.code, why.msg, *why.option ? why.option : NULL);
    if (status < 0)
      return src_fail(err, status, "", "a rejected row");
  }
  return MR_OK;
}

/* true: the batch is in; false with MR_OK: it has a bad row. */
static int try_all(struct pg_sink *s, const struct search *f, bool *ret_done, struct mr_error *err)
{
  struct mr_error why = {.size = sizeof why, .row = -1};
  int status = try_rows(s, f, 0, f->b->rows.length, &why);
  *ret_done = status >= 0;
  s->isolated |= status == MR_REJECT;
  if (status >= 0 || (status == MR_REJECT && !why.unit_lost))
    return MR_OK;
  *err = why;
  return status;
}

static int isolate(struct pg_sink *s, const struct mr_batch *b, struct mr_error *err)
{
  struct search f = {.b = b};
  int64_t n = b->rows.length;
  bool done = false;
  int status = pg_stretch_end(s, false, err); /* of batches before: their rows are not this one's */
  if (status >= 0)
    status = pg_rows_of(s, b, &f.rows, err);
  f.has_delete = s->has_delete;
  f.has_range = s->has_range;
  if (status >= 0)
    status = try_all(s, &f, &done, err);
  for (int64_t from = 0; status >= 0 && !done && from < n; from += PIECE)
    status = search(s, &f, from, n - from < PIECE ? n : from + PIECE, err);
  return status;
}

int pg_isolate(struct pg_sink *s, const struct mr_batch *b, struct mr_error *err)
{
  int64_t bytes = b->rows.length / 8 + 1;
  if (!mr_buf_reserve(&s->dead, &s->dead_cap, 0, bytes))
    return pg_no_memory(err);
  memset(s->dead, 0, (size_t)bytes);
  s->isolating = s->flushed = true;
  int status = isolate(s, b, err);
  s->isolating = false;
  return status;
}

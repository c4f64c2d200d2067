/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as they are: one binary column `value`, a row for each message. */
#include "format/formats.h"

struct raw {
  struct mr_decoder base;
  struct mr_column col;
};
struct raw_encoder {
  struct mr_encoder base;
  int64_t column; /* of `in` */
};

static int raw_decode(struct mr_decoder *base, const void *data, size_t len, struct mr_error *err)
{
  struct raw *d = (struct raw *)base;
  if (mr_column_bytes(&d->col, data, (int64_t)len))
    return 1;
  return mr_fail_code(err, MR_FATAL, "53200", "no memory, or more than 2 GiB in one batch");
}

static int raw_decoded(struct mr_decoder *base, struct ArrowArray *give, struct mr_error *err)
{
  struct raw *d = (struct raw *)base;
  return mr_rows_finish(&d->col, 1, d->col.length, give) ? MR_OK
                                                         : mr_fail(err, MR_FATAL, "no memory");
}

static int raw_schema(struct mr_decoder *base, struct ArrowSchema *give, struct mr_error *err)
{
  if (mr_schema_struct(give) && mr_schema_field(give, "value", "z", true))
    return MR_OK;
  mr_schema_release(give);
  return mr_fail(err, MR_FATAL, "no memory");
}

static void raw_free(struct mr_decoder *base)
{
  if (base)
    mr_column_done(&((struct raw *)base)->col);
  free(base);
}

static int raw_open(const void *conf, struct mr_decoder **ret, struct mr_error *err);
static const struct mr_decoder_vt decoder = {raw_open, raw_decode, raw_decoded, raw_schema,
                                             raw_free};
static int raw_open(const void *conf, struct mr_decoder **ret, struct mr_error *err)
{
  struct raw *d = calloc(1, sizeof *d);
  if (!d)
    return mr_fail(err, MR_FATAL, "no memory");
  *d = (struct raw){.base.vt = &decoder,
                    .col = {.kind = MR_K_BINARY, .width = mr_kind_width(MR_K_BINARY)}};
  *ret = &d->base;
  return MR_OK;
}

/* The bytes of the column, null as empty. */
static int raw_encode(struct mr_encoder *base, const struct mr_batch *b, struct ArrowArray *give,
                      struct mr_error *err)
{
  struct mr_column out = {.kind = MR_K_BINARY, .width = mr_kind_width(MR_K_BINARY)};
  struct mr_view v;
  bool ok = true;
  mr_view_column(&v, b->schema, &b->rows, ((struct raw_encoder *)base)->column);
  for (int64_t i = 0, n; ok && i < b->rows.length; i++) {
    bool null = mr_view_null(&v, i);
    const char *s = null ? "" : mr_view_bytes(&v, i, &n);
    ok = mr_column_bytes(&out, s, null ? 0 : n);
  }
  ok = ok && mr_column_finish(&out, give);
  mr_column_done(&out);
  return ok ? MR_OK : mr_fail(err, MR_FATAL, "no memory");
}

static void raw_encoder_free(struct mr_encoder *e)
{
  free(e);
}

/* A column `value`, or the only one that is no system column. */
static int64_t column_of(const struct ArrowSchema *in)
{
  int64_t found = mr_schema_find(in, "value"), n = 0;
  for (int64_t i = 0; found < 0 && i < in->n_children; i++)
    if (!mr_schema_is_system(in->children[i]) && n++ == 0)
      found = i;
  return n > 1 ? -1 : found;
}

static int raw_encoder_open(const void *conf, const struct ArrowSchema *in, struct mr_encoder **ret,
                            struct mr_error *err);
static const struct mr_encoder_vt encoder = {raw_encoder_open, raw_encode, raw_encoder_free};
static int raw_encoder_open(const void *conf, const struct ArrowSchema *in, struct mr_encoder **ret,
                            struct mr_error *err)
{
  int64_t column = column_of(in);
  enum mr_kind k = column < 0 ? MR_K_NONE : mr_kind_of(in->children[column]);
  if (k != MR_K_BINARY && k != MR_K_TEXT)
    return mr_fail(
        err, MR_BADCONF,
        "format raw writes one binary or utf8 column: `value`, or the only one there is");
  struct raw_encoder *e = calloc(1, sizeof *e);
  if (!e)
    return mr_fail(err, MR_FATAL, "no memory");
  e->base.vt = &encoder;
  e->column = column;
  *ret = &e->base;
  return MR_OK;
}

static const struct mr_opt options[] = {{0}};
const struct mr_format_desc mr_format_raw = {
    .name = "raw",
    .summary = "the bytes as they are, in a binary column `value`",
    .options = options,
    .decoder = &decoder,
    .encoder = &encoder};

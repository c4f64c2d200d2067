/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json-encode.h"
#include "format/json-writer.h"
#include "millrace/changes.h"

struct encoder {
  struct mr_encoder base;
  struct mr_json_writer out;
  bool line;
};

static void encoder_free(struct mr_encoder *base)
{
  struct encoder *e = (struct encoder *)base;
  if (!e)
    return;
  mr_json_writer_finish(&e->out);
  free(e);
}

static int encoder_open(const struct ArrowSchema *in, const struct mr_encoder_vt *vt, bool line,
                        struct mr_encoder **ret, struct mr_error *err)
{
  struct encoder *e = calloc(1, sizeof *e);
  if (!e)
    return mr_fail(err, MR_FATAL, "no memory");
  e->base.vt = vt;
  e->line = line;
  if (!mr_json_writer_init(&e->out, in)) {
    encoder_free(&e->base);
    return mr_fail(err, MR_FATAL, "no memory, or a column of a type that JSON cannot show");
  }
  *ret = &e->base;
  return MR_OK;
}

static bool put_row(struct encoder *e, int64_t row)
{
  struct mr_json_writer *o = &e->out;
  if (!mr_json_writer_put(o, "{", 1))
    return false;
  bool more = false;
  for (int64_t k = 0; k < o->root.n_kid; k++) {
    const struct mr_json_writer_node *n = &o->root.kid[k];
    if (!mr_set_has(&n->set, row))
      continue;
    o->name = n->v.schema->name;
    if ((more && !mr_json_writer_put(o, ",", 1)) || !mr_json_writer_put(o, n->key, n->key_len) ||
        !mr_json_writer_value(o, n, row))
      return false;
    more = true;
  }
  return mr_json_writer_put(o, "}\n", 1 + e->line) && mr_json_writer_end(o);
}

static int encoder_encode(struct mr_encoder *base, const struct mr_batch *b,
                          struct ArrowArray *give, struct mr_error *err)
{
  struct encoder *e = (struct encoder *)base;
  mr_json_writer_batch(&e->out, b);
  for (int64_t i = 0; i < b->rows.length; i++)
    if (!put_row(e, i))
      return mr_json_writer_refused(&e->out, i, err);
  return mr_column_finish(&e->out.out, give) ? MR_OK : mr_fail(err, MR_FATAL, "no memory");
}

static int open_json(const void *conf, const struct ArrowSchema *in, struct mr_encoder **ret,
                     struct mr_error *err)
{
  return encoder_open(in, &mr_json_encoder, false, ret, err);
}
static int open_jsonl(const void *conf, const struct ArrowSchema *in, struct mr_encoder **ret,
                      struct mr_error *err)
{
  return encoder_open(in, &mr_jsonl_encoder, true, ret, err);
}
const struct mr_encoder_vt mr_json_encoder = {open_json, encoder_encode, encoder_free};
const struct mr_encoder_vt mr_jsonl_encoder = {open_jsonl, encoder_encode, encoder_free};

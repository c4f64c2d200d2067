/* SPDX-License-Identifier: Apache-2.0 */
#include "format/formats.h"

static const struct mr_format_desc *const all[] = {
    &mr_format_json, &mr_format_jsonl, &mr_format_csv, &mr_format_raw, &mr_format_avro, NULL};

const struct mr_format_desc *const *mr_format_all(void)
{
  return all;
}

const struct mr_format_desc *mr_format_find(const char *name)
{
  for (size_t i = 0; all[i]; i++)
    if (!strcmp(all[i]->name, name))
      return all[i];
  return NULL;
}

int mr_decoder_new(const struct mr_format *f, struct mr_decoder **ret, struct mr_error *err)
{
  if (!f->desc->decoder)
    return mr_fail(err, MR_BADCONF, "format %s only writes", f->desc->name);
  return f->desc->decoder->open(f->conf, ret, err);
}

int mr_encoder_new(const struct mr_format *f, const struct ArrowSchema *in, struct mr_encoder **ret,
                   struct mr_error *err)
{
  if (!f->desc->encoder)
    return mr_fail(err, MR_BADCONF, "format %s only reads", f->desc->name);
  return f->desc->encoder->open(f->conf, in, ret, err);
}

static int put_type(const struct mr_format_text *t, const struct ArrowSchema *column,
                    mr_put_fn *put, void *out, struct mr_error *err)
{
  static const char plain[] = "the bytes";
  int st = t ? t->type(column, put, out, err) : put(out, plain, sizeof plain - 1);
  if (st == MR_BADCONF)
    return mr_fail(err, st, "column %.200s has a type that this format has nothing for",
                   column->name);
  return st < 0 ? st : put(out, "\n", 1);
}

int mr_format_ddl(const struct mr_format *f, const struct ArrowSchema *in, mr_put_fn *put,
                  void *out, struct mr_error *err)
{
  const struct mr_format_text *t = f->desc->text;
  int st = MR_OK;
  for (int64_t i = 0; i < in->n_children && st >= 0; i++)
    if (!mr_schema_is_system(in->children[i]))
      st = put_type(t, in->children[i], put, out, err);
  if (st < 0 || !t || !t->schema)
    return st;
  st = t->schema(f->conf, in, put, out, err);
  return st < 0 ? st : put(out, "\n", 1);
}

void mr_decoder_free(struct mr_decoder *d)
{
  if (d)
    d->vt->free(d);
}

void mr_encoder_free(struct mr_encoder *e)
{
  if (e)
    e->vt->free(e);
}

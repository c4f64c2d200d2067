/* SPDX-License-Identifier: Apache-2.0 */
#include "format/formats.h"

static const struct mr_format_desc *const all[] = {&mr_format_json, &mr_format_jsonl,
                                                   &mr_format_csv, &mr_format_raw, NULL};

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

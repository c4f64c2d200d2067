/* SPDX-License-Identifier: Apache-2.0 */
/* Formats: bytes <-> columns. A format has an option table of its own (filled from the keys that
 * stand beside `format:`), a decoder and an encoder. The functions below are what mr_host's decoder
 * and encoder services call. One object, one thread. */
#ifndef MR_FORMAT_H
#define MR_FORMAT_H
#include "base/base.h"
#include "millrace/build.h"

/* What conf makes of a MR_FORMAT option: the format and its own config struct. conf NULL: all
 * defaults. Lent. */
struct mr_format {
  const struct mr_format_desc *desc;
  const void *conf;
};
struct mr_decoder_vt {
  int (*open)(const void *conf, struct mr_decoder **ret, struct mr_error *err);
  int (*decode)(struct mr_decoder *, const void *data, size_t len,
                struct mr_error *err); /* as mr_host.decode */
  int (*decoded)(struct mr_decoder *, struct ArrowArray *give, struct mr_error *err);
  int (*schema)(struct mr_decoder *, struct ArrowSchema *give, struct mr_error *err);
  void (*free)(struct mr_decoder *);
  const struct mr_extent *(*extents)(
      const struct mr_decoder
          *); /* as mr_host.extents; absent: every row is of the whole message */
};
/* encode of a batch without rows gives what a file of the format begins with, as one value (csv's
 * header record), or nothing. */
struct mr_encoder_vt {
  int (*open)(const void *conf, const struct ArrowSchema *in, struct mr_encoder **ret,
              struct mr_error *err);
  int (*encode)(struct mr_encoder *, const struct mr_batch *lend, struct ArrowArray *give,
                struct mr_error *err);
  void (*free)(struct mr_encoder *);
};
/* What a format makes of columns. Any thread. */
struct mr_format_text {
  /* Puts what a value of the column's type becomes. MR_BADCONF: the format has nothing for it. */
  int (*type)(const struct ArrowSchema *column, mr_put_fn *put, void *out, struct mr_error *err);
  /* Absent where readers need none: puts the schema of messages that hold these columns. */
  int (*schema)(const void *conf, const struct ArrowSchema *in, mr_put_fn *put, void *out,
                struct mr_error *err);
};
/* Every decoder and encoder begins with its vtable pointer, so that the handle alone suffices. */
struct mr_decoder {
  const struct mr_decoder_vt *vt;
};
struct mr_encoder {
  const struct mr_encoder_vt *vt;
};

struct mr_format_desc {
  const char *name, *summary;
  const struct mr_opt *options; /* elements sizeof(struct mr_opt) apart */
  size_t conf_size;
  bool framed; /* file: one value per line (jsonl) or a header line first (csv): the file source
                  cuts lines itself */
  const struct mr_decoder_vt *decoder;
  const struct mr_encoder_vt *encoder; /* NULL: decodes only */
  const struct mr_format_text *text;   /* NULL: bytes as they are */
};
/* The format of that name (json, jsonl, csv, raw, avro), or NULL. formats: NULL-terminated list of
 * all.
 */
const struct mr_format_desc *mr_format_find(const char *name);
const struct mr_format_desc *const *mr_format_all(void);

int mr_decoder_new(const struct mr_format *f, struct mr_decoder **ret, struct mr_error *err);
int mr_encoder_new(const struct mr_format *f, const struct ArrowSchema *in, struct mr_encoder **ret,
                   struct mr_error *err);
static inline int mr_decode(struct mr_decoder *d, const void *data, size_t len,
                            struct mr_error *err)
{
  return d->vt->decode(d, data, len, err);
}
static inline int mr_decoded(struct mr_decoder *d, struct ArrowArray *give, struct mr_error *err)
{
  return d->vt->decoded(d, give, err);
}
static inline int mr_decoder_schema(struct mr_decoder *d, struct ArrowSchema *give,
                                    struct mr_error *err)
{
  return d->vt->schema(d, give, err);
}
static inline const struct mr_extent *mr_decoder_extents(const struct mr_decoder *d)
{
  return d->vt->extents ? d->vt->extents(d) : NULL;
}
static inline int mr_encode(struct mr_encoder *e, const struct mr_batch *lend,
                            struct ArrowArray *give, struct mr_error *err)
{
  return e->vt->encode(e, lend, give, err);
}
/* As mr_host.format_ddl. */
int mr_format_ddl(const struct mr_format *f, const struct ArrowSchema *in, mr_put_fn *put,
                  void *out, struct mr_error *err);
void mr_decoder_free(struct mr_decoder *d); /* takes NULL */
void mr_encoder_free(struct mr_encoder *e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "plug/host.h"
#include <glib.h>
#include <string.h>
#include "conf/suggest.h"
#include "data/types.h"
#include "expr/expr.h"
#include "format/format.h"

static void no_log(void *ctx, int level, const char *text)
{
}

static void no_metric(void *ctx, const char *name, uint32_t lane, int64_t value)
{
}

static void no_notify(void *ctx)
{
}

static int no_reject(void *ctx, const struct mr_reject *lend)
{
  return MR_OK;
}

static int no_lanes(void *ctx, const char *const *names, size_t n, struct mr_error *err)
{
  return mr_fail(err, MR_FATAL, "lanes are known only while a pipeline runs");
}

static int no_lane(void *ctx, const char *name, const struct mr_position *first, uint32_t *ret,
                   struct mr_position *ret_from, struct mr_error *err)
{
  return mr_fail(err, MR_FATAL, "lanes are known only while a pipeline runs");
}

static int no_lane_end(void *ctx, uint32_t lane, bool lost, int64_t wait_ms)
{
  return MR_OK;
}

static int no_lookup(void *ctx, const char *name, const struct ArrowSchema *keys,
                     struct mr_lookup **ret, struct ArrowSchema *give_row, struct mr_error *err)
{
  return mr_fail(err, MR_FATAL, "lookup `%s` is known only while a pipeline runs", name);
}

static int no_find(struct mr_lookup *l, const struct ArrowArray *keys, struct ArrowArray *give,
                   struct mr_error *err)
{
  return mr_fail(err, MR_FATAL, "lookups can be asked only while a pipeline runs");
}

static void no_lookup_free(struct mr_lookup *l)
{
}

static int host_decoder(void *ctx, const struct mr_format *f, struct mr_decoder **ret,
                        struct mr_error *err)
{
  return mr_decoder_new(f, ret, err);
}

static int host_decode(struct mr_decoder *d, const void *data, size_t len, struct mr_error *err)
{
  return mr_decode(d, data, len, err);
}

static int host_decoded(struct mr_decoder *d, struct ArrowArray *give, struct mr_error *err)
{
  return mr_decoded(d, give, err);
}

static int host_decoder_schema(struct mr_decoder *d, struct ArrowSchema *give, struct mr_error *err)
{
  return mr_decoder_schema(d, give, err);
}

static const struct mr_extent *host_extents(struct mr_decoder *d)
{
  return mr_decoder_extents(d);
}

static int host_encoder(void *ctx, const struct mr_format *f, const struct ArrowSchema *in,
                        struct mr_encoder **ret, struct mr_error *err)
{
  return mr_encoder_new(f, in, ret, err);
}

static int host_encode(struct mr_encoder *e, const struct mr_batch *lend, struct ArrowArray *give,
                       struct mr_error *err)
{
  return mr_encode(e, lend, give, err);
}

static int host_expr(void *ctx, const char *text, const struct ArrowSchema *in,
                     struct mr_expr **ret, struct ArrowSchema *give_type, struct mr_error *err)
{
  return mr_expr_new(text, in, ret, give_type, err);
}

static int host_eval(struct mr_expr *e, const struct mr_batch *b, struct ArrowArray *give,
                     mr_bad_row_fn *bad, void *out, struct mr_error *err)
{
  return mr_expr_eval(e, b->schema, &b->rows, give, bad, out, err);
}

static int host_type(void *ctx, const char *text, const char *name, struct ArrowSchema *give,
                     struct mr_error *err)
{
  return mr_type_parse(text, name, give, err);
}

static int host_format_ddl(void *ctx, const struct mr_format *f, const struct ArrowSchema *in,
                           mr_put_fn *put, void *out, struct mr_error *err)
{
  return mr_format_ddl(f, in, put, out, err);
}

static const char *host_format_name(const struct mr_format *f)
{
  return f->desc->name;
}

void mr_host_init(struct mr_host *h, void *ctx)
{
  *h = (struct mr_host){
      .abi = MR_ABI,
      .size = sizeof *h,
      .ctx = ctx,
      .wake_fd = -1,
      .log = no_log,
      .metric = no_metric,
      .notify = no_notify,
      .reject = no_reject,
      .lanes = no_lanes,
      .lane = no_lane,
      .lane_end = no_lane_end,
      .decoder = host_decoder,
      .decode = host_decode,
      .decoded = host_decoded,
      .decoder_schema = host_decoder_schema,
      .decoder_free = mr_decoder_free,
      .encoder = host_encoder,
      .encode = host_encode,
      .encoder_free = mr_encoder_free,
      .expr = host_expr,
      .eval = host_eval,
      .expr_free = mr_expr_free,
      .lookup = no_lookup,
      .find = no_find,
      .lookup_free = no_lookup_free,
      .type = host_type,
      .extents = host_extents,
      .format_name = host_format_name,
      .expr_columns = mr_expr_columns,
      .format_ddl = host_format_ddl,
  };
}

static const struct ArrowSchema *column_of(const struct ArrowSchema *rows, const char *name)
{
  for (int64_t i = 0; i < rows->n_children; i++)
    if (!strcmp(rows->children[i]->name, name))
      return rows->children[i];
  return NULL;
}

static int no_column(const struct ArrowSchema *row, const char *name, const char *lookup,
                     struct mr_error *err)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  for (int64_t i = 0; i < row->n_children; i++)
    g_ptr_array_add(names, (char *)row->children[i]->name);
  g_autofree char *hint = mr_suggest_text(name, (const char *const *)names->pdata, names->len);
  return mr_fail(err, MR_BADCONF, "lookup `%s` has no column `%s`%s", lookup, name, hint);
}

int mr_lookup_match(const struct ArrowSchema *keys, const struct ArrowSchema *row,
                    const char *lookup, struct mr_error *err)
{
  for (int64_t i = 0; i < keys->n_children; i++) {
    const struct ArrowSchema *key = keys->children[i], *column = column_of(row, key->name);
    char a[128], b[128];
    if (!column)
      return no_column(row, key->name, lookup, err);
    if (mr_type_equal(key, column))
      continue;
    if (mr_kind_is_int(mr_kind_of(key)) && mr_kind_is_int(mr_kind_of(column)))
      continue;
    if (mr_kind_of(key) == MR_K_NULL || mr_kind_of(column) == MR_K_NULL)
      continue;
    return mr_fail(err, MR_BADCONF, "column `%s` of lookup `%s` is %s, the key for it is %s",
                   key->name, lookup, mr_type_name(column, b, sizeof b),
                   mr_type_name(key, a, sizeof a));
  }
  return MR_OK;
}

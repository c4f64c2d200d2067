/* SPDX-License-Identifier: Apache-2.0 */
/* The services a stage's plugin may call: mr_host, on the stage's own thread. */
#include "engine/engine.h"
#include "data/types.h"
#include "expr/expr.h"
#include "format/format.h"

static void svc_log(void *ctx, int level, const char *text) {
  struct mr_stage *s = ctx;
  mr_pipeline_log(s->p, s, level, "%s", text);
}

static void svc_metric(void *ctx, const char *name, uint32_t lane, int64_t value) {
  struct mr_stage *s = ctx;
  pthread_mutex_lock(&s->p->lock);
  int64_t *v = g_hash_table_lookup(s->metrics, name);
  if (!v) {
    v = g_new0(int64_t, 1);
    g_hash_table_insert(s->metrics, g_strdup(name), v);
  }
  *v = g_str_has_suffix(name, "_total") ? *v + value : value;
  pthread_mutex_unlock(&s->p->lock);
}

static void svc_notify(void *ctx) {
  struct mr_stage *s = ctx;
  s->p->os->wake(s->p->os, &s->event);
}

static int svc_reject(void *ctx, const struct mr_reject *r) {
  struct mr_stage *s = ctx;
  g_ptr_array_add(s->letters, mr_letter_from(s, r));
  return MR_OK;
}

static int svc_lanes(void *ctx, const char *const *names, size_t n, struct mr_error *err) { return mr_lanes_announce(ctx, names, n, err); }

static int svc_lane(void *ctx, const char *name, const struct mr_position *first, uint32_t *ret, struct mr_position *ret_from,
                    struct mr_error *err) {
  return mr_lanes_name(ctx, name, first, ret, ret_from, err);
}

static int svc_lane_end(void *ctx, uint32_t lane, bool lost, int64_t wait_ms) { return mr_lanes_end(ctx, lane, lost, wait_ms); }

static int svc_decoder(void *ctx, const struct mr_format *f, struct mr_decoder **ret, struct mr_error *err) {
  return mr_decoder_new(f, ret, err);
}
static int svc_decode(struct mr_decoder *d, const void *data, size_t len, struct mr_error *err) { return mr_decode(d, data, len, err); }
static int svc_decoded(struct mr_decoder *d, struct ArrowArray *give, struct mr_error *err) { return mr_decoded(d, give, err); }
static int svc_decoder_schema(struct mr_decoder *d, struct ArrowSchema *give, struct mr_error *err) {
  return mr_decoder_schema(d, give, err);
}
static int svc_encoder(void *ctx, const struct mr_format *f, const struct ArrowSchema *in, struct mr_encoder **ret, struct mr_error *err) {
  return mr_encoder_new(f, in, ret, err);
}
static int svc_encode(struct mr_encoder *e, const struct mr_batch *lend, struct ArrowArray *give, struct mr_error *err) {
  return mr_encode(e, lend, give, err);
}
static int svc_expr(void *ctx, const char *text, const struct ArrowSchema *in, struct mr_expr **ret, struct ArrowSchema *give_type,
                    struct mr_error *err) {
  return mr_expr_new(text, in, ret, give_type, err);
}
static int svc_eval(struct mr_expr *e, const struct mr_batch *b, struct ArrowArray *give, mr_bad_row_fn *bad, void *out,
                    struct mr_error *err) {
  return mr_expr_eval(e, b->schema, &b->rows, give, bad, out, err);
}

static int svc_type(void *ctx, const char *text, const char *name, struct ArrowSchema *give, struct mr_error *err) {
  return mr_type_parse(text, name, give, err);
}

void mr_services_init(struct mr_stage *s) {
  s->host = (struct mr_host){
      .abi = MR_ABI, .size = sizeof s->host, .ctx = s, .wake_fd = s->wake_fd, .log = svc_log, .metric = svc_metric, .notify = svc_notify,
      .reject = svc_reject, .lanes = svc_lanes, .lane = svc_lane, .lane_end = svc_lane_end, .decoder = svc_decoder, .decode = svc_decode,
      .decoded = svc_decoded, .decoder_schema = svc_decoder_schema, .decoder_free = mr_decoder_free, .encoder = svc_encoder,
      .encode = svc_encode, .encoder_free = mr_encoder_free, .expr = svc_expr, .eval = svc_eval, .expr_free = mr_expr_free,
      .type = svc_type};
}

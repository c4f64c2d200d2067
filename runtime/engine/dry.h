/* SPDX-License-Identifier: Apache-2.0 */
/* Dry runs: the stages of a pipeline on the caller's thread, for `preview` and `test`. Plugins are
 * opened and started as in a run, rows go through `when`, transforms, branches and merges; no sink
 * is started or written to, no store, no checkpoint, no dead letter, nothing acknowledged to a
 * source. Sources get lanes of this run alone: they begin where their options say.
 *
 * One thread for all calls. */
#ifndef MR_DRY_H
#define MR_DRY_H
#include "conf/spec.h"
#include "engine/pipeline.h"

struct mr_dry;

/* A row that a stage refused. Strings are lent for the call, NULL where not known. */
struct mr_dry_reject {
  const struct mr_stage_spec *stage;
  const char *code, *message, *column, *row; /* row: as a JSON object, system columns left out */
};
struct mr_dry_options {
  const char *upto; /* the last stage that gets rows; NULL: all of them, sinks included */
  bool read;        /* the sources are read with mr_dry_read; else rows come by mr_dry_give alone */
  /* As in mr_pipeline_options; may be NULL. */
  char **(*wants)(const struct mr_spec *spec, const struct mr_stage_spec *source);
  void (*log)(void *ctx, int level, const char *stage, const char *text);
  /* What a stage gave, or, of a sink, what would be written there. b->schema names the columns.
   * lend: for the call. */
  void (*rows)(void *ctx, const struct mr_stage_spec *stage, const struct mr_batch *lend);
  void (*reject)(void *ctx, const struct mr_dry_reject *lend);
  void *ctx;
};

/* Opens every plugin (no I/O). The spec is lent until free; `parallel` of its stages becomes 1.
 * NULL with err filled: err->msg begins with the stage's name. */
struct mr_dry *mr_dry_new(struct mr_spec *spec, const struct mr_dry_options *o,
                          struct mr_error *err);
void mr_dry_free(struct mr_dry *d); /* takes NULL */

/* Starts what is needed: lookups (their sources are read), the transforms on the way to `upto`,
 * and, with `read`, the sources. < 0: status, err filled; err->unreachable as plugins set it. */
int mr_dry_start(struct mr_dry *d, struct mr_error *err);
/* The columns that a stage gives (a sink: takes), or NULL: not known yet. Lent. */
const struct ArrowSchema *mr_dry_schema(struct mr_dry *d, const char *stage);
/* Sends rows on as if a source or transform had given them; takes them, success or not. schema:
 * theirs, copied. < 0: a stage failed for good. */
int mr_dry_give(struct mr_dry *d, const char *stage, const struct ArrowSchema *schema,
                struct ArrowArray *take, struct mr_error *err);
/* Reads once from the next source that has not ended, at most max_rows, waiting up to timeout_ms
 * for the first, and sends them through. MR_OK: rows went through; MR_IDLE: there were none, or the
 * source has to be asked again (then err->msg may say why); MR_END: all sources have ended. */
int mr_dry_read(struct mr_dry *d, int64_t max_rows, int32_t timeout_ms, struct mr_error *err);

#endif

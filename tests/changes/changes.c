/* SPDX-License-Identifier: Apache-2.0 */
/* changes: a source for tests. Lines of JSON are the changes, with the system columns that tell
 * what they mean: `_op`, `_range`, `_timestamp`, and `_set` by which keys are there. */
#include <stdio.h>
#include <stdlib.h>
#include "common/src-error.h"
#include "format/format.h"
#include "format/json.h"
#include "millrace/changes.h"
#include "data/array.h"

#define LINE_MAX_BYTES 65536
#define POSITION_LEN 20 /* longer than a number, as those of commit logs are */

struct conf {
  const char *path;
  const struct ArrowSchema *columns;
  struct mr_list bounds;
  bool partial, late;
};
struct changes {
  const struct conf *conf;
  const struct mr_host *host;
  struct ArrowSchema schema;
  bool started, named;
  uint32_t lane;
  int64_t next, cut; /* rows; cut: -1 none */
  struct ArrowArray rows;
};

#define OPT(field, type_, flags_, doc_)                                                  \
  {                                                                                      \
#field, type_, flags_, offsetof(struct conf, field), 0, NULL, NULL, NULL, NULL, doc_ \
  }
static const struct mr_opt options[] = {
    OPT(path, MR_TEXT, MR_REQUIRED, "file of JSON lines"),
    OPT(columns, MR_COLUMNS, MR_REQUIRED, "columns that are no system columns"),
    OPT(bounds, MR_TEXT, MR_MANY, "key columns that `_range` bounds; none: there is no `_range`"),
    OPT(partial, MR_BOOL, 0, "a key that is not there is not written: `_set`"),
    OPT(late, MR_BOOL, 0, "the columns are known when the source has started"),
    {0}};

static struct mr_position position(int64_t row)
{
  struct mr_position p = mr_position_u64((uint64_t)row);
  p.len = POSITION_LEN;
  return p;
}

static bool make_schema(struct changes *c)
{
  const struct mr_list *b = &c->conf->bounds;
  return mr_schema_copy(c->conf->columns, &c->schema) &&
         (!b->n || mr_range_field(&c->schema, b->item, b->n)) &&
         mr_schema_field(&c->schema, "_op", "u", false) &&
         mr_schema_field(&c->schema, "_timestamp", "tsu:UTC", true) &&
         mr_schema_field(&c->schema, "_position", "L", false);
}

static void close_(void *self)
{
  struct changes *c = self;
  mr_schema_release(&c->schema);
  mr_array_release(&c->rows);
  free(c);
}

/* Each line has its number as `_position`. */
static int decode_lines(struct mr_decoder *d, FILE *f, struct mr_error *err)
{
  char line[LINE_MAX_BYTES], text[LINE_MAX_BYTES + 64];
  int rc = MR_OK;
  for (int64_t n = 0; rc >= 0 && fgets(line, sizeof line, f); n++) {
    int len = snprintf(text, sizeof text, "{\"_position\":%lld,%s", (long long)n, line + 1);
    rc = mr_decode(d, text, (size_t)len, err);
  }
  return rc;
}

static int read_file(struct changes *c, struct mr_error *err)
{
  const struct mr_json_conf conf = {.columns = &c->schema,
                                    .unknown = MR_UNKNOWN_DEAD_LETTER,
                                    .timestamps = MR_TIME_MICRO,
                                    .absent = c->conf->partial};
  const struct mr_format format = {mr_format_find("json"), &conf};
  struct mr_decoder *d = NULL;
  struct ArrowSchema known = {0};
  FILE *f = fopen(c->conf->path, "r");
  if (!f)
    return src_badconf(err, "path", "it cannot be opened");
  int rc = mr_decoder_new(&format, &d, err);
  if (rc >= 0)
    rc = decode_lines(d, f, err);
  if (rc >= 0)
    rc = mr_decoder_schema(d, &known, err);
  if (rc >= 0)
    rc = mr_decoded(d, &c->rows, err);
  fclose(f);
  mr_decoder_free(d);
  if (rc >= 0)
    mr_schema_release(&c->schema);
  if (rc >= 0)
    c->schema = known;
  return rc < 0 ? MR_FATAL : MR_OK;
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct changes *c = calloc(1, sizeof *c);
  if (!c)
    return src_no_memory(err);
  c->conf = o->conf;
  c->host = o->host;
  c->cut = -1;
  int rc = make_schema(c) ? MR_OK : src_no_memory(err);
  if (rc >= 0)
    rc = read_file(c, err);
  if (rc < 0)
    close_(c);
  else
    *self = c;
  return rc;
}

static int schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct changes *c = self;
  if (c->conf->late && !c->started)
    return MR_IDLE;
  return mr_schema_copy(&c->schema, give) ? MR_OK : src_no_memory(err);
}

static int start(void *self, struct mr_error *err)
{
  struct changes *c = self;
  struct mr_position first = position(0), from = first;
  const struct mr_host *h = c->host;
  int rc = h->lane(h->ctx, "changes", NULL, &c->lane, &from, err);
  if (rc == MR_LANE_NEW || rc == MR_LANE_LATER)
    rc = h->lane(h->ctx, "changes", &first, &c->lane, &from, err);
  if (rc < 0)
    return rc;
  c->next = (int64_t)mr_position_get(&from);
  c->started = true;
  return MR_OK;
}

static int read_(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  struct changes *c = self;
  int64_t end = c->cut > c->next ? c->cut : c->rows.length;
  if (c->next >= c->rows.length)
    return MR_END;
  if (end > c->next + max_rows)
    end = c->next + max_rows;
  if (end == c->next)
    return MR_IDLE;
  if (!mr_rows_slice(&c->rows, c->next, end - c->next, &give->rows))
    return src_no_memory(err);
  c->next = end;
  c->cut = -1;
  give->lane = c->lane;
  give->upto = position(end);
  return MR_OK;
}

static int cut(void *self, uint32_t lane, const struct mr_position *p)
{
  ((struct changes *)self)->cut = (int64_t)mr_position_get(p);
  return MR_OK;
}

static int seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  ((struct changes *)self)->next = (int64_t)mr_position_get(p);
  return MR_OK;
}

static const struct mr_source source = {.size = sizeof source,
                                        .open = open_,
                                        .schema = schema,
                                        .start = start,
                                        .read = read_,
                                        .cut = cut,
                                        .seek = seek,
                                        .close = close_};
const struct mr_plugin mr_plugin_desc = {.abi = MR_ABI,
                                         .size = sizeof(struct mr_plugin),
                                         .conf_size = sizeof(struct conf),
                                         .opt_size = sizeof(struct mr_opt),
                                         .name = "changes",
                                         .version = "1",
                                         .license = "Apache-2.0",
                                         .summary = "Changes from a file, for tests",
                                         .options = options,
                                         .source = &source};

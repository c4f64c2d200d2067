/* SPDX-License-Identifier: Apache-2.0 */
/* The json and jsonl decoders behind the format interface. */
#include "format/json.h"
#include "format/formats.h"
#include "format/json-encode.h"
#include <stdio.h>

static const char *const unknown_choices[] = {"ignore", "add", "dead_letter", NULL};
static const char *const absent_choices[] = {"null", "unset", NULL};
static const char *const time_choices[] = {"iso", "s", "ms", "us", NULL};

const struct mr_opt mr_json_options[] = {
    {.name = "columns",
     .type = MR_COLUMNS,
     .offset = offsetof(struct mr_json_conf, columns),
     .doc = "names and types of the columns; left out: inferred from the messages"},
    {.name = "unknown",
     .type = MR_CHOICE,
     .offset = offsetof(struct mr_json_conf, unknown),
     .choices = unknown_choices,
     .doc = "a key that is no column: pass it over (with columns), add a column (without columns), "
            "or refuse the message"},
    {.name = "absent",
     .type = MR_CHOICE,
     .offset = offsetof(struct mr_json_conf, absent),
     .dflt = "null",
     .choices = absent_choices,
     .doc = "a column whose key is not there: null; or unset: the row does not write it (a partial "
            "update, an explicit null still is one)"},
    {.name = "timestamps",
     .type = MR_CHOICE,
     .offset = offsetof(struct mr_json_conf, timestamps),
     .dflt = "iso",
     .choices = time_choices,
     .doc = "what a number in a timestamp column counts since 1970; iso: numbers are refused"},
    {.name = "quoted_numbers",
     .type = MR_BOOL,
     .offset = offsetof(struct mr_json_conf, quoted_numbers),
     .dflt = "false",
     .doc = "integer and float columns also take numbers in quotes (decimal columns always do)"},
    {0}};

static struct mr_json *self_of(struct mr_decoder *d)
{
  return (struct mr_json *)d;
}

static void json_free(struct mr_decoder *base)
{
  struct mr_json *d = self_of(base);
  if (!d)
    return;
  mr_json_plan_free(d);
  mr_json_infer_finish(d);
  mr_json_set_finish(d);
  mr_schema_release(&d->declared);
  mr_schema_release(&d->schema);
  free(d->scratch);
  mr_extents_finish(&d->extents);
  if (d->c)
    freelocale(d->c);
  free(d);
}

/* Columns as declared, or none yet. */
static bool first_schema(struct mr_json *d)
{
  if (d->conf.absent == MR_ABSENT_UNSET && !mr_json_set_init(d))
    return false;
  if (d->conf.unknown < 0)
    d->conf.unknown = d->conf.columns ? MR_UNKNOWN_IGNORE : MR_UNKNOWN_ADD;
  if ((!d->conf.columns || d->conf.unknown == MR_UNKNOWN_ADD) && !mr_json_infer_init(d))
    return false;
  if (!d->conf.columns)
    return mr_schema_struct(&d->schema);
  d->known = true;
  return mr_schema_copy(d->conf.columns, &d->schema);
}

static int json_open(const struct mr_json_conf *conf, const struct mr_decoder_vt *vt,
                     struct mr_decoder **ret, struct mr_error *err)
{
  struct mr_json *d = calloc(1, sizeof *d);
  if (!d)
    return mr_fail(err, MR_FATAL, "no memory");
  d->base.vt = vt;
  d->conf = conf ? *conf : (struct mr_json_conf){.unknown = -1};
  d->c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (!d->c || !first_schema(d) || !mr_json_plan(d)) {
    json_free(&d->base);
    return mr_fail(err, MR_FATAL, "no memory, or a column of a type that JSON cannot fill");
  }
  *ret = &d->base;
  return MR_OK;
}

/* The place and the reason, never the value. */
static int refusal(struct mr_json *d, struct mr_error *err)
{
  const struct mr_json_in *in = &d->in;
  int status = strcmp(in->code, MR_CODE_MEMORY) ? MR_REJECT : MR_FATAL;
  long long at = (long long)(in->at - d->start);
  if (in->column && *in->column)
    return mr_fail_code(err, status, in->code, "byte %lld, column %s: %s", at, in->column,
                        in->what);
  return mr_fail_code(err, status, in->code, "byte %lld: %s", at, in->what);
}

static int json_decode(struct mr_decoder *base, const void *data, size_t len, struct mr_error *err)
{
  struct mr_json *d = self_of(base);
  int64_t before = d->rows.length, rows = mr_json_message(d, data, len);
  if (MR_UNLIKELY(rows < 0 && d->widen))
    rows = mr_json_widen(d, data, len);
  else if (MR_UNLIKELY(rows >= 0 && d->shape && !mr_json_keep(d, data, len))) {
    mr_json_rollback_rows(d, before);
    return mr_fail(err, MR_FATAL, "no memory");
  }
  return MR_LIKELY(rows >= 0) ? (int)rows : refusal(d, err);
}

static int json_decoded(struct mr_decoder *base, struct ArrowArray *give, struct mr_error *err)
{
  struct mr_json *d = self_of(base);
  if (!d->known)
    return MR_IDLE;
  if (d->schema_new) {
    d->schema_new = false;
    return MR_SCHEMA;
  }
  if (!mr_json_take(d, give))
    return mr_fail(err, MR_FATAL, "no memory");
  mr_json_keep_none(d);
  return MR_OK;
}

static int json_schema(struct mr_decoder *base, struct ArrowSchema *give, struct mr_error *err)
{
  struct mr_json *d = self_of(base);
  if (!d->known)
    return MR_IDLE;
  if (mr_schema_copy(&d->schema, give) && mr_json_set_schema(d, give))
    return MR_OK;
  mr_schema_release(give);
  return mr_fail(err, MR_FATAL, "no memory");
}

static const struct mr_extent *json_extents(const struct mr_decoder *base)
{
  return mr_extents_of(&((const struct mr_json *)base)->extents);
}

static int open_json(const void *conf, struct mr_decoder **ret, struct mr_error *err);
static const struct mr_decoder_vt decoder = {open_json,   json_decode, json_decoded,
                                             json_schema, json_free,   json_extents};
static int open_json(const void *conf, struct mr_decoder **ret, struct mr_error *err)
{
  return json_open(conf, &decoder, ret, err);
}

const struct mr_format_desc mr_format_json = {
    .name = "json",
    .summary = "JSON: an object, or an array of objects, in each message",
    .options = mr_json_options,
    .conf_size = sizeof(struct mr_json_conf),
    .decoder = &decoder,
    .encoder = &mr_json_encoder,
    .text = &mr_json_text};
const struct mr_format_desc mr_format_jsonl = {
    .name = "jsonl",
    .summary = "JSON lines: an object, or an array of objects, on each line",
    .options = mr_json_options,
    .conf_size = sizeof(struct mr_json_conf),
    .framed = true,
    .decoder = &decoder,
    .encoder = &mr_jsonl_encoder,
    .text = &mr_json_text};

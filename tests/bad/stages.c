/* SPDX-License-Identifier: Apache-2.0 */
#include "stages.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "millrace/changes.h"

#define OPT(type_, flags_, struct_, field_) \
  .type = type_, .flags = flags_, .offset = offsetof(struct struct_, field_)
#define PLUGIN(name_, struct_, table_)                                                       \
  .abi = MR_ABI, .size = sizeof(struct mr_plugin), .conf_size = sizeof(struct struct_),      \
  .opt_size = sizeof(struct mr_opt), .name = name_, .version = "1", .license = "Apache-2.0", \
  .summary = "for tests", .options = table_

static int fail(struct mr_error *err, int status, const char *option, const char *msg)
{
  snprintf(err->option, sizeof err->option, "%s", option);
  snprintf(err->msg, sizeof err->msg, "%s", msg);
  return status;
}

static const char *text_at(const struct mr_list *l, size_t i)
{
  return ((const char *const *)l->item)[i];
}

/* An instance is the schema it gives. */
static int new_self(void **self)
{
  *self = calloc(1, sizeof(struct ArrowSchema));
  return *self ? MR_OK : MR_FATAL;
}

static int give_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct ArrowSchema *s = self;
  if (!s->release)
    return MR_IDLE;
  return mr_schema_copy(s, give) ? MR_OK : MR_FATAL;
}

static void close_self(void *self)
{
  mr_schema_release(self);
  free(self);
}

static int start(void *self, struct mr_error *err)
{
  return MR_OK;
}

/* ---- rows */

struct rows_conf {
  const struct ArrowSchema *columns;
  struct mr_list labels, ranges;
  const char *password;
  bool partial;
};
static const struct mr_opt rows_options[] = {
    {"columns", OPT(MR_COLUMNS, 0, rows_conf, columns), .doc = "left out: nobody knows"},
    {"labels", OPT(MR_TEXT, MR_KEYED, rows_conf, labels), .doc = "column: class"},
    {"password", OPT(MR_TEXT, MR_SECRET, rows_conf, password), .doc = "not to be seen"},
    {"partial", OPT(MR_BOOL, 0, rows_conf, partial), .doc = "rows may leave columns unwritten"},
    {"ranges", OPT(MR_TEXT, MR_MANY, rows_conf, ranges), .doc = "key columns that deletes bound"},
    {NULL},
};

static bool add_wanted(struct ArrowSchema *s, const struct mr_list *want)
{
  static const char *const known[][2] = {
      {"_key", "z"},      {"_topic", "u"},   {"_partition", "i"},
      {"_offset", "l"},   {"_op", "u"},      {"_timestamp", "tsu:UTC"},
      {"_position", "L"}, {"_element", "I"}, {"_original", "z"}};
  for (size_t i = 0; i < want->n; i++)
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
      if (!strcmp(text_at(want, i), known[k][0]) &&
          !mr_schema_field(s, known[k][0], known[k][1], true))
        return false;
  return true;
}

static int rows_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  const struct rows_conf *c = o->conf;
  struct ArrowSchema *s;
  if (new_self(self) < 0)
    return fail(err, MR_FATAL, "", "no memory");
  s = *self;
  if (!c->columns)
    return MR_OK;
  mr_schema_copy(c->columns, s);
  for (size_t i = 0; i < c->labels.n; i++) {
    int64_t at = mr_schema_find(s, c->labels.key[i]);
    if (at >= 0)
      mr_schema_set_meta(s->children[at], MR_META_CLASS, text_at(&c->labels, i));
  }
  if ((!c->partial || mr_set_field(s)) &&
      (!c->ranges.n || mr_range_field(s, c->ranges.item, c->ranges.n)) && add_wanted(s, &o->want))
    return MR_OK;
  close_self(s);
  return fail(err, MR_FATAL, "", "no memory");
}

static int rows_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                     struct mr_batch *give, struct mr_error *err)
{
  return MR_END;
}

static int rows_cut(void *self, uint32_t lane, const struct mr_position *p)
{
  return MR_OK;
}

static int rows_seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  return MR_OK;
}

static const struct mr_source rows_source = {
    .size = sizeof rows_source,
    .open = rows_open,
    .schema = give_schema,
    .start = start,
    .read = rows_read,
    .cut = rows_cut,
    .seek = rows_seek,
    .close = close_self,
};
const struct mr_plugin stage_rows = {PLUGIN("rows", rows_conf, rows_options),
                                     .source = &rows_source};

/* ---- calc */

struct calc_conf {
  const char *where;
  struct mr_list set, drop;
};
static const struct mr_opt calc_options[] = {
    {"where", OPT(MR_EXPR, 0, calc_conf, where), .doc = "rows to keep"},
    {"set", OPT(MR_EXPR, MR_KEYED, calc_conf, set), .doc = "new columns"},
    {"drop", OPT(MR_TEXT, MR_MANY, calc_conf, drop), .doc = "columns to drop"},
    {NULL},
};

/* The type of an expression; MR_BADCONF: err names the option. */
static int type_of(const struct mr_open *o, const char *option, const char *text,
                   struct ArrowSchema *ret, struct mr_error *err)
{
  struct mr_expr *e = NULL;
  int rc = o->host->expr(o->host->ctx, text, o->in, &e, ret, err);
  if (rc < 0)
    snprintf(err->option, sizeof err->option, "%s", option);
  else
    o->host->expr_free(e);
  return rc;
}

static int calc_set(const struct mr_open *o, struct ArrowSchema *s, struct mr_error *err)
{
  const struct calc_conf *c = o->conf;
  for (size_t i = 0; i < c->set.n; i++) {
    struct ArrowSchema type = {0};
    char option[96];
    snprintf(option, sizeof option, "set.%s", c->set.key[i]);
    int rc = type_of(o, option, text_at(&c->set, i), &type, err);
    if (rc < 0)
      return rc;
    mr_schema_rename(&type, c->set.key[i]);
    if (!mr_schema_add(s, &type))
      return fail(err, MR_FATAL, "", "no memory");
  }
  return MR_OK;
}

static int calc_drop(const struct mr_open *o, struct ArrowSchema *s, struct mr_error *err)
{
  const struct calc_conf *c = o->conf;
  for (size_t i = 0; i < c->drop.n; i++) {
    int64_t at = mr_schema_find(s, text_at(&c->drop, i));
    char option[32], msg[200];
    snprintf(option, sizeof option, "drop.%zu", i);
    snprintf(msg, sizeof msg, "no column `%s`", text_at(&c->drop, i));
    if (at < 0)
      return fail(err, MR_BADCONF, option, msg);
    mr_schema_release(s->children[at]);
    free(s->children[at]);
    for (s->n_children--; at < s->n_children; at++)
      s->children[at] = s->children[at + 1];
  }
  return MR_OK;
}

static int calc_where(const struct mr_open *o, struct mr_error *err)
{
  const struct calc_conf *c = o->conf;
  struct ArrowSchema type = {0};
  int rc = c->where ? type_of(o, "where", c->where, &type, err) : MR_OK;
  if (rc >= 0 && c->where && mr_kind_of(&type) != MR_K_BOOL)
    rc = fail(err, MR_BADCONF, "where", "1:1: not true or false");
  mr_schema_release(&type);
  return rc;
}

static int calc_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  if (new_self(self) < 0 || !mr_schema_copy(o->in, *self))
    return fail(err, MR_FATAL, "", "no memory");
  int rc = calc_where(o, err);
  if (rc >= 0)
    rc = calc_set(o, *self, err);
  if (rc >= 0)
    rc = calc_drop(o, *self, err);
  if (rc < 0)
    close_self(*self);
  return rc;
}

static int apply(void *self, struct mr_batch *take, struct mr_batch *give, struct mr_error *err)
{
  return MR_FATAL;
}

static int calc_explain(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct calc_conf *c = o->conf;
  for (size_t i = 0; i < c->set.n; i++) {
    char line[128];
    int n = snprintf(line, sizeof line, "%s: computed\n", c->set.key[i]);
    put(out, line, (size_t)n);
  }
  return MR_OK;
}

static const struct mr_transform calc_transform = {
    .size = sizeof calc_transform,
    .open = calc_open,
    .schema = give_schema,
    .start = start,
    .apply = apply,
    .close = close_self,
};
const struct mr_plugin stage_calc = {PLUGIN("calc", calc_conf, calc_options),
                                     .transform = &calc_transform, .explain = calc_explain};

/* ---- ask */

struct ask_conf {
  const char *with;
  struct mr_list on, add;
};
static const struct mr_opt ask_options[] = {
    {"with", OPT(MR_LOOKUP, MR_REQUIRED, ask_conf, with), .doc = "the lookup"},
    {"on", OPT(MR_TEXT, MR_KEYED | MR_REQUIRED, ask_conf, on),
     .doc = "column: the lookup's column"},
    {"add", OPT(MR_TEXT, MR_KEYED, ask_conf, add), .doc = "new column: the lookup's column"},
    {NULL},
};

static int ask_keys(const struct mr_open *o, struct ArrowSchema *keys, struct mr_error *err)
{
  const struct ask_conf *c = o->conf;
  mr_schema_struct(keys);
  for (size_t i = 0; i < c->on.n; i++) {
    int64_t at = mr_schema_find(o->in, c->on.key[i]);
    struct ArrowSchema key;
    char option[96];
    snprintf(option, sizeof option, "on.%s", c->on.key[i]);
    if (at < 0)
      return fail(err, MR_BADCONF, option, "no such column");
    mr_schema_copy(o->in->children[at], &key);
    mr_schema_rename(&key, text_at(&c->on, i));
    mr_schema_add(keys, &key);
  }
  return MR_OK;
}

static int ask_add(const struct mr_open *o, const struct ArrowSchema *row, struct ArrowSchema *s,
                   struct mr_error *err)
{
  const struct ask_conf *c = o->conf;
  mr_schema_copy(o->in, s);
  for (size_t i = 0; i < c->add.n; i++) {
    int64_t at = mr_schema_find(row, text_at(&c->add, i));
    struct ArrowSchema column;
    char option[96];
    snprintf(option, sizeof option, "add.%s", c->add.key[i]);
    if (at < 0)
      return fail(err, MR_BADCONF, option, "the lookup has no such column");
    mr_schema_copy(row->children[at], &column);
    mr_schema_rename(&column, c->add.key[i]);
    mr_schema_add(s, &column);
  }
  return MR_OK;
}

static int ask_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  const struct ask_conf *c = o->conf;
  struct ArrowSchema keys = {0}, row = {0};
  struct mr_lookup *lookup = NULL;
  int rc = new_self(self) < 0 ? MR_FATAL : ask_keys(o, &keys, err);
  if (rc >= 0) {
    snprintf(err->option, sizeof err->option, "with");
    rc = o->host->lookup(o->host->ctx, c->with, &keys, &lookup, &row, err);
  }
  if (rc == MR_OK)
    rc = ask_add(o, &row, *self, err);
  if (lookup)
    o->host->lookup_free(lookup);
  mr_schema_release(&keys);
  mr_schema_release(&row);
  if (rc < 0)
    close_self(*self);
  return rc < 0 ? rc : MR_OK;
}

static const struct mr_transform ask_transform = {
    .size = sizeof ask_transform,
    .open = ask_open,
    .schema = give_schema,
    .start = start,
    .apply = apply,
    .close = close_self,
};
const struct mr_plugin stage_ask = {PLUGIN("ask", ask_conf, ask_options),
                                    .transform = &ask_transform};

/* ---- keep */

struct keep_conf {
  const char *table, *url, *password;
  struct mr_list key;
  int32_t mode, health;
};
enum { APPEND, UPSERT };
enum { FINE, DOWN, WRONG, HANG, CRASH, LEAK };
static const char *const modes[] = {"append", "upsert", NULL};
static const char *const healths[] = {"fine", "down", "wrong", "hang", "crash", "leak", NULL};
static const struct mr_opt keep_options[] = {
    {"table", OPT(MR_TEXT, MR_REQUIRED, keep_conf, table), .doc = "where rows go"},
    {"url", OPT(MR_TEXT, 0, keep_conf, url), .doc = "a server"},
    {"password", OPT(MR_TEXT, MR_SECRET, keep_conf, password), .doc = "not to be seen"},
    {"mode", OPT(MR_CHOICE, 0, keep_conf, mode), .dflt = "append", .choices = modes, .doc = "how"},
    {"key", OPT(MR_TEXT, MR_MANY | MR_PARTITION, keep_conf, key),
     .doc = "columns that make a row unique"},
    {"health", OPT(MR_CHOICE, 0, keep_conf, health), .dflt = "fine", .choices = healths,
     .doc = "what check says"},
    {NULL},
};

static int keep_validate(const void *conf, struct mr_error *err)
{
  const struct keep_conf *c = conf;
  return c->mode == UPSERT && !c->key.n ? fail(err, MR_BADCONF, "mode", "upsert needs `key`")
                                        : MR_OK;
}

static int keep_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  return new_self(self);
}

static int keep_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct keep_conf *c = o->conf;
  char text[256];
  int n = snprintf(text, sizeof text, "keeper 1.0, table %s", c->table);
  switch (c->health) {
  case DOWN: err->unreachable = true; return fail(err, MR_RETRY, "", "connection refused");
  case WRONG: return fail(err, MR_BADCONF, "table", "no such table");
  case HANG: sleep(600); return MR_OK;
  case CRASH: abort();
  case LEAK: n = snprintf(text, sizeof text, "connected with %s", c->password);
  }
  put(out, text, (size_t)n);
  return MR_OK;
}

static int keep_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                         struct mr_error *err)
{
  static const char tables[] = "{\"table\": \"a\"}\n{\"table\": \"b \\\"c\\\"\"}\n";
  static const char columns[] =
      "{\"column\": \"id\", \"source_type\": \"bigint\", \"type\": \"int64\", "
      "\"nullable\": false}\n{\"column\": \"v\", \"source_type\": \"text\", "
      "\"type\": \"utf8\", \"nullable\": true}\n";
  if (table && strcmp(table, "a"))
    return fail(err, MR_BADCONF, "table", "no such table");
  return table ? put(out, columns, sizeof columns - 1) : put(out, tables, sizeof tables - 1);
}

static int unit(void *self, const struct mr_unit *lend, struct mr_error *err)
{
  return MR_OK;
}

static int keep_write(void *self, const struct mr_batch *lend, struct mr_error *err)
{
  return MR_OK;
}

static const struct mr_sink keep_sink = {
    .size = sizeof keep_sink,
    .delivery = MR_PLAIN,
    .open = keep_open,
    .start = start,
    .begin = unit,
    .write = keep_write,
    .commit = unit,
    .abort = unit,
    .close = close_self,
};
const struct mr_plugin stage_keep = {PLUGIN("keep", keep_conf, keep_options), .sink = &keep_sink,
                                     .validate = keep_validate, .check = keep_check,
                                     .discover = keep_discover};

/* ---- count: remembers something from row to row; forget: keeps positions itself, and no state */

static int count_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  return new_self(self) < 0 || !mr_schema_copy(o->in, *self) ? fail(err, MR_FATAL, "", "no memory")
                                                             : MR_OK;
}

static int count_save(void *self, mr_put_fn *put, void *out, struct mr_error *err)
{
  return put(out, "", 1);
}

static int count_load(void *self, const void *state, size_t len, struct mr_error *err)
{
  return MR_OK;
}

static const struct mr_transform count_transform = {
    .size = sizeof count_transform,
    .open = count_open,
    .schema = give_schema,
    .start = start,
    .apply = apply,
    .save = count_save,
    .load = count_load,
    .close = close_self,
};
static const struct mr_opt no_options[] = {{NULL}};
struct no_conf {
  char nothing;
};
const struct mr_plugin stage_count = {PLUGIN("count", no_conf, no_options),
                                      .transform = &count_transform};

static int forget_take(void *self, const char *source, const char *const *lane_name, size_t n,
                       mr_mark_fn *mark, void *out, struct mr_error *err)
{
  return MR_OK;
}

static int forget_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err)
{
  return MR_OK;
}

static const struct mr_sink forget_sink = {
    .size = sizeof forget_sink,
    .delivery = MR_TRANSACTIONAL,
    .open = keep_open,
    .start = start,
    .take = forget_take,
    .found = forget_found,
    .begin = unit,
    .write = keep_write,
    .commit = unit,
    .abort = unit,
    .close = close_self,
};
const struct mr_plugin stage_forget = {PLUGIN("forget", no_conf, no_options), .sink = &forget_sink};

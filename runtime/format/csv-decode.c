/* SPDX-License-Identifier: Apache-2.0 */
#include "data/array.h"
#include "data/types.h"
#include "format/csv.h"
#include "format/json-scan.h"
#include "format/extents.h"
#include <stdio.h>

#define COLUMNS_MAX 4096

/* Where a field of the record goes. */
struct place {
  char *name;
  int64_t column; /* -1: passed over */
  struct mr_csv_shape shape;
};
struct decoder {
  struct mr_decoder base;
  struct mr_csv_dialect dialect;
  const struct ArrowSchema *declared; /* NULL: inferred */
  struct ArrowSchema schema;
  struct mr_column rows; /* a struct column: the builders */
  struct mr_cell *cell;  /* one for each column */
  struct place *place;   /* one for each field, once the first record was seen */
  int64_t n_place;
  bool known, schema_new;
  bool stale; /* inference: the builders are narrower than what the fields look like */
  struct mr_csv_record record;
  uint8_t *kept; /* inference: messages of the rows so far: length (8 bytes) and bytes of each */
  int64_t kept_len, kept_cap;
  uint8_t *scratch;
  int64_t scratch_cap;
  const char *start, *line;  /* the message, the record being read */
  const char *column;        /* of a failure: the column, or NULL */
  struct mr_extents extents; /* of the message's rows */
  locale_t c;
};

/* Notes a failure; always false. */
static bool fail(struct decoder *d, const char *at, const char *code, const char *what)
{
  d->record.at = at;
  d->record.code = code;
  d->record.what = what;
  return false;
}
static bool no_memory(struct decoder *d, const char *at)
{
  return fail(d, at, MR_CODE_MEMORY, "no memory, or more than 2 GiB of text in one column");
}

/* ---------------------------------------------------------------- values */

static bool put_json(struct decoder *d, const struct mr_csv_field *f, struct mr_column *c)
{
  struct mr_json_in in = {0};
  memcpy(d->scratch, f->s, (size_t)f->n);
  d->scratch[f->n] = '}'; /* what the scanner wants as the last byte */
  in.end = d->scratch + f->n + 1;
  const uint8_t *p = mr_json_skip(&in, mr_json_ws(d->scratch), 0);
  if (!p || p == in.end || mr_json_ws(p) + 1 != in.end)
    return fail(d, f->s, MR_CODE_TEXT, "not JSON");
  return mr_column_bytes(c, f->s, f->n) || no_memory(d, f->s);
}

static bool put_binary(struct decoder *d, const struct mr_csv_field *f, struct mr_column *c)
{
  int64_t len;
  if (mr_text_base64(f->s, f->n, d->scratch, &len) != MR_TEXT_OK)
    return fail(d, f->s, MR_CODE_TEXT, "not base64");
  return mr_column_bytes(c, d->scratch, len) || no_memory(d, f->s);
}

static bool put_value(struct decoder *d, const struct mr_csv_field *f, const struct mr_cell *t,
                      struct mr_column *c)
{
  uint8_t v[16];
  if (mr_csv_is_null(&d->dialect, f))
    return mr_column_null(c) || no_memory(d, f->s);
  if (!mr_buf_reserve(&d->scratch, &d->scratch_cap, 0, f->n + 16))
    return no_memory(d, f->s);
  if (t->is_json)
    return put_json(d, f, c);
  if (t->kind == MR_K_TEXT)
    return mr_column_bytes(c, f->s, f->n) || no_memory(d, f->s);
  if (t->kind == MR_K_BINARY)
    return put_binary(d, f, c);
  enum mr_text_status st = mr_cell_parse(t, f->s, f->n, d->c, (char *)d->scratch, v);
  if (st != MR_TEXT_OK)
    return fail(d, f->s, mr_cell_code(t, st), mr_cell_reason(t, st));
  return (t->kind == MR_K_BOOL ? mr_column_bool(c, v[0]) : mr_column_fixed(c, v)) ||
         no_memory(d, f->s);
}

static bool put_row(struct decoder *d)
{
  for (int64_t i = 0; i < d->n_place; i++) {
    int64_t k = d->place[i].column;
    if (k < 0)
      continue;
    d->column = d->place[i].name;
    if (!put_value(d, &d->record.field[i], &d->cell[k], &d->rows.child[k]))
      return false;
  }
  d->column = NULL;
  d->rows.length++;
  return true;
}

/* ---------------------------------------------------------------- columns */

static void builders_done(struct decoder *d)
{
  mr_column_done(&d->rows);
  free(d->cell);
  d->cell = NULL;
}

static bool builders_init(struct decoder *d)
{
  builders_done(d);
  d->cell = calloc((size_t)d->schema.n_children + 1, sizeof *d->cell);
  for (int64_t i = 0; d->cell && i < d->schema.n_children; i++)
    mr_cell_init(&d->cell[i], d->schema.children[i]);
  return d->cell && mr_column_init(&d->rows, &d->schema);
}

/* The columns as the fields have looked so far, with empty builders. */
static bool new_columns(struct decoder *d)
{
  struct ArrowSchema s;
  bool ok = mr_schema_struct(&s);
  for (int64_t i = 0; ok && i < d->n_place; i++)
    if (d->place[i].column >= 0)
      ok = mr_schema_field(&s, d->place[i].name, mr_csv_shape_format(&d->place[i].shape), true);
  if (!ok) {
    mr_schema_release(&s);
    return false;
  }
  mr_schema_release(&d->schema);
  mr_schema_move(&s, &d->schema);
  d->schema_new = true;
  return builders_init(d);
}

static char *name_of(const struct mr_csv_field *f, int64_t i, bool header)
{
  char *name = NULL;
  if (header && f->n)
    return strndup(f->s, (size_t)f->n);
  return asprintf(&name, "c%lld", (long long)i + 1) < 0 ? NULL : name;
}

static bool is_repeated(const struct decoder *d, int64_t i)
{
  for (int64_t k = 0; k < i; k++)
    if (!strcmp(d->place[k].name, d->place[i].name))
      return true;
  return false;
}

/* The column of field i: by name, or the next new one. */
static int64_t column_of(const struct decoder *d, int64_t i, int64_t *next)
{
  if (d->declared)
    return mr_schema_find(d->declared, d->place[i].name);
  return d->place[i].name[0] == '_' ? -1 : (*next)++;
}

static bool places_missing(struct decoder *d, struct mr_error *err)
{
  for (int64_t k = 0; d->declared && k < d->declared->n_children; k++) {
    bool found = false;
    for (int64_t i = 0; i < d->n_place; i++)
      found |= d->place[i].column == k;
    if (found)
      continue;
    mr_fail(err, MR_BADCONF, "column `%.80s` is not in the data: the header does not name it",
            d->declared->children[k]->name);
    return true;
  }
  return false;
}

static void places_free(struct decoder *d)
{
  for (int64_t i = 0; i < d->n_place; i++)
    free(d->place[i].name);
  free(d->place);
  d->place = NULL;
  d->n_place = 0;
}

static int places_fill(struct decoder *d, struct mr_error *err)
{
  const struct mr_csv_record *r = &d->record;
  int64_t next = 0;
  if (r->n > COLUMNS_MAX)
    return mr_fail_code(err, MR_BADCONF, MR_CODE_LIMIT, "more than %d columns", COLUMNS_MAX);
  if (!(d->place = calloc((size_t)r->n, sizeof *d->place)))
    return mr_fail(err, MR_FATAL, "no memory");
  for (int64_t i = 0; i < r->n; i++) {
    if (!(d->place[i].name = name_of(&r->field[i], i, d->dialect.header)))
      return mr_fail(err, MR_FATAL, "no memory");
    d->n_place++;
    if (is_repeated(d, i))
      return mr_fail(err, MR_BADCONF, "the header names column %.80s twice", d->place[i].name);
    d->place[i].column = column_of(d, i, &next);
  }
  if (places_missing(d, err))
    return MR_BADCONF;
  return d->declared || new_columns(d) ? MR_OK : mr_fail(err, MR_FATAL, "no memory");
}

/* Declared columns without a header: fields come in their order. */
static bool places_declared(struct decoder *d)
{
  int64_t n = d->declared->n_children;
  if (!(d->place = calloc((size_t)n + 1, sizeof *d->place)))
    return false;
  for (; d->n_place < n; d->n_place++) {
    struct place *to = &d->place[d->n_place];
    if (!(to->name = strdup(d->declared->children[d->n_place]->name)))
      return false;
    to->column = d->n_place;
  }
  return true;
}

/* From the first record: the header, or one whose fields are counted. */
static int places_init(struct decoder *d, struct mr_error *err)
{
  int st = places_fill(d, err);
  if (st < 0)
    places_free(d);
  return st;
}

/* ---------------------------------------------------------------- messages */

static bool is_blank(const struct decoder *d)
{
  const struct mr_csv_record *r = &d->record;
  return r->n == 1 && !r->field[0].n && !r->field[0].quoted && d->n_place != 1;
}

static bool next_record(struct decoder *d, const char **p, const char *end)
{
  const char *from = d->line = *p;
  if (!(*p = mr_csv_record_read(&d->dialect, &d->record, from, end)))
    return false;
  if (is_blank(d) || d->record.n == d->n_place || !d->n_place)
    return true;
  return fail(d, from, MR_CODE_SHAPE,
              d->record.n < d->n_place ? "fewer fields than columns" : "more fields than columns");
}

/* The record that ends at end stands there, without its line end. */
static bool put_extent(struct decoder *d, const char *end)
{
  end -= end > d->line && end[-1] == '\n';
  end -= end > d->line && end[-1] == '\r';
  return mr_extents_add(&d->extents, (size_t)(d->line - d->start), (size_t)(end - d->line)) ||
         no_memory(d, d->line);
}

/* Appends the rows of a message, which begins at d->start, from p on. */
static bool put_rows(struct decoder *d, const char *p, const char *end)
{
  d->extents.n = 0;
  while (p < end) {
    if (!next_record(d, &p, end))
      return false;
    if (!is_blank(d) && !(put_row(d) && put_extent(d, p)))
      return false;
  }
  return true;
}

/* How the fields look; d->stale: a column is wider now. */
static bool look(struct decoder *d, const char *p, const char *end)
{
  if (!mr_buf_reserve(&d->scratch, &d->scratch_cap, 0, end - p + 16))
    return no_memory(d, p);
  while (p < end) {
    if (!next_record(d, &p, end))
      return false;
    for (int64_t i = 0; i < d->n_place && !is_blank(d); i++) {
      const struct mr_csv_field *f = &d->record.field[i];
      if (d->place[i].column >= 0 && !mr_csv_is_null(&d->dialect, f))
        d->stale |= mr_csv_shape_widen(&d->place[i].shape, f, d->c, (char *)d->scratch);
    }
  }
  return true;
}

static bool keep(struct decoder *d, const char *p, int64_t n)
{
  if (!mr_buf_reserve(&d->kept, &d->kept_cap, d->kept_len, d->kept_len + n + 8))
    return false;
  memcpy(d->kept + d->kept_len, &n, 8);
  memcpy(d->kept + d->kept_len + 8, p, (size_t)n);
  d->kept_len += n + 8;
  return true;
}

/* New builders, filled from the kept messages. */
static bool read_again(struct decoder *d)
{
  int64_t n;
  if (!new_columns(d))
    return false;
  d->stale = false;
  for (const uint8_t *p = d->kept, *end = p + d->kept_len; p < end; p += n + 8) {
    memcpy(&n, p, 8);
    d->start = (const char *)p + 8;
    if (!put_rows(d, (const char *)p + 8, (const char *)p + 8 + n))
      return false;
  }
  return true;
}

static void rollback(struct decoder *d, int64_t length)
{
  for (int64_t i = 0; i < d->rows.n_child; i++)
    mr_column_truncate(&d->rows.child[i], length);
  d->rows.length = length;
}

static int refusal(struct decoder *d, struct mr_error *err)
{
  const struct mr_csv_record *r = &d->record;
  int status = strcmp(r->code, MR_CODE_MEMORY) ? MR_REJECT : MR_FATAL;
  err->native = r->open && !strcmp(r->code, MR_CODE_CSV);
  if (d->column)
    return mr_fail_code(err, status, r->code, "byte %lld, column %.200s: %s",
                        (long long)(d->line - d->start), d->column, r->what);
  return mr_fail_code(err, status, r->code, "byte %lld: %s", (long long)(r->at - d->start),
                      r->what);
}

/* The first record that is not blank says which fields there are; a header is passed over. */
static int begin(struct decoder *d, const char **p, const char *end, struct mr_error *err)
{
  const char *q = *p;
  if (d->dialect.header && end - q >= 3 && !memcmp(q, "\xef\xbb\xbf", 3))
    q += 3; /* spreadsheets put it there */
  do {
    *p = q;
    if (q == end)
      return MR_OK;
    if (!(q = mr_csv_record_read(&d->dialect, &d->record, q, end)))
      return refusal(d, err);
  } while (is_blank(d));
  int st = places_init(d, err);
  if (st == MR_OK && d->dialect.header)
    *p = q;
  return st;
}

static int csv_decode(struct mr_decoder *base, const void *data, size_t len, struct mr_error *err)
{
  struct decoder *d = (struct decoder *)base;
  const char *p = data, *end = p + len;
  int64_t before = d->rows.length;
  bool ok;
  d->start = p;
  d->column = NULL;
  if (!mr_utf8_valid(data, len))
    return mr_fail_code(err, MR_REJECT, MR_CODE_UTF8, "invalid UTF-8");
  if (!d->n_place && p < end) {
    int st = begin(d, &p, end, err);
    if (st < 0)
      return st;
  }
  ok = d->declared || look(d, p, end);
  if (ok && d->stale && !read_again(d))
    return mr_fail(err, MR_FATAL, "no memory");
  d->start = data;
  ok = ok && put_rows(d, p, end);
  if (ok && !d->declared && p < end && !keep(d, p, end - p))
    ok = no_memory(d, p);
  if (ok)
    return (int)(d->rows.length - before);
  rollback(d, before);
  return refusal(d, err);
}

static int csv_decoded(struct mr_decoder *base, struct ArrowArray *give, struct mr_error *err)
{
  struct decoder *d = (struct decoder *)base;
  if (!d->known && !d->rows.length)
    return MR_IDLE;
  d->known = true;
  if (d->schema_new) {
    d->schema_new = false;
    return MR_SCHEMA;
  }
  for (int64_t i = 0; i < d->n_place;
       i++) /* nothing but nulls so far: text, which fits whatever comes */
    if (d->place[i].shape.looks == MR_CSV_NOTHING)
      d->place[i].shape.looks = MR_CSV_TEXT;
  if (!mr_rows_finish(d->rows.child, d->rows.n_child, d->rows.length, give))
    return mr_fail(err, MR_FATAL, "no memory");
  d->rows.length = d->kept_len = 0;
  return MR_OK;
}

static int csv_schema(struct mr_decoder *base, struct ArrowSchema *give, struct mr_error *err)
{
  struct decoder *d = (struct decoder *)base;
  if (!d->known)
    return MR_IDLE;
  if (mr_schema_copy(&d->schema, give))
    return MR_OK;
  mr_schema_release(give);
  return mr_fail(err, MR_FATAL, "no memory");
}

static const struct mr_extent *csv_extents(const struct mr_decoder *base)
{
  return mr_extents_of(&((const struct decoder *)base)->extents);
}

static void csv_free(struct mr_decoder *base)
{
  struct decoder *d = (struct decoder *)base;
  if (!d)
    return;
  builders_done(d);
  places_free(d);
  mr_schema_release(&d->schema);
  mr_csv_record_finish(&d->record);
  free(d->kept);
  free(d->scratch);
  mr_extents_finish(&d->extents);
  if (d->c)
    freelocale(d->c);
  free(d);
}

/* Fields hold single values. */
static int check_columns(const struct ArrowSchema *s, struct mr_error *err)
{
  for (int64_t i = 0; i < s->n_children; i++) {
    enum mr_kind k = mr_kind_of(s->children[i]);
    if (k == MR_K_LIST || k == MR_K_STRUCT || k == MR_K_MAP || k == MR_K_NULL || k == MR_K_NONE)
      return mr_fail(err, MR_BADCONF,
                     "column `%.80s`: a field of CSV is one value; take json for nested ones",
                     s->children[i]->name);
  }
  return MR_OK;
}

static int csv_open(const void *conf, struct mr_decoder **ret, struct mr_error *err)
{
  const struct mr_csv_conf *c = conf;
  struct mr_csv_dialect dialect;
  const struct ArrowSchema *declared = c ? c->columns : NULL;
  int st = mr_csv_dialect_init(&dialect, c, err);
  if (st < 0 || (declared && (st = check_columns(declared, err)) < 0))
    return st;
  struct decoder *d = calloc(1, sizeof *d);
  if (!d)
    return mr_fail(err, MR_FATAL, "no memory");
  d->base.vt = &mr_csv_decoder;
  d->dialect = dialect;
  d->declared = declared;
  d->known = declared != NULL;
  d->c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (!d->c || !(declared ? mr_schema_copy(declared, &d->schema) : mr_schema_struct(&d->schema)) ||
      !builders_init(d) || (declared && !dialect.header && !places_declared(d))) {
    csv_free(&d->base);
    return mr_fail(err, MR_FATAL, "no memory");
  }
  *ret = &d->base;
  return MR_OK;
}

const struct mr_decoder_vt mr_csv_decoder = {csv_open,   csv_decode, csv_decoded,
                                             csv_schema, csv_free,   csv_extents};

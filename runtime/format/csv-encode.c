/* SPDX-License-Identifier: Apache-2.0 */
#include "format/csv.h"
#include "format/json-writer.h"
#include "millrace/changes.h"

struct encoder {
  struct mr_encoder base;
  struct mr_csv_dialect dialect;
  struct mr_json_writer out;    /* its output is ours */
  struct mr_json_writer nested; /* scratch: nested values as JSON */
  struct ArrowSchema schema;    /* for the header */
};

/* ---------------------------------------------------------------- fields */

/* Whether a text would be read as another one without quotes. */
static bool needs_quotes(const struct mr_csv_dialect *d, const char *s, int64_t n)
{
  if (!n || (n == d->null_len && !memcmp(s, d->null_text, (size_t)n)))
    return true;
  for (int64_t i = 0; i < n; i++)
    if (s[i] == d->delimiter || s[i] == d->quote || s[i] == '\n' || s[i] == '\r')
      return true;
  return false;
}

static bool cannot(struct encoder *e)
{
  e->out.code = MR_CODE_CSV;
  e->out.what = "a text that needs quotes, and `quote` is empty";
  return false;
}

static bool put_quoted(struct encoder *e, const char *s, int64_t n)
{
  char q = (char)e->dialect.quote;
  if (e->dialect.quote < 0)
    return cannot(e);
  if (!mr_json_writer_put(&e->out, &q, 1))
    return false;
  for (int64_t from = 0, i = 0; i <= n; i++) {
    if (i < n && s[i] != q)
      continue;
    if (!mr_json_writer_put(&e->out, s + from, i - from) ||
        (i < n && !mr_json_writer_put(&e->out, &q, 1)))
      return false;
    from = i;
  }
  return mr_json_writer_put(&e->out, &q, 1);
}

static bool put_field(struct encoder *e, const char *s, int64_t n)
{
  bool plain =
      !needs_quotes(&e->dialect, s, n) || (!n && e->dialect.quote < 0 && e->dialect.null_len);
  return plain ? mr_json_writer_put(&e->out, s, n) : put_quoted(e, s, n);
}

static bool put_null(struct encoder *e)
{
  return mr_json_writer_put(&e->out, e->dialect.null_text, e->dialect.null_len);
}

/* Lists, structs and maps as JSON text. */
static bool put_nested(struct encoder *e, const struct mr_json_writer_node *n, int64_t i)
{
  e->nested.out.bytes_len = 0;
  if (mr_json_writer_value(&e->nested, n, i))
    return put_field(e, (const char *)e->nested.out.bytes, e->nested.out.bytes_len);
  e->out.code = e->nested.code;
  e->out.what = e->nested.what;
  return false;
}

static bool put_binary(struct encoder *e, const uint8_t *p, int64_t n)
{
  e->nested.out.bytes_len = 0;
  if (!mr_column_reserve_bytes(&e->nested.out, (n + 2) / 3 * 4))
    return false;
  return put_field(e, (const char *)e->nested.out.bytes,
                   mr_put_base64((char *)e->nested.out.bytes, p, n));
}

static bool put_value(struct encoder *e, const struct mr_json_writer_node *n, int64_t i)
{
  enum mr_kind k = n->v.kind;
  char text[MR_TEXT_DECIMAL_MAX + MR_TEXT_FLOAT_MAX];
  int64_t len;
  const char *s;
  if (mr_view_null(&n->v, i))
    return put_null(e);
  if (k == MR_K_LIST || k == MR_K_STRUCT || k == MR_K_MAP)
    return put_nested(e, n, i);
  if (k != MR_K_TEXT && k != MR_K_BINARY)
    return put_field(e, text, mr_json_writer_short(&e->out, n, i, text));
  s = mr_view_bytes(&n->v, i, &len);
  return k == MR_K_TEXT ? put_field(e, s, len) : put_binary(e, (const uint8_t *)s, len);
}

/* ---------------------------------------------------------------- records */

static bool put_row(struct encoder *e, int64_t row)
{
  for (int64_t k = 0; k < e->out.root.n_kid; k++) {
    const struct mr_json_writer_node *n = &e->out.root.kid[k];
    e->out.name = n->v.schema->name;
    if ((k && !mr_json_writer_put(&e->out, &e->dialect.delimiter, 1)) || !put_value(e, n, row))
      return false;
  }
  return mr_json_writer_put(&e->out, "\n", 1) && mr_json_writer_end(&e->out);
}

static bool put_header(struct encoder *e)
{
  for (int64_t k = 0; k < e->out.root.n_kid; k++) {
    const char *name = e->out.name = e->schema.children[e->out.root.kid[k].column]->name;
    if ((k && !mr_json_writer_put(&e->out, &e->dialect.delimiter, 1)) ||
        !put_field(e, name, (int64_t)strlen(name)))
      return false;
  }
  return mr_json_writer_put(&e->out, "\n", 1) && mr_json_writer_end(&e->out);
}

/* Without rows: what a file of this format begins with. */
static int csv_encode(struct mr_encoder *base, const struct mr_batch *b, struct ArrowArray *give,
                      struct mr_error *err)
{
  struct encoder *e = (struct encoder *)base;
  mr_json_writer_batch(&e->out, b);
  mr_json_writer_batch(&e->nested, b);
  if (!b->rows.length && e->dialect.header && !put_header(e))
    return mr_json_writer_refused(&e->out, -1, err);
  for (int64_t i = 0; i < b->rows.length; i++)
    if (!put_row(e, i))
      return mr_json_writer_refused(&e->out, i, err);
  return mr_column_finish(&e->out.out, give) ? MR_OK : mr_fail(err, MR_FATAL, "no memory");
}

static void csv_free(struct mr_encoder *base)
{
  struct encoder *e = (struct encoder *)base;
  if (!e)
    return;
  mr_json_writer_finish(&e->out);
  mr_json_writer_finish(&e->nested);
  mr_schema_release(&e->schema);
  free(e);
}

static int csv_open(const void *conf, const struct ArrowSchema *in, struct mr_encoder **ret,
                    struct mr_error *err)
{
  struct mr_csv_dialect dialect;
  int st = mr_csv_dialect_init(&dialect, conf, err);
  if (st < 0)
    return st;
  if (mr_schema_find(in, MR_SET) >= 0)
    return mr_fail(err, MR_BADCONF,
                   "csv cannot tell a column that a row does not write (`_set`) from null: jsonl "
                   "can, or drop `_set` before: select: {drop: _set}");
  struct encoder *e = calloc(1, sizeof *e);
  if (!e)
    return mr_fail(err, MR_FATAL, "no memory");
  e->base.vt = &mr_csv_encoder;
  e->dialect = dialect;
  if (!mr_schema_copy(in, &e->schema) || !mr_json_writer_init(&e->out, in) ||
      !mr_json_writer_init(&e->nested, in)) {
    csv_free(&e->base);
    return mr_fail(err, MR_FATAL, "no memory, or a column of a type that CSV cannot show");
  }
  *ret = &e->base;
  return MR_OK;
}

const struct mr_encoder_vt mr_csv_encoder = {csv_open, csv_encode, csv_free};

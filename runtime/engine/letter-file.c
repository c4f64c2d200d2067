/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/letter-file.h"
#include <string.h>
#include "format/json.h"

enum {
  L_KIND,
  L_STAGE,
  L_SINK,
  L_SOURCE,
  L_LANE,
  L_RUN,
  L_POSITION,
  L_UPTO,
  L_ELEMENT,
  L_ROW,
  L_CHANGE,
  L_ORIGINAL,
  L_BASE64,
  L_N
};
static const struct {
  const char *name, *format;
} fields[L_N] = {{"kind", "u"},           {"stage", "u"}, {"sink", "u"},     {"source", "u"},
                 {"lane", "u"},           {"run", "L"},   {"position", "u"}, {"upto", "u"},
                 {"element", "l"},        {"row", "u"},   {"change", "u"},   {"original", "u"},
                 {"original_base64", "u"}};

struct range { /* of a mark: positions from <= p < upto */
  struct mr_position from, upto;
};
struct read {
  struct mr_letter_file *f;
  struct ArrowSchema schema;
  struct mr_view v[L_N];
  GArray *lines; /* int64_t: the line of each row */
};

static void entry_free(void *p)
{
  struct mr_letter_entry *l = p;
  g_free(l->stage);
  g_free(l->source);
  g_free(l->lane);
  g_free(l->row);
  g_free(l->change);
  if (l->original)
    g_bytes_unref(l->original);
  g_free(l);
}

void mr_letter_file_free(struct mr_letter_file *f)
{
  if (!f)
    return;
  g_ptr_array_unref(f->letters);
  g_hash_table_unref(f->marks);
  g_free(f);
}

static char *text_of(const struct read *r, int field, int64_t i)
{
  int64_t n;
  if (mr_view_null(&r->v[field], i))
    return NULL;
  const char *p = mr_view_bytes(&r->v[field], i, &n);
  return g_strndup(p, (gsize)n);
}

/* Positions of eight bytes stand as numbers, others as hex digits. */
static bool position_of(const char *text, struct mr_position *ret)
{
  guint64 number;
  memset(ret, 0, sizeof *ret);
  if (!text || !*text)
    return false;
  if (g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &number, NULL)) {
    *ret = mr_position_u64(number);
    return true;
  }
  gsize n = strlen(text);
  if (n % 2 || n / 2 > sizeof ret->token)
    return false;
  for (gsize i = 0; i < n; i += 2) {
    int high = g_ascii_xdigit_value(text[i]), low = g_ascii_xdigit_value(text[i + 1]);
    if (high < 0 || low < 0)
      return false;
    ret->token[ret->len++] = (uint8_t)(high << 4 | low);
  }
  return true;
}

/* What a mark and the letters it covers have in common. Caller frees. */
static char *mark_key(const char *sink, const char *source, const char *lane, uint64_t run)
{
  return g_strdup_printf("%s/%s/%" G_GUINT64_FORMAT "/%s", sink, source, run, lane);
}

static void add_mark(struct read *r, int64_t i)
{
  g_autofree char *sink = text_of(r, L_SINK, i), *source = text_of(r, L_SOURCE, i),
                  *lane = text_of(r, L_LANE, i), *from = text_of(r, L_POSITION, i),
                  *upto = text_of(r, L_UPTO, i);
  struct range range;
  if (!sink || !source || !lane || !position_of(upto, &range.upto))
    return;
  position_of(from, &range.from); /* of the first mark of a lane: before everything */
  char *key = mark_key(sink, source, lane, (uint64_t)mr_view_int(&r->v[L_RUN], i));
  GArray *ranges = g_hash_table_lookup(r->f->marks, key);
  if (ranges)
    g_free(key);
  else {
    ranges = g_array_new(FALSE, FALSE, sizeof range);
    g_hash_table_insert(r->f->marks, key, ranges);
  }
  g_array_append_val(ranges, range);
}

static void add_letter(struct read *r, int64_t i)
{
  struct mr_letter_entry *l = g_new0(struct mr_letter_entry, 1);
  g_autofree char *position = text_of(r, L_POSITION, i), *original = text_of(r, L_ORIGINAL, i),
                  *base64 = text_of(r, L_BASE64, i);
  l->line = g_array_index(r->lines, int64_t, i);
  l->stage = text_of(r, L_STAGE, i);
  l->source = text_of(r, L_SOURCE, i);
  l->lane = text_of(r, L_LANE, i);
  l->row = text_of(r, L_ROW, i);
  l->change = text_of(r, L_CHANGE, i);
  l->run = (uint64_t)mr_view_int(&r->v[L_RUN], i);
  l->has_position = position_of(position, &l->position);
  l->element = mr_view_null(&r->v[L_ELEMENT], i) ? -1 : mr_view_int(&r->v[L_ELEMENT], i);
  if (original)
    l->original = g_bytes_new(original, strlen(original));
  else if (base64) {
    gsize n;
    guchar *bytes = g_base64_decode(base64, &n);
    l->original = g_bytes_new_take(bytes, n);
  }
  g_ptr_array_add(r->f->letters, l);
}

static void take_rows(struct read *r, const struct ArrowArray *rows)
{
  int64_t n;
  for (int i = 0; i < L_N; i++)
    mr_view_column(&r->v[i], &r->schema, rows, i);
  for (int64_t i = 0; i < rows->length; i++) {
    if (mr_view_null(&r->v[L_KIND], i) || mr_view_null(&r->v[L_RUN], i))
      continue;
    const char *kind = mr_view_bytes(&r->v[L_KIND], i, &n);
    if (n == 6 && !memcmp(kind, "letter", 6))
      add_letter(r, i);
    else if (n == 4 && !memcmp(kind, "mark", 4))
      add_mark(r, i);
  }
}

static void read_line(struct read *r, struct mr_decoder *d, const char *text, gsize len,
                      int64_t line)
{
  struct mr_error err = MR_ERROR_INIT;
  if (!len)
    return;
  int n = mr_decode(d, text, len, &err);
  for (int i = 0; i < n; i++)
    g_array_append_val(r->lines, line);
  if (n < 0 && !r->f->bad_lines++)
    r->f->first_bad = line;
}

static bool read_lines(struct read *r, struct mr_decoder *d, const char *text, gsize len)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray rows = {0};
  const char *at = text, *end = text + len;
  for (int64_t line = 1; at < end; line++) {
    const char *nl = memchr(at, '\n', (size_t)(end - at));
    read_line(r, d, at, (gsize)((nl ? nl : end) - at), line);
    at = nl ? nl + 1 : end;
  }
  if (mr_decoded(d, &rows, &err) < 0)
    return false;
  take_rows(r, &rows);
  mr_array_release(&rows);
  return true;
}

static void set_id(struct mr_letter_file *f, const char *text, gsize len)
{
  const char *nl = memchr(text, '\n', len);
  g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text,
                                                     nl ? (gsize)(nl - text) : len);
  g_strlcpy(f->id, sum, sizeof f->id);
}

static bool fields_init(struct ArrowSchema *s)
{
  bool ok = mr_schema_struct(s);
  for (int i = 0; ok && i < L_N; i++)
    ok = mr_schema_field(s, fields[i].name, fields[i].format, true);
  return ok && mr_schema_set_meta(s->children[L_ROW], MR_META_EXTENSION, "arrow.json") &&
         mr_schema_set_meta(s->children[L_CHANGE], MR_META_EXTENSION, "arrow.json");
}

struct mr_letter_file *mr_letter_file_read(const char *path, struct mr_error *err)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  gsize len = 0;
  if (!g_file_get_contents(path, &text, &len, &error)) {
    mr_fail(err, MR_BADCONF, "%s", error->message);
    return NULL;
  }
  struct read r = {.f = g_new0(struct mr_letter_file, 1)};
  struct mr_decoder *d = NULL;
  r.f->letters = g_ptr_array_new_with_free_func(entry_free);
  r.f->marks =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_array_unref);
  r.lines = g_array_new(FALSE, FALSE, sizeof(int64_t));
  set_id(r.f, text, len);
  const struct mr_json_conf conf = {.columns = &r.schema, .unknown = MR_UNKNOWN_IGNORE};
  const struct mr_format format = {mr_format_find("json"), &conf};
  bool ok = fields_init(&r.schema) && mr_decoder_new(&format, &d, err) >= 0 &&
            read_lines(&r, d, text, len);
  mr_decoder_free(d);
  mr_schema_release(&r.schema);
  g_array_unref(r.lines);
  if (ok)
    return r.f;
  mr_letter_file_free(r.f);
  if (!err->msg[0])
    mr_fail(err, MR_FATAL, "out of memory");
  return NULL;
}

/* A row's position is a number; where a source's positions are longer, they begin with it. */
static bool covers(struct range r, const struct mr_position *p)
{
  if (p->len == 8) {
    r.from.len = MIN(r.from.len, 8);
    r.upto.len = MIN(r.upto.len, 8);
  }
  return mr_position_cmp(&r.from, p) <= 0 && mr_position_cmp(p, &r.upto) < 0;
}

bool mr_letter_file_counts(const struct mr_letter_file *f, const struct mr_letter_entry *l,
                           const char *sink)
{
  if (!l->source || !l->lane || !l->has_position)
    return false;
  g_autofree char *key = mark_key(sink, l->source, l->lane, l->run);
  const GArray *ranges = g_hash_table_lookup(f->marks, key);
  for (guint i = 0; ranges && i < ranges->len; i++)
    if (covers(g_array_index(ranges, struct range, i), &l->position))
      return true;
  return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lookup-table.h"
#include <glib.h>
#include "data/types.h"

static const uint64_t seed[2] = {0x1234567890abcdef, 0xfedcba0987654321};

static struct ArrowSchema columns(const char *text)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s;
  g_autofree char *type = g_strdup_printf("struct<%s>", text);
  if (mr_type_parse(type, "", &s, &err) < 0)
    g_error("%s", err.msg);
  return s;
}

/* A batch of (key int64, value text) pairs, for one call of apply. */
struct pairs {
  struct ArrowSchema s;
  struct ArrowArray rows;
  struct mr_view view[2];
};
static void pairs_init(struct pairs *p, const char *key_type, const int64_t *key,
                       const char *const *value, int64_t n)
{
  struct mr_column c[2];
  g_autofree char *text = g_strdup_printf("k: %s, v: utf8", key_type);
  p->s = columns(text);
  for (int i = 0; i < 2; i++)
    g_assert_true(mr_column_init(&c[i], p->s.children[i]));
  for (int64_t i = 0; i < n; i++) {
    g_assert_true(key[i] == INT64_MAX ? mr_column_null(&c[0]) : mr_column_int(&c[0], key[i]));
    g_assert_true(value && value[i] ? mr_column_text(&c[1], value[i]) : mr_column_null(&c[1]));
  }
  g_assert_true(mr_rows_finish(c, 2, n, &p->rows));
  for (int i = 0; i < 2; i++)
    mr_view_column(&p->view[i], &p->s, &p->rows, i);
}
static void pairs_done(struct pairs *p)
{
  mr_array_release(&p->rows);
  mr_schema_release(&p->s);
}

static void apply(struct mr_table *t, const int64_t *key, const char *const *value, int64_t n,
                  const uint8_t *deleted)
{
  struct mr_error err = MR_ERROR_INIT;
  struct pairs p;
  pairs_init(&p, "int64", key, value, n);
  g_assert_cmpint(mr_table_apply(t, p.view, deleted, n, &err), ==, MR_OK);
  pairs_done(&p);
}

/* The value of a key, "-" when it is missing, "~" when it is null; g_free. */
static char *value_of(const struct mr_table *t, const char *key_type, int64_t key)
{
  struct mr_column c;
  struct ArrowSchema s = columns("v: utf8");
  struct pairs p;
  uint32_t row;
  pairs_init(&p, key_type, &key, NULL, 1);
  mr_table_find(t, p.view, 1, &row);
  pairs_done(&p);
  g_assert_true(mr_column_init(&c, s.children[0]));
  g_assert_true(mr_table_gather(t, 1, &row, 1, &c));
  char *text = row == MR_TABLE_MISSING ? g_strdup("-")
               : c.nulls               ? g_strdup("~")
                                       : g_strndup((char *)c.bytes, (gsize)c.bytes_len);
  mr_column_done(&c);
  mr_schema_release(&s);
  return text;
}
static void check(const struct mr_table *t, const char *key_type, int64_t key, const char *want)
{
  g_autofree char *got = value_of(t, key_type, key);
  g_assert_cmpstr(got, ==, want);
}

static void free_values(char **value)
{
  for (; *value; value++)
    g_free(*value);
}

static struct mr_table *new_table(const char *text, int64_t n_keys)
{
  struct ArrowSchema s = columns(text);
  struct mr_table *t = mr_table_new(&s, n_keys, seed);
  mr_schema_release(&s);
  g_assert_nonnull(t);
  return t;
}

static void test_upsert(void)
{
  struct mr_table *t = new_table("k: int64, v: utf8", 1);
  check(t, "int64", 1, "-");
  apply(t, (int64_t[]){1, 2, 1, INT64_MAX}, (const char *const[]){"a", "b", "c", "d"}, 4, NULL);
  check(t, "int64", 1, "c");
  check(t, "int64", 2, "b");
  check(t, "int64", 3, "-");
  check(t, "int64", INT64_MAX, "-"); /* a null key is nobody's */
  g_assert_cmpint(mr_table_size(t).live, ==, 2);
  g_assert_cmpint(mr_table_size(t).rows, ==, 3);
  apply(t, (int64_t[]){2, 3, 9}, (const char *const[]){NULL, NULL, "z"}, 3, (uint8_t[]){1 | 4});
  check(t, "int64", 2, "-");
  check(t, "int64", 3, "~");
  check(t, "int64", 9, "-");
  g_assert_cmpint(mr_table_size(t).live, ==, 2);
  mr_table_unref(t);
}

/* The same number in another integer type is the same key; the same bits of another number are not.
 */
static void test_integer_types(void)
{
  struct mr_table *t = new_table("k: int64, v: utf8", 1);
  apply(t, (int64_t[]){5, -1, INT64_MIN}, (const char *const[]){"five", "minus", "least"}, 3, NULL);
  static const char *const types[] = {"int8",  "int16",  "int32",  "int64",
                                      "uint8", "uint16", "uint32", "uint64"};
  for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
    check(t, types[i], 5, "five");
    check(t, types[i], -1, i < 4 ? "minus" : "-"); /* unsigned: all bits set */
  }
  check(t, "uint64", INT64_MIN, "-");
  check(t, "int64", INT64_MIN, "least");
  mr_table_unref(t);
}

static void test_keys_ok(void)
{
  struct ArrowSchema s =
      columns("a: int8, b: uint64, c: utf8, d: float64, e: list<int8>, f: decimal(9,2), g: "
              "decimal(9,3), h: binary, i: timestamp, j: timestamptz, k: uuid, l: json");
  struct ArrowSchema **c = s.children;
  g_assert_true(mr_table_key_fits(c[0], c[1]));
  g_assert_false(mr_table_key_fits(c[0], c[2]));
  g_assert_false(mr_table_key_fits(c[3], c[3]));
  g_assert_false(mr_table_key_fits(c[4], c[4]));
  g_assert_true(mr_table_key_fits(c[5], c[5]));
  g_assert_false(mr_table_key_fits(c[5], c[6]));
  g_assert_false(mr_table_key_fits(c[2], c[7]));
  g_assert_false(mr_table_key_fits(c[8], c[9]));
  g_assert_true(mr_table_key_fits(c[10], c[10]));
  g_assert_false(mr_table_key_fits(c[0], c[3]));
  mr_schema_release(&s);
}

/* Keys of several columns and kinds: where one ends and the next begins matters. */
static void test_compound_keys(void)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s = columns("a: utf8, b: utf8, c: bool, d: decimal(9,2), e: uuid, v: int32");
  struct mr_table *t = mr_table_new(&s, 5, seed);
  struct mr_column c[6];
  struct ArrowArray rows;
  struct mr_view view[6];
  static const char *const text[][2] = {{"ab", "c"}, {"a", "bc"},       {"", "abc"},
                                        {"abc", ""}, {"12345678", "x"}, {"1234567", "8x"}};
  for (int i = 0; i < 6; i++)
    g_assert_true(mr_column_init(&c[i], s.children[i]));
  for (int i = 0; i < 12; i++) {
    __int128 d = i;
    uint8_t uuid[16] = {1, 2, 3, (uint8_t)i};
    g_assert_true(mr_column_text(&c[0], text[i % 6][0]) && mr_column_text(&c[1], text[i % 6][1]) &&
                  mr_column_bool(&c[2], i >= 6) && mr_column_fixed(&c[3], &d) &&
                  mr_column_fixed(&c[4], uuid) && mr_column_int(&c[5], i));
  }
  g_assert_true(mr_rows_finish(c, 6, 12, &rows));
  for (int i = 0; i < 6; i++)
    mr_view_column(&view[i], &s, &rows, i);
  g_assert_cmpint(mr_table_apply(t, view, NULL, 12, &err), ==, MR_OK);
  g_assert_cmpint(mr_table_apply(t, view, NULL, 12, &err), ==, MR_OK);
  g_assert_cmpint(mr_table_size(t).live, ==, 12);
  uint32_t row[12];
  mr_table_find(t, view, 12, row);
  for (uint32_t i = 0; i < 12; i++)
    g_assert_cmpuint(row[i], ==, 12 + i);
  for (int i = 0; i < 6; i++)
    view[i].offset = 3; /* a slice */
  mr_table_find(t, view, 2, row);
  g_assert_cmpuint(row[0], ==, 15);
  mr_array_release(&rows);
  mr_schema_release(&s);
  mr_table_unref(t);
}

/* Random upserts and deletes against a hash table, over several chunks and index sizes, with
 * compaction on the way. */
struct copy {
  struct mr_table *to;
  int64_t rows;
};
static int copy_rows(void *out, const struct mr_view *column, const int64_t *row, int64_t n,
                     struct mr_error *err)
{
  struct copy *c = out;
  for (int64_t i = 0; i < n; i++) {
    struct mr_view v[2] = {column[0], column[1]};
    v[0].offset += row[i];
    v[1].offset += row[i];
    g_assert_cmpint(mr_table_apply(c->to, v, NULL, 1, err), ==, MR_OK);
  }
  c->rows += n;
  return MR_OK;
}

static void check_all(const struct mr_table *t, GHashTable *model, int64_t keys)
{
  g_assert_cmpint(mr_table_size(t).live, ==, g_hash_table_size(model));
  for (int64_t k = 0; k < keys; k++) {
    const char *want = g_hash_table_lookup(model, GINT_TO_POINTER((int)k + 1));
    check(t, "int64", k, want ? want : "-");
  }
}

static void test_against_model(void)
{
  enum { KEYS = 3000, ROUNDS = 150, BATCH = 1000 };
  struct mr_error err = MR_ERROR_INIT;
  GRand *r = g_rand_new_with_seed(7);
  g_autoptr(GHashTable) model = g_hash_table_new_full(NULL, NULL, NULL, g_free);
  struct mr_table *t = new_table("k: int64, v: utf8", 1);
  for (int round = 0; round < ROUNDS; round++) {
    int64_t key[BATCH];
    char *value[BATCH + 1] = {0};
    uint8_t deleted[BATCH / 8] = {0};
    for (int i = 0; i < BATCH; i++) {
      key[i] = g_rand_int_range(r, 0, KEYS);
      value[i] = g_strdup_printf("%d", g_rand_int_range(r, 0, 1000000000));
      bool gone = g_rand_int_range(r, 0, 3) == 0;
      mr_bit_set(deleted, i, gone);
      gpointer k = GINT_TO_POINTER((int)key[i] + 1);
      if (gone)
        g_hash_table_remove(model, k);
      else
        g_hash_table_insert(model, k, g_strdup(value[i]));
    }
    apply(t, key, (const char *const *)value, BATCH, deleted);
    free_values(value);
  }
  g_assert_cmpint(mr_table_size(t).rows, >, 65536);
  check_all(t, model, KEYS);
  mr_table_trim(t);
  check_all(t, model, KEYS);
  struct copy c = {.to = new_table("k: int64, v: utf8", 1)};
  g_assert_cmpint(mr_table_each(t, copy_rows, &c, &err), ==, MR_OK);
  g_assert_cmpint(c.rows, ==, g_hash_table_size(model));
  g_assert_cmpint(mr_table_size(c.to).rows, ==, c.rows);
  check_all(c.to, model, KEYS);
  mr_table_unref(c.to);
  mr_table_unref(t);
  g_rand_free(r);
}

/* Values of nested types come back as they went in, from full chunks and from the last one. */
static void test_nested_values(void)
{
  enum { N = 70000 };
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s = columns("k: int32, l: list<int32>, s: struct<a: utf8, b: int8>");
  struct mr_table *t = mr_table_new(&s, 1, seed);
  struct mr_column c[3];
  struct ArrowArray rows;
  struct mr_view view[3];
  for (int i = 0; i < 3; i++)
    g_assert_true(mr_column_init(&c[i], s.children[i]));
  for (int i = 0; i < N; i++) {
    g_assert_true(mr_column_int(&c[0], i));
    for (int k = 0; k < i % 3; k++)
      g_assert_true(mr_column_int(&c[1].child[0], i + k));
    g_assert_true(i % 5 ? mr_column_end(&c[1]) : mr_column_null(&c[1]));
    g_assert_true(mr_column_text(&c[2].child[0], i % 2 ? "odd" : "even") &&
                  mr_column_int(&c[2].child[1], i % 7) && mr_column_end(&c[2]));
    if (i % 5 == 0)
      mr_column_truncate(&c[1].child[0], ((int32_t *)(void *)c[1].data)[c[1].length]);
  }
  g_assert_true(mr_rows_finish(c, 3, N, &rows));
  for (int i = 0; i < 3; i++) {
    mr_column_done(&c[i]);
    mr_view_column(&view[i], &s, &rows, i);
  }
  g_assert_cmpint(mr_table_apply(t, view, NULL, N, &err), ==, MR_OK);
  g_autofree uint32_t *row = g_new(uint32_t, N);
  mr_table_find(t, view, N, row);
  for (int col = 1; col < 3; col++) {
    struct mr_column out;
    struct ArrowArray a;
    struct mr_view v;
    g_assert_true(mr_column_init(&out, s.children[col]));
    g_assert_true(mr_table_gather(t, col, row, N, &out));
    g_assert_true(mr_column_finish(&out, &a));
    mr_column_done(&out);
    mr_view_init(&v, s.children[col], &a);
    for (int64_t i = 0; i < N; i++) {
      int64_t from, to;
      if (col == 2)
        continue;
      g_assert_true(mr_view_null(&v, i) == (i % 5 == 0));
      mr_view_range(&v, i, &from, &to);
      g_assert_cmpint(to - from, ==, i % 5 ? i % 3 : 0);
      if (to > from)
        g_assert_cmpint(((const int32_t *)a.children[0]->buffers[1])[to - 1], ==, i + i % 3 - 1);
    }
    if (col == 2)
      g_assert_cmpint(((const int8_t *)a.children[1]->buffers[1])[N - 1], ==, (N - 1) % 7);
    mr_array_release(&a);
  }
  mr_array_release(&rows);
  mr_schema_release(&s);
  mr_table_unref(t);
}

/* A million keys: the index costs little besides the columns. */
static void test_million(void)
{
  enum { N = 1000000, BATCH = 8192 };
  struct mr_table *t = new_table("k: uint64, v: utf8", 1);
  int64_t key[BATCH], payload = 0;
  for (int64_t at = 0; at < N; at += BATCH) {
    int64_t n = N - at < BATCH ? N - at : BATCH;
    char *value[BATCH + 1] = {0};
    for (int64_t i = 0; i < n; i++) {
      key[i] = (at + i) * 7919;
      value[i] = g_strdup_printf("user%lld@example.com", (long long)(at + i));
      payload += (int64_t)strlen(value[i]) + 8;
    }
    apply(t, key, (const char *const *)value, n, NULL);
    free_values(value);
  }
  mr_table_trim(t);
  struct mr_table_size size = mr_table_size(t);
  g_assert_cmpint(size.live, ==, N);
  check(t, "uint64", 999999 * 7919LL, "user999999@example.com");
  check(t, "uint64", 0, "user0@example.com");
  check(t, "uint64", 1, "-");
  g_test_message("%.1f bytes a key, of which %.1f are key and text", (double)size.bytes / N,
                 (double)payload / N);
  g_assert_cmpint(size.bytes, <, payload + 16 * N);
  mr_table_unref(t);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/lookup-table/upsert", test_upsert);
  g_test_add_func("/lookup-table/integer-types", test_integer_types);
  g_test_add_func("/lookup-table/keys-ok", test_keys_ok);
  g_test_add_func("/lookup-table/compound-keys", test_compound_keys);
  g_test_add_func("/lookup-table/model", test_against_model);
  g_test_add_func("/lookup-table/nested-values", test_nested_values);
  g_test_add_func("/lookup-table/million", test_million);
  return g_test_run();
}

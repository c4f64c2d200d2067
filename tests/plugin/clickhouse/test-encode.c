/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of columns, as ClickHouse writes them itself (Native format, revision 0). */
#include <glib.h>
#include "encode.h"

struct found {
  GByteArray *bytes;
  int64_t bad[16];
  int n_bad;
};

static int on_bytes(void *out, const void *data, size_t len)
{
  g_byte_array_append(((struct found *)out)->bytes, data, (guint)len);
  return 0;
}
static void on_bad(void *out, int64_t row, const char *code, const char *msg, const char *column)
{
  struct found *f = out;
  g_assert_cmpint(f->n_bad, <, 16);
  f->bad[f->n_bad++] = row;
}

/* Encodes [from, to) of one column and compares the bytes, given in hexadecimal digits. */
static void check(const struct ArrowSchema *s, const struct ArrowArray *a, const char *type,
                  int64_t from, int64_t to, const char *hex, int n_bad)
{
  struct ch_type t;
  struct ch_node n;
  struct found f = {.bytes = g_byte_array_new()};
  uint8_t dead[8] = {0};
  struct ch_batch b = {.dead = dead, .bad = on_bad, .out = &f, .column = "c"};
  struct mr_view v;
  g_autoptr(GString) text = g_string_new(NULL);
  g_assert_true(ch_type_parse(type, &t));
  g_assert_true(ch_node_plan(&n, s, &t));
  mr_view_init(&v, s, a);
  ch_node_put(&b, &n, &v, from, to, NULL);
  g_assert_false(ch_node_failed(&n));
  ch_node_mark(&n);
  ch_node_put(&b, &n, &v, from, to, NULL);
  ch_node_back(&n);
  ch_node_give(&n, on_bytes, &f);
  g_assert_cmpint(ch_node_bytes(&n), ==, f.bytes->len);
  for (guint i = 0; i < f.bytes->len; i++)
    g_string_append_printf(text, "%02x", f.bytes->data[i]);
  g_assert_cmpstr(text->str, ==, hex);
  g_assert_cmpint(f.n_bad, ==, n_bad);
  g_byte_array_unref(f.bytes);
  ch_node_done(&n);
  ch_type_done(&t);
}

static void test_integers(void)
{
  struct ArrowSchema s;
  int32_t values[] = {1, -2, 300, 4};
  uint8_t valid[] = {0x0b}; /* the third is null */
  const void *buffers[] = {valid, values};
  struct ArrowArray a = {.length = 4, .null_count = 1, .n_buffers = 2, .buffers = buffers};
  g_assert_true(mr_schema_init(&s, "c", "i", true));
  check(&s, &a, "Nullable(Int32)", 0, 4,
        "00000100"
        "01000000"
        "feffffff"
        "00000000"
        "04000000",
        0);
  check(&s, &a, "Nullable(Int16)", 1, 3,
        "0001"
        "feff"
        "0000",
        0);
  check(&s, &a, "Int64", 0, 2,
        "0100000000000000"
        "feffffffffffffff",
        0);
  check(&s, &a, "UInt8", 0, 4,
        "01"
        "00"
        "00"
        "04",
        2); /* below zero; null */
  a.offset = 1;
  a.length = 1;
  check(&s, &a, "Int128", 0, 1, "feffffffffffffffffffffffffffffff", 0);
  mr_schema_release(&s);
}

static void test_text(void)
{
  struct ArrowSchema s;
  int32_t offsets[] = {0, 2, 2, 202};
  char bytes[202];
  memset(bytes, 'x', sizeof bytes);
  const void *buffers[] = {NULL, offsets, bytes};
  struct ArrowArray a = {.length = 3, .n_buffers = 3, .buffers = buffers};
  g_autoptr(GString) hex = g_string_new("02787800c801");
  for (int i = 0; i < 200; i++)
    g_string_append(hex, "78");
  g_assert_true(mr_schema_init(&s, "c", "u", true));
  check(&s, &a, "String", 0, 3, hex->str, 0);
  check(&s, &a, "FixedString(3)", 0, 3,
        "787800"
        "000000"
        "000000",
        1);
  mr_schema_release(&s);
}

static void test_uuid(void)
{
  struct ArrowSchema s;
  uint8_t value[16];
  for (int i = 0; i < 16; i++)
    value[i] = (uint8_t)i;
  const void *buffers[] = {NULL, value};
  struct ArrowArray a = {.length = 1, .n_buffers = 2, .buffers = buffers};
  g_assert_true(mr_schema_init(&s, "c", "w:16", true));
  check(&s, &a, "UUID", 0, 1,
        "0706050403020100"
        "0f0e0d0c0b0a0908",
        0);
  mr_schema_release(&s);
}

/* [1, 2], null, [], [300]: ends, then values; the row of a bad element is named. */
static void test_lists(void)
{
  struct ArrowSchema s, item;
  int32_t offsets[] = {0, 2, 3, 3, 4}, items[] = {1, 2, 99, 300};
  uint8_t valid[] = {0x0d};
  const void *buffers[] = {valid, offsets}, *item_buffers[] = {NULL, items};
  struct ArrowArray child = {.length = 4, .n_buffers = 2, .buffers = item_buffers};
  struct ArrowArray *children[] = {&child};
  struct ArrowArray a = {.length = 4,
                         .null_count = 1,
                         .n_buffers = 2,
                         .buffers = buffers,
                         .n_children = 1,
                         .children = children};
  g_assert_true(mr_schema_init(&s, "c", "+l", true) && mr_schema_init(&item, "item", "i", false) &&
                mr_schema_add(&s, &item));
  check(&s, &a, "Array(UInt16)", 0, 4,
        "0200000000000000"
        "0200000000000000"
        "0200000000000000"
        "0300000000000000"
        "0100"
        "0200"
        "2c01",
        1);
  check(&s, &a, "Array(UInt8)", 2, 4,
        "0000000000000000"
        "0100000000000000"
        "00",
        1);
  mr_schema_release(&s);
}

static void test_no_pair(void)
{
  struct ArrowSchema s;
  struct ch_type t;
  struct ch_node n;
  g_assert_true(mr_schema_init(&s, "c", "u", true) && ch_type_parse("UInt8", &t));
  g_assert_false(ch_node_plan(&n, &s, &t));
  ch_node_done(&n);
  ch_type_done(&t);
  mr_schema_release(&s);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/clickhouse/encode/integers", test_integers);
  g_test_add_func("/clickhouse/encode/text", test_text);
  g_test_add_func("/clickhouse/encode/uuid", test_uuid);
  g_test_add_func("/clickhouse/encode/lists", test_lists);
  g_test_add_func("/clickhouse/encode/no-pair", test_no_pair);
  return g_test_run();
}

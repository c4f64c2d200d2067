/* SPDX-License-Identifier: Apache-2.0 */
/* bench-json [ROUNDS [ROWS]]: rows per second of the JSON decoder, one decode() call for each
 * message, beside what libraries do when they fill the same columns with the same predicted keys.
 * Candidates take turns in every round; thread CPU time; medians. The columns of all candidates
 * must be equal byte for byte. */
#include <glib.h>
#include <stdio.h>
#include <time.h>
#include "bench-json.h"
#include "data/array.h"
#include "data/types.h"
#include "format/json.h"

struct load {
  const char *name, *columns;
  void (*message)(GString *m, uint64_t row);
};
struct input { /* messages one behind the other, with room to read past the last one */
  char *data;
  size_t *at; /* rows + 1 */
  int64_t rows;
};

static uint64_t mix(uint64_t x)
{
  x = (x ^ x >> 31) * UINT64_C(0x7fb5d329728ea185);
  x = (x ^ x >> 27) * UINT64_C(0x81dadef4bc2dd44d);
  return x ^ x >> 33;
}

static void trades_message(GString *m, uint64_t i)
{
  uint64_t r = mix(i + 1);
  g_string_append_printf(m,
                         "{\"trade_id\":%lu,\"match_seq\":%lu,\"buy_order_id\":%lu,\"sell_order_"
                         "id\":%lu,\"buy_user_id\":%lu,\"sell_user_id\":%lu,"
                         "\"price\":%lu,\"quantity\":%lu}",
                         (unsigned long)(1000000000 + i), (unsigned long)(70000000 + i),
                         (unsigned long)(r >> 30), (unsigned long)(r % 100000000000),
                         (unsigned long)(r % 1000003), (unsigned long)(r / 7 % 1000003),
                         (unsigned long)(r / 3 % 10000000), (unsigned long)(r / 11 % 100000));
}

static void mixed_message(GString *m, uint64_t i)
{
  static const char *const note[] = {
      "filled at the open", "said \\\"now\\\"", "caf\xc3\xa9 \xe2\x82\xac",
      "a longer note, which somebody wrote by hand and nobody reads", ""};
  static const char *const symbol[] = {"ACME", "GLOBEX", "INITECH", "UMBRELLA"};
  uint64_t r = mix(i + 1);
  g_string_append_printf(m,
                         "{\"id\":%lu,\"account\":\"acc-%07lu\",\"symbol\":\"%s\",\"venue\":"
                         "\"XNAS\",\"price\":%lu.%02lu,\"quantity\":%lu,\"fee\":%.17g,"
                         "\"active\":%s,\"hidden\":false,\"created\":\"2026-01-28T13:%02lu:%02lu.%"
                         "06luZ\",\"note\":\"%s\",\"parent\":",
                         (unsigned long)i, (unsigned long)(r % 10000000), symbol[r % 4],
                         (unsigned long)(r % 1000), (unsigned long)(r / 7 % 100),
                         (unsigned long)(r % 5000), (double)(r % 1000003) / 997,
                         r & 8 ? "true" : "false", (unsigned long)(r % 60),
                         (unsigned long)(r / 60 % 60), (unsigned long)(r % 1000000), note[r % 5]);
  if (r % 3)
    g_string_append_printf(m, "%lu", (unsigned long)(r % 1000000007));
  else
    g_string_append(m, "null");
  g_string_append_printf(m, ",\"client\":\"%016lx%016lx\",\"latency_us\":%lu}", (unsigned long)r,
                         (unsigned long)mix(r), (unsigned long)(r % 100000));
}

static const struct load loads[] = {
    {"trades",
     "trade_id int64; match_seq int64; buy_order_id int64; sell_order_id int64; buy_user_id int64; "
     "sell_user_id int64; price int64; quantity int64",
     trades_message},
    {"mixed",
     "id int64; account utf8; symbol utf8; venue utf8; price float64; quantity int64; fee float64; "
     "active bool; hidden bool; created utf8; note utf8; "
     "parent int64; client utf8; latency_us int64",
     mixed_message}};

static void schema_of(const char *text, struct ArrowSchema *ret)
{
  g_auto(GStrv) part = g_strsplit(text, ";", -1);
  struct mr_error err = MR_ERROR_INIT;
  g_assert_true(mr_schema_struct(ret));
  for (char **p = part; *p; p++) {
    struct ArrowSchema c;
    char *s = g_strstrip(*p), *space = strchr(s, ' ');
    *space = 0;
    g_assert_cmpint(mr_type_parse(space + 1, s, &c, &err), ==, MR_OK);
    g_assert_true(mr_schema_add(ret, &c));
  }
}

static struct input make_input(const struct load *l, int64_t rows)
{
  struct input in = {.at = g_new(size_t, (size_t)rows + 1), .rows = rows};
  GString *m = g_string_new(NULL);
  for (int64_t i = 0; i < rows; i++) {
    in.at[i] = m->len;
    l->message(m, (uint64_t)i);
  }
  in.at[rows] = m->len;
  for (int i = 0; i < 64; i++)
    g_string_append_c(m, ' ');
  in.data = g_string_free(m, FALSE);
  return in;
}

/* ---------------------------------------------------------------- candidates */

static uint64_t sum_bytes(uint64_t h, const void *p, int64_t n)
{
  const uint8_t *b = p;
  for (int64_t i = 0; i < n; i++)
    h = (h ^ b[i]) * UINT64_C(1099511628211);
  return h;
}

/* Every value, offset and null of a batch; what stands under nulls does not count. */
static uint64_t sum_rows(uint64_t h, const struct ArrowSchema *s, const struct ArrowArray *rows)
{
  for (int64_t k = 0; k < s->n_children; k++) {
    struct mr_view v;
    mr_view_column(&v, s, rows, k);
    for (int64_t i = 0, n; i < rows->length; i++) {
      uint8_t b;
      if (mr_view_null(&v, i))
        h = sum_bytes(h, "null", 4);
      else if (v.kind == MR_K_TEXT) {
        const char *t = mr_view_bytes(&v, i, &n);
        h = sum_bytes(h, t, n);
      } else if (v.kind == MR_K_BOOL) {
        b = mr_view_bool(&v, i);
        h = sum_bytes(h, &b, 1);
      } else
        h = sum_bytes(h, mr_view_fixed(&v, i), v.width);
    }
  }
  return h;
}

static double cpu_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds for all of in; *sum: over the contents (its time is not counted). */
static double run_own(const struct ArrowSchema *s, const struct input *in, bool check,
                      uint64_t *sum)
{
  struct mr_json_conf conf = {.columns = s};
  struct mr_format f = {mr_format_find("json"), &conf};
  struct mr_decoder *d = NULL;
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray rows;
  g_assert_cmpint(mr_decoder_new(&f, &d, &err), ==, MR_OK);
  double ns = -cpu_ns();
  for (int64_t i = 0; i < in->rows; i += BATCH) {
    int64_t end = MIN(i + BATCH, in->rows);
    for (int64_t k = i; k < end; k++)
      if (mr_decode(d, in->data + in->at[k], in->at[k + 1] - in->at[k], &err) != 1)
        g_error("%s", err.msg);
    if (mr_decoded(d, &rows, &err) != MR_OK)
      g_error("%s", err.msg);
    ns += cpu_ns();
    if (check)
      *sum = sum_rows(*sum, s, &rows);
    ns -= cpu_ns();
    mr_array_release(&rows);
  }
  ns += cpu_ns();
  mr_decoder_free(d);
  return ns;
}

static double run_library(bench_row_fn *row, const struct ArrowSchema *s, const struct input *in,
                          bool check, uint64_t *sum)
{
  struct table t = {.schema = s, .n = s->n_children};
  struct ArrowArray rows;
  t.col = g_new0(struct mr_column, t.n);
  t.key = g_new(const char *, t.n);
  t.key_len = g_new(size_t, t.n);
  for (int64_t i = 0; i < t.n; i++) {
    t.key[i] = s->children[i]->name;
    t.key_len[i] = strlen(t.key[i]);
    g_assert_true(mr_column_init(&t.col[i], s->children[i]));
  }
  double ns = -cpu_ns();
  for (int64_t i = 0; i < in->rows; i += BATCH) {
    int64_t end = MIN(i + BATCH, in->rows);
    for (int64_t k = 0; k < t.n; k++)
      g_assert_true(mr_column_reserve(&t.col[k], BATCH));
    for (int64_t k = i; k < end; k++)
      if (!row(&t, in->data + in->at[k], in->at[k + 1] - in->at[k]))
        g_error("refused");
    g_assert_true(mr_rows_finish(t.col, t.n, end - i, &rows));
    ns += cpu_ns();
    if (check)
      *sum = sum_rows(*sum, s, &rows);
    ns -= cpu_ns();
    mr_array_release(&rows);
  }
  ns += cpu_ns();
  for (int64_t i = 0; i < t.n; i++)
    mr_column_done(&t.col[i]);
  g_free(t.col);
  g_free(t.key);
  g_free(t.key_len);
  return ns;
}

static const struct {
  const char *name;
  bench_row_fn *row;
} candidates[] = {
    {"own", NULL},
#ifdef HAVE_SIMDJSON
    {"simdjson", simdjson_row_padded},
    {"simdjson+pad", simdjson_row_copied},
#endif
#ifdef HAVE_YYJSON
    {"yyjson", yyjson_row},
#endif
};

static int by_value(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void run_load(const struct load *l, int rounds, int64_t rows)
{
  struct ArrowSchema s;
  struct input in = make_input(l, rows);
  double *ns[MR_COUNT(candidates)];
  uint64_t sum[MR_COUNT(candidates)] = {0};
  schema_of(l->columns, &s);
  for (size_t c = 0; c < MR_COUNT(candidates); c++)
    ns[c] = g_new(double, rounds);
  for (int r = 0; r < rounds; r++)
    for (size_t c = 0; c < MR_COUNT(candidates); c++)
      ns[c][r] = candidates[c].row ? run_library(candidates[c].row, &s, &in, r == 0, &sum[c])
                                   : run_own(&s, &in, r == 0, &sum[c]);
  double own = 0, size = (double)in.at[rows];
  printf("%s: %ld messages of %.0f bytes, %d rounds\n", l->name, (long)rows, size / (double)rows,
         rounds);
  printf("  %-14s %10s %10s %10s %10s %8s\n", "", "M rows/s", "ns/row", "min ns", "MB/s", "own is");
  for (size_t c = 0; c < MR_COUNT(candidates); c++) {
    qsort(ns[c], (size_t)rounds, sizeof(double), by_value);
    double median = ns[c][rounds / 2];
    if (!c)
      own = median;
    printf("  %-14s %10.2f %10.1f %10.1f %10.0f %7.2fx%s\n", candidates[c].name,
           (double)rows / median * 1e3, median / (double)rows, ns[c][0] / (double)rows,
           size / median * 1e3, median / own, sum[c] == sum[0] ? "" : "  OTHER VALUES");
    g_free(ns[c]);
  }
  mr_schema_release(&s);
  g_free(in.data);
  g_free(in.at);
}

int main(int argc, char **argv)
{
  int rounds = argc > 1 ? atoi(argv[1]) : 7;
  int64_t rows = argc > 2 ? atoll(argv[2]) : 262144;
  for (size_t i = 0; i < MR_COUNT(loads); i++)
    if (argc < 4 || !strcmp(argv[3], loads[i].name))
      run_load(&loads[i], MAX(rounds, 1), MAX(rows, 1));
  return 0;
}

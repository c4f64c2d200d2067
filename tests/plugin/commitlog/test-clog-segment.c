/* SPDX-License-Identifier: Apache-2.0 */
/* Segments: plain, compressed, live, damaged. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>
#include "harness.h"
#include "writer.h"

#define ID INT64_C(1795268379196)
#define PLAIN_HEAD 20 /* bytes of a descriptor with params {} */

static char *folder, *path, *idx;

static void set_up(void)
{
  folder = g_dir_make_tmp("millrace-clog-XXXXXX", NULL);
  path = g_build_filename(folder, "CommitLog-7-1795268379196.log", NULL);
  idx = g_build_filename(folder, "CommitLog-7-1795268379196_cdc.idx", NULL);
}

static void tear_down(void)
{
  g_remove(path);
  g_remove(idx);
  g_rmdir(folder);
  g_free(folder);
  g_free(path);
  g_free(idx);
}

/* The segment's mutations as text, one a line; then how it ended: damage's code, END, IDLE. */
static char *read_all(struct clog_segment *s)
{
  GString *out = g_string_new(NULL);
  struct clog_entry e;
  int status;
  struct mr_error err;
  for (;;) {
    err = (struct mr_error)MR_ERROR_INIT;
    status = clog_segment_next(s, &e, &err);
    if (status == MR_OK)
      g_string_append_printf(out, "%.*s\n", (int)e.len, (const char *)e.data);
    else if (status == MR_REJECT)
      g_string_append_printf(out, "!%s\n", err.code);
    else
      break;
    if (status == MR_REJECT)
      g_assert_nonnull(strstr(err.msg, "offset "));
  }
  g_string_append_printf(out, "%s%s",
                         status == MR_END    ? "END"
                         : status == MR_IDLE ? "IDLE"
                                             : "?",
                         status < 0 ? err.code : "");
  return g_string_free(out, FALSE);
}

static char *read_file(enum clog_follow follow)
{
  struct mr_error err = MR_ERROR_INIT;
  struct clog_segment *s;
  int status = clog_segment_open(path, follow, &s, &err);
  if (status != MR_OK)
    return g_strdup_printf("!%s", status == MR_IDLE ? "IDLE" : err.code);
  char *all = read_all(s);
  clog_segment_close(s);
  return all;
}

static void check_file(enum clog_follow follow, const char *want)
{
  g_autofree char *got = read_file(follow);
  g_assert_cmpstr(got, ==, want);
}

static void put_entry(struct writer *w, const char *text)
{
  writer_entry(w, text, (uint32_t)strlen(text));
}

/* Two sections, three mutations. */
static void write_three(struct writer *w, const char *params)
{
  writer_begin(w, 7, ID, params);
  put_entry(w, "mutation one");
  put_entry(w, "mutation two is longer");
  writer_sync(w);
  put_entry(w, "mutation three");
  writer_sync(w);
}
#define THREE "mutation one\nmutation two is longer\nmutation three\n"

static void test_plain(void)
{
  struct writer w = {0};
  set_up();
  write_three(&w, "{}");
  writer_sync(&w); /* an empty section, as a closed segment has */
  writer_zeros(&w, 500);
  writer_save(path, w.out->data, w.out->len);
  check_file(CLOG_WHOLE, THREE "END");
  check_file(CLOG_FAST, THREE "IDLE");
  check_file(CLOG_DURABLE, "IDLE");
  writer_done(&w);
  tear_down();
}

static const struct {
  enum clog_codec codec;
  const char *params;
} packed[] = {
    {CLOG_LZ4, "{\"compressionClass\":\"LZ4Compressor\",\"compressionParameters\":{}}"},
    {CLOG_SNAPPY, "{\"compressionClass\":\"SnappyCompressor\"}"},
    {CLOG_DEFLATE, "{\"compressionParameters\":null,"
                   "\"compressionClass\":\"org.apache.cassandra.io.compress.DeflateCompressor\"}"},
    {CLOG_ZSTD, "{\"compressionClass\":\"ZstdCompressor\"}"},
    {CLOG_NOOP, "{\"compressionClass\":\"NoopCompressor\"}"},
};

static void test_packed(void)
{
  for (size_t i = 0; i < G_N_ELEMENTS(packed); i++) {
    struct writer w = {.codec = packed[i].codec};
    set_up();
    write_three(&w, packed[i].params);
    writer_sync(&w); /* an empty one has a few bytes in some formats */
    writer_save(path, w.out->data, w.out->len);
    check_file(CLOG_WHOLE, THREE "END");
    writer_done(&w);
    tear_down();
  }
}

/* The text and position of each mutation. */
static char *read_places(int64_t from)
{
  struct mr_error err = MR_ERROR_INIT;
  struct clog_segment *s;
  struct clog_entry e;
  GString *out = g_string_new(NULL);
  g_assert_cmpint(clog_segment_open(path, CLOG_WHOLE, &s, &err), ==, MR_OK);
  clog_segment_seek(s, from);
  for (int status; (status = clog_segment_next(s, &e, &err)) != MR_END;)
    if (status == MR_OK)
      g_string_append_printf(out, "%" G_GINT64_FORMAT " %.*s\n", (gint64)e.position, (int)e.len,
                             (const char *)e.data);
    else
      g_string_append_printf(out, "!%s\n", err.code);
  clog_segment_close(s);
  return g_string_free(out, FALSE);
}

/* A section's unpacked length stands under no checksum; the block has it too. */
static void test_packed_length(void)
{
  for (size_t i = 0; i < G_N_ELEMENTS(packed); i++) {
    struct writer w = {.codec = packed[i].codec};
    set_up();
    write_three(&w, packed[i].params);
    writer_save(path, w.out->data, w.out->len);
    g_autofree char *whole = read_places(0), *rest = read_places(100);
    guint at = PLAIN_HEAD - 2 + (guint)strlen(packed[i].params) + 8;
    for (guint bit = 0; bit < 32; bit++) {
      w.out->data[at + bit / 8] ^= (guint8)(1u << bit % 8);
      writer_save(path, w.out->data, w.out->len);
      w.out->data[at + bit / 8] ^= (guint8)(1u << bit % 8);
      g_autofree char *got = read_places(0), *got_rest = read_places(100);
      g_assert_cmpstr(got, ==, whole);
      g_assert_cmpstr(got_rest, ==, rest);
    }
    writer_done(&w);
    tear_down();
  }
}

/* Nor does a section's end: a block that is shorter than its section, or longer, tells it, and what
 * stands in it is not given before that is told. */
static void test_packed_end(void)
{
  for (size_t i = 0; i < G_N_ELEMENTS(packed); i++) {
    struct writer w = {.codec = packed[i].codec};
    if (w.codec == CLOG_NOOP) /* its entries' own checksums tell */
      continue;
    set_up();
    write_three(&w, packed[i].params);
    writer_zeros(&w, 5000);
    guint at = PLAIN_HEAD - 2 + (guint)strlen(packed[i].params);
    for (guint bit = 0; bit < 32; bit++) {
      w.out->data[at + bit / 8] ^= (guint8)(1u << bit % 8);
      writer_save(path, w.out->data, w.out->len);
      w.out->data[at + bit / 8] ^= (guint8)(1u << bit % 8);
      g_autofree char *got = read_file(CLOG_WHOLE);
      g_assert_cmpint(got[0], ==, '!');
    }
    writer_done(&w);
    tear_down();
  }
}

static void test_seek(void)
{
  for (size_t i = 0; i <= G_N_ELEMENTS(packed); i++) {
    bool plain = i == G_N_ELEMENTS(packed);
    struct writer w = {.codec = plain ? CLOG_PLAIN : packed[i].codec};
    struct mr_error err = MR_ERROR_INIT;
    struct clog_segment *s;
    struct clog_entry e[4];
    set_up();
    write_three(&w, plain ? "{}" : packed[i].params);
    writer_save(path, w.out->data, w.out->len);
    g_assert_cmpint(clog_segment_open(path, CLOG_WHOLE, &s, &err), ==, MR_OK);
    for (int k = 0; k < 3; k++)
      g_assert_cmpint(clog_segment_next(s, &e[k], &err), ==, MR_OK);
    clog_segment_close(s);
    for (int k = 0; k < 3; k++) {
      g_assert_cmpint(clog_segment_open(path, CLOG_WHOLE, &s, &err), ==, MR_OK);
      clog_segment_seek(s, e[k].end);
      g_assert_cmpint(clog_segment_next(s, &e[3], &err), ==, k == 2 ? MR_END : MR_OK);
      if (k < 2)
        g_assert_cmpint(e[3].position, ==, e[k + 1].position);
      clog_segment_close(s);
    }
    writer_done(&w);
    tear_down();
  }
}

/* What a node does to a plain segment: it grows behind its last marker. */
static void test_tail(void)
{
  struct writer w = {0};
  struct mr_error err = MR_ERROR_INIT;
  struct clog_segment *s;
  set_up();
  write_three(&w, "{}");
  guint end = w.out->len;
  put_entry(&w, "mutation four");
  writer_sync(&w);
  writer_zeros(&w, 100);
  g_autofree uint8_t *all = g_memdup2(w.out->data, w.out->len);
  memset(all + end, 0, w.out->len - end);
  writer_save(path, all, w.out->len);
  g_assert_cmpint(clog_segment_open(path, CLOG_FAST, &s, &err), ==, MR_OK);
  g_autofree char *first = read_all(s);
  g_assert_cmpstr(first, ==, THREE "IDLE");
  FILE *f = fopen(path, "r+");
  g_assert_nonnull(f);
  fseek(f, (long)end, SEEK_SET);
  fwrite(w.out->data + end, 1, 4, f); /* half a marker */
  fflush(f);
  g_autofree char *half = read_all(s);
  g_assert_cmpstr(half, ==, "IDLE");
  fwrite(w.out->data + end + 4, 1, w.out->len - end - 4, f);
  fclose(f);
  g_autofree char *second = read_all(s);
  g_assert_cmpstr(second, ==, "mutation four\nIDLE");
  writer_save(idx, "12", -1);
  g_autofree char *open = read_all(s);
  g_assert_cmpstr(open, ==, "IDLE");
  writer_save(idx, "142\nCOMPL", -1);
  g_autofree char *half_idx = read_all(s);
  g_assert_cmpstr(half_idx, ==, "IDLE");
  writer_save(idx, "142\nCOMPLETED", -1);
  g_unlink(path); /* an open file goes on when Cassandra removes the segment */
  g_autofree char *done = read_all(s);
  g_assert_cmpstr(done, ==, "END");
  clog_segment_close(s);
  writer_done(&w);
  tear_down();
}

static void test_sealed(void)
{
  struct writer w = {0};
  struct mr_error err = MR_ERROR_INIT;
  struct clog_segment *s;
  set_up();
  write_three(&w, "{}");
  writer_save(path, w.out->data, w.out->len);
  g_assert_cmpint(clog_segment_open(path, CLOG_FAST, &s, &err), ==, MR_OK);
  g_autofree char *open = read_all(s);
  g_assert_cmpstr(open, ==, THREE "IDLE");
  clog_segment_seal(s);
  g_autofree char *sealed = read_all(s);
  g_assert_cmpstr(sealed, ==, "END");
  clog_segment_close(s);
  writer_done(&w);
  tear_down();
}

static void test_durable(void)
{
  for (int packed_too = 0; packed_too < 2; packed_too++) {
    struct writer w = {.codec = packed_too ? CLOG_LZ4 : CLOG_PLAIN};
    struct mr_error err = MR_ERROR_INIT;
    struct clog_segment *s;
    struct clog_entry e[3];
    set_up();
    write_three(&w, packed_too ? packed[0].params : "{}");
    writer_save(path, w.out->data, w.out->len);
    g_assert_cmpint(clog_segment_open(path, CLOG_WHOLE, &s, &err), ==, MR_OK);
    for (int k = 0; k < 3; k++)
      g_assert_cmpint(clog_segment_next(s, &e[k], &err), ==, MR_OK);
    clog_segment_close(s);
    g_autofree char *first = g_strdup_printf("%ld", (long)e[1].end),
                    *second = g_strdup_printf("%ld", (long)e[2].end);
    writer_save(idx, first, -1);
    check_file(CLOG_DURABLE, "mutation one\nmutation two is longer\nIDLE");
    writer_save(idx, "", 0); /* truncated, just before it is written again */
    check_file(CLOG_DURABLE, "IDLE");
    writer_save(idx, second, -1);
    check_file(CLOG_DURABLE, THREE "IDLE");
    writer_done(&w);
    tear_down();
  }
}

static void set_idx(int64_t position)
{
  g_autofree char *text = g_strdup_printf("%ld\nCOMPLETED", (long)position);
  writer_save(idx, text, -1);
}

static void test_idx(void)
{
  struct writer w = {.codec = CLOG_LZ4};
  set_up();
  write_three(&w, packed[0].params);
  writer_save(path, w.out->data, w.out->len);
  set_idx(100);
  check_file(CLOG_FAST, THREE "END");
  set_idx(w.out->len); /* as after a crash: the length of the file */
  check_file(CLOG_FAST, THREE "END");
  set_idx(5000); /* the file was cut */
  check_file(CLOG_FAST, THREE "!truncated\nEND");
  check_file(CLOG_WHOLE, THREE "!truncated\nEND");
  writer_save(idx, "what?", -1);
  check_file(CLOG_FAST, THREE "?idx");
  writer_done(&w);
  tear_down();
}

/* A node that dies while it writes a marker. */
static void test_torn(void)
{
  struct writer w = {0};
  set_up();
  write_three(&w, "{}");
  guint end = w.out->len;
  put_entry(&w, "mutation four");
  writer_sync(&w);
  memset(w.out->data + end + 4, 0, 4);
  writer_save(path, w.out->data, w.out->len);
  check_file(CLOG_FAST, THREE "IDLE");
  check_file(CLOG_WHOLE, THREE "!torn\nEND");
  set_idx(w.out->len);
  check_file(CLOG_FAST, THREE "!torn\nEND");
  writer_done(&w);
  tear_down();
}

static void test_refused(void)
{
  static const struct {
    uint32_t version;
    int64_t id;
    const char *params, *want;
  } cases[] = {
      {6, ID, "{}", "!version"},
      {9, ID, "{}", "!version"},
      {7, ID + 1, "{}", "!header"},
      {7, ID, "{\"compressionClass\":\"BrotliCompressor\"}", "!codec"},
      {7, ID, "{\"encIV\":\"x\",\"encCipher\":\"AES/CBC/PKCS5Padding\"}", "!encrypted"},
  };
  set_up();
  check_file(CLOG_FAST, "!ENOENT");
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    struct writer w = {0};
    writer_begin(&w, cases[i].version, cases[i].id, cases[i].params);
    writer_save(path, w.out->data, w.out->len);
    check_file(CLOG_WHOLE, cases[i].want);
    writer_done(&w);
  }
  writer_save(path, "\0\0\0\7\0\0", 6);
  check_file(CLOG_FAST, "!IDLE");
  check_file(CLOG_WHOLE, "!truncated");
  writer_save(idx, "900\nCOMPLETED", -1);
  check_file(CLOG_FAST, "!truncated");
  tear_down();
}

/* got holds lines of THREE in order, none of them changed; what is missing was told. */
static void check_damaged(const char *got, const char *what, size_t at)
{
  static const char *const all[] = {"mutation one", "mutation two is longer", "mutation three"};
  g_auto(GStrv) lines = g_strsplit(got, "\n", -1);
  size_t next = 0, seen = 0;
  bool told = false;
  for (char **line = lines; *line; line++) {
    if (**line == '!')
      told = true;
    else if (strcmp(*line, "END")) {
      while (next < 3 && strcmp(*line, all[next]))
        next++;
      if (next == 3)
        g_error("%s %zu: a wrong mutation: %s", what, at, got);
      next++;
      seen++;
    }
  }
  if (seen < 3 && !told)
    g_error("%s %zu: a mutation is missing, and nothing says so: %s", what, at, got);
}

static void damage(enum clog_codec codec, const char *params)
{
  struct writer w = {.codec = codec};
  set_up();
  write_three(&w, params);
  set_idx(codec == CLOG_PLAIN ? (int64_t)w.out->len : 123);
  struct mr_error err = MR_ERROR_INIT;
  struct clog_segment *s;
  struct clog_entry e;
  int64_t end = 0;
  writer_save(path, w.out->data, w.out->len);
  g_assert_cmpint(clog_segment_open(path, CLOG_WHOLE, &s, &err), ==, MR_OK);
  while (clog_segment_next(s, &e, &err) == MR_OK)
    end = e.end;
  clog_segment_close(s);
  set_idx(end);
  int fd = g_open(path, O_RDWR, 0);
  for (size_t bit = 0; bit < (size_t)w.out->len * 8; bit++) {
    uint8_t byte = w.out->data[bit / 8] ^ (uint8_t)(1 << bit % 8);
    g_assert_cmpint(pwrite(fd, &byte, 1, (off_t)(bit / 8)), ==, 1);
    g_autofree char *got = read_file(CLOG_WHOLE);
    check_damaged(got, "bit", bit);
    g_assert_cmpint(pwrite(fd, &w.out->data[bit / 8], 1, (off_t)(bit / 8)), ==, 1);
  }
  for (guint n = w.out->len; n--;) {
    g_assert_cmpint(ftruncate(fd, n), ==, 0);
    g_autofree char *got = read_file(CLOG_WHOLE);
    check_damaged(got, "cut at", n);
  }
  close(fd);
  writer_done(&w);
  tear_down();
}

static void test_damage(void)
{
  damage(CLOG_PLAIN, "{}");
  for (size_t i = 0; i < G_N_ELEMENTS(packed); i++)
    damage(packed[i].codec, packed[i].params);
}

static void test_names(void)
{
  int32_t version = 0;
  int64_t id = 0;
  struct mr_error err = MR_ERROR_INIT;
  struct clog_segment_name *names;
  size_t n;
  g_assert_true(clog_name_parse("a/CommitLog-8-17.log", &version, &id));
  g_assert_cmpint(version, ==, 8);
  g_assert_cmpint(id, ==, 17);
  static const char *const others[] = {"CommitLog-8-17_cdc.idx", "CommitLog-8-.log", "x.log",
                                       "CommitLog-8-99999999999999999999.log", "CommitLog-a-1.log"};
  for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
    g_assert_false(clog_name_parse(others[i], &version, &id));
  set_up();
  static const char *const files[] = {"CommitLog-8-9.log", "CommitLog-7-10.log", "note.txt"};
  for (size_t i = 0; i < 3; i++) {
    g_autofree char *file = g_build_filename(folder, files[i], NULL);
    writer_save(file, "x", 1);
  }
  g_assert_cmpint(clog_names(folder, &names, &n, &err), ==, MR_OK);
  g_assert_cmpint(n, ==, 2);
  g_assert_cmpint(names[0].id, ==, 9);
  g_assert_true(g_str_has_suffix(names[1].path, "/CommitLog-7-10.log"));
  clog_names_free(names, n);
  for (size_t i = 0; i < 3; i++) {
    g_autofree char *file = g_build_filename(folder, files[i], NULL);
    g_remove(file);
  }
  tear_down();
  g_assert_cmpint(clog_names("/nowhere/at/all", &names, &n, &err), ==, MR_RETRY);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/clog-segment/plain", test_plain);
  g_test_add_func("/clog-segment/packed", test_packed);
  g_test_add_func("/clog-segment/packed-length", test_packed_length);
  g_test_add_func("/clog-segment/packed-end", test_packed_end);
  g_test_add_func("/clog-segment/seek", test_seek);
  g_test_add_func("/clog-segment/tail", test_tail);
  g_test_add_func("/clog-segment/sealed", test_sealed);
  g_test_add_func("/clog-segment/durable", test_durable);
  g_test_add_func("/clog-segment/idx", test_idx);
  g_test_add_func("/clog-segment/torn", test_torn);
  g_test_add_func("/clog-segment/refused", test_refused);
  g_test_add_func("/clog-segment/damage", test_damage);
  g_test_add_func("/clog-segment/names", test_names);
  return g_test_run();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-commitlog [CASES [SEED]]: a commit log segment with its schema in it, damaged at random,
 * read and decoded. Nothing may crash, and no mutation may come out that did not go in: what the
 * checksums let through must be as it was.
 *
 * Built with -DLIBFUZZER (clang -fsanitize=fuzzer,address,undefined) it takes the bytes of a file
 * from libFuzzer instead. */
#include <glib/gstdio.h>
#include <stdio.h>
#include <unistd.h>
#include "../plugin/commitlog/writer.h"
#include "common/clog-system.h"

static char folder[] = "/tmp/millrace-fuzz-XXXXXX", *path;

static void make_folder(void)
{
  if (path)
    return;
  g_assert_nonnull(g_mkdtemp(folder));
  path = g_build_filename(folder, "segment", NULL); /* no id in the name: none to contradict */
}

/* Every byte that a cell or key points at is read, so that a build with sanitizers sees each one.
 */
static unsigned touch(const struct clog_bytes *v, uint32_t n)
{
  unsigned sum = 0;
  for (uint32_t i = 0; i < n; i++)
    for (int32_t k = 0; k < v[i].len; k++)
      sum += v[i].p[k];
  return sum;
}

static unsigned touch_event(const struct clog_event *e)
{
  unsigned sum = touch(e->key, clog_table_count(e->table, CLOG_PARTITION_KEY)) +
                 touch(e->clustering, e->n_clustering) + touch(e->start.value, e->start.n) +
                 touch(e->end.value, e->end.n);
  for (uint32_t i = 0; i < e->n_cells; i++)
    sum += touch(&e->cell[i].path, 1) + touch(&e->cell[i].value, 1);
  return sum;
}

typedef void entry_fn(void *ctx, const struct clog_entry *e);

/* Reads the file at `path` to its end. */
static unsigned read_segment(entry_fn *each, void *ctx)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct clog_segment *s;
  struct clog_entry e;
  struct clog_events events;
  unsigned sum = 0;
  if (clog_segment_open(path, CLOG_WHOLE, &s, &err) != MR_OK)
    return 0;
  struct clog_schema *schema = clog_schema_new(NULL, NULL);
  struct clog_decoder *d = clog_decoder_new(schema);
  for (int status; (status = clog_segment_next(s, &e, &err)) == MR_OK || status == MR_REJECT;) {
    if (status == MR_REJECT)
      continue;
    if (each)
      each(ctx, &e);
    if (clog_decode(d, &e, clog_segment_header(s)->version, &events, &err) != MR_OK)
      continue;
    for (size_t i = 0; i < events.n; i++)
      sum += touch_event(&events.event[i]);
    if (events.system_schema)
      clog_system_apply(schema, &events, &e, &err);
  }
  clog_decoder_free(d);
  clog_schema_free(schema);
  clog_segment_close(s);
  return sum;
}

static void save(const uint8_t *p, size_t n)
{
  FILE *f = fopen(path, "wb");
  g_assert_nonnull(f);
  g_assert_cmpuint(fwrite(p, 1, n, f), ==, n);
  fclose(f);
}

#ifdef LIBFUZZER

/* The bytes of one mutation with right checksums around it: fuzzers do not find those. */
static void wrapped(const uint8_t *p, size_t n)
{
  struct writer w = {.codec = (enum clog_codec)(p[0] % CLOG_CODECS)};
  static const char *const params[] = {"{}",
                                       "{\"compressionClass\":\"LZ4Compressor\"}",
                                       "{\"compressionClass\":\"SnappyCompressor\"}",
                                       "{\"compressionClass\":\"DeflateCompressor\"}",
                                       "{\"compressionClass\":\"ZstdCompressor\"}",
                                       "{\"compressionClass\":\"NoopCompressor\"}"};
  writer_begin(&w, 7 + (p[0] >> 7), 17, params[w.codec]);
  writer_entry(&w, p + 1, (uint32_t)n - 1);
  writer_sync(&w);
  save(w.out->data, w.out->len);
  writer_done(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  make_folder();
  if (n < 2)
    return 0;
  if (p[0] & 0x40)
    wrapped(p + 1, n - 1);
  else
    save(p + 1, n - 1);
  read_segment(NULL, NULL);
  return 0;
}

#else

static uint64_t state;

static uint32_t below(uint32_t n)
{
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 33) % n;
}

static void note(void *ctx, const struct clog_entry *e)
{
  g_hash_table_add(ctx, g_bytes_new(e->data, e->len));
}

static void check(void *ctx, const struct clog_entry *e)
{
  g_autoptr(GBytes) bytes = g_bytes_new_static(e->data, e->len);
  if (!g_hash_table_contains(ctx, bytes))
    g_error("a mutation at position %ld that nobody wrote", (long)e->position);
}

/* Flips a bit, mostly; or cuts, or puts a few other bytes. */
static size_t damage(uint8_t *p, size_t n)
{
  for (uint32_t times = 1 + below(3); times; times--) {
    size_t at = below((uint32_t)n);
    if (below(8))
      p[at] ^= (uint8_t)(1u << below(8));
    else if (below(2))
      return at + 1;
    else
      for (size_t i = at; i < n && i < at + 4; i++)
        p[i] = (uint8_t)below(256);
  }
  return n;
}

static void run(const char *file, long cases)
{
  g_autofree char *whole = NULL;
  gsize n;
  g_assert_true(g_file_get_contents(file, &whole, &n, NULL));
  g_autoptr(GHashTable) known =
      g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
  save((const uint8_t *)whole, n);
  read_segment(note, known);
  g_assert_cmpuint(g_hash_table_size(known), >, 10);
  for (long i = 0; i < cases; i++) {
    g_autofree uint8_t *copy = g_memdup2(whole, n);
    save(copy, damage(copy, n));
    read_segment(check, known);
  }
  for (gsize cut = 4096; cut < n; cut += 4096) {
    save((const uint8_t *)whole, cut);
    read_segment(check, known);
  }
}

int main(int argc, char **argv)
{
  static const char *const files[] = {"plain-7", "lz4-8", "zstd-8", "deflate-8", "direct-8"};
  long cases = argc > 1 ? atol(argv[1]) : 20000;
  state = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)g_get_real_time();
  state = state * 2654435769u + 1;
  printf("fuzz-commitlog %ld %s\n", cases, argc > 2 ? argv[2] : "(seed of the time)");
  make_folder();
  for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
    g_autofree char *file =
        g_strdup_printf("%s/tests/plugin/commitlog/data/%s.log", SOURCE_ROOT, files[i]);
    run(file, cases / (long)G_N_ELEMENTS(files));
  }
  g_remove(path);
  g_rmdir(folder);
  return 0;
}

#endif

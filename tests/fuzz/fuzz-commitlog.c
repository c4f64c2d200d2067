/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-commitlog [CASES [SEED]]: spoiled commit log segments and mutations, read and decoded;
 * nothing may crash. An input is a file as it is, or mutations that get right checksums around
 * them, because chance does not find those. */
#include <glib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../plugin/commitlog/writer.h"
#include "base/base.h"
#include "common/clog-system.h"
#include "fuzz.h"

/* The first byte of an input. */
enum {
  MODE_KNOWN = 0x20,     /* the tables of a sample segment are known; its schema stays as it is */
  MODE_MUTATIONS = 0x40, /* a byte for codec and version; then each mutation with its length, u16;
                            length 0: the section ends */
  VERSION_8 = 0x80
};

static const char *const samples[] = {"plain-7",   "lz4-8",  "snappy-7",
                                      "deflate-8", "zstd-8", "direct-8"};
static const char *const params[CLOG_CODECS] = {"{}",
                                                "{\"compressionClass\":\"LZ4Compressor\"}",
                                                "{\"compressionClass\":\"SnappyCompressor\"}",
                                                "{\"compressionClass\":\"DeflateCompressor\"}",
                                                "{\"compressionClass\":\"ZstdCompressor\"}",
                                                "{\"compressionClass\":\"NoopCompressor\"}"};

/* The file that is read: in memory, and without an id in its name that its head could contradict.
 */
static char *path;
static int fd;

static void make_file(void)
{
  if (path)
    return;
  fd = memfd_create("segment", MFD_CLOEXEC);
  g_assert_cmpint(fd, >=, 0);
  path = g_strdup_printf("/proc/self/fd/%d", fd);
}

/* ---------------------------------------------------------------- reading */

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

/* Reads a file to its end. known: a schema that is to stay as it is, or NULL. */
static unsigned read_segment(const char *file, struct clog_schema *known, entry_fn *each, void *ctx)
{
  struct mr_error err = MR_ERROR_INIT;
  struct clog_segment *s;
  struct clog_entry e;
  struct clog_events events;
  unsigned sum = 0;
  if (clog_segment_open(file, CLOG_WHOLE, &s, &err) != MR_OK)
    return 0;
  struct clog_schema *schema = known ? known : clog_schema_new(NULL, NULL);
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
    if (events.system_schema && !known)
      clog_system_apply(schema, &events, &e, &err);
  }
  clog_decoder_free(d);
  if (!known)
    clog_schema_free(schema);
  clog_segment_close(s);
  return sum;
}

static char *sample(size_t i)
{
  return g_strdup_printf("%s/tests/plugin/commitlog/data/%s.log", SOURCE_ROOT, samples[i]);
}

struct learning {
  struct clog_schema *schema;
  struct clog_decoder *decoder;
};

static void learn(void *ctx, const struct clog_entry *e)
{
  struct learning *l = ctx;
  struct mr_error err = MR_ERROR_INIT;
  struct clog_events events;
  if (clog_decode(l->decoder, e, 7, &events, &err) == MR_OK && events.system_schema)
    clog_system_apply(l->schema, &events, e, &err);
}

/* The tables of the first sample. */
static struct clog_schema *known_schema(void)
{
  static struct learning l;
  if (!l.schema) {
    g_autofree char *file = sample(0);
    l.schema = clog_schema_new(NULL, NULL);
    l.decoder = clog_decoder_new(l.schema);
    read_segment(file, NULL, learn, &l);
    clog_decoder_free(l.decoder);
  }
  return l.schema;
}

/* ---------------------------------------------------------------- inputs */

static void save(const uint8_t *p, size_t n)
{
  g_assert_cmpint(ftruncate(fd, 0), ==, 0);
  g_assert_cmpint(pwrite(fd, p, n, 0), ==, n);
}

static void save_mutations(const uint8_t *p, size_t n)
{
  struct writer w = {.codec = (enum clog_codec)(*p % CLOG_CODECS)};
  struct cql_read r = cql_read_of(p + 1, n - 1);
  writer_begin(&w, *p & VERSION_8 ? 8 : 7, INT64_MAX, params[w.codec]);
  while (cql_read_left(&r)) {
    uint64_t size = cql_read_u16(&r), left = cql_read_left(&r);
    const uint8_t *m = cql_read_bytes(&r, MIN(size, left));
    if (size)
      writer_entry(&w, m, (uint32_t)MIN(size, left));
    else
      writer_sync(&w);
  }
  writer_sync(&w);
  save(w.out->data, w.out->len);
  writer_done(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  make_file();
  if (n < 2)
    return 0;
  if (*p & MODE_MUTATIONS)
    save_mutations(p + 1, n - 1);
  else
    save(p + 1, n - 1);
  read_segment(path, *p & MODE_KNOWN ? known_schema() : NULL, NULL, NULL);
  return 0;
}

/* ---------------------------------------------------------------- seeds */

#ifndef LIBFUZZER
#define TOGETHER 4 /* mutations in one input where the schema is in them */
#define SMALL 300  /* bytes of a mutation that goes into a whole segment */
#define EACH 5     /* so many mutations are passed over for one that is taken alone */

struct sowing {
  GPtrArray *seeds;
  GByteArray *together; /* the last mutations, in one input */
  struct writer file;   /* a segment of a few of them: small inputs are quick */
  uint8_t how;          /* codec and version */
  guint n;
};

static GByteArray *new_seed(GPtrArray *seeds, uint8_t mode, uint8_t how)
{
  GByteArray *b = g_byte_array_new();
  g_byte_array_append(b, &mode, 1);
  if (mode & MODE_MUTATIONS)
    g_byte_array_append(b, &how, 1);
  g_ptr_array_add(seeds, b);
  return b;
}

static void put_mutation(GByteArray *b, const struct clog_entry *e)
{
  uint8_t size[] = {(uint8_t)(e->len >> 8), (uint8_t)e->len};
  g_byte_array_append(b, size, 2);
  g_byte_array_append(b, e->data, e->len);
}

static void sow(void *ctx, const struct clog_entry *e)
{
  struct sowing *s = ctx;
  if (e->len > UINT16_MAX)
    return;
  guint n = s->n++;
  if (n % (TOGETHER * EACH) == 0)
    s->together = new_seed(s->seeds, MODE_MUTATIONS, s->how);
  if (n % (TOGETHER * EACH) < TOGETHER)
    put_mutation(s->together, e);
  if (n % EACH == 0)
    put_mutation(new_seed(s->seeds, MODE_MUTATIONS | MODE_KNOWN, s->how), e);
  if (e->len < SMALL && n % 16 == 0) {
    writer_entry(&s->file, e->data, e->len);
    writer_sync(&s->file);
  }
}

static void sow_file(GPtrArray *seeds, size_t i)
{
  g_autofree char *file = sample(i);
  struct sowing s = {.seeds = seeds, .how = (uint8_t)(i | (i % 2 ? VERSION_8 : 0))};
  s.file.codec = (enum clog_codec)(i % CLOG_CODECS);
  writer_begin(&s.file, i % 2 ? 8 : 7, INT64_MAX, params[s.file.codec]);
  read_segment(file, NULL, sow, &s);
  g_byte_array_append(new_seed(seeds, 0, 0), s.file.out->data, s.file.out->len);
  writer_done(&s.file);
}

int main(int argc, char **argv)
{
  g_autoptr(GPtrArray) seeds = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
  for (size_t i = 0; i < G_N_ELEMENTS(samples); i++)
    sow_file(seeds, i);
  int code = fuzz_main(argc, argv, seeds);
  clog_schema_free(known_schema());
  g_free(path);
  return code;
}
#endif

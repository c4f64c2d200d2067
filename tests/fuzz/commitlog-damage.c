/* SPDX-License-Identifier: Apache-2.0 */
/* commitlog-damage [--flips N] [--cuts N] [--seed N] [--schema FILE] FILE…: segments that a node
 * wrote, each cut at every 4 KiB (--cuts: at so many of these places) and with N single bits
 * flipped, one at a time, read as a file at rest and as one that is followed. A mutation that is
 * read must make the events that it makes in the whole file, at the same position; where some are
 * missing, damage must have been told with the file and an offset between the last one before and
 * the first that is missing. Anything else is shown and counted. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <unistd.h>
#include "base/base.h"
#include "common/clog-cql.h"
#include "common/clog-system.h"
#include "random.h"

#define BLOCK 4096 /* bytes */
#define SHOWN 10   /* violations of a file that are printed */

/* A mutation that made events. */
struct seen {
  int64_t position, offset;
  uint64_t digest; /* of its events */
};
struct reading {
  GArray *seen; /* struct seen */
  GArray *told; /* int64_t: offsets of damage */
  int64_t end;  /* the position behind the last mutation */
  bool silent;  /* damage was told without file and offset */
};

struct damage {
  const char *schema; /* CQL text, or NULL */
  char *path;         /* of the copy that is damaged; its idx is beside it */
  int fd;             /* of that copy */
  uint8_t *bytes;
  gsize n, used; /* bytes of the file; up to and with the marker that is not written yet */
  struct reading whole, now;
  long flips, cuts, missing, unnoticed, wrong;
};

/* ---------------------------------------------------------------- events as a number */

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
  const uint8_t *b = p;
  for (size_t i = 0; i < n; i++)
    h = (h ^ b[i]) * UINT64_C(0x100000001b3);
  return h;
}

static uint64_t mix_number(uint64_t h, int64_t v)
{
  return mix(h, &v, sizeof v);
}

static uint64_t mix_values(uint64_t h, const struct clog_bytes *v, uint32_t n)
{
  for (uint32_t i = 0; i < n; i++) {
    h = mix_number(h, v[i].len);
    if (v[i].len > 0)
      h = mix(h, v[i].p, (size_t)v[i].len);
  }
  return h;
}

static uint64_t mix_cell(uint64_t h, const struct clog_cell *c)
{
  h = mix(h, c->column->name, c->column->name_len);
  h = mix_number(mix_number(h, c->op), c->dropped);
  h = mix_number(mix_number(mix_number(h, c->ttl), c->timestamp), c->expires);
  return mix_values(mix_values(h, &c->path, 1), &c->value, 1);
}

static uint64_t mix_bound(uint64_t h, const struct clog_bound *b)
{
  return mix_values(mix_number(h, b->inclusive), b->value, b->n);
}

static uint64_t mix_event(uint64_t h, const struct clog_event *e)
{
  h = mix_number(mix_number(h, e->op), e->is_static);
  h = mix(h, e->table->id, sizeof e->table->id);
  h = mix_values(h, e->key, clog_table_count(e->table, CLOG_PARTITION_KEY));
  h = mix_values(h, e->clustering, e->n_clustering);
  h = mix_number(mix_number(mix_number(h, e->timestamp), e->ttl), e->expires);
  for (uint32_t i = 0; i < e->n_cells; i++)
    h = mix_cell(h, &e->cell[i]);
  return e->op == CLOG_DELETE_RANGE ? mix_bound(mix_bound(h, &e->start), &e->end) : h;
}

static uint64_t digest(const struct clog_events *events)
{
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < events->n; i++)
    h = mix_event(h, &events->event[i]);
  return h;
}

/* ---------------------------------------------------------------- reading */

/* "FILE: offset N: …" */
static void note_damage(struct reading *r, const char *path, const struct mr_error *err)
{
  size_t n = strlen(path);
  int64_t offset = -1;
  if (strncmp(err->msg, path, n) || sscanf(err->msg + n, ": offset %" G_GINT64_FORMAT, &offset) < 1)
    r->silent = true;
  g_array_append_val(r->told, offset);
}

static void read_mutation(struct reading *r, struct clog_schema *schema, struct clog_decoder *d,
                          int32_t version, const struct clog_entry *e)
{
  struct mr_error err = MR_ERROR_INIT;
  struct clog_events events;
  int status = clog_decode(d, e, version, &events, &err);
  r->end = e->end;
  if (status == MR_OK) {
    struct seen s = {e->position, e->offset, digest(&events)};
    g_array_append_val(r->seen, s);
    if (events.system_schema)
      clog_system_apply(schema, &events, e, &err);
  } else if (status != MR_IDLE) {
    g_array_append_val(r->told, e->offset); /* its table's schema was lost: told as unknown */
  }
}

static void read_entries(struct reading *r, const struct damage *d, struct clog_segment *s)
{
  struct mr_error err = MR_ERROR_INIT;
  struct clog_entry e;
  struct clog_schema *schema = clog_schema_new(NULL, NULL);
  struct clog_decoder *decoder = clog_decoder_new(schema);
  if (d->schema && clog_cql_read(schema, d->schema, strlen(d->schema), &err) < 0)
    g_error("%s", err.msg);
  for (int status; (status = clog_segment_next(s, &e, &err)) == MR_OK || status == MR_REJECT;)
    if (status == MR_OK)
      read_mutation(r, schema, decoder, clog_segment_header(s)->version, &e);
    else
      note_damage(r, d->path, &err);
  clog_decoder_free(decoder);
  clog_schema_free(schema);
}

static void read_copy(const struct damage *d, enum clog_follow follow, struct reading *r)
{
  struct mr_error err = MR_ERROR_INIT;
  struct clog_segment *s;
  g_array_set_size(r->seen, 0);
  g_array_set_size(r->told, 0);
  r->silent = false;
  int status = clog_segment_open(d->path, follow, &s, &err);
  if (status != MR_OK) {
    note_damage(r, d->path, &err);
    return;
  }
  read_entries(r, d, s);
  clog_segment_close(s);
}

/* ---------------------------------------------------------------- comparing */

static const struct seen *nth(const struct reading *r, guint i)
{
  return &g_array_index(r->seen, struct seen, i);
}

static bool is_told(const struct reading *r, int64_t from, int64_t to)
{
  for (guint i = 0; i < r->told->len; i++) {
    int64_t at = g_array_index(r->told, int64_t, i);
    if (at >= from && at <= to)
      return true;
  }
  return false;
}

/* What is wrong with what was read; NULL: nothing. */
static const char *compare(struct damage *d)
{
  guint k = 0;
  const char *why = d->now.silent ? "damage without file and offset" : NULL;
  bool missing = false;
  for (guint i = 0; i < d->whole.seen->len; i++) {
    const struct seen *want = nth(&d->whole, i), *got = nth(&d->now, k);
    if (k < d->now.seen->len && got->position == want->position) {
      if (got->digest != want->digest)
        return "another event than the whole file has";
      k++;
    } else if (!missing || (k && i && nth(&d->now, k - 1)->position == want[-1].position)) {
      missing = true;
      if (!is_told(&d->now, k ? nth(&d->now, k - 1)->offset : 0, want->offset))
        why = "events are missing, and no damage was told there";
    }
  }
  d->missing += missing;
  d->unnoticed += !missing && !d->now.told->len;
  return k < d->now.seen->len ? "an event that nobody wrote" : why;
}

static void check(struct damage *d, enum clog_follow follow, const char *what, long at)
{
  static const char *const ways[] = {"at rest", "followed", "followed durably"};
  read_copy(d, follow, &d->now);
  const char *why = compare(d);
  if (why && d->wrong++ < SHOWN)
    printf("%s, %s, %s %ld: %s\n", d->path, ways[follow], what, at, why);
}

/* ---------------------------------------------------------------- damaging */

static void put(const struct damage *d, const void *p, size_t n, gsize at)
{
  if (pwrite(d->fd, p, n, (off_t)at) != (ssize_t)n)
    g_error("%s: %s", d->path, g_strerror(errno));
}

static void flip(struct damage *d)
{
  uint64_t bit =
      ((uint64_t)below(UINT32_C(1) << 31) << 31 | below(UINT32_C(1) << 31)) % (d->used * 8);
  uint8_t byte = d->bytes[bit / 8] ^ (uint8_t)(1u << bit % 8);
  put(d, &byte, 1, bit / 8);
  check(d, (enum clog_follow)(d->flips % 3), "bit", (long)bit);
  put(d, &d->bytes[bit / 8], 1, bit / 8);
  d->flips++;
}

/* From the end on, so that the file need not be written again. */
static void cut_all(struct damage *d, long at_most)
{
  gsize all = (d->n - 1) / BLOCK + 1, step = at_most >= 0 ? all / MAX(1, (gsize)at_most) : 1;
  for (gsize k = all; k-- > 0 && at_most;) {
    if (k % MAX(1, step))
      continue;
    if (ftruncate(d->fd, (off_t)(k * BLOCK)) < 0)
      g_error("%s: %s", d->path, g_strerror(errno));
    for (int follow = CLOG_WHOLE; follow <= CLOG_DURABLE; follow++)
      check(d, (enum clog_follow)follow, "cut at", (long)(k * BLOCK));
    d->cuts++;
  }
  put(d, d->bytes, d->n, 0);
}

/* A copy whose name fits its id, with an idx that says where its data ends. */
static void make_copy(struct damage *d, const char *folder)
{
  struct clog_header h;
  struct mr_error err = MR_ERROR_INIT;
  if (clog_header_parse(d->bytes, d->n, &h, &err) != MR_OK)
    g_error("%s", err.msg);
  g_autofree char *name =
      g_strdup_printf("CommitLog-%d-%" G_GINT64_FORMAT, h.version, (gint64)h.id);
  d->path = g_strdup_printf("%s/%s.log", folder, name);
  d->fd = open(d->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  put(d, d->bytes, d->n, 0);
  read_copy(d, CLOG_WHOLE, &d->whole);
  g_autofree char *idx = g_strdup_printf("%s/%s_cdc.idx", folder, name);
  g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT "\nCOMPLETED", (gint64)d->whole.end);
  g_assert_true(g_file_set_contents(idx, text, -1, NULL));
}

static void remove_copy(struct damage *d)
{
  close(d->fd);
  g_remove(d->path);
  strcpy(strrchr(d->path, '.'), "");
  g_autofree char *idx = g_strdup_printf("%s_cdc.idx", d->path);
  g_remove(idx);
  g_free(d->path);
}

static void init_reading(struct reading *r)
{
  *r = (struct reading){.seen = g_array_new(FALSE, FALSE, sizeof(struct seen)),
                        .told = g_array_new(FALSE, FALSE, sizeof(int64_t))};
}

static void done_reading(struct reading *r)
{
  g_array_unref(r->seen);
  g_array_unref(r->told);
}

/* A plain file is as long as the node made it at first: zeros behind its data. */
static gsize used_of(const struct damage *d)
{
  gsize used = d->n;
  while (used && !d->bytes[used - 1])
    used--;
  return MIN(used + 8, d->n);
}

/* How often something was wrong. */
static long damage_file(const char *file, const char *folder, const char *schema, long flips,
                        long cuts)
{
  struct damage d = {.schema = schema};
  g_autoptr(GError) error = NULL;
  if (!g_file_get_contents(file, (char **)&d.bytes, &d.n, &error))
    g_error("%s", error->message);
  d.used = used_of(&d);
  init_reading(&d.whole);
  init_reading(&d.now);
  make_copy(&d, folder);
  if (d.whole.seen->len && !d.whole.told->len) {
    cut_all(&d, cuts);
    while (d.flips < flips)
      flip(&d);
  } else {
    printf("%s: %u mutations, %u places are damaged before anything was done\n", file,
           d.whole.seen->len, d.whole.told->len);
    d.wrong++;
  }
  printf("%s: %u mutations; %ld cuts, %ld bits: %ld times events missing and told, %ld times "
         "nothing missing nor told; %ld wrong\n",
         file, d.whole.seen->len, d.cuts, d.flips, d.missing, d.unnoticed, d.wrong);
  remove_copy(&d);
  done_reading(&d.whole);
  done_reading(&d.now);
  g_free(d.bytes);
  return d.wrong;
}

int main(int argc, char **argv)
{
  gint64 seed = 1, flips = 1000, cuts = -1;
  g_autofree char *schema_file = NULL, *schema = NULL;
  g_auto(GStrv) files = NULL;
  g_autoptr(GError) error = NULL;
  const GOptionEntry options[] = {
      {"seed", 0, 0, G_OPTION_ARG_INT64, &seed, "of the bits that are flipped", "N"},
      {"flips", 0, 0, G_OPTION_ARG_INT64, &flips, "bits of each file", "N"},
      {"cuts", 0, 0, G_OPTION_ARG_INT64, &cuts, "at most about so many of each file", "N"},
      {"schema", 0, 0, G_OPTION_ARG_FILENAME, &schema_file, "CQL text", "FILE"},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &files, NULL, NULL},
      {0}};
  g_autoptr(GOptionContext) context = g_option_context_new("FILE…");
  g_option_context_add_main_entries(context, options, NULL);
  if (!g_option_context_parse(context, &argc, &argv, &error) || !files ||
      (schema_file && !g_file_get_contents(schema_file, &schema, NULL, &error))) {
    fprintf(stderr, "commitlog-damage: %s\n", error ? error->message : "no file");
    return 2;
  }
  g_autofree char *folder = g_dir_make_tmp("millrace-damage-XXXXXX", NULL);
  g_assert_nonnull(folder);
  long wrong = 0;
  random_seed((uint64_t)seed);
  for (char **file = files; *file; file++)
    wrong += damage_file(*file, folder, schema, flips, cuts);
  g_rmdir(folder);
  return wrong > 0;
}

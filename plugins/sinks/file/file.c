/* SPDX-License-Identifier: Apache-2.0 */
/* The file sink: rows as lines, appended to one file or to files that are rotated. Plain delivery:
 * at least once. */
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <unistd.h>
#include "millrace/build.h"
#include "output.h"

struct conf {
  const char *path;
  const struct mr_format *format;
  struct {
    int64_t bytes, every_ms;
  } rotate;
};
struct file_sink {
  const struct mr_host *host;
  const struct conf *conf;
  struct mr_encoder *encoder;
  char *header; /* what each file begins with */
  size_t header_len;
  bool separate; /* the encoder puts nothing between rows, and a line for each is wanted */
  struct output out;
};

#define ROTATE(field) \
  (uint32_t)(offsetof(struct conf, rotate.field) - offsetof(struct conf, rotate))

static const struct mr_opt rotate_options[] = {
    {.name = "bytes",
     .type = MR_BYTES,
     .offset = ROTATE(bytes),
     .range = "1KiB..",
     .doc = "A file is complete when it has grown to this size"},
    {.name = "every",
     .type = MR_TIME_MS,
     .offset = ROTATE(every_ms),
     .range = "1s..",
     .doc = "A file is complete after this time"},
    {0},
};
static const struct mr_opt options[] = {
    {.name = "path",
     .type = MR_TEXT,
     .flags = MR_REQUIRED,
     .offset = offsetof(struct conf, path),
     .doc = "File to write; with rotate, time and a number are put before its extension"},
    {.name = "format",
     .type = MR_FORMAT,
     .offset = offsetof(struct conf, format),
     .dflt = "jsonl",
     .doc = "Format of the rows"},
    {.name = "rotate",
     .type = MR_GROUP,
     .offset = offsetof(struct conf, rotate),
     .sub_size = sizeof(((struct conf *)0)->rotate),
     .sub = rotate_options,
     .doc = "Complete files instead of one that grows: PATH.part is renamed when it is large or "
            "old enough"},
    {0},
};

static void close_(void *self)
{
  struct file_sink *s = self;
  if (s->encoder)
    s->host->encoder_free(s->encoder);
  output_done(&s->out);
  free(s->header);
  free(s);
}

/* The bytes that an encoder gives for a batch; lent by *lines. */
static const char *bytes_of(const struct ArrowArray *lines, size_t *ret_len)
{
  const int32_t *end = lines->buffers[1];
  *ret_len = 0;
  if (!lines->length)
    return NULL;
  int32_t from = end[lines->offset];
  *ret_len = (size_t)(end[lines->offset + lines->length] - from);
  return (const char *)lines->buffers[2] + from;
}

/* One line end behind each row; JSON's own bytes hold none. Caller frees. */
static char *as_lines(const struct ArrowArray *rows, size_t *ret_len)
{
  const int32_t *end = (const int32_t *)rows->buffers[1] + rows->offset;
  const char *data = rows->buffers[2];
  *ret_len = (size_t)(end[rows->length] - end[0]) + (size_t)rows->length;
  char *lines = malloc(*ret_len + 1), *to = lines;
  for (int64_t i = 0; lines && i < rows->length; i++) {
    size_t n = (size_t)(end[i + 1] - end[i]);
    memcpy(to, data + end[i], n);
    to[n] = '\n';
    to += n + 1;
  }
  return lines;
}

static bool no_rows(const struct ArrowSchema *in, struct ArrowArray *ret)
{
  size_t n = (size_t)in->n_children;
  struct mr_column *c = calloc(n + 1, sizeof *c);
  bool ok = c;
  for (size_t i = 0; ok && i < n; i++)
    ok = mr_column_init(&c[i], in->children[i]);
  ok = ok && mr_rows_finish(c, (int64_t)n, 0, ret);
  for (size_t i = 0; c && i < n; i++)
    mr_column_done(&c[i]);
  free(c);
  return ok;
}

/* A format may have something that a file begins with (the names of columns): it gives that for a
 * batch without rows. */
static int make_header(struct file_sink *s, struct mr_encoder *e, const struct ArrowSchema *in,
                       char **ret, size_t *ret_len, struct mr_error *err)
{
  struct mr_batch none = {.size = sizeof none, .schema = in, .watermark_us = INT64_MIN};
  struct ArrowArray lines = {0};
  if (!no_rows(in, &none.rows))
    return src_no_memory(err);
  int r = s->host->encode(e, &none, &lines, err);
  mr_array_release(&none.rows);
  if (r < 0)
    return r;
  const char *p = bytes_of(&lines, ret_len);
  *ret = malloc(*ret_len + 1);
  if (*ret && p)
    memcpy(*ret, p, *ret_len);
  mr_array_release(&lines);
  return *ret ? MR_OK : src_no_memory(err);
}

static int new_encoder(struct file_sink *s, const struct ArrowSchema *in, struct mr_error *err)
{
  struct mr_encoder *e;
  char *header;
  size_t len;
  int r = s->host->encoder(s->host->ctx, s->conf->format, in, &e, err);
  if (r < 0)
    return r;
  r = make_header(s, e, in, &header, &len, err);
  if (r < 0) {
    s->host->encoder_free(e);
    return r;
  }
  if (s->encoder)
    s->host->encoder_free(s->encoder);
  free(s->header);
  s->encoder = e;
  s->header = header;
  s->header_len = len;
  return MR_OK;
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct file_sink *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->host = o->host;
  s->conf = o->conf;
  if (!strcmp(s->host->format_name(s->conf->format), "avro")) {
    free(s);
    return src_badconf(err, "format",
                       "avro has no line ends: rows in a file could not be told "
                       "apart; take jsonl or csv");
  }
  s->separate = !strcmp(s->host->format_name(s->conf->format), "json");
  bool ok = output_init(&s->out, s->conf->path, s->conf->rotate.bytes, s->conf->rotate.every_ms,
                        o->instance, o->instances);
  int r = ok ? MR_OK : src_no_memory(err);
  if (r == MR_OK && o->in)
    r = new_encoder(s, o->in, err);
  if (r < 0)
    close_(s);
  else
    *self = s;
  return r;
}

/* A file of other columns: a new one where files are rotated, else nothing can be added. */
static int match_header(struct file_sink *s, struct mr_error *err)
{
  if (s->out.fd < 0 || !s->out.size || output_begins(&s->out, s->header, s->header_len))
    return MR_OK;
  if (output_rotates(&s->out))
    return output_rotate(&s->out, err);
  return src_badconf(
      err, "path",
      "%s has other columns than the rows (its first line differs); rotate, or take jsonl",
      s->out.name);
}

static int start(void *self, struct mr_error *err)
{
  struct file_sink *s = self;
  int r = output_open(&s->out, err);
  return r == MR_OK ? match_header(s, err) : r;
}

static int begin(void *self, const struct mr_unit *lend, struct mr_error *err)
{
  return MR_OK;
}

static int write_(void *self, const struct mr_batch *lend, struct mr_error *err)
{
  struct file_sink *s = self;
  struct ArrowArray lines = {0};
  size_t before = s->out.len, len;
  if (!lend->rows.length)
    return MR_OK;
  int r = s->host->encode(s->encoder, lend, &lines, err);
  if (r < 0)
    return r;
  const char *p = bytes_of(&lines, &len);
  char *own = s->separate ? as_lines(&lines, &len) : NULL;
  if (s->separate && !own)
    r = src_no_memory(err);
  if (r == MR_OK && s->header_len && output_is_empty(&s->out))
    r = output_write(&s->out, s->header, s->header_len, err);
  if (r == MR_OK && len)
    r = output_write(&s->out, own ? own : p, len, err);
  if (r < 0 && s->out.len > before)
    s->out.len = before;
  free(own);
  mr_array_release(&lines);
  return r;
}

static int commit(void *self, const struct mr_unit *lend, struct mr_error *err)
{
  return output_commit(&((struct file_sink *)self)->out, err);
}

static int abort_(void *self, const struct mr_unit *lend, struct mr_error *err)
{
  return output_abort(&((struct file_sink *)self)->out, err);
}

static int evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct file_sink *s = self;
  int r = new_encoder(s, to, err);
  return r == MR_OK ? match_header(s, err) : r;
}

/* Nothing is made or changed: whether the file, or its folder, can be written. */
static int check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct conf *c = o->conf;
  char line[512], *copy = strdup(c->path);
  if (!copy)
    return src_no_memory(err);
  bool there = !access(c->path, F_OK);
  const char *tested = there ? c->path : dirname(copy);
  int e = access(tested, W_OK) ? errno : 0;
  int n = snprintf(line, sizeof line, "%.400s: %s", c->path, there ? "ok" : "ok, not there yet");
  if (e) {
    err->native = e;
    src_fail(err, MR_FATAL, "", "%s: %s", tested, strerror(e));
  }
  free(copy);
  return e ? MR_FATAL : put(out, line, (size_t)n);
}

static int ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct conf *c = o->conf;
  return o->host->format_ddl(o->host->ctx, c->format, o->in, put, out, err);
}

static const struct mr_sink sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_PLAIN,
    .open = open_,
    .start = start,
    .begin = begin,
    .write = write_,
    .commit = commit,
    .abort = abort_,
    .evolve = evolve,
    .close = close_,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "file",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Rows as lines of a file, or of files that are rotated",
    .options = options,
    .sink = &sink,
    .check = check,
    .flags = MR_PARTIAL,
    .ddl = ddl,
};

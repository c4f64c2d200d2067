/* SPDX-License-Identifier: Apache-2.0 */
#include <glob.h>
#include <poll.h>
#include "common/clock.h"
#include "file.h"

/* ---------------------------------------------------------------- the batch under construction */

static struct mr_decoder *decoder_of(struct file *f, const struct file_input *in)
{
  return in && in->own ? in->own : f->decoder;
}

int file_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct file *f = self;
  struct ArrowSchema own = {0};
  int r = f->host->decoder_schema(f->current ? f->current : f->decoder, &own, err);
  if (r != MR_OK)
    return r;
  bool ok = mr_schema_copy(&own, give) && src_system_fields(&f->system, give);
  mr_schema_release(&own);
  if (ok)
    return MR_OK;
  mr_schema_release(give);
  return src_no_memory(err);
}

void file_forget_open(struct file *f)
{
  struct ArrowArray rows = {0};
  struct mr_error ignored = {.size = sizeof ignored, .row = -1};
  struct mr_decoder *d = decoder_of(f, f->open);
  if (f->open && f->rows && f->host->decoded(d, &rows, &ignored) == MR_SCHEMA)
    f->host->decoded(d, &rows, &ignored);
  mr_array_release(&rows);
  src_system_truncate(&f->system, 0);
  f->open = NULL;
  f->hungry = false;
  f->rows = f->bytes = 0;
}

static bool same_columns(const struct ArrowSchema *a, const struct ArrowSchema *b)
{
  if (strcmp(a->name, b->name) || strcmp(a->format, b->format) || a->n_children != b->n_children)
    return false;
  for (int64_t i = 0; i < a->n_children; i++)
    if (!same_columns(a->children[i], b->children[i]))
      return false;
  return true;
}

/* Whether rows of this decoder have other columns than those that schema() answered last. */
static bool columns_change(struct file *f, struct mr_decoder *d)
{
  struct ArrowSchema old = {0}, new = {0};
  struct mr_error ignored = {.size = sizeof ignored, .row = -1};
  bool known =
      f->host->decoder_schema(f->current ? f->current : f->decoder, &old, &ignored) == MR_OK;
  bool changed =
      f->host->decoder_schema(d, &new, &ignored) == MR_OK && (!known || !same_columns(&old, &new));
  mr_schema_release(&old);
  mr_schema_release(&new);
  return changed;
}

static int give_batch(struct file *f, struct mr_batch *give, struct mr_error *err)
{
  struct file_input *in = f->open;
  struct mr_decoder *d = decoder_of(f, in);
  struct ArrowArray rows = {0};
  if (f->current != d) {
    bool changed = columns_change(f, d);
    f->current = d;
    if (changed)
      return MR_SCHEMA;
  }
  int r = f->host->decoded(d, &rows, err);
  f->hungry = r == MR_IDLE;
  if (r == MR_IDLE && !f->rows)
    f->open = NULL;
  if (r != MR_OK)
    return r;
  if (rows.length != f->rows || !src_system_join(&f->system, &rows, &give->rows)) {
    mr_array_release(&rows);
    return src_fail(err, MR_FATAL, "", "the decoder gave another number of rows than it counted");
  }
  give->lane = in->lane;
  give->upto = file_position(in, file_number(in));
  give->watermark_us = INT64_MIN;
  f->open = NULL;
  f->rows = f->bytes = 0;
  return MR_OK;
}

/* ---------------------------------------------------------------- one record */

static void reject(struct file *f, const struct file_input *in, const void *data, size_t len,
                   const char *code, const char *msg)
{
  struct mr_position position = file_position(in, file_number(in));
  struct mr_reject r = {
      .size = sizeof r,
      .lane = in->lane,
      .row = -1,
      .position = &position,
      .data = data,
      .len = len,
      .code = code,
      .msg = msg,
  };
  f->host->reject(f->host->ctx, &r);
}

static bool add_system(struct file *f, const struct file_input *in, const char *data, size_t len,
                       int64_t n)
{
  const struct mr_host *h = f->host;
  struct src_message m = {
      .topic = in->path,
      .offset = (int64_t)in->at,
      .op = "insert",
      .position = file_number(in),
      .original = data,
      .original_len = len,
      .extent = MR_HAS(h, extents) ? h->extents(decoder_of(f, in)) : NULL,
  };
  return !f->system.n || !n || src_system_add(&f->system, &m, n);
}

static bool is_blank(const char *s, size_t n)
{
  while (n && (s[n - 1] == '\r' || s[n - 1] == ' ' || s[n - 1] == '\t'))
    n--;
  return !n;
}

/* Decodes the record that begins with the line [s, s + len); it goes over further lines while the
 * decoder says that it ends too early. *next: bytes to behind its last line end. FILE_MORE: the
 * rest is not there yet. */
static int decode_record(struct file *f, struct file_input *in, struct mr_decoder *d, const char *s,
                         size_t len, size_t *next, struct mr_error *err)
{
  int n = f->host->decode(d, s, len, err);
  size_t more_len, more_next, first = *next;
  const char *more;
  while (n == MR_REJECT && err->native == 1) {
    struct mr_error ignored = {.size = sizeof ignored, .row = -1};
    enum file_line l = file_input_line(f, in, *next, &more, &more_len, &more_next, &ignored);
    if (l == FILE_WAIT)
      return FILE_MORE;
    if (l != FILE_LINE) {
      *next = first; /* the quote is never closed: only this line is refused */
      return MR_REJECT;
    }
    *err = (struct mr_error){.size = err->size, .row = -1};
    len = *next + more_len;
    *next += more_next;
    n = f->host->decode(d, in->buf + in->from, len, err);
  }
  return n;
}

/* A JSON document over many lines, as the only thing in the file. */
static int decode_document(struct file *f, struct file_input *in, size_t *next)
{
  const char *all;
  size_t len;
  struct mr_error why = {.size = sizeof why, .row = -1};
  if (in->at || in->own || !in->final || !file_input_all(f, in, &all, &len) || len == *next)
    return MR_REJECT;
  int n = f->host->decode(f->decoder, all, len, &why);
  if (n >= 0)
    *next = len;
  return n < 0 ? MR_REJECT : n;
}

/* The record without its last line end. */
static size_t trimmed(const char *s, size_t n)
{
  n -= n && s[n - 1] == '\n';
  return n - (n && s[n - 1] == '\r');
}

static int record(struct file *f, struct file_input *in, const char *s, size_t len, size_t next,
                  struct mr_error *err)
{
  int n = is_blank(s, len) ? 0 : decode_record(f, in, decoder_of(f, in), s, len, &next, err);
  if (n == MR_REJECT) {
    struct mr_error why = *err;
    *err = (struct mr_error){.size = err->size, .row = -1};
    n = decode_document(f, in, &next);
    s = in->buf + in->from;
    if (n == MR_REJECT)
      reject(f, in, s, trimmed(s, next), why.code, why.msg);
    n = n < 0 ? 0 : n;
  }
  if (n < 0)
    return n;
  s = in->buf + in->from;
  if (!add_system(f, in, s, trimmed(s, next), n))
    return src_no_memory(err);
  f->rows += n;
  f->bytes += (int64_t)next;
  file_input_take(in, next);
  return MR_OK;
}

static void too_long(struct file *f, struct file_input *in, size_t len)
{
  char msg[80];
  snprintf(msg, sizeof msg, "a line of more than %lld bytes (max_line)",
           (long long)f->conf->max_line);
  reject(f, in, in->buf + in->from, len < FILE_REJECT_BYTES ? len : FILE_REJECT_BYTES, "54000",
         msg);
  in->skipping = true;
  file_input_take(in, len);
}

int file_probe(struct file *f, struct file_input *in, struct mr_error *err)
{
  const char *s;
  size_t len, next;
  struct mr_decoder *d;
  enum file_line l = file_input_line(f, in, 0, &s, &len, &next, err);
  if (l == FILE_FAILED || l == FILE_WAIT)
    return l == FILE_WAIT ? MR_IDLE : MR_FATAL;
  in->probed = true;
  if (l != FILE_LINE || is_blank(s, len))
    return MR_OK;
  int r = f->host->decoder(f->host->ctx, f->conf->format, &d, err);
  if (r < 0)
    return r;
  r = decode_record(f, in, d, s, len, &next, err);
  if (r == 0) { /* a decoder that was just made gave no row: a header */
    file_input_take(in, next);
    in->own = d;
    return MR_OK;
  }
  f->host->decoder_free(d);
  if (r == MR_BADCONF || r == MR_FATAL)
    return r;
  *err = (struct mr_error){.size = err->size, .row = -1};
  in->probed = r != FILE_MORE;
  return r == FILE_MORE ? MR_IDLE : MR_OK;
}

/* ---------------------------------------------------------------- gathering */

static uint64_t border(const struct file_input *in)
{
  return in->cut < in->end ? in->cut : in->end;
}

static void reach_border(struct file_input *in)
{
  if (file_number(in) >= in->cut)
    in->cut = UINT64_MAX;
  in->ended = in->ended || file_number(in) >= in->end;
}

/* One line of the file. MR_IDLE: none is there; MR_END: none will come. */
static int step(struct file *f, struct file_input *in, struct mr_error *err)
{
  const char *s;
  size_t len, next;
  int r = in->at || in->probed ? MR_OK : file_probe(f, in, err);
  if (r != MR_OK)
    return r;
  switch (file_input_line(f, in, 0, &s, &len, &next, err)) {
  case FILE_LINE: r = record(f, in, s, len, next, err); break;
  case FILE_TOO_LONG: too_long(f, in, len); break;
  case FILE_WAIT: return MR_IDLE;
  case FILE_END: return MR_END;
  case FILE_FAILED: return MR_FATAL;
  }
  return r == FILE_MORE ? MR_IDLE : r;
}

/* Decodes what is there. Sets f->open when the position moved or rows were made. */
static int gather(struct file *f, struct file_input *in, int64_t max_rows, int64_t max_bytes,
                  struct mr_error *err)
{
  uint64_t from = file_number(in);
  int r = MR_OK;
  f->open = in;
  while (r == MR_OK && f->rows < max_rows && f->bytes < max_bytes && file_number(in) < border(in))
    r = step(f, in, err);
  if (r < 0) {
    file_forget_open(f);
    return r;
  }
  if (r == MR_END && f->conf->mode == FILE_WHOLE)
    in->ended = true;
  reach_border(in);
  if (file_number(in) == from && !f->rows)
    f->open = NULL;
  return MR_OK;
}

/* follow: goes on to the next generation of a path that was read to its end; the generation's end
 * is told as a position. */
static int turn(struct file *f, struct file_input *in, struct mr_error *err)
{
  int r = MR_OK;
  uint64_t generation = in->generation;
  if (f->conf->mode != FILE_FOLLOW || !file_input_turn(f, in, &r, err))
    return r < 0 ? r : MR_OK;
  if (f->bounded && in->generation != generation)
    in->ended = true;
  return MR_OK;
}

/* ---------------------------------------------------------------- finding files */

static struct file_input *find(struct file *f, const char *path)
{
  for (size_t i = 0; i < f->n_input; i++)
    if (!strcmp(f->input[i]->path, path))
      return f->input[i];
  return NULL;
}

/* FNV-1a: which instance a path belongs to. */
static uint32_t hash(const char *s)
{
  uint32_t h = 2166136261u;
  for (; *s; s++)
    h = (h ^ (unsigned char)*s) * 16777619u;
  return h;
}

static int add_path(struct file *f, const char *path, struct mr_error *err)
{
  if (find(f, path) || (f->instances > 1 && hash(path) % f->instances != f->instance))
    return MR_OK;
  struct file_input **more = realloc(f->input, (f->n_input + 1) * sizeof *more);
  if (!more)
    return src_no_memory(err);
  f->input = more;
  f->input[f->n_input] = file_input_new(path);
  if (!f->input[f->n_input])
    return src_no_memory(err);
  f->n_input++;
  return MR_OK;
}

/* Where a file that no run has read yet begins. */
static struct mr_position first_position(struct file *f, struct file_input *in, int state)
{
  struct stat st;
  if (stat(in->path, &st))
    return mr_position_u64(0);
  in->inode = (uint64_t)st.st_ino;
  bool latest =
      f->conf->mode == FILE_FOLLOW && f->conf->start == FILE_LATEST && state == MR_LANE_NEW;
  return file_position(in, latest ? (uint64_t)st.st_size : 0);
}

static int place(struct file *f, struct file_input *in, struct mr_error *err)
{
  const struct mr_host *h = f->host;
  struct mr_position from, first;
  struct stat st;
  int r = h->lane(h->ctx, in->path, NULL, &in->lane, &from, err);
  if (r == MR_LANE_NEW || r == MR_LANE_LATER) {
    first = first_position(f, in, r);
    r = h->lane(h->ctx, in->path, &first, &in->lane, &from, err);
  }
  if (r < 0)
    return r;
  r = file_input_seek(f, in, &from, err);
  if (r < 0)
    return r;
  in->ended = r == MR_IDLE && f->conf->mode == FILE_WHOLE; /* it went away since it was found */
  if (f->bounded && f->conf->mode == FILE_FOLLOW) {
    uint64_t size = in->fd >= 0 && !fstat(in->fd, &st) ? (uint64_t)st.st_size : 0;
    in->end = in->generation << FILE_OFFSET_BITS | size;
    in->ended = file_number(in) >= in->end;
  }
  in->placed = true;
  return MR_OK;
}

static int find_paths(struct file *f, struct mr_error *err)
{
  glob_t g;
  int r = glob(f->conf->path, GLOB_BRACE | GLOB_TILDE, NULL, &g), status = MR_OK;
  f->globbed_ms = clock_now_ms();
  if (r == GLOB_NOSPACE)
    return src_no_memory(err);
  for (size_t i = 0; !r && status == MR_OK && i < g.gl_pathc; i++)
    status = add_path(f, g.gl_pathv[i], err);
  if (!r)
    globfree(&g);
  bool pattern = strpbrk(f->conf->path, "*?[{");
  if (status == MR_OK && !f->n_input && r == GLOB_NOMATCH && f->conf->mode == FILE_WHOLE)
    return src_badconf(err, "path", "no file %s %s", pattern ? "matches" : "at", f->conf->path);
  if (status == MR_OK && !f->n_input && !pattern && f->conf->mode == FILE_FOLLOW)
    status = add_path(f, f->conf->path, err); /* it may come */
  return status;
}

int file_find(struct file *f, struct mr_error *err)
{
  int r = find_paths(f, err);
  for (size_t i = 0; r >= 0 && i < f->n_input; i++)
    if (!f->input[i]->placed)
      r = place(f, f->input[i], err);
  return r < 0 ? r : MR_OK;
}

/* ---------------------------------------------------------------- read */

static bool all_ended(const struct file *f)
{
  for (size_t i = 0; i < f->n_input; i++)
    if (!f->input[i]->ended)
      return false;
  return f->bounded || f->conf->mode == FILE_WHOLE;
}

/* Gathers from the first file that has something: in order, or round robin when they are followed.
 */
static int gather_any(struct file *f, int64_t max_rows, int64_t max_bytes, struct mr_error *err)
{
  int r = MR_OK;
  if (f->open)
    return f->hungry ? gather(f, f->open, f->rows + max_rows, f->bytes + max_bytes, err) : MR_OK;
  for (size_t i = 0; r == MR_OK && !f->open && i < f->n_input; i++) {
    struct file_input *in = f->input[f->conf->mode == FILE_WHOLE ? i : f->next++ % f->n_input];
    if (!in->placed || in->ended)
      continue;
    r = gather(f, in, max_rows, max_bytes, err);
    if (r == MR_OK && !f->open && !in->ended)
      r = turn(f, in, err);
  }
  return r;
}

static int attempt(struct file *f, int64_t max_rows, int64_t max_bytes, struct mr_batch *give,
                   struct mr_error *err)
{
  int r = gather_any(f, max_rows, max_bytes, err);
  if (r < 0)
    return r;
  return f->open ? give_batch(f, give, err) : MR_IDLE;
}

int file_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
              struct mr_batch *give, struct mr_error *err)
{
  struct file *f = self;
  int64_t until = clock_now_ms() + timeout_ms;
  struct pollfd wake = {.fd = f->host->wake_fd, .events = POLLIN};
  if (max_rows <= 0)
    return MR_IDLE;
  for (;;) {
    int r = attempt(f, max_rows, max_bytes, give, err);
    if (r != MR_IDLE)
      return r;
    if (all_ended(f))
      return MR_END;
    int64_t left = until - clock_now_ms();
    if (left <= 0 || poll(&wake, 1, (int)(left < FILE_POLL_MS ? left : FILE_POLL_MS)) > 0)
      return MR_IDLE;
    if (f->conf->mode == FILE_FOLLOW && !f->bounded &&
        clock_now_ms() - f->globbed_ms >= FILE_GLOB_MS && (r = file_find(f, err)) < 0 &&
        r != MR_RETRY)
      return r;
  }
}

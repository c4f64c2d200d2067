/* SPDX-License-Identifier: Apache-2.0 */
/* The file source: the plugin object. file.h says how it is put together. */
#include <glob.h>
#include "file.h"

static const char *const modes[] = {"whole", "follow", NULL};
static const char *const starts[] = {"earliest", "latest", NULL};
static const char *const gaps[] = {"fail", "continue", NULL};
static const struct mr_opt options[] = {
    {.name = "path",
     .type = MR_TEXT,
     .flags = MR_REQUIRED,
     .offset = offsetof(struct file_conf, path),
     .doc = "The file, or a pattern (*, ?, [a-z], {a,b}) for several; whole: .gz is unpacked"},
    {.name = "format",
     .type = MR_FORMAT,
     .offset = offsetof(struct file_conf, format),
     .dflt = "jsonl",
     .doc = "Format of the lines"},
    {.name = "mode",
     .type = MR_CHOICE,
     .offset = offsetof(struct file_conf, mode),
     .dflt = "whole",
     .choices = modes,
     .doc = "whole: read to the end once; follow: go on as lines are added, like tail -F"},
    {.name = "start",
     .type = MR_CHOICE,
     .offset = offsetof(struct file_conf, start),
     .dflt = "earliest",
     .choices = starts,
     .doc = "follow: where the first run begins"},
    {.name = "on_gap",
     .type = MR_CHOICE,
     .offset = offsetof(struct file_conf, on_gap),
     .dflt = "fail",
     .choices = gaps,
     .doc = "follow: when the file that was read is gone: fail, or start the one that is there"},
    {.name = "max_line",
     .type = MR_BYTES,
     .offset = offsetof(struct file_conf, max_line),
     .range = "1KiB..1GiB",
     .dflt = "16MiB",
     .doc = "A longer line is a dead letter"},
    {0},
};

static void close_(void *self)
{
  struct file *f = self;
  for (size_t i = 0; i < f->n_input; i++)
    file_input_free(f, f->input[i]);
  free(f->input);
  if (f->decoder)
    f->host->decoder_free(f->decoder);
  src_system_done(&f->system);
  free(f);
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct file *f = calloc(1, sizeof *f);
  if (!f)
    return src_no_memory(err);
  f->host = o->host;
  f->conf = o->conf;
  f->instance = o->instance;
  f->instances = o->instances;
  f->bounded = o->bounded;
  uint32_t makes = SRC_BIT(SRC_TOPIC) | SRC_BIT(SRC_OFFSET) | SRC_BIT(SRC_OP) |
                   SRC_BIT(SRC_POSITION) | SRC_BIT(SRC_ELEMENT) | SRC_BIT(SRC_ORIGINAL);
  int r = src_system_init(&f->system, &o->want, makes, err);
  if (r == MR_OK)
    r = f->host->decoder(f->host->ctx, f->conf->format, &f->decoder, err);
  if (r < 0)
    close_(f);
  else
    *self = f;
  return r;
}

static int start(void *self, struct mr_error *err)
{
  return file_find(self, err);
}

static struct file_input *input_of(struct file *f, uint32_t lane)
{
  for (size_t i = 0; i < f->n_input; i++)
    if (f->input[i]->placed && f->input[i]->lane == lane)
      return f->input[i];
  return NULL;
}

static int cut(void *self, uint32_t lane, const struct mr_position *p)
{
  struct file_input *in = input_of(self, lane);
  uint64_t at = mr_position_get(p);
  if (in)
    in->cut = at > file_number(in) ? at : UINT64_MAX;
  return MR_OK;
}

static int seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  struct file *f = self;
  struct file_input *in = input_of(f, lane);
  if (!in)
    return MR_OK;
  if (f->open == in)
    file_forget_open(f);
  int r = file_input_seek(f, in, p, err);
  if (r < 0)
    return r;
  in->cut = UINT64_MAX;
  in->ended = file_number(in) >= in->end;
  return MR_OK;
}

static int validate(const void *conf, struct mr_error *err)
{
  const struct file_conf *c = conf;
  size_t n = c->path ? strlen(c->path) : 0;
  if (c->mode == FILE_FOLLOW && n > 3 && !strcmp(c->path + n - 3, ".gz"))
    return src_badconf(err, "mode", "a packed file cannot be followed");
  if (c->mode == FILE_WHOLE && c->start == FILE_LATEST)
    return src_badconf(err, "start", "start: latest needs mode: follow");
  return MR_OK;
}

static int check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct file_conf *c = o->conf;
  char line[512];
  struct stat st;
  glob_t g;
  int r = glob(c->path, GLOB_BRACE | GLOB_TILDE, NULL, &g), status = MR_OK;
  if (r)
    return c->mode == FILE_FOLLOW ? put(out, "not there yet", 13)
                                  : src_badconf(err, "path", "no file at %s", c->path);
  for (size_t i = 0; status == MR_OK && i < g.gl_pathc; i++) {
    bool ok = !stat(g.gl_pathv[i], &st);
    int n = snprintf(line, sizeof line, "%s%.400s: %lld bytes, %s", i ? "\n" : "", g.gl_pathv[i],
                     ok ? (long long)st.st_size : 0LL, ok ? "ok" : "cannot be read");
    status = put(out, line, (size_t)n);
  }
  globfree(&g);
  return status;
}

static const struct mr_source source = {
    .size = sizeof(struct mr_source),
    .open = open_,
    .schema = file_schema,
    .start = start,
    .read = file_read,
    .cut = cut,
    .seek = seek,
    .close = close_,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct file_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "file",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Lines of files, read once or followed",
    .options = options,
    .source = &source,
    .validate = validate,
    .check = check,
};

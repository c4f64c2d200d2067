/* SPDX-License-Identifier: Apache-2.0 */
/* A transform for tests: adds a column with the row's number in its lane, from `first` on, and
 * remembers the last one. `ballast`: bytes that are saved beside it. */
#include <stdio.h>
#include <stdlib.h>
#include "millrace/build.h"
#include "millrace/plugin.h"

struct conf {
  const char *column;
  int64_t first, ballast;
};
struct number {
  const struct conf *conf;
  struct ArrowSchema out;
  int64_t next;
};

static const struct mr_opt options[] = {
    {.name = "column",
     .type = MR_TEXT,
     .offset = offsetof(struct conf, column),
     .dflt = "number",
     .doc = "its name"},
    {.name = "first",
     .type = MR_INT,
     .offset = offsetof(struct conf, first),
     .dflt = "1",
     .doc = "the first row's number"},
    {.name = "ballast",
     .type = MR_BYTES,
     .offset = offsetof(struct conf, ballast),
     .dflt = "0",
     .doc = "bytes that are saved beside the number"},
    {0},
};

static int fail(struct mr_error *err, const char *msg)
{
  snprintf(err->msg, sizeof err->msg, "%s", msg);
  return MR_FATAL;
}

static int number_evolve(void *self, const struct ArrowSchema *in, struct mr_error *err)
{
  struct number *s = self;
  struct ArrowSchema out;
  if (!mr_schema_copy(in, &out))
    return fail(err, "out of memory");
  if (!mr_schema_field(&out, s->conf->column, "l", false)) {
    mr_schema_release(&out);
    return fail(err, "out of memory");
  }
  mr_schema_release(&s->out);
  s->out = out;
  return MR_OK;
}

static void number_close(void *self)
{
  struct number *s = self;
  mr_schema_release(&s->out);
  free(s);
}

static int number_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct number *s = calloc(1, sizeof *s);
  if (!s)
    return fail(err, "out of memory");
  s->conf = o->conf;
  s->next = s->conf->first;
  int status = o->in ? number_evolve(s, o->in, err) : MR_OK;
  if (status < 0)
    number_close(s);
  else
    *self = s;
  return status;
}

static int number_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct number *s = self;
  if (!s->out.release)
    return MR_IDLE;
  return mr_schema_copy(&s->out, give) ? MR_OK : fail(err, "out of memory");
}

static int number_start(void *self, struct mr_error *err)
{
  return MR_OK;
}

static bool numbers(const struct number *s, int64_t n, struct ArrowArray *give)
{
  struct mr_column c;
  bool ok = mr_column_init(&c, s->out.children[s->out.n_children - 1]);
  for (int64_t i = 0; ok && i < n; i++)
    ok = mr_column_int(&c, s->next + i);
  ok = ok && mr_column_finish(&c, give);
  mr_column_done(&c);
  return ok;
}

static int number_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                        struct mr_error *err)
{
  struct number *s = self;
  int64_t n = take->rows.length, old = take->rows.n_children;
  if (!mr_array_init(&give->rows, n, 1, old + 1) || !numbers(s, n, give->rows.children[old])) {
    mr_array_release(&give->rows);
    return fail(err, "out of memory");
  }
  for (int64_t i = 0; i < old; i++) {
    *give->rows.children[i] = *take->rows.children[i]; /* moved */
    take->rows.children[i]->release = NULL;
  }
  mr_array_release(&take->rows);
  s->next += n;
  return MR_OK;
}

static int number_save(void *self, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct number *s = self;
  int status = put(out, &s->next, sizeof s->next);
  for (int64_t i = 0; status >= 0 && i < s->conf->ballast; i++)
    status = put(out, "b", 1);
  return status;
}

static int number_load(void *self, const void *state, size_t len, struct mr_error *err)
{
  struct number *s = self;
  if (len < sizeof s->next)
    return fail(err, "the saved state is too short");
  memcpy(&s->next, state, sizeof s->next);
  return MR_OK;
}

static const struct mr_transform transform = {
    .size = sizeof(struct mr_transform),
    .open = number_open,
    .schema = number_schema,
    .start = number_start,
    .apply = number_apply,
    .save = number_save,
    .load = number_load,
    .evolve = number_evolve,
    .close = number_close,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "number",
    .version = "1",
    .license = "Apache-2.0",
    .summary = "numbers the rows of each lane",
    .options = options,
    .transform = &transform,
};

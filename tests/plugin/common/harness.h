/* SPDX-License-Identifier: Apache-2.0 */
/* A host for one plugin under test: loads its .so, records what it logs and rejects, and writes
 * rows as short text.
 *
 * Rows as text: a line for each row, cells separated by `|`: 17|a@b.c|~ . A null is `~`; a list is
 * [a,b], a struct {a,b}, a map {k,v} pairs in a list: [{k,v}]. Dates are days, times and timestamps
 * us, decimals unscaled integers, UUIDs 32 hexadecimal digits. Text must not hold the characters
 * |~[]{}, and newline: tests that want those use a builder. */
#ifndef HARNESS_H
#define HARNESS_H
#include <glib.h>
#include "base/base.h"
#include "millrace/build.h"

/* The type of a child of `_range`, for harness_schema. */
#define HARNESS_BOUNDS(type) \
  "struct<lower: " type ", upper: " type ", lower_inc: bool, upper_inc: bool>"

struct harness_reject {
  uint64_t batch_id;
  int64_t row;
  char *code, *msg, *column;
};
struct harness {
  struct mr_host host; /* host.ctx is this struct; tests may set further services */
  GPtrArray *logs;     /* char * */
  GPtrArray *rejects;  /* struct harness_reject * */
  GHashTable *metrics; /* name -> int64_t * (lanes added up) */
  void *user;
};
void harness_init(struct harness *h);
void harness_done(struct harness *h);

/* The descriptor in DIR/NAME.so, DIR from the environment variable MILLRACE_TEST_PLUGINS; stops the
 * test when it does not load. The module stays loaded. */
const struct mr_plugin *harness_load(const char *kind, const char *name);
/* An open request over conf; in may be NULL. */
struct mr_open harness_open(struct harness *h, const void *conf, const struct ArrowSchema *in);

/* "id: uint64, email: utf8" -> a rows schema; the caller releases it. */
struct ArrowSchema harness_schema(const char *columns);
struct ArrowArray harness_rows(const struct ArrowSchema *s, const char *text);
char *harness_text(const struct ArrowSchema *s, const struct ArrowArray *rows); /* g_free */
/* "id: uint64, email: utf8", labels as utf8!pii; g_free. */
char *harness_columns(const struct ArrowSchema *s);
/* A batch around rows (moved in), lane 0. */
struct mr_batch harness_batch(const struct ArrowSchema *s, struct ArrowArray *rows);
/* mr_put_fn that appends to a GString. */
int harness_put(void *out, const void *data, size_t len);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The store: lane rows of sinks that cannot keep their own, pending units, label numbers. Every
 * call that returns MR_OK is durable. Calls may come from several sink threads; the implementation
 * locks. MR_RETRY: try again; MR_FATAL: the store is broken. */
#ifndef MR_STORE_H
#define MR_STORE_H
#include "base/base.h"

enum mr_pending_state { MR_PENDING_PREPARED = 1, MR_PENDING_SEALED = 2 };
/* A unit that is recorded and not done. Strings lent. */
struct mr_pending {
  const char *sink, *label;
  enum mr_pending_state state;
  int64_t recorded_us; /* wall clock */
  size_t n;
  const struct mr_mark *mark;
};
typedef void mr_label_fn(void *out, const char *label);
typedef int mr_pending_fn(void *out, const struct mr_pending *lend, struct mr_error *err);

struct mr_store {
  /* Whether a source's lanes were once all given a first position for a sink: keys "source/sink".
   * set: they are now, all keys in one transaction. ret: n answers, as they were before. */
  int (*ran)(struct mr_store *, const char *const *key, size_t n, bool set, bool *ret,
             struct mr_error *);
  /* As mr_sink.take and found, for sinks whose lane rows live here. */
  int (*take)(struct mr_store *, const char *sink, const char *source, const char *const *lane,
              size_t n, mr_mark_fn *mark, void *out, struct mr_error *);
  int (*found)(struct mr_store *, const char *sink, const struct mr_mark *, size_t n,
               struct mr_error *);
  /* The number of the sink's next label; durable before it is used. */
  int (*number)(struct mr_store *, const char *sink, uint64_t *ret, struct mr_error *);
  /* Remembers the label of a unit that begins in the rows of the lanes that it may hold rows of,
   * where the owner is the mark's. */
  int (*claim)(struct mr_store *, const char *sink, const char *label, const struct mr_mark *,
               size_t n, struct mr_error *);
  /* The labels that these lanes' rows remember; one may be given several times. */
  int (*claimed)(struct mr_store *, const char *sink, const char *source, const char *const *lane,
                 size_t n, mr_label_fn *label, void *out, struct mr_error *);
  /* Records a pending unit; MR_FENCED when an owner or a position is not the marks'. */
  int (*record)(struct mr_store *, const struct mr_pending *, struct mr_error *);
  /* Positions := upto where owner and position still are the marks' owner and from (MR_FENCED on a
   * miss). label: of the unit's record, which goes with it and is the claim instead of the owner
   * (MR_FENCED: another process has finished it); NULL: no record (plain). */
  int (*done)(struct mr_store *, const char *sink, const char *label, const struct mr_mark *,
              size_t n, struct mr_error *);
  int (*drop)(struct mr_store *, const char *sink, const char *label,
              struct mr_error *); /* the record goes, positions stay */
  /* The rows of these lanes as they stand; nothing is raised. A lane without row is not given. */
  int (*look)(struct mr_store *, const char *sink, const struct mr_mark *, size_t n,
              mr_mark_fn *mark, void *out, struct mr_error *);
  int (*pending)(struct mr_store *, const char *sink, mr_pending_fn *each, void *out,
                 struct mr_error *);
  /* Blocks of idempotent sinks, by label. put: durable when it returns. get: gives a malloc'd copy;
   * MR_FENCED: another process has finished the unit meanwhile. */
  int (*block_put)(struct mr_store *, const char *label, const void *data, size_t len,
                   struct mr_error *);
  int (*block_get)(struct mr_store *, const char *label, void **give, size_t *ret_len,
                   struct mr_error *);
  int (*block_drop)(struct mr_store *, const char *label, struct mr_error *);
  void (*free)(struct mr_store *);
  /* A number that tells this pipeline's state from another one; drawn when it was made. */
  int (*identity)(struct mr_store *, uint64_t *ret, struct mr_error *);
};

/* SQLite in dir (made when missing, 0700), locked against a second process. *ret_why set on
 * failure. pipeline: its name. */
struct mr_store *mr_store_sqlite_new(const char *dir, const char *pipeline, char **ret_why);

/* Does settings.state name a PostgreSQL database (and not a folder)? NULL: no. */
bool mr_store_is_postgres(const char *state);
/* A PostgreSQL database, for several processes and machines: a deposed owner is refused. Connects
 * and makes its tables when there are none. NULL: *ret_status (MR_BADCONF: a wrong URL, no
 * privilege; MR_RETRY: not reached; MR_FATAL) and *err say why. */
struct mr_store *mr_store_postgres_new(const char *url, const char *pipeline, int *ret_status,
                                       struct mr_error *err);
/* What `check --connect` says of such a database; it changes nothing there. MR_OK: *give_text
 * (g_free) is for people. MR_BADCONF: the tables are not there and may not be made. Others as
 * above. */
int mr_store_postgres_check(const char *url, const char *pipeline, char **give_text,
                            struct mr_error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Lookup tables: what `enrich` joins with. Each lookup of the pipeline file is fed by its source
 * plugin on a thread of its own.
 *
 * Load      A table is read whole (the source is opened `bounded`) and shown at once when it is
 * complete. With `refresh` it is read whole again at that interval and replaced in one step; who is
 * reading the old one keeps it until done. Without, the source is then opened unbounded: one that
 * can follow (a topic, a file that grows, SQL by a growing column) goes on and its rows are applied
 * as they come, the last row of a key wins, `_op` = delete takes a key out; one that answers MR_END
 * is finished. Trouble   A source that is down is tried again with capped backoff for ever: the
 * state says so. While a table that was complete is refreshed or followed, trouble leaves the old
 * rows in place. Restart   With a state folder, rows and positions of a load that is under way, and
 * of a followed table, are written to a journal there: a new process reads that and goes on at the
 * position. A load that was broken off is continued when it began no longer ago than `refresh` (an
 * hour without); what the source's position means is the source's affair. A finished table that
 * does not follow is read anew by the next process. Several keys  Each set of key columns that is
 * asked for has a table of its own, with the columns that anybody wants besides. One that is asked
 * for later makes the lookup load again.
 *
 * Threads: mr_lookups_* belong to the main thread, but what is said; mr_lookup_open, find, close to
 * any. Lookup rows are not pipeline rows: they count in no unit and in no memory budget. */
#ifndef MR_LOOKUP_H
#define MR_LOOKUP_H
#include "conf/spec.h"
#include "engine/os.h"

struct mr_lookups;

enum mr_lookup_state {
  MR_LOOKUP_NEW = 0, /* nobody has asked for it */
  MR_LOOKUP_WAITING, /* its source does not answer */
  MR_LOOKUP_LOADING,
  MR_LOOKUP_READY,
  MR_LOOKUP_FAILED, /* it can never be loaded: find answers with the reason */
};
struct mr_lookup_info { /* lent for the call */
  const char *name;
  enum mr_lookup_state state;
  const char
      *text; /* for people: "10000 keys, 1.2 MB", "waiting for its source: connection refused" */
  int64_t keys, bytes; /* of the tables as they are shown */
  int64_t rows;        /* read since the start */
  int64_t rejected;    /* rows that the source could not read */
  int64_t age_us;      /* since the last complete load or followed rows; -1: never */
  bool following;
};
struct mr_lookup_hooks {
  void *ctx;
  struct mr_os *os;
  const char *dir; /* for journals; NULL: none are kept */
  const char *pipeline;
  const struct mr_host
      *services; /* decoder, encoder, expr and type services; their ctx argument is not used */
  /* The system columns of a lookup that somebody names (NULL-terminated, g_strfreev); NULL: none.
   */
  char **(*wants)(const struct mr_spec *spec, const struct mr_stage_spec *lookup);
  /* May be NULL. Any thread. state: also called as a load goes on. */
  void (*log)(void *ctx, int level, const char *lookup, const char *text);
  void (*state)(void *ctx, const struct mr_lookup_info *lend);
  void (*reject)(void *ctx, const char *lookup, const struct mr_reject *lend);
};

/* Opens the source of every lookup of the spec (no I/O); spec and hooks' pointers are lent until
 * free. NULL: err says which lookup (err->option: "NAME.option") and why. */
struct mr_lookups *mr_lookups_new(const struct mr_spec *spec, const struct mr_lookup_hooks *hooks,
                                  struct mr_error *err);
/* Starts the threads: sources connect; a table is loaded when somebody asks for it. MR_FATAL: no
 * thread to be had. */
int mr_lookups_start(struct mr_lookups *l, struct mr_error *err);
/* Waits until every table that was asked for is loaded. MR_RETRY: not yet (timeout_us is over; err
 * says what is waited for and err->unreachable whether a server does not answer); MR_FATAL,
 * MR_BADCONF: one failed. Any thread. */
int mr_lookups_ready(struct mr_lookups *l, int64_t timeout_us, struct mr_error *err);
/* Calls each() for every lookup. Any thread. */
void mr_lookups_each(struct mr_lookups *l,
                     void (*each)(void *out, const struct mr_lookup_info *lend), void *out);
void mr_lookups_stop(struct mr_lookups *l); /* sources are woken, threads joined; what waits in open
                                               or find returns */
void mr_lookups_free(struct mr_lookups *l); /* stops; handles must be closed. Takes NULL */

/* mr_host.lookup. keys: a struct whose children are named as key columns of the table and typed as
 * the columns that will be looked up: integers of any width fit each other, other types must be
 * equal. Before start: MR_IDLE when the columns are not known without asking the source. After
 * start: waits for them. MR_BADCONF: no such lookup or column, or a type that does not fit.
 * give_row: the wanted columns (all without MR_META_WANT), nullable, with their labels. */
int mr_lookup_open(struct mr_lookups *l, const char *name, const struct ArrowSchema *keys,
                   struct mr_lookup **ret, struct ArrowSchema *give_row, struct mr_error *err);
/* mr_host.find. keys: a struct array of the keys schema, slices included; a key with a null in it
 * is missing. Waits a moment for a table that is not loaded, then MR_RETRY with the state as
 * message. */
int mr_lookup_find(struct mr_lookup *h, const struct ArrowArray *keys, struct ArrowArray *give_rows,
                   struct mr_error *err);
void mr_lookup_close(struct mr_lookup *h); /* takes NULL */

#endif

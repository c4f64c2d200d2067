/* SPDX-License-Identifier: Apache-2.0 */
/* millrace/plugin.h: the whole contract between the runtime and a plugin (.so). A plugin includes
 * this header, links nothing of Millrace, and defines one constant object, mr_plugin_desc.
 *
 * VERSIONS   `abi` must equal the runtime's. `size` = sizeof as its maker was built; a size below
 * that of MR_ABI's first release is refused; read fields of others through MR_HAS. Sized structs
 * only grow at the end; a struct marked FROZEN never changes within one MR_ABI. THREADS    One
 * instance = one thread for every call but wake(). Instances run in parallel: no mutable globals.
 *            ArrowArray/ArrowSchema.release may be called on any thread, and after close(): no
 * pointer into self. ERRORS     >= 0 success; < 0 enum mr_status with *err filled (err is never
 * NULL, comes zeroed with row = -1; no secrets or row values in msg). On failure every argument is
 * as it was and nothing of this call is kept, so the same call can be made again; rejects of a
 * failed call are dropped. Plugins do not log what they return. Exceptions and panics must not
 * cross; never exit(). OWNERSHIP  take = callee owns it on success (moves it out, sets release =
 * NULL); on failure it stays the caller's. give = caller owns it on success; zeroed before. lend =
 * read only for the call, or as long as said. Memory crosses only inside Arrow structs (own
 * release) or through a callback; never malloc here, free there. BATCHES    A top-level rows struct
 * has offset 0, no nulls, children of its length; slices live in the children's offset: always add
 * it. Buffers are shared and never written. Plugins align them to 64 bytes; a lent one may be a
 * slice. Length 0 may have NULL buffers. No dictionaries, no views. Text is UTF-8. Times us or ms
 * as named. Columns whose names begin with `_` are system columns: a transform passes those it does
 * not know, a sink leaves them. PARTIAL    The system column `_set` (changes.h) says for each row
 * which columns it writes: absent is not null. A transform or sink gets it only when its flags have
 * MR_PARTIAL; without, `check` and the run refuse the pipeline. So it is with `_range`, deletes of
 * many rows, and MR_RANGES. LIFE       open (no I/O) -> schema
 * -> start (I/O, again after MR_RETRY) -> data calls -> close (at any point after open gave self;
 * no commit, prompt). `check` calls open, schema and close only. */
#ifndef MILLRACE_PLUGIN_H
#define MILLRACE_PLUGIN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "millrace/arrow.h"
#ifdef __cplusplus
extern "C" {
#endif

#define MR_ABI 1u
#define MR_HAS(p, f) ((p)->size >= offsetof(__typeof__(*(p)), f) + sizeof((p)->f) && (p)->f)
#define MR_NO_LANE UINT32_MAX /* rows of no single lane: a window's result */

enum mr_status {
  MR_OK = 0,
  MR_IDLE =
      1, /* nothing to give (now, or not known before start): the give arguments are untouched */
  MR_MORE = 2,   /* apply, advance: one batch given; call apply(NULL) for the next */
  MR_SCHEMA = 3, /* read, decoded: nothing given, schema() has a new answer that holds from the next
                    batch on */
  MR_END = 4,    /* read: a bounded source has finished; nothing given */
  MR_RETRY = -1, /* transient, or woken: the same call again, after err->retry_ms or the backoff */
  MR_REJECT = -2,  /* err->row of batch err->batch (-1: unknown) can never succeed: isolate it, go
                      on;  err->option: the column that is to blame, or empty */
  MR_BADCONF = -3, /* the pipeline file is wrong: err->option is its path, as "routes.2.topic". Of a
                      sink that runs already: its table has become one that it cannot write; where
                      the pipeline has other sinks, it alone is paused */
  MR_FATAL = -4,   /* stop; positions stay at the last commit */
  MR_UNSURE =
      -5, /* commit: the answer was lost; resolve() or take() is asked before anything else */
  MR_FENCED = -6, /* start, commit: a newer process owns these lanes: stop without committing */
};

/* The caller's room for an error. code: SQLSTATE, HTTP status or the like; it goes to dead letters
 * and metrics. native: the library's own number. Of MR_RETRY that means an unreachable server:
 * unreachable = true (exit code 3 where it is final). */
struct mr_error {
  uint32_t size;
  int32_t native;
  int64_t row, retry_ms;
  uint64_t batch;   /* sink: mr_batch.id that `row` counts in; 0: the batch of this call */
  bool unit_lost;   /* sink: the earlier writes of this unit are gone too: abort, begin, write all
                       again */
  bool unreachable; /* no server answered, or it refused us (network, password, missing database) */
  char code[32], option[96], msg[512];
};

/* Options: one table drives YAML checks, inspect, JSON Schema, man page and overrides. In brackets:
 * the C field. Absent without dflt: NULL, false, INT64_MIN, NaN, -1 (choice), or an empty list.
 * conf lives until close. */
enum mr_opt_type {
  MR_BOOL = 1, /* bool */
  MR_INT,      /* int64_t */
  MR_REAL,     /* double */
  MR_TEXT,     /* const char * */
  MR_CHOICE,   /* int32_t index into choices */
  MR_BYTES,    /* int64_t, bytes; "1MiB" */
  MR_TIME_MS,  /* int64_t, milliseconds; "50ms" */
  MR_GROUP,    /* struct of `sub`, in place */
  MR_COLUMNS,  /* const struct ArrowSchema *, a struct type, from a mapping name: type; NULL when
                  absent */
  MR_EXPR,     /* const char *, an expression, checked against the input */
  MR_FORMAT,   /* const struct mr_format *, for host->decoder and encoder; the format's own options
                  stand beside it */
  MR_LOOKUP,   /* const char *, a name under `lookups` */
};
enum {
  MR_REQUIRED = 1,
  MR_SECRET = 2,
  MR_DEPRECATED = 4,
  MR_MANY = 8,      /* struct mr_list of the type's C field; YAML: a list, or one value alone */
  MR_KEYED = 16,    /* struct mr_list with keys; YAML: a mapping with free keys, order kept */
  MR_PARTITION = 32 /* these columns decide which parallel instance gets a row */
};
struct mr_list { /* FROZEN. item: n elements of the type's C field (groups: sub_size apart); key: n
                    keys, or NULL */
  const void *item;
  const char *const *key;
  size_t n;
};
struct mr_opt { /* elements are mr_plugin.opt_size apart; a table ends with name == NULL */
  const char *name;
  uint16_t type, flags;
  uint32_t offset,
      sub_size; /* offset of the field in conf; sub_size: sizeof the sub struct of MR_GROUP */
  const char *range, *dflt;   /* as in YAML: "1..65535", "64KiB..", "0..1" */
  const char *const *choices; /* NULL-terminated */
  const struct mr_opt *sub;
  const char *doc; /* one line of help */
};

/* A position orders one lane (a partition, a commit log, a token range). Opaque to all but its
 * source. FROZEN */
struct mr_position {
  uint16_t len;
  uint8_t token[62];
};
/* < 0, 0, > 0 as a is before, at or after b. */
static inline int mr_position_cmp(const struct mr_position *a, const struct mr_position *b)
{
  int c = memcmp(a->token, b->token, a->len < b->len ? a->len : b->len);
  return c ? c : (a->len > b->len) - (a->len < b->len); /* so numbers go in big-endian */
}
static inline struct mr_position mr_position_u64(uint64_t v)
{
  struct mr_position p;
  memset(&p, 0, sizeof p);
  p.len = 8;
  for (int i = 0; i < 8; i++)
    p.token[i] = (uint8_t)(v >> (56 - 8 * i));
  return p;
}
static inline uint64_t mr_position_get(const struct mr_position *p)
{
  uint64_t v = 0;
  for (int i = 0; i < 8 && i < p->len; i++)
    v = v << 8 | p->token[i];
  return v;
}

struct mr_batch {
  uint32_t size, lane; /* from host->lane(); a transform leaves lane and upto as they come */
  const struct ArrowSchema
      *schema;             /* lend, set by the runtime; plugins give only rows of schema() */
  struct ArrowArray rows;  /* length 0 is fine: the position or watermark moves without rows */
  struct mr_position upto; /* first position that is NOT in this or an earlier batch of the lane */
  int64_t watermark_us;    /* no later row of this lane is older; INT64_MIN: says nothing */
  uint64_t id;             /* set by the runtime, for mr_reject and mr_error.batch */
};
struct mr_mark { /* FROZEN. One lane of one sink: what is durable, or what a unit makes so */
  const char *source, *name; /* the source's stage name, the lane's name */
  uint32_t lane;
  struct mr_position from,
      upto; /* of a lane row that was read: from = last_from, upto = position */
  uint64_t owner, rows,
      run; /* rows: of this unit (a lane row: total); run: that commits (a lane row: last_run) */
  /* What the transforms before the sink have saved of the lane, at upto: bytes that mean nothing to
   * the sink, kept in the lane row beside the position, replaced with it, and given with it. 0:
   * none.
   */
  const void *state;
  size_t state_len;
};
struct mr_unit { /* lend; what becomes durable together */
  uint32_t size, n;
  uint64_t run;
  const char *pipeline, *sink, *label; /* label or token: [a-z0-9_]{1,64}, never used twice */
  const struct mr_mark
      *mark; /* n lanes; compare-and-set: owner and from of every one must still hold */
};
struct mr_reject { /* batch + row, or (source) lane + position + the bytes as they came */
  uint32_t size, lane;
  const struct mr_batch *batch;
  uint64_t batch_id;
  int64_t row;
  const struct mr_position *position;
  const void *data;
  size_t len;
  const char *code, *msg, *column; /* column may be NULL */
};
enum mr_level { MR_DEBUG, MR_INFO, MR_WARN };
enum mr_lane_state {
  MR_LANE_NEW = 0,   /* no position anywhere and the pipeline never ran: call again with `first` by
                        the start option */
  MR_LANE_KNOWN = 1, /* go on at ret_from */
  MR_LANE_LATER =
      2, /* found after the pipeline's first run: call again with `first` = the lane's beginning */
};
struct mr_extent { /* FROZEN. A part of a message */
  size_t at, len;
};
struct mr_format; /* opaque */
struct mr_decoder;
struct mr_encoder;
struct mr_expr;
struct mr_lookup;
/* Takes the next bytes of a text or block. */
typedef int mr_put_fn(void *out, const void *data, size_t len);
/* Called for each row that an expression could not compute; the value is null there. code: "22012"
 * and the like. */
typedef void mr_bad_row_fn(void *out, int64_t row, const char *code, const char *msg);

struct mr_host { /* the runtime's services, valid until close; stage thread, but notify */
  uint32_t abi, size;
  void *ctx;
  int wake_fd; /* readable while the running call should return: put it into poll() */
  void (*log)(void *ctx, int level, const char *text);
  void (*metric)(void *ctx, const char *name, uint32_t lane,
                 int64_t value); /* *_total: added; else: set */
  void (*notify)(void *ctx);     /* any thread: call me */
  int (*reject)(void *ctx,
                const struct mr_reject *lend); /* counts when the running call succeeds */

  /* Tells the runtime several lanes' names at once: the sinks are asked for all of them in one go,
   * lane() then answers from memory. */
  int (*lanes)(void *ctx, const char *const *names, size_t n, struct mr_error *);
  /* Names a lane (a source's): >= 0 enum mr_lane_state. first: NULL to ask; else the lane's first
   * position, which is made durable before this returns MR_LANE_KNOWN. May wait for sinks to
   * answer; MR_RETRY when woken or while one is away. */
  int (*lane)(void *ctx, const char *name, const struct mr_position *first, uint32_t *ret,
              struct mr_position *ret_from, struct mr_error *);
  /* A lane goes away. lost = false: returns when every sink holds what was read of it (or half of
   * wait_ms is over). */
  int (*lane_end)(void *ctx, uint32_t lane, bool lost, int64_t wait_ms);

  int (*decoder)(void *ctx, const struct mr_format *, struct mr_decoder **ret, struct mr_error *);
  int (*decode)(struct mr_decoder *, const void *data, size_t len,
                struct mr_error *); /* one message; >= 0: rows added;
                                     * MR_REJECT: nothing of the message was added; err->native 1:
                                     * it ends too early (an open quote) */
  int (*decoded)(struct mr_decoder *, struct ArrowArray *give,
                 struct mr_error *); /* the rows so far; MR_SCHEMA: nothing given,
                                      * decoder_schema has a new answer, call again; MR_IDLE: schema
                                      * not known yet (inference) */
  int (*decoder_schema)(struct mr_decoder *, struct ArrowSchema *give,
                        struct mr_error *); /* MR_IDLE: not known yet */
  void (*decoder_free)(struct mr_decoder *);
  int (*encoder)(void *ctx, const struct mr_format *, const struct ArrowSchema *in,
                 struct mr_encoder **ret, struct mr_error *);
  int (*encode)(struct mr_encoder *, const struct mr_batch *lend, struct ArrowArray *give,
                struct mr_error *); /* binary, a value for each row; line formats end each with \n.
                                     * Of a batch without rows: what a file begins with (csv: its
                                     * header record), or nothing */
  void (*encoder_free)(struct mr_encoder *);

  int (*expr)(void *ctx, const char *text, const struct ArrowSchema *in, struct mr_expr **ret,
              struct ArrowSchema *give_type, struct mr_error *); /* give_type: name "" */
  int (*eval)(struct mr_expr *, const struct mr_batch *lend, struct ArrowArray *give,
              mr_bad_row_fn *bad, void *out, struct mr_error *); /* bad NULL: such rows are null */
  void (*expr_free)(struct mr_expr *);

  int (*lookup)(void *ctx, const char *name, const struct ArrowSchema *keys, struct mr_lookup **ret,
                struct ArrowSchema *give_row,
                struct mr_error *); /* keys: struct, children named as the table's columns; with
                                     * MR_META_WANT only those columns are given. MR_IDLE: the
                                     * table's columns are not known yet (check) */
  int (*find)(struct mr_lookup *, const struct ArrowArray *keys, struct ArrowArray *give_rows,
              struct mr_error *); /* a struct array with a row for each key; a struct-level null
                                     (and null children): missing */
  void (*lookup_free)(struct mr_lookup *);

  /* Compiles a type as pipeline files write it ("decimal(18,4)") into a schema named `name`.
   * MR_BADCONF: no such type. */
  int (*type)(void *ctx, const char *text, const char *name, struct ArrowSchema *give,
              struct mr_error *);

  /* Where each row that the last decode added stands in its message, in order: an element of an
   * array, a line. NULL: every row is of the whole message. Valid until the decoder's next call. */
  const struct mr_extent *(*extents)(struct mr_decoder *);
  const char *(*format_name)(const struct mr_format *); /* "csv": as the file says it; lives as long
                                                         * as the format */
  /* The names of the columns that an expression reads, system columns included, NULL-terminated;
   * lent until expr_free. */
  const char *const *(*expr_columns)(const struct mr_expr *);
  /* What a format makes of columns, as mr_plugin.ddl has it: a line for each column that is no
   * system column, then the schema that readers of the format need (avro), where it has one. */
  int (*format_ddl)(void *ctx, const struct mr_format *, const struct ArrowSchema *in,
                    mr_put_fn *put, void *out, struct mr_error *);
};
struct mr_open { /* lend until close */
  uint32_t size, instance, instances;
  const struct mr_host *host;
  const void *conf;
  const struct ArrowSchema *in; /* transform, sink; NULL at check when nobody knows it yet */
  struct mr_list want;          /* source: const char *, the system columns that something names */
  const char *pipeline, *stage;
  int64_t memory; /* source: bytes it may buffer itself (a client library's queue); 0: not said */
  bool bounded;   /* source: give MR_END when each lane has reached the end it had at start */
  /* Source: names the state that positions are kept in, where a sink cannot keep them itself; NULL:
   * every one does. It comes with ack, too (mr_unit.label), and a source that tells others how far
   * it was read says this name with it. Finds start() that another state has come further, it is
   * MR_FATAL, unless the user has said to go on (new_store). */
  const char *store;
  bool new_store;
};
typedef int mr_open_fn(const struct mr_open *, void **self, struct mr_error *);
typedef int mr_self_fn(void *self, struct mr_error *);
typedef int mr_schema_fn(void *self, struct ArrowSchema *give,
                         struct mr_error *); /* of what it gives; MR_IDLE: not known yet */
typedef int mr_unit_fn(void *self, const struct mr_unit *lend, struct mr_error *);
typedef void mr_mark_fn(void *out, const struct mr_mark *lend);

/* System columns a source makes when they are wanted (in `want`): _key, _topic, _partition,
 * _offset, _timestamp (event time), _headers (map utf8 -> binary), _op, and for dead letters
 * _position (uint64: the row's position in its lane), _element (uint32: the row's index in its
 * message) and _original (binary: the row as it came: its own part of the message, by extents(), or
 * the message). They follow the plugin's own columns. */
struct mr_source {
  uint32_t size;
  mr_open_fn *open;
  mr_schema_fn *schema;
  mr_self_fn *start;
  /* At most max_rows and max_bytes (more is allowed if one message holds more) of ONE lane; waits
   * up to timeout_ms for the first row and does not linger once it has one. max_rows 0: only keep
   * connections alive. */
  int (*read)(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
              struct mr_batch *give, struct mr_error *);
  int (*cut)(void *self, uint32_t lane,
             const struct mr_position *); /* end a batch before the first row at or past it; one at
                                           * a time for a lane */
  int (*seek)(void *self, uint32_t lane, const struct mr_position *,
              struct mr_error *); /* read the lane again from there */
  mr_unit_fn *ack;          /* optional: every sink holds these durably; label: mr_open.store */
  void (*wake)(void *self); /* optional, all kinds: any thread, from open's return to close: the
                               running call returns soon */
  void (*close)(void *self);
  /* Optional, for sources that share their lanes with other processes: one of them has taken this
   * lane, nobody said so before. MR_OK: nothing more of it is given until it is assigned and named
   * anew. Absent or < 0: the run ends, "taken over". */
  int (*lost)(void *self, uint32_t lane, struct mr_error *);
};
struct mr_transform {
  uint32_t size;
  mr_open_fn *open;
  mr_schema_fn *schema;
  mr_self_fn *start;
  int (*apply)(void *self, struct mr_batch *take, struct mr_batch *give,
               struct mr_error *); /* take NULL: only after MR_MORE */
  int (*advance)(void *self, int64_t watermark_us, struct mr_batch *give,
                 struct mr_error *); /* reserved for watermarks: NULL, else it is refused */
  /* Absent: stateless. Else the transform remembers something from row to row, and there is an
   * instance for each lane of each sink behind it (and one that only answers schema()). save gives
   * what it remembers of the rows so far, at any time between two calls of apply; it becomes
   * durable together with the lane's position at that sink. load, between open and start: what was
   * saved where reading begins; not called when nothing was. */
  int (*save)(void *self, mr_put_fn *put, void *out, struct mr_error *);
  int (*load)(void *self, const void *state, size_t len, struct mr_error *);
  int (*evolve)(void *self, const struct ArrowSchema *in, struct mr_error *); /* then schema() */
  void (*wake)(void *self);
  void (*close)(void *self);
};
enum mr_delivery { MR_PLAIN = 1, MR_IDEMPOTENT, MR_TWO_PHASE, MR_TRANSACTIONAL };
enum mr_outcome { MR_UNKNOWN = 0, MR_RUNNING, MR_PREPARED, MR_COMMITTED, MR_ABORTED };
/* A unit: begin, write*, then by delivery class
 *   transactional  commit (compare-and-set of owner and position of each lane, then rows, one
 * transaction; MR_FENCED on a miss). begin may already send the compare-and-set of owner and
 * `from`; the new positions come with commit two-phase      prepare (MR_IDLE: every row was
 * rejected, nothing is there to commit) -> (runtime records) -> commit; resolve(label) says what
 * became of one; abort(label) is confirmed idempotent     seal gives the encoded bytes (runtime
 * keeps them and records) -> send(token, bytes), again after a crash plain commit = written and
 * flushed or abort at any point. take raises the owner of lanes and reads their rows
 * (transactional; else the runtime's store). A batch given to a write that succeeded (the struct
 * and its rows) stays readable until commit, send or abort has returned: no copy is needed to
 * buffer. MR_IDLE of seal: the target would not know the bytes again, they are sent unkept. */
struct mr_sink {
  uint32_t size, delivery;
  mr_open_fn *open;
  mr_self_fn *start;
  /* Raises the owner of every named lane that has a row and gives it (mark.owner = the new one); a
   * lane without row is not given. Waits for an old transaction's row lock. n names of one source.
   */
  int (*take)(void *self, const char *source, const char *const *lane_name, size_t n,
              mr_mark_fn *mark, void *out, struct mr_error *);
  /* Creates the lane rows (position = upto, owner = 1); the only way a row comes to be. MR_FENCED:
   * one is there already. */
  int (*found)(void *self, const struct mr_mark *lend, size_t n, struct mr_error *);
  mr_unit_fn
      *begin; /* marks have source, name, lane, from, owner; upto and rows are not known yet */
  int (*write)(void *self, const struct mr_batch *lend, struct mr_error *);
  /* Optional: everything written has been accepted by the target. On MR_REJECT without unit_lost
   * what was written since the last flush is dropped, the rest of the unit stays. Absent: each
   * write answers for itself, and a failed one leaves nothing. */
  mr_self_fn *flush;
  mr_unit_fn *prepare, *commit, *abort;
  int (*seal)(void *self, const struct mr_unit *lend, mr_put_fn *put, void *out, struct mr_error *);
  /* MR_REJECT with batch and row: the target refused the whole block for that row. After a unit's
   * first send, or with unit_lost (nothing landed, nor can it), it is written again without the
   * row. unit_lost alone: rows are read again. MR_FENCED: the token may be forgotten, not sent. */
  int (*send)(void *self, const char *token, const void *block, size_t len, struct mr_error *);
  int (*resolve)(void *self, const char *label, struct mr_error *); /* >= 0: enum mr_outcome */
  int (*evolve)(void *self, const struct ArrowSchema *to,
                struct mr_error *); /* between units only; repeatable */
  void (*wake)(void *self);
  void (*close)(void *self);
  /* Transactional. After MR_UNSURE or a miss: waits for an old transaction of ours, raises the
   * owner of the unit's lanes where it is still the mark's, and gives their rows. MR_FENCED:
   * another owner; nothing was raised. */
  int (*reread)(void *self, const struct mr_unit *lend, mr_mark_fn *mark, void *out,
                struct mr_error *);
  /* Idempotent, optional: for how long, in ms, the target remembers a token. The runtime sends a
   * block only while its record is younger than half of it, and stops else. 0: for ever. No I/O;
   * asked before each send, after start. */
  int64_t (*window)(void *self);
  /* What the target takes at once (idempotent: one block). A unit that has reached it is ended,
   * with the batches that were on their way to it; 0: no bound. */
  int64_t unit_rows, unit_bytes;
  /* Transactional: the longest mr_mark.state that a lane row can hold. 0: it keeps none, and stands
   * behind no transform that has some. */
  int64_t state_bytes;
  /* Transactional: its lane rows cannot refuse another process. Such a sink is in no group. */
  bool alone;
};
enum {
  /* Transform: what it gives has a `_set` that is right for its own columns: renamed with a column,
   * gone with it, and a column computed from others is written where every one of them is. Sink:
   * it writes only the columns that a row writes, or shows them to be absent. */
  MR_PARTIAL = 1,
  /* Transform: `_range` (changes.h) stays right, too: renamed with a key column; one whose key
   * columns get other values refuses it. Sink: deletes of many rows are carried out, or shown. */
  MR_RANGES = 2
};
struct mr_plugin { /* exactly one of source, transform, sink is set */
  uint32_t abi, size, conf_size, opt_size;
  const char *name, *version, *license,
      *summary; /* name == file name == key in the pipeline file */
  const struct mr_opt *options;
  const struct mr_source *source;
  const struct mr_transform *transform;
  const struct mr_sink *sink;
  int (*validate)(const void *conf, struct mr_error *); /* across options; no I/O */
  /* One server's health: puts one line of text ("PostgreSQL 15.4 at 127.0.0.1:5432, table public.t:
   * ok"). */
  int (*check)(const struct mr_open *, mr_put_fn *put, void *out, struct mr_error *);
  /* table NULL: a JSON line {"table": "..."} for each table; else
   * {"column","source_type","type","nullable"} for each column. */
  int (*discover)(const struct mr_open *, const char *table, mr_put_fn *put, void *out,
                  struct mr_error *);
  /* Optional, no I/O: what a transform or sink does with its columns, a line each ("email: hash"),
   * for `check` and `inspect`. */
  int (*explain)(const struct mr_open *, mr_put_fn *put, void *out, struct mr_error *);
  uint32_t flags; /* MR_PARTIAL, MR_RANGES */
  /* Optional, sinks, no I/O: the table that the sink would make for the columns in `in`: a line for
   * each column that is no system column, in order, with its type in the target; then the
   * statement. */
  int (*ddl)(const struct mr_open *, mr_put_fn *put, void *out, struct mr_error *);
  /* Optional, sinks that make tables, no I/O: the target's type for a column that is in no key, as
   * `create` makes it. MR_BADCONF: it has none. */
  int (*type)(const struct ArrowSchema *column, mr_put_fn *put, void *out, struct mr_error *);
  /* Optional, sinks: the functions for this configuration (filled and valid), where it decides the
   * delivery class; one of a few constant tables, always the same for the same configuration. The
   * class of `sink` is the one that holds without options. */
  const struct mr_sink *(*choose)(const void *conf);
};
extern __attribute__((visibility("default")))
const struct mr_plugin mr_plugin_desc; /* also makes it C and public in C++ */

#ifdef __cplusplus
}
#endif
#endif

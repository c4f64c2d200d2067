/* SPDX-License-Identifier: Apache-2.0 */
/* A pipeline file, read and checked: what the engine and the commands work from. */
#ifndef MR_SPEC_H
#define MR_SPEC_H
#include <glib.h>
#include "base/base.h"

enum mr_stage_kind {
  MR_STAGE_SOURCE = 1,
  MR_STAGE_TRANSFORM,
  MR_STAGE_SINK,
  MR_STAGE_LOOKUP,
  MR_STAGE_DEAD_LETTER
};

/* Where conf asks for plugins and formats; plug implements it. All pointers lent, valid as long as
 * the catalog. */
struct mr_format_desc;
struct mr_catalog {
  void *ctx;
  /* The descriptor, loading the module when needed; NULL: not found or refused, *ret_why says so
   * ("no plugin `kafak` (did you mean `kafka`?)", "install millrace-plugin-kafka", "…/x.so: abi 2,
   * this runtime has 1"), owned by the caller. kind: a sink plugin serves MR_STAGE_SINK and
   * MR_STAGE_DEAD_LETTER, a source plugin MR_STAGE_SOURCE and MR_STAGE_LOOKUP. */
  const struct mr_plugin *(*plugin)(void *ctx, enum mr_stage_kind kind, const char *name,
                                    char **ret_why);
  /* A format's name, option table and conf size; false: unknown. */
  bool (*format)(void *ctx, const char *name, const struct mr_format_desc **ret,
                 const struct mr_opt **ret_options, size_t *ret_conf_size);
  const char *const *(*format_names)(void *ctx); /* NULL-terminated */
};

struct mr_mark_at { /* 1-based; 0: not from the file (override, default) */
  int line, column;
};

struct mr_stage_spec {
  enum mr_stage_kind kind;
  char *name; /* "dead_letter" for that section */
  const struct mr_plugin *plugin;
  void *conf; /* plugin->conf_size bytes, filled; strings and lists live as long as the spec */
  char *
      *input; /* NULL-terminated; of transforms and sinks never NULL after a load that succeeded */
  char *when; /* expression, "otherwise", or NULL */
  int64_t parallel;  /* >= 1 */
  int64_t commit_ms; /* sinks; 0: every checkpoint */
  char **allow;      /* NULL-terminated names of labelled columns that may pass, or NULL */
  char *time_column; /* sources: event time; NULL: none */
  int64_t time_late_ms, time_idle_ms;
  int64_t refresh_ms; /* lookups; 0: read once, or followed */
  char *start;        /* sinks: "earliest" | "now" for a sink added later, or NULL */
  struct mr_mark_at at, when_at;
  bool broken; /* a problem was found in it; never in a spec that mr_spec_load gave */
  struct mr_ynode *node, *options; /* its place in the file: conf's own */
};
/* The functions of a sink's plugin that a configuration asks for; NULL: it is no sink. */
static inline const struct mr_sink *mr_plugin_sink(const struct mr_plugin *p, const void *conf)
{
  return p->sink && MR_HAS(p, choose) ? p->choose(conf) : p->sink;
}
static inline const struct mr_sink *mr_stage_sink(const struct mr_stage_spec *st)
{
  return mr_plugin_sink(st->plugin, st->conf);
}
enum mr_log_format { MR_LOG_TEXT = 0, MR_LOG_JSON };
struct mr_settings {
  int64_t checkpoint_ms, checkpoint_bytes, checkpoint_rows; /* 1000, 64 MiB, 0 = no bound */
  int64_t batch_rows, batch_bytes, linger_ms;               /* 8192, 1 MiB, 50 */
  int64_t memory;                                           /* 256 MiB */
  int64_t shutdown_ms;                                      /* 30000 */
  char *state, *http;                                       /* NULL: default folder; off */
  int32_t log_format, log_level;                            /* enum mr_log_format, mr_level */
  char *trace_column;                                       /* NULL: no row is traced */
  struct mr_list trace_values;                              /* const char * */
};
enum mr_originals { MR_ORIGINALS_UNSAID = 0, MR_ORIGINALS_KEEP, MR_ORIGINALS_DROP };
struct mr_spec {
  char *name, *path;
  GPtrArray *stages;  /* struct mr_stage_spec *: sources, transforms, sinks in the file's order */
  GPtrArray *lookups; /* struct mr_stage_spec * */
  struct mr_stage_spec *dead_letter; /* or NULL */
  enum mr_originals originals;
  int64_t letters_rows, letters_per_ms; /* dead_letter.limit; 0: none */
  struct mr_settings settings;
  struct mr_spec_own *own; /* conf's own: the file, and the memory of every conf */
};
/* One value in effect, for `check --print`: path as --set takes it, origin "file", "--set",
 * "MILLRACE_SET_…" or "default". */
struct mr_value {
  char *path, *text, *origin;
  int line;
};

/* One finding of a check. Sorted by line and column. */
struct mr_problem {
  int line, column;
  char *path, *message;
};

/* Reads text (len bytes, named file in messages) with overrides ("stage.option=value", may be NULL;
 * stronger than the MILLRACE_SET_* environment, which is stronger than the file). Fills problems
 * (struct mr_problem *) with everything that is wrong, and returns the spec, or NULL when problems
 * were added. Main thread. */
struct mr_spec *mr_spec_load(const char *file, const char *text, size_t len,
                             const char *const *overrides, const struct mr_catalog *catalog,
                             GPtrArray *problems);
/* The same, but gives what could be read even when there are problems (NULL only when the file is
 * no mapping at all): for `check`, which goes on with the stages that are not broken. */
struct mr_spec *mr_spec_read(const char *file, const char *text, size_t len,
                             const char *const *overrides, const struct mr_catalog *catalog,
                             GPtrArray *problems);
void mr_spec_free(struct mr_spec *spec); /* takes NULL */
/* Of stages, lookups, dead_letter; or NULL. */
struct mr_stage_spec *mr_spec_stage(const struct mr_spec *spec, const char *name);
/* Stages so that each comes after its inputs; elements lent. Caller unrefs. */
GPtrArray *mr_spec_order(const struct mr_spec *spec);
/* The values in effect, secrets shown as "***": struct mr_value *, lent. */
GPtrArray *mr_spec_values(const struct mr_spec *spec);
/* Adds a problem at a stage's option, as mr_error.option names it ("routes.2.topic"); at the
 * stage's plugin when it is empty or not in the file. line, column (1-based; 0: the value itself):
 * inside the option's text, as expressions report them. */
void mr_spec_problem(const struct mr_spec *spec, const struct mr_stage_spec *st, const char *option,
                     int line, int column, const char *message, GPtrArray *problems);
/* The same for a key of the entry itself: "when", "allow". */
void mr_spec_entry_problem(const struct mr_spec *spec, const struct mr_stage_spec *st,
                           const char *key, int line, int column, const char *message,
                           GPtrArray *problems);
/* The same for a key of `settings`: "trace.column". */
void mr_spec_setting_problem(const struct mr_spec *spec, const char *key, const char *message,
                             GPtrArray *problems);
void mr_problem_add(GPtrArray *problems, struct mr_mark_at at, const char *path, const char *fmt,
                    ...) MR_PRINTF(4, 5);
GPtrArray *mr_problems_new(void);
/* "file:line:col: /path: message\n" for each, sorted; secrets never appear. */
char *mr_problems_text(const char *file, GPtrArray *problems);
/* Replaces every secret value of the spec (MR_SECRET options, ${file:…} contents) in text by "***";
 * returns a new string. */
char *mr_spec_redact(const struct mr_spec *spec, const char *text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of a section: its own keys, its plugin, its plugin's options. */
#include <string.h>
#include "conf/load.h"
#include "conf/suggest.h"

#define NAME_LENGTH 64

/* The keys of an entry itself, as the tables below fill them. */
struct entry {
  struct mr_list input, allow;
  const char *when;
  int64_t parallel, commit_ms, refresh_ms;
  int32_t start;
  struct entry_time {
    const char *column;
    int64_t late_ms, idle_ms;
  } time;
};
struct letters {
  int32_t originals;
  struct letters_limit {
    int64_t rows, per_ms;
  } limit;
};

#define AT(field) .offset = offsetof(struct entry, field)
#define INPUT                                                                              \
  {                                                                                        \
    "input", MR_TEXT, MR_MANY, AT(input), .doc = "whose rows it takes: one name or a list" \
  }
#define WHEN                                                                                     \
  {                                                                                              \
    "when", MR_EXPR, 0, AT(when),                                                                \
        .doc =                                                                                   \
            "takes only rows for which this is true; `otherwise`: the rows no other `when` took" \
  }
#define PARALLEL                                                                           \
  {                                                                                        \
    "parallel", MR_INT, 0, AT(parallel), .range = "1..256", .dflt = "1",                   \
                                         .doc = "instances, each with a thread of its own" \
  }

static const char *const start_choices[] = {"earliest", "now", NULL};
static const struct mr_opt time_options[] = {
    {"column", MR_TEXT, MR_REQUIRED, offsetof(struct entry_time, column),
     .doc = "the column that holds a row's event time"},
    {"late", MR_TIME_MS, MR_REQUIRED, offsetof(struct entry_time, late_ms),
     .doc = "how far behind the greatest time seen a row may be"},
    {"idle", MR_TIME_MS, 0, offsetof(struct entry_time, idle_ms), .dflt = "0",
     .doc = "a lane silent for so long holds nobody up; 0: it does"},
    {NULL},
};
static const struct mr_opt source_options[] = {
    PARALLEL,
    {"time", MR_GROUP, 0, AT(time), sizeof(struct entry_time), .sub = time_options,
     .doc = "event time and watermark"},
    {NULL},
};
static const struct mr_opt transform_options[] = {INPUT, WHEN, PARALLEL, {NULL}};
static const struct mr_opt sink_options[] = {
    INPUT,
    WHEN,
    PARALLEL,
    {"commit", MR_TIME_MS, 0, AT(commit_ms), .dflt = "0",
     .doc = "time between commits: a whole number of checkpoint intervals"},
    {"allow", MR_TEXT, MR_MANY, AT(allow),
     .doc = "labelled columns that may reach this sink unmasked"},
    {"start", MR_CHOICE, 0, AT(start), .choices = start_choices,
     .doc = "where a sink that is added later begins"},
    {NULL},
};
static const struct mr_opt lookup_options[] = {
    {"refresh", MR_TIME_MS, 0, AT(refresh_ms), .dflt = "0",
     .doc = "reads the table again so often"},
    {NULL},
};

static const char *const originals_choices[] = {"keep", "drop", NULL};
static const struct mr_opt limit_options[] = {
    {"rows", MR_INT, MR_REQUIRED, offsetof(struct letters_limit, rows), .range = "1..",
     .doc = "dead letters that stop the pipeline"},
    {"per", MR_TIME_MS, MR_REQUIRED, offsetof(struct letters_limit, per_ms), .range = "1ms..",
     .doc = "when they come within this time"},
    {NULL},
};
const struct mr_opt mr_dead_letter_options[] = {
    {"originals", MR_CHOICE, 0, offsetof(struct letters, originals), .choices = originals_choices,
     .doc = "whether letters hold the original, unmasked bytes"},
    {"limit", MR_GROUP, 0, offsetof(struct letters, limit), sizeof(struct letters_limit),
     .sub = limit_options, .doc = "more than this stops the pipeline"},
    {NULL},
};

#define SET(field) .offset = offsetof(struct mr_settings, field)
static const struct mr_opt checkpoint_options[] = {
    {"interval", MR_TIME_MS, 0, SET(checkpoint_ms), .range = "10ms..1h", .dflt = "1s",
     .doc = "time between checkpoints"},
    {"bytes", MR_BYTES, 0, SET(checkpoint_bytes), .range = "4KiB..", .dflt = "64MiB",
     .doc = "a checkpoint comes early after so many bytes"},
    {"rows", MR_INT, 0, SET(checkpoint_rows), .range = "0..", .dflt = "0",
     .doc = "a checkpoint comes early after so many rows; 0: no bound"},
    {NULL},
};
static const struct mr_opt batch_options[] = {
    {"rows", MR_INT, 0, SET(batch_rows), .range = "1..1048576", .dflt = "8192",
     .doc = "most rows in a batch"},
    {"bytes", MR_BYTES, 0, SET(batch_bytes), .range = "1KiB..256MiB", .dflt = "1MiB",
     .doc = "most bytes in a batch"},
    {"linger", MR_TIME_MS, 0, SET(linger_ms), .range = "0..10s", .dflt = "50ms",
     .doc = "a source that has nothing more to give for so long has what was read committed now, "
            "not at the next checkpoint; batches never wait to become full"},
    {NULL},
};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", NULL};
static const struct mr_opt log_options[] = {
    {"format", MR_CHOICE, 0, SET(log_format), .choices = log_formats, .dflt = "text",
     .doc = "json: an object in each line of standard error"},
    {"level", MR_CHOICE, 0, SET(log_level), .choices = log_levels, .dflt = "info",
     .doc = "debug: each batch and each commit with its positions, too"},
    {NULL},
};
static const struct mr_opt trace_options[] = {
    {"column", MR_TEXT, MR_REQUIRED, SET(trace_column),
     .doc = "whose value tells rows apart; not masked, without a label"},
    {"values", MR_TEXT, MR_REQUIRED | MR_MANY, SET(trace_values),
     .doc = "rows with one of these values are told of in the log, by each stage"},
    {NULL},
};
const struct mr_opt mr_settings_options[] = {
    {"checkpoint", MR_GROUP, 0, 0, sizeof(struct mr_settings), .sub = checkpoint_options,
     .doc = "when what was read becomes durable"},
    {"batch", MR_GROUP, 0, 0, sizeof(struct mr_settings), .sub = batch_options,
     .doc = "how many rows travel together"},
    {"memory", MR_BYTES, 0, SET(memory), .range = "1MiB..", .dflt = "256MiB",
     .doc = "bound on the bytes in flight"},
    {"state", MR_TEXT, 0, SET(state),
     .doc =
         "folder of positions and state, or a postgresql:// URL, which members of a group share"},
    {"http", MR_TEXT, 0, SET(http), .doc = "address:port of the status server; off when absent"},
    {"log", MR_GROUP, 0, 0, sizeof(struct mr_settings), .sub = log_options,
     .doc = "what `run` says on standard error"},
    {"trace", MR_GROUP, 0, 0, sizeof(struct mr_settings), .sub = trace_options,
     .doc = "rows to be followed through the log"},
    {"shutdown", MR_TIME_MS, 0, SET(shutdown_ms), .range = "0..1h", .dflt = "30s",
     .doc = "time to drain and commit when stopped"},
    {NULL},
};

static const char *const kind_names[] = {"",     "source", "transform",
                                         "sink", "lookup", "dead letter"};

const struct mr_opt *mr_entry_options(enum mr_stage_kind kind)
{
  switch (kind) {
  case MR_STAGE_SOURCE: return source_options;
  case MR_STAGE_TRANSFORM: return transform_options;
  case MR_STAGE_SINK: return sink_options;
  case MR_STAGE_LOOKUP: return lookup_options;
  default: return mr_dead_letter_options;
  }
}

void mr_entry_free(struct mr_stage_spec *st)
{
  g_free(st);
}

static char **to_strv(struct mr_spec_own *own, const struct mr_list *list)
{
  if (!list->n)
    return NULL;
  char **out = mr_own_alloc(own, (list->n + 1) * sizeof *out);
  memcpy(out, list->item, list->n * sizeof *out);
  for (size_t i = 0; i < list->n; i++)
    if (!out[i])
      out[i] = mr_own_dup(own, ""); /* was refused */
  return out;
}

static void take_entry(struct mr_load *l, struct mr_stage_spec *st, const struct entry *e)
{
  st->input = to_strv(l->own, &e->input);
  st->allow = to_strv(l->own, &e->allow);
  st->when = (char *)e->when;
  st->parallel = e->parallel > 0 ? e->parallel : 1;
  st->commit_ms = e->commit_ms;
  st->refresh_ms = e->refresh_ms;
  st->time_column = (char *)e->time.column;
  st->time_late_ms = e->time.late_ms;
  st->time_idle_ms = e->time.idle_ms;
  bool has_start = st->kind == MR_STAGE_SINK && e->start >= 0;
  st->start = has_start ? mr_own_dup(l->own, start_choices[e->start]) : NULL;
  const struct mr_ynode *when = mr_ynode_get(st->node, "when");
  if (when)
    st->when_at = when->at;
}

static bool name_is_fine(const char *name)
{
  size_t n = strlen(name);
  return g_ascii_islower(name[0]) && n <= NAME_LENGTH &&
         strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static bool is_reserved(const char *name)
{
  static const char *const reserved[] = {"settings", "dead_letter", "otherwise", NULL};
  return g_strv_contains(reserved, name);
}

static void read_name(struct mr_load *l, struct mr_stage_spec *st, struct mr_ynode *entry)
{
  struct mr_ynode *n = mr_ynode_get(entry, "name");
  if (!n) {
    mr_ynode_remark(l->problems, entry, "the entry has no `name`");
  } else if (n->broken) {
    /* said already */
  } else if (n->type != MR_NODE_SCALAR || !name_is_fine(n->text)) {
    mr_ynode_problem(l->problems, n,
                     "a name is %d characters at most, of a-z, 0-9 and _, and begins with a letter",
                     NAME_LENGTH);
  } else if (is_reserved(n->text)) {
    mr_ynode_problem(l->problems, n, "`%s` cannot be a name: it means something else here",
                     n->text);
  } else {
    const struct mr_stage_spec *first = mr_spec_stage(l->spec, n->text);
    if (first)
      mr_ynode_problem(l->problems, n, "the name `%s` is taken: line %d has it", n->text,
                       first->at.line);
  }
  st->name = mr_own_dup(l->own, n && n->type == MR_NODE_SCALAR ? n->text : "");
  st->at = n ? n->at : entry->at;
  if (!n || n->broken)
    st->broken = true;
}

/* The kinds that know a key of an entry, for the message about a key in the wrong section; NULL:
 * none. */
static const char *kinds_having(const char *key)
{
  const char *found = NULL;
  for (enum mr_stage_kind k = MR_STAGE_SOURCE; k <= MR_STAGE_LOOKUP; k++) {
    if (!mr_option_find(mr_entry_options(k), sizeof(struct mr_opt), key))
      continue;
    found = found                  ? "transforms and sinks"
            : k == MR_STAGE_SOURCE ? "sources"
            : k == MR_STAGE_LOOKUP ? "lookups"
            : k == MR_STAGE_SINK   ? "sinks"
                                   : "transforms";
  }
  return found;
}

static bool own_key(enum mr_stage_kind kind, const char *key)
{
  if (kind != MR_STAGE_DEAD_LETTER && !strcmp(key, "name"))
    return true;
  return mr_option_find(mr_entry_options(kind), sizeof(struct mr_opt), key) != NULL;
}

static const struct mr_plugin *find_plugin(struct mr_load *l, enum mr_stage_kind kind,
                                           const char *name, char **ret_why)
{
  return l->catalog->plugin(l->catalog->ctx, kind, name, ret_why);
}

static bool may_be_plugin(const struct mr_ynode *n)
{
  return n->type == MR_NODE_MAP || (n->type == MR_NODE_SCALAR && n->bare);
}

/* A key that is neither the entry's own nor a plugin that can be had. */
static void refuse_key(struct mr_load *l, enum mr_stage_kind kind, struct mr_ynode *n,
                       const char *why)
{
  g_autoptr(GPtrArray) names = mr_option_names(mr_entry_options(kind), sizeof(struct mr_opt));
  const char *wrong_place = kinds_having(n->key);
  const char *meant = mr_suggest(n->key, (const char *const *)names->pdata, names->len);
  if (wrong_place)
    mr_ynode_key_problem(l->problems, n, "`%s` is for %s only", n->key, wrong_place);
  else if (meant)
    mr_ynode_key_problem(l->problems, n, "unknown option `%s` (did you mean `%s`?)", n->key, meant);
  else if (why)
    mr_ynode_key_problem(l->problems, n, "%s", why);
  else
    mr_ynode_key_problem(l->problems, n, "unknown option `%s`", n->key);
}

/* Looks at every key that is not the entry's own: exactly one is a plugin. Returns its value. */
static struct mr_ynode *choose_plugin(struct mr_load *l, struct mr_stage_spec *st,
                                      struct mr_ynode *entry)
{
  struct mr_ynode *chosen = NULL;
  bool tried = false;
  for (guint i = 0; i < entry->kids->len; i++) {
    struct mr_ynode *n = mr_ynode_kid(entry, i);
    g_autofree char *why = NULL;
    if (own_key(st->kind, n->key))
      continue;
    bool could = may_be_plugin(n) && !kinds_having(n->key);
    tried |= could || n->broken;
    if (n->broken)
      continue;
    const struct mr_plugin *plugin =
        kinds_having(n->key) ? NULL : find_plugin(l, st->kind, n->key, &why);
    if (!plugin) {
      refuse_key(l, st->kind, n, could ? why : NULL);
    } else if (chosen) {
      mr_ynode_key_problem(l->problems, n, "an entry has one plugin, and this one has `%s` already",
                           chosen->key);
    } else {
      chosen = n;
      st->plugin = plugin;
    }
  }
  if (!chosen && !tried)
    mr_ynode_remark(l->problems, entry,
                    "no plugin: put one mapping here that is named after a %s plugin",
                    st->kind == MR_STAGE_DEAD_LETTER ? "sink"
                    : st->kind == MR_STAGE_LOOKUP    ? "source"
                                                     : kind_names[st->kind]);
  return chosen;
}

/* `null:` alone is a plugin without options. */
static void make_map(struct mr_ynode *n)
{
  if (n->type != MR_NODE_SCALAR || !n->bare)
    return;
  n->type = MR_NODE_MAP;
  n->kids = g_ptr_array_new_with_free_func((GDestroyNotify)mr_ynode_free);
  g_clear_pointer(&n->text, g_free);
}

static void validate(struct mr_load *l, struct mr_stage_spec *st)
{
  struct mr_error err = MR_ERROR_INIT;
  if (!MR_HAS(st->plugin, validate) || st->plugin->validate(st->conf, &err) >= 0)
    return;
  mr_spec_problem(l->spec, st, err.option, 0, 0, err.msg, l->problems);
  st->broken = true;
}

static void read_plugin(struct mr_load *l, struct mr_stage_spec *st, struct mr_ynode *entry,
                        const struct mr_opt *table)
{
  struct mr_ynode *n = choose_plugin(l, st, entry);
  const struct mr_plugin *p = st->plugin;
  if (n)
    make_map(n);
  if (n && n->type != MR_NODE_MAP)
    mr_ynode_key_problem(l->problems, n, "`%s` takes a mapping of its options", n->key);
  bool usable = n && n->type == MR_NODE_MAP;
  mr_overrides_apply(l, st->name, entry, table, usable ? n : NULL, p ? p->options : NULL,
                     p ? p->opt_size : 0);
  if (!p)
    return;
  st->options = n;
  st->conf = mr_own_alloc(l->own, p->conf_size);
  if (usable)
    mr_option_fill(l, p->options, p->opt_size, n, st->name, NULL, st->conf);
}

static void fill_own(struct mr_load *l, struct mr_stage_spec *st, struct mr_ynode *entry,
                     void *conf)
{
  const char *also[] = {"name", st->options ? st->options->key : NULL, NULL};
  mr_option_fill(l, mr_entry_options(st->kind), sizeof(struct mr_opt), entry, st->name, also, conf);
}

static void read_entry(struct mr_load *l, struct mr_ynode *entry, enum mr_stage_kind kind)
{
  struct mr_stage_spec *st = g_new0(struct mr_stage_spec, 1);
  guint before = l->problems->len;
  struct entry e = {0};
  st->kind = kind;
  st->node = entry;
  read_name(l, st, entry);
  g_ptr_array_add(kind == MR_STAGE_LOOKUP ? l->spec->lookups : l->spec->stages, st);
  read_plugin(l, st, entry, mr_entry_options(kind));
  fill_own(l, st, entry, &e);
  take_entry(l, st, &e);
  if (!st->plugin || l->problems->len > before || mr_ynode_damaged(st->node))
    st->broken = true;
  if (!st->broken)
    validate(l, st);
}

void mr_entries_read(struct mr_load *l, struct mr_ynode *section, enum mr_stage_kind kind)
{
  if (!section || section->broken || (section->type == MR_NODE_SCALAR && section->bare))
    return;
  if (section->type != MR_NODE_LIST) {
    mr_ynode_key_problem(l->problems, section, "`%s` is a list: begin each entry with `- name: …`",
                         section->key);
    return;
  }
  for (guint i = 0; i < section->kids->len; i++) {
    struct mr_ynode *entry = mr_ynode_kid(section, i);
    if (entry->type == MR_NODE_MAP)
      read_entry(l, entry, kind);
    else
      mr_ynode_problem(l->problems, entry, "an entry is a mapping with a `name` and a plugin");
  }
}

static bool masks(const struct mr_spec *spec)
{
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    if (st->kind == MR_STAGE_TRANSFORM && st->plugin && !strcmp(st->plugin->name, "mask"))
      return true;
  }
  return false;
}

static void take_letters(struct mr_load *l, const struct letters *letters, struct mr_ynode *section)
{
  l->spec->originals = (enum mr_originals)(letters->originals + 1);
  if (letters->limit.rows > 0)
    l->spec->letters_rows = letters->limit.rows;
  if (letters->limit.per_ms > 0)
    l->spec->letters_per_ms = letters->limit.per_ms;
  if (masks(l->spec) && letters->originals < 0 && !mr_ynode_get(section, "originals"))
    mr_ynode_remark(l->problems, section,
                    "say `originals: drop` or `originals: keep`: the file masks columns, and the "
                    "original bytes of a refused row are not masked");
}

void mr_dead_letter_read(struct mr_load *l, struct mr_ynode *section)
{
  if (!section || section->broken)
    return;
  if (section->type != MR_NODE_MAP) {
    mr_ynode_key_problem(l->problems, section, "`dead_letter` is a mapping with a sink plugin");
    return;
  }
  struct mr_stage_spec *st = g_new0(struct mr_stage_spec, 1);
  guint before = l->problems->len;
  struct letters letters = {.originals = -1};
  st->kind = MR_STAGE_DEAD_LETTER;
  st->name = mr_own_dup(l->own, "dead_letter");
  st->at = section->key_at;
  st->node = section;
  st->parallel = 1;
  l->spec->dead_letter = st;
  read_plugin(l, st, section, mr_dead_letter_options);
  fill_own(l, st, section, &letters);
  take_letters(l, &letters, section);
  if (!st->plugin || l->problems->len > before || mr_ynode_damaged(st->node))
    st->broken = true;
  if (!st->broken)
    validate(l, st);
}
